"""One pod at a glance: what the terminal and the page say, and the page in a real browser."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sidecar import glance, status_command
from sidecar.admin import Admin
from sidecar.cli import main
from sidecar.model import BreakerState
from sidecar.settings import BreakerRules
from tests.admin.test_admin import HOST, View, rules, talk
from tests.kit.promtool import need
from tests.lifecycle.test_overrides import board

SICK: dict[str, Any] = {
    "ready": True,
    "bypass": False,
    "in_flight": 3,
    "breakers": [
        {
            "key": "transport:openai/gpt-4o/89abcdef",
            "provider": "openai",
            "state": "open",
            "forced": False,
            "bad": 9,
            "samples": 12,
            "probe_in_s": 31.0,
        },
        {
            "key": "quality:chat/stand-in",
            "provider": "anthropic",
            "state": "closed",
            "forced": False,
            "bad": 0,
            "samples": 8,
            "probe_in_s": 0.0,
        },
    ],
    "window_seconds": 300,
    "calls": {"success": 80, "error": 2},
    "tiers": {"full": 75, "static": 5, "none": 2},
    "dollars": {"served": 0.12, "fallback": 0.03},
    "providers": {
        "anthropic": {"success": 40},
        "openai": {"success": 30, "provider_error": 25, "timeout": 5},
    },
    "decisions": [
        {
            "at": 1_763_800_000.0,
            "event": "fallback",
            "times": 3,
            "what": {"target": "openai", "to": "anthropic", "reason": "overloaded"},
        }
    ],
}
FINE = {"breakers": [], "calls": {"success": 80, "cancelled": 2}, "tiers": {"full": 80, "none": 2}}
WELL = {**SICK, **FINE, "providers": {"openai": {"success": 50, "provider_error": 1}}}
EMPTY = {**SICK, "breakers": [], "providers": {}, "calls": {}, "tiers": {}, "dollars": {}, "decisions": []}


def test_the_first_line_says_who_is_ill_with_what_and_how_much_traffic_goes_there():
    said = (
        "openai is ill: 50% of its attempts fail (errors), its breaker is open; 60% of all attempts go there."
        " 7 of 82 calls got no full answer."
    )

    assert said == glance.headline(SICK)
    assert said == glance.text(SICK).splitlines()[0]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (WELL, "All providers are well."),
        (EMPTY, "No call was made yet."),
        ({**WELL, "bypass": True}, "The bypass is on: no policy is applied to any call."),
    ],
)
def test_a_quiet_pod_says_so(status: dict[str, Any], said: str):
    assert said == glance.headline(status)


def test_a_breaker_of_a_real_switchboard_is_found_beside_its_provider():
    memory, switches = board([])
    memory.breaker("openai", "gpt-4o", "89abcdef", BreakerRules()).force(BreakerState.OPEN, 0.0)

    found = glance.providers({**WELL, "breakers": switches.breakers()})

    assert [("openai", "ill", "open")] == [(one.name, one.health, one.breaker) for one in found]


def test_healthy_providers_are_no_news_when_calls_end_without_an_answer():
    status = {
        **WELL,
        "calls": {"error": 2, "success": 6, "client_error": 1},
        "tiers": {"full": 5, "cached": 1},
    }

    assert "All providers are well. 3 of 8 calls got no full answer." == glance.headline(status)


@pytest.mark.parametrize(
    ("counts", "health"),
    [
        ({"success": 96, "timeout": 4}, "well"),
        ({"success": 95, "timeout": 5}, "unwell"),
        ({"success": 85, "timeout": 15}, "ill"),
        ({"success": 1, "caller_error": 99}, "well"),  # the application's own mistakes
        ({"timeout": 4}, "well"),  # too few to say
    ],
)
def test_health_follows_the_alerts_thresholds(counts: dict[str, int], health: str):
    [found] = glance.providers({**SICK, "breakers": [], "providers": {"openai": counts}})

    assert health == found.health


def test_the_terminal_shows_what_there_is():
    said = glance.text(SICK)

    for word in (
        "anthropic",
        "60%",
        "82 (full 75, static 5, error 2)",
        "fallback $0.0300",
        "next probe in 31 s",
        "fallback (x3)",
        "in flight: 3",
    ):
        assert word in said
    assert glance.text(EMPTY)


def test_nothing_on_the_page_is_taken_for_markup():
    evil = "<script>alert(1)</script>"
    decision = {"at": 0.0, "event": evil, "times": 1, "what": {evil: evil}}
    status = {**SICK, "providers": {evil: {"success": 1}}, "decisions": [decision], "dollars": {evil: 1.0}}

    assert "<script" not in glance.page(status)


def test_the_page_is_for_a_browser_that_was_told_its_address():
    typed, own, linked, foreign = talk(
        View(),
        ("GET /", HOST, "sec-fetch-site: none"),
        ("GET /", HOST, "sec-fetch-site: same-origin"),
        ("GET /", HOST, "sec-fetch-site: cross-site"),
        ("GET /status", HOST, "sec-fetch-site: same-origin"),
    )

    assert [200, 200, 403, 403] == [answer.status for answer in (typed, own, linked, foreign)]
    assert "default-src 'none'" in typed.headers["content-security-policy"]


OURS = {"ready", "bypass", "in_flight"}


async def beside(work: Any) -> Any:
    """Something that blocks, beside a real admin port."""
    admin = Admin(view=View(settings=rules(), shows={key: SICK[key] for key in SICK if key not in OURS}))
    await admin.start()
    try:
        return await asyncio.to_thread(work, admin.addresses[0][1])
    finally:
        await admin.stop()


def test_a_real_browser_shows_the_page(tmp_path: Path):
    browser = need("chromium-headless-shell")

    def look(port: int) -> str:
        command = [browser, "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
        done = subprocess.run(  # noqa: S603  # our own words
            [*command, f"http://127.0.0.1:{port}/"], check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    dom = asyncio.run(beside(look))

    assert glance.headline(SICK) in dom
    assert '<h1 class="ill">' in dom
    assert "31 s" in dom


def test_the_command_says_it_once_into_a_pipe(capsys: pytest.CaptureFixture[str]):
    status = asyncio.run(beside(lambda port: status_command.main(["--admin-port", str(port)])))

    assert 0 == status
    assert capsys.readouterr().out.startswith("openai is ill")


def test_the_command_gives_the_json_as_well(capsys: pytest.CaptureFixture[str]):
    asyncio.run(beside(lambda port: status_command.main(["--json", "--admin-port", str(port)])))

    assert SICK["providers"] == json.loads(capsys.readouterr().out)["providers"]


@pytest.mark.parametrize("port", ["0", "70000", "nine"])
def test_a_port_that_is_none_is_told(port: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        status_command.main(["--admin-port", port])

    assert 2 == ended.value.code
    assert f"expected a port from 1 to 65535, got '{port}'" in capsys.readouterr().err


def test_ctrl_c_at_any_moment_is_no_traceback(monkeypatch: pytest.MonkeyPatch):
    def stopped(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("sidecar.cli._main", stopped)

    assert 130 == main(["run"])


def test_nobody_there_is_told_in_one_line(capsys: pytest.CaptureFixture[str]):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]

    assert 1 == main(["status", "--admin-port", str(port)])

    said = capsys.readouterr().err
    assert f"nobody listens on port {port}" in said
    assert 1 == len(said.splitlines())
