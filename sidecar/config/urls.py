"""A provider's url to the parts a Provider needs; what could send bytes astray is refused.

An address that is not public has to be declared `private: true` (T5), and so does plain http, which
would show the key to whoever listens. Metadata services of clouds are never an upstream.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

VERSION: Final = re.compile(r"v\d+\w*")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")  # "127.1", "0x7f000001": addresses to a resolver
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~@:+-]+)*/?")
_METADATA: Final = frozenset({
    "169.254.169.254", "fd00:ec2::254", "100.100.100.200", "169.254.170.2", "169.254.170.23",
    "metadata", "metadata.google.internal",
})  # fmt: skip


class BadUrl(Exception):  # like BadBody
    """`message` says what was wrong and what was expected; it never quotes a credential."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Origin:
    scheme: str
    host: str  # without brackets
    port: int
    base_path: str = ""  # without the version segment and a trailing slash
    version: str = ""


def parse_url(url: str, *, private: bool = False) -> Origin:
    """Raises BadUrl."""
    parts, host, port = _split(url)
    _check_host(host, private=private)
    if parts.scheme == "http" and not private:
        raise BadUrl(
            "plain http would send the key unencrypted; use https, or private: true for a host of your own"
        )
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or any(part in {".", ".."} for part in path.split("/")):
        raise BadUrl("the path of a url is made of plain segments, such as /openai/v1")
    head, _, last = path.rpartition("/")
    version = last if VERSION.fullmatch(last) else ""
    return Origin(parts.scheme, host, port, head if version else path, version)


def check_proxy(url: str) -> None:
    """A proxy is an origin and nothing else. Raises BadUrl."""
    parts, host, _ = _split(url)
    if parts.path not in {"", "/"}:
        raise BadUrl("a proxy is scheme, host and port, such as http://proxy.example.com:3128")
    _check_host(host, private=True)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _split(url: str) -> tuple[_Parts, str, int]:
    if not url.isascii() or not url.isprintable() or re.search(r"[\s\\]", url):
        raise BadUrl("a url has no blanks, no backslashes and only ASCII")
    try:
        split = urlsplit(url)
        port = split.port
        host = (split.hostname or "").lower()
    except ValueError:
        raise BadUrl("this is no url; expected one such as https://api.example.com/v1") from None
    if split.scheme not in {"http", "https"} or not host:
        raise BadUrl("expected a url such as https://api.example.com/v1")
    if "@" in split.netloc:
        raise BadUrl("a url carries no user and no password; use `key` for credentials")
    if "?" in url or "#" in url:
        raise BadUrl("a url has no query and no fragment here")
    if port == 0 or split.netloc.endswith(":"):
        raise BadUrl("the port is missing or 0")
    return _Parts(split.scheme, split.path), host, port or (443 if split.scheme == "https" else 80)


@dataclass(frozen=True, slots=True)
class _Parts:
    scheme: str
    path: str


def _check_host(host: str, *, private: bool) -> None:
    if host.rstrip(".") in _METADATA:
        raise BadUrl("this is a metadata service, never a provider")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        if not all(_LABEL.fullmatch(label) for label in labels) or _NUMBER.fullmatch(labels[-1]):
            raise BadUrl("the host is neither a name nor an address in its usual form") from None
        if is_loopback(host.rstrip(".")) and not private:
            raise BadUrl("this is the pod itself; declare private: true if that is meant") from None
        return
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise BadUrl("an address with a zone is not read")
        address = address.ipv4_mapped or address
    if str(address) in _METADATA:
        raise BadUrl("this is a metadata service, never a provider")
    if address.is_multicast or address.is_unspecified:
        raise BadUrl("this address cannot be a provider's")
    if not address.is_global and not private:
        raise BadUrl(
            "this address is loopback, link-local or private; declare private: true if that is meant"
        )
