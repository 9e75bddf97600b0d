"""Retry budget: every call deposits a little, every retry withdraws one.

When all is failing, retries dry up by themselves and the provider meets about 1.2 attempts per
call instead of three. Sized for one pod: a fleet-size floor such as ten a second would let each
of a hundred sidecars hammer a provider that is trying to stand up.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.settings import BudgetRules


@dataclass(slots=True)
class Budget:
    rules: BudgetRules
    tokens: float = -1.0  # below zero: not used yet, full
    at: float = 0.0

    def deposit(self, now: float) -> None:
        """A call came."""
        self._fill(now)
        self.tokens = min(self.rules.size, self.tokens + self.rules.per_call)

    def withdraw(self, now: float) -> bool:
        """One retry, if there is one left."""
        self._fill(now)
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    @property
    def remaining(self) -> float:
        """Share of the bucket that is left, 0 to 1."""
        return 1.0 if self.tokens < 0 else self.tokens / self.rules.size

    def _fill(self, now: float) -> None:
        if self.tokens < 0:
            self.tokens = self.rules.size
        else:
            earned = max(0.0, now - self.at) * self.rules.per_minute / 60
            self.tokens = min(self.rules.size, self.tokens + earned)
        self.at = now
