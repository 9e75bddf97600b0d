"""What is wrong with a provider, an account or an answer's quality: grouped by namespace and provider."""

from __future__ import annotations

from alerts import recordings as r
from alerts.promql import APP, MODEL, PROVIDER, at_least, events, guarded, joined
from alerts.promql import number as n
from alerts.rules import Alert, Area, Severity
from alerts.thresholds import Thresholds
from sidecar.model import Fault
from sidecar.telemetry import catalog

ATTEMPTS = catalog.ATTEMPTS
QUOTA = (Fault.QUOTA_EXHAUSTED, Fault.ORG_LIMIT, Fault.BILLING, Fault.RATE_LIMIT_DAILY)
KEY = (Fault.AUTH, Fault.PERMISSION)
UNUSABLE = (Fault.MODEL_GONE, Fault.REGION_BLOCKED, Fault.TLS)
_FAULT = (*PROVIDER, "error_type")
_MODEL_FAULT = (*MODEL, "error_type")
_WHERE = "{{ $labels.provider }} for {{ $labels.namespace }}"
_MODEL = "{{ $labels.model }} of {{ $labels.provider }} for {{ $labels.namespace }}"


def _faults(*faults: Fault) -> str:
    return f'error_type=~"{"|".join(faults)}"'


def alerts(t: Thresholds) -> tuple[Alert, ...]:
    return (*_failing(t), *_account(t), *_models(t), *_answers(t), *_retries(t))


def _failing(t: Thresholds) -> tuple[Alert, ...]:
    broken = events(catalog.INTERRUPTIONS, "10m", PROVIDER, 'phase="mid"', 'recovered="false"')

    def errors(share: float, count: float) -> str:
        return guarded(f"{r.ERROR_RATIO} > {n(share)}", PROVIDER, r.ERROR_COUNT, count)

    return (
        Alert(
            name="LLMProviderErrorRateHigh",
            area=Area.PROVIDER,
            severity=Severity.WARNING,
            expr=errors(t.error_rate_warning, t.error_events),
            wait="5m",
            summary="{{ $labels.provider }} fails more often than it should.",
            description=f"{{{{ $value | humanizePercentage }}}} of the attempts at {_WHERE} "
            "end in an error, a timeout or a limit.",
        ),
        Alert(
            name="LLMProviderErrorRateCritical",
            area=Area.PROVIDER,
            severity=Severity.CRITICAL,
            expr=errors(t.error_rate_critical, t.error_events_critical),
            wait="2m",
            summary="{{ $labels.provider }} fails so often that it counts as an incident.",
            description=f"{{{{ $value | humanizePercentage }}}} of the attempts at {_WHERE} "
            "end in an error, a timeout or a limit.",
        ),
        Alert(
            name="LLMProviderLatencyDegraded",
            area=Area.PROVIDER,
            severity=Severity.WARNING,
            expr=f"{r.LATENCY_RATIO} > {n(t.latency_factor)}\n"
            f"and {joined(MODEL)} {r.P95} > {n(t.latency_floor_seconds)}\n"
            f"and {joined(MODEL)} {r.LATENCY_COUNT} >= {n(t.latency_events)}",
            wait="5m",
            summary="{{ $labels.model }} of {{ $labels.provider }} is far slower than usual.",
            description=f"The p95 of good attempts at {_MODEL} is {{{{ $value | humanize }}}} times "
            "its baseline.",
        ),
        Alert(
            name="LLMStreamInterruptions",
            area=Area.PROVIDER,
            severity=Severity.WARNING,
            expr=f"{at_least(broken, t.stream_break_events)}\nand {joined(PROVIDER)}\n"
            f"{broken}\n/ {joined(PROVIDER)}\n"
            f"({events(ATTEMPTS, '10m', PROVIDER)} > 0) > {n(t.stream_break_rate)}",
            summary="Streams of {{ $labels.provider }} break in the middle.",
            description=f"{{{{ $value | humanize }}}} streams of {_WHERE} stalled, were cut or became "
            "unreadable after their first content in ten minutes, and the application saw it.",
        ),
    )


def _account(t: Thresholds) -> tuple[Alert, ...]:
    alerts = catalog.ALERTS
    return (
        Alert(
            name="LLMProviderQuotaExhausted",
            area=Area.ACCOUNT,
            severity=Severity.CRITICAL,
            expr=f"{events(alerts, '15m', _MODEL_FAULT, _faults(*QUOTA))} > 0",
            summary="A quota or a bill stops {{ $labels.provider }}: {{ $labels.error_type }}.",
            description=f"{_MODEL} said {{{{ $labels.error_type }}}} {{{{ $value | humanize }}}} times "
            "in 15 minutes; no retry helps.",
        ),
        Alert(
            name="LLMProviderAuthFailure",
            area=Area.ACCOUNT,
            severity=Severity.CRITICAL,
            expr=at_least(events(alerts, "15m", _FAULT, _faults(*KEY)), t.account_events),
            summary="{{ $labels.provider }} refuses our key: {{ $labels.error_type }}.",
            description=f"{_WHERE} said {{{{ $labels.error_type }}}} {{{{ $value | humanize }}}} times "
            "in 15 minutes to a key of the sidecar's configuration.",
        ),
        Alert(
            name="LLMProviderUnusable",
            area=Area.ACCOUNT,
            severity=Severity.CRITICAL,
            expr=at_least(events(alerts, "15m", _MODEL_FAULT, _faults(*UNUSABLE)), t.account_events),
            summary="{{ $labels.model }} of {{ $labels.provider }} cannot be used: {{ $labels.error_type }}.",
            description=f"{_MODEL} ended in {{{{ $labels.error_type }}}} {{{{ $value | humanize }}}} times "
            "in 15 minutes; it will not heal by itself.",
        ),
    )


def _models(t: Thresholds) -> tuple[Alert, ...]:
    by = ", ".join((*APP, "provider", "model"))
    left = f"min by ({by}) ({catalog.RETIREMENT.name}) - time()"
    return (
        Alert(
            name="LLMModelRetiring",
            area=Area.ACCOUNT,
            severity=Severity.WARNING,
            expr=f"{left} < {n(t.retirement_seconds)}",
            wait="10m",
            summary="{{ $labels.model }} of {{ $labels.provider }} retires soon, or has retired.",
            description="{{ $labels.app }} in {{ $labels.namespace }} asks {{ $labels.model }} of "
            "{{ $labels.provider }}, whose last day is over in {{ $value | humanizeDuration }}; from then on "
            "it is passed over as a stand-in, and calls for it fail.",
        ),
    )


def _answers(t: Thresholds) -> tuple[Alert, ...]:
    signal = (*PROVIDER, "signal")
    failed = 'outcome!~"success|caller_error|cancelled"'
    return (
        Alert(
            name="LLMQualityViolations",
            area=Area.QUALITY,
            severity=Severity.WARNING,
            expr=guarded(
                f"{r.QUALITY_RATIO} > {n(t.quality_rate)}", signal, r.QUALITY_COUNT, t.quality_events
            ),
            wait="5m",
            summary="{{ $labels.provider }} answers badly: {{ $labels.signal }}.",
            description=f"{{{{ $labels.signal }}}} objects to {{{{ $value | humanizePercentage }}}} "
            f"of the answers of {_WHERE} that it looks at.",
        ),
        Alert(
            name="LLMFallbackTargetFailing",
            area=Area.PROVIDER,
            severity=Severity.CRITICAL,
            expr=guarded(
                f"{r.FALLBACK_TARGET_RATIO} > {n(t.fallback_target_rate)}",
                PROVIDER,
                events(ATTEMPTS, "10m", PROVIDER, 'kind="fallback"', failed),
                t.fallback_target_events,
            ),
            wait="2m",
            summary="{{ $labels.provider }} fails as the one who should stand in.",
            description=f"{{{{ $value | humanizePercentage }}}} of the fallbacks to {_WHERE} fail too.",
        ),
    )


def _retries(t: Thresholds) -> tuple[Alert, ...]:
    def retries(share: float, count: float, window: str) -> str:
        made = events(ATTEMPTS, window, PROVIDER, 'kind="retry"')
        return guarded(f"{r.RETRY_RATIO} > {n(share)}", PROVIDER, made, count)

    return (
        Alert(
            name="LLMRetryRateElevated",
            area=Area.RETRY,
            severity=Severity.INFO,
            expr=retries(t.retry_rate_look, t.retry_events, "15m"),
            wait="15m",
            summary="{{ $labels.provider }} needs retries for a while already.",
            description=f"Retries at {_WHERE} are {{{{ $value | humanizePercentage }}}} of the first tries.",
        ),
        Alert(
            name="LLMRetryStorm",
            area=Area.RETRY,
            severity=Severity.CRITICAL,
            expr=retries(t.retry_rate_page, t.retry_events_page, "5m"),
            wait="5m",
            summary="Retries at {{ $labels.provider }} multiply its load.",
            description=f"Retries at {_WHERE} are {{{{ $value | humanizePercentage }}}} of the first tries.",
        ),
        Alert(
            name="LLMRetryBudgetExhausted",
            area=Area.RETRY,
            severity=Severity.WARNING,
            expr=at_least(events(catalog.RETRIES_DENIED, "5m", PROVIDER, 'cause="budget"'), t.budget_events),
            summary="The retry budget of {{ $labels.provider }} is used up.",
            description=f"{{{{ $value | humanize }}}} retries at {_WHERE} were not made in five minutes: "
            "too large a share of its calls fails.",
        ),
    )
