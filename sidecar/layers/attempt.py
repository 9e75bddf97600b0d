"""AttemptSpan: one record per try, opened before it and closed with its verdict.

Spans and metrics are made from these records when the call is over; nothing is measured twice.
What it cost is known here too, whoever ended it (`price`).
It stands inside the Guard, so that a refusal is no attempt, and outside the Judge, so that the
verdict is in it.

Where contents are captured (`copies`), a sampled attempt keeps a copy of its answer beside it, as the
client got it, up to `COPIED` bytes. An answer that was rejected is copied from its failure; an error
body never is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sidecar.events import (
    AttemptEnded,
    Tell,
)
from sidecar.model import (
    Attempt,
    BreakerState,
    Call,
    Chunk,
    Clock,
    Cost,
    Failed,
    Head,
    Outcome,
    Said,
    Service,
    Sink,
    Stage,
)

COPIED = 512 * 1024  # bytes of an answer; a stream takes a hundred times its text


@dataclass(frozen=True, slots=True)
class AttemptSpan:
    inner: Service
    clock: Clock
    tell: Tell
    copies: bool = False
    price: Callable[[Call, Attempt], Cost] | None = None  # of an attempt that is over

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
            losses=call.losses,
        )
        attempts.append(attempt)
        if call.runner is not None:
            call.runner.attempt = attempt
        if self.copies and call.sampled:
            attempt.said = Said()
            sink = Copy(sink, attempt.said)
        try:
            attempt.outcome = await self.inner(call, sink)
            if attempt.said is not None:
                _rejected(attempt.said, attempt.outcome)
            return attempt.outcome
        finally:
            attempt.ended = self.clock.now()
            if self.price is not None:
                attempt.cost = self.price(call, attempt)
            self.tell(AttemptEnded(call, attempt))


@dataclass(frozen=True, slots=True)
class Copy:
    """The sink, and a copy of what goes into it."""

    sink: Sink
    said: Said

    @property
    def stage(self) -> Stage:
        return self.sink.stage

    async def start(self, head: Head) -> None:
        _open(self.said, head)
        await self.sink.start(head)

    def send(self, chunk: Chunk) -> Awaitable[None]:
        _add(self.said, chunk.raw)
        return self.sink.send(chunk)


def _rejected(said: Said, outcome: Outcome) -> None:
    if isinstance(outcome, Failed) and outcome.findings and outcome.head is not None:
        _open(said, outcome.head)
        _add(said, outcome.body)


def _open(said: Said, head: Head) -> None:
    said.content_type = head.get(b"content-type") or b""


def _add(said: Said, raw: bytes) -> None:
    room = COPIED - len(said.raw)
    said.raw += raw[:room]
    said.cut = said.cut or len(raw) > room
