"""Which dialect a path belongs to. A new dialect is a file with a `Voice` and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.provider.answers import Asked, Part, Piece, Saying, Voice, dumps
from sidecar.provider.anthropic import Anthropic
from sidecar.provider.embeddings import Embeddings
from sidecar.provider.gemini import Gemini, GeminiEmbeddings
from sidecar.provider.openai_chat import OpenAIChat
from sidecar.provider.openai_responses import OpenAIResponses


class Echo:
    """Any other path: says what it received, so that pass-through can be proved."""

    name = ""

    def speaks(self, path: str) -> bool:
        return bool(path)

    def read(self, path: str, body: Mapping[str, Any], size: int) -> Asked:
        return Asked(path=path, model=str(body.get("model", "")), size=size)

    def whole(self, asked: Asked, say: Saying) -> bytes:
        return dumps(
            {"object": "echo", "path": asked.path, "size": asked.size, "text": "".join(say.words)}
        ).encode()

    def stream(self, asked: Asked, say: Saying) -> list[Piece]:
        return [Piece(Part.CONTENT, self.whole(asked, say))]

    ping = OpenAIChat.ping
    filler = OpenAIChat.filler
    complain = OpenAIChat.complain
    error_event = OpenAIChat.error_event
    hints = OpenAIChat.hints


VOICES: tuple[Voice, ...] = (
    OpenAIChat(),
    OpenAIResponses(),
    Anthropic(),
    Embeddings(),
    Gemini(),
    GeminiEmbeddings(),
    Echo(),
)


def voice_of(path: str) -> Voice:
    return next((voice for voice in VOICES if voice.speaks(path)), VOICES[-1])
