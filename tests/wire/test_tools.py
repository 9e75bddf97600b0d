"""Plain HTTP tools behind the sidecar: a real process, real servers of ours, an agent's own HTTP client."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.kit.world import sidecar

pytestmark = pytest.mark.process


@dataclass
class Tool:
    """A server that gives its answers in turn, the last one for ever."""

    answers: list[tuple[int, bytes, dict[str, str]]]
    asked: list[tuple[str, str, bytes, dict[str, str]]] = field(default_factory=list)
    port: int = 0


@contextmanager
def tool(*answers: tuple[int, bytes] | tuple[int, bytes, dict[str, str]]) -> Iterator[Tool]:
    it = Tool([(one[0], one[1], one[2] if len(one) > 2 else {}) for one in answers])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            it.asked.append((self.command, self.path, body, {k.lower(): v for k, v in self.headers.items()}))
            status, said, headers = it.answers[min(len(it.asked), len(it.answers)) - 1]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = answer  # noqa: N815  # names of the library

        def log_message(self, *_: object) -> None:  # type: ignore[explicit-override]  # 3.11 has none
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    it.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield it
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def config(*tools: Tool, **route: Any) -> dict[str, Any]:
    providers = {
        f"t{n}": {"dialect": "http", "url": f"http://127.0.0.1:{one.port}/api", "private": True}
        for n, one in enumerate(tools)
    }
    chain = [f"t{n}" for n in range(len(tools))]
    rules = {"name": "search", "match": {"provider": "t0"}, "chain": chain, "retry": {"base": 0.01}, **route}
    return {"providers": providers, "routes": [rules]}


def ask(
    url: str, method: str = "GET", body: bytes = b"", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/{path}", body or None, named)
        answer = connection.getresponse()
        return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()


GOOD = (200, b'{"hits": 3}', {"content-type": "application/json"})
BAD = (503, b"busy")


def test_a_tool_is_asked_again_and_its_answer_comes_as_it_is():
    with tool(BAD, GOOD) as one, sidecar(config(one)) as process:
        status, body, headers = ask(f"{process.url('t0')}/v2/search?q=a%20b", authorization="Bearer mine")

    assert (200, b'{"hits": 3}', "application/json") == (status, body, headers["content-type"])
    assert ["/api/v2/search?q=a%20b"] * 2 == [path for _, path, *_ in one.asked]
    assert "Bearer mine" == one.asked[0][3]["authorization"]


def test_the_next_tool_is_asked_without_the_first_ones_key():
    with tool(BAD) as one, tool(GOOD) as other, sidecar(config(one, other)) as process:
        status, _, headers = ask(f"{process.url('t0')}/search", authorization="Bearer mine", cookie="a=b")

    assert (200, "t1") == (status, headers["x-llm-sidecar-served-by"])
    assert "authorization" not in other.asked[0][3]


def test_a_value_stands_in_when_nobody_answers():
    with tool(BAD) as one, sidecar(config(one, static={"text": '{"hits": 0}'})) as process:
        status, body, headers = ask(f"{process.url('t0')}/search")

    assert (200, {"hits": 0}) == (status, json.loads(body))
    assert ("application/json", "static") == (headers["content-type"], headers["x-llm-sidecar-tier"])


def test_a_tools_own_no_is_its_answer():
    with tool((404, b"no such thing")) as one, sidecar(config(one)) as process:
        assert (404, b"no such thing") == ask(f"{process.url('t0')}/thing/7")[:2]
        assert 1 == len(one.asked)


@pytest.mark.parametrize(
    ("more", "headers", "asked"),
    [({}, {}, 1), ({"repeat_posts": True}, {}, 2), ({}, {"idempotency_key": "order-7"}, 2)],
    ids=["as it is", "by configuration", "with a key"],
)
def test_what_may_act_twice_is_sent_once(more: dict[str, Any], headers: dict[str, str], asked: int):
    with tool(BAD, GOOD) as one, sidecar(config(one, **more)) as process:
        status, *_ = ask(f"{process.url('t0')}/orders", "POST", b'{"what": 1}', **headers)

    assert (200 if asked == 2 else 503) == status
    assert asked == len(one.asked)


def test_an_empty_answer_and_a_redirect_are_answers():
    with tool((204, b""), (302, b"", {"location": "/elsewhere"})) as one, sidecar(config(one)) as process:
        assert 204 == ask(f"{process.url('t0')}/a")[0]
        status, _, headers = ask(f"{process.url('t0')}/b")

    assert (302, "/elsewhere") == (status, headers["location"])
