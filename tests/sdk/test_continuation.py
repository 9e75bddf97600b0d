"""A stream is cut in the middle and somebody else goes on with it: the real SDKs see one answer."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.provider import Behaviour as Do
from tests.kit.world import World, sidecar
from tests.sdk.clients import LANES, Lane, Raised, Said, add, client, in_all, outcome

pytestmark = pytest.mark.process

STORY = "Once upon a time there was a sidecar. It listened to every word that went by, and when"
REST = " the words stopped in the middle, somebody else went on."
STREAMS = [lane for lane in LANES if lane.stream]


def test_a_cut_answer_goes_on_and_is_whole_in_every_sdk():
    world = World()
    try:
        for lane in STREAMS:
            add(world, f"a.{lane.name}", lane, (Do("cut", text=STORY, after=6),))
            world.vendor(f"b.{lane.name}", "anthropic", (Do("ok", text=REST),))
            chain = [{"provider": f"a.{lane.name}"}, {"provider": f"b.{lane.name}", "model": "ours"}]
            match = {"provider": f"a.{lane.name}"}
            world.routes.append(
                {"name": f"r.{lane.name}", "match": match, "chain": chain, "continuation": True}
            )
        models = [{"provider": f"b.{lane.name}", "model": "ours", "can": ["prefill"]} for lane in STREAMS]
        with sidecar({**world.config, "models": models}) as process:

            async def ask(lane: Lane) -> Said | Raised:
                async with client(lane, process.url(f"a.{lane.name}"), max_retries=0) as sdk:
                    return await outcome(sdk.ask("tell me a story", stream=True))

            got: dict[str, Any] = world.runner.run(in_all(STREAMS, ask))
    finally:
        world.close()

    for name, said in got.items():
        assert isinstance(said, Said), name
        assert 1 == said.ends, name
        before, _, after = said.text.partition(REST)
        assert "" == after, name
        assert before, name
        assert STORY.startswith(before), name
