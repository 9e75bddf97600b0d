"""The proxy port: for applications that know no base URL but honour HTTPS_PROXY (R32).

A client asks for `CONNECT host:port`. The host of a provider, on port 443, ends here: TLS with a
certificate of this pod (certificates.py), and what is said inside goes through the very listener that
base URLs lead to, with the provider already named by the host. Retries, fallback and metrics are the
same, and so are the strict checks; a request inside cannot choose another host. Every other host is a
blind tunnel, or refused.

Three promises. The port is on loopback and nowhere else. Nothing of ours stands between an application
and a host that is not on the list but a pipe. And a client that does not trust our certificates (it
pins its own, or it started before this process did, with the authority of an earlier one) is not
locked out: after it has refused us, or has left twice in the handshake without a word, its host is
tunnelled for a minute, said and counted.

What is intercepted is settled at the start, because the authority can vouch for no other hosts later:
a host that a reload adds is tunnelled until the next start, said and counted. Where their calls go may
change with every reload.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from sidecar.capture import tunnel
from sidecar.capture.asked import Asked, Refusal, read
from sidecar.events import Proxied, Tell, Trusted
from sidecar.hosts import base_of, captured
from sidecar.listener.connection import Bound
from sidecar.listener.listener import Listener
from sidecar.listener.sockets import bind
from sidecar.model import Clock
from sidecar.settings import Listen, Settings
from sidecar.upstream.addresses import Lookup, system_lookup

HEAD = 10.0  # seconds for a CONNECT
HANDSHAKE = 10.0
LAST_WORDS = 1.0  # seconds in which the rest of a refused request is read, so that the answer arrives
DISTRUST = 60.0  # seconds in which a host is tunnelled after a client refused our certificate
ENOUGH = 2  # clients in a row that left in the handshake, where one that said why is enough
RENEW = 3600.0  # seconds between two looks at the authority's age
PENDING = 512  # connections beside the tunnels: CONNECT not read yet, or shaking hands
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_UNTRUSTED = ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "UNSUPPORTED_CERTIFICATE")


class Capture:
    """`start` before the application does, `stop` after the listener has drained."""

    def __init__(
        self,
        listener: Listener,
        *,
        current: Callable[[], Settings],
        clock: Clock,
        tell: Tell,
        lookup: Lookup = system_lookup,
    ) -> None:
        self._listener = listener
        self._current = current
        self._clock = clock
        self._tell = tell
        self._lookup = lookup
        self._distrusted: dict[str, float] = {}  # host -> until when it is tunnelled
        self._strikes: dict[str, int] = {}  # host -> signs of distrust since somebody trusted us
        self._sockets: list[socket.socket] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self.tunnels = 0
        self.ready = False

    async def start(self) -> list[tuple[str, int]]:
        """Certificates in their folder, then the port. Raises OSError, for people."""
        from sidecar.capture import trust  # with `cryptography`: only who captures pays for it
        from sidecar.capture.certificates import Certificates

        settings = self._current()
        folder = Path(settings.capture.trust_dir or ".")
        self._certificates = Certificates(captured(settings), self._clock.wall)
        roots = trust.roots(os.environ)
        _no_core_files()
        earlier = (folder / trust.ALONE).exists()
        try:
            trust.write(folder, roots, self._certificates.pem())
        except OSError as error:
            raise OSError(f"capture.trust_dir: {folder} cannot be written: {error.strerror}") from None
        self._sockets = bind(Listen(port=settings.capture.port), "capture.port")
        self._keepers = [_task(self._accept(one)) for one in self._sockets]
        self._keepers.append(_task(self._renew(folder, roots)))
        self.ready = True
        hosts = len(self._certificates.hosts)
        detail = f"port {self._sockets[0].getsockname()[1]}, {hosts} hosts"
        if earlier:
            detail += "; the authority is new: who read the earlier one is tunnelled until it restarts"
        self._tell(Trusted(not earlier, detail))
        return [one.getsockname()[:2] for one in self._sockets]

    async def stop(self) -> None:
        """Tunnels end with us; what was intercepted is the listener's to end."""
        self.ready = False
        tasks = [*self._keepers, *self._serving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in self._sockets:
            one.close()
        self._keepers.clear()
        self._sockets.clear()

    async def _renew(self, folder: Path, roots: bytes) -> None:
        from sidecar.capture import trust

        unwritten = False
        while True:
            await self._clock.sleep(RENEW)
            unwritten |= self._certificates.renew()
            if not unwritten:
                continue
            try:
                trust.write(folder, roots, self._certificates.pem())
            except OSError as error:
                self._tell(Trusted(False, f"capture.trust_dir cannot be written: {error.strerror}"))
            else:
                unwritten = False
                self._tell(Trusted(True, "a new authority stands beside the old one"))

    # ---- one connection --------------------------------------------------------------------

    async def _accept(self, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(server)
            except OSError:  # out of file descriptors, or the client is gone again
                await self._clock.sleep(0.1)
                continue
            if len(self._serving) >= PENDING + self._current().capture.tunnels:
                sock.close()
                self._tell(Proxied("refused", "crowded"))
                continue
            task = _task(self._serve(sock))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, sock: socket.socket) -> None:
        keep = False
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asked = await _head(sock)
            provider = self._provider(asked)
            if provider is not None:
                keep = await self._intercept(sock, Bound(asked.host, provider, base_of(asked.host)))
            else:
                await self._tunnel(sock, asked)
        except Refusal as refusal:
            self._tell(Proxied("refused", refusal.reason))
            await _answer(sock, refusal)
        except OSError:
            pass  # the client left
        finally:
            if not keep:
                sock.close()

    def _provider(self, asked: Asked) -> str | None:
        """Whose the host is; None where its connection is not to be opened."""
        if asked.port != 443 or asked.host not in self._certificates.hosts:
            return None
        settings = self._current()
        if settings.capture.others == "tunnel" and self._distrusts(asked.host):
            return None
        return captured(settings).get(asked.host)

    def _distrusts(self, host: str) -> bool:
        return self._distrusted.get(host, 0.0) > self._clock.now()

    async def _intercept(self, sock: socket.socket, bound: Bound) -> bool:
        """Whether the socket is the listener's from now on."""
        loop = asyncio.get_running_loop()
        try:
            context = self._certificates.context(bound.host)
            await loop.sock_sendall(sock, ESTABLISHED)
            await loop.connect_accepted_socket(
                lambda: self._listener.captured(bound), sock, ssl=context, ssl_handshake_timeout=HANDSHAKE
            )
        except OSError as error:
            self._failed(bound, error)
            return False
        self._strikes.pop(bound.host, None)
        self._tell(Proxied("intercepted", provider=bound.provider))
        return True

    def _failed(self, bound: Bound, error: OSError) -> None:
        said = getattr(error, "reason", None) or ""
        if said.endswith(_UNTRUSTED):
            reason = "untrusted"
            self._strike(bound.host, ENOUGH)
        elif said == "CALLBACK_FAILED":
            reason = "sni"
        elif isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            reason = "handshake"
        elif isinstance(error, ConnectionAbortedError):  # what the loop raises at the end of its patience
            reason = "slow"
        else:  # many clients go without a word when they do not like a certificate
            reason = "left"
            self._strike(bound.host, 1)
        self._tell(Proxied("failed", reason, bound.provider))

    def _strike(self, host: str, weight: int) -> None:
        strikes = self._strikes.get(host, 0) + weight
        if strikes >= ENOUGH:
            self._distrusted[host] = self._clock.now() + DISTRUST
            strikes = 0
        self._strikes[host] = strikes

    async def _tunnel(self, sock: socket.socket, asked: Asked) -> None:
        rules = self._current().capture
        if rules.others == "refuse":
            raise Refusal(
                403, "host", "this host is not on the list; all others are refused (capture.others)"
            )
        if self.tunnels >= rules.tunnels:
            raise Refusal(503, "crowded", f"{rules.tunnels} tunnels are open (capture.tunnels)")
        self.tunnels += 1
        try:
            far = await tunnel.dial(asked, rules, self._clock, self._lookup)
            with far:
                self._tell(Proxied("tunnelled", self._why(asked)))
                await asyncio.get_running_loop().sock_sendall(sock, ESTABLISHED)
                await tunnel.carry(sock, far, rules.idle)
        finally:
            self.tunnels -= 1

    def _why(self, asked: Asked) -> str:
        """Why a provider's host is tunnelled; "" where it is none."""
        if asked.port != 443 or asked.host not in captured(self._current()):
            return ""
        return "distrusted" if asked.host in self._certificates.hosts else "new_host"


async def _head(sock: socket.socket) -> Asked:
    """Raises Refusal; ConnectionError where the client left."""
    loop = asyncio.get_running_loop()
    data = b""
    try:
        async with asyncio.timeout(HEAD):
            while True:
                more = await loop.sock_recv(sock, 4096)
                if not more:
                    raise ConnectionResetError
                data += more
                if (asked := read(data)) is not None:
                    return asked
    except TimeoutError:
        raise Refusal(408, "slow", f"the CONNECT request did not come within {HEAD:g} s") from None


async def _answer(sock: socket.socket, refusal: Refusal) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        async with asyncio.timeout(LAST_WORDS):
            await loop.sock_sendall(sock, refusal.answer)
            sock.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(sock, 64 * 1024):
                pass


def _no_core_files() -> None:
    """The one way in which memory gets to a disk that a process can close for itself."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work)  # noqa: TID251  # connections are tasks, as the listener's are
