"""Embeddings through the stack: judged like any answer, but no text can stand in for them."""

from __future__ import annotations

import json

import pytest

from sidecar.dialects import DIALECTS
from sidecar.model import Answered, Failed, Fault, Operation, Tier
from sidecar.settings import StaticAnswer
from tests.kit import script as s
from tests.kit.answers import OpenAI
from tests.kit.script import Play, Result, Script
from tests.kit.vloop import run

PATH = "/v1/embeddings"
BODY = b'{"model":"m","input":["a","b"]}'
GOOD = json.dumps({"object": "list", "model": "m-1", "data": [{"embedding": [0.5]}] * 2}).encode()
EMPTY = b'{"object":"list","model":"m-1","data":[]}'


def asked(play: Play) -> Result:
    ask = DIALECTS["embeddings"].ask(Operation.EMBEDDINGS, PATH, BODY)

    async def main() -> Result:
        async with play.clean():
            return await play.ask(BODY, dialect="embeddings", path=PATH, ask=ask)

    return run(main())


@pytest.mark.parametrize(
    "first", [s.error(OpenAI.OVERLOADED), s.answer(EMPTY), s.answer(b'{"error":{"code":503}}')]
)
def test_another_target_answers_where_one_gives_no_vectors(first: s.Behaviour):
    result = asked(Play(Script({"a": [first], "b": [s.answer(GOOD)]})))

    assert isinstance(result.outcome, Answered)
    assert Tier.FULL is result.outcome.tier
    assert GOOD == result.tape.body


def test_the_static_answer_is_not_served_for_vectors():
    down = Script({"a": [s.error(OpenAI.OVERLOADED)]})

    result = asked(Play(down, static=StaticAnswer(text="We are sorry.")))

    assert isinstance(result.outcome, Failed)
    assert Fault.OVERLOADED is result.outcome.fault
