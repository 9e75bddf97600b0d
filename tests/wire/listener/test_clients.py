"""Clients that leave, dawdle, retry; and the end of the listener itself."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from sidecar.events import (
    CallEnded,
    NestedRetry,
)
from sidecar.listener.listener import PortInUse
from sidecar.model import (
    Answered,
    Call,
    Chunk,
    Head,
    Outcome,
    Sink,
)
from sidecar.settings import Limits, Listen, Route
from sidecar.telemetry import words
from tests.wire.listener.house import (
    CHAT,
    EVENTS,
    House,
    Script,
    answering,
    get,
    house,
    post,
    run,
    soon,
    until,
)

STREAM = Head(200, headers=(EVENTS,))
LISTEN = Listen(hosts=("127.0.0.1",), port=0)
PATH = "/openai/v1/chat/completions"


class Hanging:
    """A service that never answers, and remembers how it ended."""

    def __init__(self, *, stream: bool = False) -> None:
        self.running = 0
        self.cancelled = 0
        self.stream = stream

    async def __call__(self, _call: Call, sink: Sink) -> Outcome:
        self.running += 1
        try:
            if self.stream:
                await sink.start(STREAM)
                await sink.send(Chunk(b"data: 1\n\n"))
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        raise AssertionError


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("politely", [False, True])
def test_a_client_that_leaves_cancels_its_call_at_once(stream: bool, politely: bool):
    async def scenario() -> None:
        service = Hanging(stream=stream)
        async with house(service) as home:
            client = await home.client()
            client.send(post())
            await until(lambda: service.running)
            if stream:
                await client.head()
            before = asyncio.get_running_loop().time()
            if politely:
                client.writer.close()
            else:
                client.leave()
            await until(lambda: service.cancelled)
            assert asyncio.get_running_loop().time() - before < 1.0
            await until(lambda: home.ended)
            (ended,) = home.ended
            assert ended.outcome is None
            assert (ended.status, ended.committed) == ((200, True) if stream else (0, False))

    run(scenario())


def test_a_client_that_leaves_while_it_sends_its_body_leaves_nothing_behind():
    async def scenario() -> None:
        async with house() as home:
            client = await home.client()
            client.send(post(PATH, CHAT + b" " * 1000)[:-500])
            await until(lambda: home.admission.held)
            client.leave()
            await until(lambda: not home.admission.held)
            assert home.calls == []
            assert home.ended == []

    run(scenario())


def endless(sent: list[int]) -> Script:
    async def service(_call: Call, sink: Sink) -> Outcome:
        await sink.start(STREAM)
        while True:
            await sink.send(Chunk(b"data: " + b"x" * 65_000 + b"\n\n"))
            sent.append(65_000)

    return service


def test_a_client_that_does_not_read_holds_up_the_provider_not_the_memory():
    sent: list[int] = []

    async def scenario() -> None:
        async with house(endless(sent)) as home:
            client = await home.client()
            client.send(post())
            await until(lambda: sent)
            (connection,) = home.connections
            await until(lambda: connection.writing_paused and client.reader._paused)  # type: ignore[attr-defined]  # no public way to see it
            settled = len(sent)
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(sent) == settled
            assert connection.transport is not None
            assert connection.transport.get_write_buffer_size() <= 3 * 65_000
            while len(sent) <= settled + 10:  # it goes on as soon as there is room
                await soon(client.reader.read(65536))
            client.leave()
            await until(lambda: home.ended)
            assert home.calls[0].record.client_blocked > 0

    run(scenario())


def test_a_client_that_takes_nothing_for_too_long_counts_as_gone():
    async def scenario() -> None:
        route = Route(name="openai", limits=replace(Limits(), write=0.2))
        async with house(endless([]), routes={"openai": route}) as home:
            client = await home.client()
            client.send(post())
            await until(lambda: home.ended)
            assert home.ended[0].outcome is None

    run(scenario())


@pytest.mark.parametrize("start", [b"POST /openai", post()[:-50].partition(b"\r\n\r\n")[0]])
def test_a_head_that_does_not_come_in_time_is_given_up(start: bytes):
    async def scenario() -> bytes:
        async with house(listen=replace(LISTEN, head_seconds=0.1)) as home:
            return await home.say(start)

    raw = run(scenario())
    assert raw.startswith(b"HTTP/1.1 408 ")
    assert b"slow_head" in raw


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word():
    async def scenario() -> bytes:
        async with house(listen=replace(LISTEN, head_seconds=0.1)) as home:
            return await home.say(b"")

    assert run(scenario()) == b""


def test_the_second_head_is_timed_from_its_first_byte():
    async def scenario() -> None:
        async with house(listen=replace(LISTEN, head_seconds=0.1)) as home:
            client = await home.client()
            client.send(post())
            assert (await client.reply()).status == 200
            (connection,) = home.connections
            assert connection._head_timer is None
            client.send(b"POST /openai")
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")

    run(scenario())


def test_a_held_body_that_pauses_too_long_is_given_up():
    async def scenario() -> None:
        async with house(listen=replace(LISTEN, body_idle=0.1)) as home:
            client = await home.client()
            client.send(post()[:-5])
            reply = await client.reply()
            assert reply.status == 408
            assert reply.get(b"x-llm-sidecar-reason") == b"slow_body"
            assert home.calls == []

    run(scenario())


def test_an_upload_that_pauses_too_long_ends_its_call():
    async def waiting(call: Call, _sink: Sink) -> Outcome:
        assert call.upload is not None
        async for _ in call.upload:
            pass
        return Answered(200)

    async def scenario() -> None:
        async with house(passthrough=waiting, listen=replace(LISTEN, body_idle=0.1)) as home:
            client = await home.client()
            client.send(post("/files/upload")[:-5])
            assert (await client.reply()).status == 408
            await until(lambda: home.ended)
            assert len(home.ended) == 1

    run(scenario())


def test_a_malformed_chunk_in_an_upload_ends_the_call_with_a_clear_error():
    async def waiting(call: Call, sink: Sink) -> Outcome:
        assert call.upload is not None
        async for _ in call.upload:
            pass
        return await answering()(call, sink)

    async def scenario() -> None:
        async with house(passthrough=waiting) as home:
            client = await home.client()
            head = b"POST /files/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            client.send(head + b"1\r\na\r\n")
            await until(lambda: home.calls)
            client.send(b"oops\r\n")
            raw = await client.rest()
            assert raw.startswith(b"HTTP/1.1 400 ")
            assert b"chunk_size" in raw
            assert len(home.ended) == 1

    run(scenario())


# ---- nested retries ----------------------------------------------------------------------------------


def sources(home: House) -> list[str]:
    return [event.source for event in home.events if isinstance(event, NestedRetry)]


def test_an_sdk_that_says_it_retries_is_believed():
    async def scenario() -> None:
        async with house() as home:
            await home.ask(post(PATH, CHAT, b"x-stainless-retry-count: 0"))
            assert sources(home) == []
            await home.ask(post(PATH, CHAT, b"x-stainless-retry-count: 2"))
            assert sources(home) == ["sdk_header"]
            assert [call.record.nested for call in home.calls] == [0, 2]

    run(scenario())


def test_equal_bodies_alone_are_no_retry_but_after_a_client_that_left_they_are():
    async def scenario() -> None:
        service = Hanging()
        quick = answering()
        hang = True

        async def either(call: Call, sink: Sink) -> Outcome:
            return await (service(call, sink) if hang else quick(call, sink))

        async with house(either) as home:
            client = await home.client()
            client.send(post())
            await until(lambda: service.running)
            client.leave()
            await until(lambda: home.ended)
            hang = False
            await home.ask(post(PATH, CHAT + b" "))  # another body
            await home.ask(post(PATH, CHAT, b"Authorization: Bearer other"))  # another key
            assert sources(home) == []
            await home.ask(post())
            assert sources(home) == ["same_body"]
            assert home.calls[-1].record.nested == 1
            await home.ask(post())  # the one who left has come back: this is another one
            assert sources(home) == ["same_body"]

    run(scenario())


def test_the_same_idempotency_key_is_a_retry_and_takes_part_in_the_first_call():
    async def scenario() -> None:
        service = Hanging()
        async with house(service) as home:
            key = b"Idempotency-Key: k1"
            clients = [await home.client() for _ in range(2)]
            for client in clients:
                client.send(post(PATH, CHAT, key))
            await until(lambda: sources(home) == ["idempotency_key"] and service.running)
            assert service.running == 1

    run(scenario())


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_both_loopbacks_are_served_on_one_port_and_a_missing_ipv6_is_tolerated():
    async def scenario() -> None:
        async with house(listen=Listen(port=0)) as home:
            hosts = [host for host, _ in home.addresses]
            assert hosts == (["127.0.0.1", "::1"] if _has_ipv6() else ["127.0.0.1"])
            assert len({port for _, port in home.addresses}) == 1
            for host in hosts:
                client = await home.client(host)
                client.send(get("/files/x", host=f"[{host}]".encode() if ":" in host else host.encode()))
                assert (await client.reply()).status == 200

    run(scenario())


def test_a_port_in_use_is_one_clear_line():
    async def scenario() -> None:
        async with house() as home:
            with pytest.raises(PortInUse) as caught:
                async with house(listen=replace(LISTEN, port=home.port)):
                    pass
            assert str(home.port) in str(caught.value)
            assert "\n" not in str(caught.value)

    run(scenario())


def test_draining_waits_for_calls_in_flight_and_still_takes_new_ones():
    async def scenario() -> None:
        go = asyncio.Event()

        async def waiting(call: Call, sink: Sink) -> Outcome:
            await go.wait()
            return await answering()(call, sink)

        async with house(waiting) as home:
            first = await home.client()
            first.send(post())
            await until(lambda: home.listener.in_flight == 1)
            draining = asyncio.ensure_future(home.listener.drain(5.0))  # noqa: TID251  # a test's own task
            second = await home.client()
            second.send(post())
            await until(lambda: home.listener.in_flight == 2)
            go.set()
            assert (await first.reply()).status == (await second.reply()).status == 200
            await soon(draining)
            with pytest.raises(OSError):  # noqa: PT011  # refused or reset
                await asyncio.open_connection("127.0.0.1", home.port)

    run(scenario())


def test_after_the_drains_time_streams_end_with_an_error_event_and_waiting_calls_with_an_error():
    async def scenario() -> None:
        service = Hanging(stream=True)
        silent = Hanging()

        async def either(call: Call, sink: Sink) -> Outcome:
            return await (service if call.provider == "openai" else silent)(call, sink)

        async with house(either) as home:
            stream = await home.client()
            stream.send(post())
            await stream.head()
            message = b'{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
            waiting = await home.client()
            waiting.send(post("/anthropic/v1/messages", message))
            idle = await home.client()
            await until(lambda: silent.running and service.running)
            await soon(home.listener.drain(0.01))
            raw = await stream.rest()
            assert b'"error"' in raw
            assert raw.endswith(b"0\r\n\r\n")
            reply = await waiting.reply()
            assert reply.status == 529  # what the SDK of Anthropic knows an overload by
            assert reply.get(b"x-should-retry") == b"true"
            assert await idle.rest() == b""
            assert (service.running, silent.running) == (0, 0)
            assert [type(event) for event in home.events].count(CallEnded) == 2
            assert ["error", "error"] == [words.ended(ended.outcome) for ended in home.ended]
            assert ["local_overload"] * 2 == [words.error_type(ended.outcome) for ended in home.ended]

    run(scenario())
