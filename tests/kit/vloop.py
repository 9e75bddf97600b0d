"""Virtual time: where a real loop would wait, this one moves its clock."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Jump(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:  # type: ignore[explicit-override]  # 3.11 has none
        if timeout is None:
            raise RuntimeError("nothing is scheduled: the test would hang")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = Jump()
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


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run in virtual time; fails if a task is left over."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(main)
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        assert [] == left, f"tasks left over: {left}"
        return result
    finally:
        loop.close()
