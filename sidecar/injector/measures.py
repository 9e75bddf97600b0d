"""The injector's own metrics: rows of the catalogue, in a registry of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.process_collector import ProcessCollector

from sidecar.telemetry import catalog
from sidecar.telemetry.catalog import OTHER, Metric

RESULTS: Final = ("injected", "completed", "unchanged", "skipped", "failed")
CHORES: Final = ("certificates", "count", "profiles")
NAMESPACES: Final = 50
TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Measures:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._reviews = _counter(catalog.INJECTOR_REVIEWS, self._registry)
        for result in RESULTS:  # a counter that is born at 1 has an increase of 0
            self._reviews.labels(result)
        self._missed = _gauge(catalog.INJECTOR_MISSED, self._registry)
        self._chores = _gauge(catalog.INJECTOR_CHORE, self._registry)
        self._profiles = _gauge(catalog.INJECTOR_PROFILES, self._registry)
        self._certificate = _gauge(catalog.INJECTOR_CERTIFICATE, self._registry)

    def reviewed(self, result: str) -> None:
        self._reviews.labels(result).inc()

    def missed(self, by_namespace: Mapping[str, int]) -> None:
        """Those with most pods have a series; one that is gone has none any more."""
        order = sorted(by_namespace, key=lambda name: (-by_namespace[name], name))
        self._missed.clear()
        for name in order[:NAMESPACES]:
            self._missed.labels(name).set(by_namespace[name])
        if rest := order[NAMESPACES:]:
            self._missed.labels(OTHER).set(sum(by_namespace[name] for name in rest))

    def done(self, chore: str, wall: float) -> None:
        self._chores.labels(chore).set(wall)

    def certificate(self, ends: float) -> None:
        self._certificate.set(ends)

    def profiles(self, *, good: bool) -> None:
        self._profiles.set(1 if good else 0)

    def text(self) -> bytes:
        return generate_latest(self._registry)


def _counter(row: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(row.name, row.help, row.labels, registry=registry)


def _gauge(row: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(row.name, row.help, row.labels, registry=registry)
