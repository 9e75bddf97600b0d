"""What the owner of an application is told: grouped by namespace and app, so that it reaches them."""

from __future__ import annotations

from alerts import recordings as r
from alerts.promql import APP, at_least, events, guarded
from alerts.promql import number as n
from alerts.rules import Alert, Area, Severity
from alerts.thresholds import Thresholds
from sidecar.telemetry import catalog

REQUESTS = catalog.REQUESTS
_TIER = (*APP, "tier")
_SOURCE = (*APP, "source")
_WHO = "{{ $labels.app }} in {{ $labels.namespace }}"


def alerts(t: Thresholds) -> tuple[Alert, ...]:
    return (
        Alert(
            name="LLMChainExhausted",
            area=Area.APP,
            severity=Severity.CRITICAL,
            expr=guarded(
                f"{r.ERROR_SHARE} > {n(t.exhausted_rate)}",
                APP,
                events(REQUESTS, "5m", APP, 'outcome="error"', 'tier="none"'),
                t.exhausted_events,
            ),
            wait="2m",
            summary="Nobody answers {{ $labels.app }}: every target of its chains failed or was passed over.",
            description=f"{_WHO} gets an error for {{{{ $value | humanizePercentage }}}} of its calls: "
            "no target of the chain answered and no static answer stood in.",
        ),
        Alert(
            name="LLMAnswersBelowFull",
            area=Area.APP,
            severity=Severity.CRITICAL,
            expr=guarded(
                f"{r.BELOW_FULL_SHARE} > {n(t.below_full_rate)}",
                APP,
                events(REQUESTS, "10m", APP, r.ASKED, 'tier!="full"'),
                t.below_full_events,
            ),
            wait="10m",
            summary="Many calls of {{ $labels.app }} have got no full answer for ten minutes.",
            description=f"{_WHO} gets a reduced, cached, static or no answer for "
            "{{ $value | humanizePercentage }} of its calls.",
        ),
        Alert(
            name="LLMDegradedServing",
            area=Area.DEGRADED,
            severity=Severity.WARNING,
            expr=at_least(
                events(REQUESTS, "10m", _TIER, 'tier=~"reduced|cached|static|deferred"'), t.degraded_events
            ),
            wait="2m",
            summary="{{ $labels.app }} gets {{ $labels.tier }} answers.",
            description=f"{_WHO} got {{{{ $value | humanize }}}} answers of tier {{{{ $labels.tier }}}} "
            "in ten minutes.",
        ),
        Alert(
            name="LLMFallbackRateHigh",
            area=Area.FALLBACK,
            severity=Severity.WARNING,
            expr=guarded(
                f"{r.FALLBACK_SHARE} > {n(t.fallback_rate)}",
                APP,
                events(REQUESTS, "10m", APP, r.ASKED, 'path="fallback"'),
                t.fallback_events,
            ),
            wait="5m",
            summary="Many calls of {{ $labels.app }} need a fallback.",
            description=f"{{{{ $value | humanizePercentage }}}} of the calls of {_WHO} "
            "went to another target than the first of their chain.",
        ),
        Alert(
            name="LLMFallbackBurst",
            area=Area.FALLBACK,
            severity=Severity.WARNING,
            expr=f"{events(catalog.FALLBACKS, '5m', APP)} > {n(t.fallback_burst)}",
            summary="{{ $labels.app }} fell back more often than usual.",
            description=f"{_WHO} moved to the next target {{{{ $value | humanize }}}} times in five minutes.",
        ),
        Alert(
            name="LLMNestedRetries",
            area=Area.CLIENT,
            severity=Severity.WARNING,
            expr=at_least(events(catalog.NESTED, "15m", _SOURCE), t.nested_events),
            summary="The client of {{ $labels.app }} retries on top of the sidecar's retries.",
            description=f"{_WHO} sent {{{{ $value | humanize }}}} retries of its own in 15 minutes, "
            "known by {{ $labels.source }}: three tries there and three here are nine.",
        ),
    )
