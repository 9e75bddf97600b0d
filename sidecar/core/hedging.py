"""When a second target is asked beside a slow one, and how often that may be [R17].

When: after the time that so many of the first target's answers took to their first content (`p90`, `p95`),
learned on its route and for requests of the same kind. A slow answer that was beaten counts with the time
it had taken until then: it is not known how slow it would have been, but it was slower than that, and
without it the figure would sink with every hedge. Three times the median is the latest: a target whose
slow tail is as large as what the figure leaves out would move it into the tail, where it helps nobody.
Nothing is asked twice before `ENOUGH` was learned; those calls fill the purses all the same.

How often: two purses, filled by every call and emptied by every second attempt. One counts attempts: a
call brings `share` of one. The other counts money where the prices of both targets are known: a call
brings `share` of what it costs at its own target, so a dearer second one is asked the more seldom. Both
hold what `SAVED` attempts need, so a provider that turns slow as a whole is not asked for twice as much.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from sidecar.core.baseline import Baseline, Kind

ENOUGH = 50  # answers before anything is asked twice
TIMES_MEDIAN = 3.0  # the longest that is waited
SAVED = 10.0  # attempts that a quiet time may save up
KINDS = 64  # kinds of requests kept per route; the least recently used go first
QUANTILES = {"p90": 0.90, "p95": 0.95}
SLACK = 1.2  # attempts, of those that the quantile expects


def usual_share(after: str) -> float:
    """Which share of the calls may be asked twice, unless it is said."""
    return round(SLACK * (1 - QUANTILES[after]), 4)


@dataclass(slots=True)
class Hedging:
    """One per route: what its targets take to their first content, and its purses."""

    _times: OrderedDict[tuple[str, Kind], Baseline] = field(default_factory=OrderedDict)
    _attempts: float = 0.0
    _money: float = 0.0

    # ---- when

    def after(self, target: str, kind: Kind, quantile: float) -> float | None:
        """Seconds from the start of a call's attempt; None: too little is known."""
        times = self._times.get((target, kind))
        if times is None or times.count < ENOUGH:
            return None
        late, median = times.quantile(quantile), times.median
        return None if late is None or median is None else min(late, TIMES_MEDIAN * median)

    def learn(self, target: str, kind: Kind, seconds: float) -> None:
        """A first content came after so many seconds, or would have come later than that."""
        key = (target, kind)
        times = self._times.get(key)
        if times is None:
            times = self._times[key] = Baseline()
            if len(self._times) > KINDS:
                self._times.popitem(last=False)
        self._times.move_to_end(key)
        times.observe(seconds)

    # ---- how often

    @property
    def saved(self) -> float:
        """Second attempts that may be made now."""
        return self._attempts

    def deposit(self, share: float, cost: int | None, other: int | None) -> None:
        """A call came that might be asked twice. Costs in pico-dollars: at its own target, at the other."""
        self._attempts = min(self._attempts + share, SAVED)
        if cost is not None and other is not None:
            self._money = min(self._money + share * cost, max(SAVED * cost, float(other)))

    def withdraw(self, cost: int | None, other: int | None) -> bool:
        """May the second attempt be made?"""
        priced = cost is not None and other is not None
        if self._attempts < 1.0 or (priced and self._money < (other or 0)):
            return False
        self._attempts -= 1.0
        if priced:
            self._money -= other or 0
        return True

    def give_back(self, cost: int | None, other: int | None) -> None:
        """It was not made after all."""
        self._attempts += 1.0
        if cost is not None and other is not None:
            self._money += other
