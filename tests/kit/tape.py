"""A client as a tape: what it has seen, and when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sidecar.model import Chunk, Head, Stage


@dataclass(slots=True)
class Tape:
    head: Head | None = None
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    pause: float = 0.0  # seconds this client takes to read one piece

    @property
    def stage(self) -> Stage:
        return Stage.UNTOUCHED if self.head is None else Stage.COMMITTED

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    async def start(self, head: Head) -> None:
        assert self.head is None, "an answer started twice"
        self.head = head

    async def send(self, chunk: Chunk) -> None:
        assert self.head is not None, "bytes before a head"
        self.pieces.append((asyncio.get_running_loop().time(), chunk.raw))
        if self.pause:
            await asyncio.sleep(self.pause)
