"""A history of tool calls that another provider made is one that the target would answer."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import msgspec
import pytest

from sidecar.hub import TONGUES, Facts
from sidecar.hub.audit import silent
from sidecar.hub.emulation import Undoing
from sidecar.model import ToolCall
from tests.hub.cases import ANTHROPIC, CHAT, DIALECTS, GEMINI, RESPONSES, path_of
from tests.hub.histories import HISTORIES, PLACE, SEALED, Round, Said, expected, tools, turns
from tests.hub.legal import calls, complaints

NOTHING_KNOWN = Facts()
PAIRS = list(permutations(DIALECTS, 2))


def crossed(source: str, target: str, said: Any, facts: Facts = NOTHING_KNOWN, **more: Any) -> Any:
    """The body that the target gets of these messages, input or contents."""
    body = {"model": "m", "max_tokens": 9000, PLACE[source]: said, **more}
    if source == GEMINI:
        del body["model"], body["max_tokens"]
    read = TONGUES[source].read(path_of(source), msgspec.json.encode(body))
    written = TONGUES[target].write(read, facts)
    assert SEALED.encode() not in written.body
    return msgspec.json.decode(written.body)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("name", HISTORIES)
def test_calls_of_another_provider_are_taken_by_every_target(name: str, *, declared: bool):
    history = HISTORIES[name]
    for source, target in PAIRS:
        more = {"tools": tools(source)} if declared else {}
        for ids in (True, False) if source == GEMINI else (True,):
            body = crossed(source, target, turns(source, history, ids=ids), **more)

            assert [] == complaints(target, body), (source, target)
            assert expected(history) == calls(target, body), (source, target)


def test_a_history_of_calls_brings_tools_along_where_they_are_demanded_and_not_to_be_called():
    said = turns(CHAT, HISTORIES["of OpenAI"])

    body = crossed(CHAT, ANTHROPIC, said)

    assert ["tide", "wind"] == [tool["name"] for tool in body["tools"]]
    assert {"type": "none"} == body["tool_choice"]
    assert "tools" not in crossed(CHAT, ANTHROPIC, said[:1])


@pytest.mark.parametrize("after", [[], [{"role": "user", "content": "Hurry."}]])
def test_behind_a_call_whose_thoughts_another_had_anthropic_is_not_asked_to_think(after: list[Any]):
    said = [*turns(CHAT, HISTORIES["of OpenAI"]), *after]

    body = crossed(CHAT, ANTHROPIC, said, tools=tools(CHAT), reasoning_effort="low")

    assert "thinking" not in body
    assert [] == complaints(ANTHROPIC, body)
    answered = [*said, {"role": "assistant", "content": "At six."}, {"role": "user", "content": "Why?"}]
    assert "thinking" in crossed(CHAT, ANTHROPIC, answered, tools=tools(CHAT), reasoning_effort="low")


NAMES = ("maps.search", "mcp__plugin_jenkins-mcp-plugin_jenkins__jenkins_get_build_console_of_job", "9lives")
NAMED = {
    CHAT: {"type": "function", "function": {"name": NAMES[1]}},
    RESPONSES: {"type": "function", "name": NAMES[1]},
    ANTHROPIC: {"type": "tool", "name": NAMES[1]},
}


@pytest.mark.parametrize("source", DIALECTS)
def test_a_tool_whose_name_the_target_refuses_is_asked_for_by_another_and_answers_by_its_own(source: str):
    told = (Said("c1", NAMES[0], "a", "1"), Said("c2", NAMES[1], "b", "2"), Said("c3", NAMES[2], "c", "3"))
    said = {PLACE[source]: turns(source, [Round(told)]), "tools": tools(source, NAMES)}
    if source == GEMINI:
        calling = {"mode": "ANY", "allowedFunctionNames": [NAMES[1]]}
        body = {**said, "toolConfig": {"functionCallingConfig": calling}}
    else:
        body = {"model": "m", "max_tokens": 99, **said, "tool_choice": NAMED[source]}
    raw = msgspec.json.encode(body)
    for target in DIALECTS:
        if target == source:
            continue
        written = TONGUES[target].write(TONGUES[source].read(path_of(source), raw), NOTHING_KNOWN)

        assert [] == complaints(target, msgspec.json.decode(written.body))
        assert [] == silent(raw, written.body, written.losses)
        ours = {theirs: ours for ours, theirs in written.renamed.items()}
        fit = {GEMINI: NAMES[:2], ANTHROPIC: NAMES[1:]}.get(target, NAMES[2:])
        assert {*NAMES} - {*fit} == {*ours}
        assert NAMES[1] in fit or ours[NAMES[1]] in written.body.decode()
        calls_ = [(ours.get(call.name, call.name), call.given, [call.result]) for call in told]
        assert calls_ == calls(target, msgspec.json.decode(written.body))
        heard = Undoing(written).turn(
            [ToolCall(n, name=ours.get(name, name)) for n, name in enumerate(NAMES)]
        )
        assert [*NAMES] == [delta.name for delta in heard if isinstance(delta, ToolCall)]


@pytest.mark.parametrize("target", [target for target in DIALECTS if target != CHAT])
def test_the_older_form_of_calls_is_told_like_the_newer(target: str):
    said = [
        {"role": "user", "content": "Sail?"},
        {"role": "assistant", "content": None, "function_call": {"name": "tide", "arguments": '{"n":1}'}},
        {"role": "function", "name": "tide", "content": "06:12"},
    ]

    body = crossed(CHAT, target, said)

    assert [] == complaints(target, body)
    assert [("tide", {"n": 1}, ["06:12"])] == calls(target, body)


@pytest.mark.parametrize("given", ["", "{}", "null"])
def test_a_call_without_arguments_is_one_with_an_empty_object(given: str):
    call = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": given}}
    said = [
        {"role": "user", "content": "Sail?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "06:12"},
    ]

    for target in (ANTHROPIC, GEMINI):
        assert [("tide", {}, ["06:12"])] == calls(target, crossed(CHAT, target, said))
