"""Recorded series: the alerts and the boards read these names and no raw counter where one is here.

Counts are of events, see promql.events; shares are counts divided by counts, so that a share and
the guard beside it speak of the same events. Attempts that say nothing about a provider (the
caller's mistake, a cancelled call) are no part of its error ratio.

A provider is degraded, and a breaker is open, while somebody feels it: with no traffic both end
by themselves, although an open breaker stays open until the next call comes.
"""

from __future__ import annotations

from alerts.promql import (
    APP,
    MODEL,
    PROVIDER,
    WATCHED,
    WINDOWS,
    events,
    filled,
    joined,
    ratio,
    select,
    watched,
)
from alerts.promql import number as n
from alerts.rules import Recording
from alerts.thresholds import Thresholds
from sidecar.telemetry import catalog

# what the application sees
CALLS = "namespace_app:llm_sidecar_calls:increase5m"  # without those that were the caller's own mistake
ERRORS = "namespace_app:llm_sidecar_app_errors:increase5m"
BELOW_FULL = "namespace_app:llm_sidecar_below_full:increase5m"
ERROR_SHARE = "namespace_app:llm_sidecar_app_errors:ratio5m"
BELOW_FULL_SHARE = "namespace_app:llm_sidecar_below_full:ratio5m"
FALLBACK_SHARE = "namespace_app:llm_sidecar_fallbacks:ratio5m"
# what it costs, in dollars
COST_HOUR = "namespace_app:llm_sidecar_cost_dollars:increase1h"
DETOUR_HOUR = "namespace_app:llm_sidecar_detour_cost_dollars:increase1h"
DETOUR_SHARE = "namespace_app:llm_sidecar_detour_cost:ratio1h"
COST_PER_SUCCESS = "namespace_app:llm_sidecar_cost_per_success_dollars:ratio1h"
# what providers do
ATTEMPTS_RATE = "namespace_provider:llm_sidecar_attempts:rate5m"
ERROR_RATIO = "namespace_provider:llm_sidecar_attempts:error_ratio5m"
ERROR_COUNT = "namespace_provider:llm_sidecar_attempt_errors:increase10m"
RETRY_RATIO = "namespace_provider:llm_sidecar_retries:ratio5m"
FALLBACK_TARGET_RATIO = "namespace_provider:llm_sidecar_fallback_targets:error_ratio5m"
QUALITY_RATIO = "namespace_provider_signal:llm_sidecar_quality_violations:ratio10m"
QUALITY_COUNT = "namespace_provider_signal:llm_sidecar_quality_violations:increase10m"
P95 = "namespace_provider_model:llm_sidecar_attempt_duration_seconds:p95_5m"
P95_HOUR = "namespace_provider_model:llm_sidecar_attempt_duration_seconds:p95_1h"
P95_BASELINE = "namespace_provider_model:llm_sidecar_attempt_duration_seconds:p95_baseline"
LATENCY_RATIO = "namespace_provider_model:llm_sidecar_latency:ratio5m"
LATENCY_COUNT = "namespace_provider_model:llm_sidecar_attempts_good:increase10m"
# breakers
OPEN_PODS = "namespace_provider_model_kind:llm_sidecar_breaker_open:pods"
OPEN_SHARE = "namespace_provider_model_kind:llm_sidecar_breaker_open:ratio"
# the answer within 30 seconds
DEGRADED = "namespace_provider_cause:llm_sidecar_degraded:bool"
ASSIGNED_SHARE = "namespace_provider:llm_sidecar_assigned_share:ratio5m"
CARRIED_SHARE = "namespace_provider:llm_sidecar_carried_share:ratio5m"
EXPOSED_SHARE = "namespace_provider:llm_sidecar_exposed_share:ratio5m"
ON_DEGRADED = "namespace:llm_sidecar_traffic_on_degraded:ratio5m"

ASKED = 'outcome=~"success|error"'
PROVIDER_FAULT = 'outcome=~"provider_error|throttled|timeout"'
TELLING = 'outcome!~"caller_error|cancelled"'
_MODEL_KIND = (*MODEL, "kind")
_SIGNAL = (*PROVIDER, "signal")


def targets(t: Thresholds) -> tuple[Recording, ...]:
    return tuple(Recording(WATCHED + window, watched(t.job, window)) for window in WINDOWS)


def app() -> tuple[Recording, ...]:
    calls = events(catalog.REQUESTS, "5m", APP, ASKED)
    fallbacks = events(catalog.REQUESTS, "5m", APP, ASKED, 'path="fallback"')
    return (
        Recording(CALLS, calls),
        Recording(ERRORS, filled(events(catalog.REQUESTS, "5m", APP, 'outcome="error"'), CALLS)),
        Recording(BELOW_FULL, filled(events(catalog.REQUESTS, "5m", APP, ASKED, 'tier!="full"'), CALLS)),
        Recording(ERROR_SHARE, ratio(ERRORS, CALLS)),
        Recording(BELOW_FULL_SHARE, ratio(BELOW_FULL, CALLS)),
        Recording(FALLBACK_SHARE, f"(\n{filled(fallbacks, CALLS)}\n)\n/\n({CALLS} > 0)"),
    )


def money() -> tuple[Recording, ...]:
    detours = events(catalog.COST, "1h", APP, 'purpose!="served"')
    good = events(catalog.REQUESTS, "1h", APP, 'outcome="success"', 'tier="full"')
    return (
        Recording(COST_HOUR, events(catalog.COST, "1h", APP)),
        Recording(DETOUR_HOUR, filled(detours, COST_HOUR)),
        Recording(DETOUR_SHARE, ratio(DETOUR_HOUR, COST_HOUR)),
        Recording(COST_PER_SUCCESS, f"{COST_HOUR}\n/\n(\n{good} > 0\n)"),
    )


def providers() -> tuple[Recording, ...]:
    attempts = catalog.ATTEMPTS
    bad = events(attempts, "5m", PROVIDER, PROVIDER_FAULT)
    telling = events(attempts, "5m", PROVIDER, TELLING)
    retries = events(attempts, "5m", PROVIDER, 'kind="retry"')
    firsts = events(attempts, "5m", PROVIDER, 'kind=~"initial|fallback"')
    failed = events(attempts, "5m", PROVIDER, 'kind="fallback"', 'outcome!~"success|caller_error|cancelled"')
    fallen = events(attempts, "5m", PROVIDER, 'kind="fallback"', TELLING)
    bad10 = events(attempts, "10m", PROVIDER, PROVIDER_FAULT)
    objected = events(catalog.QUALITY, "10m", _SIGNAL, 'action!="observed"')
    looked = events(catalog.EVALUATIONS, "10m", _SIGNAL)
    return (
        Recording(ATTEMPTS_RATE, f"{events(attempts, '5m', PROVIDER)} / 300"),
        Recording(ERROR_RATIO, _share(bad, telling)),
        Recording(ERROR_COUNT, filled(bad10, ATTEMPTS_RATE)),
        Recording(RETRY_RATIO, _share(retries, firsts)),
        Recording(FALLBACK_TARGET_RATIO, _share(failed, fallen)),
        Recording(QUALITY_COUNT, objected),
        Recording(QUALITY_RATIO, f"{QUALITY_COUNT}\n/\n(\n{looked} > 0\n)"),
    )


def _share(part: str, whole: str) -> str:
    """Of two counts in one expression: 0 where none of the part happened, nothing where nothing ran."""
    return f"(\n{part}\nor\n0 * {whole}\n)\n/\n({whole} > 0)"


def latency() -> tuple[Recording, ...]:
    """The baseline is a day of hourly p95, two hours ago, so that an incident does not poison it.

    Before there is such a past, the hour that ended a quarter of an hour ago has to do.
    """
    good = 'outcome="success"'
    by = ", ".join((*MODEL, "le"))
    buckets = select(catalog.ATTEMPT_DURATION, good, part="_bucket")

    def p95(window: str) -> str:  # a quantile of nothing is NaN, which `> 0` leaves out
        return f"histogram_quantile(0.95, sum by ({by}) (rate({buckets}[{window}]))) > 0"

    return (
        Recording(P95, p95("5m")),
        Recording(P95_HOUR, p95("1h")),
        Recording(
            P95_BASELINE,
            f"quantile_over_time(0.5, {P95_HOUR}[1d] offset 2h)\n"
            f"or\nquantile_over_time(0.5, {P95}[1h] offset 15m)",
        ),
        Recording(LATENCY_RATIO, ratio(P95, P95_BASELINE)),
        Recording(LATENCY_COUNT, events(catalog.ATTEMPT_DURATION, "10m", MODEL, good, part="_count")),
    )


def breakers() -> tuple[Recording, ...]:
    """Open: opened or turned calls away within ten minutes, and not closed since."""
    pod = ("namespace", "instance", *MODEL[1:])
    opened = events(catalog.BREAKER_TRANSITIONS, "10m", (*pod, "kind"), 'to="open"')
    turned = events(catalog.BREAKER_REJECTED, "10m", pod)
    state = catalog.BREAKER_STATE.name
    by = ", ".join(_MODEL_KIND)
    return (
        Recording(
            OPEN_PODS,
            f"count by ({by}) (\n"
            f"  {state} > 0\n"
            f"  and {joined((*pod, 'kind'))} ({opened} > 0)\n"
            f"  or\n"
            f"  {state} > 0\n"
            f"  and {joined(pod)} ({turned} > 0)\n"
            f")\nor\n0 * count by ({by}) ({state})",
        ),
        Recording(OPEN_SHARE, f"{OPEN_PODS}\n/\ncount by ({by}) ({state})"),
    )


def answer(t: Thresholds) -> tuple[Recording, ...]:
    """Which provider is degraded, why, and how much of the traffic wants it or gets it."""
    by = ", ".join(PROVIDER)
    known = f"0 * {ATTEMPTS_RATE}"
    wanted = (
        "sum by (namespace, provider) (label_replace(\n"
        + events(catalog.REQUESTS, "5m", ("namespace", "primary_provider"))
        + ',\n"provider", "$1", "primary_provider", "(.*)"))'
    )
    of_all = "/ on (namespace) group_left ()\n"
    failing = (
        f"({ERROR_RATIO} > bool {n(t.error_rate_warning)})"
        f" * {joined(PROVIDER)} ({ERROR_COUNT} >= bool {n(t.error_events)})"
    )
    slow = (
        f"max by ({by}) (({LATENCY_RATIO} > bool {n(t.latency_factor)})"
        f" * ({P95} > bool {n(t.latency_floor_seconds)})"
        f" * ({LATENCY_COUNT} >= bool {n(t.latency_events)}))"
    )
    kept_away = f'max by ({by}) ({OPEN_PODS}{{kind="transport"}} > bool 0)'
    answers_badly = (
        f"max by ({by}) (({QUALITY_RATIO} > bool {n(t.quality_rate)})"
        f" * ({QUALITY_COUNT} >= bool {n(t.quality_events)})"
        f' or {OPEN_PODS}{{kind="quality"}} > bool 0)'
    )
    causes = {"errors": failing, "latency": slow, "breaker": kept_away, "quality": answers_badly}
    return (
        Recording(DEGRADED, "\nor\n".join(_because(cause, expr, known) for cause, expr in causes.items())),
        Recording(
            ASSIGNED_SHARE,
            f"{wanted}\n{of_all}(\n{events(catalog.REQUESTS, '5m', ('namespace',))} > 0\n)",
        ),
        Recording(CARRIED_SHARE, f"{ATTEMPTS_RATE}\n{of_all}(sum by (namespace) ({ATTEMPTS_RATE}) > 0)"),
        Recording(EXPOSED_SHARE, f"{ASSIGNED_SHARE} * {joined(PROVIDER)} max by ({by}) ({DEGRADED})"),
        Recording(ON_DEGRADED, f"sum by (namespace) ({EXPOSED_SHARE})"),
    )


def _because(cause: str, expr: str, known: str) -> str:
    return f'label_replace(\n{expr}\nor\n{known},\n"cause", "{cause}", "", "")'
