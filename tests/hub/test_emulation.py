"""A schema that was asked for by a forced tool, JSON that was asked for in words: the answer made of it."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from sidecar.hub import TONGUES, Facts, Written
from sidecar.hub.conversation import Unrepresentable
from sidecar.hub.emulation import Undoing
from sidecar.model import Delta, Finish, FinishReason, Reasoning, Text, ToolCall
from tests.hub.answers import ASKED, gist, read_stream, say
from tests.hub.cases import ANTHROPIC, CHAT, DIALECTS, GEMINI, MODELS, RESPONSES, cases, path_of

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


def test_a_schema_whose_root_is_a_list_is_refused_where_only_objects_are_taken() -> None:
    config = {"responseMimeType": "application/json", "responseSchema": {"type": "ARRAY", "items": {}}}
    body = {"contents": [{"parts": [{"text": "List."}]}], "generationConfig": config}
    conversation = TONGUES[GEMINI].read(path_of(GEMINI), msgspec.json.encode(body))

    for target in (CHAT, RESPONSES, ANTHROPIC):
        with pytest.raises(Unrepresentable, match="responseSchema"):
            TONGUES[target].write(conversation, Facts())
