"""What goes wrong on the wire, and what the layers are told."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.model import Answered, Failed, Fault, Operation, Scope
from sidecar.settings import Limits

from .certificate import write_certificate
from .conftest import Run
from .rig import JSON, SOON, SSE, Conversation, Script, Tape, chunk, rig, until

SHORT = Limits(connect=0.3, tls=0.3, headers=0.3)


def says(*data: bytes, reset: bool = False) -> Script:
    """Answers one request with these bytes, then closes or resets the connection."""

    async def script(c: Conversation) -> None:
        await c.request()
        await c.send(*data)
        if reset:
            c.reset()

    return script


async def silent(c: Conversation) -> None:
    await c.request()
    await c.closed()


async def answers(c: Conversation) -> None:
    while True:
        await c.request()
        await c.send(JSON)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("script", "fault", "asked"),
    [
        pytest.param(says(), Fault.NETWORK, 1, id="closed before headers"),
        pytest.param(says(reset=True), Fault.NETWORK, 1, id="reset before headers"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\ncontent-"), Fault.NETWORK, 1, id="cut in the headers"),
        pytest.param(says(b"SSH-2.0-OpenSSH_9.2\r\n"), Fault.MALFORMED_CHUNK, 1, id="not HTTP"),
        pytest.param(says(b"<html>busy</html>"), Fault.MALFORMED_CHUNK, 1, id="no status line"),
        pytest.param(
            says(HEAD + b"".join(b"x-%d: y\r\n" % n for n in range(300)) + b"\r\n"),
            Fault.MALFORMED_CHUNK,
            1,
            id="too many headers",
        ),
        pytest.param(
            says(HEAD + b"x: " + b"y" * 100_000 + b"\r\n\r\n"), Fault.MALFORMED_CHUNK, 1, id="a huge header"
        ),
        pytest.param(
            says(HEAD + (b"x: " + b"y" * 30_000 + b"\r\n") * 3 + b"content-length: 0\r\n\r\n"),
            Fault.MALFORMED_CHUNK,
            1,
            id="many large headers",
        ),
        pytest.param(
            says(HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            Fault.MALFORMED_CHUNK,
            1,
            id="length and chunks",
        ),
        pytest.param(
            says(HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nabc"),
            Fault.MALFORMED_CHUNK,
            1,
            id="two lengths",
        ),
        pytest.param(
            says(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi"),
            Fault.MALFORMED_CHUNK,
            1,
            id="101",
        ),
        pytest.param(says(HEAD + b"content-length: 9\r\n\r\nabc"), Fault.STREAM_CUT, 1, id="length too long"),
        pytest.param(
            says(HEAD + b"content-length: 9\r\n\r\nabc", reset=True),
            Fault.STREAM_CUT,
            1,
            id="reset in the body",
        ),
        pytest.param(says(SSE, chunk(b"data: 1\n\n")), Fault.STREAM_CUT, 1, id="stream cut"),
        pytest.param(says(SSE, chunk(b"data: 1\n\n"), reset=True), Fault.STREAM_CUT, 1, id="stream reset"),
        pytest.param(says(SSE, chunk(b"data: 1\n\n")[:-4]), Fault.STREAM_CUT, 1, id="cut in a chunk"),
        pytest.param(
            says(SSE + chunk(b"data: 1\n\n") + b"zzz\r\nwhat\r\n"), Fault.MALFORMED_CHUNK, 1, id="bad framing"
        ),
        pytest.param(
            says(
                HEAD + b"content-encoding: gzip\r\ncontent-length: 20\r\n\r\n" + gzip.compress(b"a" * 99)[:20]
            ),
            Fault.STREAM_CUT,
            1,
            id="gzip cut",
        ),
        pytest.param(
            says(HEAD + b"content-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd"),
            Fault.STREAM_CUT,
            1,
            id="not gzip",
        ),
    ],
)
def test_a_broken_answer_is_a_value(run: Run, script: Script, fault: Fault, asked: int) -> None:
    async def main() -> None:
        async with rig(script, answers) as r:
            outcome, _ = await r.ask()
            assert r.server.asked == asked
            assert r.pool.open_connections == 0

        assert isinstance(outcome, Failed)
        assert outcome.fault is fault
        assert outcome.detail

    run(main())


def test_a_reset_before_the_end_of_a_body_without_length_is_a_cut(run: Run) -> None:
    """Such a body ends with the connection: only the manner of its end tells whether it is whole."""

    async def main() -> None:
        tape = Tape()
        seen = asyncio.Event()

        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(HEAD + b"connection: close\r\n\r\nabc")
            await asyncio.wait_for(seen.wait(), SOON)
            c.reset()

        async with rig(script, says(HEAD + b"connection: close\r\n\r\nabc")) as r:
            asking = asyncio.ensure_future(r.ask(tape=tape))  # noqa: TID251  # two sides at once
            await tape.next()
            seen.set()
            outcome, _ = await asking
            whole, _ = await r.ask()

        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.STREAM_CUT
        assert whole == Answered(200)

    run(main())


def test_a_bad_chunk_in_the_middle_of_a_stream_is_a_cut(run: Run) -> None:
    """The parser tells only the queue of messages; whoever reads the body has to hear of it too."""

    async def main() -> None:
        tape = Tape()
        seen = asyncio.Event()

        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(SSE, chunk(b"data: 1\n\n"))
            await asyncio.wait_for(seen.wait(), SOON)
            await c.send(b"zzz\r\nwhat\r\n")
            await c.closed()

        async with rig(script) as r:
            asking = asyncio.ensure_future(r.ask(tape=tape))  # noqa: TID251  # two sides at once
            await tape.next()
            seen.set()
            outcome, _ = await asking

        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.STREAM_CUT

    run(main())


@pytest.mark.parametrize(
    "poison", [b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison", b"HTTP/1.1 200 OK\r\nx: ", b"\r\n"]
)
def test_bytes_behind_the_answer_spoil_the_connection_only(run: Run, poison: bytes) -> None:
    async def main() -> None:
        seen = asyncio.Event()

        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(JSON)
            await asyncio.wait_for(seen.wait(), SOON)
            await c.send(poison)
            await c.closed()

        async with rig(script, answers) as r:
            assert (await r.ask())[0] == Answered(200)
            wire = next(iter(r.pool.door(r.provider).idle))
            seen.set()
            await until(lambda: wire.heard)
            outcome, tape = await r.ask()
            assert len(r.server.conversations) == 2

        assert (Answered(200), b"{}") == (outcome, tape.body)

    run(main())


def test_a_refused_connection_is_a_network_fault_of_the_provider(run: Run) -> None:
    async def main() -> None:
        async with rig(answers, port=free_port()) as r:
            outcome, _ = await r.ask()

        assert outcome == Failed(Fault.NETWORK, Scope.PROVIDER, detail="connect: refused")

    run(main())


def test_a_name_without_address_is_a_network_fault(run: Run) -> None:
    async def main() -> None:
        def lookup(_host: str) -> tuple[str, ...]:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        async with rig(answers, host="api.invalid", lookup=lookup) as r:
            outcome, _ = await r.ask()

        assert outcome == Failed(Fault.NETWORK, Scope.PROVIDER, detail="dns: no address for api.invalid")

    run(main())


def test_silence_after_the_request_ends_at_the_headers_limit(run: Run) -> None:
    async def main() -> None:
        async with rig(silent, limits=SHORT) as r:
            outcome, _ = await r.ask(r.call(stream=True))
            assert r.pool.open_connections == 0

        assert isinstance(outcome, Failed)
        assert (Fault.TIMEOUT, "headers: no answer in 0.3 s") == (outcome.fault, outcome.detail)

    run(main())


@pytest.mark.parametrize("bound", ["deadline", "leave_at", "patience"])
def test_a_limit_is_at_most_what_is_left(run: Run, bound: str) -> None:
    async def main() -> None:
        async with rig(silent) as r:
            soon = 0.1 if bound == "patience" else asyncio.get_running_loop().time() + 0.1
            outcome, _ = await r.ask(r.call(stream=True, **{bound: soon}))  # type: ignore[arg-type]

        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.TIMEOUT

    run(main())


def test_dripping_headers_end_at_the_headers_limit(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(HEAD)
            while not c.reader.at_eof():
                await c.send(b"x: y\r\n")
                await asyncio.sleep(0.01)

        async with rig(script, limits=SHORT) as r:
            outcome, _ = await r.ask(r.call(stream=True))

        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.TIMEOUT

    run(main())


def test_a_slow_look_up_ends_at_the_connect_limit_and_stalls_nobody_else(run: Run) -> None:
    async def main() -> None:
        end = threading.Event()

        def lookup(host: str) -> tuple[str, ...]:
            if host == "slow.invalid":
                end.wait(SOON)
            return ("127.0.0.1",)

        async with rig(answers, host="quick.invalid", lookup=lookup, limits=SHORT) as r:
            slow = replace(r.provider, name="slow", host="slow.invalid")
            r.pool.prepare([r.provider, slow])
            target = replace(r.call().target, provider=slow, key=None)  # type: ignore[type-var]
            asking = [
                asyncio.ensure_future(r.ask(r.call(provider="slow", target=target)))  # noqa: TID251
                for _ in range(40)
            ]
            assert (await r.ask())[0] == Answered(200)
            assert not any(task.done() for task in asking)
            outcomes = [outcome for outcome, _ in await asyncio.gather(*asking)]
            end.set()

        assert set(outcomes) == {Failed(Fault.NETWORK, Scope.PROVIDER, detail="connect: no answer in 0.3 s")}

    run(main())


# ---- stale connections -------------------------------------------------------------------


def closing_after(first: bytes, *, reset: bool) -> Script:
    """Answers once, then dies of the second request without a byte."""

    async def script(c: Conversation) -> None:
        await c.request()
        await c.send(first)
        await c.request()
        if reset:
            c.reset()

    return script


@pytest.mark.parametrize("reset", [True, False])
def test_a_stale_connection_costs_one_more_request_on_a_fresh_one(run: Run, reset: bool) -> None:
    async def main() -> None:
        async with rig(closing_after(JSON, reset=reset), answers) as r:
            assert (await r.ask())[0] == Answered(200)
            outcome, tape = await r.ask()
            assert [len(c.heads) for c in r.server.conversations] == [2, 1]
            assert r.server.conversations[1].bodies == [b'{"model":"m"}']

        assert (Answered(200), b"{}") == (outcome, tape.body)

    run(main())


def test_it_is_asked_again_once_and_never_on_another_old_connection(run: Run) -> None:
    async def main() -> None:
        stale = closing_after(JSON, reset=False)
        together = asyncio.Barrier(2)

        async def both(c: Conversation) -> None:
            await c.request()
            await together.wait()
            await c.send(JSON)
            await c.request()

        async with rig(both, both, says(), stale) as r:
            await asyncio.gather(r.ask(), r.ask())
            assert r.pool.idle_connections == 2
            outcome, _ = await r.ask()
            assert [2, 1, 1] == sorted((len(c.heads) for c in r.server.conversations), reverse=True)

        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.NETWORK

    run(main())


def test_a_stale_connection_that_said_something_is_not_asked_again(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(JSON)
            await c.request()
            await c.send(b"HTTP/1.1 2")

        async with rig(script, answers) as r:
            await r.ask()
            outcome, _ = await r.ask()
            assert len(r.server.conversations) == 1

        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.NETWORK

    run(main())


def test_an_upload_is_never_sent_twice(run: Run) -> None:
    async def main() -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"

        async with rig(closing_after(JSON, reset=False), answers) as r:
            await r.ask()
            outcome, _ = await r.ask(r.call(operation=Operation.OTHER, body=b"", upload=pieces()))
            assert len(r.server.conversations) == 1

        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.NETWORK

    run(main())


# ---- TLS ---------------------------------------------------------------------------------


def server_tls(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_a_certificate_that_nobody_vouches_for_is_a_tls_fault(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = write_certificate(tmp_path / "a.pem", name="127.0.0.1")
        async with rig(answers, tls=server_tls(path)) as r:
            outcome, _ = await r.ask()
            assert r.server.asked == 0

        assert isinstance(outcome, Failed)
        assert (Fault.TLS, Scope.PROVIDER) == (outcome.fault, outcome.scope)
        assert "self" in outcome.detail

    run(main())


def test_a_ca_file_is_believed(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = write_certificate(tmp_path / "a.pem", name="127.0.0.1")
        async with rig(answers, tls=server_tls(path), ca_file=str(path)) as r:
            for _ in range(2):
                assert (await r.ask())[0] == Answered(200)
            assert len(r.server.conversations) == 1

    run(main())


@pytest.mark.parametrize(
    ("name", "until"), [("other.example", b"20991231235959Z"), ("127.0.0.1", b"20210101000000Z")]
)
def test_a_wrong_or_old_certificate_is_refused(run: Run, tmp_path: Path, name: str, until: bytes) -> None:
    async def main() -> None:
        path = write_certificate(tmp_path / "a.pem", name=name, until=until)
        async with rig(answers, tls=server_tls(path), ca_file=str(path)) as r:
            outcome, _ = await r.ask()
            assert r.server.asked == 0

        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.TLS

    run(main())


def test_old_tls_is_refused(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = write_certificate(tmp_path / "a.pem", name="127.0.0.1")
        tls = server_tls(path)
        tls.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
        async with rig(answers, tls=tls, ca_file=str(path)) as r:
            outcome, _ = await r.ask()
            assert r.server.asked == 0

        assert isinstance(outcome, Failed)
        assert outcome.detail.startswith("tls: ")

    run(main())


def test_a_handshake_that_never_ends_is_left(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            await c.closed()

        async with rig(script, scheme="https", limits=SHORT) as r:
            outcome, _ = await r.ask()

        assert outcome == Failed(Fault.NETWORK, Scope.PROVIDER, detail="tls: no answer in 0.3 s")

    run(main())


# ---- compressed answers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        (b"gzip", gzip.compress(b"hello ") + gzip.compress(b"world")),
        (b"deflate", zlib.compress(b"hello world")),
        (b"deflate", zlib.compress(b"hello world")[2:-4]),
        (b"GZIP", gzip.compress(b"hello world")),
    ],
    ids=[
        "gzip in two members",
        "deflate",
        "deflate without its frame",
        "gzip in capitals",
    ],  # gzip holds the time
)
def test_an_answer_compressed_against_our_wish_is_inflated(run: Run, coding: bytes, data: bytes) -> None:
    async def main() -> None:
        head = HEAD + b"content-encoding: %b\r\ncontent-length: %d\r\nx: y\r\n\r\n" % (coding, len(data))
        async with rig(says(head + data[:7], data[7:])) as r:
            outcome, tape = await r.ask()

        assert (Answered(200), b"hello world") == (outcome, tape.body)
        assert tape.head is not None
        assert tape.head.headers == ((b"x", b"y"),)

    run(main())


def test_a_bomb_is_left_early(run: Run) -> None:
    async def main() -> None:
        data = gzip.compress(b"\0" * (80 * 1024 * 1024), 9)
        head = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(data)
        async with rig(says(head, data)) as r:
            outcome, tape = await r.ask()

        assert outcome == Failed(Fault.STREAM_CUT, Scope.MODEL, detail="decompression_limit")
        assert len(tape.body) <= 64 * 1024 * 1024

    run(main())


def test_a_coding_we_do_not_know_passes_unread(run: Run) -> None:
    async def main() -> None:
        async with rig(says(HEAD + b"content-encoding: br\r\ncontent-length: 3\r\n\r\nabc")) as r:
            outcome, tape = await r.ask()

        assert (Answered(200), b"abc") == (outcome, tape.body)
        assert tape.head is not None
        assert tape.head.get(b"content-encoding") == b"br"

    run(main())
