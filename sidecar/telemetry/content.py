"""What was said, for the span of an attempt: prompts and answers, by two keys only.

Why two. Prompts are the most sensitive thing that passes here, and spans leave the pod. So neither the
one who writes the configuration nor the one who writes the container's environment can open this alone:
`telemetry.capture_content` has to be true, and `CONTENT_VARIABLE` has to say so too: OpenTelemetry's own,
so that it means here what it means in the application.

What it promises. Only sampled calls of a conversation. Everything is redacted here, before a span waits
for its turn; if anything fails, whatever it is, nothing of the content is kept and the span says so.
Images, audio and files are a type and a size. At most `MESSAGE` characters of a message, and `SYSTEM`,
`ASKED` and `ANSWERED` bytes of an attempt: of a long conversation the end. No error body of a provider
is content. Nothing of it goes to logs or metrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from sidecar.dialects import DIALECTS
from sidecar.model import (
    Attempt,
    Call,
    Delta,
    Finish,
    Media,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from sidecar.settings import CONTENT_OPEN, CONTENT_VARIABLE, Settings
from sidecar.telemetry import span_rows as rows
from sidecar.telemetry.asked import Message, Part, asked
from sidecar.telemetry.conventions import FINISHES
from sidecar.telemetry.redaction import Redactor

MESSAGE = 8 * 1024  # characters of one message
SYSTEM, ASKED, ANSWERED = 8 * 1024, 40 * 1024, 16 * 1024  # bytes of an attempt, as JSON
READ = 2 * 1024 * 1024  # bytes of a request that is read for it
AHEAD = 1024  # characters that are redacted beyond what is kept: what is cut in two is not recognised

_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"})
_QUERY_KEY = re.compile(r"(?:^|&)(?:key|api_key|api-key|access_token)=([^&]+)")

Attributes = Mapping[str, str | bool]


def keys(settings: Settings, env: Mapping[str, str]) -> tuple[bool, bool]:
    """What configuration says, and what the environment says."""
    return settings.telemetry.capture_content, env.get(CONTENT_VARIABLE, "").strip().lower() in CONTENT_OPEN


def opened(settings: Settings, env: Mapping[str, str]) -> bool:
    return keys(settings, env) == (True, True)


def together(asked: Attributes, answered: Attributes) -> dict[str, str | bool]:
    """What an attempt's span shows; if one half is withheld so is the other."""
    states = [half.get(rows.CONTENT) for half in (asked, answered)]
    if "withheld" in states:
        return {rows.CONTENT: "withheld"}
    return {**answered, **asked, rows.CONTENT: "cut" if "cut" in states else "captured"}


class Content:
    """What was `asked` and `answered`, for the spans of a sampled call and one of its attempts."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._redact = Redactor(patterns)

    def asked(self, call: Call) -> Attributes:
        """What all attempts of the call were asked."""
        try:
            return self._asked(call)
        except Exception:  # noqa: BLE001  # fails closed: whatever it was, nothing is kept
            return {rows.CONTENT: "withheld"}

    def answered(self, call: Call, attempt: Attempt) -> Attributes:
        if attempt.said is None or not attempt.said.raw:
            return {}
        try:
            return self._answered(call, attempt)
        except Exception:  # noqa: BLE001  # as above
            return {rows.CONTENT: "withheld"}

    def _asked(self, call: Call) -> Attributes:
        if len(call.body) > READ:
            return {rows.CONTENT: "withheld"}
        system, messages = asked(call.dialect, msgspec.json.decode(call.body))
        writer = _Writer(self._redact, _credentials(call))
        found: dict[str, str | bool] = {}
        if system:
            parts = writer.message(Message("system", system))["parts"]
            found[rows.GEN_SYSTEM] = writer.fitting(parts, SYSTEM)
        if messages:
            found[rows.GEN_ASKED] = writer.last(messages, ASKED)
        if writer.cut:
            found[rows.CONTENT] = "cut"
        return found

    def _answered(self, call: Call, attempt: Attempt) -> Attributes:
        said = attempt.said
        assert said is not None
        reader = DIALECTS[call.dialect].reader(call.ask, said.content_type)
        deltas = reader.feed(bytes(said.raw)).deltas + reader.close().deltas
        writer = _Writer(self._redact, _credentials(call))
        messages = [
            writer.message(message) | {"finish_reason": finish} for message, finish in _spoken(deltas)
        ]
        found: dict[str, str | bool] = {}
        if messages:
            found[rows.GEN_ANSWERED] = writer.fitting(messages, ANSWERED)
        if writer.cut or said.cut:
            found[rows.CONTENT] = "cut"
        return found


class _Writer:
    """Messages as the conventions write them, redacted and within bounds; `cut` where not all of it."""

    def __init__(self, redact: Redactor, exact: tuple[str, ...]) -> None:
        self._redact = redact
        self._exact = exact
        self.cut = False

    def message(self, message: Message) -> dict[str, Any]:
        room = MESSAGE
        parts = []
        for part in message.parts:
            if room <= 0:
                self.cut = True
                break
            shown = {key: self._value(value, room) for key, value in part.items()}
            room -= 32 + sum(len(value) for value in shown.values() if isinstance(value, str))
            parts.append(shown)
        return {"role": message.role, "parts": parts}

    def _value(self, value: str | int, room: int) -> str | int:
        if not isinstance(value, str):
            return value
        long = len(value) > room + 2 * AHEAD
        clean = self._redact(value[: room + 2 * AHEAD] if long else value, self._exact)
        if long:
            clean = clean[:-AHEAD]
        if len(clean) > room:
            clean = clean[:room]
            long = True
        self.cut = self.cut or long
        return clean

    def last(self, messages: list[Message], most: int) -> str:
        """The last ones that fit, in their order."""
        kept: list[bytes] = []
        for message in reversed(messages):
            one = msgspec.json.encode(self.message(message))
            most -= len(one) + 1
            if most < 0:
                self.cut = True
                break
            kept.append(one)
        return "[" + b",".join(reversed(kept)).decode() + "]"

    def fitting(self, values: list[dict[str, Any]], most: int) -> str:
        """The first ones that fit."""
        kept: list[bytes] = []
        for value in values:
            one = msgspec.json.encode(value)
            most -= len(one) + 1
            if most < 0:
                self.cut = True
                break
            kept.append(one)
        return "[" + b",".join(kept).decode() + "]"


def _spoken(deltas: Iterable[Delta]) -> list[tuple[Message, str]]:
    """What an answer said, by choice, and how each ended."""
    texts: dict[tuple[int, str], list[str]] = {}
    tools: dict[tuple[int, int], list[str]] = {}  # id, name, arguments in pieces
    media: dict[int, list[Part]] = {}
    ends: dict[int, str] = {}
    for delta in deltas:
        match delta:
            case Reasoning(text=text, choice=choice) if text:
                texts.setdefault((choice, "reasoning"), []).append(text)
            case Text(text=text, choice=choice) if text:
                texts.setdefault((choice, "text"), []).append(text)
            case Refusal(text=text, choice=choice) if text:
                texts.setdefault((choice, "refusal"), []).append(text)
            case ToolCall(choice=choice, index=index):
                tool = tools.setdefault((choice, index), ["", ""])
                tool[0], tool[1] = tool[0] or delta.id, tool[1] or delta.name
                tool.append(delta.arguments)
            case Media(kind=kind):
                media.setdefault(0, []).append({"type": kind})
            case Finish(reason=reason, choice=choice):
                ends[choice] = FINISHES[reason]
            case _:
                pass
    choices = sorted({key[0] for key in (*texts, *tools)} | set(media))
    spoken = []
    for choice in choices:
        parts: list[Part] = [
            {"type": kind, "content": "".join(pieces)} for (of, kind), pieces in texts.items() if of == choice
        ]
        parts += media.get(choice, [])
        for (of, _), (id_, name, *pieces) in sorted(tools.items()):
            if of == choice:
                parts.append({"type": "tool_call", "id": id_, "name": name, "arguments": "".join(pieces)})
        spoken.append((Message("assistant", parts), ends.get(choice, "error")))
    return spoken


def _credentials(call: Call) -> tuple[str, ...]:
    """The application's own, which it may have put into a prompt too."""
    found = [value.decode("latin-1") for name, value in call.headers if name.lower() in _CREDENTIALS]
    found += [value.split(" ", 1)[1] for value in found if " " in value]
    found += _QUERY_KEY.findall(call.query)
    return tuple(found)
