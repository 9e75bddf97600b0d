"""What the phase `translation` measures, and what it says of its figures."""

from __future__ import annotations

import dataclasses
import json
from itertools import permutations

import pytest

from bench import crossing
from bench.report import text
from bench.translation import Translation
from sidecar.hub import TONGUES
from tests.bench.test_figures import results
from tests.hub.cases import path_of

MEASURED = Translation(
    request={"gemini to anthropic": 3.0, "anthropic to gemini": 2.0},
    event={"gemini to anthropic": 2.5, "anthropic to gemini": 4.0},
)


def test_figures_on_their_limits_hold():
    assert [True, True] == [holds for *_, holds in MEASURED.limits()]


@pytest.mark.parametrize(("what", "beyond"), [("request", 3.01), ("event", 4.01)])
def test_one_direction_beyond_the_limit_misses_it_and_is_named(what: str, beyond: float):
    slow = dataclasses.replace(
        MEASURED, **{what: {"gemini to anthropic": 1.0, "openai_chat to gemini": beyond}}
    )

    missed = [found for _, found, _, holds in slow.limits() if not holds]

    assert [f"{beyond:.2f} (openai_chat to gemini)"] == missed


def test_the_report_has_a_row_for_each_direction():
    run = results()
    run.translation = MEASURED

    rows = [line.split() for line in text(run).splitlines()]

    assert ["gemini", "to", "anthropic", "3.00", "2.50"] in rows
    assert ["anthropic", "to", "gemini", "2.00", "4.00"] in rows


def test_every_direction_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(crossing, "ROUNDS", 1)
    monkeypatch.setattr(crossing, "TURNS", 1)

    crossing.main()

    found = Translation(**json.loads(capsys.readouterr().out))
    pairs = {f"{client} to {target}" for client, target in permutations(TONGUES, 2)}
    assert pairs == found.request.keys() == found.event.keys()


@pytest.mark.parametrize("dialect", TONGUES)
def test_the_request_has_tools_and_thirty_kilobytes_of_history(dialect: str):
    body = crossing.asked(dialect)

    conversation = TONGUES[dialect].read(path_of(dialect), body)

    assert 30_000 <= len(body) < 34_000
    assert {"tide", "wind"} == {tool.name for tool in conversation.tools}
    assert len(conversation.turns) > 50
