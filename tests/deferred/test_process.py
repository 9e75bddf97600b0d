"""The real process: a receipt over the wire, a restart, the answer for its owner; the operator's command."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from sidecar.deferred import command
from sidecar.provider import Behaviour as Do
from tests.deferred.test_webhook import verify
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


class Receiver(ThreadingHTTPServer):
    """A webhook on loopback: sends elsewhere as long as it is not well, and keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Reception)
        self.well = False
        self.got: list[tuple[str, dict[bytes, bytes], bytes]] = []


class Reception(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        headers = {name.lower().encode(): value.encode() for name, value in self.headers.items()}
        self.server.got.append((self.path, headers, self.rfile.read(int(headers[b"content-length"]))))
        self.send_response(204 if self.server.well else 302)
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:  # type: ignore[explicit-override]
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_a_webhook_gets_the_result_signed_and_under_one_id_however_the_process_ends(
    world: World, tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
):
    world.vendor("p", "openai_chat", [Do("ok")])
    key = b"this is a key of 32 bytes, say we"
    hook = {
        "url": f"http://127.0.0.1:{receiver.server_port}/results",
        "key": {"env": "HOOK"},
        "private": True,
    }
    world.route("p", **{"class": "background"}, deferred={"webhook": "results"})
    settings = {**world.config, "state_dir": str(tmp_path), "webhooks": {"results": hook}}
    secret = "whsec_" + base64.b64encode(key).decode()
    always = {"x-llm-sidecar-defer": "always"}

    with pod(settings, HOOK=secret) as first:
        receipt = world.runner.run(asyncio.to_thread(fetch, first.url("p"), CHAT, JSON | KEY | always))
        assert 202 == receipt.status, receipt.body
        name = "llm_sidecar_webhook_deliveries_total"
        failed = asyncio.to_thread(until, lambda: 1 == first.metric(name, result="failed"))
        world.runner.run(failed)  # the provider answers in this loop
        assert 1 == first.metric("llm_sidecar_webhook_waiting", webhook="results")
        assert 0 == command.main(["list", "--state-dir", str(tmp_path)])
        assert "webhook results due sends 1" in capsys.readouterr().out
        first.process.kill()
        first.process.wait()

    receiver.well = True
    with pod(settings, HOOK=secret) as second:
        until(lambda: 1 == second.metric(name, result="delivered"))
        assert 0 == command.main(["list", "--state-dir", str(tmp_path)])
        assert "webhook results delivered" in capsys.readouterr().out
        until(lambda: second.lines("webhook") != [])  # lines are written a moment after they are told
        [line] = second.lines("webhook")
        assert ("delivered", receipt.json["id"], "results") == (line["outcome"], line["job"], line["target"])
        log = second.log.read_text()
    assert ["/results", "/results"] == [path for path, _, _ in receiver.got], "redirects are not followed"
    names = {verify(key, headers, body) for _, headers, body in receiver.got}
    assert {receipt.json["id"] + "_answered"} == names
    for _, headers, body in receiver.got:
        assert 0 <= time.time() - int(headers[b"webhook-timestamp"]) < 60  # noqa: TID251  # of the wall
        said = json.loads(body)["data"]
        assert "chat.completion" == json.loads(said["body"])["object"]
        assert said["body"] not in log
    assert secret not in log


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
