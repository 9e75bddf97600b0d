"""A provider on loopback that plays one script per connection, and an upstream that asks it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from sidecar.model import (
    Ask,
    Attempt,
    Call,
    Chunk,
    Head,
    Kind,
    Operation,
    Outcome,
    Provider,
    Record,
    Stage,
    Target,
    Traffic,
)
from sidecar.settings import Limits
from sidecar.upstream.addresses import Lookup, system_lookup
from sidecar.upstream.egress import Pool
from sidecar.upstream.upstream import Upstream

SOON = 5.0  # no wait on loopback should come near it
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class LoopClock:
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_700_000_000.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Key:
    secret: str | None = "sk-injected"
    digest: str = "00000000"

    def reveal(self) -> str | None:
        return self.secret


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Conversation:
    """The provider's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def request(self) -> bytes:
        """Read one request; its body is the answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        body = b""
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        elif b"content-length: " in lower:
            body = await self.reader.readexactly(int(lower.split(b"content-length: ")[1].split(b"\r\n")[0]))
        self.bodies.append(body)
        return body

    async def send(self, *data: bytes) -> None:
        for piece in data:
            self.writer.write(piece)
        await self.writer.drain()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def closed(self) -> None:
        """Until the other side is gone."""
        with suppress(OSError):
            while await self.reader.read(65536):
                pass


Script = Callable[[Conversation], Awaitable[None]]


@dataclass
class Server:
    scripts: tuple[Script, ...]
    port: int = 0
    conversations: list[Conversation] = field(default_factory=list)
    wrong: list[BaseException] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(reader, writer)
        self.conversations.append(conversation)
        script = self.scripts[min(len(self.conversations), len(self.scripts)) - 1]
        try:
            await script(conversation)
        except (asyncio.IncompleteReadError, OSError):
            pass
        except (AssertionError, ValueError) as exc:
            self.wrong.append(exc)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    @property
    def asked(self) -> int:
        return sum(len(conversation.heads) for conversation in self.conversations)


@dataclass
class Tape:
    """What came through the sink; `gate` closed: a client that does not read."""

    head: Head | None = None
    pieces: list[bytes] = field(default_factory=list)
    gate: asyncio.Event | None = None
    got: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stage(self) -> Stage:
        return Stage.COMMITTED if self.head else Stage.UNTOUCHED

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    async def start(self, head: Head) -> None:
        self.head = head

    async def send(self, chunk: Chunk) -> None:
        self.pieces.append(chunk.raw)
        self.got.set()
        if self.gate is not None:
            await self.gate.wait()

    async def next(self) -> bytes:
        await asyncio.wait_for(self.got.wait(), SOON)
        self.got.clear()
        return self.pieces[-1]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what has no event of its own."""
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110  # the state of a socket, seen from outside
            await asyncio.sleep(0)


@dataclass
class Rig:
    server: Server
    pool: Pool
    upstream: Upstream
    provider: Provider

    def call(self, *, stream: bool = False, operation: Operation = Operation.CHAT, **more: Any) -> Call:
        record = Record(
            attempts=[
                Attempt(
                    number=1,
                    target="t",
                    provider="p",
                    model="m",
                    kind=Kind.INITIAL,
                    breaker="closed",
                    started=0.0,
                )
            ]
        )
        call = Call(
            id="1",
            route="r",
            provider="p",
            dialect="openai_chat",
            method="POST",
            path="/v1/chat/completions",
            query="",
            headers=((b"Authorization", b"Bearer sk-app"), (b"Content-Type", b"application/json")),
            body=b'{"model":"m"}',
            ask=Ask(operation=operation, model="m", stream=stream),
            traffic=Traffic.INTERACTIVE,
            arrived=0.0,
            deadline=asyncio.get_running_loop().time() + 60.0,
            record=record,
            target=Target(name="t", provider=self.provider),
        )
        return replace(call, **more)

    async def ask(self, call: Call | None = None, tape: Tape | None = None) -> tuple[Outcome, Tape]:
        tape = tape or Tape()
        outcome = await asyncio.wait_for(self.upstream(call or self.call(), tape), SOON)
        return outcome, tape


@asynccontextmanager
async def rig(
    *scripts: Script,
    limits: Limits = Limits(),  # noqa: B008  # a frozen value
    tls: ssl.SSLContext | None = None,
    lookup: Lookup = system_lookup,
    pool: dict[str, Any] | None = None,
    **provider: Any,
) -> AsyncIterator[Rig]:
    """Afterwards nothing may be left: no connection in use, no task, nothing wrong in a script."""
    server = Server(scripts)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls, limit=2**20)
    server.port = listening.sockets[0].getsockname()[1]
    known: dict[str, Any] = {
        "name": "p",
        "dialect": "openai_chat",
        "scheme": "https" if tls else "http",
        "host": "127.0.0.1",
        "port": server.port,
        "private": True,
    }
    what = Provider(**known | provider)
    clock = LoopClock()
    connections = Pool(clock=clock, lookup=lookup, **pool or {})
    connections.prepare([what])
    mine = asyncio.current_task()
    try:
        yield Rig(server, connections, Upstream(connections, limits, clock), what)
        assert connections.open_connections == connections.idle_connections
    finally:
        await connections.close()
        listening.close()
        others = asyncio.all_tasks() - {mine}
        if others:
            await asyncio.wait(others, timeout=SOON)
    assert not server.wrong, server.wrong
    assert connections.open_connections == 0
    assert not asyncio.all_tasks() - {mine}
