"""Whole conversations in every direction: as the golden files have them, and nothing lost silently."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from sidecar.hub import TONGUES, Facts
from sidecar.hub.audit import silent
from sidecar.hub.conversation import Conversation, TextPart, ToolResultPart, ToolUsePart, Unrepresentable
from tests.hub.cases import CHAT, DIALECTS, GEMINI, MODELS, cases, path_of
from tests.hub.golden import FOLDER, told

NAMES = sorted(cases(CHAT))
FACTS = {
    "unknown": Facts(),
    "able": Facts(schema=True, sampling=True, thinking=True, adaptive_thinking=True, system_anywhere=True),
    "poor": Facts(schema=False, sampling=False, thinking=False, adaptive_thinking=False, max_output=50),
}


def read(dialect: str, body: bytes, model: str = "") -> Conversation:
    conversation = TONGUES[dialect].read(path_of(dialect), body)
    return msgspec.structs.replace(conversation, model=model or conversation.model)


@pytest.mark.parametrize("source", DIALECTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_conversation_is_told_as_the_golden_file_has_it(name: str, source: str) -> None:
    """If the change is meant: python -m tests.hub.golden --write, and read what git says of it."""
    assert (FOLDER / f"{name}.{source}.json").read_text(encoding="utf-8") == told(source, name)


def test_every_golden_file_has_a_case() -> None:
    assert {f"{name}.{source}.json" for name in NAMES for source in DIALECTS} == {
        file.name for file in FOLDER.glob("*.json")
    }


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
@pytest.mark.parametrize(("source", "target"), [*permutations(DIALECTS, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_arrive_is_named(name: str, source: str, target: str, facts: Facts) -> None:
    body = msgspec.json.encode(cases(source)[name])
    try:
        written = TONGUES[target].write(read(source, body, MODELS[target]), facts)
    except Unrepresentable:
        return  # by name: the golden files have it

    assert [] == silent(body, written.body, written.losses)


@pytest.mark.parametrize(("source", "target"), [*permutations(DIALECTS, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_a_sealed_thought_never_leaves_its_provider(name: str, source: str, target: str) -> None:
    body = msgspec.json.encode(cases(source)[name])
    try:
        written = TONGUES[target].write(read(source, body, MODELS[target]), Facts())
    except Unrepresentable:
        return

    for seal in (b"c2ln", b"c2VhbA", b"bG9jaw=="):
        assert seal not in written.body


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_same_provider_gets_its_own_seals_back(dialect: str) -> None:
    body = msgspec.json.encode(cases(dialect)["sealed_thoughts"])
    written = TONGUES[dialect].write(read(dialect, body), Facts(same_provider=True))

    seals = [seal for seal in (b"c2ln", b"c2VhbA", b"bG9jaw==") if seal in body]
    assert [True] * len(seals) == [seal in written.body for seal in seals]


@pytest.mark.parametrize(("source", "target"), [*permutations(DIALECTS, 2)])
def test_a_result_has_the_id_of_its_call_in_a_form_that_everybody_takes(source: str, target: str) -> None:
    body = msgspec.json.encode(cases(source)["foreign_ids"])
    written = TONGUES[target].write(read(source, body, MODELS[target]), Facts())
    again = read(target, written.body)

    parts = [part for turn in again.turns for part in turn.parts]
    calls = [part.id for part in parts if isinstance(part, ToolUsePart)]
    results = [
        (part.id, [inner.text for inner in part.parts if isinstance(inner, TextPart)])
        for part in parts
        if isinstance(part, ToolResultPart)
    ]
    if target == GEMINI:  # no ids: the order is that of the calls
        assert [["06:12"], ["07:40"]] == [texts for _, texts in results]
        return
    said = dict(results)
    assert [["06:12"], ["07:40"]] == [said[ident] for ident in calls]
    assert all(len(ident) <= 40 and ident.replace("_", "").replace("-", "").isalnum() for ident in said)
