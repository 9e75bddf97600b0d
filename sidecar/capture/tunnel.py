"""Blind tunnels: bytes from one socket to the other, never looked into.

Where a tunnel may lead. The application shares the pod's network with us, so a tunnel gives it no
address that it could not reach itself, and nobody outside the pod reaches this port. What could borrow
our hands is a confused application: an address that a prompt made up. So two kinds of places are
refused: those of no honest use through a proxy (metadata services, link-local, multicast; whoever
gets a request there gets the machine's identity), and this pod's own loopback, behind which our admin
port and other containers' private ones stand. Private networks are allowed unless `capture.reach`
says otherwise: turning capture on must not cut an application off from its own services. Names are
resolved here, each address is judged, and the connection goes to the judged one.

A tunnel ends when both sides have ended, when one breaks, or when nothing moved for `idle` seconds; for
`HALF` once a side has ended: a client that has gone looks like one that has only said all it had to say.
"""

from __future__ import annotations

import asyncio
import socket

import aiohappyeyeballs

from sidecar.capture.asked import Asked, Refusal
from sidecar.model import Clock
from sidecar.settings import Capture
from sidecar.upstream.addresses import Lookup, Names, Unresolved, is_address, is_loopback
from sidecar.upstream.egress import ProxyRefused, addr_info, read_proxy, tunnel

CONNECT = 10.0  # seconds for names, address and an outer proxy together
HALF = 60.0  # seconds of silence that are granted to the side that has not ended
PIECE = 32 * 1024  # bytes held of each direction


async def dial(asked: Asked, rules: Capture, clock: Clock, lookup: Lookup) -> socket.socket:
    """A connection to where the client asked for. Raises Refusal."""
    try:
        async with asyncio.timeout(CONNECT):
            return await _dial(asked, rules, clock, lookup)
    except TimeoutError:
        raise Refusal(504, "unreachable", f"no connection to that host within {CONNECT:g} s") from None
    except Unresolved:
        raise Refusal(502, "unreachable", "that host has no address") from None
    except ProxyRefused:
        raise Refusal(502, "unreachable", "the proxy of capture.proxy refused that host") from None
    except OSError:
        raise Refusal(502, "unreachable", "that host could not be connected to") from None


async def _dial(asked: Asked, rules: Capture, clock: Clock, lookup: Lookup) -> socket.socket:
    # names anew for every tunnel: a client chooses them, so what is kept of them would grow for ever
    names = Names(clock, lookup)
    proxy = read_proxy(rules.proxy) if rules.proxy else None
    if proxy is None or is_address(asked.host):
        addresses = await names.addresses(asked.host, private=rules.reach != "public")
        if rules.reach != "any":
            addresses = tuple(address for address in addresses if not is_loopback(address))
        if not addresses:
            raise Refusal(403, "address", "no tunnel leads to the addresses of that host (capture.reach)")
    port = asked.port
    if proxy is not None:  # where it stands is the operator's word
        addresses, port = await names.addresses(proxy.host, private=True), proxy.port
        if not addresses:
            raise Refusal(502, "unreachable", "capture.proxy has no address that may be connected to")
    loop = asyncio.get_running_loop()
    sock = await aiohappyeyeballs.start_connection(
        [addr_info(address, port) for address in addresses], happy_eyeballs_delay=0.25, loop=loop
    )
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy is not None:
            await tunnel(loop, sock, proxy, asked.authority)
    except BaseException:
        sock.close()
        raise
    return sock


async def carry(near: socket.socket, far: socket.socket, idle: float) -> None:
    """Until it ends, however it ends."""
    loop = asyncio.get_running_loop()
    patience = idle

    def moved() -> None:
        if not limit.expired():  # both can happen in one round of the loop
            limit.reschedule(loop.time() + patience)

    async def pump(source: socket.socket, sink: socket.socket) -> None:
        nonlocal patience
        while data := await loop.sock_recv(source, PIECE):
            moved()
            await loop.sock_sendall(sink, data)
        sink.shutdown(socket.SHUT_WR)
        patience = min(idle, HALF)
        moved()

    try:
        async with asyncio.timeout(idle) as limit, asyncio.TaskGroup() as both:
            both.create_task(pump(near, far))
            both.create_task(pump(far, near))
    except* OSError:  # TimeoutError is one: nothing moved; the others: a side broke
        pass
