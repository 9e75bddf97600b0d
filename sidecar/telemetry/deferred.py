"""Deferred calls as metrics: what became of them, and how the queue stands. Made where a route defers; what
is worth an alarm then exists at 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sidecar.core.jobs import Gauges
from sidecar.events import Deferred, Posted, Queued
from sidecar.telemetry import catalog
from sidecar.telemetry.instruments import Instruments


class DeferredCalls:
    def __init__(self, made: Instruments) -> None:
        self._events = made.counter(catalog.DEFERRED)
        self._jobs = made.gauge(catalog.DEFERRED_JOBS)
        self._bytes = made.plain_gauge(catalog.DEFERRED_BYTES)
        self._oldest = made.plain_gauge(catalog.DEFERRED_OLDEST)
        self._full = made.plain_gauge(catalog.DEFERRED_FULL)
        self._ok = made.plain_gauge(catalog.DEFERRED_OK)
        self._ok.set(1)
        for event in ("answered", "failed", "expired", "dropped"):
            self._events.declare(event, "")
        for reason in ("items", "bytes", "full_disk"):
            self._events.declare("refused", reason)

    def count(self, event: Deferred | Queued) -> None:
        if isinstance(event, Queued):
            self._ok.set(1 if event.ok else 0)
        else:
            self._events[event.what, event.reason if event.what == "refused" else ""].inc()

    def show(self, now: Gauges | None) -> None:
        """As it stands; where there is no queue what was shown goes to zero, and nothing is begun."""
        if now is None:
            if not self._jobs:
                return
            now = Gauges(dict.fromkeys(("waiting", "running", "answered", "failed"), 0), 0.0, 0, 0, 0.0)
        for state, count in now.jobs.items():
            self._jobs[(state,)].set(count)
        self._bytes.set(now.bytes + now.answers)
        self._oldest.set(now.oldest)
        self._full.set(now.full)


class Webhooks:
    """Made where there is a webhook."""

    def __init__(self, made: Instruments) -> None:
        self._deliveries = made.counter(catalog.WEBHOOK_DELIVERIES)
        self._waiting = made.gauge(catalog.WEBHOOK_WAITING)
        self._oldest = made.gauge(catalog.WEBHOOK_OLDEST)

    def declare(self, names: Iterable[str]) -> None:
        for name in names:
            for result in ("delivered", "failed", "stopped", "expired"):
                self._deliveries.declare(name, result)

    def count(self, event: Posted) -> None:
        self._deliveries[event.webhook, event.what].inc()

    def show(self, now: Mapping[str, tuple[int, float]]) -> None:
        """By webhook: messages that wait, and the age of the oldest one. One that is gone goes to zero."""
        gone = {key[0]: (0, 0.0) for key in self._waiting}
        for name, (count, age) in (gone | dict(now)).items():
            self._waiting[(name,)].set(count)
            self._oldest[(name,)].set(age)
