"""Answers as they cross: streams of one dialect, said in another, and read again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from sidecar.dialects import DIALECTS
from sidecar.hub import TONGUES, Written
from sidecar.hub.conversation import Conversation, Thinking
from sidecar.hub.emulation import Undoing
from sidecar.model import (
    Answering,
    Ask,
    Delta,
    Finish,
    Media,
    Operation,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)

SSE = b"text/event-stream"
ASKED = Conversation(model="asked", turns=(), stream=True, stream_usage=True, thinking=Thinking(shown=True))


def ask(*, stream: bool = True, choices: int = 1) -> Ask:
    return Ask(operation=Operation.CHAT, model="asked", stream=stream, choices=choices)


def read_stream(dialect: str, stream: bytes | Iterable[bytes], choices: int = 1) -> list[Delta]:
    reader = DIALECTS[dialect].reader(ask(choices=choices), SSE)
    out: list[Delta] = []
    for piece in [stream] if isinstance(stream, bytes) else stream:
        out += reader.feed(piece).deltas
    out += reader.close().deltas
    assert reader.finished
    return out


def read_whole(dialect: str, body: bytes, choices: int = 1) -> list[Delta]:
    reader = DIALECTS[dialect].reader(ask(stream=False, choices=choices), b"application/json")
    reader.feed(body)
    return list(reader.close().deltas)


def assembled(dialect: str, stream: bytes) -> bytes:
    assembler = DIALECTS[dialect].assembler(SSE)
    assert assembler is not None
    assembler.feed(stream)
    body = assembler.close()
    assert body is not None
    return body


def say(
    dialect: str, deltas: Sequence[Delta], asked: Conversation = ASKED, written: Written | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """A whole stream of these deltas, each said alone, and what was lost."""
    voice = TONGUES[dialect].voice(asked, ident="0123456789abcdef0123456789abcdef", created=1)
    undoing = Undoing(written) if written is not None else None
    said = b"".join(voice.say(undoing.turn((delta,)) if undoing else (delta,)) for delta in deltas)
    return said + voice.end(), voice.losses


def gist(deltas: Iterable[Delta]) -> dict[str, Any]:
    """What an answer says, however it was cut and in whatever order its calls' pieces came."""
    texts: dict[int, str] = {}
    thoughts: dict[int, str] = {}
    calls: dict[tuple[int, int], list[str]] = {}
    finishes: dict[int, str] = {}
    usage = Usage()
    model = ""
    for delta in deltas:
        match delta:
            case Text(text, choice) | Refusal(text, choice):
                texts[choice] = texts.get(choice, "") + text
            case Reasoning(text, choice):
                thoughts[choice] = thoughts.get(choice, "") + text
            case ToolCall():
                call = calls.setdefault((delta.choice, delta.index), ["", "", ""])
                call[0] += delta.id
                call[1] += delta.name
                call[2] += delta.arguments
            case Finish(reason, choice):
                finishes[choice] = reason.value
            case Usage():
                usage = delta
            case Answering(model):
                pass
            case Media():
                pass
    called = [
        (choice, name, arguments_of(arguments)) for (choice, _), (_, name, arguments) in sorted(calls.items())
    ]
    ids = [ident for _, (ident, _, _) in sorted(calls.items())]
    return {
        "model": model,
        "texts": {choice: text for choice, text in texts.items() if text},
        "thoughts": {choice: text for choice, text in thoughts.items() if text},
        "calls": called,
        "ids": ids,
        "finishes": finishes,
        "usage": (
            usage.input_total or 0,
            usage.output_total or 0,
            usage.cache_read or 0,
            usage.reasoning or 0,
        ),
    }


def arguments_of(text: str) -> Any:
    try:
        return msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return text
