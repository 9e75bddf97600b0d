"""What changes how often a target is asked, beside the faults themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.events import (
    RetryDenied,
    RetryPlanned,
)
from sidecar.model import (
    Answered,
    Failed,
    Options,
    Record,
    Traffic,
)
from sidecar.settings import RetryRules
from tests.kit import script as s
from tests.kit.answers import OpenAI
from tests.kit.script import Play, Script
from tests.kit.vloop import run

DOWN = s.error(OpenAI.OVERLOADED)
UP = s.answer(OpenAI.whole("ok"))


def attempts(play: Play, **more: object) -> int:
    async def main() -> int:
        await play.ask(**more)  # type: ignore[arg-type]
        return len(play.script.asked)

    return run(main())


@pytest.mark.parametrize(("nested", "expected"), [(0, 3), (1, 2), (2, 1), (9, 1)])
def test_each_retry_of_the_sdk_takes_one_of_ours(nested: int, expected: int):
    play = Play(Script({"a": [DOWN]}), implicit=True)

    assert expected == attempts(play, record=Record(nested=nested))


def test_a_request_may_switch_retries_off():
    assert 1 == attempts(Play(Script({"a": [DOWN]}), implicit=True), options=Options(retry=False))


def test_a_request_may_switch_fallback_off():
    play = Play(Script({"a": [DOWN], "b": [UP]}))

    async def main() -> None:
        result = await play.ask(options=Options(fallback=False))
        assert isinstance(result.outcome, Failed)
        assert 0 == play.script.count("b")

    run(main())


def test_background_calls_try_longer():
    play = Play(Script({"a": [s.lost()]}), implicit=True)
    play.route = replace(play.route, breaker=replace(play.route.breaker, run=0))
    play.stack = play.build(play.route)

    assert 6 == attempts(play, traffic=Traffic.BACKGROUND, deadline=300.0)


def test_a_route_of_class_background_says_itself_how_long_it_tries():
    play = Play(Script({"a": [s.lost()]}), implicit=True)
    play.route = replace(play.route, traffic=Traffic.BACKGROUND, retry=RetryRules(attempts=1))
    play.stack = play.build(play.route)

    assert 1 == attempts(play, traffic=Traffic.BACKGROUND, deadline=300.0)


def test_whoever_is_left_in_the_chain_keeps_an_attempt():
    play = Play(Script({"a": [DOWN], "b": [DOWN], "c": [UP]}))

    async def main() -> None:
        result = await play.ask()
        assert isinstance(result.outcome, Answered)
        assert 6 == len(play.script.asked)
        assert 1 == play.script.count("c")

    run(main())


def test_a_provider_may_forbid_a_retry_but_not_grant_one():
    forbidden = s.error(OpenAI.BROKEN, headers=((b"x-should-retry", b"false"),))
    granted = s.error(OpenAI.INVALID, headers=((b"x-should-retry", b"true"),))

    assert 1 == attempts(Play(Script({"a": [forbidden, UP]}), implicit=True))
    assert 1 == attempts(Play(Script({"a": [granted, UP]}), implicit=True))


def test_no_retry_is_planned_past_the_deadline():
    play = Play(Script({"a": [s.error(OpenAI.LIMIT, headers=((b"retry-after", b"40"),))]}))

    async def main() -> None:
        result = await play.ask()
        assert isinstance(result.outcome, Failed)
        assert result.ended <= 1.0
        assert ["deadline"] == [event.cause for event in play.said(RetryDenied)]

    run(main())


def test_a_lonely_silent_target_gets_one_more_try_with_half_as_much_time_again():
    play = Play(Script({"a": [s.hang()]}), implicit=True)

    async def main() -> None:
        result = await play.ask(OpenAI.request(stream=True))
        assert isinstance(result.outcome, Failed)
        first, second = play.script.asked
        assert 15.0 == pytest.approx(second.at - first.at, abs=0.6)
        assert 22.5 == pytest.approx(result.ended - second.at, abs=0.1)

    run(main())


def test_a_spent_budget_ends_retries_and_says_so():
    play = Play(Script({"a": [s.error(OpenAI.BROKEN)]}), implicit=True)
    play.route = replace(play.route, breaker=replace(play.route.breaker, run=0, ratio=2.0))
    play.stack = play.build(play.route)

    async def main() -> None:
        for _ in range(20):
            await play.ask()
        assert len(play.said(RetryPlanned)) <= 10 + 0.2 * 20 + play.clock.now() / 60
        assert "budget" in {event.cause for event in play.said(RetryDenied)}

    run(main())


def test_what_the_application_sees_of_a_short_sdk_timeout_is_an_answer_of_ours():
    play = Play(Script({"a": [s.hang()], "b": [s.answer(OpenAI.whole("ok"), after=1.0)]}))

    async def main() -> None:
        result = await play.ask(deadline=9.0, patience=9.0)
        assert isinstance(result.outcome, Answered)
        assert result.ended <= 6.0

    run(main())
