"""A schema that was asked for by a forced tool, JSON that was asked for in words: the answer made of it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from sidecar.hub import TONGUES, Facts, Written
from sidecar.hub.emulation import Undoing
from sidecar.model import Delta, Finish, FinishReason, Reasoning, Text, ToolCall
from tests.hub.answers import ASKED, gist, read_stream, say
from tests.hub.cases import ANTHROPIC, CHAT, DIALECTS, GEMINI, MODELS, RESPONSES, cases, path_of
from tests.hub.test_hard import body_of, crossed

BY_TOOL = Written("/", "", b"", (), emulated="answer")
BY_WORDS = Written("/", "", b"", (), instructed=True)


def heard(written: Written, *deltas: Delta) -> list[Delta]:
    undoing = Undoing(written)
    return [each for delta in deltas for each in undoing.turn((delta,))]


def asked(source: str, target: str, name: str, facts: Facts) -> Written:
    conversation = TONGUES[source].read(path_of(source), msgspec.json.encode(cases(source)[name]))
    return TONGUES[target].write(msgspec.structs.replace(conversation, model=MODELS[target]), facts)


@pytest.mark.parametrize("client", DIALECTS)
def test_the_call_of_the_stand_in_is_the_answers_text(client: str) -> None:
    script: list[Delta] = [
        ToolCall(2, "c", "answer", '{"ship":'),
        ToolCall(2, arguments='"Cap San Diego"}'),
        Finish(FinishReason.TOOL),
    ]
    read = gist(read_stream(client, say(client, script, ASKED, BY_TOOL)[0]))

    assert {0: '{"ship":"Cap San Diego"}'} == read["texts"]
    assert [] == read["calls"]
    assert {0: "stop"} == read["finishes"]


def test_words_before_the_stand_in_are_thoughts() -> None:
    script = (
        Text("Here it is: "),
        ToolCall(0, "c", "answer", "{}"),
        Text("Done."),
        Finish(FinishReason.TOOL),
    )
    expected = [Reasoning("Here it is: "), Text("{}"), Reasoning("Done."), Finish(FinishReason.STOP)]

    assert expected == heard(BY_TOOL, *script)


def test_words_before_a_real_call_are_words() -> None:
    script = (Text("Let me look."), ToolCall(0, "c", "tide", "{}"), Finish(FinishReason.TOOL))

    assert list(script) == heard(BY_TOOL, *script)


def test_words_instead_of_a_call_are_the_answer() -> None:
    script = (Text("I would rather not."), Finish(FinishReason.STOP))

    assert list(script) == heard(BY_TOOL, *script)


def test_one_answer_is_enough() -> None:
    script = (
        ToolCall(0, "a", "answer", "{}"),
        ToolCall(1, "b", "answer", "{}"),
        ToolCall(1, arguments="{}"),
        Finish(FinishReason.TOOL),
    )

    assert [Text("{}"), Finish(FinishReason.STOP)] == heard(BY_TOOL, *script)


def test_a_real_call_beside_the_answer_stays_a_call() -> None:
    script = (ToolCall(0, "a", "answer", "{}"), ToolCall(1, "b", "tide", "{}"), Finish(FinishReason.TOOL))
    expected = [Text("{}"), ToolCall(1, "b", "tide", "{}"), Finish(FinishReason.TOOL)]

    assert expected == heard(BY_TOOL, *script)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('\n```\n{"a": "```"}\n```\n', '{"a": "```"}'),
        ('{"a": 1}', '{"a": 1}'),
        ('{"a": "```json"}\n', '{"a": "```json"}\n'),
        ('```json {"a": 1', '{"a": 1'),
        ("", ""),
        ("``", "``"),
        ("  ", "  "),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_a_fence_is_taken_off_however_the_text_is_cut(said: str, expected: str, size: int) -> None:
    cuts = [*range(0, len(said), size), len(said)]
    pieces = [Text(said[a:b]) for a, b in pairwise(cuts)]
    out = heard(BY_WORDS, *pieces, Finish(FinishReason.STOP))

    assert expected == "".join(delta.text for delta in out if isinstance(delta, Text))
    assert Finish(FinishReason.STOP) == out[-1]


@pytest.mark.parametrize("target", [CHAT, RESPONSES, GEMINI])
def test_a_target_without_schemas_is_asked_by_a_forced_tool(target: str) -> None:
    written = asked(ANTHROPIC, target, "schema", Facts(schema=False))
    again = TONGUES[target].read(f"/v1beta{written.path}", written.body)

    assert "answer" == written.emulated
    assert ["answer"] == [tool.name for tool in again.tools]
    assert ("named", "answer") == (again.choice, again.named)
    assert ["output_config.format"] == [loss.field for loss in written.losses]


def test_with_tools_some_tool_has_to_be_called() -> None:
    written = asked(CHAT, ANTHROPIC, "schema_and_tools", Facts())
    body = msgspec.json.decode(written.body)

    assert {"type": "any"} == body["tool_choice"]
    assert ["tide", "wind", "answer"] == [tool["name"] for tool in body["tools"]]


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0},
        "of": {"$ref": "#/$defs/Port"},
    },
    "$defs": {"Port": {"type": "object", "properties": {"town": {"type": "string", "format": "date"}}}},
    "required": ["name"],
}


def formed(schema: Any) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    return {"model": "m", "messages": [{"role": "user", "content": "Who?"}], "response_format": form}


def test_a_schema_for_anthropic_is_closed_and_sets_no_limits() -> None:
    """It refuses both; whoever judges the answer has the whole schema."""
    written = crossed(CHAT, ANTHROPIC, formed(PERSON), Facts(schema=True))

    assert {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "of": {"$ref": "#/$defs/Port"},
        },
        "$defs": {
            "Port": {
                "type": "object",
                "properties": {"town": {"type": "string", "format": "date"}},
                "additionalProperties": False,
            }
        },
        "required": ["name"],
        "additionalProperties": False,
        "title": "person",
    } == body_of(written)["output_config"]["format"]["schema"]
    assert [("response_format", "clamped")] == [(loss.field, loss.how) for loss in written.losses]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object"},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {
            "type": "object",
            "properties": {"tree": {"$ref": "#/$defs/T"}},
            "$defs": {"T": {"type": "array", "items": {"$ref": "#/$defs/T"}}},
        },
        {"type": "object", "properties": {"a": {"enum": [{"b": 1}]}}},
        {"type": "object", "properties": {"a": {"if": {}, "then": {}}}},
    ],
)
def test_a_schema_that_anthropic_does_not_take_is_a_tools(schema: Any) -> None:
    written = crossed(CHAT, ANTHROPIC, formed(schema), Facts(schema=True))

    assert ("answer", "output_config" in body_of(written)) == (written.emulated, False)


FLEET = {"type": "array", "items": {"$ref": "#/$defs/Ship"}, "$defs": {"Ship": {"type": "string"}}}


@pytest.mark.parametrize("facts", [Facts(), Facts(schema=True), Facts(schema=False)])
@pytest.mark.parametrize("target", [CHAT, RESPONSES, ANTHROPIC])
def test_a_list_is_asked_for_in_an_object_and_taken_out_of_it(target: str, facts: Facts) -> None:
    """Google's own first example of a schema is a list."""
    config = {"responseMimeType": "application/json", "responseJsonSchema": FLEET}
    body = {"contents": [{"role": "user", "parts": [{"text": "Which?"}]}], "generationConfig": config}
    written = crossed(GEMINI, target, body, facts)

    assert b'"answer":{"type":"array","items":{"$ref":"#/$defs/Ship"}}' in written.body
    assert {"generationConfig.responseJsonSchema"} == {loss.field for loss in written.losses}
    for said in ('{"answer":["Emma","Ida"]}', ' { "answer" : ["Emma", {"a":{}} ] } '):
        for size in (1, 7, 99):
            pieces = [said[at : at + size] for at in range(0, len(said), size)]
            name = written.emulated
            deltas = [ToolCall(0, "c", name, piece) if name else Text(piece) for piece in pieces]
            told = heard(written, *deltas, Finish(FinishReason.STOP))
            text = "".join(delta.text for delta in told if isinstance(delta, Text))

            assert json.loads(said)["answer"] == json.loads(text)
