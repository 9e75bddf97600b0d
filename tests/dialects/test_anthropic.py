# ruff: noqa: E501  # a case of a table is one line
from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.dialects.base import BadBody
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
    Text,
    ToolCall,
    Trouble,
    Usage,
)
from tests.dialects.samples import (
    ANTHROPIC,
    ANTHROPIC_ROUGH,
    ANTHROPIC_TEXT,
    ANTHROPIC_TOOLS,
    ask,
    body_reader_of,
    named,
    reader_of,
    run,
    said,
    static,
    whole,
)


def asked(**fields: Any) -> Ask:
    return ANTHROPIC.ask(Operation.CHAT, "/v1/messages", json.dumps({"model": "m", **fields}).encode())


# ---- paths --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/messages", "/v1/messages", "/api/anthropic/v1/messages"])
def test_every_path_of_messages_is_known_with_and_without_version(path: str) -> None:
    assert Operation.CHAT is ANTHROPIC.operation("POST", path)
    assert "/messages" == ANTHROPIC.canonical(Operation.CHAT, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/messages/batches"),
        ("GET", "/v1/messages/batches/b/results"),
        ("POST", "/v1/complete"),
        ("POST", "/v1/my_messages"),
    ],
)
def test_everything_else_is_passed_through(method: str, path: str) -> None:
    assert ANTHROPIC.operation(method, path) is None


# ---- what is asked ------------------------------------------------------------------------

SCHEMA = {"type": "json_schema", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"messages": [{"role": "user", "content": "hi"}]}, {}),
        ({"stream": True, "max_tokens": 9}, {"stream": True, "max_output": 9}),
        ({"output_config": {"format": SCHEMA}}, {"json": True, "schema": b'{"type": "object"}'}),
        ({"output_format": SCHEMA}, {"json": True, "schema": b'{"type": "object"}'}),
        ({"output_config": {"format": None, "effort": "low"}}, {}),
        ({"output_config": {"format": {"type": "json_schema"}}}, {"json": True}),
        (
            {
                "tools": [
                    {"name": "tide", "input_schema": {}},
                    {"type": "web_search_20250305", "name": "web_search"},
                ]
            },
            {"tools": frozenset({"tide", "web_search"})},
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"reasoning": True}),
        ({"thinking": {"type": "adaptive"}}, {"reasoning": True}),
        ({"thinking": {"type": "disabled"}}, {}),
        ({"thinking": "yes", "stream": 1, "tools": {"name": "x"}, "max_tokens": "9"}, {}),
    ],
)
def test_what_policy_has_to_know_is_read(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert Ask(operation=Operation.CHAT, model="m", **expected) == asked(**fields)


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("claude-3-5-sonnet-20241022", False), ("claude-3-opus-20240229", False), ("claude-sonnet-4-5", False),
        ("claude-opus-4-20250514", False), ("claude-opus-5", True), ("claude-sonnet-5-5", True),
        ("claude-fable-5", True), ("claude-haiku-10", True), ("claude-mythos-preview", True),
        ("us.anthropic.claude-opus-5-v1:0", True),
    ],
)  # fmt: skip
def test_newer_models_think_unless_told_not_to(model: str, thinks: bool) -> None:
    assert thinks == asked(model=model).reasoning
    assert not asked(model=model, thinking={"type": "disabled"}).reasoning


@pytest.mark.parametrize(
    ("body", "detail"),
    [(b'{"model":"m",}', r"byte 13"), (b'"x"', "JSON object"), (b'{"max_tokens":1}', '"model" is missing')],
)
def test_a_body_that_cannot_be_read_is_refused_with_the_place(body: bytes, detail: str) -> None:
    with pytest.raises(BadBody, match=detail):
        ANTHROPIC.ask(Operation.CHAT, "/v1/messages", body)


def test_another_model_changes_only_the_models_bytes() -> None:
    body = b'{"max_tokens":5 , "model" : "a","metadata":{"model":"b"}}'

    changed = ANTHROPIC.with_model("/v1/messages", body, "c")

    assert ("/v1/messages", b'{"max_tokens":5 , "model" : "c","metadata":{"model":"b"}}') == changed


# ---- what is answered ---------------------------------------------------------------------


def test_a_stream_of_thought_and_text() -> None:
    reader = reader_of("anthropic")

    raw, deltas = run(reader, [ANTHROPIC_TEXT])

    assert [
        Answering("sonnet-x"),
        Usage(input_total=129, output_total=1, cache_read=100, cache_write=20),
        Reasoning("Hm, a hedgehog."),
        Text("Grüße 🦔"),
        Text("\n\ndone"),
        Usage(input_total=129, output_total=30, cache_read=100, cache_write=20, reasoning=12),
        Finish(FinishReason.STOP),
    ] == deltas
    assert ANTHROPIC_TEXT == raw
    assert reader.done
    assert reader.finished


def test_a_stream_of_calls_of_ours_and_of_the_provider() -> None:
    assert [
        Answering("sonnet-x"),
        Usage(5, 1),
        ToolCall(0, "toolu_1", "tide"),
        ToolCall(0, arguments='{"port":'),
        ToolCall(0, arguments='"Emden"}'),
        ToolCall(1, "toolu_2", "now"),
        ToolCall(1, arguments="{}"),
        Media("server_tool_use"),
        Media("server_tool_use"),
        Usage(5, 44),
        Finish(FinishReason.TOOL),
    ] == said("anthropic", ANTHROPIC_TOOLS)


def test_a_rough_stream_is_read_around_its_damage() -> None:
    reader = reader_of("anthropic")

    _, deltas = run(reader, [ANTHROPIC_ROUGH])

    error = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    assert [
        Answering("sonnet-x"),
        Usage(5, 1),
        Malformed("event 2"),
        Text("half"),
        Trouble(529, error),
    ] == deltas
    assert not reader.done
    assert not reader.finished


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("ping ", []),
        ("something_new ", []),
        ("message_start ", []),
        ('message_start ,"message":{"content":[],"usage":null}', []),
        ('content_block_start ,"content_block":{"type":"text","text":""}', []),
        ('content_block_start ,"content_block":{"type":"text","text":"a"}', [Text("a")]),
        ('content_block_start ,"content_block":{"type":"thinking","thinking":"hm"}', [Reasoning("hm")]),
        ('content_block_start ,"content_block":{"type":"redacted_thinking","data":"x"}', []),
        ('content_block_start ,"content_block":{"type":"web_search_tool_result","content":[]}', [Media("web_search_tool_result")]),
        ('content_block_start ,"content_block":{"text":"a"}', []),
        ("content_block_start ", []),
        ("content_block_delta ", []),
        ('content_block_delta ,"index":0,"delta":{"type":"text_delta","text":""}', []),
        ('content_block_delta ,"index":"x","delta":{"type":"text_delta","text":"a","odd":[]}', [Text("a")]),
        ('content_block_delta ,"delta":{"type":"text_delta","text":["a"]}', []),
        ('content_block_delta ,"delta":{"type":"signature_delta","signature":"x"}', []),
        ('content_block_delta ,"delta":{"type":"citations_delta","citation":{}}', [Media("citation")]),
        ('content_block_delta ,"index":4,"delta":{"type":"input_json_delta","partial_json":"{"}', [ToolCall(4, arguments="{")]),
        ('content_block_stop ,"index":9', []),
        ('message_delta ,"delta":{"stop_reason":null},"usage":{"output_tokens":3}', [Usage(output_total=3)]),
        ('message_delta ,"delta":null,"usage":{"output_tokens":"3"}', []),
        ('message_delta ,"usage":{"output_tokens":3,"input_tokens":-1}', [Usage(output_total=3)]),
    ],
)  # fmt: skip
def test_what_is_content_and_what_is_not(event: str, expected: list[Delta]) -> None:
    assert expected == said("anthropic", named(event))


def test_pieces_of_what_the_provider_does_itself_are_media() -> None:
    stream = named(
        'content_block_start ,"index":0,"content_block":{"type":"compaction","content":null}',
        'content_block_delta ,"index":0,"delta":{"type":"compaction_delta","content":"so far"}',
    )

    assert [Media("compaction"), Media("compaction")] == said("anthropic", stream)


def test_a_call_that_ends_with_end_turn_ends_with_a_call() -> None:
    stream = named(
        'content_block_start ,"index":0,"content_block":{"type":"tool_use","id":"t","name":"now"}',
        'message_delta ,"delta":{"stop_reason":"end_turn"}',
        'message_delta ,"delta":{"stop_reason":"end_turn"}',
    )

    assert [ToolCall(0, "t", "now"), Finish(FinishReason.TOOL)] == said("anthropic", stream)


def test_what_follows_the_end_says_nothing() -> None:
    late = named('content_block_delta ,"index":0,"delta":{"type":"text_delta","text":"late"}')

    assert [] == said("anthropic", named("message_stop ") + late)


def test_the_type_is_taken_from_the_event_where_the_data_has_none() -> None:
    stream = b'event: content_block_delta\ndata: {"delta":{"text":"a"}}\n\nevent: message_stop\ndata: {}\n\n'
    reader = reader_of("anthropic")

    assert [Text("a")] == run(reader, [stream])[1]
    assert reader.done


def test_input_that_comes_with_its_block_is_told_when_the_block_ends() -> None:
    stream = named(
        'content_block_start ,"index":1,"content_block":{"type":"tool_use","id":"t","name":"tide","input":{"port":"Emden"}}',
        'content_block_stop ,"index":1',
    )  # fmt: skip

    assert [ToolCall(1, "t", "tide"), ToolCall(1, arguments='{"port":"Emden"}')] == said("anthropic", stream)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("pause_turn", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("tool_use", FinishReason.TOOL),
        ("refusal", FinishReason.REFUSAL),
        ("model_context_window_exceeded", FinishReason.CONTEXT_FULL),
        ("something new", FinishReason.STOP),
    ],
)
def test_the_words_for_an_end(word: str, reason: FinishReason) -> None:
    reader = reader_of("anthropic")

    assert (Finish(reason),) == reader.feed(
        named(f'message_delta ,"delta":{{"stop_reason":"{word}"}}')
    ).deltas
    assert reader.finished
    assert not reader.done


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"type": "overloaded_error"}, 529),
        ({"type": "rate_limit_error"}, 429),
        ({"type": "api_error"}, 500),
        ({"type": "authentication_error"}, 401),
        ({"type": "billing_error"}, 402),
        ({"type": "permission_error"}, 403),
        ({"type": "not_found_error"}, 404),
        ({"type": "request_too_large"}, 413),
        ({"type": "invalid_request_error"}, 400),
        ({"type": "timeout_error"}, 504),
        ({"type": "something new"}, 0),
        ("odd", 0),
    ],
)
def test_an_error_inside_a_200_names_its_status(error: Any, status: int) -> None:
    body = json.dumps({"type": "error", "error": error, "request_id": "r"}).encode()

    assert [Trouble(status, body)] == said("anthropic", b"event: error\ndata: " + body + b"\n\n")
    assert [Trouble(status, body)] == said("anthropic", b"data: " + body + b"\n\n")
    assert [Trouble(status, body)] == whole("anthropic", body)


def test_an_error_event_that_is_no_json_is_trouble_all_the_same() -> None:
    assert [Trouble(0, b"overloaded"), Malformed("event 1")] == said(
        "anthropic", b"event: error\ndata: overloaded\n\n"
    )


def test_a_whole_answer() -> None:
    body = json.dumps(
        {
            "id": "msg",
            "type": "message",
            "model": "sonnet-x",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "text", "text": "a", "citations": [{"type": "char_location"}]},
                {"type": "tool_use", "id": "t", "name": "tide", "input": {"port": "Emden"}},
                {"type": "mcp_tool_use", "id": "u", "name": "foreign", "input": {}},
                None,
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": None},
        }
    ).encode()
    reader = body_reader_of("anthropic")

    assert (
        body,
        [
            Answering("sonnet-x"),
            Usage(3, 4),
            Reasoning("hm"),
            Text("a"),
            Media("citation"),
            ToolCall(2, "t", "tide"),
            ToolCall(2, arguments='{"port":"Emden"}'),
            Media("mcp_tool_use"),
            Finish(FinishReason.TOOL),
        ],
    ) == run(reader, [body[:50], body[50:]])
    assert reader.done
    assert reader.finished


@pytest.mark.parametrize(
    ("body", "expected", "done"),
    [
        (b'{"type":"message","content":[],"stop_reason":"refusal"}', [Finish(FinishReason.REFUSAL)], True),
        (
            b'{"type":"message","content":[{"type":"text","text":"a"}]}',
            [Text("a"), Finish(FinishReason.STOP)],
            True,
        ),
        (b'{"type":"message"}', [], False),
        (b'{"type":"message","content":[', [Malformed("body")], False),
    ],
)
def test_whether_a_body_is_a_whole_answer(body: bytes, expected: list[Delta], done: bool) -> None:
    reader = body_reader_of("anthropic")

    assert (body, expected) == run(reader, [body])
    assert (done, done) == (reader.done, reader.finished)


# ---- what we say --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
    ],
)
def test_a_complaint_has_the_dialects_shape(status: int, kind: str) -> None:
    wire = ANTHROPIC.complain(status, Fault.UNKNOWN, "so it is")

    error = {"type": kind, "message": "so it is", "code": "unknown"}
    assert {"type": "error", "error": error} == json.loads(wire.body)
    assert status == wire.head.status
    assert b"application/json" == wire.head.get(b"content-type")
    assert str(len(wire.body)).encode() == wire.head.get(b"content-length")


@pytest.mark.parametrize("stream", [True, False])
def test_our_own_reader_reads_our_static_answer(stream: bool) -> None:
    asked_for = ask("sonnet-x", stream=stream)
    wire = static(ANTHROPIC, asked_for, "Back soon. 🦔")

    reader = ANTHROPIC.reader(asked_for, wire.head.get(b"content-type") or b"")
    raw, deltas = run(reader, [wire.body])

    assert wire.body == raw
    assert [Answering("sonnet-x"), Usage(0, 0), Text("Back soon. 🦔"), Finish(FinishReason.STOP)] == deltas
    assert reader.done
    assert reader.finished
    assert b'"llm_sidecar":{"degraded":true,"tier":"static"}' in wire.body
