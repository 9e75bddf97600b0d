"""One provider and its models: what goes wrong there, how slow it is, how good, and what it eats."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, heatmap, stat, statetimeline, table, timeseries

from alerts import recordings
from alerts.thresholds import DEFAULT
from dashboards import frame, style
from dashboards.fleet import STATES
from dashboards.query import (
    FLEET,
    PROVIDER,
    TARGET,
    Query,
    count,
    happened,
    largest,
    pick,
    quantile,
    rate,
    share,
    smallest,
)
from dashboards.style import Column, Levels
from sidecar.telemetry import catalog

ONE = (*FLEET, *PROVIDER)
EACH = (*FLEET, *TARGET)
RECORDED = ('namespace=~"$namespace"', *PROVIDER)
GOOD = 'outcome="success"'
MODEL = ("provider", "model")


def target(name: str) -> str:
    return pick(name, scope=('namespace=~"$namespace"', *TARGET))


# ---- at a glance --------------------------------------------------------------------------------


def why() -> stat.Panel:
    sick = f"{largest(pick(recordings.DEGRADED, scope=RECORDED), ('provider', 'cause'))} > 0"
    well = (
        f'label_replace({largest(pick(recordings.DEGRADED, scope=RECORDED))} == 0, "cause", "well", "", "")'
    )
    return style.number(
        "Degraded by",
        "The causes by which the provider counts as degraded now. Each has a row below: errors first, then "
        "latency, then quality and breakers. Green: none.",
        Query(f"{sick} or {well}", "{{provider}} {{cause}}"),
        unit="short",
        levels=Levels(critical=1),
        names=True,
        size=(8, 4),
        runbooks=("LLMProviderErrorRateCritical",),
    )


def errors_now() -> stat.Panel:
    return style.number(
        "Error rate",
        "Errors, timeouts and throttles of all attempts, as the alert sees it. Above the second threshold "
        "somebody is paged: force the breaker open if fallbacks do not carry it yet.",
        Query(largest(pick(recordings.ERROR_RATIO, scope=RECORDED)), "error rate"),
        unit="percentunit",
        levels=Levels(DEFAULT.error_rate_warning, DEFAULT.error_rate_critical),
        runbooks=("LLMProviderErrorRateHigh",),
    )


def slow_now() -> stat.Panel:
    return style.number(
        "p95 over baseline",
        "The slowest model's p95 as a multiple of what is usual for it. Above the threshold the provider "
        "counts as slow; see whether first content or the rest of the answer takes the time.",
        Query(largest(target(recordings.LATENCY_RATIO)), "p95 over baseline"),
        unit="suffix: x",
        levels=Levels(critical=DEFAULT.latency_factor),
        runbooks=("LLMProviderLatencyDegraded",),
    )


def load() -> stat.Panel:
    return style.number(
        "Attempts",
        "What the provider gets per second, retries included. Compare with its rate limit; zero means that "
        "breakers or an operator keep traffic away.",
        Query(rate(catalog.ATTEMPTS, scope=EACH, over="5m"), "attempts"),
        unit="reqps",
    )


def breaker_now() -> stat.Panel:
    return style.number(
        "Breaker",
        "The worst breaker of the selection over all pods. Open: it gets probes only. Half open: it is "
        "being tried again. An operator can force it either way.",
        Query(largest(pick(catalog.BREAKER_STATE, scope=EACH)), "breaker"),
        unit="short",
        levels=Levels(warning=1, critical=2),
        texts=STATES,
        runbooks=("LLMBreakerOpen",),
    )


# ---- errors -----------------------------------------------------------------------------------


def outcomes() -> timeseries.Panel:
    return style.lines(
        "Attempts by outcome",
        "throttled: its DEFAULT. timeout and provider_error: its trouble. quality: it answers, but not well. "
        "caller_error: your requests. Only the middle two are an incident of the provider.",
        Query(rate(catalog.ATTEMPTS, by=("outcome",), scope=EACH), "{{outcome}}"),
        unit="reqps",
        stack=True,
        words="outcome",
        links=(frame.to_trace(),),
    )


def classes() -> timeseries.Panel:
    return style.lines(
        "Errors by class",
        "Which fault it is decides what helps. overloaded and server_error: wait, fall back. rate_limit: "
        "spread or ask for more. quota, billing, auth: the account. context_window, invalid_request: the "
        "application.",
        Query(rate(catalog.ATTEMPTS, 'outcome!="success"', by=("error_type",), scope=EACH), "{{error_type}}"),
        unit="reqps",
        stack=True,
        runbooks=("LLMProviderErrorRateHigh", "LLMProviderQuotaExhausted", "LLMProviderAuthFailure"),
        links=(frame.to_trace(),),
    )


def error_rates() -> timeseries.Panel:
    wrong = rate(catalog.ATTEMPTS, recordings.PROVIDER_FAULT, by=MODEL, scope=EACH)
    return style.lines(
        "Error rate by model",
        "One model alone: it is overloaded, renamed or retired; move its traffic to a sibling. All models: "
        "the provider, the key or the way to it.",
        Query(
            share(wrong, rate(catalog.ATTEMPTS, recordings.TELLING, by=MODEL, scope=EACH)),
            "{{provider}} {{model}}",
        ),
        unit="percentunit",
        levels=Levels(DEFAULT.error_rate_warning, DEFAULT.error_rate_critical),
    )


def kinds() -> timeseries.Panel:
    return style.lines(
        "Attempts by kind",
        "initial: first tries. retry: again at the same target. fallback: taken over from another provider. "
        "probe: a breaker's test. A wide retry band is load that you cause yourself.",
        Query(rate(catalog.ATTEMPTS, by=("kind",), scope=EACH), "{{kind}}"),
        unit="reqps",
        stack=True,
        words="kind",
        runbooks=("LLMRetryStorm",),
    )


def retries_that_help() -> timeseries.Panel:
    good = rate(catalog.ATTEMPTS, 'kind="retry"', GOOD, by=("provider",), scope=ONE)
    return style.lines(
        "Retries that help",
        "Share of retries that succeed. High: blips, and retrying is right. Near zero: an outage, and each "
        "retry only adds load and waiting; fewer attempts, or let the breaker open earlier.",
        Query(
            share(good, rate(catalog.ATTEMPTS, 'kind="retry"', by=("provider",), scope=ONE)), "{{provider}}"
        ),
        unit="percentunit",
    )


def denied() -> timeseries.Panel:
    return style.lines(
        "Retries not made",
        "Retries that were forbidden, by cause. budget: the storm protection works. deadline: no time was "
        "left. A steady rate of budget outside an incident: the target fails more than its budget expects.",
        Query(rate(catalog.RETRIES_DENIED, by=("provider", "cause"), scope=ONE), "{{provider}} {{cause}}"),
        unit="reqps",
        bars=True,
        runbooks=("LLMRetryBudgetExhausted",),
    )


# ---- latency ------------------------------------------------------------------------------------


def durations() -> heatmap.Panel:
    buckets = count(catalog.ATTEMPT_DURATION, GOOD, by=("le",), scope=EACH, part="_bucket")
    return style.heat(
        "Duration of good attempts",
        "Where answers lie in time. Two bands: two models, or streams and whole answers. A band that "
        "climbs: the provider queues. A sharp upper edge: your own limit cuts them.",
        Query(buckets, "{{le}}"),
        unit="s",
    )


def against_baseline() -> timeseries.Panel:
    usual = f"{largest(target(recordings.P95_BASELINE), MODEL)} * {DEFAULT.latency_factor:g}"
    return style.lines(
        "p95, and where slow begins",
        "p95 of good attempts and the alert's line for the same model. Crossing it counts as degraded by "
        "latency. A baseline that climbs too: a slow drift, not an incident.",
        Query(largest(target(recordings.P95), MODEL), "{{provider}} {{model}}"),
        Query(usual, "{{provider}} {{model}} slow from here"),
        unit="s",
        size=(12, 8),
        runbooks=("LLMProviderLatencyDegraded",),
    )


def first_content() -> timeseries.Panel:
    return style.lines(
        "Time to first content",
        "Of streams; keep-alives are not content. Up while the whole duration rises as much: the provider "
        "queues. Not up while answers take longer: the model writes slower, or the answers are longer.",
        *(
            Query(
                quantile(q, catalog.FIRST_TOKEN, by=("model",), scope=EACH),
                f"{{{{model}}}} p{q * 100:g}",
                q == 0.95,
            )
            for q in (0.5, 0.95, 0.99)
        ),
        unit="s",
        links=(frame.to_trace(),),
    )


def attempts_p95() -> timeseries.Panel:
    failure = 'outcome="failure"'
    return style.lines(
        "p95 of attempts, good and failed",
        "Failures that take as long as the limit are timeouts, and each costs the caller that time: lower "
        "the limit. Failures in no time are refusals. Dots are traces.",
        Query(
            quantile(0.95, catalog.ATTEMPT_DURATION, GOOD, by=("model",), scope=EACH),
            "{{model}} good",
            exemplars=True,
        ),
        Query(
            quantile(0.95, catalog.ATTEMPT_DURATION, failure, by=("model",), scope=EACH), "{{model}} failed"
        ),
        unit="s",
        links=(frame.to_trace(),),
    )


def hedges() -> timeseries.Panel:
    return style.lines(
        "Hedges",
        "Targets of this provider that were asked beside a slow one. won: they cut the tail. Mostly lost: "
        "they are no faster than who was waited for. denied: the budget was spent; much of it means that "
        "the first target is slow as a whole, which is no matter for hedging.",
        Query(rate(catalog.HEDGES, by=("provider", "result"), scope=ONE), "{{provider}} {{result}}"),
        unit="reqps",
        runbooks=("LLMProviderLatencyDegraded", "LLMDetourCostHigh"),
    )


def waits() -> timeseries.Panel:
    return style.lines(
        "Waiting between attempts",
        "Seconds of waiting per second, by who asked for it: our backoff or the provider. Much from the "
        "provider means that its limits set your latency: fall back earlier.",
        Query(rate(catalog.RETRY_WAIT, by=("provider", "source"), scope=ONE), "{{provider}} {{source}}"),
        unit="s",
    )


# ---- quality, streams, breakers -----------------------------------------------------------------


def violations() -> timeseries.Panel:
    by = (*MODEL, "signal")
    bad = rate(catalog.QUALITY, by=by, scope=EACH)
    seen = rate(catalog.EVALUATIONS, by=by, scope=EACH)
    return style.lines(
        "Quality violations by signal",
        "Share of the judged answers that a signal objects to. A step after a new model version: pin the "
        "model. One signal on one route: the prompt or its schema. Several at once: the provider is unwell.",
        Query(share(bad, seen), "{{model}} {{signal}}"),
        unit="percentunit",
        levels=Levels(critical=DEFAULT.quality_rate),
        runbooks=("LLMQualityViolations",),
    )


def siblings() -> table.Panel:
    """What a canary is held against: the other members of its group."""
    whole = rate(catalog.ATTEMPTS, recordings.TELLING, by=MODEL, scope=EACH, over="$__range")

    def part(outcome: str) -> str:
        found = rate(catalog.ATTEMPTS, outcome, by=MODEL, scope=EACH, over="$__range")
        return share(found, whole)

    def slowest(q: float, row: catalog.Metric, *matchers: str) -> str:
        buckets = rate(row, *matchers, by=(*MODEL, "le"), scope=EACH, part="_bucket", over="$__range")
        return f"histogram_quantile({q:g}, {buckets}) >= 0"

    objected = rate(catalog.QUALITY, 'action!="observed"', by=MODEL, scope=EACH, over="$__range")
    return style.table(
        "Targets side by side",
        "All attempts in the time shown, by target. A canary is well if it stands the comparison with its "
        "sibling: as much success, no more rejected for quality, no slower. Widen the time until the canary "
        "has some hundred attempts; of fewer, one failure is a percent.",
        MODEL,
        (
            Column("attempts", f"{whole} * $__range_s > 0", "short"),
            Column("success", part(GOOD)),
            Column("rejected for quality", part('outcome="quality"')),
            Column("objected to", share(objected, whole)),
            Column("first content p50", slowest(0.5, catalog.FIRST_TOKEN), "s"),
            Column("first content p95", slowest(0.95, catalog.FIRST_TOKEN), "s"),
            Column("whole answer p95", slowest(0.95, catalog.ATTEMPT_DURATION, GOOD), "s"),
        ),
        size=(24, 7),
        runbooks=("LLMQualityViolations",),
    )


def actions() -> table.Panel:
    done = happened(catalog.QUALITY, by=("provider", "signal", "action"), scope=EACH)
    return style.table(
        "What was done about them",
        "Violations in the time shown. observed: only counted. rejected: the answer was held back and asked "
        "for again. served: nobody had a better one. Many served: applications see bad answers.",
        ("provider", "signal", "action"),
        (Column("answers", f"round({done}) > 0", "short"),),
        size=(8, 8),
        runbooks=("LLMQualityViolations",),
    )


def interruptions() -> timeseries.Panel:
    return style.lines(
        "Broken streams",
        "Streams that stalled, were cut or became unreadable. before_first can be repaired by a retry. mid "
        "and not recovered is what users see as half an answer: look at idle timeouts of proxies, then at "
        "the provider; `continuation` lets another one go on.",
        Query(
            rate(catalog.INTERRUPTIONS, by=("provider", "phase", "recovered"), scope=ONE),
            "{{provider}} {{phase}} recovered: {{recovered}}",
        ),
        Query(
            rate(catalog.CONTINUATIONS, by=("provider", "result"), scope=ONE),
            "{{provider}} continued elsewhere: {{result}}",
        ),
        unit="reqps",
        runbooks=("LLMStreamInterruptions",),
    )


def breaker_states() -> statetimeline.Panel:
    return style.states(
        "Breakers",
        "Transport breakers open on failures, quality breakers on bad answers; the worst of all pods. Open "
        "for long: its probes fail too. See the trigger beside it.",
        Query(
            largest(pick(catalog.BREAKER_STATE, scope=EACH), (*MODEL, "kind")),
            "{{provider}} {{model}} {{kind}}",
        ),
        texts=STATES,
        size=(8, 8),
        runbooks=("LLMBreakerOpen",),
    )


def breaker_moves() -> timeseries.Panel:
    moved = count(catalog.BREAKER_TRANSITIONS, by=("model", "kind", "to", "trigger"), scope=EACH)
    return style.lines(
        "Breaker transitions",
        "run: failures in a row. ratio: too many of the last ones. probe: its test failed or passed. "
        "Opening and closing in turn: flapping, give it a longer rest.",
        Query(moved, "{{model}} {{kind}} {{to}} ({{trigger}})"),
        unit="short",
        bars=True,
        runbooks=("LLMBreakerFlapping",),
    )


def kept_away() -> timeseries.Panel:
    return style.lines(
        "Attempts a breaker kept away",
        "Load that the provider was spared and callers did not wait for. It ends within seconds of the "
        "breaker closing; if callers fail meanwhile, the chain has nowhere else to go.",
        Query(rate(catalog.BREAKER_REJECTED, by=MODEL, scope=EACH), "{{provider}} {{model}}"),
        unit="reqps",
    )


def losses() -> timeseries.Panel:
    lost = rate(catalog.LOSSES, 'how!="cost"', by=("provider", "how"), scope=ONE)
    return style.lines(
        "Lost on the way to a stand-in",
        "Fields per second that a stand-in was not told as they were written. dropped and clamped: what its "
        "model or dialect has not; `x-llm-sidecar-losses` and the attempt's span name them. To rather skip "
        "such targets set on_loss on the route.",
        Query(lost, "{{provider}} {{how}}"),
        unit="suffix: fields/s",
        links=(frame.to_trace(),),
    )


# ---- tokens -------------------------------------------------------------------------------------


def tokens() -> timeseries.Panel:
    return style.lines(
        "Tokens by type",
        "As the provider reports them; cached and reasoning are parts of input and output. Output falling "
        "while calls do not: answers got shorter. reasoning rising: time to first content will too.",
        Query(rate(catalog.TOKENS, by=("type",), scope=EACH), "{{type}}"),
        unit="suffix: tokens/s",
        size=(12, 8),
    )


def wasted() -> timeseries.Panel:
    over = rate(catalog.TOKENS, 'type=~"input|output"', 'purpose="overhead"', by=("provider",), scope=EACH)
    whole = rate(catalog.TOKENS, 'type=~"input|output"', by=("provider",), scope=EACH)
    return style.lines(
        "Tokens nobody got",
        "Share of tokens that were spent on answers that were not served: rejected, cut or retried. This is "
        "the price of resilience; when it stays up outside an incident, see which signal rejects.",
        Query(share(over, whole), "{{provider}}"),
        unit="percentunit",
        size=(12, 8),
    )


def retirements() -> table.Panel:
    left = f"({smallest(pick(catalog.RETIREMENT, scope=EACH), MODEL)} - time()) / 86400"
    return style.table(
        "Models that retire",
        "Days until a model's last day is over, where the catalogue or the configuration knows it. Amber: "
        "find the successor, try it as a canary, and change the route. Below zero: it is passed over as a "
        "stand-in, and calls for it fail.",
        MODEL,
        (Column("days left", left, "d", Levels(DEFAULT.retirement_seconds / 86400, falling=True)),),
        size=(24, 5),
        runbooks=("LLMModelRetiring",),
    )


def board() -> dashboard.Dashboard:
    made = frame.board(
        "LLM provider and model detail",
        "What goes wrong at one provider, how slow it is, how good its answers are, and what it eats.",
        frame.PROVIDER_UID,
        "namespace",
        "app",
        "provider",
        "model",
    )
    rows: dict[str, list[style.Panel]] = {
        "At a glance": [why(), errors_now(), slow_now(), load(), breaker_now()],
        "Errors and retries": [
            outcomes(), classes(), error_rates(), kinds(), retries_that_help(), denied(), losses(),
        ],
        "Latency": [durations(), against_baseline(), first_content(), attempts_p95(), waits(), hedges()],
        "Quality, streams and breakers": [
            siblings(),
            violations(), actions(), interruptions(), breaker_states(), breaker_moves(), kept_away(),
        ],
        "Tokens, and models that retire": [tokens(), wasted(), retirements()],
    }  # fmt: skip
    return frame.fill(made, rows)
