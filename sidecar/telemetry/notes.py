"""What is told of a call while it runs, kept with the call until its span is made.

A note holds plain values: were it the event itself, it would hold the call, the call its record and
the record the note, and a body would stay until the collector of cycles comes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.events import (
    BreakerMoved,
    Bug,
    Cached,
    Continued,
    Degraded,
    Drilled,
    Event,
    FellBack,
    Hedged,
    Joined,
    Judged,
    NestedRetry,
    OperatorAlert,
    RetryDenied,
    RetryPlanned,
    Shadowed,
    Shed,
    TargetSkipped,
)
from sidecar.model import (
    Call,
    Note,
    RefusedBy,
)
from sidecar.telemetry import span_rows as rows
from sidecar.telemetry import words
from sidecar.telemetry.logs import name

_BREAKERS = frozenset({RefusedBy.BREAKER, RefusedBy.QUALITY_BREAKER})


def note(event: Event, now: float) -> None:
    """Keep with the call what its span will show of the event."""
    found = _noted(event)
    if found is None:
        return
    call, what, fields = found
    record = call.record
    if len(record.notes) >= rows.EVENTS_MOST:
        record.unnoted += 1
        return
    at = _moved_on(event) if isinstance(event, FellBack) else now
    record.notes.append(Note(at, what, fields))


def _noted(event: Event) -> tuple[Call, str, Mapping[str, Any]] | None:
    match event:
        case RetryPlanned(call=call, fault=fault, wait=wait, source=source):
            number = len(call.record.attempts) + 1
            fields = {"attempt": number, "reason": fault.value, "delay_s": round(wait, 3), "source": source}
            return call, rows.RETRY_SCHEDULED, fields
        case RetryDenied(call=call, fault=fault, cause=cause):
            return call, rows.RETRY_DENIED, {"reason": fault.value, "cause": cause}
        case FellBack(call=call, left=left, to=to, reason=reason):
            return call, rows.FALLBACK, {"from": left.name, "to": to.name, "reason": str(reason)}
        case Hedged(call=call, slow=slow, beside=beside, result=result):
            return call, rows.HEDGE, {"slow": slow.name, "beside": beside.name, "result": result}
        case Continued(call=call, left=left, to=to):
            fields = {"left": left, "to": to.name if to else "", "result": words.continued(event)}
            return call, rows.CONTINUED, fields
        case TargetSkipped(call=call, target=target, refused=refused):
            fields = {"target": target.name, "provider": target.provider.name}
            if refused.by not in _BREAKERS:
                return call, rows.SKIPPED, fields | {"reason": refused.reason or refused.by.value}
            model = name(words.model_of(target, call))
            kind = "transport" if refused.by is RefusedBy.BREAKER else "quality"
            return call, rows.BREAKER_REJECTED, fields | {"model": model, "kind": kind}
        case Drilled(call=call, target=target, fault=fault):
            return call, rows.DRILL, {"target": target.name, rows.ERROR_TYPE: fault}
        case Shadowed(call=call, what=what, detail=detail):
            return call, rows.SHADOW, {"action": what, "reason": detail}
        case Joined(call=call, how=how):
            return call, rows.JOINED, {"how": how}
        case BreakerMoved(call=Call() as call, transition=moved):
            fields = {"target": event.target, "provider": event.provider, "model": name(event.model)}
            fields |= {"kind": event.kind, "from": moved.old.value, "to": moved.new.value}
            return call, rows.BREAKER_MOVED, fields | {"trigger": moved.trigger}
        case Judged(call=call, target=target, finding=finding, done=done):
            fields = {"target": target.name, "signal": finding.signal, "action": finding.action, "done": done}
            return call, rows.VIOLATION, fields
        case Degraded(call=call, tier=tier, reason=reason):
            return call, rows.DEGRADED, {"tier": tier.value, "reason": reason}
        case Cached(call=call, result=result, age=age) if result.endswith("hit"):
            return call, rows.CACHED, {"result": result, "age_s": round(age, 1)}
        case NestedRetry(call=call, source=source):
            return call, rows.NESTED_RETRY, {"source": source}
        case OperatorAlert(call=call, target=target, fault=fault):
            return call, rows.ALERT, {"target": target.name, rows.ERROR_TYPE: fault.value}
        case Shed(call=call, reason=reason):
            return call, rows.SHED, {"reason": reason}
        case Bug(call=call, error=error):
            return call, rows.BUG, {rows.ERROR_TYPE: error}
        case _:
            return None


def _moved_on(event: FellBack) -> float:
    """A fallback is told when it is over; it happened when its first attempt began."""
    at = 0.0
    for attempt in reversed(event.call.record.attempts):
        if attempt.target != event.to.name:
            break
        at = attempt.started
    return at
