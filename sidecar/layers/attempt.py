"""AttemptSpan: one record per try, opened before it and closed with its verdict.

Spans and metrics are made from these records when the call is over; nothing is measured twice.
It stands inside the Guard, so that a refusal is no attempt, and outside the Judge, so that the
verdict is in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.events import (
    AttemptEnded,
    Tell,
)
from sidecar.model import (
    Attempt,
    BreakerState,
    Call,
    Clock,
    Outcome,
    Service,
    Sink,
)


@dataclass(frozen=True, slots=True)
class AttemptSpan:
    inner: Service
    clock: Clock
    tell: Tell

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        target = call.target
        assert target is not None
        attempts = call.record.attempts
        attempt = Attempt(
            number=len(attempts) + 1,
            target=target.name,
            provider=target.provider.name,
            model=target.model or call.ask.model,
            kind=call.kind,
            breaker=BreakerState.CLOSED if call.breaker is None else call.breaker,
            started=self.clock.now(),
        )
        attempts.append(attempt)
        try:
            attempt.outcome = await self.inner(call, sink)
            return attempt.outcome
        finally:
            attempt.ended = self.clock.now()
            self.tell(AttemptEnded(call, attempt))
