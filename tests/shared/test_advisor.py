"""Twenty pods and a place to meet, in virtual time: what they save, and what they do without it."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from math import inf

import pytest

from sidecar.core.fleet import Lease, Seal
from sidecar.events import Met
from sidecar.model import Answered, Call, Outcome, RefusedBy, Sink
from tests.kit.answers import OpenAI
from tests.kit.gathering import FLEET_KEY, Gathering, Pod, Word, pod, shared
from tests.kit.script import Behaviour, Result, Script, answer, error
from tests.kit.vloop import LoopClock, run

TEN_MINUTES = 600.0
# the same traffic all the time and rounds every second, some minutes of work: LLM_SIDECAR_TEST_OUTAGE=whole
WHOLE = os.environ.get("LLM_SIDECAR_TEST_OUTAGE") == "whole"
DEAD = error(OpenAI.BROKEN)
WELL = answer(OpenAI.whole("all is well"))


@asynccontextmanager
async def advised(fleet: Sequence[Pod]) -> AsyncIterator[None]:
    tasks = [asyncio.get_running_loop().create_task(one.advisor.run()) for one in fleet]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Provider:
    """Dead until `until`; knows how many probes are under way at a time."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.probing = 0
        self.most = 0
        self.times: list[float] = []

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        now = asyncio.get_running_loop().time()
        self.times.append(now)
        probe = call.breaker is not None and now < self.until
        self.probing += probe
        self.most = max(self.most, self.probing)
        try:
            return await (DEAD if now < self.until else WELL)(call, sink)
        finally:
            self.probing -= probe


async def calls(
    one: Pod, every: float, until: float, seed: str, *, calm: tuple[float, float] = (inf, 1.0)
) -> list[Outcome | None]:
    """A pod's traffic, at random times; `calm`: since when there is a call in how many seconds."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Result]] = []
    while True:
        await asyncio.sleep(rng.expovariate(1 / (every if loop.time() < calm[0] else calm[1])))
        if loop.time() >= until:
            return [result.outcome for result in await asyncio.gather(*tasks)]
        tasks.append(loop.create_task(one.play.ask(OpenAI.request(f"{seed} {len(tasks)}"))))


async def _outage(rate: float, *, together: bool, lonely: bool) -> tuple[Provider, list[Pod]]:
    """At `rate` calls a second and pod; after the breakers have opened it tells little."""
    provider, place = Provider(TEN_MINUTES), Gathering()
    plans: dict[str, list[Behaviour]] = {"a": [provider]}
    if not lonely:
        plans["b"] = [WELL]
    script, rules = Script(plans), shared(every=1.0 if WHOLE else 2.0)  # later news save less
    calm = (inf, 1.0) if WHOLE else (max(10.0, 6 / rate), 20.0)
    fleet = [pod(f"pod-{number}", script, place, rules=rules, seed=number) for number in range(20)]
    async with advised(fleet if together else []):
        traffic = (
            calls(one, 1 / rate, TEN_MINUTES, str(number), calm=calm) for number, one in enumerate(fleet)
        )
        outcomes = [outcome for each in await asyncio.gather(*traffic) for outcome in each]
    assert lonely or all(isinstance(outcome, Answered) for outcome in outcomes)
    return provider, fleet


@pytest.mark.parametrize(
    ("rate", "lonely"), [(0.05, True), (0.2, False), (1.0, False), (5.0, False)], ids=str
)
def test_twenty_pods_ask_a_dead_provider_a_quarter_as_often_and_one_at_a_time(
    rate: float, lonely: bool
) -> None:
    alone, _ = run(_outage(rate, together=False, lonely=lonely))
    together, fleet = run(_outage(rate, together=True, lonely=lonely))
    print(f"{rate} calls/s and pod: {len(alone.times)} attempts alone, {len(together.times)} together")  # noqa: T201  # for the page
    assert len(together.times) * 4 <= len(alone.times), (len(together.times), len(alone.times))
    assert 1 == together.most
    assert sum(one.failed.total() for one in fleet) == 0


def test_a_recovery_is_everybodys() -> None:
    async def play() -> None:
        provider, place = Provider(100.0), Gathering()
        script = Script({"a": [provider], "b": [WELL]})
        fleet = [pod(f"pod-{number}", script, place, seed=number) for number in range(5)]
        async with advised(fleet):
            traffic = [calls(one, 2.0, 230.0, str(number)) for number, one in enumerate(fleet)]
            await asyncio.gather(*traffic)
        states = [breaker.state.value for one in fleet for key, breaker in one.play.memory.breakers.items()]
        assert {"closed"} == set(states)
        assert sum(one.advised["verdict"] for one in fleet) >= 3

    run(play())


def test_a_rate_limit_that_one_pod_is_told_of_holds_for_all() -> None:
    async def play() -> None:
        place = Gathering()
        limited = error(OpenAI.LIMIT, headers=((b"retry-after", b"40"),))
        script = Script({"a": [limited]})
        first, second = pod("first", script, place), pod("second", script, place)
        async with advised([first, second]):
            await first.play.ask(deadline=2.0)
            await asyncio.sleep(2.5)
            before = script.count("a")
            told = await second.play.ask(deadline=5.0)
        assert before == script.count("a")
        assert getattr(told.outcome, "by", None) is RefusedBy.KNOWN_WAIT
        assert "a" == getattr(told.outcome, "detail", None)
        assert 1 == second.advised["wait"]

    run(play())


@pytest.mark.parametrize("reason", ["connection", "timeout", "auth", "reply"])
def test_without_an_answer_each_pod_is_as_it_is_alone(reason: str) -> None:
    async def attempts(*, together: bool) -> list[float]:
        provider, place = Provider(TEN_MINUTES), Gathering(fails=reason)
        script = Script({"a": [provider], "b": [WELL]})
        one = pod("pod", script, place)
        async with advised([one] if together else []):
            await calls(one, 5.0, 300.0, "x")
        assert bool(one.failed[reason]) is together
        return provider.times

    assert run(attempts(together=True)) == run(attempts(together=False))


def test_no_call_waits_for_a_place_that_takes_forever() -> None:
    async def play() -> None:
        place = Gathering(delay=1000.0)
        one = pod("pod", Script({"a": [WELL]}), place)
        async with advised([one]):
            await asyncio.sleep(1.0)
            result = await one.play.ask()
        assert result.ended - result.began == pytest.approx(0.1)

    run(play())


def test_a_place_that_fails_is_left_alone_for_a_while() -> None:
    async def play() -> None:
        place = Gathering(fails="timeout")
        one = pod("pod", Script({"a": [WELL]}), place)
        async with advised([one]):
            await asyncio.sleep(120.0)
            assert place.rounds < 12
            place.fails = ""
            await asyncio.sleep(70.0)
            assert one.advisor.state == "answers"
        assert [False, True] == [event.ok for event in one.play.said(Met)]

    run(play())


def test_when_the_place_falls_silent_after_the_trip_probes_go_on() -> None:
    async def play() -> None:
        provider, place = Provider(TEN_MINUTES), Gathering()
        script = Script({"a": [provider], "b": [WELL]})
        fleet = [pod(f"pod-{number}", script, place, seed=number) for number in range(3)]
        async with advised(fleet):
            traffic = [
                asyncio.gather(*(calls(one, 2.0, 200.0, str(n)) for n, one in enumerate(fleet))),
            ]
            await asyncio.sleep(30.0)
            place.fails = "connection"
            await traffic[0]
        assert sum(60.0 < at < 80.0 for at in provider.times) >= 3

    run(play())


def test_a_pod_that_dies_with_the_lease_holds_nobody_up_for_longer_than_it_lasts() -> None:
    async def play() -> None:
        provider, place = Provider(TEN_MINUTES), Gathering()
        script = Script({"a": [provider], "b": [WELL]})
        fleet = [pod(f"pod-{number}", script, place, seed=number) for number in range(3)]
        async with advised(fleet):
            await asyncio.gather(*(calls(one, 2.0, 40.0, str(n)) for n, one in enumerate(fleet)))
        (subject,) = [key for key in fleet[0].play.memory.breakers if key[0] == "a"]
        seal = Seal(FLEET_KEY.encode(), "llm-sidecar")
        dead = seal.close(Lease("dead", subject, LoopClock.WALL + 75.0))
        place.leases[seal.name(subject)] = dead, asyncio.get_running_loop().time() + 35.0
        async with advised(fleet):
            await asyncio.gather(*(calls(one, 1.0, 95.0, f"{n}b") for n, one in enumerate(fleet)))
        assert any(75.0 < at < 80.0 for at in provider.times)
        assert not any(45.0 < at < 75.0 for at in provider.times)

    run(play())


def test_a_lease_that_is_garbage_is_written_over_and_counted() -> None:
    async def play() -> None:
        provider, place = Provider(TEN_MINUTES), Gathering()
        script = Script({"a": [provider], "b": [WELL]})
        fleet = [pod(f"pod-{number}", script, place, seed=number) for number in range(3)]
        async with advised(fleet):
            await asyncio.gather(*(calls(one, 2.0, 40.0, str(n)) for n, one in enumerate(fleet)))
            (subject,) = [key for key in fleet[0].play.memory.breakers if key[0] == "a"]
            place.leases[Seal(FLEET_KEY.encode(), "llm-sidecar").name(subject)] = b"mine!", 1e9
            await asyncio.gather(*(calls(one, 1.0, 80.0, f"{n}b") for n, one in enumerate(fleet)))
        assert sum(one.failed["unreadable"] for one in fleet) >= 1
        assert any(55.0 < at < 80.0 for at in provider.times)

    run(play())


@pytest.mark.parametrize(("url", "key", "which"), [(None, FLEET_KEY, "url"), ("redis://x", "short", "key")])
def test_a_secret_that_is_not_there_is_said_and_costs_nothing(url: str | None, key: str, which: str) -> None:
    async def play() -> None:
        place = Gathering()
        rules = shared(url=Word(url), key=Word(key))
        one = pod("pod", Script({"a": [WELL]}), place, rules=rules)
        async with advised([one]):
            await asyncio.sleep(3.0)
            assert isinstance((await one.play.ask()).outcome, Answered)
        assert 0 == place.rounds
        assert one.failed["setup"] >= 2
        (said,) = one.play.said(Met)
        assert f"shared.{which}" in said.detail

    run(play())
