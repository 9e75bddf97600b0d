"""The real process: a receipt over the wire, a restart, the answer for its owner; the operator's command."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.provider import Behaviour as Do
from tests.kit.world import World
from tests.lifecycle.pod import CHAT, JSON, Answer, Pod, fetch, pod, until

pytestmark = pytest.mark.process

KEY = {"authorization": "Bearer mine"}


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def config(world: World, folder: Path) -> dict[str, Any]:
    world.route("p", **{"class": "background"}, deferred={}, retry={"attempts": 1})
    return {**world.config, "state_dir": str(folder), "deferred": {"per_second": 100}}


def jobs(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sidecar", "jobs", *arguments, "--state-dir", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


async def recover(world: World) -> None:
    world.vendors["p"].script(Do("ok"))


def test_a_receipt_outlives_the_process_and_the_operator_sees_and_changes_what_waits(
    world: World, tmp_path: Path
):
    world.vendor("p", "openai_chat", [Do("refuse")])
    settings = config(world, tmp_path)

    def ask(one: Pod, **headers: str) -> Answer:
        return world.runner.run(asyncio.to_thread(fetch, one.url("p"), CHAT, JSON | KEY | headers))

    def look(one: Pod, url: str, headers: dict[str, str]) -> Answer:
        there = f"http://127.0.0.1:{one.port}{url}"
        return world.runner.run(asyncio.to_thread(fetch, there, None, headers))

    with pod(settings) as first:
        receipt = ask(first)
        assert 202 == receipt.status, receipt.body
        url, job = receipt.json["url"], receipt.json["id"]
        assert ("deferred", url) == (receipt.headers["x-llm-sidecar-tier"], receipt.headers["location"])
        dropped = ask(first, **{"x-llm-sidecar-defer": "always"}).json
        assert 202 == look(first, url, KEY).status
        assert [404, 404] == [look(first, url, other).status for other in ({}, {"x-api-key": "theirs"})]
        until(lambda: 2 == first.metric("llm_sidecar_deferred_events_total", event="accepted"))

        listed = jobs(tmp_path, "list", "--state", "waiting")
        assert [job, dropped["id"]] == [line.split()[0] for line in listed.stdout.splitlines()]
        assert (0, 1) == (
            jobs(tmp_path, "drop", dropped["id"]).returncode,
            jobs(tmp_path, "drop", "no").returncode,
        )
        assert 410 == look(first, dropped["url"], KEY).status
        until(lambda: 1 == first.metric("llm_sidecar_deferred_events_total", event="dropped"))
        first.process.kill()
        first.process.wait()

    world.runner.run(recover(world))
    with pod(settings) as second:
        until(lambda: 202 != look(second, url, KEY).status)
        answer = look(second, url, {"x-api-key": "mine"})
        assert (200, "deferred") == (answer.status, answer.headers["x-llm-sidecar-tier"])
        assert "chat.completion" == json.loads(answer.body)["object"]
        assert 404 == look(second, url, {"x-api-key": "theirs"}).status


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("drop",), 2, "say which"),
        (("retry", "x", "--all"), 2, "say which"),
        (("list",), 1, "nothing was ever deferred"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], status: int, said: str):
    done = jobs(tmp_path, *arguments)

    assert status == done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr
