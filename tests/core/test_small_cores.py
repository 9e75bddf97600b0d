from __future__ import annotations

import random
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.admission import Admission
from sidecar.core.backoff import wait
from sidecar.core.baseline import Baseline
from sidecar.core.budget import Budget
from sidecar.core.deadline import share
from sidecar.core.waits import KEPT, RECHECK, Waits
from sidecar.model import Failed, Fault, Scope
from sidecar.settings import BudgetRules, RetryRules

RULES = RetryRules()


class Most:
    """Chance that always draws the largest."""

    def uniform(self, a: float, b: float, /) -> float:
        return b


@pytest.mark.parametrize(
    ("n", "longest"), [(0, 0.5), (1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (40, 8.0)]
)
def test_backoff_doubles_up_to_its_cap(n: int, longest: float):
    planned = wait(n, RULES, Most(), hint=None, left=100.0, alone=False)

    assert planned is not None
    assert (longest, "backoff") == (planned.seconds, planned.source)


@given(st.integers(0, 50), st.integers(0, 1000))
def test_backoff_is_full_jitter(n: int, seed: int):
    planned = wait(n, RULES, random.Random(seed), hint=None, left=100.0, alone=True)

    assert planned is not None
    assert 0.0 <= planned.seconds <= min(8.0, 0.5 * 2**n)


@pytest.mark.parametrize(
    ("hint", "left", "alone", "seconds"),
    [
        (2.0, 30.0, False, 2.0),  # the provider's word, as it is
        (4.9, 30.0, False, 4.9),
        (5.1, 30.0, False, None),  # another target is better than waiting this long
        (2.0, 6.0, False, None),  # more than a quarter of what is left
        (20.0, 30.0, True, 20.0),  # nobody else: waited for
        (40.0, 30.0, True, None),  # does not fit the deadline
    ],
)
def test_a_hint_is_never_shortened_but_may_be_too_long(
    hint: float, left: float, alone: bool, seconds: float | None
):
    planned = wait(0, RULES, Most(), hint=hint, left=left, alone=alone)

    assert seconds == (planned.seconds if planned else None)


def test_a_budget_starts_full_and_dries_up():
    budget = Budget(BudgetRules())

    assert 10 == sum(budget.withdraw(0.0) for _ in range(50))


def test_calls_and_minutes_refill_a_budget():
    budget = Budget(BudgetRules())
    while budget.withdraw(0.0):
        pass

    for _ in range(5):
        budget.deposit(0.0)
    assert [True, False] == [budget.withdraw(0.0), budget.withdraw(0.0)]
    assert [True, True, False] == [budget.withdraw(120.0) for _ in range(3)]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=300))
def test_retries_never_exceed_the_budget(steps: list[tuple[bool, float]]):
    budget, now, calls, retries = Budget(BudgetRules()), 0.0, 0, 0
    for is_call, passed in steps:
        now += passed
        if is_call:
            calls += 1
            budget.deposit(now)
        else:
            retries += budget.withdraw(now)

    assert retries <= 10 + 0.2 * calls + now / 60 + 1e-6


def limited(seconds: float | None, fault: Fault = Fault.RATE_LIMIT_RPM, scope: Scope = Scope.MODEL) -> Failed:
    return Failed(fault, scope, seconds)


WAY: dict[str, Any] = {"provider": "p", "model": "m", "digest": "k"}


def test_a_named_wait_holds_for_its_scope_until_it_is_over():
    waits = Waits()
    waits.remember(limited(7.0), 100.0, **WAY, final=False)

    assert waits.refusal(106.9, **WAY) is not None
    assert waits.refusal(106.9, provider="p", model="other", digest="k") is None
    assert waits.refusal(106.9, provider="p", model="m", digest="other") is None
    assert waits.refusal(107.0, **WAY) is None


def test_a_limit_without_a_time_holds_only_once_its_call_gives_up():
    waits = Waits()

    waits.remember(limited(None), 0.0, **WAY, final=False)
    assert waits.refusal(0.1, **WAY) is None
    waits.remember(limited(None), 0.0, **WAY, final=True)
    assert waits.refusal(0.1, **WAY) is not None


def test_a_quota_holds_for_the_key_and_all_its_models():
    waits = Waits()
    waits.remember(limited(None, Fault.QUOTA_EXHAUSTED, Scope.KEY), 0.0, **WAY, final=True)

    assert waits.refusal(599.0, provider="p", model="other", digest="k") is not None
    assert waits.refusal(599.0, provider="p", model="m", digest="fresh key") is None
    assert waits.refusal(600.0, **WAY) is None


def test_no_wait_is_held_longer_than_ten_minutes():
    waits = Waits()
    waits.remember(limited(1e6), 0.0, **WAY, final=False)

    assert waits.refusal(599.0, **WAY) is not None
    assert waits.refusal(600.0, **WAY) is None


def test_a_verdict_is_checked_now_and_then_for_a_call_with_nowhere_to_go():
    waits = Waits()
    waits.remember(limited(None, Fault.QUOTA_EXHAUSTED, Scope.KEY), 0.0, **WAY, final=True)

    asked = [waits.refusal(t, **WAY, insist=True) is None for t in (1.0, RECHECK, RECHECK + 1, 2 * RECHECK)]

    assert [False, True, False, True] == asked


def test_a_named_wait_is_kept_even_by_a_call_with_nowhere_to_go():
    waits = Waits()
    waits.remember(limited(300.0), 0.0, **WAY, final=False)

    assert all(waits.refusal(t, **WAY, insist=True) for t in (1.0, RECHECK, 2 * RECHECK))


def test_an_answer_ends_what_was_held():
    waits = Waits()
    waits.remember(limited(300.0), 0.0, **WAY, final=False)

    waits.forget(0.5, **WAY)

    assert waits.refusal(1.0, **WAY) is None


def test_an_answer_to_an_older_question_does_not_end_it():
    waits = Waits()
    waits.remember(limited(300.0), 10.0, **WAY, final=False)

    waits.forget(9.0, **WAY)

    assert waits.refusal(11.0, **WAY) is not None


def test_a_shorter_wait_does_not_cut_a_longer_one():
    waits = Waits()
    waits.remember(limited(300.0), 0.0, **WAY, final=False)
    waits.remember(limited(1.0), 0.0, **WAY, final=False)

    assert waits.refusal(200.0, **WAY) is not None


def test_what_is_remembered_is_bounded():
    waits = Waits()
    for n in range(3 * KEPT):
        waits.remember(limited(300.0), 0.0, provider="p", model=str(n), digest="k", final=False)

    assert KEPT == len(waits._holds)


def test_a_callers_mistake_is_not_remembered():
    waits = Waits()
    waits.remember(limited(None, Fault.INVALID_REQUEST, Scope.REQUEST), 0.0, **WAY, final=True)

    assert waits.refusal(0.0, **WAY) is None


def test_a_baseline_says_nothing_before_it_has_seen_enough():
    baseline = Baseline()
    for _ in range(9):
        baseline.observe(1.0)
    assert baseline.median is None
    baseline.observe(1.0)

    assert baseline.median == pytest.approx(1.0, rel=0.06)


@given(st.floats(0.002, 500.0), st.integers(20, 400))
@settings(max_examples=40)
def test_a_median_is_close_and_recent_answers_decide(value: float, count: int):
    baseline = Baseline()
    for _ in range(100):
        baseline.observe(0.5)
    for _ in range(1000):
        baseline.observe(value)

    assert baseline.median == pytest.approx(value, rel=0.06)


def test_a_baseline_survives_a_million_samples():
    baseline = Baseline()
    for _ in range(20_000):
        baseline.observe(2.0)

    assert baseline.median == pytest.approx(2.0, rel=0.06)
    assert all(weight < inf for weight in baseline._weights)


def test_shares_of_the_deadline_are_fair_and_the_last_has_none():
    assert 10.0 == share(30.0, 0.0, 2)
    assert 15.0 == share(30.0, 0.0, 1)
    assert inf == share(30.0, 0.0, 0)
    assert 31.0 == share(30.0, 31.0, 1)


def test_slots_and_bytes_are_given_back():
    admission = Admission(slots=1, bytes=10)

    with admission.slot() as first, admission.slot() as second:
        assert (True, False) == (first, second)
    with admission.hold() as room, admission.hold() as no_room:
        assert (True, False, True) == (room.take(8), no_room.take(8), room.take(2))
        assert 10 == admission.held

    assert (0, 0) == (admission.in_flight, admission.held)
