"""The two ports: POST /inject over TLS, and health and metrics over plain HTTP.

Stopping. A webhook that is gone costs pods their sidecar, so after SIGTERM it says that it is not
ready, serves on while the cluster learns that, closing each connection with its answer, and then
finishes the reviews in flight.

Strangers. Every pod of the cluster may reach these ports. Whoever fills them with connections that ask
nothing finds the oldest of these closed: an API server, and the kubelet, always get in.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from aiohttp import web

from sidecar.injector.door import Door
from sidecar.injector.measures import TYPE, Measures
from sidecar.injector.review import BadReview, Inject, answer

LARGEST: Final = 8 * 1024 * 1024  # bytes of a review; etcd takes objects up to 1.5 MiB
BODY_SECONDS: Final = 10.0  # for a review to arrive: the API server waits for at most 30
HANDSHAKE_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 75.0  # for a head to come, and for the next one
CONNECTIONS: Final = 512  # open at a time, on each port
LAST_SECONDS: Final = 10.0  # for reviews in flight at the end


class Server:
    def __init__(
        self,
        door: Door,
        measures: Measures,
        inject: Inject,
        *,
        fail_open: bool,
        ready: Callable[[], bool],
    ) -> None:
        self._door, self._measures, self._inject = door, measures, inject
        self._fail_open = fail_open
        self._ready = ready
        self._draining = False
        hook = web.Application(client_max_size=LARGEST)
        hook.router.add_post("/inject", self._review)
        health = web.Application()
        health.router.add_get("/livez", self._livez)
        health.router.add_get("/readyz", self._readyz)
        health.router.add_get("/metrics", self._metrics)
        rules: dict[str, Any] = {"access_log": None, "keepalive_timeout": IDLE_SECONDS}
        self._hook = web.AppRunner(hook, shutdown_timeout=LAST_SECONDS, **rules)
        self._health = web.AppRunner(health, shutdown_timeout=1.0, **rules)
        self._servers: list[asyncio.Server] = []

    async def start(self, host: str | None, port: int, metrics_port: int) -> None:
        """Raises OSError, in one line that says what is in the way."""
        try:
            self.port = await self._listen(self._hook, host, port, "--port", tls=True)
            self.metrics_port = await self._listen(
                self._health, host, metrics_port, "--metrics-port", tls=False
            )
        except OSError:
            await self.stop()
            raise

    def drain(self) -> None:
        self._draining = True

    async def stop(self) -> None:
        """Answers what was asked, and asks for no more."""
        self._draining = True
        for server in self._servers:
            server.close()
        self._servers.clear()
        await self._hook.cleanup()
        await self._health.cleanup()

    async def _listen(
        self, runner: web.AppRunner, host: str | None, port: int, option: str, *, tls: bool
    ) -> int:
        await runner.setup()
        assert runner.server is not None
        rules: dict[str, Any] = (
            {"ssl": self._door.context, "ssl_handshake_timeout": HANDSHAKE_SECONDS} if tls else {}
        )
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(partial(_enter, runner.server), host, port, **rules)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                text = f"port {port} is in use; choose another with {option}"
            else:
                text = f"cannot listen on {host or 'any address'}, port {port}: {error.strerror or error}"
            raise OSError(error.errno, text) from None
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    # ---- the webhook -----------------------------------------------------------------------------

    async def _review(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()
            data, result = answer(body, self._inject, fail_open=self._fail_open)
        except TimeoutError:
            response = web.Response(status=408, text="the review did not arrive in time\n")
            response.force_close()
            return response
        except BadReview as error:
            return web.Response(status=400, text=f"{error}\n")
        self._measures.reviewed(result)
        response = web.Response(body=data, content_type="application/json")
        if self._draining:
            response.force_close()  # the next one goes to another replica
        return response

    # ---- health ----------------------------------------------------------------------------------

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._draining:
            return web.Response(status=503, text="draining\n")
        if not self._ready():
            return web.Response(status=503, text="the API server does not trust the certificate yet\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        self._measures.certificate(self._door.ends)
        return web.Response(body=self._measures.text(), headers={"Content-Type": TYPE})


def _enter(server: web.Server) -> asyncio.Protocol:
    """For a new connection, in the place of those above the bound that are busy with nothing."""
    open_ = [one for one in server.connections if one.transport and not one.transport.is_closing()]
    if len(open_) >= CONNECTIONS:
        idle = next((one for one in open_ if one._current_request is None), open_[0])  # noqa: SLF001  # nothing else tells
        if idle.transport is not None:
            idle.transport.abort()
    return server()
