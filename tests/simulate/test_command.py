"""The command: what it prints, what it refuses, how it is stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sidecar.cli import main
from sidecar.simulate import command
from sidecar.simulate.measure import Figures

SMALL = ["simulate", "--requests", "60", "--seeds", "2", "--processes", "1"]


def test_the_table_names_worlds_policies_goals_and_seeds(capsys: pytest.CaptureFixture[str]):
    assert 0 == main(SMALL)
    said = capsys.readouterr().out
    for word in ("published:", "storms:", "no-retry", "tuned", "2 x 60 calls, seeds 1 to 2", "goals"):
        assert word in said


def test_machines_get_every_figure_with_its_range(capsys: pytest.CaptureFixture[str]):
    assert 0 == main([*SMALL, "--json", "--world", "published", "--policy", "fixed", "--policy", "default"])
    found = json.loads(capsys.readouterr().out)
    assert [1, 2] == found["seeds"]
    fixed, default = found["rows"]
    assert 0.021 == fixed["printed"]["failed"]
    assert default["printed"] is None
    for row in (fixed, default):
        assert 1.0 == pytest.approx(sum(row["tiers"].values()))
        assert row["failed"]["low"] <= row["failed"]["mean"] <= row["failed"]["high"]
        assert {"p50", "p95", "p99", "p99.9", "cost", "attempts", "served"} <= row.keys()


def test_two_processes_say_what_one_says(capsys: pytest.CaptureFixture[str]):
    given = ["simulate", "--requests", "60", "--seeds", "2", "--world", "storms", "--json"]
    assert 0 == main([*given, "--processes", "1"])
    one = capsys.readouterr().out
    assert 0 == main([*given, "--processes", "2"])
    assert one == capsys.readouterr().out


def test_a_route_of_a_file_is_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "sidecar.yaml"
    file.write_text(
        "providers:\n"
        '  a: {dialect: openai_chat, url: "https://a.example/v1", key: {env: A}}\n'
        "routes:\n"
        "  - {name: chat, match: {provider: a}, chain: [a]}\n"
    )
    given = [*SMALL, "--world", "published", "--policy", "yours", "--config", str(file)]
    assert 0 == main([*given, "--route", "chat"])
    assert "yours: route chat of sidecar.yaml" in capsys.readouterr().out
    assert 2 == main([*given, "--route", "chatt"])
    assert "no route is called 'chatt'; there are chat" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--policy", "hope"], "no policy is called 'hope'"),
        (["--seeds", "0"], "expected a number from 1"),
        (["--route", "chat"], "--route names a route of --config"),
        (["--world", "flat"], "invalid choice"),
    ],
)
def test_what_is_given_wrong_is_named(given: list[str], told: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([*SMALL, *given])
    assert 2 == ended.value.code
    assert told in capsys.readouterr().err


def test_who_stops_it_gets_the_days_that_are_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    whole = command.run

    def run(job: command.Job) -> Figures:
        if job.seed == 3:
            raise KeyboardInterrupt
        return whole(job)

    monkeypatch.setattr(command, "run", run)
    given = ["--requests", "60", "--seeds", "9", "--processes", "1", "--world", "published"]
    assert 0 == command.main(given)
    said = capsys.readouterr()
    assert "2 x 60 calls, seeds 1 to 2" in said.out
    assert "Stopped: 2 of 9 days." in said.err
    monkeypatch.setattr(command, "run", lambda job: run(job._replace(seed=3)))
    assert 1 == command.main(given)


def interrupted(words: Sequence[str]) -> tuple[int, str]:
    """Its status and its output, after Ctrl-C on the first sign of life."""
    process = subprocess.Popen(  # noqa: S603  # our own command
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    return process.returncode, said


def test_ctrl_c_ends_the_worker_processes_too(tmp_path: Path):
    program = (
        "from sidecar.simulate import command\n"
        "if __name__ == '__main__':\n"
        "    command._silent = lambda done, jobs: print(done, flush=True)\n"
        "    given = ['--requests', '50', '--seeds', '9000', '--world', 'published', '--policy', 'fixed']\n"
        "    raise SystemExit(command.main(given))\n"
    )
    file = tmp_path / "program.py"  # worker processes read it again
    file.write_text(program)
    status, said = interrupted([sys.executable, "-W", "error", str(file)])
    assert 0 == status, said
    assert "Stopped:" in said
    assert "Traceback" not in said
