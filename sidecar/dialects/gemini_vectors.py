"""What an embedContent or batchEmbedContents of Gemini says."""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.dialects.gemini_answer import UNCOUNTED, Tokens, also, usage_of
from sidecar.dialects.reading import named_status
from sidecar.dialects.shapes import NO_JSON, Shape, json_of
from sidecar.model import Delta, Finish, FinishReason, Media, Trouble, Usage


class Vectors(msgspec.Struct, gc=False):
    embedding: msgspec.Raw = NO_JSON
    embeddings: list[msgspec.Raw] | None = None
    usage_metadata: Tokens | None = None
    usage_metadata_: Tokens | None = also("usageMetadata")
    error: Any = None


_VECTORS = Shape(Vectors)


class GeminiVectors:
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
        if vectors.error:
            out.append(Trouble(named_status(vectors.error), data))
            return True
        tokens = vectors.usage_metadata_ or vectors.usage_metadata
        usage = usage_of(tokens, list(UNCOUNTED)) if tokens is not None else Usage()
        if usage != Usage():
            out.append(usage)
        one = json_of(vectors.embedding) is not None
        if one or vectors.embeddings:
            out.append(Media("embedding"))
        # an empty list of vectors is a complete answer too: an empty one
        if one or vectors.embeddings is not None:
            out.append(Finish(FinishReason.STOP))
            self.done = True
        return True
