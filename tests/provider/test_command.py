"""`llm-sidecar provider`, as a user starts it."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import pytest

from sidecar.provider import CATALOGUE, Vendor
from sidecar.provider.command import main
from tests.provider.raw import ask, request, run

START = "import sys; from sidecar.provider.command import main; sys.exit(main())"


def test_the_list_names_every_behaviour_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["--list"])

    lines = capsys.readouterr().out.splitlines()
    assert set(CATALOGUE) <= {line.split(" ")[0] for line in lines}
    assert any(line.startswith("retry_after_ms ") for line in lines)


def test_a_wrong_script_is_told_with_all_its_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "day.yaml"
    path.write_text("steps: [hangg, {stall: {aftr: 1}}]")

    assert 2 == main([str(path)])

    told = capsys.readouterr().err
    assert "2 problems" in told
    assert "did you mean 'hang'?" in told
    assert "did you mean 'after'?" in told


def test_a_script_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main([str(tmp_path / "none.yaml")])

    assert "none.yaml: No such file" in capsys.readouterr().err


def test_a_taken_port_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert 1 == main(["--port", str(port)])

    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_by_its_script_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "day.yaml"
    path.write_text("name: drill\nsteps: [rate_limit, ok]")

    async def scenario() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", START, str(path), "--port", "0", stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        async with asyncio.timeout(20):
            hello = (await process.stderr.readline()).decode()
            target = Vendor(port=int(hello.split(":")[2].split(",")[0]))
            statuses = [(await ask(target, request())).status for _ in range(2)]
            process.send_signal(number)
            told = (await process.stderr.read()).decode().splitlines()
            code = await process.wait()

        assert hello.startswith("drill on http://127.0.0.1:")
        assert [429, 200] == statuses
        assert 2 == len(told)
        assert told[0].startswith("#1 POST /v1/chat/completions m-1: rate_limit, 429, ")
        assert 0 == code

    run(scenario())
