from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from sidecar.model import Answered, Failed, Fault, Operation

from .conftest import Run
from .rig import JSON, SOON, SSE, Conversation, Tape, chunk, rig


async def answer(c: Conversation) -> None:
    while True:
        await c.request()
        await c.send(JSON)


def test_a_whole_answer_comes_as_it_is(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(
                b"HTTP/1.1 200 Fine\r\nX-Request-Id: req_1\r\nConnection: keep-alive\r\n"
                b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n",
                b'{"a": 1 }',
            )

        async with rig(script) as r:
            call = r.call()
            outcome, tape = await r.ask(call)

        assert outcome == Answered(200)
        assert tape.head is not None
        assert (200, "Fine") == (tape.head.status, tape.head.reason)
        assert tape.head.headers == (
            (b"X-Request-Id", b"req_1"),
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"9"),
        )
        assert tape.body == b'{"a": 1 }'
        assert (200, "req_1") == (call.record.attempts[0].status, call.record.attempts[0].request_id)

    run(main())


def test_the_request_leaves_with_what_the_client_said_and_nothing_else(run: Run) -> None:
    async def main() -> None:
        async with rig(answer) as r:
            await r.ask(r.call(query="a=%2F&b"))
            head = r.server.conversations[0].heads[0]
            body = r.server.conversations[0].bodies[0]

        assert head == (
            b"POST /v1/chat/completions?a=%%2F&b HTTP/1.1\r\n"
            b"host: 127.0.0.1:%d\r\n"
            b"Authorization: Bearer sk-app\r\n"
            b"Content-Type: application/json\r\n"
            b"accept-encoding: identity\r\n"
            b"content-length: 13\r\n\r\n" % r.server.port
        )
        assert body == b'{"model":"m"}'

    run(main())


def test_a_connection_is_used_again_after_a_clean_end(run: Run) -> None:
    async def main() -> None:
        async with rig(answer) as r:
            for _ in range(3):
                outcome, _ = await r.ask()
                assert outcome == Answered(200)
            assert len(r.server.conversations) == 1
            assert r.server.asked == 3
            assert r.pool.idle_connections == 1

    run(main())


def test_pieces_of_a_stream_pass_as_they_come(run: Run) -> None:
    async def main() -> None:
        tape = Tape()
        step = asyncio.Event()

        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(SSE, chunk(b"data: 1\n\n"))
            await asyncio.wait_for(step.wait(), SOON)  # the second is sent only when the first is seen
            await c.send(chunk(b"data: 2\n\n"), b"0\r\n\r\n")

        async with rig(script) as r:
            asking = asyncio.ensure_future(r.ask(r.call(stream=True), tape))  # noqa: TID251  # two sides
            assert await tape.next() == b"data: 1\n\n"
            step.set()
            outcome, _ = await asking

        assert outcome == Answered(200)
        assert tape.pieces == [b"data: 1\n\n", b"data: 2\n\n"]

    run(main())


def test_interim_answers_are_swallowed(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", JSON)

        async with rig(script) as r:
            outcome, tape = await r.ask()

        assert (Answered(200), b"{}") == (outcome, tape.body)

    run(main())


def test_an_error_answer_is_read_and_judged(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            while True:
                await c.request()
                await c.send(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nx-a: b\r\n\r\nwhy?")

        async with rig(script) as r:
            outcome, tape = await r.ask()
            again, _ = await r.ask()
            assert len(r.server.conversations) == 1

        assert isinstance(outcome, Failed)
        assert isinstance(again, Failed)
        assert outcome.head is not None
        assert (503, b"why?") == (outcome.head.status, outcome.body)
        assert outcome.head.get(b"x-a") == b"b"
        assert tape.head is None

    run(main())


def test_an_error_body_that_never_ends_is_left(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(b"HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:
                await c.send(chunk(b"x" * 65536))

        async with rig(script) as r:
            outcome, _ = await r.ask()

        assert isinstance(outcome, Failed)
        assert len(outcome.body) == 1024 * 1024

    run(main())


def test_a_redirect_is_not_followed(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")

        async with rig(script) as r:
            outcome, tape = await r.ask()
            assert r.server.asked == 1

        assert isinstance(outcome, Failed)
        assert outcome.head is not None
        assert (Fault.UNKNOWN, "unexpected redirect", 302) == (
            outcome.fault,
            outcome.detail,
            outcome.head.status,
        )
        assert tape.head is None

    run(main())


def test_what_is_not_judged_passes_whatever_its_status(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(b"HTTP/1.1 429 Slow\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nraw")

        async with rig(script) as r:
            call = r.call(operation=Operation.OTHER)
            call = replace(call, headers=(*call.headers, (b"Accept-Encoding", b"gzip")))
            outcome, tape = await r.ask(call)
            assert b"Accept-Encoding: gzip\r\n" in r.server.conversations[0].heads[0]

        assert outcome == Answered(429)
        assert tape.head is not None
        assert tape.head.get(b"content-encoding") == b"gzip"
        assert tape.body == b"raw"

    run(main())


def test_an_answer_to_head_has_no_body(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            while True:
                await c.request()
                await c.send(b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n")

        async with rig(script) as r:
            call = r.call(operation=Operation.OTHER, method="HEAD", body=b"")
            for _ in range(2):
                assert (await r.ask(call))[0] == Answered(200)
            assert len(r.server.conversations) == 1
            assert b"content-length" not in r.server.conversations[0].heads[0]

    run(main())


def test_a_body_is_passed_on_in_pieces(run: Run) -> None:
    async def main() -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            yield b""
            yield b"two"

        async with rig(answer) as r:
            chunked = r.call(operation=Operation.OTHER, body=b"", upload=pieces())
            assert (await r.ask(chunked))[0] == Answered(200)
            known = r.call(operation=Operation.OTHER, body=b"", upload=pieces())
            known = replace(known, headers=((b"Content-Length", b"6"),))
            assert (await r.ask(known))[0] == Answered(200)
            first, second = r.server.conversations[0].heads
            assert b"transfer-encoding: chunked\r\n" in first
            assert b"content-length: 6\r\n" in second
            assert r.server.conversations[0].bodies == [b"onetwo", b"onetwo"]

    run(main())


def test_an_answer_before_the_end_of_an_upload_stops_it(run: Run) -> None:
    async def main() -> None:
        answered = asyncio.Event()
        gave = 0

        async def script(c: Conversation) -> None:
            await c.reader.readuntil(b"\r\n\r\n")
            await c.send(b"HTTP/1.1 413 Large\r\ncontent-length: 2\r\n\r\nno")
            answered.set()
            await c.closed()

        async def endless() -> AsyncIterator[bytes]:
            nonlocal gave
            while True:
                gave += 1
                yield b"x" * 1024
                await asyncio.wait_for(answered.wait(), SOON)
                await asyncio.sleep(0)

        async with rig(script) as r:
            outcome, tape = await r.ask(r.call(operation=Operation.OTHER, body=b"", upload=endless()))
            assert r.pool.idle_connections == 0

        assert (Answered(413), b"no") == (outcome, tape.body)
        assert gave < 1000

    run(main())


def test_what_the_clients_side_raises_is_not_the_providers_fault(run: Run) -> None:
    async def main() -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"one"
            raise ConnectionResetError("the client left")

        async with rig(answer) as r:
            with pytest.raises(ConnectionResetError, match="the client left"):
                await r.ask(r.call(operation=Operation.OTHER, body=b"", upload=broken()))
            assert r.pool.open_connections == 0

    run(main())


def test_an_upload_shorter_than_announced_is_the_clients_fault(run: Run) -> None:
    async def main() -> None:
        async def short() -> AsyncIterator[bytes]:
            yield b"one"

        async with rig(answer) as r:
            call = r.call(operation=Operation.OTHER, body=b"", upload=short())
            outcome, _ = await r.ask(replace(call, headers=((b"Content-Length", b"6"),)))
            assert r.pool.open_connections == 0

        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.INVALID_REQUEST

    run(main())


def test_an_answer_without_a_body_is_an_answer(run: Run) -> None:
    async def main() -> None:
        async def nothing(c: Conversation) -> None:
            await c.request()
            await c.send(b"HTTP/1.1 204 No Content\r\n\r\n")

        async with rig(nothing) as r:
            outcome, tape = await r.ask()
            assert isinstance(outcome, Answered)
            assert (204, b"") == (outcome.status, tape.body)

    run(main())
