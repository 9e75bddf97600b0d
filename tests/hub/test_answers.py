"""Answers cross dialects: whole or streamed, cut anywhere, they say the same."""

from __future__ import annotations

import json
from itertools import pairwise, permutations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model import (
    Answering,
    Delta,
    Finish,
    FinishReason,
    Reasoning,
    Text,
    ToolCall,
    Usage,
)
from tests.dialects import samples
from tests.hub.answers import assembled, gist, read_stream, read_whole, say
from tests.hub.cases import ANTHROPIC, CHAT, DIALECTS, GEMINI, RESPONSES

USAGE = Usage(input_total=11, output_total=7, cache_read=4, reasoning=2)
PLAIN: list[Delta] = [Answering("m"), Text("Grüße"), Text(" 🦔"), Finish(FinishReason.STOP), USAGE]
INTERLEAVED: list[Delta] = [
    Answering("m"),
    Reasoning("I need two."),
    Text("Let me look."),
    ToolCall(0, "a", "tide", ""),
    ToolCall(1, "b", "wind", '{"po'),
    ToolCall(0, arguments='{"port":'),
    ToolCall(1, arguments='rt":"Husum"}'),
    ToolCall(0, arguments='"Emden"}'),
    Finish(FinishReason.TOOL),
    USAGE,
]
BETWEEN: list[Delta] = [
    Answering("m"),
    Text("First."),
    ToolCall(0, "a", "tide", '{"port":"Emden"}'),
    Text("Then."),
    ToolCall(3, "b", "now"),
    Usage(input_total=11, output_total=1),
    Text("Last."),
    USAGE,
    Finish(FinishReason.TOOL),
]
EMPTY: list[Delta] = [Answering("m"), Finish(FinishReason.STOP), USAGE]
THOUGHT_FIRST: list[Delta] = [
    USAGE,
    Answering("m"),
    Reasoning(""),
    Reasoning("Hm."),
    Text(""),
    ToolCall(0, "a", "tide", "{"),
    ToolCall(0, arguments=""),
    ToolCall(0, arguments='"port":"Emden"}'),
    ToolCall(0, arguments=" \n"),
    ToolCall(1, "b", "tide", '{"port":"Husum"}'),
    ToolCall(0, arguments="\n"),
    Finish(FinishReason.TOOL),
]
TWICE_FINISHED: list[Delta] = [
    Answering("m"),
    Text("a"),
    Finish(FinishReason.STOP),
    Text("b"),
    Finish(FinishReason.LENGTH),
    USAGE,
]
SCRIPTS = {
    "plain": PLAIN,
    "interleaved": INTERLEAVED,
    "text between calls": BETWEEN,
    "empty": EMPTY,
    "thoughts and empty deltas first": THOUGHT_FIRST,
    "finished twice": TWICE_FINISHED,
}


STREAMS = {
    "chat text": (CHAT, samples.OPENAI_TEXT),
    "chat tools": (CHAT, samples.OPENAI_TOOLS),
    "anthropic text": (ANTHROPIC, samples.ANTHROPIC_TEXT),
    "anthropic tools": (ANTHROPIC, samples.ANTHROPIC_TOOLS),
    "responses text": (
        RESPONSES,
        say(RESPONSES, [Answering("m"), Reasoning("Hm."), Text("Grüße"), Text(" 🦔"), *PLAIN[-2:]])[0],
    ),
    "responses tools": (RESPONSES, say(RESPONSES, BETWEEN)[0]),
    "gemini text": (GEMINI, samples.GEMINI_TEXT),
    "gemini tools": (GEMINI, samples.GEMINI_TOOLS),
}


@pytest.mark.parametrize(("name", "client"), [*product(SCRIPTS, DIALECTS)])
def test_what_a_voice_says_its_own_dialect_reads(name: str, client: str) -> None:
    stream, losses = say(client, SCRIPTS[name])
    before = gist(SCRIPTS[name])
    expected = {**before, "ids": gist(read_stream(client, stream))["ids"]}

    assert expected == gist(read_stream(client, stream))
    assert expected == gist(read_whole(client, assembled(client, stream)))
    assert () == losses
    assert before["ids"] == expected["ids"]


@pytest.mark.parametrize(("name", "client"), [*product(STREAMS, DIALECTS)])
def test_a_stream_translated_is_the_whole_answer_translated(name: str, client: str) -> None:
    target, stream = STREAMS[name]
    streamed, _ = say(client, read_stream(target, stream))
    whole, _ = say(client, read_whole(target, assembled(target, stream)))
    expected = gist(read_stream(target, stream))
    again = gist(read_whole(client, assembled(client, streamed)))

    assert {**expected, "ids": again["ids"]} == again
    assert gist(read_whole(client, assembled(client, whole))) == again
    assert gist(read_stream(client, streamed)) == again


@pytest.mark.parametrize(("name", "client"), [*product(STREAMS, DIALECTS)])
def test_wherever_a_stream_is_cut_into_pieces_the_client_gets_the_same_bytes(name: str, client: str) -> None:
    target, stream = STREAMS[name]
    expected = say(client, read_stream(target, stream))

    assert expected == say(client, read_stream(target, [stream[i : i + 1] for i in range(len(stream))]))
    for size in (7, 100):
        cuts = [*range(0, len(stream), size), len(stream)]
        assert expected == say(client, read_stream(target, [stream[a:b] for a, b in pairwise(cuts)]))


FINISHES = {
    CHAT: {"refusal": "filter", "context_full": "length"},
    RESPONSES: {"refusal": "filter", "context_full": "length"},
    ANTHROPIC: {"filter": "refusal", "error": "length"},
    GEMINI: {"refusal": "filter", "context_full": "length"},
}


@pytest.mark.parametrize(("reason", "client"), [*product(FinishReason, DIALECTS)])
def test_every_finish_has_a_word_and_none_becomes_a_polite_stop(reason: FinishReason, client: str) -> None:
    script: list[Delta] = [Answering("m"), Text("a"), Finish(reason)]
    if reason is FinishReason.TOOL:
        script.insert(2, ToolCall(0, "a", "tide", "{}"))
    read = gist(read_stream(client, say(client, script)[0]))

    assert {0: FINISHES[client].get(reason, reason)} == read["finishes"]


@pytest.mark.parametrize(("target", "client"), [*permutations(DIALECTS, 2)])
@pytest.mark.parametrize("reason", ["stop", "length", "tool"])
def test_the_usual_finishes_come_back_through_another_dialect(reason: str, target: str, client: str) -> None:
    script: list[Delta] = [Answering("m"), Text("a"), Finish(FinishReason(reason)), USAGE]
    if reason == "tool":
        script.insert(2, ToolCall(0, "a", "tide", "{}"))
    there = read_stream(target, say(target, script)[0])
    back = gist(read_stream(client, say(client, there)[0]))

    assert {0: reason} == back["finishes"]
    assert gist(script)["usage"] == back["usage"]


@pytest.mark.parametrize("client", [CHAT, GEMINI])
def test_choices_stay_apart(client: str) -> None:
    script: list[Delta] = [
        Answering("m"),
        Text("a", 0),
        ToolCall(0, "x", "tide", '{"po', 1),
        Text("b", 2),
        Text("c", 0),
        ToolCall(0, arguments='rt":1}', choice=1),
        Finish(FinishReason.STOP, 2),
        Finish(FinishReason.LENGTH, 0),
        Finish(FinishReason.TOOL, 1),
    ]
    read = gist(read_stream(client, say(client, script)[0], choices=3))

    assert {0: "ac", 2: "b"} == read["texts"]
    assert [(1, "tide", {"port": 1})] == read["calls"]
    assert {0: "length", 1: "tool", 2: "stop"} == read["finishes"]


@pytest.mark.parametrize("client", [ANTHROPIC, RESPONSES])
def test_choices_beyond_the_first_are_named_where_there_is_but_one(client: str) -> None:
    stream, losses = say(
        client, [Text("a"), Text("b", 1), Finish(FinishReason.STOP), Finish(FinishReason.STOP, 1)]
    )

    assert {0: "a"} == gist(read_stream(client, stream))["texts"]
    assert ("choices",) == losses


def test_arguments_that_are_no_json_stay_what_they_are_or_are_a_malformed_call() -> None:
    script: list[Delta] = [Answering("m"), ToolCall(0, "a", "tide", '{"port":'), Finish(FinishReason.TOOL)]
    read = {client: gist(read_stream(client, say(client, script)[0])) for client in DIALECTS}

    for client in (CHAT, RESPONSES, ANTHROPIC):
        assert [(0, "tide", '{"port":')] == read[client]["calls"]
    assert {0: "error"} == read[GEMINI]["finishes"]


# ---- any answer --------------------------------------------------------------------------------

words = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | words, lambda v: st.lists(v, max_size=2), max_leaves=4
)


@st.composite
def answers(draw: st.DrawFn) -> list[Delta]:
    """Words, thoughts and calls, the calls' pieces in any order that keeps each call's own."""
    lanes: list[list[Delta]] = []
    for index in range(draw(st.integers(0, 3))):
        arguments = json.dumps(draw(st.dictionaries(words, values, max_size=2)), ensure_ascii=False)
        cut = draw(st.integers(0, len(arguments)))
        lanes.append(
            [
                ToolCall(index, f"call{index}", f"tool{index}", arguments[:cut]),
                ToolCall(index, arguments=arguments[cut:]),
            ]
        )
    said = st.builds(Text, words) | st.builds(Reasoning, words)
    lanes += [[each] for each in draw(st.lists(said, max_size=4))]
    deltas: list[Delta] = [Answering("m")]
    while lanes:
        lane = draw(st.sampled_from(lanes))
        deltas.append(lane.pop(0))
        lanes = [lane for lane in lanes if lane]
    called = any(isinstance(delta, ToolCall) for delta in deltas)
    usage = Usage(
        draw(st.integers(5, 99)), draw(st.integers(5, 99)), cache_read=draw(st.integers(0, 5)), reasoning=3
    )
    deltas.insert(draw(st.integers(1, len(deltas))), usage)
    return [*deltas, Finish(FinishReason.TOOL if called else FinishReason.STOP)]


def shown(deltas: list[Delta]) -> dict[str, Any]:
    """Where pieces of calls interleave, which call began first is each dialect's own affair."""
    told = gist(deltas)
    told["calls"].sort(key=lambda call: call[1])
    told.pop("ids")
    return told


@settings(max_examples=60, deadline=None)
@given(script=answers())
def test_any_answer_comes_through_any_two_dialects(script: list[Delta]) -> None:
    for target, client in product(DIALECTS, DIALECTS):
        there = read_stream(target, say(target, script)[0])
        stream, losses = say(client, there)

        assert () == losses
        assert shown(script) == shown(read_stream(client, stream))
        assert shown(script) == shown(read_whole(client, assembled(client, stream)))
