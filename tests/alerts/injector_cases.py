"""The nights of the injector's alerts. Its pods are scraped under a job of their own."""

from __future__ import annotations

from sidecar.telemetry import catalog as c
from sidecar.telemetry.catalog import Metric
from tests.alerts.scenes import Case, Phases, Scene, Series, of

JOB = {"job": "llm-sidecar-injector"}
OTHER = {"job": "other"}  # a scrape that is none of ours
DAY = 86400.0


def _two(metric: Metric | str, one: Phases | float, other: Phases | float, **labels: str) -> Scene:
    """Both replicas."""
    return (of(metric, one, pod="injector-0", **labels), of(metric, other, pod="injector-1", **labels))


def _failed(rate: float) -> Series:
    return of(c.INJECTOR_REVIEWS, (0.0, rate, 0.0), result="failed", pod="injector-0", **JOB)


INJECTOR_CASES = (
    Case(
        alert="LLMSidecarPodsNotInjected",
        labels={},
        fires=_two(c.INJECTOR_MISSED, (0, 3, 0), (0, 3, 0), namespace="fires", **JOB),
        under=_two(c.INJECTOR_MISSED, 0, 0, namespace="under", **JOB),
        quiet=(of(c.INJECTOR_REVIEWS, 100, result="skipped", pod="injector-0", **JOB),),
    ),
    Case(
        alert="LLMSidecarInjectorDown",
        labels=JOB,
        fires=_two("up", (1, 0, 1), (1, 0, 1), **JOB),
        under=_two("up", (1, 0, 1), 1, **JOB),  # one of two
        quiet=_two("up", (1, 0, 1), (1, 0, 1), **OTHER),
    ),
    Case(
        alert="LLMSidecarInjectorFailing",
        labels=JOB,
        fires=(_failed(0.2),),
        under=(_failed(0.05), of(c.INJECTOR_REVIEWS, 1000, result="skipped", pod="injector-0", **JOB)),
        quiet=(_failed(0),),
    ),
    Case(
        alert="LLMSidecarInjectorCertificateExpiring",
        labels=JOB,
        # of two replicas that differ the worse one counts
        fires=_two(c.INJECTOR_CERTIFICATE, (3 * DAY, DAY / 2, 3 * DAY), 3 * DAY, **JOB),
        under=_two(c.INJECTOR_CERTIFICATE, 1.1 * DAY, 1.1 * DAY, **JOB),
        quiet=_two(c.INJECTOR_CERTIFICATE, 30 * DAY, 30 * DAY, **JOB),
    ),
    Case(
        alert="LLMSidecarInjectorStuck",
        labels=JOB | {"chore": "count"},
        fires=_two(c.INJECTOR_CHORE, (1e6, 0, 1e6), (1e6, -100, 1e6), chore="count", **JOB),
        under=_two(c.INJECTOR_CHORE, 0, 1e6, chore="count", **JOB),  # one replica does it
        quiet=_two(c.INJECTOR_CHORE, 1e6, 1e6, chore="certificates", **JOB),
    ),
    Case(
        alert="LLMSidecarInjectorProfilesRefused",
        labels=JOB,
        fires=_two(c.INJECTOR_PROFILES, (1, 0, 1), 1, **JOB),
        under=_two(c.INJECTOR_PROFILES, 1, 1, **JOB),
        quiet=(),
    ),
)
