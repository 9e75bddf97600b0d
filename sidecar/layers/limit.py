"""A time limit whose end may move while it runs.

The frame asks `due()` only when its timer fires, and arms it again if the end has moved away: a
stream may push its gap limit on with every event at the cost of one attribute. An end that moves
*nearer* must be announced with `nearer()`.

When it is over it lets go of `due` and of the task: both hold the call, which holds the limit, and its
bodies would stay until the collector of cycles comes by.

Inside, a limit that fires is a cancellation of this frame's task, turned into TimeoutError on
the way out, as asyncio.timeout does it; a cancellation from elsewhere (the client left) passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Self


class Limit:
    __slots__ = ("_before", "_due", "_fired", "_handle", "_loop", "_task")

    def __init__(self, due: Callable[[], float]) -> None:
        """`due` gives the loop time at which to stop; inf: not at all for now."""
        self._due = due
        self._fired = False
        self._handle: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = task.get_loop()
        self._before = task.cancelling()
        due = self._due()
        if due != inf:
            self._handle = self._loop.call_at(due, self._fire)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        task = self._task
        self._due = _never
        del self._task
        if not self._fired:
            return
        # ours, unless somebody else cancelled the task as well
        ours = task.uncancel() <= self._before
        if ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error

    def nearer(self) -> None:
        """The end may be sooner than when the timer was set."""
        due = self._due()
        if not self._fired and (self._handle is None or due < self._handle.when()):
            if self._handle is not None:
                self._handle.cancel()
            self._arm(due)

    def _arm(self, due: float) -> None:
        self._handle = None if due == inf else self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        due = self._due()
        if due > self._loop.time():
            self._arm(due)
            return
        self._handle = None
        self._fired = True
        self._task.cancel()


def _never() -> float:
    return inf
