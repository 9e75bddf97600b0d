"""What is legal in one dialect and would be an error in another: found by generated conversations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sidecar.hub import TONGUES, Facts
from sidecar.hub.audit import silent
from sidecar.hub.conversation import Unrepresentable
from sidecar.model import Finish, FinishReason, ToolCall
from tests.hub.answers import say
from tests.hub.cases import ANTHROPIC, CHAT, DIALECTS, GEMINI, RESPONSES
from tests.hub.demands import wrongs
from tests.hub.test_hard import body_of, crossed

HELLO = {"role": "user", "content": "hello"}


def called(ident: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": ident, "name": "tide", "arguments": "{}"}


def answered(ident: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": ident, "output": f"of {ident}"}


LATE = {
    "model": "m",
    "input": [
        HELLO,
        called("a"),
        called("b"),
        answered("b"),
        {"role": "user", "content": "hurry"},
        called("c"),
        answered("a"),
        answered("c"),
    ],
}


def test_a_result_that_comes_late_in_responses_stands_behind_its_call_elsewhere() -> None:
    chat = body_of(crossed(RESPONSES, CHAT, LATE))["messages"]
    assert [message.get("tool_call_id", message["role"]) for message in chat] == [
        "user", "assistant", "a", "b", "user", "assistant", "c",
    ]  # fmt: skip
    messages = body_of(crossed(RESPONSES, ANTHROPIC, LATE))["messages"]
    kinds = [
        [block.get("tool_use_id", block["type"]) for block in message["content"]] for message in messages
    ]
    assert kinds == [["text"], ["tool_use", "tool_use"], ["a", "b", "text"], ["tool_use"], ["c"]]
    contents = body_of(crossed(RESPONSES, GEMINI, LATE))["contents"]
    assert [["functionCall" in part for part in content["parts"]] for content in contents] == [
        [False], [True, True], [False, False, False], [True], [False],
    ]  # fmt: skip


def test_an_instruction_behind_the_models_last_words_is_the_users() -> None:
    """At the front it would leave those words at the end: a wish that the model goes on with them."""
    turns = [HELLO, {"role": "assistant", "content": "Hi."}, {"role": "system", "content": "In verse."}]
    body = {"model": "m", "messages": turns}

    for target, place in ((ANTHROPIC, "messages"), (GEMINI, "contents")):
        written = crossed(CHAT, target, body)
        assert ["user", "user"] == [turn["role"] for turn in body_of(written)[place]][::2]
        assert [("messages[2]", "merged")] == [(loss.field, loss.how) for loss in written.losses]


@pytest.mark.parametrize("target", [ANTHROPIC, GEMINI])
def test_an_empty_turn_of_the_user_is_no_wish_to_go_on(target: str) -> None:
    turns = [HELLO, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": ""}]

    with pytest.raises(Unrepresentable, match=r"messages\[2\]"):
        crossed(CHAT, target, {"model": "m", "messages": turns})


def test_a_blank_instruction_is_none() -> None:
    body = {"model": "m", "messages": [{"role": "system", "content": " "}, HELLO]}

    assert "system" not in body_of(crossed(CHAT, ANTHROPIC, body))
    assert "systemInstruction" not in body_of(crossed(CHAT, GEMINI, body))


def test_what_everybody_does_is_no_loss() -> None:
    """Or a route that fails on losses would fail whoever says what is usual."""
    said: dict[str, Any] = {
        CHAT: {"messages": [HELLO], "n": 1, "presence_penalty": 0, "frequency_penalty": 0.0},
        GEMINI: {
            "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
            "generationConfig": {"candidateCount": 1, "presencePenalty": 0},
        },
    }
    for source, body in said.items():
        for target in {*DIALECTS} - {source}:
            written = crossed(source, target, body)
            assert () == written.losses
            assert [] == silent(msgspec.json.encode(body), written.body, ())


def test_the_audit_looks_into_arguments_and_schemas_and_for_words_of_their_own() -> None:
    """An "id" of the client's own is no dialect's word, and "us" is not said in "user"."""
    call = {"type": "tool_use", "id": "t", "name": "find", "input": {"id": "ship 7", "status": "lost at sea"}}
    form = {"type": "json_schema", "schema": {"title": "a ship of the line"}}
    source = msgspec.json.encode({"messages": [call], "output_config": {"format": form}, "where": "us"})
    target = msgspec.json.encode({"messages": [{"role": "user", "name": "find"}]})

    assert silent(source, target, ()) == [
        "messages[0].input.id", "messages[0].input.status", "output_config.format.schema.title", "where",
    ]  # fmt: skip


def test_who_calls_last_counts_by_what_is_said_and_not_by_thoughts_that_stay_behind() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
    turns = [HELLO, called("a"), answered("a"), thought, HELLO]
    body = {"model": "m", "input": turns, "reasoning": {"effort": "high"}, "max_output_tokens": 9000}

    assert "thinking" not in body_of(crossed(RESPONSES, ANTHROPIC, body))


@pytest.mark.parametrize("target", [RESPONSES, ANTHROPIC, GEMINI])
def test_what_stands_in_a_refusal_or_in_the_object_of_a_part_is_told_where_it_stood(target: str) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "mood": "grim"}}
    refusal = {"type": "refusal", "refusal": "No.", "mood": "grim"}
    turns = [{"role": "user", "content": [image]}, {"role": "assistant", "content": [refusal]}, HELLO]

    assert {"messages[0].content[0].image_url.mood", "messages[1].content[0].mood"} <= {
        loss.field for loss in crossed(CHAT, target, {"model": "m", "messages": turns}).losses
    }


def test_a_second_limit_is_told() -> None:
    body = {"model": "m", "messages": [HELLO], "max_tokens": 5, "max_completion_tokens": 7}

    assert ["max_tokens"] == [loss.field for loss in crossed(CHAT, ANTHROPIC, body).losses]


BARE = {
    CHAT: ("messages", {"type": "file", "file": {"file_data": "JVBERi0="}}),
    RESPONSES: ("input", {"type": "input_file", "file_data": "JVBERi0="}),
}


@pytest.mark.parametrize("source", BARE)
def test_a_files_bytes_without_their_type_are_no_address(source: str) -> None:
    place, part = BARE[source]
    body = {"model": "m", place: [{"role": "user", "content": [part]}]}
    (block,) = body_of(crossed(source, ANTHROPIC, body))["messages"][0]["content"]

    assert {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="} == block["source"]


def test_numbers_beyond_every_float_do_not_stop_the_audit() -> None:
    body = msgspec.json.encode({"seed": 10**400})

    assert [] == silent(body, body, ())
    assert ["seed"] == silent(body, b"{}", ())


@pytest.mark.parametrize("target", [ANTHROPIC, GEMINI])
def test_a_call_with_null_for_its_arguments_has_none(target: str) -> None:
    call = {**called("a"), "arguments": "null"}
    written = crossed(RESPONSES, target, {"model": "m", "input": [HELLO, call, answered("a")]})

    assert {} in [
        block.get("input", block.get("functionCall", {}).get("args"))
        for turn in body_of(written)["messages" if target == ANTHROPIC else "contents"]
        for block in turn["content" if target == ANTHROPIC else "parts"]
    ]


def test_instructions_alone_are_an_input() -> None:
    body = {"model": "m", "messages": [{"role": "system", "content": "Tell a joke."}]}

    assert [{"role": "system", "content": "Tell a joke."}] == body_of(crossed(CHAT, RESPONSES, body))["input"]


def test_an_address_is_of_a_picture_if_it_ends_as_one_does() -> None:
    part = {"fileData": {"fileUri": "https://example.org/hedgehog.jpg?size=2"}}
    body = {"contents": [{"role": "user", "parts": [part]}]}

    (content,) = body_of(crossed(GEMINI, CHAT, body))["messages"][0]["content"]
    assert {"type": "image_url", "image_url": {"url": "https://example.org/hedgehog.jpg?size=2"}} == content


def test_a_data_url_of_text_is_no_address_for_anthropic() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/svg+xml,%3Csvg"}}

    with pytest.raises(Unrepresentable, match=r"messages\[0\].content\[0\]"):
        crossed(CHAT, ANTHROPIC, {"model": "m", "messages": [{"role": "user", "content": [part]}]})


def tooled(*schemas: Any) -> list[dict[str, Any]]:
    return [{"name": f"t{n}", "input_schema": schema} for n, schema in enumerate(schemas)]


def test_an_object_names_its_properties_and_a_list_its_items_for_openai() -> None:
    """Tools behind MCP leave them out, and OpenAI refuses the whole request for one of them."""
    tags = {"type": ["array", "null"]}
    bare, nested = (
        {"type": "object"},
        {"type": "object", "properties": {"type": tags, "also": {"anyOf": [tags]}}},
    )
    body = {"model": "m", "max_tokens": 99, "messages": [HELLO], "tools": tooled(bare, nested, {})}
    whole = {"type": ["array", "null"], "items": {}}
    expected = [
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"type": whole, "also": {"anyOf": [whole]}}},
        {"type": "object", "properties": {}},
    ]

    chat = body_of(crossed(ANTHROPIC, CHAT, body))["tools"]
    assert expected == [tool["function"]["parameters"] for tool in chat]
    assert expected == [tool["parameters"] for tool in body_of(crossed(ANTHROPIC, RESPONSES, body))["tools"]]


def test_json_is_spoken_of_where_responses_looks_for_it() -> None:
    """OpenAI refuses JSON mode where only its `instructions` say the word."""
    told = {"role": "system", "content": "Answer in JSON."}
    body = {"model": "m", "messages": [told, HELLO], "response_format": {"type": "json_object"}}
    asked = body_of(crossed(CHAT, RESPONSES, body))

    assert [{**told, "role": "developer"}, HELLO] == asked["input"]
    assert "instructions" not in asked


def answer_of(result: Any) -> dict[str, Any]:
    call = {"functionCall": {"name": "count", "args": {}}}
    said = {"functionResponse": {"name": "count", "response": result}}
    turns = [("user", {"text": "how many?"}), ("model", call), ("user", said)]
    return {"contents": [{"role": role, "parts": [part]} for role, part in turns]}


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"result": 0}, "0"),
        ({"result": False}, "false"),
        ({"result": []}, "[]"),
        ({"output": None}, "null"),
        ({"result": ""}, ""),
        ({}, "{}"),
    ],
)
def test_a_function_that_gives_nothing_much_gives_that(result: Any, text: str) -> None:
    """Google's SDK wraps whatever a function returned."""
    *_, told = body_of(crossed(GEMINI, CHAT, answer_of(result)))["messages"]

    assert text == told["content"]


def test_one_object_stands_for_a_list_of_one_as_in_googles_own_examples() -> None:
    body = {
        "system_instruction": {"parts": {"text": "You are a cat."}},
        "contents": {"parts": {"text": "Hello there"}},
        "tools": {"function_declarations": {"name": "purr"}},
    }
    written = crossed(GEMINI, CHAT, body)

    assert ["You are a cat.", "Hello there"] == [turn["content"] for turn in body_of(written)["messages"]]
    assert ["purr"] == [tool["function"]["name"] for tool in body_of(written)["tools"]]
    assert () == written.losses


@pytest.mark.parametrize("target", [CHAT, RESPONSES, ANTHROPIC])
def test_a_call_of_a_tool_that_is_not_declared_any_more_has_a_name_that_fits(target: str) -> None:
    body = msgspec.json.decode(
        msgspec.json.encode(answer_of({"result": 3})).replace(b"count", b"api:ships.count")
    )
    written = crossed(GEMINI, target, body)

    assert [] == wrongs(target, body_of(written))
    assert {"contents[1].parts[0]", "contents[2].parts[0]"} == {loss.field for loss in written.losses}


def test_a_call_before_the_user_speaks_is_answered_behind_a_turn_that_stands_for_silence() -> None:
    body = {"model": "m", "input": [called("a"), answered("a"), HELLO]}
    for target in (ANTHROPIC, GEMINI):
        written = crossed(RESPONSES, target, body)

        assert [] == wrongs(target, body_of(written))
        assert [("input[0]", "emulated")] == [(loss.field, loss.how) for loss in written.losses]


def test_instructions_alone_are_asked_in_json_too() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "system", "content": "Name a ship."}],
        "response_format": {"type": "json_object"},
    }
    (message,) = body_of(crossed(CHAT, ANTHROPIC, body))["messages"]

    assert [{"type": "text", "text": "Name a ship."}] == message["content"]


def test_a_wish_for_what_is_usual_is_no_loss() -> None:
    usual = {"modalities": ["text"], "service_tier": "auto", "verbosity": "medium", "store": False}
    body = {"model": "m", "messages": [HELLO], "temperature": 0.5, "top_p": 1, **usual}
    for target in (RESPONSES, ANTHROPIC, GEMINI):
        written = crossed(CHAT, target, body)

        assert () == written.losses
        assert [] == silent(msgspec.json.encode(body), written.body, ())


def test_the_key_of_a_cache_is_the_bills_alone() -> None:
    (loss,) = crossed(CHAT, GEMINI, {"model": "m", "messages": [HELLO], "prompt_cache_key": "k"}).losses

    assert ("prompt_cache_key", "cost") == (loss.field, loss.how)


def test_a_seed_of_more_than_32_bits_is_none_for_gemini() -> None:
    written = crossed(CHAT, GEMINI, {"model": "m", "messages": [HELLO], "seed": 2**40})

    assert ["seed"] == [loss.field for loss in written.losses]
    assert "generationConfig" not in body_of(written)


def test_the_schema_of_the_beta_is_one() -> None:
    form = {"type": "json_schema", "schema": {"type": "object", "properties": {"ship": {"type": "string"}}}}
    body = {"model": "m", "max_tokens": 99, "messages": [HELLO], "output_format": form}
    written = crossed(ANTHROPIC, CHAT, body)

    assert form["schema"] == body_of(written)["response_format"]["json_schema"]["schema"]
    assert () == written.losses


@pytest.mark.parametrize("target", [ANTHROPIC, GEMINI])
def test_a_jpeg_by_its_other_name_is_one(target: str) -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}}
    written = crossed(CHAT, target, {"model": "m", "messages": [{"role": "user", "content": [part]}]})

    assert b'"image/jpeg"' in written.body


@pytest.mark.parametrize("target", [CHAT, RESPONSES, ANTHROPIC])
def test_a_picture_of_a_kind_that_the_target_does_not_take_is_refused(target: str) -> None:
    part = {"inlineData": {"mimeType": "image/heic", "data": "AAAA"}}

    with pytest.raises(Unrepresentable, match="image/heic"):
        crossed(GEMINI, target, {"contents": [{"role": "user", "parts": [part]}]})


def test_arguments_that_are_no_object_stand_in_one() -> None:
    """A model's mistake, which its tool has told it: no reason to refuse all that comes after."""
    call = {**called("a"), "arguments": '{"port": "Em'}
    body = {"model": "m", "input": [HELLO, call, answered("a")]}
    for target, place in ((ANTHROPIC, b'"input":'), (GEMINI, b'"args":')):
        written = crossed(RESPONSES, target, body)

        assert place + rb'{"arguments":"{\"port\": \"Em"}' in written.body
        assert [("input[1]", "merged")] == [(loss.field, loss.how) for loss in written.losses]


def test_half_a_character_is_no_reason_to_refuse_a_conversation() -> None:
    """Clients cut long texts where they like; the first provider takes that."""
    body = rb'{"model":"m","messages":[{"role":"user","content":"wind \ud83d and \ud83c\udf0a"}]}'
    conversation = TONGUES[CHAT].read("", body)
    written = TONGUES[ANTHROPIC].write(conversation, Facts())

    assert "wind ? and \U0001f30a" == body_of(written)["messages"][0]["content"][0]["text"]
    assert [] == silent(body, written.body, written.losses)


@pytest.mark.parametrize(
    ("address", "kind"),
    [("https://example.org/a.JPG?x=1", ""), ("https://example.org/a.jpg?x=1", "image/jpeg")],
)
def test_gemini_fetches_what_names_its_kind(address: str, kind: str) -> None:
    part = {"type": "image_url", "image_url": {"url": address}}
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
    if not kind:
        with pytest.raises(Unrepresentable, match="by address"):
            crossed(CHAT, GEMINI, body)
        return
    (content,) = body_of(crossed(CHAT, GEMINI, body))["contents"]
    assert [{"fileData": {"mimeType": kind, "fileUri": address}}] == content["parts"]
    with pytest.raises(Unrepresentable, match="by address"):
        crossed(CHAT, GEMINI, body, model="gemini-2.0-flash")


@pytest.mark.parametrize("schema", [{"properties": ["a"]}, {"required": [{"a": 1}]}, {"required": "a"}])
def test_a_schema_that_is_none_breaks_nothing(schema: Any) -> None:
    config = {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT", **schema}}
    body = {"contents": [{"parts": [{"text": "hello"}]}], "generationConfig": config}
    for target in (CHAT, RESPONSES, ANTHROPIC):
        crossed(GEMINI, target, body, Facts(schema=True))


def test_a_call_without_arguments_has_an_empty_input_for_anthropics_clients() -> None:
    """Where a model says null for them, its SDK would hear of no input at all."""
    said, _ = say(ANTHROPIC, [ToolCall(0, "t", "tide", "null"), Finish(FinishReason.TOOL)])

    assert b"input_json_delta" not in said
