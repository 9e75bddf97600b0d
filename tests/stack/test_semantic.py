"""The nearest earlier question, where nobody answers: within its scope, labelled, never in the way."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.nearest import Nearest
from sidecar.dialects.repeating import last_words
from sidecar.events import AttemptEnded, Cached
from sidecar.model import Answered, Call, Chunk, Failed, Head, Options, Outcome, Sink, Tier
from sidecar.settings import Boundary, CacheRules, RetryRules, Semantic
from sidecar.telemetry import words as said
from tests.kit import script as s
from tests.kit.answers import DIALECTS, JSON, OpenAI, Responses
from tests.kit.answers import Dialect as Words
from tests.kit.script import Play, Result, Script, target
from tests.kit.vloop import run

MAKER = replace(target("vectors", "openai_chat"), model="small")
RULES = CacheRules(scope="shared", stale=7200.0, semantic=Semantic(target=MAKER, threshold=0.9))


class Vectors:
    """Makes a vector of the angle that stands in a text, in degrees."""

    def __init__(self, after: float = 0.05) -> None:
        self.after = after
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Any] = []

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        self.bodies.append(json.loads(call.body))
        self.headers.append(call.headers)
        await asyncio.sleep(self.after)
        angle = math.radians(float(self.bodies[-1]["input"]))
        vector = {"object": "embedding", "index": 0, "embedding": [math.cos(angle), math.sin(angle)]}
        await sink.start(Head(200, "OK", JSON))
        await sink.send(Chunk(json.dumps({"object": "list", "data": [vector], "model": "small"}).encode()))
        return Answered(200)


def play(
    script: Script, scenario: Callable[[Play], Awaitable[None]], words: Words = OpenAI, **more: Any
) -> None:
    async def main() -> None:
        made = Play(Script({"a": script.plans["a"]}), words, **{"cache": RULES, **more})
        made.script = script
        made.stack = made.build(made.route)
        async with made.clean():
            await scenario(made)

    run(main())


def request(words: Words, text: str, stream: bool = False, **more: Any) -> bytes:
    return words.request(text, stream=stream, **({"store": False} if words is Responses else {}), **more)


def label(result: Result) -> bytes | None:
    return result.tape.head.get(b"x-llm-sidecar-cache") if result.tape.head is not None else None


def good(words: Words, stream: bool) -> s.Behaviour:
    return s.stream(words.events(["all ", "is well"])) if stream else s.answer(words.whole("all is well"))


@pytest.mark.parametrize("words", DIALECTS, ids=lambda words: words.dialect)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_nearest_question_answers_where_nobody_does(words: Words, stream: bool):
    vectors = Vectors()
    script = Script({"a": [good(words, stream)], "vectors": [vectors]})

    async def scenario(play: Play) -> None:
        for text in ("0", "90"):
            await play.ask(request(words, text, stream))
        await play.memory.learning.once()
        script.plans["a"] = [s.lost()]
        near = await play.ask(request(words, "10", stream))
        far = await play.ask(request(words, "45", stream))

        assert Tier.CACHED is said.tier(near.outcome)
        assert b"semantic;similarity=0.98" == label(near)
        assert b"well" in near.tape.body
        assert b'"tier":"cached"' in near.tape.body
        assert Tier.NONE is said.tier(far.outcome)
        assert ["stored", "stored", "semantic_hit", "stale_miss"] == [e.result for e in play.said(Cached)]
        assert [{"input", "model", "encoding_format"}] == [set(body) for body in vectors.bodies[:1]]

    play(script, scenario, words)


def test_the_same_question_needs_no_vector():
    vectors = Vectors()
    script = Script({"a": [good(OpenAI, False), s.lost()], "vectors": [vectors]})

    async def scenario(play: Play) -> None:
        await play.ask(request(OpenAI, "0"))
        again = await play.ask(request(OpenAI, "0"))

        assert b"stale" == label(again)
        assert [] == vectors.bodies

    play(script, scenario)


def test_a_healthy_call_waits_for_no_vector_and_sends_no_key_of_the_application():
    vectors = Vectors(after=5.0)
    script = Script({"a": [good(OpenAI, False)], "vectors": [vectors]})

    async def scenario(play: Play) -> None:
        result = await play.ask(request(OpenAI, "0"), headers=((b"authorization", b"Bearer canary"),))
        assert result.ended - result.began < 0.2
        assert 1 == len(play.memory.learning.waiting)
        await play.memory.learning.once()

        assert b"canary" not in repr(vectors.headers).encode()
        assert [0] == [len(known) for known in play.memory.nearest.values()], "it took too long"

    play(script, scenario)


@pytest.mark.parametrize("trouble", ["slow", "down", "garbage"])
def test_an_embedding_that_fails_fails_no_call_and_rests(trouble: str):
    behaviour = {"slow": s.hang(), "down": s.lost(), "garbage": s.answer(b'{"data": [{"embedding": "no"}]}')}
    script = Script({"a": [good(OpenAI, False)], "vectors": [Vectors(), behaviour[trouble]]})

    async def scenario(play: Play) -> None:
        await play.ask(request(OpenAI, "0"))
        await play.memory.learning.once()
        script.plans["a"] = [s.lost()]
        plain = await play.ask(request(OpenAI, "1"), options=Options(cache=False))
        first = await play.ask(request(OpenAI, "1"))
        asked = script.count("vectors")
        second = await play.ask(request(OpenAI, "2"))

        assert isinstance(first.outcome, Failed)
        assert isinstance(second.outcome, Failed)
        assert plain.outcome == first.outcome
        assert asked == script.count("vectors"), "it rests"

    play(script, scenario, retry=RetryRules(attempts=1))


@pytest.mark.parametrize(
    ("body", "about"),
    [
        (OpenAI.request("1", temperature=0.3), {}),
        (OpenAI.request("1"), {"options": Options(tenant="another")}),
        (OpenAI.request("1"), {"headers": ((b"authorization", b"Bearer another"),)}),
        (OpenAI.request("1"), {"route": "another"}),
        (OpenAI.request("1", response_format={"type": "json_object"}), {}),
        (OpenAI.request("1", tools=[{"type": "function", "function": {"name": "f"}}]), {}),
        (b'{"model":"m","stream":false,"messages":[{"role":"assistant","content":"1"}]}', {}),
    ],
    ids=["request", "tenant", "credential", "route", "json", "tools", "no question"],
)
def test_nothing_is_near_that_is_of_another_scope(body: bytes, about: dict[str, Any]):
    script = Script({"a": [good(OpenAI, False), good(OpenAI, False), s.lost()], "vectors": [Vectors()]})

    async def scenario(play: Play) -> None:
        await play.ask(request(OpenAI, "0"))
        await play.ask(OpenAI.request("0", response_format={"type": "json_object"}))
        await play.memory.learning.once()
        result = await play.ask(body, **about)

        assert Tier.NONE is said.tier(result.outcome)

    play(script, scenario)


def test_its_attempts_are_counted_but_are_no_attempts_of_the_call():
    script = Script({"a": [good(OpenAI, False), s.lost()], "vectors": [Vectors()]})

    async def scenario(play: Play) -> None:
        await play.ask(request(OpenAI, "0"))
        await play.memory.learning.once()
        near = await play.ask(request(OpenAI, "1"))

        assert {"a"} == {attempt.target for attempt in near.record.attempts}
        assert 2 == sum(event.attempt.target == "vectors" for event in play.said(AttemptEnded))

    play(script, scenario)


def test_no_question_leaves_what_the_route_allows():
    vectors = Vectors()
    script = Script({"a": [good(OpenAI, False), s.lost()], "vectors": [vectors]})

    async def scenario(play: Play) -> None:
        [target] = play.route.chain
        inside = replace(target, provider=replace(target.provider, region="eu"))
        play.stack = play.build(replace(play.route, chain=(inside,), allow=Boundary(regions=("eu",))))
        await play.ask(request(OpenAI, "0"))
        await play.memory.learning.once()
        result = await play.ask(request(OpenAI, "1"))

        assert Tier.NONE is said.tier(result.outcome)
        assert [] == vectors.bodies

    play(script, scenario)


# ---- the cores ------------------------------------------------------------------------------------------


def test_vectors_are_bounded_and_what_has_no_direction_is_none():
    near = Nearest(most=3)
    for n in range(5):
        near.add(b"s", b"%d" % n, [1.0, float(n)])
    for bad in ([], [0.0, 0.0], [math.inf, 1.0], [math.nan, 1.0], [1.0] * 5000):
        near.add(b"s", b"bad", bad)

    assert 3 == len(near)
    assert near.find(b"s", [1.0, 4.0], 0.999) == (b"4", pytest.approx(1.0))
    assert near.find(b"other", [1.0, 4.0], 0.5) is None
    assert near.find(b"s", [1.0, 4.0, 0.0], 0.5) is None


@pytest.mark.parametrize(
    ("dialect", "said_", "text"),
    [
        ("openai_chat", {"messages": [{"role": "user", "content": "a"}]}, "a"),
        ("openai_chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, "a"),
        ("openai_responses", {"input": "a"}, "a"),
        (
            "openai_responses",
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]},
            "a",
        ),
        ("anthropic", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, "a"),
        ("gemini", {"contents": [{"parts": [{"text": "a"}]}]}, "a"),
        ("openai_chat", {"messages": [{"role": "tool", "content": "a"}]}, None),
        ("anthropic", {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, None),
        ("anthropic", {"messages": [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]}, None),
        ("gemini", {"contents": []}, None),
        ("openai_chat", {}, None),
    ],
)
def test_the_users_last_words(dialect: str, said_: dict[str, Any], text: str | None):
    found = last_words(dialect, said_)

    assert text == (None if found is None else found[1])
    assert found is None or '"a"' not in json.dumps(found[0])
