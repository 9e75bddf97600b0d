"""With `commit: complete` a stream that breaks anywhere reaches a real SDK as one whole answer.

Broken behind every event of the vendor's stream, openings and closings too: cut, reset, ended politely,
or stalled. The limit on silence is a fifth of the default, so that a stall costs seconds; with
the defaults: tests/stack/test_commit.py,
test_held_until_complete_a_broken_stream_is_rescued_wherever_it_breaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from sidecar.provider import Behaviour as Do
from sidecar.provider import Rule, Script, When
from tests.kit.world import Sidecar, World, sidecar
from tests.sdk.clients import SPEAKS, Lane, Said, add, at_rest, client, in_all

pytestmark = pytest.mark.process

FIRST, SECOND = "from the first", "and this from the second"
WORDS = 3
# events of the vendor's stream, and how many of them are sent when the answer has said that it is over
EVENTS = {"chat": 6, "responses": 11, "anthropic": 9, "gemini": 4}
OVER = {"chat": 5, "responses": 11, "anthropic": 8, "gemini": 4}
BREAKS: dict[str, Callable[[int], Do]] = {
    "cut": lambda at: Do("cut", at=at, text=FIRST, events=WORDS),
    "cut in an event": lambda at: Do("cut", at=at, mid_event=True, text=FIRST, events=WORDS),
    "reset": lambda at: Do("cut", at=at, how="reset", text=FIRST, events=WORDS),
    "ended early": lambda at: Do("end_early", at=at, text=FIRST, events=WORDS),
    "stalled": lambda at: Do("stall", at=at, text=FIRST, events=WORDS),
    "error event": lambda at: Do("error_event", at=at, text=FIRST, events=WORDS),
}
STREAMS = tuple(Lane(dialect, stream=True) for dialect in SPEAKS)


def name_of(case: str, dialect: str) -> str:
    return f"{case.replace(' ', '-')}.{dialect}"


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, Sidecar]]:
    world = World()
    try:
        for lane in STREAMS:
            for case, broken in BREAKS.items():
                name, events = name_of(case, lane.dialect), range(EVENTS[lane.dialect])
                rules = (Rule(broken(at), When(contains=f"break {at}.")) for at in events)
                good = Do("ok", text=SECOND, events=WORDS)
                add(world, f"a.{name}", lane, Script(rules=tuple(rules)))
                add(world, f"b.{name}", lane, (good,))
                world.route(
                    f"a.{name}",
                    f"b.{name}",
                    commit={"mode": "complete"},
                    limits={"headers": 3.0, "first_content": 3.0, "gap": 3.0, "linger": 0.3},
                    retry={"base": 0.02},
                    # each prompt breaks the first target in its own way: its breaker is not in question
                    breaker={"run": 0, "samples": 1000, "min_samples": 1000},
                )
        with sidecar(world.config) as process:
            yield world, process
    finally:
        world.close()


@pytest.mark.parametrize("case", BREAKS)
def test_wherever_a_stream_breaks_the_sdk_gets_one_whole_answer(world: tuple[World, Sidecar], case: str):
    vendors, process = world

    async def scenario(lane: Lane) -> list[Said]:
        name = name_of(case, lane.dialect)
        async with client(lane, process.url(f"a.{name}"), max_retries=0) as sdk:
            asking = (sdk.ask(f"break {at}.", stream=True) for at in range(EVENTS[lane.dialect]))
            said = await asyncio.gather(*asking)
        await at_rest(vendors.vendors[f"a.{name}"], vendors.vendors[f"b.{name}"])
        return said

    got = vendors.runner.run(in_all(STREAMS, scenario))

    for lane in STREAMS:
        name, events = name_of(case, lane.dialect), range(EVENTS[lane.dialect])
        over = len(events) if case == "error event" else OVER[lane.dialect]
        wanted = [SECOND if at < over else FIRST for at in events]
        assert wanted == [said.text for said in got[lane.name]], lane.name
        assert {1} == {said.ends for said in got[lane.name]}, lane.name
        asked = b"".join(exchange.body for exchange in vendors.vendors[f"a.{name}"].log)
        assert all(b"break %d." % at in asked for at in events)  # each was tried on the first
        assert wanted.count(SECOND) == len(vendors.vendors[f"b.{name}"].log)
