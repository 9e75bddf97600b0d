"""`llm-sidecar translate`: what becomes of a call in another dialect, one JSON object a line.

A request goes from the client's dialect to the target's; an answer, a stream or an error from the
target's to the client's: `--from` is always the dialect of what is given. Nothing is sent anywhere. A
line that cannot be read or said becomes an error line of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from sidecar.classify import classify, raw_headers
from sidecar.dialects import DIALECTS
from sidecar.dialects.base import BadBody
from sidecar.faults import HANDLING
from sidecar.hub import TONGUES, Facts, Voice
from sidecar.hub.conversation import Conversation, Unrepresentable
from sidecar.model import Ask, Delta, Operation, Trouble

KINDS = ("request", "response", "stream", "error")
EVENTS = b"text/event-stream"
JSON = b"application/json"
_ASK = Ask(operation=Operation.CHAT, model="")


class _BadLineError(Exception):
    pass


def run(lines: Iterable[str], *, of: str, to: str, kind: str, wall: float) -> Iterator[str]:
    """`of` and `to` are names of dialects in TONGUES; `wall` is Unix time, for answers that name it."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            told = _translated(line, of, to, kind, wall)
        except Unrepresentable as error:
            told = {"line": number, "refused": error.field, "why": error.why}
        except (_BadLineError, BadBody) as error:
            told = {"line": number, "error": str(error)}
        yield msgspec.json.encode(told).decode()


def _translated(line: str, of: str, to: str, kind: str, wall: float) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as problem:
        raise _BadLineError(f"not JSON: {problem}") from None
    match kind:
        case "request":
            return _request(row, of, to)
        case "response":
            return _answer(msgspec.json.encode(row), JSON, of, to, wall)
        case "stream":
            if not isinstance(row, str):
                raise _BadLineError("expected a JSON string that holds the event stream")
            return _answer(row.encode(), EVENTS, of, to, wall)
        case _:
            return _error(row, of, to, wall)


def _request(row: Any, of: str, to: str) -> dict[str, Any]:
    path, body = "", row
    if isinstance(row, dict) and isinstance(row.get("path"), str) and "body" in row:
        path, body = row["path"], row["body"]  # Gemini's model stands in the path
    conversation = TONGUES[of].read(path, msgspec.json.encode(body))
    written = TONGUES[to].write(conversation, Facts())
    losses = [{"field": loss.field, "how": loss.how} for loss in written.losses]
    return {
        "path": written.path,
        "query": written.query,
        "body": msgspec.json.decode(written.body),
        "losses": losses,
    }


def _answer(body: bytes, kind: bytes, of: str, to: str, wall: float) -> dict[str, Any]:
    reader = DIALECTS[of].reader(_ASK, kind)
    deltas = reader.feed(body).deltas + reader.close().deltas
    if any(isinstance(delta, Trouble) for delta in deltas):
        raise _BadLineError("it holds an error: --kind error says what becomes of it")
    voice = TONGUES[to].voice(Conversation("", (), stream_usage=True), ident="0" * 32, created=int(wall))
    said = _said(voice, deltas)
    if kind == EVENTS:
        return {"stream": said.decode(), "losses": list(voice.losses)}
    assembler = DIALECTS[to].assembler(EVENTS)
    assert assembler is not None
    assembler.feed(said)
    whole = assembler.close()
    if whole is None:
        raise _BadLineError("nothing in it is an answer of that dialect")
    return {"body": msgspec.json.decode(whole), "losses": list(voice.losses)}


def _said(voice: Voice, deltas: tuple[Delta, ...]) -> bytes:
    return voice.say(deltas) + voice.end()


def _error(row: Any, of: str, to: str, wall: float) -> dict[str, Any]:
    if not isinstance(row, dict) or not isinstance(row.get("status"), int):
        raise _BadLineError(
            "expected an object with `status`, and with `headers` and `body` if there are any"
        )
    given = row.get("headers")
    headers = raw_headers({str(k): str(v) for k, v in given.items()}) if isinstance(given, dict) else ()
    body = msgspec.json.encode(row.get("body"))
    verdict = classify(
        provider=of, status=row["status"], headers=headers, body=body, wall=wall, streamed=False
    )
    status = max(HANDLING[verdict.fault].status, 400)
    wire = DIALECTS[to].complain(status, verdict.fault, f"the provider failed ({verdict.fault})")
    return {
        "status": wire.head.status,
        "body": msgspec.json.decode(wire.body),
        "retry_after_s": verdict.wait,
        "class": str(verdict.fault),
    }
