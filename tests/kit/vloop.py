"""Virtual time for tests: the simulator's loop, and a runner that leaves no task behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sidecar.simulate.virtual import LoopClock, VirtualLoop

__all__ = ["LoopClock", "VirtualLoop", "run"]

T = TypeVar("T")


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
