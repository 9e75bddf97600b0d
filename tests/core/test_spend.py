from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.spend import SLICE, SLICES, Level, Spend

HOUR = SLICE * SLICES


def test_an_hour_is_added_up_and_forgotten():
    spend = Spend()
    spend.add(10.0, 5)
    spend.add(1800.0, 7)
    assert 12 == spend.hour(1800.0)
    assert 7 == spend.hour(10.0 + HOUR)
    assert 0 == spend.hour(1800.0 + HOUR)


def test_nothing_was_spent_before_anything_was():
    assert 0 == Spend().hour(5.0)


def test_a_long_silence_forgets_all():
    spend = Spend()
    spend.add(0.0, 5)
    assert 0 == spend.hour(1e9)
    spend.add(1e9, 3)
    assert 3 == spend.hour(1e9)


@pytest.mark.parametrize(
    ("spent", "expected"),
    [(0, Level.UNDER), (79, Level.UNDER), (80, Level.WARN), (99, Level.WARN), (100, Level.OVER)],
)
def test_a_budget_warns_before_it_is_gone(spent: int, expected: Level):
    spend = Spend()
    spend.add(0.0, spent)
    assert expected is spend.level(1.0, 100)


def test_without_a_budget_nothing_is_too_much():
    spend = Spend()
    spend.add(0.0, 10**30)
    assert Level.UNDER is spend.level(0.0, None)


def test_a_budget_heals_with_time():
    spend = Spend()
    spend.add(0.0, 100)
    assert [Level.OVER, Level.UNDER] == [spend.level(0.0, 100), spend.level(HOUR, 100)]


def test_a_clock_that_goes_back_loses_no_money():
    spend = Spend()
    spend.add(600.0, 5)
    spend.add(0.0, 7)
    assert 12 == spend.hour(600.0)


@given(st.lists(st.tuples(st.floats(0, 900), st.integers(0, 10**15)), max_size=60))
def test_the_ring_agrees_with_a_list_of_all_that_was_spent(steps: list[tuple[float, int]]):
    spend, now, log = Spend(), 0.0, []
    for pause, amount in steps:
        now += pause
        spend.add(now, amount)
        log.append((int(now // SLICE), amount))
        assert sum(a for turn, a in log if turn > int(now // SLICE) - SLICES) == spend.hour(now)
