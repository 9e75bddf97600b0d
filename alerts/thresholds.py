"""Every number an alert compares with, once: rules, boards and the reference read it here.

Rates are shares of one. The `_events` numbers are the low-traffic guards: how many bad events it
takes within an alert's window. They count what went wrong and not what was asked, so that the
outage of a quiet application is seen and one unlucky call in the night is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import get_type_hints

from sidecar.telemetry.catalog import OVERHEAD

PAGE_BURN, SLOW_PAGE_BURN, TICKET_BURN, SLOW_TICKET_BURN = 14.4, 6.0, 3.0, 1.0  # of an error budget


def _number(value: float, meaning: str, *, share: bool = False) -> float:
    """A field; mypy sees its type, the reference its meaning."""
    made: float = field(default=value, metadata={"meaning": meaning, "share": share})
    return made


def _text(value: str, meaning: str) -> str:
    made: str = field(default=value, metadata={"meaning": meaning, "share": False})
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    job: str = _text("llm-sidecar", "the job label that scraping gives")
    injector_job: str = _text("llm-sidecar-injector", "the job label of the injector's scrape")
    runbooks: str = _text("https://example.com/llm-sidecar/runbooks", "where the runbook pages are served")

    error_rate_warning: float = _number(0.05, "provider errors among attempts", share=True)
    error_rate_critical: float = _number(0.15, "provider errors among attempts, page", share=True)
    error_events: float = _number(5, "provider errors in 10 min")
    error_events_critical: float = _number(10, "provider errors in 10 min, page")
    latency_factor: float = _number(3, "p95 of good attempts, times its baseline")
    latency_floor_seconds: float = _number(1, "p95 below it is never slow")
    latency_events: float = _number(30, "good attempts in 10 min: a p95 of fewer says nothing")
    account_events: float = _number(2, "refused keys or models in 15 min; a quota or a bill takes one")
    retirement_seconds: float = _number(30 * 86400, "left until a model's last day is over")
    quality_rate: float = _number(0.05, "rejected answers among those looked at", share=True)
    quality_events: float = _number(5, "rejected answers in 10 min")
    stream_break_rate: float = _number(0.01, "streams broken after their start among attempts", share=True)
    stream_break_events: float = _number(5, "streams broken after their start in 10 min")

    breaker_fleet_share: float = _number(0.5, "pods with an open breaker among those of a target", share=True)
    breaker_fleet_pods: float = _number(2, "pods with an open breaker")
    breaker_flaps: float = _number(3, "closings of a pod's breaker in 15 min")

    retry_rate_look: float = _number(0.02, "retries among first tries", share=True)
    retry_rate_page: float = _number(0.2, "retries among first tries, page", share=True)
    retry_events: float = _number(5, "retries in 15 min")
    retry_events_page: float = _number(10, "retries in 5 min, page")
    budget_events: float = _number(5, "retries denied by the budget in 5 min")
    nested_events: float = _number(5, "retries of the application's own client in 15 min")

    fallback_burst: float = _number(10, "fallbacks in 5 min, more than")
    fallback_rate: float = _number(0.1, "calls that needed a fallback", share=True)
    fallback_events: float = _number(5, "calls that needed a fallback in 10 min")
    fallback_target_rate: float = _number(0.2, "fallback attempts that fail too", share=True)
    fallback_target_events: float = _number(5, "fallback attempts that fail too in 10 min")

    cost_dollars: float = _number(50, "dollars of an application in an hour, more than")
    cost_budget_share: float = _number(0.8, "of a pod's hourly budget, spent", share=True)
    detour_share: float = _number(0.2, "cost of detours, among all cost of an hour", share=True)
    detour_dollars: float = _number(1, "dollars of detours in an hour")
    unpriced_events: float = _number(10, "attempts without a known price in an hour")

    exhausted_rate: float = _number(0.05, "calls that nobody answered", share=True)
    exhausted_events: float = _number(5, "calls that nobody answered in 5 min")
    degraded_events: float = _number(5, "answers of one tier below full in 10 min")
    below_full_rate: float = _number(0.2, "calls without a full answer", share=True)
    below_full_events: float = _number(10, "calls without a full answer in 10 min")

    deferred_age_seconds: float = _number(3600, "that the oldest deferred call has waited")
    deferred_full_rate: float = _number(0.8, "of a bound of the queue of deferred calls", share=True)
    deferred_lost_events: float = _number(1, "deferred calls lost or not taken in 15 min")
    webhook_age_seconds: float = _number(900, "that the oldest message to a webhook has not been delivered")
    webhook_lost_events: float = _number(
        1, "messages to a webhook that expired, or were refused with 410, in 15 min"
    )

    error_objective: float = _number(0.99, "calls answered at all, over 30 days", share=True)
    full_objective: float = _number(0.95, "calls answered in full, over 30 days", share=True)
    burn_events: float = _number(10, "bad calls in the long window of a burn rate alert")

    down_share: float = _number(0.5, "pods of an application whose sidecar cannot be scraped", share=True)
    down_share_warning: float = _number(0.1, "the same, more than", share=True)
    restarts: float = _number(3, "restarts of one sidecar in 30 min")
    overhead_seconds: float = _number(0.032, "time added to a call; a bound of its histogram")
    overhead_rate: float = _number(0.01, "calls that were added more", share=True)
    overhead_events: float = _number(10, "calls that were added more in 10 min")
    lag_seconds: float = _number(0.25, "longest delay of the event loop within a minute")
    shed_events: float = _number(10, "calls shed in 5 min")
    refused_events: float = _number(10, "requests turned away for one reason in 10 min")
    telemetry_events: float = _number(10, "spans dropped for one reason in 10 min")
    injector_failures: float = _number(1, "pods without a sidecar by an error of the injector in 15 min")
    injector_certificate_seconds: float = _number(86400, "left of the injector's certificate")
    injector_chore_seconds: float = _number(900, "since the injector last did a chore")
    memory_bytes: float = _number(400 * 1024**2, "resident memory; below the container's limit of 512 MiB")
    cpu_cores: float = _number(0.8, "processor time; one process, one event loop: 1 is all there is")


DEFAULT = Thresholds()


class Wrong(ValueError):
    """A threshold that nobody can mean; the text says which, why and what to do."""


def changed(values: Mapping[str, object]) -> Thresholds:
    """The defaults with some values of a user's."""
    hints = get_type_hints(Thresholds)
    taken: dict[str, str | float] = {}
    for name, value in values.items():
        if name not in hints:
            raise Wrong(f"{name}: no such threshold; known are {', '.join(hints)}")
        taken[name] = _taken(name, value, text=hints[name] is str)
    return checked(replace(DEFAULT, **taken))  # type: ignore[arg-type]  # by the hints above


def _taken(name: str, value: object, *, text: bool) -> str | float:
    if text:
        if isinstance(value, str) and value.strip() and not set(value) & set('"\\\n{}'):
            return value.rstrip("/")
        raise Wrong(f"{name}: expected a text without quotes or braces, got {value!r}")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Wrong(f"{name}: expected a number, got {value!r}")
    try:
        return float(value)
    except ValueError:
        raise Wrong(f"{name}: expected a number, got {value!r}") from None


def checked(t: Thresholds) -> Thresholds:
    for row in fields(Thresholds):
        value = getattr(t, row.name)
        if isinstance(value, str):
            continue
        top = 1.0 if row.metadata["share"] else 1e15
        if not 0 < value <= top:
            raise Wrong(f"{row.name}: expected more than 0 and at most {top:g}, got {value:g}")
    for low, high in (
        ("error_rate_warning", "error_rate_critical"),
        ("retry_rate_look", "retry_rate_page"),
        ("down_share_warning", "down_share"),
    ):
        if getattr(t, low) > getattr(t, high):
            raise Wrong(f"{low}: expected at most {high}, which is {getattr(t, high):g}")
    for name in ("error_objective", "full_objective"):
        value = getattr(t, name)
        if not 1 - 1 / PAGE_BURN < value < 1:
            # above that budget the page would wait for more than all calls to fail
            raise Wrong(f"{name}: expected more than {1 - 1 / PAGE_BURN:.4f} and less than 1, got {value:g}")
    if t.overhead_seconds not in OVERHEAD:
        bounds = ", ".join(f"{bound:g}" for bound in OVERHEAD)
        raise Wrong(f"overhead_seconds: expected a bound of the histogram ({bounds})")
    return t
