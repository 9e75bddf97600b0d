"""The first target is down, and the next one speaks another dialect: the client gets its own all the same.

The real stack in virtual time, every client dialect against every target dialect.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.dialects import DIALECTS as DIALECT
from sidecar.model import (
    Answered,
    Ask,
    Call,
    Failed,
    Finish,
    FinishReason,
    Operation,
    Outcome,
    Refused,
    Sink,
    Text,
    ToolCall,
    Trouble,
    Usage,
)
from sidecar.settings import Route
from tests.kit import script as s
from tests.kit.answers import DIALECTS, Anthropic, Gemini, OpenAI
from tests.kit.answers import Dialect as Words
from tests.kit.script import Play, Result, Script
from tests.kit.vloop import run

DOWN = s.lost()
SAID = ["all ", "is ", "well"]
PAIRS = [
    (words, other)
    for words in DIALECTS
    for other in (OpenAI, Anthropic, Gemini)
    if words.dialect != other.dialect and not (words.dialect == "openai_responses" and other is OpenAI)
]


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0].dialect}-{pair[1].dialect}")
def pair(request: pytest.FixtureRequest) -> tuple[Words, Words]:
    found: tuple[Words, Words] = request.param
    return found


def family(words: Words) -> str:
    return "openai_chat" if words.dialect == "openai_responses" else words.dialect


def crossing(script: Script, words: Words, other: Words, **changes: Any) -> Play:
    chain = (s.target("a", family(words)), s.target("b", other.dialect, model="theirs"))
    return Play(script, words, route=Route(name="r", chain=chain), **changes)


def read(words: Words, result: Result) -> tuple[Any, ...]:
    """Deltas of what the client got, as its own dialect's reader says them."""
    assert result.tape.head is not None
    kind = result.tape.head.get(b"content-type") or b""
    reader = DIALECT[words.dialect].reader(Ask(operation=Operation.CHAT, model="m"), kind)
    return reader.feed(result.tape.body).deltas + reader.close().deltas


def text(deltas: tuple[Any, ...]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, Text))


def noting(calls: list[Call], behave: s.Behaviour) -> s.Behaviour:
    async def behaviour(call: Call, sink: Sink) -> Outcome:
        calls.append(call)
        return await behave(call, sink)

    return behaviour


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_next_target_answers_in_the_clients_dialect(pair: tuple[Words, Words], stream: bool):
    words, other = pair
    asked: list[Call] = []
    answer = s.stream(other.events(SAID)) if stream else s.answer(other.whole("all is well"))

    async def scenario() -> Result:
        world = crossing(Script({"a": [DOWN], "b": [noting(asked, answer)]}), words, other)
        async with world.clean():
            return await world.ask(words.request("how is it?", stream=stream))

    result = run(scenario())

    assert isinstance(result.outcome, Answered)
    deltas = read(words, result)
    assert "all is well" == text(deltas)
    assert FinishReason.STOP in {delta.reason for delta in deltas if isinstance(delta, Finish)}
    call = asked[0]
    assert other.dialect == call.dialect
    understood = DIALECT[other.dialect].ask(Operation.CHAT, call.path, call.body)
    assert ("theirs", stream) == (understood.model, understood.stream)
    assert "how is it?" in call.body.decode()


def test_usage_survives_where_the_dialect_has_a_place_for_it(pair: tuple[Words, Words]):
    words, other = pair

    async def scenario() -> Result:
        world = crossing(Script({"a": [DOWN], "b": [s.answer(other.whole("all is well"))]}), words, other)
        return await world.ask()

    result = run(scenario())

    mine = [delta for delta in read(words, result) if isinstance(delta, Usage)]
    reader = DIALECT[other.dialect].reader(Ask(operation=Operation.CHAT, model="m"), b"application/json")
    theirs = [
        delta
        for delta in reader.feed(other.whole("all is well")).deltas + reader.close().deltas
        if isinstance(delta, Usage)
    ]
    assert (theirs[-1].input_total, theirs[-1].output_total) == (mine[-1].input_total, mine[-1].output_total)
    assert isinstance(result.outcome, Answered)
    assert theirs[-1].output_total == result.outcome.usage.output_total  # type: ignore[union-attr]


def test_the_errors_of_a_foreign_target_are_told_in_the_clients_words(pair: tuple[Words, Words]):
    words, other = pair

    async def scenario() -> Result:
        down = s.error((503, other.error("they are overloaded")))
        world = crossing(Script({"a": [DOWN], "b": [down]}), words, other)
        return await world.ask()

    result = run(scenario())

    assert isinstance(result.outcome, Failed)
    assert result.outcome.head is None
    assert b"" == result.outcome.body


def test_a_stream_of_a_foreign_target_that_is_cut_ends_as_a_failure_after_its_words(
    pair: tuple[Words, Words],
):
    words, other = pair

    async def scenario() -> Result:
        cut = s.stream(other.events(SAID)[:-2], end="cut")
        world = crossing(Script({"a": [DOWN], "b": [cut]}), words, other)
        return await world.ask(words.request(stream=True))

    result = run(scenario())

    assert isinstance(result.outcome, Failed)
    assert not result.outcome.told  # the listener has to say the client's own error event
    seen = text(read(words, result))
    assert seen
    assert "all is well".startswith(seen)


def test_an_error_event_of_a_foreign_target_never_reaches_the_client(pair: tuple[Words, Words]):
    words, other = pair

    async def scenario() -> Result:
        events = [*other.events(SAID)[:-2], other.error_event()]
        world = crossing(Script({"a": [DOWN], "b": [s.stream(events)]}), words, other)
        return await world.ask(words.request(stream=True))

    result = run(scenario())

    assert isinstance(result.outcome, Failed)
    assert not result.outcome.told
    assert not [delta for delta in read(words, result) if isinstance(delta, Trouble)]


def test_a_schema_is_asked_for_by_other_means_and_the_answer_is_judged_by_it():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    asked: list[Call] = []
    use = {"type": "tool_use", "id": "toolu_1", "name": "answer", "input": {"n": 7}}
    good = json.loads(Anthropic.whole(None, "tool_use"))
    good["content"] = [use]

    async def scenario() -> Result:
        script = Script({"a": [DOWN], "b": [noting(asked, s.answer(json.dumps(good).encode()))]})
        return await crossing(script, OpenAI, Anthropic).ask(OpenAI.request(**OpenAI.structured(schema)))

    result = run(scenario())

    assert isinstance(result.outcome, Answered)
    deltas = read(OpenAI, result)
    assert {"n": 7} == json.loads(text(deltas))
    assert [FinishReason.STOP] == [delta.reason for delta in deltas if isinstance(delta, Finish)]
    assert not [delta for delta in deltas if isinstance(delta, ToolCall)]
    assert "answer" == json.loads(asked[0].body)["tool_choice"]["name"]
    assert b"response_format;emulated" == result.tape.head.get(b"x-llm-sidecar-losses")  # type: ignore[union-attr]


def test_what_a_target_cannot_be_asked_for_is_refused_by_name_and_the_chain_goes_on():
    asked: list[Call] = []

    async def scenario() -> Result:
        chain = (
            s.target("a", "openai_chat"),
            s.target("b", "anthropic", model="x"),
            s.target("c", "openai_chat"),
        )
        unasked = noting(asked, s.answer(Anthropic.whole("no")))
        script = Script({"a": [DOWN], "b": [unasked], "c": [s.answer(OpenAI.whole("c"))]})
        world = Play(script, OpenAI, route=Route(name="r", chain=chain))
        return await world.ask(OpenAI.request(n=3))

    result = run(scenario())

    assert isinstance(result.outcome, Answered)
    assert "c" == text(read(OpenAI, result))
    assert [] == asked


def test_the_last_target_that_cannot_be_asked_says_which_field_it_was():
    async def scenario() -> Result:
        script = Script({"a": [DOWN], "b": [s.answer(Anthropic.whole("no"))]})
        return await crossing(script, OpenAI, Anthropic).ask(OpenAI.request(n=3))

    result = run(scenario())

    assert isinstance(result.outcome, Refused | Failed)


def test_a_route_may_skip_targets_that_lose_anything():
    async def scenario(on_loss: str) -> tuple[Outcome | None, bytes | None]:
        script = Script({"a": [DOWN], "b": [s.answer(Anthropic.whole("yes"))]})
        world = crossing(script, OpenAI, Anthropic, on_loss=on_loss)
        result = await world.ask(OpenAI.request(logit_bias={"50256": -100}, seed=7))
        head = result.tape.head
        return result.outcome, None if head is None else head.get(b"x-llm-sidecar-losses")

    allowed, losses = run(scenario("allow"))
    skipped, _ = run(scenario("skip_target"))

    assert isinstance(allowed, Answered)
    assert b"seed;dropped, logit_bias;dropped" == losses
    assert not isinstance(skipped, Answered)


def test_a_refusal_by_name_teaches_no_breaker():
    async def scenario() -> int:
        script = Script({"a": [DOWN], "b": [s.answer(Anthropic.whole("yes"))]})
        world = crossing(script, OpenAI, Anthropic)
        for _ in range(8):
            refused = await world.ask(OpenAI.request(n=3))
            assert isinstance(refused.outcome, Refused | Failed)
        good = await world.ask()
        assert isinstance(good.outcome, Answered)
        return sum(b.counts()[1] for (name, _, _), b in world.memory.breakers.items() if name == "b")

    assert 1 == run(scenario())


def test_thoughts_of_a_stand_in_are_kept_from_a_client_that_would_send_them_back():
    asked = Anthropic.request(max_tokens=9000, thinking={"type": "enabled", "budget_tokens": 2000})
    chunks = [OpenAI.chunk({"role": "assistant", "reasoning_content": "Hm."}), *OpenAI.events(["well"])]

    async def scenario() -> Result:
        script = Script({"a": [DOWN], "b": [s.stream(chunks)]})
        return await crossing(script, Anthropic, OpenAI).ask(asked[:-1] + b', "stream": true}')

    result = run(scenario())

    assert isinstance(result.outcome, Answered)
    assert "well" == text(read(Anthropic, result))
    assert b"thinking" not in result.tape.body
