"""Comments while a stream waits: the SDKs that they are sent to do not see them."""

from __future__ import annotations

import pytest

from sidecar.provider import Behaviour as Do
from tests.kit.world import World, sidecar
from tests.sdk.clients import LANES, Lane, Raised, Said, add, client, in_all, outcome

pytestmark = pytest.mark.process

STREAMS = [lane for lane in LANES if lane.stream]


def test_every_sdk_reads_past_them():
    world = World()
    try:
        for lane in STREAMS:
            add(world, lane.name, lane, (Do("ok", text="all is well", first_content_after=0.3),))
            world.routes.append(
                {"name": f"r.{lane.name}", "match": {"provider": lane.name}, "heartbeat": 0.05}
            )
        with sidecar(world.config) as process:

            async def ask(lane: Lane) -> Said | Raised:
                async with client(lane, process.url(lane.name), max_retries=0) as sdk:
                    return await outcome(sdk.ask("how is it?", stream=True))

            got = world.runner.run(in_all(STREAMS, ask))
    finally:
        world.close()

    assert {("all is well", 1)} == {(one.text, one.ends) for one in got.values() if isinstance(one, Said)}
    assert 4 == len(got)
