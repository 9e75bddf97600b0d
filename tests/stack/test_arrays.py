"""Gemini without `alt=sse` streams one JSON array: it is judged as the stream it is."""

from __future__ import annotations

import pytest

from sidecar.model import Answered, Failed, Fault
from tests.kit import script as s
from tests.kit.answers import JSON, Gemini
from tests.kit.script import Behaviour, Play, Script
from tests.kit.vloop import run

OBJECTS = [event.removeprefix(b"data: ").strip() for event in Gemini.events(["all ", "is ", "well"])]
PIECES = [b"[" + OBJECTS[0], *(b",\r\n" + each for each in OBJECTS[1:]), b"]"]


def array(pieces: list[bytes], *, end: str = "eof") -> Behaviour:
    return s.stream(pieces, gap=0.2, end=end, headers=JSON)


def ask(script: Script) -> s.Result:
    play = Play(script, Gemini)

    async def main() -> s.Result:
        async with play.clean():
            return await play.ask(Gemini.request(stream=True))

    return run(main())


@pytest.mark.parametrize("end", ["eof", "open"])
def test_a_whole_array_arrives_piece_by_piece(end: str):
    result = ask(Script({"a": [array(PIECES, end=end)], "b": [s.hang()]}))

    assert isinstance(result.outcome, Answered)
    assert b"".join(PIECES) == result.tape.body
    assert len(result.tape.pieces) >= 3
    assert result.ended <= 3.0


def test_an_array_cut_after_its_first_content_is_no_success():
    result = ask(Script({"a": [array(PIECES[:3])], "b": [array(PIECES)]}))

    assert isinstance(result.outcome, Failed)
    assert Fault.STREAM_CUT is result.outcome.fault


def test_an_error_object_where_an_array_was_due_is_the_error_it_names():
    script = Script({"a": [s.answer(Gemini.OVERLOADED[1])], "b": [array(PIECES)]})

    result = ask(script)

    assert isinstance(result.outcome, Answered)
    assert b"".join(PIECES) == result.tape.body
    assert Fault.OVERLOADED is result.record.attempts[0].outcome.fault  # type: ignore[union-attr]
