"""Adapt: the target's bytes become chunks of the client's dialect.

Same dialect in and out: the original bytes leave, only the model is spliced, and a reader looks
on. It sees what the wire cannot: that a stream which ended politely was not over, that one which
is over lacks its end, that a web page came where an answer was due.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from math import inf

from msgspec.structs import replace

from sidecar.dialects.base import Dialect, Reader
from sidecar.layers.limit import Limit
from sidecar.model import (
    DONE,
    Answered,
    Call,
    Chunk,
    Clock,
    Failed,
    Fault,
    Head,
    Malformed,
    Outcome,
    Refused,
    Scope,
    Service,
    Sink,
    Stage,
)
from sidecar.settings import Limits

CLOSING = 0.05  # seconds a provider has to close after its terminal event: then the connection is reused
CUT = frozenset({Fault.STREAM_CUT, Fault.NETWORK, Fault.MALFORMED_CHUNK})


@dataclass(frozen=True, slots=True)
class Adapt:
    inner: Service
    dialects: Mapping[str, Dialect]
    limits: Limits
    clock: Clock

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        dialect = self.dialects[call.dialect]
        view = _View(call, sink, dialect, self.limits, self.clock)
        view.limit = Limit(view.due)
        try:
            with view.limit:
                outcome = await self.inner(_toward(call, dialect), view)
        except TimeoutError:
            outcome = Answered(view.status)  # it was over; only the end of the bytes did not come
        return await view.end(outcome)


def _toward(call: Call, dialect: Dialect) -> Call:
    """The call as its target is asked: its model, its path."""
    target = call.target
    assert target is not None
    path, query, body = call.path, call.query, call.body
    if target.provider.name != call.provider:
        path, query = dialect.canonical(call.ask.operation, path), _undated(query)
    if target.model is not None and target.model != call.ask.model:
        path, body = dialect.with_model(path, body, target.model)
    if path is call.path and query == call.query and body is call.body:
        return call
    return replace(call, path=path, query=query, body=body)


def _undated(query: str) -> str:
    """Without the date of Azure's own paths: its v1 refuses one, and nobody else knows it."""
    if "api-version=" not in query:
        return query
    return "&".join(part for part in query.split("&") if not part.startswith("api-version="))


@dataclass(slots=True)
class _View:
    """The sink that a target's bytes go through."""

    call: Call
    sink: Sink
    dialect: Dialect
    limits: Limits
    clock: Clock
    status: int = 0
    bytes: int = 0
    html: bool = False
    reader: Reader | None = None
    over_at: float = inf
    limit: Limit = field(init=False)

    @property
    def stage(self) -> Stage:
        return self.sink.stage

    async def start(self, head: Head) -> None:
        content_type = head.get(b"content-type") or b""
        self.status = head.status
        self.html = content_type.startswith(b"text/html")
        if (head.get(b"content-encoding") or b"identity") == b"identity":
            self.reader = self.dialect.reader(self.call.ask, content_type)
        await self.sink.start(head)

    def send(self, chunk: Chunk) -> Awaitable[None]:
        self.bytes += len(chunk.raw)
        reader = self.reader
        if reader is None:  # an encoding we cannot read: passed on, unjudged
            return self.sink.send(chunk)
        seen = reader.feed(chunk.raw)
        if self.call.shadow:  # not even an event that nobody can read is left out
            seen = Chunk(chunk.raw, seen.deltas)
        if seen.raw or seen.deltas:
            rest = self.sink.send(seen)
            if rest is not DONE:
                return self._wait(rest, reader)
        if reader.done or reader.finished or self.over_at != inf:
            self._watch(reader)
        return DONE

    async def _wait(self, rest: Awaitable[None], reader: Reader) -> None:
        await rest
        self._watch(reader)  # not before: the time that the client takes is no delay of the provider

    def _watch(self, reader: Reader) -> None:
        """Once the answer is over, its connection need not end with it."""
        if self._over(reader):
            now = self.clock.now()
            self.over_at = now + CLOSING if reader.done else now + self.limits.linger
            self.limit.nearer()
        else:
            self.over_at = inf  # one more choice may begin after the others have ended

    def due(self) -> float:
        return self.over_at

    async def end(self, outcome: Outcome) -> Outcome:
        """What the bytes, now that no more come, make of the wire's outcome."""
        verdict = await self._end(outcome)
        if self.call.shadow and isinstance(verdict, Failed) and not isinstance(outcome, Failed):
            return replace(verdict, told=True)  # it ended as politely as the client will see it end
        return verdict

    async def _end(self, outcome: Outcome) -> Outcome:
        reader = self.reader
        if isinstance(outcome, Refused) or reader is None:
            return outcome
        if isinstance(outcome, Failed) and not (self._over(reader) and outcome.fault in CUT):
            return outcome
        rest = reader.close()
        if self.call.shadow:
            rest = Chunk(b"", rest.deltas)  # its bytes are out
        if self.bytes == 0:
            return outcome  # the judge calls it empty, as any answer that says nothing
        if self.html:
            return Failed(Fault.SERVER_ERROR, Scope.MODEL, detail="a web page where an answer was due")
        if reader.streams and not self._over(reader):
            return Failed(Fault.STREAM_CUT, Scope.MODEL, detail="the stream ended before the answer did")
        if not reader.streams and self.sink.stage is not Stage.COMMITTED and _unreadable(rest):
            return Failed(Fault.MALFORMED_CHUNK, Scope.MODEL, detail="the answer is not readable JSON")
        if isinstance(outcome, Failed):
            return Answered(self.status)  # cut after its end: the answer is whole
        if rest.raw or rest.deltas:
            await self.sink.send(rest)
        return outcome

    def _over(self, reader: Reader) -> bool:
        return reader.streams and (reader.done or reader.finished)


def _unreadable(chunk: Chunk) -> bool:
    return bool(chunk.deltas) and isinstance(chunk.deltas[0], Malformed)
