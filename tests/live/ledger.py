"""What the boards must say, computed from the logs of the fake vendors and of the application."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from dashboards.incident import Incident
from sidecar.provider import Exchange

PROVIDERS = ("openai", "backup", "anthropic")


@dataclass(frozen=True, slots=True)
class Window:
    """Counts of what ended between two moments, per second where a panel shows rates."""

    seconds: float
    calls: Counter[str]  # by the provider they wanted
    failed: int
    attempts: Counter[str]  # by provider
    wrong: Counter[str]  # of them, by provider

    @property
    def all_calls(self) -> int:
        return self.calls.total()

    def per_second(self, count: float) -> float:
        return count / self.seconds

    def wanted(self, provider: str) -> float:
        return self.calls[provider] / self.all_calls

    def carried(self, provider: str) -> float:
        return self.attempts[provider] / self.attempts.total()

    def error_rate(self, provider: str) -> float:
        return self.wrong[provider] / self.attempts[provider]


def _good(exchange: Exchange) -> bool:
    return exchange.status == 200 and exchange.behaviour == "ok"


def window(incident: Incident, start: float, end: float) -> Window:
    """Of everything that ended after `start` and until `end`, Unix times."""
    ahead = time.time() - asyncio.get_running_loop().time()  # noqa: TID251  # vendors keep the loop's time
    calls = [call for call in incident.calls if start < call.at <= end]
    attempts: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for name, vendor in incident.vendors.items():
        for exchange in vendor.log:
            if exchange.ended_at is not None and start < exchange.ended_at + ahead <= end:
                attempts[name] += 1
                wrong[name] += not _good(exchange)
    return Window(
        end - start,
        Counter(call.wanted for call in calls),
        sum(call.status != 200 for call in calls),
        attempts,
        wrong,
    )


def p95(incident: Incident, provider: str, start: float, end: float) -> float:
    """Of good exchanges, as the vendor timed them."""
    ahead = time.time() - asyncio.get_running_loop().time()  # noqa: TID251  # as above
    took = sorted(
        exchange.ended_at - exchange.at
        for exchange in incident.vendors[provider].log
        if exchange.ended_at is not None and start < exchange.ended_at + ahead <= end and _good(exchange)
    )
    return took[int(0.95 * len(took))]
