"""Earlier answers through each SDK: fresh, and when nobody answers; in the other form too.

One process for all: eight lanes of four dialects, each with a route of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sidecar.provider import Behaviour as Do
from tests.kit.world import ANSWER, Sidecar, World, sidecar
from tests.process.test_process import metric
from tests.sdk.clients import LANES, Lane, Said, add, at_rest, client, in_all

pytestmark = pytest.mark.process

OK = Do("ok", text=ANSWER)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, Sidecar]]:
    world = World()
    try:
        for lane in LANES:
            for case, cache in (("fresh", {"fresh": "30m"}), ("stale", {})):
                add(world, f"{case}.{lane.name}", lane, (OK,))
                world.route(
                    f"{case}.{lane.name}", cache={"scope": "shared", **cache}, static={"text": "sorry"}
                )
        world.vendor("vectors", "openai_chat", (OK,))
        add(world, "near", LANES[0], (OK,))
        semantic = {"target": {"provider": "vectors", "model": "small"}, "threshold": 0.99}
        world.route("near", cache={"scope": "shared", "semantic": semantic})
        with sidecar({**world.config, "defaults": {"retry": {"attempts": 1}}}) as process:
            yield world, process
    finally:
        world.close()


def more(lane: Lane) -> dict[str, Any]:
    return {"store": False} if lane.dialect == "responses" else {}


def test_the_same_question_is_answered_once_and_streamed_or_whole(world: tuple[World, Sidecar]):
    vendors, process = world

    async def scenario(lane: Lane) -> list[Said]:
        vendor = vendors.vendors[f"fresh.{lane.name}"]
        async with client(lane, process.url(f"fresh.{lane.name}"), max_retries=0) as sdk:
            ways = (lane.stream, lane.stream, not lane.stream)
            said = [await sdk.ask("hello", stream=stream, **more(lane)) for stream in ways]
        await at_rest(vendor)
        assert 1 == len(vendor.log)
        return said

    got = vendors.runner.run(in_all(LANES, scenario))

    assert {lane.name: [Said(ANSWER)] * 3 for lane in LANES} == got
    assert 2 * len(LANES) == metric(process, "llm_sidecar_requests_total", path="cache", tier="full")
    assert 2 * len(LANES) == metric(process, "llm_sidecar_cache_lookups_total", result="hit")
    assert len(LANES) == metric(process, "llm_sidecar_attempts_total", outcome="success")


def test_when_nobody_answers_the_earlier_answer_stands_in_labelled(world: tuple[World, Sidecar]):
    vendors, process = world

    async def scenario(lane: Lane) -> list[Said]:
        vendor = vendors.vendors[f"stale.{lane.name}"]
        async with client(lane, process.url(f"stale.{lane.name}"), max_retries=0) as sdk:
            said = [await sdk.ask("hello", stream=lane.stream, **more(lane))]
            vendor.script(Do("overloaded"))
            said += [await sdk.ask(what, stream=lane.stream, **more(lane)) for what in ("hello", "else")]
        await at_rest(vendor)
        return said

    got = vendors.runner.run(in_all(LANES, scenario))

    for lane in LANES:
        good, cached, static = got[lane.name]
        assert Said(ANSWER) == good, lane.name
        assert Said(ANSWER, label="cached") == cached, lane.name
        assert Said("sorry", label="static") == static, lane.name
    assert len(LANES) == metric(process, "llm_sidecar_requests_total", path="degraded", tier="cached")
    assert len(LANES) == metric(process, "llm_sidecar_requests_total", path="degraded", tier="static")


def test_the_nearest_question_stands_in_and_is_learned_beside_the_calls(world: tuple[World, Sidecar]):
    """This vendor's vectors are all the same: every question is the nearest."""
    vendors, process = world
    near, vectors = vendors.vendors["near"], vendors.vendors["vectors"]

    async def scenario() -> list[Said]:
        async with client(LANES[0], process.url("near"), max_retries=0) as sdk:
            said = [await sdk.ask("how do I begin", stream=False)]
            await vectors.until(lambda: len(vectors.log) == 1 and not vectors.running, 30.0)
            near.script(Do("overloaded"))
            said.append(await sdk.ask("where do I begin", stream=False))
        await at_rest(near, vectors)
        return said

    said = vendors.runner.run(scenario())

    assert [Said(ANSWER), Said(ANSWER, label="cached")] == said
    assert 1 == metric(process, "llm_sidecar_cache_lookups_total", result="semantic_hit")
    assert 2 == metric(process, "llm_sidecar_attempts_total", provider="vectors", outcome="success")
