"""A history of tool calls that another provider made is one that the target would answer."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import msgspec
import pytest

from sidecar.hub import TONGUES, Facts
from tests.hub.cases import ANTHROPIC, CHAT, DIALECTS, GEMINI, path_of
from tests.hub.histories import HISTORIES, PLACE, SEALED, expected, tools, turns
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
