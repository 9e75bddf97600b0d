"""Signals at five calls a minute and at five hundred a second, through the real Guard and Judge.

What is shown at each volume. A target that turns shorter, slower or unparsable opens the route's quality
breaker: at 5 a minute within 20 of its bad answers, at 500 a second within one second of the first.
Quiet traffic opens nothing, in 24 virtual hours over 20 seeds.

How the quiet day is run. At 5 a minute whole: 7,200 calls per seed. At 500 a second a day is 43 million
calls, so of every hour 0.8 seconds are run, 9,600 calls per seed, 192,000 in all. They follow each
other on the clock without a gap: a gap would empty the breaker's window, and then it would be tested
with five samples where a busy day always has twenty. What is lost is only more of the same chance. Over
the day the target's speed swings by a third up and down, which a median has to follow.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from sidecar.events import (
    Judged,
)
from tests.signals.world import Plan, World, quiet

SPARSE, BUSY = 5 / 60, 500.0  # calls a second
DAY = 86400.0
ONSETS: dict[str, dict[str, Any]] = {
    "shorter": {"shorter": 12.0, "json": 0.0},
    "slower": {"slower": 5.0, "json": 0.0},
    "unparsable": {"unparsable": 1.0, "json": 1.0},
}


def swing(at: float, ahead: float = 0.0) -> float:
    """The mood of a day: a third slower at its height, a third faster at night."""
    return math.exp(0.3 * math.sin(2 * math.pi * (at + ahead) / DAY))


@pytest.mark.parametrize("seed", range(20))
def test_a_quiet_day_at_five_a_minute_opens_nothing(seed: int):
    world = World(seed=seed)
    world.play(quiet(random.Random(seed), SPARSE, world.now(), DAY, mood=swing))

    assert world.asked > 6500
    assert sum(isinstance(event, Judged) for event in world.told) > 50, "the noise was not seen at all"
    assert 0 == world.openings


@pytest.mark.parametrize("seed", range(20))
def test_a_quiet_day_at_five_hundred_a_second_opens_nothing(seed: int):
    world = World(seed=seed)
    rng = random.Random(seed)
    for hour in range(24):
        mood = partial(swing, ahead=hour * 3600.0)
        world.play(quiet(rng, BUSY, world.now(), 0.8, mood=mood))

    assert world.asked > 9_000
    assert sum(isinstance(event, Judged) for event in world.told) > 100
    assert 0 == world.openings


@pytest.mark.parametrize("onset", ONSETS)
@pytest.mark.parametrize("seed", range(5))
def test_at_five_a_minute_an_onset_is_seen_within_twenty_bad_answers(onset: str, seed: int):
    world, rng = World(seed=seed), random.Random(seed)
    kind = ONSETS[onset]
    world.play(quiet(rng, SPARSE, world.now(), 4 * 3600, json=kind["json"]))
    assert 0 == world.openings
    before = world.answered
    world.play(quiet(rng, SPARSE, world.now(), 3600, **kind), stop=lambda: world.openings > 0)

    assert 1 == world.openings
    assert world.answered - before <= 20


@pytest.mark.parametrize("onset", ONSETS)
@pytest.mark.parametrize("seed", range(5))
def test_at_five_hundred_a_second_an_onset_is_seen_within_a_second(onset: str, seed: int):
    world, rng = World(seed=seed), random.Random(seed)
    kind = ONSETS[onset]
    world.play(quiet(rng, BUSY, world.now(), 5.0, json=kind["json"]))
    assert 0 == world.openings
    told = len(world.told)
    world.play(quiet(rng, BUSY, world.now(), 20.0, **kind), stop=lambda: world.openings > 0)
    first = next(event.call for event in world.told[told:] if isinstance(event, Judged))

    assert 1 == world.openings
    seen = first.record.attempts[-1].first_content if onset == "slower" else first.record.attempts[-1].ended
    assert seen is not None
    assert world.now() - seen <= 1.0


@pytest.mark.parametrize("seed", range(3))
def test_a_hiccup_opens_nothing_at_five_hundred_a_second(seed: int):
    """Fifty answers are stuck and come at once, six seconds late, among others that are well: by count
    alone the last twenty would be reason enough.
    """
    world, rng = World(seed=seed), random.Random(seed)
    start = world.now()

    def stuck() -> Iterator[tuple[float, Plan]]:
        for at, plan in quiet(rng, BUSY, start, 20.0):
            late = start + 11.0 - at if 5.0 <= at - start < 5.1 else plan.first
            yield at, replace(plan, first=late, end=late + plan.end - plan.first)

    world.play(stuck(), stop=lambda: world.now() > start + 14.0)

    slow = [event for event in world.told if isinstance(event, Judged) and "slow" in event.finding.signal]
    assert len(slow) > 40
    assert 0 == world.openings


@pytest.mark.parametrize("seed", range(3))
def test_a_target_that_slows_down_within_seconds_does_not_become_its_own_norm(seed: int):
    """Five hundred lessons a second would have made each second's median the next one's."""
    world, rng = World(seed=seed), random.Random(seed)
    began = world.now() + 10.0

    def slowing(at: float) -> float:
        return min(6.0, max(1.0, at - began))

    world.play(quiet(rng, BUSY, world.now(), 20.0, mood=slowing), stop=lambda: world.openings > 0)

    assert 1 == world.openings
