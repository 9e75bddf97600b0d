from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.gate.features import Features, of_ask, of_conversation
from sidecar.hub.anthropic import ANTHROPIC
from sidecar.hub.conversation import Choice, Effort, Shape
from sidecar.hub.openai_chat import OPENAI_CHAT
from sidecar.model import Ask, Operation

HELLO = {"role": "user", "content": "hello"}
PIXEL = "iVBORw0KGgoAAAANSUhEUg" * 100


def chat(messages: list[dict[str, Any]] | None = None, **fields: Any) -> Features:
    body = json.dumps({"model": "m", "messages": messages or [HELLO], **fields}).encode()
    return of_conversation(OPENAI_CHAT.read("/chat/completions", body), len(body))


def messages(turns: list[dict[str, Any]] | None = None, **fields: Any) -> Features:
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": turns or [HELLO], **fields}).encode()
    return of_conversation(ANTHROPIC.read("/messages", body), len(body))


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def test_a_plain_question_needs_nothing():
    plain = chat()
    assert Features(size=plain.size) == plain


def test_media_is_counted_and_its_bytes_are_no_text():
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    audio = {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}}
    file = {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PIXEL}"},
    }
    seen = chat(user(image, image, audio, file))
    assert (2, 1, 1) == (seen.images, seen.audio, seen.documents)
    assert seen.size < 600


def test_media_in_the_result_of_a_tool_counts_too():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    call = {"type": "tool_use", "id": "t", "name": "shot", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    seen = messages([HELLO, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}])
    assert 1 == seen.images


def test_a_document_by_address_is_told_apart():
    there = {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}}
    assert "messages[0].content[0]" == messages(user(there)).remote_document_at


def test_tools_and_how_they_may_be_called():
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    seen = chat(tools=[tool], tool_choice="required", parallel_tool_calls=False)
    assert (True, Choice.REQUIRED, False) == (seen.tools, seen.choice, seen.parallel)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"max_tokens": 5}, {"max_output": 5}),
        ({"n": 3}, {"choices": 3}),
        ({"stop": ["a", "b"]}, {"stops": 2}),
        ({"temperature": 0.5, "top_p": 1}, {"sampling": ("temperature", "top_p")}),
        ({"reasoning_effort": "high"}, {"thinks": True, "effort": Effort.HIGH}),
        ({"reasoning_effort": "none"}, {"thinks": False, "effort": Effort.NONE}),
        ({"response_format": {"type": "json_object"}}, {"shape": Shape.JSON}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            {"shape": Shape.SCHEMA},
        ),
        ({"logprobs": True}, {"logprobs_at": "logprobs"}),
        ({"logprobs": False}, {"logprobs_at": ""}),
    ],
)
def test_options_are_seen(field: dict[str, Any], expected: dict[str, Any]):
    seen = chat(**field)
    assert expected == {name: getattr(seen, name) for name in expected}


@pytest.mark.parametrize(
    ("turns", "at"),
    [
        ([HELLO, {"role": "assistant", "content": "It is"}], "messages[1]"),
        ([HELLO], ""),
        ([HELLO, {"role": "assistant", "content": "It is"}, HELLO], ""),
    ],
)
def test_a_prefill_is_a_last_turn_of_the_models_own_text(turns: list[dict[str, Any]], at: str):
    assert at == messages(turns).prefill_at


def test_a_last_turn_with_calls_is_no_prefill():
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    assert "" == messages([HELLO, {"role": "assistant", "content": [call]}]).prefill_at


def test_a_system_message_after_the_first_turn_is_late():
    late = chat([HELLO, {"role": "system", "content": "now"}, HELLO])
    early = chat([{"role": "system", "content": "now"}, HELLO])
    assert (True, "messages[1]") == (late.system, late.late_system_at)
    assert (True, "") == (early.system, early.late_system_at)


@pytest.mark.parametrize(
    ("seen", "at"),
    [
        (chat(user({"type": "file", "file": {"file_id": "f-1"}})), "messages[0].content[0]"),
        (messages(container="c-1"), "container"),
        (messages(user({"type": "search_result", "source": "x"})), "messages[0].content[0]"),
        (messages(container=None, mcp_servers=[]), ""),
        (messages(context_management={"edits": [{"type": "clear_tool_uses_20250919"}]}), ""),
        (chat(), ""),
    ],
)
def test_what_only_its_provider_holds_is_found(seen: Features, at: str):
    assert at == seen.state_at


def test_a_tool_that_the_provider_runs_is_found():
    assert (
        "tools[0]" == messages(tools=[{"type": "web_search_20250305", "name": "web_search"}]).server_tool_at
    )


def test_of_a_request_that_nobody_read_only_the_ask_is_known():
    ask = Ask(
        operation=Operation.CHAT, model="m", schema=b"{}", json=True, tools=frozenset({"f"}), reasoning=True,
        max_output=7, choices=2,
    )  # fmt: skip
    expected = Features(
        size=99, read=False, tools=True, shape=Shape.SCHEMA, thinks=True, max_output=7, choices=2
    )
    assert expected == of_ask(ask, 99)


def test_an_embedding_is_told_apart():
    assert of_ask(Ask(operation=Operation.EMBEDDINGS, model="m"), 1).embedding
