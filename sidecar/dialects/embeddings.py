"""OpenAI embeddings, version 1, and everybody who offers them in its form.

Vectors are counted, never decoded: nobody here can tell a good one, and they are large. For the
same reason no text can stand in for them: `static` has nothing to say.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.dialects import splice
from sidecar.dialects.base import Assembler, Reader, Wire
from sidecar.dialects.openai_common import error_of, model_of, with_model
from sidecar.dialects.reading import BodyReader, named_status
from sidecar.dialects.shapes import Shape
from sidecar.dialects.writing import encode, json_wire
from sidecar.model import (
    Answering,
    Ask,
    Delta,
    Fault,
    Finish,
    FinishReason,
    Media,
    Operation,
    Trouble,
    Usage,
)

_PATH = "/embeddings"


class Request(msgspec.Struct, gc=False):
    model: str | None = None


class Tokens(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    total_tokens: int | None = None  # all that Voyage says


class Vectors(msgspec.Struct, gc=False):
    model: str | None = None
    data: list[msgspec.Raw] | None = None
    usage: Tokens | None = None
    error: Any = None
    object: str | None = None
    type: Any = None
    code: Any = None


_REQUEST = Shape(Request)
_VECTORS = Shape(Vectors)


class Embeddings:
    """Implements base.Dialect."""

    name = "embeddings"
    version = "v1"

    def operation(self, method: str, path: str) -> Operation | None:
        return Operation.EMBEDDINGS if method == "POST" and path.endswith(_PATH) else None

    def canonical(self, operation: Operation, path: str) -> str:
        return _PATH if operation is Operation.EMBEDDINGS else path

    def ask(self, operation: Operation, path: str, body: bytes) -> Ask:
        return Ask(operation=operation, model=model_of(_REQUEST.request(body).model, path))

    def with_model(self, path: str, body: bytes, model: str) -> tuple[str, bytes]:
        return with_model(path, model), splice.replace(body, "model", encode(model))

    def as_stream(self, path: str, query: str, body: bytes) -> tuple[str, str, bytes] | None:
        return None  # vectors come whole

    def assembler(self, content_type: bytes) -> Assembler | None:
        return None

    def reader(self, ask: Ask, content_type: bytes) -> Reader:
        return BodyReader(EmbeddingsAnswer())

    def complain(self, status: int, fault: Fault, message: str) -> Wire:
        return json_wire(status, {"error": error_of(status, fault, message)})

    def error_event(self, fault: Fault, message: str) -> None:
        return None

    def static(self, ask: Ask, text: str) -> None:
        return None


class EmbeddingsAnswer:
    """Implements reading.Answer, as far as bodies go."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    @property
    def finished(self) -> bool:
        return self.done

    def event(self, kind: bytes, data: bytes, out: list[Delta]) -> bool:
        raise AssertionError("embeddings are never streamed")

    def body(self, data: bytes, out: list[Delta]) -> bool:
        vectors = _VECTORS.read(data)
        if vectors is None:
            return False
        if vectors.error or vectors.object == "error":
            error = vectors.error or {"type": vectors.type, "code": vectors.code}  # as Mistral has it
            out.append(Trouble(named_status(error), data))
            return True
        if vectors.model:
            out.append(Answering(vectors.model))
        tokens = vectors.usage or Tokens()
        given = tokens.total_tokens if tokens.prompt_tokens is None else tokens.prompt_tokens
        if given is not None and given >= 0:  # -1 is some servers' word for unknown
            out.append(Usage(input_total=given))
        if vectors.data:
            out.append(Media("embedding"))
        # an empty list of vectors is a complete answer too: an empty one
        if vectors.data is not None:
            out.append(Finish(FinishReason.STOP))
            self.done = True
        return True


EMBEDDINGS = Embeddings()
