"""The conservation audit on live calls: what nobody named as lost is found, told, and obeys the route."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from sidecar.gate.denials import Denials
from sidecar.gate.tokens import Ratios
from sidecar.layers.gate import Gate, read
from sidecar.model import Answered, Call, Loss, Outcome, Refused, Sink
from sidecar.settings import Route
from tests.kit import script as s
from tests.kit.answers import OpenAI
from tests.kit.script import Play, Script
from tests.kit.tape import Tape
from tests.kit.vloop import LoopClock, run

BODY = json.dumps(
    {
        "model": "m",
        "messages": [{"role": "user", "content": "keep this"}, {"role": "user", "content": "and this"}],
    }
).encode()


def ask(*, audit: bool, forgets: bool, on_loss: str = "allow") -> tuple[Outcome, list[Call]]:
    """A stand-in of another dialect is asked, by a reader that forgets the last turn if it is told to."""
    asked: list[Call] = []

    async def inner(call: Call, sink: Sink) -> Outcome:
        asked.append(call)
        return Answered(200)

    target = s.target("b", "anthropic", model="theirs")
    gate = Gate(
        inner, target, False, False, on_loss, 6, lambda *_: None, Denials(), Ratios(), LoopClock(), audit
    )

    async def scenario() -> Outcome:
        play = Play(Script({"a": [s.hang()]}), OpenAI, route=Route(name="r", chain=(target,)))
        call = replace(play.call(BODY), target=target)
        known = read(call)
        if forgets:
            assert known.conversation is not None
            fewer = replace(known.conversation, turns=known.conversation.turns[:1])
            call.record.reading = replace(known, conversation=fewer)
        return await gate(call, Tape())

    return run(scenario()), asked


def test_what_was_lost_silently_is_found_and_told():
    _, [call] = ask(audit=True, forgets=True)

    assert (Loss("messages[1].content", "silent"),) == call.losses


@pytest.mark.parametrize(("audit", "forgets"), [(False, True), (True, False)])
def test_without_the_setting_or_a_loss_nothing_is_told(audit: bool, forgets: bool):
    _, [call] = ask(audit=audit, forgets=forgets)

    assert () == call.losses


@pytest.mark.parametrize("on_loss", ["skip_target", "fail"])
def test_a_route_that_takes_no_loss_takes_no_silent_one(on_loss: str):
    outcome, asked = ask(audit=True, forgets=True, on_loss=on_loss)

    assert isinstance(outcome, Refused)
    assert "messages[1].content" in outcome.detail
    assert [] == asked
