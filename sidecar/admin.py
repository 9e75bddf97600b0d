"""The port for operators: health, metrics, a look inside, and five verbs.

Who may do what. From anywhere: GET of /livez, /readyz, /startupz and /metrics, which say nothing
of any request. From loopback only: /stack, /breakers, /signals and /status, and / which is the last
one as a page. Verbs also need the token of `admin.token`; where none is configured they need a header
that no web page can send unasked, so that a browser on the same machine cannot be talked into one. For
the same reason everything but the four looks at Host and refuses any Origin: a name that was rebound
to 127.0.0.1 is still not ours. The page alone may be asked for by a browser, by somebody who typed its
address or by itself.

Health says only what restarting or waiting could mend. /livez is about our event loop, /readyz
about starting and draining; neither ever depends on a provider.
"""

from __future__ import annotations

import errno
import hmac
import ipaddress
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from aiohttp import web

from sidecar import glance
from sidecar.secret import Secret
from sidecar.settings import Settings

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override  # aiohttp depends on it there

PUBLIC = ("/livez", "/readyz", "/startupz", "/metrics")
LOOKS = ("/", "/stack", "/breakers", "/signals", "/status")
VERBS = ("/breakers/{key}/{open|closed|auto}", "/drain", "/bypass/{on|off}")
LIVE_SECONDS = 10.0
IDLE_SECONDS = 30.0  # for a head to come, and for the next one
CONNECTIONS = 64  # open at a time
_HOSTS = ("127.0.0.1", "localhost", "[::1]")


class AdminView(Protocol):
    """What the admin port may see and do; the application implements it."""

    @property
    def settings(self) -> Settings: ...
    @property
    def started(self) -> bool: ...
    @property
    def ready(self) -> bool: ...  # started and not draining
    @property
    def heartbeat_age(self) -> float: ...  # seconds since the event loop's pulse
    @property
    def in_flight(self) -> int: ...
    @property
    def bypass(self) -> bool: ...

    def set_bypass(self, on: bool, /) -> None: ...
    def metrics(self, accept: str, /) -> tuple[bytes, str]: ...
    def stack_text(self) -> str: ...
    def breakers(self) -> list[dict[str, Any]]: ...
    def signals(self) -> list[dict[str, Any]]: ...
    def force(self, key: str, state: str, /) -> bool: ...  # False: there is no such breaker
    def drain(self) -> None: ...
    def status(self) -> dict[str, Any]: ...  # what status.Status remembers


def is_loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class _Server(web.Server):
    """Where there are too many connections the oldest one goes: whoever fills the port with idle
    ones, or reads no answers, must not keep the kubelet from asking whether we live."""

    @override
    def __call__(self) -> web.RequestHandler:
        for oldest in self.connections[: 1 - CONNECTIONS]:
            if oldest.transport is not None:
                oldest.transport.abort()
        return super().__call__()


class Admin:
    def __init__(self, *, view: AdminView, is_local: Callable[[str], bool] = is_loopback) -> None:
        self._view = view
        self._is_local = is_local
        self._runner: web.ServerRunner | None = None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [] if self._runner is None else [(a[0], a[1]) for a in self._runner.addresses]

    async def start(self) -> None:
        """Listens, or raises an OSError that says in one line what is in the way."""
        rules = self._view.settings.admin
        server = _Server(self._handle, access_log=None, keepalive_timeout=IDLE_SECONDS)
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        missing: OSError | None = None
        for host in rules.hosts:
            try:
                await web.TCPSite(self._runner, host, rules.port).start()
            except OSError as error:
                if error.errno in (None, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    missing = error  # a machine without IPv6, or without IPv4
                    continue
                await self.stop()
                raise _cannot_listen(error, host, rules.port) from None
        if missing is not None and not self._runner.addresses:
            await self.stop()
            raise _cannot_listen(missing, ", ".join(rules.hosts), rules.port) from None

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # ---- who is asking -------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path in PUBLIC:
            return self._public(request) if request.method == "GET" else _not_allowed("GET")
        refusal = self._stranger(request)
        if refusal is not None:
            return refusal
        if path in LOOKS:
            return self._look(path) if request.method == "GET" else _not_allowed("GET")
        return self._verb(request)

    def _stranger(self, request: web.BaseRequest) -> web.Response | None:
        peername = request.transport.get_extra_info("peername") if request.transport is not None else None
        if not peername or not self._is_local(str(peername[0])):
            return _error(403, "only from loopback", f"from elsewhere: GET {', '.join(PUBLIC)}")
        if len(request.headers.getall("Host", ())) != 1 or _host(request.headers["Host"]) not in _HOSTS:
            return _error(403, "Host is not ours", f"ask for one of {', '.join(_HOSTS)}")
        site = request.headers.get("Sec-Fetch-Site")
        page = request.path == "/" and request.method == "GET" and site in {"none", "same-origin"}
        if "Origin" in request.headers or (site is not None and not page):
            return _error(403, "not for web pages", "use a command-line client")
        return None

    def _unauthorized(self, request: web.BaseRequest) -> web.Response | None:
        path = self._view.settings.admin.token
        if path is None:
            if request.headers.get("x-llm-sidecar-admin") == "yes":
                return None
            return _error(403, "header missing", "without admin.token verbs need `x-llm-sidecar-admin: yes`")
        secret = Secret("file", path)  # read each time: a rotated token holds at once
        token = secret.reveal()
        if token is None or not token.strip():
            return _error(503, "no token to compare with", f"admin.token: {secret.trouble or 'empty'}")
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        sent = given.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() == "bearer" and hmac.compare_digest(sent, token.strip().encode()):
            return None
        hint = "send `authorization: Bearer` with the content of the file of admin.token"
        return _error(401, "token missing or wrong", hint)

    # ---- what is answered ----------------------------------------------------------------------

    def _public(self, request: web.BaseRequest) -> web.Response:
        view = self._view
        match request.path:
            case "/livez":
                age = view.heartbeat_age
                return _health(age <= LIVE_SECONDS, f"the event loop's last pulse was {age:.1f} s ago")
            case "/readyz":
                return _health(view.ready, "draining" if view.started else "starting")
            case "/startupz":
                return _health(view.started, "starting")
            case _:
                body, content_type = view.metrics(request.headers.get("Accept", ""))
                return web.Response(body=body, headers={"Content-Type": content_type})

    def _look(self, path: str) -> web.Response:
        view = self._view
        match path:
            case "/":
                return _page(glance.page(self._status()))
            case "/stack":
                return web.Response(text=view.stack_text())
            case "/breakers":
                return _json(200, {"breakers": view.breakers()})
            case "/signals":
                return _json(200, {"signals": view.signals()})
            case _:
                return _json(200, self._status())

    def _status(self) -> dict[str, Any]:
        view = self._view
        ours = {"ready": view.ready, "bypass": view.bypass, "in_flight": view.in_flight}
        return {**ours, "breakers": view.breakers(), **view.status()}

    def _verb(self, request: web.BaseRequest) -> web.Response:
        act = self._verb_of(request.path)
        if act is None:
            known = [f"GET {p}" for p in (*PUBLIC, *LOOKS)] + [f"POST {p}" for p in VERBS]
            return _error(404, "no such page", ", ".join(known))
        if request.method != "POST":
            return _not_allowed("POST")
        refusal = self._unauthorized(request)
        return act() if refusal is None else refusal

    def _verb_of(self, path: str) -> Callable[[], web.Response] | None:
        match path.split("/")[1:]:
            case ["breakers", *key, ("open" | "closed" | "auto") as state] if key:
                return partial(self._force, "/".join(key), state)  # a model's name may hold slashes
            case ["drain"]:
                return self._drain
            case ["bypass", ("on" | "off") as switch]:
                return partial(self._bypass, on=switch == "on")
            case _:
                return None

    def _force(self, key: str, state: str) -> web.Response:
        if self._view.force(key, state):
            return _json(200, {"breaker": key, "forced": state})
        known = ", ".join(str(breaker.get("key", "")) for breaker in self._view.breakers()[:20])
        return _error(404, "no such breaker", f"known: {known or 'none yet'}")

    def _drain(self) -> web.Response:
        self._view.drain()
        return _json(202, {"draining": True, "in_flight": self._view.in_flight})

    def _bypass(self, *, on: bool) -> web.Response:
        self._view.set_bypass(on)
        return _json(200, {"bypass": on})


def _host(value: str) -> str:
    """The name in a Host header, without its port."""
    if value.startswith("["):
        return value.partition("]")[0] + "]"
    return value.partition(":")[0].lower()


def _json(status: int, value: object) -> web.Response:
    return web.Response(
        status=status,
        text=json.dumps(value) + "\n",
        headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
    )


def _page(html: str) -> web.Response:
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Content-Security-Policy": glance.POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(text=html, headers=headers)


def _health(good: bool, why: str) -> web.Response:
    return _json(200, {"ok": True}) if good else _json(503, {"ok": False, "reason": why})


def _error(status: int, error: str, hint: str) -> web.Response:
    return _json(status, {"error": error, "hint": hint})


def _not_allowed(method: str) -> web.Response:
    response = _error(405, "wrong method", f"use {method}")
    response.headers["Allow"] = method
    return response


def _cannot_listen(error: OSError, host: str, port: int) -> OSError:
    number = error.errno or errno.EADDRNOTAVAIL
    if number == errno.EADDRINUSE:
        why = "the port is in use; stop what listens there or set admin.port"
    else:
        why = os.strerror(number)
    return OSError(number, f"admin port {port} on {host}: {why}")
