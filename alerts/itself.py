"""The sidecar itself: is it there, is it configured, does it cost too much, does it turn calls away?"""

from __future__ import annotations

from alerts.promql import APP, POD, STARTED, at_least, events, guarded
from alerts.promql import number as n
from alerts.rules import Alert, Area, Severity
from alerts.thresholds import Thresholds
from sidecar.telemetry import catalog

_WHO = "{{ $labels.app }} in {{ $labels.namespace }}"
_POD = "{{ $labels.pod }} of {{ $labels.app }} in {{ $labels.namespace }}"
_BY_APP = ", ".join(APP)
_BY_POD = ", ".join(POD)


def alerts(t: Thresholds) -> tuple[Alert, ...]:
    return (*_there(t), *_configured(), *_overridden(), *_told(t), *_doors(t), *_costs(t))


def _there(t: Thresholds) -> tuple[Alert, ...]:
    up = f'up{{job="{t.job}"}}'
    down = f"sum by ({_BY_APP}) ({up} == bool 0) / count by ({_BY_APP}) ({up})"
    return (
        Alert(
            name="LLMSidecarAbsent",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"absent({up})",
            wait="15m",
            summary="No sidecar is scraped any more.",
            description=f"Prometheus knows no target of job {t.job}: "
            "every other alert of the sidecar is blind.",
        ),
        Alert(
            name="LLMSidecarDown",
            area=Area.SELF,
            severity=Severity.CRITICAL,
            expr=f"{down} >= {n(t.down_share)}",
            wait="5m",
            summary="The sidecars of {{ $labels.app }} do not answer.",
            description=f"{{{{ $value | humanizePercentage }}}} of the sidecars of {_WHO} cannot be scraped; "
            "if they are down, so is the application's way to its models.",
        ),
        Alert(
            name="LLMSidecarTargetDown",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"{down} > {n(t.down_share_warning)}",
            wait="5m",
            summary="Some sidecars of {{ $labels.app }} do not answer.",
            description=f"{{{{ $value | humanizePercentage }}}} of the sidecars of {_WHO} cannot be scraped.",
        ),
        Alert(
            name="LLMSidecarRestarting",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f'max by ({_BY_POD}) (changes({STARTED}{{job="{t.job}"}}[30m])) >= {n(t.restarts)}',
            summary="A sidecar of {{ $labels.app }} restarts again and again.",
            description=f"The sidecar in {_POD} restarted {{{{ $value }}}} times in half an hour.",
        ),
    )


def _configured() -> tuple[Alert, ...]:
    return (
        Alert(
            name="LLMSidecarConfigReloadFailed",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"count by ({_BY_APP}) ({catalog.RELOAD_OK.name} == 0)",
            wait="5m",
            summary="A new configuration of {{ $labels.app }} was refused.",
            description=f"{{{{ $value }}}} sidecars of {_WHO} keep the last good configuration, "
            "because the one on disk has mistakes.",
        ),
        Alert(
            name="LLMSidecarConfigDrift",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"count by ({_BY_APP}) (\n"
            f'  count by ({_BY_APP}, config_hash) ({catalog.CONFIG.name}{{app!=""}})\n) > 1',
            wait="15m",
            summary="Sidecars of {{ $labels.app }} run different configurations.",
            description=f"The sidecars of {_WHO} run {{{{ $value }}}} configurations, "
            "for longer than a rollout.",
        ),
        Alert(
            name="LLMSidecarLabelOverflow",
            area=Area.SELF,
            severity=Severity.INFO,
            expr=f"{events(catalog.OVERFLOW, '1h', (*APP, 'label'))} > 0",
            summary="Label values of {{ $labels.app }} are folded into other.",
            description=f"{_WHO} had {{{{ $value | humanize }}}} values of {{{{ $labels.label }}}} too many "
            "in an hour; sums stay right, details are lost.",
        ),
    )


def _overridden() -> tuple[Alert, ...]:
    by_kind = ", ".join((*APP, "kind"))
    passed_by = events(catalog.CAPTURED, "15m", APP, 'reason="distrusted"')
    return (
        Alert(
            name="LLMSidecarBypassed",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"count by ({_BY_APP}) ({catalog.BYPASS.name} == 1)",
            wait="5m",
            summary="Calls of {{ $labels.app }} go past the sidecar's policy.",
            description=f"The bypass is on in {{{{ $value }}}} sidecars of {_WHO}: no retry, no breaker, "
            "no fallback, no judgement.",
        ),
        Alert(
            name="LLMSidecarOverridden",
            area=Area.SELF,
            severity=Severity.INFO,
            expr=f"max by ({by_kind}) ({catalog.OVERRIDES.name}) > 0",
            wait="4h",
            summary="Overrides of {{ $labels.app }} have been on for hours: {{ $labels.kind }}.",
            description=f"{{{{ $value }}}} overrides of {{{{ $labels.kind }}}} hold for {_WHO}; "
            "what was meant for an incident has become the configuration.",
        ),
        Alert(
            name="LLMSidecarOverridesRefused",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"count by ({_BY_APP}) ({catalog.OVERRIDES_OK.name} == 0)",
            wait="1m",
            summary="The overrides of {{ $labels.app }} were refused.",
            description=f"{{{{ $value }}}} sidecars of {_WHO} could not take the overrides on disk, "
            "because they have mistakes; what was good before still holds.",
        ),
        Alert(
            name="LLMSidecarDistrusted",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"{passed_by} > 0",
            wait="5m",
            summary="Clients of {{ $labels.app }} do not trust their sidecar, and go past it.",
            description=f"{{{{ $value | humanize }}}} connections of {_WHO} to a provider were tunnelled "
            "in 15 minutes, because a client had refused the certificates of its pod: no policy, no metrics.",
        ),
    )


def _told(t: Thresholds) -> tuple[Alert, ...]:
    dropped = events(catalog.UNSENT, "10m", (*APP, "signal", "reason"))
    return (
        Alert(
            name="LLMSidecarTelemetryDropped",
            area=Area.SELF,
            severity=Severity.INFO,
            expr=at_least(dropped, t.telemetry_events),
            wait="10m",
            summary="Telemetry of {{ $labels.app }} does not arrive: {{ $labels.reason }}.",
            description=f"{{{{ $value | humanize }}}} pieces of {{{{ $labels.signal }}}} of {_WHO} "
            "were dropped in ten minutes; calls are not affected.",
        ),
        Alert(
            name="LLMSidecarFleetSilent",
            area=Area.SELF,
            severity=Severity.INFO,
            expr=f"sum by ({_BY_APP}) ({catalog.SHARED_SILENT.name}) > 0",
            wait="15m",
            summary="Sidecars of {{ $labels.app }} hear nothing of each other.",
            description=f"{{{{ $value }}}} sidecars of {_WHO} have not reached their Redis for 15 minutes; "
            "each protects its application alone, calls are not affected.",
        ),
    )


def _doors(t: Thresholds) -> tuple[Alert, ...]:
    reason = (*APP, "reason")
    return (
        Alert(
            name="LLMSidecarInternalErrors",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"{events(catalog.BUGS, '15m', APP)} > 0",
            summary="A sidecar of {{ $labels.app }} met an error of its own.",
            description=f"{{{{ $value | humanize }}}} calls of {_WHO} met a bug of the sidecar in 15 minutes "
            "and went straight to their provider, or failed where fail_mode is closed.",
        ),
        Alert(
            name="LLMSidecarSaturated",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=at_least(events(catalog.SHED, "5m", reason, 'reason!="draining"'), t.shed_events),
            wait="2m",
            summary="A sidecar of {{ $labels.app }} sheds calls: {{ $labels.reason }}.",
            description=f"{{{{ $value | humanize }}}} calls of {_WHO} were refused at the door "
            "in five minutes, for {{ $labels.reason }}.",
        ),
        Alert(
            name="LLMSidecarRefusing",
            area=Area.CLIENT,
            severity=Severity.WARNING,
            expr=at_least(events(catalog.REFUSED, "10m", reason), t.refused_events),
            wait="5m",
            summary="Requests of {{ $labels.app }} are turned away: {{ $labels.reason }}.",
            description=f"{{{{ $value | humanize }}}} requests or connections of {_WHO} were turned away "
            "in ten minutes before they became calls; no other metric shows them.",
        ),
    )


def _costs(t: Thresholds) -> tuple[Alert, ...]:
    bound = f'le="{t.overhead_seconds:g}"'
    every = events(catalog.OVERHEAD_TIME, "10m", APP, part="_count")
    slow = f"(\n{every}\n-\n{events(catalog.OVERHEAD_TIME, '10m', APP, bound, part='_bucket')}\n)"
    return (
        Alert(
            name="LLMSidecarOverheadHigh",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=guarded(f"{slow}\n/\n({every} > 0) > {n(t.overhead_rate)}", APP, slow, t.overhead_events),
            wait="10m",
            summary="The sidecar of {{ $labels.app }} adds noticeable time to calls.",
            description=f"For {{{{ $value | humanizePercentage }}}} of the calls of {_WHO} "
            f"the sidecar added more than {t.overhead_seconds * 1000:g} ms.",
        ),
        Alert(
            name="LLMSidecarEventLoopLag",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"max by ({_BY_POD}) ({catalog.LAG.name}) > {n(t.lag_seconds)}",
            wait="5m",
            summary="The event loop of a sidecar of {{ $labels.app }} runs late.",
            description=f"In {_POD} the event loop is up to {{{{ $value | humanizeDuration }}}} late; "
            "every stream waits that long.",
        ),
        Alert(
            name="LLMSidecarMemoryHigh",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f'max by ({_BY_POD}) (process_resident_memory_bytes{{job="{t.job}"}}) > {n(t.memory_bytes)}',
            wait="10m",
            summary="A sidecar of {{ $labels.app }} is near its memory limit.",
            description=f"The sidecar in {_POD} uses {{{{ $value | humanize1024 }}}}B.",
        ),
        Alert(
            name="LLMSidecarCPUHigh",
            area=Area.SELF,
            severity=Severity.WARNING,
            expr=f"max by ({_BY_POD}) ("
            f'rate(process_cpu_seconds_total{{job="{t.job}"}}[5m])) > {n(t.cpu_cores)}',
            wait="10m",
            summary="A sidecar of {{ $labels.app }} uses up its processor.",
            description=f"The sidecar in {_POD} uses {{{{ $value | humanize }}}} cores; "
            "it cannot use more than one.",
        ),
    )
