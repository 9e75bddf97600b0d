"""A client that wants a whole answer, on a route that streams upstream: it never knows, and waits less.

Default settings but for `upstream_stream`, two targets, virtual time. The deadline is long, so that
what ends a wait is the limit of what is measured.
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
    Chunk,
    Failed,
    Fault,
    Head,
    Operation,
    Outcome,
    Sink,
    Text,
    Tier,
)
from sidecar.settings import Commit
from sidecar.stack import describe
from tests.kit import script as s
from tests.kit.answers import DIALECTS, SSE, OpenAI
from tests.kit.answers import Dialect as Words
from tests.kit.script import Play, Result, Script
from tests.stack.test_faults import GOOD, SCHEMA, play

LONG = 300.0


@pytest.fixture(params=DIALECTS, ids=lambda words: words.dialect)
def words(request: pytest.FixtureRequest) -> Words:
    found: Words = request.param
    return found


def good(words: Words) -> s.Behaviour:
    return s.stream(words.events(GOOD))


def assembling(script: Script, words: Words, **changes: Any) -> Play:
    return Play(script, words, upstream_stream=True, **changes)


def text(words: Words, body: bytes) -> str:
    reader = DIALECT[words.dialect].reader(Ask(operation=Operation.CHAT, model="m"), b"application/json")
    reader.feed(body)
    return "".join(delta.text for delta in reader.close().deltas if isinstance(delta, Text))


def seen(calls: list[Call], behave: s.Behaviour) -> s.Behaviour:
    """The same behaviour, and what it was asked."""

    async def look(call: Call, sink: Sink) -> Outcome:
        calls.append(call)
        return await behave(call, sink)

    return look


def streamed(call: Call) -> bool:
    """Does the request itself, path, query and body, ask for a stream?"""
    asked = DIALECT[call.dialect].ask(Operation.CHAT, call.path, call.body)
    return asked.stream and (call.dialect != "gemini" or call.query == "alt=sse")


def served(result: Result, words: Words) -> bool:
    """Did the client get one whole answer, in one piece, as the JSON it asked for?"""
    head, pieces = result.tape.head, result.tape.pieces
    return (
        isinstance(result.outcome, Answered)
        and head is not None
        and head.get(b"content-type") == b"application/json"
        and 1 == len(pieces)
        and "".join(GOOD) == text(words, pieces[0][1])
    )


def test_the_target_is_asked_for_a_stream_and_the_client_gets_it_whole(words: Words):
    calls: list[Call] = []
    script = Script({"a": [seen(calls, good(words))]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request())

        assert served(result, words)
        assert [True] == [streamed(call) for call in calls]
        first, last = result.record.attempts[0].first_content, result.record.attempts[0].last_content
        assert first is not None
        assert last is not None
        assert first < last < result.tape.pieces[0][0]

    play(assembling(script, words), scenario)


def test_without_the_setting_the_request_stays_as_it_is(words: Words):
    script = Script({"a": [s.answer(words.whole("".join(GOOD)))]})

    async def scenario(play: Play) -> None:
        assert served(await play.ask(words.request()), words)
        assert [words.request()] == [asked.body for asked in script.asked]
        assert {"AskStream", "Assemble"}.isdisjoint(describe(play.stack))

    play(Play(script, words), scenario)


def test_a_client_that_wants_a_stream_gets_it_byte_for_byte(words: Words):
    script = Script({"a": [good(words)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request(stream=True))

        assert b"".join(words.events(GOOD)) == result.tape.body
        assert len(result.tape.pieces) > 1

    play(assembling(script, words), scenario)


def test_the_providers_other_headers_reach_the_client(words: Words):
    async def behave(call: Call, sink: Sink) -> Outcome:
        await sink.start(Head(200, "OK", (*SSE, (b"X-Request-Id", b"r-1"), (b"Content-Length", b"9"))))
        await sink.send(Chunk(b"".join(words.events(GOOD))))
        return Answered(200)

    async def scenario(play: Play) -> None:
        head = (await play.ask(words.request())).tape.head

        assert ((b"Content-Type", b"application/json"), (b"X-Request-Id", b"r-1")) == (head and head.headers)

    play(assembling(Script({"a": [behave]}), words), scenario)


def test_a_target_that_only_keeps_alive_is_left_at_the_first_content_limit(words: Words):
    late = s.stream(words.events(GOOD), first=100.0, keepalive=(2.0, words.keepalive))
    script = Script({"a": [late], "b": [good(words)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request(), deadline=LONG)

        assert served(result, words)
        assert 15.0 == pytest.approx(script.asked[1].at, abs=0.1)
        assert Fault.TTFT_TIMEOUT is failure(result).fault

    play(assembling(script, words), scenario)


def test_a_target_that_hangs_is_left_as_soon_as_a_stream_would_be(words: Words):
    script = Script({"a": [s.hang()], "b": [good(words)]})

    async def scenario(play: Play) -> None:
        assert served(await play.ask(words.request(), deadline=LONG), words)
        assert 15.0 == pytest.approx(script.asked[1].at, abs=0.1)

    play(assembling(script, words), scenario)


def failure(result: Result) -> Failed:
    outcome = result.record.attempts[0].outcome
    assert isinstance(outcome, Failed)
    return outcome


@pytest.mark.parametrize("events", range(1, 5))
def test_a_stall_is_rescued_unseen(words: Words, events: int):
    script = Script({"a": [s.stream(words.events(GOOD)[:events], end="open")], "b": [good(words)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request(), deadline=LONG)

        assert served(result, words)
        assert ["a", "b"] == [asked.target for asked in script.asked]
        assert script.asked[1].at <= 15.5
        assert failure(result).fault in (Fault.STREAM_STALL, Fault.TTFT_TIMEOUT)

    play(assembling(script, words), scenario)


@pytest.mark.parametrize("end", ["cut", "eof"])
@pytest.mark.parametrize("events", range(1, 5))
def test_a_cut_is_retried_unseen(words: Words, events: int, end: str):
    cut = s.stream(words.events(GOOD)[:events], end=end)
    script = Script({"a": [cut, good(words)], "b": [good(words)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request())

        assert served(result, words)
        assert ["a", "a"] == [asked.target for asked in script.asked]
        assert Fault.STREAM_CUT is failure(result).fault

    play(assembling(script, words), scenario)


@pytest.mark.parametrize("events", [1, 4])
def test_an_error_event_is_handled_as_the_status_it_names(words: Words, events: int):
    broken = s.stream([*words.events(GOOD)[:events], words.error_event("overloaded_error")])
    script = Script({"a": [broken, good(words)], "b": [good(words)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request())

        assert served(result, words)
        assert Fault.OVERLOADED is failure(result).fault

    play(assembling(script, words), scenario)


def test_a_piece_that_cannot_be_read_is_not_left_out_of_an_answer(words: Words):
    events = words.events(GOOD)
    script = Script(
        {"a": [s.stream([*events[:3], words.malformed, *events[3:]]), good(words)], "b": [good(words)]}
    )

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request())

        assert served(result, words)
        assert Fault.MALFORMED_CHUNK is failure(result).fault

    play(assembling(script, words), scenario)


@pytest.mark.parametrize("bad", ["", "Sure! Here is your JSON:", '{"n": "three"}'])
def test_structured_output_is_judged_as_ever(words: Words, bad: str):
    script = Script(
        {"a": [s.stream(words.events([bad] if bad else []))], "b": [s.stream(words.events(['{"n":', " 3}"]))]}
    )

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request(**words.structured(SCHEMA)))

        assert isinstance(result.outcome, Answered)
        assert {"n": 3} == json.loads(text(words, result.tape.body))

    play(assembling(script, words), scenario)


def test_a_rejected_answer_nobody_can_replace_is_a_body_too(words: Words):
    script = Script({"a": [s.stream(words.events(["no JSON"]))]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request(**words.structured(SCHEMA)))

        assert isinstance(result.outcome, Answered)
        assert Tier.REDUCED is result.outcome.tier
        assert result.tape.head is not None
        assert b"application/json" == result.tape.head.get(b"content-type")
        assert "no JSON" == text(words, result.tape.body)

    play(assembling(script, words), scenario)


def test_usage_is_counted_and_told():
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    events = OpenAI.events(GOOD)
    last = b'data: {"id":"c","choices":[],"usage":%b}\n\n' % json.dumps(usage).encode()
    script = Script({"a": [s.stream([*events[:-1], last, events[-1]])]})

    async def scenario(play: Play) -> None:
        result = await play.ask(OpenAI.request())

        assert json.loads(script.asked[0].body)["stream_options"] == {"include_usage": True}
        assert usage == json.loads(result.tape.body)["usage"]
        assert isinstance(result.outcome, Answered)
        assert result.outcome.usage is not None
        assert (3, 5) == (result.outcome.usage.input_total, result.outcome.usage.output_total)

    play(assembling(script, OpenAI), scenario)


def test_an_answer_that_is_no_stream_passes_as_it_is(words: Words):
    body = words.whole("".join(GOOD))
    script = Script({"a": [s.answer(body)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request())

        assert served(result, words)
        assert body == result.tape.body

    play(assembling(script, words), scenario)


def test_nothing_goes_out_before_the_end_however_long_the_answer_is(words: Words):
    script = Script({"a": [s.stream(words.events(["x" * 600] * 40), end="eof"), good(words)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request())

        assert 1 == len(result.tape.pieces)
        assert "x" * 24000 == text(words, result.tape.body)

    play(assembling(script, words, commit=Commit(hold_bytes=4096)), scenario)


def test_an_answer_that_never_ends_is_left_at_the_limit_of_whole_answers(words: Words):
    script = Script({"a": [s.stream(words.events(["on "] * 100), gap=5.0)], "b": [good(words)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request(), deadline=LONG)

        assert served(result, words)
        assert 120.0 == pytest.approx(script.asked[1].at, abs=0.1)
        assert Fault.TIMEOUT is failure(result).fault

    play(assembling(script, words), scenario)


def objection(words: Words) -> tuple[int, bytes]:
    return 400, words.error(
        "Your organization must be verified to stream this model.", "invalid_request_error"
    )


def test_a_provider_that_refuses_to_stream_is_asked_in_the_clients_own_words(words: Words):
    calls: list[Call] = []
    answers = (s.error(objection(words)), s.answer(words.whole("".join(GOOD))))
    script = Script({"a": [seen(calls, answer) for answer in answers]})

    async def scenario(play: Play) -> None:
        assert served(await play.ask(words.request()), words)
        assert served(await play.ask(words.request()), words)

        assert [True, False, False] == [streamed(call) for call in calls]  # it is remembered
        assert [(words.path, "", words.request())] * 2 == [(it.path, it.query, it.body) for it in calls[1:]]

    play(assembling(script, words), scenario)


def test_the_applications_own_mistake_is_one_request_and_reaches_it_byte_for_byte(words: Words):
    script = Script({"a": [s.error(words.INVALID)]})

    async def scenario(play: Play) -> None:
        result = await play.ask(words.request())

        assert isinstance(result.outcome, Failed)
        assert words.INVALID[1] == result.outcome.body
        assert 1 == len(script.asked)

    play(assembling(script, words, injected=False), scenario)


def test_what_cannot_be_streamed_is_asked_as_it_is():
    body = OpenAI.request(modalities=["text", "audio"])
    script = Script({"a": [s.answer(OpenAI.whole("".join(GOOD)))]})

    async def scenario(play: Play) -> None:
        assert served(await play.ask(body), OpenAI)
        assert [body] == [asked.body for asked in script.asked]

    play(assembling(script, OpenAI), scenario)
