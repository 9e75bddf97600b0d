"""A real listener on loopback with a scripted service behind it, and raw sockets in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import uvloop

from sidecar.core.admission import Admission
from sidecar.dialects import DIALECTS
from sidecar.events import (
    CallEnded,
    Event,
)
from sidecar.listener.connection import Connection
from sidecar.listener.listener import Generation, Listener
from sidecar.model import (
    Answered,
    Ask,
    AuthStyle,
    Call,
    Chunk,
    Head,
    Outcome,
    Provider,
    Service,
    Sink,
)
from sidecar.routing import UnknownRoute
from sidecar.settings import Listen, Route, Settings

T = TypeVar("T")
Script = Callable[[Call, Sink], Coroutine[Any, Any, Outcome]]
PATIENCE = 10.0  # the most any condition is waited for

CHAT = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}'
JSON = (b"Content-Type", b"application/json")
EVENTS = (b"Content-Type", b"text/event-stream")


def run(work: Coroutine[Any, Any, T], *, plain: bool = False) -> T:
    """On uvloop, as in the real process; `plain` on asyncio's own loop."""
    factory = asyncio.new_event_loop if plain else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


class LoopClock:
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_700_000_000.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def provider(name: str, dialect: str, auth: AuthStyle = AuthStyle.BEARER) -> Provider:
    return Provider(name=name, dialect=dialect, scheme="https", host=f"{name}.test", port=443, auth=auth)


PROVIDERS = {
    "openai": provider("openai", "openai_chat"),
    "anthropic": provider("anthropic", "anthropic", AuthStyle.X_API_KEY),
    "files": provider("files", ""),
}


def answering(body: bytes = b'{"ok":true}', *headers: tuple[bytes, bytes], status: int = 200) -> Script:
    """A service that gives one whole answer of known length."""
    head = Head(status, "", (*(headers or (JSON,)), (b"Content-Length", str(len(body)).encode())))

    async def service(_call: Call, sink: Sink) -> Outcome:
        await sink.start(head)
        await sink.send(Chunk(body))
        return Answered(status)

    return service


def saying(outcome: Outcome) -> Script:
    async def service(_call: Call, _sink: Sink) -> Outcome:
        return outcome

    return service


@dataclass
class House:
    """What the tests see: where to connect, what was called, what was told."""

    port: int
    listener: Listener
    admission: Admission
    routes: dict[str, Route]
    addresses: list[tuple[str, int]]
    calls: list[Call] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    service: Script | None = None

    @property
    def ended(self) -> list[CallEnded]:
        return [event for event in self.events if isinstance(event, CallEnded)]

    @property
    def connections(self) -> list[Connection]:
        assert self.listener._door is not None
        return [one for one in self.listener._door.connections if isinstance(one, Connection)]

    async def client(self, host: str = "127.0.0.1") -> Client:
        client = Client(*await asyncio.open_connection(host, self.port))
        self.clients.append(client)
        return client

    async def say(self, data: bytes) -> bytes:
        """Everything that comes back until the listener closes the connection."""
        client = await self.client()
        client.send(data)
        return await client.rest()

    async def ask(self, request: bytes) -> Reply:
        client = await self.client()
        client.send(request)
        return await client.reply()


@dataclass
class Reply:
    status: int
    lines: list[bytes]
    body: bytes

    def get(self, name: bytes) -> bytes | None:
        for line in self.lines:
            key, _, value = line.partition(b": ")
            if key.lower() == name:
                return value
        return None


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def rest(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b"(reset)"

    async def head(self) -> Reply:
        async with asyncio.timeout(PATIENCE):
            block = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = block[:-4].split(b"\r\n")
        return Reply(int(first.split(b" ")[1]), lines, b"")

    async def reply(self) -> Reply:
        """One answer, of known length or chunked."""
        reply = await self.head()
        async with asyncio.timeout(PATIENCE):
            length = reply.get(b"content-length")
            if length is not None:
                reply.body = await self.reader.readexactly(int(length))
            while length is None and reply.get(b"transfer-encoding") == b"chunked":
                size = int(await self.reader.readline(), 16)
                reply.body += (await self.reader.readexactly(size + 2))[:-2]
                if not size:
                    break
        return reply

    async def piece(self) -> bytes:
        """The next chunk of a chunked answer; b"" at its end."""
        async with asyncio.timeout(PATIENCE):
            size = int(await self.reader.readline(), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    def leave(self) -> None:
        self.writer.transport.abort()


def post(
    path: str = "/openai/v1/chat/completions", body: bytes = CHAT, *headers: bytes, host: bytes = b"127.0.0.1"
) -> bytes:
    lines = [b"POST %b HTTP/1.1" % path.encode(), b"Host: " + host, *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def get(path: str, *headers: bytes, host: bytes = b"127.0.0.1", method: bytes = b"GET") -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, path.encode()), b"Host: " + host, *headers]
    return b"\r\n".join([*lines, b"", b""])


@asynccontextmanager
async def house(
    stack: Script | None = None,
    *,
    passthrough: Script | None = None,
    listen: Listen | None = None,
    settings: Settings | None = None,
    held_bytes: int = 128 * 1024 * 1024,
    routes: dict[str, Route] | None = None,
) -> AsyncIterator[House]:
    listen = listen or Listen(hosts=("127.0.0.1",), port=0)
    settings = settings or Settings(listen=listen, providers=PROVIDERS)
    known = routes or {name: Route(name=name, implicit=True) for name in PROVIDERS}
    calls: list[Call] = []
    events: list[Event] = []
    ids = count(1)

    def seen(service: Script) -> Service:
        async def noting(call: Call, sink: Sink) -> Outcome:
            calls.append(call)
            return await service(call, sink)

        return noting

    def choose(name: str, _ask: Ask, asked: str | None) -> Route:
        if asked is not None and asked not in known:
            raise UnknownRoute(f'no route "{asked}"')
        return known[asked or name]

    inner = seen(stack or answering())
    generation = Generation(
        settings=settings,
        dialects=DIALECTS,
        route=choose,
        stacks=dict.fromkeys(known, inner),
        passthrough=seen(passthrough or stack or answering()),
    )
    admission = Admission(slots=512, bytes=held_bytes)
    listener = Listener(
        current=lambda: generation,
        admission=admission,
        clock=LoopClock(),
        tell=events.append,
        new_id=lambda: f"{next(ids):032x}",
    )
    addresses = await listener.start()
    one = House(addresses[0][1], listener, admission, known, addresses, calls, events, service=stack)
    try:
        yield one
    finally:
        for client in one.clients:
            client.writer.close()
        await listener.drain(0.0)
        assert admission.held == 0
        assert listener.in_flight == 0
        await until(lambda: len(asyncio.all_tasks()) == 1)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition that is about to hold."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # it polls what has no event
            await asyncio.sleep(0.001)


async def soon(work: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE):
        return await work
