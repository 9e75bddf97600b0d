"""Every metric as a row of data, named once: exporter, reference, dashboards and alerts read it here.

What the rows promise. Units are base units and stand in the name. No label value comes from a
client as it is: routes, providers and targets are the configured ones, models are the configured
ones and the first `MODELS` that answered, everything else is `OTHER`, and what was folded into it
is counted. Pod, namespace and application are the scrape's business.

`bound` is how many label combinations of a metric one pod keeps for up to six targets and eight
routes; a larger configuration gets proportionally more. From three quarters of it on new
combinations lose their model, at the bound everything, so sums over a metric stay true.

Counters of what configuration names exist at 0 from the start: a counter that is born at 1 has an
increase of 0, so the first opened breaker and the first refused key would be invisible.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

PREFIX = "llm_sidecar_"
OTHER = "other"
MODELS = 32  # unconfigured models that get a label of their own


class MetricKind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    name: str  # as scraped, except for the suffixes of a histogram
    kind: MetricKind
    unit: str  # "" or the word before _total in the name
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    bound: int = 1  # label combinations, see above
    debug: bool = False  # on no board and in no rule of ours
    optional: bool = False  # not there at all unless what it tells of is configured

    @property
    def series(self) -> int:
        """Most time series of this metric in a pod of usual size."""
        per_child = len(self.buckets) + 3 if self.kind is MetricKind.HISTOGRAM else 1  # +Inf, sum, count
        return self.bound * per_child


def _counter(
    name: str,
    labels: tuple[str, ...],
    bound: int,
    text: str,
    *,
    unit: str = "",
    debug: bool = False,
    optional: bool = False,
) -> Metric:
    kind = MetricKind.COUNTER
    return Metric(PREFIX + name, kind, unit, labels, text, bound=bound, debug=debug, optional=optional)


def _gauge(name: str, labels: tuple[str, ...], bound: int, text: str, *, unit: str = "") -> Metric:
    return Metric(PREFIX + name, MetricKind.GAUGE, unit, labels, text, bound=bound)


def _seconds(name: str, labels: tuple[str, ...], bound: int, text: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(PREFIX + name, MetricKind.HISTOGRAM, "seconds", labels, text, buckets, bound)


# the grid of the GenAI conventions, shifted: reasoning calls pass its 82 s, and no call is so short that
# it needs the first steps
DURATION = (0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68)
FIRST = (0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96)
OVERHEAD = (0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256)

# ---- what the application sees ------------------------------------------------------------

REQUESTS = _counter(
    "requests_total",
    ("route", "operation", "primary_provider", "outcome", "tier", "path"),
    80,
    "Calls of the application, by what it got: outcome is success, error, client_error or cancelled; "
    "path is direct, retry, fallback, hedge, cache (an answer given again, fresh: tier full) or degraded. "
    "primary_provider is the chain's first, answering or not.",
)
REQUEST_DURATION = _seconds(
    "request_duration_seconds",
    ("route", "path", "outcome"),
    13,
    "From a call's arrival to its last byte, waits included; successes and errors only.",
    DURATION,
)
IN_FLIGHT = _gauge("requests_in_flight", (), 1, "Calls that are being served now.")

# ---- what the providers do -----------------------------------------------------------------

ATTEMPTS = _counter(
    "attempts_total",
    ("provider", "model", "kind", "outcome", "error_type"),
    100,
    "Exchanges with providers. kind is initial, retry, fallback, hedge, continuation or probe; outcome is "
    "success, provider_error, timeout, throttled, quality, caller_error or cancelled; error_type is the "
    "fault, empty on success.",
)
ATTEMPT_DURATION = _seconds(
    "attempt_duration_seconds",
    ("provider", "model", "outcome"),
    13,
    "One exchange with a provider, by success or failure; cancelled ones are not counted.",
    DURATION,
)
FIRST_TOKEN = _seconds(
    "time_to_first_token_seconds",
    ("provider", "model"),
    8,
    "From an attempt's start to its first content; streams only. Keep-alives are not content.",
    FIRST,
)
INTERRUPTIONS = _counter(
    "stream_interruptions_total",
    ("provider", "phase", "recovered"),
    12,
    "Streams that stalled, were cut or became unreadable, before their first content (before_first) or "
    "after it (mid); recovered says whether the application got a whole answer all the same.",
)
TOKENS = _counter(
    "tokens_total",
    ("provider", "model", "type", "purpose"),
    48,
    "Tokens as providers report them. cache_read, cache_write and reasoning are parts of input and output; "
    "purpose is served, or overhead for answers nobody got whole: rejected, cut or left.",
    unit="tokens",
)
COST = _counter(
    "cost_dollars_total",
    ("provider", "model", "purpose", "estimated"),
    28,
    "What attempts cost, by the catalogue's prices and your own. purpose is served, retry, fallback, hedge "
    "or quality_rejected: all but served is what the detours cost; estimated: a provider did not report all "
    "its tokens, or the price is of a model with another date.",
    unit="dollars",
)
UNPRICED = _counter(
    "unpriced_attempts_total",
    ("provider", "model"),
    8,
    "Attempts that a provider took and whose price nobody knows; they are in no cost.",
)
SPENT = _gauge(
    "cost_last_hour_dollars", (), 1, "What the attempts of the last hour cost in this pod.", unit="dollars"
)
BUDGET = _gauge(
    "cost_hourly_budget_dollars",
    (),
    1,
    "What this pod may spend in an hour; 0 without such a budget.",
    unit="dollars",
)
RETIREMENT = replace(
    _gauge(
        "model_retirement_timestamp_seconds",
        ("provider", "model"),
        8,
        "When the last day of a model is over, Unix time: of the models that are configured or answered, as "
        "far as the catalogue or the configuration knows the day; the nearest days where there are more.",
        unit="seconds",
    ),
    optional=True,
)
CONNECTIONS = _gauge("upstream_connections", ("provider", "state"), 12, "Connections, active and idle.")

# ---- what the sidecar does about it ---------------------------------------------------------

RETRIES_DENIED = _counter(
    "retries_denied_total", ("provider", "cause"), 20, "Retries that were not made, by what forbade them."
)
RETRY_WAIT = _counter(
    "retry_wait_seconds_total",
    ("provider", "source"),
    8,
    "Seconds planned between attempts, by who asked for them: our backoff or the provider.",
    unit="seconds",
)
NESTED = _counter(
    "nested_retries_total",
    ("source",),
    3,
    "Calls that are retries of the application's own client, stacked on ours.",
)
SHADOWED = _counter(
    "shadow_decisions_total",
    ("what",),
    8,
    "What policies of routes in shadow would have done: retry, fallback, breaker, quality_breaker, "
    "known_wait, reject, timeout or degrade.",
    debug=True,
    optional=True,
)
DRILLS = _counter(
    "drills_total",
    ("fault",),
    6,
    "Faults that were played on purpose in a provider's place.",
    debug=True,
    optional=True,
)
JOINED = _counter(
    "joined_total",
    ("how",),
    2,
    "Calls that took part in the answer of one that is the same: running, or answered already.",
)
FALLBACKS = _counter(
    "fallbacks_total",
    ("from_provider", "from_model", "to_provider", "to_model", "reason"),
    32,
    "Moves to the next target, by the fault or the refusal that caused them.",
)
HEDGES = _counter(
    "hedges_total",
    ("provider", "result"),
    10,
    "Targets that were asked, or would have been, beside a slow one, by the second one's provider: won (its "
    "answer was taken), lost, failed (it had none), left (the call ended first) or denied (the budget was "
    "spent).",
)
CONTINUATIONS = _counter(
    "continuations_total",
    ("provider", "result"),
    9,
    "Streams of the provider that broke off after commit and went on elsewhere: whole, cut again, or nobody "
    "could.",
)
SKIPPED = _counter(
    "targets_skipped_total",
    ("provider", "reason"),
    24,
    "Targets that were passed over without being asked: for a breaker, a known wait, a missing key, or for "
    "what their model cannot do (context_window, images, tools, ...) or be told (unrepresentable, losses).",
)
LOSSES = _counter(
    "losses_total",
    ("provider", "how"),
    12,
    "Fields of requests and answers that did not reach a stand-in as they were: dropped, clamped, merged, "
    "hoisted, emulated, silent (a mistake of ours), or cost, where only the bill changes.",
)
BREAKER_STATE = _gauge(
    "breaker_state",
    ("provider", "model", "kind"),
    12,
    "0 closed, 1 half open, 2 open: the worst breaker of this kind (transport or quality) on the target.",
)
BREAKER_TRANSITIONS = _counter(
    "breaker_transitions_total",
    ("provider", "model", "kind", "to", "trigger"),
    36,
    "Changes of breakers, by the new state and the trigger: run, ratio, rest_over, probe, manual, fleet or "
    "pardon.",
)
BREAKER_REJECTED = _counter(
    "breaker_rejected_total", ("provider", "model"), 12, "Attempts an open breaker did not let through."
)
QUALITY = _counter(
    "quality_violations_total",
    ("provider", "model", "signal", "action"),
    32,
    "Answers a quality signal objected to, by what was done: observed, rejected or served all the same.",
)
EVALUATIONS = _counter(
    "quality_evaluations_total",
    ("provider", "model", "signal"),
    32,
    "Answers a quality signal had something to look at: what its violations are a share of. The model is "
    "other where the application chooses it.",
)
ALERTS = _counter(
    "operator_alerts_total",
    ("provider", "model", "error_type"),
    54,
    "Answers that need a human: a quota, a bill, a key, a permission, a model that is gone.",
)
SHED = _counter(
    "admission_rejected_total", ("reason",), 3, "Calls refused at the door: concurrency, memory or draining."
)
REFUSED = _counter(
    "refused_total",
    ("reason",),
    9,
    "Requests and connections turned away before they became calls: malformed, too_large, slow, "
    "unknown (no such provider or route), host, token, not_allowed, websocket, connections (too many).",
)

# ---- answers that were given before ------------------------------------------------------------

CACHE_LOOKUPS = replace(
    _counter(
        "cache_lookups_total",
        ("result",),
        5,
        "What the cache had for calls of routes with one. hit: a fresh answer, nobody was asked; miss: there "
        "was none; stale_hit: everybody failed and an earlier answer stood in; semantic_hit: one to "
        "the nearest question did; stale_miss: there was none.",
    ),
    optional=True,
)
CACHE_STORES = _counter("cache_stores_total", (), 1, "Answers that the cache took in.")
CACHE_EVICTIONS = replace(
    _counter(
        "cache_evictions_total",
        ("reason",),
        2,
        "Answers that left the cache before their time: room (its bounds), or memory (the container has too "
        "little).",
    ),
    optional=True,
)
CACHE_BYTES = _gauge(
    "cache_bytes", (), 1, "Bytes of the answers in the cache, all routes together.", unit="bytes"
)

# ---- the sidecar itself ----------------------------------------------------------------------

OVERHEAD_TIME = _seconds(
    "overhead_seconds",
    ("stream",),
    2,
    "A call's time that was neither a provider's, nor a wait between attempts, nor a slow client's.",
    OVERHEAD,
)
LAG = _gauge(
    "event_loop_lag_max_seconds", (), 1, "Longest delay of the event loop in the last minute.", unit="seconds"
)
BUGS = _counter(
    "internal_errors_total", (), 1, "Calls that met an error of ours and went straight to their provider."
)
RELOAD_OK = _gauge(
    "config_last_reload_successful", (), 1, "1 if the configuration on disk is the one in use, else 0."
)
RELOAD_TIME = _gauge(
    "config_last_reload_timestamp_seconds",
    (),
    1,
    "When the configuration in use was loaded, Unix time.",
    unit="seconds",
)
RELOADS = _counter("config_reloads_total", ("result",), 2, "Reloads of the configuration: ok or failed.")
CONFIG = _gauge(
    "config_info", ("config_hash",), 1, "1, labelled with the digest of the configuration in use."
)
# ---- the operator's levers, and the pod's end -------------------------------------------------

BYPASS = _gauge("bypass", (), 1, "1 while all policy is passed by, whoever said so.")
OVERRIDES = _gauge(
    "overrides_active",
    ("kind",),
    6,
    "Overrides of an operator that hold now, by kind: bypass, breakers, chains, timeouts, static, disable.",
)
OVERRIDES_OK = _gauge(
    "overrides_last_read_successful", (), 1, "1 if the overrides on disk, or none, are those in use, else 0."
)
MEMORY_PRESSURE = _gauge(
    "memory_pressure",
    (),
    1,
    "What the container's memory limit costs: 0 nothing, 1 answers are held back less, "
    "2 large request bodies are refused too.",
)
MEMORY_USED = _gauge(
    "memory_used_ratio",
    (),
    1,
    "Memory of the container that cannot be dropped, as a share of its limit; 0 without a limit.",
    unit="ratio",
)
DRAINING = _gauge("draining", (), 1, "1 once the pod ends: calls are served, the sidecar is not ready.")

# ---- what the pods tell each other --------------------------------------------------------------

SHARED_SILENT = _gauge(
    "shared_silent",
    ("prefix",),
    1,
    "1 while the Redis where pods meet does not answer, else 0. Absent where nothing is shared.",
)
SHARED_ERRORS = _counter(
    "shared_errors_total",
    ("reason",),
    8,
    "What went wrong there. Rounds that failed: auth, connection, reply, setup, timeout; values not "
    "believed: forged, stale, unreadable.",
)
SHARED_ADVICE = _counter(
    "shared_advice_total",
    ("kind",),
    4,
    "Advice of other pods that was taken: a breaker tripped early, the verdict of a probe, a wait; "
    "and probes that this pod was elected for.",
)

# ---- interception ------------------------------------------------------------------------------

CAPTURED = _counter(
    "capture_connections_total",
    ("how", "reason"),
    18,
    "Connections to the proxy port: intercepted (a provider's host), tunnelled, refused, or failed in their "
    "TLS handshake. A failed one with the reason untrusted: its client does not trust this pod's authority.",
)
TUNNELS = _gauge("capture_tunnels", (), 1, "Tunnels that are open: connections that nobody looks into.")

# ---- deferred calls ----------------------------------------------------------------------------

DEFERRED = _counter(
    "deferred_events_total",
    ("event", "reason"),
    12,
    "What became of deferred calls: accepted, put_off (asked for in vain, and kept), answered, failed (for "
    "good), expired, dropped (by an operator), or refused, by reason: items, bytes, full_disk, ...",
)
DEFERRED_JOBS = _gauge(
    "deferred_jobs", ("state",), 4, "Deferred calls that wait, are running, are answered or failed, and kept."
)
DEFERRED_OLDEST = _gauge(
    "deferred_oldest_age_seconds", (), 1, "How long the oldest deferred call has waited.", unit="seconds"
)
DEFERRED_BYTES = _gauge(
    "deferred_bytes", (), 1, "Bytes of deferred calls that wait and of answers that are kept."
)
DEFERRED_FULL = _gauge(
    "deferred_full_ratio", (), 1, "How full the queue is: the fullest of its bounds.", unit="ratio"
)
DEFERRED_OK = _gauge(
    "deferred_usable", (), 1, "1 while the file of deferred calls can be written, or none is needed; else 0."
)
WAITING: tuple[Metric, ...] = tuple(
    replace(metric, optional=True)
    for metric in (DEFERRED, DEFERRED_JOBS, DEFERRED_OLDEST, DEFERRED_BYTES, DEFERRED_FULL, DEFERRED_OK)
)

_WEBHOOKS = 5  # settings.MOST_WEBHOOKS, and other: those that are not configured any more
WEBHOOK_DELIVERIES = _counter(
    "webhook_deliveries_total",
    ("webhook", "result"),
    4 * _WEBHOOKS,
    "Attempts to deliver what became of a deferred call: delivered, failed (tried again), stopped (the "
    "receiver said 410, and gets nothing more), and messages that expired undelivered.",
)
WEBHOOK_WAITING = _gauge("webhook_waiting", ("webhook",), _WEBHOOKS, "Messages that are to be delivered.")
WEBHOOK_OLDEST = _gauge(
    "webhook_oldest_age_seconds",
    ("webhook",),
    _WEBHOOKS,
    "How long the oldest message has not been delivered.",
    unit="seconds",
)
WEBHOOKS: tuple[Metric, ...] = tuple(
    replace(metric, optional=True) for metric in (WEBHOOK_DELIVERIES, WEBHOOK_WAITING, WEBHOOK_OLDEST)
)

# ---- telemetry about telemetry ----------------------------------------------------------------

UNSENT = _counter(
    "telemetry_dropped_total",
    ("signal", "reason"),
    3,
    "Telemetry that was made and did not arrive: spans, for the signal traces. queue_full: more than the "
    "collector takes; export_failed: it did not take them; shutdown: no time was left.",
)
OVERFLOW = _counter(
    "label_overflow_total", ("label",), 6, "Times a label value was folded into other to keep series few."
)
BUILD = _gauge("build_info", ("version", "python"), 1, "1, labelled with the versions that run.")

# ---- the injector: a process of its own, with a /metrics of its own ---------------------------

INJECTOR_REVIEWS = _counter(
    "injector_reviews_total",
    ("result",),
    5,
    "Pods the webhook was asked about: injected, completed (containers that came later got their "
    "variables), unchanged, skipped, or failed: the pod was let through without a sidecar, or refused "
    "where fail-mode is closed.",
)
INJECTOR_MISSED = _gauge(
    "injector_pods_not_injected",
    ("namespace",),
    51,
    "Running pods that are labelled for injection and have no sidecar, by their namespace; the first 50 "
    "namespaces, the others as other.",
)
INJECTOR_CERTIFICATE = _gauge(
    "injector_certificate_expiry_timestamp_seconds",
    (),
    1,
    "When the webhook's certificate ends, Unix time; 0: there is none yet.",
    unit="seconds",
)
INJECTOR_CHORE = _gauge(
    "injector_chore_timestamp_seconds",
    ("chore",),
    3,
    "When a regular work was last done without an error, Unix time: certificates, count (of pods without "
    "a sidecar) or profiles.",
    unit="seconds",
)
INJECTOR_PROFILES = _gauge(
    "injector_profiles_last_reload_successful",
    (),
    1,
    "1 if the profiles on disk are those in use, else 0.",
)

INJECTOR: tuple[Metric, ...] = (
    INJECTOR_REVIEWS,
    INJECTOR_MISSED,
    INJECTOR_CERTIFICATE,
    INJECTOR_CHORE,
    INJECTOR_PROFILES,
)

CATALOG: tuple[Metric, ...] = (
    REQUESTS,
    REQUEST_DURATION,
    IN_FLIGHT,
    ATTEMPTS,
    ATTEMPT_DURATION,
    FIRST_TOKEN,
    INTERRUPTIONS,
    TOKENS,
    COST,
    UNPRICED,
    SPENT,
    BUDGET,
    RETIREMENT,
    CONNECTIONS,
    RETRIES_DENIED,
    RETRY_WAIT,
    NESTED,
    SHADOWED,
    DRILLS,
    JOINED,
    FALLBACKS,
    HEDGES,
    CONTINUATIONS,
    SKIPPED,
    LOSSES,
    BREAKER_STATE,
    BREAKER_TRANSITIONS,
    BREAKER_REJECTED,
    QUALITY,
    EVALUATIONS,
    ALERTS,
    SHED,
    REFUSED,
    CACHE_LOOKUPS,
    CACHE_STORES,
    CACHE_EVICTIONS,
    CACHE_BYTES,
    OVERHEAD_TIME,
    LAG,
    BUGS,
    RELOAD_OK,
    RELOAD_TIME,
    RELOADS,
    CONFIG,
    BYPASS,
    OVERRIDES,
    OVERRIDES_OK,
    MEMORY_PRESSURE,
    MEMORY_USED,
    DRAINING,
    SHARED_SILENT,
    SHARED_ERRORS,
    SHARED_ADVICE,
    CAPTURED,
    TUNNELS,
    *WAITING,
    *WEBHOOKS,
    UNSENT,
    OVERFLOW,
    BUILD,
)

# ---- the same attempts under the conventions' names, where telemetry.genai_metrics says so ------

GENAI_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_GENAI_LABELS = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


def _genai(name: str, unit: str, labels: tuple[str, ...], bound: int, text: str) -> Metric:
    buckets = GENAI_BUCKETS if unit else tuple(float(4**n) for n in range(14))
    labels = (*_GENAI_LABELS, *labels)
    return Metric(name, MetricKind.HISTOGRAM, unit, labels, text, buckets, bound, debug=True)


GENAI_DURATION = _genai(
    "gen_ai_client_operation_duration_seconds",
    "seconds",
    ("error_type",),
    24,
    "One exchange with a provider; error_type is the fault, empty on success.",
)
GENAI_TOKENS = _genai(
    "gen_ai_client_token_usage",
    "",
    ("gen_ai_token_type",),
    12,
    "Tokens of one exchange, as the provider reports them: input or output.",
)
GENAI_FIRST = _genai(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "seconds",
    (),
    8,
    "From the start of an exchange to the first content of its stream.",
)
GENAI: tuple[Metric, ...] = (GENAI_DURATION, GENAI_TOKENS, GENAI_FIRST)


def reference() -> str:
    """The page docs/reference/metrics.md, whole."""
    lines = [
        "# Metrics",
        "",
        "Written from `sidecar/telemetry/catalog.py`; do not edit.",
        "A test compares the two.",
        "",
        f"Models are the configured ones and the first {MODELS} that answered, everything else is `{OTHER}`.",
        "Combinations is how many a pod keeps for up to six targets and eight routes.",
        "Histograms add `_bucket`, `_sum` and `_count`; the usual `process_*` metrics are there too.",
        "",
        "| Metric | Type | Labels | Combinations | Meaning |",
        "|---|---|---|---|---|",
    ]
    lines += [_line(m) for m in CATALOG]
    lines += ["", "The injector has metrics of its own:", "", *lines[9:11], *(_line(m) for m in INJECTOR)]
    lines += ["", "Buckets of the histograms, in seconds:", ""]
    lines += [f"- `{m.name}`: {', '.join(f'{b:g}' for b in m.buckets)}" for m in CATALOG if m.buckets]
    more = sum(m.series for m in GENAI)
    lines += [
        "",
        "## Under the names of the GenAI conventions",
        "",
        f"Only with `telemetry.genai_metrics: true`; then a pod has up to {more} series more.",
        "For boards that other people made: ours read the ones above.",
        "",
        "| Metric | Type | Labels | Combinations | Meaning |",
        "|---|---|---|---|---|",
        *(_line(m) for m in GENAI),
        "",
        f"Buckets of seconds: {', '.join(f'{b:g}' for b in GENAI_BUCKETS)};",
        "of tokens: the powers of 4 from 1 to 4^13.",
    ]
    return "\n".join(lines) + "\n"


def _line(m: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in m.labels) or "-"
    return f"| `{m.name}` | {m.kind} | {labels} | {m.bound} | {m.help} |"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201  # the page, for a shell to put in its place
