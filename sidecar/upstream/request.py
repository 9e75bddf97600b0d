"""The request as it leaves: its path, its headers, its key.

One function writes the bytes, so that one place keeps three promises. Nothing in a path, a name or
a value can end a line. A credential of the application goes to the provider whose prefix it used,
or nowhere; an injected key goes to its own provider, whose host is the only one named here. And
what the application did not say is not said for it: no header is added but those that carry the
body, the key and, where an answer has to be read, the wish to get it uncompressed.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from msgspec import Struct

from sidecar.dialects.http import HTTP
from sidecar.model import (
    AuthStyle,
    Failed,
    Fault,
    Headers,
    Operation,
    Refused,
    RefusedBy,
    current,
    header,
    span_id,
)
from sidecar.routing import upstream_path

if TYPE_CHECKING:
    from sidecar.model import Call, Target

CREDENTIALS = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"x-amz-security-token",
        b"cookie",
        b"openai-organization",
        b"openai-project",
    }
)
QUERY_CREDENTIALS = frozenset({"key", "api_key", "api-key", "access_token"})
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
OURS = b"x-llm-sidecar-"
_OURS = HOP_BY_HOP | {b"host", b"content-length", b"expect"}
_TRACES = frozenset({b"traceparent", b"tracestate", b"baggage"})
_NO_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})
_LINE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+ /[\x21-\x7e]*", re.ASCII)


class Request(Struct, frozen=True):
    """Bytes ready to write; `length` of an upload is what the client announced, None: chunked."""

    head: bytes
    bodiless: bool  # the answer has no body: HEAD
    length: int | None = None


def form(call: Call, target: Target) -> Request | Refused | Failed:
    provider = target.provider
    judged = call.ask.operation is not Operation.OTHER
    own = provider.name == call.provider
    query, secret = call.query, b""
    credential = target.credential
    if credential is not None or not own:
        key = None if credential is None else credential.reveal()
        if key is None and (credential is not None or provider.dialect != HTTP.name):
            return Refused(RefusedBy.NO_CREDENTIAL, fault=Fault.AUTH, detail=f"no key for {provider.name}")
        secret = b"" if key is None else _credential(provider.auth, key)
        query = _without_credentials(query)
    trace = _trace(call) if provider.propagate_trace else b""
    dropped = _dropped(
        judged=judged, keyed=secret != b"" or not own, private=provider.private, traced=trace != b""
    )

    try:
        path = call.path if own and call.exact else upstream_path(provider, call.path, judged)
    except ValueError as exc:
        return Failed(Fault.INVALID_REQUEST, detail=str(exc))
    line = f"{call.method} {path}?{query}" if query else f"{call.method} {path}"
    if _LINE.fullmatch(line) is None:
        return Failed(
            Fault.INVALID_REQUEST, detail="the method, path or query holds what no request line may"
        )

    lines = [f"{line} HTTP/1.1\r\nhost: {_host(provider.scheme, provider.host, provider.port)}".encode()]
    lines += [b"%b: %b" % pair for pair in call.headers if pair[0].lower() not in dropped]
    if judged:
        lines.append(b"accept-encoding: identity")
    if secret:
        lines.append(secret)
    if trace:
        lines.append(trace)
    length = None
    if call.upload is not None:
        length = _announced(call.headers)
        lines.append(b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length)
    elif call.body or call.method not in _NO_BODY:
        lines.append(b"content-length: %d" % len(call.body))
    lines.append(b"\r\n")
    head = b"\r\n".join(lines)
    # the first entry holds two lines, the last one ends the head
    if not head.count(b"\n") == head.count(b"\r") == len(lines) + 1 or b"\0" in head:
        return Failed(Fault.INVALID_REQUEST, detail="a header holds a line break or a NUL")
    return Request(head, bodiless=call.method == "HEAD", length=length)


@cache
def _dropped(*, judged: bool, keyed: bool, private: bool, traced: bool) -> frozenset[bytes]:
    """Names of request headers that stay here. A public provider has no use for our traces."""
    traces = frozenset({b"traceparent"}) if traced else frozenset()
    if not private:
        traces |= _TRACES - ({b"tracestate"} if traced else set())
    return (
        _OURS
        | (frozenset({b"accept-encoding"}) if judged else frozenset())
        | (CREDENTIALS if keyed else frozenset())
        | traces
    )


def _trace(call: Call) -> bytes:
    """The trace with this attempt as its parent; nothing where we make no spans that could be one."""
    if call.sampled is None or not call.record.attempts:
        return b""
    parent = span_id(call.id, current(call).number)
    return f"traceparent: 00-{call.trace_id}-{parent}-{call.sampled:02d}".encode("ascii")


def _credential(style: AuthStyle, key: str) -> bytes:
    value = f"Bearer {key}" if style is AuthStyle.BEARER else key
    return f"{style.value}: {value}".encode()


@lru_cache(maxsize=256)
def _host(scheme: str, host: str, port: int) -> str:
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return host if port == (443 if scheme == "https" else 80) else f"{host}:{port}"


def _without_credentials(query: str) -> str:
    if "=" not in query:
        return query
    return "&".join(
        part for part in query.split("&") if unquote(part.partition("=")[0]).lower() not in QUERY_CREDENTIALS
    )


def _announced(headers: Headers) -> int | None:
    value = header(headers, b"content-length")
    return int(value) if value is not None and value.isdigit() else None
