"""A route that may act only once: after the request went out nobody is asked again, whatever happens."""

from __future__ import annotations

import pytest

from sidecar.model import Answered, Call, Failed, Fault, Outcome, Sink
from sidecar.settings import Route
from tests.kit import script as s
from tests.kit.answers import Anthropic, OpenAI
from tests.kit.script import Play, Result, Script
from tests.kit.vloop import run

GOOD = s.answer(OpenAI.whole("fine"))
FAILURES = {
    "overloaded": s.error((503, OpenAI.error())),
    "rate limit": s.error((429, OpenAI.error("slow down", "rate_limit_error"))),
    "cut": s.stream(OpenAI.events(["so"])[:1], end="cut"),
    "network": s.lost(),
    "empty": s.answer(OpenAI.whole("")),
}


def sent(behave: s.Behaviour) -> s.Behaviour:
    """As the wire does it: the request goes out, and then what happens happens."""

    async def behaviour(call: Call, sink: Sink) -> Outcome:
        call.record.attempts[-1].sent = True
        return await behave(call, sink)

    return behaviour


def ask(first: s.Behaviour, *, once: bool, continuation: bool = False) -> tuple[Play, Result]:
    script = Script({"a": [first, GOOD], "b": [GOOD]})
    chain = (s.target("a", "openai_chat"), s.target("b", "openai_chat"))
    play = Play(script, route=Route(name="r", chain=chain, continuation=continuation))

    async def scenario() -> Result:
        return await play.ask(once=once)

    return play, run(scenario())


@pytest.mark.parametrize("failure", FAILURES)
def test_a_request_that_went_out_is_not_sent_again(failure: str):
    play, _ = ask(sent(FAILURES[failure]), once=True)

    assert (1, 0) == (play.script.count("a"), play.script.count("b"))


@pytest.mark.parametrize("failure", FAILURES)
def test_elsewhere_it_is(failure: str):
    play, result = ask(sent(FAILURES[failure]), once=False)

    assert isinstance(result.outcome, Answered)
    assert 2 <= play.script.count("a") + play.script.count("b")


def test_what_failed_before_it_went_out_is_asked_elsewhere():
    play, result = ask(s.lost(), once=True)

    assert isinstance(result.outcome, Answered)
    assert 2 == play.script.count("a") + play.script.count("b")


def test_an_answer_that_breaks_off_is_not_gone_on_with():
    words = OpenAI.events(["so ", "far"])[:3]
    script = Script({"a": [sent(s.stream(words, end="cut"))], "b": [s.stream(Anthropic.events(["x"]))]})
    chain = (s.target("a", "openai_chat"), s.target("b", "anthropic", model="able"))
    play = Play(script, route=Route(name="r", chain=chain, continuation=True))

    async def scenario() -> Result:
        return await play.ask(OpenAI.request("hi", stream=True), once=True)

    result = run(scenario())

    assert isinstance(result.outcome, Failed)
    assert Fault.STREAM_CUT is result.outcome.fault
    assert 0 == play.script.count("b")
