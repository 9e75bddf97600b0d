"""Answers that were given before: when they are given again, whose they are, and what is never kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.dialects import DIALECTS as SPOKEN
from sidecar.events import Cached
from sidecar.model import (
    Answered,
    BreakerState,
    Call,
    Chunk,
    Failed,
    Head,
    Operation,
    Options,
    Outcome,
    Sink,
    Text,
    Tier,
)
from sidecar.settings import CacheRules, StaticAnswer
from sidecar.telemetry import words as said
from sidecar.telemetry.words import Path
from tests.kit import script as s
from tests.kit.answers import DIALECTS, JSON, Gemini, OpenAI, Responses, path_of
from tests.kit.answers import Dialect as Words
from tests.kit.script import Behaviour, Play, Result, Script
from tests.kit.tape import Tape
from tests.kit.vloop import run

GOOD = ["all ", "is ", "well"]
FRESH = CacheRules(scope="shared", fresh=1800.0, stale=7200.0)
STALE = CacheRules(scope="shared", stale=7200.0)
STATIC = StaticAnswer(text="We are sorry.")
NO_CACHE = Options(cache=False)


@pytest.fixture(params=DIALECTS, ids=lambda words: words.dialect)
def words(request: pytest.FixtureRequest) -> Words:
    found: Words = request.param
    return found


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def good(words: Words, stream: bool) -> Behaviour:
    return s.stream(words.events(GOOD)) if stream else s.answer(words.whole("".join(GOOD)))


def request(words: Words, stream: bool, prompt: str = "hello", **more: Any) -> bytes:
    if words is Responses:
        more = {"store": False, **more}
    return words.request(prompt, stream=stream, **more)


def play(play: Play, scenario: Callable[[Play], Awaitable[None]]) -> None:
    async def main() -> None:
        async with play.clean():
            await scenario(play)

    run(main())


def label(result: Result, name: bytes) -> bytes | None:
    assert result.tape.head is not None
    return result.tape.head.get(name)


def text_of(words: Words, result: Result) -> str:
    """What the client's own reader makes of it."""
    dialect = SPOKEN[words.dialect]
    kind = label(result, b"content-type") or b""
    ask = dialect.ask(Operation.CHAT, path_of(words, b""), words.request())
    reader = dialect.reader(ask, kind)
    deltas = reader.feed(result.tape.body).deltas + reader.close().deltas
    assert reader.done or reader.finished or not reader.streams
    return "".join(delta.text for delta in deltas if isinstance(delta, Text))


def results(play: Play) -> list[str]:
    return [event.result for event in play.said(Cached)]


# ---- fresh ---------------------------------------------------------------------------------------


def test_a_fresh_answer_is_given_again_byte_for_byte_and_nobody_is_asked(words: Words, stream: bool):
    script = Script({"a": [good(words, stream)]})

    async def scenario(play: Play) -> None:
        first = await play.ask(request(words, stream))
        await asyncio.sleep(600)
        again = await play.ask(request(words, stream))

        assert first.tape.body == again.tape.body
        assert 1 == len(script.asked)
        assert ["miss", "stored", "hit"] == results(play)
        assert b"hit" == label(again, b"x-llm-sidecar-cache")
        assert b"full" == label(again, b"x-llm-sidecar-tier")
        assert b"cache" == label(again, b"x-llm-sidecar-served-by")
        assert b"600" == label(again, b"age")
        assert again.began == again.ended

    play(Play(script, words, cache=FRESH), scenario)


def test_a_fresh_answer_is_no_providers_success(words: Words):
    script = Script({"a": [good(words, False)]})

    async def scenario(play: Play) -> None:
        await play.ask(request(words, False))
        learned = play.memory.snapshot()
        [breaker] = play.memory.breakers.values()
        samples = list(breaker._samples)
        again = await play.ask(request(words, False))

        assert [] == again.record.attempts
        assert learned == play.memory.snapshot()
        assert samples == list(breaker._samples)
        assert Path.CACHE is said.path(again.record.attempts, again.outcome)
        assert Tier.FULL is said.tier(again.outcome)
        assert said.served(again.record.attempts, again.outcome) is None

    play(Play(script, words, cache=FRESH), scenario)


def test_beyond_fresh_the_provider_is_asked_again():
    script = Script({"a": [good(OpenAI, False)]})

    async def scenario(play: Play) -> None:
        await play.ask(request(OpenAI, False))
        await asyncio.sleep(1801)
        await play.ask(request(OpenAI, False))
        await play.ask(request(OpenAI, False))

        assert 2 == len(script.asked)

    play(Play(script, cache=FRESH), scenario)


@pytest.mark.parametrize("options", [NO_CACHE, None], ids=["request", "route"])
def test_whoever_does_not_want_it_is_never_served_from_it(options: Options | None):
    script = Script({"a": [good(OpenAI, False)]})
    rules = CacheRules() if options is None else FRESH

    async def scenario(play: Play) -> None:
        for _ in range(3):
            await play.ask(request(OpenAI, False), options=options or Options())

        assert 3 == len(script.asked)
        assert 0 == len(play.memory.answers)
        assert [] == play.said(Cached)

    play(Play(script, cache=rules), scenario)


@pytest.mark.parametrize("kept", [False, True], ids=["kept whole", "kept as a stream"])
def test_an_answer_serves_the_other_form_too(words: Words, kept: bool):
    script = Script({"a": [good(words, kept)]})

    def asked(stream: bool) -> dict[str, Any]:
        body = request(words, stream)
        path, query = path_of(words, body), ""
        if words is Gemini:
            body = json.dumps({"contents": [{"parts": [{"text": "hello"}]}]}).encode()
            query = "alt=sse" if stream else ""
        ask = SPOKEN[words.dialect].ask(Operation.CHAT, path, body)
        return {"body": body, "path": path, "query": query, "ask": ask, "id": "ab" * 16}

    async def scenario(play: Play) -> None:
        await play.ask(**asked(kept))
        again = await play.ask(**asked(not kept))

        assert 1 == len(script.asked)
        assert (b"text/event-stream" in (label(again, b"content-type") or b"")) is not kept
        assert "all is well" == text_of(words, again)

    play(Play(script, words, cache=FRESH), scenario)


def test_an_array_stream_is_not_made_out_of_another_form():
    script = Script({"a": [good(Gemini, False)]})

    async def scenario(play: Play) -> None:
        body = json.dumps({"contents": [{"parts": [{"text": "hello"}]}]}).encode()
        for path in (Gemini.path, Gemini.path.replace(":g", ":streamG")):
            ask = SPOKEN["gemini"].ask(Operation.CHAT, path, body)
            await play.ask(body, path=path, ask=ask)

        assert 2 == len(script.asked)

    play(Play(script, Gemini, cache=FRESH), scenario)


def test_a_stand_ins_answer_is_never_fresh_but_may_stand_in_again():
    script = Script({"a": [s.lost()], "b": [good(OpenAI, False)]})

    async def scenario(play: Play) -> None:
        for _ in range(2):
            served = await play.ask(request(OpenAI, False))
            assert Answered(200, served.outcome.usage) == served.outcome  # type: ignore[union-attr]
        script.plans["b"] = [s.lost()]
        stale = await play.ask(request(OpenAI, False))

        assert 2 == sum(event.result == "stored" for event in play.said(Cached))
        assert isinstance(stale.outcome, Answered)
        assert Tier.CACHED is stale.outcome.tier

    play(Play(script, cache=FRESH), scenario)


def test_any_of_the_first_group_gives_fresh_answers():
    script = Script({"a": [s.lost()], "b": [good(OpenAI, False)]})

    async def scenario(play: Play) -> None:
        chain = tuple(replace(target, group=1) for target in play.route.chain)
        play.stack = play.build(replace(play.route, chain=chain))
        for _ in range(3):
            await play.ask(request(OpenAI, False))

        assert 1 == script.count("b")

    play(Play(script, cache=FRESH), scenario)


def test_vectors_are_given_again():
    vectors = json.dumps({"object": "list", "model": "m-1", "data": [{"embedding": [0.5]}]}).encode()
    script = Script({"a": [s.answer(vectors)]})
    body = b'{"model":"m","input":["a"]}'
    ask = SPOKEN["embeddings"].ask(Operation.EMBEDDINGS, "/v1/embeddings", body)

    async def scenario(play: Play) -> None:
        for _ in range(2):
            result = await play.ask(body, dialect="embeddings", path="/v1/embeddings", ask=ask)
            assert vectors == result.tape.body

        assert 1 == len(script.asked)

    play(Play(script, cache=FRESH), scenario)


# ---- the order (under each class of failure: test_ladder) --------------------------------------------


@pytest.mark.parametrize(
    ("rejected", "strict", "tier"),
    [
        ("{oh no", False, Tier.REDUCED),
        ("{oh no", True, Tier.CACHED),
        ("", False, Tier.CACHED),
    ],
    ids=["reduced before cached", "strict", "empty"],
)
def test_a_rejected_answer_comes_first_unless_nobody_wants_it(
    words: Words, stream: bool, rejected: str, strict: bool, tier: Tier
):
    shape = words.structured({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})

    def reply(text: str) -> Behaviour:
        return s.stream(words.events([text] if text else [])) if stream else s.answer(words.whole(text))

    script = Script({"a": [reply('{"n": 3}'), reply(rejected)]})

    async def scenario(play: Play) -> None:
        await play.ask(request(words, stream, **shape))
        result = await play.ask(request(words, stream, **shape))

        assert tier is said.tier(result.outcome)

    static = StaticAnswer(text="sorry", json='{"n": 0}')
    play(Play(script, words, cache=STALE, static=static, strict=strict), scenario)


def test_a_call_that_was_shed_or_has_no_time_left_gets_the_earlier_answer(words: Words, stream: bool):
    script = Script({"a": [good(words, stream)]})

    async def scenario(play: Play) -> None:
        await play.ask(request(words, stream))
        play.admission.slots = 0
        shed = await play.ask(request(words, stream))
        play.admission.slots = 10
        script.plans["a"] = [s.hang()]
        late = await play.ask(request(words, stream), deadline=2.0)

        assert [Tier.CACHED] * 2 == [said.tier(shed.outcome), said.tier(late.outcome)]
        assert b"admission" == label(shed, b"x-llm-sidecar-degraded")

    play(Play(script, words, cache=STALE), scenario)


def test_with_an_earlier_answer_behind_it_no_call_waits_for_a_probe():
    script = Script({"a": [good(OpenAI, False), s.lost()]})

    async def scenario(play: Play) -> None:
        await play.ask(request(OpenAI, False))
        for n in range(6):
            await play.ask(request(OpenAI, False, f"other {n}"), deadline=2.0)
        assert BreakerState.OPEN is next(iter(play.memory.breakers.values())).state
        result = await play.ask(request(OpenAI, False), deadline=300.0)

        assert Tier.CACHED is said.tier(result.outcome)
        assert result.ended - result.began < 0.05

    play(Play(script, cache=STALE), scenario)


def test_beyond_stale_there_is_nothing(words: Words):
    script = Script({"a": [good(words, False), s.lost()]})

    async def scenario(play: Play) -> None:
        await play.ask(request(words, False))
        await asyncio.sleep(7201)
        result = await play.ask(request(words, False))

        assert Tier.NONE is said.tier(result.outcome)
        assert 0 == len(play.memory.answers)

    play(Play(script, words, cache=STALE), scenario)


@pytest.mark.parametrize("kind", ["INVALID", "FILTER"])
def test_the_applications_own_mistake_is_never_papered_over(words: Words, stream: bool, kind: str):
    wrong: tuple[int, bytes] = getattr(words, kind)
    script = Script({"a": [good(words, stream), s.error(wrong)]})

    async def scenario(play: Play) -> None:
        await play.ask(request(words, stream))
        result = await play.ask(request(words, stream))

        assert isinstance(result.outcome, Failed)
        assert wrong[1] == result.outcome.body

    play(Play(script, words, cache=STALE, static=STATIC), scenario)


def test_a_key_of_the_applications_own_that_is_refused_opens_no_answer(words: Words, stream: bool):
    script = Script({"a": [good(words, stream), s.error(words.AUTH)]})

    async def scenario(play: Play) -> None:
        await play.ask(request(words, stream))
        result = await play.ask(request(words, stream))

        assert isinstance(result.outcome, Failed)
        assert words.AUTH[1] == result.outcome.body

    play(Play(script, words, cache=STALE, static=STATIC, injected=False), scenario)


# ---- whose it is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [FRESH, replace(STALE, scope="tenant")], ids=["fresh", "stale"])
def test_two_tenants_two_credentials_two_routes_never_see_each_others_answers(rules: CacheRules):
    """One question of everybody, twice; each has one answer of its own, the second time too."""
    given: list[str] = []

    async def behave(call: Call, sink: Sink) -> Outcome:
        given.append(f"for {len(given)}")
        await sink.start(Head(200, "OK", JSON))
        await sink.send(Chunk(OpenAI.whole(given[-1])))
        return Answered(200)

    script = Script({"a": [behave]})

    async def scenario(play: Play) -> None:
        stacks = {name: play.build(replace(play.route, name=name)) for name in ("support", "search")}
        callers = [
            (route, key, tenant, provider)
            for route in stacks
            for key in (b"Bearer one", b"Bearer two", None)
            for tenant in ("north", "south")
            for provider in ("openai", "azure")
        ]

        async def ask(route: str, key: bytes | None, tenant: str, provider: str) -> str:
            play.stack = stacks[route]
            headers = () if key is None else ((b"Authorization", key),)
            about: dict[str, Any] = {"route": route, "headers": headers, "provider": provider}
            result = await play.ask(request(OpenAI, False), options=Options(tenant=tenant), **about)
            return text_of(OpenAI, result)

        first = [await ask(*caller) for caller in callers]
        if not rules.fresh:
            script.plans["a"] = [s.lost()]
        again = [await ask(*caller) for caller in callers]

        assert first == again == given
        assert len(set(first)) == len(callers)

    play(Play(script, cache=rules), scenario)


def test_where_tenants_are_wanted_a_request_that_names_none_is_left_alone():
    script = Script({"a": [good(OpenAI, False)]})

    async def scenario(play: Play) -> None:
        for _ in range(2):
            await play.ask(request(OpenAI, False))

        assert 2 == len(script.asked)
        assert 0 == len(play.memory.answers)

    play(Play(script, cache=replace(FRESH, scope="tenant")), scenario)


class Key:
    """A configured key that can be rotated."""

    digest = "11111111"

    def reveal(self) -> str:
        return "secret"


@pytest.mark.parametrize("change", ["key", "model", "place"])
def test_an_answer_from_elsewhere_than_the_route_asks_now_is_nobodys(change: str):
    script = Script({"a": [good(OpenAI, False)]})

    async def scenario(play: Play) -> None:
        [target] = play.route.chain
        key = Key()
        target = replace(target, key=key)
        play.stack = play.build(replace(play.route, chain=(target,)))
        await play.ask(request(OpenAI, False))
        if change == "key":
            key.digest = "22222222"
        elif change == "model":
            target = replace(target, model="another")
        else:
            target = replace(target, provider=replace(target.provider, host="elsewhere.example"))
        play.stack = play.build(replace(play.route, chain=(target,)))
        script.plans["a"] = [s.lost()]
        result = await play.ask(request(OpenAI, False))

        assert Tier.NONE is said.tier(result.outcome)
        assert 1 == len(play.memory.answers)

    play(Play(script, cache=FRESH), scenario)


# ---- what is never kept ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cut", "early"])
def test_a_stream_that_does_not_come_to_its_end_is_never_kept(words: Words, end: str):
    for count in range(len(words.events(GOOD))):
        pieces = words.events(GOOD)[:count]
        if pieces and words.done in pieces[-1]:
            continue
        script = Script({"a": [s.stream(pieces, end="cut" if end == "cut" else "eof")]})

        async def scenario(play: Play) -> None:
            result = await play.ask(request(words, True))

            # an answer that lacks at most its sentinel is whole, and its client got it as such
            assert isinstance(result.outcome, Answered) is (1 == len(play.memory.answers))

        play(Play(script, words, cache=FRESH), scenario)


def test_what_a_client_did_not_stay_for_is_not_kept(words: Words, stream: bool):
    script = Script({"a": [good(words, stream)]})

    async def scenario(play: Play) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.12 if stream else 0.05):
                await play.ask(request(words, stream))

        assert 0 == len(play.memory.answers)

    play(Play(script, words, cache=FRESH), scenario)


def test_a_stream_with_a_hole_in_it_is_not_kept(words: Words):
    events = words.events(GOOD)
    script = Script({"a": [s.stream([*events[:2], words.malformed, *events[2:]])]})

    async def scenario(play: Play) -> None:
        result = await play.ask(request(words, True))

        assert isinstance(result.outcome, Answered)
        assert 0 == len(play.memory.answers)

    play(Play(script, words, cache=FRESH), scenario)


TOOL = {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
LEFT_OUT: dict[str, bytes] = {
    "cut at its length": OpenAI.whole("all is", "length"),
    "filtered": OpenAI.whole("all is", "content_filter"),
    "a refusal": OpenAI.whole(None, refusal="I would rather not"),
    "a tool call": OpenAI.whole(None, "tool_calls", **TOOL),
    "a tool call that says it is done": OpenAI.whole("calling", "stop", **TOOL),
    "an error in a 200": OpenAI.error(),
    "empty": OpenAI.whole(""),
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_is_no_whole_answer_of_text_is_not_kept(what: str):
    script = Script({"a": [s.answer(LEFT_OUT[what])]})

    async def scenario(play: Play) -> None:
        await play.ask(request(OpenAI, False))

        assert 0 == len(play.memory.answers)

    play(Play(script, cache=FRESH), scenario)


def test_an_answer_with_a_finding_that_counts_is_not_kept():
    script = Script({"a": [s.answer(OpenAI.whole("{oh no"))]})
    shape = OpenAI.structured({"type": "object"})

    async def scenario(play: Play) -> None:
        result = await play.ask(request(OpenAI, False, **shape))

        assert Tier.REDUCED is said.tier(result.outcome)
        assert 0 == len(play.memory.answers)

    play(Play(script, cache=FRESH), scenario)


def test_an_encoded_answer_or_one_that_is_too_large_is_not_kept():
    coded = s.answer(OpenAI.whole("x"), headers=(*JSON, (b"content-encoding", b"br")))
    large = s.answer(OpenAI.whole("x" * (1024 * 1024)))
    script = Script({"a": [coded, large]})

    async def scenario(play: Play) -> None:
        for _ in range(2):
            await play.ask(request(OpenAI, False))

        assert 0 == len(play.memory.answers)

    play(Play(script, cache=FRESH), scenario)


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"functions": [{"name": "f"}]},
        {"web_search_options": {"search_context_size": "low"}},
        {"store": True},
    ],
    ids=lambda more: next(iter(more)),
)
def test_a_request_that_acts_or_leaves_something_behind_is_left_alone(more: dict[str, Any]):
    script = Script({"a": [good(OpenAI, False)]})

    async def scenario(play: Play) -> None:
        for _ in range(2):
            await play.ask(request(OpenAI, False, **more))

        assert 2 == len(script.asked)
        assert 0 == len(play.memory.answers)

    play(Play(script, cache=FRESH), scenario)


@pytest.mark.parametrize("more", [{}, {"store": True}, {"previous_response_id": "r"}, {"conversation": "c"}])
def test_a_response_that_its_provider_stores_is_left_alone(more: dict[str, Any]):
    script = Script({"a": [good(Responses, False)]})

    async def scenario(play: Play) -> None:
        store = {} if "previous_response_id" not in more and "conversation" not in more else {"store": False}
        for _ in range(2):
            await play.ask(Responses.request("hello", **more, **store))

        assert 2 == len(script.asked)

    play(Play(script, Responses, cache=FRESH), scenario)


def test_a_body_whose_keys_stand_twice_poisons_nothing():
    script = Script({"a": [good(OpenAI, False)]})
    said = b'"messages":[{"role":"user","content":"%b"}]'
    twice = b'{"model":"m",' + said % b"evil" + b"," + said % b"hello" + b"}"

    async def scenario(play: Play) -> None:
        await play.ask(twice)

        assert 0 == len(play.memory.answers)

    play(Play(script, cache=FRESH), scenario)


# ---- how much is kept ----------------------------------------------------------------------------------


def test_the_bounds_hold_under_a_flood_of_prompts():
    script = Script({"a": [s.answer(OpenAI.whole("x" * 5000), after=0.001)]})

    async def scenario(play: Play) -> None:
        answers = play.memory.answers
        answers.resize(1000, 100_000)
        for n in range(2000):
            await play.ask(request(OpenAI, False, f"prompt {n}"))
            assert answers.size <= 100_000
        assert len(answers) == len(answers._held) <= 20
        answers.resize(3, 100_000)
        assert 3 == len(answers)
        before = len(script.asked)
        await play.ask(request(OpenAI, False, "prompt 1999"))

        assert before == len(script.asked), "the newest ones are kept"
        assert 1997 == answers.news()["room"]

    play(Play(script, cache=FRESH), scenario)


def test_an_answer_is_copied_only_as_long_as_there_is_room_for_it(stream: bool):
    script = Script({"a": [good(OpenAI, stream)]})

    async def scenario(play: Play) -> None:
        play.admission.bytes = 200
        result = await play.ask(request(OpenAI, stream))

        assert isinstance(result.outcome, Answered)
        assert 0 == len(play.memory.answers)

    play(Play(script, cache=FRESH), scenario)


def test_where_memory_is_tight_nothing_more_is_kept():
    script = Script({"a": [good(OpenAI, False)]})

    async def scenario(play: Play) -> None:
        play.memory.answers.closed = True
        for _ in range(2):
            await play.ask(request(OpenAI, False))

        assert 2 == len(script.asked)
        assert ["miss", "miss"] == results(play)

    play(Play(script, cache=FRESH), scenario)


# ---- shared by several pods ----------------------------------------------------------------------------


class Elsewhere:
    """A store that other pods fill too."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Any] = {}
        self.asked = 0

    async def get(self, key: bytes, now: float) -> Any:
        self.asked += 1
        await asyncio.sleep(0.01)
        return self.kept.get(key)

    def put(self, key: bytes, stored: Any, seconds: float) -> None:
        self.kept[key] = stored


@pytest.mark.parametrize("rules", [FRESH, STALE], ids=["fresh", "stale"])
def test_what_another_pod_kept_is_found_when_it_is_needed(rules: CacheRules):
    place = Elsewhere()
    script = Script({"a": [good(OpenAI, False)]})

    async def scenario(play: Play) -> None:
        play.memory.answer_store = place
        play.stack = play.build(play.route)
        await play.ask(request(OpenAI, False))
        play.memory.answers.clear()
        asked = place.asked
        script.plans["a"] = [s.lost()]
        result = await play.ask(request(OpenAI, False))

        assert (Tier.FULL if rules.fresh else Tier.CACHED) is said.tier(result.outcome)
        assert 1 == place.asked - asked

    play(Play(script, cache=rules), scenario)


def test_a_healthy_call_of_a_route_without_fresh_answers_asks_no_other_store():
    place = Elsewhere()

    async def scenario(play: Play) -> None:
        play.memory.answer_store = place
        play.stack = play.build(play.route)
        for _ in range(3):
            await play.ask(request(OpenAI, False))

        assert 0 == place.asked
        assert 1 == len(place.kept)

    play(Play(Script({"a": [good(OpenAI, False)]}), cache=STALE), scenario)


# ---- a slow client ------------------------------------------------------------------------------------


def test_an_answer_is_kept_when_its_last_byte_is_with_the_client():
    script = Script({"a": [good(OpenAI, True)]})

    async def scenario(play: Play) -> None:
        slow = Tape(pause=1.0)
        first = await play.ask(request(OpenAI, True), tape=slow)
        again = await play.ask(request(OpenAI, True))

        assert first.tape.body == again.tape.body
        assert b"".join(OpenAI.events(GOOD)) == again.tape.body

    play(Play(script, cache=FRESH), scenario)


def test_the_raw_head_of_a_provider_is_not_given_again():
    private = (*JSON, (b"set-cookie", b"s=1"), (b"x-ratelimit-remaining", b"3"), (b"openai-request-id", b"r"))

    async def behave(call: Call, sink: Sink) -> Outcome:
        await sink.start(Head(200, "OK", private))
        await sink.send(Chunk(OpenAI.whole("hello")))
        return Answered(200)

    async def scenario(play: Play) -> None:
        await play.ask(request(OpenAI, False))
        again = await play.ask(request(OpenAI, False))

        assert again.tape.head is not None
        names = {name.lower() for name, _ in again.tape.head.headers}
        assert not names & {b"set-cookie", b"x-ratelimit-remaining", b"openai-request-id"}

    play(Play(Script({"a": [behave]}), cache=FRESH), scenario)
