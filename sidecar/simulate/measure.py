"""What a day was like under one policy, and what many days have in common.

A call succeeded if it got a full answer, whoever gave it. An answer of a lower tier (an earlier one, a
prepared one, a rejected one) is shown by its tier and is a failed call here, whatever it may be worth
to its reader: else a static answer to everything would win the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sidecar.model import Tier
from sidecar.simulate.world import CALLS, Target

QUANTILES = (0.5, 0.95, 0.99, 0.999)


@dataclass(slots=True)
class Tally:
    """Kept while a day runs."""

    seconds: list[float] = field(default_factory=list)  # of full answers
    tiers: Counter[Tier] = field(default_factory=Counter)
    served: Counter[Target] = field(default_factory=Counter)  # who gave the full answers
    asked: Counter[Target] = field(default_factory=Counter)  # attempts
    cost: float = 0.0  # dollars

    def charge(self, target: Target, price: float) -> None:
        """An attempt was made."""
        self.asked[target] += 1
        self.cost += price

    def end(self, tier: Tier, seconds: float, target: Target | None = None) -> None:
        """A call is over after so many seconds; `target` gave its answer."""
        self.tiers[tier] += 1
        if tier is Tier.FULL:
            assert target is not None
            self.seconds.append(seconds)
            self.served[target] += 1

    def sum(self) -> Figures:
        calls = self.tiers.total()
        ranked = sorted(self.seconds)
        return Figures(
            calls=calls,
            failed=calls - self.tiers[Tier.FULL],
            quantiles=tuple(_rank(ranked, share) for share in QUANTILES),
            cost=self.cost * CALLS / calls,
            attempts=self.asked.total() / calls,
            tiers={tier: self.tiers[tier] / calls for tier in Tier},
            served={target: self.served[target] / calls for target in Target},
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one day."""

    calls: int
    failed: int  # calls that got no full answer
    quantiles: tuple[float, ...]  # seconds of full answers, at QUANTILES
    cost: float  # dollars of a whole day's calls
    attempts: float  # per call
    tiers: dict[Tier, float]  # shares of the calls
    served: dict[Target, float]  # shares of the calls, full answers by who gave them

    @property
    def failure(self) -> float:
        """The share of calls that failed."""
        return self.failed / self.calls


@dataclass(frozen=True, slots=True)
class Range:
    """One figure over all days."""

    mean: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def spread(values: Sequence[float]) -> Range:
    return Range(sum(values) / len(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Row:
    """One policy in one world, over all its days."""

    world: str
    policy: str
    days: tuple[Figures, ...]

    @property
    def failure(self) -> Range:
        return spread([day.failure for day in self.days])

    @property
    def cost(self) -> Range:
        return spread([day.cost for day in self.days])

    @property
    def attempts(self) -> Range:
        return spread([day.attempts for day in self.days])

    def quantile(self, share: float) -> Range:
        place = QUANTILES.index(share)
        return spread([day.quantiles[place] for day in self.days])

    def tier(self, tier: Tier) -> float:
        return spread([day.tiers[tier] for day in self.days]).mean

    def served(self) -> dict[Target, float]:
        return {target: spread([day.served[target] for day in self.days]).mean for target in Target}


def _rank(ranked: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed; 0 of none."""
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0
