# ruff: noqa: E501  # a case of a table is one line
from __future__ import annotations

import json
from typing import Any

import openai
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
    Refusal,
    Text,
    ToolCall,
    Trouble,
    Usage,
)
from tests.dialects.samples import (
    RESPONSES,
    RESPONSES_ROUGH,
    RESPONSES_TEXT,
    RESPONSES_TOOLS,
    ask,
    body_reader_of,
    data,
    named,
    reader_of,
    run,
    said,
    static,
    whole,
)
from tests.dialects.test_sdks import event_of, label, of, openai_over, transport

PATH = "/v1/responses"


def asked(**fields: Any) -> Ask:
    return RESPONSES.ask(Operation.CHAT, PATH, json.dumps({"model": "m", **fields}).encode())


# ---- paths --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/responses", "/v1/responses", "/openai/responses", "/openai/v1/responses", "/api/v1/responses"]
)
def test_every_path_of_responses_is_known_with_and_without_version(path: str) -> None:
    assert Operation.CHAT is RESPONSES.operation("POST", path)
    assert "/responses" == RESPONSES.canonical(Operation.CHAT, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses"),
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_1/input_items"),
        ("POST", "/v1/responses/compact"),
        ("POST", "/v1/responses/input_tokens"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/my_responses"),
    ],
)
def test_everything_else_is_passed_through(method: str, path: str) -> None:
    assert RESPONSES.operation(method, path) is None


# ---- what is asked ------------------------------------------------------------------------

TIDE = {"type": "function", "name": "tide", "parameters": {}, "strict": True}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"input": "hi", "instructions": "be brief"}, {}),
        ({"stream": True, "max_output_tokens": 9}, {"stream": True, "max_output": 9}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {}),
        ({"text": {"format": {"type": "json_object"}}}, {"json": True}),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"a": 1}}}},
            {"json": True, "schema": b'{"a": 1}'},
        ),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, {"json": True}),
        ({"text": None, "tools": None}, {}),
        ({"tools": [TIDE, {"type": "function", "name": "wind"}]}, {"tools": frozenset({"tide", "wind"})}),
        ({"tools": [TIDE, {"type": "web_search"}]}, {}),
        ({"tools": [TIDE, {"type": "custom", "name": "script"}]}, {}),
        ({"tools": [TIDE, {"type": "mcp", "server_label": "s"}]}, {}),
        ({"tools": [TIDE, {"type": "function", "function": {"name": "wind"}}]}, {}),
        ({"reasoning": {"effort": "low"}}, {"reasoning": True}),
        ({"reasoning": {"effort": "none", "summary": "auto"}}, {}),
        ({"reasoning": {"effort": "minimal"}}, {}),
        ({"reasoning": {"effort": None, "summary": None}}, {}),
        ({"reasoning": {"summary": "auto"}}, {"reasoning": True}),
        ({"reasoning": {"enabled": True}}, {"reasoning": True}),
        ({"model": "gpt-5"}, {"model": "gpt-5", "reasoning": True}),
        ({"model": "gpt-5", "reasoning": {"effort": None}}, {"model": "gpt-5", "reasoning": True}),
        ({"model": "gpt-5", "reasoning": {"effort": "none"}}, {"model": "gpt-5"}),
        ({"model": "openai.gpt-5.6"}, {"model": "openai.gpt-5.6", "reasoning": True}),
        ({"background": True}, {"reasoning": True}),
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, {}),
        ({"model": None, "prompt": {"id": "pmpt_1"}}, {"model": ""}),
        ({"stream": "yes", "text": "json", "tools": "all", "reasoning": 3, "max_output_tokens": [1]}, {}),
    ],
)
def test_what_policy_has_to_know_is_read(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert Ask(**{"operation": Operation.CHAT, "model": "m", **expected}) == asked(**fields)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"model":"m",}', r"byte 13"),
        (b'"x"', "JSON object"),
        (b'{"input":"hi"}', '"model" is missing'),
        (b'{"model":null,"prompt":null}', '"model" is missing'),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_the_place(body: bytes, detail: str) -> None:
    with pytest.raises(BadBody, match=detail):
        RESPONSES.ask(Operation.CHAT, PATH, body)


def test_another_model_changes_only_the_models_bytes() -> None:
    body = b'{"input":[{"model":"b"}] , "model" : "a","metadata":{"model":"b"}}'

    changed = RESPONSES.with_model(PATH, body, "c")

    assert (PATH, b'{"input":[{"model":"b"}] , "model" : "c","metadata":{"model":"b"}}') == changed


# ---- what is answered ---------------------------------------------------------------------


def test_a_stream_of_thought_and_text() -> None:
    reader = reader_of("openai_responses")

    raw, deltas = run(reader, [RESPONSES_TEXT])

    assert [
        Answering("quill-5"),
        Reasoning("Hm, a hedgehog."),
        Text("Grüße 🦔"),
        Text(" é\n\n"),
        Usage(input_total=11, output_total=7, cache_read=4, reasoning=2),
        Finish(FinishReason.STOP),
    ] == deltas
    assert RESPONSES_TEXT == raw
    assert reader.done
    assert reader.finished


def test_a_stream_of_calls_of_ours_and_of_the_provider() -> None:
    assert [
        Answering("quill-5"),
        Media("web_search_call"),
        ToolCall(1, "call_a", "tide", '{"port":'),
        ToolCall(1, arguments='"Emden"}'),
        ToolCall(2, "call_b", "now", "{}"),
        Usage(5, 44),
        Finish(FinishReason.TOOL),
    ] == said("openai_responses", RESPONSES_TOOLS)


def test_a_rough_stream_is_read_around_its_damage() -> None:
    reader = reader_of("openai_responses")

    _, deltas = run(reader, [RESPONSES_ROUGH])

    error = (
        b'{"type":"response.failed","response":{"status":"failed",'
        b'"error":{"code":"rate_limit_exceeded","message":"later"}}}'
    )
    assert [
        Answering("quill-5"),
        Malformed("event 2"),
        Text("half"),
        Refusal("no"),
        Trouble(429, error),
        Finish(FinishReason.ERROR),
    ] == deltas
    assert reader.done


ANNOUNCED = '"output_index":0,"item":{"type":"function_call","call_id":"a","name":"tide","arguments":""}'
MESSAGE = '"item":{"type":"message","content":[{"type":"output_text","text":"a"},{"type":"refusal","refusal":"no"}]}'


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        # announcements
        (["response.created "], []),
        (['response.queued ,"response":{"status":"queued","output":[]}'], []),
        (['response.in_progress ,"response":{"model":"q"}'], [Answering("q")]),
        (['response.output_item.added ,"output_index":0,"item":{"type":"message","content":[]}'], []),
        (["response.output_item.added ,"+ ANNOUNCED], []),
        (['response.content_part.added ,"part":{"type":"output_text","text":""}'], []),
        (["response.mcp_list_tools.in_progress "], []),
        (['keepalive ,"sequence_number":3'], []),
        (["something_new "], []),
        (["response.something_new.begun "], []),
        # text
        (['response.output_text.delta ,"delta":""'], []),
        (['response.output_text.delta ,"delta":{"odd":1}'], []),
        (['response.output_text.delta ,"delta":"a"', 'response.output_text.done ,"text":"a"', "response.output_item.done ," + MESSAGE], [Text("a")]),
        (["response.output_item.done ," + MESSAGE], [Text("a"), Refusal("no")]),
        (["response.output_item.done "], []),
        (['response.output_item.done ,"item":{"type":"message","content":[]}'], []),
        (['response.output_item.done ,"item":{"content":[{"text":"a"}]}'], []),
        (['response.refusal.delta ,"delta":"no"', 'response.refusal.done ,"refusal":"no"'], [Refusal("no")]),
        (['response.output_text.annotation.added ,"annotation":{"type":"url_citation"}'], [Media("citation")]),
        (['response.output_item.done ,"item":{"type":"message","content":[{"type":"output_text","text":"a","annotations":[{}]}]}'], [Text("a"), Media("citation")]),
        (['response.output_item.done ,"item":{"type":"message","content":[{"type":"output_audio","data":"x"}]}'], [Media("output_audio")]),
        # commentary is no answer
        (['response.output_item.added ,"output_index":2,"item":{"type":"message","phase":"commentary"}', 'response.output_text.delta ,"output_index":2,"delta":"a"'], [Reasoning("a")]),
        (['response.output_item.done ,"item":{"type":"message","phase":"commentary","content":[{"type":"output_text","text":"a"}]}'], [Reasoning("a")]),
        (['response.output_item.added ,"item":{"type":"message","phase":"final_answer"}', 'response.output_text.delta ,"delta":"a"'], [Text("a")]),
        # reasoning
        (['response.reasoning_summary_text.delta ,"delta":"hm"'], [Reasoning("hm")]),
        (['response.reasoning_text.delta ,"delta":"hm"', 'response.reasoning_text.done ,"text":"hm"'], [Reasoning("hm")]),
        (['response.reasoning_summary_part.added ,"part":{"type":"summary_text","text":""}'], []),
        (['response.output_item.done ,"item":{"type":"reasoning","summary":[],"encrypted_content":"x"}'], []),
        (['response.output_item.done ,"item":{"type":"reasoning","summary":[{"text":"a"}],"content":[{"text":"b"}]}'], [Reasoning("a"), Reasoning("b")]),
        # calls
        (["response.output_item.added ," + ANNOUNCED, 'response.function_call_arguments.delta ,"output_index":0,"delta":"{}"'], [ToolCall(0, "a", "tide", "{}")]),
        (["response.output_item.added ," + ANNOUNCED, 'response.function_call_arguments.delta ,"output_index":0,"delta":""'], []),
        (["response.output_item.added ," + ANNOUNCED, 'response.function_call_arguments.done ,"output_index":0,"arguments":"{}"'], [ToolCall(0, "a", "tide", "{}")]),
        (["response.output_item.added ," + ANNOUNCED, "response.output_item.done ," + ANNOUNCED], [ToolCall(0, "a", "tide")]),
        (["response.output_item.added ," + ANNOUNCED, 'response.function_call_arguments.done ,"output_index":0', "response.output_item.done ," + ANNOUNCED], [ToolCall(0, "a", "tide")]),
        (['response.function_call_arguments.delta ,"output_index":4,"delta":"{"'], [ToolCall(4, arguments="{")]),
        (['response.output_item.done ,"item":{"type":"function_call","id":"fc","name":"tide","arguments":{"a":1}}'], [ToolCall(0, "fc", "tide", '{"a":1}')]),
        # what the provider does, and what we may not judge
        (['response.mcp_call_arguments.delta ,"delta":"{"'], [Media("mcp_call")]),
        (['response.custom_tool_call_input.delta ,"delta":"x"', 'response.output_item.done ,"item":{"type":"custom_tool_call","name":"s","input":"x"}'], [Media("custom_tool_call")]),
        (['response.code_interpreter_call_code.delta ,"delta":"1"'], [Media("code_interpreter_call")]),
        (['response.image_generation_call.partial_image ,"partial_image_b64":"AA"'], [Media("image_generation_call")]),
        (['response.audio.delta ,"delta":"AA"', 'response.audio.transcript.delta ,"delta":"a"'], [Media("audio"), Media("audio")]),
        (['response.something_new.delta ,"delta":{"odd":1}'], [Media("something_new")]),
        (['response.output_item.done ,"item":{"type":"compaction","encrypted_content":"x"}'], [Media("compaction")]),
    ],
)  # fmt: skip
def test_what_is_content_and_what_is_not(events: list[str], expected: list[Delta]) -> None:
    assert expected == said("openai_responses", named(*events))


def test_items_that_all_have_one_number_are_told_apart() -> None:
    stream = named(
        'response.output_text.delta ,"output_index":0,"delta":"a"',
        'response.output_item.added ,"output_index":0,"item":{"type":"function_call","call_id":"a","name":"tide"}',
        'response.function_call_arguments.delta ,"output_index":0,"delta":"{}"',
        'response.output_item.done ,"output_index":0,"item":{"type":"function_call","call_id":"a","arguments":"{}"}',
        'response.output_item.added ,"output_index":0,"item":{"type":"function_call","call_id":"b","name":"wind"}',
        'response.output_item.done ,"output_index":0,"item":{"type":"function_call","call_id":"b","name":"wind","arguments":"[]"}',
    )

    assert [
        Text("a"),
        ToolCall(1, "a", "tide", "{}"),
        ToolCall(2, "b", "wind", "[]"),
    ] == said("openai_responses", stream)


def test_a_custom_tool_is_a_call_of_the_client() -> None:
    events = (
        'response.output_item.added ,"item":{"type":"custom_tool_call","name":"s"}',
        'response.custom_tool_call_input.delta ,"delta":"x"',
        'response.completed ,"response":{}',
    )

    assert Finish(FinishReason.TOOL) == said("openai_responses", named(*events))[-1]
    body = b'{"output":[{"type":"custom_tool_call","name":"s","input":"x"}]}'
    assert [Media("custom_tool_call"), Finish(FinishReason.TOOL)] == whole("openai_responses", body)


def test_the_type_may_be_named_by_the_event_alone() -> None:
    stream = b'event: response.output_text.delta\ndata: {"delta":"a"}\n\n'

    assert [Text("a")] == said("openai_responses", stream)


def test_what_was_said_nowhere_else_is_taken_from_the_terminal_event() -> None:
    output = '"output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}]'

    assert [Text("a"), Finish(FinishReason.STOP)] == said(
        "openai_responses", named('response.completed ,"response":{"status":"completed",' + output + "}")
    )


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ('response.completed ,"response":{"status":"completed"}', FinishReason.STOP),
        ("response.completed ", FinishReason.STOP),
        ('response.incomplete ,"response":{"incomplete_details":{"reason":"max_output_tokens"}}', FinishReason.LENGTH),
        ('response.incomplete ,"response":{"incomplete_details":{"reason":"content_filter"}}', FinishReason.FILTER),
        ('response.incomplete ,"response":{"incomplete_details":{"reason":"something new"}}', FinishReason.LENGTH),
        ('response.incomplete ,"response":{"incomplete_details":null}', FinishReason.LENGTH),
    ],
)  # fmt: skip
def test_the_words_for_an_end(event: str, reason: FinishReason) -> None:
    reader = reader_of("openai_responses")

    assert [Finish(reason)] == run(reader, [named(event)])[1]
    assert reader.done
    assert reader.finished


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ('{"code":"rate_limit_exceeded","message":"x"}', 429),
        ('{"code":"server_error","message":"x"}', 500),
        ('{"code":"invalid_prompt","message":"x"}', 400),
        ('{"code":"context_length_exceeded","message":"x"}', 400),
        ('{"code":"image_content_policy_violation","message":"x"}', 400),
        ('{"code":"server_is_overloaded","message":"x"}', 503),
        ('{"code":"never heard of","message":"x"}', 0),
        ('{"code":"odd","type":"insufficient_quota","message":"x"}', 429),
        ('"out of order"', 0),
        ("null", 0),
    ],
)
def test_a_failed_response_is_trouble_with_the_status_it_names(error: str, status: int) -> None:
    inner = f'{{"object":"response","status":"failed","error":{error},"output":[]}}'
    event = f'{{"type":"response.failed","response":{inner}}}'

    assert [Trouble(status, event.encode()), Finish(FinishReason.ERROR)] == said(
        "openai_responses", data(event)
    )
    assert [Trouble(status, inner.encode()), Finish(FinishReason.ERROR)] == whole(
        "openai_responses", inner.encode()
    )


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ('{"type":"error","code":"rate_limit_exceeded","message":"x","param":null,"sequence_number":3}', 429),
        ('{"type":"error","code":null,"message":"x"}', 0),
        ('{"type":"error","error":{"type":"invalid_request_error","code":"model_not_found"}}', 404),
        ('{"error":{"code":502,"message":"x"}}', 502),
    ],
)
def test_an_error_event_is_trouble_and_no_end(event: str, status: int) -> None:
    reader = reader_of("openai_responses")

    assert [Trouble(status, event.encode())] == run(reader, [data(event)])[1]
    assert not reader.done
    assert [Trouble(status, event.encode())] == whole("openai_responses", event.encode())


def test_the_sentinel_alone_ends_nothing() -> None:
    reader = reader_of("openai_responses")
    late = '{"type":"response.output_text.delta","delta":"late"}'

    assert [] == run(reader, [data("[DONE]", late)])[1]
    assert not reader.done
    assert not reader.finished


WHOLE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "error": None,
    "model": "quill-5",
    "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "web_search_call", "status": "completed"},
        {"type": "message", "phase": "commentary", "content": [{"type": "output_text", "text": "wait"}]},
        {
            "type": "message",
            "content": [
                {"type": "output_text", "text": "a", "annotations": [{"type": "url_citation"}]},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {"type": "function_call", "call_id": "a", "name": "tide", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "wind", "arguments": ""},
    ],
    "usage": {"input_tokens": 1, "output_tokens": 2, "input_tokens_details": {"cache_write_tokens": 1}},
}


def test_a_whole_answer() -> None:
    body = json.dumps(WHOLE).encode()
    reader = body_reader_of("openai_responses")
    assert body == reader.feed(body).raw

    deltas = reader.close().deltas

    assert (
        Answering("quill-5"),
        Usage(1, 2, cache_write=1),
        Reasoning("hm"),
        Media("web_search_call"),
        Reasoning("wait"),
        Text("a"),
        Media("citation"),
        Refusal("no"),
        ToolCall(4, "a", "tide", "{}"),
        ToolCall(5, "b", "wind"),
        Finish(FinishReason.TOOL),
    ) == deltas
    assert reader.done
    assert reader.finished


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_the_state_of_a_background_response_is_complete_and_not_empty(status: str) -> None:
    body = json.dumps({"object": "response", "status": status, "output": [], "error": None}).encode()
    reader = body_reader_of("openai_responses")

    assert [Media(status)] == run(reader, [body])[1]
    assert reader.done


@pytest.mark.parametrize(
    ("body", "expected", "done"),
    [
        (b"", [Malformed("body")], False),
        (b"<html>", [Malformed("body")], False),
        (b'{"output":[{"type":"message"', [Malformed("body")], False),
        (b"{}", [], False),
        (b'{"output":[]}', [Finish(FinishReason.STOP)], True),
        (b'{"object":"response","status":"completed"}', [Finish(FinishReason.STOP)], True),
        (
            b'{"output":[],"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}',
            [Finish(FinishReason.LENGTH)],
            True,
        ),
        (b'{"error":{"code":402}}', [Trouble(402, b'{"error":{"code":402}}')], False),
    ],
)
def test_whether_a_body_is_a_whole_answer(body: bytes, expected: list[Delta], done: bool) -> None:
    reader = body_reader_of("openai_responses")

    assert (body, expected) == run(reader, [body])
    assert (done, done) == (reader.done, reader.finished)


def test_usage_that_is_unknown_is_not_a_number() -> None:
    usage = (
        '"usage":{"input_tokens":-1,"output_tokens":"many","output_tokens_details":{"reasoning_tokens":2}}'
    )

    assert Usage(reasoning=2) in said(
        "openai_responses", named('response.completed ,"response":{' + usage + "}")
    )


# ---- what we say --------------------------------------------------------------------------

CALL: dict[str, Any] = {"model": "quill-5", "input": "hi"}


@pytest.mark.parametrize("stream", [True, False])
def test_our_own_reader_reads_our_static_answer(stream: bool) -> None:
    asked_for = ask("quill-5", stream=stream)
    wire = static(RESPONSES, asked_for, "Back soon. 🦔")

    reader = RESPONSES.reader(asked_for, wire.head.get(b"content-type") or b"")
    raw, deltas = run(reader, [wire.body])

    assert wire.body == raw
    expected = {
        Answering("quill-5"),
        Text("Back soon. 🦔"),
        Finish(FinishReason.STOP),
        Usage(0, 0, 0, 0, 0),
    }
    assert len(expected) == len(deltas)
    assert expected == set(deltas)
    assert reader.done
    assert b'"llm_sidecar":{"degraded":true,"tier":"static"}' in wire.body


def test_the_sdk_reads_a_static_answer() -> None:
    with of(static(RESPONSES, ask("quill-5", stream=False), "Back soon.")) as http:
        response = openai_over(http).responses.create(**CALL)

    assert "Back soon." == response.output_text
    assert ("completed", "quill-5") == (response.status, response.model)
    assert {"degraded": True, "tier": "static"} == label(response)
    type(response).model_validate(response.model_dump())


def test_the_sdk_reads_a_static_stream() -> None:
    with of(static(RESPONSES, ask("quill-5"), "Back soon.")) as http:
        events = list(openai_over(http).responses.create(**CALL, stream=True))

    for event in events:
        type(event).model_validate(event.model_dump(warnings=False))
    assert list(range(9)) == [event.sequence_number for event in events]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert "Back soon." == text
    assert {"degraded": True, "tier": "static"} == label(events[0])


def test_the_sdk_assembles_a_static_stream() -> None:
    with (
        of(static(RESPONSES, ask("quill-5"), "Back soon.")) as http,
        openai_over(http).responses.stream(**CALL) as stream,
    ):
        response = stream.get_final_response()

    assert "Back soon." == response.output_text
    assert "completed" == response.status
    assert {"degraded": True, "tier": "static"} == label(response)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (503, openai.InternalServerError)],
)
def test_the_sdk_raises_the_right_class_for_a_complaint(
    status: int, kind: type[openai.APIStatusError]
) -> None:
    with (
        of(RESPONSES.complain(status, Fault.OVERLOADED, "nobody is left")) as http,
        pytest.raises(kind) as raised,
    ):
        openai_over(http).responses.create(**CALL)

    assert "overloaded" == raised.value.code
    assert "nobody is left" in str(raised.value)


def test_the_sdk_raises_at_an_error_event() -> None:
    body = RESPONSES_TEXT[: RESPONSES_TEXT.index(b"event: response.completed")]
    body += event_of(RESPONSES, Fault.STREAM_CUT)
    with transport(200, {"content-type": "text/event-stream"}, body) as http:
        stream = openai_over(http).responses.create(**CALL, stream=True)
        with pytest.raises(openai.APIError, match="it ended early") as raised:
            list(stream)

    assert "stream_cut" == raised.value.code


def test_an_error_event_has_the_fields_of_the_reference_too() -> None:
    event = event_of(RESPONSES, Fault.STREAM_STALL)

    assert event.startswith(b"event: error\ndata: {")
    said_ = json.loads(event.partition(b"data: ")[2])
    assert ("error", "stream_stall", "it ended early", None) == (
        said_["type"],
        said_["code"],
        said_["message"],
        said_["param"],
    )
