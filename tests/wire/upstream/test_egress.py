"""Where bytes may go, whose key goes with them, and what is left when a call ends early."""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.addresses import FRESH, NEGATIVE, STALE, Names, Unresolved, may_connect
from sidecar.egress import Pool
from sidecar.model import Answered, AuthStyle, Failed, Fault, Operation, Provider, Refused, RefusedBy, Target
from sidecar.upstream import failed

from .conftest import Run
from .rig import JSON, SOON, SSE, Conversation, Key, LoopClock, Tape, chunk, rig


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
            outcome, _ = await r.ask(r.call(**more))
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
        ({"scheme": "https", "ca_file": "/nowhere.pem"}, "providers.p.ca_file: /nowhere.pem cannot be read"),
    ],
)
def test_what_cannot_work_is_said_when_it_is_prepared(change: dict[str, object], words: str) -> None:
    provider = Provider(name="p", dialect="", scheme="http", host="h", port=1)
    pool = Pool(clock=LoopClock())

    with pytest.raises(ValueError, match="providers.p") as caught:
        pool.prepare([replace(provider, **change)])  # type: ignore[arg-type]

    assert str(caught.value).startswith(words)
    assert "secret" not in str(caught.value)


# ---- names -------------------------------------------------------------------------------


class HandClock(LoopClock):
    time = 0.0

    def now(self) -> float:
        return self.time


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


# ---- whose key ---------------------------------------------------------------------------

APP = (
    (b"Authorization", b"Bearer sk-app"),
    (b"X-Api-Key", b"sk-app"),
    (b"api-key", b"sk-app"),
    (b"X-Goog-Api-Key", b"sk-app"),
    (b"Cookie", b"sk-app"),
    (b"traceparent", b"00-1"),
    (b"baggage", b"user=1"),
    (b"X-Stainless-Lang", b"python"),
)


@pytest.mark.parametrize("auth", list(AuthStyle))
def test_an_injected_key_replaces_every_credential_of_the_application(run: Run, auth: str) -> None:
    async def main() -> None:
        async with rig(answers, auth=auth, key=Key()) as r:
            await r.ask(r.call(headers=APP, query="key=sk-app&alt=sse&%6bey=sk-app"))
            head = r.server.conversations[0].heads[0]

        assert b"sk-app" not in head
        assert head.count(b"sk-injected") == 1
        assert (b"\r\nauthorization: Bearer sk-injected\r\n" in head) == (auth == "authorization")
        assert auth.encode() + b": " in head
        assert b"?alt=sse HTTP/1.1\r\n" in head
        assert b"X-Stainless-Lang: python\r\n" in head

    run(main())


def test_the_applications_own_key_passes_to_the_provider_it_named(run: Run) -> None:
    async def main() -> None:
        async with rig(answers) as r:
            await r.ask(r.call(headers=APP, query="key=sk-app"))
            head = r.server.conversations[0].heads[0]

        assert head.count(b"sk-app") == 6

    run(main())


@pytest.mark.parametrize("key", [None, Key(None)])
def test_another_provider_without_a_key_is_not_asked(run: Run, key: Key | None) -> None:
    async def main() -> None:
        async with rig(answers, key=key, name="other") as r:
            outcome, _ = await r.ask(r.call(headers=APP))
            assert r.server.conversations == []

        assert isinstance(outcome, Refused)
        assert outcome.by is RefusedBy.NO_CREDENTIAL
        assert "sk-" not in repr(outcome)

    run(main())


@pytest.mark.parametrize("private", [True, False])
def test_traces_leave_to_private_providers_only(run: Run, private: bool) -> None:
    async def main() -> None:
        from sidecar.request import Request, form

        async with rig(answers, private=private) as r:
            request = form(r.call(headers=APP), Target(name="t", provider=r.provider))

        assert isinstance(request, Request)
        assert private == (b"traceparent: 00-1" in request.head)
        assert private == (b"baggage: user=1" in request.head)

    run(main())


# ---- ends --------------------------------------------------------------------------------


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
            while not r.server.conversations:
                await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    run(main())


def test_a_client_that_does_not_read_stops_the_provider(run: Run) -> None:
    async def main() -> None:
        total, sent, stuck = 64 * 1024 * 1024, 0, asyncio.Event()

        async def script(c: Conversation) -> None:
            nonlocal sent
            await c.request()
            await c.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
            while sent < total:
                try:
                    await asyncio.wait_for(c.send(b"x" * 65536), 0.3 if not stuck.is_set() else SOON)
                except TimeoutError:
                    stuck.set()
                    await c.send()
                sent += 65536

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
        assert len(tape.body) == total
        assert held < 16 * 1024 * 1024  # what the kernel takes; our own part is one read and 64 KiB
        assert max(map(len, tape.pieces)) <= 512 * 1024

    run(main())


def test_a_sink_that_fails_is_not_the_providers_fault(run: Run) -> None:
    async def main() -> None:
        class Gone(Tape):
            async def send(self, _chunk: object) -> None:
                raise ConnectionResetError("the client left")

        async with rig(answers) as r:
            with pytest.raises(ConnectionResetError, match="the client left"):
                await r.ask(tape=Gone())
            assert r.pool.open_connections == 0

    run(main())


def test_beyond_the_limit_a_door_says_so_at_once(run: Run) -> None:
    async def main() -> None:
        async def silent(c: Conversation) -> None:
            await c.request()
            await c.closed()

        async with rig(silent, pool={"limit": 2}) as r:
            asking = [asyncio.ensure_future(r.ask()) for _ in range(2)]  # noqa: TID251  # to cancel them
            while r.server.asked < 2:
                await asyncio.sleep(0)
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


# ---- proxies -----------------------------------------------------------------------------


def proxy_server(port: int, seen: list[bytes], reply: bytes = b"HTTP/1.1 200 OK\r\n\r\n"):  # type: ignore[no-untyped-def]
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
            b"CONNECT api.example:8443 HTTP/1.1\r\nhost: api.example:8443\r\n"
            b"proxy-authorization: Basic bWU6cGFzcyB3b3Jk\r\n\r\n"
        ]

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


def test_a_call_that_is_not_judged_has_no_deadline_here(run: Run) -> None:
    async def main() -> None:
        async with rig(answers) as r:
            outcome, _ = await r.ask(r.call(operation=Operation.OTHER, deadline=0.0))

        assert outcome == Answered(200)

    run(main())
