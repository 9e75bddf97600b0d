"""What a client of the proxy port asks for: `CONNECT host:port`, and nothing else. Pure.

One strict grammar on the raw bytes, as for requests (http_strict): what does not match is refused with
a sentence that says what this port is for. The Host header of a CONNECT means nothing here, and neither
does any other header: where the client wants to go stands in its first line alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

HEAD_BYTES: Final = 8 * 1024
_TLS: Final = 0x16
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_HEAD: Final = re.compile(
    rb"CONNECT (\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._-]{1,253}):([0-9]{1,5}) HTTP/1\.[01]\r\n"
    rb"(?:%b++:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+\r\n" % _TOKEN
)


class Refusal(Exception):  # a word for what the client is told
    """`reason` is for machines and metrics, `message` for people: it stands in the status line, which is
    the only part of a proxy's answer that most clients show.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def answer(self) -> bytes:
        body = f"llm-sidecar: {self.message}\n".encode()
        head = (
            f"HTTP/1.1 {self.status} llm-sidecar: {self.message}\r\ncontent-type: text/plain\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\nx-llm-sidecar-reason: {self.reason}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(frozen=True, slots=True)
class Asked:
    host: str  # in lower case, without brackets and a trailing dot
    port: int

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read(data: bytes) -> Asked | None:
    """What the bytes so far ask for; None: more have to come. Raises Refusal."""
    end = data.find(b"\r\n\r\n") + 4
    if end == 3:
        if len(data) > HEAD_BYTES:
            raise Refusal(431, "too_large", f"the request's head is larger than {HEAD_BYTES} bytes")
        if data[:1] and data[0] == _TLS:
            raise Refusal(400, "malformed", "this proxy speaks plain HTTP: write http:// in HTTPS_PROXY")
        if not b"CONNECT ".startswith(data[:8]):
            raise _other(data)
        return None
    match = _HEAD.fullmatch(data[:end])
    if end > HEAD_BYTES:
        raise Refusal(431, "too_large", f"the request's head is larger than {HEAD_BYTES} bytes")
    if match is None:
        raise _other(data)
    if len(data) > end:
        raise Refusal(400, "malformed", "bytes came behind CONNECT before it was answered")
    host, port = match[1].decode("ascii").lower(), int(match[2])
    if not 0 < port < 65536:
        raise Refusal(400, "malformed", "CONNECT needs a port from 1 to 65535")
    return Asked(_plain(host), port)


def _plain(host: str) -> str:
    if not host.startswith("["):
        return host.removesuffix(".")
    try:
        return str(IPv6Address(host[1:-1]))
    except ValueError:
        raise Refusal(400, "malformed", "CONNECT names an address that is none") from None


def _other(data: bytes) -> Refusal:
    line = data.partition(b"\r\n")[0]
    if line.startswith(b"CONNECT "):
        return Refusal(400, "malformed", "the CONNECT request is malformed")
    if re.match(rb"%b+ http://" % _TOKEN, line):
        return Refusal(405, "method", "plain http goes past this proxy: set HTTPS_PROXY only, not HTTP_PROXY")
    return Refusal(405, "method", "this port is an HTTPS proxy: set HTTPS_PROXY to it, no base URL")
