from __future__ import annotations

from math import inf

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
    spend = Spend(100)
    spend.add(0.0, spent)
    assert expected is spend.level(1.0)


def test_without_a_budget_nothing_is_too_much():
    spend = Spend()
    spend.add(0.0, 10**30)
    assert Level.UNDER is spend.level(0.0)
    assert 5.0 == spend.until(5.0)


def test_a_budget_heals_with_time():
    spend = Spend(100)
    spend.add(0.0, 100)
    assert [Level.OVER, Level.UNDER] == [spend.level(0.0), spend.level(HOUR)]


def test_a_level_is_told_once():
    spend = Spend(100)
    spend.add(0.0, 90)
    assert [Level.WARN, None] == [spend.moved(0.0), spend.moved(1.0)]
    spend.add(1.0, 90)
    assert [Level.OVER, None] == [spend.moved(1.0), spend.moved(2.0)]
    assert Level.UNDER is spend.moved(HOUR)


def test_it_says_when_there_is_money_again():
    spend = Spend(100)
    for minute, amount in ((0, 30), (10, 50), (20, 60)):
        spend.add(minute * SLICE, amount)
    assert HOUR + 10 * SLICE == spend.until(30 * SLICE)  # 140 - 30 are too much still, 110 - 50 are not
    assert Level.OVER is spend.level(HOUR + 10 * SLICE - 1)
    assert Level.UNDER is spend.level(HOUR + 10 * SLICE)


def test_a_budget_of_nothing_is_spent_for_ever():
    assert inf == Spend(0).until(1.0)


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
