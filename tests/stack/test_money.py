"""The ledger is what the vendors billed, whatever happens to calls; caps and budgets stop what they say."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core import bill
from sidecar.core.spend import SLICE, SLICES
from sidecar.events import BudgetMoved, RetryDenied, TargetSkipped
from sidecar.model import (
    Answered,
    BreakerState,
    Call,
    Chunk,
    Cost,
    Failed,
    Fault,
    Head,
    Outcome,
    Provider,
    Purpose,
    Refused,
    RefusedBy,
    Scope,
    Sink,
    Tier,
)
from sidecar.models.card import Card, Price, Rates
from sidecar.settings import Route, RouteCost, StaticAnswer
from tests.kit import script as s
from tests.kit.answers import JSON, SSE, Anthropic, OpenAI
from tests.kit.script import Play, Script, target
from tests.kit.tape import Tape
from tests.kit.vloop import run

PRICES = {"a": Rates(2_500_000, 10_000_000), "b": Rates(3_000_000, 15_000_000), "c": Rates(150_000, 600_000)}
WORD = "resilience "  # of which a token has four characters
PER_TOKEN = 4


def card(provider: Provider, model: str) -> Card | None:
    rates = PRICES.get(provider.name)
    if rates is None:
        return None
    return Card(provider=provider.name, name=model, price=Price(rates), output=4000)


class Priced(Play):
    cards = staticmethod(card)


@dataclass(frozen=True, slots=True)
class Billed:
    """What a vendor asks for one exchange."""

    pico: int
    reported: bool  # the whole of it, in the answer


@dataclass
class Vendor:
    """Bills the tokens it read and those it made, whoever got them."""

    log: list[Billed] = field(default_factory=list)

    def does(self, kind: str, words: int) -> s.Behaviour:
        async def behave(call: Call, sink: Sink) -> Outcome:
            exchange = _Exchange(call, sink, kind, [WORD] * words)
            try:
                return await exchange.run()
            finally:
                if exchange.works:
                    assert call.target is not None
                    rates = PRICES[call.target.provider.name]
                    pico = exchange.given * rates.input + exchange.made * rates.output
                    self.log.append(Billed(pico, exchange.told))

        return behave


class _Exchange:
    def __init__(self, call: Call, sink: Sink, kind: str, words: list[str]) -> None:
        self.call, self.sink, self.kind, self.words = call, sink, kind, words
        self.given = max(1, len(call.body) // PER_TOKEN)
        self.said = 0  # characters
        self.works = self.told = False

    @property
    def made(self) -> int:
        return -(-self.said // PER_TOKEN)

    async def run(self) -> Outcome:
        self.works = True  # until it says that it does not; who leaves before that has to take it for work
        if self.kind in ("lost", "broken", "limit"):
            fault = {"broken": self._words.BROKEN, "limit": self._words.LIMIT}.get(self.kind)
            outcome = await (s.lost() if fault is None else s.error(fault))(self.call, self.sink)
            self.works = False
            return outcome
        if self.kind == "hang":
            return await s.hang()(self.call, self.sink)
        await asyncio.sleep(0.1)
        return await (self._stream() if self.call.ask.stream else self._whole())

    async def _whole(self) -> Outcome:
        text = "" if self.kind == "empty" else "".join(self.words)
        if self.kind == "cut":  # before it had made anything: of what never came nobody else can know
            await self.sink.start(Head(200, "OK", JSON))
            return Failed(Fault.NETWORK, Scope.MODEL, detail="scripted")
        self.said = len(text)
        body = json.loads(self._words.whole(text))
        body["usage"] = self._usage()
        if self.kind == "silent":
            del body["usage"]
        else:
            self.told = True
        return await s.answer(json.dumps(body).encode(), after=0.0)(self.call, self.sink)

    async def _stream(self) -> Outcome:
        await self.sink.start(Head(200, "OK", SSE))
        words = [] if self.kind == "empty" else self.words
        for n, event in enumerate(self._events(words)):
            if self.kind == "cut" and n > 1 + len(words) // 2:
                return Failed(Fault.STREAM_CUT, Scope.MODEL, detail="scripted")
            await asyncio.sleep(0.05)
            if WORD.encode() in event:
                self.said += len(WORD)
            await self.sink.send(Chunk(event))
        self.told = self.kind != "silent"
        return Answered(200)

    @property
    def _words(self) -> type[OpenAI | Anthropic]:
        return OpenAI if self.call.dialect == "openai_chat" else Anthropic

    def _events(self, words: Sequence[str]) -> Any:
        """One after the other, so that the last ones know what was said."""
        plain = self._words.events(list(words))
        for event in plain:
            if self._words is OpenAI and event == OpenAI.done and self.kind != "silent":
                yield b"data: " + json.dumps({"choices": [], "usage": self._usage()}).encode() + b"\n\n"
            if b'"usage"' in event:
                event = b"" if self.kind == "silent" else self._counted(event)
            if event:
                yield event

    def _counted(self, event: bytes) -> bytes:
        name, _, data = event.partition(b"data: ")
        said = json.loads(data)
        holder = said.get("message", said)
        holder["usage"] = self._usage()
        return name + b"data: " + json.dumps(said).encode() + b"\n\n"

    def _usage(self) -> dict[str, int]:
        if self._words is OpenAI:
            return {"prompt_tokens": self.given, "completion_tokens": self.made}
        return {"input_tokens": self.given, "output_tokens": self.made}


KINDS = ("good", "good", "silent", "cut", "empty", "broken", "limit", "lost", "hang")


def three(vendor: Vendor, plans: Sequence[Sequence[tuple[str, int]]], **changes: Any) -> Priced:
    """Targets of two dialects, in one chain."""
    script = Script(
        {name: [vendor.does(*step) for step in plan] for name, plan in zip("abc", plans, strict=False)}
    )
    dialects = {"a": "openai_chat", "b": "anthropic", "c": "openai_chat"}
    chain = tuple(target(name, dialects[name], model=f"model-{name}") for name in script.plans)
    return Priced(script, route=Route(name="r", chain=chain, **changes))


PLANS = st.lists(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(20, 60)), min_size=1, max_size=4),
    min_size=1,
    max_size=3,
)


@settings(max_examples=80, deadline=None)
@given(plans=PLANS, stream=st.booleans(), calls=st.integers(1, 3), leaves=st.none() | st.floats(0.05, 20.0))
def test_the_ledger_is_what_the_vendors_billed(
    plans: list[list[tuple[str, int]]], stream: bool, calls: int, leaves: float | None
):
    vendor = Vendor()
    play = three(vendor, plans)
    spent: list[Cost] = []

    async def main() -> None:
        for _ in range(calls):
            tape, outcome = Tape(), None
            options = {"stream_options": {"include_usage": True}} if stream else {}
            call = play.call(OpenAI.request("please explain " * 40, stream=stream, max_tokens=500, **options))
            try:
                async with asyncio.timeout(leaves):
                    outcome = await play.stack(call, tape)
            except TimeoutError:
                pass
            attempts = call.record.attempts
            bill.settle(attempts, outcome, committed=tape.head is not None)
            assert all(attempt.purpose is not None for attempt in attempts)
            assert sum(attempt.purpose is Purpose.SERVED for attempt in attempts) <= 1
            spent.extend(attempt.cost for attempt in attempts if attempt.cost is not None)
            assert len(spent) >= len(attempts)
            await asyncio.sleep(1.0)

    run(main())
    exact = [cost.pico for cost in spent if not cost.estimated and cost.pico]
    guessed = sum(cost.pico or 0 for cost in spent if cost.estimated)
    assert Counter(exact) == Counter(one.pico for one in vendor.log if one.reported)  # to the pico-dollar
    assert guessed == pytest.approx(sum(one.pico for one in vendor.log if not one.reported), rel=0.2)
    assert sum(cost.pico or 0 for cost in spent) == play.memory.tab.spend.hour(0.0)


def test_what_a_target_counts_makes_the_next_guess_better():
    """Its tokens are shorter than anybody's: a guess would be a third too low."""
    vendor = Vendor()
    play = three(vendor, [[("good", 40)] * 60 + [("silent", 40)]])

    async def main() -> tuple[int, int]:
        for _ in range(61):
            result = await play.ask(OpenAI.request("please explain " * 60))
        cost = result.record.attempts[0].cost
        assert cost is not None
        assert cost.estimated
        return cost.pico or 0, vendor.log[-1].pico

    guess, billed = run(main())
    assert guess == pytest.approx(billed, rel=0.02)


def test_a_picture_is_guessed_by_its_number_and_not_by_its_bytes():
    vendor = Vendor()
    play = three(vendor, [[("silent", 20)]])
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    body = json.loads(OpenAI.request())
    body["messages"][0]["content"] = [{"type": "text", "text": "what is this?"}, picture]

    result = run(play.ask(json.dumps(body).encode()))

    cost = result.record.attempts[0].cost
    assert cost is not None
    assert cost.pico is not None
    assert 1600 * PRICES["a"].input < cost.pico < 3000 * PRICES["a"].input


def test_an_attempt_without_a_price_is_unpriced_and_one_that_was_refused_is_free():
    script = Script({"a": [s.error(OpenAI.BROKEN)], "b": [s.answer(OpenAI.whole("fine"))]})

    result = run(Play(script).ask())

    assert [Cost(0), Cost(0), Cost(0), Cost(None)] == [attempt.cost for attempt in result.record.attempts]


# ---- the cap --------------------------------------------------------------------------------------


def capped(cap: float, plans: Sequence[Sequence[tuple[str, int]]], **changes: Any) -> tuple[Vendor, Priced]:
    vendor = Vendor()
    return vendor, three(vendor, plans, cost=RouteCost(cap=cap), **changes)


BODY = OpenAI.request("hello " * 100, max_tokens=400)  # 4 thousandths of a dollar for a, 6 for b


def test_a_stand_in_that_could_break_the_cap_is_skipped_and_the_failure_is_told():
    _, play = capped(0.005, [[("broken", 20)], [("good", 20)]])

    result = run(play.ask(BODY))

    assert {"a"} == {attempt.target for attempt in result.record.attempts}
    (skipped,) = play.said(TargetSkipped)
    assert ("b", RefusedBy.COST_CAP) == (skipped.target.name, skipped.refused.by)
    assert isinstance(result.outcome, Failed)
    assert Fault.SERVER_ERROR is result.outcome.fault


def test_a_cheaper_one_behind_it_is_asked():
    _, play = capped(0.005, [[("broken", 20)], [("good", 20)], [("good", 20)]])

    result = run(play.ask(BODY))

    assert isinstance(result.outcome, Answered)
    assert "c" == result.record.attempts[-1].target


def test_what_was_paid_already_counts():
    vendor, play = capped(0.006, [[("silent", 60), ("good", 60)]])
    play.script.plans["a"][0] = vendor.does("cut", 60)

    result = run(play.ask(OpenAI.request("hello " * 100, max_tokens=550)))  # 0.0057 at the most

    assert 1 == len(result.record.attempts)
    assert ["cost_cap"] == [denied.cause for denied in play.said(RetryDenied)]
    assert 0.0 == result.record.waited  # it did not wait for an attempt that it would not make


def test_the_first_attempt_is_never_skipped():
    _, play = capped(0.0, [[("good", 20)]])

    assert isinstance(run(play.ask(BODY)).outcome, Answered)


def test_a_first_attempt_at_a_stand_in_is_a_first_attempt():
    _, play = capped(0.0, [[("lost", 20)], [("good", 20)]])
    for breaker in ("a",):
        play.memory.breaker(breaker, "model-a", "a", play.route.breaker).force(BreakerState.OPEN, 0.0)

    result = run(play.ask(BODY))

    assert ["b"] == [attempt.target for attempt in result.record.attempts]


def test_every_choice_counts():
    _, play = capped(0.008, [[("broken", 20)], [("good", 20)]])

    assert isinstance(run(play.ask(BODY)).outcome, Answered)
    many = OpenAI.request("hello " * 100, max_tokens=400, n=2)
    assert isinstance(run(play.ask(many)).outcome, Failed)


def test_a_stand_in_without_a_price_is_asked():
    script = Script({"a": [s.error(OpenAI.BROKEN)], "z": [s.answer(OpenAI.whole("fine"))]})
    chain = tuple(target(name, "openai_chat") for name in script.plans)
    play = Priced(script, route=Route(name="r", chain=chain, cost=RouteCost(cap=0.0)))

    assert isinstance(run(play.ask(BODY)).outcome, Answered)


# ---- the hour -------------------------------------------------------------------------------------

REFUSES = RouteCost(over_budget="refuse")


def with_budget(play: Priced, dollars: float) -> Priced:
    play.memory.tab.spend.budget = bill.pico(dollars)
    return play


def test_a_budget_warns_and_then_says_that_it_is_spent_and_lets_calls_pass():
    vendor = Vendor()
    play = with_budget(three(vendor, [[("good", 40)]]), 0.007)

    async def main() -> None:
        for _ in range(8):
            result = await play.ask(BODY)
            assert isinstance(result.outcome, Answered)

    run(main())
    assert ["warn", "over"] == [moved.level for moved in play.said(BudgetMoved)]
    assert all(moved.budget == 0.007 for moved in play.said(BudgetMoved))
    assert play.said(BudgetMoved)[0].spent >= 0.8 * 0.007


def test_a_route_that_says_so_refuses_until_the_hour_has_room():
    vendor = Vendor()
    play = with_budget(three(vendor, [[("good", 40)]], cost=REFUSES), 0.001)

    async def main() -> None:
        first, second = await play.ask(BODY), await play.ask(BODY)
        assert isinstance(first.outcome, Answered)
        assert isinstance(second.outcome, Refused)
        assert RefusedBy.COST_BUDGET is second.outcome.by
        assert SLICE * SLICES == second.outcome.until
        assert [] == second.record.attempts
        await asyncio.sleep(second.outcome.until - play.clock.now())
        assert isinstance((await play.ask(BODY)).outcome, Answered)

    run(main())
    assert 2 == len(vendor.log)


def test_a_static_answer_stands_behind_a_budget_that_is_spent():
    play = with_budget(
        three(Vendor(), [[("good", 40)]], cost=REFUSES, static=StaticAnswer(text="later")), 0.0
    )

    result = run(play.ask(BODY))

    assert isinstance(result.outcome, Answered)
    assert Tier.STATIC is result.outcome.tier
    assert [] == result.record.attempts


def test_other_routes_of_the_pod_go_on():
    vendor = Vendor()
    play = with_budget(three(vendor, [[("good", 40)]], cost=REFUSES), 0.0)
    play.stack = play.build(replace(play.route, cost=RouteCost()))

    assert isinstance(run(play.ask(BODY)).outcome, Answered)
