"""A route that allows only some processors or regions never sends elsewhere, whatever fails.

Configuration does not load with a target outside; here such targets are put in by hand, to see that the
stack alone keeps them from being asked.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace as with_fields

from sidecar.core.admission import Admission
from sidecar.dialects import DIALECTS
from sidecar.events import TargetSkipped
from sidecar.layers.confine import Confine
from sidecar.memory import Memory
from sidecar.model import (
    Answered,
    Call,
    Fault,
    Operation,
    Outcome,
    Provider,
    Refused,
    RefusedBy,
    Sink,
    Target,
)
from sidecar.models.card import Ability, Card
from sidecar.overrides import Overrides
from sidecar.routing import PASSTHROUGH, Router
from sidecar.schema import compile_schema
from sidecar.settings import Boundary, Match, Route, Settings, StaticAnswer
from sidecar.signals.judging import Schemas
from sidecar.stack import Env, build_passthrough
from tests.kit import script as s
from tests.kit.answers import Anthropic, OpenAI
from tests.kit.script import Play, Result, Script
from tests.kit.tape import Tape
from tests.kit.vloop import LoopClock, run

EU = Boundary(regions=("eu",))


def place(name: str, region: str, dialect: str = "openai_chat", processor: str = "") -> Provider:
    return Provider(
        name=name, dialect=dialect, scheme="https", host=f"{name}.test", port=443, region=region,
        processor=processor,
    )  # fmt: skip


HERE, NEAR = place("here", "eu"), place("near", "eu", "anthropic")
AWAY, FAR = place("away", "us"), place("far", "", "anthropic")


def target(provider: Provider, model: str | None = None) -> Target:
    return Target(name=provider.name, provider=provider, model=model, key=s.Key(provider.name))


FAILURES = {
    "network": s.lost(),
    "server_error": s.error(OpenAI.BROKEN),
    "overloaded": s.error(OpenAI.OVERLOADED),
    "rate_limit": s.error(OpenAI.LIMIT),
    "quota": s.error(OpenAI.QUOTA),
    "auth": s.error(OpenAI.AUTH),
    "context_window": s.error(OpenAI.CONTEXT),
    "content_policy": s.error(OpenAI.FILTER),
    "invalid_request": s.error(OpenAI.INVALID),
    "silence": s.hang(),
    "empty": s.answer(OpenAI.whole("")),
    "cut_stream": s.stream(OpenAI.events(["Once ", "upon"])[:3], end="cut"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "more",
    [{}, {"continuation": True}, {"upstream_stream": True}, {"once": True}],
    ids=lambda more: str(*more),
)
def test_nothing_leaves_under_any_class_of_failure(failure: str, stream: bool, more: dict[str, Any]):
    outside = (target(AWAY, "m"), target(FAR, "able"))
    route = Route(
        name="r",
        chain=(target(HERE), *outside),
        chains=dict.fromkeys((Fault.CONTEXT_WINDOW, Fault.CONTENT_POLICY, Fault.OVERLOADED), outside),
        allow=EU,
        **more,
    )
    yes = frozenset({Ability.PREFILL})
    script = Script(
        {"here": [FAILURES[failure]], "away": [s.answer(OpenAI.whole("leaked"))], "far": [s.lost()]}
    )

    async def scenario() -> Result:
        world = Play(script, OpenAI, route=route, cards=lambda p, m: Card(provider=p.name, name=m, yes=yes))
        return await world.ask(OpenAI.request("tell me", stream=stream))

    result = run(scenario())

    assert {"here"} == {asked.target for asked in script.asked}
    assert b"leaked" not in result.tape.body


def test_who_is_outside_is_no_attempt_and_the_chain_goes_on():
    route = Route(name="r", chain=(target(HERE), target(AWAY, "m"), target(NEAR, "m")), allow=EU)
    script = Script({"here": [s.lost()], "away": [s.lost()], "near": [s.answer(Anthropic.whole("near"))]})

    async def scenario() -> tuple[Play, Result]:
        world = Play(script, OpenAI, route=route)
        return world, await world.ask()

    world, result = run(scenario())

    assert isinstance(result.outcome, Answered)
    assert {"here", "near"} == {attempt.target for attempt in result.record.attempts}
    [skip] = [e for e in world.told if isinstance(e, TargetSkipped)]
    assert (RefusedBy.NOT_ALLOWED, "boundary") == (skip.refused.by, skip.refused.reason)
    assert "its region is us, not eu" in skip.refused.detail


def test_an_operators_override_cannot_widen_it():
    route = Route(name="r", chain=(target(HERE), target(AWAY, "m")), allow=EU)
    script = Script({"here": [s.lost()], "away": [s.answer(OpenAI.whole("leaked"))]})
    said = Overrides(chains={"r": ("away",)}, bypass=False, breakers={"away": "closed", "here": "open"})

    async def scenario() -> Result:
        return await Play(script, OpenAI, route=said.shape(route)).ask(provider="here")

    outcome = run(scenario()).outcome

    assert isinstance(outcome, Refused)
    assert RefusedBy.NOT_ALLOWED is outcome.by
    assert [] == script.asked


def test_the_static_answer_still_stands_behind_it():
    route = Route(name="r", chain=(target(AWAY),), allow=EU, static=StaticAnswer(text="later"))
    script = Script({"away": [s.answer(OpenAI.whole("leaked"))]})

    async def scenario() -> Result:
        return await Play(script, OpenAI, route=route).ask()

    assert b"later" in run(scenario()).tape.body


def test_the_last_look_is_at_the_target_itself_whoever_put_it_there():
    asked: list[Call] = []

    async def wire(call: Call, sink: Sink) -> Outcome:
        asked.append(call)
        return Answered(200)

    async def scenario(where: Provider) -> Outcome:
        call = Play(Script({"a": []}), OpenAI).call(target=target(where))
        return await Confine(wire, EU)(call, Tape())

    assert isinstance(run(scenario(AWAY)), Refused)
    assert isinstance(run(scenario(FAR)), Refused)  # it does not say where it is
    assert [] == asked
    assert isinstance(run(scenario(HERE)), Answered)


@pytest.mark.parametrize(
    ("allow", "inside"),
    [
        (Boundary(), True),
        (Boundary(processors=("acme",)), True),
        (Boundary(processors=("other",)), False),
        (Boundary(processors=("acme",), regions=("us",)), False),
        (Boundary(processors=("acme", "other"), regions=("us", "eu")), True),
    ],
)
def test_processor_and_region_both_have_to_be_allowed(allow: Boundary, inside: bool):
    assert inside == (not allow.outside(place("p", "eu", processor="acme")))


# ---- past the policy ----------------------------------------------------------------------------

# clients say /away, and the route sends them elsewhere
REROUTED = Route(
    name="rerouted", match=Match(provider="away", model="gpt-*"), chain=(target(HERE),), allow=EU
)
NAMED = Route(name="named", match=Match(provider="away", header="eu"), chain=(target(HERE),), allow=EU)
FREE = Route(name="free", match=Match(provider="away"), chain=(target(AWAY),))
PROVIDERS = {one.name: one for one in (HERE, NEAR, AWAY, FAR)}


def settings(*routes: Route, **more: Any) -> Settings:
    return Settings(providers=PROVIDERS, routes=routes, **more)


def past(
    known: Settings, prefix: str, route: str = PASSTHROUGH, named: str = ""
) -> tuple[Outcome, list[str]]:
    """A call that goes past the policy, and who was asked."""
    script = Script({name: [s.answer(OpenAI.whole("yes"))] for name in PROVIDERS})

    async def scenario() -> Outcome:
        clock, chance = LoopClock(), random.Random(1)
        service = build_passthrough(
            Env(
                known, Memory(chance), Admission(9, 9999), DIALECTS, lambda _: script, s.verdict,
                Schemas(compile_schema), clock, chance, lambda _: None,
            )
        )  # fmt: skip
        call = Play(script, OpenAI).call(provider=prefix, route=route)
        opaque = with_fields(call.ask, operation=Operation.OTHER, model="")
        return await service(with_fields(call, ask=opaque, named=named), Tape())

    return run(scenario()), [asked.target for asked in script.asked]


@pytest.mark.parametrize(
    ("routes", "route", "named", "allowed"),
    [
        ((REROUTED, FREE), PASSTHROUGH, "", False),  # bypass: the model was not read, it may be that route's
        ((REROUTED, FREE), "rerouted", "", False),  # after a bug: its route is known
        ((REROUTED, FREE), "free", "", True),
        ((REROUTED, FREE), PASSTHROUGH, "rerouted", False),
        ((REROUTED, FREE), PASSTHROUGH, "free", True),
        ((NAMED, FREE), PASSTHROUGH, "", True),  # only who says so is that route's
        ((NAMED, FREE), PASSTHROUGH, "eu", False),
        ((NAMED, FREE), PASSTHROUGH, "named", False),
        ((FREE,), PASSTHROUGH, "", True),
        ((REROUTED,), "away", "", True),  # the provider's own route has no boundary here
    ],
)  # fmt: skip
def test_a_call_past_the_policy_stays_inside_too(
    routes: tuple[Route, ...], route: str, named: str, allowed: bool
):
    outcome, asked = past(settings(*routes), "away", route, named)

    assert allowed == isinstance(outcome, Answered)
    assert (["away"] if allowed else []) == asked
    if isinstance(outcome, Refused):
        assert RefusedBy.NOT_ALLOWED is outcome.by


def test_a_provider_inside_is_asked_past_the_policy():
    assert ["here"] == past(settings(REROUTED), "here")[1]


def test_a_boundary_for_all_routes_holds_for_calls_of_none():
    known = settings(defaults=Route(name="defaults", allow=EU))

    assert [] == past(known, "away")[1]
    assert [] == past(known, "far")[1]
    assert ["near"] == past(known, "near")[1]
    assert Router(known).implicit["away"].allow == EU
