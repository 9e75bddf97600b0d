"""What request and answer headers mean here, and which of them go on. Pure.

Hop-by-hop headers end here in both directions, with all that a Connection header names, except the
names on a list: `Connection: authorization` must not strip a key (T8). What is addressed to us,
x-llm-sidecar-*, ends here too, obeyed or not (R13a). Everything else goes on as it came: order,
case, duplicates.

The deadline (R6). A configured route: the request's own wish, else the route's, else its traffic
class's; a route nobody configured: 300 s. In both cases at most 0.9 of the SDK's timeout, so that
the application hears from us and not from its own timer.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from math import inf, isfinite
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from sidecar.listener.http_strict import RequestError
from sidecar.model import Headers, Options, Traffic
from sidecar.settings import Deadlines, Listen, RequestHeaders, Route

SDK_SHARE = 0.9
LONGEST_DEADLINE = 3600.0
LONGEST_RETRY_AFTER = 60.0  # seconds; some SDKs obey any, some ignore it above and hammer

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
PROTECTED = frozenset(
    (
        b"accept",
        b"accept-encoding",
        b"anthropic-beta",
        b"anthropic-version",
        b"api-key",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"cookie",
        b"host",
        b"idempotency-key",
        b"openai-organization",
        b"openai-project",
        b"traceparent",
        b"user-agent",
        b"x-api-key",
        b"x-goog-api-key",
    )
)
CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"))
OURS = b"x-llm-sidecar-"

_TIMEOUTS = frozenset((b"x-server-timeout", b"x-stainless-read-timeout", b"x-stainless-timeout"))

_READ = (
    CREDENTIALS
    | HOP_BY_HOP
    | _TIMEOUTS
    | {
        b"content-encoding",
        b"content-length",
        b"expect",
        b"host",
        b"idempotency-key",
        b"origin",
        b"traceparent",
        b"x-stainless-retry-count",
    }
)
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SWITCHES = {b"off": False, b"on": True}
_DEFER = frozenset((b"", b"on", b"off", b"always"))


class Intake(Struct, frozen=True):
    """A request's headers, sorted: those that go on, and what the others said."""

    kept: Headers
    said: dict[bytes, bytes]  # first value by lower-case name, of the names that mean something here
    ours: dict[bytes, bytes]  # x-llm-sidecar-*, without the prefix

    def get(self, name: bytes) -> bytes:
        return self.said.get(name, b"")


def intake(raw: Headers) -> Intake:
    kept: list[tuple[bytes, bytes]] = []
    said: dict[bytes, bytes] = {}
    ours: dict[bytes, bytes] = {}
    named: frozenset[bytes] = frozenset()
    for pair in raw:
        lower, kind = _KINDS.get(pair[0]) or _kind(pair[0])
        if kind == _PLAIN:
            kept.append(pair)
        elif kind == _SAID:
            said.setdefault(lower, pair[1])
            kept.append(pair)
        elif kind == _OURS:
            ours.setdefault(lower[len(OURS) :], pair[1].strip())
        elif kind == _CONNECTION:
            named |= _named(pair[1])
        else:
            said.setdefault(lower, pair[1])
    if named:
        kept = [pair for pair in kept if pair[0].lower() not in named]
    return Intake(tuple(kept), said, ours)


def outgoing(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers of a provider's answer that go to the client."""
    kept: list[tuple[bytes, bytes]] = []
    named: frozenset[bytes] = frozenset()
    for pair in headers:
        _, kind = _KINDS.get(pair[0]) or _kind(pair[0])
        if kind == _CONNECTION:
            named |= _named(pair[1])
        elif kind != _ENDS or pair[0].lower() not in HOP_BY_HOP:
            kept.append(pair)
    return [pair for pair in kept if pair[0].lower() not in named] if named else kept


# Names as they were sent -> (lower case, what they mean here). The same few come again and again.
_PLAIN, _SAID, _OURS, _CONNECTION, _ENDS = range(5)
_KINDS: dict[bytes, tuple[bytes, int]] = {}
_KINDS_MOST = 512
_KINDS_LONGEST = 64  # bytes of a name that is remembered; longer ones are rare, and would fill the memory
_NOTHING: frozenset[bytes] = frozenset()


def _kind(name: bytes) -> tuple[bytes, int]:
    lower = name.lower()
    if lower == b"connection":
        kind = _CONNECTION
    elif lower in HOP_BY_HOP or lower == b"expect":
        kind = _ENDS
    elif lower in _READ:
        kind = _SAID
    else:
        kind = _OURS if lower.startswith(OURS) else _PLAIN
    if len(name) <= _KINDS_LONGEST:
        if len(_KINDS) >= _KINDS_MOST:
            _KINDS.clear()  # somebody makes names up; the usual ones are back in a moment
        _KINDS[name] = lower, kind
    return lower, kind


def _named(connection: bytes) -> frozenset[bytes]:
    if connection in {b"keep-alive", b"close"}:
        return _NOTHING
    return frozenset(part.strip().lower() for part in connection.split(b",")) - PROTECTED


# ---- who may ask, and for what -------------------------------------------------------------


def host_name(host: bytes) -> str:
    """The name in a Host header, without its port; "" where it is malformed."""
    match = re.fullmatch(rb"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::[0-9]{1,5})?", host.strip())
    return match[1].decode("ascii").lower() if match else ""


def check_sender(said: Intake, names: frozenset[str], listen: Listen) -> None:
    """Against pages in a browser on the same machine (T2). Raises RequestError."""
    host = said.get(b"host")
    if host.decode("latin-1") not in names and host_name(host) not in names:
        raise RequestError(
            421,
            "host_not_served",
            "the Host header names a host this sidecar does not serve; add it to listen.names if it should",
        )
    origin = said.said.get(b"origin")
    if origin is not None and origin.decode("latin-1") not in listen.origins:
        raise RequestError(
            403,
            "origin_not_allowed",
            "requests from web pages are refused; add the Origin to listen.origins if this one is wanted",
        )


def check_host(said: Intake, host: str) -> None:
    """Of a captured request: it may name only the host that its connection was opened to (T5). Pages in a
    browser need no check here: they cannot open such a connection. Raises RequestError.
    """
    given = said.get(b"host").strip().lower()
    if given.removesuffix(b":443").removesuffix(b".") != host.encode():
        raise RequestError(
            421, "host_mismatch", "the Host header names another host than the connection was opened to"
        )


_STRAYING = re.compile(rb"(?:^|[/\\])\.{1,2}(?:$|[/\\;])|[\x00-\x1f\x7f\\]")


def check_path(path: str) -> None:
    """No way out of a provider's path, however it is written. Raises RequestError."""
    if "%" not in path and "/." not in path and "\\" not in path:
        return
    if _STRAYING.search(unquote_to_bytes(path)):
        raise RequestError(
            400, "bad_path", "the path contains dot segments, backslashes or control characters"
        )


# ---- what the request's own headers change ---------------------------------------------------


class Wishes(Struct, frozen=True):
    """What x-llm-sidecar-* asked for, where configuration lets it."""

    route: str | None = None
    options: Options = Options()
    deadline: float | None = None
    traffic: Traffic | None = None
    unknown: tuple[str, ...] = ()  # names that are none of ours, and plain ones only


KNOWN = frozenset({
    b"cache", b"class", b"deadline", b"defer", b"drill", b"fallback", b"retry", b"route", b"tenant", b"token",
    b"webhook",
})  # fmt: skip
_PLAIN_NAME = re.compile(rb"[a-z0-9_-]{1,40}")
_TOLD = 4  # unknown names that a client is told of
_NO_WISHES = Wishes()


def wishes(ours: dict[bytes, bytes], allowed: RequestHeaders) -> Wishes:
    """Raises RequestError for a value that cannot be meant: silence would hide the mistake."""
    if not ours:
        return _NO_WISHES
    route = ours.get(b"route", b"") if allowed.route else b""
    deadline = ours.get(b"deadline") if allowed.deadline else None
    traffic = ours.get(b"class") if allowed.traffic else None
    seconds = None if deadline is None else _seconds(deadline)
    if deadline is not None and seconds is None:
        raise _bad("deadline", "a number of seconds above 0")
    if traffic is not None and traffic not in {b"interactive", b"background"}:
        raise _bad("class", "interactive or background")
    others = ours.keys() - KNOWN
    defer = ours.get(b"defer", b"") if allowed.defer else b""
    if defer not in _DEFER:
        raise _bad("defer", "on, off or always")
    return Wishes(
        route=route.decode("latin-1") or None,
        options=Options(
            fallback=not allowed.fallback or _switch(ours, "fallback"),
            retry=not allowed.retry or _switch(ours, "retry"),
            cache=not allowed.cache or _switch(ours, "cache"),
            tenant=ours.get(b"tenant", b"").decode("latin-1"),
            defer=defer.decode(),
            webhook=ours.get(b"webhook", b"").decode("latin-1") if allowed.webhook else "",
        ),
        deadline=None if seconds is None else min(seconds, LONGEST_DEADLINE),
        traffic=None if traffic is None else Traffic(traffic.decode()),
        unknown=_unknown(others) if others else (),
    )


def _unknown(names: set[bytes]) -> tuple[str, ...]:
    return tuple(name.decode() for name in sorted(names) if _PLAIN_NAME.fullmatch(name))[:_TOLD]


def _switch(ours: dict[bytes, bytes], name: str) -> bool:
    value = _SWITCHES.get(ours.get(name.encode(), b"on").lower())
    if value is None:
        raise _bad(name, "on or off")
    return value


def _bad(name: str, expected: str) -> RequestError:
    return RequestError(400, "bad_sidecar_header", f"the header x-llm-sidecar-{name} must be {expected}")


def _seconds(value: bytes) -> float | None:
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if isfinite(seconds) and seconds > 0 else None


class Times(Struct, frozen=True):
    """How long a call may wait, in seconds from its arrival, and how long in silence."""

    deadline: float
    patience: float
    traffic: Traffic


def times(said: Intake, wish: Wishes, route: Route, rules: Deadlines) -> Times:
    """R6, for one call."""
    read = sdk = None
    if not _TIMEOUTS.isdisjoint(said.said):
        read = _seconds(said.get(b"x-stainless-read-timeout"))
        sdk = read or _seconds(said.get(b"x-stainless-timeout")) or _seconds(said.get(b"x-server-timeout"))
    traffic = wish.traffic or route.traffic
    by_class = rules.background if traffic is Traffic.BACKGROUND else rules.interactive
    if wish.deadline is not None:
        own = wish.deadline
    elif route.implicit:
        own = inf if sdk else rules.unconfigured
    elif route.deadline is not None and traffic is route.traffic:
        own = route.deadline
    else:
        own = by_class
    return Times(
        deadline=min(own, SDK_SHARE * sdk) if sdk else own,
        patience=SDK_SHARE * read if read else inf,
        traffic=traffic,
    )


def key_digest(said: Intake) -> str:
    """Which key the application used: enough to tell two apart, useless to find either."""
    keys = [said.said[name] for name in said.said if name in CREDENTIALS]
    return blake2b(b"\0".join(keys), digest_size=4).hexdigest() if keys else ""


def trace_context(said: Intake) -> tuple[str, str, bool | None]:
    """The W3C trace the application is in, its span, and whether it is sampled; blanks if it says nothing
    valid.
    """
    value = said.said.get(b"traceparent")
    match = _TRACEPARENT.fullmatch(value) if value else None
    if match is None:
        return "", "", None
    return match[1].decode(), match[2].decode(), bool(int(match[3], 16) & 1)


def retry_count(said: Intake) -> int:
    """How often the SDK has retried this call already."""
    value = said.said.get(b"x-stainless-retry-count")
    return int(value) if value is not None and value.isdigit() and len(value) < 4 else 0


# ---- what an error answer may say about retrying ---------------------------------------------


def tame(headers: list[tuple[bytes, bytes]], wall: float) -> list[tuple[bytes, bytes]]:
    """A Retry-After above 60 s is kept for people, under our own name, but not for SDKs (R8)."""
    tamed: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        lower = name.lower()
        if lower in {b"retry-after", b"retry-after-ms"} and not _bearable(lower, value, wall):
            tamed.append((b"x-llm-sidecar-upstream-" + lower, value))
        else:
            tamed.append((name, value))
    return tamed


def _bearable(name: bytes, value: bytes, wall: float) -> bool:
    try:
        wait = float(value)
    except ValueError:
        try:
            wait = parsedate_to_datetime(value.decode("latin-1")).timestamp() - wall
        except ValueError:
            return False
    else:
        if name == b"retry-after-ms":
            wait /= 1000
    return isfinite(wait) and wait <= LONGEST_RETRY_AFTER
