"""Each signal: when it fires, when it does not, and when it has nothing to look at."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model import Ask, Delta, Finish, FinishReason, Operation, Refusal, Text, ToolCall, Usage
from sidecar.settings import Signals
from sidecar.signals.answer import Answer
from sidecar.signals.judging import CHECKS, Schemas, Seen, judge, rules_of
from sidecar.signals.repetition import covered, loops

ASK = Ask(operation=Operation.CHAT, model="m")
STOP, LENGTH = Finish(FinishReason.STOP), Finish(FinishReason.LENGTH)
RULES = rules_of(Signals(min_characters=40, slow_first_content="off"))


def seen(*deltas: Delta, ask: Ask = ASK, **more: Any) -> Seen:
    answer = Answer(ask, watched=True)
    for delta in deltas:
        answer.add(delta)
    return Seen(answer, Schemas(lambda _: None), **({"min_characters": 40} | more))


def said(about: Seen) -> dict[str, bool]:
    return dict(judge(about, RULES.late).evaluated)


def short(tokens: int) -> tuple[Delta, ...]:
    return Text("x" * 200), Usage(output_total=tokens), STOP


@pytest.mark.parametrize(
    ("signal", "about", "expected"),
    [
        ("empty", seen(STOP), True),
        ("empty", seen(Finish(FinishReason.FILTER)), False),
        ("structured", seen(Text("{}"), STOP), None),
        (
            "structured",
            seen(Text("{}"), STOP, ask=Ask(operation=Operation.CHAT, model="m", json=True)),
            False,
        ),
        ("structured", seen(Text("{"), STOP, ask=Ask(operation=Operation.CHAT, model="m", json=True)), True),
        (
            "structured",
            seen(Text("{"), LENGTH, ask=Ask(operation=Operation.CHAT, model="m", json=True)),
            None,
        ),
        ("tool_arguments", seen(Text("x"), STOP), None),
        ("tool_arguments", seen(ToolCall(0, "1", "f", '{"a":'), ToolCall(0, arguments="1}")), False),
        ("tool_arguments", seen(ToolCall(0, "1", "f", '{"a":')), True),
        ("truncated", seen(Text("x"), LENGTH), True),
        ("truncated", seen(Text("x"), STOP), False),
        (
            "truncated",
            seen(Text("x"), LENGTH, ask=Ask(operation=Operation.CHAT, model="m", max_output=5)),
            None,
        ),
        ("refusal", seen(Refusal("no"), STOP), True),
        ("refusal", seen(Text("I can not help"), STOP), False),
        ("too_short", seen(*short(10), shortest=20.0), True),
        ("too_short", seen(*short(30), shortest=20.0), False),
        ("too_short", seen(Text("x" * 200), STOP, shortest=60.0), True),
        ("too_short", seen(Text("x" * 200), STOP, shortest=40.0), False),
        ("too_short", seen(*short(10)), None),
        ("too_short", seen(Text("x"), ToolCall(0, "1", "f", "{}"), STOP, shortest=20.0), None),
        ("too_short", seen(Text("x"), LENGTH, shortest=20.0), None),
        ("too_short", seen(Refusal("no"), STOP, shortest=20.0), None),
        ("min_length", seen(Text("x" * 39), STOP), True),
        ("min_length", seen(Text("x" * 40), STOP), False),
        ("min_length", seen(Text("x"), STOP, min_characters=0), None),
        ("repetition", seen(Text("again and again, " * 200), STOP), True),
        ("repetition", seen(Text("x"), STOP), False),
        ("slow_answer", seen(Text("x"), STOP, seconds=7.0, usual=2.0), True),
        ("slow_answer", seen(Text("x"), STOP, seconds=5.9, usual=2.0), False),
        ("slow_answer", seen(Text("x"), STOP, seconds=0.9, usual=0.1), False),
        ("slow_answer", seen(Text("x"), STOP, seconds=1.1, usual=0.1), True),
        ("slow_answer", seen(Text("x"), STOP, seconds=99.0), None),
    ],
)
def test_a_signal_fires_or_not_or_has_nothing_to_look_at(signal: str, about: Seen, expected: bool | None):
    assert expected is said(about).get(signal)


def test_every_signal_can_be_set_and_off_means_off():
    every: dict[str, Any] = dict.fromkeys(CHECKS, "off")
    counting: dict[str, Any] = dict.fromkeys(CHECKS, "count")
    rules = rules_of(replace(Signals(), **every))

    assert {} == rules.actions
    assert set(CHECKS) == set(rules_of(replace(Signals(), **counting)).actions)


# ---- repetition ------------------------------------------------------------------------------------

VOCABULARY = [
    "".join(random.Random(n).choices("abcdefghijklmnopqrstuvwxyz", k=2 + n % 9)) for n in range(900)
]


def prose(seed: int, size: int) -> str:
    rng = random.Random(seed)
    text = ""
    while len(text) < size:
        text += rng.choice(VOCABULARY) + rng.choice([" ", " ", " ", ", ", ". "])
    return text[:size]


@settings(max_examples=40)
@given(unit=st.integers(3, 300), seed=st.integers(0, 99), before=st.integers(0, 3000))
def test_a_passage_repeated_to_the_end_is_a_loop(unit: int, seed: int, before: int):
    text = prose(seed, before) + prose(seed + 1, unit) * (2100 // unit)

    assert loops(text) > 0.9


@settings(max_examples=40)
@given(st.integers(0, 9999))
def test_ordinary_text_is_none(seed: int):
    assert 0 == loops(prose(seed, 3000))
    assert covered(prose(seed, 3000)) < 0.05


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"| {n} | {n * 37 % 101} | {VOCABULARY[n]} |" for n in range(200)),
        "\n".join(f"{n}. {VOCABULARY[n % 900]} is an item of the list" for n in range(200)),
        "\n".join(f"    self.{VOCABULARY[n]} = {VOCABULARY[n]}" for n in range(200)),
        "a short refrain, " * 3,
        "",
    ],
    ids=["table", "list", "code", "refrain", "nothing"],
)
def test_what_looks_alike_but_moves_on_is_none(text: str):
    assert 0 == loops(text)


def test_a_loop_is_seen_while_it_streams_and_structured_output_is_never_looked_at():
    answer, structured = (
        Answer(ASK, watched=True),
        Answer(Ask(operation=Operation.CHAT, model="m", json=True), watched=True),
    )
    for _ in range(500):
        for one in (answer, structured):
            one.add(Text("[1, 2], "))

    assert answer.looped > 0.9
    assert not answer.watched, "once is enough"
    assert 0 == structured.looped


def test_what_is_kept_of_a_long_text_is_bounded():
    answer = Answer(ASK, watched=True)
    for n in range(20_000):
        answer.add(Text(prose(n, 30)))

    assert sum(map(len, answer._tail)) <= 2048 + 30
