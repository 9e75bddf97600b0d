"""Whatever targets do and whenever the client leaves: nothing lost, nothing doubled, nothing mixed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.events import (
    AttemptEnded,
)
from sidecar.model import (
    Answered,
    Call,
    Failed,
    Fault,
    Outcome,
    Refused,
    Sink,
    Tier,
)
from sidecar.settings import StaticAnswer
from tests.kit import script as s
from tests.kit.answers import DIALECTS
from tests.kit.answers import Dialect as Words
from tests.kit.script import Play, Script
from tests.kit.tape import Tape
from tests.kit.vloop import run

KINDS = (
    *(
        "good",
        "good",
        "slow",
        "limit",
        "limit with a hint",
        "overloaded",
        "broken",
        "quota",
        "invalid",
        "context",
    ),
    *(
        "filter",
        "lost",
        "tls",
        "hang",
        "empty",
        "cut early",
        "cut late",
        "stall",
        "ends early",
        "error event",
    ),
    *("late error event", "malformed", "no sentinel", "keepalives"),
)


@dataclass
class Step:
    """One attempt's behaviour, whose answer names its target and number."""

    kind: str
    n: int

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        assert call.target is not None
        words = next(words for words in DIALECTS if words.dialect == call.dialect)
        return await self.behaviour(words, f"{call.target.name}-{self.n}", stream=call.ask.stream)(call, sink)

    def behaviour(self, words: Words, mark: str, *, stream: bool) -> s.Behaviour:
        events = words.events([f"{mark} ", "one ", "two ", f"end-{mark}"])
        whole = words.whole(f"{mark} one two end-{mark}")
        hint = ((b"Retry-After", b"1"),)
        match self.kind:
            case "slow":
                return s.stream(events, first=8.0, gap=3.0) if stream else s.answer(whole, after=12.0)
            case "limit":
                return s.error(words.LIMIT)
            case "limit with a hint":
                return s.error(words.LIMIT, headers=hint)
            case "overloaded":
                return s.error(words.OVERLOADED)
            case "broken":
                return s.error(words.BROKEN)
            case "quota":
                return s.error(words.QUOTA)
            case "invalid":
                return s.error(words.INVALID)
            case "context":
                return s.error(words.CONTEXT)
            case "filter":
                return s.error(words.FILTER)
            case "lost":
                return s.lost()
            case "tls":
                return s.lost(Fault.TLS)
            case "hang":
                return s.hang()
            case "empty":
                return s.stream(words.events([])) if stream else s.answer(words.whole(""))
            case "cut early" if stream:
                return s.stream(events[:1], end="cut")
            case "cut late" if stream:
                return s.stream(events[:4], end="cut")
            case "stall" if stream:
                return s.stream(events[:4], end="open")
            case "ends early" if stream:
                return s.stream(events[:4])
            case "error event" if stream:
                return s.stream([events[0], words.error_event()])
            case "late error event" if stream:
                return s.stream([*events[:4], words.error_event()])
            case "malformed" if stream:
                return s.stream([*events[:3], words.malformed, *events[3:]])
            case "no sentinel" if stream:
                return s.stream(events[:-1], end="open")
            case "keepalives" if stream:
                return s.stream([words.keepalive] * 40, gap=2.0, end="open")
            case _:
                return s.stream(events) if stream else s.answer(whole)


PLANS = st.lists(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5), min_size=1, max_size=3)


@settings(max_examples=250, deadline=None)
@given(
    plans=PLANS,
    words=st.sampled_from(DIALECTS),
    stream=st.booleans(),
    structured=st.booleans(),
    static=st.booleans(),
    injected=st.booleans(),
    calls=st.integers(1, 4),
    leaves=st.none() | st.floats(0.05, 40.0),
    seed=st.integers(0, 99),
)
def test_every_call_has_one_honest_end(
    plans: list[list[str]],
    words: Words,
    stream: bool,
    structured: bool,
    static: bool,
    injected: bool,
    calls: int,
    leaves: float | None,
    seed: int,
):
    names = ["a", "b", "c"][: len(plans)]
    script = Script(
        {
            name: [Step(kind, n) for n, kind in enumerate(plan)]
            for name, plan in zip(names, plans, strict=True)
        }
    )
    more: dict[str, Any] = words.structured({"type": "object"}) if structured else {}
    play = Play(
        script, words, injected=injected, seed=seed, static=StaticAnswer(text="sorry") if static else None
    )

    async def one() -> None:
        tape = Tape()
        before = play.clock.now()
        call = play.call(words.request(stream=stream, **more))
        outcome: Outcome | None = None
        try:
            async with asyncio.timeout(leaves):
                outcome = await play.stack(call, tape)
        except TimeoutError:
            pass
        check(call, outcome, tape, before)

    def check(call: Call, outcome: Outcome | None, tape: Tape, before: float) -> None:
        record = call.record
        assert len(record.attempts) <= 6
        assert all(attempt.ended is not None for attempt in record.attempts)
        assert all(attempt.started <= call.deadline + 1e-6 for attempt in record.attempts)
        body = tape.body.decode()
        marks = {f"{name}-{n}" for name in names for n in range(6) if f"{name}-{n}" in body}
        assert len(marks) <= 1, "bytes of two answers in one"
        if isinstance(outcome, Answered) and outcome.tier is Tier.FULL:
            (mark,) = marks
            assert f"end-{mark}" in body, "a cut answer looks complete"
        if isinstance(outcome, Failed | Refused) and tape.head is not None:
            assert words.done.decode() not in body, "a broken stream ends politely"
        if outcome is not None and tape.head is None:
            assert isinstance(outcome, Failed | Refused)
            held = any(attempt.first_content is not None for attempt in record.attempts)
            assert play.clock.now() - before <= (60.0 if held else 31.0), "a call outlives its deadline"

    async def main() -> None:
        async with play.clean():
            for _ in range(calls):
                await one()
                await asyncio.sleep(1.0)
        ended = play.said(AttemptEnded)
        assert len(script.asked) == len(ended), "an attempt was not told of, or told of twice"

    run(main())


@pytest.mark.parametrize("pause", [0.3, 70.0])
def test_a_slow_client_is_not_a_slow_provider(pause: float):
    for words in DIALECTS:
        script = Script({"a": [s.stream(words.events(["x"]))], "b": [s.hang()]})
        play = Play(script, words)

        async def main(play: Play = play, words: Words = words) -> None:
            async with play.clean():
                tape = Tape(pause=pause)
                result = await play.ask(words.request(stream=True), tape=tape)
                assert isinstance(result.outcome, Answered)
                assert b"".join(words.events(["x"])) == tape.body

        run(main())
