"""The metrics of money: from whole pico-dollars, which the ledger adds up exactly, to dollars."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.core.bill import dollars
from sidecar.model import Attempt, Purpose
from sidecar.telemetry import catalog
from sidecar.telemetry.exposition import add
from sidecar.telemetry.instruments import Instruments
from sidecar.telemetry.labels import Labels


class Costs:
    def __init__(self, made: Instruments, labels: Labels) -> None:
        self._labels = labels
        self._cost = made.counter(catalog.COST)
        self._unpriced = made.counter(catalog.UNPRICED)
        self._spent = made.plain_gauge(catalog.SPENT)
        self._budget = made.plain_gauge(catalog.BUDGET)

    def declare(self, provider: str, model: str) -> None:
        self._unpriced.declare(provider, model)
        if model != catalog.OTHER:
            self._cost.declare(provider, model, Purpose.SERVED, "false")

    def charge(self, attempts: Iterable[Attempt]) -> None:
        """Those of a call that is over; what was free is no news."""
        for attempt in attempts:
            cost, purpose = attempt.cost, attempt.purpose
            if cost is None or purpose is None or cost.pico == 0:
                continue
            key = self._labels.target(attempt.provider, attempt.model)
            if cost.pico is None:
                self._unpriced[key].inc()
            else:
                add(self._cost[(*key, purpose, "true" if cost.estimated else "false")], dollars(cost.pico))

    def show(self, hour: float, budget: float) -> None:
        """Dollars of the last hour."""
        self._spent.set(hour)
        self._budget.set(budget)
