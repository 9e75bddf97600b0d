"""Guard: nothing reaches a target that is known not to answer; every try teaches [R9, R10, R2].

Three things can close the way, and none of them counts as an attempt: a wait or a verdict that
the provider has spoken, the target's breaker (errors), and the route's quality breaker for this
target (bad answers), so that one route with an impossible schema cannot take a target from all.

An attempt is charged once, at its end. A try that was cut short proves nothing, one that lost a race
least of all, except when the client itself gave up on a target that had been silent for longer than is
usual.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

from msgspec.structs import replace

from sidecar.core.breaker import Breaker, Denied, Permit
from sidecar.core.standing import Standing
from sidecar.core.waits import Waits
from sidecar.events import (
    BreakerMoved,
    Shadowed,
    Tell,
)
from sidecar.faults import Charge, handling
from sidecar.layers.retry import digest
from sidecar.model import (
    Answered,
    BreakerState,
    Call,
    Chunk,
    Clock,
    Failed,
    Fault,
    Head,
    Outcome,
    Refused,
    RefusedBy,
    Service,
    Sink,
    Stage,
    Target,
    current,
)
from sidecar.signals.judging import counted

TIMES_USUAL = 3.0
GIVEN_UP = 10.0  # seconds of silence after which a client that leaves is evidence


@dataclass(frozen=True, slots=True)
class Guard:
    inner: Service
    target: Target
    breaker: Callable[[str, str, str], Breaker]  # by provider, model, key digest
    standing: Standing  # its quality breaker, and what is usual
    strict: bool  # a poor answer is not better than none
    waits: Waits
    clock: Clock
    tell: Tell
    mark: Callable[[bytes], int] = hash  # tells request bodies apart

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        now = self.clock.now()
        provider, model = self.target.provider.name, self.target.model or call.ask.model
        key = digest(self.target, call)
        hold = self.waits.refusal(now, provider=provider, model=model, digest=key, insist=call.alone)
        if hold is not None:
            return await self._refuse(RefusedBy.KNOWN_WAIT, hold.until, hold.fault, call, sink)
        breaker = self.breaker(provider, model, key)
        permit = breaker.insist(now, early=call.early) if call.alone else breaker.allow(now)
        if isinstance(permit, Denied):
            return await self._refuse(RefusedBy.BREAKER, permit.until, Fault.OVERLOADED, call, sink)
        denied = self.standing.approve(call, now, strict=self.strict)
        if denied is not None:
            breaker.record(permit, Charge.NEUTRAL, now, call=call.id, body=0)
            self._report(call, breaker)
            return await self._refuse(RefusedBy.QUALITY_BREAKER, denied.until, Fault.LOW_QUALITY, call, sink)
        self._report(call, breaker)  # asking alone may have half-opened it
        if permit.probe:
            sink = _Proving(sink, breaker, permit)
        outcome: Outcome | None = None
        try:
            if breaker.shown is not BreakerState.CLOSED:
                call = replace(call, breaker=breaker.shown)
            outcome = await self.inner(call, sink)
            return outcome
        finally:
            self._learn(call, outcome, breaker, permit, now)

    async def _refuse(self, by: RefusedBy, until: float, fault: Fault, call: Call, sink: Sink) -> Outcome:
        """In shadow the target is asked all the same, and is no sample: in earnest it would be none."""
        if not call.shadow:
            name, provider = self.target.name, self.target.provider.name
            whose = name if name.startswith(provider) else f"{name} of {provider}"
            # only an operator's word has no end
            return Refused(by, until, fault, whose if until < inf else f"{whose}, by an operator's word")
        self.tell(Shadowed(call, by.value, self.target.name))
        return await self.inner(call, sink)

    def _learn(
        self, call: Call, outcome: Outcome | None, breaker: Breaker, permit: Permit, began: float
    ) -> None:
        now = self.clock.now()
        body = self.mark(call.body)
        breaker.record(permit, self._charge(call, outcome, now - began), now, call=call.id, body=body)
        self.standing.record(call, _quality(outcome), now)
        self._report(call, breaker)

    def _charge(self, call: Call, outcome: Outcome | None, took: float) -> Charge:
        match outcome:
            case Answered():
                return Charge.GOOD
            case Failed():
                return handling(outcome, own_key=self.target.credential is None).charge
            case Refused():
                return Charge.NEUTRAL
            case None:
                attempt = current(call)
                if attempt.lost_race:
                    return Charge.NEUTRAL
                usual = self.standing.usual.seconds(call) or 0.0
                silent = attempt.first_content is None
                gave_up = silent and took > max(TIMES_USUAL * usual, GIVEN_UP)
                return Charge.BAD if gave_up else Charge.NEUTRAL

    def _report(self, call: Call | None, breaker: Breaker) -> None:
        provider = self.target.provider.name
        model = self.target.model or (call.ask.model if call else "")
        for moved in breaker.moves():
            self.tell(BreakerMoved(call, "transport", "", self.target.name, provider, model, moved))
        route = call.route if call else ""
        for moved in self.standing.breaker.moves():
            self.tell(BreakerMoved(call, "quality", route, self.target.name, provider, model, moved))


def _quality(outcome: Outcome | None) -> Charge:
    match outcome:
        case Answered(findings=findings) | Failed(findings=(_, *_) as findings):
            return Charge.BAD if counted(tuple(findings)) else Charge.GOOD
        case Failed() | Refused() | None:
            return Charge.NEUTRAL


@dataclass(frozen=True, slots=True)
class _Proving:
    """Frees a probe's slot at the first content, which is when the answer starts."""

    sink: Sink
    breaker: Breaker
    permit: Permit

    @property
    def stage(self) -> Stage:
        return self.sink.stage

    async def start(self, head: Head) -> None:
        self.breaker.proved(self.permit)
        await self.sink.start(head)

    def send(self, chunk: Chunk) -> Awaitable[None]:
        return self.sink.send(chunk)
