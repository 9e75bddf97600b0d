"""Change one top-level value of a JSON object and leave every other byte as it is.

Why not parse and write again: number forms, escapes, spacing, key order and keys that occur twice
are the client's, and some providers and caches look at them. So the body is walked by its tokens;
strings and nested values are crossed by one match each, at the speed of the regex engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from sidecar.dialects.base import BadBody

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_OPEN = re.compile(rb"[ \t\n\r]*+\{[ \t\n\r]*+")
_KEY = re.compile(rb"(" + _STRING + rb")[ \t\n\r]*+:[ \t\n\r]*+", re.DOTALL)
_SCALAR = re.compile(_STRING + rb'|[^\[\]{},:" \t\n\r]++', re.DOTALL)
_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([\[\]{}])", re.DOTALL)
_NEXT = re.compile(rb"[ \t\n\r]*+([,}])[ \t\n\r]*+")


def replace(body: bytes, key: str, value: bytes) -> bytes:
    """The body with every top-level member named `key` set to the JSON text `value`.

    A key that is there twice is replaced twice: which one counts is the reader's choice.
    """
    pieces: list[bytes] = []
    last = 0
    for start, end in spans(body, key):
        pieces += (body[last:start], value)
        last = end
    if not pieces:
        return body
    pieces.append(body[last:])
    return b"".join(pieces)


def put(body: bytes, key: str, value: bytes) -> bytes:
    """As `replace`; a key that is not there becomes the first one."""
    if next(spans(body, key), None) is not None:
        return replace(body, key, value)
    start = _end(_OPEN, body, 0)
    comma = b"" if body[start : start + 1] == b"}" else b","
    return b"".join([body[:start], msgspec.json.encode(key), b":", value, comma, body[start:]])


def spans(body: bytes, key: str) -> Iterator[tuple[int, int]]:
    """Where the values of the top-level members named `key` begin and end. Raises BadBody."""
    wanted = msgspec.json.encode(key)
    position = _end(_OPEN, body, 0)
    if body[position : position + 1] == b"}":
        return
    while True:
        member = _KEY.match(body, position)
        if member is None:
            raise _broken(position)
        start = member.end()
        end = _value_end(body, start)
        name = member[1]
        if name == wanted or (b"\\" in name and _unescaped(name) == key):
            yield start, end
        following = _NEXT.match(body, end)
        if following is None:
            raise _broken(end)
        if following[1] == b"}":
            return
        position = following.end()


def _value_end(body: bytes, position: int) -> int:
    if body[position : position + 1] not in (b"{", b"["):
        return _end(_SCALAR, body, position)
    depth = 0
    while True:
        bracket = _BRACKET.match(body, position)
        if bracket is None:
            raise _broken(position)
        position = bracket.end()
        depth += 1 if bracket[1] in (b"{", b"[") else -1
        if depth == 0:
            return position


def _end(pattern: re.Pattern[bytes], body: bytes, position: int) -> int:
    found = pattern.match(body, position)
    if found is None:
        raise _broken(position)
    return found.end()


def _unescaped(name: bytes) -> str | None:
    try:
        return msgspec.json.decode(name, type=str)
    except ValueError:  # half a surrogate pair: a key, but not the one that is looked for
        return None


def _broken(position: int) -> BadBody:
    return BadBody(f"the body is not valid JSON: invalid or missing character (byte {position})")
