"""The first row of the fleet board: who is degraded, why, and how much of the traffic is on it.

All of it reads the recordings that the alerts read, over the alerts' window and per namespace: the
board and the page that woke somebody never disagree.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, stat, table

from alerts import recordings
from alerts.thresholds import DEFAULT, PAGE_BURN
from dashboards import frame, style
from dashboards.query import Query, largest, pick, share, total
from dashboards.style import RED, Column, Levels

NAMESPACE = ('namespace=~"$namespace"',)
VARIABLES = ("datasource", "namespace", "app")
APP_BUDGET = round(1 - DEFAULT.error_objective, 6)
APP_PAGE = round(PAGE_BURN * APP_BUDGET, 6)


def recorded(name: str, *matchers: str) -> str:
    return pick(name, *matchers, scope=NAMESPACE)


def of_all(part: str, whole: str) -> str:
    return f"{part} / on () group_left () ({whole} > 0)"


def weighted(share_: str, *by: str) -> str:
    """A share of each namespace's calls, as one of the calls of all namespaces selected."""
    calls = total(recorded(recordings.CALLS), ("namespace",))
    part = total(f"{recorded(share_)} * on (namespace) group_left () {calls}", by)
    return of_all(part, total(recorded(recordings.CALLS)))


def carried(*by: str) -> str:
    """Attempts per second that providers really get."""
    return total(recorded(recordings.ATTEMPTS_RATE), by)


def is_cause(cause: str) -> str:
    return largest(recorded(recordings.DEGRADED, f'cause="{cause}"'), ("provider",))


def detail() -> dashboard.DashboardLink:
    return frame.to_board(
        "Detail of ${__field.labels.provider}",
        frame.PROVIDER_UID,
        VARIABLES,
        provider="${__field.labels.provider}",
    )


def degraded_now() -> stat.Panel:
    sick = f"{largest(recorded(recordings.DEGRADED), ('provider', 'cause'))} > 0"
    well = f'label_replace({largest(recorded(recordings.DEGRADED))} == 0, "provider", "no provider", "", "")'
    return style.number(
        "Degraded now",
        "Each degraded provider with its cause: errors, latency, breaker or quality; green means nobody. "
        "Errors or breaker: open the provider's board, read its errors by class, then its status page. "
        "Latency: compare first content with the whole answer. Quality: see which signal objects.",
        Query(f"{sick} or {well}", "{{provider}} {{cause}}"),
        unit="short",
        levels=Levels(critical=1),
        names=True,
        size=(8, 5),
        runbooks=("LLMProviderErrorRateCritical", "LLMProviderLatencyDegraded", "LLMBreakerOpen"),
    )


def wants_degraded() -> stat.Panel:
    return style.number(
        "Calls that want it",
        "Share of the calls whose chain begins with a degraded provider: the size of the problem if there "
        "were no fallbacks. It stays when a breaker opens. Rising: applications move towards the sick "
        "provider.",
        Query(weighted(recordings.EXPOSED_SHARE), "wanted"),
        unit="percentunit",
        size=(4, 5),
    )


def hits_degraded() -> stat.Panel:
    degraded = largest(recorded(recordings.DEGRADED), ("namespace", "provider"))
    hit = total(f"{recorded(recordings.ATTEMPTS_RATE)} * on (namespace, provider) {degraded}")
    return style.number(
        "Attempts that still hit it",
        "Share of the attempts that a degraded provider still gets. Much lower than the number beside it: "
        "breakers and fallbacks protect you. Just as high: you are bleeding; force its breaker open or "
        "reorder the chain.",
        Query(share(hit, carried()), "carried"),
        unit="percentunit",
        levels=Levels(warning=DEFAULT.error_rate_warning, critical=DEFAULT.error_rate_critical),
        size=(4, 5),
    )


def failing_calls() -> stat.Panel:
    failed, calls = total(pick(recordings.ERRORS)), total(pick(recordings.CALLS))
    return style.number(
        "Calls that fail",
        "Share of calls that end as errors in the application after all retries and fallbacks. Above the "
        "objective: users feel it now, whatever the other numbers say. Look for the application below.",
        Query(share(failed, calls), "failed"),
        unit="percentunit",
        levels=Levels(warning=APP_BUDGET, critical=APP_PAGE),
        size=(4, 5),
        runbooks=("LLMAppErrorBudgetBurnFast",),
    )


def below_full() -> stat.Panel:
    below, calls = total(pick(recordings.BELOW_FULL)), total(pick(recordings.CALLS))
    return style.number(
        "Calls without a full answer",
        "Share of calls that got a reduced, cached, static or deferred answer, or none. What is here and "
        "not in the number beside it lives on substitutes: tell the product's owner when it stays up.",
        Query(share(below, calls), "below full"),
        unit="percentunit",
        levels=Levels(critical=DEFAULT.below_full_rate),
        size=(4, 5),
        runbooks=("LLMAnswersBelowFull", "LLMDegradedServing"),
    )


def providers() -> table.Panel:
    said = {"0": ("-", "transparent"), "1": ("YES", RED)}
    return style.table(
        "Providers",
        "One line per provider: is it degraded and by which cause, the share of calls that want it beside "
        "the share of attempts it gets, and the numbers behind. Wanted high and carried near zero: the "
        "breaker protects you. Both high: you are bleeding. Click a name for its detail.",
        ("provider",),
        (
            Column(
                "degraded",
                largest(recorded(recordings.DEGRADED), ("provider",)),
                "short",
                texts=said,
                width=95,
            ),
            Column("errors", is_cause("errors"), "short", texts=said, width=80),
            Column("latency", is_cause("latency"), "short", texts=said, width=80),
            Column("breaker", is_cause("breaker"), "short", texts=said, width=80),
            Column("quality", is_cause("quality"), "short", texts=said, width=80),
            Column("calls that want it", weighted(recordings.ASSIGNED_SHARE, "provider"), bar=True),
            Column("attempts it gets", of_all(carried("provider"), carried()), bar=True),
            Column(
                "error rate",
                largest(recorded(recordings.ERROR_RATIO), ("provider",)),
                levels=Levels(DEFAULT.error_rate_warning, DEFAULT.error_rate_critical),
            ),
            Column(
                "p95 / baseline",
                largest(recorded(recordings.LATENCY_RATIO), ("provider",)),
                "suffix: x",
                Levels(critical=DEFAULT.latency_factor),
            ),
            Column(
                "retry rate",
                largest(recorded(recordings.RETRY_RATIO), ("provider",)),
                levels=Levels(DEFAULT.retry_rate_look, DEFAULT.retry_rate_page),
            ),
        ),
        links={
            "provider": frame.to_board("Detail", frame.PROVIDER_UID, VARIABLES, provider="${__value.raw}")
        },
        runbooks=("LLMProviderErrorRateHigh", "LLMBreakerOpenFleetWide"),
    )


def row() -> list[style.Panel]:
    return [degraded_now(), wants_degraded(), hits_degraded(), failing_calls(), below_full(), providers()]
