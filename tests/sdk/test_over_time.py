"""What shows only over several calls, or over seconds, with the real SDKs through the real process.

Scaled, because a test cannot wait for minutes: limits of silence are a tenth of the defaults where a case
is about them, rests of a breaker a fifteenth, the pauses between retries a tenth or less. The defaults
themselves are proven in virtual time, through the same stack, in tests/stack/test_faults.py:
test_healthy_slowness_survives_without_configuration, test_a_poison_prompt_sent_ten_times_leaves_the_
breakers_closed, test_clients_that_give_up_on_a_hung_target_open_its_breaker, test_down_for_a_minute_then_
healthy, test_one_target_alone_that_fails_three_of_ten_still_answers_nearly_all, and
test_a_target_that_never_answers_is_left_after_one_limit for the limits of a silent target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from sidecar.provider import Behaviour as Do
from sidecar.provider import Rule, Script, When, expected
from tests.kit.world import ANSWER, Sidecar, World, sidecar
from tests.sdk.clients import (
    LANES,
    SPEAKS,
    Lane,
    Raised,
    Said,
    add,
    at_rest,
    breakers,
    client,
    in_all,
    outcome,
)

pytestmark = pytest.mark.process

OK = Do("ok", text=ANSWER)
FAST = {"base": 0.02, "cap": 0.1}  # pauses between retries

# ---- healthy slowness: everything a tenth, the vendor's slowness and the sidecar's limits ----

LIMITS = {"headers": 1.5, "first_content": 1.5, "reasoning": 12.0, "answer": 12.0, "gap": 6.0, "total": 60.0}
DRIPS = Do("ok", events=200, first_content_after=0.05, gap=0.0425)  # a stream of 90 s
BROODS = Do("ok", delay=6.0)  # a whole answer after 60 s of nothing at all
REASONS = Do("ok", first_content_after=6.0)  # a stream whose model thinks in silence for 60 s
THINK: dict[str, dict[str, Any]] = {
    "chat": {"reasoning_effort": "high"},
    "responses": {"reasoning": {"effort": "high"}},
    "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    "gemini": {"config": {"thinking_config": {"thinking_budget": 1024}}},
}
SLOW = {
    **{f"drips.{dialect}": (Lane(dialect, stream=True), DRIPS, {}) for dialect in SPEAKS},
    **{f"broods.{dialect}": (Lane(dialect, stream=False), BROODS, {}) for dialect in SPEAKS},
    **{f"reasons.{dialect}": (Lane(dialect, stream=True), REASONS, THINK[dialect]) for dialect in SPEAKS},
}

# ---- three of ten fail, at random, one call each 12 s: here one follows the other at once ----

CALLS = 30
SHARE = 0.3
SEED = 40
# what 12 s would bring: 0.2 of a retry, beside the 0.2 of the call itself; and a rest lasts five calls
HASTE: dict[str, Any] = {
    "retry": FAST,
    "budget": {"per_call": 0.4},
    "breaker": {"open": 0.1, "longest": 0.5, "ramp": 0.05},
}

# ---- the others ----

Plan = Script | tuple[Do, ...]
HANGS = (Do("hang"),)
SECOND = Do("ok", text="the second", delay=0.15)
POISON = {"server_error": 500, "context_window": 400, "content_filter": 400}  # what the client gets
REST = 1.0  # of a breaker, for 15 s
CROWD = 6  # clients that lose patience, of which a breaker needs five
PATIENCE = 12.0  # theirs: a client that leaves is evidence only after 10 s of silence, which is no setting
PATIENT = {"headers": 60.0, "first_content": 60.0}  # the sidecar's: above the clients' with a margin


def kind_of(poison: str) -> str:
    return poison.replace("_", "-")


@pytest.fixture(scope="module")
def unconfigured() -> Iterator[tuple[World, Sidecar]]:
    """Providers and no routes; the limits alone are scaled."""
    world = World()
    try:
        for case, (lane, plan, _) in SLOW.items():
            add(world, case, lane, (plan,))
        with sidecar({**world.config, "defaults": {"limits": LIMITS}}) as process:
            yield world, process
    finally:
        world.close()


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, Sidecar]]:
    world = World()
    try:
        for seed, lane in enumerate(LANES):
            for poison in POISON:
                pair(world, kind_of(poison), lane, poisoned(poison), poisoned(poison), retry=FAST)
            pair(world, "hung", lane, HANGS, (OK,), limits=PATIENT, deadline=150.0)
            pair(world, "announced", lane, HANGS, (OK,))
            rules = {"open": REST, "growth": 1.0, "ramp": 0.0}
            pair(world, "outage", lane, (Do("overloaded"),), (SECOND,), breaker=rules, retry=FAST)
            chance = Script(rules=(Rule(Do("server_error"), When(p=SHARE)),), seed=SEED + seed)
            add(world, f"shaky.{lane.name}", lane, chance)
            world.route(f"shaky.{lane.name}", **HASTE)
        with sidecar(world.config) as process:
            yield world, process
    finally:
        world.close()


def pair(world: World, case: str, lane: Lane, a: Plan, b: Plan, **route: Any) -> None:
    """Two targets in a chain."""
    add(world, f"a.{case}.{lane.name}", lane, a)
    add(world, f"b.{case}.{lane.name}", lane, b)
    world.route(f"a.{case}.{lane.name}", f"b.{case}.{lane.name}", **route)


def poisoned(fault: str) -> Script:
    return Script(rules=(Rule(Do(fault), When(contains="poison")), Rule(OK)))


def test_healthy_slowness_survives_without_configuration(unconfigured: tuple[World, Sidecar]):
    vendors, process = unconfigured

    async def one(case: str) -> Said:
        lane, _, more = SLOW[case]
        async with client(lane, process.url(case)) as sdk:
            return await sdk.ask("take your time", stream=lane.stream, **more)

    async def scenario() -> dict[str, Said]:
        async with asyncio.TaskGroup() as group:
            tasks = {case: group.create_task(one(case)) for case in SLOW}
        await at_rest(*(vendors.vendors[case] for case in SLOW))
        return {case: task.result() for case, task in tasks.items()}

    got = vendors.runner.run(scenario())

    whole = {case: Said(expected(events=plan.events)) for case, (_, plan, _) in SLOW.items()}
    assert whole == got
    seen = {case: [exchange.ended for exchange in vendors.vendors[case].log] for case in SLOW}
    assert {case: ["answered"] for case in SLOW} == seen  # asked once, and listened to until the end
    states = breakers(process, "")
    assert {"closed"} == set(states.values())
    assert len(states) >= len(SLOW)


def test_one_target_alone_that_fails_three_of_ten_answers_nearly_all(world: tuple[World, Sidecar]):
    """Three tries answer 97.3 %: of 240 calls 6.5 fail in the mean, with a deviation of 2.5; 12 may. Which
    attempts fail follows from the vendors' seeds, and a vendor's calls come one after the other, so the
    sample is the same in every run: 29.5 % of the attempts fail, three calls fail three times. Refusals
    of an open breaker depend on the clock; there is room for nine. A sample of six minutes of
    traffic, as the budget of retries is at rest; many half hours: tests/stack/test_faults.py.
    """
    vendors, process = world

    async def scenario(lane: Lane) -> int:
        answered = 0
        vendor = vendors.vendors[f"shaky.{lane.name}"]
        async with client(lane, process.url(f"shaky.{lane.name}"), max_retries=0) as sdk:
            for number in range(CALLS):
                said = await outcome(sdk.ask(f"nonce:n{number}", stream=lane.stream))
                assert isinstance(said, Raised) or said == Said(expected(f"n{number}"))
                answered += isinstance(said, Said)
        await at_rest(vendor)
        return answered

    got = vendors.runner.run(in_all(LANES, scenario))

    exchanges = [exchange for lane in LANES for exchange in vendors.vendors[f"shaky.{lane.name}"].log]
    failed = sum(exchange.status == 500 for exchange in exchanges)
    assert 0.25 <= failed / len(exchanges) <= 0.35  # it did fail as often as that
    assert sum(got.values()) >= 0.95 * CALLS * len(LANES), got


@pytest.mark.parametrize("poison", POISON)
def test_a_poison_prompt_takes_the_target_from_nobody_else(world: tuple[World, Sidecar], poison: str):
    vendors, process = world

    async def scenario(lane: Lane) -> tuple[list[Said | Raised], list[Said | Raised], int]:
        name = f"{kind_of(poison)}.{lane.name}"
        a, b = vendors.vendors[f"a.{name}"], vendors.vendors[f"b.{name}"]
        async with client(lane, process.url(f"a.{name}"), max_retries=0) as sdk:
            bad = [await outcome(sdk.ask("poison", stream=lane.stream)) for _ in range(10)]
            asked = len(a.log), len(b.log)
            good = [await outcome(sdk.ask(f"question {n}", stream=lane.stream)) for n in range(3)]
        await at_rest(a, b)
        assert len(b.log) == asked[1]  # the first target serves the others, at the first try
        return bad, good, len(a.log) - asked[0]

    got = vendors.runner.run(in_all(LANES, scenario))

    for lane in LANES:
        bad, good, asked = got[lane.name]
        assert [POISON[poison]] * 10 == [each.status for each in bad if isinstance(each, Raised)], lane.name
        assert ([Said(ANSWER)] * 3, 3) == (good, asked), lane.name
    states = breakers(process, f".{kind_of(poison)}.")
    assert {"closed"} == set(states.values())
    assert len(states) >= len(LANES)


def test_clients_that_leave_a_hung_target_teach_its_breaker(world: tuple[World, Sidecar]):
    vendors, process = world

    async def scenario(lane: Lane) -> tuple[int, int, list[Said]]:
        a, b = vendors.vendors[f"a.hung.{lane.name}"], vendors.vendors[f"b.hung.{lane.name}"]
        # the SDKs announce their timeouts, and are answered within them (the next test): so here it is the
        # application that loses patience
        async with client(lane, process.url(f"a.hung.{lane.name}")) as sdk:
            asking = [
                asyncio.create_task(sdk.ask(f"anybody? {number}", stream=lane.stream))  # noqa: TID251  # it leaves
                for number in range(CROWD)
            ]
            await a.until(lambda: len(a.log) == CROWD, 30.0)
            _, waiting = await asyncio.wait(asking, timeout=PATIENCE)
            for task in waiting:
                task.cancel()
            ends = await asyncio.gather(*asking, return_exceptions=True)
            left = sum(isinstance(end, asyncio.CancelledError) for end in ends)
            await at_rest(a)  # whoever left is gone upstream too
            assert {"client_left"} == {exchange.ended for exchange in a.log}
            assert not b.log
        async with client(lane, process.url(f"a.hung.{lane.name}"), timeout=30.0) as sdk:
            said = [await sdk.ask(f"and now? {number}", stream=lane.stream) for number in range(3)]
        await at_rest(b)
        return left, len(a.log), said

    got = vendors.runner.run(in_all(LANES, scenario))

    assert {lane.name: (CROWD, CROWD, [Said(ANSWER)] * 3) for lane in LANES} == got
    assert {"open"} == set(breakers(process, "transport:a.hung.").values())


def test_clients_that_announce_their_timeout_are_answered_within_it(world: tuple[World, Sidecar]):
    """The SDKs say in every request how long they wait: the sidecar leaves the hung target in time for the
    next one to answer. With the default limits; the timeouts are 6 s."""
    vendors, process = world

    async def scenario(lane: Lane) -> tuple[list[Said], int, Said]:
        a, b = vendors.vendors[f"a.announced.{lane.name}"], vendors.vendors[f"b.announced.{lane.name}"]
        async with client(lane, process.url(f"a.announced.{lane.name}"), timeout=6.0, max_retries=0) as sdk:
            asking = (sdk.ask(f"quick {number}", stream=lane.stream) for number in range(CROWD))
            said = await asyncio.gather(*asking)
            later = await sdk.ask("and now?", stream=lane.stream)
        await at_rest(a, b)
        return said, len(a.log), later

    got = vendors.runner.run(in_all(LANES, scenario))

    assert {lane.name: ([Said(ANSWER)] * CROWD, CROWD, Said(ANSWER)) for lane in LANES} == got


def test_an_outage_is_bridged_and_the_first_target_is_back_after_its_rest(world: tuple[World, Sidecar]):
    """An outage of four rests. The second target's answers take 0.15 s: that is the pace of the calls."""
    vendors, process = world

    async def scenario(lane: Lane) -> dict[str, Any]:
        a, b = vendors.vendors[f"a.outage.{lane.name}"], vendors.vendors[f"b.outage.{lane.name}"]
        now = asyncio.get_running_loop().time
        during, late = set(), []
        async with (
            client(lane, process.url(f"a.outage.{lane.name}"), max_retries=0) as sdk,
            asyncio.timeout(60),
        ):

            async def text() -> str:
                return (await sdk.ask(f"call {now()}", stream=lane.stream)).text

            while len(a.log) < 5 + 4:  # five failures open the breaker, then one probe a rest
                during.add(await text())
            probes = [exchange.at for exchange in a.log[4:]]
            a.script(OK)
            healthy = now()
            asked = len(a.log)
            while True:
                began = now()
                said = await text()
                if said == ANSWER:
                    break
                late.append(began - healthy)
            after = [await text() for _ in range(4)]
        await at_rest(a, b)
        return {
            "answered during": during,
            "probes too early": [later for one, later in pairwise(probes) if later < one + REST],
            "waited longer": [seconds for seconds in late if seconds > REST * 1.1],  # the jitter is a tenth
            "after": set(after),
            "asked after": len(a.log) - asked,
        }

    got = vendors.runner.run(in_all(LANES, scenario))

    wanted = {
        "answered during": {"the second"},
        "probes too early": [],
        "waited longer": [],
        "after": {ANSWER},
        "asked after": 5,
    }
    assert {lane.name: wanted for lane in LANES} == got
    assert {"closed"} == set(breakers(process, "a.outage.").values())
