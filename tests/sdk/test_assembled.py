"""The real SDKs ask for whole answers on routes that stream upstream, through the real process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sidecar.provider import Behaviour as Do
from tests.kit.world import ANSWER, Sidecar, World, sidecar
from tests.sdk.clients import LANES, Lane, Said, at_rest, client, in_all
from tests.sdk.test_real_sdks import LIMITS, OK

pytestmark = pytest.mark.process

CASES: dict[str, tuple[Do, int]] = {  # what vendor `a` does, and how often `b` is asked
    "well": (OK, 0),
    "dripped bytes": (Do("ok", text=ANSWER, split="byte"), 0),
    "gzip": (Do("ok", text=ANSWER, gzip=True), 0),
    "only keep-alives": (Do("ok", text=ANSWER, first_content_after=20.0, keepalive=0.3), 1),
    "stalls in the middle": (Do("stall", after=2), 1),
    "cut in the middle": (Do("cut", after=2), 1),
    "ends early": (Do("end_early", after=2), 1),
    "error event in the middle": (Do("error_event", after=2), 1),
}


WHOLE = [lane for lane in LANES if not lane.stream]


def name_of(case: str, lane: Lane) -> str:
    return f"{case.replace(' ', '-')}.{lane.dialect}"


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, Sidecar]]:
    world = World()
    try:
        for case, (plan, _) in CASES.items():
            for lane in WHOLE:
                name = name_of(case, lane)
                world.vendor(f"a.{name}", lane.speaks, (plan,))
                world.vendor(f"b.{name}", lane.speaks, (OK,))
                limits = {**LIMITS, "answer": 30.0}
                world.route(f"a.{name}", f"b.{name}", limits=limits, deadline=20.0, upstream_stream=True)
        with sidecar(world.config) as process:
            yield world, process
    finally:
        world.close()


@pytest.fixture(scope="module")
def got(world: tuple[World, Sidecar], request: pytest.FixtureRequest) -> dict[str, Said]:
    """What a case comes to in each dialect, all at once."""
    (vendors, process), case = world, request.param

    async def ask(lane: Lane) -> Said:
        a, b = (vendors.vendors[f"{vendor}.{name_of(case, lane)}"] for vendor in "ab")
        async with client(lane, process.url(a.name)) as sdk:
            try:
                return await sdk.ask("how is it?", stream=False)
            finally:
                await at_rest(a, b)

    return vendors.runner.run(in_all(WHOLE, ask))


@pytest.mark.parametrize("lane", WHOLE, ids=lambda lane: lane.dialect)
@pytest.mark.parametrize("got", CASES, indirect=True)
def test_a_real_sdk_gets_the_whole_answer(
    world: tuple[World, Sidecar], got: dict[str, Said], lane: Lane, request: pytest.FixtureRequest
):
    (vendors, _), case = world, request.node.callspec.params["got"]
    a, b = (vendors.vendors[f"{vendor}.{name_of(case, lane)}"] for vendor in "ab")

    assert Said(ANSWER) == got[lane.name]
    assert all(exchange.stream for exchange in (*a.log, *b.log))
    assert CASES[case][1] == len(b.log)
