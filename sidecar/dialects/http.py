"""Plain HTTP: a tool that an agent calls, no model. Everything it is asked is one operation.

A tool gets what a model gets where that makes sense: retries, a breaker, a deadline, others behind it and a
value to fall back to, so that one tool's failure does not end an agent's loop. What is in a request or an
answer is nobody's business here: no model, no stream, no signals; an answer is judged by its status alone.
"""

from __future__ import annotations

import json

from sidecar.dialects.base import Assembler, Wire
from sidecar.dialects.openai_common import error_of
from sidecar.dialects.writing import json_wire
from sidecar.model import Ask, Chunk, Fault, Head, Operation

MODEL = "tool"  # what stands where others have a model's name: in breakers, labels and waits


class Http:
    """Implements base.Dialect."""

    name = "http"
    version = ""

    def operation(self, method: str, path: str) -> Operation | None:
        return None if method in {"CONNECT", "TRACE"} else Operation.TOOL

    def canonical(self, operation: Operation, path: str) -> str:
        return path

    def ask(self, operation: Operation, path: str, body: bytes) -> Ask:
        return Ask(operation=operation, model=MODEL)

    def with_model(self, path: str, body: bytes, model: str) -> tuple[str, bytes]:
        return path, body

    def as_stream(self, path: str, query: str, body: bytes) -> tuple[str, str, bytes] | None:
        return None

    def assembler(self, content_type: bytes) -> Assembler | None:
        return None

    def reader(self, ask: Ask, content_type: bytes) -> Unread:
        return Unread()

    def complain(self, status: int, fault: Fault, message: str) -> Wire:
        return json_wire(status, {"error": error_of(status, fault, message)})

    def error_event(self, fault: Fault, message: str) -> None:
        return None

    def static(self, ask: Ask, text: str) -> Wire | None:
        """The route's fallback value as it is: JSON where it is JSON."""
        try:
            json.loads(text)
        except ValueError:
            kind = b"text/plain; charset=utf-8"
        else:
            kind = b"application/json"
        body = text.encode()
        length = str(len(body)).encode()
        return Wire(Head(200, "", ((b"content-type", kind), (b"content-length", length))), body)


class Unread:
    """Implements base.Reader: passes everything on and looks at nothing."""

    streams = False
    done = True
    finished = True

    def feed(self, data: bytes) -> Chunk:
        return Chunk(data)

    def close(self) -> Chunk:
        return Chunk(b"")


HTTP = Http()
