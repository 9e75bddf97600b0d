from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sidecar.gate import tokens
from sidecar.gate.check import (
    PLACES,
    Change,
    Fit,
    How,
    Reason,
    Skip,
    Way,
    check,
    facts,
    losses,
    reading_matters,
    settled,
    trimmed,
)
from sidecar.gate.features import Features
from sidecar.hub.base import Facts
from sidecar.hub.conversation import Choice, Conversation, Effort, Sampling, Shape, Thinking
from sidecar.model import Loss
from sidecar.models.card import Ability, Card

TODAY = date(2030, 5, 20)
WALL = datetime(2030, 5, 20, 13, tzinfo=UTC).timestamp()
CHAT = Way("openai_chat")
STRICT = Way("openai_chat", strict=True)
TO_CHAT, TO_RESPONSES, TO_ANTHROPIC, TO_GEMINI = (
    Way(name, translated=True) for name in ("openai_chat", "openai_responses", "anthropic", "gemini")
)
STRICT_GEMINI = Way("gemini", strict=True)
ALL = frozenset(Ability)


def card(*no: Ability, yes: frozenset[Ability] = frozenset(), **fields: Any) -> Card:
    return Card(provider="p", name="m", yes=yes - set(no), no=frozenset(no), **fields)


def wants(size: int = 100, **fields: Any) -> Features:
    return Features(size=size, **fields)


def verdict(
    features: Features, known: Card | None, way: Way = CHAT, ratio: float = tokens.START
) -> Skip | Fit:
    return check(features, known, way, wall=WALL, ratio=ratio)


def reason(features: Features, known: Card | None, way: Way = CHAT) -> Reason | None:
    said = verdict(features, known, way)
    return said.reason if isinstance(said, Skip) else None


def changes(features: Features, known: Card, way: Way = CHAT) -> tuple[Change, ...]:
    said = verdict(features, known, way)
    assert isinstance(said, Fit)
    return said.changes


NEEDS = [
    (wants(images=1), Ability.IMAGES, Reason.IMAGES),
    (wants(documents=1), Ability.DOCUMENTS, Reason.DOCUMENTS),
    (wants(audio=1), Ability.AUDIO, Reason.AUDIO),
    (wants(video=1), Ability.VIDEO, Reason.VIDEO),
    (wants(tools=True), Ability.TOOLS, Reason.TOOLS),
    (wants(tools=True, choice=Choice.REQUIRED), Ability.CHOICE, Reason.TOOL_CHOICE),
    (wants(shape=Shape.SCHEMA), Ability.SCHEMA, Reason.SCHEMA),
]


@pytest.mark.parametrize(("features", "ability", "why"), NEEDS)
def test_who_cannot_is_skipped(features: Features, ability: Ability, why: Reason):
    assert why is reason(features, card(ability))


@pytest.mark.parametrize(("features", "ability", "why"), NEEDS)
def test_who_can_is_asked(features: Features, ability: Ability, why: Reason):
    assert reason(features, card(yes=ALL)) is None
    assert reason(features, card(yes=ALL), STRICT) is None


@pytest.mark.parametrize(("features", "ability", "why"), NEEDS)
def test_what_nobody_knows_is_allowed_unless_strict(features: Features, ability: Ability, why: Reason):
    assert reason(features, card()) is None
    assert reason(features, None) is None
    assert why is reason(features, card(yes=ALL - {ability, Ability.NATIVE_SCHEMA}), STRICT)


@pytest.mark.parametrize(("features", "ability", "why"), NEEDS)
def test_who_is_not_asked_for_something_need_not_have_it(features: Features, ability: Ability, why: Reason):
    assert reason(wants(), card(ability)) is None


def test_strict_wants_to_know_the_model():
    assert Reason.UNKNOWN_MODEL is reason(wants(), None, STRICT)


@pytest.mark.parametrize(
    ("features", "known", "way", "why"),
    [
        (wants(tools=True, choice=Choice.NAMED), card(Ability.FORCED), CHAT, Reason.TOOL_CHOICE),
        (wants(tools=True, choice=Choice.AUTO), card(Ability.CHOICE), CHAT, None),
        (wants(tools=True, parallel=False), card(), STRICT_GEMINI, Reason.TOOLS),
        (wants(tools=True, parallel=False), card(yes=ALL), STRICT_GEMINI, Reason.PARALLEL_TOOLS),
        (wants(tools=True, parallel=True), card(yes=ALL), STRICT_GEMINI, None),
        (wants(choices=2), None, TO_ANTHROPIC, Reason.CHOICES),
        (wants(choices=2), None, TO_RESPONSES, Reason.CHOICES),
        (wants(choices=8), None, TO_GEMINI, None),
        (wants(choices=9), None, TO_GEMINI, Reason.CHOICES),
        (wants(choices=9), None, TO_CHAT, None),
        (wants(logprobs_at="logprobs"), None, TO_GEMINI, Reason.LOGPROBS),
        (wants(logprobs_at="logprobs"), None, CHAT, None),
        (wants(stops=5), None, TO_CHAT, None),
        (wants(stops=5), card(yes=ALL), Way("openai_chat", translated=True, strict=True), Reason.STOPS),
        (wants(stops=4), card(yes=ALL), Way("openai_chat", translated=True, strict=True), None),
        (wants(prefill_at="messages[1]", continues=True), None, TO_CHAT, Reason.PREFILL),
        (wants(prefill_at="messages[1]"), None, TO_CHAT, None),
        (wants(prefill_at="messages[1]"), None, CHAT, None),
        (wants(prefill_at="messages[1]"), card(Ability.PREFILL), TO_ANTHROPIC, Reason.PREFILL),
        (wants(prefill_at="messages[1]"), card(), TO_ANTHROPIC, None),
        (wants(system=True), card(Ability.SYSTEM), CHAT, Reason.SYSTEM),
        (wants(late_system_at="m"), card(Ability.SYSTEM_ANYWHERE), Way("anthropic"), Reason.SYSTEM),
        (wants(late_system_at="m"), card(Ability.SYSTEM_ANYWHERE), TO_ANTHROPIC, None),  # hoisted
        (wants(audio=1), None, TO_ANTHROPIC, Reason.AUDIO),
        (wants(video=1), None, TO_CHAT, Reason.VIDEO),
        (wants(documents=1, remote_document_at="m"), None, TO_CHAT, Reason.REMOTE_MEDIA),
        (wants(state_at="container"), None, TO_CHAT, Reason.SERVER_STATE),
        (wants(state_at="container"), None, Way("anthropic", same_provider=True), None),
        (wants(server_tool_at="tools[0]"), None, Way("anthropic"), Reason.SERVER_TOOLS),
        (wants(server_tool_at="tools[0]"), None, Way("anthropic", same_provider=True), None),
    ],
)  # fmt: skip
def test_the_table(features: Features, known: Card | None, way: Way, why: Reason | None):
    assert why is reason(features, known, way)


def test_a_skip_says_where_in_the_request_it_stands():
    assert Skip(Reason.SERVER_STATE, "container") == verdict(wants(state_at="container"), None)


@pytest.mark.parametrize(
    ("known", "way", "why"),
    [
        (card(Ability.SCHEMA), TO_CHAT, None),  # a forced tool stands in
        (card(Ability.SCHEMA), CHAT, Reason.SCHEMA),  # nobody rewrites the client's own words
        (card(Ability.SCHEMA, Ability.TOOLS), TO_CHAT, Reason.SCHEMA),
        (card(Ability.SCHEMA, Ability.FORCED), TO_ANTHROPIC, Reason.SCHEMA),
        (card(Ability.SCHEMA, yes=frozenset({Ability.NATIVE_SCHEMA})), CHAT, None),
    ],
)
def test_a_schema_may_be_emulated_where_the_request_is_translated(known: Card, way: Way, why: Reason | None):
    assert why is reason(wants(shape=Shape.SCHEMA), known, way)


# ---- retirement ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "expected"),
    [(-1, "skip"), (0, "warn"), (30, "warn"), (31, "fine"), (400, "fine")],
)
def test_a_model_is_asked_until_its_last_day_and_warned_of_a_month_before(days: int, expected: str):
    last = TODAY + timedelta(days=days)
    said = verdict(wants(), card(retires=last))
    assert (
        Skip(Reason.RETIRED) if expected == "skip" else Fit((), last if expected == "warn" else None)
    ) == said


# ---- the window ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "max_output", "window", "ratio", "why"),
    [
        (3600, None, 1151, 3.6, None),  # 1,000 tokens, and 15 % on top
        (3600, None, 1149, 3.6, Reason.CONTEXT_WINDOW),
        (3600, 500, 1651, 3.6, None),
        (3600, 500, 1649, 3.6, Reason.CONTEXT_WINDOW),
        (3600, None, 1149, 4.0, None),  # learned: this target needs fewer tokens
    ],
)
def test_the_window_takes_the_prompt_the_answer_and_a_margin(
    size: int, max_output: int | None, window: int, ratio: float, why: Reason | None
):
    said = verdict(wants(size, max_output=max_output), card(window=window), CHAT, ratio)
    assert (Skip(why) if why else Fit()) == said


def test_a_limit_above_the_models_own_counts_as_the_models_own():
    known = card(window=1700, output=500)
    assert reason(wants(3600, max_output=100_000), known) is None


def test_media_takes_its_share_of_the_window():
    assert Reason.CONTEXT_WINDOW is reason(wants(100, images=10), card(window=16_000))
    assert reason(wants(100, images=1), card(window=16_000)) is None


def test_what_was_not_read_is_not_guessed():
    unread = wants(10**7, read=False)
    assert reason(unread, card(window=1000)) is None
    assert reason(wants(10**7, embedding=True), card(window=1000)) is None


def test_a_request_is_worth_reading_only_if_it_could_be_too_long():
    known = card(window=1000)
    assert reading_matters(wants(1500, read=False), known)
    assert not reading_matters(wants(1300, read=False), known)
    assert reading_matters(wants(1300, read=False, max_output=100), known)
    assert not reading_matters(wants(10**7), known)
    assert not reading_matters(wants(10**7, read=False), None)
    assert not reading_matters(wants(10**7, read=False, embedding=True), known)


@given(st.integers(0, 10**7), st.integers(1, 10**6), st.floats(tokens.LEAST, tokens.MOST))
def test_the_quick_look_never_hides_a_prompt_that_is_too_long(size: int, window: int, ratio: float):
    too_long = tokens.tokens(size, ratio) * tokens.SAFETY > window + 2  # the quick look does not round up
    assert not too_long or Reason.CONTEXT_WINDOW is reason_at(size, window, ratio)


def reason_at(size: int, window: int, ratio: float) -> Reason | None:
    said = verdict(wants(size), card(window=window), CHAT, ratio)
    return said.reason if isinstance(said, Skip) else None


# ---- changes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "known", "expected"),
    [
        (wants(max_output=500), card(output=100), [Change("sampling.max_output", How.CLAMPED, 100)]),
        (wants(max_output=100), card(output=100), []),
        (
            wants(sampling=("temperature", "top_k")),
            card(Ability.SAMPLING),
            [Change("sampling.temperature", How.DROPPED), Change("sampling.top_k", How.DROPPED)],
        ),
        (wants(thinks=True, effort=Effort.HIGH), card(Ability.THINKING), [Change("thinking", How.DROPPED)]),
        (wants(effort=Effort.MAX), card(Ability.MAX_EFFORT), [Change("thinking", How.CLAMPED, "xhigh")]),
        (
            wants(effort=Effort.MAX),
            card(Ability.MAX_EFFORT, Ability.XHIGH_EFFORT),
            [Change("thinking", How.CLAMPED, "high")],
        ),
        (wants(effort=Effort.MAX), card(Ability.XHIGH_EFFORT), [Change("thinking", How.CLAMPED, "high")]),
        (
            wants(effort=Effort.MAX),
            card(yes=frozenset({Ability.XHIGH_EFFORT})),
            [Change("thinking", How.CLAMPED, "xhigh")],
        ),
        (
            wants(effort=Effort.XHIGH),
            card(yes=frozenset({Ability.MAX_EFFORT})),
            [Change("thinking", How.CLAMPED, "high")],
        ),
        (wants(effort=Effort.NONE), card(Ability.NO_EFFORT), [Change("thinking", How.CLAMPED, "minimal")]),
        (
            wants(effort=Effort.NONE),
            card(Ability.NO_EFFORT, Ability.MINIMAL_EFFORT),
            [Change("thinking", How.CLAMPED, "low")],
        ),
        (wants(effort=Effort.LOW), card(Ability.MINIMAL_EFFORT), []),
        (wants(tools=True, parallel=False), card(Ability.SWITCH), [Change("parallel", How.DROPPED)]),
        (wants(tools=True, parallel=True), card(Ability.SWITCH), []),
    ],
)
def test_what_does_not_fit_is_clamped_or_dropped_and_told(
    features: Features, known: Card, expected: list[Change]
):
    assert tuple(expected) == changes(features, known)


BODIES: dict[str, dict[str, Any]] = {
    "openai_chat": {"max_tokens": 500, "temperature": 1.0, "reasoning_effort": "minimal", "x": 1},
    "openai_responses": {
        "max_output_tokens": 500, "temperature": 1.0, "reasoning": {"effort": "minimal"}, "x": 1,
    },
    "anthropic": {"max_tokens": 500, "temperature": 1.0, "output_config": {"effort": "minimal"}, "x": 1},
    "gemini": {
        "generation_config": {
            "maxOutputTokens": 500, "temperature": 1.0, "x": 1,
            "thinking_config": {"thinking_level": "minimal"},
        },
    },
}  # fmt: skip
CUT = (Change("sampling.max_output", How.CLAMPED, 100), Change("sampling.temperature", How.DROPPED))
LOWER = (Change("thinking", How.CLAMPED, "low"),)
EXPECTED: dict[str, dict[str, Any]] = {
    "openai_chat": {"max_tokens": 100, "reasoning_effort": "low", "x": 1},
    "openai_responses": {"max_output_tokens": 100, "reasoning": {"effort": "low"}, "x": 1},
    "anthropic": {"max_tokens": 100, "output_config": {"effort": "low"}, "x": 1},
    "gemini": {
        "generation_config": {"maxOutputTokens": 100, "thinking_config": {"thinking_level": "low"}, "x": 1}
    },
}


@pytest.mark.parametrize("dialect", sorted(BODIES))
def test_changes_are_made_in_the_words_of_each_dialect(dialect: str):
    assert EXPECTED[dialect] == json.loads(
        trimmed(dialect, json.dumps(BODIES[dialect]).encode(), CUT + LOWER)
    )


@pytest.mark.parametrize("dialect", sorted(BODIES))
def test_a_body_without_the_field_keeps_its_bytes(dialect: str):
    body = b'{ "contents" : [ 1.50 ] }'
    assert body == trimmed(dialect, body, CUT)
    assert body == trimmed(dialect, body, ())


def test_every_change_has_a_place_in_every_dialect():
    names = {frozenset(places) for places in PLACES.values()}
    assert 1 == len(names)


def test_dropping_thinking_takes_all_of_it():
    body = b'{"thinking":{"type":"enabled","budget_tokens":2000},"output_config":{"effort":"low"},"a":1}'
    assert {"a": 1} == json.loads(trimmed("anthropic", body, (Change("thinking", How.DROPPED),)))


def test_a_conversation_is_changed_alike():
    asked = Conversation(
        model="m",
        turns=(),
        sampling=Sampling(temperature=1.0, top_p=0.5, max_output=500),
        thinking=Thinking(effort=Effort.MINIMAL, shown=True),
        parallel=False,
        names={"sampling.max_output": "max_tokens"},
    )
    made = (*CUT, *LOWER, Change("parallel", How.DROPPED))
    now = settled(asked, made)
    assert Sampling(top_p=0.5, max_output=100) == now.sampling
    assert Thinking(effort=Effort.LOW, shown=True) == now.thinking
    assert now.parallel is None
    assert Thinking(shown=True) == settled(asked, (Change("thinking", How.DROPPED),)).thinking
    assert Loss("max_tokens", "clamped") == losses(asked, made)[0]
    assert Loss("sampling.max_output", "clamped") == losses(None, made)[0]


# ---- facts --------------------------------------------------------------------------------------


def test_a_writer_is_told_what_the_card_knows():
    known = card(Ability.SAMPLING, yes=frozenset({Ability.SYSTEM_ANYWHERE, Ability.ADAPTIVE}), output=7)
    told = facts(known, replace_same(TO_ANTHROPIC))
    assert (
        Facts(max_output=7, system_anywhere=True, sampling=False, adaptive_thinking=True, same_provider=True)
        == told
    )
    assert Facts() == facts(None, TO_CHAT)


def replace_same(way: Way) -> Way:
    return Way(way.dialect, translated=way.translated, same_provider=True)


def test_a_schema_is_native_at_anthropic_only_where_it_says_so():
    some, native = (
        card(yes=frozenset({Ability.SCHEMA})),
        card(yes=frozenset({Ability.SCHEMA, Ability.NATIVE_SCHEMA})),
    )
    assert facts(some, TO_ANTHROPIC).schema is None
    assert facts(native, TO_ANTHROPIC).schema is True
    assert facts(some, TO_CHAT).schema is True
    assert facts(card(Ability.SCHEMA), TO_CHAT).schema is False


# ---- in general ---------------------------------------------------------------------------------

ABILITIES = st.frozensets(st.sampled_from(list(Ability)))
FEATURES = st.builds(
    Features,
    size=st.integers(0, 10**6),
    read=st.booleans(),
    max_output=st.none() | st.integers(1, 10**6),
    images=st.integers(0, 3),
    audio=st.integers(0, 1),
    tools=st.booleans(),
    choice=st.none() | st.sampled_from(Choice),
    parallel=st.none() | st.booleans(),
    shape=st.sampled_from(Shape),
    choices=st.integers(1, 3),
    sampling=st.sampled_from([(), ("temperature",), ("top_k",)]),
    effort=st.none() | st.sampled_from(Effort),
    state_at=st.sampled_from(["", "container"]),
)
WAYS = st.builds(Way, st.sampled_from(sorted(PLACES)), st.booleans(), st.booleans(), st.just(value=False))


@given(FEATURES, ABILITIES, ABILITIES, WAYS)
def test_strict_never_takes_what_lenient_refuses(features: Features, yes: Any, no: Any, way: Way):
    known = Card(provider="p", name="m", yes=yes - no, no=no, window=50_000, output=4000)
    strict = Way(way.dialect, way.translated, way.same_provider, strict=True)
    if isinstance(verdict(features, known, way), Skip):
        assert isinstance(verdict(features, known, strict), Skip)


@given(FEATURES, ABILITIES, WAYS)
def test_a_request_that_was_changed_needs_no_further_change(features: Features, no: Any, way: Way):
    known = Card(provider="p", name="m", no=no, output=4000)
    said = verdict(features, known, way)
    if isinstance(said, Fit):
        asked = Conversation(
            model="m",
            turns=(),
            parallel=features.parallel,
            thinking=Thinking(effort=features.effort),
            sampling=replace(Sampling(max_output=features.max_output), **dict.fromkeys(features.sampling, 1)),
        )
        now = settled(asked, said.changes)
        again = replace(
            features,
            parallel=now.parallel,
            effort=now.thinking.effort,
            thinks=False,
            max_output=now.sampling.max_output,
            sampling=tuple(n for n in features.sampling if getattr(now.sampling, n) is not None),
        )
        assert Fit() == verdict(again, known, way)
