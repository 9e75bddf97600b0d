"""A call that nobody answers is kept, asked for later, and given to its owner alone."""

from __future__ import annotations

import json
from pathlib import Path

from sidecar.model import Answered, Tier
from tests.kit.answers import OpenAI
from tests.kit.jobs import desk
from tests.kit.script import Script, answer, lost
from tests.kit.vloop import run

WELL = OpenAI.whole("all is well")


def test_a_call_of_class_background_that_nobody_answers_gets_a_receipt_and_later_its_answer(tmp_path: Path):
    async def play() -> None:
        script = Script({"a": [*[lost()] * 6, answer(WELL)]})
        async with desk(script, tmp_path) as it:
            tape = await it.ask()
            assert tape.head is not None
            assert 202 == tape.head.status
            assert Answered(202, tier=Tier.DEFERRED) == it.outcome
            assert b"deferred" == tape.head.get(b"x-llm-sidecar-tier")
            said = json.loads(tape.body)
            assert ("waiting", True) == (said["state"], said["degraded"])
            assert said["url"].encode() == tape.head.get(b"location")

            assert 202 == (await it.fetch(said["id"]))[0]
            await it.until_done()
            assert (200, WELL) == await it.fetch(said["id"])
            assert ["accepted", "answered"] == [e.what for e in it.told if hasattr(e, "what")]

    run(play())
