"""When an answer is shown to the client, and what can still be done before that [R18]."""

from __future__ import annotations

import pytest

from sidecar.model import Answered, Failed, Fault
from sidecar.settings import Commit
from tests.kit import script as s
from tests.kit.answers import DIALECTS
from tests.kit.answers import Dialect as Words
from tests.kit.script import Play, Result, Script
from tests.kit.vloop import run

SAID = ["all ", "is ", "well"]
COMPLETE = Commit(mode="complete")


@pytest.fixture(params=DIALECTS, ids=lambda words: words.dialect)
def words(request: pytest.FixtureRequest) -> Words:
    found: Words = request.param
    return found


def ask(play: Play, words: Words) -> Result:
    async def main() -> Result:
        async with play.clean():
            return await play.ask(words.request(stream=True))

    return run(main())


@pytest.mark.parametrize("end", ["cut", "open", "eof"])
def test_held_until_complete_a_broken_stream_is_rescued_wherever_it_breaks(words: Words, end: str):
    events = words.events(SAID)
    for broken_at in range(len(events) - 2):
        script = Script({"a": [s.stream(events[:broken_at], end=end)], "b": [s.stream(events)]})

        result = ask(Play(script, words, commit=COMPLETE), words)

        assert isinstance(result.outcome, Answered), f"broken at {broken_at}"
        assert b"".join(events) == result.tape.body
        assert result.ended <= 30.0


def test_held_until_complete_an_error_event_late_in_a_stream_is_never_seen(words: Words):
    events = words.events(SAID)
    script = Script({"a": [s.stream([*events[:4], words.error_event()])], "b": [s.stream(events)]})

    result = ask(Play(script, words, commit=COMPLETE), words)

    assert isinstance(result.outcome, Answered)
    assert b"".join(events) == result.tape.body


def test_at_first_content_the_client_sees_every_piece_as_it_comes(words: Words):
    events = words.events(SAID)
    script = Script({"a": [s.stream(events, gap=1.0)]})

    result = ask(Play(script, words), words)

    seen = [at for at, _ in result.tape.pieces]
    assert len(seen) >= len(SAID)
    assert seen[-1] - seen[0] >= len(SAID) - 1


def test_at_first_content_a_break_is_final(words: Words):
    events = words.events(SAID)
    script = Script({"a": [s.stream(events[:4], end="cut")], "b": [s.stream(events)]})

    result = ask(Play(script, words), words)

    assert isinstance(result.outcome, Failed)
    assert Fault.STREAM_CUT is result.outcome.fault
    assert 0 == script.count("b")


def test_what_is_too_large_to_hold_goes_out(words: Words):
    events = words.events(["word " * 100] * 20)
    script = Script({"a": [s.stream(events, gap=0.5)], "b": [s.hang()]})

    result = ask(Play(script, words, commit=Commit(mode="complete", hold_bytes=4096)), words)

    assert isinstance(result.outcome, Answered)
    assert b"".join(events) == result.tape.body
    assert result.tape.pieces[0][0] < result.ended - 5


def test_what_all_calls_together_hold_is_bounded(words: Words):
    events = words.events(["word " * 100] * 20)
    script = Script({"a": [s.stream(events, gap=0.5)], "b": [s.hang()]})
    play = Play(script, words, commit=COMPLETE)
    play.admission.bytes = 4096

    result = ask(play, words)

    assert isinstance(result.outcome, Answered)
    assert b"".join(events) == result.tape.body
    assert result.tape.pieces[0][0] < result.ended - 5
