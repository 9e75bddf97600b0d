"""A target in virtual time, asked as often as one likes: real Guard and Judge, no event loop between.

Five hundred calls a second for a minute are thirty thousand; asyncio's own timers would cost more than
what is tested. So every call is a coroutine that says when it wants to go on, and one heap wakes them in
order. What runs in them is the stack's own.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf, log
from types import coroutine
from typing import Any

from sidecar.core.admission import Admission
from sidecar.events import (
    BreakerMoved,
    Event,
    Judged,
)
from sidecar.layers.attempt import AttemptSpan
from sidecar.layers.guard import Guard
from sidecar.layers.judge import Judge
from sidecar.memory import Memory
from sidecar.model import (
    Answered,
    Answering,
    Ask,
    BreakerState,
    Call,
    Chunk,
    Delta,
    Finish,
    FinishReason,
    Head,
    Operation,
    Outcome,
    Record,
    Sink,
    Target,
    Text,
    Traffic,
    Usage,
)
from sidecar.settings import Route
from sidecar.signals.judging import Schemas, rules_of
from tests.kit.script import target, verdict
from tests.kit.tape import Tape
from tests.kit.vloop import run

HEAD = Head(200, "OK", ((b"Content-Type", b"application/json"),))
BODIES = (b"s" * 300, b"m" * 9000)
WORDS = "so many different words make up an ordinary answer that nothing in it comes round again "


@dataclass(slots=True)
class Plan:
    """One answer: when its first content and its end come, after the call; how much it says."""

    first: float
    end: float
    tokens: int
    stream: bool = True
    json: bool = False
    unparsable: bool = False
    finish: FinishReason = FinishReason.STOP
    model: str = "m-1"


@coroutine
def until(when: float) -> Generator[float, None, None]:
    yield when


@dataclass(slots=True)
class World:
    route: Route = field(default_factory=lambda: Route(name="r"))
    alone: bool = False
    seed: int = 1
    now_: float = 1000.0
    told: list[Event] = field(default_factory=list)
    outcome: Outcome | None = None  # of the last call that ended
    asked: int = 0
    answered: int = 0
    target: Target = field(init=False)
    memory: Memory = field(init=False)
    stack: Guard = field(init=False)
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        self.target = target("a", "openai_chat")
        self.memory = Memory(random.Random(self.seed))
        self.build(self.route)

    def build(self, route: Route) -> None:
        """The stack of this route's one target, as sidecar.stack builds it."""
        self.route = route
        standing = self.memory.standing(route, self.target)
        rules, schemas = rules_of(route.signals), Schemas(lambda _: None)
        judge = Judge(
            self.wire,
            self.target,
            rules,
            route.limits,
            route.commit,
            standing,
            schemas,
            verdict,
            Admission(64, 1 << 27),
            self,
            self.tell,
        )
        self.stack = Guard(
            AttemptSpan(judge, self, self.tell),
            self.target,
            lambda provider, model, key: self.memory.breaker(provider, model, key, route.breaker),
            standing,
            route.strict,
            self.memory.waits,
            self,
            self.tell,
        )

    # ---- a clock, and ears

    def now(self) -> float:
        return self.now_

    def wall(self) -> float:
        return self.now_

    async def sleep(self, seconds: float) -> None:
        await until(self.now_ + seconds)

    def tell(self, event: Event) -> None:
        if isinstance(event, BreakerMoved | Judged):
            self.told.append(event)

    @property
    def standing(self) -> Any:
        return self.memory.standing(self.route, self.target)

    @property
    def openings(self) -> int:
        moved = [event.transition for event in self.told if isinstance(event, BreakerMoved)]
        return sum(move.old is BreakerState.CLOSED and move.new is BreakerState.OPEN for move in moved)

    # ---- calls

    async def wire(self, call: Call, sink: Sink) -> Outcome:
        plan, started = self.plan, self.now_
        text = "{" if plan.unparsable else '{"a": 1}' if plan.json else WORDS[: 1 + plan.tokens % 80]
        ends: tuple[Delta, ...] = (Usage(output_total=plan.tokens), Finish(plan.finish))
        said: tuple[Delta, ...] = (Answering(plan.model), Text(text))
        await until(started + (plan.first if plan.stream else plan.end))
        await sink.start(HEAD)
        if plan.stream:
            await sink.send(Chunk(b"data", said))
            await until(started + plan.end)
            await sink.send(Chunk(b"", ends))
        else:
            await sink.send(Chunk(b"{}", said + ends))
        return Answered(200)

    async def ask(self, plan: Plan) -> None:
        self.asked += 1
        ask = Ask(operation=Operation.CHAT, model="m", stream=plan.stream, json=plan.json)
        call = Call(
            id=f"{self.asked}",
            route=self.route.name,
            provider="a",
            dialect="openai_chat",
            method="POST",
            path="/v1/chat/completions",
            query="",
            headers=(),
            body=b"%d" % self.asked + BODIES[self.asked % 2],
            ask=ask,
            traffic=Traffic.INTERACTIVE,
            arrived=self.now_,
            deadline=self.now_ + 3000,
            record=Record(),
            alone=self.alone,
            target=self.target,
        )
        self.plan = plan
        self.outcome = await self.stack(call, Tape())
        self.answered += 1

    def play(
        self, arrivals: Iterator[tuple[float, Plan]], *, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Asks at the seconds that `arrivals` give; ends when all are answered, or at `stop`."""
        run(self._play(arrivals, stop))

    async def _play(self, arrivals: Iterator[tuple[float, Plan]], stop: Callable[[], bool]) -> None:
        waiting: list[tuple[float, int, Coroutine[Any, Any, None]]] = []
        next_at, plan = next(arrivals, (inf, None))
        steps = 0
        while not stop() and (waiting or plan is not None):
            if plan is not None and (not waiting or next_at <= waiting[0][0]):
                self.now_, going = next_at, self.ask(plan)
                next_at, plan = next(arrivals, (inf, None))
            else:
                self.now_, _, going = heappop(waiting)
            steps += 1
            with suppress(StopIteration):
                heappush(waiting, (going.send(None), steps, going))
            if steps % 5000 == 0:
                await asyncio.sleep(0)  # the loop throws its cancelled timers away
        for _, _, going in waiting:
            going.close()


def spread(rng: random.Random, median: float, sigma: float) -> float:
    return rng.lognormvariate(log(median), sigma)


def quiet(
    rng: random.Random,
    rate: float,
    start: float,
    seconds: float,
    *,
    mood: Callable[[float], float] = lambda _: 1.0,
    slower: float = 1.0,
    shorter: float = 1.0,
    unparsable: float = 0.01,
    json: float = 0.3,
) -> Iterator[tuple[float, Plan]]:
    """Calls at random, `rate` a second: latencies of sigma 0.45, lengths of sigma 0.6, one in a hundred
    structured answers unparsable, one answer in a hundred cut. `mood`: how slow a day's time is.
    """
    at = start
    while True:
        at += rng.expovariate(rate)
        if at >= start + seconds:
            return
        slow = slower * mood(at)
        stream = rng.random() < 0.5
        structured = rng.random() < json
        yield (
            at,
            Plan(
                first=(first := spread(rng, 0.8, 0.45) * slow),
                end=first + spread(rng, 1.5, 0.45) * slow,
                tokens=max(1, int(spread(rng, 300, 0.6) / shorter)),
                stream=stream,
                json=structured,
                unparsable=structured and rng.random() < unparsable,
                finish=FinishReason.LENGTH if rng.random() < 0.01 else FinishReason.STOP,
            ),
        )
