"""The real process from outside: starting, refusing, reloading, draining, and what operators see."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from sidecar.provider import Behaviour as Do
from tests.kit.world import Sidecar, World, sidecar

pytestmark = pytest.mark.process


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sidecar", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, input=stdin)  # noqa: S603


def fetch(
    url: str, body: object = None, headers: Mapping[str, str] | None = None, method: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(url, data=data, headers=dict(headers or {}), method=method)  # noqa: S310  # loopback
    try:
        with urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
JSON = {"content-type": "application/json"}


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def ask(world: World, process: Sidecar, provider: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    url = process.url(provider) + "/v1/chat/completions"
    return world.runner.run(asyncio.to_thread(fetch, url, CHAT | more, JSON))


def metric(process: Sidecar, name: str, **labels: str) -> float:
    _, _, text = fetch(f"http://127.0.0.1:{process.admin}/metrics")
    total = 0.0
    for line in text.decode().splitlines():
        if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


# ---- starting and refusing ----------------------------------------------------------------


def test_a_wrong_configuration_is_refused_with_all_its_errors(tmp_path: Path):
    file = tmp_path / "sidecar.yaml"
    file.write_text(
        "listen: {prot: 1}\nroutes:\n  - {name: r, chain: [{provider: opnai}], retry: {attempts: none}}\n"
    )

    done = run("run", "--config", str(file))

    assert 2 == done.returncode
    assert 'did you mean "port"' in done.stderr
    assert "openai" in done.stderr
    assert "routes[0].retry.attempts" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_says_the_same_and_ok_when_it_is(tmp_path: Path):
    file = tmp_path / "sidecar.yaml"
    file.write_text("routes:\n  - {name: r, match: {provider: openai}, chain: [{provider: openai}]}\n")

    good = run("check", str(file))
    file.write_text("nonsense: 1\n")
    bad = run("check", str(file))

    assert (0, 2) == (good.returncode, bad.returncode)
    assert "nonsense" in bad.stdout + bad.stderr


def test_a_missing_file_is_named(tmp_path: Path):
    done = run("run", "--config", str(tmp_path / "none.yaml"))

    assert 2 == done.returncode
    assert "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_a_port_in_use_is_one_line(option: str):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"--port": "0", "--admin-port": "0", option: str(taken.getsockname()[1])}

        done = run("run", *(word for pair in ports.items() for word in pair))

    assert 1 == done.returncode
    assert 1 == len(done.stderr.strip().splitlines()), done.stderr
    assert str(ports[option]) in done.stderr


def test_ctrl_c_is_a_normal_end():
    process = subprocess.Popen(
        [sys.executable, "-m", "sidecar", "run", "--port", "0", "--admin-port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "listens on" in process.stderr.readline()
    process.send_signal(signal.SIGINT)

    assert 0 == process.wait(20)
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_explain_says_which_route_and_why(tmp_path: Path):
    config = tmp_path / "sidecar.yaml"
    config.write_text(
        "routes:\n  - {name: fast, match: {provider: openai, model: 'gpt-*'}, chain: [{provider: openai}]}\n"
    )
    request = tmp_path / "request.json"
    request.write_text(
        json.dumps(
            {"method": "POST", "path": "/openai/v1/chat/completions", "body": CHAT | {"model": "gpt-4o"}}
        )
    )

    done = run("explain", "--config", str(config), "--request", str(request))

    assert 0 == done.returncode, done.stderr
    assert "fast" in done.stdout


def test_classify_answers_line_by_line():
    answer = {
        "id": "1",
        "provider": "openai",
        "status": 429,
        "headers": {"retry-after": "2"},
        "body": {"error": {}},
    }

    done = run(
        "classify", stdin=json.dumps(answer) + "\nnot json\n" + json.dumps(answer | {"id": "2"}) + "\n"
    )

    first, bad, second = map(json.loads, done.stdout.splitlines())
    assert ("1", "2") == (first["id"], second["id"])
    assert (True, 2.0) == (first["retry"], first["retry_after_s"])
    assert "error" in bad


# ---- without configuration ------------------------------------------------------------------


def test_an_unknown_prefix_is_a_404_that_names_the_known_ones():
    with sidecar(None) as process:
        status, headers, body = fetch(process.url("opnai") + "/v1/chat/completions", CHAT, JSON)

    assert 404 == status
    assert headers["content-type"].startswith("application/json")
    assert b"openai" in body
    assert b"anthropic" in body


def test_both_loopbacks_are_served():
    with sidecar(None) as process:
        for host in ("127.0.0.1", "[::1]"):
            assert 200 == fetch(f"http://{host}:{process.port}/")[0]


# ---- what operators see and do ----------------------------------------------------------------


def test_a_fallback_is_seen_in_headers_metrics_and_logs(world: World):
    world.vendor("a", "openai_chat", [Do("overloaded")])
    world.vendor("b", "openai_chat", [Do("ok", text="fine")])
    world.route("a", "b")

    with sidecar(world.config) as process:
        status, headers, body = ask(world, process, "a")

        assert 200 == status
        assert b"fine" in body
        assert "b" == headers["x-llm-sidecar-served-by"]
        assert "4" == headers["x-llm-sidecar-attempts"]
        assert "full" == headers["x-llm-sidecar-tier"]
        assert 32 == len(headers["x-llm-sidecar-trace-id"])
        assert 1 == metric(process, "llm_sidecar_fallbacks_total", from_provider="a", to_provider="b")
        assert 3 == metric(process, "llm_sidecar_attempts_total", provider="a", error_type="overloaded")
        assert 1 == metric(
            process, "llm_sidecar_requests_total", route="route.a", outcome="success", path="fallback"
        )
        lines = [json.loads(line) for line in process.log.read_text().splitlines()]
        fallback = next(line for line in lines if line["event"] == "fallback")
        assert headers["x-llm-sidecar-trace-id"] == fallback["trace"]
        assert "injected-key" not in process.log.read_text()


def test_everything_down_is_an_error_that_ends_the_sdks_retries(world: World):
    world.vendor("a", "openai_chat", [Do("overloaded")])
    world.vendor("b", "openai_chat", [Do("refuse")])
    world.route("a", "b")

    with sidecar(world.config) as process:
        status, headers, body = ask(world, process, "a")

    assert 500 <= status <= 599
    assert "false" == headers["x-should-retry"]
    assert "error" in json.loads(body)


def test_everything_down_serves_the_labelled_static_answer(world: World):
    world.vendor("a", "openai_chat", [Do("overloaded")])
    world.route("a", static={"text": "Please call us.", "link": "https://example.com/help"})

    with sidecar(world.config) as process:
        status, headers, body = ask(world, process, "a")

        assert 200 == status
        answer = json.loads(body)
        assert answer["choices"][0]["message"]["content"].startswith("Please call us.")
        assert {"degraded": True, "tier": "static"} == answer["llm_sidecar"]
        assert "static" == headers["x-llm-sidecar-tier"]
        assert 1 == metric(process, "llm_sidecar_requests_total", tier="static")


def test_a_breaker_can_be_forced_open_and_given_back(world: World):
    world.vendor("a", "openai_chat", [Do("ok", text="from a")])
    world.vendor("b", "openai_chat", [Do("ok", text="from b")])
    world.route("a", "b")
    yes = {"x-llm-sidecar-admin": "yes"}

    with sidecar(world.config) as process:
        admin = f"http://127.0.0.1:{process.admin}"
        assert b"from a" in ask(world, process, "a")[2]
        breakers = json.loads(fetch(f"{admin}/breakers")[2])
        key = next(row["key"] for row in breakers["breakers"] if row["key"].startswith("transport:a/"))
        assert 200 == fetch(f"{admin}/breakers/{key}/open", b"", yes, "POST")[0]
        assert b"from b" in ask(world, process, "a")[2]
        assert 2 == metric(process, "llm_sidecar_breaker_state", provider="a")
        assert 200 == fetch(f"{admin}/breakers/{key}/auto", b"", yes, "POST")[0]
        assert b"from a" in ask(world, process, "a")[2]
        assert 403 == fetch(f"{admin}/breakers/{key}/open", b"", {}, "POST")[0]


def test_the_bypass_goes_straight_to_the_provider(world: World):
    world.vendor("a", "openai_chat", [Do("overloaded"), Do("overloaded"), Do("ok", text="fine")])
    world.route("a")
    yes = {"x-llm-sidecar-admin": "yes"}

    with sidecar(world.config) as process:
        admin = f"http://127.0.0.1:{process.admin}"
        assert 200 == fetch(f"{admin}/bypass/on", b"", yes, "POST")[0]
        assert 503 == ask(world, process, "a")[0]
        assert 200 == fetch(f"{admin}/bypass/off", b"", yes, "POST")[0]
        assert 200 == ask(world, process, "a")[0]


def test_health_is_about_us_and_draining_shows(world: World):
    yes = {"x-llm-sidecar-admin": "yes"}
    with sidecar(None) as process:
        admin = f"http://127.0.0.1:{process.admin}"
        assert [200, 200, 200] == [fetch(f"{admin}/{probe}")[0] for probe in ("livez", "readyz", "startupz")]
        assert 202 == fetch(f"{admin}/drain", b"", yes, "POST")[0]
        assert [200, 503] == [fetch(f"{admin}/{probe}")[0] for probe in ("livez", "readyz")]
        assert b"Degrade > Admit > Deadline > Fallback > Retry > Gate > Guard" in fetch(f"{admin}/stack")[2]


# ---- reload and end -----------------------------------------------------------------------------


def until(holds: Any, seconds: float = 20.0) -> None:
    """Ask another process until it says so; each question takes its time."""
    end = time.perf_counter() + seconds
    while not holds():
        assert time.perf_counter() < end, "it did not come to pass"


def test_a_reload_takes_what_is_good_and_keeps_the_last_good_one(world: World):
    world.vendor("a", "openai_chat", [Do("ok", text="from a")])
    world.vendor("b", "openai_chat", [Do("ok", text="from b")])
    world.route("a")

    with sidecar(world.config) as process:
        assert b"from a" in ask(world, process, "a")[2]
        process.config.write_text("routes: [{name: broken}]\nbogus: 1\n")
        until(lambda: metric_line(process, "llm_sidecar_config_last_reload_successful") == 0.0)
        assert b"from a" in ask(world, process, "a")[2]

        changed = world.config
        changed["routes"][0]["chain"] = [{"provider": "b"}]
        process.config.write_text(yaml.safe_dump(changed))
        until(lambda: metric_line(process, "llm_sidecar_config_last_reload_successful") == 1.0)
        assert b"from b" in ask(world, process, "a")[2]


def metric_line(process: Sidecar, name: str) -> float:
    _, _, text = fetch(f"http://127.0.0.1:{process.admin}/metrics")
    return float(
        next(line for line in text.decode().splitlines() if line.startswith(name + " ")).rsplit(" ", 1)[1]
    )


def test_a_stream_in_flight_survives_a_reload_and_a_sigterm(world: World):
    world.vendor(
        "a", "openai_chat", [Do("ok", text=" ".join(f"w{n}" for n in range(20)), events=20, gap=0.1)]
    )
    world.route("a")

    with sidecar(world.config) as process:

        async def scenario() -> bytes:
            stream = asyncio.create_task(  # noqa: TID251  # the client beside the operator
                asyncio.to_thread(
                    fetch, process.url("a") + "/v1/chat/completions", CHAT | {"stream": True}, JSON
                )
            )
            vendor = world.vendors["a"]
            await vendor.until(lambda: bool(vendor.log) and vendor.log[0].sent > 0)
            process.config.write_text(process.config.read_text() + "\ndrain: 15\n")
            process.process.send_signal(signal.SIGTERM)
            return (await stream)[2]

        body = world.runner.run(scenario())

        assert body.endswith(b"data: [DONE]\n\n")
        assert b"w19" in body
        assert 0 == process.process.wait(20)
