"""The hard ones: what makes translations fail in the wild, each by itself."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import msgspec
import pytest

from sidecar.dialects import DIALECTS as DIALECT
from sidecar.hub import TONGUES, Facts, Written
from sidecar.hub.conversation import Unrepresentable
from sidecar.model import (
    Answering,
    Delta,
    Fault,
    Finish,
    FinishReason,
    Reasoning,
    Text,
    ToolCall,
    Trouble,
    Usage,
)
from tests.dialects.samples import data, named
from tests.hub.answers import ASKED, SSE, ask, gist, read_stream, say
from tests.hub.cases import ANTHROPIC, CHAT, DIALECTS, GEMINI, MODELS, RESPONSES, cases, path_of

PAIRS = [*permutations(DIALECTS, 2)]


def events(stream: bytes) -> list[dict[str, Any]]:
    """What the data of each event says."""
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: {")]
    return [msgspec.json.decode(line) for line in lines]


def crossed(source: str, target: str, body: Any, facts: Facts = Facts(), model: str = "") -> Written:  # noqa: B008  # frozen
    conversation = TONGUES[source].read(path_of(source), msgspec.json.encode(body))
    model = model or MODELS[target]
    return TONGUES[target].write(msgspec.structs.replace(conversation, model=model), facts)


def body_of(written: Written) -> Any:
    return msgspec.json.decode(written.body)


def test_fragments_of_two_calls_interleave_and_anthropic_gets_one_block_after_the_other() -> None:
    stream = data(
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"tide","arguments":"{"}},'
        '{"index":1,"id":"b","function":{"name":"wind","arguments":"{"}}]}}]}',
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"\\"x\\":1}"}},'
        '{"index":0,"function":{"arguments":"\\"y\\":2}"}}]}}]}',
        '{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}',
        "[DONE]",
    )
    said, _ = say(ANTHROPIC, read_stream(CHAT, stream))
    blocks = [(e["type"], e["index"]) for e in events(said) if e["type"].startswith("content_block")]

    indexes = [index for _, index in blocks]
    assert sorted(indexes) == indexes
    assert [("content_block_start", 0), ("content_block_start", 1)] == [b for b in blocks if "start" in b[0]]
    assert [(0, "tide", {"y": 2}), (0, "wind", {"x": 1})] == gist(read_stream(ANTHROPIC, said))["calls"]


def test_a_call_is_said_as_soon_as_it_is_whole_and_something_else_begins() -> None:
    for client in (ANTHROPIC, GEMINI):
        voice = TONGUES[client].voice(ASKED, ident="0" * 32, created=1)
        voice.say((ToolCall(0, "a", "tide", '{"port":1}'),))
        said = voice.say((Text("And now the wind."),))
        assert b"And now the wind." in said


@pytest.mark.parametrize("client", [CHAT, RESPONSES, ANTHROPIC])
def test_the_text_of_geminis_last_chunk_arrives(client: str) -> None:
    stream = data(
        '{"candidates":[{"content":{"parts":[{"text":"Moi"}]},"finishReason":"STOP"}]}',
        '{"candidates":[{"content":{"parts":[{"text":"n."}]},"finishReason":"STOP"}],'
        '"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}',
    )
    said, _ = say(client, read_stream(GEMINI, stream))
    told = gist(read_stream(client, said))

    assert ({0: "Moin."}, {0: "stop"}, (3, 2, 0, 0)) == (told["texts"], told["finishes"], told["usage"])


def test_cumulative_usage_is_never_added_up() -> None:
    script: list[Delta] = [Answering("m"), Usage(9, 1), Text("a"), Usage(9, 5), Text("b"), Usage(9, 12)]
    for client in DIALECTS:
        said, _ = say(client, [*script, Finish(FinishReason.STOP)])
        assert (9, 12, 0, 0) == gist(read_stream(client, said))["usage"]


@pytest.mark.parametrize(("target", "client"), PAIRS)
def test_an_error_in_the_middle_of_a_stream_is_one_for_the_client_too(target: str, client: str) -> None:
    error = DIALECT[target].error_event(Fault.OVERLOADED, "busy")
    begun, _ = say(target, [Answering("m"), Text("half"), Finish(FinishReason.STOP)])
    assert error is not None
    reader = DIALECT[target].reader(ask(), SSE)
    at = begun.index(b"half")
    heard = [*reader.feed(begun[: begun.index(b"\n\n", at) + 2]).deltas, *reader.feed(error).deltas]

    assert any(isinstance(delta, Trouble) for delta in heard)
    voice = TONGUES[client].voice(ASKED, ident="0" * 32, created=1)
    said = voice.say(tuple(heard))
    ours = DIALECT[client].error_event(Fault.OVERLOADED, "busy")
    assert ours is not None
    told = DIALECT[client].reader(ask(), SSE)
    again = [*told.feed(said).deltas, *told.feed(ours).deltas]
    assert {0: "half"} == gist(again)["texts"]
    assert any(isinstance(delta, Trouble) for delta in again)
    assert not any(isinstance(delta, Finish) for delta in again)


@pytest.mark.parametrize("target", [RESPONSES, ANTHROPIC])
def test_audio_is_refused_by_name_where_it_cannot_be_heard(target: str) -> None:
    part = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, part]}]}

    with pytest.raises(Unrepresentable) as refusal:
        crossed(CHAT, target, body)
    assert "messages[0].content[1]" == refusal.value.field


def test_a_document_by_address_is_refused_where_it_has_to_come_as_bytes() -> None:
    source = {"type": "url", "url": "https://example.org/log.pdf"}
    body = {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "document", "source": source}]}],
    }

    with pytest.raises(Unrepresentable, match=r"messages\[0\].content\[0\]"):
        crossed(ANTHROPIC, CHAT, body)
    content = body_of(crossed(ANTHROPIC, RESPONSES, body))["input"][0]["content"]
    assert [{"type": "input_file", "file_url": "https://example.org/log.pdf"}] == content


def test_ids_without_calls_of_their_own_are_made_and_answered_in_order() -> None:
    def call(port: str) -> Any:
        return {"functionCall": {"name": "tide", "args": {"port": port}}}

    def result(text: str) -> Any:
        return {"functionResponse": {"name": "tide", "response": {"output": text}}}

    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "?"}]},
            {"role": "model", "parts": [call("Emden"), call("Husum")]},
            {"role": "user", "parts": [result("06:12"), result("07:40")]},
            {"role": "model", "parts": [call("Sylt")]},
            {"role": "user", "parts": [result("08:00")]},
        ]
    }
    messages = body_of(crossed(GEMINI, CHAT, body))["messages"]

    calls = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    assert 3 == len(set(calls))
    assert calls == [message["tool_call_id"] for message in messages if message["role"] == "tool"]


def test_a_foreign_id_is_rewritten_for_the_client_as_for_the_target() -> None:
    """Or the client's next request would bring an id that its own provider refuses."""
    for client in DIALECTS:
        script: list[Delta] = [ToolCall(0, "functions.tide:0", "tide", "{}"), Finish(FinishReason.TOOL)]
        (ident,) = gist(read_stream(client, say(client, script)[0]))["ids"]
        assert ident.replace("_", "").isalnum()


def test_a_forced_tool_wins_over_a_schema_where_both_cannot_be() -> None:
    for target in (ANTHROPIC, GEMINI):
        written = crossed(CHAT, target, cases(CHAT)["schema_and_forced_tool"])
        assert "" == written.emulated
        assert "response_format" in {loss.field for loss in written.losses}
    written = crossed(ANTHROPIC, CHAT, cases(ANTHROPIC)["schema_and_forced_tool"])
    assert {"response_format", "tool_choice"} <= body_of(written).keys()


def test_an_empty_turn_of_the_assistant_is_no_error_anywhere() -> None:
    for source, target in PAIRS:
        body = body_of(crossed(source, target, cases(source)["empty_assistant"]))
        turns = body.get("messages") or body.get("contents") or body["input"]
        if target in {ANTHROPIC, GEMINI}:  # turns alternate and none is empty
            assert ["user"] == [turn["role"] for turn in turns]
        else:
            assert {"role": "assistant", "content": ""} == turns[1]


def test_a_thinking_block_comes_before_the_calls_and_its_signature_does_not_travel() -> None:
    stream = named(
        'message_start ,"message":{"model":"m","content":[],"usage":{"input_tokens":5,"output_tokens":1}}',
        'content_block_start ,"index":0,"content_block":{"type":"thinking","thinking":"","signature":""}',
        'content_block_delta ,"index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}',
        'content_block_delta ,"index":0,"delta":{"type":"signature_delta","signature":"c2ln"}',
        'content_block_stop ,"index":0',
        'content_block_start ,"index":1,"content_block":{"type":"tool_use","id":"t","name":"now","input":{}}',
        'content_block_stop ,"index":1',
        'message_delta ,"delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":4}',
        "message_stop ",
    )
    for client in (CHAT, RESPONSES, GEMINI):
        said, _ = say(client, read_stream(ANTHROPIC, stream))
        told = gist(read_stream(client, said))
        assert ({0: "Hm."}, [(0, "now", {})]) == (told["thoughts"], told["calls"])
        assert b"c2ln" not in said


@pytest.mark.parametrize("client", [RESPONSES, ANTHROPIC, GEMINI])
def test_thoughts_are_kept_from_who_did_not_ask_to_see_any(client: str) -> None:
    """They would come back in the next request, where their provider misses its own seal on them."""
    asked = TONGUES[client].read(path_of(client), msgspec.json.encode(cases(client)["text"]))
    said, losses = say(client, [Reasoning("Hm."), Text("Moin."), Finish(FinishReason.STOP)], asked)

    assert ("reasoning",) == losses
    assert b"Hm." not in said


def test_a_tool_loop_that_others_thought_in_goes_on_without_thinking() -> None:
    written = crossed(CHAT, ANTHROPIC, cases(CHAT)["sealed_thoughts"], Facts(max_output=20000))

    assert "thinking" not in body_of(written)
    assert "reasoning_effort" in {loss.field for loss in written.losses}


def test_later_system_messages_go_to_the_front_or_stay_where_they_can() -> None:
    body = cases(CHAT)["late_system"]
    hoisted = body_of(crossed(CHAT, ANTHROPIC, body))
    placed = body_of(crossed(CHAT, ANTHROPIC, body, Facts(system_anywhere=True)))

    assert "Be brief.\n\nNow answer in verse." == hoisted["system"]
    assert ["user"] == [message["role"] for message in hoisted["messages"]]
    assert "Be brief." == placed["system"]
    assert ["user", "system", "user"] == [message["role"] for message in placed["messages"]]


def test_gemini_three_is_told_that_a_call_has_no_signature_once_in_a_turn() -> None:
    written = crossed(CHAT, GEMINI, cases(CHAT)["parallel_tools"], model="gemini-3-pro")
    parts = [part for content in body_of(written)["contents"] for part in content["parts"]]
    calls = [part for part in parts if "functionCall" in part]

    assert ["skip_thought_signature_validator", None] == [call.get("thoughtSignature") for call in calls]


def test_results_stand_in_one_turn_and_in_the_order_of_the_calls() -> None:
    body = cases(CHAT)["foreign_ids"]
    for target, place in ((ANTHROPIC, "messages"), (GEMINI, "contents")):
        turns = body_of(crossed(CHAT, target, body))[place]
        assert ["user", "model" if target == GEMINI else "assistant", "user"] == [t["role"] for t in turns]
    outputs = [part["functionResponse"]["response"]["output"] for part in turns[-1]["parts"]]
    assert ["06:12", "07:40"] == outputs


@pytest.mark.parametrize("stream", [True, False])
def test_usage_goes_to_a_chat_client_that_asked_for_it_or_gets_the_answer_whole(stream: bool) -> None:
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    asked = TONGUES[CHAT].read(path_of(CHAT), msgspec.json.encode(body))
    said, _ = say(CHAT, [Text("a"), Finish(FinishReason.STOP), Usage(3, 4)], asked)

    assert stream is (b"prompt_tokens" not in said)


def test_fields_of_openais_own_stay_with_openai_in_its_other_dialect() -> None:
    body = cases(CHAT)["sampling"]
    same = body_of(crossed(CHAT, RESPONSES, body, Facts(same_provider=True)))
    other = crossed(CHAT, RESPONSES, body)

    assert {"ticket": "T-1"} == same["metadata"]
    assert "metadata" in {loss.field for loss in other.losses}


def test_what_says_nothing_is_no_loss() -> None:
    """SDKs write every field they know into a history."""
    call = {"id": "c", "type": "function", "function": {"name": "now", "arguments": ""}}
    message = {"role": "assistant", "content": None, "refusal": None, "annotations": [], "audio": None,
               "function_call": None, "tool_calls": [call]}  # fmt: skip
    user = {"role": "user", "content": "hi"}
    tool = {"role": "tool", "tool_call_id": "c", "content": "noon"}
    body = {"model": "m", "messages": [user, message, tool], "n": None, "store": False, "logprobs": False}

    for target in (RESPONSES, ANTHROPIC, GEMINI):
        assert () == crossed(CHAT, target, body).losses


PIXEL = "iVBORw0KGgo="


def _screens() -> dict[str, Any]:
    """Two calls at once, each answered by a picture, as an agent that looks at screens has them."""
    calls = [{"type": "tool_use", "id": f"toolu_{n}", "name": f"look_{n}", "input": {}} for n in (1, 2)]
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    results = [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [picture]},
        {
            "type": "tool_result",
            "tool_use_id": "toolu_2",
            "content": [{"type": "text", "text": "dusk"}, picture],
        },
    ]
    turns: list[Any] = [
        {"role": "user", "content": "Look at both."},
        {"role": "assistant", "content": calls},
        {"role": "user", "content": [*results, {"type": "text", "text": "Which is darker?"}]},
    ]
    return {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": turns}


@pytest.mark.parametrize("asks_on", [True, False])
def test_openai_chat_sees_pictures_of_results_after_all_results_are_told(*, asks_on: bool) -> None:
    said = _screens()
    if not asks_on:
        said["messages"][2]["content"].pop()
    written = crossed(ANTHROPIC, CHAT, said)
    _, _, *rest = body_of(written)["messages"]

    assert [message["role"] for message in rest] == ["tool", "tool", "user", "user"][: 4 if asks_on else 3]
    assert [message["tool_call_id"] for message in rest[:2]] == ["toolu_1", "toolu_2"]
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    assert rest[2]["content"] == [
        {"type": "text", "text": "From look_1:"}, image, {"type": "text", "text": "From look_2:"}, image,
    ]  # fmt: skip
    assert [(loss.field, loss.how) for loss in written.losses] == [
        ("messages[2].content[0].content[0]", "merged"),
        ("messages[2].content[1].content[1]", "merged"),
    ]


def test_gemini_sees_pictures_of_results_behind_the_results() -> None:
    written = crossed(ANTHROPIC, GEMINI, _screens())
    parts = body_of(written)["contents"][2]["parts"]

    assert [next(iter(part)) for part in parts] == [
        "functionResponse", "functionResponse", "text", "inlineData", "text", "inlineData", "text",
    ]  # fmt: skip
    assert [part["text"] for part in parts if "text" in part] == [
        "From look_1:", "From look_2:", "Which is darker?",
    ]  # fmt: skip


def test_pictures_of_results_that_are_items_of_their_own_do_not_come_between_them() -> None:
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
    calls = [{"type": "function_call", "call_id": f"c{n}", "name": "look", "arguments": "{}"} for n in (1, 2)]
    results = [{"type": "function_call_output", "call_id": f"c{n}", "output": [picture]} for n in (1, 2)]
    body = {"model": "gpt-5", "input": [{"role": "user", "content": "Look."}, *calls, *results]}
    roles = [message["role"] for message in body_of(crossed(RESPONSES, CHAT, body))["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "user"]
