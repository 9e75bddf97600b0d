"""When a second target is asked, and how often: the figures, the purses, and what they are worth."""

from __future__ import annotations

import random

import pytest

from sidecar.core.baseline import Baseline, Kind
from sidecar.core.hedging import ENOUGH, KINDS, QUANTILES, SAVED, TIMES_MEDIAN, Hedging, usual_share

KIND: Kind = ("m", 0, False, True)


def taught(*seconds: float) -> Hedging:
    hedging = Hedging()
    for one in seconds:
        hedging.learn("a", KIND, one)
    return hedging


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
def test_a_quantile_is_within_a_few_percent_of_the_true_one(share: float):
    rng = random.Random(3)
    times = Baseline()
    for _ in range(5000):
        times.observe(rng.uniform(1.0, 2.0))

    assert times.quantile(share) == pytest.approx(1.0 + share, rel=0.05)


def test_a_quantile_of_nothing_is_not_known():
    assert Baseline().quantile(0.9) is None


def test_nothing_is_asked_twice_before_enough_is_learned():
    assert taught(*[0.5] * (ENOUGH - 1)).after("a", KIND, 0.9) is None
    assert taught(*[0.5] * ENOUGH).after("a", KIND, 0.9) is not None


def test_other_targets_and_other_requests_have_figures_of_their_own():
    hedging = taught(*[0.5] * ENOUGH)

    assert hedging.after("b", KIND, 0.9) is None
    assert hedging.after("a", ("m", 2, False, True), 0.9) is None


def test_a_tail_as_large_as_the_figure_leaves_out_does_not_move_it_into_the_tail():
    hedging = taught(*[*[0.5] * 9, 9.0] * 30)

    assert hedging.after("a", KIND, 0.95) == pytest.approx(TIMES_MEDIAN * 0.5, rel=0.06)


def test_kinds_are_bounded():
    hedging = Hedging()
    for number in range(3 * KINDS):
        hedging.learn("a", (f"m{number}", 0, False, True), 1.0)

    assert KINDS == len(hedging._times)


def test_the_usual_share_is_a_little_more_than_the_figure_expects():
    assert [0.12, 0.06] == [usual_share(after) for after in ("p90", "p95")]


def test_the_purse_of_attempts_fills_with_calls_and_is_bounded():
    hedging = Hedging()
    for _ in range(9):
        hedging.deposit(0.1, None, None)
    assert not hedging.withdraw(None, None)

    hedging.deposit(0.11, None, None)
    assert hedging.withdraw(None, None)
    assert not hedging.withdraw(None, None)

    for _ in range(1000):
        hedging.deposit(0.1, None, None)
    assert SAVED == sum(hedging.withdraw(None, None) for _ in range(100))


def test_what_was_not_asked_is_given_back():
    hedging = Hedging()
    hedging.deposit(1.0, 100, 100)
    assert hedging.withdraw(100, 100)
    hedging.give_back(100, 100)

    assert hedging.withdraw(100, 100)


@pytest.mark.parametrize(("dearer", "asked"), [(1, 100), (10, 10), (50, 2)])
def test_a_dearer_second_target_is_asked_as_much_more_seldom(dearer: int, asked: int):
    """A tenth of the calls' money, whatever it buys."""
    hedging = Hedging()
    made = 0
    for _ in range(1000):
        hedging.deposit(0.1, 1000, 1000 * dearer)
        made += hedging.withdraw(1000, 1000 * dearer)

    assert asked - 1 <= made <= asked


def test_a_price_that_nobody_knows_is_held_against_nobody():
    hedging = Hedging()
    hedging.deposit(1.0, None, 10**12)

    assert hedging.withdraw(None, 10**12)


MEDIAN, CALLS = 0.5, 5000  # seconds; calls of a new route, from its very first one on


def vendor(rng: random.Random) -> float:
    return MEDIAN * (10.0 if rng.random() < 0.05 else rng.lognormvariate(0.0, 0.25))


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.99 * len(seconds))]


@pytest.mark.parametrize(("after", "most"), [("p95", 0.06), ("p90", 0.12)])
def test_the_slow_tail_is_cut_by_half_within_the_budget_whatever_the_chance(after: str, most: float):
    """The policy alone, learning included; tests/stack/test_hedge plays it with the whole stack. As long as
    nothing is known nothing is asked twice, and at no moment was more asked twice than its share."""
    for seed in range(12):
        rng, hedging = random.Random(seed), Hedging()
        alone, raced, extra = [], [], 0
        for number in range(1, CALLS + 1):
            took = vendor(rng)
            alone.append(took)
            hedging.deposit(usual_share(after), None, None)
            due = hedging.after("a", KIND, QUANTILES[after])
            assert (due is None) is (number <= ENOUGH)
            if due is not None and took > due and hedging.withdraw(None, None):
                extra += 1
                took = min(took, due + vendor(rng))
            assert extra <= most * number
            raced.append(took)
            hedging.learn("a", KIND, took)

        assert p99(raced) <= 0.5 * p99(alone), f"seed {seed}"
        assert extra > 0


def test_hedges_do_not_feed_on_themselves():
    """What was beaten counts with the time it had taken; else the figure would sink from hedge to hedge."""
    rng, hedging = random.Random(5), Hedging()
    fired = []
    for _ in range(4000):
        took = MEDIAN * rng.lognormvariate(0.0, 0.4)
        due = hedging.after("a", KIND, 0.9)
        fired.append(due is not None and took > due)
        hedging.learn("a", KIND, took if due is None or took <= due else min(took, due + 0.2))

    assert 0.08 <= sum(fired[1000:]) / 3000 <= 0.12
