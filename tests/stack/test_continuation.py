"""A stream breaks off after the client has seen some of it: plain text goes on elsewhere, all else ends.

The real stack in virtual time. What the client got is put together by its dialect's own assembler and
reader, as its SDK would.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.dialects import DIALECTS as DIALECT
from sidecar.events import AttemptEnded, Continued
from sidecar.model import Answered, Ask, Call, Failed, Fault, Kind, Operation, Outcome, Provider, Sink, Text
from sidecar.models.card import Ability, Card
from sidecar.settings import Route
from tests.kit import script as s
from tests.kit.answers import DIALECTS, Anthropic, Gemini, OpenAI
from tests.kit.answers import Dialect as Words
from tests.kit.script import Play, Result, Script
from tests.kit.vloop import run

SAID = ["Once ", "upon a time", " there was\n", "a sidecar", "."]
STORY = "".join(SAID)
PLAIN = "text/event-stream"


def card(provider: Provider, model: str) -> Card | None:
    able = frozenset({Ability.PREFILL}) if model == "able" else frozenset()
    return Card(provider=provider.name, name=model, yes=able)


class Mending(Play):
    cards = staticmethod(card)


def family(words: Words) -> str:
    return "openai_chat" if words.dialect == "openai_responses" else words.dialect


def world(script: Script, words: Words, other: Words = Anthropic, model: str = "able") -> Mending:
    chain = (s.target("a", family(words)), s.target("b", other.dialect, model=model))
    return Mending(script, words, route=Route(name="r", chain=chain, continuation=True))


def play(mending: Mending, body: bytes) -> Result:
    async def scenario() -> Result:
        async with mending.clean():
            return await mending.ask(body)

    return run(scenario())


def cut(words: Words, said: list[str], end: str = "cut") -> s.Behaviour:
    """So much of the answer, then the end of the connection."""
    count = len(words.events([])) - len(words.events([])[1:])  # the opening event
    opening = 2 if words is Anthropic or words.dialect == "openai_responses" else count
    return s.stream(words.events(said)[: opening + len(said)], end=end)


def noting(calls: list[Call], behave: s.Behaviour) -> s.Behaviour:
    async def behaviour(call: Call, sink: Sink) -> Outcome:
        calls.append(call)
        return await behave(call, sink)

    return behaviour


def text_of(words: Words, result: Result) -> str:
    reader = DIALECT[words.dialect].reader(
        Ask(operation=Operation.CHAT, model="m", stream=True), PLAIN.encode()
    )
    deltas = reader.feed(result.tape.body).deltas + reader.close().deltas
    return "".join(delta.text for delta in deltas if isinstance(delta, Text))


def whole(words: Words, result: Result) -> str:
    """The text of the one answer that the events make."""
    assembler = DIALECT[words.dialect].assembler(PLAIN.encode())
    assert assembler is not None
    assembler.feed(result.tape.body)
    body = assembler.close()
    assert body is not None
    reader = DIALECT[words.dialect].reader(Ask(operation=Operation.CHAT, model="m"), b"application/json")
    deltas = reader.feed(body).deltas + reader.close().deltas
    return "".join(delta.text for delta in deltas if isinstance(delta, Text))


@pytest.mark.parametrize("words", DIALECTS, ids=lambda words: words.dialect)
@pytest.mark.parametrize("other", [Anthropic, Gemini], ids=lambda words: words.dialect)
@pytest.mark.parametrize("said", range(1, len(SAID)))
def test_a_text_that_was_cut_goes_on_at_a_target_that_takes_a_prefill(words: Words, other: Words, said: int):
    asked: list[Call] = []
    rest = "".join(SAID[:said])
    going = [rest[len(rest.rstrip()) :] + SAID[said], *SAID[said + 1 :]]
    mending = world(
        Script({"a": [cut(words, SAID[:said])], "b": [noting(asked, s.stream(other.events(going)))]}),
        words,
        other,
    )

    result = play(mending, words.request("tell me", stream=True))

    assert isinstance(result.outcome, Answered)
    assert STORY == text_of(words, result)
    assert STORY == whole(words, result)
    last = json.loads(asked[0].body)["contents" if other is Gemini else "messages"][-1]
    assert ("model" if other is Gemini else "assistant") == last["role"]
    assert json.dumps(rest.rstrip()) in json.dumps(last)
    assert [True] == [one.whole for one in mending.said(Continued)]
    kinds = [one.attempt.kind for one in mending.said(AttemptEnded)]
    assert [Kind.INITIAL, Kind.CONTINUATION] == kinds


@settings(max_examples=60, deadline=None)
@given(story=st.text(min_size=2, max_size=40).filter(lambda text: text.strip()), where=st.data())
def test_the_seam_is_clean_wherever_the_text_was_cut(story: str, where: Any):
    at = where.draw(st.integers(1, len(story) - 1))
    before, after = story[:at], story[at:]
    if not before.strip():
        return
    space = before[len(before.rstrip()) :]
    again = where.draw(st.booleans())  # who goes on may say the white space again, or not
    words = [(space if again else "") + after]
    mending = world(Script({"a": [cut(OpenAI, [before])], "b": [s.stream(Anthropic.events(words))]}), OpenAI)

    result = play(mending, OpenAI.request("tell me", stream=True))

    got = text_of(OpenAI, result)
    assert got.startswith(before)
    if again or not (space and after[:1] == space[:1]):
        assert story == got


BUSY: dict[str, dict[str, Any]] = {
    "tools": {"tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}]},
    "json": {"response_format": {"type": "json_object"}},
    "reasoning": {"reasoning_effort": "high"},
    "choices": {"n": 2},
    "an image": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
            }
        ]
    },
    "a prefill of the client's own": {
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    },
}


@pytest.mark.parametrize("busy", BUSY)
def test_with_more_than_text_in_play_it_never_starts(busy: str):
    script = Script({"a": [cut(OpenAI, SAID[:2])], "b": [s.stream(Anthropic.events(["no"]))]})
    mending = world(script, OpenAI)
    route_commit = {"messages": [{"role": "user", "content": "hi"}], **BUSY[busy]}
    body = json.dumps({"model": "m", "stream": True, **route_commit}).encode()

    result = play(mending, body)

    assert [] == [one for one in mending.said(Continued) if one.to is not None]
    assert Kind.CONTINUATION not in {one.attempt.kind for one in mending.said(AttemptEnded)}
    if busy not in {"json", "choices"}:  # the former is held until it is whole, the latter asked elsewhere
        assert isinstance(result.outcome, Failed)
        assert Fault.STREAM_CUT is result.outcome.fault


def test_a_tool_call_in_the_answer_ends_it_too():
    call = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "look", "arguments": "{"}}]}
    pieces = [OpenAI.chunk({"role": "assistant", "content": "so "}), OpenAI.chunk(call)]
    mending = world(Script({"a": [s.stream(pieces, end="cut")], "b": [s.answer(b"{}")]}), OpenAI)

    result = play(mending, OpenAI.request("hi", stream=True))

    assert isinstance(result.outcome, Failed)
    assert 0 == mending.script.count("b")


@pytest.mark.parametrize("model", ["unable", "able"])
def test_only_who_takes_a_prefill_is_asked(model: str):
    script = Script({"a": [cut(OpenAI, SAID[:2])], "b": [s.stream(Anthropic.events([*SAID[2:]]))]})
    mending = world(script, OpenAI, model=model)

    result = play(mending, OpenAI.request("hi", stream=True))

    assert (model == "able") == isinstance(result.outcome, Answered)
    assert (model == "able") == bool(mending.script.count("b"))


def test_one_that_cannot_go_on_is_left_and_the_break_is_told():
    script = Script({"a": [cut(OpenAI, SAID[:2])], "b": [s.lost()]})
    mending = world(script, OpenAI)

    result = play(mending, OpenAI.request("hi", stream=True))

    assert isinstance(result.outcome, Failed)
    assert Fault.STREAM_CUT is result.outcome.fault
    assert [None] == [one.to for one in mending.said(Continued)]


def test_one_that_breaks_off_as_well_is_gone_on_with_once_more():
    script = Script(
        {
            "a": [cut(OpenAI, SAID[:2])],
            "b": [cut(Anthropic, SAID[2:4]), s.stream(Anthropic.events(["\na sidecar"[10:], SAID[4]]))],
        }
    )
    mending = world(script, OpenAI)

    result = play(mending, OpenAI.request("hi", stream=True))

    assert isinstance(result.outcome, Answered)
    assert STORY == text_of(OpenAI, result)
    assert [False, True] == [one.whole for one in mending.said(Continued)]


def test_what_the_client_allowed_in_all_is_not_allowed_twice():
    asked: list[Call] = []
    script = Script(
        {"a": [cut(OpenAI, ["x" * 360])], "b": [noting(asked, s.stream(Anthropic.events(["y"])))]}
    )
    mending = world(script, OpenAI)

    play(mending, OpenAI.request("hi", stream=True, max_tokens=150))

    assert 50 == json.loads(asked[0].body)["max_tokens"]


def test_no_attempt_starts_after_the_deadline():
    slow = s.stream(OpenAI.events(SAID[:3])[:4], first=0.01, gap=0.1, end="cut")
    script = Script({"a": [slow], "b": [s.stream(Anthropic.events(SAID[3:]))]})
    mending = world(script, OpenAI)

    async def scenario() -> Result:
        return await mending.ask(OpenAI.request("hi", stream=True), deadline=0.25)

    result = run(scenario())

    assert isinstance(result.outcome, Failed)
    assert 0 == mending.script.count("b")


def test_without_the_setting_a_cut_stream_ends():
    chain = (s.target("a", "openai_chat"), s.target("b", "anthropic", model="able"))
    mending = Mending(
        Script({"a": [cut(OpenAI, SAID[:2])], "b": [s.stream(Anthropic.events(SAID[2:]))]}),
        route=Route(name="r", chain=chain),
    )

    result = play(mending, OpenAI.request("hi", stream=True))

    assert isinstance(result.outcome, Failed)
    assert 0 == mending.script.count("b")
