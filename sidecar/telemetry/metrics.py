"""Events in, Prometheus out: one function that counts, one that renders.

Nothing here is called per chunk. A call costs one `count` per attempt and one at its end; children
are kept in dicts keyed by their label values, because looking them up in the library costs more
than counting. What a client can choose never becomes a label: labels.py sees to that.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from math import ceil
from typing import assert_never

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

import sidecar
from sidecar.events import (
    AttemptEnded,
    BreakerMoved,
    Bug,
    CallEnded,
    Degraded,
    Delivered,
    Event,
    FellBack,
    Judged,
    NestedRetry,
    OperatorAlert,
    Reloaded,
    Restored,
    RetryDenied,
    RetryPlanned,
    Shed,
    TargetSkipped,
    Turned,
    WouldOpen,
)
from sidecar.faults import HANDLING
from sidecar.model import (
    Answered,
    Attempt,
    BreakerState,
    Call,
    Failed,
    Kind,
    Operation,
    RefusedBy,
    Target,
    Tier,
    Usage,
)
from sidecar.settings import Route, Settings
from sidecar.telemetry import catalog, words
from sidecar.telemetry.catalog import OTHER, Metric, MetricKind
from sidecar.telemetry.exposition import Exposition, Shown
from sidecar.telemetry.labels import Family, Key, Labels, targets_of
from sidecar.telemetry.words import Ended, Path, Went

_LEVEL = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
_MOST_OPEN = 1024  # breakers remembered as not closed; clients choose models
_BREAKERS = (RefusedBy.BREAKER, RefusedBy.QUALITY_BREAKER)


class Metrics:
    """`configure` on load and on every reload, `count` for every event, the setters before `render`.

    `wall` is Unix time.
    """

    def __init__(
        self, settings: Settings, *, wall: Callable[[], float], registry: CollectorRegistry | None = None
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series per child, for nothing
        self.registry = CollectorRegistry() if registry is None else registry
        self._exposition = Exposition(ProcessCollector(registry=self.registry))
        self._wall = wall
        self._open: dict[Key, tuple[Key, int]] = {}  # breakers that are not closed -> their gauge, level
        self._met: set[str] = set()  # providers whose children exist
        self._families: list[Family[Counter] | Family[Gauge] | Family[Histogram]] = []
        self._overflows = self._counter(catalog.OVERFLOW)
        self._labels = Labels(self._overflow)

        self._requests = self._counter(catalog.REQUESTS)
        self._request_duration = self._histogram(catalog.REQUEST_DURATION)
        self._in_flight = self._plain_gauge(catalog.IN_FLIGHT)
        self._attempts = self._counter(catalog.ATTEMPTS)
        self._attempt_duration = self._histogram(catalog.ATTEMPT_DURATION)
        self._first_token = self._histogram(catalog.FIRST_TOKEN)
        self._interruptions = self._counter(catalog.INTERRUPTIONS)
        self._tokens = self._counter(catalog.TOKENS)
        self._connections = self._gauge(catalog.CONNECTIONS)
        self._denied = self._counter(catalog.RETRIES_DENIED)
        self._retry_wait = self._counter(catalog.RETRY_WAIT)
        self._nested = self._counter(catalog.NESTED)
        self._fallbacks = self._counter(catalog.FALLBACKS)
        self._skipped = self._counter(catalog.SKIPPED)
        self._breaker_state = self._gauge(catalog.BREAKER_STATE)
        self._transitions = self._counter(catalog.BREAKER_TRANSITIONS)
        self._breaker_rejected = self._counter(catalog.BREAKER_REJECTED)
        self._quality = self._counter(catalog.QUALITY)
        self._evaluations = self._counter(catalog.EVALUATIONS)
        self._alerts = self._counter(catalog.ALERTS)
        self._shed = self._counter(catalog.SHED)
        self._refused = self._counter(catalog.REFUSED)
        self._overhead = self._histogram(catalog.OVERHEAD_TIME)
        self._reloads = self._counter(catalog.RELOADS)
        self._config = self._gauge(catalog.CONFIG)
        self._unsent = self._counter(catalog.UNSENT)
        self._build = self._gauge(catalog.BUILD)
        self._lag = self._plain_gauge(catalog.LAG)
        self._reload_ok = self._plain_gauge(catalog.RELOAD_OK)
        self._reload_time = self._plain_gauge(catalog.RELOAD_TIME)
        self._bugs = self._plain_counter(catalog.BUGS)

        self._build[sidecar.__version__, platform.python_version()].set(1)
        for reason in ("concurrency", "memory", "draining"):
            self._shed.declare(reason)
        for reason in ("connections", "host", "malformed", "unknown", "websocket"):
            self._refused.declare(reason)
        for source in ("sdk_header", "same_body", "idempotency_key"):
            self._nested.declare(source)
        for result in ("ok", "failed"):
            self._reloads.declare(result)
        for reason in ("queue_full", "export_failed", "shutdown"):
            self._unsent.declare("traces", reason)
        for stream in ("true", "false"):
            self._overhead.declare(stream)
        for label in ("model", "provider", "route"):
            self._overflows.declare(label)
        self.configure(settings)

    # ---- configuration ---------------------------------------------------------------------

    def configure(self, settings: Settings) -> None:
        """What is named now exists at 0; gauges of what is gone go, counters stay."""
        self._labels.learn(settings)
        configured = [route for route in settings.routes if not route.implicit]
        named = {
            (target.provider.name, target.model or OTHER)
            for route in configured
            for target in targets_of(route)
        }
        room = max(1, ceil(len(named) / 6), ceil(len(configured) / 8))
        for family in self._families:
            family.limit = family.metric.bound * room
        for route in configured:
            self._declare_route(route)
        for provider, model in sorted(named):
            self._declare_target(provider, model)
        self._forget_gone()
        self._config[(settings.digest,)].set(1)
        self._reload_ok.set(1)
        self._reload_time.set(self._wall())

    def _forget_gone(self) -> None:
        labels = self._labels
        for which, (gauge, _level) in list(self._open.items()):
            kind, owner, member = which
            gone = kind == "quality" and not (labels.is_route(owner) and labels.is_target(member))
            if gone or not labels.is_model(*gauge[:2]):
                del self._open[which]
        for gauge in list(self._breaker_state):
            if labels.is_model(*gauge[:2]):
                self._show_worst(gauge)
            else:
                self._breaker_state.forget(gauge)
        for key in [k for k in self._connections if k[0] not in labels.providers]:
            self._connections.forget(key)
        for key in list(self._config):
            self._config.forget(key)

    def _declare_route(self, route: Route) -> None:
        primary = route.chain[0].provider.name if route.chain else ""
        self._request_duration.declare(route.name, Path.DIRECT, Ended.SUCCESS)
        if not primary:
            return  # the prefix a client uses says it; learned with the first call
        for path in (Path.DIRECT, Path.RETRY, Path.FALLBACK):
            self._requests.declare(route.name, Operation.CHAT, primary, Ended.SUCCESS, Tier.FULL, path)
            self._requests.declare(route.name, Operation.CHAT, primary, Ended.ERROR, Tier.NONE, path)
        if route.static is not None:
            self._requests.declare(
                route.name, Operation.CHAT, primary, Ended.SUCCESS, Tier.STATIC, Path.DEGRADED
            )

    def _declare_target(self, provider: str, model: str) -> None:
        self._met.add(provider)
        if model != OTHER:  # whose histograms would stay empty
            self._attempts.declare(provider, model, Kind.INITIAL, Went.SUCCESS, "")
            self._first_token.declare(provider, model)
            for word in ("success", "failure"):
                self._attempt_duration.declare(provider, model, word)
        self._breaker_rejected.declare(provider, model)
        for kind in ("transport", "quality"):
            self._breaker_state.declare(provider, model, kind)
            self._transitions.declare(provider, model, kind, BreakerState.OPEN, "ratio")
        self._transitions.declare(provider, model, "transport", BreakerState.OPEN, "run")
        for fault, row in HANDLING.items():
            if row.alert:
                self._alerts.declare(provider, model, fault)
        for source in ("backoff", "provider"):
            self._retry_wait.declare(provider, source)
        for cause in ("budget", "deadline"):
            self._denied.declare(provider, cause)

    # ---- what the app sets -------------------------------------------------------------------

    def set_in_flight(self, calls: int) -> None:
        self._in_flight.set(calls)

    def set_lag(self, seconds: float) -> None:
        self._lag.set(seconds)

    def set_connections(self, provider: str, *, active: int, idle: int) -> None:
        name = self._labels.provider(provider)
        self._connections[name, "active"].set(active)
        self._connections[name, "idle"].set(idle)

    def add_evaluations(self, target: Target, signal: str, count: int) -> None:
        """Those since the last time; a target without a model of its own has no model here."""
        if count:
            key = self._labels.target(target.provider.name, target.model or OTHER)
            self._evaluations[(*key, signal)].inc(count)

    def add_unsent(self, signal: str, reason: str, count: int) -> None:
        self._unsent[signal, reason].inc(count)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The body and content type for an Accept header: text, or OpenMetrics where it is asked for."""
        return self._exposition.render(accept)

    # ---- what is told ------------------------------------------------------------------------

    def count(self, event: Event) -> None:
        labels = self._labels
        match event:
            case AttemptEnded(call=call, attempt=attempt):
                self._attempt_ended(call, attempt)
            case CallEnded():
                self._call_ended(event)
            case RetryPlanned(call=call, wait=wait, source=source):
                self._retry_wait[labels.provider(words.provider_of(call)), source].inc(max(0.0, wait))
            case RetryDenied(call=call, cause=cause):
                self._denied[labels.provider(words.provider_of(call)), cause].inc()
            case FellBack(call=call, left=left, to=to, reason=reason):
                self._fallbacks[(*self._named(call, left), *self._named(call, to), reason)].inc()
            case TargetSkipped(call=call, target=target, refused=refused):
                self._skipped[labels.provider(target.provider.name), refused.by].inc()
                if refused.by in _BREAKERS:
                    self._breaker_rejected[self._named(call, target)].inc()
            case BreakerMoved():
                self._breaker_moved(event)
            case Judged(call=call, target=target, finding=finding, done=done):
                self._quality[(*self._named(call, target), finding.signal, done)].inc()
            case OperatorAlert(call=call, target=target, fault=fault):
                self._alerts[(*self._named(call, target), fault)].inc()
            case Shed(reason=reason):
                self._shed[(reason,)].inc()
            case Turned(reason=reason):
                self._refused[(reason,)].inc()
            case NestedRetry(source=source):
                self._nested[(source,)].inc()
            case Reloaded(ok=ok):
                self._reloaded(ok=ok)
            case Bug():
                self._bugs.inc()
            case Degraded():
                pass  # the call's own end carries the tier
            case WouldOpen() | Restored() | Delivered():
                pass  # a line in the log: nothing has happened to any call
            case _:
                assert_never(event)

    def _named(self, call: Call, target: Target) -> Key:
        return self._labels.target(target.provider.name, words.model_of(target, call))

    def _attempt_ended(self, call: Call, attempt: Attempt) -> None:
        outcome = attempt.outcome
        went = words.went(outcome, own_key=words.own_key(call))
        ok = went is Went.SUCCESS
        key = self._labels.target(attempt.provider, attempt.model, answered=ok)
        if key[0] not in self._met:  # nobody configured it: from its first call on it is known
            self._declare_target(key[0], OTHER)
        self._attempts[(*key, attempt.kind, went, words.error_type(outcome))].inc()
        if attempt.ended is not None and went is not Went.CANCELLED:
            self._attempt_duration[(*key, "success" if ok else "failure")].observe(
                attempt.ended - attempt.started, _trace(call)
            )
        if attempt.first_content is not None and call.ask.stream:
            self._first_token[key].observe(attempt.first_content - attempt.started)

    def _call_ended(self, event: CallEnded) -> None:
        call, outcome = event.call, event.outcome
        attempts, labels = call.record.attempts, self._labels
        route = labels.route(call.route)
        own_key = not attempts or attempts[-1].target not in labels.keyed
        ended, path = words.ended(outcome, own_key=own_key), words.path(attempts, outcome)
        self._requests[
            route, call.ask.operation, labels.primary(call), ended, words.tier(outcome), path
        ].inc()
        if ended is Ended.SUCCESS or ended is Ended.ERROR:
            self._request_duration[route, path, ended].observe(event.ended - call.arrived, _trace(call))
        ours = words.overhead(call, event.ended)
        if ours is not None:
            self._overhead[("true" if call.ask.stream else "false",)].observe(ours)
        for attempt in attempts:
            self._spent(attempt, served=attempt is attempts[-1], ended=ended)

    def _spent(self, attempt: Attempt, *, served: bool, ended: Ended) -> None:
        match attempt.outcome:
            case Failed(fault=fault) if fault in words.INTERRUPTED:
                self._interruptions[
                    self._labels.provider(attempt.provider),
                    "before_first" if attempt.first_content is None else "mid",
                    "true" if ended is Ended.SUCCESS else "false",
                ].inc()
            case Answered(usage=usage) if usage is not None:
                self._count_tokens(attempt, usage, "served" if served else "overhead")
            case _:
                pass

    def _count_tokens(self, attempt: Attempt, usage: Usage, purpose: str) -> None:
        key = self._labels.target(attempt.provider, attempt.model)
        for kind, tokens in (
            ("input", usage.input_total),
            ("output", usage.output_total),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
            ("reasoning", usage.reasoning),
        ):
            if tokens is not None and tokens > 0:  # a negative count is a provider's mistake
                self._tokens[(*key, kind, purpose)].inc(tokens)

    def _breaker_moved(self, event: BreakerMoved) -> None:
        labels, level = self._labels, _LEVEL[event.transition.new]
        if event.kind == "quality":  # one per route and target, whatever model a call asks for
            which: Key = (event.kind, event.route, event.target)
            named = labels.targets.get(event.target) or (labels.provider(event.provider), OTHER)
        else:
            which = (event.kind, event.provider, event.model)
            named = labels.target(event.provider, event.model)
        gauge = (*named, event.kind)
        before = self._open.pop(which, None)
        if level and len(self._open) < _MOST_OPEN:
            self._open[which] = (gauge, level)
        if before is not None and before[0] != gauge:  # its model has earned a name meanwhile
            self._show_worst(before[0])
        self._show_worst(gauge)
        self._transitions[(*gauge, event.transition.new, event.transition.trigger)].inc()

    def _show_worst(self, gauge: Key) -> None:
        levels = (level for shown, level in self._open.values() if shown == gauge)
        self._breaker_state[gauge].set(max(levels, default=0))

    def _reloaded(self, *, ok: bool) -> None:
        self._reloads[("ok" if ok else "failed",)].inc()
        self._reload_ok.set(1 if ok else 0)
        if ok:
            self._reload_time.set(self._wall())

    def _overflow(self, label: str) -> None:
        self._overflows[(label,)].inc()

    # ---- from rows to the library's objects --------------------------------------------------

    def _counter(self, metric: Metric) -> Family[Counter]:
        assert metric.kind is MetricKind.COUNTER
        parent = Counter(metric.name, metric.help, metric.labels, unit=metric.unit, registry=self.registry)
        family = Family(metric, parent, self._overflow)
        self._families.append(family)
        self._exposition.add(Shown(parent, metric.labels, family, metric.buckets))
        return family

    def _gauge(self, metric: Metric) -> Family[Gauge]:
        assert metric.kind is MetricKind.GAUGE
        parent = Gauge(metric.name, metric.help, metric.labels, unit=metric.unit, registry=self.registry)
        family = Family(metric, parent, self._overflow)
        self._families.append(family)
        self._exposition.add(Shown(parent, metric.labels, family, metric.buckets))
        return family

    def _histogram(self, metric: Metric) -> Family[Histogram]:
        assert metric.kind is MetricKind.HISTOGRAM
        parent = Histogram(
            metric.name,
            metric.help,
            metric.labels,
            unit=metric.unit,
            registry=self.registry,
            buckets=metric.buckets,
        )
        family = Family(metric, parent, self._overflow)
        self._families.append(family)
        self._exposition.add(Shown(parent, metric.labels, family, metric.buckets))
        return family

    def _plain_counter(self, metric: Metric) -> Counter:
        counter = Counter(metric.name, metric.help, unit=metric.unit, registry=self.registry)
        self._exposition.add(Shown(counter, (), {(): counter}))
        return counter

    def _plain_gauge(self, metric: Metric) -> Gauge:
        gauge = Gauge(metric.name, metric.help, unit=metric.unit, registry=self.registry)
        self._exposition.add(Shown(gauge, (), {(): gauge}))
        return gauge


def _trace(call: Call) -> dict[str, str] | None:
    """The exemplar that leads from a bucket to a trace, where there is one."""
    return {"trace_id": call.trace_id} if call.sampled and call.trace_id else None
