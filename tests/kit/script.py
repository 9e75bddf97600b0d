"""A scripted upstream, and a stack played on it in virtual time.

`Script({"a": [...], "b": [...]})` gives each target its behaviours, one per attempt; the last one
repeats. A behaviour is what `Upstream` would do: push bytes into the sink and return an outcome,
or fail. `Play` builds the real stack over it and keeps everything that was told.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from sidecar.classify import classify
from sidecar.core.admission import Admission
from sidecar.dialects import DIALECTS
from sidecar.events import (
    Event,
)
from sidecar.layers.defer import Offer
from sidecar.layers.limit import Limit
from sidecar.memory import Memory
from sidecar.model import (
    Answered,
    Call,
    Chunk,
    Failed,
    Fault,
    Head,
    Headers,
    Operation,
    Options,
    Outcome,
    Provider,
    Record,
    Scope,
    Sink,
    Target,
    Traffic,
    Verdict,
)
from sidecar.models.card import Card
from sidecar.schema import compile_schema
from sidecar.settings import Limits, Route, Settings
from sidecar.signals.judging import Schemas
from sidecar.stack import Env, build
from tests.kit.answers import JSON, SSE, OpenAI, path_of
from tests.kit.answers import Dialect as Words
from tests.kit.tape import Tape
from tests.kit.vloop import LoopClock

Behaviour = Callable[[Call, Sink], Awaitable[Outcome]]


def verdict(provider: str, status: int, head: Head, body: bytes) -> Verdict:
    return classify(provider=provider, status=status, headers=head.headers, body=body, wall=LoopClock.WALL)


def answer(body: bytes, *, after: float = 0.1, headers: Headers = JSON) -> Behaviour:
    """A whole answer of HTTP 200."""

    async def behave(call: Call, sink: Sink) -> Outcome:
        await asyncio.sleep(after)
        await sink.start(Head(200, "OK", headers))
        await sink.send(Chunk(body))
        return Answered(200)

    return behave


def stream(
    pieces: Sequence[bytes],
    *,
    first: float = 0.1,
    gap: float = 0.05,
    keepalive: tuple[float, bytes] | None = None,
    end: str = "eof",
    headers: Headers = SSE,
) -> Behaviour:
    """An event stream. `end`: eof, cut (connection lost) or open (silence, connection kept)."""

    async def behave(call: Call, sink: Sink) -> Outcome:
        await sink.start(Head(200, "OK", headers))
        waited = 0.0
        while keepalive and waited + keepalive[0] < first:
            await asyncio.sleep(keepalive[0])
            waited += keepalive[0]
            await sink.send(Chunk(keepalive[1]))
        await asyncio.sleep(first - waited)
        for n, piece in enumerate(pieces):
            if n:
                await asyncio.sleep(gap)
            await sink.send(Chunk(piece))
        if end == "open":
            await asyncio.get_running_loop().create_future()
        if end == "cut":
            return Failed(Fault.STREAM_CUT, Scope.MODEL, detail="scripted")
        return Answered(200)

    return behave


def error(answer: tuple[int, bytes], *, after: float = 0.1, headers: Headers = ()) -> Behaviour:
    """An error answer, classified as the real upstream does."""

    async def behave(call: Call, sink: Sink) -> Outcome:
        await asyncio.sleep(after)
        status, body = answer
        head = Head(status, "", JSON + headers)
        found = verdict("x", status, head, body)
        return Failed(found.fault, found.scope, found.wait, head, body)

    return behave


def lost(fault: Fault = Fault.NETWORK, *, after: float = 0.01) -> Behaviour:
    """The wire fails before any answer."""

    async def behave(call: Call, sink: Sink) -> Outcome:
        await asyncio.sleep(after)
        return Failed(fault, Scope.PROVIDER, detail="scripted")

    return behave


def hang() -> Behaviour:
    """Accepts and never answers; a stream's headers have a limit, as the real upstream has it."""

    async def behave(call: Call, sink: Sink) -> Outcome:
        limits = Limits()
        first = limits.reasoning if call.ask.reasoning else limits.headers
        due = asyncio.get_running_loop().time() + first * call.stretch if call.ask.stream else inf
        try:
            with Limit(lambda: min(due, call.deadline, call.leave_at)):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            pass
        return Failed(Fault.TIMEOUT, detail="no headers")

    return behave


@dataclass(frozen=True, slots=True)
class Asked:
    at: float
    target: str
    kind: str
    body: bytes


@dataclass(slots=True)
class Script:
    """The upstream of a stack, by target name."""

    plans: dict[str, list[Behaviour]]
    asked: list[Asked] = field(default_factory=list)
    open: int = 0  # exchanges under way

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        assert call.target is not None
        name = call.target.name
        self.asked.append(Asked(asyncio.get_running_loop().time(), name, call.kind.value, call.body))
        plan = self.plans[name]
        behave = plan.pop(0) if len(plan) > 1 else plan[0]
        self.open += 1
        try:
            return await behave(call, sink)
        finally:
            self.open -= 1

    def count(self, target: str, since: float = -1.0) -> int:
        return sum(asked.target == target and asked.at > since for asked in self.asked)


class Key:
    """A credential of ours."""

    def __init__(self, digest: str = "injected") -> None:
        self.digest = digest

    def reveal(self) -> str | None:
        return "secret"


def target(name: str, dialect: str, *, injected: bool = True, model: str | None = None) -> Target:
    provider = Provider(name=name, dialect=dialect, scheme="http", host="127.0.0.1", port=1, private=True)
    return Target(name=name, provider=provider, model=model, key=Key(name) if injected else None)


@dataclass(slots=True)
class Result:
    outcome: Outcome | None
    tape: Tape
    record: Record
    began: float
    ended: float


class Play:
    """A real stack over a script."""

    captures = False  # contents, for spans
    cards: Callable[[Provider, str], Card | None] = staticmethod(lambda *_: None)

    def __init__(
        self,
        script: Script,
        words: Words = OpenAI,
        *,
        route: Route | None = None,
        injected: bool = True,
        seed: int = 1,
        cards: Callable[[Provider, str], Card | None] | None = None,
        offer: Offer | None = None,
        **changes: Any,
    ) -> None:
        chain = tuple(target(name, words.dialect, injected=injected) for name in script.plans)
        self.route = replace(route or Route(name="r", chain=chain), **changes)
        self.script = script
        self.known = cards or self.cards
        self.offer = offer
        self.words = words
        self.told: list[Event] = []
        self.tell: Callable[[Event], None] = self.told.append
        self.clock = LoopClock()
        self.memory = Memory(random.Random(seed))  # chance for tests
        self.admission = Admission(512, 1 << 27)
        self.stack = self.build(self.route)
        self.calls = 0

    def build(self, route: Route) -> Any:
        return build(route, self.stack_env())

    def stack_env(self) -> Env:
        return Env(
            Settings(),
            self.memory,
            self.admission,
            DIALECTS,
            lambda _: self.script,
            verdict,
            Schemas(compile_schema),
            self.clock,
            self.memory.rng,
            self.tell,
            captures=self.captures,
            cards=self.known,
            offer=self.offer,
        )

    def call(self, body: bytes | None = None, *, deadline: float | None = None, **more: Any) -> Call:
        now = self.clock.now()
        self.calls += 1
        body = body if body is not None else self.words.request(f"hello {self.calls}")
        dialect = DIALECTS[self.words.dialect]
        left = deadline if deadline is not None else (300.0 if self.route.implicit else 30.0)
        fields: dict[str, Any] = {
            "id": f"call-{self.calls}",
            "route": self.route.name,
            "provider": self.route.chain[0].provider.name,
            "dialect": self.words.dialect,
            "method": "POST",
            "path": path_of(self.words, body),
            "query": "",
            "headers": (),
            "body": body,
            "ask": dialect.ask(Operation.CHAT, path_of(self.words, body), body),
            "traffic": Traffic.INTERACTIVE,
            "arrived": now,
            "deadline": now + left,
            "record": Record(),
            "options": Options(),
            "key_digest": "apps-own",
        }
        return Call(**(fields | more))

    async def ask(self, body: bytes | None = None, *, tape: Tape | None = None, **more: Any) -> Result:
        """One call through the stack; checks that it leaves nothing behind."""
        call = self.call(body, **more)
        tape = tape or Tape()
        outcome = await self.stack(call, tape)
        return Result(outcome, tape, call.record, call.arrived, self.clock.now())

    @asynccontextmanager
    async def clean(self) -> AsyncIterator[None]:
        """Nothing is left after the block: no exchange, no slot, no probe, no held byte."""
        yield
        assert 0 == self.script.open
        assert 0 == self.admission.in_flight
        assert 0 == self.admission.held
        assert 0 == self.admission.answers
        assert all(breaker._probing is None for breaker in self.memory.breakers.values())

    def said(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]
