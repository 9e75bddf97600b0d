"""The fake vendor's Gemini: what it puts on the wire, and what Google's real SDK makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from sidecar.dialects import DIALECTS
from sidecar.model import (
    Answering,
    Finish,
    FinishReason,
    Malformed,
    Operation,
    Reasoning,
    Text,
    ToolCall,
    Trouble,
    Usage,
)
from sidecar.provider import CATALOGUE, Behaviour, Vendor, do, expected
from tests.dialects.samples import run as read
from tests.provider.raw import ARRAY, GENERATE, STREAM, Seen, ask, last, post, run

# Google's SDK does what aiohttp discourages
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

GOOD = expected("n1")
GEMINI = DIALECTS["gemini"]
PATHS = {"whole": GENERATE, "events": STREAM, "array": ARRAY}


def request(path: str, **more: Any) -> bytes:
    body = {"contents": [{"role": "user", "parts": [{"text": "hi nonce:n1"}]}]} | more
    return post(path, json.dumps(body).encode(), "connection: close")


async def answer(behaviour: Behaviour, path: str, **more: Any) -> Seen:
    async with Vendor([behaviour]) as vendor:
        return await ask(vendor, request(path, **more))


def said(seen: Seen, path: str) -> list[Any]:
    asked = GEMINI.ask(Operation.CHAT, path.partition("?")[0], b"{}")
    reader = GEMINI.reader(asked, seen.header("content-type")[0].encode())
    raw, deltas = read(reader, [seen.body])
    assert seen.body == raw
    return deltas


def text(seen: Seen, path: str) -> str:
    return "".join(delta.text for delta in said(seen, path) if isinstance(delta, Text))


# ---- on the wire --------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["event", "whole", "byte", "random"])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_good_answer_in_each_form(path: str, split: str) -> None:
    async def scenario() -> None:
        seen = await answer(do("ok", reasoning=2, split=split), path)

        deltas = said(seen, path)
        assert GOOD == text(seen, path)
        assert "thought 1 thought 2 " == "".join(each.text for each in deltas if isinstance(each, Reasoning))
        assert Answering("m-1") in deltas
        assert Finish(FinishReason.STOP) in deltas
        assert any(isinstance(each, Usage) and each.reasoning == 2 for each in deltas)

    run(scenario())


def test_each_form_says_what_it_is() -> None:
    async def scenario() -> None:
        kinds = [(await answer(do("ok"), path)).header("content-type")[0] for path in PATHS.values()]

        assert ["application/json", "text/event-stream; charset=utf-8", "application/json"] == kinds
        assert GOOD == "".join(chunk["candidates"][0]["content"].get("parts", [{"text": ""}])[0]["text"]
                               for chunk in (await answer(do("ok"), ARRAY)).json)  # fmt: skip

    run(scenario())


TOOL = {
    "functionDeclarations": [
        {"name": "look_up", "parameters": {"type": "OBJECT", "properties": {"place": {"type": "STRING"}}}}
    ]
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_tool_is_called_in_one_piece(path: str) -> None:
    async def scenario() -> None:
        good = said(await answer(do("ok", tool=True), path, tools=[TOOL]), path)
        bad = said(await answer(do("broken_tool_call"), path, tools=[TOOL]), path)

        (call,) = [each for each in good if isinstance(each, ToolCall)]
        assert ("look_up", {"place": GOOD}) == (call.name, json.loads(call.arguments))
        assert Finish(FinishReason.TOOL) in good
        (call,) = [each for each in bad if isinstance(each, ToolCall)]
        assert call.arguments.startswith("MALFORMED_FUNCTION_CALL: ")
        assert Finish(FinishReason.ERROR) in bad

    run(scenario())


@pytest.mark.parametrize("key", ["responseSchema", "responseJsonSchema", "response_schema"])
def test_a_request_for_json_gets_an_answer_that_meets_its_schema(key: str) -> None:
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "n": {"type": "INTEGER"}}}
    config = {"responseMimeType": "application/json", key: schema}

    async def scenario() -> None:
        seen = await answer(do("ok"), STREAM, generationConfig=config)

        assert {"a": GOOD, "n": 1} == json.loads(text(seen, STREAM))

    run(scenario())


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_what_was_filtered_is_filtered_at_the_end_or_at_the_beginning(path: str) -> None:
    async def scenario() -> None:
        late = said(await answer(do("content_filter_finish"), path), path)
        early = said(await answer(do("content_filter_finish", text=""), path, contents=[]), path)

        assert GOOD == "".join(each.text for each in late if isinstance(each, Text))
        assert Finish(FinishReason.FILTER) in late
        assert [Finish(FinishReason.FILTER)] == [each for each in early if isinstance(each, Text | Finish)]

    run(scenario())


def test_a_stream_is_kept_alive_without_comments() -> None:
    async def scenario() -> None:
        slow = do("ok", first_content_after=0.1, keepalive=0.02)
        events, array = await answer(slow, STREAM), await answer(slow, ARRAY)

        assert GOOD == text(events, STREAM) == text(array, ARRAY)
        assert events.body.startswith(b'data: {"candidates"')
        assert events.body.count(b'"text":""') >= 3
        assert array.body.startswith(b"\n\n\n")

    run(scenario())


ENVELOPES: list[tuple[Behaviour, int, str, str]] = [
    (do("rate_limit", retry_after=7), 429, "RESOURCE_EXHAUSTED", '"retryDelay": "7s"'),
    (do("rate_limit", limit="day"), 429, "RESOURCE_EXHAUSTED", "PerDay"),
    (do("rate_limit", limit="tokens"), 429, "RESOURCE_EXHAUSTED", "InputTokens"),
    (do("quota"), 429, "RESOURCE_EXHAUSTED", "PerDay"),
    (do("billing"), 429, "RESOURCE_EXHAUSTED", "credits"),
    (do("overloaded"), 503, "UNAVAILABLE", "overloaded"),
    (do("auth"), 400, "INVALID_ARGUMENT", "API_KEY_INVALID"),
    (do("permission"), 403, "PERMISSION_DENIED", "permission"),
    (do("region"), 400, "FAILED_PRECONDITION", "location"),
    (do("model_gone"), 404, "NOT_FOUND", "models/"),
    (do("context_window"), 400, "INVALID_ARGUMENT", "exceeds the maximum number of tokens"),
    (do("timeout"), 504, "DEADLINE_EXCEEDED", "Deadline"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("behaviour", "status", "word", "told"), ENVELOPES, ids=[row[0].name for row in ENVELOPES]
)
def test_errors_come_in_googles_envelope(behaviour: Behaviour, status: int, word: str, told: str) -> None:
    async def scenario() -> None:
        seen = await answer(behaviour, STREAM)

        error = seen.json["error"]
        assert (status, status, word) == (seen.status, error["code"], error["status"])
        assert told in seen.body.decode()

    run(scenario())


@pytest.mark.parametrize("path", [STREAM, ARRAY])
def test_an_error_in_a_stream_is_bare_json(path: str) -> None:
    async def scenario() -> None:
        seen = await answer(do("error_event", after=2, error="overloaded"), path)

        *before, trouble = said(seen, path) if path == STREAM else said(seen, path)[:-1]
        assert isinstance(trouble, Trouble)
        assert (503, b"{\n") == (trouble.status, trouble.body[:2])
        assert 2 == sum(isinstance(each, Text) for each in before)

    run(scenario())


FAULTS: list[tuple[Behaviour, Callable[[list[Any]], bool]]] = [
    (do("cut", after=2, mid_event=True), lambda deltas: Finish(FinishReason.STOP) not in deltas),
    (do("end_early", after=2), lambda deltas: 2 == sum(isinstance(each, Text) for each in deltas)),
    (do("empty_answer"), lambda deltas: not any(isinstance(each, Text) for each in deltas)),
    (do("huge_event", size=10_000), lambda deltas: Finish(FinishReason.STOP) in deltas),
    (do("duplicate_event"), lambda deltas: 9 == sum(isinstance(each, Text) for each in deltas)),
    (do("no_sentinel"), lambda deltas: Finish(FinishReason.STOP) in deltas),
    (do("truncated"), lambda deltas: Finish(FinishReason.LENGTH) in deltas),
    (do("trailing_data"), lambda deltas: Finish(FinishReason.STOP) in deltas),
]


@pytest.mark.parametrize(("behaviour", "holds"), FAULTS, ids=[row[0].name for row in FAULTS])
@pytest.mark.parametrize("path", [STREAM, ARRAY])
def test_faults_of_streams_are_played_in_both_forms(
    behaviour: Behaviour, holds: Callable[[list[Any]], bool], path: str
) -> None:
    async def scenario() -> None:
        assert holds(said(await answer(behaviour, path), path))

    run(scenario())


NO_ANSWER = {
    *("refuse", "blackhole", "accept_reset", "accept_stall", "tls_alert", "reset_in_body", "hang"),
    *("reset_before_headers", "close_before_headers", "garbage_status", "switching_protocols"),
}


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - NO_ANSWER))
def test_every_behaviour_can_be_played_in_this_dialect(name: str) -> None:
    options: dict[str, dict[str, Any]] = {
        "gzip_bomb": {"size": 1000},
        "huge_headers": {"size": 2000},
        "huge_event": {"size": 1000},
        "dripped_headers": {"gap": 0.001},
    }
    behaviour = do(name, **options.get(name, {}))

    async def scenario() -> None:
        async with Vendor([behaviour]) as vendor:
            seen = await ask(vendor, last(request(STREAM)), quiet=0.05, at_most=1.0)

        assert seen.raw.startswith((b"HTTP/1.1 ", b"data: "))

    run(scenario())


@pytest.mark.parametrize("name", ["malformed_event", "garbage"])
def test_what_is_no_element_breaks_the_array(name: str) -> None:
    async def scenario() -> None:
        assert any(isinstance(each, Malformed) for each in said(await answer(do(name), ARRAY), ARRAY)) == (
            name == "malformed_event"
        )

    run(scenario())


def test_embeddings_come_alone_or_in_a_batch() -> None:
    async def scenario() -> None:
        async with Vendor() as vendor:
            one = await ask(vendor, request("/v1beta/models/e:embedContent"))
            many = await ask(vendor, request("/v1beta/models/e:batchEmbedContents"))
            other = await ask(vendor, request("/v1beta/models/e:countTokens"))

        assert [0.25, -0.5, 0.125] == one.json["embedding"]["values"] == many.json["embeddings"][0]["values"]
        assert "echo" == other.json["object"]

    run(scenario())


# ---- Google's SDK -------------------------------------------------------------------------

CALL: dict[str, Any] = {"model": "m-1", "contents": "hi nonce:n1"}


def over(vendor: Vendor) -> genai.client.AsyncClient:
    return genai.Client(api_key="k", http_options=types.HttpOptions(base_url=vendor.url)).aio


def with_sdk(
    behaviour: Behaviour, use: Callable[[genai.client.AsyncClient], Coroutine[Any, Any, Any]]
) -> Any:
    async def scenario() -> Any:
        async with Vendor([behaviour]) as vendor, over(vendor) as client:
            return await use(client)

    return asyncio.run(scenario())


async def whole(client: genai.client.AsyncClient, **more: Any) -> types.GenerateContentResponse:
    return await client.models.generate_content(**CALL, **more)


async def streamed(client: genai.client.AsyncClient, **more: Any) -> list[types.GenerateContentResponse]:
    return [chunk async for chunk in await client.models.generate_content_stream(**CALL, **more)]


def test_the_sdk_reads_a_whole_answer() -> None:
    response = with_sdk(do("ok", reasoning=1), whole)

    assert (GOOD, "m-1") == (response.text, response.model_version)
    assert types.FinishReason.STOP is response.candidates[0].finish_reason
    assert 1 == response.usage_metadata.thoughts_token_count


@pytest.mark.parametrize(
    "behaviour",
    [do("ok"), do("ok", first_content_after=0.1, keepalive=0.02), do("ok", eol="crlf", split="byte")],
)
def test_the_sdk_reads_a_stream(behaviour: Behaviour) -> None:
    chunks = with_sdk(behaviour, streamed)

    assert GOOD == "".join(chunk.text or "" for chunk in chunks)
    assert types.FinishReason.STOP is chunks[-1].candidates[0].finish_reason


def test_the_sdk_reads_tools_json_and_vectors() -> None:
    async def use(client: genai.client.AsyncClient) -> Any:
        tools = types.Tool.model_validate(TOOL)
        off = types.AutomaticFunctionCallingConfig(disable=True)
        config = types.GenerateContentConfig(tools=[tools], automatic_function_calling=off)
        return await whole(client, config=config)

    async def form(client: genai.client.AsyncClient) -> Any:
        config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=list[str])
        return await whole(client, config=config)

    async def vectors(client: genai.client.AsyncClient) -> Any:
        return await client.models.embed_content(model="e", contents="hi")

    (call,) = with_sdk(do("ok", tool=True), use).function_calls
    assert ("look_up", {"place": GOOD}) == (call.name, call.args)
    assert [GOOD] == with_sdk(do("ok"), form).parsed
    assert [0.25, -0.5, 0.125] == with_sdk(do("ok"), vectors).embeddings[0].values


@pytest.mark.parametrize(
    ("behaviour", "kind", "code"),
    [
        (do("rate_limit"), errors.ClientError, 429),
        (do("auth"), errors.ClientError, 400),
        (do("overloaded"), errors.ServerError, 503),
        (do("model_gone"), errors.ClientError, 404),
    ],
)
@pytest.mark.parametrize("use", [whole, streamed])
def test_the_sdk_raises_at_an_error(
    behaviour: Behaviour, kind: type[errors.APIError], code: int, use: Callable[..., Any]
) -> None:
    with pytest.raises(kind) as raised:
        with_sdk(behaviour, use)

    assert code == raised.value.code


def test_the_sdk_raises_at_an_error_in_a_stream() -> None:
    with pytest.raises(errors.ServerError) as raised:
        with_sdk(do("error_event", after=2, error="overloaded"), streamed)

    assert 503 == raised.value.code
