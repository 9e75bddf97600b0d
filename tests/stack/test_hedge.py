"""Two targets race: who wins, what the loser leaves behind, what it costs, and what it is worth."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.baseline import kind_of
from sidecar.core.bill import settle
from sidecar.core.hedging import ENOUGH, Hedging
from sidecar.events import AttemptEnded, Bug, CallEnded, FellBack, Hedged
from sidecar.gate.tokens import tokens
from sidecar.layers.hedge import Hedge as Racing
from sidecar.model import (
    Answered,
    Ask,
    Attempt,
    BreakerState,
    Call,
    Chunk,
    Failed,
    Fault,
    Head,
    Kind,
    Operation,
    Options,
    Outcome,
    Purpose,
    Sink,
    Tier,
    latest,
)
from sidecar.models.card import Ability, Card, Price, Rates
from sidecar.settings import CacheRules, Hedge, Limits, RetryRules, RouteCost, Settings
from sidecar.stack import build_later
from sidecar.telemetry import span_rows, words
from sidecar.telemetry.spans import Spans
from sidecar.telemetry.words import Path
from tests.kit import script as s
from tests.kit.answers import SSE, Anthropic, OpenAI
from tests.kit.script import Play, Result, Script
from tests.kit.vloop import run
from tests.stack.test_faults import complete, good, whole

USUAL = 0.4  # seconds to the first content
P95 = Hedge(after="p95")
PREFILL = frozenset({Ability.PREFILL})


def slow(seconds: float) -> s.Behaviour:
    return s.stream(OpenAI.events(["all ", "is ", "well"]), first=seconds)


def racing(script: Script, **changes: Any) -> Play:
    return Play(script, OpenAI, **({"hedge": replace(P95, share=1.0)} | changes))


async def learned(play: Play) -> None:
    """What is usual of the first target: about `USUAL`, so that a hedge is due soon after."""
    plan, play.script.plans["a"] = play.script.plans["a"], [slow(USUAL)]
    for _ in range(ENOUGH):
        assert isinstance((await ask(play)).outcome, Answered)
    play.script.plans["a"] = plan
    play.script.asked.clear()
    play.told.clear()


async def ask(play: Play, **more: Any) -> Result:
    return await play.ask(OpenAI.request(stream=True), **more)


def scenario(play: Play, what: Callable[[], Awaitable[None]]) -> None:
    """In virtual time; `run` fails if a task is left."""

    async def main() -> None:
        async with play.clean():
            await learned(play)
            await what()

    run(main())


def results(play: Play) -> list[str]:
    return [one.result for one in play.said(Hedged)]


def asked(play: Play) -> list[tuple[str, str]]:
    return [(one.target, one.kind) for one in play.script.asked]


def test_a_target_that_is_slow_is_raced_and_the_first_content_wins():
    play = racing(Script({"a": [slow(9.0)], "b": [slow(0.3)]}))

    async def what() -> None:
        result = await ask(play)

        assert complete(result, OpenAI, True)
        assert USUAL + 0.2 < result.tape.pieces[0][0] - result.began < USUAL + 0.5
        assert [("a", "initial"), ("b", "hedge")] == asked(play)
        first, second = result.record.attempts
        assert (True, None) == (first.lost_race, first.outcome)
        assert isinstance(second.outcome, Answered)
        assert second is latest(result.record.attempts)
        assert ["won"] == results(play)
        assert [] == play.said(FellBack)
        assert Path.HEDGE is words.path(result.record.attempts, result.outcome)
        assert second is words.served(result.record.attempts, result.outcome)
        assert "" == words.fault_of(first)
        settle(result.record.attempts, result.outcome, committed=True)
        assert [Purpose.HEDGE, Purpose.SERVED] == [one.purpose for one in result.record.attempts]

    scenario(play, what)


def test_a_target_that_answers_after_all_wins_and_the_other_one_is_let_go():
    play = racing(Script({"a": [slow(0.7)], "b": [slow(5.0)]}))

    async def what() -> None:
        result = await ask(play)

        assert complete(result, OpenAI, True)
        first, second = result.record.attempts
        assert isinstance(first.outcome, Answered)
        assert (True, None, Kind.HEDGE) == (second.lost_race, second.outcome, second.kind)
        assert second.ended == first.first_content
        assert first is latest(result.record.attempts)
        assert ["lost"] == results(play)

    scenario(play, what)


def test_a_target_in_time_is_never_raced():
    play = racing(Script({"a": [slow(USUAL / 2)], "b": [slow(0.1)]}))

    async def what() -> None:
        assert complete(await ask(play), OpenAI, True)
        assert [("a", "initial")] == asked(play)

    scenario(play, what)


OFF = pytest.mark.parametrize("off", [-1e-9, 0.0, 1e-9])


@OFF
def test_both_contents_at_the_same_moment_are_one_answer(off: float):
    """Whichever order the loop takes them in."""
    play = racing(Script({"a": [slow(9.0)], "b": [slow(0.3)]}))

    async def what() -> None:
        result = await ask(play)
        first, second = result.record.attempts
        play.script.plans["a"] = [slow(second.started - first.started + 0.3 + off)]

        result = await ask(play)

        assert result.tape.body == whole(OpenAI, True)
        assert 1 == sum(isinstance(one.outcome, Answered) for one in result.record.attempts)
        assert 1 == sum(one.lost_race for one in result.record.attempts)

    scenario(play, what)


@OFF
@pytest.mark.parametrize("how", ["lost", "error", "limit"])
def test_a_failure_at_the_very_moment_of_the_other_ones_content_is_one_answer(how: str, off: float):
    """Of the wire, of the provider, or a limit that ends both its silence and its frame's task."""
    play = racing(Script({"a": [slow(9.0)], "b": [slow(0.3)]}))

    async def what() -> None:
        result = await ask(play)
        first, second = result.record.attempts
        after = second.started - first.started + 0.3 + off
        limits = Limits(first_content=after) if how == "limit" else Limits()
        failure = {"lost": s.lost(after=after), "error": s.error(OpenAI.BROKEN, after=after)}
        play.script.plans["a"] = [failure.get(how, slow(9.0))]
        play.stack = play.build(replace(play.route, limits=limits))

        result = await ask(play)

        assert complete(result, OpenAI, True)
        assert ["initial", "hedge"] == [one.kind for one in result.record.attempts]
        task = asyncio.current_task()
        assert task is not None
        assert 0 == task.cancelling()

    scenario(play, what)


@pytest.mark.parametrize("loser", ["a", "b"])
def test_a_bug_in_the_losers_unwinding_takes_nothing_from_the_winner(loser: str):
    async def sore(call: Call, sink: Sink) -> Outcome:
        try:
            await asyncio.sleep(9.0)
        finally:
            raise KeyError("scripted")

    plans = {"a": [slow(0.8)], "b": [s.stream(OpenAI.events(["all ", "is ", "well"]), first=0.3, gap=0.5)]}
    play = racing(Script({**plans, loser: [sore]}))

    async def what() -> None:
        assert complete(await ask(play), OpenAI, True)
        assert ["KeyError"] == [bug.error for bug in play.said(Bug)]

    scenario(play, what)


def test_a_bug_in_the_second_leaves_the_call_to_the_first():
    async def broken(call: Call, sink: Sink) -> Outcome:
        raise KeyError("scripted")

    play = racing(Script({"a": [slow(0.8)], "b": [broken]}))

    async def what() -> None:
        assert complete(await ask(play), OpenAI, True)
        assert ["failed"] == results(play)
        assert ["KeyError"] == [bug.error for bug in play.said(Bug)]

    scenario(play, what)


def test_what_was_beaten_is_learned_with_the_time_until_then_and_not_with_the_winners_whole_answer():
    long = s.stream(OpenAI.events(["a"] * 20), first=0.1, gap=2.0)
    play = racing(Script({"a": [slow(99.0)], "b": [long]}))

    async def what() -> None:
        result = await ask(play)
        beaten = result.record.attempts[0]
        assert beaten.ended is not None
        assert result.ended - result.began > 30.0
        [times] = play.memory.hedgings["r"]._times.values()
        assert times.quantile(1.0) == pytest.approx(beaten.ended - beaten.started, rel=0.1)

    scenario(play, what)


def test_a_loser_that_was_a_probe_gives_its_place_back_and_proves_nothing():
    play = racing(Script({"a": [slow(0.8)], "b": [slow(5.0)]}))

    async def what() -> None:
        [breaker] = [one for name, one in play.memory.breakers.items() if name[0] == "a"]
        other = play.memory.breaker("b", "m", "b", play.route.breaker)
        other._open("run", play.clock.now())
        await asyncio.sleep(400.0)

        result = await ask(play)

        assert [("a", "initial"), ("b", "hedge")] == asked(play)
        assert "half_open" == result.record.attempts[1].breaker
        assert BreakerState.HALF_OPEN is other.state
        assert other.allow(play.clock.now()).probe  # type: ignore[union-attr]
        other._probing = None
        assert BreakerState.CLOSED is breaker.state

    scenario(play, what)


def test_a_provider_that_asks_for_time_is_not_raced_with_itself():
    """Between two tries the next target is the same provider, with the same key: it has just said no."""
    limited = s.error(OpenAI.LIMIT, headers=((b"Retry-After", b"3"),))
    play = racing(Script({"a": [limited, slow(0.1)], "b": [slow(0.1)]}))
    first, second = play.route.chain
    play.route = replace(play.route, chain=(first, replace(first, name=second.name)))
    play.stack = play.build(play.route)

    async def what() -> None:
        assert complete(await ask(play), OpenAI, True)
        assert [("a", "initial"), ("a", "retry")] == asked(play)
        assert ["failed"] == results(play)

    scenario(play, what)


def test_the_loser_is_shown_on_its_span_and_is_no_error():
    play = racing(Script({"a": [slow(9.0)], "b": [slow(0.3)]}))

    async def what() -> None:
        result = await ask(play, id="ab" * 16)
        call = play.call(id="ab" * 16, record=result.record)
        over = CallEnded(call, result.outcome, result.ended, 200, committed=True)
        spans = Spans(Settings())
        whole, loser, winner = spans.of(over, spans.ended(over), 0.0)

        assert (True, False) == (loser.attributes[span_rows.LOST], loser.error)
        assert span_rows.ERROR_TYPE not in loser.attributes
        assert "hedge" == winner.attributes[span_rows.KIND] == whole.attributes[span_rows.PATH]
        assert "b" == whole.attributes[span_rows.SERVED_PROVIDER]

    scenario(play, what)


def test_the_winners_answer_is_the_one_that_is_kept_for_later():
    play = racing(
        Script({"a": [slow(9.0)], "b": [s.stream(OpenAI.events(["from b"]), first=0.1)]}),
        cache=CacheRules(scope="shared", stale=600.0),
    )

    async def what() -> None:
        body = OpenAI.request("the same", stream=True)
        first = await play.ask(body)
        play.script.plans = {"a": [s.lost()], "b": [s.lost()]}
        again = await play.ask(body)

        assert isinstance(again.outcome, Answered)
        assert Tier.CACHED is again.outcome.tier
        assert b"from b" in first.tape.body
        assert b"from b" in again.tape.body

    scenario(play, what)


def test_a_winner_that_breaks_off_is_continued_from_what_it_said_itself():
    """The loser had said something too, which nobody has seen."""
    plans = {
        "a": [s.stream(OpenAI.events(["from a"]), first=9.0)],
        "b": [s.stream(OpenAI.events(["from b "])[:2], first=0.1, end="cut")],
        "c": [s.stream(Anthropic.events(["from c"]))],
    }
    play = racing(
        Script(plans),
        continuation=True,
        cards=lambda provider, model: Card(provider=provider.name, name=model, yes=PREFILL),
    )
    chain = (*play.route.chain[:2], s.target("c", "anthropic", model="able"))
    play.stack = play.build(replace(play.route, chain=chain))

    async def what() -> None:
        result = await ask(play)

        assert isinstance(result.outcome, Answered)
        assert [Kind.INITIAL, Kind.HEDGE, Kind.CONTINUATION] == [one.kind for one in result.record.attempts]
        assert b'"from b"' in play.script.asked[-1].body
        assert b"from a" not in play.script.asked[-1].body
        settle(result.record.attempts, result.outcome, committed=True)
        purposes = [one.purpose for one in result.record.attempts]
        assert [Purpose.HEDGE, Purpose.SERVED, Purpose.SERVED] == purposes

    scenario(play, what)


@pytest.mark.parametrize(("method", "raced"), [("GET", True), ("POST", False), ("DELETE", False)])
def test_a_tool_that_does_something_is_never_raced_whatever_key_it_came_with(method: str, raced: bool):
    play = racing(Script({"a": [slow(5.0)], "b": [slow(0.1)]}))
    tool = Ask(operation=Operation.TOOL, model="m", stream=True)
    slow_one, beside = play.route.chain
    hedging = Hedging()

    async def what() -> None:
        call = play.call(method=method, ask=tool)
        for _ in range(ENOUGH):
            hedging.learn("a", kind_of(call, "m"), USUAL)
        found = Racing(P95, hedging, None, play.told.append).after(call, slow_one, beside)
        assert raced is (found is not None)

    scenario(play, what)


def test_a_call_that_nobody_waits_for_is_never_raced():
    play = racing(Script({"a": [slow(5.0)], "b": [slow(0.1)]}))

    async def what() -> None:
        play.stack = build_later(play.route, play.stack_env())
        assert complete(await ask(play, deadline=300.0), OpenAI, True)
        assert [("a", "initial")] == asked(play)

    scenario(play, what)


@pytest.mark.parametrize(("cap", "raced"), [(0.0019, False), (0.0021, True)])
def test_a_cap_counts_what_the_one_that_still_runs_can_cost(cap: float, raced: bool):
    """A thousandth of a dollar each, at the most: one of them may be asked, and both only below the cap."""
    price = Price(Rates(0, 1_000_000))  # pico-dollars a token
    play = racing(
        Script({"a": [slow(9.0)], "b": [slow(0.1)]}),
        cost=RouteCost(cap=cap),
        cards=lambda provider, model: Card(provider=provider.name, name=model, price=price, output=1000),
    )

    async def what() -> None:
        assert complete(await ask(play), OpenAI, True)
        assert raced is (("b", "hedge") in asked(play))

    scenario(play, what)


def test_the_loser_is_no_sample_of_its_breaker_even_after_a_long_silence():
    play = racing(Script({"a": [slow(99.0)], "b": [slow(25.0)]}), limits=Limits(first_content=60.0))

    async def what() -> None:
        samples = {name: breaker.counts() for name, breaker in play.memory.breakers.items()}
        result = await ask(play, deadline=100.0)

        assert isinstance(result.outcome, Answered)
        loser = result.record.attempts[0]
        assert (loser.ended or 0.0) - loser.started > 20.0  # long enough to be evidence, were it no race
        for name, breaker in play.memory.breakers.items():
            if name[0] == "a":
                assert samples[name] == breaker.counts()

    scenario(play, what)


def test_a_target_that_falls_silent_spends_the_usual_share_and_then_its_breaker_opens():
    play = racing(Script({"a": [s.hang()], "b": [slow(USUAL)]}), hedge=P95)

    async def what() -> None:
        await learned(play)
        for _ in range(15):
            assert isinstance((await ask(play)).outcome, Answered)
        [breaker] = [one for name, one in play.memory.breakers.items() if name[0] == "a"]
        assert BreakerState.OPEN is breaker.state

    scenario(play, what)


def test_a_failure_of_the_first_leaves_the_call_to_the_second_that_runs_already():
    play = racing(Script({"a": [s.lost(Fault.TLS, after=0.7)], "b": [slow(2.0)]}))

    async def what() -> None:
        result = await ask(play)

        assert complete(result, OpenAI, True)
        assert [("a", "initial"), ("b", "hedge")] == asked(play)
        assert ["won"] == results(play)
        (moved,) = play.said(FellBack)
        assert ("a", "b") == (moved.left.name, moved.to.name)

    scenario(play, what)


def test_a_mistake_of_the_application_ends_the_race():
    play = racing(Script({"a": [s.error(OpenAI.INVALID, after=0.7)], "b": [slow(2.0)]}))

    async def what() -> None:
        result = await ask(play)

        assert isinstance(result.outcome, Failed)
        assert Fault.INVALID_REQUEST is result.outcome.fault
        assert result.ended - result.began < 1.0
        assert [False, True] == [one.lost_race for one in result.record.attempts]

    scenario(play, what)


def test_a_second_that_fails_takes_nothing_from_the_first():
    play = racing(Script({"a": [slow(0.8)], "b": [s.error(OpenAI.BROKEN, after=0.05)]}))

    async def what() -> None:
        result = await ask(play)

        assert complete(result, OpenAI, True)
        assert [("a", "initial"), ("b", "hedge")] == asked(play)  # one try
        assert ["failed"] == results(play)
        assert "a" == (latest(result.record.attempts) or result.record.attempts[1]).target
        settle(result.record.attempts, result.outcome, committed=True)
        assert [Purpose.SERVED, Purpose.HEDGE] == [one.purpose for one in result.record.attempts]

    scenario(play, what)


def test_when_both_fail_the_chain_goes_on_behind_them():
    script = Script(
        {"a": [s.lost(Fault.TLS, after=0.7)], "b": [s.lost(after=0.4)], "c": [good(OpenAI, True)]}
    )
    play = racing(script)

    async def what() -> None:
        assert complete(await ask(play), OpenAI, True)
        assert ["a", "b", "c"] == [name for name, _ in asked(play)]

    scenario(play, what)


def test_a_second_whose_breaker_is_open_is_not_asked_and_costs_no_budget():
    play = racing(Script({"a": [slow(0.8)], "b": [slow(0.1)]}))

    async def what() -> None:
        play.memory.breaker("b", "m", "b", play.route.breaker).force(BreakerState.OPEN, 0.0)
        hedging = play.memory.hedgings["r"]
        before = hedging.saved

        assert complete(await ask(play), OpenAI, True)

        assert ["failed"] == results(play)
        assert [("a", "initial")] == asked(play)
        assert before <= hedging.saved

    scenario(play, what)


def test_whole_answers_are_raced_too_and_a_schema_is_held_until_it_is_whole():
    play = racing(Script({"a": [good(OpenAI, False)], "b": [good(OpenAI, False)]}))

    async def what() -> None:
        for _ in range(ENOUGH):
            await play.ask()
        play.script.plans["a"] = [s.answer(OpenAI.whole("late"), after=20.0)]
        result = await play.ask()

        assert complete(result, OpenAI, False)
        assert result.ended - result.began < 1.0

    scenario(play, what)


@pytest.mark.parametrize(
    ("more", "changes"),
    [
        ({"once": True}, {}),
        ({"options": Options(fallback=False)}, {}),
        ({}, {"hedge": Hedge()}),
        ({}, {"hedge": Hedge(after="p95", share=0.0)}),
        ({}, {"retry": RetryRules(per_call=1)}),
    ],
    ids=["acts once", "no fallback", "off", "no budget", "no attempt left"],
)
def test_where_it_must_not_nobody_is_asked_twice(more: dict[str, Any], changes: dict[str, Any]):
    play = racing(Script({"a": [slow(5.0)], "b": [slow(0.1)]}), **changes)

    async def what() -> None:
        assert complete(await ask(play, **more), OpenAI, True)
        assert [("a", "initial")] == asked(play)

    scenario(play, what)


@pytest.mark.parametrize("at", [0.1, 0.5, 0.62, 1.5])
def test_a_client_that_leaves_takes_both_with_it(at: float):
    """Before the race, in it, and when it is won: no task, permit, slot or byte is left."""
    play = racing(Script({"a": [slow(9.0)], "b": [s.stream(OpenAI.events(["a"] * 9), first=0.5, gap=1.0)]}))

    async def what() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(at):
                await ask(play)
        ended = [event.attempt for event in play.said(AttemptEnded)]
        assert len(asked(play)) == len(ended)

    scenario(play, what)


def test_a_client_that_leaves_at_the_very_moment_of_the_second_content_has_left():
    """Then two have cancelled the same task, and only one of them is the race."""
    play = racing(Script({"a": [slow(9.0)], "b": [slow(0.3)]}))

    async def what() -> None:
        task = asyncio.current_task()
        assert task is not None

        async def content(call: Call, sink: Sink) -> Outcome:
            await asyncio.sleep(0.3)
            await sink.start(Head(200, "OK", SSE))
            for piece in OpenAI.events(["late"]):
                await sink.send(Chunk(piece))
            task.cancel()
            return Answered(200)

        play.script.plans["b"] = [content]
        with pytest.raises(asyncio.CancelledError):
            await ask(play)
        assert 0 == task.uncancel()
        assert all(event.attempt.ended is not None for event in play.said(AttemptEnded))

    scenario(play, what)


def test_a_deadline_ends_both():
    play = racing(Script({"a": [s.hang()], "b": [s.hang()]}))

    async def what() -> None:
        result = await ask(play, deadline=3.0)

        assert isinstance(result.outcome, Failed)
        assert result.ended - result.began < 3.5
        assert all(one.ended is not None for one in result.record.attempts)

    scenario(play, what)


def test_a_winner_whose_held_answer_is_rejected_leaves_the_chain_to_go_on():
    script = Script({"a": [slow(9.0)], "b": [s.stream(OpenAI.events(["not json"]), first=0.1)]})
    script.plans["c"] = [s.stream(OpenAI.events(['{"a": 1}']), first=0.1)]
    play = racing(script)

    async def what() -> None:
        result = await play.ask(OpenAI.request(stream=True, response_format={"type": "json_object"}))

        assert isinstance(result.outcome, Answered)
        assert "c" == result.record.attempts[-1].target
        assert b"not json" not in result.tape.body

    scenario(play, what)


def test_nothing_of_the_loser_reaches_the_client_though_it_is_on_the_wire_already():
    """As a transport does that pushes what it has before the cancellation comes through."""

    async def pushy(call: Call, sink: Sink) -> Outcome:
        await sink.start(Head(200, "OK", SSE))
        try:
            await asyncio.sleep(9.0)
        finally:
            for piece in OpenAI.events(["from ", "the ", "loser"]):
                await sink.send(Chunk(piece))
        return Answered(200)

    play = racing(Script({"a": [pushy], "b": [slow(0.3)]}))

    async def what() -> None:
        assert complete(await ask(play), OpenAI, True)
        assert ["won"] == results(play)

    scenario(play, what)


# ---- what it is worth

MEDIAN, CALLS = 0.5, 1200  # seconds; calls of a new route, from its very first one on
PRICE = Price(Rates(2_000_000, 8_000_000))  # pico-dollars of a token that is read, that is made


class Tail:
    """A vendor whose answers take about the median, and one in twenty ten times as long. It bills the tokens
    of every request that it took, and of what it said."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.took: list[float] = []  # what each first attempt would have taken
        self.billed = 0

    def seconds(self) -> float:
        slow = self.rng.random() < 0.05
        return MEDIAN * (10.0 if slow else self.rng.lognormvariate(0.0, 0.25))

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        took = self.seconds()
        if call.kind is Kind.INITIAL:
            self.took.append(took)
        self.billed += PRICE.rates.input * tokens(len(call.body))
        outcome = await s.stream(OpenAI.events(["well"]), first=took)(call, sink)
        self.billed += PRICE.rates.output * tokens(len("well"))
        return outcome


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.99 * len(seconds))]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("after", "most"), [("p95", 0.06), ("p90", 0.12)])
def test_a_slow_tail_is_cut_by_more_than_half_for_a_few_calls_more(after: str, most: float, seed: int):
    tail = Tail(seed)
    play = Play(
        Script({"a": [tail], "b": [tail]}),
        hedge=Hedge(after=after),
        seed=seed,
        cards=lambda provider, model: Card(provider=provider.name, name=model, price=PRICE),
    )
    seen: list[float] = []
    made: list[Attempt] = []

    async def day() -> None:
        async with play.clean():
            for _ in range(CALLS):
                result = await ask(play)
                assert isinstance(result.outcome, Answered)
                assert b"well" in result.tape.body
                seen.append(result.tape.pieces[0][0] - result.began)
                made.extend(result.record.attempts)
                settle(result.record.attempts, result.outcome, committed=True)

    run(day())

    extra = sum(one.kind is Kind.HEDGE for one in made)
    assert {Kind.INITIAL} == {one.kind for one in made[:ENOUGH]}  # nothing is known yet
    assert p99(seen[ENOUGH:]) <= 0.5 * p99(tail.took[ENOUGH:])
    assert 0 < extra <= most * len(seen)
    # the ledger is exact: what was asked was recorded, told and charged, once
    told = [event.attempt for event in play.said(AttemptEnded)]
    assert len(play.script.asked) == len(made) == len(told) == len(seen) + extra
    assert {id(one) for one in made} == {id(one) for one in told}
    assert len(seen) == sum(isinstance(one.outcome, Answered) for one in made)
    assert extra == sum(one.lost_race for one in made)
    assert extra == sum(one in {"won", "lost"} for one in results(play))
    spent = Counter[Purpose | None]()
    for one in made:
        assert one.cost is not None
        spent[one.purpose] += one.cost.pico or 0
        assert (Purpose.HEDGE if one.lost_race else Purpose.SERVED) is one.purpose
    assert tail.billed == spent.total()
    assert 0 < spent[Purpose.HEDGE] <= most * spent[Purpose.SERVED]
