"""Names and addresses of providers: who resolves them, and which may be connected to.

A public provider may have public addresses only. `private: true` adds loopback and private ones.
Nothing may have the address of a cloud's metadata service: whoever gets a request there gets the
machine's identity. Link-local, unspecified, multicast and reserved addresses are nobody's.

An answer is good for 30 s, then it is asked for anew; if that fails, or takes more than a second,
the old one is still used for 10 minutes: name servers are down more often than providers move. A
failure is believed for 5 s. Each look-up has a thread of its own, one per name at a time: a name
server that hangs for one name makes no other name wait.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.model import Clock

FRESH = 30.0
STALE = 600.0
NEGATIVE = 5.0
PATIENCE = 1.0  # for a new answer, while an old one could be used

METADATA = frozenset(
    {
        IPv4Address("169.254.169.254"),
        IPv4Address("100.100.100.200"),  # Alibaba
        IPv4Address("168.63.129.16"),  # Azure's wire server: a public address
        IPv6Address("fd00:ec2::254"),  # AWS
        IPv6Address("fd20:ce::254"),  # Google
    }
)
_NAT64 = IPv6Network("64:ff9b::/96")

Lookup = Callable[[str], tuple[str, ...]]  # blocking; raises OSError


class Unresolved(OSError):
    """There is no address for a name, not even an old one."""


def is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def may_connect(address: str, *, private: bool) -> bool:
    """Whether a provider may have this address, given as a literal."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        ip = _inner(ip)
    if ip in METADATA or ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        return False
    return private or ip.is_global


def is_loopback(address: str) -> bool:
    ip = ip_address(address)
    return (_inner(ip) if isinstance(ip, IPv6Address) else ip).is_loopback


def _inner(ip: IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, where it does: a wrapping changes no rule."""
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


def system_lookup(host: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(slots=True)
class _Name:
    addresses: tuple[str, ...] = ()
    learned: float = -inf
    failed: float = -inf
    pending: asyncio.Future[None] | None = None


class Names:
    def __init__(self, clock: Clock, lookup: Lookup = system_lookup) -> None:
        self._clock = clock
        self._lookup = lookup
        self._names: dict[str, _Name] = {}

    async def addresses(self, host: str, *, private: bool) -> tuple[str, ...]:
        """The addresses that may be connected to; none: there are only forbidden ones.

        Raises Unresolved.
        """
        found = await self._resolve(host)
        return tuple(address for address in found if may_connect(address, private=private))

    async def _resolve(self, host: str) -> tuple[str, ...]:
        if is_address(host):
            return (host,)
        now = self._clock.now()
        name = self._names.setdefault(host, _Name())
        if now - name.learned < FRESH:
            return name.addresses
        if now - name.failed >= NEGATIVE:
            pending = name.pending or self._start(host, name)
            usable = now - name.learned < STALE
            await asyncio.wait([pending], timeout=PATIENCE if usable else None)
        if self._clock.now() - name.learned < STALE:
            return name.addresses
        raise Unresolved(f"dns: no address for {host}")

    def _start(self, host: str, name: _Name) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        pending = name.pending = loop.create_future()

        def learn(addresses: tuple[str, ...]) -> None:
            name.pending = None
            if addresses:
                name.addresses, name.learned = addresses, self._clock.now()
            else:
                name.failed = self._clock.now()
            pending.set_result(None)

        def ask() -> None:
            try:
                addresses = self._lookup(host)
            except (OSError, UnicodeError):
                addresses = ()
            with suppress(RuntimeError):  # the loop is gone, and with it whoever asked
                loop.call_soon_threadsafe(learn, addresses)

        threading.Thread(target=ask, name=f"lookup {host}", daemon=True).start()
        return pending
