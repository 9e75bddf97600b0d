"""What pods expose over time, in three phases: before, during and after the trouble."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

from sidecar.telemetry import catalog
from sidecar.telemetry.catalog import Metric, MetricKind

Phases = tuple[float, float, float]
Scene = tuple["Series", ...]
GAUGES = frozenset({"up", "process_start_time_seconds", "process_resident_memory_bytes"})


@dataclass(frozen=True, slots=True)
class Series:
    """`phases`: events a minute of a counter, values of a gauge. Labels win over those of the scrape."""

    name: str
    phases: Phases
    labels: dict[str, str]
    gauge: bool

    def text(self, namespace: str) -> str:
        labels = target(namespace, self.labels.get("pod", "web-1")) | self.labels
        return written(self.name, labels)

    def values(self, minutes: Phases, step: int) -> str:
        said: list[str] = []
        value = self.phases[0] if self.gauge else 0.0
        for rate, length in zip(self.phases, minutes, strict=True):
            for _ in range(round(length * 60 / step)):
                value = rate if self.gauge else value + rate * step / 60
                said.append(f"{value:.6f}")
        return " ".join(["0" if not self.gauge else f"{self.phases[0]:.6f}", *said])


def written(name: str, labels: dict[str, str]) -> str:
    pairs = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{pairs}}}"


def target(namespace: str, pod: str) -> dict[str, str]:
    """The labels that the PodMonitor's relabelling leaves."""
    return {
        "namespace": namespace,
        "pod": pod,
        "container": "llm-sidecar",
        "job": "llm-sidecar",
        "app": "web",
        "team": "shop",
        "instance": f"{namespace}-{pod}:9901",
    }


def of(metric: Metric | str, phases: Phases | float, part: str = "", **labels: str) -> Series:
    if isinstance(phases, int | float):
        phases = (phases, phases, phases)
    if isinstance(metric, str):
        return Series(metric, phases, labels, metric in GAUGES)
    known = {*metric.labels, *target("", "")} | ({"le"} if part == "_bucket" else set())
    assert set(labels) <= known, (metric.name, labels)
    assert set(metric.labels) <= set(labels), (metric.name, labels)
    return Series(metric.name + part, phases, labels, metric.kind is MetricKind.GAUGE)


def calls(
    phases: Phases | float, outcome: str = "success", tier: str = "full", path: str = "direct"
) -> Series:
    return of(
        catalog.REQUESTS,
        phases,
        route="chat",
        operation="chat",
        primary_provider="openai",
        outcome=outcome,
        tier=tier,
        path=path,
    )


def attempts(
    phases: Phases | float,
    outcome: str = "success",
    error_type: str = "",
    kind: str = "initial",
    provider: str = "openai",
    **labels: str,
) -> Series:
    return of(
        catalog.ATTEMPTS,
        phases,
        provider=provider,
        model="gpt-4o",
        kind=kind,
        outcome=outcome,
        error_type=error_type,
        **labels,
    )


def histogram(metric: Metric, phases: Phases, seconds: Phases, **labels: str) -> Scene:
    """So many a minute, all of one duration, phase by phase."""

    def below(bound: float) -> Phases:
        found = [rate if value <= bound else 0.0 for rate, value in zip(phases, seconds, strict=True)]
        return (found[0], found[1], found[2])

    bounds = [(f"{bound:g}", bound) for bound in metric.buckets] + [("+Inf", inf)]
    return (
        *(of(metric, below(bound), "_bucket", le=le, **labels) for le, bound in bounds),
        of(metric, phases, "_count", **labels),
    )


def merged(one: Scene, other: Scene) -> Scene:
    """Two scenes of the same series, as one."""
    assert [(s.name, s.labels) for s in one] == [(s.name, s.labels) for s in other]
    return tuple(
        replace(a, phases=(a.phases[0] + b.phases[0], a.phases[1] + b.phases[1], a.phases[2] + b.phases[2]))
        for a, b in zip(one, other, strict=True)
    )


def alive(scene: Scene) -> Scene:
    """Its pods are scraped and have been running for days."""
    pods = {s.labels.get("pod", "web-1") for s in scene}
    given = {(s.name, s.labels.get("pod", "web-1")) for s in scene}
    return scene + tuple(
        of(name, value, pod=pod)
        for pod in sorted(pods)
        for name, value in (("up", 1.0), ("process_start_time_seconds", -1e6))
        if (name, pod) not in given
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One alert's night in three namespaces; only the first may ever make it fire, and it resolves."""

    alert: str
    labels: dict[str, str]  # of the alert, without namespace and those of every alert
    fires: Scene
    under: Scene  # just under the threshold, in heavy traffic
    quiet: Scene  # as bad as can be, in next to no traffic
    minutes: Phases = (10.0, 30.0, 40.0)
    step: int = 30
    namespace: dict[str, str] = field(default_factory=lambda: {"namespace": "fires"})
