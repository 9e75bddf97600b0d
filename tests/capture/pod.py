"""A real listener with the proxy port in front of it, a scripted service behind it, raw clients beside it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sidecar.capture.capture import Capture
from sidecar.events import Event, Proxied, Trusted
from sidecar.settings import Capture as Rules
from sidecar.settings import Listen, Settings
from tests.wire.listener.house import PATIENCE, PROVIDERS, Client, House, Script, house

OPENAI = "openai.test"  # the house's provider of that name stands there


class WallClock:
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def wall(self) -> float:
        return time.time()  # noqa: TID251  # certificates are looked at by real clients


@dataclass
class Pod:
    home: House
    capture: Capture
    port: int
    trust: Path
    settings: Settings
    events: list[Event]

    @property
    def proxied(self) -> list[tuple[str, str]]:
        return [(event.how, event.reason) for event in self.events if isinstance(event, Proxied)]

    @property
    def told(self) -> list[Trusted]:
        return [event for event in self.events if isinstance(event, Trusted)]

    def reload(self, **rules: Any) -> None:
        self.settings = replace(self.settings, capture=replace(self.settings.capture, **rules))

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.home.clients.append(client)
        return client

    async def say(self, data: bytes) -> bytes:
        """Everything that comes back until the port closes the connection."""
        client = await self.client()
        client.send(data)
        return await client.rest()

    async def connect(self, authority: str) -> Client:
        """A connection that the proxy has established."""
        client = await self.client()
        client.send(f"CONNECT {authority} HTTP/1.1\r\nHost: whatever\r\n\r\n".encode())
        reply = await client.head()
        assert 200 == reply.status
        return client

    def context(self, *, trusted: Path | None = None, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        """What a client that reads our bundle has."""
        context = ssl.create_default_context(cafile=str(trusted or self.trust / "ca-bundle.pem"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    async def inside(
        self, host: str = OPENAI, *, name: str | None = None, context: ssl.SSLContext | None = None
    ) -> Client:
        """A client that has shaken hands with whoever answers for the host; raises what its TLS raises."""
        client = await self.connect(f"{host}:443")
        async with asyncio.timeout(PATIENCE):
            await client.writer.start_tls(context or self.context(), server_hostname=name or host)
        return client


@asynccontextmanager
async def pod(
    trust: Path,
    stack: Script | None = None,
    *,
    names: Mapping[str, str] | None = None,
    listen: Listen | None = None,
    **rules: Any,
) -> AsyncIterator[Pod]:
    """`names` is all that the name server knows; `rules` go to the section `capture`."""
    settings = Settings(
        listen=listen or Listen(hosts=("127.0.0.1",), port=0),
        providers=PROVIDERS,
        capture=Rules(mode="proxy", port=0, trust_dir=str(trust), **rules),
    )
    known = names or {}

    def lookup(host: str) -> tuple[str, ...]:
        if host not in known:
            raise OSError("no such name")
        return (known[host],)

    async with house(stack, settings=settings) as home:
        capture = Capture(
            home.listener,
            current=lambda: one.settings,
            clock=WallClock(),
            tell=home.events.append,
            lookup=lookup,
        )
        one = Pod(home, capture, 0, trust, settings, home.events)
        one.port = (await capture.start())[0][1]
        try:
            yield one
        finally:
            for client in home.clients:
                client.writer.close()
            await capture.stop()
            assert 0 == capture.tunnels
