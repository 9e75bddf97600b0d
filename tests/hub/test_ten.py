"""The ten hard ones, each in every direction that can have it; `test_hard` has them one by one, closer."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import msgspec
import pytest

from sidecar.dialects import DIALECTS as DIALECT
from sidecar.hub import TONGUES
from sidecar.hub.conversation import ToolResultPart, ToolUsePart, Unrepresentable
from sidecar.model import Fault, Finish, ToolCall, Trouble
from tests.hub import cases
from tests.hub.answers import ASKED, SSE, ask, gist, read_stream, say
from tests.hub.cases import ANTHROPIC, CHAT, DIALECTS, GEMINI, RESPONSES, path_of
from tests.hub.golden_answers import BOTH, VENDORS
from tests.hub.test_hard import body_of, crossed
from tests.hub.vendors import Answer, Call, Thought, Words, events, stream

PAIRS = [*permutations(DIALECTS, 2)]
PLACE = {CHAT: "messages", RESPONSES: "input", ANTHROPIC: "messages", GEMINI: "contents"}


def of(*sources: str) -> list[tuple[str, str]]:
    return [pair for pair in PAIRS if pair[0] in sources]


@pytest.mark.parametrize(("target", "client"), of(CHAT, RESPONSES))
def test_1_fragments_of_two_calls_that_interleave_become_two_whole_calls(target: str, client: str) -> None:
    """Only OpenAI's dialects interleave; with Anthropic one block ends before the next."""
    heard = read_stream(target, stream(target, BOTH))
    pieces = [delta.index for delta in heard if isinstance(delta, ToolCall) and delta.arguments]
    assert pieces == [pieces[0], pieces[1]] * 2
    told = gist(read_stream(client, say(client, heard)[0]))

    assert [(0, "tide", {"port": "Emden"}), (0, "wind", {"port": "Husum"})] == told["calls"]
    assert ({0: "Let me look."}, {0: "tool"}) == (told["texts"], told["finishes"])


@pytest.mark.parametrize("client", [CHAT, RESPONSES, ANTHROPIC])
def test_2_the_text_of_geminis_last_chunk_arrives_and_so_does_its_call(client: str) -> None:
    for last in (Words(("the last words",)), Call("", "tide", ('{"port":"Emden"}',))):
        said = stream(GEMINI, Answer((Thought(("Hm.",)), Words(("Moin",)), last)))
        assert b"finishReason" in said.rstrip().rpartition(b"\n")[2]
        told = gist(read_stream(client, say(client, read_stream(GEMINI, said))[0]))
        expected = {0: "Mointhe last words"} if isinstance(last, Words) else {0: "Moin"}
        assert (expected, 1 - len(told["calls"])) == (told["texts"], int(isinstance(last, Words)))


@pytest.mark.parametrize(("target", "client"), PAIRS)
def test_3_cumulative_usage_is_counted_once(target: str, client: str) -> None:
    """Gemini counts in every chunk, Anthropic at both ends, vLLM in every chunk of a chat completion."""
    answer = Answer((Thought(("Hm.",)), Words(("one", "two", "three"))), thought=10)
    said = events(target, answer)
    if target == CHAT:
        last = next(data["usage"] for _, data in said if isinstance(data, dict) and data["usage"])
        so_far = {**last, "completion_tokens": 12}
        said = [(n, {**d, "usage": d["usage"] or so_far} if isinstance(d, dict) else d) for n, d in said]
    raw = b"".join(
        (f"event: {name}\n".encode() if name else b"")
        + b"data: " + (data.encode() if isinstance(data, str) else msgspec.json.encode(data)) + b"\n\n"
        for name, data in said
    )  # fmt: skip

    assert (120, 40, 20, 10) == gist(read_stream(client, say(client, read_stream(target, raw))[0]))["usage"]


@pytest.mark.parametrize(("target", "client"), PAIRS)
def test_4_an_error_in_the_middle_ends_the_clients_stream_in_an_error(target: str, client: str) -> None:
    whole = stream(target, BOTH)
    at = whole.index(b"\n\n", whole.index(b"look.")) + 2
    reader = DIALECT[target].reader(ask(), SSE)
    heard = reader.feed(whole[:at] + VENDORS[target].error_event("overloaded_error")).deltas
    assert any(isinstance(delta, Trouble) for delta in heard)

    begun = TONGUES[client].voice(ASKED, ident="0" * 32, created=1).say(heard)
    again = DIALECT[client].reader(ask(), SSE)
    ours = DIALECT[client].error_event(Fault.OVERLOADED, "busy") or b""
    deltas = [*again.feed(begun).deltas, *again.feed(ours).deltas]

    assert {0: "Let me look."} == gist(deltas)["texts"]
    assert any(isinstance(delta, Trouble) for delta in deltas)
    assert not any(isinstance(delta, Finish) and delta.reason == "stop" for delta in deltas)


PDF_URL = "https://example.org/a.pdf"
VOICE = {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}
UNHEARD: dict[str, tuple[str, tuple[str, ...], Any]] = {
    "audio of chat": (CHAT, (RESPONSES, ANTHROPIC), VOICE),
    "audio of Gemini": (
        GEMINI,
        (RESPONSES, ANTHROPIC),
        {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
    ),
    "video of Gemini": (
        GEMINI,
        (CHAT, RESPONSES, ANTHROPIC),
        {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}},
    ),
    "a PDF's address, of responses": (
        RESPONSES,
        (CHAT,),
        {"type": "input_file", "file_url": PDF_URL},
    ),
    "a PDF's address, of Anthropic": (
        ANTHROPIC,
        (CHAT,),
        {"type": "document", "source": {"type": "url", "url": PDF_URL}},
    ),
    "a PDF's address, of Gemini": (
        GEMINI,
        (CHAT,),
        {"fileData": {"mimeType": "application/pdf", "fileUri": PDF_URL}},
    ),
    "an uploaded PDF, of chat": (
        CHAT,
        (RESPONSES, ANTHROPIC, GEMINI),
        {"type": "file", "file": {"file_id": "file-1"}},
    ),
}


@pytest.mark.parametrize("name", UNHEARD)
def test_5_what_the_target_has_no_ears_for_is_refused_by_its_place(name: str) -> None:
    source, targets, part = UNHEARD[name]
    body = cases._asked(source, [cases._user(source, "What is it?", part)])
    for target in targets:
        with pytest.raises(Unrepresentable) as refusal:
            crossed(source, target, body)
        assert refusal.value.field.startswith(f"{PLACE[source]}[0]")
        assert refusal.value.field.endswith("[1]")


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_6_ids_that_are_too_long_are_the_same_short_ones_on_both_sides(source: str, target: str) -> None:
    written = crossed(source, target, cases.cases(source)["foreign_ids"])
    again = TONGUES[target].read(path_of(target), written.body)
    parts = [part for turn in again.turns for part in turn.parts]
    called = [part.id for part in parts if isinstance(part, ToolUsePart)]
    answered = [part.id for part in parts if isinstance(part, ToolResultPart)]

    assert (sorted(called), 2) == (sorted(answered), len(called))
    assert all(len(ident) <= 40 for ident in called)
    assert b"x" * 60 not in written.body


@pytest.mark.parametrize(("target", "client"), PAIRS)
def test_6_an_answers_id_that_is_too_long_is_short_for_the_client(target: str, client: str) -> None:
    answer = Answer((Call("functions.tide:0/" + "x" * 60, "tide", ("{}",)),))
    (ident,) = gist(read_stream(client, say(client, read_stream(target, stream(target, answer)))[0]))["ids"]

    assert len(ident) <= 40
    assert not ident or ident.replace("_", "").isalnum()  # Gemini's need none


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_7_a_forced_tool_is_forced_and_the_schema_goes_along_or_is_told(source: str, target: str) -> None:
    written = crossed(source, target, cases.cases(source)["schema_and_forced_tool"])
    body = body_of(written)
    again = TONGUES[target].read(path_of(target), written.body)
    lost = [loss.field for loss in written.losses if loss.how == "dropped"]

    assert ("named", "tide", "") == (again.choice, again.named, written.emulated)
    assert ["tide", "wind"] == [tool.name for tool in again.tools]
    if target in {CHAT, RESPONSES}:
        assert "schema" == again.format.shape
    else:
        assert "text" == again.format.shape
        assert any("ormat" in field or "response" in field for field in lost), body


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_8_an_empty_turn_of_the_assistant_is_left_out_or_left_empty(source: str, target: str) -> None:
    turns = body_of(crossed(source, target, cases.cases(source)["empty_assistant"]))[PLACE[target]]

    if target in {ANTHROPIC, GEMINI}:
        assert ["user"] == [turn["role"] for turn in turns]
    else:
        assert ["user", "assistant", "user"] == [turn["role"] for turn in turns]
        assert "" == turns[1]["content"]


@pytest.mark.parametrize(("target", "client"), of(ANTHROPIC, RESPONSES, GEMINI))
def test_9_a_thought_comes_before_the_call_and_its_seal_does_not_travel(target: str, client: str) -> None:
    said = stream(target, Answer((Thought(("Hm.",)), Call("t", "now", ("{}",))), thought=3))
    said = said.replace(b'"thought":true', b'"thought":true,"thoughtSignature":"c2ln"')
    said = said.replace(b'"type":"reasoning",', b'"type":"reasoning","encrypted_content":"c2ln",')
    assert b"c2ln" in said
    out, losses = say(client, read_stream(target, said))
    told = gist(read_stream(client, out))

    assert ({0: "Hm."}, [(0, "now", {})], ()) == (told["thoughts"], told["calls"], losses)
    assert out.index(b"Hm.") < out.index(b'"now"')
    assert b"c2ln" not in out


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_9_thoughts_of_a_history_stay_with_who_had_them(source: str, target: str) -> None:
    written = crossed(source, target, cases.cases(source)["sealed_thoughts"])

    for seal in (b"c2ln", b"c2VhbA", b"bG9jaw==", b"I need the tide."):
        assert seal not in written.body
    assert any(loss.how == "dropped" and loss.field.startswith(PLACE[source]) for loss in written.losses)


@pytest.mark.parametrize(("source", "target"), of(CHAT, RESPONSES, ANTHROPIC))
def test_10_a_later_instruction_stays_in_its_place_or_goes_to_the_front_and_is_told(
    source: str, target: str
) -> None:
    """Gemini's client has no such thing."""
    written = crossed(source, target, cases.cases(source)["late_system"])
    said = written.body.decode()
    hoisted = [loss.how for loss in written.losses if loss.field.startswith(f"{PLACE[source]}[")]

    hello, verse, go = (said.index(each) for each in ("Hello", "in verse.", "Go on."))
    if target in {CHAT, RESPONSES}:
        assert hello < verse < go
        assert [] == hoisted
    else:
        place = body_of(written)["system" if target == ANTHROPIC else "systemInstruction"]
        assert "in verse." in str(place)
        assert "Be brief." in str(place)
        assert ["hoisted"] == hoisted
