"""A pod's life, with the real process: it starts, is reloaded, rotated, squeezed, told to go, killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from sidecar.provider import Behaviour as Do
from tests.kit.world import World
from tests.lifecycle.pod import CHAT, JSON, Answer, Mounted, Pod, fetch, open_stream, pod, read_chunked, until

pytestmark = pytest.mark.process

MIB = 1024 * 1024
STREAMS = 50


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def ask(world: World, process: Pod, provider: str, **more: Any) -> Answer:
    return world.runner.run(asyncio.to_thread(fetch, process.url(provider), CHAT | more, JSON))


def words(count: int) -> str:
    return " ".join(f"w{n}" for n in range(count))


def last_event(body: bytes) -> Any:
    data = [line[6:] for line in body.splitlines() if line.startswith(b"data: ")]
    return json.loads(data[-1])


# ---- it starts ------------------------------------------------------------------------------------


def test_a_pod_starts_from_variables_alone_and_startupz_comes_with_the_ports(world: World):
    world.vendor("a", "openai_chat", [Do("ok", text="from a")])
    world.route("a")

    with pod(world.config, LLM_SIDECAR_ADMIN_HOSTS="0.0.0.0,::", LLM_SIDECAR_GRACE_SECONDS="30") as process:
        assert [200] * 3 == [process.look(page).status for page in ("startupz", "readyz", "livez")]
        assert b"from a" in ask(world, process, "a").body


def test_the_applications_own_gateway_becomes_the_upstream(world: World):
    world.vendor("a", "openai_chat", [Do("ok", text="from the gateway")])

    with pod(LLM_SIDECAR_UPSTREAM_OPENAI=f"{world.vendors['a'].url}/v1") as process:
        assert b"from the gateway" in ask(world, process, "openai").body


def test_a_gateways_address_that_is_none_stops_no_pod():
    with pod(LLM_SIDECAR_UPSTREAM_OPENAI="${GATEWAY}/v1") as process:
        assert 200 == process.look("readyz").status
        (line,) = process.lines("reload")
        assert "warning" == line["level"]
        assert "LLM_SIDECAR_UPSTREAM_OPENAI is not used" in line["problems"]


# ---- what is mounted changes ------------------------------------------------------------------------


def test_a_configmap_is_swapped_and_the_next_call_goes_by_it(world: World, tmp_path: Path):
    world.vendor("a", "openai_chat", [Do("ok", text="from a")])
    world.vendor("b", "openai_chat", [Do("ok", text="from b")])
    world.route("a")
    mounted = Mounted(tmp_path / "config")
    mounted.write(sidecar_yaml=yaml.safe_dump(world.config))

    with pod(LLM_SIDECAR_CONFIG=str(tmp_path / "config" / "sidecar.yaml")) as process:
        assert b"from a" in ask(world, process, "a").body
        changed = world.config
        changed["routes"][0]["chain"] = [{"provider": "b"}]
        mounted.write(sidecar_yaml=yaml.safe_dump(changed))
        until(lambda: b"from b" in ask(world, process, "a").body)
        mounted.write(sidecar_yaml="routes: wrong\n")
        until(lambda: process.metric("llm_sidecar_config_last_reload_successful") == 0.0)
        assert b"from b" in ask(world, process, "a").body
        assert 0 != process.port  # the pod's own word outlives every reload


def test_overrides_come_hold_break_and_go_without_a_restart(world: World, tmp_path: Path):
    world.vendor("a", "openai_chat", [Do("ok", text="from a")])
    world.vendor("b", "openai_chat", [Do("ok", text="from b")])
    world.route("a", "b", static={"text": "Please call us."})
    mounted = Mounted(tmp_path / "overrides")

    def says(**what: Any) -> None:
        mounted.write(overrides_yaml=yaml.safe_dump(what))

    def body() -> bytes:
        return ask(world, process, "a").body

    with pod(world.config, LLM_SIDECAR_OVERRIDES=str(mounted.folder / "overrides.yaml")) as process:
        assert b"from a" in body()
        says(chains={"route.a": ["b", "a"]})
        until(lambda: b"from b" in body())
        assert 1.0 == process.metric("llm_sidecar_overrides_active", kind="chains")

        says(static=["route.*"])
        until(lambda: b"Please call us." in body())
        assert "static" == ask(world, process, "a").headers["x-llm-sidecar-tier"]

        says(disable=["a"])
        until(lambda: b"from b" in body())

        says(breakers={"a/*": "open"})
        until(lambda: process.metric("llm_sidecar_overrides_active", kind="breakers") == 1.0)
        assert b"from b" in body()
        assert {"a/m": ("open", True)} == {
            row["key"].removeprefix("transport:").rpartition("/")[0]: (row["state"], row["forced"])
            for row in process.look("breakers").json["breakers"]
            if row["key"].startswith("transport:a/")
        }

        mounted.write(overrides_yaml="breakers: {a: half}\n")
        until(lambda: process.metric("llm_sidecar_overrides_last_read_successful") == 0.0)
        assert b"from b" in body()
        assert "breakers.a" in process.look("status").json["overrides"]["problems"][0]

        says(bypass=True, breakers={"a/*": "open"})
        until(lambda: process.metric("llm_sidecar_bypass") == 1.0)
        assert b"from a" in body()
        assert process.look("status").json["bypass"]

        mounted.write()
        until(lambda: process.metric("llm_sidecar_bypass") == 0.0)
        assert b"from a" in body()
        assert 0.0 == process.metric("llm_sidecar_overrides_active", kind="breakers")
        assert {} == process.look("status").json["overrides"]["active"]
        assert [("on", "overrides"), ("off", "configuration")] == [
            (line["outcome"], line["source"]) for line in process.lines("bypass")
        ]


def test_overrides_are_checked_against_the_configuration_they_meet(world: World, tmp_path: Path):
    config, file = tmp_path / "sidecar.yaml", tmp_path / "overrides.yaml"
    config.write_text("routes: [{name: mine, match: {provider: openai}, chain: [openai, groq]}]\n")

    def check(text: str) -> subprocess.CompletedProcess[str]:
        file.write_text(text)
        command = [sys.executable, "-m", "sidecar", "check", str(config), "--overrides", str(file)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603

    good, odd, bad = check("chains: {mine: [groq]}"), check("static: [mine, myne]"), check("bypas: true")

    assert (0, 0, 2) == (good.returncode, odd.returncode, bad.returncode)
    assert "overrides.yaml: ok, chains 1" in good.stdout
    assert "static.mine: this route has no static answer" in odd.stdout
    assert 'static.myne: no route has this name; did you mean "mine"?' in odd.stdout
    assert 'did you mean "bypass"' in bad.stderr


def test_a_rotated_key_is_used_without_a_restart(world: World, tmp_path: Path):
    secret = Mounted(tmp_path / "keys")
    secret.write(openai="first-key-0001")
    world.vendor("a", "openai_chat", [Do("ok", text="fine")], key=False)
    world.providers["a"]["key"] = {"file": str(tmp_path / "keys" / "openai")}
    world.route("a")
    seen = world.vendors["a"].log

    with pod(world.config) as process:
        ask(world, process, "a")
        first = seen[-1].key
        secret.write(openai="second-key-0002")
        until(lambda: ask(world, process, "a").status == 200 and seen[-1].key != first)  # within a second
        assert 2 == len({exchange.key for exchange in seen})


# ---- memory runs out ----------------------------------------------------------------------------------


def test_near_the_memory_limit_large_bodies_are_told_to_come_again(world: World, tmp_path: Path):
    group = tmp_path / "cgroup"
    group.mkdir()

    def uses(share: float) -> None:
        (group / "memory.max").write_text("1000\n")
        (group / "memory.stat").write_text("inactive_file 100\n")
        (group / "memory.current").write_text(f"{int(share * 1000) + 100}\n")

    uses(0.5)
    world.vendor("a", "openai_chat", [Do("ok", text="fine")])
    world.route("a")
    large = {"messages": [{"role": "user", "content": "x" * (MIB + 1)}]}

    with pod(world.config, LLM_SIDECAR_CGROUP=str(group)) as process:
        assert 200 == ask(world, process, "a", **large).status
        uses(0.75)
        until(lambda: process.metric("llm_sidecar_memory_pressure") == 1.0)
        assert 200 == ask(world, process, "a", **large).status
        uses(0.9)
        until(lambda: process.metric("llm_sidecar_memory_pressure") == 2.0)
        refused = ask(world, process, "a", **large)
        assert (503, "1") == (refused.status, refused.headers["retry-after"])
        assert "error" in refused.json
        assert 200 == ask(world, process, "a").status
        assert 1.0 == process.metric("llm_sidecar_admission_rejected_total", reason="memory")
        uses(0.5)
        until(lambda: process.metric("llm_sidecar_memory_pressure") == 0.0)
        assert 200 == ask(world, process, "a", **large).status
        assert ["tight", "full", "normal"] == [line["outcome"] for line in process.lines("memory")]


# ---- the pod ends ---------------------------------------------------------------------------------------


def drain(process: Pod, **env: str) -> subprocess.CompletedProcess[str]:
    """The preStop hook, in the container of `process`."""
    own = process.env | {"LLM_SIDECAR_ADMIN_PORT": str(process.admin)} | env
    command = [sys.executable, "-m", "sidecar", "drain"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=own)  # noqa: S603


def test_the_pre_stop_hook_has_the_token_and_calls_are_served_on(world: World, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("a-token-for-operators\n")
    world.vendor("a", "openai_chat", [Do("ok", text="fine")])
    world.route("a")
    config = world.config | {"admin": {"token": str(token)}}

    with pod(config, LLM_SIDECAR_NATIVE="true", LLM_SIDECAR_GRACE_SECONDS="30") as process:
        assert 401 == process.post("drain").status
        done = drain(process)
        assert (0, "") == (done.returncode, done.stderr)
        assert [503, 200] == [process.look(page).status for page in ("readyz", "livez")]
        assert 1.0 == process.metric("llm_sidecar_draining")
        assert b"fine" in ask(world, process, "a").body
        [line] = process.lines("ending")
        assert ("verb", 26.0) == (line["source"], line["wait"])


def test_a_pre_stop_hook_never_holds_its_pod_up(tmp_path: Path):
    with pod() as process:
        pass
    gone = drain(process)
    nonsense = drain(process, LLM_SIDECAR_ADMIN_PORT="x", LLM_SIDECAR_CONFIG=str(tmp_path))

    assert (0, 0) == (gone.returncode, nonsense.returncode)
    assert "nothing to drain" in gone.stderr
    assert "Traceback" not in gone.stderr + nonsense.stderr


def test_after_the_notice_no_call_waits_longer_than_the_pod_lives(world: World):
    world.vendor("a", "openai_chat", [Do("ok", text="late", delay=60.0)])
    world.route("a", deadline="50s")

    with pod(world.config, LLM_SIDECAR_NATIVE="true", LLM_SIDECAR_GRACE_SECONDS="4") as process:
        assert 0 == drain(process).returncode
        answer = ask(world, process, "a")

        assert 504 == answer.status, answer.body
        assert process.process.poll() is None


@pytest.mark.parametrize("native", ["true", "false"])
def test_streams_that_fit_the_grace_are_finished(world: World, native: str):
    world.vendor("a", "openai_chat", [Do("ok", text=words(30), events=30, gap=0.1)])
    world.route("a")

    async def scenario(process: Pod) -> list[tuple[int, bytes, bool]]:
        async with asyncio.timeout(120):
            opened = [await open_stream(process.port, "a") for _ in range(STREAMS)]
            heads = [await reader.readuntil(b"\r\n\r\n") for reader, _ in opened]
            assert 0 == (await asyncio.to_thread(drain, process)).returncode
            process.process.send_signal(signal.SIGTERM)
            answers = [
                await read_chunked(reader, head) for (reader, _), head in zip(opened, heads, strict=True)
            ]
            for _, writer in opened:
                writer.close()
            return answers

    grace = {"LLM_SIDECAR_GRACE_SECONDS": "60", "LLM_SIDECAR_DRAIN_SECONDS": "40"}
    with pod(world.config, LLM_SIDECAR_NATIVE=native, **grace) as process:
        answers = world.runner.run(scenario(process))

        assert [(200, True)] * STREAMS == [(status, whole) for status, _, whole in answers]
        assert all(body.endswith(b"data: [DONE]\n\n") and b"w29" in body for _, body, _ in answers)
        assert 0 == process.process.wait(30)


@pytest.mark.parametrize("native", ["true", "false"])
def test_streams_that_do_not_fit_end_honestly(world: World, native: str):
    world.vendor("a", "openai_chat", [Do("ok", text=words(4000), events=4000, gap=0.1)])
    world.vendor("slow", "openai_chat", [Do("ok", text="late", delay=300.0)])
    world.route("a")
    world.route("slow", deadline="280s")

    async def scenario(process: Pod) -> tuple[list[tuple[int, bytes, bool]], Answer]:
        async with asyncio.timeout(120):
            opened = [await open_stream(process.port, "a") for _ in range(STREAMS)]
            whole = asyncio.create_task(  # noqa: TID251  # a call beside the streams
                asyncio.to_thread(fetch, process.url("slow"), CHAT, JSON)
            )
            slow = world.vendors["slow"]
            heads = [await reader.readuntil(b"\r\n\r\n") for reader, _ in opened]
            await slow.until(lambda: len(slow.log) == 1, 60.0)
            process.process.send_signal(signal.SIGTERM)
            answers = [
                await read_chunked(reader, head) for (reader, _), head in zip(opened, heads, strict=True)
            ]
            for _, writer in opened:
                writer.close()
            return answers, await whole

    with pod(world.config, LLM_SIDECAR_NATIVE=native, LLM_SIDECAR_DRAIN_SECONDS="1") as process:
        answers, whole = world.runner.run(scenario(process))

        assert 0 == process.process.wait(30)
    assert [(200, True)] * STREAMS == [(status, ended) for status, _, ended in answers]
    assert all("error" in last_event(body) for _, body, _ in answers)
    assert all(b"[DONE]" not in body for _, body, _ in answers)
    assert (503, "1") == (whole.status, whole.headers["retry-after"])
    assert "shutting down" in whole.json["error"]["message"]


def test_an_sdk_sees_the_end_of_a_stream_that_was_ended_as_an_error(world: World):
    world.vendor("a", "openai_chat", [Do("ok", text=words(4000), events=4000, gap=0.05)])
    world.route("a")

    def read(process: Pod) -> int:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{process.port}/a/v1", api_key="k", max_retries=0)
        with client:
            stream = client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            pieces = 0
            with pytest.raises(openai.APIError, match=r"broken off \(.*\): .* shutting down"):
                for _ in stream:
                    pieces += 1
                    if pieces in (3, 6):  # the second one ends it at once; two at a time would be one
                        process.process.send_signal(signal.SIGTERM)
            return pieces

    with pod(world.config, LLM_SIDECAR_DRAIN_SECONDS="100") as process:
        pieces = world.runner.run(asyncio.to_thread(read, process))
        assert 3 <= pieces < 4000
        assert 0 == process.process.wait(30)


def test_beside_a_living_application_new_calls_are_taken_until_it_has_gone(world: World):
    world.vendor("a", "openai_chat", [Do("ok", text="fine")])
    world.route("a")

    async def scenario(process: Pod) -> bytes:
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")  # its pooled connection
            await reader.readuntil(b"}")
            process.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(until, lambda: process.look("readyz").status == 503)
            body = json.dumps(CHAT).encode()
            writer.write(
                b"POST /a/v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            )
            status, answer, _ = await read_chunked(reader)
            assert 200 == status
            writer.close()
            return answer

    with pod(world.config, LLM_SIDECAR_NATIVE="false") as process:
        assert b"fine" in world.runner.run(scenario(process))
        assert 0 == process.process.wait(30)


def test_an_idle_sidecar_goes_when_the_application_has_gone():
    with pod(LLM_SIDECAR_NATIVE="true", LLM_SIDECAR_GRACE_SECONDS="600") as process:
        process.process.send_signal(signal.SIGTERM)
        assert 0 == process.process.wait(10)


# ---- it is killed -----------------------------------------------------------------------------------------


def test_a_killed_sidecar_comes_back_before_an_sdk_gives_up(world: World):
    world.vendor("a", "openai_chat", [Do("ok", text="fine again")])
    world.route("a")

    def call(port: int) -> str:
        url = f"http://127.0.0.1:{port}/a/v1"
        with openai.OpenAI(base_url=url, api_key="k", max_retries=6) as client:
            answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        return answer.choices[0].message.content or ""

    async def scenario(port: int) -> str:
        calling = asyncio.create_task(asyncio.to_thread(call, port))  # noqa: TID251  # while nobody listens
        with pod(world.config, LLM_SIDECAR_PORT=str(port)):
            return await calling

    with pod(world.config) as process:
        assert "fine again" == world.runner.run(asyncio.to_thread(call, process.port))
        os.kill(process.process.pid, signal.SIGKILL)
        assert -signal.SIGKILL == process.process.wait(10)
    assert "fine again" == world.runner.run(scenario(process.port))
