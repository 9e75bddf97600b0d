"""The way out: where bytes may go, and the connections that carry them.

What it promises. A byte leaves only through a `Door`, and a door exists only for the exact
(scheme, host, port) of a provider in the configuration: nothing a client sends, a provider
answers or a name server says opens another one. A name is resolved by us, each address is judged
(addresses.py), and the connection goes to the judged address: there is no second look-up that
could say something else. TLS is 1.2 at least and always verified, redirects are nobody's business
here, proxies come from the configuration alone and never from the environment.

The pool. An idle connection is taken again, the youngest first, for 45 s. It is kept only after
an answer that ended cleanly; whatever else happened to it, it is closed. A byte that comes while
nothing was asked spoils a connection too: it would be read as the next caller's answer.

Why no queue. Admission bounds the calls in flight; a call that waited here for a connection would
spend its time unseen. Beyond the limit a door says so at once.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

import aiohappyeyeballs

from sidecar.upstream.addresses import Lookup, Names, is_address, may_connect, system_lookup
from sidecar.upstream.wire import LINE, Late, Wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.model import Clock, Provider

KEEPALIVE = 45.0  # s; providers and load balancers close at 60 s and more
LIMIT = 512  # connections to one provider; what admission lets in by default


class Forbidden(Exception):
    """Not a place the configuration names, or an address no provider may have."""


class Crowded(Exception):
    """The connections to one provider are all in use."""


class Handshake(OSError):
    """The connection ended in the TLS handshake, and nobody said why."""


class ProxyRefused(OSError):
    """The proxy would not connect; its answer is not the provider's."""


class Place(NamedTuple):
    """What has to be equal for two providers to share connections."""

    scheme: str
    host: str
    port: int
    private: bool
    ca_file: str | None
    proxy: str | None


def place_of(provider: Provider) -> Place:
    return Place(
        provider.scheme, provider.host, provider.port, provider.private, provider.ca_file, provider.proxy
    )


class Door:
    """The connections to one place."""

    def __init__(
        self,
        place: Place,
        *,
        names: Names,
        clock: Clock,
        tls: ssl.SSLContext | None,
        keepalive: float,
        limit: int,
    ) -> None:
        self.place = place
        self.closed = False
        self.idle: deque[Wire] = deque()
        self.busy: set[Wire] = set()
        self._opening = 0
        self._names = names
        self._clock = clock
        self.tls = tls
        self._keepalive = keepalive
        self._limit = limit
        self._host = place.host.strip("[]")
        self._proxy = read_proxy(place.proxy) if place.proxy else None

    def kept(self) -> Wire | None:
        """A connection of one's own that was used before, to be given back with `leave`."""
        oldest = self._clock.now() - self._keepalive
        while self.idle:
            wire = self.idle.pop()
            if wire.idle_since >= oldest and not wire.heard and wire.reusable():
                wire.reused = True
                self.busy.add(wire)
                return wire
            wire.abort()
        return None

    async def open(self, *, connect: float, tls: float) -> Wire:
        """A new one. Limits in seconds.

        Raises Forbidden, Crowded, Late, OSError.
        """
        if len(self.busy) + self._opening >= self._limit:
            raise Crowded(f"{self._limit} connections are in use")
        self._opening += 1
        try:
            wire = await self._dial(connect, tls)
        finally:
            self._opening -= 1
        self.busy.add(wire)
        return wire

    def leave(self, wire: Wire) -> None:
        """Give a connection back; it is kept if nothing about it is in doubt."""
        self.busy.discard(wire)
        if self.closed or not wire.reusable():
            wire.abort()
            return
        wire.heard = False
        wire.idle_since = self._clock.now()
        self.idle.append(wire)

    def sweep(self) -> None:
        """Close what was idle for too long, or was closed by the other side."""
        oldest = self._clock.now() - self._keepalive
        kept = deque(wire for wire in self.idle if wire.idle_since >= oldest and wire.reusable())
        for wire in self.idle:
            if wire not in kept:
                wire.abort()
        self.idle = kept

    def close(self) -> None:
        """No new connections, none kept; those in use end with their calls."""
        self.closed = True
        for wire in self.idle:
            wire.abort()
        self.idle.clear()

    async def _dial(self, connect: float, tls: float) -> Wire:
        loop = asyncio.get_running_loop()
        wire = Wire(loop)
        try:
            async with asyncio.timeout(connect) as limit:
                sock = await self._connect(loop)
        except TimeoutError:
            if limit.expired():  # else: the kernel's own ETIMEDOUT
                raise Late("connect", connect) from None
            raise
        if self.tls is None:
            await loop.create_connection(lambda: wire, sock=sock)
            return wire
        try:
            async with asyncio.timeout(tls) as limit:
                await loop.create_connection(
                    lambda: wire, sock=sock, ssl=self.tls, server_hostname=self._host.rstrip(".")
                )
        except TimeoutError:
            wire.abort()
            if limit.expired():
                raise Late("tls", tls) from None
            raise
        except ConnectionError as exc:
            raise Handshake("tls: closed during the handshake") from exc
        return wire

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        host, port, trusted = self._host, self.place.port, self.place.private
        if self._proxy is not None:
            if is_address(host) and not may_connect(host, private=trusted):
                raise Forbidden(f"{host} is an address that no provider may have")
            # where a proxy stands is the operator's word, and it is often a private address
            host, port, trusted = self._proxy.host, self._proxy.port, True
        addresses = await self._names.addresses(host, private=trusted)
        if not addresses:
            raise Forbidden(
                f"{host} has no address that a provider may have; a private one needs private: true"
            )
        sock = await aiohappyeyeballs.start_connection(
            [addr_info(address, port) for address in addresses], happy_eyeballs_delay=0.25, loop=loop
        )
        try:
            _keep_alive(sock)
            if self._proxy is not None:
                await tunnel(loop, sock, self._proxy, f"{_authority_host(self._host)}:{self.place.port}")
        except BaseException:
            sock.close()
            raise
        return sock


class Pool:
    """All connections of the process. Survives a reload; `prepare` says what is configured now."""

    def __init__(
        self,
        *,
        clock: Clock,
        lookup: Lookup = system_lookup,
        keepalive: float = KEEPALIVE,
        limit: int = LIMIT,
    ) -> None:
        self._clock = clock
        self._names = Names(clock, lookup)
        self._keepalive = keepalive
        self._limit = limit
        self._doors: dict[Place, Door] = {}
        self._leaving: list[Door] = []  # removed while calls were still in them
        self._contexts: dict[str | None, tuple[int, ssl.SSLContext]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def prepare(self, providers: Iterable[Provider]) -> None:
        """Make these the only places there are. Raises ValueError for what cannot work."""
        made: dict[Place, Door] = {}
        for provider in providers:
            place = place_of(provider)
            tls = self._context(place, provider.name)
            door = self._doors.get(place)
            # a file of certificates may have changed under the same name
            made[place] = door if door and door.tls is tls else self._make(place, tls, provider.name)
        for place, door in self._doors.items():
            if made.get(place) is not door:
                door.close()
                self._leaving.append(door)
        self._leaving = [door for door in self._leaving if door.busy]
        self._doors = made

    def door(self, provider: Provider) -> Door:
        """The only way to a connection. Raises Forbidden for a place that was not prepared."""
        door = self._doors.get(place_of(provider))
        if door is None:
            raise Forbidden(
                f"{provider.scheme}://{provider.host}:{provider.port} is not in the configuration"
            )
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(self._keepalive, self._sweep)
        return door

    def connections(self, provider: Provider) -> tuple[int, int]:
        """How many of the connections to this provider's place are in use, and how many idle."""
        door = self._doors.get(place_of(provider))
        return (0, 0) if door is None else (len(door.busy), len(door.idle))

    @property
    def open_connections(self) -> int:
        return sum(len(door.busy) + len(door.idle) for door in self._all())

    @property
    def idle_connections(self) -> int:
        return sum(len(door.idle) for door in self._all())

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        endings = []
        for door in self._all():
            wires = [*door.idle, *door.busy]
            door.close()
            for wire in wires:
                if wire.transport is not None and (ending := wire.closed) is not None:
                    endings.append(ending)
                wire.abort()
        self._doors.clear()
        self._leaving.clear()
        if endings:
            await asyncio.wait(endings, timeout=1.0)

    def _all(self) -> list[Door]:
        return [*self._doors.values(), *self._leaving]

    def _sweep(self) -> None:
        self._sweeping = None
        for door in self._all():
            door.sweep()
        if self.idle_connections:
            self._sweeping = asyncio.get_running_loop().call_later(self._keepalive / 3, self._sweep)

    def _make(self, place: Place, tls: ssl.SSLContext | None, name: str) -> Door:
        if place.scheme not in {"http", "https"}:
            raise ValueError(f"providers.{name}: scheme {place.scheme!r}; expected http or https")
        try:
            return Door(
                place,
                names=self._names,
                clock=self._clock,
                tls=tls,
                keepalive=self._keepalive,
                limit=self._limit,
            )
        except ValueError as exc:
            raise ValueError(f"providers.{name}.proxy: {exc}") from None

    def _context(self, place: Place, name: str) -> ssl.SSLContext | None:
        if place.scheme != "https":
            return None
        path = place.ca_file
        try:
            written = Path(path).stat().st_mtime_ns if path else 0
            if path not in self._contexts or self._contexts[path][0] != written:
                self._contexts[path] = (written, tls_context(path))
        except (OSError, ssl.SSLError) as exc:
            raise ValueError(
                f"providers.{name}.ca_file: {path} cannot be read as certificates ({type(exc).__name__}); "
                "expected a file of PEM certificates"
            ) from None
        return self._contexts[path][1]


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Verified TLS 1.2 or later, HTTP/1.1. Built by hand: the library's default context also
    writes session secrets to a file that an environment variable names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file:
        context.load_verify_locations(ca_file)
    else:
        context.load_default_certs()
    return context


class Proxy(NamedTuple):
    host: str
    port: int
    credential: bytes  # of proxy-authorization, b"" without one

    def __repr__(self) -> str:  # type: ignore[explicit-override]
        return f"Proxy({self.host}:{self.port})"


def read_proxy(url: str) -> Proxy:
    """Raises ValueError, without quoting what may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        raise ValueError("expected http://host:port") from None
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("expected http://host:port")
    credential = b""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credential = b"Basic " + b64encode(pair.encode())
    return Proxy(parts.hostname, port, credential)


async def tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy, authority: str) -> None:
    """CONNECT on the bare socket: the provider never speaks first, so nothing is read too far."""
    request = f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n".encode()
    if proxy.credential:
        request += b"proxy-authorization: " + proxy.credential + b"\r\n"
    await loop.sock_sendall(sock, request + b"\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = await loop.sock_recv(sock, 4096)
        if not data or len(answer) > LINE:
            raise ProxyRefused("proxy: closed without an answer to CONNECT")
        answer += data
    status = answer.split(b" ", 2)[1:2]
    if status != [b"200"] or not answer.endswith(b"\r\n\r\n"):
        shown = status[0].decode() if status and status[0].isdigit() else "no status"
        raise ProxyRefused(f"proxy: CONNECT was not accepted ({shown})")


def addr_info(address: str, port: int) -> aiohappyeyeballs.AddrInfoType:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))


def _authority_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _keep_alive(sock: socket.socket) -> None:
    """A model may think for minutes in silence: keeps NAT tables from forgetting, finds dead peers."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4)):
        number = getattr(socket, option, None)
        if number is not None:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, number, value)
