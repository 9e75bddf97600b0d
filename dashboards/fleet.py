"""The board of the person on call: which provider is degraded, why, and how much traffic is on it.

The first row answers that without scrolling. Its numbers are the ones the alerts look at, over the
alerts' window and per namespace; below it `app` narrows what applications see.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, statetimeline, table, timeseries

from alerts import recordings, slo
from alerts.thresholds import DEFAULT, PAGE_BURN, TICKET_BURN
from dashboards import frame, money, right_now, style
from dashboards.query import Query, count, happened, largest, pick, quantile, rate, share
from dashboards.style import AMBER, GREEN, RED, Column, Levels
from sidecar.telemetry import catalog

STATES = {"0": ("closed", GREEN), "1": ("half open", AMBER), "2": ("open", RED)}
ASKED = 'outcome=~"success|error"'  # without calls that were the caller's own mistake


# ---- since when ---------------------------------------------------------------------------------


def error_rates() -> timeseries.Panel:
    return style.lines(
        "Error rate by provider",
        "Attempts that ended in an error, a timeout or a throttle, of all attempts, before retries help. A "
        "step up is an incident at the provider; a slow rise is mostly a rate limit. Lines are the alerts' "
        "thresholds.",
        Query(largest(right_now.recorded(recordings.ERROR_RATIO), ("provider",)), "{{provider}}"),
        unit="percentunit",
        levels=Levels(DEFAULT.error_rate_warning, DEFAULT.error_rate_critical),
        runbooks=("LLMProviderErrorRateHigh",),
        links=(right_now.detail(),),
    )


def slowness() -> timeseries.Panel:
    return style.lines(
        "Latency, as a multiple of the usual",
        "p95 of good attempts divided by the baseline of the same target. Above the line the provider "
        "counts as slow. All providers at once: look at your own network or at the sidecars, not at the "
        "providers.",
        Query(largest(right_now.recorded(recordings.LATENCY_RATIO), ("provider",)), "{{provider}}"),
        unit="suffix: x",
        levels=Levels(critical=DEFAULT.latency_factor),
        runbooks=("LLMProviderLatencyDegraded",),
        links=(right_now.detail(),),
    )


def shares() -> timeseries.Panel:
    return style.lines(
        "Calls that want it, attempts it gets",
        "By provider. The two lines of a provider lie together in peace. They part when traffic is moved "
        "away: the gap is what fallbacks and breakers carry, and the other provider must have the capacity "
        "for it.",
        Query(right_now.weighted(recordings.ASSIGNED_SHARE, "provider"), "{{provider}} wanted"),
        Query(right_now.of_all(right_now.carried("provider"), right_now.carried()), "{{provider}} gets"),
        unit="percentunit",
        links=(right_now.detail(),),
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
        Query(largest(right_now.recorded(recordings.RETRY_RATIO), ("provider",)), "{{provider}}"),
        unit="percentunit",
        levels=Levels(DEFAULT.retry_rate_look, DEFAULT.retry_rate_page),
        runbooks=("LLMRetryStorm", "LLMRetryRateElevated"),
        links=(right_now.detail(),),
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
        "incident: set the client's max_retries to 0, the sidecar retries already. joined: those that cost "
        "nothing, because they took part in a call that is the same.",
        Query(count(catalog.NESTED, by=("namespace", "app", "source")), "{{namespace}} {{app}} {{source}}"),
        Query(count(catalog.JOINED, by=("namespace", "app", "how")), "{{namespace}} {{app}} joined: {{how}}"),
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
        levels=Levels(right_now.APP_BUDGET, right_now.APP_PAGE),
        runbooks=("LLMAppErrorBudgetBurnFast",),
    )


def burn() -> timeseries.Panel:
    spent = pick(slo.share(recordings.ERROR_SHARE, "1h"))
    return style.lines(
        "Error budget burn, last hour",
        "How many times faster than allowed the month's budget of failed calls is used up. 1 lasts exactly "
        "the month; at the upper line it is gone in two days, and somebody is paged.",
        Query(f"{largest(spent, ('namespace', 'app'))} / {right_now.APP_BUDGET:g}", "{{namespace}} {{app}}"),
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


def board() -> dashboard.Dashboard:
    made = frame.board(
        "LLM fleet and provider health",
        "Which provider is degraded, why, how much of the traffic wants it and how much still hits it.",
        frame.FLEET_UID,
        "namespace",
        "app",
    )
    rows: dict[str, list[style.Panel]] = {
        "Right now: who is degraded, why, and how much traffic is on it": right_now.row(),
        "Since when": [error_rates(), slowness(), shares(), breaker_states(), breaker_moves()],
        "What the sidecar does about it": [
            fallback_rate(), retry_rates(), fallback_moves(), account_faults(), skipped(), nested(),
        ],
        "What applications get": [tiers(), paths(), failures_by_app(), burn(), latencies(), outcomes()],
        "What it costs": money.row(),
    }  # fmt: skip
    return frame.fill(made, rows)
