"""The sidecar itself: what it costs, whether it is full, what runs where."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, stat, table, timeseries

from alerts.thresholds import DEFAULT
from dashboards import frame, style
from dashboards.query import FLEET, Query, count, largest, pick, quantile, rate, total
from dashboards.style import Column, Levels
from sidecar.telemetry import catalog

PODS = (*FLEET, 'pod=~"$pod"')


def ours(process_metric: str) -> str:
    """A metric of the process, of our processes only: every job has such metrics."""
    return f"{process_metric} and on (namespace, instance) {pick(catalog.BUILD, scope=PODS)}"


# ---- what it costs ------------------------------------------------------------------------------


def overhead() -> timeseries.Panel:
    return style.lines(
        "Time added to calls",
        "A call's time that was neither a provider's, nor a wait, nor a slow client's. Above the line the "
        "sidecar is short of CPU: see lag and CPU beside it, and raise its limit.",
        *(
            Query(
                quantile(q, catalog.OVERHEAD_TIME, by=("stream",), scope=PODS),
                f"p{q * 100:g} stream: {{{{stream}}}}",
            )
            for q in (0.5, 0.99)
        ),
        unit="s",
        levels=Levels(critical=DEFAULT.overhead_seconds),
        runbooks=("LLMSidecarOverheadHigh",),
    )


def lag() -> timeseries.Panel:
    return style.lines(
        "Event loop lag, worst ten pods",
        "The longest time in a minute that nothing could be done. One pod: its node or its CPU limit. All "
        "pods: bodies or rates that are larger than planned for.",
        Query(
            f"topk(10, {largest(pick(catalog.LAG, scope=PODS), ('pod', 'instance'))})", "{{pod}} {{instance}}"
        ),
        unit="s",
        levels=Levels(critical=DEFAULT.lag_seconds),
        runbooks=("LLMSidecarEventLoopLag",),
    )


def cpu() -> timeseries.Panel:
    used = ours("rate(process_cpu_seconds_total[$__rate_interval])")
    return style.lines(
        "CPU",
        "Cores per pod; one process can use one. Near one, or near the pod's limit, calls queue in the "
        "sidecar: raise the limit or add pods.",
        Query(f"topk(10, {total(used, ('pod', 'instance'))})", "{{pod}} {{instance}}"),
        unit="suffix: cores",
        levels=Levels(critical=DEFAULT.cpu_cores),
        runbooks=("LLMSidecarCPUHigh",),
    )


def memory() -> timeseries.Panel:
    used = ours("process_resident_memory_bytes")
    return style.lines(
        "Memory",
        "Resident memory per pod. It follows the bodies that are held. A line that only climbs over days is "
        "a leak: report it with the version.",
        Query(f"topk(10, {largest(used, ('pod', 'instance'))})", "{{pod}} {{instance}}"),
        unit="bytes",
        levels=Levels(critical=DEFAULT.memory_bytes),
        runbooks=("LLMSidecarMemoryHigh",),
    )


def files() -> timeseries.Panel:
    used = ours("process_open_fds")
    return style.lines(
        "Open files and sockets",
        "Each call has two sockets. Climbing while calls in flight do not: connections are not given back.",
        Query(f"topk(10, {largest(used, ('pod', 'instance'))})", "{{pod}} {{instance}}"),
        unit="short",
    )


def bugs() -> timeseries.Panel:
    return style.lines(
        "Errors of our own",
        "Calls that met a bug of ours and went straight to their provider, without any protection. Must be "
        "zero: the log has the stack; report it with the version.",
        Query(
            count(catalog.BUGS, by=("namespace", "pod", "instance"), scope=PODS),
            "{{namespace}} {{pod}} {{instance}}",
        ),
        unit="short",
        bars=True,
        levels=Levels(critical=1),
        runbooks=("LLMSidecarInternalErrors",),
    )


# ---- is it full ---------------------------------------------------------------------------------


def in_flight() -> timeseries.Panel:
    return style.lines(
        "Calls in flight",
        "Calls being served now. In an incident it rises because calls wait for timeouts: shorter limits or "
        "an earlier breaker bring it down.",
        Query(total(pick(catalog.IN_FLIGHT, scope=PODS), ("namespace", "app")), "{{namespace}} {{app}}"),
        unit="short",
    )


def shed() -> timeseries.Panel:
    return style.lines(
        "Calls refused at the door",
        "By reason: concurrency, memory, draining. draining belongs to a rollout. The others are users "
        "turned away by the sidecar: raise its limits or add pods.",
        Query(rate(catalog.SHED, by=("reason",), scope=PODS), "{{reason}}"),
        unit="reqps",
        bars=True,
        runbooks=("LLMSidecarSaturated",),
    )


def given_again() -> timeseries.Panel:
    return style.lines(
        "Answers given again",
        "What the cache had. hit: fresh, nobody was asked. stale_hit: everybody failed and an earlier answer "
        "stood in: an incident, see the fleet. Many stale_miss: answers are forgotten too soon; look at the "
        "panel beside this.",
        Query(rate(catalog.CACHE_LOOKUPS, by=("result",), scope=PODS), "{{result}}"),
        unit="reqps",
        bars=True,
        runbooks=("LLMDegradedServing",),
    )


def cache() -> timeseries.Panel:
    return style.lines(
        "Answers taken in and dropped",
        "room: the bounds of `cache_size` are reached, and what was dropped early could not stand in later: "
        "raise them. memory: the container has too little.",
        Query(rate(catalog.CACHE_STORES, scope=PODS), "taken in"),
        Query(rate(catalog.CACHE_EVICTIONS, by=("reason",), scope=PODS), "dropped: {{reason}}"),
        unit="reqps",
    )


def cache_size() -> timeseries.Panel:
    return style.lines(
        "Memory of the cache",
        "Bytes of the answers that are kept, the ten largest pods. It stops at `cache_size.bytes`.",
        Query(
            f"topk(10, {largest(pick(catalog.CACHE_BYTES, scope=PODS), ('pod', 'instance'))})",
            "{{pod}} {{instance}}",
        ),
        unit="bytes",
    )


def refused() -> timeseries.Panel:
    return style.lines(
        "Requests turned away",
        "What never became a call: malformed, unknown path, wrong host. A steady rate of unknown: an "
        "application has the wrong base URL. host or not_allowed from nowhere: somebody is trying.",
        Query(rate(catalog.REFUSED, by=("reason",), scope=PODS), "{{reason}}"),
        unit="reqps",
        bars=True,
        runbooks=("LLMSidecarRefusing",),
    )


def connections() -> timeseries.Panel:
    return style.lines(
        "Connections to providers",
        "active serve a call, idle wait for one. Many new ones and few idle: the provider closes them, and "
        "each call pays for a handshake.",
        Query(total(pick(catalog.CONNECTIONS, scope=PODS), ("provider", "state")), "{{provider}} {{state}}"),
        unit="short",
    )


# ---- interception -------------------------------------------------------------------------------


def captured() -> timeseries.Panel:
    return style.lines(
        "Connections to the proxy port",
        "Of applications that use HTTPS_PROXY. failed untrusted: a client does not trust the pod's "
        "authority, and its calls go past the sidecar; restart the application, or see why it reads another "
        "bundle. refused: a host or an address that the configuration forbids.",
        Query(rate(catalog.CAPTURED, by=("how", "reason"), scope=PODS), "{{how}} {{reason}}"),
        unit="suffix: /s",
    )


def tunnels() -> timeseries.Panel:
    return style.lines(
        "Open tunnels",
        "Connections to hosts that are not intercepted, never looked into. A line that only rises: an "
        "application leaks connections; at capture.tunnels new ones are refused.",
        Query(total(pick(catalog.TUNNELS, scope=PODS), ("namespace", "app")), "{{namespace}} {{app}}"),
        unit="short",
    )


# ---- deferred calls -----------------------------------------------------------------------------


def deferred_jobs() -> timeseries.Panel:
    return style.lines(
        "Deferred calls",
        "Calls that wait for a provider to come back, that are asked for now, and whose end is kept for "
        "their owners. waiting climbs while its provider is well: raise deferred.per_second.",
        Query(
            total(pick(catalog.DEFERRED_JOBS, scope=PODS), ("namespace", "state")), "{{namespace}} {{state}}"
        ),
        unit="short",
        runbooks=("LLMDeferredTooOld",),
    )


def deferred_events() -> timeseries.Panel:
    return style.lines(
        "What becomes of deferred calls",
        "expired, dropped and refused are calls that nobody will get an answer to. put_off again and again: "
        "the provider answers, and answers badly.",
        Query(count(catalog.DEFERRED, by=("event", "reason"), scope=PODS), "{{event}} {{reason}}"),
        unit="short",
        bars=True,
        runbooks=("LLMDeferredLost",),
    )


def deferred_age() -> timeseries.Panel:
    return style.lines(
        "Oldest deferred call",
        "How long the oldest one has waited; at deferred.expires of its route it is given up.",
        Query(
            largest(pick(catalog.DEFERRED_OLDEST, scope=PODS), ("namespace", "app")), "{{namespace}} {{app}}"
        ),
        unit="s",
        levels=Levels(critical=DEFAULT.deferred_age_seconds),
        runbooks=("LLMDeferredTooOld",),
    )


def deferred_room() -> timeseries.Panel:
    return style.lines(
        "Room for deferred calls",
        "The fullest bound of each pod's queue, and pods whose file cannot be used. At 1 calls get their "
        "error instead of a receipt.",
        Query(
            f"topk(10, {largest(pick(catalog.DEFERRED_FULL, scope=PODS), ('pod', 'instance'))})",
            "{{pod}} {{instance}}",
        ),
        Query(f"sum({pick(catalog.DEFERRED_OK, scope=PODS)} == bool 0)", "pods that cannot write"),
        unit="percentunit",
        levels=Levels(critical=DEFAULT.deferred_full_rate),
        runbooks=("LLMDeferredNearlyFull", "LLMDeferredUnusable"),
    )


def deferred_bytes() -> timeseries.Panel:
    return style.lines(
        "Bytes of deferred calls",
        "Calls that wait and answers that are kept, on each pod's disk. Answers go at deferred.keep.",
        Query(
            f"topk(10, {largest(pick(catalog.DEFERRED_BYTES, scope=PODS), ('pod', 'instance'))})",
            "{{pod}} {{instance}}",
        ),
        unit="bytes",
    )


def webhook_messages() -> timeseries.Panel:
    return style.lines(
        "Messages to webhooks",
        "Attempts to deliver what became of deferred calls. failed ones are tried again; expired ones are "
        "given up; after stopped (410) nothing is sent to that webhook any more.",
        Query(
            count(catalog.WEBHOOK_DELIVERIES, by=("webhook", "result"), scope=PODS), "{{webhook}} {{result}}"
        ),
        Query(total(pick(catalog.WEBHOOK_WAITING, scope=PODS), ("webhook",)), "{{webhook}} waiting"),
        unit="short",
        bars=True,
        runbooks=("LLMWebhookLost",),
    )


def webhook_age() -> timeseries.Panel:
    return style.lines(
        "Oldest message to a webhook",
        "How long the oldest one has not been delivered; at deferred.keep of its route it is given up.",
        Query(
            largest(pick(catalog.WEBHOOK_OLDEST, scope=PODS), ("namespace", "app", "webhook")),
            "{{namespace}} {{app}} {{webhook}}",
        ),
        unit="s",
        levels=Levels(critical=DEFAULT.webhook_age_seconds),
        runbooks=("LLMWebhookFailing",),
    )


# ---- what runs ----------------------------------------------------------------------------------


def versions() -> table.Panel:
    return style.table(
        "Versions and pods",
        "How many pods run which version. Two versions outside a rollout: a deployment hangs or an image is "
        "pinned.",
        ("namespace", "app", "version", "python"),
        (
            Column(
                "pods",
                f"count by (namespace, app, version, python) ({pick(catalog.BUILD, scope=PODS)})",
                "short",
            ),
        ),
        size=(8, 8),
    )


def configs() -> table.Panel:
    return style.table(
        "Configurations in use",
        "Digests of the configuration by application. Two of one application for longer than a rollout: "
        "some pods did not take the new one; see reloads.",
        ("namespace", "app", "config_hash"),
        (
            Column(
                "pods",
                f"count by (namespace, app, config_hash) ({pick(catalog.CONFIG, scope=PODS)})",
                "short",
            ),
        ),
        size=(8, 8),
        runbooks=("LLMSidecarConfigDrift",),
    )


def reload_failing() -> stat.Panel:
    return style.number(
        "Pods that refuse their configuration",
        "Pods whose file on disk is not the configuration in use: it has errors, and the last good one goes "
        "on. The log names each error and its path.",
        Query(f"sum({pick(catalog.RELOAD_OK, scope=PODS)} == bool 0)", "pods"),
        unit="short",
        levels=Levels(critical=1),
        size=(4, 8),
        runbooks=("LLMSidecarConfigReloadFailed",),
    )


def config_age() -> stat.Panel:
    loaded = pick(catalog.RELOAD_TIME, scope=PODS)
    return style.number(
        "Youngest configuration",
        "How long ago a pod last took a configuration. An incident that began at that moment is a change of "
        "yours: roll it back first.",
        Query(f"time() - max({loaded})", "age"),
        unit="s",
        size=(4, 8),
    )


def reloads() -> timeseries.Panel:
    return style.lines(
        "Reloads",
        "Of the configuration, by result. failed: a file with errors; the pods go on with the last good one.",
        Query(count(catalog.RELOADS, by=("result",), scope=PODS), "{{result}}"),
        unit="short",
        bars=True,
        runbooks=("LLMSidecarConfigReloadFailed",),
    )


def overrides() -> timeseries.Panel:
    return style.lines(
        "Overrides and bypass",
        "What operators laid over the configuration, by kind, and pods whose bypass is on: calls there go "
        "without retries, breakers and fallbacks. Anything but zero outside an incident: take it back.",
        Query(largest(pick(catalog.OVERRIDES, scope=PODS), ("namespace", "kind")), "{{namespace}} {{kind}}"),
        Query(total(pick(catalog.BYPASS, scope=PODS), ("namespace",)), "{{namespace}} pods bypassed"),
        Query(
            f"sum by (namespace) ({pick(catalog.OVERRIDES_OK, scope=PODS)} == bool 0)",
            "{{namespace}} pods that refuse their overrides",
        ),
        unit="short",
        levels=Levels(critical=1),
        runbooks=("LLMSidecarBypassed", "LLMSidecarOverridden", "LLMSidecarOverridesRefused"),
    )


def pressure() -> timeseries.Panel:
    return style.lines(
        "Memory given up",
        "How near a container's memory limit is, and what it costs: 1 answers are held back less, 2 large "
        "request bodies are refused too. Above 0 for long: raise the limit or lower admission.held_bytes.",
        Query(
            f"topk(10, {largest(pick(catalog.MEMORY_PRESSURE, scope=PODS), ('pod', 'instance'))})",
            "{{pod}} {{instance}} level",
        ),
        Query(
            f"topk(10, {largest(pick(catalog.MEMORY_USED, scope=PODS), ('pod', 'instance'))})",
            "{{pod}} {{instance}} share of the limit",
        ),
        unit="short",
        runbooks=("LLMSidecarMemoryHigh",),
    )


def ending() -> timeseries.Panel:
    return style.lines(
        "Pods that end",
        "Sidecars that were told that their pod ends, and still serve it. Climbing without a rollout: pods "
        "are evicted or hang in their grace period.",
        Query(total(pick(catalog.DRAINING, scope=PODS), ("namespace", "app")), "{{namespace}} {{app}}"),
        unit="short",
    )


def overflow() -> timeseries.Panel:
    return style.lines(
        "Label values folded away",
        "Values that became other to keep series few. A rise: applications ask for many model names; add "
        "the real ones to the configuration, so that they are seen apart.",
        Query(count(catalog.OVERFLOW, by=("label",), scope=PODS), "{{label}}"),
        unit="short",
        bars=True,
        runbooks=("LLMSidecarLabelOverflow",),
    )


def unsent() -> timeseries.Panel:
    return style.lines(
        "Telemetry that did not arrive",
        "Spans that were made and lost, by reason. queue_full: more than the collector takes. "
        "export_failed: it is down or refuses. Metrics on this board are not concerned; traces have gaps.",
        Query(rate(catalog.UNSENT, by=("signal", "reason"), scope=PODS), "{{signal}} {{reason}}"),
        unit="suffix: /s",
        bars=True,
    )


def advice() -> timeseries.Panel:
    return style.lines(
        "Advice of the fleet",
        "What pods took from each other: breakers tripped early, verdicts of probes, waits; elections for "
        "the one probe of the fleet. Empty where nothing is shared.",
        Query(rate(catalog.SHARED_ADVICE, by=("kind",), scope=PODS), "{{kind}}"),
        unit="suffix: /s",
        bars=True,
    )


def silent() -> timeseries.Panel:
    return style.lines(
        "The fleet's Redis",
        "Rounds that failed and values that were not believed, by reason. Calls "
        "are never concerned. forged: another key, another fleet, or somebody who writes there.",
        Query(rate(catalog.SHARED_ERRORS, by=("reason",), scope=PODS), "{{reason}}"),
        unit="suffix: /s",
        bars=True,
        runbooks=("LLMSidecarFleetSilent",),
    )


def hearing() -> timeseries.Panel:
    return style.lines(
        "Pods that hear nothing",
        "Pods whose Redis does not answer: each is on its own, as it would be without one.",
        Query(total(pick(catalog.SHARED_SILENT, scope=PODS), ("namespace", "app")), "{{namespace}} {{app}}"),
        unit="short",
        runbooks=("LLMSidecarFleetSilent",),
    )


def board() -> dashboard.Dashboard:
    made = frame.board(
        "LLM sidecar internals",
        "The sidecar itself: what it costs, whether it is full, what runs where.",
        frame.INTERNALS_UID,
        "namespace",
        "app",
        "pod",
    )
    rows: dict[str, list[style.Panel]] = {
        "What it costs": [overhead(), lag(), cpu(), memory(), files(), bugs()],
        "Is it full": [in_flight(), shed(), refused(), connections(), pressure(), ending()],
        "Earlier answers": [given_again(), cache(), cache_size()],
        "Interception": [captured(), tunnels()],
        "Pods that learn from each other": [advice(), silent(), hearing()],
        "Deferred calls": [
            deferred_jobs(),
            deferred_events(),
            deferred_age(),
            deferred_room(),
            deferred_bytes(),
            webhook_messages(),
            webhook_age(),
        ],
        "What runs": [
            versions(),
            configs(),
            reload_failing(),
            config_age(),
            overrides(),
            reloads(),
            overflow(),
            unsent(),
        ],
    }
    return frame.fill(made, rows)
