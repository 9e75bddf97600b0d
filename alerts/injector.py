"""The injector: does it answer, is it trusted, does it do its chores, and whom did it miss?

Its metrics come from the injector's own scrape, with honorLabels, so that `namespace` is the pods'.
Every alert is about new pods: those that run have their sidecars whatever becomes of the injector.
"""

from __future__ import annotations

from alerts.promql import at_least, select
from alerts.promql import number as n
from alerts.rules import Alert, Area, Severity
from alerts.thresholds import Thresholds
from sidecar.telemetry import catalog


def alerts(t: Thresholds) -> tuple[Alert, ...]:
    up = f'up{{job="{t.injector_job}"}}'
    missed = select(catalog.INJECTOR_MISSED)
    ends = select(catalog.INJECTOR_CERTIFICATE)
    # born at 0 with the process, so that an increase sees the first one
    failed = select(catalog.INJECTOR_REVIEWS, 'result="failed"') + "[15m]"
    return (
        Alert(
            name="LLMSidecarPodsNotInjected",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"max by (namespace) ({missed}) > 0",
            wait="10m",
            summary="Pods in {{ $labels.namespace }} should have a sidecar and have none.",
            description="{{ $value }} pods in {{ $labels.namespace }} are labelled for injection and run "
            "without a sidecar: they call their providers directly, with no retries, breakers or metrics.",
        ),
        Alert(
            name="LLMSidecarInjectorDown",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"sum by (namespace, job) ({up}) == 0\n"
            f"or\n"
            f"count by (namespace, job) (count_over_time({up}[6h])) unless count by (namespace, job) ({up})",
            wait="5m",
            summary="The injector does not answer.",
            description="No replica of the injector can be scraped, or none is left: new pods get no "
            "sidecar, or are refused where the webhook's failurePolicy is Fail.",
        ),
        Alert(
            name="LLMSidecarInjectorFailing",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=at_least(f"sum by (namespace, job) (increase({failed}))", t.injector_failures),
            summary="The injector met an error of its own.",
            description="{{ $value | humanize }} pods in 15 minutes got no sidecar because of an error of "
            "the injector; its log names it.",
        ),
        Alert(
            name="LLMSidecarInjectorCertificateExpiring",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"min by (namespace, job) ({ends}) - time() < {n(t.injector_certificate_seconds)}",
            wait="10m",
            summary="The injector's certificate ends soon and was not renewed.",
            description="The webhook's certificate ends in {{ $value | humanizeDuration }}; after that "
            "the API server does not talk to it, and new pods get no sidecar.",
        ),
        Alert(
            name="LLMSidecarInjectorStuck",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"time() - max by (namespace, job, chore) ({select(catalog.INJECTOR_CHORE)}) "
            f"> {n(t.injector_chore_seconds)}",
            wait="5m",
            summary="The injector cannot do its {{ $labels.chore }}.",
            description="No replica has done {{ $labels.chore }} for {{ $value | humanizeDuration }}: "
            "the API is out of reach, or a permission is missing.",
        ),
        Alert(
            name="LLMSidecarInjectorProfilesRefused",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"min by (namespace, job) ({select(catalog.INJECTOR_PROFILES)}) == 0",
            wait="5m",
            summary="New profiles of the injector were refused.",
            description="The profiles on disk have mistakes; new pods get those that were good before.",
        ),
    )
