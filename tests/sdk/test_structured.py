"""Structured output that is none: the real SDKs ask for it each in its own way, the first target sends
something else in a good envelope, and the client gets the object of the second one.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pydantic
import pytest

from sidecar.provider import Behaviour as Do
from tests.kit.world import Sidecar, World, sidecar
from tests.sdk.clients import LANES, Chat, Gemini, Lane, Messages, Responses, add, at_rest, client, in_all

pytestmark = pytest.mark.process


class Weather(pydantic.BaseModel):
    place: str
    degrees: int


ASKED: Any = [{"role": "user", "content": "how is it in Oslo?"}]
GOOD = {"place": "Oslo", "degrees": 7}
SCHEMA = Weather.model_json_schema()


# ---- a schema, as each SDK takes it ----------------------------------------------------------


async def chat_schema(sdk: Chat, *, stream: bool, **more: Any) -> Any:
    asked: dict[str, Any] = {"model": "m", "messages": ASKED, "response_format": Weather, **more}
    if not stream:
        return (await sdk.sdk.chat.completions.parse(**asked)).choices[0].message.parsed
    async with sdk.sdk.chat.completions.stream(**asked) as events:
        return (await events.get_final_completion()).choices[0].message.parsed


async def responses_schema(sdk: Responses, *, stream: bool, **more: Any) -> Any:
    asked: dict[str, Any] = {"model": "m", "input": "how is it in Oslo?", "text_format": Weather, **more}
    if not stream:
        return (await sdk.sdk.responses.parse(**asked)).output_parsed
    async with sdk.sdk.responses.stream(**asked) as events:
        return (await events.get_final_response()).output_parsed


async def anthropic_schema(sdk: Messages, *, stream: bool, **more: Any) -> Any:
    asked: dict[str, Any] = {"model": "m", "max_tokens": 99, "messages": ASKED, "output_format": Weather}
    asked |= more
    if not stream:
        return (await sdk.sdk.messages.parse(**asked)).parsed_output
    async with sdk.sdk.messages.stream(**asked) as events:
        return (await events.get_final_message()).parsed_output


async def gemini_schema(sdk: Gemini, *, stream: bool, **more: Any) -> Any:
    config: Any = {"response_mime_type": "application/json", "response_schema": Weather}
    if not stream:
        asked: dict[str, Any] = {"model": "m", "contents": "Oslo?", "config": config, **more}
        return (await sdk.sdk.models.generate_content(**asked)).parsed
    return Weather.model_validate_json((await sdk.ask("Oslo?", stream=True, config=config, **more)).text)


# ---- JSON without a schema, and arguments of a tool ------------------------------------------


async def chat_json(sdk: Chat, *, stream: bool) -> Any:
    said = await sdk.ask("JSON: Oslo?", stream=stream, response_format={"type": "json_object"})
    return Weather(**json.loads(said.text))


async def responses_json(sdk: Responses, *, stream: bool) -> Any:
    said = await sdk.ask("JSON: Oslo?", stream=stream, text={"format": {"type": "json_object"}})
    return Weather(**json.loads(said.text))


async def gemini_json(sdk: Gemini, *, stream: bool) -> Any:
    said = await sdk.ask("Oslo?", stream=stream, config={"response_mime_type": "application/json"})
    return Weather(**json.loads(said.text))


async def chat_tool(sdk: Chat, *, stream: bool, **more: Any) -> Any:
    function = {"name": "weather", "parameters": SCHEMA}
    asked: dict[str, Any] = {
        "model": "m",
        "messages": ASKED,
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        **more,
    }
    answer: Any
    if not stream:
        answer = await sdk.sdk.chat.completions.create(**asked)
    else:
        async with sdk.sdk.chat.completions.stream(**asked) as events:
            answer = await events.get_final_completion()
    (call,) = answer.choices[0].message.tool_calls
    return Weather.model_validate_json(call.function.arguments)


async def responses_tool(sdk: Responses, *, stream: bool, **more: Any) -> Any:
    asked: dict[str, Any] = {
        "model": "m",
        "input": "Oslo?",
        "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}],
        "tool_choice": {"type": "function", "name": "weather"},
        **more,
    }
    answer: Any
    if not stream:
        answer = await sdk.sdk.responses.create(**asked)
    else:
        async with sdk.sdk.responses.stream(**asked) as events:
            answer = await events.get_final_response()
    (call,) = answer.output
    return Weather.model_validate_json(call.arguments)


async def anthropic_tool(sdk: Messages, *, stream: bool, **more: Any) -> Any:
    asked: dict[str, Any] = {
        "model": "m",
        "max_tokens": 99,
        "messages": ASKED,
        "tools": [{"name": "weather", "input_schema": SCHEMA}],
        "tool_choice": {"type": "tool", "name": "weather"},
        **more,
    }
    answer: Any
    if not stream:
        answer = await sdk.sdk.messages.create(**asked)
    else:
        async with sdk.sdk.messages.stream(**asked) as events:
            answer = await events.get_final_message()
    (call,) = answer.content
    return Weather(**call.input)


async def gemini_tool(sdk: Gemini, *, stream: bool, **more: Any) -> Any:
    config: Any = {
        "tools": [{"function_declarations": [{"name": "weather", "parameters_json_schema": SCHEMA}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY"}},
        "automatic_function_calling": {"disable": True},
    }
    asked: dict[str, Any] = {"model": "m", "contents": "Oslo?", "config": config, **more}
    if not stream:
        calls = (await sdk.sdk.models.generate_content(**asked)).function_calls or []
    else:
        chunks = await sdk.sdk.models.generate_content_stream(**asked)
        calls = [call async for chunk in chunks for call in chunk.function_calls or ()]
    (call,) = calls
    return Weather(**(call.args or {}))


Way = Callable[..., Awaitable[Any]]
BY_SCHEMA: dict[str, Way] = {
    "chat": chat_schema,
    "responses": responses_schema,
    "anthropic": anthropic_schema,
    "gemini": gemini_schema,
}
BY_JSON: dict[str, Way] = {"chat": chat_json, "responses": responses_json, "gemini": gemini_json}
BY_TOOL: dict[str, Way] = {
    "chat": chat_tool,
    "responses": responses_tool,
    "anthropic": anthropic_tool,
    "gemini": gemini_tool,
}
OK = Do("ok", json=json.dumps(GOOD))
CASES: dict[str, tuple[dict[str, Way], Do, Do]] = {  # how it is asked for, what comes first, what then
    "schema, broken JSON": (BY_SCHEMA, Do("unparsable_answer"), OK),
    "schema, a sentence": (BY_SCHEMA, Do("ok", text="Sure! Here is your JSON:"), OK),
    "schema, fenced": (BY_SCHEMA, Do("ok", text='```json\n{"place": "Oslo", "degrees": 7}\n```'), OK),
    "schema, other fields": (BY_SCHEMA, Do("schema_breaking_answer"), OK),
    "schema, a word for a number": (BY_SCHEMA, Do("ok", json='{"place": "Oslo", "degrees": "seven"}'), OK),
    "schema, empty": (BY_SCHEMA, Do("empty_answer"), OK),
    "JSON mode, broken JSON": (BY_JSON, Do("unparsable_answer"), OK),
    "JSON mode, a sentence": (BY_JSON, Do("ok", text="Sure! Here is your JSON:"), OK),
    "tool, broken arguments": (
        BY_TOOL,
        Do("broken_tool_call"),
        Do("ok", tool=True, json=json.dumps(GOOD)),
    ),
}


def lanes(case: str) -> list[Lane]:
    """A whole message of Anthropic's cannot hold arguments that are no JSON: they are no string there."""
    ways, bad, _ = CASES[case]
    return [
        lane
        for lane in LANES
        if lane.dialect in ways and (bad.name, lane.name) != ("broken_tool_call", "anthropic.whole")
    ]


def name_of(case: str, lane: Lane) -> str:
    return f"{case.replace(', ', '.').replace(' ', '-').lower()}.{lane.name}"


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, Sidecar]]:
    world = World()
    try:
        for case, (_, bad, good) in CASES.items():
            for lane in lanes(case):
                name = name_of(case, lane)
                add(world, f"a.{name}", lane, (bad,))
                add(world, f"b.{name}", lane, (good,))
                # text that was asked for as JSON is held anyway; a stream's tool call is shown as it comes,
                # unless the route says otherwise
                mode = "complete" if bad.name == "broken_tool_call" else "first_content"
                world.route(f"a.{name}", f"b.{name}", commit={"mode": mode}, retry={"base": 0.02})
        with sidecar(world.config) as process:
            yield world, process
    finally:
        world.close()


@pytest.mark.parametrize("case", CASES)
def test_a_bad_answer_is_replaced_by_the_object_of_the_next_target(world: tuple[World, Sidecar], case: str):
    (vendors, process), ways = world, CASES[case][0]

    async def scenario(lane: Lane) -> tuple[Any, int, int]:
        name = name_of(case, lane)
        a, b = vendors.vendors[f"a.{name}"], vendors.vendors[f"b.{name}"]
        async with client(lane, process.url(f"a.{name}"), max_retries=0) as sdk:
            got = await ways[lane.dialect](sdk, stream=lane.stream)
        await at_rest(a, b)
        assert 1 <= len(a.log) <= 2  # it is paid for, so it is asked for once more at the most
        return got, len(b.log), b.log[0].status

    got = vendors.runner.run(in_all(lanes(case), scenario))

    assert {lane.name: (Weather(**GOOD), 1, 200) for lane in lanes(case)} == got  # type: ignore[arg-type]
