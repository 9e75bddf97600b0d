"""Translate: a target that speaks another dialect than the client [R14].

It stands between the Judge and Adapt: below it everything is the target's, request and answer, above
it everything is the client's. The call is read into a conversation and written as the target wants
it; the answer's deltas, which Adapt reads anyway, are said in the client's dialect.

What the target cannot be asked for is refused with the field's name: no breaker learns from it and
the chain goes on. What can be left out is left out and told, in `x-llm-sidecar-losses`; a route may
skip targets that lose anything (`on_loss`). A mark that only changes the bill is no loss to a route.

Errors change their language too: the provider's own words are another SDK's, so the client gets its
dialect's error of the same class. An error event inside the answer ends the attempt here, because
after the commit the target's event would mean nothing to the client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from sidecar.dialects import FAMILIES
from sidecar.dialects.base import Assembler, BadBody, Dialect
from sidecar.hub import TONGUES, Facts, Tongue, Voice, Written
from sidecar.hub.conversation import Conversation, Loss, Thinking, Unrepresentable
from sidecar.hub.emulation import Undoing
from sidecar.model import (
    Answered,
    Call,
    Chunk,
    Clock,
    Failed,
    Fault,
    Head,
    Headers,
    Operation,
    Outcome,
    Refused,
    RefusedBy,
    Service,
    Sink,
    Stage,
    Target,
    Trouble,
    Verdict,
)
from sidecar.settings import OnLoss

LOSSES = b"X-Llm-Sidecar-Losses"
LONGEST = 1024  # bytes of that header
EVENTS = b"text/event-stream"
JSON = b"application/json"
FACTS = Facts()
# what a dialect's servers demand in a header
_DEMANDED: Mapping[str, Headers] = {"anthropic": ((b"anthropic-version", b"2023-06-01"),)}
_KEPT = frozenset({b"user-agent"})  # of the client's headers; the rest is its own SDK's


@dataclass(frozen=True, slots=True)
class Translate:
    inner: Service
    target: Target
    dialects: Mapping[str, Dialect]
    on_loss: OnLoss
    classify: Callable[[str, int, Head, bytes], Verdict]
    clock: Clock

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        theirs = self.target.provider.dialect
        if call.dialect in FAMILIES.get(theirs, (theirs,)):
            return await self.inner(call, sink)
        tongue, foreign = TONGUES.get(call.dialect), TONGUES.get(theirs)
        if tongue is None or foreign is None or call.ask.operation is not Operation.CHAT:
            return _unsayable(f"{call.ask.operation} is not translated from {call.dialect} to {theirs}")
        try:
            conversation = tongue.read(call.path, call.body)
            written = self._written(foreign, conversation)
        except (Unrepresentable, BadBody) as error:
            return _unsayable(str(error))
        lost = [loss for loss in written.losses if loss.how != "cost"]
        if lost and self.on_loss == "skip_target":
            return _unsayable(f"{_told(lost).decode()} would be lost")
        # its clients send thoughts back with the next request, and a provider refuses those that it has not
        # signed: who answers in another's name keeps them to himself
        silent = replace(conversation, thinking=Thinking())
        voice = tongue.voice(silent, ident=call.id, created=int(self.clock.wall()))
        spoken = _Spoken(
            sink, voice, Undoing(written), self.dialects[call.dialect], _told(lost), call.ask.stream
        )
        try:
            outcome = await self.inner(_asked(call, theirs, written), spoken)
        except _Troubled as error:
            return self._failed(error.trouble, spoken)
        if isinstance(outcome, Failed):
            return replace(outcome, head=None, body=b"")
        return await spoken.end(outcome) if isinstance(outcome, Answered) else outcome

    def _written(self, foreign: Tongue, conversation: Conversation) -> Written:
        model = self.target.model or conversation.model
        return foreign.write(replace(conversation, model=model), FACTS)

    def _failed(self, trouble: Trouble, spoken: _Spoken) -> Failed:
        """The error inside a 200, as the status it names."""
        head = spoken.head or Head(502)
        verdict = self.classify(self.target.provider.name, trouble.status or head.status, head, trouble.body)
        return Failed(verdict.fault, verdict.scope, verdict.wait, detail="an error inside an answer of 200")


def _unsayable(why: str) -> Refused:
    return Refused(RefusedBy.UNREPRESENTABLE, fault=Fault.CAPABILITY_MISMATCH, detail=why)


def _asked(call: Call, dialect: str, written: Written) -> Call:
    kept = tuple(pair for pair in call.headers if pair[0].lower() in _KEPT)
    headers = ((b"content-type", JSON), *_DEMANDED.get(dialect, ()), *kept)
    return replace(
        call, dialect=dialect, path=written.path, query=written.query, body=written.body, headers=headers
    )


def _told(losses: list[Loss]) -> bytes:
    """Names of fields, each with what became of it; a list that is too long ends in its number."""
    said = b""
    for number, loss in enumerate(losses):
        one = f"{loss.field};{loss.how}".encode("ascii", "replace")
        if len(said) + len(one) > LONGEST - 16:
            return said + b", and %d more" % (len(losses) - number)
        said += b", " + one if said else one
    return said


class _Troubled(Exception):
    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble


@dataclass(slots=True)
class _Spoken:
    """The sink that a target's deltas go into and the client's dialect comes out of."""

    sink: Sink
    voice: Voice
    undoing: Undoing
    dialect: Dialect
    losses: bytes
    streams: bool
    head: Head | None = None
    assembler: Assembler | None = field(init=False)

    def __post_init__(self) -> None:
        self.assembler = None if self.streams else self.dialect.assembler(EVENTS)

    @property
    def stage(self) -> Stage:
        return self.sink.stage

    async def start(self, head: Head) -> None:
        self.head = head
        told = ((LOSSES, self.losses),) if self.losses else ()
        kind = b"text/event-stream; charset=utf-8" if self.streams else JSON
        await self.sink.start(Head(head.status, "", ((b"Content-Type", kind), *told)))

    async def send(self, chunk: Chunk) -> None:
        for delta in chunk.deltas:
            if isinstance(delta, Trouble):
                raise _Troubled(delta)
        deltas = self.undoing.turn(chunk.deltas)
        if not deltas:
            return
        raw = self.voice.say(deltas)
        if self.assembler is not None:
            self.assembler.feed(raw)
            raw = b""
        await self.sink.send(Chunk(raw, deltas))

    async def end(self, outcome: Answered) -> Outcome:
        last = self.voice.end()
        if self.assembler is not None:
            self.assembler.feed(last)
            last = self.assembler.close() or b""
        await self.sink.send(Chunk(last))
        return outcome
