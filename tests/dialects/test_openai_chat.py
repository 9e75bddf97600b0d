# ruff: noqa: E501  # a case of a table is one line
from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.dialects.base import BadBody
from sidecar.dialects.reading import BODY_CAP
from sidecar.model import (
    Answering,
    Ask,
    Delta,
    Fault,
    Finish,
    FinishReason,
    Malformed,
    Media,
    Operation,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Trouble,
    Usage,
)
from tests.dialects.samples import (
    OPENAI,
    OPENAI_ROUGH,
    OPENAI_TEXT,
    OPENAI_TOOLS,
    ask,
    body_reader_of,
    data,
    reader_of,
    run,
    said,
    static,
    whole,
)

CHAT = "/v1/chat/completions"


def asked(path: str = CHAT, **fields: Any) -> Ask:
    return OPENAI.ask(Operation.CHAT, path, json.dumps({"model": "m", **fields}).encode())


# ---- paths --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/v1/chat/completions",
        "/api/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/beta/chat/completions",
        "/api/paas/v4/chat/completions",
        "/openai/deployments/tern/chat/completions",
    ],
)
def test_every_path_of_a_chat_is_known_with_and_without_version(path: str) -> None:
    assert Operation.CHAT is OPENAI.operation("POST", path)
    assert "/chat/completions" == OPENAI.canonical(Operation.CHAT, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/abc"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/responses"),
        ("GET", "/v1/models"),
        ("POST", "/v1/xchat/completions"[3:].replace("/xchat", "xchat")),
    ],
)
def test_everything_else_is_passed_through(method: str, path: str) -> None:
    assert OPENAI.operation(method, path) is None


# ---- what is asked ------------------------------------------------------------------------


def test_a_plain_question_asks_for_nothing_special() -> None:
    expected = Ask(operation=Operation.CHAT, model="m")

    assert expected == asked(messages=[{"role": "user", "content": "hi"}], temperature=0.5)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stream": True}, {"stream": True}),
        ({"stream": None}, {}),
        ({"max_tokens": 5}, {"max_output": 5}),
        ({"max_completion_tokens": 7, "max_tokens": 5}, {"max_output": 7}),
        ({"n": 3}, {"choices": 3}),
        ({"n": None}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"json": True}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"a": 1}}}},
            {"json": True, "schema": b'{"a": 1}'},
        ),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, {"json": True}),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": "tide", "parameters": {}}},
                    {"type": "custom", "custom": {"name": "script"}},
                    {"type": "web_search"},
                ],
                "functions": [{"name": "wind"}],
            },
            {"tools": frozenset({"tide", "script", "wind"})},
        ),
        ({"reasoning_effort": "low"}, {"reasoning": True}),
        ({"reasoning_effort": "none"}, {}),
        ({"reasoning_effort": "minimal"}, {}),
        ({"reasoning": {"max_tokens": 100}}, {"reasoning": True}),
        ({"reasoning": {"enabled": False}}, {}),
        ({"reasoning": {"effort": "none"}}, {}),
        ({"thinking": {"type": "enabled"}}, {"reasoning": True}),
        ({"thinking": {"type": "disabled"}}, {}),
        ({"enable_thinking": True}, {"reasoning": True}),
    ],
)
def test_what_policy_has_to_know_is_read(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert Ask(operation=Operation.CHAT, model="m", **expected) == asked(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": "yes"},
        {"n": "two"},
        {"n": -1},
        {"max_tokens": [1]},
        {"tools": "all"},
        {"tools": [None, 3, {"function": "f"}, {"function": {"name": 7}}]},
        {"response_format": "json"},
        {"response_format": {"type": "json_object", "json_schema": 3, "x": float("1e300")}, "stream": 1},
        {"reasoning_effort": 3},
        {"messages": "hello"},
    ],
)
def test_odd_types_are_left_for_the_provider_to_judge(fields: dict[str, Any]) -> None:
    assert "m" == asked(**fields).model


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("o1", True), ("o3-mini", True), ("o4-mini-2025-04-16", True), ("openai/o3", True),
        ("gpt-5", True), ("gpt-5.1-codex", True), ("gpt-5-chat-latest", False), ("gpt-oss-20b", True),
        ("gpt-4o", False), ("gpt-4.1-mini", False), ("chatgpt-4o-latest", False), ("omni-moderation", False),
        ("deepseek-reasoner", True), ("deepseek-ai/DeepSeek-R1", True), ("deepseek-chat", False),
        ("kimi-k2-thinking", True), ("qwq-32b", True), ("magistral-medium-latest", True),
        ("mistral-large-latest", False), ("grok-4-fast-reasoning", True), ("grok-4-fast-non-reasoning", False),
        ("grok-3", False), ("grok-3-mini", True), ("llama-3.3-70b-versatile", False),
        ("anthropic/claude-opus-5.5", True), ("anthropic/claude-sonnet-4.5", False),
    ],
)  # fmt: skip
def test_models_that_think_are_known_by_their_names(model: str, thinks: bool) -> None:
    assert thinks == asked(model=model).reasoning


def test_what_the_request_says_about_reasoning_wins_over_the_name() -> None:
    assert not asked(model="o3", reasoning_effort="minimal").reasoning
    assert asked(model="gpt-4o", reasoning_effort="high").reasoning


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "not valid JSON"),
        (b"hello", r"not valid JSON.*byte 0"),
        (b'{"model":"m","x":NaN}', r"not valid JSON.*byte 17"),
        (b'{"model":"m"', "not valid JSON"),
        (b'{"model":"m"} trailing', r"byte 15"),
        (b"[1]", "JSON object"),
        (b"null", "JSON object"),
        (b'{"messages":[]}', '"model" is missing'),
        (b'{"model":7}', '"model" is missing or not a string'),
        (b'{"model":null}', '"model" is missing'),
        (b'{"model":"m","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"[" * 100_000, "JSON object|nested"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_the_place(body: bytes, detail: str) -> None:
    with pytest.raises(BadBody, match=detail):
        OPENAI.ask(Operation.CHAT, CHAT, body)


@pytest.mark.parametrize(
    "body", [b'{"secret', b'{"model":["secret"]}', b'{"secret":\xff', b'{"model":"m","s":"\\q secret"}']
)
def test_a_refusal_never_quotes(body: bytes) -> None:
    with pytest.raises(BadBody) as refused:
        OPENAI.ask(Operation.CHAT, CHAT, body)
    assert "secret" not in refused.value.detail
    assert "ff" not in refused.value.detail


def test_text_that_is_no_unicode_is_the_providers_matter() -> None:
    body = b'{"model":"m","messages":[{"content":"\\ud83d \\\\ud83d \xff"}],"stream":true}'

    assert OPENAI.ask(Operation.CHAT, CHAT, body).stream


def test_of_two_models_the_last_is_asked_and_both_are_replaced() -> None:
    body = b'{"model":"a", "x":1, "model":"b"}'

    assert "b" == OPENAI.ask(Operation.CHAT, CHAT, body).model
    assert (CHAT, b'{"model":"c", "x":1, "model":"c"}') == OPENAI.with_model(CHAT, body, "c")


def test_another_model_changes_only_the_models_bytes() -> None:
    body = b'{ "messages" : [{"model":"m"}],\t"model":"m" , "seed": 1.0e2, "text":"\\u00e9"}'

    path, changed = OPENAI.with_model(CHAT, body, 'n"\u00e9')

    assert CHAT == path
    assert body.replace(b'"model":"m" ', '"model":"n\\"é" '.encode()) == changed


def test_a_deployment_in_the_path_is_the_model() -> None:
    path = "/openai/deployments/tern%202/chat/completions"

    assert "tern 2" == OPENAI.ask(Operation.CHAT, path, b'{"messages":[]}').model
    changed = OPENAI.with_model(path, b'{"messages":[]}', "a/b")
    assert ("/openai/deployments/a%2Fb/chat/completions", b'{"messages":[]}') == changed


# ---- what is answered ---------------------------------------------------------------------


def test_a_stream_of_text() -> None:
    reader = reader_of("openai_chat")

    raw, deltas = run(reader, [OPENAI_TEXT])

    assert [
        Answering("quill-2"),
        Text("Grüße 🦔"),
        Text(" é\n\n"),
        Finish(FinishReason.STOP),
        Usage(input_total=11, output_total=7, cache_read=4, reasoning=2),
    ] == deltas
    assert OPENAI_TEXT == raw
    assert reader.done
    assert reader.finished


def test_a_stream_of_tool_calls() -> None:
    assert [
        Answering("quill-2"),
        Reasoning("I need two"),
        ToolCall(0, "call_a", "tide"),
        ToolCall(0, arguments='{"port":'),
        ToolCall(0, arguments='"Emden"}'),
        ToolCall(1, "call_b", "wind", "{}"),
        Finish(FinishReason.TOOL),
    ] == said("openai_chat", OPENAI_TOOLS)


def test_a_rough_stream_is_read_around_its_damage() -> None:
    assert [
        Answering("quill-2"),
        Text("a"),
        Text("b", 1),
        Malformed("event 2"),
        Malformed("event 3"),
        Text("c"),
        Refusal("no"),
        Text("d", 1),
        Finish(FinishReason.LENGTH, 1),
        Trouble(502, b'{"error":{"message":"gone","code":502}}'),
        Finish(FinishReason.STOP),
    ] == said("openai_chat", OPENAI_ROUGH, choices=2)


def delta(**fields: Any) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": fields}]})


CALL = {"name": "tide", "arguments": "{}"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (delta(role="assistant"), []),
        (delta(role="assistant", content=None, refusal=None, tool_calls=None), []),
        (delta(content=""), []),
        (delta(content=[]), []),
        (delta(content=[{"type": "text", "text": ""}]), []),
        (delta(content=[{"type": "text", "text": "a"}, "b", None, {"text": "c"}, {"type": "image_url"}]), [Text("a"), Text("b"), Media("image")]),
        (delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]), [Reasoning("hm")]),
        (delta(content=[{"type": "refusal", "refusal": "no"}]), [Refusal("no")]),
        (delta(content={"type": "text", "text": "a"}), [Text("a")]),
        (delta(content=7), []),
        (delta(content=[{"type": "text", "text": 7}, {"type": "thinking"}, {"type": "refusal"}, {"type": 7}]), []),
        (delta(reasoning="hm"), [Reasoning("hm")]),
        (delta(reasoning="hm", reasoning_details=[{"text": "hm"}]), [Reasoning("hm")]),
        (delta(reasoning_details=[{"text": "hm"}, {"summary": "so"}, {"data": "x"}, 3]), [Reasoning("hm"), Reasoning("so")]),
        (delta(reasoning={"odd": 1}, content="a"), [Text("a")]),
        (delta(refusal="no"), [Refusal("no")]),
        (delta(function_call={"name": "tide"}), [ToolCall(0, name="tide")]),
        (delta(function_call={"name": "", "arguments": ""}, content="a"), [Text("a")]),
        (delta(function_call={"arguments": "{}"}), [ToolCall(0, arguments="{}")]),
        (delta(tool_calls=[{"id": "a", "function": CALL}]), [ToolCall(0, "a", "tide", "{}")]),
        (delta(tool_calls=[{"function": {"name": "tide", "arguments": {"a": 1}}}]), [ToolCall(0, "", "tide", '{"a":1}')]),
        (delta(tool_calls=[{"index": 0}, None, {"index": "x", "id": 3}]), []),
        (delta(tool_calls=[{"index": 0, "type": "custom", "custom": {"name": "s", "input": "x"}}]), [Media("custom_tool_call")]),
        (delta(audio={"id": "a", "data": "AAAA"}), [Media("audio")]),
        (delta(images=[{"image_url": {"url": "data:"}}]), [Media("image")]),
        (delta(annotations=[{"type": "url_citation"}], content="a"), [Text("a"), Media("citation")]),
        ('{"choices":[null,{"index":null,"delta":{"content":"a"}},{"delta":null},7]}', [Text("a")]),
        ('{"choices":{"0":1}}', []),
        ('{"choices":null,"model":3}', []),
        ("{}", []),
        ('{"choices":[{"delta":{"content":"\\ud83d"}}]}', [Text("\ufffd")]),
        ('{"choices":[{"delta":{"content":"\\ud83e\\udd94 \\\\ud83d"}}]}', [Text("🦔 \\ud83d")]),
    ],
)  # fmt: skip
def test_what_is_content_and_what_is_not(event: str, expected: list[Delta]) -> None:
    assert expected == said("openai_chat", data(event))


def test_invalid_utf_8_is_read_with_replacements() -> None:
    stream = b'data: {"choices":[{"delta":{"content":"a\xffb"}}]}\n\n'

    assert (stream, [Text("a\ufffdb")]) == run(reader_of("openai_chat"), [stream])


def test_calls_without_an_index_are_told_apart_by_what_begins_one() -> None:
    stream = data(
        delta(tool_calls=[{"id": "a", "function": {"name": "tide", "arguments": "{"}}]),
        delta(tool_calls=[{"function": {"arguments": "}"}}]),
        delta(tool_calls=[{"id": "b", "function": CALL}]),
    )

    assert [
        ToolCall(0, "a", "tide", "{"),
        ToolCall(0, arguments="}"),
        ToolCall(1, "b", "tide", "{}"),
    ] == said("openai_chat", stream)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("tool_calls", FinishReason.TOOL),
        ("function_call", FinishReason.TOOL),
        ("content_filter", FinishReason.FILTER),
        ("SAFETY", FinishReason.FILTER),
        ("error", FinishReason.ERROR),
        ("model_length", FinishReason.CONTEXT_FULL),
        ("eos", FinishReason.STOP),
        ("something new", FinishReason.STOP),
    ],
)
def test_the_words_for_an_end(word: str, reason: FinishReason) -> None:
    event = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": word}]})

    assert [Finish(reason)] == said("openai_chat", data(event))


def test_an_empty_call_does_not_make_the_end_a_call() -> None:
    message = {"content": "4", "function_call": {"name": "", "arguments": ""}, "tool_calls": [{"index": 0}]}
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": ""}]}).encode()

    assert [Text("4"), Finish(FinishReason.STOP)] == whole("openai_chat", body)


def test_a_call_that_ends_with_stop_ends_with_a_call() -> None:
    stream = data(
        delta(tool_calls=[{"index": 0, "id": "a", "function": CALL}]),
        '{"choices":[{"finish_reason":"stop"}]}',
    )

    assert Finish(FinishReason.TOOL) == said("openai_chat", stream)[-1]


def test_a_lack_of_resources_is_trouble_though_it_comes_as_an_end() -> None:
    event = '{"choices":[{"index":0,"delta":{},"finish_reason":"insufficient_system_resource"}]}'

    assert [Trouble(503, event.encode()), Finish(FinishReason.ERROR)] == said("openai_chat", data(event))


def test_finished_means_every_choice_that_was_asked_for() -> None:
    events = [
        data('{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}'),
        data('{"choices":[{"index":1,"delta":{"content":"b"}}]}'),
        data('{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}'),
        b"data: [DONE]\n\n",
    ]
    reader = reader_of("openai_chat", choices=2)
    states = []
    for event in events:
        reader.feed(event)
        states.append((reader.finished, reader.done))

    assert [(False, False), (False, False), (True, False), (True, True)] == states


def test_choices_nobody_asked_for_have_to_end_too() -> None:
    reader = reader_of("openai_chat")

    reader.feed(data('{"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"delta":{"content":"b"}}]}'))

    assert not reader.finished


def test_the_sentinel_counts_without_its_blank_line() -> None:
    reader = reader_of("openai_chat")

    run(reader, [b"data: [DONE]"])

    assert reader.done


def test_usage_is_told_when_it_changes_and_the_last_value_of_a_key_wins() -> None:
    stream = data(
        '{"usage":{"prompt_tokens":5,"completion_tokens":1}}',
        '{"usage":{"prompt_tokens":5,"completion_tokens":1}}',
        '{"usage":{"completion_tokens":2,"prompt_cache_hit_tokens":3}}',
        '{"x_groq":{"id":"r","usage":{"completion_tokens":4}},"usage":null}',
        '{"usage":{"prompt_tokens":-1,"completion_tokens":-1}}',
        '{"usage":{"prompt_tokens":"many","completion_tokens":6,"prompt_tokens_details":{"cache_write_tokens":1}}}',
    )

    assert [
        Usage(5, 1),
        Usage(5, 2, 3),
        Usage(5, 4, 3),
        Usage(5, 6, 3, 1),
    ] == said("openai_chat", stream)


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"error": {"code": 429, "message": "x"}}, 429),
        ({"error": {"code": "503"}}, 503),
        ({"error": {"code": "rate_limit_exceeded", "type": "too_many_requests"}}, 429),
        ({"error": {"code": "server_error"}, "choices": [{"index": 0, "delta": {"content": ""}}]}, 500),
        ({"error": {"type": "InternalServerError", "code": 500}}, 500),
        ({"error": {"type": "overloaded_error"}}, 529),
        ({"error": {"code": "invalid_api_key", "type": "invalid_request_error"}}, 401),
        ({"error": {"code": None, "type": "invalid_request_error"}}, 400),
        ({"error": {"code": 20, "type": "Service Unavailable"}}, 503),
        ({"error": {"code": "9" * 5000}}, 0),
        ({"error": {"message": "hm"}}, 0),
        ({"error": "out of order"}, 0),
        ({"error": ["x"]}, 0),
        ({"object": "error", "message": "x", "type": "BadRequestError", "code": 400}, 400),
    ],
)
def test_an_error_inside_a_200_names_its_status(event: dict[str, Any], status: int) -> None:
    body = json.dumps(event)

    assert [Trouble(status, body.encode())] == said("openai_chat", data(body))
    assert [Trouble(status, body.encode())] == whole("openai_chat", body.encode())


def test_no_error_is_no_trouble() -> None:
    assert [] == said("openai_chat", data('{"error":null}', '{"error":{}}', '{"error":""}'))


def test_an_event_nested_without_end_is_malformed() -> None:
    deep = '{"x":' + "[" * 50_000 + "]" * 50_000 + "}"

    assert [Malformed("event 1"), Text("a")] == said("openai_chat", data(deep, delta(content="a")))


def test_what_follows_the_sentinel_says_nothing() -> None:
    assert [] == said("openai_chat", data("[DONE]", delta(content="late")))


def test_a_second_finish_of_a_choice_is_not_told() -> None:
    end = '{"choices":[{"index":0,"finish_reason":"stop"}]}'

    assert [Finish(FinishReason.STOP)] == said("openai_chat", data(end, end))


def test_an_oversized_event_is_content_that_was_not_read() -> None:
    image = delta(images=[{"image_url": {"url": "x" * (1 << 20)}}])

    assert [Media("oversized"), Text("a")] == said("openai_chat", data(image, delta(content="a")))


def test_a_whole_answer() -> None:
    body = json.dumps(
        {
            "id": "c",
            "model": "quill-2",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "a",
                        "reasoning": "hm",
                        "refusal": None,
                        "annotations": [],
                    },
                    "finish_reason": "stop",
                },
                {
                    "message": {
                        "content": None,
                        "tool_calls": [{"id": "t", "function": CALL}, {"id": "u", "function": CALL}],
                    },
                    "finish_reason": "tool_calls",
                },
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        }
    ).encode()
    reader = body_reader_of("openai_chat", choices=2)
    assert body == reader.feed(body).raw

    deltas = reader.close().deltas

    assert (
        Answering("quill-2"),
        Usage(1, 2),
        Reasoning("hm"),
        Text("a"),
        Finish(FinishReason.STOP),
        ToolCall(0, "t", "tide", "{}", 1),
        ToolCall(1, "u", "tide", "{}", 1),
        Finish(FinishReason.TOOL, 1),
    ) == deltas
    assert reader.done
    assert reader.finished


@pytest.mark.parametrize(
    ("body", "expected", "done"),
    [
        (b"", [Malformed("body")], False),
        (b"<html>", [Malformed("body")], False),
        (b'{"choices":[{"message":{"content":"a"}', [Malformed("body")], False),
        (b"[]", [Malformed("body")], False),
        (b"{}", [], False),
        (b'{"choices":[]}', [], True),
        (
            b'{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}',
            [Finish(FinishReason.STOP)],
            True,
        ),
        (b'{"error":{"code":402}}', [Trouble(402, b'{"error":{"code":402}}')], False),
    ],
)
def test_whether_a_body_is_a_whole_answer(body: bytes, expected: list[Delta], done: bool) -> None:
    reader = body_reader_of("openai_chat")

    assert (body, expected) == run(reader, [body])
    assert (done, done) == (reader.done, reader.finished)


def test_a_body_above_the_cap_is_passed_unread_and_not_called_incomplete() -> None:
    reader = body_reader_of("openai_chat")
    piece = b"x" * (1 << 20)

    raw, deltas = run(reader, [piece] * (BODY_CAP // len(piece) + 1))

    assert BODY_CAP + len(piece) == len(raw)
    assert [Media("oversized")] == deltas
    assert reader.done


@pytest.mark.parametrize(
    "content_type", [b"text/event-stream", b"Text/Event-Stream;charset=utf-8", b"text/event-stream ; x"]
)
def test_the_content_type_makes_a_stream(content_type: bytes) -> None:
    assert (Text("a"),) == OPENAI.reader(ask(), content_type).feed(data(delta(content="a"))).deltas


@pytest.mark.parametrize("content_type", [b"application/json", b"", b"text/html", b"text/event-streams"])
def test_everything_else_is_a_body(content_type: bytes) -> None:
    assert () == OPENAI.reader(ask(), content_type).feed(data(delta(content="a"))).deltas


# ---- what we say --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "fault", "kind", "code"),
    [
        (400, Fault.INVALID_REQUEST, "invalid_request_error", "invalid_request"),
        (400, Fault.CONTEXT_WINDOW, "invalid_request_error", "context_length_exceeded"),
        (401, Fault.AUTH, "authentication_error", "invalid_api_key"),
        (403, Fault.PERMISSION, "permission_error", "permission"),
        (404, Fault.NOT_FOUND, "not_found_error", "not_found"),
        (413, Fault.REQUEST_TOO_LARGE, "invalid_request_error", "request_too_large"),
        (429, Fault.RATE_LIMIT_RPM, "rate_limit_error", "rate_limit_exceeded"),
        (429, Fault.RATE_LIMIT_DAILY, "rate_limit_error", "rate_limit_exceeded"),
        (429, Fault.QUOTA_EXHAUSTED, "insufficient_quota", "insufficient_quota"),
        (503, Fault.OVERLOADED, "server_error", "overloaded"),
    ],
)
def test_a_complaint_has_the_dialects_shape(status: int, fault: Fault, kind: str, code: str) -> None:
    wire = OPENAI.complain(status, fault, "so it is")

    error = {"message": "so it is", "type": kind, "param": None, "code": code}
    assert {"error": error} == json.loads(wire.body)
    assert status == wire.head.status
    assert b"application/json" == wire.head.get(b"content-type")
    assert str(len(wire.body)).encode() == wire.head.get(b"content-length")


@pytest.mark.parametrize("stream", [True, False])
def test_our_own_reader_reads_our_static_answer(stream: bool) -> None:
    asked_for = ask("quill-2", stream=stream, choices=2)
    wire = static(OPENAI, asked_for, "Back soon. 🦔")

    content_type = wire.head.get(b"content-type") or b""
    reader = OPENAI.reader(asked_for, content_type)
    raw, deltas = run(reader, [wire.body])

    assert wire.body == raw
    assert Answering("quill-2") == deltas[0]
    assert [Text("Back soon. 🦔", choice) for choice in (0, 1)] == [
        each for each in deltas if isinstance(each, Text)
    ]
    assert [Finish(FinishReason.STOP, choice) for choice in (0, 1)] == [
        each for each in deltas if isinstance(each, Finish)
    ]
    assert Usage(0, 0) in deltas
    assert reader.done
    assert reader.finished
    assert b'"llm_sidecar":{"degraded":true,"tier":"static"}' in wire.body
