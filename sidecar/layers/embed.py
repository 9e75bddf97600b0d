"""Embeddings of the cache's own: a text becomes a vector, or it does not, and no call fails of it.

A target is asked with its own key, never with the application's, within a short limit; after a failure it
rests. What is asked while a call waits is one text at a time. What is to be remembered waits in a short
queue, which the process works off beside the calls (`Learning.run`): nobody waits for it, and what does not
fit is not remembered.

These attempts are counted like all others (attempts_total), with the embedding model's name; they belong
to no call of the application, so no call's bill has them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass, field
from math import inf

import msgspec

from sidecar.core.nearest import Nearest
from sidecar.layers.limit import Limit
from sidecar.model import (
    DONE,
    Answered,
    Ask,
    Call,
    Chunk,
    Clock,
    Head,
    Operation,
    Record,
    Service,
    Stage,
    Target,
    Traffic,
)

LONGEST = 8192  # characters of a text
LARGEST = 1024 * 1024  # bytes of an answer
REST = 30.0  # seconds after a failure
WAITING = 64  # texts that wait to be remembered
LOOK_EVERY = 0.25  # seconds
_HEADERS = ((b"content-type", b"application/json"), (b"accept", b"application/json"))


class _Vector(msgspec.Struct):
    embedding: list[float]


class _Vectors(msgspec.Struct):
    data: list[_Vector]


_read = msgspec.json.Decoder(_Vectors).decode


@dataclass(slots=True)
class Embed:
    """One target that makes vectors."""

    inner: Service
    target: Target
    seconds: float
    clock: Clock
    dimensions: int | None = None
    asked: int = 0
    rests_until: float = -inf

    async def vector(self, text: str) -> list[float] | None:
        """None where there is none in time."""
        now = self.clock.now()
        if not text.strip() or len(text) > LONGEST or now < self.rests_until:
            return None
        sink = _Body()
        due = now + self.seconds
        try:
            with Limit(lambda: due):
                outcome = await self.inner(self._call(text, now), sink)
        except TimeoutError:
            outcome = None
        vector = _vector(bytes(sink.raw)) if isinstance(outcome, Answered) else None
        if vector is None:
            self.rests_until = self.clock.now() + REST
        return vector

    def _call(self, text: str, now: float) -> Call:
        self.asked += 1
        target = self.target
        body: dict[str, object] = {"model": target.model, "input": text, "encoding_format": "float"}
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        return Call(
            id=f"{self.asked:032x}",
            route="",
            provider=target.provider.name,
            dialect="embeddings",
            method="POST",
            path="/embeddings",
            query="",
            headers=_HEADERS,
            body=msgspec.json.encode(body),
            ask=Ask(operation=Operation.EMBEDDINGS, model=target.model or ""),
            traffic=Traffic.BACKGROUND,
            arrived=now,
            deadline=now + self.seconds,
            record=Record(),
            target=target,
        )


def _vector(body: bytes) -> list[float] | None:
    try:
        found = _read(body)
    except (ValueError, RecursionError):  # what msgspec raises is one
        return None
    return found.data[0].embedding if len(found.data) == 1 else None


@dataclass(slots=True)
class _Body:
    """A sink that keeps an answer for ourselves."""

    stage: Stage = Stage.UNTOUCHED
    raw: bytearray = field(default_factory=bytearray)

    async def start(self, head: Head) -> None:
        self.stage = Stage.COMMITTED

    def send(self, chunk: Chunk) -> Awaitable[None]:
        if len(self.raw) + len(chunk.raw) <= LARGEST:
            self.raw += chunk.raw
        return DONE


@dataclass(frozen=True, slots=True)
class _Lesson:
    embed: Embed
    into: Nearest
    scope: bytes
    key: bytes
    text: str = field(repr=False)


@dataclass(slots=True)
class Learning:
    """Texts that wait to become vectors. One per process."""

    waiting: deque[_Lesson] = field(default_factory=lambda: deque(maxlen=WAITING))

    def later(self, embed: Embed, into: Nearest, scope: bytes, key: bytes, text: str) -> None:
        self.waiting.append(_Lesson(embed, into, scope, key, text))

    async def once(self) -> None:
        """Everything that waits now."""
        while self.waiting:
            lesson = self.waiting.popleft()
            vector = await lesson.embed.vector(lesson.text)
            if vector is not None:
                lesson.into.add(lesson.scope, lesson.key, vector)

    async def run(self, clock: Clock) -> None:
        """Until cancelled."""
        while True:
            await clock.sleep(LOOK_EVERY)
            await self.once()
