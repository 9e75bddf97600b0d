"""The process looks at its files again and again, and nothing in them can stop it from looking."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import certifi
import pytest

from sidecar import app, secret
from sidecar.app import App
from sidecar.core.cache import Stored
from sidecar.environment import read
from sidecar.watched import Watched


async def looking(one: App, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(one._keep_looking())
        while not holds():
            await one.clock.sleep(0)
        task.cancel()


def test_overrides_hold_although_a_file_of_certificates_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(app, "LOOK_EVERY", 0.0)
    certificates, words = tmp_path / "ca.pem", tmp_path / "overrides.yaml"
    certificates.write_bytes(Path(certifi.where()).read_bytes())
    route = "{name: r, match: {provider: openai}, chain: [openai, groq]}"
    text = f"providers: {{openai: {{ca_file: {certificates}}}}}\nroutes: [{route}]"
    pod = read({"LLM_SIDECAR_CONFIG_TEXT": text, "LLM_SIDECAR_OVERRIDES": str(words)})

    async def scenario() -> None:
        one = App(pod.load(), pod=pod, write=lambda _: None)
        certificates.unlink()
        words.write_text("bypass: true\nchains: {r: [groq]}\n")
        await looking(one, lambda: one.bypass)
        assert "r: " in one.stack_text()
        assert ["groq"] == [target.name for target in one.router.routes[0].chain]

    asyncio.run(scenario())


def test_a_configuration_that_changes_while_the_process_starts_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(app, "LOOK_EVERY", 0.0)
    file = tmp_path / "sidecar.yaml"
    file.write_text("drain: 7s\n")
    pod = read({}, path=file)
    lines: list[str] = []

    async def scenario() -> None:
        seen = Watched(file, seen=True)
        settings = pod.load()
        file.write_text("drain: 8.5s\n")
        one = App(settings, pod=pod, write=lines.append, file=seen)
        await looking(one, lambda: one.settings.drain == 8.5)

    asyncio.run(scenario())
    assert ["reload"] == [json.loads(line)["event"] for line in lines]


def test_a_fallback_without_its_key_is_told_at_the_start(tmp_path: Path):
    chain = f"[openai, {{provider: groq, model: m, key: {{file: {tmp_path}/absent}}}}]"
    text = f"routes: [{{name: r, match: {{provider: openai}}, chain: {chain}}}]"
    pod = read({"LLM_SIDECAR_CONFIG_TEXT": text})
    lines: list[str] = []

    async def scenario() -> None:
        App(pod.load(), pod=pod, write=lines.append)

    asyncio.run(scenario())
    [told] = [json.loads(line) for line in lines]
    assert ("reload", "warning", "ok") == (told["event"], told["level"], told["outcome"])
    assert f"routes[0].chain[1].key: file:{tmp_path}/absent: No such file" in told["problems"]


def test_a_key_that_goes_and_comes_back_is_told_once_each_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(app, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(secret, "LOOK_EVERY", 0.0)
    key, lines = tmp_path / "openai", list[str]()
    key.write_text("hunter2")
    text = f"providers: {{openai: {{key: {{file: {key}}}}}, groq: {{key: {{file: {key}}}}}}}"
    pod = read({"LLM_SIDECAR_CONFIG_TEXT": text})

    async def scenario() -> None:
        one = App(pod.load(), pod=pod, write=lines.append)
        key.unlink()
        await looking(one, lambda: bool(lines))
        one.generation = one._generation(pod.load())  # overrides do so too: what is gone stays told
        for _ in range(3):
            one.keys.look()
        key.write_text("hunter3")
        await looking(one, lambda: len(lines) > 1)
        one.keys.look()

    asyncio.run(scenario())
    gone, back = (json.loads(line) for line in lines)
    assert ("key", "warning", "failed") == (gone["event"], gone["level"], gone["outcome"])
    assert f"providers.openai.key: file:{key}: No such file or directory" == gone["detail"]
    assert ("key", "info", "ok") == (back["event"], back["level"], back["outcome"])
    assert f"providers.openai.key: file:{key}: is there again" == back["detail"]
    assert "hunter" not in "".join(lines)


def test_a_state_dir_that_cannot_be_written_is_told_at_the_start_and_by_check(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    pod = read({"LLM_SIDECAR_CONFIG_TEXT": f"state_dir: {tmp_path}/file"})
    lines: list[str] = []

    async def scenario() -> None:
        App(pod.load(), pod=pod, write=lines.append)

    asyncio.run(scenario())
    told = json.loads(lines[0])["problems"]
    assert told.startswith(f"state_dir: {tmp_path}/file is no folder that can be written here")
    assert "mount a volume there" in told
    assert told in pod.check()[0]
    assert "warning" not in replace(pod, text=f"state_dir: {tmp_path}").check()[0]


def test_the_cache_is_given_up_where_the_containers_memory_runs_out(tmp_path: Path):
    pod = replace(read({}), cgroup=tmp_path)
    (tmp_path / "memory.max").write_text("1000")

    async def scenario() -> None:
        one = App(pod.load(), pod=pod, write=lambda _: None)
        answers = one.memory.answers
        assert answers.put(b"key", Stored(b"answer", b"", "", "", 0.0))
        seen = []
        for used in ("750", "900", "100"):
            (tmp_path / "memory.current").write_text(used)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(one._keep_measuring())
                await asyncio.sleep(0)  # it looks before it waits
                task.cancel()
            seen.append((answers.closed, len(answers)))

        assert [(True, 1), (True, 0), (False, 0)] == seen

    asyncio.run(scenario())
