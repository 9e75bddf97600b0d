"""Drilled: plays a fault in a provider's place, so that a bad day can be tried on a good one.

It stands right above the wire: all that judges, counts, retries and falls back takes the fault for a real
one, which is what a drill is for. It is told each time, so that nobody has to guess: an event, a log line
and a counter. The provider itself is not asked, except by `stream_cut`, which breaks off a real answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

from sidecar.core import drill
from sidecar.dialects.base import Dialect
from sidecar.events import Drilled as Told
from sidecar.events import Tell
from sidecar.faults import HANDLING
from sidecar.model import (
    Call,
    Chunk,
    Clock,
    Drill,
    Failed,
    Fault,
    Head,
    Outcome,
    Rng,
    Scope,
    Service,
    Sink,
    Stage,
    Target,
    current,
)

CUT_AFTER = 3  # pieces of the answer that a cut stream still says


class _Cut(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Drilled:
    inner: Service
    target: Target
    drill: Drill | None  # the route's
    dialects: Mapping[str, Dialect]
    clock: Clock
    rng: Rng
    tell: Tell

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        for one in (call.options.drill, self.drill):
            if one is not None and self._hits(one):
                self.tell(Told(call, self.target, one.fault))
                return await self._play(one, call, sink)
        return await self.inner(call, sink)

    def _hits(self, one: Drill) -> bool:
        if one.target not in {"", self.target.name, self.target.provider.name}:
            return False
        until = drill.ends(one.until)
        if until is None or self.clock.wall() >= until:
            return False
        return self.rng.uniform(0.0, 1.0) < one.share

    async def _play(self, one: Drill, call: Call, sink: Sink) -> Outcome:
        fault = Fault(one.fault)
        if fault is Fault.NETWORK:
            return Failed(fault, Scope.PROVIDER, detail="a drill")
        if fault is Fault.TIMEOUT:
            await asyncio.get_running_loop().create_future()  # whoever has a limit ends it
        if fault is Fault.STREAM_CUT:
            try:
                return await self.inner(call, _Breaking(sink))
            except _Cut:
                return Failed(fault, Scope.MODEL, detail="a drill")
        dialect = self.dialects.get(call.dialect)
        status = HANDLING[fault].status
        if dialect is None:
            return Failed(fault, Scope.MODEL, head=Head(status), detail="a drill")
        wire = dialect.complain(status, fault, "llm-sidecar: a drill")
        current(call).status = wire.head.status
        return Failed(fault, Scope.MODEL, head=wire.head, body=wire.body, detail="a drill")


@dataclass(slots=True)
class _Breaking:
    """The sink of an answer that breaks off."""

    sink: Sink
    pieces: int = 0

    @property
    def stage(self) -> Stage:
        return self.sink.stage

    async def start(self, head: Head) -> None:
        await self.sink.start(head)

    def send(self, chunk: Chunk) -> Awaitable[None]:
        self.pieces += 1
        if self.pieces > CUT_AFTER:
            raise _Cut
        return self.sink.send(chunk)
