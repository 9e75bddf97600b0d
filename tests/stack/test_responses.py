"""What is different with OpenAI responses: their end, their failures, their background."""

from __future__ import annotations

import json

import pytest

from sidecar.model import Answered, Failed, Fault
from tests.kit import script as s
from tests.kit.answers import Responses
from tests.kit.script import Play, Result, Script
from tests.kit.vloop import run

GOOD = s.stream(Responses.events(["all ", "is ", "well"]))


def asked(play: Play, *, stream: bool = True) -> Result:
    async def main() -> Result:
        async with play.clean():
            return await play.ask(Responses.request(stream=stream))

    return run(main())


def test_without_its_terminal_event_a_response_is_cut():
    """The SDKs find status and usage nowhere else, and fail without them."""
    unended = s.stream(Responses.events(["all ", "is ", "well"])[:-1])

    result = asked(Play(Script({"a": [unended], "b": [GOOD]}), Responses))

    assert isinstance(result.outcome, Failed)
    assert Fault.STREAM_CUT is result.outcome.fault


@pytest.mark.parametrize("announced", [1, 2])
def test_what_is_only_announced_can_still_be_replaced(announced: int):
    begun = s.stream(Responses.events(["all"])[:announced], end="cut")
    failed = s.stream([*Responses.events(["all"])[:announced], Responses.error_event("server_error")])

    for broken in (begun, failed):
        result = asked(Play(Script({"a": [broken], "b": [GOOD]}), Responses))

        assert isinstance(result.outcome, Answered)
        assert b'"delta": "well"' in result.tape.body
        assert b"response.failed" not in result.tape.body


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_the_state_of_a_background_response_is_nobodys_bad_answer(status: str):
    body = json.dumps(Responses.response(status, background=True)).encode()

    result = asked(Play(Script({"a": [s.answer(body)], "b": [GOOD]}), Responses), stream=False)

    assert isinstance(result.outcome, Answered)
    assert () == result.outcome.findings
    assert body == result.tape.body
