"""How a Gemini answer arrives where it is streamed: as events, or as one JSON array.

Two habits of Google's servers. A stream has no terminal event: it is over when its bytes are. And an
error in the middle of an event stream comes as bare JSON, without `data:`, on many lines, and often as
the last thing before the end. Every client that follows the standard skips it and takes the answer
for whole; here it is trouble as soon as its last brace has come.
"""

from __future__ import annotations

import re

from sidecar.dialects.elements import Elements
from sidecar.dialects.gemini_answer import GeminiAnswer
from sidecar.dialects.reading import StreamReader
from sidecar.model import Chunk, Delta, Malformed, Media

_BLANK = re.compile(rb"(?:\r\n?|\n){2}")


class GeminiStream:
    """Reads an answer that is streamed as events; implements base.Reader."""

    __slots__ = ("_answer", "_events")

    streams = True

    def __init__(self, answer: GeminiAnswer) -> None:
        self._answer = answer
        self._events = StreamReader(answer)

    @property
    def done(self) -> bool:
        return self._answer.done

    @property
    def finished(self) -> bool:
        return self._answer.finished

    def feed(self, data: bytes) -> Chunk:
        chunk = self._events.feed(data)
        raw, bare = chunk.raw, self._events.bare
        if not bare and raw[:1] != b"{" and b"\n{" not in raw and b"\r{" not in raw:
            return chunk
        out = list(chunk.deltas)
        for block in _BLANK.split(raw):
            self._bare(block, out)
        if bare.rstrip()[-1:] == b"}" and self._bare(bare, out):
            raw += self._events.close().raw
        return Chunk(raw, tuple(out))

    def close(self) -> Chunk:
        chunk = self._events.close()
        self._answer.close()
        return chunk

    def _bare(self, block: bytes, out: list[Delta]) -> bool:
        """Is this an error that came as bare JSON?"""
        block = block.strip()
        return block[:1] == b"{" and self._answer.bare_error(block, out)


class ArrayReader:
    """Reads an answer that is streamed as a JSON array; implements base.Reader."""

    __slots__ = ("_answer", "_count", "_elements")

    def __init__(self, answer: GeminiAnswer) -> None:
        self._answer = answer
        self._elements = Elements()
        self._count = 0

    @property
    def streams(self) -> bool:
        return not self._elements.bare  # else it is one object, such as an error

    @property
    def done(self) -> bool:
        return self._elements.closed

    @property
    def finished(self) -> bool:
        return self._elements.closed  # nobody can parse an array without its end

    def feed(self, data: bytes) -> Chunk:
        raw, elements = self._elements.feed(data)
        out: list[Delta] = []
        for element in elements:
            self._count += 1
            if element is None:
                out.append(Media("oversized"))
            elif not self._read(element, out):
                out.append(Malformed(f"element {self._count}"))
        return Chunk(raw, tuple(out))

    def close(self) -> Chunk:
        out = () if self._elements.closed else (Malformed("body"),)
        return Chunk(self._elements.close(), out)

    def _read(self, element: bytes, out: list[Delta]) -> bool:
        if self._elements.bare:
            return self._answer.body(element, out)
        return self._answer.event(b"", element, out)
