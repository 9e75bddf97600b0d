"""A response: its last event holds all of it, and its bytes are taken as they are.

Some servers leave the output out there, because each item was told whole before; then it is put back.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.dialects.assembling import Json, number, read, write

_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class Final(msgspec.Struct, gc=False):
    response: msgspec.Raw


class ResponsePieces:
    """Implements assembling.Pieces."""

    __slots__ = ("_items", "_last")

    def __init__(self) -> None:
        self._items: dict[int, Any] = {}
        self._last: bytes | None = None

    def event(self, kind: bytes, data: bytes) -> bool:
        if self._last is not None or data.startswith(b"[DONE]"):
            return True
        event = read(data)
        if event is None:
            return False
        name = str(event.get("type") or kind.decode("ascii", "replace"))
        if name == "response.output_item.done":
            index = number(event.get("output_index"))
            while index in self._items:  # some bridges number every item 0
                index += 1
            self._items[index] = event.get("item")
        elif name in _TERMINAL and isinstance(event.get("response"), dict):
            self._last = self._final(event["response"], data)
        return True

    def whole(self) -> bytes | None:
        return self._last

    def _final(self, response: Json, data: bytes) -> bytes:
        if not response.get("output") and self._items:
            output = [self._items[index] for index in sorted(self._items)]
            return write({**response, "output": output})
        try:
            return bytes(msgspec.json.decode(data, type=Final).response)
        except ValueError:
            return write(response)
