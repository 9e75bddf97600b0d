"""What this pod spent in the last hour, and whether that is too much.

A ring of one-minute slices: adding is a few operations whatever the traffic, and forgetting needs no
timer. The sum reaches back 59 to 60 minutes. Costs are known when an attempt is over, so calls in flight
can take the sum beyond its limit by what they cost; this is a brake, not a purse.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf

SLICES = 60
SLICE = 60.0  # seconds
WARN_AT = 0.8  # of the budget


class Level(StrEnum):
    UNDER = "under"
    WARN = "warn"
    OVER = "over"


class Spend:
    """All amounts in pico-dollars. `budget`: for an hour; None: there is none. `shown`: the level that was
    told last.
    """

    __slots__ = ("_slices", "_sum", "_turn", "budget", "shown")

    def __init__(self, budget: int | None = None) -> None:
        self.budget = budget
        self.shown = Level.UNDER
        self._slices = [0] * SLICES
        self._sum = 0
        self._turn: int | None = None

    def add(self, now: float, pico: int) -> None:
        self._forget(now)
        assert self._turn is not None
        self._slices[self._turn % SLICES] += pico
        self._sum += pico

    def hour(self, now: float) -> int:
        self._forget(now)
        return self._sum

    def level(self, now: float) -> Level:
        if self.budget is None:
            return Level.UNDER
        spent = self.hour(now)
        if spent >= self.budget:
            return Level.OVER
        return Level.WARN if spent >= WARN_AT * self.budget else Level.UNDER

    def moved(self, now: float) -> Level | None:
        """The level, if it is another than was told last; from then on it is told."""
        level = self.level(now)
        if level is self.shown:
            return None
        self.shown = level
        return level

    def until(self, now: float) -> float:
        """When the hour is within its budget again if nothing more is spent; `now` where it is."""
        left, turn = self.hour(now), self._turn
        if self.budget is None or left < self.budget or turn is None:
            return now
        for old in range(turn - SLICES + 1, turn + 1):
            left -= self._slices[old % SLICES]
            if left < self.budget:
                return (old + SLICES) * SLICE
        return inf  # a budget of nothing is spent for ever

    def _forget(self, now: float) -> None:
        turn = int(now // SLICE)
        if self._turn is None:
            self._turn = turn
        if turn <= self._turn:
            return  # a clock that went back moves nothing
        for old in range(self._turn + 1, min(turn, self._turn + SLICES) + 1):
            self._sum -= self._slices[old % SLICES]
            self._slices[old % SLICES] = 0
        self._turn = turn
