"""Quality from the application's side: what it gets, and what is left alone, when answers are poor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from sidecar.events import (
    BreakerMoved,
    Judged,
    WouldOpen,
)
from sidecar.model import (
    Answered,
    BreakerState,
    Call,
    Chunk,
    Failed,
    Fault,
    Head,
    Outcome,
    Refused,
    Sink,
    Tier,
)
from sidecar.settings import Commit, Route, Signals, StaticAnswer
from tests.kit import script as s
from tests.kit.answers import DIALECTS, JSON, OpenAI
from tests.kit.answers import Dialect as Words
from tests.kit.script import Play, Script
from tests.kit.tape import Tape
from tests.kit.vloop import run

GOOD = ["all ", "is ", "well"]


@pytest.fixture(params=DIALECTS, ids=lambda words: words.dialect)
def words(request: pytest.FixtureRequest) -> Words:
    found: Words = request.param
    return found


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def play(play: Play, scenario: Callable[[Play], Awaitable[None]]) -> None:
    async def main() -> None:
        async with play.clean():
            await scenario(play)

    run(main())


def good(words: Words, stream: bool, after: float = 0.1) -> s.Behaviour:
    if stream:
        return s.stream(words.events(GOOD), first=after)
    return s.answer(words.whole("".join(GOOD)), after=after)


def empty(words: Words, stream: bool) -> s.Behaviour:
    return s.stream(words.events([])) if stream else s.answer(words.whole(""))


@dataclass
class Speed:
    """A target whose answers take `after` seconds."""

    words: Words
    stream: bool
    after: float = 0.5
    tail: tuple[str, ...] = tuple(GOOD)
    gap: float = 0.05

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        if self.stream:
            events = self.words.events(list(self.tail))
            return await s.stream(events, first=self.after, gap=self.gap)(call, sink)
        return await s.answer(self.words.whole("".join(self.tail)), after=self.after)(call, sink)


async def ask(play: Play, times: int, *, every: float = 12.0, stream: bool = False) -> list[Outcome | None]:
    outcomes = []
    for _ in range(times):
        result = await play.ask(play.words.request(f"call {play.calls}", stream=stream))
        outcomes.append(result.outcome)
        await asyncio.sleep(every)
    return outcomes


# ---- strict --------------------------------------------------------------------------------------


def test_a_strict_route_would_rather_have_the_error_than_a_rejected_answer(words: Words, stream: bool):
    async def scenario(play: Play) -> None:
        result = await play.ask(words.request(stream=stream))

        assert isinstance(result.outcome, Failed)
        assert result.outcome.fault is Fault.EMPTY_OUTPUT
        assert (None, b"") == (result.outcome.head, result.outcome.body)
        assert result.tape.head is None

    both = {"a": [empty(words, stream)], "b": [empty(words, stream)]}
    play(Play(Script(both), words, strict=True), scenario)


def test_a_strict_route_takes_its_static_answer_instead_of_any_rejected_one(words: Words):
    schema = {"type": "object"}
    bad = s.answer(words.whole("no json"))

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request(**words.structured(schema)))

        assert isinstance(result.outcome, Answered)
        assert result.outcome.tier is Tier.STATIC
        assert b"no json" not in result.tape.body

    static = StaticAnswer(text="sorry", json="{}")
    play(Play(Script({"a": [bad], "b": [bad]}), words, strict=True, static=static), scenario)


# ---- nowhere else to go ---------------------------------------------------------------------------


def test_a_poor_answer_is_better_than_none_where_nobody_else_can_give_one(words: Words, stream: bool):
    speed = Speed(words, stream)

    async def scenario(play: Play) -> None:
        await ask(play, 60, stream=stream)
        speed.after = 5.0
        outcomes = await ask(play, 60, stream=stream)

        moved = [event.transition.new for event in play.said(BreakerMoved) if event.kind == "quality"]
        assert BreakerState.OPEN in moved
        assert all(isinstance(outcome, Answered) for outcome in outcomes)

    play(Play(Script({"a": [speed]}), words), scenario)


def test_a_slow_target_is_left_for_a_quick_one_and_comes_back_when_it_is_well(words: Words, stream: bool):
    speed = Speed(words, stream)
    script = Script({"a": [speed], "b": [good(words, stream)]})

    async def scenario(play: Play) -> None:
        await ask(play, 60, stream=stream)
        assert 0 == script.count("b")
        speed.after = 5.0
        await ask(play, 40, stream=stream)
        assert script.count("b") >= 20
        speed.after = 0.5
        await ask(play, 60, stream=stream)
        before = script.count("b")
        await ask(play, 20, stream=stream)

        assert before == script.count("b")

    play(Play(script, words), scenario)


def test_an_operator_can_say_that_slower_is_the_new_usual():
    speed = Speed(OpenAI, stream=False)

    async def scenario(play: Play) -> None:
        await ask(play, 60)
        standing = play.memory.standings["r", "a"]
        speed.after = 4.0
        await ask(play, 40)
        call = play.call()
        assert standing.breaker.state is not BreakerState.CLOSED
        assert 0.5 == pytest.approx(standing.usual.seconds(call), rel=0.06), "learned while degraded"

        standing.breaker.force(BreakerState.CLOSED, play.clock.now())
        await ask(play, 300, every=8.0)
        standing.breaker.force(None, play.clock.now())

        assert 4.0 == pytest.approx(standing.usual.seconds(call), rel=0.06)
        await ask(play, 30)
        assert standing.breaker.state is BreakerState.CLOSED

    play(Play(Script({"a": [speed]})), scenario)


# ---- when, and how much ---------------------------------------------------------------------------


def test_a_late_first_content_is_charged_when_it_comes_not_when_a_long_stream_ends(words: Words):
    speed = Speed(words, stream=True)

    async def scenario(play: Play) -> None:
        await ask(play, 60, stream=True)
        speed.after, speed.tail, speed.gap = 5.0, ("word ",) * 200, 2.0
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(play.ask(stream_request(n))) for n in range(30)]
            await asyncio.sleep(20.0)
            opened = [event for event in play.said(BreakerMoved) if event.kind == "quality"]

        assert [BreakerState.OPEN] == [event.transition.new for event in opened]
        assert all(isinstance(task.result().outcome, Answered) for task in asked)
        assert 30 == len([e for e in play.said(Judged) if e.finding.signal == "slow_first_content"])

    def stream_request(n: int) -> bytes:
        return words.request(f"many {n}", stream=True)

    play(Play(Script({"a": [speed]}), words), scenario)


def test_soft_signals_reject_less_than_a_tenth_of_the_calls():
    signals = Signals(min_length="reject", min_characters=1000)
    script = Script({"a": [good(OpenAI, stream=False)], "b": [good(OpenAI, stream=False)]})

    async def scenario(play: Play) -> None:
        for n in range(1, 101):
            await ask(play, 1, every=700.0)  # too sparse for the breaker: the allowance alone holds it
            rejected = [event for event in play.said(Judged) if event.done == "rejected"]
            assert len(rejected) < n / 10

        assert 9 <= len(rejected)

    play(Play(script, signals=signals), scenario)


def test_time_in_which_the_client_did_not_read_is_not_the_targets():
    body = OpenAI.whole("x" * 1000)

    class Slow(Tape):
        """Reads as the listener's own sink tells it: what it cost stands in the record."""

        def __init__(self, call: Call) -> None:
            super().__init__()
            self.call = call

        async def send(self, chunk: Any) -> None:  # type: ignore[explicit-override]
            await asyncio.sleep(20.0)
            self.call.record.client_blocked += 20.0
            await super().send(chunk)

    async def pieces(call: Call, sink: Sink) -> Outcome:
        await sink.start(Head(200, "OK", JSON))
        await asyncio.sleep(0.5)
        await sink.send(Chunk(body[:500]))
        await sink.send(Chunk(body[500:]))
        return Answered(200)

    async def scenario(play: Play) -> None:
        for _ in range(20):
            call = play.call()
            await play.stack(call, Slow(call))
        usual = play.memory.standings["r", "a"].usual.seconds(play.call())

        assert 0.5 == pytest.approx(usual, rel=0.06)

    play(Play(Script({"a": [pieces]}), commit=Commit(hold_bytes=100)), scenario)


# ---- the proving window ------------------------------------------------------------------------------

WINDOW = Commit(mode="window", window_chars=20, window_seconds=3.0)


@pytest.mark.parametrize("end", ["cut", "open"])
def test_a_stream_that_breaks_in_its_proving_window_is_replaced_unseen(words: Words, end: str):
    broken = s.stream(words.events(["half ", "a ", "word ", "or "])[:3], end=end)
    script = Script({"a": [broken], "b": [good(words, stream=True)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request(stream=True))

        assert isinstance(result.outcome, Answered)
        assert b"".join(words.events(GOOD)) == result.tape.body

    play(Play(script, words, commit=WINDOW), scenario)


@pytest.mark.parametrize(
    ("parts", "gap", "sure"),
    [(["12345678"] * 12, 0.1, 0.1 + 4 * 0.1), (["a"] * 12, 0.9, 0.1 + 6 * 0.9)],
    ids=["characters", "seconds"],
)
def test_a_proving_window_ends_by_characters_or_by_time(
    words: Words, parts: list[str], gap: float, sure: float
):
    script = Script({"a": [s.stream(words.events(parts), gap=gap)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request(stream=True))

        assert isinstance(result.outcome, Answered)
        assert b"".join(words.events(parts)) == result.tape.body
        assert len(result.tape.pieces) > 5
        assert 0.1 + 2 * gap < result.tape.pieces[0][0] - result.began <= sure + 0.01

    play(Play(script, words, commit=WINDOW), scenario)


def test_after_its_window_a_broken_stream_ends_honestly(words: Words):
    broken = s.stream(words.events(["12345678"] * 12)[:8], end="cut")
    script = Script({"a": [broken], "b": [good(words, stream=True)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request(stream=True))

        assert isinstance(result.outcome, Failed)
        assert words.done not in result.tape.body
        assert 0 == script.count("b")

    play(Play(script, words, commit=WINDOW), scenario)


# ---- observing ---------------------------------------------------------------------------------------


def test_a_signal_that_observes_says_what_it_would_have_done_and_does_nothing(words: Words, stream: bool):
    """An owner sees that refusals would have opened the breaker, and when they would not have."""
    signals = Signals(min_length="observe", min_characters=500)
    script = Script({"a": [good(words, stream)], "b": [good(words, stream)]})

    async def scenario(play: Play) -> None:
        outcomes = await ask(play, 30, stream=stream)
        tallies = play.memory.standings["r", "a"].tallies
        now = play.clock.now()

        assert all(isinstance(outcome, Answered) for outcome in outcomes)
        assert 30 == script.count("a")
        assert ["min_length"] == [event.signal for event in play.said(WouldOpen)]
        assert (30, 30, 1) == _counts(tallies["min_length"].total)
        assert (30, 0, 0) == _counts(tallies["refusal"].total)
        assert (0, 0, 0) == _counts(tallies["min_length"].last_hour(now + 4000))
        assert "slow_answer" not in [event.signal for event in play.said(WouldOpen)]

    play(Play(script, words, signals=signals), scenario)


def _counts(counts: Any) -> tuple[int, int, int]:
    return counts.evaluated, counts.fired, counts.opened


def test_a_reload_keeps_what_was_learned_and_takes_the_new_actions():
    script = Script({"a": [good(OpenAI, stream=False)]})

    async def scenario(play: Play) -> None:
        await ask(play, 40)
        before = play.memory.standings["r", "a"]
        route = Route(name="r", chain=play.route.chain, signals=Signals(refusal="off", repetition="count"))
        play.stack = play.build(route)
        await ask(play, 1)

        assert play.memory.standings["r", "a"] is before
        assert "refusal" not in before.tallies
        assert before.tallies["repetition"].shadow is None
        assert 41 == before.tallies["repetition"].total.evaluated

    play(Play(script), scenario)


def test_an_open_quality_breaker_refuses_on_a_strict_route():
    speed = Speed(OpenAI, stream=False)

    async def scenario(play: Play) -> None:
        await ask(play, 60)
        speed.after = 5.0
        outcomes = await ask(play, 40, every=2.0)

        assert any(isinstance(outcome, Refused) for outcome in outcomes)

    play(Play(Script({"a": [speed]}), strict=True), scenario)
