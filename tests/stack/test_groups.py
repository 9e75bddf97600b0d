"""Groups and orders in the whole stack: shares, failover inside before outside, what is told of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sidecar import config
from sidecar.events import FellBack
from sidecar.model import Answered, Fault, Options, Provider
from sidecar.models.card import Card, Price, Rates
from sidecar.overrides import parse
from sidecar.settings import Route
from tests.kit import script as s
from tests.kit.answers import OpenAI
from tests.kit.script import Play, Script, target
from tests.kit.vloop import run
from tests.stack.test_faults import good


def grouped(**weights: float) -> tuple[Any, ...]:
    """A group with these weights, then c."""
    members = [replace(target(name, "openai_chat"), group=0, weight=w) for name, w in weights.items()]
    return (*members, target("c", "openai_chat"))


def playing(script: Script, **changes: Any) -> Play:
    return Play(script, OpenAI, **changes)


def asked(script: Script) -> list[str]:
    return [one.target for one in script.asked]


def test_a_canary_gets_its_share_of_the_calls():
    script = Script({name: [good(OpenAI, False)] for name in "abc"})

    async def scenario() -> None:
        play = playing(script, chain=grouped(a=95, b=5))
        for _ in range(1000):
            result = await play.ask()
            assert isinstance(result.outcome, Answered)
            assert result.record.drawn == result.record.attempts[0].target
        assert 0 == script.count("c")
        assert 30 <= script.count("b") <= 70
        assert [] == play.said(FellBack)

    run(scenario())


def test_a_member_that_fails_is_helped_out_by_the_others_before_the_chain_goes_on():
    script = Script({"a": [s.lost()], "b": [good(OpenAI, False)], "c": [good(OpenAI, False)]})

    async def scenario() -> None:
        play = playing(script, chain=grouped(a=1, b=0))
        async with play.clean():
            result = await play.ask()
        assert isinstance(result.outcome, Answered)
        assert "b" == asked(script)[-1]
        assert 0 == script.count("c")
        assert "a" == result.record.drawn
        (moved,) = play.said(FellBack)
        assert ("a", "b", "network") == (moved.left.name, moved.to.name, moved.reason)

    run(scenario())


def test_a_group_that_fails_whole_is_left_for_the_next_step():
    script = Script({"a": [s.lost()], "b": [s.lost()], "c": [good(OpenAI, False)]})

    async def scenario() -> None:
        play = playing(script, chain=grouped(a=1, b=1))
        assert isinstance((await play.ask()).outcome, Answered)
        assert "c" == asked(script)[-1]
        assert {"a", "b"} == set(asked(script)[:-1])

    run(scenario())


def test_a_mistake_of_the_application_is_not_asked_of_the_siblings():
    script = Script(
        {"a": [s.error(OpenAI.INVALID)], "b": [s.error(OpenAI.INVALID)], "c": [good(OpenAI, False)]}
    )

    async def scenario() -> None:
        play = playing(script, chain=grouped(a=1, b=1))
        await play.ask()
        assert 1 == len(script.asked)

    run(scenario())


def test_a_request_that_wants_no_fallback_asks_the_drawn_member_alone():
    script = Script({"a": [s.lost()], "b": [s.lost()], "c": [good(OpenAI, False)]})

    async def scenario() -> None:
        play = playing(script, chain=grouped(a=1, b=1))
        for _ in range(20):
            before = len(script.asked)
            await play.ask(options=Options(fallback=False, retry=False))
            assert 1 >= len(script.asked) - before

        assert {"a", "b"} == set(asked(script))

    run(scenario())


def test_a_chain_of_a_fault_may_have_groups_too():
    by_fault = {Fault.CONTEXT_WINDOW: grouped(b=0, a=1)}
    script = Script(
        {"x": [s.error(OpenAI.CONTEXT)], "a": [s.lost()], "b": [good(OpenAI, False)], "c": [s.lost()]}
    )

    async def scenario() -> None:
        play = playing(script, chain=(target("x", "openai_chat"),), chains=by_fault)
        assert isinstance((await play.ask()).outcome, Answered)
        assert ["x", "a", "b"] == list(dict.fromkeys(asked(script)))

    run(scenario())


def test_the_cheapest_target_is_asked_first_where_the_route_says_so():
    prices = {"a": 300, "b": 200, "c": 100}

    def card(provider: Provider, model: str) -> Card:
        return Card(provider="p", name="m", price=Price(Rates(prices[provider.name], 1)))

    script = Script({"a": [good(OpenAI, False)], "b": [good(OpenAI, False)], "c": [s.lost()]})

    async def scenario() -> None:
        play = playing(script, order="cost", cards=card)
        assert isinstance((await play.ask()).outcome, Answered)
        assert ["c", "b"] == list(dict.fromkeys(asked(script)))

    run(scenario())


# ---- an operator's order

FILE = """
routes:
  - name: chat
    match: {provider: openai}
    order: cost
    chain:
      - group: [{provider: openai, model: old, weight: 95}, {provider: openai, model: new, weight: 5}]
      - mistral
"""


def shaped(text: str) -> Route:
    return parse(text).shape(config.parse(FILE).routes[0])


def test_an_order_of_the_operator_is_kept_as_written():
    route = shaped("chains: {chat: [mistral, openai]}")

    assert ["mistral", "openai/old", "openai/new"] == [one.name for one in route.chain]
    assert {None} == {one.group for one in route.chain}
    assert "listed" == route.order


def test_a_canary_that_is_disabled_leaves_all_calls_to_its_sibling():
    route = shaped('disable: ["openai/new"]')

    assert [("openai/old", 0), ("mistral", None)] == [(one.name, one.group) for one in route.chain]


def test_nothing_is_drawn_or_sorted_without_a_group_or_an_order():
    script = Script({"a": [good(OpenAI, False)], "b": [good(OpenAI, False)]})

    async def scenario() -> None:
        play = playing(script)
        result = await play.ask()
        assert "" == result.record.drawn

    run(scenario())
