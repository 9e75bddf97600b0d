"""The vendor's voices for responses and embeddings: on the wire, to our readers, to the real SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from sidecar.dialects import DIALECTS
from sidecar.model import (
    Ask,
    Delta,
    Finish,
    FinishReason,
    Operation,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Trouble,
)
from sidecar.provider import Behaviour, Vendor, do, expected
from tests.provider.raw import Seen, ask, post, run

RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
GOOD = expected("n1")
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}}
TOOL: Any = {"type": "function", "name": "look_up", "parameters": SCHEMA}

Check = Callable[[list[Delta]], bool]


def request(*, stream: bool = False, **more: Any) -> bytes:
    body = {"model": "m-1", "stream": stream, "input": [{"role": "user", "content": "hi nonce:n1"}]} | more
    return post(RESPONSES, json.dumps(body).encode(), "connection: close")


def read(seen: Seen, dialect: str = "openai_responses") -> tuple[list[Delta], bool]:
    """What our own reader makes of it, and whether it calls it whole."""
    asked = Ask(operation=Operation.CHAT, model="m-1")
    reader = DIALECTS[dialect].reader(asked, seen.header("content-type")[0].encode())
    deltas = [*reader.feed(seen.body).deltas, *reader.close().deltas]
    return deltas, reader.done


def text(deltas: list[Delta], kind: type[Text | Reasoning | Refusal] = Text) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


def arguments(deltas: list[Delta]) -> str:
    return "".join(delta.arguments for delta in deltas if isinstance(delta, ToolCall))


def ends(reason: FinishReason) -> Check:
    return lambda it: it[-1] == Finish(reason)


def good(deltas: list[Delta]) -> bool:
    return text(deltas) == GOOD and deltas[-1] == Finish(FinishReason.STOP)


def readable(content: str) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def troubled(status: int) -> Check:
    return lambda it: [delta.status for delta in it if isinstance(delta, Trouble)] == [status]


# behaviour, what our reader reads in it, whether it is whole; streamed and not
BOTH: list[tuple[Behaviour, Check, bool]] = [
    (do("ok"), good, True),
    (do("ok", reasoning=2), lambda it: good(it) and text(it, Reasoning) == "thought 1 thought 2 ", True),
    (do("ok", tool=True), lambda it: "n1" in json.loads(arguments(it))["place"], True),
    (do("ok", tool=True), ends(FinishReason.TOOL), True),
    (do("ok", usage=False), good, True),
    (do("ok", gzip=False, split="byte"), good, True),
    (do("empty_answer"), lambda it: text(it) == "" and it[-1] == Finish(FinishReason.STOP), True),
    (do("unparsable_answer"), lambda it: text(it).startswith('{"answer"') and not readable(text(it)), True),
    (do("schema_breaking_answer"), lambda it: "unexpected" in json.loads(text(it)), True),
    (do("broken_tool_call"), lambda it: not readable(arguments(it)) and "n1" in arguments(it), True),
    (do("truncated"), ends(FinishReason.LENGTH), True),
    (do("content_filter_finish"), ends(FinishReason.FILTER), True),
    (do("refusal"), lambda it: text(it, Refusal) == GOOD and text(it) == "", True),
    (do("invalid_utf8"), lambda it: "\ufffd" in text(it), True),
    (do("error_in_200", error="rate_limit"), troubled(429), False),
]
STREAMED: list[tuple[Behaviour, Check, bool]] = [
    (do("ok", eol="crlf", bom=True, tight=True), good, True),
    (do("ok", eol="cr"), good, True),
    (do("ok", first_content_after=0.05, keepalive=0.01), good, True),
    (do("odd_ids"), good, True),
    (do("trailing_data"), good, True),
    (do("garbage"), good, True),
    (do("malformed_event"), good, True),
    (do("huge_event"), good, True),
    (do("duplicate_event"), lambda it: text(it) == GOOD.replace("w1", "w1 w1"), True),
    (do("no_sentinel"), lambda it: text(it) == GOOD, False),
    (do("end_early"), lambda it: text(it) == "nonce:n1 w1", False),
    (do("cut", after=3), lambda it: text(it) == "nonce:n1 w1 w2", False),
    (do("cut", after=0), lambda it: text(it) == "", False),
    (do("invalid_json"), lambda it: text(it) == "", False),
    (do("error_event", error="server_error"), troubled(500), True),
    (do("error_event", error="rate_limit", after=0), troubled(429), True),
    (do("error_event", error="quota"), troubled(429), True),
    (do("error_event", error="overloaded"), troubled(503), False),
    (do("error_event", error="auth"), troubled(401), False),
]
CASES = [(*case, stream) for stream in (False, True) for case in BOTH] + [(*case, True) for case in STREAMED]


@pytest.mark.parametrize(
    ("behaviour", "check", "whole", "stream"),
    CASES,
    ids=[f"{case[0].name}-{n}" for n, case in enumerate(CASES)],
)
def test_a_responses_behaviour_reads_as_its_name_says(
    behaviour: Behaviour, check: Check, whole: bool, stream: bool
) -> None:
    async def scenario() -> None:
        async with Vendor([behaviour]) as vendor:
            seen = await ask(vendor, request(stream=stream, tools=[TOOL]))
            assert "openai_responses" == vendor.log[0].dialect

        deltas, done = read(seen)
        assert check(deltas), deltas
        # an error instead of a whole answer is no whole answer; inside a stream it may end it
        assert whole == done

    run(scenario())


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        ("rate_limit", 429, "rate_limit_exceeded"),
        ("auth", 401, "invalid_api_key"),
        ("overloaded", 503, "engine"),
    ],
)
@pytest.mark.parametrize("path", [RESPONSES, EMBEDDINGS])
def test_errors_come_in_openais_envelope(path: str, error: str, status: int, word: str) -> None:
    async def scenario() -> None:
        async with Vendor([do(error, retry_after=2)]) as vendor:
            seen = await ask(vendor, post(path, b'{"model":"m-1","input":"a"}', "connection: close"))

        assert (status, ["2"]) == (seen.status, seen.header("retry-after"))
        assert word in json.dumps(seen.json["error"])

    run(scenario())


def test_a_request_for_json_gets_an_answer_that_meets_its_schema() -> None:
    form = {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}}

    async def scenario() -> None:
        async with Vendor() as vendor:
            seen = await ask(vendor, request(stream=True, text=form))

        assert {"place": GOOD} == json.loads(text(read(seen)[0]))

    run(scenario())


@pytest.mark.parametrize(
    ("behaviour", "kinds", "whole"),
    [
        (do("ok"), ["Answering", "Usage", "Media", "Finish"], True),
        (do("ok", usage=False), ["Answering", "Media", "Finish"], True),
        (do("empty_answer"), ["Answering", "Usage", "Finish"], True),
        (do("invalid_json"), ["Malformed"], False),
        (do("empty_body"), ["Malformed"], False),
        (do("html"), ["Malformed"], False),
        (do("cut"), ["Malformed"], False),
        (do("malformed_event"), ["Malformed"], False),
        (do("error_in_200"), ["Trouble"], False),
        (do("error_event"), ["Trouble"], False),
    ],
)
def test_an_embeddings_behaviour_reads_as_its_name_says(
    behaviour: Behaviour, kinds: list[str], whole: bool
) -> None:
    body = b'{"model":"m-1","input":["a","b"]}'

    async def scenario() -> None:
        async with Vendor([behaviour]) as vendor:
            seen = await ask(vendor, post(EMBEDDINGS, body, "connection: close"))
            assert "embeddings" == vendor.log[0].dialect

        deltas, done = read(seen, "embeddings")
        assert kinds == [type(delta).__name__ for delta in deltas]
        assert whole == done

    run(scenario())


# ---- the real SDK -------------------------------------------------------------------------


def with_sdk(behaviour: Behaviour, use: Callable[[openai.AsyncOpenAI], Any]) -> Any:
    async def scenario() -> Any:
        async with (
            Vendor([behaviour]) as vendor,
            openai.AsyncOpenAI(api_key="k", base_url=f"{vendor.url}/v1", max_retries=0) as client,
        ):
            return await use(client)

    return asyncio.run(scenario())


CALL: dict[str, Any] = {"model": "m-1", "input": "hi nonce:n1"}


@pytest.mark.parametrize(
    "behaviour", [do("ok"), do("ok", reasoning=2), do("ok", tool=True), do("truncated"), do("refusal")]
)
def test_the_sdk_finds_nothing_missing_in_a_whole_answer(behaviour: Behaviour) -> None:
    response = with_sdk(behaviour, lambda client: client.responses.create(**CALL, tools=[TOOL]))

    type(response).model_validate(response.model_dump())
    assert GOOD == response.output_text or behaviour.tool or behaviour.name == "refusal"


@pytest.mark.parametrize(
    "behaviour", [do("ok"), do("ok", reasoning=2), do("ok", tool=True), do("truncated"), do("refusal")]
)
def test_the_sdk_finds_nothing_missing_in_any_event(behaviour: Behaviour) -> None:
    async def use(client: openai.AsyncOpenAI) -> list[Any]:
        stream: Any = await client.responses.create(**CALL, tools=[TOOL], stream=True)
        return [event async for event in stream]

    events = with_sdk(behaviour, use)

    for event in events:
        type(event).model_validate(event.model_dump(warnings=False))
    assert list(range(len(events))) == [event.sequence_number for event in events]


@pytest.mark.parametrize("behaviour", [do("ok"), do("ok", reasoning=2), do("huge_event"), do("odd_ids")])
def test_the_sdk_assembles_a_stream(behaviour: Behaviour) -> None:
    async def use(client: openai.AsyncOpenAI) -> Any:
        async with client.responses.stream(**CALL) as stream:
            return await stream.get_final_response()

    assert GOOD == with_sdk(behaviour, use).output_text


def test_the_sdk_raises_at_an_error_event_and_shows_a_failed_response() -> None:
    async def use(client: openai.AsyncOpenAI) -> list[Any]:
        stream: Any = await client.responses.create(**CALL, stream=True)
        return [event async for event in stream]

    with pytest.raises(openai.APIError, match="overloaded"):
        with_sdk(do("error_event", error="overloaded"), use)
    last = with_sdk(do("error_event", error="rate_limit"), use)[-1]
    assert ("response.failed", "rate_limit_exceeded") == (last.type, last.response.error.code)


def test_the_sdk_reads_vectors() -> None:
    answer = with_sdk(do("ok"), lambda client: client.embeddings.create(model="e-1", input=["a", "b"]))

    assert [[0.25, -0.5, 0.125]] * 2 == [row.embedding for row in answer.data]
    assert "e-1" == answer.model
