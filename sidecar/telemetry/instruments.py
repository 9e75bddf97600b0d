"""From the rows of the catalogue to the library's objects, and to what a scrape shows of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sidecar.telemetry.catalog import Metric, MetricKind
from sidecar.telemetry.exposition import Exposition, Shown
from sidecar.telemetry.labels import Family

AnyFamily = Family[Counter] | Family[Gauge] | Family[Histogram]
Parent = Counter | Gauge | Histogram
F = TypeVar("F", Family[Counter], Family[Gauge], Family[Histogram])


class Instruments:
    """Makes them, knows them, takes them back. `overflow` is told what a family folds."""

    def __init__(
        self, registry: CollectorRegistry, exposition: Exposition, overflow: Callable[[str], None]
    ) -> None:
        self._registry = registry
        self._exposition = exposition
        self._overflow = overflow
        self._families: list[AnyFamily] = []
        self._made: dict[str, tuple[Parent, Shown]] = {}

    def limit(self, room: int) -> None:
        """So many times the usual number of combinations."""
        for family in self._families:
            family.limit = family.metric.bound * room

    def counter(self, metric: Metric) -> Family[Counter]:
        assert metric.kind is MetricKind.COUNTER
        parent = Counter(metric.name, metric.help, metric.labels, unit=metric.unit, registry=self._registry)
        return self._shown(metric, parent, Family(metric, parent, self._overflow))

    def gauge(self, metric: Metric) -> Family[Gauge]:
        assert metric.kind is MetricKind.GAUGE
        parent = Gauge(metric.name, metric.help, metric.labels, unit=metric.unit, registry=self._registry)
        return self._shown(metric, parent, Family(metric, parent, self._overflow))

    def histogram(self, metric: Metric) -> Family[Histogram]:
        assert metric.kind is MetricKind.HISTOGRAM
        parent = Histogram(
            metric.name,
            metric.help,
            metric.labels,
            unit=metric.unit,
            registry=self._registry,
            buckets=metric.buckets,
        )
        return self._shown(metric, parent, Family(metric, parent, self._overflow))

    def plain_counter(self, metric: Metric) -> Counter:
        counter = Counter(metric.name, metric.help, unit=metric.unit, registry=self._registry)
        self._exposition.add(Shown(counter, (), {(): counter}))
        return counter

    def plain_gauge(self, metric: Metric) -> Gauge:
        gauge = Gauge(metric.name, metric.help, unit=metric.unit, registry=self._registry)
        self._exposition.add(Shown(gauge, (), {(): gauge}))
        return gauge

    def take_back(self, metric: Metric) -> None:
        """Nothing is shown of it any more; its name is free again."""
        parent, shown = self._made.pop(metric.name)
        self._registry.unregister(parent)
        self._exposition.remove(shown)
        self._families = [family for family in self._families if family.metric is not metric]

    def _shown(self, metric: Metric, parent: Parent, family: F) -> F:
        shown = Shown(parent, metric.labels, family, metric.buckets)
        self._exposition.add(shown)
        self._families.append(family)
        self._made[metric.name] = parent, shown
        return family
