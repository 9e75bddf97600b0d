"""The command as people run it, with a real sidecar beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar.provider import Behaviour as Do
from tests.kit.world import World, sidecar

pytestmark = pytest.mark.process

HUSH = "sk-hush-0123456789abcdef"


def doctor(*arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {"PATH": os.environ["PATH"], "OPENAI_API_KEY": HUSH}
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-W", "error", "-m", "sidecar", "doctor", *arguments],
        input=stdin,
        env=kept | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def findings(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return list(json.loads(done.stdout)["findings"])


def test_all_is_well_beside_a_running_sidecar(tmp_path: Path):
    world = World()
    try:
        world.vendor("corp", "", (Do("ok"),))
        vendor = world.vendors["corp"]
        world.providers["corp"] = {"vendor": "openai", "url": f"{vendor.url}/v1", "private": True}
        world.route("corp")
        packages = tmp_path / "packages"
        packages.write_text("openai==3.1.0\n")
        with sidecar(world.config) as process:
            ports = ("--port", str(process.port), "--admin-port", str(process.admin))
            here = ("--config", str(process.config), "--packages", str(packages))
            base = f"http://127.0.0.1:{process.port}/corp/v1"
            done = doctor(*ports, *here, "--json", OPENAI_BASE_URL=base)
            text = doctor(*ports, *here, OPENAI_BASE_URL=base)
        assert not vendor.log  # a provider gets no request of ours
    finally:
        world.close()

    assert (0, "") == (done.returncode, done.stderr)
    assert {"ok"} == {finding["level"] for finding in findings(done)}
    assert {"this environment", "sidecar", "providers"} == {finding["section"] for finding in findings(done)}
    assert f"OPENAI_BASE_URL -> 127.0.0.1:{process.port}/corp/v1" in text.stdout
    assert "all 4 ok" in text.stdout
    assert HUSH not in done.stdout + text.stdout


def test_what_is_broken_is_told_and_makes_the_status():
    environ = f"OPENAI_API_BASE=https://u:{HUSH}@old.example/{HUSH}?k={HUSH}\nOPENAI_API_KEY={HUSH}\n"

    done = doctor("--environment", "-", "--offline", "--port", "1", "--admin-port", "2", stdin=environ)

    assert (1, "") == (done.returncode, done.stderr)
    assert "OPENAI_API_BASE points at old.example/..., not at the sidecar" in done.stdout
    assert "-> set OPENAI_API_BASE=http://127.0.0.1:1/openai/v1" in done.stdout
    assert "nobody answers on 127.0.0.1" in done.stdout
    assert HUSH not in done.stdout


def test_in_the_sidecars_container_it_says_what_it_cannot_see():
    done = doctor("--offline", "--json", LLM_SIDECAR_NATIVE="true", HTTPS_PROXY="http://corporate:3128")

    said = json.dumps(findings(done))
    assert "sidecar container" == json.loads(done.stdout)["place"]
    assert "llm-sidecar doctor --environment -" in said
    assert "takes proxies from its configuration alone" in said
    assert "OPENAI" not in said


def test_a_running_process_is_judged_by_its_own_environment():
    environ = {"OPENAI_API_BASE": "https://old.example/v1", "OPENAI_API_KEY": HUSH, "VIRTUAL_ENV": sys.prefix}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environ) as other:
        done = doctor("--process", str(other.pid), "--offline", "--json")

    (openai,) = [each for each in findings(done) if each["subject"].startswith("openai ")]
    assert "OPENAI_BASE_URL is not set; it does not read OPENAI_API_BASE, which is set" in openai["said"]
    assert HUSH not in done.stdout


def test_a_configuration_that_is_wrong_is_a_finding(tmp_path: Path):
    file = tmp_path / "sidecar.yaml"
    file.write_text("listne: {}\n")

    done = doctor("--config", str(file), "--offline", "--json")

    (wrong,) = [finding for finding in findings(done) if finding["subject"] == "configuration"]
    assert (1, "broken") == (done.returncode, wrong["level"])
    assert "listne" in wrong["said"]


@pytest.mark.parametrize(
    "given", [("--environment", "/none"), ("--packages", "/none"), ("--process", "0"), ("--python", "/none")]
)
def test_what_was_named_and_is_not_there_is_status_2(given: tuple[str, ...]):
    done = doctor(*given, "--offline")
    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("llm-sidecar doctor: /")


def test_a_provider_that_is_none_is_told():
    done = doctor("--provider", "opneai", "--json")
    assert "is none of the sidecar's" in json.dumps(findings(done))


def test_it_starts_without_the_data_plane():
    code = (
        "import sys, sidecar.doctor.command as c; c.main(['--offline', '--json']); "
        "print([m for m in ('aiohttp', 'uvloop', 'prometheus_client', 'opentelemetry', 'jsonschema_rs')"
        " if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert "[]" == done.stderr.strip()
