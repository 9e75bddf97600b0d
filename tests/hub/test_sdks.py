"""The real SDKs get a correct object out of an answer that came in another dialect."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import types
from openai.types.responses import Response

from sidecar.model import Answering, Delta, Finish, FinishReason, Reasoning, Text, ToolCall, Usage
from tests.dialects.test_sdks import anthropic_over, openai_over, transport
from tests.hub.answers import assembled, read_stream, say
from tests.hub.cases import ANTHROPIC, CHAT, DIALECTS, GEMINI, RESPONSES

SCRIPT: list[Delta] = [
    Answering("quill"),
    Reasoning("Two calls."),
    Text("Let me "),
    Text("look."),
    ToolCall(0, "call_a", "tide", '{"port":'),
    ToolCall(1, "call_b", "wind", '{"port"'),
    ToolCall(0, arguments='"Emden"}'),
    ToolCall(1, arguments=':"Husum"}'),
    Finish(FinishReason.TOOL),
    Usage(input_total=30, output_total=20, cache_read=10, reasoning=5),
]
CALLS = [("tide", {"port": "Emden"}), ("wind", {"port": "Husum"})]
PAIRS = [(target, client, stream) for target, client in permutations(DIALECTS, 2) for stream in (True, False)]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("tide", "wind")
]


def crossed(target: str, client: str, *, stream: bool) -> httpx2.Client:
    """A transport that gives what the client is told of the script, as the target said it."""
    said, losses = say(client, read_stream(target, say(target, SCRIPT)[0]))
    assert () == losses
    if stream:
        return transport(200, {"content-type": "text/event-stream"}, said)
    return transport(200, {"content-type": "application/json"}, assembled(client, said))


def of(client: str) -> list[tuple[str, str, bool]]:
    return [pair for pair in PAIRS if pair[1] == client]


@pytest.mark.parametrize(("target", "client", "stream"), of(CHAT))
def test_openai_parses_a_completion(target: str, client: str, stream: bool) -> None:
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": TOOLS}
    with crossed(target, client, stream=stream) as http:
        completions = openai_over(http).chat.completions
        if stream:
            with completions.stream(**asked, stream_options={"include_usage": True}) as events:
                completion: Any = events.get_final_completion()
        else:
            completion = completions.create(**asked)

    (choice,) = completion.choices
    assert ("tool_calls", "Let me look.") == (choice.finish_reason, choice.message.content)
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls]
    assert CALLS == calls
    assert (30, 20, 50) == (
        completion.usage.prompt_tokens,
        completion.usage.completion_tokens,
        completion.usage.total_tokens,
    )
    assert (10, 5) == (
        completion.usage.prompt_tokens_details.cached_tokens,
        completion.usage.completion_tokens_details.reasoning_tokens,
    )
    assert "quill" == completion.model


@pytest.mark.parametrize(("target", "client", "stream"), of(RESPONSES))
def test_openai_parses_a_response(target: str, client: str, stream: bool) -> None:
    with crossed(target, client, stream=stream) as http:
        responses = openai_over(http).responses
        if stream:
            with responses.stream(model="m", input="hi") as events:
                kinds = [event.type for event in events]
                response: Any = events.get_final_response()
            assert ["response.created", "response.in_progress", "response.output_item.added"] == kinds[:3]
            assert "response.completed" == kinds[-1]
        else:
            response = responses.create(model="m", input="hi")

    Response.model_validate(response.to_dict(), strict=False)  # every field is there, and of its type
    assert "Let me look." == response.output_text
    calls = [item for item in response.output if item.type == "function_call"]
    assert CALLS == [(call.name, json.loads(call.arguments)) for call in calls]
    assert ["reasoning", "message", "function_call", "function_call"] == [o.type for o in response.output]
    assert "Two calls." == response.output[0].summary[0].text
    assert (30, 20) == (response.usage.input_tokens, response.usage.output_tokens)
    assert ("completed", "quill") == (response.status, response.model)


@pytest.mark.parametrize(("target", "client", "stream"), of(ANTHROPIC))
def test_anthropic_parses_a_message(target: str, client: str, stream: bool) -> None:
    asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    with crossed(target, client, stream=stream) as http:
        messages = anthropic_over(http).messages
        if stream:
            with messages.stream(**asked) as events:
                message: Any = events.get_final_message()
        else:
            message = messages.create(**asked)

    assert ["thinking", "text", "tool_use", "tool_use"] == [block.type for block in message.content]
    assert "Let me look." == message.content[1].text
    assert CALLS == [(block.name, block.input) for block in message.content[2:]]
    assert ("tool_use", "quill") == (message.stop_reason, message.model)
    usage = message.usage
    assert (20, 10, 20) == (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens)


@pytest.mark.parametrize(("target", "client", "stream"), of(GEMINI))
def test_google_parses_an_answer(target: str, client: str, stream: bool) -> None:
    with crossed(target, client, stream=stream) as http:
        options = types.HttpOptions(base_url="http://127.0.0.1", httpx_client=http)
        chat = genai.Client(api_key="k", http_options=options).chats.create(model="m")
        answers = list(chat.send_message_stream("hi")) if stream else [chat.send_message("hi")]

    parts = [part for answer in answers for part in answer.candidates[0].content.parts]  # type: ignore[index,union-attr]
    said = "".join(part.text for part in parts if part.text and not part.thought)
    assert "Let me look." == said
    calls = [part.function_call for part in parts if part.function_call]
    assert CALLS == [(call.name, call.args) for call in calls]
    assert types.FinishReason.STOP is answers[-1].candidates[0].finish_reason  # type: ignore[index]
    usage: Any = answers[-1].usage_metadata
    counts = (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count)
    assert (30, 15, 5) == counts
    assert 2 <= len(chat.get_history(curated=True))  # the turn is kept


@pytest.mark.parametrize(("reason", "word"), [("length", "max_output_tokens"), ("filter", "content_filter")])
def test_a_response_that_is_cut_short_is_incomplete(reason: str, word: str) -> None:
    script: list[Delta] = [Text("Half"), Finish(FinishReason(reason))]
    with transport(
        200, {"content-type": "application/json"}, assembled(RESPONSES, say(RESPONSES, script)[0])
    ) as http:
        response: Any = openai_over(http).responses.create(model="m", input="hi")

    assert ("incomplete", word) == (response.status, response.incomplete_details.reason)
