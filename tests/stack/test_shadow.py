"""A route in shadow: policies say what they would do, and the client gets what its provider said.

The same scripted traffic is played straight, live and in shadow, in virtual time.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import fields, replace
from typing import Any

import pytest

from sidecar.events import (
    Degraded,
    Event,
    FellBack,
    Judged,
    RetryPlanned,
    Shadowed,
    TargetSkipped,
)
from sidecar.listener.heartbeat import Heartbeat
from sidecar.listener.joining import mark
from sidecar.model import Call, Chunk, Failed, Fault, Head, Outcome, Sink
from sidecar.models.card import Card
from sidecar.settings import (
    Baseline,
    BreakerRules,
    BudgetRules,
    CacheRules,
    Commit,
    Deferral,
    Hedge,
    Idempotency,
    Limits,
    RetryRules,
    Route,
    RouteCost,
    Signals,
    StaticAnswer,
)
from tests.kit import script as s
from tests.kit.answers import DIALECTS, Dialect, OpenAI
from tests.kit.script import Play, Result, Script
from tests.kit.tape import Tape
from tests.kit.vloop import run

SAID = ["a ", "b ", "c"]
EVERY = 43  # seconds between two calls of the day


def cases(words: Dialect) -> dict[str, s.Behaviour]:
    events = words.events(SAID)
    return {
        "good": s.stream(events),
        "overloaded": s.error((503, words.error())),
        "empty": s.stream(words.events([])),
        "cut": s.stream(events[:3], end="cut"),
        "polite cut": s.stream(events[:3]),
        "malformed": s.stream([*events[:3], words.malformed, *events[3:]]),
        "error event": s.stream([words.error_event()]),
        "late error event": s.stream([*events[:3], words.error_event()]),
        "slow": s.stream(events, first=40.0),
        "page": s.stream([b"<html>busy</html>"], headers=((b"content-type", b"text/html"),)),
    }


def family(words: Dialect) -> str:
    return "openai_chat" if words.dialect == "openai_responses" else words.dialect


def route(words: Dialect, **more: Any) -> Route:
    chain = (s.target("a", family(words)), s.target("b", family(words)))
    return replace(Route(name="r", chain=chain, static=StaticAnswer(text="later")), **more)


async def straight(behave: s.Behaviour, call: Call) -> tuple[bytes, Outcome]:
    """What the provider said, with nobody between."""
    got = bytearray()

    class Bare:
        stage = 0

        async def start(self, head: Head) -> None:
            return

        async def send(self, chunk: Chunk) -> None:
            got.extend(chunk.raw)

    sink: Any = Bare()
    outcome = await behave(call, sink)
    if isinstance(outcome, Failed):
        got.extend(outcome.body)
    return bytes(got), outcome


def told(result: Result) -> bytes:
    return result.tape.body + (result.outcome.body if isinstance(result.outcome, Failed) else b"")


@pytest.mark.parametrize("words", DIALECTS, ids=lambda words: words.dialect)
@pytest.mark.parametrize("case", cases(OpenAI))
def test_no_byte_of_an_answer_is_changed(words: Dialect, case: str):
    behave = cases(words)[case]
    play = Play(
        Script({"a": [behave], "b": [s.stream(words.events(["no"]))]}), words, route=route(words, shadow=True)
    )

    async def scenario() -> tuple[Result, bytes]:
        body = words.request("hi", stream=True)
        async with play.clean():
            result = await play.ask(body, shadow=True)
        plain, _ = await straight(behave, play.call(body, shadow=True))
        return result, plain

    result, plain = run(scenario())

    assert plain == told(result)
    assert 1 == play.script.count("a")
    assert 0 == play.script.count("b")


@pytest.mark.parametrize(
    ("case", "what"),
    [
        ("good", []),
        ("overloaded", ["retry"]),
        ("empty", ["reject"]),
        ("polite cut", []),
        ("slow", ["timeout"]),
    ],
)
def test_what_would_have_been_done_first_is_told(case: str, what: list[str]):
    play = Play(Script({"a": [cases(OpenAI)[case]], "b": [s.hang()]}), route=route(OpenAI, shadow=True))

    async def scenario() -> None:
        await play.ask(OpenAI.request("hi", stream=True), shadow=True)

    run(scenario())

    assert what == [event.what for event in play.said(Shadowed)][:1]


def test_an_open_breaker_would_have_refused_and_the_target_is_asked_all_the_same():
    play = Play(Script({"a": [s.lost()], "b": [s.hang()]}), route=route(OpenAI, shadow=True))

    async def scenario() -> None:
        for _ in range(12):
            await play.ask(OpenAI.request("hi"), shadow=True)
            await asyncio.sleep(1)

    run(scenario())

    assert "breaker" in {event.what for event in play.said(Shadowed)}
    assert 12 == play.script.count("a")


# ---- every setting ------------------------------------------------------------------------------

# what a route can be set to, and why it changes nothing in shadow
SAYS: dict[str, Any] = {  # runs, and says what it would do
    "retry": RetryRules(attempts=5),
    "budget": BudgetRules(size=1.0),
    "breaker": BreakerRules(run=1, run_calls=1),
    "quality_breaker": BreakerRules(min_samples=1, min_bodies=1),
    "signals": Signals(truncated="reject", too_short="reject", refusal="reject"),
    "strict": True,
    "limits": Limits(first_content=0.01, gap=0.01, answer=0.01, headers=0.01),
    "chains": {Fault.OVERLOADED: (s.target("b", "openai_chat"),)},
    "static": StaticAnswer(text="later"),
    "deadline": 0.05,
    "baseline": Baseline(first_content=0.01),
    "commit": Commit(mode="complete"),
    "once": True,
    "strict_capabilities": True,
    "on_loss": "fail",
}
OFF: dict[str, Any] = {  # is taken off the route, or does nothing for a call in shadow
    "order": "cost",
    "hedge": Hedge(after="p90", share=1.0),
    "cache": CacheRules(scope="shared", fresh=60.0),
    "continuation": True,
    "cost": RouteCost(cap=0.0, over_budget="refuse", stream_usage="always"),
    "upstream_stream": True,
    "deferred": Deferral(),
    "idempotency": Idempotency(keys="derived"),
    "heartbeat": 0.01,
}
NAMES = {"name", "match", "traffic", "chain", "implicit", "shadow", "repeat_posts"}  # decide nothing here
HOLDS = {"allow", "drill"}  # a boundary is a boundary, and a drill is played on purpose


def test_every_setting_of_a_route_has_been_thought_of():
    """A new one has to be set below, where it must change nothing, before a route may have it."""
    assert {one.name for one in fields(Route)} == set(SAYS) | set(OFF) | NAMES | HOLDS
    for name, value in (SAYS | OFF).items():
        assert value != getattr(Route(name="r"), name), name


@pytest.mark.parametrize("case", cases(OpenAI))
@pytest.mark.parametrize("setting", [*SAYS, *OFF, "all of them"])
def test_no_setting_changes_a_byte_of_a_request_or_of_an_answer(setting: str, case: str):
    every = SAYS | OFF
    changes = every if setting == "all of them" else {setting: every[setting]}
    behave = cases(OpenAI)[case]
    play = Play(
        Script({"a": [behave], "b": [s.stream(OpenAI.events(["no"]))]}),
        route=route(OpenAI, shadow=True, **changes),
        cards=lambda provider, model: Card(provider=provider.name, name=model),
    )
    body = OpenAI.request("hi", stream=True)

    async def scenario() -> None:
        async with play.clean():
            for _ in range(2):
                result = await play.ask(body, shadow=True, once=play.route.once)
                plain, _ = await straight(behave, play.call(body, shadow=True))
                assert plain == told(result)

    run(scenario())

    assert [("a", body)] * 2 == [(one.target, one.body) for one in play.script.asked]


def test_calls_in_shadow_are_not_joined_and_hear_no_heartbeat():
    play = Play(Script({"a": [s.hang()]}), route=route(OpenAI, shadow=True))

    async def scenario() -> None:
        body = OpenAI.request("hi", stream=True)
        for shadow in (False, True):
            call = play.call(body, shadow=shadow)
            assert shadow is (mark(call, b"key", Idempotency(keys="derived")) is None)
            assert shadow is (Heartbeat(call, Tape(), 1.0)._every == 0.0)  # type: ignore[arg-type]

    run(scenario())


# ---- a day of both -------------------------------------------------------------------------------


def behaviour(number: int, attempt: int) -> s.Behaviour:
    """Of a provider with two bad hours a day: the same for each attempt of each call, whoever plays."""
    bad = (number * EVERY // 3600) % 12 == 11
    draw = random.Random(f"{number} {attempt}").random()
    if draw < (0.7 if bad else 0.01):
        return s.error((503, OpenAI.error()))
    if draw < (0.8 if bad else 0.015):
        return s.lost()
    if draw < (0.82 if bad else 0.02):
        return s.answer(OpenAI.whole(""))
    return s.answer(OpenAI.whole("all is well"), after=0.5)


def decision(events: list[Event]) -> str:
    """The first thing that policy did with a call, or would have done."""
    for event in events:
        match event:
            case Shadowed(what=what):
                return what
            case RetryPlanned():
                return "retry"
            case TargetSkipped(refused=refused):
                return refused.by.value
            case Judged(done="rejected"):
                return "reject"
            case FellBack():
                return "fallback"
            case Degraded():
                return "degrade"
            case _:
                continue
    return "none"


def day(*, shadow: bool, calls: int = 2000) -> tuple[list[str], list[bytes], int]:
    """First decisions and answers of a scripted day."""
    asked = 0

    async def either(call: Call, sink: Sink) -> Outcome:
        nonlocal asked
        asked += 1
        return await behaviour(len(decisions), len(call.record.attempts))(call, sink)

    good = s.answer(OpenAI.whole("from b"))
    play = Play(Script({"a": [either], "b": [good]}), route=route(OpenAI, shadow=shadow))
    decisions: list[str] = []
    answers = []

    async def scenario() -> None:
        for number in range(calls):
            await asyncio.sleep(max(0.0, number * EVERY - asyncio.get_running_loop().time()))
            del play.told[:]
            result = await play.ask(OpenAI.request("hi"), shadow=shadow)
            decisions.append(decision(play.told))
            answers.append(told(result))

    run(scenario())
    return decisions, answers, asked


def test_a_day_in_shadow_decides_as_the_live_one_and_changes_nothing():
    live, _, _ = day(shadow=False)
    shadow, answers, asked = day(shadow=True)

    same = sum(a == b for a, b in zip(live, shadow, strict=True)) / len(live)
    assert len(shadow) == asked  # each call once, whatever was decided
    assert {b"from b" in answer for answer in answers} == {False}
    assert {"none", "retry", "breaker"} <= set(shadow)
    assert same >= 0.95, same
