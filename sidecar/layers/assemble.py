"""Streaming upstream for calls that are not streamed to the client, where the route says so [R18].

Why. A whole answer is silent until it is there: a hung target costs `limits.answer`, and so does one that
stalls after its first word. Asked as a stream, both are seen at the first content or at the next gap,
while others can still be asked; the client never knows.

How. `AskStream` stands above the Guard: all who measure silence and learn what is usual see the stream
that it is. `Assemble` stands below the Judge: it lets the Judge see what every event says, but not one
byte, and at the end hands it the body that the client asked for. So nothing reaches the client before
the whole answer is there and judged. An answer that is no stream after all passes as it is.

What a client did not ask for must not cost it the call. A provider that refuses the request because of
the streaming (a vendor without it, an organization that is not verified for it) is asked again, in the
client's own words, and from then on no more with streaming for that model.

What was lost cannot be put together: a piece that was not readable, in a stream only skipped, fails the
attempt here, because nobody could tell that the answer is not all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from sidecar.dialects.base import Assembler, BadBody, Dialect
from sidecar.layers.limit import Limit
from sidecar.model import (
    Answered,
    Call,
    Chunk,
    Clock,
    Failed,
    Fault,
    Head,
    Kind,
    Malformed,
    Outcome,
    Refused,
    Scope,
    Service,
    Sink,
    Stage,
    spent,
)
from sidecar.settings import Limits

MOST = 64 * 1024 * 1024  # bytes of one stream: events are several times the size of what they say
MODELS = 256  # remembered as not to be streamed
OBJECTIONS = frozenset(
    {
        Fault.INVALID_REQUEST,
        Fault.UNSUPPORTED_PARAMETER,
        Fault.CAPABILITY_MISMATCH,
        Fault.NOT_FOUND,
        Fault.PERMISSION,
    }
)
_OF_THE_STREAM = (b"content-type", b"content-length")


@dataclass(frozen=True, slots=True)
class AskStream:
    inner: Service
    dialects: Mapping[str, Dialect]
    refused: set[str] = field(default_factory=set)  # models that were

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        assert call.target is not None
        model = call.target.model or call.ask.model
        streamed = None if call.ask.stream or model in self.refused else self._streamed(call)
        if streamed is None:
            return await self.inner(call, sink)
        first = await self.inner(streamed, sink)
        if not _objects(first) or sink.stage is Stage.COMMITTED or spent(call):
            return first
        outcome = await self.inner(replace(call, kind=Kind.RETRY), sink)
        if isinstance(outcome, Answered) and len(self.refused) < MODELS:
            self.refused.add(model)
        return first if isinstance(outcome, Refused) else outcome

    def _streamed(self, call: Call) -> Call | None:
        try:
            found = self.dialects[call.dialect].as_stream(call.path, call.query, call.body)
        except BadBody:  # so loosely written that only a provider may read it
            return None
        if found is None:
            return None
        path, query, body = found
        ask = replace(call.ask, stream=True)
        return replace(call, path=path, query=query, body=body, ask=ask, assembled=True)


def _objects(outcome: Outcome) -> bool:
    """Was the request refused for a streaming that the client knows nothing of?"""
    return isinstance(outcome, Failed) and outcome.fault in OBJECTIONS and b"stream" in outcome.body.lower()


@dataclass(frozen=True, slots=True)
class Assemble:
    inner: Service
    dialects: Mapping[str, Dialect]
    limits: Limits
    clock: Clock

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        if not call.assembled:
            return await self.inner(call, sink)
        due = self.clock.now() + self.limits.answer * call.stretch
        whole = _Whole(sink, self.dialects[call.dialect])
        try:
            with Limit(lambda: due):
                outcome = await self.inner(call, whole)
        except TimeoutError:
            return Failed(Fault.TIMEOUT, detail="no whole answer within its limit")
        return await whole.end(outcome) if isinstance(outcome, Answered) else outcome


@dataclass(slots=True)
class _Whole:
    """The sink that a stream goes into and a whole answer comes out of."""

    sink: Sink
    dialect: Dialect
    assembler: Assembler | None = None
    size: int = 0
    lost: bool = False

    @property
    def stage(self) -> Stage:
        return self.sink.stage

    async def start(self, head: Head) -> None:
        self.assembler = self.dialect.assembler(head.get(b"content-type") or b"")
        if self.assembler is not None:
            kept = tuple(pair for pair in head.headers if pair[0].lower() not in _OF_THE_STREAM)
            head = replace(head, headers=((b"Content-Type", b"application/json"), *kept))
        await self.sink.start(head)

    async def send(self, chunk: Chunk) -> None:
        if self.assembler is None:
            await self.sink.send(chunk)
            return
        self.size += len(chunk.raw)
        self.lost = self.lost or any(isinstance(delta, Malformed) for delta in chunk.deltas)
        if self.size <= MOST:
            self.assembler.feed(chunk.raw)
        if chunk.deltas:
            await self.sink.send(Chunk(b"", chunk.deltas))

    async def end(self, outcome: Outcome) -> Outcome:
        if self.assembler is None:
            return outcome
        if self.size > MOST:
            return Failed(Fault.LOCAL_OVERLOAD, detail="the streamed answer is too large to be put together")
        body = None if self.lost else self.assembler.close()
        if body is None:
            return Failed(
                Fault.MALFORMED_CHUNK, Scope.MODEL, detail="a piece of the streamed answer is not readable"
            )
        await self.sink.send(Chunk(body))
        return outcome
