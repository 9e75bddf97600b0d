"""The one place of assembly: what stands on what, and why at that height.

Read `build` from the bottom line up for the way of a call, outermost layer first. A stack is
built once per route; a reload builds anew, and calls in flight finish on the old one. What has a
memory (breakers, budgets, waits, baselines) lives in memory.Memory and survives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from math import inf

from sidecar.continuing import takes
from sidecar.core import bill
from sidecar.core.admission import Admission
from sidecar.core.breaker import Breaker
from sidecar.core.hedging import Hedging
from sidecar.core.nearest import Nearest
from sidecar.dialects.base import Dialect
from sidecar.dialects.http import HTTP
from sidecar.events import (
    BreakerMoved,
    Retiring,
    Tell,
)
from sidecar.gate.check import retiring
from sidecar.layers.adapt import Adapt
from sidecar.layers.admit import Admit
from sidecar.layers.assemble import AskStream, Assemble
from sidecar.layers.attempt import AttemptSpan
from sidecar.layers.cache import Cache, Near
from sidecar.layers.cap import Affords, Cap
from sidecar.layers.confine import Confine, Fence
from sidecar.layers.continuation import Continue
from sidecar.layers.deadline import Deadline
from sidecar.layers.defer import Defer, Offer
from sidecar.layers.degrade import Degrade
from sidecar.layers.direct import Direct
from sidecar.layers.drilled import Drilled
from sidecar.layers.embed import Embed
from sidecar.layers.fallback import PARKED, Arrange, Fallback, Lane, arranging
from sidecar.layers.gate import Gate, Heed
from sidecar.layers.guard import Guard
from sidecar.layers.hedge import Hedge
from sidecar.layers.judge import Classify, Judge
from sidecar.layers.retry import Retry, digest
from sidecar.layers.spent import Spent
from sidecar.layers.translate import Translate
from sidecar.layers.usage import AskUsage
from sidecar.layers.withhold import Withhold
from sidecar.memory import Memory
from sidecar.model import (
    Call,
    Clock,
    Fault,
    Provider,
    Rng,
    Service,
    Target,
    Traffic,
)
from sidecar.models.card import Card
from sidecar.ordering import ranking, steps
from sidecar.pricing import Pricing, asks_usage
from sidecar.routing import Router
from sidecar.settings import Boundary, Limits, Route, Settings, Signals
from sidecar.signals.judging import Schemas, rules_of

# of what is no model's answer
UNJUDGED = Signals(**{one.name: "off" for one in fields(Signals) if isinstance(one.default, str)})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Env:
    """What a stack is built from."""

    settings: Settings
    memory: Memory
    admission: Admission
    dialects: Mapping[str, Dialect]
    upstream: Callable[[Limits], Service]
    classify: Classify
    schemas: Schemas
    clock: Clock
    rng: Rng
    tell: Tell
    captures: bool = False  # contents, for spans
    cards: Callable[[Provider, str], Card | None] = lambda *_: None  # what the catalogue knows of a model
    offer: Offer | None = None  # takes calls that are deferred; None: there is no file for them


def build(route: Route, env: Env) -> Service:
    """The stack of one route."""
    if route.shadow:
        route = _shadowed(route)
    s = _build(route, env)
    if route.deferred is not None and env.offer is not None:
        # outside everything: a receipt is what is left when there is no answer, not even a prepared one
        s = Defer(s, route.deferred, env.offer)
    return s


def _shadowed(route: Route) -> Route:
    """Without what would do something of its own; what is left says what it would do, see Call.shadow."""
    return replace(
        route,
        order="listed",
        upstream_stream=False,
        continuation=False,
        hedge=replace(route.hedge, after="off"),
        cache=replace(route.cache, scope="off"),
        cost=replace(route.cost, cap=None, over_budget="serve", stream_usage="never"),
        deferred=None,
    )


def build_later(route: Route, env: Env) -> Service:
    """The same for calls that were deferred: nobody waits for them, so only a new answer will do, and only
    our own keys are there."""
    chains = {fault: _keyed(chain) for fault, chain in route.chains.items()}
    fresh, alone = replace(route.cache, scope="off"), replace(route.hedge, after="off")
    later = replace(route, chains=chains, static=None, cache=fresh, hedge=alone)
    return _build(replace(later, chain=_keyed(route.chain)), env)


def _keyed(chain: tuple[Target, ...]) -> tuple[Target, ...]:
    return tuple(target for target in chain if target.credential is not None)


def _build(route: Route, env: Env) -> Service:  # noqa: PLR0915  # the one place of assembly, in one piece
    clock, tell, memory = env.clock, env.tell, env.memory
    pricing = Pricing(env.cards, memory.tab, tell)

    def breaker(provider: str, model: str, key: str) -> Breaker:
        return memory.breaker(provider, model, key, route.breaker)

    def pardon(target: Target, call: Call, now: float) -> None:
        provider, model = target.provider.name, target.model or call.ask.model
        pardoned = breaker(provider, model, digest(target, call))
        pardoned.pardon(call.id, now)
        for moved in pardoned.moves():
            tell(BreakerMoved(call, "transport", "", target.name, provider, model, moved))

    def prefills(target: Target, asked: str) -> bool:
        return takes(target.provider.dialect, env.cards(target.provider, target.model or asked))

    cap = None if route.cost.cap is None else bill.pico(route.cost.cap)
    named = {target.name: target for target in route.targets}

    def affords(target: Target) -> Affords:
        return lambda call: cap is None or pricing.affords(call, target, cap, named)

    first = next(iter(steps(route.chain)), ())  # all of a group: one is drawn

    def lane(target: Target) -> Lane:
        _mind_retirement(target, env)
        standing = memory.standing(route, target)
        s: Service = _wire(route, route.limits, env)  # connect, headers, bytes as they come
        if route.drill is not None or env.settings.drill_key is not None:
            s = Drilled(s, target, route.drill, env.dialects, clock, env.rng, tell)  # in the provider's place
        s = Adapt(s, env.dialects, route.limits, clock)  # bytes become deltas: judges know no vendor
        tool = target.provider.dialect == HTTP.name  # what it says is nobody's business: no model, no words
        if not tool:
            s = Heed(s, target, memory.denials, tell)  # below the translation: the target's own words
            # a target of another dialect: below it everything is the target's, above it the client's
            s = Translate(s, target, env.dialects, env.classify, clock)
        if route.upstream_stream:
            s = Assemble(s, env.dialects, route.limits, clock)  # the Judge sees the stream, and holds a body
        s = Judge(  # a bad answer still held becomes a Failed, so that it can be repeated elsewhere
            s,
            target,
            rules_of(UNJUDGED if tool else route.signals),
            route.limits,
            route.commit,
            standing,
            env.schemas,
            env.classify,
            env.admission,
            clock,
            tell,
        )
        # one record per try, verdict included
        s = AttemptSpan(s, clock, tell, env.captures, None if tool else pricing)
        s = Guard(  # outside the record: a refusal is no try; inside the retries: each one is a sample
            s,
            target,
            breaker,
            standing,
            route.strict,
            memory.waits,
            clock,
            tell,
            memory.mark,
        )
        if asks_usage(route.cost, target.provider):
            s = AskUsage(s, memory.uncounted)  # outside the Guard, as AskStream is: both attempts are samples
        if not tool:
            s = Gate(  # outside the Guard: who cannot do it takes no permit and is no sample
                s,
                target,
                target in first,
                route.strict_capabilities,
                route.on_loss,
                route.retry.per_call,
                env.cards,
                memory.denials,
                memory.ratios,
                clock,
                env.settings.audit_translations,
            )
        if route.upstream_stream:
            # outside the Guard: what is usual of a stream is learned of a stream; and of the Gate, which
            # writes for others what is asked here
            s = AskStream(s, env.dialects)
        s = Retry(  # the same target again; it alone knows whether this call asks it once more
            s,
            target,
            route.retry,
            # a route of that class has its own word, or was read with this number for it
            0 if route.traffic is Traffic.BACKGROUND else env.settings.deadlines.background_attempts,
            memory.budget(route, target),
            memory.waits,
            clock,
            env.rng,
            tell,
            affords(target),
        )
        if cap is not None:
            s = Cap(s, affords(target))  # outside the retries, which ask the same before they wait
        if route.allow.outside(target.provider):
            s = Confine(s, route.allow)  # an attempt is not even begun
        return Lane(target, s)

    s: Service
    s = Fallback(  # somebody else: after the retries, within the one deadline
        tuple(lane(target) for target in route.chain),
        {fault: tuple(lane(target) for target in chain) for fault, chain in route.chains.items()},
        Fault.CONTENT_POLICY in route.chains,
        # whoever can wait, or gets something else, does not insist on a target that is known to be down
        route.static is not None or route.deferred is not None,
        route.retry.per_call,
        clock,
        tell,
        pardon,
        _arrange(route, env),
        _hedge(route, env),
        PARKED if route.implicit and route.deadline is None else inf,
    )
    if route.continuation:
        # outside the chain, whose one answer it mends; inside the deadline
        s = Continue(
            s, tuple(lane(target) for target in route.chain), prefills, route.retry.per_call, clock, tell
        )
    if not route.chain:
        s = Withhold()  # an operator lets nobody be asked
    if not route.shadow:
        s = Deadline(s, route.limits)  # bounds all the waiting above the wire, whoever waits
    s = Admit(s, env.admission, tell)  # sheds before any work is done
    if route.cost.over_budget == "refuse":
        s = Spent(s, memory.tab.spend, clock)  # before a slot is taken; the static answer costs nothing
    if route.cache.scope != "off" and route.chain:
        # outside them, as Degrade; inside it, because what was rejected comes before and static behind
        s = Cache(
            s,
            route.cache,
            route.targets,
            route.strict,
            memory.answers,
            memory.secret,
            env.dialects,
            clock,
            tell,
            memory.answer_store,
            _near(route, env),
            first=len(first) if route.order == "listed" else len(route.chain),
            room=env.admission,
        )
    # outside them: a spent deadline or a shed call can still get the static answer
    return Degrade(s, route.static, route.strict, route.targets, env.dialects, env.schemas, tell)


def _mind_retirement(target: Target, env: Env) -> None:
    """Said once of each model that is configured: a stand-in is not missed before it is needed."""
    card = None if target.model is None else env.cards(target.provider, target.model)
    last = retiring(card, env.clock.wall()) if card is not None and card.retires is not None else None
    if last is not None and (target.name, last) not in env.memory.retiring:
        env.memory.retiring.add((target.name, last))
        env.tell(Retiring(target, last.isoformat()))


def _wire(route: Route, limits: Limits, env: Env) -> Service:
    """The last thing of a route before bytes leave, whoever sends them."""
    wire = env.upstream(limits)
    return wire if route.allow == Boundary() else Confine(wire, route.allow)


def _near(route: Route, env: Env) -> Near | None:
    """What finds the nearest earlier question, where the route wants it."""
    rules, memory = route.cache.semantic, env.memory
    if rules is None:
        return None
    s = _wire(route, Limits(answer=rules.seconds), env)  # a question is as much the user's as a call is
    s = AttemptSpan(s, env.clock, env.tell)
    embed = Embed(s, rules.target, rules.seconds, env.clock, rules.dimensions)
    name = f"{route.name} {rules.target.provider.name} {rules.target.model} {rules.dimensions}"
    return Near(embed, memory.nearest.setdefault(name, Nearest()), memory.learning, rules.threshold)


def _arrange(route: Route, env: Env) -> Arrange | None:
    """None: as listed."""
    grouped = any(target.group is not None for target in route.targets)
    rank = ranking(route.order, env.cards)
    return arranging(rank, env.rng) if grouped or rank is not None else None


def _hedge(route: Route, env: Env) -> Hedge | None:
    """None: nobody is asked beside another."""
    if route.hedge.after == "off":
        return None
    learned = env.memory.hedgings.setdefault(route.name, Hedging())
    return Hedge(route.hedge, learned, ranking("cost", env.cards), env.tell)


def build_passthrough(env: Env) -> Service:
    """The way for what we do not judge, and past the policy: one try, streamed, recorded."""
    router = Router(env.settings)
    s: Service = env.upstream(Limits())
    s = AttemptSpan(s, env.clock, env.tell)
    s = Fence(s, lambda call: router.barred(call, env.settings.providers[call.provider]))
    s = Direct(s, env.settings.providers)  # the provider the client named is the target
    return Admit(s, env.admission, env.tell)


def describe(service: Service) -> list[str]:
    """The names of the layers, outermost first; what `explain` and its test print."""
    names = []
    at: object = service
    while at is not None:
        names.append(type(at).__name__)
        lanes = getattr(at, "lanes", None)
        at = lanes[0].service if lanes else getattr(at, "inner", None)
    return names
