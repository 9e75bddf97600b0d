"""The listening port, open or shut as the plan wants it.

`turn` acts at once, without awaiting, so that a test can change the script and connect in the
next line. A second socket stays bound to the port without listening: nobody else can take the
port while it is shut, and a client on the same machine cannot happen to connect to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from sidecar.provider.wire import LIMIT

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Event], Coroutine[Any, Any, None]]


class Door(asyncio.StreamReaderProtocol):
    """A stream that also tells when the client has closed its side, while nobody reads."""

    def __init__(self, serve: Serve, *, paused: bool) -> None:
        self._left = asyncio.Event()
        self._paused = paused  # until TLS takes over
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=4 * LIMIT, loop=loop)
        super().__init__(reader, lambda r, w: serve(r, w, self._left), loop=loop)

    # typing.override comes with Python 3.12
    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # type: ignore[explicit-override]
        if self._paused and isinstance(transport, asyncio.ReadTransport):
            transport.pause_reading()
            self._paused = False
        super().connection_made(transport)

    def eof_received(self) -> bool | None:  # type: ignore[explicit-override]
        self._left.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:  # type: ignore[explicit-override]
        self._left.set()
        super().connection_lost(exc)


class Gate:
    """`wanted` says how the port is to be: "" open, "refuse" or "blackhole"; `edge` in how many
    seconds that may change by itself; `moved` is told when it did."""

    def __init__(
        self,
        host: str,
        wanted: Callable[[], str],
        edge: Callable[[], float | None],
        serve: Serve,
        moved: Callable[[], None],
        *,
        paused: bool = False,
    ) -> None:
        self.shut = ""
        self._host = host
        self._port = 0
        self._wanted = wanted
        self._edge = edge
        self._serve = serve
        self._told = moved
        self._paused = paused
        self._place: socket.socket | None = None
        self._listening: socket.socket | None = None
        self._welcomes: set[asyncio.Task[Any]] = set()
        self._crowd: list[socket.socket] = []  # what fills the backlog of a black hole
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, port: int) -> int:
        """Binds, and opens unless the plan begins shut. Returns the port. Raises OSError."""
        self._place = self._bound(port)
        self._port = self._place.getsockname()[1]
        self.shut = self._wanted()
        self._arrange()
        self._task = asyncio.create_task(self._watch())  # noqa: TID251  # a vendor owns its port
        return self._port

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._close()
        await asyncio.gather(*self._welcomes, return_exceptions=True)
        if self._place is not None:
            self._place.close()

    def turn(self) -> None:
        """Opens or shuts the port if that is what is wanted now."""
        wanted = self._wanted()
        if wanted != self.shut and self._place is not None:
            self.shut = wanted
            self._close()
            self._arrange()
            self._told()
        self._moved.set()

    async def _watch(self) -> None:
        while True:
            self._moved.clear()
            try:
                async with asyncio.timeout(self._edge()):
                    await self._moved.wait()
            except TimeoutError:
                self.turn()

    def _accept(self, listening: socket.socket) -> None:
        # not loop.create_server: that has to be awaited, and `turn` acts at once
        loop = asyncio.get_running_loop()
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                sock, _ = listening.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                welcome = loop.connect_accepted_socket(lambda: Door(self._serve, paused=self._paused), sock)
                task = asyncio.create_task(welcome)  # noqa: TID251  # a vendor owns its port
                self._welcomes.add(task)
                task.add_done_callback(self._welcomes.discard)

    def _arrange(self) -> None:
        if self.shut == "refuse":
            return
        self._listening = self._bound(self._port)
        self._listening.listen(0 if self.shut else 1024)
        if not self.shut:
            asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)
        while self.shut and len(self._crowd) < 4:  # a full backlog drops further SYNs
            sock = socket.socket(self._listening.family)
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect((self._host, self._port))
            self._crowd.append(sock)

    def _close(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
        for sock in self._crowd:
            sock.close()
        self._listening = None
        self._crowd.clear()

    def _bound(self, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self._host, port))
        except OSError:
            sock.close()
            raise
        sock.setblocking(False)
        return sock
