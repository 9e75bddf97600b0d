"""Events in, Prometheus out: one function that counts, one that renders.

Nothing here is called per chunk. A call costs one `count` per attempt and one at its end; children
are kept in dicts keyed by their label values, because looking them up in the library costs more
than counting. What a client can choose never becomes a label: labels.py sees to that.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Callable, Mapping
from math import ceil
from typing import assert_never

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, disable_created_metrics

import sidecar
from sidecar.core.jobs import Gauges
from sidecar.events import (
    AttemptEnded,
    BreakerMoved,
    BudgetMoved,
    Bug,
    Bypassed,
    Cached,
    CallEnded,
    Continued,
    Deferred,
    Degraded,
    Delivered,
    Drilled,
    Event,
    FellBack,
    FieldsDenied,
    Hedged,
    Ignored,
    Joined,
    Judged,
    Keyed,
    Met,
    NestedRetry,
    OperatorAlert,
    Overridden,
    PodEnds,
    Posted,
    Pressed,
    Proxied,
    Queued,
    Reloaded,
    Restored,
    Retiring,
    RetryDenied,
    RetryPlanned,
    Shadowed,
    Shed,
    TargetSkipped,
    Trusted,
    Turned,
    WouldOpen,
)
from sidecar.faults import HANDLING
from sidecar.model import (
    Answered,
    Attempt,
    Call,
    Failed,
    Kind,
    Operation,
    RefusedBy,
    Target,
    Tier,
    Usage,
    latest,
)
from sidecar.settings import Route, Settings
from sidecar.telemetry import catalog, words
from sidecar.telemetry.breakers import Breakers
from sidecar.telemetry.catalog import OTHER
from sidecar.telemetry.costs import Costs
from sidecar.telemetry.deferred import DeferredCalls, Webhooks
from sidecar.telemetry.exposition import Exposition, add, observe
from sidecar.telemetry.genai import GenAi
from sidecar.telemetry.instruments import Instruments
from sidecar.telemetry.labels import Family, Key, Labels
from sidecar.telemetry.retirements import Retirements
from sidecar.telemetry.words import Ended, Path, Went

_BREAKERS = (RefusedBy.BREAKER, RefusedBy.QUALITY_BREAKER)


class Metrics:
    """`configure` on load and on every reload, `count` for every event, the setters before `render`.

    `wall` is Unix time.
    """

    def __init__(self, settings: Settings, *, wall: Callable[[], float]) -> None:  # noqa: PLR0915  # a line a row
        disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series per child, for nothing
        self.registry = CollectorRegistry()
        self._exposition = Exposition(ProcessCollector(registry=self.registry))
        self._wall = wall
        self._met: set[str] = set()  # providers whose children exist
        self._genai: GenAi | None = None
        self._deferred: DeferredCalls | None = None
        self._webhooks: Webhooks | None = None
        self._shown_until: dict[tuple[object, ...], float] = {}  # buckets with a fresh exemplar
        made = self._instruments = Instruments(self.registry, self._exposition, self._overflow)
        self._overflows = made.counter(catalog.OVERFLOW)
        self._labels = Labels(self._overflow)

        self._requests = made.counter(catalog.REQUESTS)
        self._request_duration = made.histogram(catalog.REQUEST_DURATION)
        self._in_flight = made.plain_gauge(catalog.IN_FLIGHT)
        self._attempts = made.counter(catalog.ATTEMPTS)
        self._attempt_duration = made.histogram(catalog.ATTEMPT_DURATION)
        self._first_token = made.histogram(catalog.FIRST_TOKEN)
        self._interruptions = made.counter(catalog.INTERRUPTIONS)
        self._tokens = made.counter(catalog.TOKENS)
        self.costs = Costs(made, self._labels)
        self._retirements = Retirements(made, self._labels, settings)
        self._connections = made.gauge(catalog.CONNECTIONS)
        self._denied = made.counter(catalog.RETRIES_DENIED)
        self._retry_wait = made.counter(catalog.RETRY_WAIT)
        self._nested = made.counter(catalog.NESTED)
        self._shadowed = made.counter(catalog.SHADOWED)
        self._drills = made.counter(catalog.DRILLS)
        self._joined = made.counter(catalog.JOINED)
        self._fallbacks = made.counter(catalog.FALLBACKS)
        self._hedges = made.counter(catalog.HEDGES)
        self._continuations = made.counter(catalog.CONTINUATIONS)
        self._skipped = made.counter(catalog.SKIPPED)
        self._losses = made.counter(catalog.LOSSES)
        self._breakers = Breakers(made, self._labels)
        self._breaker_rejected = made.counter(catalog.BREAKER_REJECTED)
        self._quality = made.counter(catalog.QUALITY)
        self._evaluations = made.counter(catalog.EVALUATIONS)
        self._alerts = made.counter(catalog.ALERTS)
        self._shed = made.counter(catalog.SHED)
        self._refused = made.counter(catalog.REFUSED)
        self._lookups = made.counter(catalog.CACHE_LOOKUPS)
        self._stores = made.plain_counter(catalog.CACHE_STORES)
        self._evictions = made.counter(catalog.CACHE_EVICTIONS)
        self._cache_bytes = made.plain_gauge(catalog.CACHE_BYTES)
        self._captured = made.counter(catalog.CAPTURED)
        self._tunnels = made.plain_gauge(catalog.TUNNELS)
        self._overhead = made.histogram(catalog.OVERHEAD_TIME)
        self._reloads = made.counter(catalog.RELOADS)
        self._config = made.gauge(catalog.CONFIG)
        self._unsent = made.counter(catalog.UNSENT)
        self._build = made.gauge(catalog.BUILD)
        self._lag = made.plain_gauge(catalog.LAG)
        self._reload_ok = made.plain_gauge(catalog.RELOAD_OK)
        self._reload_time = made.plain_gauge(catalog.RELOAD_TIME)
        self._bugs = made.plain_counter(catalog.BUGS)
        self._bypass = made.plain_gauge(catalog.BYPASS)
        self._overrides = made.gauge(catalog.OVERRIDES)
        self._overrides_ok = made.plain_gauge(catalog.OVERRIDES_OK)
        self._overrides_ok.set(1)
        self._pressure = made.plain_gauge(catalog.MEMORY_PRESSURE)
        self._memory_used = made.plain_gauge(catalog.MEMORY_USED)
        self._draining = made.plain_gauge(catalog.DRAINING)
        self._shared_silent = made.gauge(catalog.SHARED_SILENT)
        self._shared_errors = made.counter(catalog.SHARED_ERRORS)
        self._advice = made.counter(catalog.SHARED_ADVICE)

        self._build[sidecar.__version__, platform.python_version()].set(1)
        self._declare_words()
        self.configure(settings)

    def _declare_words(self) -> None:
        """What no configuration names, and can happen all the same."""
        for family, said in (
            (self._shed, "concurrency memory draining"),
            (self._refused, "connections host malformed unknown websocket"),
            (self._nested, "sdk_header same_body idempotency_key"),
            (self._joined, "running answered"),
            (self._reloads, "ok failed"),
            (self._overflows, "model provider route"),
        ):
            for word in said.split():
                family.declare(word)
        for reason in ("queue_full", "export_failed", "shutdown"):
            self._unsent.declare("traces", reason)
        for stream in ("true", "false"):
            self._overhead.declare(stream)

    # ---- configuration ---------------------------------------------------------------------

    def configure(self, settings: Settings) -> None:
        """What is named now exists at 0; gauges of what is gone go, counters stay."""
        self._labels.learn(settings)
        self._retirements.configure(settings)
        configured = [route for route in settings.routes if not route.implicit]
        named: set[Key] = {
            (target.provider.name, target.model or OTHER) for route in configured for target in route.targets
        }
        room = max(1, ceil(len(named) / 6), ceil(len(configured) / 8))
        self._show_genai(settings, named)
        self._instruments.limit(room)
        for route in configured:
            self._declare_route(route)
            if route.deferred is not None and self._deferred is None:
                self._deferred = DeferredCalls(self._instruments)
        if settings.webhooks:
            self._webhooks = self._webhooks or Webhooks(self._instruments)
            self._webhooks.declare(settings.webhooks)
        for provider, model in sorted(named):
            self._declare_target(provider, model)
        if settings.capture.mode != "off":
            for how, reason in (("intercepted", ""), ("tunnelled", ""), ("failed", "untrusted")):
                self._captured.declare(how, reason)
        self._forget_gone()
        self._config[(settings.digest,)].set(1)
        self._reload_ok.set(1)
        self._reload_time.set(self._wall())

    def _show_genai(self, settings: Settings, named: set[Key]) -> None:
        if self._genai is not None and not settings.telemetry.genai_metrics:
            self._genai.close()
            self._genai = None
        elif self._genai is None and settings.telemetry.genai_metrics:
            self._genai = GenAi(self._instruments)
        if self._genai is not None:
            self._genai.learn(settings, named)

    def _forget_gone(self) -> None:
        self._breakers.forget_gone()
        for key in [k for k in self._connections if k[0] not in self._labels.providers]:
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
        if route.hedge.after != "off":
            for provider in {target.provider.name for target in route.chain[1:]}:
                for result in ("won", "lost"):
                    self._hedges.declare(provider, result)
        if route.cache.scope != "off":
            self._declare_cache(route, primary)

    def _declare_cache(self, route: Route, primary: str) -> None:
        said = (Operation.CHAT, primary, Ended.SUCCESS)
        self._requests.declare(route.name, *said, Tier.CACHED, Path.DEGRADED)
        results = ["stale_hit", "stale_miss"]
        if route.cache.fresh:
            self._requests.declare(route.name, *said, Tier.FULL, Path.CACHE)
            results += ["hit", "miss"]
        if route.cache.semantic is not None:
            results.append("semantic_hit")
        for result in results:
            self._lookups.declare(result)
        for reason in ("room", "memory"):
            self._evictions.declare(reason)

    def _declare_target(self, provider: str, model: str) -> None:
        self._met.add(provider)
        if model != OTHER:  # whose histograms would stay empty
            self._attempts.declare(provider, model, Kind.INITIAL, Went.SUCCESS, "")
            self._first_token.declare(provider, model)
            for word in ("success", "failure"):
                self._attempt_duration.declare(provider, model, word)
        self.costs.declare(provider, model)
        self._breaker_rejected.declare(provider, model)
        self._breakers.declare(provider, model)
        for fault, row in HANDLING.items():
            if row.alert:
                self._alerts.declare(provider, model, fault)
        for source in ("backoff", "provider"):
            self._retry_wait.declare(provider, source)
        self._continuations.declare(provider, "whole")
        for cause in ("budget", "deadline"):
            self._denied.declare(provider, cause)

    # ---- what the app sets -------------------------------------------------------------------

    def set_in_flight(self, calls: int) -> None:
        self._in_flight.set(calls)

    def set_tunnels(self, tunnels: int) -> None:
        self._tunnels.set(tunnels)

    def set_deferred(self, now: Gauges | None) -> None:
        if self._deferred is not None:
            self._deferred.show(now)

    def set_webhooks(self, now: Mapping[str, tuple[int, float]]) -> None:
        if self._webhooks is not None:
            self._webhooks.show(now)

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

    def set_overrides(self, active: Mapping[str, int]) -> None:
        """By kind, how many hold; all kinds are named, those at 0 too."""
        for kind, size in active.items():
            self._overrides[(kind,)].set(size)

    def set_cache(self, size: int) -> None:
        self._cache_bytes.set(size)

    def add_evictions(self, reason: str, count: int) -> None:
        """Those since the last time."""
        self._evictions[(reason,)].inc(count)

    def set_shared(self, prefix: str, *, silent: bool | None) -> None:
        """None: nothing is shared there, so nothing is shown of it."""
        for key in [key for key in self._shared_silent if silent is None or key != (prefix,)]:
            self._shared_silent.forget(key)
        if silent is not None:
            self._shared_silent[(prefix,)].set(1 if silent else 0)
            for reason in ("connection", "timeout", "forged"):
                self._shared_errors.declare(reason)
            for kind in ("tripped", "verdict", "wait", "elected"):
                self._advice.declare(kind)

    def add_shared_error(self, reason: str) -> None:
        self._shared_errors[(reason,)].inc()

    def add_advice(self, kind: str) -> None:
        self._advice[(kind,)].inc()

    def set_memory(self, level: int, share: float) -> None:
        self._pressure.set(level)
        self._memory_used.set(share)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The body and content type for an Accept header: text, or OpenMetrics where it is asked for."""
        self._retirements.show()
        return self._exposition.render(accept)

    # ---- what is told ------------------------------------------------------------------------

    def count(self, event: Event) -> None:  # noqa: PLR0915  # as many statements as the union has members
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
            case Hedged(beside=target, result=result):
                self._hedges[labels.provider(target.provider.name), result].inc()
            case Continued(left=provider):
                self._continuations[labels.provider(provider), words.continued(event)].inc()
            case TargetSkipped(call=call, target=target, refused=refused):
                self._skipped[labels.provider(target.provider.name), refused.reason or refused.by].inc()
                if refused.by in _BREAKERS:
                    self._breaker_rejected[self._named(call, target)].inc()
            case Drilled(fault=fault):
                self._drills[(fault,)].inc()
            case Shadowed(what=what):
                self._shadowed[(what,)].inc()
            case Joined(how=how):
                self._joined[(how,)].inc()
            case BreakerMoved():
                self._breakers.moved(event)
            case Judged(call=call, target=target, finding=finding, done=done):
                self._quality[(*self._named(call, target), finding.signal, done)].inc()
            case OperatorAlert(call=call, target=target, fault=fault):
                self._alerts[(*self._named(call, target), fault)].inc()
            case Cached():
                self._cached(event)
            case Shed(reason=reason):
                self._shed[(reason,)].inc()
            case Turned(reason=reason):
                self._refused[(reason,)].inc()
            case Proxied(how=how, reason=reason):
                self._captured[how, reason].inc()
            case NestedRetry(source=source):
                self._nested[(source,)].inc()
            case Reloaded(ok=ok):
                self._reloaded(ok=ok)
            case Bug():
                self._bugs.inc()
            case Deferred() | Queued():
                if self._deferred is not None:
                    self._deferred.count(event)
            case Posted():
                if self._webhooks is not None:
                    self._webhooks.count(event)
            case Bypassed(on=on):
                self._bypass.set(1 if on else 0)
            case Overridden(ok=ok):
                self._overrides_ok.set(1 if ok else 0)
            case PodEnds():
                self._draining.set(1)
            case Degraded() | WouldOpen() | Restored() | Delivered() | Pressed() | Trusted():
                pass  # a line in the log: nothing has happened to any call, or its own end tells it
            case FieldsDenied() | Retiring() | BudgetMoved() | Met() | Keyed() | Ignored():
                pass  # likewise
            case _:
                assert_never(event)

    def _named(self, call: Call, target: Target) -> Key:
        return self._labels.target(target.provider.name, words.model_of(target, call))

    def _attempt_ended(self, call: Call, attempt: Attempt) -> None:
        outcome = attempt.outcome
        if isinstance(outcome, Answered) and outcome.status < 400:  # nearly always: a few frames less
            went, fault = Went.SUCCESS, ""
        else:
            went, fault = words.went(outcome, own_key=words.own_key(call)), words.fault_of(attempt)
        ok = went is Went.SUCCESS
        key = self._labels.target(attempt.provider, attempt.model, answered=ok)
        if key[0] not in self._met:  # nobody configured it: from its first call on it is known
            self._declare_target(key[0], OTHER)
        add(self._attempts[(*key, attempt.kind, went, fault)])
        if self._genai is not None:
            self._genai.ended(call, attempt, key, fault)
        if attempt.ended is not None and went is not Went.CANCELLED:
            about, took = (*key, "success" if ok else "failure"), attempt.ended - attempt.started
            self._time(self._attempt_duration, call, about, took, attempt.ended)
        for loss in attempt.losses:
            add(self._losses[key[0], loss.how])
        if attempt.first_content is not None and call.ask.stream:
            observe(self._first_token[key], attempt.first_content - attempt.started)

    def _call_ended(self, event: CallEnded) -> None:
        call, outcome = event.call, event.outcome
        attempts, labels = call.record.attempts, self._labels
        route = labels.route(call.route)
        last = latest(attempts)
        own_key = last is None or last.target not in labels.keyed
        ended, path = words.ended(outcome, own_key=own_key), words.path(attempts, outcome)
        self.costs.charge(attempts)
        if not call.job:  # the client of a job was counted when it got its receipt
            tier = words.tier(outcome)
            add(self._requests[route, call.ask.operation, labels.primary(call), ended, tier, path])
            if ended is Ended.SUCCESS or ended is Ended.ERROR:
                took = event.ended - call.arrived
                self._time(self._request_duration, call, (route, path, ended), took, event.ended)
            ours = words.overhead(call, event.ended)
            if ours is not None:
                observe(self._overhead[("true" if call.ask.stream else "false",)], ours)
        got = words.served(attempts, outcome)
        for attempt in attempts:
            if isinstance(attempt.outcome, Failed):
                self._interrupted(attempt, attempt.outcome, ended)
            if attempt.usage is not None:
                self._count_tokens(attempt, attempt.usage, "served" if attempt is got else "overhead")

    def _interrupted(self, attempt: Attempt, failed: Failed, ended: Ended) -> None:
        if failed.fault in words.INTERRUPTED:
            self._interruptions[
                self._labels.provider(attempt.provider),
                "before_first" if attempt.first_content is None else "mid",
                "true" if ended is Ended.SUCCESS else "false",
            ].inc()

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
                add(self._tokens[(*key, kind, purpose)], tokens)

    def _cached(self, event: Cached) -> None:
        if event.result == "stored":
            self._stores.inc()
        else:
            self._lookups[(event.result,)].inc()

    def _reloaded(self, *, ok: bool) -> None:
        self._reloads[("ok" if ok else "failed",)].inc()
        self._reload_ok.set(1 if ok else 0)
        if ok:
            self._reload_time.set(self._wall())

    def _overflow(self, label: str) -> None:
        self._overflows[(label,)].inc()

    def _time(self, family: Family[Histogram], call: Call, about: Key, took: float, now: float) -> None:
        """Of a sampled call with what leads from its bucket to its trace; of each bucket once a second,
        because to keep an exemplar costs more than to count.
        """
        if call.sampled and call.trace_id:
            which = (*about, bisect_left(catalog.DURATION, took))
            if now >= self._shown_until.get(which, now):
                self._shown_until[which] = now + 1.0
                family[about].observe(took, {"trace_id": call.trace_id})
                return
        observe(family[about], took)
