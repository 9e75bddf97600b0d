"""A stream put together is the answer that was asked for whole, in every dialect."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import anthropic
import openai
import pytest
from google.genai import types as gemini_types
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.dialects import DIALECTS
from sidecar.dialects.base import BadBody, Dialect
from sidecar.dialects.sse import CAP
from sidecar.model import Finish, Operation, Text, ToolCall, Usage
from sidecar.provider.answers import Asked, Saying, Voice
from sidecar.provider.voices import VOICES
from tests.dialects.samples import data, named, whole
from tests.dialects.test_sdks import ANTHROPIC_CALL, OPENAI_CALL, anthropic_over, openai_over, transport

SSE = b"text/event-stream; charset=utf-8"
DIALECT_NAMES = ("openai_chat", "openai_responses", "anthropic", "gemini")
VOICE: dict[str, Voice] = {voice.name: voice for voice in VOICES}
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/m:generateContent",
}


def assembled(dialect: str, *pieces: bytes, content_type: bytes = SSE) -> Any:
    body = raw_assembled(dialect, *pieces, content_type=content_type)
    return None if body is None else json.loads(body)


def raw_assembled(dialect: str, *pieces: bytes, content_type: bytes = SSE) -> bytes | None:
    assembler = DIALECTS[dialect].assembler(content_type)
    assert assembler is not None
    for piece in pieces:
        assembler.feed(piece)
    return assembler.close()


def plain(value: Any) -> Any:
    """Without what says nothing: a stream leaves out a null or an empty list that a body may have."""
    if isinstance(value, dict):
        kept = {key: plain(each) for key, each in value.items() if key != "signature"}
        return {key: each for key, each in kept.items() if each not in (None, [], {})}
    return [plain(each) for each in value] if isinstance(value, list) else value


# ---- the property: what the fake vendor streams is what it says whole

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
ARGUMENTS = st.dictionaries(TEXT, TEXT | st.integers(-9, 9) | st.none(), max_size=3)


@st.composite
def sayings(draw: st.DrawFn) -> Saying:
    tool = draw(st.sampled_from(("", "", "look_up")))
    words: tuple[str, ...] = tuple(draw(st.lists(TEXT, min_size=1, max_size=5)))
    if tool:
        text = json.dumps(draw(ARGUMENTS))
        cut = draw(st.integers(1, len(text)))
        words = tuple(piece for piece in (text[:cut], text[cut:]) if piece)
    finish = "tool" if tool else draw(st.sampled_from(("stop", "length", "refusal")))
    reasoning = tuple(draw(st.lists(TEXT, max_size=2)))
    return Saying(words=words, reasoning=reasoning, tool=tool, finish=finish, model="m-1")


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
@given(say=sayings(), cuts=st.lists(st.integers(0, 4000), max_size=12))
@settings(max_examples=60, deadline=None)
def test_a_stream_is_put_together_to_the_whole_answer_however_it_was_cut(
    dialect: str, say: Saying, cuts: list[int]
):
    voice, asked = VOICE[dialect], Asked(path=PATHS[dialect], model="m", stream=True, usage=True, size=40)
    stream = b"".join(piece.data for piece in voice.stream(asked, say))
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})

    found = assembled(dialect, *(stream[a:b] for a, b in pairwise(places)))

    assert plain(json.loads(voice.whole(asked, say))) == plain(found)


# ---- OpenAI chat completions


def chat(*events: str) -> Any:
    return assembled("openai_chat", data(*events, "[DONE]"))


def chat_message(*deltas: str) -> Any:
    return chat(*(f'{{"choices":[{{"index":0,"delta":{delta}}}]}}' for delta in deltas))["choices"][0][
        "message"
    ]


def test_a_completion_keeps_what_its_chunks_say_beside_the_choices():
    found = chat(
        '{"id":"","model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}',
        '{"id":"c1","object":"chat.completion.chunk","created":7,"model":"quill-2","system_fingerprint":"fp",'
        '"service_tier":null,"provider":"Acme","obfuscation":"xx","choices":[{"index":0,"delta":{"content":"a"}}]}',
        '{"id":"c1","created":7,"model":"quill-2","service_tier":"flex","choices":[{"index":0,"delta":{},'
        '"finish_reason":"stop","content_filter_results":{"hate":{"filtered":false}}}],"usage":null}',
        '{"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}',
    )

    assert {
        "id": "c1",
        "object": "chat.completion",
        "created": 7,
        "model": "quill-2",
        "system_fingerprint": "fp",
        "service_tier": "flex",
        "provider": "Acme",
        "prompt_filter_results": [{"prompt_index": 0}],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "a"},
                "finish_reason": "stop",
                "content_filter_results": {"hate": {"filtered": False}},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    } == found


def test_choices_are_told_apart_and_sorted():
    found = chat(
        '{"choices":[{"index":1,"delta":{"content":"b"}}]}',
        '{"choices":[{"index":0,"delta":{"role":"assistant","content":"a"}},{"index":1,"delta":{"content":"B"}}]}',
        '{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}',
        '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
    )["choices"]

    assert [(0, "a", "stop"), (1, "bB", "length")] == [
        (choice["index"], choice["message"]["content"], choice["finish_reason"]) for choice in found
    ]


def test_tool_calls_are_put_together_by_index_and_lose_it():
    message = chat_message(
        '{"content":"","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}',
        '{"tool_calls":[{"index":0,"function":{"arguments":"{\\"x\\""}}]}',
        '{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g"}}]}',
        '{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":":1}"}}]}',
    )

    assert {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        ],
    } == message


def test_tool_calls_without_an_index_begin_with_an_id_or_a_name():
    message = chat_message(
        '{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]}',
        '{"tool_calls":[{"id":"b","function":{"name":"g","arguments":"{"}},{"function":{"arguments":"}"}}]}',
    )

    assert [("a", "f", "{}"), ("b", "g", "{}")] == [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message["tool_calls"]
    ]


def test_reasoning_refusal_annotations_and_the_old_function_call_are_kept():
    message = chat_message(
        '{"reasoning_content":"th","reasoning":"th","reasoning_details":[{"type":"t","index":0,"text":"th"}]}',
        '{"reasoning_content":"ink","reasoning":"ink","reasoning_details":[{"type":"t","index":0,"text":"ink"}]}',
        '{"refusal":"I will","annotations":[{"type":"url_citation"}]}',
        '{"refusal":" not","annotations":[{"type":"file_citation"}]}',
        '{"function_call":{"name":"f","arguments":"{"}}',
        '{"function_call":{"arguments":"}"},"images":[{"type":"image_url"}]}',
    )

    assert {
        "role": "assistant",
        "content": None,
        "reasoning_content": "think",
        "reasoning": "think",
        "reasoning_details": [{"type": "t", "index": 0, "text": "think"}],
        "refusal": "I will not",
        "annotations": [{"type": "url_citation"}, {"type": "file_citation"}],
        "function_call": {"name": "f", "arguments": "{}"},
        "images": [{"type": "image_url"}],
    } == message


def test_content_in_parts_is_joined_part_by_part():
    message = chat_message(
        '{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}',
        '{"content":[{"type":"thinking","thinking":[{"type":"text","text":"m"}],"closed":true}]}',
        '{"content":"yes"}',
        '{"content":[{"type":"text","text":"."},{"type":"reference","reference_ids":[1]}]}',
    )

    assert [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}], "closed": True},
        {"type": "text", "text": "yes."},
        {"type": "reference", "reference_ids": [1]},
    ] == message["content"]


def test_logprobs_are_continued():
    found = chat(
        '{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":null}]}',
        '{"choices":[{"index":0,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b","logprob":-0.1}],"refusal":null}}]}',
        '{"choices":[{"index":0,"delta":{"content":"c"},"logprobs":{"content":[{"token":"c","logprob":-2}],"refusal":null}}]}',
    )

    assert {
        "content": [{"token": "b", "logprob": -0.1}, {"token": "c", "logprob": -2}],
        "refusal": None,
    } == found["choices"][0]["logprobs"]


def test_usage_of_groq_is_where_its_whole_answers_have_it():
    found = chat(
        '{"choices":[{"index":0,"delta":{"content":"a"}}],"x_groq":{"id":"req"}}',
        '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req","usage":{"prompt_tokens":1}}}',
    )

    assert ({"prompt_tokens": 1}, {"id": "req"}) == (found["usage"], found["x_groq"])


def test_a_character_cut_in_two_is_one_again():
    assert "\N{HEDGEHOG}" == chat_message('{"content":"\\ud83e"}', '{"content":"\\udd94"}')["content"]


def test_bytes_that_are_no_text_do_not_stop_the_rest():
    found = assembled(
        "openai_chat", b'data: {"choices":[{"index":0,"delta":{"content":"a\xff"}}]}\n\ndata: [DONE]\n\n'
    )

    assert "a\N{REPLACEMENT CHARACTER}" == found["choices"][0]["message"]["content"]


# ---- Anthropic messages


START = 'message_start ,"message":{"id":"m1","type":"message","role":"assistant","model":"s","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1,"service_tier":"standard"}}'  # noqa: E501  # an event is one line


def message(*events: str) -> Any:
    return assembled("anthropic", named(START, *events, "message_stop "))


def test_a_message_is_its_start_its_blocks_and_its_end():
    found = message(
        'content_block_start ,"index":0,"content_block":{"type":"thinking","thinking":"","signature":""}',
        "ping ",
        'content_block_delta ,"index":0,"delta":{"type":"thinking_delta","thinking":"hm"}',
        'content_block_delta ,"index":0,"delta":{"type":"thinking_delta","thinking":"m"}',
        'content_block_delta ,"index":0,"delta":{"type":"signature_delta","signature":"c2ln"}',
        'content_block_stop ,"index":0',
        'content_block_start ,"index":1,"content_block":{"type":"text","text":"","citations":null}',
        'content_block_delta ,"index":1,"delta":{"type":"text_delta","text":"so "}',
        'content_block_delta ,"index":1,"delta":{"type":"citations_delta","citation":{"type":"char"}}',
        'content_block_delta ,"index":1,"delta":{"type":"text_delta","text":"it is"}',
        'content_block_stop ,"index":1',
        'message_delta ,"delta":{"stop_reason":"stop_sequence","stop_sequence":"END","container":{"id":"k"}},'
        '"usage":{"input_tokens":null,"output_tokens":7},"context_management":{"applied_edits":[]}',
    )

    assert {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "s",
        "content": [
            {"type": "thinking", "thinking": "hmm", "signature": "c2ln"},
            {"type": "text", "text": "so it is", "citations": [{"type": "char"}]},
        ],
        "stop_reason": "stop_sequence",
        "stop_sequence": "END",
        "usage": {"input_tokens": 9, "output_tokens": 7, "service_tier": "standard"},
        "container": {"id": "k"},
        "context_management": {"applied_edits": []},
    } == found


TOOL = 'content_block_start ,"index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":%s}'


def piece(text: str) -> str:
    delta = {"type": "input_json_delta", "partial_json": text}
    return f'content_block_delta ,"index":0,"delta":{json.dumps(delta)}'


@pytest.mark.parametrize(
    ("start", "pieces", "expected"),
    [
        ("{}", ["", '{"a"', ": [1, null]}"], {"a": [1, None]}),
        ("{}", [], {}),
        ("{}", [""], {}),
        ('{"a":1}', [], {"a": 1}),
        ("{}", ['{"a": oh no'], {"arguments": '{"a": oh no'}),
        ("{}", ["nu", "ll"], {}),
    ],
)
def test_the_input_of_a_tool_is_an_object_again(start: str, pieces: list[str], expected: Any):
    found = message(TOOL % start, *map(piece, pieces), 'content_block_stop ,"index":0')

    assert [{"type": "tool_use", "id": "t", "name": "f", "input": expected}] == found["content"]


def test_blocks_of_servers_come_as_they_are():
    result = {
        "type": "web_search_tool_result",
        "tool_use_id": "t",
        "content": [{"type": "web_search_result"}],
    }

    found = message(f'content_block_start ,"index":0,"content_block":{json.dumps(result)}')

    assert [result] == found["content"]


# ---- OpenAI responses


def test_a_response_is_the_bytes_of_its_last_event():
    response = b'{"id": "r",  "output":[{"type":"message"}], "temperature":1.0, "x":12345678901234567890123}'
    stream = named('response.created ,"response":{"id":"r","output":[]}')
    stream += (
        b'event: response.completed\ndata: {"type":"response.completed","response":' + response + b"}\n\n"
    )

    assert response == raw_assembled("openai_responses", stream)


def test_a_response_without_its_output_gets_it_back():
    found = assembled(
        "openai_responses",
        named(
            'response.output_item.done ,"output_index":0,"item":{"id":"a"}',
            'response.output_item.done ,"output_index":0,"item":{"id":"b"}',
            'response.incomplete ,"response":{"id":"r","status":"incomplete","output":[]}',
        ),
    )

    assert {"id": "r", "status": "incomplete", "output": [{"id": "a"}, {"id": "b"}]} == found


def test_a_response_that_never_ended_is_none():
    assert assembled("openai_responses", named('response.created ,"response":{"id":"r"}')) is None


# ---- Gemini


def gemini(*parts: str, **more: Any) -> Any:
    chunks = [
        f'{{"candidates":[{{"content":{{"role":"model","parts":[{part}]}},"index":0}}]}}' for part in parts
    ]
    found = assembled("gemini", data(*chunks), **more)
    return found["candidates"][0]["content"]["parts"]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (['{"text":"a"}', '{"text":"b"},{"text":"c"}'], [{"text": "abc"}]),
        (
            ['{"text":"h","thought":true}', '{"text":"m","thought":true}', '{"text":"a"}'],
            [{"text": "hm", "thought": True}, {"text": "a"}],
        ),
        (
            ['{"text":"a"}', '{"functionCall":{"name":"f"}}', '{"functionCall":{"name":"g"}}', '{"text":""}'],
            [{"text": "a"}, {"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}}],
        ),
        (
            ['{"text":"a"}', '{"text":"","thoughtSignature":"s"}', '{"text":"b"}'],
            [{"text": "a", "thoughtSignature": "s"}, {"text": "b"}],
        ),
        (['{"text":""}'], [{"text": ""}]),
        (['{"text":"a"}', '{"inlineData":{"data":"x"}}'], [{"text": "a"}, {"inlineData": {"data": "x"}}]),
    ],
)
def test_text_that_follows_text_is_one_part(parts: list[str], expected: Any):
    assert expected == gemini(*parts)


def test_a_gemini_answer_keeps_what_its_chunks_say_beside_the_parts():
    found = assembled(
        "gemini",
        data(
            '{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"},"index":0,'
            '"citationMetadata":{"citationSources":[{"uri":"1"}]}}],"usageMetadata":{"promptTokenCount":3,'
            '"totalTokenCount":3},"modelVersion":"g-2","responseId":"r"}',
            '{"candidates":[{"content":{"parts":[{"text":"b"}],"role":"model"},"finishReason":"STOP","index":0,'
            '"citationMetadata":{"citationSources":[{"uri":"2"}]},"groundingMetadata":{"webSearchQueries":["q"]},'
            '"safetyRatings":[{"category":"c"}]},{"index":1,"finishReason":"SAFETY"}],'
            '"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5},'
            '"modelVersion":"g-2","responseId":"r","promptFeedback":{"safetyRatings":[]}}',
        ),
    )

    assert {
        "candidates": [
            {
                "content": {"parts": [{"text": "ab"}], "role": "model"},
                "finishReason": "STOP",
                "index": 0,
                "citationMetadata": {"citationSources": [{"uri": "1"}, {"uri": "2"}]},
                "groundingMetadata": {"webSearchQueries": ["q"]},
                "safetyRatings": [{"category": "c"}],
            },
            {"index": 1, "finishReason": "SAFETY"},
        ],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
        "modelVersion": "g-2",
        "responseId": "r",
        "promptFeedback": {"safetyRatings": []},
    } == found


def test_a_gemini_answer_that_came_as_an_array_is_put_together_and_a_bare_one_stays():
    chunk = '{"candidates": [{"content": {"parts": [{"text": "%s"}]}, "index": 0}]}'
    array = f"[{chunk % 'a'}\n,\n{chunk % 'b'}]".encode()
    json_type = b"application/json; charset=UTF-8"

    found = assembled("gemini", array, content_type=json_type)

    assert [{"text": "ab"}] == found["candidates"][0]["content"]["parts"]
    bare = f"\n{chunk % 'a'} ".encode()
    assert bare == raw_assembled("gemini", bare, content_type=json_type)
    assert raw_assembled("gemini", array[:-1], content_type=json_type) is None


def test_an_image_is_one_large_event():
    image = "x" * (2 * CAP)

    assert image == gemini(f'{{"inlineData":{{"data":"{image}"}}}}')[0]["inlineData"]["data"]


# ---- all


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_a_stream_with_an_unreadable_piece_is_no_answer(dialect: str):
    voice, asked = VOICE[dialect], Asked(path=PATHS[dialect], model="m", stream=True)
    pieces = [piece.data for piece in voice.stream(asked, Saying(words=("a", "b"), model="m-1"))]

    assert raw_assembled(dialect, pieces[0], b"data: {oh no\n\n", *pieces[1:]) is None
    assert raw_assembled(dialect) is None


KEYS = (
    *("choices", "index", "delta", "content", "text", "type", "tool_calls", "function", "name", "arguments"),
    *("id", "usage", "x_groq", "logprobs", "reasoning_details", "thinking", "message", "content_block"),
    *("partial_json", "citation", "citations", "input", "item", "output_index", "response", "output"),
    *("candidates", "parts", "thoughtSignature", "usageMetadata", "citationMetadata", "role"),
)
TYPES = (
    *("message_start", "content_block_start", "content_block_delta", "message_delta", "text", "thinking"),
    *("citations_delta", "input_json_delta", "response.completed", "response.output_item.done"),
)
ANYTHING = st.recursive(
    st.none() | st.integers(-1, 2) | st.sampled_from(("", "a", *TYPES)) | st.just(2.5) | st.just(10**30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)
EVENTS = st.lists(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=5), max_size=4)


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
@given(events=EVENTS)
@settings(max_examples=150, deadline=None)
def test_no_event_whatever_it_says_breaks_the_assembler(dialect: str, events: list[Any]):
    found = raw_assembled(dialect, data(*map(json.dumps, events)))

    assert found is None or isinstance(json.loads(found), dict)


def test_what_is_nested_too_deeply_is_no_answer():
    deep = '{"content":' * 1200 + "1" + "}" * 1200

    assert assembled("anthropic", data(deep)) is None
    assert assembled("openai_chat", data('{"choices":[{"delta":' + deep + "}]}")) is None


@pytest.mark.parametrize("dialect", ["openai_chat", "openai_responses", "anthropic", "embeddings"])
def test_what_is_no_stream_is_not_put_together(dialect: str):
    assert DIALECTS[dialect].assembler(b"application/json") is None


# ---- the request


def streamed(dialect: str, body: str, path: str = "/x", query: str = "") -> Any:
    found = DIALECTS[dialect].as_stream(path, query, body.encode())
    return None if found is None else (found[0], found[1], found[2].decode())


@pytest.mark.parametrize("dialect", ["openai_responses", "anthropic"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"model":"m", "é": 1.0}', '{"stream":true,"model":"m", "é": 1.0}'),
        ('{"model":"m", "stream" : false }', '{"model":"m", "stream" : true }'),
        ('{"stream":null,"a":{"stream":false}}', '{"stream":true,"a":{"stream":false}}'),
        (" {}", ' {"stream":true}'),
    ],
)
def test_only_the_needed_bytes_of_a_request_change(dialect: str, body: str, expected: str):
    assert ("/x", "a=1", expected) == streamed(dialect, body, query="a=1")


def test_a_chat_completion_is_asked_for_its_usage_too():
    assert (
        "/x",
        "",
        '{"stream":true,"stream_options":{"include_usage":true},"model":"m"}',
    ) == streamed("openai_chat", '{"model":"m"}')


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai_chat", '{"modalities":["text","audio"]}'),
        ("openai_chat", '{"audio":{"voice":"a"}}'),
        ("openai_chat", '{"stream_options":{"include_usage":true}}'),
        ("openai_responses", '{"background":true}'),
        ("openai_responses", '{"stream_options":{}}'),
        ("embeddings", '{"input":"a"}'),
    ],
)
def test_what_has_no_stream_that_says_as_much_is_asked_as_it_is(dialect: str, body: str):
    assert streamed(dialect, body) is None


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/v1beta/models/m:generateContent", "", ("/v1beta/models/m:streamGenerateContent", "alt=sse")),
        (
            "/models/a%3Ab:generateContent",
            "alt=json&key=k",
            ("/models/a%3Ab:streamGenerateContent", "key=k&alt=sse"),
        ),
        ("/models/m:embedContent", "", None),
        ("/models/m:streamGenerateContent", "", None),
    ],
)
def test_gemini_says_it_in_the_path_and_the_query(path: str, query: str, expected: Any):
    found = streamed("gemini", "{}", path, query)

    assert expected == (found and found[:2])


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_the_streamed_request_asks_for_the_same(dialect: str):
    speaker: Dialect = DIALECTS[dialect]
    before = speaker.ask(Operation.CHAT, PATHS[dialect], b'{"model":"m","temperature":0}')

    found = speaker.as_stream(PATHS[dialect], "", b'{"model":"m","temperature":0}')

    assert found is not None
    path, _, body = found
    after = speaker.ask(Operation.CHAT, path, body)
    assert (False, True) == (before.stream, after.stream)
    assert before.model == after.model == "m"


@pytest.mark.parametrize("dialect", ["openai_chat", "openai_responses", "anthropic"])
def test_a_body_that_cannot_be_changed_is_said_to_be_bad(dialect: str):
    with pytest.raises(BadBody):
        streamed(dialect, '{"model":"m"')


# ---- the readers and the real SDKs

TOLD = Saying(words=("all ", "is ", "well"), reasoning=("hm ", "hm"), model="m-1")
CALLED = Saying(words=('{"city": ', '"Ulm"}'), tool="look_up", finish="tool", model="m-1")


def answer_of(dialect: str, say: Saying) -> bytes:
    asked = Asked(path=PATHS[dialect], model="m", stream=True, usage=True, size=40)
    body = raw_assembled(dialect, *(piece.data for piece in VOICE[dialect].stream(asked, say)))
    assert body is not None
    return body


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_our_own_reader_of_bodies_reads_it(dialect: str):
    told, called = whole(dialect, answer_of(dialect, TOLD)), whole(dialect, answer_of(dialect, CALLED))

    assert "all is well" == "".join(delta.text for delta in told if isinstance(delta, Text))
    assert {"city": "Ulm"} == json.loads(
        "".join(delta.arguments for delta in called if isinstance(delta, ToolCall))
    )
    assert 1 == sum(isinstance(delta, Finish) for delta in told)
    assert any(isinstance(delta, Usage) and delta.output_total for delta in told)


JSON_TYPE = {"content-type": "application/json"}


def test_the_openai_sdk_reads_an_assembled_completion():
    with transport(200, JSON_TYPE, answer_of("openai_chat", TOLD)) as http:
        told = openai_over(http).chat.completions.create(**OPENAI_CALL)
    with transport(200, JSON_TYPE, answer_of("openai_chat", CALLED)) as http:
        called = openai_over(http).chat.completions.create(**OPENAI_CALL)

    openai.types.chat.ChatCompletion.model_validate(told.model_dump(warnings="error"))
    assert ("all is well", "stop") == (told.choices[0].message.content, told.choices[0].finish_reason)
    assert told.usage is not None
    [call] = called.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert ("look_up", '{"city": "Ulm"}') == (call.function.name, call.function.arguments)


def test_the_openai_sdk_reads_an_assembled_response():
    with transport(200, JSON_TYPE, answer_of("openai_responses", TOLD)) as http:
        told = openai_over(http).responses.create(model="m", input="hi")

    assert ("all is well", "completed") == (told.output_text, told.status)


def test_the_anthropic_sdk_reads_an_assembled_message():
    with transport(200, JSON_TYPE, answer_of("anthropic", TOLD)) as http:
        told = anthropic_over(http).messages.create(**ANTHROPIC_CALL)
    with transport(200, JSON_TYPE, answer_of("anthropic", CALLED)) as http:
        called = anthropic_over(http).messages.create(**ANTHROPIC_CALL)

    anthropic.types.Message.model_validate(told.model_dump(warnings="error"))
    assert ["thinking", "text"] == [block.type for block in told.content]
    [block] = called.content
    assert block.type == "tool_use"
    assert ("look_up", {"city": "Ulm"}) == (block.name, block.input)
    assert "tool_use" == called.stop_reason


def test_the_gemini_sdk_reads_an_assembled_answer():
    read = gemini_types.GenerateContentResponse.model_validate_json

    told, called = read(answer_of("gemini", TOLD)), read(answer_of("gemini", CALLED))

    assert "all is well" == told.text
    assert told.usage_metadata is not None
    [call] = called.function_calls or []
    assert ("look_up", {"city": "Ulm"}) == (call.name, call.args)
