"""Deferred calls: nobody watches them, so that somebody has to say when they wait too long or are lost."""

from __future__ import annotations

from alerts.promql import APP, POD, at_least, events
from alerts.promql import number as n
from alerts.rules import Alert, Area, Severity
from alerts.thresholds import Thresholds
from sidecar.telemetry import catalog

_BY_POD = ", ".join(POD)
_POD = "{{ $labels.pod }} of {{ $labels.app }} in {{ $labels.namespace }}"
_WHO = "{{ $labels.app }} in {{ $labels.namespace }}"


def alerts(t: Thresholds) -> tuple[Alert, ...]:
    lost = events(catalog.DEFERRED, "15m", (*APP, "event"), 'event=~"expired|dropped|refused"')
    undelivered = events(
        catalog.WEBHOOK_DELIVERIES, "15m", (*APP, "webhook", "result"), 'result=~"expired|stopped"'
    )
    return (
        Alert(
            name="LLMDeferredTooOld",
            area=Area.DEGRADED,
            severity=Severity.WARNING,
            expr=f"max by ({_BY_POD}) ({catalog.DEFERRED_OLDEST.name}) > {n(t.deferred_age_seconds)}",
            wait="5m",
            summary="Deferred calls of {{ $labels.app }} wait too long.",
            description=f"The oldest deferred call in {_POD} has waited {{{{ $value | humanizeDuration }}}}; "
            "it is given up at its route's `deferred.expires`.",
        ),
        Alert(
            name="LLMDeferredNearlyFull",
            area=Area.DEGRADED,
            severity=Severity.WARNING,
            expr=f"max by ({_BY_POD}) ({catalog.DEFERRED_FULL.name}) > {n(t.deferred_full_rate)}",
            wait="5m",
            summary="The queue of deferred calls of {{ $labels.app }} is nearly full.",
            description=f"The queue in {_POD} is at {{{{ $value | humanizePercentage }}}} of a bound; "
            "beyond it calls get their error at once.",
        ),
        Alert(
            name="LLMDeferredLost",
            area=Area.DEGRADED,
            severity=Severity.WARNING,
            expr=at_least(lost, t.deferred_lost_events),
            summary="Deferred calls of {{ $labels.app }} are {{ $labels.event }}.",
            description=f"{{{{ $value | humanize }}}} deferred calls of {_WHO} were {{{{ $labels.event }}}} "
            "in 15 minutes: nobody will get their answers.",
        ),
        Alert(
            name="LLMDeferredUnusable",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"count by ({', '.join(APP)}) ({catalog.DEFERRED_OK.name} == 0)",
            wait="2m",
            summary="The file of deferred calls of {{ $labels.app }} cannot be used.",
            description=f"{{{{ $value }}}} sidecars of {_WHO} cannot write their deferred calls: new ones "
            "are not taken, and answers do not get on disk.",
        ),
        Alert(
            name="LLMWebhookFailing",
            area=Area.DEGRADED,
            severity=Severity.WARNING,
            expr=f"max by ({', '.join(APP)}, webhook) ({catalog.WEBHOOK_OLDEST.name})"
            f" > {n(t.webhook_age_seconds)}",
            wait="5m",
            summary="The webhook {{ $labels.webhook }} of {{ $labels.app }} does not take its messages.",
            description=f"The oldest message of {_WHO} to {{{{ $labels.webhook }}}} has not been delivered "
            "for {{ $value | humanizeDuration }}; it is given up at its route's `deferred.keep`.",
        ),
        Alert(
            name="LLMWebhookLost",
            area=Area.DEGRADED,
            severity=Severity.WARNING,
            expr=at_least(undelivered, t.webhook_lost_events),
            summary="Messages of {{ $labels.app }} to {{ $labels.webhook }}: {{ $labels.result }}.",
            description=f"{{{{ $value | humanize }}}} messages of {_WHO} to {{{{ $labels.webhook }}}} in 15 "
            "minutes: {{ $labels.result }}. expired: given up; stopped: the receiver said 410, and gets no "
            "more.",
        ),
    )
