"""The property that carries everything: how an answer was cut on its way changes nothing."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model import Delta, Malformed
from tests.dialects.samples import STREAMS, body_reader_of, reader_of, run

ROUGH = [name for name in STREAMS if "rough" in name]  # hold events that are no JSON
TERMINAL = (b"[DONE]", b"message_stop", b"response.completed", b"response.failed")
LINE_ENDS = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}


def cut(data: bytes, places: list[int]) -> list[bytes]:
    return [data[a:b] for a, b in pairwise([0, *sorted(places), len(data)])]


def read(dialect: str, choices: int, pieces: list[bytes]) -> tuple[bytes, list[Delta], bool, bool]:
    reader = reader_of(dialect, choices=choices)
    raw, deltas = run(reader, pieces)
    return raw, deltas, reader.done, reader.finished


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_byte_by_byte_says_the_same_as_at_once(name: str, line_end: str) -> None:
    dialect, stream, choices = STREAMS[name]
    stream = stream.replace(b"\n", LINE_ENDS[line_end])

    at_once = read(dialect, choices, [stream])

    assert stream == at_once[0] or name in ROUGH
    assert at_once == read(dialect, choices, [bytes([byte]) for byte in stream])


@pytest.mark.parametrize("name", ROUGH)
@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_what_is_no_json_is_left_out_and_nothing_else(name: str, line_end: str) -> None:
    dialect, stream, choices = STREAMS[name]

    raw, deltas, *state = read(dialect, choices, [stream.replace(b"\n", LINE_ENDS[line_end])])

    good = [delta for delta in deltas if not isinstance(delta, Malformed)]
    assert 0 < len(raw) < len(stream.replace(b"\n", LINE_ENDS[line_end]))
    assert len(good) < len(deltas)
    assert (raw, good, *state) == read(dialect, choices, [raw])


@pytest.mark.parametrize("name", STREAMS)
def test_the_line_ends_say_nothing(name: str) -> None:
    dialect, stream, choices = STREAMS[name]

    said = [read(dialect, choices, [stream.replace(b"\n", end)])[1:] for end in LINE_ENDS.values()]

    assert said[0] == said[1] == said[2]


@settings(max_examples=120)
@given(st.sampled_from(list(STREAMS)), st.sampled_from(list(LINE_ENDS)), st.data())
def test_any_cut_says_the_same_as_at_once(name: str, line_end: str, data: st.DataObject) -> None:
    dialect, stream, choices = STREAMS[name]
    stream = stream.replace(b"\n", LINE_ENDS[line_end])
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=9))

    assert read(dialect, choices, [stream]) == read(dialect, choices, cut(stream, places))


@settings(max_examples=60)
@given(st.sampled_from(list(STREAMS)), st.data())
def test_a_cut_stream_is_passed_whole_and_never_done(name: str, data: st.DataObject) -> None:
    dialect, stream, choices = STREAMS[name]
    part = stream[: data.draw(st.integers(0, len(stream) - 1))]

    raw, deltas, done, _ = read(dialect, choices, [part])

    whole = read(dialect, choices, [stream])
    assert part == raw or name in ROUGH
    assert not done or any(word in part for word in TERMINAL)
    assert deltas == whole[1][: len(deltas)]


FIELDS = [
    *("type", "index", "delta", "content_block", "message", "usage", "error", "choices", "model", "content"),
    *("reasoning", "tool_calls", "function", "name", "arguments", "id", "input", "text", "thinking", "code"),
    *("finish_reason", "stop_reason", "prompt_tokens", "input_tokens", "object", "audio", "x_groq", "custom"),
    *(
        "candidates",
        "parts",
        "finishReason",
        "functionCall",
        "promptFeedback",
        "blockReason",
        "usageMetadata",
    ),
    *("promptTokenCount", "inlineData", "mimeType", "args", "thought", "finish_message"),
    *("prompt_tokens_details", "reasoning_details", "summary", "refusal", "function_call", "citations"),
    *("output", "response", "item", "output_index", "status", "incomplete_details", "data"),
]
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["text", "tool_use", "error"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
KINDS = st.sampled_from(
    [
        "",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_start",
        "message_delta",
        "error",
        "response.created",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.completed",
        "response.failed",
    ]
)
STREAMED = st.sampled_from(["openai_chat", "anthropic", "openai_responses", "gemini"])


@settings(max_examples=250)
@given(STREAMED, st.lists(st.tuples(KINDS, JSON), max_size=4))
def test_no_shape_of_an_event_raises(dialect: str, events: list[tuple[str, Any]]) -> None:
    stream = b"".join(f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode() for kind, event in events)
    raw, deltas = run(reader_of(dialect), [stream])
    assert stream == raw or any(isinstance(delta, Malformed) for delta in deltas)

    for _, event in events:
        body = json.dumps(event).encode()
        assert body == run(body_reader_of(dialect), [body])[0]


@given(STREAMED, st.binary(max_size=60))
def test_no_bytes_raise(dialect: str, junk: bytes) -> None:
    for stream in (junk, b"data: " + junk):
        raw, deltas = run(reader_of(dialect), [stream])
        assert stream == raw or any(isinstance(delta, Malformed) for delta in deltas)
    assert junk == run(body_reader_of(dialect), [junk])[0]
