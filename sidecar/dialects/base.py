"""What a dialect is: how one family of providers asks, answers, streams and complains.

Pure: bytes in, values out. A dialect never does I/O and keeps no state between calls; a reader
keeps the state of one answer. The same bytes give the same deltas however they are cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sidecar.model import Ask, Chunk, Fault, Head, Operation


class BadBody(Exception):
    """The request cannot be read as this dialect; `detail` names what is wrong, without quoting."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Wire:
    """A whole answer, ready to write."""

    head: Head
    body: bytes


class Reader(Protocol):
    """Reads one answer while it passes. `feed` returns the bytes to pass on, whole events only in
    a stream, and what they say; `close` returns what was left when the bytes ended."""

    @property
    def streams(self) -> bool: ...  # the answer comes in parts, and its end can be told from a cut
    @property
    def done(self) -> bool: ...  # the terminal event was seen: nothing more is to come
    @property
    def finished(self) -> bool: ...  # every choice has its finish reason; at most the sentinel lacks
    def feed(self, data: bytes) -> Chunk: ...
    def close(self) -> Chunk: ...


class Assembler(Protocol):
    """Makes a whole answer out of a stream; `feed` takes its bytes as they come."""

    def feed(self, data: bytes) -> None: ...
    def close(self) -> bytes | None: ...  # the body; None: what came cannot be put together


class Dialect(Protocol):
    name: str
    version: str  # the version segment its SDKs use, "v1"

    def operation(self, method: str, path: str) -> Operation | None:
        """What this path asks for; None: nothing we know, passed through. With or without version."""

    def canonical(self, operation: Operation, path: str) -> str:
        """The path of the operation without any version segment, "/chat/completions"."""

    def ask(self, operation: Operation, path: str, body: bytes) -> Ask:
        """Read the request. Raises BadBody."""

    def with_model(self, path: str, body: bytes, model: str) -> tuple[str, bytes]:
        """The same request for another model: only the model's bytes change."""

    def as_stream(self, path: str, query: str, body: bytes) -> tuple[str, str, bytes] | None:
        """The same request, its answer streamed: only the needed bytes change. None where there is no
        stream of it, or one that says less. Raises BadBody."""

    def assembler(self, content_type: bytes) -> Assembler | None:
        """What puts the answer to such a request together; None: it is no stream."""

    def reader(self, ask: Ask, content_type: bytes) -> Reader:
        """A reader for the answer; a stream if the content type says so."""

    def complain(self, status: int, fault: Fault, message: str) -> Wire:
        """An error of ours in the client's dialect, with the fault as its machine-readable code."""

    def error_event(self, fault: Fault, message: str) -> bytes | None:
        """The event that ends a broken stream; None where the dialect has none."""

    def static(self, ask: Ask, text: str) -> Wire | None:
        """A whole answer of ours, stream or not as asked, labelled `degraded` in the body; None
        where no text can stand in for an answer."""
