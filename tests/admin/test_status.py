"""What the status page remembers, and the pulse of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from sidecar.events import (
    AttemptEnded,
    FellBack,
    Shed,
)
from sidecar.model import (
    Failed,
    Fault,
)
from sidecar.status import Longest, Status, watch_lag
from tests.kit.vloop import LoopClock, run
from tests.telemetry.events import FIRST, SECOND, attempt, call, every, good


class Hand:
    """A clock that is set by hand, and whose sleeps may be too long."""

    def __init__(self, late: float = 0.0) -> None:
        self.time = 1000.0
        self.late = late

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_763_800_000.0 + self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds + self.late
        await asyncio.sleep(seconds)


def test_provider_health_covers_the_last_five_minutes():
    clock = Hand()
    status = Status(clock)
    bad = attempt(Failed(Fault.OVERLOADED), target=SECOND)
    status.note(AttemptEnded(call(bad), bad))
    clock.time += 299
    for event in good():
        status.note(event)
    assert {"anthropic": {"provider_error": 1}, "openai": {"success": 1}} == status.view()["providers"]
    assert {"success": 1} == status.view()["calls"]

    clock.time += 120

    assert {"openai": {"success": 1}} == status.view()["providers"]
    clock.time += 300
    assert {} == status.view()["providers"]


def test_the_last_decisions_come_newest_first():
    clock = Hand()
    status = Status(clock)
    status.note(FellBack(call(), FIRST, SECOND, Fault.OVERLOADED))
    status.note(Shed(call(), "memory"))

    newest, older = status.view()["decisions"]

    assert ("shed", {"route": "support", "reason": "memory"}) == (newest["event"], newest["what"])
    assert ("fallback", "second") == (older["event"], older["what"]["to"])


def test_a_storm_is_one_decision():
    status = Status(Hand())
    status.note(FellBack(call(), FIRST, SECOND, Fault.OVERLOADED))
    for n in range(500):
        status.note(Shed(replace(call(), id=f"c{n}"), "memory"))

    newest, older = status.view()["decisions"]

    assert (500, "c499", "fallback") == (newest["times"], newest["call"], older["event"])


def test_what_is_remembered_does_not_grow():
    clock = Hand()
    status = Status(clock)
    for n in range(3000):
        clock.time += 7
        status.note(FellBack(call(), FIRST, SECOND, list(Fault)[n % 40]))
        for event in every():
            status.note(event)

    assert 20 == len(status.view()["decisions"])
    assert len(status._slices) <= 6


def test_the_longest_lag_is_forgotten_after_a_minute():
    longest = Longest()

    assert 0.5 == longest.add(0.5, 1000.0)
    assert 0.5 == longest.add(0.01, 1050.0)
    assert 0.01 == longest.add(0.005, 1070.0)
    assert 0.002 == longest.add(0.002, 5000.0)


def test_lag_is_how_much_longer_than_asked_a_sleep_was():
    seen: list[float] = []

    run(for_a_second(watch_lag(Hand(late=0.25), seen.append)))

    assert {0.25} == {round(lag, 6) for lag in seen}
    assert len(seen) >= 8


def test_a_loop_on_time_has_no_lag():
    seen: list[float] = []

    run(for_a_second(watch_lag(LoopClock(), seen.append)))

    assert {0.0} == {round(lag, 6) for lag in seen}


async def for_a_second(forever: Coroutine[Any, Any, None]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            await forever
