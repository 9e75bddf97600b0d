"""The real SDKs ask for whole answers on routes that stream upstream, through the real process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sidecar.provider import Behaviour as Do
from tests.kit.world import ANSWER, Sidecar, World, sidecar
from tests.sdk.test_real_sdks import ASK, CONFIGURED, LIMITS, OK

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


def name_of(case: str, dialect: str) -> str:
    return f"{case.replace(' ', '-')}.{dialect}"


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, Sidecar]]:
    world = World()
    try:
        for case, (plan, _) in CASES.items():
            for dialect, configured in CONFIGURED.items():
                name = name_of(case, dialect)
                world.vendor(f"a.{name}", configured, (plan,))
                world.vendor(f"b.{name}", configured, (OK,))
                limits = {**LIMITS, "answer": 30.0}
                world.route(f"a.{name}", f"b.{name}", limits=limits, deadline=20.0, upstream_stream=True)
        with sidecar(world.config) as process:
            yield world, process
    finally:
        world.close()


@pytest.mark.parametrize("dialect", CONFIGURED)
@pytest.mark.parametrize("case", CASES)
def test_a_real_sdk_gets_the_whole_answer(world: tuple[World, Sidecar], case: str, dialect: str):
    (vendors, process), name = world, name_of(case, dialect)
    a, b = vendors.vendors[f"a.{name}"], vendors.vendors[f"b.{name}"]

    async def scenario() -> str:
        try:
            return await ASK[dialect](process.url(f"a.{name}"), stream=False)
        finally:
            await a.until(lambda: a.running == 0)
            await b.until(lambda: b.running == 0)

    assert ANSWER == vendors.runner.run(scenario())
    assert all(exchange.stream for exchange in (*a.log, *b.log))
    assert CASES[case][1] == len(b.log)
