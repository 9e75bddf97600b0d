"""Answers of the cache in the Redis where the pods meet, if the configuration says so.

It helps and is never needed. A call waits for it only where it asks for an answer, at most `shared.timeout`;
what is kept goes into a short queue that a task works off. After a failure it rests, and every pod has its
own memory as before. What lies there is sealed with `shared.key` to the place where it lies
(core/cache): what somebody else wrote, moved or kept too long is nobody's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from math import inf

from sidecar.core.cache import Stored, pack, unpack
from sidecar.meeting import RedisShelf, Shelf, Unavailable
from sidecar.model import Clock
from sidecar.settings import Settings

REST = 5.0  # seconds after a failure
WAITING = 64  # answers that wait to be brought there; the oldest go first
LOOK_EVERY = 0.1  # seconds


class SharedAnswers:
    """Implements core.cache.AnswerStore. `configure` with each configuration."""

    def __init__(
        self,
        clock: Clock,
        *,
        failed: Callable[[str], None] = lambda _: None,
        opened: Callable[[str, str], Shelf] = RedisShelf,
    ) -> None:
        self._clock = clock
        self._failed = failed
        self._opened = opened
        self._shelf: Shelf | None = None
        self._left: list[Shelf] = []  # to be closed
        self._where = ("", "", "")
        self._limit = 0.05
        self._rests_until = -inf
        self._waiting: deque[tuple[bytes, bytes, float]] = deque(maxlen=WAITING)
        self.secret = b""  # for the keys, the same in every pod; empty: nothing is shared

    def configure(self, settings: Settings) -> bool:
        """Whether answers are shared from now on."""
        shared = settings.shared
        wanted = settings.cache_size.shared and shared.url is not None and shared.key is not None
        url = shared.url.reveal() if wanted and shared.url is not None else None
        key = shared.key.reveal() if wanted and shared.key is not None else None
        self._limit = shared.timeout
        if not url or not key:
            self._leave()
            self.secret, self._where = b"", ("", "", "")
            return False
        if (url, key, shared.prefix) != self._where:
            self._leave()
            self._where = (url, key, shared.prefix)
            self._shelf, self._rests_until = self._opened(url, shared.prefix), -inf
            self.secret = blake2b(key.encode(), digest_size=32, person=b"cached answers").digest()
        return True

    async def get(self, key: bytes, now: float) -> Stored | None:
        shelf = self._shelf
        if shelf is None or now < self._rests_until:
            return None
        try:
            async with asyncio.timeout(self._limit):
                data = await shelf.get(key.hex())
        except Unavailable as no:
            self._rest(no.reason)
            return None
        except TimeoutError:
            self._rest("timeout")
            return None
        return unpack(data, key, self.secret, wall=self._clock.wall(), now=self._clock.now())

    def put(self, key: bytes, stored: Stored, seconds: float) -> None:
        if self._shelf is not None and self._clock.now() >= self._rests_until:
            age = self._clock.now() - stored.at
            data = pack(stored, key, self.secret, wall=self._clock.wall() - age)
            self._waiting.append((key, data, seconds - age))

    async def once(self) -> None:
        """Connect, and bring there what waits."""
        while self._left:
            await self._left.pop().close()
        shelf = self._shelf
        if shelf is None or self._clock.now() < self._rests_until:
            return
        try:
            await shelf.connect()
            while self._waiting:
                key, data, seconds = self._waiting.popleft()
                await shelf.set(key.hex(), data, seconds)
        except Unavailable as no:
            self._rest(no.reason)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._clock.sleep(LOOK_EVERY)
                await self.once()
        finally:
            self._leave()
            while self._left:
                await self._left.pop().close()

    def _leave(self) -> None:
        if self._shelf is not None:
            self._left.append(self._shelf)
            self._shelf = None

    def _rest(self, reason: str) -> None:
        self._failed(reason)
        self._rests_until = self._clock.now() + REST
        self._waiting.clear()
