"""Faults that are played on purpose look real to all policies, keep their bounds, and are told."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from sidecar.core import drill
from sidecar.events import AttemptEnded, Drilled
from sidecar.model import Answered, Drill, Failed, Fault, Options
from sidecar.settings import Route
from tests.kit import script as s
from tests.kit.answers import DIALECTS, Dialect, OpenAI
from tests.kit.script import Play, Result, Script
from tests.kit.vloop import LoopClock, run

SOON = drill.moment(LoopClock.WALL, 30)


def world(words: Dialect, one: Drill | None) -> Play:
    good = s.stream(words.events(["a ", "b ", "c"]))
    script = Script({"a": [good], "b": [good]})
    family = "openai_chat" if words.dialect == "openai_responses" else words.dialect
    chain = (s.target("a", family), s.target("b", family))
    return Play(script, words, route=replace(Route(name="r", chain=chain), drill=one))


def ask(play: Play) -> Result:
    async def scenario() -> Result:
        async with play.clean():
            return await play.ask(play.words.request("hi", stream=True))

    return run(scenario())


@pytest.mark.parametrize("words", DIALECTS, ids=lambda words: words.dialect)
@pytest.mark.parametrize("fault", drill.FAULTS)
def test_a_played_fault_is_fallen_back_from_like_a_real_one(words: Dialect, fault: str):
    play = world(words, Drill(fault=fault, until=SOON, share=1.0, target="a"))

    result = ask(play)

    if fault == "stream_cut":  # what the client has seen stays seen
        assert isinstance(result.outcome, Failed)
    else:
        assert isinstance(result.outcome, Answered)
        assert 0 == play.script.count("a")
        assert 1 == play.script.count("b")
    assert {fault} == {event.fault for event in play.said(Drilled)}
    first = play.said(AttemptEnded)[0].attempt.outcome
    assert isinstance(first, Failed)
    assert first.fault in ({Fault.TIMEOUT, Fault.TTFT_TIMEOUT} if fault == "timeout" else {Fault(fault)})


def test_after_its_end_it_is_over():
    play = world(OpenAI, Drill(fault="network", until=drill.moment(LoopClock.WALL, -1), share=1.0))

    assert isinstance(ask(play).outcome, Answered)
    assert [] == play.said(Drilled)


def test_the_share_is_kept():
    play = world(OpenAI, Drill(fault="network", until=SOON, share=0.2, target="a"))

    async def scenario() -> None:
        for _ in range(500):
            await play.ask(OpenAI.request("hi", stream=True))

    play.memory.rng = random.Random(3)
    run(scenario())

    first_tries = [one for one in play.said(AttemptEnded) if one.attempt.target == "a"]
    assert 0.15 < len(play.said(Drilled)) / len(first_tries) < 0.25


def test_a_request_may_ask_for_one_for_itself_alone():
    wish = Options(drill=Drill(fault="network", until=SOON, share=1.0, target="a"))
    play = world(OpenAI, Drill(fault="overloaded", until=SOON, share=1.0, target="b"))

    async def scenario() -> None:
        await play.ask(OpenAI.request("hi", stream=True), options=wish)
        await play.ask(OpenAI.request("hi", stream=True))

    run(scenario())

    assert {"network", "overloaded"} == {event.fault for event in play.said(Drilled)}
    assert 1 == play.script.count("a")
