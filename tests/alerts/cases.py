"""The nights of all alerts."""

from __future__ import annotations

from sidecar.telemetry import catalog as c
from tests.alerts.injector_cases import INJECTOR_CASES
from tests.alerts.money_cases import MONEY_CASES
from tests.alerts.scenes import Case, Phases, Scene, Series, attempts, calls, histogram, merged, of

DAY = 86400.0
GOOD = (1000.0, 1000.0, 1000.0)
APP = {"app": "web"}
OPENAI = {"provider": "openai"}
GPT = OPENAI | {"model": "gpt-4o"}
TRANSPORT = GPT | {"kind": "transport"}


def bad(rate: float) -> tuple[float, float, float]:
    return (0.0, rate, 0.0)


def _errors(share: float) -> Scene:
    """Of a thousand attempts a minute."""
    return (
        attempts((1000, 1000 * (1 - share), 1000)),
        attempts(bad(600 * share), "provider_error", "server_error"),
        attempts(bad(200 * share), "timeout", "ttft_timeout"),
        attempts(bad(200 * share), "throttled", "rate_limit_rpm"),
        attempts(500, "caller_error", "invalid_request"),
    )


def _unanswered(share: float) -> Scene:
    return (calls((1000, 1000 * (1 - share), 1000)), calls(bad(1000 * share), "error", "none"))


def _lesser(share: float) -> Scene:
    return (calls((1000, 1000 * (1 - share), 1000)), calls(bad(1000 * share), tier="static", path="degraded"))


def _told(rate: float, fault: str) -> Scene:
    return (of(c.ALERTS, bad(rate), provider="openai", model="gpt-4o", error_type=fault),)


def _retires(last: Phases | float, pod: str = "web-1") -> Series:
    """Unix time, in nights that begin at 0."""
    return of(c.RETIREMENT, last, pod=pod, **GPT)


def _retried(share: float) -> Scene:
    return (
        attempts(700),
        attempts(300, kind="fallback"),
        attempts(bad(1000 * share), kind="retry"),
    )


def _judged(share: float, looked: float = 1000) -> Scene:
    return (
        of(c.EVALUATIONS, looked, provider="openai", model="other", signal="structured"),
        of(
            c.QUALITY,
            bad(looked * share),
            provider="openai",
            model="gpt-4o",
            signal="structured",
            action="rejected",
        ),
    )


def _broken(share: float, streams: float = 1000) -> Scene:
    return (
        attempts(streams),
        of(c.INTERRUPTIONS, bad(streams * share), provider="openai", phase="mid", recovered="false"),
        of(c.INTERRUPTIONS, 50.0, provider="openai", phase="before_first", recovered="true"),
    )


def _slow(seconds: float, rate: float = 100) -> Scene:
    return histogram(
        c.ATTEMPT_DURATION,
        (rate, rate, rate),
        (0.64, seconds, 0.64),
        provider="openai",
        model="gpt-4o",
        outcome="success",
    )


def _breaker(pods: int, opened: int, *, reopens: float = 0.5, rejects: float = 0) -> Scene:
    """So many of the pods have theirs open, and it opens again now and then."""
    rows: list[Series] = []
    for n in range(pods):
        pod = f"web-{n}"
        mine = n < opened
        on = {"provider": "openai", "model": "gpt-4o", "pod": pod}
        rows += [
            of(c.BREAKER_STATE, bad(2 if mine else 0), kind="transport", **on),
            of(
                c.BREAKER_TRANSITIONS, bad(reopens * mine), kind="transport", to="open", trigger="ratio", **on
            ),
            of(c.BREAKER_REJECTED, bad(rejects * mine), **on),
        ]
    return tuple(rows)


def _flaps(rate: float, pods: int = 1, trigger: str = "probe") -> Scene:
    return tuple(
        of(
            c.BREAKER_TRANSITIONS,
            bad(rate),
            provider="openai",
            model="gpt-4o",
            kind="transport",
            to="closed",
            trigger=trigger,
            pod=f"web-{n}",
        )
        for n in range(pods)
    )


def _ups(*states: tuple[float, float, float]) -> Scene:
    return tuple(of("up", phases, pod=f"web-{n}") for n, phases in enumerate(states))


def _overhead(share: float, rate: float = 1000) -> Scene:
    """Of some calls 60 ms, of the others 1 ms."""
    few, many = bad(rate * share), (rate, rate * (1 - share), rate)
    slow = histogram(c.OVERHEAD_TIME, few, (0.06, 0.06, 0.06), stream="true")
    return (*slow, *histogram(c.OVERHEAD_TIME, many, (0.001, 0.001, 0.001), stream="false"))


UP, FELL = (1.0, 1.0, 1.0), (1.0, 0.0, 1.0)

APP_CASES = (
    Case(
        alert="LLMAppErrorBudgetBurnFast",
        labels=APP,
        fires=_unanswered(0.2),
        under=_unanswered(0.058),  # under six times the budget as well
        quiet=(calls(0.05), calls(bad(0.14), "error", "none")),  # 9 of 12 in an hour
        minutes=(10, 180, 60),
    ),
    Case(
        alert="LLMAppErrorBudgetBurnSlow",
        labels=APP,
        fires=_unanswered(0.04),
        under=_unanswered(0.009),
        quiet=(calls(0.01), calls(bad(0.025), "error", "none")),  # 9 of 12 in six hours
        minutes=(60, 24 * 60, 13 * 60),
        step=300,
    ),
    Case(
        alert="LLMFullTierBudgetBurnFast",
        labels=APP,
        fires=_lesser(0.9),
        under=_lesser(0.29),
        quiet=(calls(0.05), calls(bad(0.14), tier="static", path="degraded")),
        minutes=(10, 180, 60),
    ),
    Case(
        alert="LLMFullTierBudgetBurnSlow",
        labels=APP,
        fires=_lesser(0.2),
        under=_lesser(0.045),
        quiet=(calls(0.01), calls(bad(0.025), tier="static", path="degraded")),
        minutes=(60, 24 * 60, 13 * 60),
        step=300,
    ),
    Case(
        alert="LLMChainExhausted",
        labels=APP,
        fires=_unanswered(0.06),
        under=_unanswered(0.049),
        quiet=(calls(bad(0.8), "error", "none"),),  # 4 in 5 minutes
    ),
    Case(
        alert="LLMAnswersBelowFull",
        labels=APP,
        fires=(*_lesser(0.15), calls(bad(100), "error", "none")),
        under=_lesser(0.19),
        quiet=(calls(bad(0.9), tier="static", path="degraded"),),  # 9 in 10 minutes
    ),
    Case(
        alert="LLMDegradedServing",
        labels=APP | {"tier": "static"},
        fires=(*_lesser(0.001),),
        under=(calls(1000), calls(bad(0.45), tier="static", path="degraded")),
        quiet=(calls(bad(0.4), tier="static", path="degraded"),),
    ),
    Case(
        alert="LLMFallbackRateHigh",
        labels=APP,
        fires=(
            calls((1000, 890, 1000)),
            calls(bad(60), path="fallback"),
            calls(bad(50), "error", "none", "fallback"),
        ),
        under=(calls((1000, 905, 1000)), calls(bad(95), path="fallback")),
        quiet=(calls(bad(0.4), path="fallback"),),
    ),
    Case(
        alert="LLMFallbackBurst",
        labels=APP,
        fires=tuple(
            of(
                c.FALLBACKS,
                bad(1.1),  # twice 5.5 in 5 minutes
                from_provider="openai",
                from_model="gpt-4o",
                to_provider=to,
                to_model="m",
                reason="server_error",
            )
            for to in ("anthropic", "groq")
        ),
        under=(
            of(
                c.FALLBACKS,
                bad(2),  # exactly ten in 5 minutes
                from_provider="openai",
                from_model="gpt-4o",
                to_provider="groq",
                to_model="m",
                reason="breaker",
            ),
            calls(1000),
        ),
        quiet=(
            of(
                c.FALLBACKS,
                bad(0.2),
                from_provider="openai",
                from_model="gpt-4o",
                to_provider="groq",
                to_model="m",
                reason="auth",
            ),
        ),
    ),
    Case(
        alert="LLMNestedRetries",
        labels=APP | {"source": "sdk_header"},
        fires=(of(c.NESTED, bad(0.4), source="sdk_header"),),
        under=(of(c.NESTED, bad(0.3), source="sdk_header"), of(c.NESTED, bad(0.3), source="same_body")),
        quiet=(of(c.NESTED, bad(0.1), source="sdk_header"),),
    ),
)

PROVIDER_CASES = (
    Case(
        alert="LLMProviderErrorRateHigh",
        labels=OPENAI,
        fires=_errors(0.06),
        under=_errors(0.049),
        quiet=(attempts(bad(0.4), "provider_error", "overloaded"),),  # 4 in 10 minutes
    ),
    Case(
        alert="LLMProviderErrorRateCritical",
        labels=OPENAI,
        fires=_errors(0.16),
        under=_errors(0.149),
        quiet=(attempts(bad(0.9), "timeout", "ttft_timeout"),),  # 9 in 10 minutes
    ),
    Case(
        alert="LLMProviderLatencyDegraded",
        labels=GPT,
        fires=_slow(5.12),
        under=merged(_slow(1.28, rate=91.6), _slow(2.56, rate=8.4)),  # 2.9 times as slow
        quiet=_slow(81.92, rate=2.5),  # 25 in 10 minutes
        minutes=(60, 12, 30),
    ),
    Case(
        alert="LLMProviderQuotaExhausted",
        labels=GPT | {"error_type": "billing"},
        fires=_told(0.1, "billing"),  # once in ten minutes, as a held target is asked
        under=(attempts(bad(1000), "throttled", "rate_limit_rpm"),),
        quiet=_told(0, "quota_exhausted"),
    ),
    Case(
        alert="LLMProviderAuthFailure",
        labels=OPENAI | {"error_type": "auth"},
        fires=_told(0.2, "auth"),
        under=(*_told(0.1, "auth"), attempts(bad(1000), "caller_error", "auth")),
        quiet=_told(0.1, "permission"),
    ),
    Case(
        alert="LLMModelRetiring",
        labels=APP | GPT,
        # of two pods that know different days the nearer one counts
        fires=(_retires((90 * DAY, 29 * DAY, 90 * DAY)), _retires(90 * DAY, pod="web-2")),
        under=(attempts(1000), _retires(30.1 * DAY)),
        quiet=(_retires(400 * DAY),),
    ),
    Case(
        alert="LLMProviderUnusable",
        labels=GPT | {"error_type": "model_gone"},
        fires=_told(0.2, "model_gone"),
        under=_told(0.1, "tls"),
        quiet=_told(0.1, "model_gone"),
    ),
    Case(
        alert="LLMStreamInterruptions",
        labels=OPENAI,
        fires=_broken(0.02),
        under=_broken(0.009),
        quiet=_broken(0.4, streams=1),  # 4 in 10 minutes
    ),
    Case(
        alert="LLMQualityViolations",
        labels=OPENAI | {"signal": "structured"},
        fires=_judged(0.06),
        under=(
            *_judged(0.049),
            of(
                c.QUALITY, bad(900), provider="openai", model="gpt-4o", signal="structured", action="observed"
            ),
        ),
        quiet=_judged(1.0, looked=0.4),
    ),
    Case(
        alert="LLMFallbackTargetFailing",
        labels=OPENAI,
        fires=(
            attempts((100, 75, 100), kind="fallback"),
            attempts(bad(25), "quality", "empty_output", "fallback"),
        ),
        under=(
            attempts((100, 81, 100), kind="fallback"),
            attempts(bad(19), "timeout", "timeout", "fallback"),
        ),
        quiet=(attempts(bad(0.4), "timeout", "timeout", "fallback"),),
    ),
    Case(
        alert="LLMRetryRateElevated",
        labels=OPENAI,
        fires=_retried(0.03),
        under=_retried(0.019),
        quiet=(attempts(0.3), attempts(bad(0.26), kind="retry")),  # 4 in 15 minutes
    ),
    Case(
        alert="LLMRetryStorm",
        labels=OPENAI,
        fires=_retried(0.25),
        under=_retried(0.19),
        quiet=(attempts(0.3), attempts(bad(1.8), kind="retry")),  # 9 in 5 minutes
    ),
    Case(
        alert="LLMRetryBudgetExhausted",
        labels=OPENAI,
        fires=(of(c.RETRIES_DENIED, bad(1.2), provider="openai", cause="budget"),),
        under=(
            of(c.RETRIES_DENIED, bad(0.9), provider="openai", cause="budget"),
            of(c.RETRIES_DENIED, bad(100), provider="openai", cause="deadline"),
        ),
        quiet=(of(c.RETRIES_DENIED, bad(0.2), provider="openai", cause="budget"),),
    ),
)

BREAKER_CASES = (
    Case(
        alert="LLMBreakerOpen",
        labels=TRANSPORT,
        fires=_breaker(10, 1),
        under=(  # opened lately, and closed since
            of(c.BREAKER_STATE, 0.0, provider="openai", model="gpt-4o", kind="transport"),
            of(
                c.BREAKER_TRANSITIONS,
                bad(0.5),
                provider="openai",
                model="gpt-4o",
                kind="transport",
                to="open",
                trigger="run",
            ),
        ),
        quiet=(  # stays open all night, because nobody calls
            of(c.BREAKER_STATE, 2.0, provider="openai", model="gpt-4o", kind="transport"),
            of(c.BREAKER_REJECTED, 0.0, provider="openai", model="gpt-4o"),
        ),
    ),
    Case(
        alert="LLMBreakerOpenFleetWide",
        labels=TRANSPORT,
        fires=_breaker(4, 2, reopens=0, rejects=10),
        under=_breaker(7, 3),
        quiet=_breaker(1, 1),
    ),
    Case(
        alert="LLMBreakerFlapping",
        labels=TRANSPORT,
        fires=_flaps(0.25),
        under=(*_flaps(0.18, pods=20), *_flaps(1, trigger="manual")),
        quiet=_flaps(0.1),
    ),
)

SELF_CASES = (
    Case(
        alert="LLMSidecarDown",
        labels=APP,
        fires=_ups(FELL, FELL, UP, UP),
        under=_ups(FELL, FELL, FELL, UP, UP, UP, UP),
        quiet=_ups(UP),
    ),
    Case(
        alert="LLMSidecarTargetDown",
        labels=APP,
        fires=_ups(FELL, *(UP,) * 8),
        under=_ups(FELL, *(UP,) * 9),
        quiet=_ups(UP),
    ),
    Case(
        alert="LLMSidecarConfigReloadFailed",
        labels=APP,
        fires=(of(c.RELOAD_OK, (1, 0, 1)),),
        under=(of(c.RELOAD_OK, 1.0), of(c.RELOADS, bad(1), result="failed")),
        quiet=(of(c.RELOAD_OK, 1.0),),
    ),
    Case(
        alert="LLMSidecarBypassed",
        labels=APP,
        fires=(of(c.BYPASS, (0, 1, 0), pod="web-1"), of(c.BYPASS, 0.0, pod="web-2")),
        under=(of(c.BYPASS, 0.0), of(c.OVERRIDES, (0, 3, 0), kind="breakers")),
        quiet=(of(c.BYPASS, 0.0),),
    ),
    Case(
        alert="LLMSidecarOverridden",
        labels=APP | {"kind": "chains"},
        fires=(of(c.OVERRIDES, (0, 2, 0), kind="chains"), of(c.OVERRIDES, 0.0, kind="bypass")),
        under=(of(c.OVERRIDES, 0.0, kind="chains"), of(c.BYPASS, (0, 1, 0))),
        quiet=(of(c.OVERRIDES, 0.0, kind="chains"),),
        minutes=(10, 300, 60),
    ),
    Case(
        alert="LLMSidecarOverridesRefused",
        labels=APP,
        fires=(of(c.OVERRIDES_OK, (1, 0, 1)),),
        under=(of(c.OVERRIDES_OK, 1.0), of(c.RELOAD_OK, (1, 0, 1))),
        quiet=(of(c.OVERRIDES_OK, 1.0),),
    ),
    Case(
        alert="LLMDeferredTooOld",
        labels=APP | {"pod": "web-1"},
        fires=(of(c.DEFERRED_OLDEST, (0, 3700, 0), pod="web-1"), of(c.DEFERRED_OLDEST, 10.0, pod="web-2")),
        under=(of(c.DEFERRED_OLDEST, 3500.0, pod="web-1"), of(c.DEFERRED_FULL, 0.7, pod="web-1")),
        quiet=(of(c.DEFERRED_OLDEST, 0.0, pod="web-1"),),
    ),
    Case(
        alert="LLMDeferredNearlyFull",
        labels=APP | {"pod": "web-1"},
        fires=(of(c.DEFERRED_FULL, (0, 0.9, 0), pod="web-1"),),
        under=(of(c.DEFERRED_FULL, 0.79, pod="web-1"), of(c.DEFERRED_OLDEST, 3500.0, pod="web-1")),
        quiet=(of(c.DEFERRED_FULL, 0.0, pod="web-1"),),
    ),
    Case(
        alert="LLMDeferredLost",
        labels=APP | {"event": "expired"},
        fires=(of(c.DEFERRED, bad(1), event="expired", reason=""),),
        under=(
            of(c.DEFERRED, 50.0, event="answered", reason=""),
            of(c.DEFERRED, bad(50), event="put_off", reason=""),
            of(c.DEFERRED, 0.0, event="refused", reason="items"),
        ),
        quiet=(of(c.DEFERRED, 0.0, event="expired", reason=""),),
    ),
    Case(
        alert="LLMDeferredUnusable",
        labels=APP,
        fires=(of(c.DEFERRED_OK, (1, 0, 1)),),
        under=(of(c.DEFERRED_OK, 1.0), of(c.OVERRIDES_OK, (1, 0, 1))),
        quiet=(of(c.DEFERRED_OK, 1.0),),
    ),
    Case(
        alert="LLMWebhookFailing",
        labels=APP | {"webhook": "results"},
        fires=(
            of(c.WEBHOOK_OLDEST, (0, 1000, 0), webhook="results"),
            of(c.WEBHOOK_OLDEST, 5.0, webhook="audit"),
        ),
        under=(
            of(c.WEBHOOK_OLDEST, 850.0, webhook="results"),
            of(c.WEBHOOK_DELIVERIES, bad(50), webhook="results", result="failed"),
        ),
        quiet=(of(c.WEBHOOK_OLDEST, 0.0, webhook="results"),),
    ),
    Case(
        alert="LLMWebhookLost",
        labels=APP | {"webhook": "results", "result": "stopped"},
        fires=(of(c.WEBHOOK_DELIVERIES, bad(1), webhook="results", result="stopped"),),
        under=(
            of(c.WEBHOOK_DELIVERIES, bad(50), webhook="results", result="failed"),
            of(c.WEBHOOK_DELIVERIES, bad(50), webhook="results", result="delivered"),
            of(c.WEBHOOK_DELIVERIES, 0.0, webhook="results", result="expired"),
        ),
        quiet=(of(c.WEBHOOK_DELIVERIES, 0.0, webhook="results", result="expired"),),
    ),
    Case(
        alert="LLMSidecarDistrusted",
        labels=APP,
        fires=(of(c.CAPTURED, bad(1), how="tunnelled", reason="distrusted"),),
        under=(
            of(c.CAPTURED, bad(50), how="tunnelled", reason="new_host"),
            of(c.CAPTURED, 50.0, how="tunnelled", reason=""),
            of(c.CAPTURED, bad(1), how="failed", reason="untrusted"),
        ),
        quiet=(of(c.CAPTURED, 0.0, how="tunnelled", reason="distrusted"),),
    ),
    Case(
        alert="LLMSidecarInternalErrors",
        labels=APP,
        fires=(of(c.BUGS, bad(0.1)),),
        under=(of(c.BUGS, 0.0), *_unanswered(0.5)),
        quiet=(of(c.BUGS, 0.0),),
    ),
    Case(
        alert="LLMSidecarSaturated",
        labels=APP | {"reason": "concurrency"},
        fires=(of(c.SHED, bad(3), reason="concurrency"),),
        under=(of(c.SHED, bad(1.9), reason="memory"), of(c.SHED, bad(500), reason="draining")),
        quiet=(of(c.SHED, bad(0.2), reason="concurrency"),),
    ),
    Case(
        alert="LLMSidecarRefusing",
        labels=APP | {"reason": "unknown"},
        fires=(of(c.REFUSED, bad(2), reason="unknown"),),
        under=(of(c.REFUSED, bad(0.9), reason="unknown"), of(c.REFUSED, bad(0.9), reason="host")),
        quiet=(of(c.REFUSED, bad(0.1), reason="malformed"),),
    ),
    Case(
        alert="LLMSidecarLabelOverflow",
        labels=APP | {"label": "model"},
        fires=(of(c.OVERFLOW, bad(1), label="model"),),
        under=(of(c.OVERFLOW, 0.0, label="model"), calls(1000)),
        quiet=(of(c.OVERFLOW, 0.0, label="model"),),
        minutes=(10, 30, 70),
    ),
    Case(
        alert="LLMSidecarTelemetryDropped",
        labels=APP | {"signal": "traces", "reason": "queue_full"},
        fires=(of(c.UNSENT, bad(2), signal="traces", reason="queue_full"),),
        under=(of(c.UNSENT, bad(0.9), signal="traces", reason="queue_full"),),
        quiet=(of(c.UNSENT, bad(0.1), signal="traces", reason="export_failed"),),
    ),
    Case(
        alert="LLMSidecarFleetSilent",
        labels=APP,
        fires=(of(c.SHARED_SILENT, (0, 1, 0), pod="web-1", prefix="shop"),),
        under=(of(c.SHARED_SILENT, 0.0, prefix="shop"), of(c.SHARED_ERRORS, bad(9), reason="timeout")),
        quiet=(of(c.SHARED_SILENT, 0.0, prefix="shop"),),
    ),
    Case(
        alert="LLMSidecarOverheadHigh",
        labels=APP,
        fires=_overhead(0.02),
        under=_overhead(0.009),
        quiet=_overhead(0.9, rate=1),  # 9 in 10 minutes
    ),
    Case(
        alert="LLMSidecarEventLoopLag",
        labels=APP | {"pod": "web-1"},
        fires=(of(c.LAG, (0.01, 0.26, 0.01)),),
        under=(of(c.LAG, (0.01, 0.25, 0.01)),),
        quiet=(of(c.LAG, 0.02),),
    ),
    Case(
        alert="LLMSidecarMemoryHigh",
        labels=APP | {"pod": "web-1"},
        fires=(of("process_resident_memory_bytes", (1e8, 4.2e8, 1e8)),),
        under=(of("process_resident_memory_bytes", (1e8, 4.19e8, 1e8)),),
        quiet=(of("process_resident_memory_bytes", 6e7),),
    ),
    Case(
        alert="LLMSidecarCPUHigh",
        labels=APP | {"pod": "web-1"},
        fires=(of("process_cpu_seconds_total", (6, 51, 6)),),
        under=(of("process_cpu_seconds_total", (6, 47, 6)),),
        quiet=(of("process_cpu_seconds_total", 1.0),),
    ),
)

CASES = (*APP_CASES, *PROVIDER_CASES, *BREAKER_CASES, *SELF_CASES, *INJECTOR_CASES, *MONEY_CASES)
