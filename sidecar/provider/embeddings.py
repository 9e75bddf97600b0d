"""How a vendor answers for embeddings, and complains. There is no stream of them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

from sidecar.provider.answers import Asked, Part, Piece, Saying, dumps
from sidecar.provider.openai_chat import OpenAIChat

VECTOR = (0.25, -0.5, 0.125)
_PACKED = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()


class Embeddings:
    name = "embeddings"

    def speaks(self, path: str) -> bool:
        return path.endswith("/embeddings")

    def read(self, path: str, body: Mapping[str, Any], size: int) -> Asked:
        given = body.get("input", "")
        many = isinstance(given, list) and not all(isinstance(token, int) for token in given)
        texts = given if many else [given]
        return Asked(
            path=path,
            model=str(body.get("model", "")),
            text=" ".join(text for text in texts if isinstance(text, str)),
            inputs=len(texts),
            packed=body.get("encoding_format") == "base64",
            size=size,
        )

    def whole(self, asked: Asked, say: Saying) -> bytes:
        vector = _PACKED if asked.packed else VECTOR
        rows = [{"object": "embedding", "index": n, "embedding": vector} for n in range(asked.inputs)]
        answer: dict[str, Any] = {"object": "list", "data": rows if say.words else [], "model": say.model}
        if say.usage:
            tokens = max(1, asked.size // 4)
            answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return dumps(answer).encode()

    def stream(self, asked: Asked, say: Saying) -> list[Piece]:
        return [Piece(Part.CONTENT, self.whole(asked, say))]

    ping = OpenAIChat.ping
    filler = OpenAIChat.filler
    complain = OpenAIChat.complain
    error_event = OpenAIChat.error_event
    hints = OpenAIChat.hints
