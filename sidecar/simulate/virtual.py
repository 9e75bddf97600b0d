"""Virtual time: where a real loop would wait, this one moves its clock.

Nothing else about the loop is changed, so that what runs on it is the code that runs in production.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class Jump(selectors.SelectSelector):
    def __init__(self, *, outside: bool) -> None:
        super().__init__()
        self.now = 0.0
        self.outside = outside

    def select(self, timeout: float | None = None) -> list[Any]:  # type: ignore[explicit-override]  # 3.11 has none
        if timeout is None:
            raise RuntimeError("nothing is scheduled: virtual time would stand still for ever")
        self.now += max(timeout, 0.0)
        return super().select(0) if self.outside else []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that begins at second 0 and is never late."""

    def __init__(self, *, outside: bool = True) -> None:
        """`outside`: threads or sockets may have something to say; without them it is quicker."""
        self._jump = Jump(outside=outside)
        super().__init__(self._jump)

    def time(self) -> float:  # type: ignore[explicit-override]  # as above
        return self._jump.now


class LoopClock:
    """A Clock on the running loop, virtual or not. Wall time starts at a fixed date."""

    WALL = 1_763_800_000.0

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return self.WALL + self.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
