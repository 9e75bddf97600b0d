"""What is usual: learned per kind and model, held by a prior, kept over a restart."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.baseline import APART, ENOUGH, KINDS, Baseline, Lengths, Usual
from sidecar.model import Ask, Call, Operation, Record, Traffic
from sidecar.settings import Baseline as Prior


def call(*, model: str = "m", size: int = 100, stream: bool = True, reasoning: bool = False) -> Call:
    return Call(
        id="1",
        route="r",
        provider="a",
        dialect="openai_chat",
        method="POST",
        path="/v1/chat/completions",
        query="",
        headers=(),
        body=b"x" * size,
        ask=Ask(operation=Operation.CHAT, model=model, stream=stream, reasoning=reasoning),
        traffic=Traffic.INTERACTIVE,
        arrived=0.0,
        deadline=30.0,
        record=Record(),
    )


def taught(usual: Usual, seconds: float, about: Call, *, times: int = 60, model: str = "m-1") -> Usual:
    for n in range(times):
        usual.learn(about, model, 10.0 * n, seconds=seconds, tokens=300)
    return usual


def shortest(usual: Usual, about: Call) -> float | None:
    return usual.shortest(about, "", enough=50, deviations=3.0, share=0.25)


@pytest.mark.parametrize(
    "other",
    [call(size=20_000), call(size=100_000), call(stream=False), call(reasoning=True), call(model="n")],
    ids=["medium", "large", "whole", "reasoning", "model"],
)
def test_each_kind_of_request_has_its_own_usual(other: Call):
    usual = taught(taught(Usual(), 1.0, call()), 20.0, other, model="" if other.ask.model == "n" else "m-1")

    assert 1.0 == pytest.approx(usual.seconds(call()), rel=0.06)
    assert 20.0 == pytest.approx(usual.seconds(other), rel=0.06)


def test_a_new_answering_model_starts_from_nothing_and_an_old_one_finds_what_it_taught():
    usual = taught(Usual(), 1.0, call(), model="m-2025-01")
    assert usual.seconds(call(), "m-2025-06") is None

    taught(usual, 3.0, call(), model="m-2025-06")

    assert 3.0 == pytest.approx(usual.seconds(call()), rel=0.06)
    assert 1.0 == pytest.approx(usual.seconds(call(), "m-2025-01"), rel=0.06)


def test_nothing_is_usual_before_enough_was_seen():
    usual = taught(Usual(), 1.0, call(), times=29)

    assert usual.seconds(call(), enough=30) is None
    assert shortest(usual, call()) is None


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, 0.5), (1.0, 1.0), (40.0, 8.0)])
def test_a_prior_stands_in_and_then_holds_what_is_learned(seconds: float, expected: float):
    usual = Usual(Prior(first_content=2.0, tokens=400))
    assert 2.0 == usual.seconds(call(), enough=30)
    assert usual.seconds(call(stream=False)) is None
    assert 400 * 0.25 > (shortest(usual, call()) or math.inf)

    taught(usual, seconds, call())

    assert expected == pytest.approx(usual.seconds(call(), enough=30), rel=0.06)


def test_lengths_are_short_below_a_quarter_and_three_deviations():
    lengths, rng = Lengths(), random.Random(1)
    for _ in range(2000):
        lengths.observe(rng.lognormvariate(math.log(400), 0.3))

    narrow = lengths.shortest(None, enough=50, deviations=3.0, share=0.25)
    assert narrow is not None
    assert 100 == pytest.approx(narrow, rel=0.2)  # a quarter rules where lengths hardly vary
    for _ in range(2000):
        lengths.observe(rng.lognormvariate(math.log(400), 1.0))
    wide = lengths.shortest(None, enough=50, deviations=3.0, share=0.25)
    assert wide is not None
    assert wide < 40  # deviations rule where they do


def test_at_any_rate_the_memory_reaches_back_twenty_minutes():
    usual = Usual()
    for n in range(30_000):  # one a tenth of a second, for fifty minutes
        usual.learn(call(), "", n / 10, seconds=1.0, tokens=None)
    for n in range(1000):  # then slower for 100 s
        usual.learn(call(), "", 3000 + n / 10, seconds=9.0, tokens=None)

    assert 1.0 == pytest.approx(usual.seconds(call()), rel=0.06)
    assert 1200 == ENOUGH * APART


def test_what_is_kept_is_bounded():
    usual = Usual()
    for n in range(500):
        usual.learn(call(model=f"m{n}"), f"a{n}", float(n), seconds=1.0, tokens=1.0)

    assert KINDS == len(usual.snapshot()["kinds"])
    assert KINDS == len(usual.snapshot()["answering"])


@settings(max_examples=30)
@given(st.lists(st.floats(0.01, 100.0), min_size=10, max_size=300), st.booleans())
def test_a_snapshot_is_plain_and_brings_everything_back(values: list[float], stream: bool):
    usual = Usual()
    about = call(stream=stream)
    for n, value in enumerate(values):
        usual.learn(about, "m-1", 10.0 * n, seconds=value, tokens=value * 100)
    again = Usual()
    again.restore(json.loads(json.dumps(usual.snapshot())))

    assert usual.seconds(about) == again.seconds(about)
    assert shortest(usual, about) == shortest(again, about)


def test_what_was_learned_since_the_start_is_not_overwritten():
    old, new = taught(Usual(), 9.0, call()), taught(Usual(), 1.0, call())

    new.restore(old.snapshot())

    assert 1.0 == pytest.approx(new.seconds(call()), rel=0.06)


GOOD = {
    "model": "m",
    "size": 0,
    "reasoning": False,
    "stream": True,
    "seconds": {"count": 1, "weights": {"3": 1.0}},
    "lengths": {"count": 1, "mean": 1.0, "variance": 0.1},
}
BAD: list[Any] = [
    None,
    [],
    {"kinds": [GOOD]},
    {"answering": [], "kinds": [GOOD]},
    {"answering": {}, "kinds": [GOOD, {}]},
    {"answering": {}, "kinds": [GOOD, {**GOOD, "size": "big"}]},
    {"answering": {}, "kinds": [{**GOOD, "seconds": {"count": 3, "weights": {}}}]},
    {"answering": {}, "kinds": [{**GOOD, "seconds": {"count": 3, "weights": {"999": 1.0}}}]},
    {"answering": {}, "kinds": [{**GOOD, "seconds": {"count": -3, "weights": {"9": 1.0}}}]},
    {"answering": {}, "kinds": [{**GOOD, "seconds": {"count": 3, "weights": {"9": float("nan")}}}]},
    {"answering": {}, "kinds": [{**GOOD, "lengths": {"count": 3, "mean": True, "variance": 1.0}}]},
]


@pytest.mark.parametrize("saved", BAD, ids=repr)
def test_what_no_snapshot_says_is_refused_and_changes_nothing(saved: Any):
    usual = taught(Usual(), 1.0, call())
    before = usual.snapshot()

    with pytest.raises((LookupError, ValueError, TypeError, AttributeError)):
        usual.restore(saved)

    assert before == usual.snapshot()


def test_a_restored_median_is_the_same_and_goes_on_learning():
    baseline, again = Baseline(), Baseline()
    for _ in range(5000):
        baseline.observe(2.0)
    again.restore(baseline.snapshot())
    assert baseline.median == again.median

    for _ in range(400):
        again.observe(8.0)

    assert 8.0 == pytest.approx(again.median, rel=0.06)
