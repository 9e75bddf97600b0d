"""Members of a JSON object set and removed, at any depth; a value that is not touched keeps its bytes.

Members of the objects on the way are written anew without spacing; of a key that is there twice the last
one stays, which is the one that readers take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum

import msgspec

from sidecar.dialects.base import BadBody
from sidecar.hub.conversation import Json

Path = tuple[str, ...]
_Members = dict[str, msgspec.Raw]


class Absent(Enum):
    """The value of a member that is to go."""

    ABSENT = 0


ABSENT = Absent.ABSENT


def edited(body: bytes, changes: Mapping[Path, Json | Absent], *, snake: bool = False) -> bytes:
    """The body with these members set or gone. What is asked to go and is not there changes nothing.

    `snake`: names in camelCase are met in snake_case too (protocol buffers read both). Raises BadBody.
    """
    top = _members(body)
    changed = False
    for path, value in changes.items():
        changed |= _change(top, path, value, snake=snake)
    return msgspec.json.encode(top) if changed else body


def member(body: bytes, path: Path, *, snake: bool = False) -> Json | Absent:
    """The value of this member. Raises BadBody."""
    return members(body, snake=snake)(path)


def members(body: bytes, *, snake: bool = False) -> Callable[[Path], Json | Absent]:
    """As `member`, for several looks at one body. Raises BadBody."""
    top = _members(body)

    def look(path: Path) -> Json | Absent:
        around = top
        for name in path[:-1]:
            inner = around.get(_spelled(around, name, snake=snake))
            if inner is None or bytes(inner).lstrip()[:1] != b"{":
                return ABSENT
            around = _members(inner)
        found = around.get(_spelled(around, path[-1], snake=snake))
        return ABSENT if found is None else msgspec.json.decode(found)

    return look


def _change(around: _Members, path: Path, value: Json | Absent, *, snake: bool) -> bool:
    name = _spelled(around, path[0], snake=snake)
    if len(path) == 1:
        if value is ABSENT:
            return around.pop(name, None) is not None
        around[name] = msgspec.Raw(msgspec.json.encode(value))
        return True
    held = around.get(name)
    known = held is not None and bytes(held).lstrip()[:1] == b"{"
    if value is ABSENT and not known:
        return False
    inner = _members(held) if known and held is not None else {}
    if not _change(inner, path[1:], value, snake=snake):
        return False
    if inner:
        around[name] = msgspec.Raw(msgspec.json.encode(inner))
    else:
        del around[name]
    return True


def _spelled(around: _Members, name: str, *, snake: bool) -> str:
    if name in around or not snake:
        return name
    other = re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)
    return other if other in around else name


def _members(raw: bytes | msgspec.Raw) -> _Members:
    try:
        return msgspec.json.decode(raw, type=_Members)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadBody(f"the body is no readable JSON object: {type(error).__name__}") from None
