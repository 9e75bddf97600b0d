"""One JSON line for what an operator may have to explain tomorrow.

What it promises. Fields come from `FIELDS` and nowhere else; a value is a number, a flag, a word of
ours, or a name that was checked to be no more than a name. Bodies, headers, queries, keys and
exception texts have no field, so no level shows them. A failing pipe loses lines, never a call.

A clean call is a debug line: what is worth reading at info is what did not go straight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import IntEnum
from math import inf
from typing import assert_never

import msgspec

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
from sidecar.model import (
    BreakerState,
    Call,
    Failed,
    Refused,
    Target,
    Tier,
)
from sidecar.telemetry import words
from sidecar.telemetry.words import Path

Value = str | int | float | bool | None
Fields = dict[str, Value]


class Level(IntEnum):
    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


FIELDS = frozenset(
    {
        "action",
        "age",
        "answering",
        "attempt",
        "attempts",
        "bad",
        "breaker",
        "call",
        "cause",
        "committed",
        "config",
        "cost",
        "detail",
        "duration",
        "error",
        "estimated",
        "fault",
        "fields",
        "first_content",
        "job",
        "kind",
        "limit",
        "losses",
        "model",
        "nested",
        "new",
        "old",
        "operation",
        "outcome",
        "path",
        "primary",
        "problems",
        "provider",
        "reason",
        "request_id",
        "route",
        "samples",
        "signal",
        "source",
        "status",
        "stream",
        "target",
        "tier",
        "to",
        "trace",
        "traffic",
        "trigger",
        "value",
        "wait",
        "waited",
    }
)

# Sheds, refusals and nested retries come with every call of a storm: a few a second say it all.
_STORMY = 10
_PLAIN = {Keyed: "key", Queued: "queue", Restored: "restore", Trusted: "capture"}  # works, or why it does not
_LOST = frozenset({"refused", "failed", "expired", "dropped"})  # of deferred calls: nobody has an answer


def name(value: str) -> str:
    """A name as it is, or a word that says it is none: clients choose model names."""
    return value if not value or words.is_name(value) else "(unprintable)"


def _prose(text: str) -> str:
    """Our own words about a failure, on one line."""
    line = " ".join(text.split()).encode(errors="replace").decode()
    return words.LOOKS_LIKE_A_KEY.sub("(masked)", line)[:300]


def _each(problems: Iterable[str]) -> str:
    """As many of our own words as a line takes, whole, and how many there are beyond."""
    shown: list[str] = []
    rest = list(problems)
    while rest and len("; ".join((*shown, rest[0]))) <= 260:
        shown.append(rest.pop(0))
    if rest and not shown:
        shown.append(rest.pop(0))
    return _prose(
        "; ".join((*shown, *([f"and {len(rest)} more: llm-sidecar check says all"] if rest else [])))
    )


def fields_named(said: Iterable[str]) -> str:
    """Names of fields, on one line; clients may write what they like where a field's name belongs."""
    return ", ".join(said)[:300]


def _of(call: Call) -> Fields:
    return {"call": name(call.id), "trace": name(call.trace_id), "route": name(call.route)}


def _at(call: Call, target: Target) -> Fields:
    return {
        **_of(call),
        "target": name(target.name),
        "provider": name(target.provider.name),
        "model": name(words.model_of(target, call)),
    }


def level_of(event: Event) -> Level:
    match event:
        case AttemptEnded() | RetryPlanned() | RetryDenied() | TargetSkipped() | Cached():
            return Level.DEBUG
        case CallEnded(call=call, outcome=outcome):
            if words.tier(outcome) is not Tier.FULL:
                return Level.INFO
            straight = words.path(call.record.attempts, outcome) in (Path.DIRECT, Path.CACHE)
            return Level.DEBUG if straight else Level.INFO
        case (
            FellBack()
            | Continued()
            | Shadowed()
            | Joined()
            | NestedRetry()
            | WouldOpen()
            | Turned()
            | FieldsDenied()
        ):
            return Level.INFO
        case Hedged():
            return Level.DEBUG
        case Judged(done=done):
            return Level.DEBUG if done == "observed" else Level.INFO
        case BreakerMoved(transition=moved):
            return Level.WARNING if moved.new is BreakerState.OPEN else Level.INFO
        case Retiring():
            return Level.WARNING
        case Degraded() | Shed() | Drilled() | Ignored():
            return Level.WARNING
        case OperatorAlert() | Bug():
            return Level.ERROR
        case Reloaded(ok=ok, problems=problems):
            return Level.ERROR if not ok else Level.WARNING if problems else Level.INFO
        case Deferred(what=what):
            return Level.WARNING if what in _LOST else Level.INFO
        case Posted(what=what):
            return Level.INFO if what == "delivered" else Level.WARNING
        case Restored(ok=ok) | Delivered(ok=ok) | Met(ok=ok) | Queued(ok=ok) | Keyed(ok=ok):
            return Level.INFO if ok else Level.WARNING
        case Overridden(ok=ok, active=active):
            return (Level.WARNING if active else Level.INFO) if ok else Level.ERROR
        case Bypassed(on=on):
            return Level.WARNING if on else Level.INFO
        case Pressed(level=level):
            return Level.INFO if level == "normal" else Level.WARNING
        case BudgetMoved(level=level):
            return Level.INFO if level == "under" else Level.WARNING
        case PodEnds():
            return Level.INFO
        case Proxied(reason=reason):
            if not reason:
                return Level.DEBUG
            return Level.WARNING if reason in {"untrusted", "distrusted"} else Level.INFO
        case Trusted(ok=ok):
            return Level.INFO if ok else Level.WARNING
        case _:
            assert_never(event)


def describe(event: Event) -> tuple[str, Fields]:
    """An event's name and what may be shown of it."""
    match event:
        case AttemptEnded():
            return "attempt", _attempt(event)
        case CallEnded():
            return "call", _call(event)
        case RetryPlanned(call=call, fault=fault, wait=wait, source=source):
            return "retry", {**_of(call), "fault": fault, "wait": round(wait, 3), "source": name(source)}
        case RetryDenied(call=call, fault=fault, cause=cause):
            return "retry_denied", {**_of(call), "fault": fault, "cause": name(cause)}
        case FellBack(call=call, left=left, to=to, reason=reason):
            return "fallback", {**_at(call, left), "to": name(to.name), "reason": name(reason)}
        case Hedged(call=call, slow=slow, beside=beside, result=result):
            return "hedge", {**_at(call, slow), "to": name(beside.name), "outcome": name(result)}
        case Continued(call=call, left=left, to=to):
            fields = {**_of(call), "provider": name(left), "to": name(to.name if to else "")}
            return "continuation", fields | {"reason": words.continued(event)}
        case TargetSkipped(call=call, target=target, refused=refused):
            fields = {**_at(call, target), "reason": refused.reason or refused.by.value}
            return "target_skipped", fields | {"fault": refused.fault.value, "detail": _prose(refused.detail)}
        case Drilled(call=call, target=target, fault=fault):
            return "drill", {**_at(call, target), "fault": name(fault)}
        case Shadowed(call=call, what=would, detail=detail):
            return "shadow", {**_of(call), "action": name(would), "reason": name(detail)}
        case Joined(call=call, how=how):
            return "joined", {**_of(call), "reason": name(how)}
        case Ignored(call=call, header=header, meant=meant):
            return "header_ignored", {**_of(call), "detail": _prose(words.ignored(header, meant))}
        case Retiring(target=target, last=last):
            return "retiring", {"target": name(target.name), "model": name(target.model or ""), "value": last}
        case FieldsDenied(call=call, target=target, fields=denied):
            return "fields_denied", {**_at(call, target), "fields": fields_named(map(name, denied))}
        case BreakerMoved():
            return "breaker", _moved(event)
        case Judged(call=call, target=target, finding=found, done=done):
            what = {"signal": name(found.signal), "fault": found.fault.value, "action": name(done)}
            return "quality", {**_at(call, target), **what, "value": found.value, "limit": found.limit}
        case WouldOpen(call=call, target=target, signal=signal, transition=moved):
            what = {"signal": name(signal), "trigger": name(moved.trigger)}
            return "would_open", {**_at(call, target), **what, "bad": moved.bad, "samples": moved.samples}
        case OperatorAlert(call=call, target=target, fault=fault):
            return "operator_alert", {**_at(call, target), "fault": fault}
        case Degraded(call=call, tier=tier, reason=reason):
            return "degraded", {**_of(call), "tier": tier, "reason": name(reason)}
        case Cached(call=call, result=result, age=age):
            return "cache", {**_of(call), "outcome": name(result), "age": round(age, 1)}
        case Shed(call=call, reason=reason):
            return "shed", {**_of(call), "reason": name(reason)}
        case Turned(reason=reason, detail=detail):
            return "refused", {"reason": name(reason), "detail": _prose(detail)}
        case Proxied(how=how, reason=reason, provider=provider):
            return "proxied", {"outcome": name(how), "reason": name(reason), "provider": name(provider)}
        case NestedRetry(call=call, source=source):
            return "nested_retry", {**_of(call), "source": name(source), "nested": call.record.nested}
        case Reloaded(ok=ok, digest=digest, problems=problems):
            result = "ok" if ok else "failed"
            return "reload", {"outcome": result, "config": name(digest), "problems": _each(problems)}
        case Overridden(ok=ok, active=active, problems=problems, idle=idle):
            told = _each((*problems, *(f"without effect: {one}" for one in idle)))
            fields = {"outcome": "ok" if ok else "failed", "detail": _prose(", ".join(active))}
            return "overrides", fields | {"problems": told}
        case Bypassed(on=on, source=source):
            return "bypass", {"outcome": "on" if on else "off", "source": name(source)}
        case Pressed(level=level, share=share):
            return "memory", {"outcome": name(level), "value": round(share, 3)}
        case BudgetMoved(level=level, spent=spent, budget=budget):
            return "cost_budget", {"outcome": name(level), "value": round(spent, 6), "limit": budget}
        case PodEnds(source=source, left=left):
            return "ending", {"source": name(source), "wait": None if left == inf else round(left, 1)}
        case Keyed() | Queued() | Restored() | Trusted():
            result = "ok" if event.ok else "failed"
            return _PLAIN[type(event)], {"outcome": result, "detail": _prose(event.detail)}
        case Delivered(ok=ok, signal=signal, detail=detail):
            result = "ok" if ok else "failed"
            return "telemetry", {"signal": name(signal), "outcome": result, "detail": _prose(detail)}
        case Met(ok=ok, reason=reason, detail=detail):
            result = "ok" if ok else "failed"
            return "shared", {"outcome": result, "reason": name(reason), "detail": _prose(detail)}
        case Deferred():
            return "deferred", _job(event)
        case Posted(webhook=webhook):
            return "webhook", _job(event) | {"target": name(webhook)}
        case Bug(call=call, error=error):
            return "bug", {**_of(call), "error": name(error)}
        case _:
            assert_never(event)


def _job(event: Deferred | Posted) -> Fields:
    """What became of a deferred call, or of its webhook's message."""
    return {
        "outcome": name(event.what),
        "job": name(event.job),
        "route": name(event.route),
        "reason": name(event.reason),
        "value": round(event.age, 1),
    }


def _attempt(event: AttemptEnded) -> Fields:
    call, a = event.call, event.attempt
    fields: Fields = {
        **_of(call),
        "attempt": a.number,
        "target": name(a.target),
        "provider": name(a.provider),
        "model": name(a.model),
        "kind": a.kind,
        "breaker": name(a.breaker),
        "status": a.status,
        "outcome": words.went(a.outcome, own_key=words.own_key(call)),
        "fault": words.fault_of(a),
        "answering": name(a.answering),
        "request_id": name(a.request_id),
        "first_content": None if a.first_content is None else round(a.first_content - a.started, 4),
        "duration": None if a.ended is None else round(a.ended - a.started, 4),
        "cost": words.dollars(a.cost),
        "estimated": (a.cost is not None and a.cost.estimated) or None,
    }
    if a.losses:
        fields["losses"] = fields_named(words.lost(a.losses))
    return fields | _why(a.outcome)


def _call(event: CallEnded) -> Fields:
    call, outcome = event.call, event.outcome
    fields: Fields = {
        **_of(call),
        "job": name(call.job),
        "operation": call.ask.operation,
        "traffic": call.traffic,
        "stream": call.ask.stream,
        "primary": name(call.provider),
        "model": name(call.ask.model),
        "outcome": words.ended(outcome),
        "fault": words.error_type(outcome),
        "tier": words.tier(outcome),
        "path": words.path(call.record.attempts, outcome),
        "status": event.status,
        "committed": event.committed,
        "attempts": len(call.record.attempts),
        "wait": _until(outcome, event.ended),
        "waited": round(call.record.waited, 3),
        "duration": round(event.ended - call.arrived, 4),
        "cost": words.spent(call.record.attempts),
        "estimated": words.guessed(call.record.attempts) or None,
    }
    return fields | _why(outcome)


def _until(outcome: object, now: float) -> float | None:
    """Seconds until a target that was not asked may be."""
    return round(outcome.until - now, 1) if isinstance(outcome, Refused) and outcome.until < inf else None


def _why(outcome: object) -> Fields:
    match outcome:
        case Failed(detail=detail) | Refused(detail=detail) if detail:
            return {"detail": _prose(detail)}
        case _:
            return {}


def _moved(event: BreakerMoved) -> Fields:
    moved = event.transition
    fields: Fields = {} if event.call is None else _of(event.call)
    return fields | {
        "kind": name(event.kind),
        "route": name(event.route),
        "target": name(event.target),
        "provider": name(event.provider),
        "model": name(event.model),
        "old": moved.old,
        "new": moved.new,
        "trigger": name(moved.trigger),
        "bad": moved.bad,
        "samples": moved.samples,
    }


class Logs:
    """`write` takes one line without its end; `wall` is Unix time."""

    def __init__(
        self, write: Callable[[str], None], wall: Callable[[], float], *, level: str = "info"
    ) -> None:
        self._write = write
        self._wall = wall
        self.level = Level.DEBUG
        self.set_level(level)
        self.lost = 0  # lines the pipe did not take
        self._storm: dict[str, tuple[int, int]] = {}  # event -> (second, lines in it)

    def set_level(self, level: str) -> None:
        """On load and on a reload; debug, info, warning or error."""
        self.level = Level[level.upper()]

    def write(self, event: Event) -> None:
        level = level_of(event)
        if level < self.level:
            return
        what, fields = describe(event)
        wall = self._wall()
        if isinstance(event, Shed | Turned | Proxied | NestedRetry | Deferred | Posted) and self._too_many(
            what, int(wall)
        ):
            return
        line = {
            "time": datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds"),
            "level": level.name.lower(),
            "event": what,
        }
        shown = {key: value for key, value in fields.items() if key in FIELDS and value not in ("", None)}
        try:
            self._write(msgspec.json.encode(line | shown).decode())
        except OSError:
            self.lost += 1

    def _too_many(self, what: str, second: int) -> bool:
        last, count = self._storm.get(what, (second, 0))
        count = count + 1 if last == second else 1
        self._storm[what] = (second, count)
        return count > _STORMY
