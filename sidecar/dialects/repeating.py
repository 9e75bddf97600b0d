"""Which requests want the same answer, and which want one that no earlier answer can stand for.

Two requests are the same where everything in them is, but how the answer is to be written: streamed or
whole, with usage in the stream or without. That is their form, told apart from the rest here. Spaces and
the order of the top level are the SDK's accidents; below it order stays, because the fields of a schema
come out in the order in which they were asked for.

No earlier answer stands for a request that offers tools (half of an action is no answer), that hangs on
state at the provider (stored responses, conversations, containers, cached contents), or that leaves such
state behind. One whose keys stand twice is left alone too: which one counts is the reader's choice, and
two readers may choose differently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NoReturn

from sidecar.model import Ask, Operation

WHOLE = ""  # the form of an answer that comes in one piece
EVENTS = "events"  # a stream of events; what else was asked of it follows
ARRAY = "array"  # Gemini's stream without alt=sse
LARGEST = 256 * 1024  # bytes of a request that is looked at: that takes some milliseconds

_TOOLS = frozenset(
    {
        *("tools", "functions", "tool_choice", "function_call"),
        *("toolConfig", "tool_config", "web_search_options", "mcp_servers"),
    }
)
_STREAM = frozenset({"stream", "stream_options"})


@dataclass(frozen=True, slots=True)
class _Row:
    form: frozenset[str] = frozenset()  # fields that are about the form
    state: frozenset[str] = frozenset()  # fields that hang on something the provider keeps
    store: bool | None = None  # what `store` is where the client says nothing; None: there is no such field


_ROWS: Mapping[str, _Row] = {
    "openai_chat": _Row(_STREAM, store=False),
    "openai_responses": _Row(
        _STREAM, frozenset({"previous_response_id", "conversation", "prompt", "background"}), store=True
    ),
    "anthropic": _Row(_STREAM, frozenset({"container", "context_management"})),
    "gemini": _Row(state=frozenset({"cachedContent", "cached_content"})),
    "embeddings": _Row(),
}


@dataclass(frozen=True, slots=True)
class Likeness:
    """What requests for the same answer have in common, and the form in which this one wants it."""

    path: str
    query: str = field(repr=False)  # some keys stand there
    body: dict[str, Any] = field(repr=False)
    form: str = WHOLE

    def written(self) -> bytes:
        return _written(self.body)

    def apart(self, dialect: str) -> tuple[bytes, str] | None:
        """The same without what the user said last, and that; None where the last word is no user's text."""
        found = last_words(dialect, self.body)
        return None if found is None else (_written(found[0]), found[1])


def _written(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def likeness(dialect: str, ask: Ask, path: str, query: str, body: bytes) -> Likeness | None:
    """None where no earlier answer can stand for one to this request."""
    row = _ROWS.get(dialect)
    if row is None or ask.operation is Operation.OTHER or ask.tools or len(body) > LARGEST:
        return None
    said = _read(body)
    if said is None or any(said.get(name) for name in _TOOLS | row.state):
        return None
    if row.store is not None and said.get("store", row.store):
        return None
    kept = {name: said[name] for name in sorted(said) if name not in row.form}
    if dialect == "gemini":
        form = (EVENTS if _option(query, "alt") == "sse" else ARRAY) if ask.stream else WHOLE
        path = path.replace(":streamGenerateContent", ":generateContent")
        query = "&".join(part for part in query.split("&") if part and part.partition("=")[0] != "alt")
        return Likeness(path, query, kept, form)
    options = said.get("stream_options") or ""
    form = EVENTS + (json.dumps(options, sort_keys=True) if options else "") if ask.stream else WHOLE
    return Likeness(path, query, kept, form)


def last_words(dialect: str, said: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """A conversation of text whose last word the user has: all of it but that text, and the text."""
    name = {"gemini": "contents", "openai_responses": "input"}.get(dialect, "messages")
    turns = said.get(name)
    if isinstance(turns, str):
        return {**said, name: ""}, turns
    if not isinstance(turns, list) or not turns:
        return None
    last = turns[-1]
    if not isinstance(last, dict) or last.get("role", "user") != "user":
        return None
    place = "parts" if dialect == "gemini" else "content"
    content = last.get(place)
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        text = content[0].get("text")
        without: Any = [{**content[0], "text": ""}]
    else:
        text, without = content, ""
    if not isinstance(text, str):
        return None
    return {**said, name: [*turns[:-1], {**last, place: without}]}, text


def _option(query: str, name: str) -> str:
    options = (part.partition("=") for part in query.split("&"))
    return next((value for key, _, value in options if key == name), "")


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(body, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_number)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice")
    return made


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError("no number that others would read alike")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)
