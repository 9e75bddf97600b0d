"""The proxy port itself: whom it answers, where tunnels lead, and what they carry."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.capture import capture as port
from sidecar.capture import tunnel
from sidecar.capture.asked import HEAD_BYTES, Asked
from sidecar.events import CallEnded, Event, Proxied
from sidecar.telemetry import logs
from tests.capture.pod import OPENAI, WallClock, pod
from tests.wire.listener.house import PATIENCE, run, until
from tests.wire.upstream.certificate import write_certificate

FILES = {"files.test": "127.0.0.1"}


@asynccontextmanager
async def echo(context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that says everything back."""

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(back, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def connect(authority: str, *lines: str) -> bytes:
    return "\r\n".join([f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", *lines, "", ""]).encode()


# ---- tunnels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [False, True], ids=["uvloop", "asyncio"])
def test_a_host_that_is_not_listed_is_tunnelled_unseen(tmp_path: Path, plain: bool):
    file = write_certificate(tmp_path / "files.pem", name="files.test")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(file)
    trust = tmp_path / "trust"
    trust.mkdir()
    data = os.urandom(3_000_000)

    async def scenario() -> None:
        async with echo(theirs) as there, pod(trust, names=FILES, reach="any") as one:
            client = await one.connect(f"files.test:{there}")
            context = one.context(trusted=file)
            await client.writer.start_tls(context, server_hostname="files.test")
            shown = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert ssl.PEM_cert_to_DER_cert("-----BEGIN" + file.read_text().split("-----BEGIN")[2]) == shown
            client.send(data)
            async with asyncio.timeout(PATIENCE):
                assert data == await client.reader.readexactly(len(data))
            assert 1 == one.capture.tunnels
            client.leave()
            await until(lambda: one.capture.tunnels == 0)
            assert [("tunnelled", "")] == one.proxied
            assert [] == one.home.calls
            assert not any(isinstance(event, CallEnded) for event in one.events)

    run(scenario(), plain=plain)


def test_a_side_that_has_said_all_still_hears_the_other(tmp_path: Path):
    async def scenario() -> None:
        async with echo() as there, pod(tmp_path, names=FILES, reach="any") as one:
            client = await one.connect(f"files.test:{there}")
            client.send(b"all of it")
            client.writer.write_eof()
            assert b"all of it" == await client.rest()
            await until(lambda: one.capture.tunnels == 0)

    run(scenario())


def test_a_tunnel_that_carries_nothing_is_closed(tmp_path: Path):
    async def scenario() -> None:
        async with echo() as there, pod(tmp_path, names=FILES, reach="any", idle=0.05) as one:
            client = await one.connect(f"files.test:{there}")
            assert b"" == await client.rest()
            assert 0 == one.capture.tunnels

    run(scenario())


def test_a_client_that_has_gone_is_not_waited_for_as_one_that_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tunnel, "HALF", 0.05)

    async def scenario() -> None:
        over = asyncio.Event()

        async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await over.wait()
            writer.close()

        server = await asyncio.start_server(deaf, "127.0.0.1", 0)
        there = server.sockets[0].getsockname()[1]
        async with pod(tmp_path, names=FILES, reach="any") as one:
            client = await one.connect(f"files.test:{there}")
            client.leave()
            await until(lambda: one.capture.tunnels == 0)
            over.set()
        server.close()

    run(scenario())


def test_more_tunnels_than_allowed_are_refused_and_room_comes_back(tmp_path: Path):
    async def scenario() -> None:
        async with echo() as there, pod(tmp_path, names=FILES, reach="any", tunnels=2) as one:
            first = await one.connect(f"files.test:{there}")
            await one.connect(f"files.test:{there}")
            assert b" 503 " in await one.say(connect(f"files.test:{there}"))
            first.leave()
            await until(lambda: one.capture.tunnels == 1)
            await one.connect(f"files.test:{there}")
            assert ("refused", "crowded") in one.proxied

    run(scenario())


def test_others_are_refused_where_the_configuration_says_so(tmp_path: Path):
    async def scenario() -> None:
        async with echo() as there, pod(tmp_path, names=FILES, reach="any", others="refuse") as one:
            answer = await one.say(connect(f"files.test:{there}"))
            assert answer.startswith(b"HTTP/1.1 403 llm-sidecar: this host is not on the list")
            assert [("refused", "host")] == one.proxied
            one.reload(others="tunnel")  # rules are the configuration's of now
            await one.connect(f"files.test:{there}")

    run(scenario())


def test_tunnels_go_through_a_configured_proxy(tmp_path: Path):
    heads: list[bytes] = []

    async def outer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 ok\r\n\r\n")
        writer.write(await reader.readexactly(4))
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(outer, "127.0.0.1", 0)
        proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, pod(tmp_path, proxy=proxy) as one:
            client = await one.connect("elsewhere.example:443")  # a name that only the proxy knows
            client.send(b"ping")
            assert b"ping" == await client.rest()
            assert heads[0].startswith(b"CONNECT elsewhere.example:443 HTTP/1.1\r\n")
            assert b" 403 " in await one.say(connect("169.254.169.254:80"))

    run(scenario())


# ---- attacks --------------------------------------------------------------------------------------

FORBIDDEN = (
    "169.254.169.254:80",
    "[fd00:ec2::254]:80",
    "[::ffff:169.254.169.254]:80",
    "[64:ff9b::a9fe:a9fe]:80",
    "100.100.100.200:80",
    "168.63.129.16:80",
    "metadata.test:80",
    "127.0.0.1:9901",
    "127.1.2.3:443",
    "[::1]:9901",
    "[::ffff:127.0.0.1]:9901",
    "0.0.0.0:9901",
    "[::]:9901",
    "loop.test:443",
    "224.0.0.1:80",
    "169.254.10.20:80",
    "[fe80::1]:80",
)


@pytest.mark.parametrize("authority", FORBIDDEN)
def test_no_tunnel_leads_to_metadata_to_ourselves_or_to_nobody(tmp_path: Path, authority: str):
    names = {"metadata.test": "169.254.169.254", "loop.test": "127.0.0.1"}

    async def scenario() -> None:
        async with pod(tmp_path, names=names) as one:
            assert b" 403 " in await one.say(connect(authority))
            assert [("refused", "address")] == one.proxied

    run(scenario())


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "172.16.0.1", "fd00::1"])
def test_private_networks_can_be_forbidden(tmp_path: Path, address: str):
    async def scenario() -> None:
        async with pod(tmp_path, names={"inner.test": address}, reach="public") as one:
            assert b" 403 " in await one.say(connect("inner.test:443"))

    run(scenario())


@pytest.mark.parametrize("case", ["127.0.0.1:9901", "169.254.169.254:80"])
def test_where_everything_is_reachable_metadata_still_is_not(tmp_path: Path, case: str):
    async def scenario() -> None:
        async with pod(tmp_path, reach="any") as one:
            wanted = b" 403 " if case.startswith("169") else b" 502 "  # nothing listens on that port here
            assert wanted in await one.say(connect(case))

    run(scenario())


WRONG = {
    "plain http": (b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", 405, b"HTTP_PROXY"),
    "a base URL": (b"POST /openai/v1/chat HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405, b"base URL"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00", 400, b"http://"),
    "no port": (connect("example.com"), 400, b"malformed"),
    "port 0": (connect("example.com:0"), 400, b"port"),
    "a large port": (connect("example.com:70000"), 400, b"port"),
    "a user": (connect("me@example.com:443"), 400, b"malformed"),
    "an address that is none": (connect("[:::1::]:443"), 400, b"address"),
    "a line feed": (b"CONNECT example.com:443 HTTP/1.1\nHost: x\n\r\n\r\n", 400, b"malformed"),
    "a NUL": (connect("example.com:443", "X: a\0b"), 400, b"malformed"),
    "a folded header": (connect("example.com:443", " folded"), 400, b"malformed"),
    "a version of its own": (b"CONNECT example.com:443 HTTP/2.0\r\n\r\n", 400, b"malformed"),
    "bytes behind the head": (connect("openai.test:443") + b"\x16\x03\x01", 400, b"before it was answered"),
    "a huge head": (connect("openai.test:443", "X: " + "x" * HEAD_BYTES), 431, b"larger"),
    "an endless head": (b"CONNECT openai.test:443 HTTP/1.1\r\nX: " + b"x" * 20_000, 431, b"larger"),
    "an unknown name": (connect("nowhere.test:443"), 502, b"no address"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_good_connect_is_refused_with_a_sentence(tmp_path: Path, case: str):
    data, status, word = WRONG[case]

    async def scenario() -> None:
        async with pod(tmp_path) as one:
            answer = await one.say(data)
            line = answer.partition(b"\r\n")[0]
            assert line.startswith(b"HTTP/1.1 %d llm-sidecar: " % status)
            assert word in line
            assert b"\r\n\r\nllm-sidecar: " in answer
            assert 1 == len(one.proxied)
            assert [] == one.home.calls

    run(scenario())


@pytest.mark.parametrize("sent", [b"", b"CONN", connect(f"{OPENAI}:443")[:-1]])
def test_a_slow_head_is_ended(tmp_path: Path, sent: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(port, "HEAD", 0.05)

    async def scenario() -> None:
        async with pod(tmp_path) as one:
            assert (await one.say(sent)).startswith(b"HTTP/1.1 408 ")
            assert [("refused", "slow")] == one.proxied

    run(scenario())


def test_a_slow_handshake_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(port, "HANDSHAKE", 0.05)

    async def scenario() -> None:
        async with pod(tmp_path) as one:
            client = await one.connect(f"{OPENAI}:443")
            assert await client.rest() in {b"", b"(reset)"}
            await until(lambda: one.proxied == [("failed", "slow")])

    run(scenario())


def test_more_connections_than_there_is_room_for_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(port, "PENDING", 2)

    async def scenario() -> None:
        async with pod(tmp_path, tunnels=1) as one:
            held = [await one.client() for _ in range(3)]
            await until(lambda: len(one.capture._serving) == 3)
            fourth = await one.client()
            assert await fourth.rest() in {b"", b"(reset)"}
            assert ("refused", "crowded") in one.proxied
            held[0].leave()
            await until(lambda: len(one.capture._serving) == 2)
            await one.inside()

    run(scenario())


# ---- trust ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("says_why", [True, False])
def test_a_client_that_does_not_trust_us_is_let_through_for_a_while(tmp_path: Path, says_why: bool):
    stranger = write_certificate(tmp_path / "stranger.pem", name="stranger.test")
    trust = tmp_path / "trust"
    trust.mkdir()

    async def refuses(address: int) -> None:
        def handshake() -> None:
            with socket.create_connection(("127.0.0.1", address), timeout=PATIENCE) as sock:
                sock.sendall(connect(f"{OPENAI}:443"))
                assert b" 200 " in sock.recv(4096)
                context = ssl.create_default_context(cafile=str(stranger))
                if says_why:  # a blocking client writes its alert, one with buffers of its own does not
                    with pytest.raises(ssl.SSLCertVerificationError):
                        context.wrap_socket(sock, server_hostname=OPENAI)
                    return
                said, heard = ssl.MemoryBIO(), ssl.MemoryBIO()
                client = context.wrap_bio(heard, said, server_hostname=OPENAI)
                with pytest.raises(ssl.SSLWantReadError):
                    client.do_handshake()
                sock.sendall(said.read())
                with pytest.raises(ssl.SSLCertVerificationError):
                    while True:
                        heard.write(sock.recv(65536))
                        try:
                            client.do_handshake()
                        except ssl.SSLWantReadError:
                            continue

        await asyncio.to_thread(handshake)

    async def scenario() -> None:
        async with pod(trust, names={OPENAI: "10.255.255.1"}, reach="public") as one:
            count = 1 if says_why else 2
            for number in range(count):
                await refuses(one.port)
                await until(lambda wanted=number + 1: len(one.proxied) == wanted)  # type: ignore[misc]
            assert [("failed", "untrusted" if says_why else "left")] * count == one.proxied
            assert b" 403 " in await one.say(connect(f"{OPENAI}:443"))  # it would be a tunnel; reach forbids
            assert ("refused", "address") == one.proxied[-1]
            other = await one.inside("anthropic.test")  # one host's distrust is not another's
            other.leave()
            one.capture._distrusted[OPENAI] = 0.0  # the time is over
            await one.inside()

    run(scenario())


def test_a_host_that_a_reload_adds_is_tunnelled_until_the_next_start(tmp_path: Path):
    async def scenario() -> None:
        async with pod(tmp_path, names={"new.test": "127.0.0.1"}, reach="any") as one:
            one.reload(hosts={"new.test": "openai"})
            assert b" 502 " in await one.say(connect("new.test:443"))  # a tunnel; nothing listens there
            assert "new_host" == one.capture._why(Asked("new.test", 443))
            one.reload(hosts={OPENAI: "anthropic"})
            assert "anthropic" == one.capture._provider(Asked(OPENAI, 443))

    run(scenario())


def test_where_others_are_refused_nobody_gets_through_by_distrust(tmp_path: Path):
    async def scenario() -> None:
        async with pod(tmp_path, others="refuse") as one:
            one.capture._strike(OPENAI, port.ENOUGH)
            await one.inside()

    run(scenario())


def test_a_new_process_says_that_its_authority_is_another(tmp_path: Path):
    async def scenario() -> None:
        for first in (True, False):
            async with pod(tmp_path) as one:
                assert [first] == [told.ok for told in one.told]
                assert first is not ("earlier" in one.told[0].detail)
                await one.inside()

    run(scenario())


def test_the_authority_that_is_renewed_reaches_the_bundle(tmp_path: Path):
    async def scenario() -> None:
        async with pod(tmp_path) as one:
            before = (tmp_path / "ca.pem").read_bytes()
            certificates = one.capture._certificates
            later = one.capture._clock.wall() + 190 * 86400
            certificates._wall = lambda: later
            assert certificates.renew()
            assert certificates.pem().startswith(before)
            assert 2 == certificates.pem().count(b"BEGIN CERTIFICATE")

    run(scenario())


def test_a_bundle_that_could_not_be_written_is_written_when_it_can(tmp_path: Path):
    folder = tmp_path / "trust"
    folder.mkdir()

    async def scenario() -> None:
        async with pod(folder) as one:
            certificates, hours = one.capture._certificates, 0

            class Hours:
                now, wall = WallClock.now, WallClock.wall

                async def sleep(self, seconds: float) -> None:
                    nonlocal hours
                    hours += 1
                    assert port.RENEW == seconds
                    if hours == 2:
                        await asyncio.to_thread(folder.mkdir)
                    if hours == 4:
                        await asyncio.get_running_loop().create_future()

            later = one.capture._clock.wall() + 190 * 86400
            certificates._wall = lambda: later
            shutil.rmtree(folder)
            await asyncio.sleep(0)  # its own keeper sleeps by the real clock
            one.capture._clock = Hours()
            renewing = asyncio.create_task(one.capture._renew(folder, b"roots\n"))  # noqa: TID251
            await until(lambda: hours == 4)
            renewing.cancel()
            assert [False, True] == [told.ok for told in one.told[1:]]
            assert b"roots\n" + certificates.pem() == (folder / "ca-bundle.pem").read_bytes()

    run(scenario())


def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path: Path):
    async def scenario() -> None:
        with pytest.raises(OSError, match=r"capture\.trust_dir: .*none cannot be written"):
            async with pod(tmp_path / "none"):
                pass

    run(scenario())


# ---- what is told -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (Proxied("intercepted", "", "openai"), "debug"),
        (Proxied("tunnelled"), "debug"),
        (Proxied("refused", "address"), "info"),
        (Proxied("failed", "untrusted", "openai"), "warning"),
    ],
)
def test_the_log_says_how_a_connection_went(event: Event, level: str):
    assert level == logs.level_of(event).name.lower()
    what, fields = logs.describe(event)
    assert "proxied" == what
    assert {"outcome", "reason", "provider"} == fields.keys()
