"""What is said inside an intercepted connection: it is the listener's, with one provider and no other."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.events import CallEnded, Turned
from sidecar.secret import Secret
from sidecar.settings import Listen
from tests.capture.pod import OPENAI, pod
from tests.wire.listener.house import CHAT, PROVIDERS, answering, get, post, run, until

HOST = OPENAI.encode()
ASK = post("/v1/chat/completions", CHAT, host=HOST)


@pytest.mark.parametrize("plain", [False, True], ids=["uvloop", "asyncio"])
def test_a_request_inside_is_a_call_to_the_provider_whose_host_it_named(tmp_path: Path, plain: bool):
    async def scenario() -> None:
        async with pod(tmp_path, answering(b'{"well":1}')) as one:
            client = await one.inside()
            for _ in range(3):  # the connection is kept
                client.send(ASK)
                reply = await client.reply()
                assert (200, b'{"well":1}') == (reply.status, reply.body)
            assert [("intercepted", "")] == one.proxied
            calls = one.home.calls
            assert 3 == len(calls)
            assert {("openai", "/v1/chat/completions", True, CHAT)} == {
                (call.provider, call.path, call.exact, call.body) for call in calls
            }
            assert 3 == sum(isinstance(event, CallEnded) for event in one.events)

    run(scenario(), plain=plain)


@pytest.mark.parametrize("host", [b"anthropic.test", b"127.0.0.1", b"localhost:4000", b"openai.test:8443"])
def test_a_host_header_chooses_no_other_destination(tmp_path: Path, host: bytes):
    async def scenario() -> None:
        async with pod(tmp_path) as one:
            client = await one.inside()
            client.send(post("/v1/chat/completions", CHAT, host=host))
            reply = await client.reply()
            assert 421 == reply.status
            assert b"host_mismatch" == reply.get(b"x-llm-sidecar-reason")
            assert [] == one.home.calls
            assert ["host"] == [event.reason for event in one.events if isinstance(event, Turned)]

    run(scenario())


@pytest.mark.parametrize("host", [b"openai.test", b"OpenAI.test", b"openai.test:443", b"openai.test."])
def test_every_spelling_of_its_own_host_is_served(tmp_path: Path, host: bytes):
    async def scenario() -> None:
        async with pod(tmp_path) as one:
            client = await one.inside()
            client.send(post("/v1/chat/completions", CHAT, host=host))
            assert 200 == (await client.reply()).status

    run(scenario())


def test_a_path_that_begins_with_a_providers_name_is_no_prefix_here(tmp_path: Path):
    async def scenario() -> None:
        async with pod(tmp_path) as one:
            client = await one.inside()
            client.send(post("/anthropic/v1/messages", host=HOST))
            assert 200 == (await client.reply()).status
            assert ("openai", "/anthropic/v1/messages") == (
                one.home.calls[0].provider,
                one.home.calls[0].path,
            )

    run(scenario())


SMUGGLED = {
    "two framings": b"POST /v1/x HTTP/1.1\r\nHost: openai.test\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two hosts": b"GET /v1/x HTTP/1.1\r\nHost: openai.test\r\nHost: evil.test\r\n\r\n",
    "an absolute target": b"GET http://evil.test/ HTTP/1.1\r\nHost: openai.test\r\n\r\n",
    "a bare line feed": b"GET /v1/x HTTP/1.1\r\nHost: openai.test\nX: y\r\n\r\n",
    "another CONNECT": b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    "a path that walks upwards": get("/v1/%2e%2e/secrets", host=HOST),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a huge head": b"GET /v1/x HTTP/1.1\r\nHost: openai.test\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("case", SMUGGLED)
def test_the_strict_checks_hold_inside_too(tmp_path: Path, case: str):
    async def scenario() -> None:
        async with pod(tmp_path) as one:
            client = await one.inside()
            client.send(SMUGGLED[case] + get("/v1/smuggled", host=HOST))
            reply = await client.reply()
            assert 400 <= reply.status < 600
            assert [] == [call.path for call in one.home.calls if "smuggled" not in call.path]
            if case != "a path that walks upwards":  # that one is well framed: the next request is one
                assert [] == one.home.calls

    run(scenario())


def test_a_websocket_is_refused_clearly_and_counted(tmp_path: Path):
    async def scenario() -> None:
        async with pod(tmp_path) as one:
            client = await one.inside()
            client.send(get("/v1/realtime", b"Connection: Upgrade", b"Upgrade: websocket", host=HOST))
            reply = await client.reply()
            assert 501 == reply.status
            assert b"WebSocket" in reply.body
            assert ["websocket"] == [event.reason for event in one.events if isinstance(event, Turned)]

    run(scenario())


def test_a_client_that_names_another_host_in_its_handshake_is_refused(tmp_path: Path):
    async def scenario() -> None:
        async with pod(tmp_path) as one:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await one.inside(OPENAI, name="anthropic.test")
            await until(lambda: one.proxied == [("failed", "sni")])

    run(scenario())


def test_a_client_that_names_no_host_gets_the_one_it_connected_to(tmp_path: Path):
    async def scenario() -> None:
        async with pod(tmp_path) as one:
            context = one.context()
            context.check_hostname = False
            client = await one.connect(f"{OPENAI}:443")
            await client.writer.start_tls(context)
            shown = client.writer.get_extra_info("peercert")
            assert (("DNS", OPENAI),) == shown["subjectAltName"]

    run(scenario())


def test_only_http_1_is_negotiated(tmp_path: Path):
    async def scenario() -> None:
        async with pod(tmp_path) as one:
            both = await one.inside(context=one.context(alpn=("h2", "http/1.1")))
            assert "http/1.1" == both.writer.get_extra_info("ssl_object").selected_alpn_protocol()
            only = await one.inside(context=one.context(alpn=("h2",)))
            assert None is only.writer.get_extra_info("ssl_object").selected_alpn_protocol()
            only.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            reply = await only.reply()
            assert 505 == reply.status
            assert b"HTTP/1.1" in reply.body

    run(scenario())


def test_a_slow_head_inside_is_ended(tmp_path: Path):
    async def scenario() -> None:
        listen = Listen(hosts=("127.0.0.1",), port=0, head_seconds=0.1)
        async with pod(tmp_path, listen=listen) as one:
            client = await one.inside()
            client.send(b"GET /v1/x HT")
            assert b" 408 " in await client.rest()

    run(scenario())


def test_intercepted_connections_count_towards_the_cap_of_all(tmp_path: Path):
    async def scenario() -> None:
        listen = Listen(hosts=("127.0.0.1",), port=0, max_connections=2)
        async with pod(tmp_path, listen=listen) as one:
            for _ in range(2):
                await one.inside()
            third = await one.inside()
            assert 503 == (await third.head()).status

    run(scenario())


def test_an_injected_key_does_not_leave_its_providers_url(tmp_path: Path):
    async def scenario() -> None:
        row = replace(PROVIDERS["openai"], base_path="/openai", key=Secret("env", "NOT_READ_HERE"))
        async with pod(tmp_path) as one:
            generation = one.home.listener._current()
            mine = replace(generation, settings=replace(one.settings, providers={**PROVIDERS, "openai": row}))
            one.home.listener._current = lambda: mine
            client = await one.inside()
            client.send(get("/admin/keys", host=HOST))
            assert 403 == (await client.reply()).status
            client.send(post("/openai/v1/chat/completions", host=HOST))
            assert 200 == (await client.reply()).status
            assert ["/openai/v1/chat/completions"] == [call.path for call in one.home.calls]

    run(scenario())


def test_a_provider_behind_a_gateway_gets_the_path_below_its_own_url(tmp_path: Path):
    async def scenario() -> None:
        async with pod(tmp_path, hosts={"api.groq.com": "openai"}) as one:
            client = await one.inside("api.groq.com")
            client.send(post("/openai/v1/chat/completions", host=b"api.groq.com"))
            assert 200 == (await client.reply()).status
            assert [("/v1/chat/completions", False)] == [(c.path, c.exact) for c in one.home.calls]

    run(scenario())


def test_a_client_that_leaves_cancels_its_call(tmp_path: Path):
    async def scenario() -> None:
        started = asyncio.Event()

        async def hang(_call: object, _sink: object) -> object:
            started.set()
            return await asyncio.get_running_loop().create_future()

        async with pod(tmp_path, hang) as one:  # type: ignore[arg-type]
            client = await one.inside()
            client.send(ASK)
            await started.wait()
            client.leave()
            await until(lambda: one.home.ended)
            assert [None] == [event.outcome for event in one.home.ended]

    run(scenario())
