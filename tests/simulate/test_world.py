"""The day is the same for everybody, and as bad as the world says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from sidecar.simulate.world import CALL_PRICE, DAY, WORLDS, Day, Fate, Spells, Target, World

PUBLISHED, CORRELATED, STALLS, STORMS = WORLDS
CALM = World(name="calm", told="nothing goes wrong", outages=Spells(), stalls=0.0)


def fates(day: Day, target: Target, step: float = 20.0) -> Counter[Fate]:
    times = [number * step for number in range(int(day.end / step))]
    return Counter(day.luck(target, at, number, 1).fate for number, at in enumerate(times))


def test_an_attempts_luck_depends_on_nothing_but_seed_target_call_number_and_time():
    one, other = Day(PUBLISHED, 7), Day(PUBLISHED, 7)
    other.luck(Target.PEER, 0.0, 1, 1)
    assert one.luck(Target.PRIMARY, 500.0, 9, 2) == other.luck(Target.PRIMARY, 500.0, 9, 2)
    assert one.arrivals == other.arrivals
    assert one.arrivals != Day(PUBLISHED, 8).arrivals


def test_a_shorter_day_has_the_pace_of_a_whole_one():
    day = Day(PUBLISHED, 1, 5000)
    assert 5000 == len(day.arrivals)
    assert DAY / 10 == pytest.approx(day.end)
    assert 0 <= day.arrivals[0] <= day.arrivals[-1] <= day.end


def test_spells_take_their_share_of_a_long_time():
    spells = Spells(0.0236, 45.0)
    end = 200 * DAY
    found = list(spells.draw(Day(CALM, 3)._rng("x"), end))
    assert 0.0236 == pytest.approx(sum(until - at for at, until in found) / end, rel=0.05)
    assert 45.0 == pytest.approx(sum(until - at for at, until in found) / len(found), rel=0.05)


def test_in_a_calm_world_the_primary_answers_always_and_a_peer_nearly_always():
    day = Day(CALM, 1)
    peer = fates(day, Target.PEER)
    assert {Fate.ANSWER} == set(fates(day, Target.PRIMARY))
    assert 0 < peer[Fate.REFUSED] < 0.006 * peer.total()


def test_in_an_outage_every_attempt_at_the_primary_is_refused_and_none_at_the_peers():
    day = Day(replace(CALM, outages=Spells(0.5, 3600.0)), 2)
    at = day._outages[0] + 1
    assert {Fate.REFUSED} == {day.luck(Target.PRIMARY, at, call, 1).fate for call in range(50)}
    assert Fate.ANSWER in {day.luck(Target.PEER, at, call, 1).fate for call in range(50)}


def test_an_outage_that_is_shared_takes_the_peers_too():
    day = Day(replace(CALM, outages=Spells(0.5, 600.0), overlap=0.3), 2)
    outages = list(zip(day._outages[::2], day._outages[1::2], strict=True))
    shared = 0
    for begin, end in outages:
        at = (begin + end) / 2
        refused = {
            target: all(day.luck(target, at, call, 1).fate is Fate.REFUSED for call in range(20))
            for target in Target
        }
        assert refused[Target.PRIMARY]
        assert refused[Target.PEER] == refused[Target.LAST]
        shared += refused[Target.PEER]
    assert 0.3 == pytest.approx(shared / len(outages), abs=0.12)


def test_stalls_hit_their_share_of_the_primarys_attempts_alone():
    day = Day(STALLS, 1)
    primary = fates(day, Target.PRIMARY)
    assert 0.525 == pytest.approx(primary[Fate.STALL] / primary.total(), abs=0.03)
    assert 0 == fates(day, Target.PEER)[Fate.STALL]


def test_a_storm_limits_primary_and_peer_with_a_wait_and_bills_nothing():
    day = Day(replace(STORMS, outages=Spells(), stalls=0.0, limited=1.0), 4)
    at = day._storms[0] + 1
    for target in (Target.PRIMARY, Target.PEER):
        luck = day.luck(target, at, 5, 1)
        assert (Fate.LIMITED, 0.0) == (luck.fate, luck.price)
        assert 1 <= luck.wait <= 20
    assert Fate.LIMITED is not day.luck(Target.LAST, at, 5, 1).fate


def test_prices_are_the_targets():
    day = Day(CALM, 1)
    assert CALL_PRICE == day.luck(Target.PRIMARY, 0.0, 1, 1).price
    assert 2.15 * CALL_PRICE == pytest.approx(day.luck(Target.PEER, 0.0, 1, 1).price)
