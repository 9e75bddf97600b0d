from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.hub.anthropic import ANTHROPIC
from sidecar.hub.conversation import Conversation, Effort, Role, TextPart
from sidecar.hub.openai_chat import OPENAI_CHAT
from sidecar.model import System, Variant
from sidecar.variants import (
    KINDS,
    NAMES,
    PLACES,
    in_body,
    in_conversation,
    own,
    problems,
    unsaid,
    with_own,
)

HELLO = {"role": "user", "content": "hello"}
RULES = {"role": "system", "content": "Be kind."}
PREPEND, APPEND, REPLACE = System(prepend="First."), System(append="Last."), System(replace="Only.")
BOTH = System(prepend="First.", append="Last.")


def told(dialect: str, body: dict[str, Any], system: System) -> Any:
    return json.loads(in_body(dialect, json.dumps(body).encode(), Variant(system=system)))


def tuned(dialect: str, body: dict[str, Any], **parameters: Any) -> Any:
    return json.loads(in_body(dialect, json.dumps(body).encode(), Variant(parameters=parameters)))


# ---- system prompts, in the body ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "system", "expected"),
    [
        ([RULES, HELLO], PREPEND, ["First.\n\nBe kind."]),
        ([RULES, HELLO], APPEND, ["Be kind.\n\nLast."]),
        ([RULES, HELLO], BOTH, ["First.\n\nBe kind.\n\nLast."]),
        ([RULES, HELLO], REPLACE, ["Only."]),
        ([RULES, RULES, HELLO], REPLACE, ["Only."]),
        ([RULES, RULES, HELLO], BOTH, ["First.\n\nBe kind.", "Be kind.\n\nLast."]),
        ([HELLO], PREPEND, ["First."]),
        ([HELLO], REPLACE, ["Only."]),
        ([HELLO], BOTH, ["First.\n\nLast."]),
        ([RULES, HELLO], System(replace=""), []),
        ([], APPEND, ["Last."]),
    ],
)
def test_chat_has_its_prompt_in_the_first_messages(messages: list[Any], system: System, expected: list[str]):
    said = told("openai_chat", {"messages": messages}, system)["messages"]
    assert expected == [m["content"] for m in said if m["role"] == "system"]
    assert [m for m in messages if m["role"] != "system"] == [m for m in said if m["role"] != "system"]


def test_chat_keeps_the_role_that_was_used_for_the_prompt():
    messages = [{"role": "developer", "content": "Be kind."}, HELLO]
    assert "developer" == told("openai_chat", {"messages": messages}, REPLACE)["messages"][0]["role"]


def test_chat_takes_a_prompt_of_parts():
    messages = [{"role": "system", "content": [{"type": "text", "text": "Be kind."}]}, HELLO]
    content = told("openai_chat", {"messages": messages}, BOTH)["messages"][0]["content"]
    assert ["First.", "Be kind.", "Last."] == [part["text"] for part in content]


def test_a_system_message_in_the_middle_is_part_of_the_conversation():
    messages = [RULES, HELLO, {"role": "system", "content": "Now be brief."}]
    assert messages[1:] == told("openai_chat", {"messages": messages}, REPLACE)["messages"][1:]


def test_other_messages_keep_their_bytes():
    body = b'{"messages":[{"role":"user",  "content":"\\u00e9", "n": 1.50}],"x": 2.0}'
    now = in_body("openai_chat", body, Variant(system=PREPEND))
    assert b'{"role":"user",  "content":"\\u00e9", "n": 1.50}' in now
    assert b'"x":2.0' in now


@pytest.mark.parametrize(
    ("said", "system", "expected"),
    [
        (None, PREPEND, "First."),
        ("Be kind.", BOTH, "First.\n\nBe kind.\n\nLast."),
        ("Be kind.", REPLACE, "Only."),
        ("Be kind.", System(replace=""), None),
    ],
)
def test_responses_and_anthropic_have_a_field_for_it(said: str | None, system: System, expected: str | None):
    for dialect, name in (("openai_responses", "instructions"), ("anthropic", "system")):
        body = {"a": 1} if said is None else {"a": 1, name: said}
        assert expected == told(dialect, body, system).get(name)


def test_anthropics_blocks_keep_their_cache_marks():
    block = {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}
    first, last = ({"type": "text", "text": text} for text in ("First.", "Last."))
    assert [first, block, last] == told("anthropic", {"system": [block]}, BOTH)["system"]


@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
@pytest.mark.parametrize("parts", [[{"text": "Be kind."}], {"text": "Be kind."}])
def test_gemini_has_a_turn_for_it(name: str, parts: Any):
    said = told("gemini", {name: {"role": "system", "parts": parts}}, BOTH)
    texts = [{"text": text} for text in ("First.", "Be kind.", "Last.")]
    assert {name: {"role": "system", "parts": texts}} == said


def test_gemini_without_a_prompt_gets_one_or_stays_without():
    assert {"systemInstruction": {"parts": [{"text": "Only."}]}} == told("gemini", {}, REPLACE)
    assert {} == told("gemini", {"systemInstruction": {"parts": [{"text": "x"}]}}, System(replace=""))


# ---- parameters, in the body ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "body", "parameters", "expected"),
    [
        ("openai_chat", {"temperature": 1}, {"temperature": 0.2}, {"temperature": 0.2}),
        ("openai_chat", {"temperature": 1}, {"temperature": None}, {}),
        ("openai_chat", {"max_tokens": 9}, {"max_output": 5}, {"max_tokens": 5}),
        ("openai_chat", {}, {"max_output": 5}, {"max_completion_tokens": 5}),
        ("openai_chat", {}, {"effort": "low"}, {"reasoning_effort": "low"}),
        ("openai_chat", {}, {"parallel": False}, {"parallel_tool_calls": False}),
        ("openai_chat", {}, {"service_tier": "flex"}, {"service_tier": "flex"}),
        ("openai_responses", {}, {"effort": "low"}, {"reasoning": {"effort": "low"}}),
        ("openai_responses", {}, {"max_output": 5}, {"max_output_tokens": 5}),
        ("anthropic", {"max_tokens": 9}, {"max_output": 5}, {"max_tokens": 5}),
        ("anthropic", {}, {"stop": ["x"]}, {"stop_sequences": ["x"]}),
        ("anthropic", {}, {"seed": 5}, {}),
        ("gemini", {"generation_config": {"top_p": 1}}, {"top_p": 2}, {"generation_config": {"top_p": 2}}),
        ("gemini", {}, {"max_output": 5}, {"generationConfig": {"maxOutputTokens": 5}}),
    ],
)  # fmt: skip
def test_parameters_are_said_in_each_dialects_words(dialect: str, body: Any, parameters: Any, expected: Any):
    assert expected == tuned(dialect, body, **parameters)


def test_what_a_dialect_cannot_say_is_known_beforehand():
    variant = Variant(parameters={"seed": 1, "temperature": 1, "service_tier": "x"})
    assert ["seed"] == unsaid(variant, "anthropic")
    assert [] == unsaid(variant, "openai_chat")


def test_no_variant_keeps_every_byte():
    body = b'{ "messages" : [ ] , "x" : 1.0 }'
    assert all(body == in_body(dialect, body, Variant()) for dialect in PLACES)


# ---- in a conversation ------------------------------------------------------------------------------


def spoken(conversation: Conversation) -> list[str]:
    parts = [part for turn in conversation.turns if turn.role is Role.SYSTEM for part in turn.parts]
    return [part.text for part in parts if isinstance(part, TextPart)]


def chat(*messages: Any, **fields: Any) -> Conversation:
    return OPENAI_CHAT.read("", json.dumps({"model": "m", "messages": messages, **fields}).encode())


@pytest.mark.parametrize("system", [PREPEND, APPEND, REPLACE, BOTH, System(), System(replace="")])
@pytest.mark.parametrize("messages", [[RULES, HELLO], [HELLO], [RULES, RULES, HELLO]])
def test_a_conversation_hears_the_same_prompt_as_a_body(system: System, messages: list[Any]):
    variant = Variant(system=system)
    translated = spoken(in_conversation(chat(*messages), variant))
    body = in_body("openai_chat", json.dumps({"model": "m", "messages": messages}).encode(), variant)
    direct = spoken(OPENAI_CHAT.read("", body))
    assert "\n\n".join(translated) == "\n\n".join(direct)


def test_a_conversation_takes_the_same_parameters():
    asked = chat(HELLO, temperature=1, stop=["a"], reasoning_effort="high", seed=4)
    now = in_conversation(
        asked,
        Variant(
            parameters={
                "temperature": 0.5,
                "stop": None,
                "effort": "low",
                "max_output": 7,
                "parallel": False,
                "service_tier": "x",
            }
        ),
    )
    sampling = now.sampling
    assert (0.5, (), 7, 4) == (sampling.temperature, sampling.stop, sampling.max_output, sampling.seed)
    assert Effort.LOW is now.thinking.effort
    assert now.parallel is False
    assert asked.rest == now.rest
    assert in_conversation(asked, Variant(parameters={"effort": None})).thinking.effort is None


@given(st.sampled_from([1.0, 0.5]), st.integers(1, 9000), st.sampled_from(["low", "medium", "high"]))
def test_both_ways_ask_for_the_same(temperature: float, most: int, effort: str):
    variant = Variant(parameters={"temperature": temperature, "max_output": most, "effort": effort})
    body = json.dumps({"model": "m", "max_tokens": 10, "messages": [HELLO]}).encode()
    direct = ANTHROPIC.read("", in_body("anthropic", body, variant))
    asked = in_conversation(ANTHROPIC.read("", body), variant)
    assert (asked.sampling, asked.thinking.effort) == (direct.sampling, direct.thinking.effort)


def test_the_targets_own_fields_come_last():
    variant = Variant(parameters={"temperature": 1, "service_tier": "flex", "store": None})
    assert {"service_tier": "flex", "store": None} == own(variant)
    assert b'{"a":1,"service_tier":"flex"}' == with_own("openai_chat", b'{"a":1,"store":true}', variant)
    assert b"{ }" == with_own("openai_chat", b"{ }", Variant())


# ---- mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "part"),
    [
        (Variant(system=System(replace="a", append="b")), "one or the other"),
        (Variant(parameters={"messages": []}), "is no parameter"),
        (Variant(parameters={"temperature": "hot"}), "it wants a number"),
        (Variant(parameters={"temperature": True}), "it wants a number"),
        (Variant(parameters={"parallel": 1}), "it wants true or false"),
        (Variant(parameters={"stop": "x"}), "it wants a list of texts"),
        (Variant(parameters={"effort": "enormous"}), "there are none, minimal"),
    ],
)
def test_a_wrong_variant_is_told_to_people(variant: Variant, part: str):
    said = problems(variant)
    assert 1 == len(said)
    assert part in said[0]


def test_a_right_variant_has_no_problems():
    parameters = {"temperature": 1, "stop": ["x"], "effort": "low", "seed": None, "anything": {"else": 1}}
    assert [] == problems(Variant(system=BOTH, parameters=parameters))


def test_every_name_has_a_kind_and_a_place_somewhere():
    assert NAMES == set(KINDS)
    assert all(set(places) <= NAMES for places in PLACES.values())
