"""The static answer: by fault, valid for the schema that was asked for, with a link; streamed or whole."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sidecar.dialects import DIALECTS as SPOKEN
from sidecar.model import Answered, Failed, Fault, Operation, Text, Tier
from sidecar.settings import RetryRules, StaticAnswer, StaticText
from tests.kit import script as s
from tests.kit.answers import DIALECTS, OpenAI, path_of
from tests.kit.answers import Dialect as Words
from tests.kit.script import Play, Result, Script
from tests.kit.vloop import run

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "degrees": {"type": "number"},
        "sky": {"enum": ["clear", "unknown"]},
    },
    "required": ["city", "degrees", "sky"],
    "additionalProperties": False,
}
SPENT = StaticText(text="The budget is spent: ask {link} and name {trace}.")
DECISION = {"type": "object", "properties": {"loan": {"enum": ["granted", "denied"]}}, "required": ["loan"]}


@pytest.fixture(params=DIALECTS, ids=lambda words: words.dialect)
def words(request: pytest.FixtureRequest) -> Words:
    found: Words = request.param
    return found


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def play(play: Play, scenario: Callable[[Play], Awaitable[None]]) -> None:
    async def main() -> None:
        async with play.clean():
            await scenario(play)

    run(main())


def text_of(words: Words, body: bytes, result: Result) -> str:
    assert result.tape.head is not None
    dialect = SPOKEN[words.dialect]
    ask = dialect.ask(Operation.CHAT, path_of(words, body), body)
    reader = dialect.reader(ask, result.tape.head.get(b"content-type") or b"")
    deltas = reader.feed(result.tape.body).deltas + reader.close().deltas
    return "".join(delta.text for delta in deltas if isinstance(delta, Text))


@pytest.mark.parametrize(
    ("schema", "given", "wanted"),
    [
        (SCHEMA, None, {"city": "", "degrees": 0, "sky": "unknown"}),
        (SCHEMA, '{"city": "-", "degrees": 1, "sky": "clear"}', {"city": "-", "degrees": 1, "sky": "clear"}),
        (SCHEMA, '{"loan": "denied"}', {"city": "", "degrees": 0, "sky": "unknown"}),
        (DECISION, '{"loan": "denied"}', {"loan": "denied"}),
    ],
    ids=["made", "given", "given for another schema", "a choice that the operator made"],
)
def test_who_asked_for_json_gets_what_meets_its_schema(
    words: Words, stream: bool, schema: Any, given: str | None, wanted: Any
):
    script = Script({"a": [s.lost()]})
    body = words.request(stream=stream, **words.structured(schema))

    async def scenario(play: Play) -> None:
        result = await play.ask(body)

        assert isinstance(result.outcome, Answered)
        assert Tier.STATIC is result.outcome.tier
        assert wanted == json.loads(text_of(words, body, result))
        assert b'"llm_sidecar":{"degraded":true,"tier":"static"}' in result.tape.body

    play(Play(script, words, static=StaticAnswer(text="sorry", json=given)), scenario)


@pytest.mark.parametrize(
    ("schema", "empty"), [(DECISION, True), (SCHEMA, False)], ids=["nobody decides", "not wanted"]
)
def test_where_no_honest_json_is_found_the_error_stays(words: Words, stream: bool, schema: Any, empty: bool):
    body = words.request(stream=stream, **words.structured(schema))

    async def scenario(play: Play) -> None:
        result = await play.ask(body)

        assert isinstance(result.outcome, Failed)

    play(Play(Script({"a": [s.lost()]}), words, static=StaticAnswer(text="sorry", empty=empty)), scenario)


def test_any_json_is_an_empty_object():
    body = OpenAI.request(response_format={"type": "json_object"})

    async def scenario(play: Play) -> None:
        result = await play.ask(body)

        assert "{}" == text_of(OpenAI, body, result)

    play(Play(Script({"a": [s.lost()]}), static=StaticAnswer(text="sorry")), scenario)


def test_each_class_of_failure_may_have_its_own_words(words: Words, stream: bool):
    static = StaticAnswer(
        text="We are sorry.",
        link="https://example.com/help",
        by_fault={
            **dict.fromkeys((Fault.QUOTA_EXHAUSTED, Fault.BILLING), SPENT),
            Fault.LOCAL_OVERLOAD: StaticText(link="https://example.com/later"),
        },
    )
    body = words.request(stream=stream)
    script = Script({"a": [s.lost(), s.error(words.QUOTA)]})

    async def scenario(play: Play) -> None:
        said = []
        for slots in (9, 9, 0):
            play.admission.slots = slots
            said.append(text_of(words, body, await play.ask(body, trace_id="ab12")))

        assert [
            "We are sorry.\n\nhttps://example.com/help",
            "The budget is spent: ask https://example.com/help and name ab12.",
            "We are sorry.\n\nhttps://example.com/later",
        ] == said

    play(Play(script, words, static=static, retry=RetryRules(attempts=1)), scenario)
