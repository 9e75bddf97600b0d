"""Our policies: the real stack, on a day of the simulated world.

The route comes from configuration, its stack from `sidecar.stack`: breakers, budgets, waits, deadline,
retries, fallback, judges and baselines are those that the sidecar runs. What stands in for reality is
the upstream, which says what a provider of that day would say, byte for byte in OpenAI's dialect, and
the loop, whose clock jumps. There is no socket and no listener, so what a proxy costs is not in here
(docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from random import Random

from sidecar import config
from sidecar.classify import classify
from sidecar.core.admission import Admission
from sidecar.dialects import DIALECTS
from sidecar.events import Event
from sidecar.memory import Memory
from sidecar.model import (
    DONE,
    Answered,
    Call,
    Chunk,
    Failed,
    Head,
    Headers,
    Operation,
    Outcome,
    Record,
    Service,
    Sink,
    Stage,
    Tier,
    Traffic,
    Verdict,
)
from sidecar.routing import implicit_route
from sidecar.schema import compile_schema
from sidecar.settings import Route, Settings
from sidecar.signals.judging import Schemas
from sidecar.simulate.measure import Tally
from sidecar.simulate.virtual import LoopClock, VirtualLoop
from sidecar.simulate.world import Day, Fate, Luck, Target
from sidecar.stack import Env, build

PROVIDERS = """\
providers:
  primary: {dialect: openai_chat, url: "https://primary.example/v1", key: {env: PRIMARY_KEY}}
  peer: {dialect: openai_chat, url: "https://peer.example/v1", key: {env: PEER_KEY}}
  last: {dialect: openai_chat, url: "https://last.example/v1", key: {env: LAST_KEY}}
"""
DEFAULT = """\
routes:
  - name: chat
    match: {provider: primary}
    chain: [primary, peer, last]
"""
TUNED = """\
routes:
  - name: chat
    match: {provider: primary}
    chain: [primary, {provider: primary, name: again}, peer, last]  # a silent attempt is made once more
    upstream_stream: true           # silence shows at the first content, not at the end of the answer
    limits: {first_content: 1.2}    # seconds: longer than this provider's living answers take
    breaker: {open: 10}             # seconds: its outages are short
"""


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    told: str  # in one sentence, for people
    settings: Settings
    route: Route

    def run(self, day: Day) -> Tally:
        return play(self.settings, self.route, day)


def unconfigured() -> Policy:
    settings = config.parse(PROVIDERS)
    route = implicit_route(settings.providers[Target.PRIMARY.value], settings.defaults)
    return Policy("unconfigured", "the sidecar without configuration: the primary alone", settings, route)


def default() -> Policy:
    return of_route(
        "default", "a chain of all three and nothing else said", config.parse(PROVIDERS + DEFAULT)
    )


def tuned() -> Policy:
    told = "four lines for this world: stream upstream, 1.2 s to the first content, a second try, short rests"
    return of_route("tuned", told, config.parse(PROVIDERS + TUNED))


def of_route(name: str, told: str, settings: Settings, route: Route | None = None) -> Policy:
    """A route's rules; the providers of its chain, in their order, are the world's: primary, peer, last."""
    own = settings.routes[0] if route is None else route
    world = list(config.parse(PROVIDERS).providers.items())
    by_name = {name: provider for name, provider in world if name in set(Target)}
    places: dict[str, str] = {}
    chain = []
    for target in own.chain:
        order = min(len(places), len(Target) - 1)
        place = places.setdefault(target.provider.name, list(Target)[order].value)
        chain.append(replace(target, provider=by_name[place]))
    return Policy(name, told, settings, replace(own, chain=tuple(chain), chains={}))


# ---- what a provider says -------------------------------------------------------------------

JSON: Headers = ((b"Content-Type", b"application/json"),)
SSE: Headers = ((b"Content-Type", b"text/event-stream"),)
_ENDS = b'"usage":{"prompt_tokens":9,"completion_tokens":6,"total_tokens":15}'
WHOLE = (
    b'{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop","message":'
    b'{"role":"assistant","content":"All is well as far as I see."}}],%s}' % _ENDS
)
_PIECE = b'data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,%s}]%s}\n\n'
BEGIN = _PIECE % (b'"delta":{"role":"assistant","content":"All is well"},"finish_reason":null', b"")
MORE = _PIECE % (b'"delta":{"content":" as far as I see"},"finish_reason":null', b"")
END = _PIECE % (b'"delta":{},"finish_reason":"stop"', b"," + _ENDS) + b"data: [DONE]\n\n"
PACE = 0.5  # seconds between two pieces of a stream at the most: real ones are finer, at no use here
OVERLOADED = b'{"error":{"message":"The engine is currently overloaded","type":"server_error"}}'
LIMITED = b'{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}'


def verdict(provider: str, status: int, head: Head, body: bytes) -> Verdict:
    return classify(provider=provider, status=status, headers=head.headers, body=body, wall=LoopClock.WALL)


@dataclass(frozen=True, slots=True)
class Upstream:
    """The providers of one day, as the wire shows them."""

    day: Day
    tally: Tally

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        assert call.target is not None
        target = Target(call.target.provider.name)
        now = asyncio.get_running_loop().time()
        luck = self.day.luck(target, now, int(call.id, 16), len(call.record.attempts))
        self.tally.charge(target, luck.price)  # in full, though the call may be cut
        match luck.fate:
            case Fate.ANSWER:
                return await _answer(call, sink, luck)
            case Fate.REFUSED:
                await asyncio.sleep(luck.seconds)
                return _refusal(target, 503, JSON, OVERLOADED)
            case Fate.LIMITED:
                await asyncio.sleep(luck.seconds)
                return _refusal(target, 429, (*JSON, (b"Retry-After", b"%d" % luck.wait)), LIMITED)
            case Fate.STALL:
                await asyncio.get_running_loop().create_future()
                raise AssertionError


async def _answer(call: Call, sink: Sink, luck: Luck) -> Outcome:
    if call.ask.stream:
        await sink.start(Head(200, "OK", SSE))
        await asyncio.sleep(luck.first)
        await sink.send(Chunk(BEGIN))
        rest = luck.seconds - luck.first
        pieces = int(rest / PACE)
        for _ in range(pieces):
            await asyncio.sleep(rest / (pieces + 1))
            await sink.send(Chunk(MORE))
        await asyncio.sleep(rest / (pieces + 1))
        await sink.send(Chunk(END))
    else:
        await asyncio.sleep(luck.seconds)
        await sink.start(Head(200, "OK", JSON))
        await sink.send(Chunk(WHOLE))
    return Answered(200)


def _refusal(target: Target, status: int, headers: Headers, body: bytes) -> Failed:
    head = Head(status, "", headers)
    found = verdict(target.value, status, head, body)
    return Failed(found.fault, found.scope, found.wait, head, body)


# ---- the day --------------------------------------------------------------------------------


class Client:
    """An application that takes what it gets."""

    stage = Stage.UNTOUCHED

    async def start(self, head: Head) -> None:
        self.stage = Stage.COMMITTED

    def send(self, chunk: Chunk) -> Awaitable[None]:
        return DONE


def play(settings: Settings, route: Route, day: Day) -> Tally:
    """All calls of the day through the route's stack."""
    tally = Tally()
    rng = Random(f"{day.seed} jitter")  # noqa: S311  # repeatable, not secret
    upstream = Upstream(day, tally)
    limits = settings.admission
    env = Env(
        settings,
        Memory(rng),
        Admission(limits.in_flight, limits.held_bytes),
        DIALECTS,
        lambda _: upstream,
        verdict,
        Schemas(compile_schema),
        LoopClock(),
        rng,
        _unheard,
    )
    loop = VirtualLoop(outside=False)
    try:
        loop.run_until_complete(_arrive(build(route, env), settings, route, day, tally))
    finally:
        loop.close()
    return tally


def _unheard(event: Event) -> None:
    """The tally is kept from outcomes; nobody listens to events."""


async def _arrive(stack: Service, settings: Settings, route: Route, day: Day, tally: Tally) -> None:
    patience = _patience(settings, route)
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as calls:
        for number, at in enumerate(day.arrivals):
            await asyncio.sleep(at - loop.time())
            calls.create_task(_call(stack, _request(number, route, at, patience), tally))


def _patience(settings: Settings, route: Route) -> float:
    if route.deadline is not None:
        return route.deadline
    if route.implicit:
        return settings.deadlines.unconfigured
    background = route.traffic is Traffic.BACKGROUND
    return settings.deadlines.background if background else settings.deadlines.interactive


async def _call(stack: Service, call: Call, tally: Tally) -> None:
    outcome = await stack(call, Client())
    seconds = asyncio.get_running_loop().time() - call.arrived
    if isinstance(outcome, Answered):
        # an earlier or a static answer is nobody's, and may come before anybody was asked
        tier = Tier.CACHED if outcome.cached else outcome.tier
        served = Target(call.record.attempts[-1].provider) if tier is Tier.FULL else None
        tally.end(tier, seconds, served)
    else:
        tally.end(Tier.NONE, seconds)


def _request(number: int, route: Route, now: float, patience: float) -> Call:
    body = b'{"model":"m","messages":[{"role":"user","content":"call %d"}]}' % number
    path = "/v1/chat/completions"
    return Call(
        id=f"{number:032x}",
        route=route.name,
        provider=Target.PRIMARY.value,
        dialect="openai_chat",
        method="POST",
        path=path,
        query="",
        headers=(),
        body=body,
        ask=DIALECTS["openai_chat"].ask(Operation.CHAT, path, body),
        traffic=route.traffic,
        arrived=now,
        deadline=now + patience,
        record=Record(),
    )
