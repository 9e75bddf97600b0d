"""The application's own provider is down and another dialect answers: the real SDKs cannot tell.

Each of the four SDKs, whole and streaming, in front of the fake vendors of every other dialect: text, a
tool call, an object by schema, and the class of exception that the application catches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar.provider import Behaviour as Do
from tests.kit.world import ANSWER, Sidecar, World, sidecar
from tests.sdk.clients import LANES, Lane, Raised, Said, add, at_rest, client, in_all, outcome
from tests.sdk.test_structured import BY_SCHEMA, BY_TOOL, GOOD, Weather

pytestmark = pytest.mark.process

FOREIGN = ("openai_chat", "anthropic", "gemini")
ERRORS = ("rate_limit", "context_window", "auth")
GIVES: dict[str, Any] = {
    "text": Do("ok", text=ANSWER),
    "tool": Do("ok", tool=True, json=json.dumps(GOOD)),
    "schema": Do("ok", tool=True, json=json.dumps(GOOD)),  # a tool where one stands in for the schema
    **{error: Do(error) for error in ERRORS},
}


def pairs(lane: Lane) -> tuple[str, ...]:
    return tuple(dialect for dialect in FOREIGN if dialect != lane.speaks)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, Sidecar]]:
    world = World()
    try:
        for lane in LANES:
            for other in pairs(lane):
                for case, gives in GIVES.items():
                    name = f"{case}.{other}.{lane.name}"
                    add(world, f"a.{name}", lane, (Do("refuse"),))
                    world.vendor(f"b.{name}", other, (gives,))
                    chain = [{"provider": f"a.{name}"}, {"provider": f"b.{name}", "model": "theirs"}]
                    match = {"provider": f"a.{name}"}
                    world.routes.append({"name": name, "match": match, "chain": chain})
        with sidecar({**world.config, "defaults": {"retry": {"base": 0.02}}}) as process:
            yield world, process
    finally:
        world.close()


def ask_all(world: World, process: Sidecar, case: str, ask: Any) -> dict[str, dict[str, Any]]:
    async def scenario(lane: Lane) -> dict[str, Any]:
        got = {}
        for other in pairs(lane):
            name = f"{case}.{other}.{lane.name}"
            async with client(lane, process.url(f"a.{name}"), max_retries=0) as sdk:
                got[other] = await ask(lane, sdk)
            await at_rest(world.vendors[f"b.{name}"])
        return got

    return world.runner.run(in_all(LANES, scenario))


def test_text_comes_from_another_dialect(world: tuple[World, Sidecar]):
    got = ask_all(*world, "text", lambda lane, sdk: sdk.ask("how is it?", stream=lane.stream))

    assert {lane.name: dict.fromkeys(pairs(lane), Said(ANSWER)) for lane in LANES} == got


def test_a_forced_tool_is_called_through_another_dialect(world: tuple[World, Sidecar]):
    got = ask_all(*world, "tool", lambda lane, sdk: BY_TOOL[lane.dialect](sdk, stream=lane.stream))

    assert {lane.name: dict.fromkeys(pairs(lane), Weather.model_validate(GOOD)) for lane in LANES} == got


def test_an_object_by_schema_comes_from_another_dialect(world: tuple[World, Sidecar]):
    got = ask_all(*world, "schema", lambda lane, sdk: BY_SCHEMA[lane.dialect](sdk, stream=lane.stream))

    assert {lane.name: dict.fromkeys(pairs(lane), Weather.model_validate(GOOD)) for lane in LANES} == got


CLASSES = {
    "rate_limit": ("RateLimitError", "ClientError", 429),
    "context_window": ("BadRequestError", "ClientError", 400),
    "auth": ("AuthenticationError", "ClientError", 401),
}


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_of_another_dialect_is_the_exception_that_the_application_catches(
    world: tuple[World, Sidecar], error: str
):
    """The sidecar's own status for it, in the client's words: what a client of that dialect catches."""
    got = ask_all(*world, error, lambda lane, sdk: outcome(sdk.ask("how is it?", stream=lane.stream)))

    theirs, gemini, status = CLASSES[error]
    for lane in LANES:
        for other, raised in got[lane.name].items():
            assert isinstance(raised, Raised), (lane, other, raised)
            kind = gemini if lane.dialect == "gemini" else theirs
            assert (kind, status) == (raised.kind, raised.status), (lane, other, raised)
