"""What a hostile client can do to the listener, and what is told of it."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sidecar import secret
from sidecar.events import (
    Turned,
)
from sidecar.listener import connection, http_rules
from sidecar.listener.http_rules import intake, outgoing
from sidecar.model import (
    Answered,
    Attempt,
    Call,
    Chunk,
    Head,
    Kind,
    Outcome,
    Sink,
)
from sidecar.settings import Limits, Listen, Route
from tests.wire.listener.house import CHAT, House, get, house, post, run, until

LISTEN = Listen(hosts=("127.0.0.1",), port=0)
MEGABYTE = b"x" * 1024 * 1024
WHOLE = Head(200, headers=((b"Content-Length", b"%d" % (8 * len(MEGABYTE))),))


async def megabytes(_call: Call, sink: Sink) -> Outcome:
    """An answer in one piece, as an answer that was held comes."""
    await sink.start(WHOLE)
    await sink.send(Chunk(8 * MEGABYTE))
    return Answered(200)


async def deaf(home: House, request: bytes) -> socket.socket:
    """A client that asks and never reads."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", home.port))
    await loop.sock_sendall(client, request)
    return client


def test_the_last_piece_of_an_answer_has_a_write_limit_too():
    async def scenario() -> None:
        routes = {"openai": Route(name="openai", implicit=True, limits=Limits(write=0.2))}
        async with house(megabytes, routes=routes) as home:
            client = await deaf(home, post())
            await until(lambda: home.listener.in_flight)
            (one,) = home.connections
            await until(lambda: one.writing_paused)
            assert home.listener.in_flight == 1  # it is not over while most of it is here
            await until(lambda: home.ended)
            await until(lambda: not home.connections)
            client.close()

    run(scenario())


def test_a_call_that_is_written_to_its_end_ends_when_the_client_has_read_most_of_it():
    async def scenario() -> None:
        async with house(megabytes) as home:
            reply = await home.ask(post())
            assert len(reply.body) == 8 * len(MEGABYTE)
            await until(lambda: home.ended)
            assert home.ended[0].call.record.client_blocked >= 0

    run(scenario())


@pytest.mark.parametrize("keep", [True, False])
def test_a_client_that_never_reads_the_last_words_does_not_keep_its_connection(
    monkeypatch: pytest.MonkeyPatch, keep: bool
):
    monkeypatch.setattr(connection, "LAST_WORDS", 0.2)

    async def filling(_call: Call, sink: Sink) -> Outcome:
        """Leaves less than the write buffer's limit unsent, and more than the kernel takes."""
        await sink.start(Head(200, headers=((b"Content-Type", b"text/plain"),)))
        while not (buffered := transport().get_write_buffer_size()):
            await sink.send(Chunk(b"x" * 30_000))
            await asyncio.sleep(0.001)
        assert buffered < connection.WRITE_BUFFER
        return Answered(200)

    def transport() -> asyncio.Transport:
        (one,) = homes[0].connections
        assert one.transport is not None
        return one.transport

    homes: list[House] = []

    async def scenario() -> None:
        async with house(filling, listen=replace(LISTEN, keepalive=0.2)) as home:
            homes.append(home)
            extra = () if keep else (b"Connection: close",)
            client = await deaf(home, post("/openai/v1/chat/completions", CHAT, *extra))
            await until(lambda: home.ended)
            await until(lambda: not home.connections)
            client.close()

    run(scenario())


def test_names_of_headers_that_somebody_makes_up_do_not_fill_the_memory():
    for number in range(2000):
        name = b"x-" + b"a" * 30_000 + b"%d" % number
        intake(((name, b"1"),))
        outgoing(((name, b"1"),))

    assert sum(len(name) for name in http_rules._KINDS) < 64 * 1024


def told(home: House) -> list[str]:
    return [event.reason for event in home.events if isinstance(event, Turned)]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (post(host=b"evil.example"), "host"),
        (get("/nobody/v1/models"), "unknown"),
        (get("/openai/v1/models", b"Origin: http://evil.example"), "not_allowed"),
        (get("/openai/%2e%2e/x"), "malformed"),
        (b"nonsense\r\n\r\n", "malformed"),
        (get("/" + "a" * 9000), "too_large"),
        (get("/openai", *[b"X: 1"] * 300), "too_large"),
        (post(body=b"").replace(b"Length: 0", b"Length: 99999999"), "too_large"),
        (get("/openai/v1/realtime", b"Connection: Upgrade", b"Upgrade: websocket"), "websocket"),
        (post("/openai@nobody/v1/chat/completions"), "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whoever_is_turned_away_is_counted_once_by_the_reason(request_: bytes, reason: str):
    async def scenario() -> None:
        async with house() as home:
            assert (await home.ask(request_)).status >= 400
            assert told(home) == [reason]
            assert home.ended == []

    run(scenario())


def test_a_slow_head_and_a_connection_above_the_cap_are_counted():
    async def scenario() -> None:
        async with house(listen=replace(LISTEN, head_seconds=0.1, max_connections=1)) as home:
            first = await home.client()
            first.send(b"POST /op")
            await until(lambda: home.connections)
            second = await home.client()
            assert (await second.head()).status == 503
            assert (await first.head()).status == 408
            assert told(home) == ["connections", "slow"]

    run(scenario())


def test_a_call_is_never_counted_as_turned_away():
    async def scenario() -> None:
        async with house() as home:
            assert (await home.ask(post())).status == 200
            assert told(home) == []
            assert len(home.ended) == 1

    run(scenario())


def test_a_layer_says_who_served_and_else_it_is_the_last_target_asked():
    async def service(call: Call, sink: Sink) -> Outcome:
        call.record.attempts.append(
            Attempt(
                number=1,
                target="last",
                provider="p",
                model="m",
                kind=Kind.INITIAL,
                breaker="closed",
                started=0.0,
            )
        )
        said = ((b"x-llm-sidecar-served-by", b"static"),) if "static" in call.path else ()
        await sink.start(Head(200, headers=(*said, (b"Content-Length", b"0"))))
        return Answered(200)

    async def scenario() -> None:
        async with house(service) as home:
            for path, expected in (("/files/static", [b"static"]), ("/files/x", [b"last"])):
                reply = await home.ask(get(path))
                names = [line.partition(b": ") for line in reply.lines]
                assert [value for name, _, value in names if name == b"x-llm-sidecar-served-by"] == expected

    run(scenario())


class Hanging:
    """A service that answers when it is told to."""

    def __init__(self) -> None:
        self.running = 0
        self.go = asyncio.Event()

    def reached(self, number: int) -> bool:
        return self.running == number

    async def __call__(self, _call: Call, sink: Sink) -> Outcome:
        self.running += 1
        await self.go.wait()
        await sink.start(Head(200, headers=((b"Content-Length", b"0"),)))
        return Answered(200)


def test_the_same_idempotency_key_for_something_else_ends_nobodys_call():
    async def scenario() -> None:
        service = Hanging()
        async with house(service) as home:
            clients = [await home.client() for _ in range(3)]
            paths = ("/openai/v1/chat/completions", "/openai/v1/embeddings", "/anthropic/v1/messages")
            for number, (client, path) in enumerate(zip(clients, paths, strict=True), 1):
                client.send(post(path, CHAT, b"Idempotency-Key: order-1"))
                await until(partial(service.reached, number))
            service.go.set()
            assert [(await client.reply()).status for client in clients] == [200, 200, 200]

    run(scenario())


def test_bodies_that_are_announced_and_do_not_come_take_nobodys_room():
    async def scenario() -> None:
        async with house(held_bytes=4 * 1024 * 1024) as home:
            for _ in range(8):
                client = await home.client()
                client.send(post(body=b"").replace(b"Length: 0", b"Length: 4000000") + b"{")
            await until(lambda: home.admission.held)
            assert (await home.ask(post(body=CHAT + b" " * 1_000_000))).status == 200

    run(scenario())


def test_a_body_takes_no_more_room_than_was_announced():
    most = 0

    async def scenario() -> None:
        nonlocal most
        async with house(held_bytes=3_000_000) as home:
            client = await home.client()
            client.send(post(body=CHAT + b" " * 2_500_000)[:-1])
            await until(lambda: home.admission.held > 2_000_000)
            most = home.admission.held
            client.send(b" ")
            assert (await client.reply()).status == 200

    run(scenario())
    assert most <= 2_500_000 + len(CHAT)


def test_a_client_token_that_was_rotated_away_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(secret, "LOOK_EVERY", 0.0)
    file = tmp_path / "token"
    file.write_text("the-old-one\n")

    async def scenario() -> None:
        async with house(listen=replace(LISTEN, client_token=str(file))) as home:
            old, new = (
                post("/files/x", CHAT, b"x-llm-sidecar-token: the-%b-one" % w) for w in (b"old", b"new")
            )
            assert (await home.ask(old)).status == 200
            file.with_suffix(".next").write_text("the-new-one\n")
            file.with_suffix(".next").rename(file)
            assert (await home.ask(old)).status == 401
            assert (await home.ask(new)).status == 200
            assert told(home) == ["token"]

    run(scenario())
