"""Where bytes may go."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.model import Answered, Failed, Fault, Provider, Refused, RefusedBy, Target
from sidecar.upstream.addresses import FRESH, NEGATIVE, STALE, Names, Unresolved, may_connect
from sidecar.upstream.egress import Pool

from .conftest import Run
from .rig import JSON, SOON, SSE, Conversation, LoopClock, Tape, chunk, rig


async def answers(c: Conversation) -> None:
    while True:
        await c.request()
        await c.send(JSON)


# ---- places ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"port": 1},
        {"host": "localhost"},
        {"scheme": "https"},
        {"private": False},
        {"proxy": "http://127.0.0.1:1"},
        {"host": "169.254.169.254", "port": 80},
    ],
)
def test_only_what_is_configured_can_be_asked(run: Run, change: dict[str, object]) -> None:
    async def main() -> None:
        async with rig(answers) as r:
            other = replace(r.provider, **change)  # type: ignore[arg-type]
            outcome, _ = await r.ask(r.call(target=Target(name="t", provider=other)))
            assert r.server.conversations == []

        assert isinstance(outcome, Refused)
        assert outcome.by is RefusedBy.NOT_ALLOWED

    run(main())


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/v1",
        "/@evil.example/",
        "/v1/chat/completions#@evil.example",
        "/\\evil.example",
        "/v1/%2e%2e/x",
    ],
)
def test_a_path_never_changes_the_place(run: Run, path: str) -> None:
    async def main() -> None:
        async with rig(answers) as r:
            headers = ((b"Host", b"evil.example"), (b"X-Forwarded-Host", b"evil.example"))
            outcome, _ = await r.ask(r.call(path=path, headers=headers))
            heads = [head for c in r.server.conversations for head in c.heads]
            assert isinstance(outcome, Answered) == bool(heads)
            for head in heads:
                assert head.startswith(b"POST /")
                assert head.lower().count(b"\r\nhost: ") == 1
                assert b"\r\nhost: 127.0.0.1:" in head

    run(main())


@pytest.mark.parametrize(
    "more",
    [
        {"path": "/v1/x HTTP/1.1\r\nx: y"},
        {"query": "a b"},
        {"query": "a\r\nhost: evil.example"},
        {"method": "GET /x HTTP/1.1\r\nx:"},
        {"headers": ((b"x", b"y\r\nauthorization: z"),)},
        {"headers": ((b"x", b"y\nz: a"),)},
        {"headers": ((b"x\r\ny", b"z"),)},
        {"headers": ((b"x", b"\0"),)},
    ],
)
def test_nothing_can_end_a_line_of_the_request(run: Run, more: dict[str, object]) -> None:
    async def main() -> None:
        async with rig(answers) as r:
            outcome, _ = await r.ask(r.call(**more))  # type: ignore[arg-type]
            assert r.server.conversations == []

        assert isinstance(outcome, Failed)
        assert outcome.fault is Fault.INVALID_REQUEST

    run(main())


PUBLIC = ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"]
PRIVATE = [
    "127.0.0.1",
    "::1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "fd12::1",
    "::ffff:10.0.0.1",
]
NEVER = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "169.254.1.1",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "fe80::1",
    "fe80::1%1",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "not an address",
]


@pytest.mark.parametrize(
    ("address", "public", "private"),
    [(a, True, True) for a in PUBLIC]
    + [(a, False, True) for a in PRIVATE]
    + [(a, False, False) for a in NEVER],
)
def test_who_may_have_an_address(address: str, public: bool, private: bool) -> None:
    assert (public, private) == (may_connect(address, private=False), may_connect(address, private=True))


@pytest.mark.parametrize("address", [*PRIVATE, *NEVER[:-1]])
def test_a_public_provider_is_never_met_at_a_forbidden_address(run: Run, address: str) -> None:
    """Neither by a name that says so (rebinding) nor as a literal in the configuration."""

    async def main() -> None:
        def lookup(_host: str) -> tuple[str, ...]:
            return (address,)

        for host in ("api.example", f"[{address}]" if ":" in address else address):
            async with rig(answers, host=host, private=False, lookup=lookup) as r:
                outcome, _ = await r.ask()
                assert r.server.conversations == []
            assert isinstance(outcome, Refused)
            assert outcome.by is RefusedBy.NOT_ALLOWED

    run(main())


def test_a_forbidden_address_among_others_is_left_out(run: Run) -> None:
    async def main() -> None:
        def lookup(_host: str) -> tuple[str, ...]:
            return ("169.254.169.254", "127.0.0.1")

        async with rig(answers, host="api.example", lookup=lookup) as r:
            assert (await r.ask())[0] == Answered(200)

    run(main())


def test_a_dead_address_is_passed_by(run: Run) -> None:
    async def main() -> None:
        def lookup(_host: str) -> tuple[str, ...]:
            return ("127.0.0.2", "127.0.0.1")  # nobody listens at the first

        async with rig(answers, host="api.example", lookup=lookup) as r:
            assert (await r.ask())[0] == Answered(200)

    run(main())


def test_a_provider_that_leaves_the_configuration_is_not_asked_again(run: Run) -> None:
    async def main() -> None:
        async with rig(answers) as r:
            await r.ask()
            r.pool.prepare([])
            assert r.pool.open_connections == 0
            outcome, _ = await r.ask()

        assert isinstance(outcome, Refused)

    run(main())


def test_a_reload_keeps_connections_and_lets_calls_in_flight_finish(run: Run) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def script(c: Conversation) -> None:
            await c.request()
            await c.send(SSE, chunk(b"1"))
            await asyncio.wait_for(go.wait(), SOON)
            await c.send(chunk(b"2"), b"0\r\n\r\n")
            await c.closed()

        async with rig(script) as r:
            tape = Tape()
            asking = asyncio.ensure_future(r.ask(tape=tape))  # noqa: TID251  # two sides at once
            await tape.next()
            r.pool.prepare([replace(r.provider, name="renamed")])
            r.pool.prepare([])
            assert r.pool.open_connections == 1
            go.set()
            outcome, _ = await asking
            assert r.pool.open_connections == 0

        assert (Answered(200), b"12") == (outcome, tape.body)

    run(main())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scheme": "ftp"}, "providers.p: scheme 'ftp'; expected http or https"),
        ({"proxy": "https://user:secret@proxy"}, "providers.p.proxy: expected http://host:port"),
        ({"proxy": "http://user:secret/x@proxy"}, "providers.p.proxy: expected http://host:port"),
        ({"scheme": "https", "ca_file": "/nowhere.pem"}, "providers.p.ca_file: /nowhere.pem cannot be read"),
    ],
)
def test_what_cannot_work_is_said_when_it_is_prepared(change: dict[str, object], words: str) -> None:
    provider = Provider(name="p", dialect="", scheme="http", host="h", port=1)
    pool = Pool(clock=LoopClock())

    with pytest.raises(ValueError, match=r"providers\.p") as caught:
        pool.prepare([replace(provider, **change)])  # type: ignore[arg-type]

    assert str(caught.value).startswith(words)
    assert "secret" not in str(caught.value)


# ---- names -------------------------------------------------------------------------------


class HandClock:
    time = 0.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    async def sleep(self, _seconds: float) -> None:
        raise AssertionError("nothing here sleeps")


def test_an_old_answer_serves_while_names_cannot_be_resolved(run: Run) -> None:
    async def main() -> None:
        clock = HandClock()
        answer: tuple[str, ...] | None = ("8.8.8.8",)
        asked = 0

        def lookup(_host: str) -> tuple[str, ...]:
            nonlocal asked
            asked += 1
            if answer is None:
                raise socket.gaierror(socket.EAI_AGAIN, "down")
            return answer

        names = Names(clock, lookup)
        for _ in range(3):
            assert await names.addresses("h", private=False) == ("8.8.8.8",)
        assert asked == 1

        answer = None
        clock.time += FRESH
        for _ in range(3):
            assert await names.addresses("h", private=False) == ("8.8.8.8",)
        assert asked == 2
        clock.time += NEGATIVE
        await names.addresses("h", private=False)
        assert asked == 3

        clock.time = STALE
        with pytest.raises(Unresolved):
            await names.addresses("h", private=False)
        answer = ("8.8.4.4",)
        with pytest.raises(Unresolved):
            await names.addresses("h", private=False)
        clock.time += NEGATIVE
        assert await names.addresses("h", private=False) == ("8.8.4.4",)

    run(main())


# ---- proxies -----------------------------------------------------------------------------


def proxy_server(port: int, seen: list[bytes], reply: bytes = b"HTTP/1.1 200 OK\r\n\r\n"):
    """A proxy that connects to `port`, whatever it is asked for."""

    async def script(c: Conversation) -> None:
        seen.append(await c.reader.readuntil(b"\r\n\r\n"))
        await c.send(reply)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def back() -> None:
            while data := await reader.read(65536):
                await c.send(data)

        task = asyncio.ensure_future(back())  # noqa: TID251  # both directions
        try:
            while data := await c.reader.read(65536):
                writer.write(data)
        finally:
            task.cancel()
            writer.close()

    return script


@pytest.mark.parametrize("environment", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_not_used(
    run: Run, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    monkeypatch.setenv(environment, "http://127.0.0.1:1")

    async def main() -> None:
        async with rig(answers) as r:
            assert (await r.ask())[0] == Answered(200)

    run(main())


@pytest.mark.parametrize("secure", [True, False])
def test_a_configured_proxy_is_asked_to_connect(run: Run, tmp_path: Path, secure: bool) -> None:
    from .certificate import write_certificate
    from .test_faults import server_tls

    async def main() -> None:
        path = write_certificate(tmp_path / "a.pem", name="api.example")
        seen: list[bytes] = []
        async with rig(answers, tls=server_tls(path) if secure else None) as behind:
            async with rig(
                proxy_server(behind.server.port, seen),
                scheme="https" if secure else "http",
                host="api.example",
                port=8443,
                ca_file=str(path),
                private=False,
                lookup=lambda host: (host,),
            ) as r:
                provider = replace(r.provider, proxy=f"http://me:pass%20word@127.0.0.1:{r.server.port}")
                r.pool.prepare([provider])
                for _ in range(2):
                    outcome, _ = await r.ask(r.call(target=Target(name="t", provider=provider)))
                    assert outcome == Answered(200)
                r.pool.prepare([])
            assert behind.server.asked == 2

        assert seen == [
            (
                b"CONNECT api.example:8443 HTTP/1.1\r\nhost: api.example:8443\r\n"
                b"proxy-authorization: Basic bWU6cGFzcyB3b3Jk\r\n\r\n"
            )
        ]

    run(main())


def test_a_proxy_is_not_a_way_to_a_forbidden_address(run: Run) -> None:
    async def main() -> None:
        async with rig(answers) as r:
            proxy = f"http://127.0.0.1:{r.server.port}"
            provider = replace(r.provider, host="169.254.169.254", port=80, proxy=proxy)
            r.pool.prepare([provider])
            outcome, _ = await r.ask(r.call(target=Target(name="t", provider=provider)))
            assert r.server.conversations == []

        assert isinstance(outcome, Refused)

    run(main())


def test_a_proxy_that_refuses_is_not_the_providers_answer(run: Run) -> None:
    async def main() -> None:
        async def script(c: Conversation) -> None:
            await c.reader.readuntil(b"\r\n\r\n")
            await c.send(b"HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n")
            await c.closed()

        async with rig(script) as r:
            provider = replace(r.provider, host="api.example", proxy=f"http://127.0.0.1:{r.server.port}")
            r.pool.prepare([provider])
            outcome, _ = await r.ask(r.call(target=Target(name="t", provider=provider)))

        assert isinstance(outcome, Failed)
        assert (Fault.NETWORK, "proxy: CONNECT was not accepted (407)") == (outcome.fault, outcome.detail)
        assert outcome.head is None

    run(main())
