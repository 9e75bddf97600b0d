"""A Gemini answer, out of its chunks, which are answers themselves, each with a piece of the parts.

Text that follows text is one part, as Gemini sends it where it is not streamed; thoughts stay apart
from the answer, and what has a signature ends there: the signature signs what stands before it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.dialects.assembling import Json, Words, join, latest, merge, number, objects, read, write

_SIGNATURES = ("thoughtSignature", "thought_signature")
_TEXT = frozenset({"text", "thought", *_SIGNATURES})
_CONTINUED = frozenset({"citationMetadata", "citation_metadata", "logprobsResult", "logprobs_result"})


class GeminiPieces:
    """Implements assembling.Pieces."""

    __slots__ = ("_candidates", "_top")

    def __init__(self) -> None:
        self._top: Json = {}
        self._candidates: dict[int, Json] = {}

    def event(self, kind: bytes, data: bytes) -> bool:
        if data.startswith(b"[DONE]"):  # of some gateways
            return True
        chunk = read(data)
        if chunk is not None:
            self.add(chunk)
        return chunk is not None

    def add(self, chunk: Json) -> None:
        latest(self._top, {key: value for key, value in chunk.items() if key != "candidates"})
        for candidate in objects(chunk.get("candidates")):
            self._candidate(candidate)

    def whole(self) -> bytes | None:
        candidates = [self._candidates[index] for index in sorted(self._candidates)]
        if not candidates:
            return write(self._top) if self._top else None
        return write({"candidates": candidates, **self._top})

    def _candidate(self, candidate: Json) -> None:
        found = self._candidates.setdefault(number(candidate.get("index")), {})
        for key, value in candidate.items():
            if key == "content":
                if isinstance(value, dict):
                    _content(found.setdefault(key, {}), value)
            elif key in _CONTINUED:
                merge(found, {key: value})
            else:
                latest(found, {key: value})


class ArrayAssembler:
    """The same for an answer that came as one JSON array; any other body stays as it is."""

    __slots__ = ("_body",)

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        self._body += data

    def close(self) -> bytes | None:
        body = bytes(self._body)
        if body.lstrip()[:1] != b"[":
            return body
        try:
            chunks = msgspec.json.decode(body, type=list[Json])
        except (ValueError, RecursionError):
            return None
        pieces = GeminiPieces()
        for chunk in chunks:
            pieces.add(chunk)
        return pieces.whole()


def _content(content: Json, more: Json) -> None:
    for key, value in more.items():
        if key == "parts":
            parts = content.setdefault(key, [])
            for part in objects(value):
                _part(parts, part)
        else:
            latest(content, {key: value})


def _part(parts: list[Any], part: Any) -> None:
    last: Any = parts[-1] if parts else None
    if not _is_text(part):
        parts.append(part)
    elif _is_text(last) and _thought(last) == _thought(part) and not _signed(last):
        parts[-1] = {**last, **part, "text": join(last["text"], part["text"])}
    elif part["text"] or _signed(part) or not parts:
        parts.append(part)  # an empty text that follows a call only says that the stream is alive


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), Words) and part.keys() <= _TEXT


def _thought(part: Json) -> bool:
    return bool(part.get("thought"))


def _signed(part: Json) -> bool:
    return any(part.get(key) for key in _SIGNATURES)
