from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.breaker import PATIENCE, PROBE_POLL, Breaker, Denied, Permit
from sidecar.faults import Charge
from sidecar.model import BreakerState, Transition
from sidecar.settings import QUALITY_BREAKER, BreakerRules

GOOD, BAD, NEUTRAL = Charge.GOOD, Charge.BAD, Charge.NEUTRAL
RULES = BreakerRules(jitter=0.0)


def breaker(rules: BreakerRules = RULES) -> Breaker:
    return Breaker(rules, random.Random(1))


class Driver:
    """Feeds samples, each its own call and body unless told otherwise."""

    def __init__(self, rules: BreakerRules = RULES) -> None:
        self.breaker = breaker(rules)
        self.n = 0

    def sample(self, charge: Charge, now: float, *, call: str | None = None, body: int | None = None) -> None:
        self.n += 1
        permit = self.breaker.allow(now)
        assert isinstance(permit, Permit)
        self.breaker.record(
            permit, charge, now, call=call or f"c{self.n}", body=self.n if body is None else body
        )

    def trip(self, now: float) -> None:
        for _ in range(5):
            self.sample(BAD, now)
        assert BreakerState.OPEN is self.breaker.state


def test_a_run_of_five_from_two_calls_opens_it():
    driver = Driver()

    for n in range(4):
        driver.sample(BAD, n, call="one")
    assert BreakerState.CLOSED is driver.breaker.state
    driver.sample(BAD, 4, call="two")

    assert BreakerState.OPEN is driver.breaker.state
    assert (Transition(BreakerState.CLOSED, BreakerState.OPEN, "run", 5, 5),) == driver.breaker.moves()


def test_the_retries_of_one_call_prove_little():
    driver = Driver()

    for n in range(9):
        driver.sample(BAD, n, call="one", body=1)

    assert BreakerState.CLOSED is driver.breaker.state


def test_one_good_sample_breaks_the_run():
    driver = Driver()

    for charge in (BAD, BAD, BAD, BAD, GOOD, BAD, BAD):
        driver.sample(charge, 1.0)

    assert BreakerState.CLOSED is driver.breaker.state


def test_neutral_samples_touch_no_count():
    driver = Driver()

    for charge in (BAD, BAD, BAD, BAD, NEUTRAL, NEUTRAL):
        driver.sample(charge, 1.0)

    assert (4, 4) == driver.breaker.counts()


def test_where_traffic_is_sparse_a_run_may_take_ten_minutes():
    driver = Driver()

    for n in range(5):
        driver.sample(BAD, n * 120.0)

    assert BreakerState.OPEN is driver.breaker.state


def test_where_traffic_is_dense_a_run_has_one_minute():
    driver = Driver(replace(RULES, run=12, ratio=2.0))

    for n in range(12):
        driver.sample(BAD, 0.0 if n == 0 else 61.0)

    assert BreakerState.CLOSED is driver.breaker.state


def test_half_bad_of_at_least_ten_opens_it():
    driver = Driver()

    for n in range(9):
        driver.sample(BAD if n % 2 else GOOD, n)
    assert BreakerState.CLOSED is driver.breaker.state
    driver.sample(BAD, 9)

    assert BreakerState.OPEN is driver.breaker.state
    assert "ratio" == driver.breaker.moves()[0].trigger


def test_samples_older_than_ten_minutes_are_no_evidence():
    driver = Driver()

    for n in range(9):
        driver.sample(BAD if n % 2 else GOOD, 0)
    driver.sample(BAD, 601)

    assert BreakerState.CLOSED is driver.breaker.state


def test_a_poison_body_among_good_ones_is_charged_to_the_body():
    driver = Driver()
    driver.sample(GOOD, 0, body=1)

    for n in range(10):
        for _ in range(3):
            driver.sample(BAD, n, call=f"poison {n}", body=666)

    assert BreakerState.CLOSED is driver.breaker.state


def test_a_fault_that_the_next_target_repeats_is_pardoned():
    driver = Driver()

    for n in range(10):
        for _ in range(3):
            driver.sample(BAD, n, call=f"poison {n}", body=666)
        driver.breaker.pardon(f"poison {n}", n)

    assert BreakerState.CLOSED is driver.breaker.state


def test_pardoned_faults_of_three_different_requests_are_evidence_again():
    driver = Driver()

    for n in range(3):
        driver.sample(BAD, n, call=f"c{n}", body=n)
        driver.sample(BAD, n, call=f"c{n}", body=n)
        driver.breaker.pardon(f"c{n}", n)
    assert BreakerState.CLOSED is driver.breaker.state
    driver.sample(BAD, 3)

    assert BreakerState.OPEN is driver.breaker.state


def test_a_pardon_takes_back_an_opening_it_takes_the_grounds_from():
    driver = Driver()
    for n in range(5):
        driver.sample(BAD, n, call="one" if n < 4 else "two", body=1)
    assert BreakerState.OPEN is driver.breaker.state

    driver.breaker.pardon("one", 5)

    assert BreakerState.CLOSED is driver.breaker.state
    assert ["run", "pardon"] == [moved.trigger for moved in driver.breaker.moves()]


def test_open_admits_nothing_before_its_time_and_one_probe_after():
    driver = Driver()
    driver.trip(0.0)

    assert Denied(60.0) == driver.breaker.allow(59.9)
    probe = driver.breaker.allow(60.0)
    assert isinstance(probe, Permit)
    assert probe.probe
    assert Denied(60.0 + PROBE_POLL) == driver.breaker.allow(60.0)


def test_a_silent_probe_keeps_others_away_for_a_while_and_both_count():
    driver = Driver()
    driver.trip(0.0)
    silent = driver.breaker.allow(60.0)
    assert isinstance(silent, Permit)

    assert isinstance(driver.breaker.allow(60.0 + PATIENCE - 0.1), Denied)
    second = driver.breaker.allow(60.0 + PATIENCE)
    assert isinstance(second, Permit)
    assert second.probe
    assert isinstance(driver.breaker.allow(61.0 + PATIENCE), Denied)
    driver.breaker.proved(silent)  # no longer the one that others wait for
    assert isinstance(driver.breaker.allow(61.0 + PATIENCE), Denied)
    for permit in (silent, second):
        driver.breaker.record(permit, GOOD, 72.0, call="c", body=1)

    assert BreakerState.CLOSED is driver.breaker.state


def test_first_content_frees_the_probes_slot_and_a_bad_end_still_reopens():
    driver = Driver()
    driver.trip(0.0)
    first = driver.breaker.allow(60.0)
    assert isinstance(first, Permit)

    driver.breaker.proved(first)
    second = driver.breaker.allow(60.0)
    assert isinstance(second, Permit)
    driver.breaker.record(first, BAD, 61.0, call="p", body=0)

    assert BreakerState.OPEN is driver.breaker.state
    assert 61.0 + 120.0 == driver.breaker.until


def test_a_neutral_probe_gives_its_slot_back_and_decides_nothing():
    driver = Driver()
    driver.trip(0.0)

    for _ in range(3):
        probe = driver.breaker.allow(60.0)
        assert isinstance(probe, Permit)
        driver.breaker.record(probe, NEUTRAL, 60.0, call="p", body=0)

    assert BreakerState.HALF_OPEN is driver.breaker.state


def test_two_good_probes_close_it():
    driver = Driver()
    driver.trip(0.0)

    driver.sample(GOOD, 60.0)
    assert BreakerState.HALF_OPEN is driver.breaker.state
    driver.sample(GOOD, 61.0)

    assert BreakerState.CLOSED is driver.breaker.state
    assert ["run", "rest_over", "probe"] == [moved.trigger for moved in driver.breaker.moves()]


def test_failed_probes_double_the_rest_up_to_its_cap():
    driver = Driver()
    driver.trip(0.0)
    rests = []

    for _ in range(5):
        now = driver.breaker.until
        driver.sample(BAD, now)
        rests.append(driver.breaker.until - now)

    assert [120, 240, 300, 300, 300] == rests


def test_without_growth_the_rest_stays():
    driver = Driver(replace(RULES, open=15.0, growth=1.0))
    driver.trip(0.0)
    driver.sample(BAD, driver.breaker.until)

    assert 30.0 == driver.breaker.until


def test_grown_rests_are_forgotten_with_time():
    driver = Driver()
    driver.trip(0.0)
    driver.sample(BAD, 60.0)
    driver.sample(GOOD, 180.0)
    driver.sample(GOOD, 180.0)

    driver.trip(180.0 + 60.0 + RULES.ramp)

    assert 60.0 == driver.breaker.until - (180.0 + 60.0 + RULES.ramp)


def test_a_rest_is_jittered_upwards_only():
    tripped = [Driver(BreakerRules()) for _ in range(20)]
    for n, driver in enumerate(tripped):
        driver.breaker.rng = random.Random(n)
        driver.trip(0.0)

    rests = {driver.breaker.until for driver in tripped}

    assert 20 == len(rests)
    assert all(60.0 <= rest <= 66.0 for rest in rests)


def test_a_late_answer_to_an_old_question_is_not_counted():
    driver = Driver()
    late = driver.breaker.allow(0.0)
    assert isinstance(late, Permit)
    driver.trip(0.0)

    driver.breaker.record(late, GOOD, 1.0, call="late", body=0)

    assert BreakerState.OPEN is driver.breaker.state
    assert (5, 5) == driver.breaker.counts()


def test_after_closing_a_herd_is_let_in_slowly():
    driver = Driver()
    driver.trip(0.0)
    driver.sample(GOOD, 60.0)
    driver.sample(GOOD, 60.0)

    early = sum(isinstance(driver.breaker.allow(61.0), Permit) for _ in range(1000))
    late = sum(isinstance(driver.breaker.allow(61.0 + RULES.ramp), Permit) for _ in range(1000))

    assert 100 <= early <= 200
    assert 1000 == late


def test_after_closing_sparse_calls_are_not_held_back():
    driver = Driver()
    driver.trip(0.0)
    driver.sample(GOOD, 60.0)
    driver.sample(GOOD, 60.0)

    assert all(isinstance(driver.breaker.allow(60.0 + n * 4), Permit) for n in range(1, 10))


def test_with_nowhere_else_to_go_a_target_that_still_answers_some_is_asked():
    driver = Driver()
    for n in range(10):
        driver.sample(BAD if n % 2 else GOOD, n)
    assert BreakerState.OPEN is driver.breaker.state

    assert isinstance(driver.breaker.allow(11), Denied)
    assert isinstance(driver.breaker.insist(11), Permit)


def test_with_nowhere_else_to_go_a_dead_target_is_still_not_asked_before_its_probe():
    driver = Driver()
    driver.trip(0.0)

    assert Denied(60.0) == driver.breaker.insist(1.0)
    assert isinstance(driver.breaker.insist(60.0), Permit)


def test_good_answers_on_insistence_close_it_early():
    driver = Driver()
    for n in range(10):
        driver.sample(BAD if n % 2 else GOOD, n)

    for n in range(2):
        permit = driver.breaker.insist(11)
        assert isinstance(permit, Permit)
        driver.breaker.record(permit, GOOD, 11, call=f"i{n}", body=n)

    assert BreakerState.CLOSED is driver.breaker.state


def test_an_operators_word_wins_and_is_told():
    driver = Driver()

    driver.breaker.force(BreakerState.OPEN, 0.0)
    assert isinstance(driver.breaker.allow(1e6), Denied)
    assert isinstance(driver.breaker.insist(1e6), Denied)
    driver.breaker.force(BreakerState.CLOSED, 0.0)
    assert isinstance(driver.breaker.allow(0.0), Permit)
    driver.breaker.force(None, 0.0)

    assert ["manual", "manual"] == [moved.trigger for moved in driver.breaker.moves()]
    assert BreakerState.CLOSED is driver.breaker.shown


def test_a_quality_breaker_needs_three_different_requests():
    driver = Driver(replace(QUALITY_BREAKER, jitter=0.0))

    for n in range(8):
        driver.sample(BAD, n, body=n % 2)
    assert BreakerState.CLOSED is driver.breaker.state
    driver.sample(BAD, 8, body=3)

    assert BreakerState.OPEN is driver.breaker.state


@pytest.mark.parametrize("size", [1_000])
def test_memory_does_not_grow_with_traffic(size: int):
    driver = Driver(replace(RULES, ratio=2.0, run=0))

    for n in range(size):
        driver.sample(BAD if n % 3 else GOOD, n / 10)

    assert (13, 20) == driver.breaker.counts() or driver.breaker.counts()[1] == 20


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["ask", "good", "bad", "neutral", "content", "pardon"]), st.floats(0, 40)),
        max_size=60,
    ),
    st.integers(0, 5),
)
def test_whatever_happens_open_admits_nothing_early_and_one_probe_at_a_time(
    steps: list[tuple[str, float]], seed: int
):
    machine = Breaker(BreakerRules(), random.Random(seed))
    now, n, probed = 0.0, 0, 0.0
    held: list[Permit] = []
    unproved: set[int] = set()
    for step, passed in steps:
        now += passed
        if step == "ask":
            state, until = machine.state, machine.until
            given_permit = machine.allow(now)
            if isinstance(given_permit, Permit):
                assert not (state is BreakerState.OPEN and now < until)
                if given_permit.probe:
                    assert not unproved or now >= probed + PATIENCE, "two probes at a time"
                    unproved, probed = {id(given_permit)}, now
                held.append(given_permit)
            else:
                assert given_permit.until > now
        elif held:
            n += 1
            permit = held.pop(0)
            if step == "content":
                machine.proved(permit)
                held.append(permit)
            elif step == "pardon":
                machine.pardon(f"c{n % 4}", now)
                held.append(permit)
            else:
                machine.record(permit, Charge(step), now, call=f"c{n % 4}", body=n % 5)
            if step != "pardon":
                unproved.discard(id(permit))
        if machine.state is not BreakerState.HALF_OPEN:
            unproved.clear()
