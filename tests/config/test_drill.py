"""Drills in configuration, on the command line, and in a request's header."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.cli import main
from sidecar.config import ConfigError, parse
from sidecar.core import drill
from sidecar.model import Drill

ROUTE = "routes: [{{name: r, match: {{provider: openai}}, drill: {}}}]"
UNTIL = 'until: "2026-12-01T10:30:00+00:00"'


def test_a_route_may_have_one():
    [route] = parse(ROUTE.format(f"{{fault: overloaded, share: 0.2, target: openai, {UNTIL}}}")).routes

    assert route.drill is not None
    assert ("overloaded", 0.2) == (route.drill.fault, route.drill.share)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (f"{{fault: floods, {UNTIL}}}", "no fault that can be played"),
        ('{fault: network, until: "2026-12-01"}', "expected a time with its zone"),
        (f"{{fault: network, share: 2, {UNTIL}}}", "share"),
        (f"{{fault: network, target: nobody, {UNTIL}}}", "no target of the chain"),
        ("{fault: network}", "is missing"),
    ],
)
def test_a_mistake_is_told(told: str, why: str):
    with pytest.raises(ConfigError, match=why):
        parse(ROUTE.format(told))


def test_the_command_makes_a_header_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    key = tmp_path / "key"
    key.write_text("a key\n")

    assert 0 == main(["drill", "--key-file", str(key), "--fault", "network", "--target", "openai"])

    name, _, value = capsys.readouterr().out.strip().partition(": ")
    until = drill.ends(value.split("until=")[1].partition(";")[0])
    assert until is not None
    assert "x-llm-sidecar-drill" == name
    assert isinstance(drill.read(value, "a key", until - 5), Drill)


def test_a_key_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert 2 == main(["drill", "--key-file", str(tmp_path / "none"), "--fault", "network"])
    assert "No such file" in capsys.readouterr().err
