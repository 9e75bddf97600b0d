"""What the fake vendor says, in the words of each dialect.

The good answer proves itself: it repeats the request's nonce, its words are numbered, and the
last one is an end mark. So whoever holds the text can tell whether it is whole, whether it is
the answer to this request, and whether two answers were mixed. `expected` is what it must be.

A dialect is a `Voice`. A streamed answer is a list of `Piece`s, so that a fault is a change to
that list; a whole answer is bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, Protocol

from sidecar.provider.behaviour import Behaviour

END = "(end)"


class Part(Enum):
    OPENING = "opening"
    CONTENT = "content"
    CLOSING = "closing"
    SENTINEL = "sentinel"


@dataclass(frozen=True, slots=True)
class Piece:
    part: Part
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request wants, as far as an answer depends on it."""

    path: str = ""
    model: str = ""
    stream: bool = False
    usage: bool = False  # a stream's usage was asked for
    text: str = ""  # of the last user message
    schema: Mapping[str, Any] | None = None  # structured output
    tools: tuple[tuple[str, Mapping[str, Any]], ...] = ()  # name, schema of the arguments
    inputs: int = 1  # how many vectors are wanted
    packed: bool = False  # vectors as base64
    size: int = 0
    query: str = ""

    @property
    def array(self) -> bool:
        """Gemini streams one JSON array where events were not asked for."""
        return self.stream and "streamGenerateContent" in self.path and "alt=sse" not in self.query

    @property
    def nonce(self) -> str:
        found = re.search(r"nonce:([\w.-]+)", self.text)
        return found.group(1) if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """An error in a dialect's own words."""

    status: int
    body: bytes


class Voice(Protocol):
    """One dialect, as a vendor speaks it."""

    name: str

    def speaks(self, path: str) -> bool: ...
    def read(self, path: str, body: Mapping[str, Any], size: int) -> Asked: ...
    def whole(self, asked: Asked, say: Saying) -> bytes: ...
    def stream(self, asked: Asked, say: Saying) -> list[Piece]: ...
    def ping(self) -> bytes: ...
    def filler(self, size: int) -> bytes: ...  # a big event that says nothing
    def complain(self, error: str, do: Behaviour) -> Complaint: ...
    def error_event(self, complaint: Complaint) -> bytes: ...
    def hints(self, do: Behaviour) -> list[tuple[str, str]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """The content of one answer, before a dialect puts it into words."""

    words: tuple[str, ...]  # one per content event; joined they are the text
    reasoning: tuple[str, ...] = ()
    tool: str = ""  # the words are the arguments of this tool call
    finish: str = "stop"
    usage: bool = True
    model: str = ""


def expected(nonce: str = "", events: int = 8) -> str:
    """The text of a good answer with default options to a request with this nonce."""
    words = [f"nonce:{nonce}"] if nonce else []
    return " ".join([*words, *(f"w{n}" for n in range(1, events - len(words))), END])


def saying(asked: Asked, do: Behaviour) -> Saying:
    """What the good answer to this request is."""
    tool, text = "", _text(asked, do)
    finish = do.finish or "stop"
    if do.tool and asked.tools:
        tool, schema = asked.tools[0]
        text = do.json or json.dumps(instance(schema, text))
        finish = do.finish or "tool"
    return Saying(
        words=pieces(text, do.events),
        reasoning=tuple(f"thought {n} " for n in range(1, do.reasoning + 1)),
        tool=tool,
        finish=finish,
        usage=do.usage,
        model=do.model or asked.model,
    )


def _text(asked: Asked, do: Behaviour) -> str:
    if do.json is not None:
        return do.json.replace("{nonce}", asked.nonce)
    if do.text is not None:
        text = do.text.replace("{nonce}", asked.nonce)
        return text if not asked.nonce or asked.nonce in text else f"{text} nonce:{asked.nonce}"
    text = expected(asked.nonce, do.events)
    return text if asked.schema is None else json.dumps(instance(asked.schema, text))


def pieces(text: str, count: int) -> tuple[str, ...]:
    """The text in `count` pieces, at blanks where there are enough of them."""
    words = re.findall(r"\s*\S+\s*$|\s*\S+", text)
    if len(words) < count:
        words = list(text)
    count = max(1, min(count, len(words)))
    cuts = [round(n * len(words) / count) for n in range(count + 1)]
    return tuple("".join(words[a:b]) for a, b in pairwise(cuts))


def instance(schema: Mapping[str, Any], text: str) -> Any:
    """The plainest value that meets a JSON schema; strings are `text` where they are free."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return instance(schema[key][0], text)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            return {key: instance(value, text) for key, value in schema.get("properties", {}).items()}
        case "array":
            return [instance(schema.get("items", {}), text)] * max(1, schema.get("minItems", 1))
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return text


def sse(data: str, event: str | None = None) -> bytes:
    return (f"event: {event}\n" if event else "").encode() + f"data: {data}\n\n".encode()


def dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def messages_text(messages: object) -> str:
    """The text of the last user message, content parts joined."""
    if not isinstance(messages, list):
        return ""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            parts = content if isinstance(content, list) else []
            return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
    return ""
