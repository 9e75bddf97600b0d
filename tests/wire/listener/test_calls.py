"""From a request to a Call: what the stack gets to see."""

from __future__ import annotations

import asyncio
import gzip
import json
from math import inf

import pytest

from sidecar.events import (
    Ignored,
    Shed,
)
from sidecar.model import (
    Call,
    Failed,
    Fault,
    Operation,
    Options,
    Outcome,
    Sink,
    Traffic,
)
from sidecar.settings import Listen, RequestHeaders, Route, Settings
from tests.wire.listener.house import (
    CHAT,
    PROVIDERS,
    answering,
    get,
    house,
    post,
    run,
    saying,
    soon,
    until,
)

PATH = "/openai/v1/chat/completions"
MESSAGES = "/anthropic/v1/messages"
MESSAGE = b'{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'


def test_a_known_operation_becomes_a_call_with_its_body_held():
    async def scenario() -> None:
        async with house() as home:
            reply = await home.ask(
                post(PATH + "?api-version=1", CHAT, b"Authorization: Bearer sk-1", b"Accept-Encoding: gzip")
            )
            assert reply.status == 200
            (call,) = home.calls
            assert (call.provider, call.dialect, call.route) == ("openai", "openai_chat", "openai")
            assert (call.method, call.path, call.query) == ("POST", "/v1/chat/completions", "api-version=1")
            assert (call.body, call.upload) == (CHAT, None)
            assert (call.ask.operation, call.ask.model) == (Operation.CHAT, "gpt-4o")
            assert (b"Accept-Encoding", b"gzip") in call.headers
            assert len(call.key_digest) == 8
            assert (call.patience, round(call.deadline - call.arrived, 6)) == (inf, 300.0)

    run(scenario())


def test_the_key_digest_tells_keys_apart_and_is_empty_without_one():
    async def scenario() -> None:
        async with house() as home:
            for line in (b"Authorization: Bearer a", b"Authorization: Bearer b", b"Authorization: Bearer a"):
                await home.ask(post(PATH, CHAT, line))
            await home.ask(post())
            first, second, third, none = (call.key_digest for call in home.calls)
            assert first == third != second
            assert none == ""

    run(scenario())


TRACE = b"0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        (b"00-" + TRACE + b"-b7ad6b7169203331-01", True),
        (b"cc-" + TRACE + b"-b7ad6b7169203331-01-what-the-future-may-bring", True),
        (b"ff-" + TRACE + b"-b7ad6b7169203331-01", False),
        (b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01", False),
        (b"00-" + TRACE + b"-" + b"0" * 16 + b"-01", False),
        (b"00-" + TRACE.upper() + b"-b7ad6b7169203331-01", False),
        (b"nonsense", False),
    ],
)
def test_a_valid_trace_is_joined_and_its_id_is_in_the_answer(line: bytes, taken: bool):
    async def scenario() -> None:
        async with house() as home:
            reply = await home.ask(post(PATH, CHAT, b"traceparent: " + line))
            trace = reply.get(b"x-llm-sidecar-trace-id")
            assert trace is not None
            assert home.calls[0].trace_id == trace.decode()
            assert len(trace) == 32
            assert (trace == TRACE) is taken

    run(scenario())


@pytest.mark.parametrize(
    ("path", "method"),
    [("/openai/v1/models", b"GET"), ("/files/anything?x=1", b"DELETE"), ("/openai", b"GET")],
)
def test_an_operation_that_is_not_known_goes_to_the_pass_through(path: str, method: bytes):
    async def scenario() -> None:
        async with house(saying(Failed(Fault.UNKNOWN)), passthrough=answering(b"listed")) as home:
            reply = await home.ask(get(path, method=method))
            assert reply.body == b"listed"
            (call,) = home.calls
            assert (call.route, call.ask.operation, call.ask.model) == ("passthrough", Operation.OTHER, "")

    run(scenario())


def test_an_encoded_body_is_passed_on_as_it_is():
    packed = gzip.compress(CHAT)

    async def scenario() -> None:
        async with house() as home:
            await home.ask(post(PATH, packed, b"Content-Encoding: gzip"))
            assert home.calls[0].ask.operation is Operation.OTHER
            assert home.calls[0].body == packed

    run(scenario())


def test_a_body_that_is_no_json_goes_to_a_plain_provider_and_is_refused_by_a_configured_route():
    async def scenario() -> None:
        routes = {"openai": Route(name="openai", implicit=True), "strict": Route(name="strict")}
        async with house(routes=routes) as home:
            assert (await home.ask(post(body=b"{oops"))).status == 200
            assert home.calls[0].body == b"{oops"
            assert home.calls[0].ask.operation is Operation.OTHER
            reply = await home.ask(post("/openai@strict/v1/chat/completions", b"{oops"))
            assert reply.status == 400
            assert json.loads(reply.body)["error"]["code"] == "invalid_request"
            assert b"oops" not in reply.body
            assert len(home.calls) == 1

    run(scenario())


def test_the_route_is_named_by_the_path_or_by_a_header():
    async def scenario() -> None:
        routes = {name: Route(name=name) for name in ("openai", "summaries")}
        async with house(routes=routes) as home:
            await home.ask(post("/openai@summaries/v1/chat/completions"))
            await home.ask(post(PATH, CHAT, b"X-LLM-Sidecar-Route: summaries"))
            assert [call.route for call in home.calls] == ["summaries", "summaries"]
            assert home.calls[0].path == "/v1/chat/completions"
            reply = await home.ask(post("/openai@nope/v1/chat/completions"))
            assert reply.status == 404
            assert b"nope" in reply.body

    run(scenario())


def test_request_headers_that_configuration_does_not_allow_are_dropped():
    wish = (b"x-llm-sidecar-route: summaries", b"x-llm-sidecar-retry: off", b"x-llm-sidecar-deadline: 1")

    async def scenario() -> None:
        routes = {name: Route(name=name) for name in ("openai", "summaries")}
        closed = RequestHeaders(route=False, retry=False, deadline=False)
        listen = Listen(hosts=("127.0.0.1",), port=0)
        settings = Settings(listen=listen, providers=PROVIDERS, request_headers=closed)
        async with house(routes=routes, settings=settings) as home:
            await home.ask(post(PATH, CHAT, *wish))
            (call,) = home.calls
            assert (call.route, call.options, round(call.deadline - call.arrived, 6)) == (
                "openai",
                Options(),
                30.0,
            )
            assert (await home.ask(post("/openai@summaries/v1/chat/completions"))).status == 403

    run(scenario())


def test_request_headers_that_are_allowed_change_the_call_and_go_no_further():
    wish = (
        b"x-llm-sidecar-fallback: off",
        b"x-llm-sidecar-retry: OFF",
        b"x-llm-sidecar-cache: on",
        b"x-llm-sidecar-tenant: north",
        b"x-llm-sidecar-class: background",
    )

    async def scenario() -> None:
        async with house(routes={"openai": Route(name="openai")}) as home:
            await home.ask(post(PATH, CHAT, *wish))
            (call,) = home.calls
            assert call.options == Options(fallback=False, retry=False, cache=True, tenant="north")
            assert (call.traffic, round(call.deadline - call.arrived, 6)) == (Traffic.BACKGROUND, 300.0)
            assert not any(name.startswith(b"x-llm-sidecar") for name, _ in call.headers)

    run(scenario())


@pytest.mark.parametrize("line", [b"retry: maybe", b"deadline: soon", b"deadline: -1", b"class: urgent"])
def test_a_wish_that_cannot_be_meant_is_refused(line: bytes):
    async def scenario() -> None:
        async with house() as home:
            reply = await home.ask(post(PATH, CHAT, b"x-llm-sidecar-" + line))
            assert reply.status == 400
            assert line.partition(b":")[0] in reply.body

    run(scenario())


def test_a_misspelt_header_of_ours_costs_the_call_nothing_is_named_in_the_answer_and_told_once():
    misspelt = (b"X-LLM-Sidecar-Rout: summaries", b"x-llm-sidecar-retry: off", b"x-llm-sidecar-a|b: 1")

    async def scenario() -> None:
        async with house() as home:
            for _ in range(2):
                reply = await home.ask(post(PATH, CHAT, *misspelt))
                assert (200, b"x-llm-sidecar-rout") == (reply.status, reply.get(b"x-llm-sidecar-ignored"))
            assert (await home.ask(post())).get(b"x-llm-sidecar-ignored") is None
            [told] = [event for event in home.events if isinstance(event, Ignored)]
            assert ("x-llm-sidecar-rout", "x-llm-sidecar-route") == (told.header, told.meant)
            assert home.calls[0].options == Options(retry=False)

    run(scenario())


def test_a_header_that_stands_twice_is_refused_with_words_that_help():
    async def scenario() -> None:
        async with house() as home:
            kind = b"Content-Type: application/json"
            reply = await home.ask(post(PATH, CHAT, kind, kind))
            assert (400, b"bad_request") == (reply.status, reply.get(b"x-llm-sidecar-reason"))
            assert b"such as content-type, stands twice" in reply.body

    run(scenario())


def test_made_up_headers_fill_neither_the_answer_nor_the_log():
    async def scenario() -> None:
        async with house() as home:
            for start in range(10, 50, 4):
                made_up = [b"x-llm-sidecar-z%d: 1" % number for number in range(start, start + 6)]
                reply = await home.ask(post(PATH, CHAT, *made_up, b"x-llm-sidecar-" + b"q" * 100 + b": 1"))
                assert 3 == (reply.get(b"x-llm-sidecar-ignored") or b"").count(b", ")
            assert 32 == sum(isinstance(event, Ignored) for event in home.events)

    run(scenario())


def test_a_request_that_expects_leave_to_send_its_body_gets_it():
    async def scenario() -> None:
        async with house() as home:
            client = await home.client()
            head, _, body = post(PATH, CHAT, b"Expect: 100-continue").partition(b"\r\n\r\n")
            client.send(head + b"\r\n\r\n")
            assert (await client.head()).status == 100
            client.send(body)
            assert (await client.reply()).status == 200
            assert home.calls[0].body == CHAT
            assert not any(name.lower() == b"expect" for name, _ in home.calls[0].headers)
            assert (await home.ask(post(PATH, CHAT, b"Expect: the-moon"))).status == 417

    run(scenario())


@pytest.mark.parametrize(("request_", "status"), [(post(), 503), (post(MESSAGES, MESSAGE), 529)])
def test_held_bodies_beyond_the_room_are_shed_with_leave_to_retry(request_: bytes, status: int):
    async def scenario() -> None:
        async with house(held_bytes=10) as home:
            reply = await home.ask(request_)
            assert reply.status == status
            assert reply.get(b"x-should-retry") == b"true"
            assert int(reply.get(b"retry-after-ms") or b"0") > 0
            assert reply.get(b"x-llm-sidecar-reason") == b"overload"
            assert [event.reason for event in home.events if isinstance(event, Shed)] == ["memory"]
            assert [ended.status for ended in home.ended] == [status]
            assert home.calls == []

    run(scenario())


@pytest.mark.parametrize("known_length", [True, False])
def test_room_is_taken_while_a_call_lasts_and_given_back_after(known_length: bool):
    held: list[int] = []

    async def scenario() -> None:
        body = CHAT + b" " * 200_000

        async def looking(call: Call, sink: Sink) -> Outcome:
            held.append(home.admission.held)
            return await answering()(call, sink)

        async with house(looking) as home:
            if known_length:
                await home.ask(post(PATH, body))
            else:
                head = b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                chunk = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
                await home.ask(head + chunk)
            assert home.calls[0].body == body
            assert len(body) <= held[0] <= 2 * len(body)
            await until(lambda: home.admission.held == 0)

    run(scenario())


# ---- what is passed on ---------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [False, True])
def test_a_chunked_upload_is_streamed_through_and_never_held(plain: bool):
    size, piece = 1024 * 1024, 16 * 1024
    seen: list[int] = []

    async def taking(call: Call, sink: Sink) -> Outcome:
        if call.upload is None:  # small, and here already
            return await answering()(call, sink)
        assert call.body == b""
        total = 0
        async for block in call.upload:
            total += len(block)
            seen.append(len(block))
        return await answering(str(total).encode())(call, sink)

    async def scenario() -> None:
        async with house(
            passthrough=taking, listen=Listen(hosts=("127.0.0.1",), port=0, max_body=1000)
        ) as home:
            client = await home.client()
            client.send(
                b"POST /openai/v1/files HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            for _ in range(size // piece):
                client.send(b"%x\r\n%b\r\n" % (piece, b"x" * piece))
                await soon(client.writer.drain())
            client.send(b"0\r\n\r\n")
            assert (await client.reply()).body == str(size).encode()
            assert max(seen) <= 512 * 1024
            assert home.admission.held == 0
            client.send(post("/openai/v1/files", b"again"))  # the connection is still good
            assert (await client.reply()).status == 200

    run(scenario(), plain=plain)


def test_an_upload_is_read_no_faster_than_it_is_taken():
    async def scenario() -> None:
        go = asyncio.Event()
        sent = 0

        async def slow(call: Call, sink: Sink) -> Outcome:
            await go.wait()
            assert call.upload is not None
            async for _ in call.upload:
                pass
            return await answering()(call, sink)

        async with house(passthrough=slow) as home:
            client = await home.client()
            total = 64 * 1024 * 1024
            client.send(b"POST /files/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % total)
            piece = b"x" * 65536
            stuck = False
            while sent < total and not stuck:
                client.send(piece)
                sent += len(piece)
                try:
                    async with asyncio.timeout(0.5):
                        await client.writer.drain()
                except TimeoutError:
                    stuck = True
            assert stuck  # kernel buffers filled up; the listener took no more
            assert sent < total / 2
            go.set()
            while sent < total:
                client.send(piece)
                sent += len(piece)
                await soon(client.writer.drain())
            assert (await client.reply()).status == 200

    run(scenario())
