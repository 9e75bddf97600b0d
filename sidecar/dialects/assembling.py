"""A whole answer out of the events of a stream, for every dialect.

Why. A client that did not ask for a stream can be served from one: silence and stalls are then seen at
the first content, not at the end. What it gets must be the body it asked for, so what a stream says in
pieces is put together here, and what a stream says beside them is kept where the whole answer has it.

What it promises. The same events give the same body however the bytes were cut. Fields nobody here
knows are kept: text is joined, lists are continued, objects are merged, of anything else the last word
counts. Where that would be a guess about meaning, the dialect's own file says better.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from sidecar.dialects.sse import EventStream

Json = dict[str, Any]

CAP = 32 * 1024 * 1024  # bytes of one event: an image is one, and has to be whole

FIXED = frozenset({"id", "index", "name", "object", "role", "type"})  # said again, but never in pieces


class Joined:
    """A text that grows: put together once, at the end, because answers are long and events many."""

    __slots__ = ("pieces",)

    def __init__(self, *pieces: str) -> None:
        self.pieces = list(pieces)


Words = str | Joined


class Pieces(Protocol):
    """What the events of one answer have said so far."""

    def event(self, kind: bytes, data: bytes) -> bool:
        """Take one event. False: it is no JSON object."""

    def whole(self) -> bytes | None:
        """The body of the same answer, not streamed; None where there is none."""


class StreamAssembler:
    """Implements base.Assembler."""

    __slots__ = ("_events", "_lost", "_pieces")

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._events = EventStream(CAP)
        self._lost = False

    def feed(self, data: bytes) -> None:
        _, events = self._events.feed(data)
        self._take(events)

    def close(self) -> bytes | None:
        _, events = self._events.close()
        self._take(events)
        try:
            return None if self._lost else self._pieces.whole()
        except RecursionError:
            return None

    def _take(self, events: Iterable[tuple[bytes, bytes | None]]) -> None:
        for kind, data in events:
            try:
                taken = data is not None and (not data.strip() or self._pieces.event(kind, data))
            except RecursionError:  # nested deeper than we can follow
                taken = False
            # without this piece the answer would look whole and not be it
            self._lost = self._lost or not taken


def read(data: bytes) -> Json | None:
    """A JSON object; None where it is none. Half a character stays half: the other half may follow."""
    try:
        found = msgspec.json.decode(data)
    except RecursionError:
        return None
    except ValueError:
        try:
            found = json.loads(data.decode("utf-8", "replace"), strict=False, parse_constant=_nothing)
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


def write(answer: Json) -> bytes:
    try:
        return msgspec.json.encode(answer, enc_hook=_text)
    except UnicodeEncodeError:  # half a character: as an escape it is what the provider sent
        return json.dumps(answer, default=_text).encode()


def _nothing(name: str) -> None:
    """NaN and the infinities are no JSON."""


def _text(joined: Any) -> str:
    return "".join(joined.pieces)


def join(before: Words | None, more: Words) -> Words:
    """A text, continued; what was there before grows."""
    if not before or not more:
        return before or more
    if not isinstance(before, Joined):
        before = Joined(before)
    before.pieces += more.pieces if isinstance(more, Joined) else (more,)
    return before


def merge(into: Json, more: Json) -> None:
    """Continue an object with its next piece."""
    for key, value in more.items():
        before = into.get(key)
        if value is None or (key in FIXED and before):
            into.setdefault(key, value)
        elif isinstance(before, Words) and isinstance(value, str):
            into[key] = join(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            before += value
        elif isinstance(before, dict) and isinstance(value, dict):
            merge(before, value)
        else:
            into[key] = value


def latest(into: Json, more: Json) -> None:
    """Take the last word on each field; an object is a set of fields."""
    for key, value in more.items():
        before = into.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            before |= {name: each for name, each in value.items() if each is not None}
        elif key not in into or (value is not None and value != ""):
            into[key] = value


def objects(value: Any) -> list[Json]:
    """The objects of a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def number(value: Any) -> int:
    """An index; 0 where none is given."""
    return value if isinstance(value, int) else 0
