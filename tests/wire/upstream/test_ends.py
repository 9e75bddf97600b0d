"""What is left when a call ends early, or a connection is not used."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable

import pytest

from sidecar.model import DONE, Answered, Chunk, Failed, Fault, Operation
from sidecar.upstream.upstream import failed

from .conftest import Run
from .rig import JSON, SOON, SSE, Conversation, Tape, chunk, rig, until


async def answers(c: Conversation) -> None:
    while True:
        await c.request()
        await c.send(JSON)


@pytest.mark.parametrize("when", ["before the headers", "in the body"])
def test_a_cancelled_call_closes_its_connection_at_once(run: Run, when: str) -> None:
    async def main() -> None:
        asked, closed = asyncio.Event(), asyncio.Event()

        async def script(c: Conversation) -> None:
            await c.request()
            if when == "in the body":
                await c.send(SSE, chunk(b"1"))
            asked.set()
            await c.closed()
            closed.set()

        async with rig(script) as r:
            tape = Tape()
            asking = asyncio.ensure_future(r.ask(tape=tape))  # noqa: TID251  # to cancel it
            await asyncio.wait_for(asked.wait(), SOON)
            if when == "in the body":
                await tape.next()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert r.pool.open_connections == 0
            await asyncio.wait_for(closed.wait(), SOON)

    run(main())


def test_a_call_cancelled_while_it_connects_leaves_nothing(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            await c.closed()

        async with rig(script, scheme="https") as r:  # the handshake never ends
            asking = asyncio.ensure_future(r.ask())  # noqa: TID251  # to cancel it
            await until(lambda: len(r.server.conversations) == 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    run(main())


@pytest.mark.parametrize("chunked", [True, False])
def test_a_client_that_does_not_read_stops_the_provider(run: Run, chunked: bool) -> None:
    async def main() -> None:
        total, sent, stuck = 32 * 1024 * 1024, 0, asyncio.Event()
        piece = b"x" * 65536

        async def script(c: Conversation) -> None:
            nonlocal sent
            await c.request()
            length = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % total
            await c.send(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
            while sent < total:
                try:
                    data = chunk(piece) if chunked else piece
                    await asyncio.wait_for(c.send(data), 0.3 if not stuck.is_set() else SOON)
                except TimeoutError:
                    stuck.set()
                    await c.send()
                sent += len(piece)
            await c.send(b"0\r\n\r\n" if chunked else b"")

        async with rig(script) as r:
            tape = Tape(gate=asyncio.Event())
            asking = asyncio.ensure_future(r.upstream(r.call(), tape))  # noqa: TID251  # two sides at once
            await asyncio.wait_for(stuck.wait(), SOON)
            held = sent
            assert len(tape.pieces) == 1
            assert tape.gate is not None
            tape.gate.set()
            outcome = await asyncio.wait_for(asking, SOON)

        assert outcome == Answered(200)
        assert tape.body == b"x" * total
        assert held < total / 2  # what the kernel takes; our own part is one read and 64 KiB
        assert max(map(len, tape.pieces)) <= 512 * 1024

    run(main())


def test_many_small_chunks_arrive_whole(run: Run) -> None:
    """The parser also pauses on the number of chunks, and must go on."""

    async def main() -> None:
        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(SSE, *(chunk(b"%06d\n" % n) for n in range(20_000)), b"0\r\n\r\n")

        async with rig(script) as r:
            outcome, tape = await r.ask()

        assert outcome == Answered(200)
        assert tape.body == b"".join(b"%06d\n" % n for n in range(20_000))

    run(main())


def test_a_sink_that_fails_is_not_the_providers_fault(run: Run) -> None:
    async def main() -> None:
        class Gone(Tape):
            async def send(self, _chunk: object) -> None:  # type: ignore[explicit-override]
                raise ConnectionResetError("the client left")

        async with rig(answers) as r:
            with pytest.raises(ConnectionResetError, match="the client left"):
                await r.ask(tape=Gone())
            assert r.pool.open_connections == 0

    run(main())


def test_a_sink_that_takes_at_once_gets_all_of_it_and_may_fail_in_the_middle(run: Run) -> None:
    class Quick(Tape):
        def send(self, chunk: Chunk) -> Awaitable[None]:  # type: ignore[explicit-override, override]
            if chunk.raw == b"bad":
                raise ConnectionResetError("the client left")
            self.pieces.append(chunk.raw)
            self.got.set()
            return DONE

    async def main() -> None:
        async def script(c: Conversation) -> None:
            while True:
                await c.request()
                await c.send(SSE)
                for piece in (b"1", b"2", last):
                    await c.send(chunk(piece))
                    if piece != last:
                        await tape.next()
                await c.send(b"0\r\n\r\n")

        async with rig(script) as r:
            last, tape = b"3", Quick()
            outcome, _ = await r.ask(tape=tape)
            assert outcome == Answered(200)
            assert tape.pieces == [b"1", b"2", b"3"]
            last, tape = b"bad", Quick()
            with pytest.raises(ConnectionResetError, match="the client left"):
                await r.ask(tape=tape)
            assert tape.pieces == [b"1", b"2"]

    run(main())


def test_beyond_the_limit_a_door_says_so_at_once(run: Run) -> None:
    async def main() -> None:
        async def silent(c: Conversation) -> None:
            await c.request()
            await c.closed()

        async with rig(silent, pool={"limit": 2}) as r:
            asking = [asyncio.ensure_future(r.ask()) for _ in range(2)]  # noqa: TID251  # to cancel them
            await until(lambda: r.server.asked == 2)
            outcome, _ = await r.ask()
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)

        assert isinstance(outcome, Failed)
        assert (Fault.LOCAL_OVERLOAD, "2 connections are in use") == (outcome.fault, outcome.detail)

    run(main())


def test_an_idle_connection_is_closed_in_time(run: Run) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(JSON)
            await c.closed()
            ended.set()

        async with rig(script, pool={"keepalive": 0.1}) as r:
            await r.ask()
            assert r.pool.idle_connections == 1
            await asyncio.wait_for(ended.wait(), SOON)
            assert r.pool.open_connections == 0

    run(main())


def test_what_the_machine_lacks_is_our_own_fault() -> None:
    outcome = failed(OSError(errno.EMFILE, "Too many open files"))

    assert (Fault.LOCAL_OVERLOAD, "no connection could be made here: EMFILE") == (
        outcome.fault,
        outcome.detail,
    )


def test_a_call_that_is_not_judged_has_no_deadline_here(run: Run) -> None:
    async def main() -> None:
        async with rig(answers) as r:
            outcome, _ = await r.ask(r.call(operation=Operation.OTHER, deadline=0.0))

        assert outcome == Answered(200)

    run(main())
