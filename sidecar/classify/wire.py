"""Failures that have no answer, or half of one: what broke on the way, by what was said of it.

The upstream knows these from exceptions and its own limits and needs no words; the words are for
answers that somebody recorded, and for meshes that put them into a 503.
"""

from __future__ import annotations

import re

from sidecar.model import Fault


def _says(fault: Fault, pattern: str) -> tuple[Fault, re.Pattern[str]]:
    return fault, re.compile(pattern)


_TRANSPORT = (
    _says(
        Fault.CLIENT_CANCELLED,
        r"\b(?:client|caller|user|downstream)\b.{0,40}\b(?:cancel|disconnect|abort|clos|left|gone|hung up"
        r"|went away)|cancel",
    ),
    _says(
        Fault.LOCAL_OVERLOAD,
        r"too many open files|emfile|pool (?:timeout|exhausted|is full)|pooltimeout|no local|memory limit"
        r"|ephemeral port|address not available",
    ),
    # nothing was sent yet: a slow connect or handshake is the network's
    _says(
        Fault.NETWORK,
        r"connect(?:ion|ing)?[ _-]?(?:attempt )?(?:phase )?time(?:d ?out|out)|timed? ?out (?:while "
        r"|during |in |on )?connect|handshake time(?:d ?out|out)|etimedout|timed? ?out.{0,20}\b(?:dns"
        r"|resol)|\b(?:dns|resol\w*)\b.{0,30}time",
    ),
    _says(
        Fault.TLS,
        r"certificate|\btls\b|\bssl\b|hostname mismatch|handshake|x509|self[- ]signed"
        r"|unable to get local issuer",
    ),
    _says(
        Fault.TTFT_TIMEOUT,
        r"first[ _-](?:token|content|chunk|event|delta)|\bttft\b|time to first|only (?:keep-?alives?"
        r"|pings|comments)",
    ),
    _says(
        Fault.STREAM_STALL,
        r"\bstall|\bidle\b|between (?:chunks|events|tokens)|no (?:data|chunk|event|bytes?|token)s? (?:for"
        r"|within|in) |\bgap\b|silence|silent (?:mid|after)",
    ),
    _says(
        Fault.MALFORMED_CHUNK,
        r"malformed|unparsable|invalid (?:json|chunk|utf|event)|parse error|decod(?:e|ing) error"
        r"|bad chunk",
    ),
    _says(
        Fault.STREAM_CUT,
        r"incomplete|premature|truncated|mid[- ]?(?:stream|body|response|output|answer)|content-length"
        r"|transferencoding|payload|unexpected eof|(?:after|during) (?:the )?(?:headers|first|some|\d+"
        r"|body|stream|partial)|before (?:the )?(?:end|terminal|message_stop|done|finish)"
        r"|without (?:\[done\]|finish|message_stop|sentinel)|ended early",
    ),
    _says(
        Fault.TIMEOUT,
        r"time[ds]?[ -]?out|deadline|no (?:response|answer|reply|headers|bytes)\b.{0,30}\bwithin"
        r"|took too long|exceeded .{0,20}seconds",
    ),
)
_MESH = (
    _says(
        Fault.LOCAL_OVERLOAD,
        r"reset reason: overflow|circuit breaker|upstream_rq_pending_overflow|local_rate_limited"
        r"|load shed|overload manager|envoy overloaded",
    ),
    _says(
        Fault.TIMEOUT,
        r"^(?:upstream request timeout|stream timeout|upstream response timeout|gateway timeout)"
        r"|response timeout$",
    ),
    _says(Fault.TLS, r"tls_error|tls error|certificate verify failed"),
    _says(
        Fault.NETWORK,
        r"upstream connect error|disconnect/reset before headers|no healthy upstream"
        r"|connection (?:refused|reset|termination|timed? ?out|failure)|delayed connect error"
        r"|remote reset|local reset|no route to host|cluster not found|no cluster|failed to connect"
        r"|dns (?:resolution|failure)|name resolution|client error \(connect\)"
        r"|logical service .{0,80}(?:unavailable|endpoint)",
    ),
)
_BEFORE = re.compile(r"before|first|role only|nothing|no content|message_start")
_OVER = re.compile(r"terminal|complete|finish|after (?:the )?(?:last|stop)|\[done\] missing")


def transport(said: str) -> Fault:
    """The class of a failure without any answer. What nobody knows is the network's."""
    said = said[:1000].lower()
    return next((fault for fault, pattern in _TRANSPORT if pattern.search(said)), Fault.NETWORK)


def mesh(text: str) -> Fault | None:
    """A proxy on the way speaking in plain text, in the provider's place."""
    return next((fault for fault, pattern in _MESH if pattern.search(text)), None)


def broken_off(event: str, position: str) -> Fault | None:
    """The class of a stream's end by what ended it and where; None: an event to be read."""
    event, position = event.lower(), position.lower()
    over = bool(_OVER.search(position)) and not _BEFORE.search(position)
    if event in {"comment", "ping", "keepalive", "keep-alive", "heartbeat"}:
        return Fault.KEEPALIVE
    if event in {"stall", "silence", "idle", "timeout", "hang", "gap", "no_data"}:
        return (
            Fault.TTFT_TIMEOUT
            if _BEFORE.search(position)
            else Fault.OK_NO_DONE
            if over
            else Fault.STREAM_STALL
        )
    if event in {
        "eof",
        "fin",
        "close",
        "closed",
        "reset",
        "rst",
        "cut",
        "abort",
        "disconnect",
        "connection_reset",
        "end",
    }:
        return Fault.OK_NO_DONE if over else Fault.STREAM_CUT
    if event in {"cancel", "client_cancel", "client_disconnect", "client_close"}:
        return Fault.CLIENT_CANCELLED
    if event in {"malformed", "garbage", "invalid_json", "parse_error"}:
        return Fault.MALFORMED_CHUNK
    return None
