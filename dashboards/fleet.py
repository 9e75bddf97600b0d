"""The board of the person on call: which provider is degraded, why, and how much traffic is on it.

The first row answers that without scrolling. Its numbers are the ones the alerts look at, over the
alerts' window and per namespace; below it `app` narrows what applications see.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, stat, statetimeline, table, timeseries

from alerts import recordings, slo
from alerts.thresholds import DEFAULT, PAGE_BURN, TICKET_BURN
from dashboards import frame, style
from dashboards.query import Query, count, happened, largest, pick, quantile, rate, share, total
from dashboards.style import AMBER, GREEN, RED, Column, Levels
from sidecar.telemetry import catalog

NAMESPACE = ('namespace=~"$namespace"',)
VARIABLES = ("datasource", "namespace", "app")
STATES = {"0": ("closed", GREEN), "1": ("half open", AMBER), "2": ("open", RED)}
ASKED = 'outcome=~"success|error"'  # without calls that were the caller's own mistake
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


# ---- right now ----------------------------------------------------------------------------------


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


# ---- since when ---------------------------------------------------------------------------------


def error_rates() -> timeseries.Panel:
    return style.lines(
        "Error rate by provider",
        "Attempts that ended in an error, a timeout or a throttle, of all attempts, before retries help. A "
        "step up is an incident at the provider; a slow rise is mostly a rate limit. Lines are the alerts' "
        "thresholds.",
        Query(largest(recorded(recordings.ERROR_RATIO), ("provider",)), "{{provider}}"),
        unit="percentunit",
        levels=Levels(DEFAULT.error_rate_warning, DEFAULT.error_rate_critical),
        runbooks=("LLMProviderErrorRateHigh",),
        links=(detail(),),
    )


def slowness() -> timeseries.Panel:
    return style.lines(
        "Latency, as a multiple of the usual",
        "p95 of good attempts divided by the baseline of the same target. Above the line the provider "
        "counts as slow. All providers at once: look at your own network or at the sidecars, not at the "
        "providers.",
        Query(largest(recorded(recordings.LATENCY_RATIO), ("provider",)), "{{provider}}"),
        unit="suffix: x",
        levels=Levels(critical=DEFAULT.latency_factor),
        runbooks=("LLMProviderLatencyDegraded",),
        links=(detail(),),
    )


def shares() -> timeseries.Panel:
    return style.lines(
        "Calls that want it, attempts it gets",
        "By provider. The two lines of a provider lie together in peace. They part when traffic is moved "
        "away: the gap is what fallbacks and breakers carry, and the other provider must have the capacity "
        "for it.",
        Query(weighted(recordings.ASSIGNED_SHARE, "provider"), "{{provider}} wanted"),
        Query(of_all(carried("provider"), carried()), "{{provider}} gets"),
        unit="percentunit",
        links=(detail(),),
    )


def breaker_states() -> statetimeline.Panel:
    return style.states(
        "Breakers",
        "The worst state over all pods. One target red over the whole fleet: the provider. Short red "
        "stripes again and again: it flaps, and the threshold sits on its noise. One pod only: look at that "
        "pod's network.",
        Query(
            largest(pick(catalog.BREAKER_STATE), ("provider", "model", "kind")),
            "{{provider}} {{model}} {{kind}}",
        ),
        texts=STATES,
        runbooks=("LLMBreakerOpen", "LLMBreakerFlapping"),
    )


def breaker_moves() -> timeseries.Panel:
    return style.lines(
        "Breaker transitions",
        "Changes by new state and trigger. run and ratio: failures. probe: it was tried again. manual: "
        "somebody. Many opens and closes in turn mean flapping: more samples or a longer rest.",
        Query(
            count(catalog.BREAKER_TRANSITIONS, by=("provider", "to", "trigger")),
            "{{provider}} {{to}} ({{trigger}})",
        ),
        unit="short",
        bars=True,
        size=(12, 8),
        runbooks=("LLMBreakerFlapping",),
    )


# ---- what the sidecar does ---------------------------------------------------------------------


def fallback_rate() -> timeseries.Panel:
    fell = rate(catalog.REQUESTS, ASKED, 'path="fallback"', by=("namespace", "app"))
    calls = rate(catalog.REQUESTS, ASKED, by=("namespace", "app"))
    return style.lines(
        "Fallback rate by application",
        "Calls answered by another target than the first, of all calls. A rise means the first choice is "
        "failing and the second one carries it: check its price, its quality and its DEFAULT.",
        Query(share(fell, calls), "{{namespace}} {{app}}"),
        unit="percentunit",
        levels=Levels(critical=DEFAULT.fallback_rate),
        runbooks=("LLMFallbackRateHigh", "LLMFallbackBurst"),
    )


def fallback_moves() -> table.Panel:
    moved = happened(catalog.FALLBACKS, by=("from_provider", "to_provider", "reason"))
    return style.table(
        "Fallbacks: from, to, why",
        "Moves in the time shown. The reason is the fault or the refusal that caused them. Moves onto a "
        "provider that is itself degraded are a second outage: shorten the chain or add a target.",
        ("from_provider", "to_provider", "reason"),
        (Column("moves", f"round({moved}) > 0", "short"),),
        size=(8, 8),
        runbooks=("LLMFallbackTargetFailing",),
    )


def retry_rates() -> timeseries.Panel:
    return style.lines(
        "Retry rate by provider",
        "Second and later tries per first try. Above the first line: investigate. Above the second: a "
        "storm; each retry is load on a provider that cannot take it. Denied retries stand on the "
        "provider's board.",
        Query(largest(recorded(recordings.RETRY_RATIO), ("provider",)), "{{provider}}"),
        unit="percentunit",
        levels=Levels(DEFAULT.retry_rate_look, DEFAULT.retry_rate_page),
        runbooks=("LLMRetryStorm", "LLMRetryRateElevated"),
        links=(detail(),),
    )


def account_faults() -> timeseries.Panel:
    return style.lines(
        "Faults of the account",
        "Answers that never heal by waiting: quota, bill, key, permission, a model that is gone. Any bar is "
        "work for a human with access to the account; retries are useless.",
        Query(count(catalog.ALERTS, by=("provider", "error_type")), "{{provider}} {{error_type}}"),
        unit="short",
        bars=True,
        runbooks=("LLMProviderQuotaExhausted", "LLMProviderAuthFailure"),
    )


def skipped() -> timeseries.Panel:
    return style.lines(
        "Targets passed over",
        "Targets that were not asked at all, by reason: an open breaker, a known wait, a missing key. "
        "no_credential is a mistake in the configuration and never heals by itself.",
        Query(rate(catalog.SKIPPED, by=("provider", "reason")), "{{provider}} {{reason}}"),
        unit="reqps",
    )


def nested() -> timeseries.Panel:
    return style.lines(
        "Retries stacked on ours",
        "Calls that are retries of the application's own client. Any steady rate multiplies load in an "
        "incident: set the client's max_retries to 0, the sidecar retries already.",
        Query(count(catalog.NESTED, by=("namespace", "app", "source")), "{{namespace}} {{app}} {{source}}"),
        unit="short",
        bars=True,
        runbooks=("LLMNestedRetries",),
    )


# ---- what applications get ----------------------------------------------------------------------


def tiers() -> timeseries.Panel:
    return style.lines(
        "Calls by tier",
        "What applications were given: full answers, less than that, or nothing. A growing band other than "
        "full means you are living on substitutes; none is a call that got no answer at all.",
        Query(rate(catalog.REQUESTS, by=("tier",)), "{{tier}}"),
        unit="reqps",
        stack=True,
        words="tier",
        runbooks=("LLMDegradedServing",),
    )


def failures_by_app() -> timeseries.Panel:
    failed = rate(catalog.REQUESTS, 'outcome="error"', by=("namespace", "app"))
    ended = rate(catalog.REQUESTS, ASKED, by=("namespace", "app"))
    return style.lines(
        "Failed calls by application",
        "Errors the application saw, of all its calls that were not its own mistake. One application alone: "
        "its route, key or model. All of them: a provider without a fallback, or the sidecars.",
        Query(share(failed, ended), "{{namespace}} {{app}}"),
        unit="percentunit",
        levels=Levels(APP_BUDGET, APP_PAGE),
        runbooks=("LLMAppErrorBudgetBurnFast",),
    )


def burn() -> timeseries.Panel:
    spent = pick(slo.share(recordings.ERROR_SHARE, "1h"))
    return style.lines(
        "Error budget burn, last hour",
        "How many times faster than allowed the month's budget of failed calls is used up. 1 lasts exactly "
        "the month; at the upper line it is gone in two days, and somebody is paged.",
        Query(f"{largest(spent, ('namespace', 'app'))} / {APP_BUDGET:g}", "{{namespace}} {{app}}"),
        unit="suffix: x",
        levels=Levels(TICKET_BURN, PAGE_BURN),
        runbooks=("LLMAppErrorBudgetBurnFast", "LLMAppErrorBudgetBurnSlow"),
    )


def paths() -> timeseries.Panel:
    return style.lines(
        "Calls by path",
        "How calls came to their answer: direct, by a retry, by a fallback, degraded. What is not direct is "
        "what the sidecar saved, and what it cost in time stands beside it.",
        Query(rate(catalog.REQUESTS, by=("path",)), "{{path}}"),
        unit="reqps",
        stack=True,
        words="path",
    )


def latencies() -> timeseries.Panel:
    good = 'outcome="success"'
    return style.lines(
        "p95 of calls, by path",
        "What applications wait for an answer, beside one attempt of a provider. Retry and fallback far "
        "above direct: waits or timeouts are long; shorten the limit to first content. Dots are traces.",
        Query(quantile(0.95, catalog.REQUEST_DURATION, good, by=("path",)), "{{path}}", exemplars=True),
        Query(quantile(0.95, catalog.ATTEMPT_DURATION, good), "one attempt"),
        unit="s",
        links=(frame.to_trace(),),
    )


def outcomes() -> timeseries.Panel:
    return style.lines(
        "Calls by outcome",
        "client_error is the application's own mistake, cancelled is a client that left: both say nothing "
        "about providers. A rise of cancelled in an incident means callers time out before the sidecar "
        "does.",
        Query(rate(catalog.REQUESTS, by=("outcome",)), "{{outcome}}"),
        unit="reqps",
        stack=True,
        words="outcome",
    )


def detail() -> dashboard.DashboardLink:
    return frame.to_board(
        "Detail of ${__field.labels.provider}",
        frame.PROVIDER_UID,
        VARIABLES,
        provider="${__field.labels.provider}",
    )


def board() -> dashboard.Dashboard:
    made = frame.board(
        "LLM fleet and provider health",
        "Which provider is degraded, why, how much of the traffic wants it and how much still hits it.",
        frame.FLEET_UID,
        "namespace",
        "app",
    )
    rows: dict[str, list[style.Panel]] = {
        "Right now: who is degraded, why, and how much traffic is on it": [
            degraded_now(), wants_degraded(), hits_degraded(), failing_calls(), below_full(), providers(),
        ],
        "Since when": [error_rates(), slowness(), shares(), breaker_states(), breaker_moves()],
        "What the sidecar does about it": [
            fallback_rate(), retry_rates(), fallback_moves(), account_faults(), skipped(), nested(),
        ],
        "What applications get": [tiers(), paths(), failures_by_app(), burn(), latencies(), outcomes()],
    }  # fmt: skip
    return frame.fill(made, rows)
