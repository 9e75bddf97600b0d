"""The admin port on the wire: who may see and do what, from where."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sidecar.admin import LOOKS, PUBLIC, Admin, is_loopback
from sidecar.settings import Admin as AdminRules
from sidecar.settings import Settings
from sidecar.status import Status
from tests.telemetry.events import every, good

HOST = "host: localhost:9901"
YES = "x-llm-sidecar-admin: yes"
VERBS = ("/breakers/first/open", "/drain", "/bypass/on")


def rules(token: str | None = None, hosts: tuple[str, ...] = ("127.0.0.1",), port: int = 0) -> Settings:
    return Settings(admin=AdminRules(hosts=hosts, port=port, token=token))


class Still:
    def now(self) -> float:
        return 1000.0

    def wall(self) -> float:
        return 1_763_800_000.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@dataclass
class View:
    """The application, as far as the admin port can see it."""

    settings: Settings = field(default_factory=rules)
    started: bool = True
    ready: bool = True
    heartbeat_age: float = 0.1
    in_flight: int = 3
    bypass: bool = False
    past: Status = field(default_factory=lambda: Status(Still()))
    did: list[Any] = field(default_factory=list)
    shows: dict[str, Any] | None = None  # instead of what there would be to show

    def set_bypass(self, on: bool, /) -> None:
        self.bypass = on

    def status(self) -> dict[str, Any]:
        return self.past.view() if self.shows is None else self.shows

    def metrics(self, accept: str, /) -> tuple[bytes, str]:
        return f"for {accept}\n".encode(), "text/plain; version=0.0.4; charset=utf-8"

    def stack_text(self) -> str:
        return "Deadline\n  Retry\n"

    def breakers(self) -> list[dict[str, Any]]:
        if self.shows is not None:
            return list(self.shows["breakers"])
        return [{"key": "first", "state": "closed"}, {"key": "meta/llama", "state": "open"}]

    def signals(self) -> list[dict[str, Any]]:
        return [{"route": "support", "signal": "refusal", "evaluated": 7, "fired": 1}]

    def force(self, key: str, state: str, /) -> bool:
        self.did.append((key, state))
        return key in ("first", "meta/llama")

    def drain(self) -> None:
        self.did.append("drain")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Coroutine[Any, Any, Answer]]


async def ask(port: int, line: str, *headers: str) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "\r\n".join([f"{line} HTTP/1.1", *headers, "connection: close", "content-length: 0"])
    writer.write(f"{head}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        raw = await reader.read()
    writer.close()
    await writer.wait_closed()
    top, _, body = raw.partition(b"\r\n\r\n")
    first, *rest = top.decode().split("\r\n")
    named = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in rest)}
    return Answer(int(first.split()[1]), named, body)


def talk(view: View, *requests: tuple[str, ...], local: bool | None = None) -> list[Answer]:
    """Ask a real server on loopback; `local` False: as if the peer came from the network."""

    async def main() -> list[Answer]:
        admin = Admin(view=view) if local is None else Admin(view=view, is_local=lambda _: local)
        await admin.start()
        try:
            port = admin.addresses[0][1]
            return [await ask(port, *request) for request in requests]
        finally:
            await admin.stop()

    return asyncio.run(main())


def one(view: View, *request: str, local: bool | None = None) -> Answer:
    [answer] = talk(view, request, local=local)
    return answer


# ---- from anywhere --------------------------------------------------------------------------------


def test_from_the_network_only_health_and_metrics_answer():
    """R35, T4."""
    view = View()
    pages = [(f"GET {page}", "host: 10.0.0.7:9901") for page in PUBLIC]
    looks = [(f"GET {page}", HOST) for page in LOOKS]
    verbs = [(f"POST {page}", HOST, YES) for page in VERBS]

    answers = talk(view, *pages, *looks, *verbs, ("GET /nothing", HOST), local=False)

    assert [200] * 4 + [403] * 9 == [answer.status for answer in answers]
    assert [] == view.did
    assert "only from loopback" == answers[-1].json["error"]


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.7", False),
        ("::ffff:10.0.0.7", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_loopback_is_an_address_and_not_a_name(peer: str, expected: bool):
    assert expected is is_loopback(peer)


def test_metrics_pass_the_accept_header_and_the_content_type():
    answer = one(View(), "GET /metrics", HOST, "accept: application/openmetrics-text")

    assert b"for application/openmetrics-text\n" == answer.body
    assert "text/plain; version=0.0.4; charset=utf-8" == answer.headers["content-type"]


# ---- health ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(), (200, 200, 200)),
        (View(started=False, ready=False), (200, 503, 503)),
        (View(ready=False), (200, 503, 200)),
        (View(heartbeat_age=10.5), (503, 200, 200)),
        (View(heartbeat_age=9.9), (200, 200, 200)),
    ],
    ids=["well", "starting", "draining", "stuck", "slow"],
)
def test_health_is_about_the_sidecar_itself(view: View, expected: tuple[int, int, int]):
    answers = talk(view, ("GET /livez", HOST), ("GET /readyz", HOST), ("GET /startupz", HOST))

    assert expected == tuple(answer.status for answer in answers)


def test_an_unready_sidecar_says_why():
    assert "draining" == one(View(ready=False), "GET /readyz", HOST).json["reason"]
    assert "starting" == one(View(ready=False, started=False), "GET /readyz", HOST).json["reason"]
    assert "11.0 s" in one(View(heartbeat_age=11.0), "GET /livez", HOST).json["reason"]


# ---- a look inside ----------------------------------------------------------------------------------


def test_loopback_sees_stack_breakers_signals_and_status():
    _page, stack, breakers, signals, status = talk(View(), *((f"GET {page}", HOST) for page in LOOKS))

    assert b"Deadline\n  Retry\n" == stack.body
    assert ["first", "meta/llama"] == [breaker["key"] for breaker in breakers.json["breakers"]]
    assert [7] == [signal["evaluated"] for signal in signals.json["signals"]]
    assert ({}, []) == (status.json["providers"], status.json["decisions"])
    assert (True, False, 3) == tuple(status.json[key] for key in ("ready", "bypass", "in_flight"))


def test_a_model_name_of_half_a_character_breaks_no_page():
    """Clients may write any JSON string, so a breaker may be named by a lone surrogate."""

    class Odd(View):
        def breakers(self) -> list[dict[str, Any]]:  # type: ignore[explicit-override]
            return [{"key": "transport:openai/\ud800/none"}]

    assert 200 == one(Odd(), "GET /breakers", HOST).status
    assert 404 == one(Odd(), "POST /breakers/x/open", HOST, YES).status


def test_the_status_page_shows_what_was_noted():
    view = View()
    for event in [*good(), *every()]:
        view.past.note(event)

    page = one(view, "GET /status", HOST).json

    assert {"openai": {"success": 1, "provider_error": 1}} == page["providers"]
    assert {"success": 1, "error": 1} == page["calls"]
    assert ["bug", "reload"] == [line["event"] for line in page["decisions"][:2]]


@pytest.mark.parametrize(
    "headers",
    [
        ("host: rebound.example:9901",),
        ("host: 127.0.0.1.example",),
        ("host: ",),
        (HOST, "origin: http://localhost:9901"),
        (HOST, "origin: null"),
        (HOST, "sec-fetch-site: cross-site"),
    ],
)
def test_a_web_page_sees_and_does_nothing(headers: tuple[str, ...]):
    """DNS rebinding and cross-site requests reach loopback from any browser tab."""
    view = View()

    answers = talk(view, ("GET /status", *headers), ("POST /drain", *headers, YES))

    assert [403, 403] == [answer.status for answer in answers]
    assert [] == view.did


@pytest.mark.parametrize("host", ["127.0.0.1:9901", "localhost", "LOCALHOST:1", "[::1]:9901"])
def test_our_own_names_are_accepted(host: str):
    assert 200 == one(View(), "GET /stack", f"host: {host}").status


# ---- verbs -------------------------------------------------------------------------------------------


def test_verbs_act():
    view = View()

    forced, drained, on, off = talk(
        view,
        ("POST /breakers/first/open", HOST, YES),
        ("POST /drain", HOST, YES),
        ("POST /bypass/on", HOST, YES),
        ("POST /bypass/off", HOST, YES),
    )

    assert [("first", "open"), "drain"] == view.did
    assert {"breaker": "first", "forced": "open"} == forced.json
    assert (202, {"draining": True, "in_flight": 3}) == (drained.status, drained.json)
    assert [{"bypass": True}, {"bypass": False}] == [on.json, off.json]


@pytest.mark.parametrize(("word", "expected"), [("on", True), ("off", False)])
def test_bypass_is_switched(word: str, expected: bool):
    view = View(bypass=not expected)

    assert 200 == one(view, f"POST /bypass/{word}", HOST, YES).status
    assert expected is view.bypass


@pytest.mark.parametrize("path", ["/breakers/meta/llama/auto", "/breakers/meta%2Fllama/auto"])
def test_a_breakers_key_may_hold_slashes(path: str):
    view = View()

    assert 200 == one(view, f"POST {path}", HOST, YES).status
    assert [("meta/llama", "auto")] == view.did


def test_an_unknown_breaker_names_the_known_ones():
    answer = one(View(), "POST /breakers/frist/open", HOST, YES)

    assert 404 == answer.status
    assert "known: first, meta/llama" == answer.json["hint"]


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_token_a_verb_needs_a_header_no_page_can_send(verb: str):
    view = View()

    answer = one(view, f"POST {verb}", HOST)

    assert 403 == answer.status
    assert "x-llm-sidecar-admin: yes" in answer.json["hint"]
    assert ([], False) == (view.did, view.bypass)


def test_with_a_token_only_the_token_opens(tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("open-sesame\n", encoding="utf-8")
    view = View(settings=rules(str(token)))

    answers = talk(
        view,
        ("POST /drain", HOST),
        ("POST /drain", HOST, YES),
        ("POST /drain", HOST, "authorization: Bearer open-sesam"),
        ("POST /drain", HOST, "authorization: Basic open-sesame"),
        ("POST /drain", HOST, "authorization: Bearer "),
        ("POST /drain", HOST, "authorization: Bearer open-sesame"),
    )

    assert [401] * 5 + [202] == [answer.status for answer in answers]
    assert ["drain"] == view.did
    assert not any(b"sesam" in answer.body for answer in answers)


def test_a_rotated_token_holds_at_once(tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("old", encoding="utf-8")
    view = View(settings=rules(str(token)))
    assert 202 == one(view, "POST /drain", HOST, "authorization: Bearer old").status

    token.write_text("new", encoding="utf-8")

    assert 401 == one(view, "POST /drain", HOST, "authorization: Bearer old").status
    assert 202 == one(view, "POST /drain", HOST, "authorization: Bearer new").status


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_a_missing_or_empty_token_file_opens_nothing(tmp_path: Path, content: str | None):
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content, encoding="utf-8")
    view = View(settings=rules(str(token)))

    answers = talk(view, ("POST /drain", HOST, YES), ("POST /drain", HOST, "authorization: Bearer "))

    assert [503, 503] == [answer.status for answer in answers]
    assert [] == view.did


# ---- mistakes ----------------------------------------------------------------------------------------


def test_an_unknown_page_lists_the_known_ones():
    answer = one(View(), "GET /metrics/", HOST)

    assert 404 == answer.status
    assert "GET /metrics" in answer.json["hint"]
    assert "POST /breakers/{key}/{open|closed|auto}" in answer.json["hint"]


@pytest.mark.parametrize(
    ("line", "allowed"),
    [("POST /livez", "GET"), ("PUT /stack", "GET"), ("GET /drain", "POST"), ("DELETE /bypass/on", "POST")],
)
def test_a_wrong_method_says_the_right_one(line: str, allowed: str):
    view = View()

    answer = one(view, line, HOST, YES)

    assert (405, allowed) == (answer.status, answer.headers["allow"])
    assert [] == view.did


def test_a_port_in_use_is_one_line_that_says_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        admin = Admin(view=View(settings=rules(port=port)))

        with pytest.raises(OSError, match=f"admin port {port} on 127.0.0.1: the port is in use") as caught:
            asyncio.run(admin.start())

    assert errno.EADDRINUSE == caught.value.errno
    assert "\n" not in str(caught.value)
    assert [] == admin.addresses


def test_a_machine_without_one_of_the_addresses_listens_on_the_other():
    # 192.0.2.0/24 is for documentation: no machine has it
    view = View(settings=rules(hosts=("192.0.2.1", "127.0.0.1")))

    assert 200 == one(view, "GET /livez", HOST).status


def test_a_machine_without_any_of_the_addresses_says_so():
    admin = Admin(view=View(settings=rules(hosts=("192.0.2.1",))))

    with pytest.raises(OSError, match=r"admin port 0 on 192\.0\.2\.1: Cannot assign requested address"):
        asyncio.run(admin.start())
