"""Streams are asked what they took, and the client that did not ask sees nothing of it."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.dialects.openai_chat import OPENAI_CHAT, with_usage
from sidecar.model import Answered, Ask, Chunk, Failed, Operation, Usage
from sidecar.settings import Route, RouteCost
from tests.kit import script as s
from tests.kit.answers import Anthropic, OpenAI
from tests.kit.script import Play, Script, target
from tests.kit.vloop import run

COUNT = b'data: {"id": "c", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}\n\n'
PLAIN = OpenAI.events(["all ", "is ", "well"])
COUNTED = [*PLAIN[:-1], COUNT, PLAIN[-1]]
HIDES = Ask(operation=Operation.CHAT, model="m", hides_usage=True)
USAGE = Usage(input_total=11, output_total=7)
OPTION = b'{"include_usage":true}'
EXTRA = {"loc": ["body", "stream_options", "include_usage"], "msg": "Extra inputs are not permitted"}
REFUSAL = (422, json.dumps({"message": {"detail": [EXTRA]}}).encode())


def play(*behaviours: s.Behaviour, name: str = "openai", **changes: Any) -> Play:
    script = Script({name: list(behaviours)})
    chain = (target(name, changes.pop("dialect", "openai_chat"), model=changes.pop("model", None)),)
    return Play(script, route=Route(name="r", chain=chain, **changes))


def sent(one: Play) -> list[Any]:
    return [json.loads(asked.body) for asked in one.script.asked]


def test_a_stream_is_asked_and_its_answer_is_what_it_would_have_been():
    one = play(s.stream(COUNTED))
    body = OpenAI.request(stream=True)

    result = run(one.ask(body))

    assert [body.replace(b"{", b'{"stream_options":' + OPTION + b",", 1)] == [
        a.body for a in one.script.asked
    ]
    assert b"".join(PLAIN) == result.tape.body
    assert USAGE == result.record.attempts[0].usage
    assert isinstance(result.outcome, Answered)


def test_who_asked_gets_what_it_asked_for():
    one = play(s.stream(COUNTED))
    body = OpenAI.request(stream=True, stream_options={"include_usage": True})

    result = run(one.ask(body))

    assert [body] == [asked.body for asked in one.script.asked]
    assert b"".join(COUNTED) == result.tape.body


@pytest.mark.parametrize("said", [{}, {"include_usage": False}, {"include_obfuscation": False}])
def test_other_options_of_the_stream_stay(said: dict[str, bool]):
    one = play(s.stream(COUNTED))

    result = run(one.ask(OpenAI.request(stream=True, stream_options=said)))

    assert said | {"include_usage": True} == sent(one)[0]["stream_options"]
    assert b"".join(PLAIN) == result.tape.body


def test_what_is_not_streamed_stays_as_it_is():
    one = play(s.answer(OpenAI.whole("fine")))
    body = OpenAI.request()

    run(one.ask(body))

    assert [body] == [asked.body for asked in one.script.asked]


def test_who_refuses_is_asked_again_in_the_clients_words_and_no_more_with_the_option():
    one = play(s.error(REFUSAL), s.stream(PLAIN))
    body = OpenAI.request(stream=True)

    async def main() -> None:
        for _ in range(2):
            result = await one.ask(body)
            assert isinstance(result.outcome, Answered)
            assert b"".join(PLAIN) == result.tape.body

    run(main())
    assert [True, False, False] == ["stream_options" in body for body in sent(one)]
    assert body == one.script.asked[1].body


def test_it_is_remembered_over_a_reload():
    one = play(s.error(REFUSAL), s.stream(PLAIN))

    async def main() -> None:
        await one.ask(OpenAI.request(stream=True))
        one.stack = one.build(one.route)
        await one.ask(OpenAI.request(stream=True))

    run(main())
    assert 3 == len(one.script.asked)


def test_a_refusal_of_something_else_is_the_clients_to_see():
    one = play(s.error(OpenAI.INVALID))

    result = run(one.ask(OpenAI.request(stream=True)))

    assert isinstance(result.outcome, Failed)
    assert OpenAI.INVALID[1] == result.outcome.body
    assert 1 == len(one.script.asked)


def test_a_refusal_that_repeats_is_told_and_teaches_nothing():
    one = play(s.error(REFUSAL))

    result = run(one.ask(OpenAI.request(stream=True)))

    assert isinstance(result.outcome, Failed)
    assert 2 == len(one.script.asked)
    assert set() == one.memory.uncounted


@pytest.mark.parametrize(
    ("name", "rule", "asked"),
    [
        ("openai", "auto", True),
        ("vllm", "auto", True),
        ("mistral", "auto", False),  # it refuses the option, and needs none
        ("ours", "auto", False),
        ("ours", "always", True),
        ("openai", "never", False),
    ],
)
def test_only_those_are_asked_that_are_known_to_take_it(name: str, rule: str, asked: bool):
    one = play(s.stream(COUNTED), name=name, cost=RouteCost(stream_usage=rule))

    run(one.ask(OpenAI.request(stream=True)))

    assert asked is ("stream_options" in sent(one)[0])


def test_another_dialect_has_no_such_option():
    one = play(s.stream(Anthropic.events(["fine"])), name="anthropic", dialect="anthropic", model="claude")

    run(one.ask(OpenAI.request(stream=True)))

    assert "stream_options" not in sent(one)[0]


def test_a_call_that_is_streamed_for_our_sake_asks_once():
    one = play(s.stream(COUNTED), upstream_stream=True)

    result = run(one.ask(OpenAI.request()))

    assert 1 == one.script.asked[0].body.count(b"include_usage")
    assert 11 == json.loads(result.tape.body)["usage"]["prompt_tokens"]


# ---- bytes ----------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, len(b"".join(COUNTED))), max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_the_event_is_kept_back_however_the_bytes_are_cut(cuts: list[int], eol: bytes):
    whole = b"".join(COUNTED).replace(b"\n", eol)
    reader = OPENAI_CHAT.reader(HIDES, b"text/event-stream")
    edges = [0, *sorted(cuts), len(whole)]
    chunks = [reader.feed(whole[a:b]) for a, b in pairwise(edges)]
    chunks.append(reader.close())

    raw = b"".join(chunk.raw for chunk in chunks).replace(eol, b"\n")

    assert b"".join(PLAIN) == re.sub(rb"\n{3,}", b"\n\n", raw)
    assert USAGE in [delta for chunk in chunks for delta in chunk.deltas]
    assert reader.done


@pytest.mark.parametrize(
    "event",
    [
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},  # Azure's first
        {"choices": [{"index": 0, "delta": {"content": '"choices":[]'}}], "usage": {"prompt_tokens": 1}},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}},
        {"choices": [], "usage": None},
        {"choices": [], "usage": {"prompt_tokens": 1}, "error": {"message": "oh"}},
    ],
)
def test_no_other_event_is_kept_back(event: dict[str, Any]):
    reader = OPENAI_CHAT.reader(HIDES, b"text/event-stream")
    raw = b"data: " + json.dumps(event).encode() + b"\n\n"

    chunk: Chunk = reader.feed(raw)

    assert raw == chunk.raw


KEYS = st.text(min_size=1, max_size=5).filter(lambda key: key != "stream_options")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.sampled_from([None, 1, 4]))
def test_only_the_option_is_put_in(rest: dict[str, Any], indent: int | None):
    body = json.dumps(rest, indent=indent).encode()

    changed = with_usage(body)

    assert changed is not None
    assert rest | {"stream_options": {"include_usage": True}} == json.loads(changed)
    assert body == changed.replace(b'"stream_options":' + OPTION + (b"," if rest else b""), b"", 1)
