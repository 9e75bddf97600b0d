"""Translate: a target that speaks another dialect than the client [R14].

It stands between the Judge and Adapt: below it everything is the target's, request and answer, above
it everything is the client's. The request was read and written as the target wants it by the Gate; here
it takes the client's place, and the answer's deltas, which Adapt reads anyway, are said in the client's
dialect. What was left out of the request is told in `x-llm-sidecar-losses`, of a request that was only
changed too; a mark that only changes the bill is no loss to a client.

Errors change their language too: the provider's own words are another SDK's, so the client gets its
dialect's error of the same class. An error event inside the answer ends the attempt here, because
after the commit the target's event would mean nothing to the client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from sidecar.dialects.base import Assembler, Dialect
from sidecar.hub import TONGUES, Voice, Written
from sidecar.hub.conversation import Thinking
from sidecar.hub.emulation import Undoing
from sidecar.layers.gate import COST, listed, read
from sidecar.model import (
    Answered,
    Call,
    Chunk,
    Clock,
    Failed,
    Head,
    Headers,
    Loss,
    Outcome,
    Service,
    Sink,
    Stage,
    Target,
    Trouble,
    Verdict,
    current,
)

LOSSES = b"X-Llm-Sidecar-Losses"
EVENTS = b"text/event-stream"
JSON = b"application/json"
# what a dialect's servers demand in a header
_DEMANDED: Mapping[str, Headers] = {"anthropic": ((b"anthropic-version", b"2023-06-01"),)}
_KEPT = frozenset({b"user-agent"})  # of the client's headers; the rest is its own SDK's


@dataclass(frozen=True, slots=True)
class Translate:
    inner: Service
    target: Target
    dialects: Mapping[str, Dialect]
    classify: Callable[[str, int, Head, bytes], Verdict]
    clock: Clock

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        lost = [loss for loss in call.losses if loss.how != COST]
        told = ((LOSSES, listed(lost).encode()),) if lost else ()
        written = call.written
        if not isinstance(written, Written):
            return await self.inner(call, _Labelled(sink, told) if told else sink)
        conversation = read(call).conversation
        assert conversation is not None
        # its clients send thoughts back with the next request, and a provider refuses those that it has not
        # signed: who answers in another's name keeps them to himself
        silent = replace(conversation, thinking=Thinking())
        voice = TONGUES[call.dialect].voice(silent, ident=call.id, created=int(self.clock.wall()))
        spoken = _Spoken(sink, voice, Undoing(written), self.dialects[call.dialect], told, call.ask.stream)
        try:
            outcome = await self.inner(_asked(call, self.target.provider.dialect, written), spoken)
        except _Troubled as error:
            return self._failed(error.trouble, spoken)
        if isinstance(outcome, Failed):
            return replace(outcome, head=None, body=b"")
        if isinstance(outcome, Answered):
            await spoken.end()
            unsaid = tuple(Loss(name, "dropped") for name in voice.losses)
            current(call).losses += unsaid
        return outcome

    def _failed(self, trouble: Trouble, spoken: _Spoken) -> Failed:
        """The error inside a 200, as the status it names."""
        head = spoken.head or Head(502)
        verdict = self.classify(self.target.provider.name, trouble.status or head.status, head, trouble.body)
        return Failed(verdict.fault, verdict.scope, verdict.wait, detail="an error inside an answer of 200")


def _asked(call: Call, dialect: str, written: Written) -> Call:
    kept = tuple(pair for pair in call.headers if pair[0].lower() in _KEPT)
    headers = ((b"content-type", JSON), *_DEMANDED.get(dialect, ()), *kept)
    return replace(
        call, dialect=dialect, path=written.path, query=written.query, body=written.body, headers=headers
    )


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
    told: Headers
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
        kind = b"text/event-stream; charset=utf-8" if self.streams else JSON
        await self.sink.start(Head(head.status, "", ((b"Content-Type", kind), *self.told)))

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

    async def end(self) -> None:
        last = self.voice.end()
        if self.assembler is not None:
            self.assembler.feed(last)
            last = self.assembler.close() or b""
        await self.sink.send(Chunk(last))


@dataclass(frozen=True, slots=True)
class _Labelled:
    """The sink of an answer in the client's own dialect, to a request that was changed."""

    sink: Sink
    told: Headers

    @property
    def stage(self) -> Stage:
        return self.sink.stage

    async def start(self, head: Head) -> None:
        await self.sink.start(replace(head, headers=head.headers + self.told))

    def send(self, chunk: Chunk) -> Awaitable[None]:
        return self.sink.send(chunk)
