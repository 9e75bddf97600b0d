"""Breakers: opened and felt, open everywhere, or unable to decide."""

from __future__ import annotations

from alerts import recordings as r
from alerts.promql import MODEL, events, guarded
from alerts.promql import number as n
from alerts.rules import Alert, Area, Severity
from alerts.thresholds import Thresholds
from sidecar.telemetry import catalog

_KIND = (*MODEL, "kind")
_WHAT = (
    "The {{ $labels.kind }} breaker of {{ $labels.model }} of {{ $labels.provider }} "
    "in {{ $labels.namespace }}"
)


def alerts(t: Thresholds) -> tuple[Alert, ...]:
    closed = events(
        catalog.BREAKER_TRANSITIONS, "15m", (*_KIND, "instance"), 'to="closed"', 'trigger!="manual"'
    )
    return (
        Alert(
            name="LLMBreakerOpen",
            area=Area.BREAKER,
            severity=Severity.WARNING,
            expr=f"{r.OPEN_PODS} > 0",
            summary="A {{ $labels.kind }} breaker of {{ $labels.provider }} is open.",
            description=f"{_WHAT} opened, or turns calls away, in {{{{ $value }}}} pods.",
        ),
        Alert(
            name="LLMBreakerOpenFleetWide",
            area=Area.BREAKER,
            severity=Severity.CRITICAL,
            expr=guarded(
                f"{r.OPEN_SHARE} >= {n(t.breaker_fleet_share)}", _KIND, r.OPEN_PODS, t.breaker_fleet_pods
            ),
            wait="2m",
            summary="Breakers of {{ $labels.provider }} are open in the whole fleet.",
            description=f"{_WHAT} is open in {{{{ $value | humanizePercentage }}}} of the pods.",
        ),
        Alert(
            name="LLMBreakerFlapping",
            area=Area.BREAKER,
            severity=Severity.WARNING,
            expr=f"max by ({', '.join(_KIND)}) (\n{closed}\n) >= {n(t.breaker_flaps)}",
            summary="A {{ $labels.kind }} breaker of {{ $labels.provider }} keeps opening and closing.",
            description=f"{_WHAT} closed {{{{ $value | humanize }}}} times in one pod within 15 minutes.",
        ),
    )
