"""Compressed answers of operations that have to be read, although we ask for plain ones.

One layer of gzip or deflate, in pieces, with a bound on what may come out of it: 64 MiB, and 200
times what went in. Anything else (br, zstd, two layers) is passed on as it is, unread.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.model import Head

PIECE = 64 * 1024
CAP = 64 * 1024 * 1024
RATIO = 200
FREE = 1024 * 1024  # what may come out before the ratio counts: short answers may well be monotonous


class Bomb(Exception):
    """The compressed answer must not, or cannot, be read on."""


class Inflate:
    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._stream = zlib.decompressobj(wbits)
        self._taken = 0
        self._given = 0

    @classmethod
    def of(cls, head: Head) -> Inflate | None:
        coding = (head.get(b"content-encoding") or b"").strip().lower()
        if coding in {b"gzip", b"x-gzip"}:
            return cls(16 + zlib.MAX_WBITS)
        return cls(zlib.MAX_WBITS) if coding == b"deflate" else None

    @property
    def whole(self) -> bool:
        """Everything that was begun has ended."""
        return self._stream.eof or not self._taken

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises Bomb."""
        if not self._taken and self._wbits == zlib.MAX_WBITS and data[0] & 0x0F != 8:
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS)  # "deflate" without its wrapping is common
        self._taken += len(data)
        while data:
            if self._stream.eof:  # a further member follows the first
                self._stream = zlib.decompressobj(self._wbits)
            try:
                piece = self._stream.decompress(data, PIECE)
            except zlib.error:
                raise Bomb("the compressed answer is broken") from None
            self._given += len(piece)
            if self._given > CAP or self._given > max(FREE, RATIO * self._taken):
                raise Bomb("decompression_limit")
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if piece:
                yield piece
