"""The objects of a JSON array, cut out of bytes that arrive in any pieces.

Google streams an answer as one JSON array where the client did not ask for events. What it promises
is what sse.py promises: the bytes that come out are the bytes that went in, they come out when an
object is whole, and what is cut out beside them is the same however the bytes arrived. A bare object
counts as an array of one: some servers answer so.

An object above `CAP` is not kept. Its bytes pass as they come, and cutting goes on behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sidecar.dialects.sse import CAP

_BEGIN = re.compile(rb"[^ \t\r\n]")
_OUTSIDE = re.compile(rb'["\[\]{}]')
_INSIDE = re.compile(rb'["\\]')
_UNKNOWN = -1  # nothing has come yet
_JUNK = -2  # neither array nor object: passed on, not read


class Elements:
    __slots__ = ("_at", "_base", "_depth", "_held", "_oversized", "_start", "_string", "closed")

    def __init__(self) -> None:
        self.closed = False  # the array, or the bare object, is whole
        self._held = bytearray()
        self._at = 0  # how far `_held` is scanned
        self._base = _UNKNOWN  # depth at which objects begin: 1 in an array, 0 for a bare one
        self._depth = 0
        self._string = False
        self._start = -1  # of the object that is being read
        self._oversized = False

    @property
    def bare(self) -> bool:
        return self._base == 0

    def feed(self, data: bytes) -> tuple[bytes, Sequence[bytes | None]]:
        """The bytes that may go on, and the objects that are whole in them; None: it was too large."""
        if self.closed:
            return data, ()
        self._held += data
        if self._base == _UNKNOWN:
            self._begin()
        if self._base < 0:
            return (self.close() if self._base == _JUNK else b""), ()
        found: list[bytes | None] = []
        end = self._scan(found)
        if self._depth <= self._base:
            end = len(self._held)  # between two objects: nothing to wait for
        elif self._oversized or len(self._held) - self._start > CAP:
            if not self._oversized:
                found.append(None)
            self._oversized = True
            end = len(self._held)
        raw = bytes(self._held[:end])
        del self._held[:end]
        self._at -= end
        self._start = max(self._start - end, 0)
        return raw, found

    def close(self) -> bytes:
        """What is left when the bytes have ended."""
        raw = bytes(self._held)
        self._held.clear()
        return raw

    def _begin(self) -> None:
        first = _BEGIN.search(self._held)
        if first is not None:
            self._base = {b"[": 1, b"{": 0}.get(first[0], _JUNK)

    def _scan(self, found: list[bytes | None]) -> int:
        """Where the last whole object ends."""
        held, end = self._held, 0
        while not self.closed:
            token = (_INSIDE if self._string else _OUTSIDE).search(held, self._at)
            if token is None:
                self._at = max(self._at, len(held))  # an escape may reach behind the end
                break
            self._at = token.end()
            match token[0]:
                case b'"':
                    self._string = not self._string
                case b"\\":
                    self._at += 1
                case b"{" | b"[":
                    if self._depth == self._base:
                        self._start = token.start()
                    self._depth += 1
                case _:
                    self._depth -= 1
                    if self._depth == self._base:
                        end = self._at
                        if not self._oversized:
                            small = end - self._start <= CAP
                            found.append(bytes(held[self._start : end]) if small else None)
                        self._oversized = False
                    self.closed = self._depth <= 0
        return end
