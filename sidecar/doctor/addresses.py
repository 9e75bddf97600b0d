"""Reading the values of base URL and proxy variables, and showing them without what they may hide."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0"})  # noqa: S104  # read, not listened on
_DEFAULT = {"http": 80, "https": 443}
# what a segment of a path may be without being hidden: a word, a version, a model
_PLAIN = re.compile(r"(?!.*\d.*\d.*\d.*\d)[A-Za-z0-9._@:-]{1,32}")


@dataclass(frozen=True, slots=True)
class Address:
    scheme: str
    host: str
    port: int
    path: str  # no slash at its end

    @property
    def loopback(self) -> bool:
        return self.host in _LOOPBACK

    def shown(self) -> str:
        """Host and path; no user, no query, and no segment that may be a key."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT.get(self.scheme) else f":{self.port}"
        segments = ("..." if part and not _PLAIN.fullmatch(part) else part for part in self.path.split("/"))
        return f"{host}{port}{'/'.join(segments)}"


def read(value: str) -> Address | None:
    """None where it is no URL with a host."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT or not parts.hostname:
        return None
    return Address(parts.scheme, parts.hostname, port or _DEFAULT[parts.scheme], parts.path.rstrip("/"))


def read_proxy(value: str) -> Address | None:
    """Proxies are often written without their scheme."""
    return read(value if "://" in value else f"http://{value}")


def bypassed(host: str, no_proxy: str) -> str:
    """The entry of NO_PROXY that takes this host away from the proxy, or nothing.

    Only forms that all clients know: names, suffixes with or without a dot, `*`. A network such as
    127.0.0.0/8 is known to some clients and not to others, so it is not counted.
    """
    for entry in _entries(no_proxy):
        name = entry.lstrip("*").lstrip(".")
        if entry == "*" or host == name or (name and host.endswith("." + name)):
            return entry
    return ""


def _entries(no_proxy: str) -> Iterable[str]:
    return (entry.strip().lower().partition(":")[0] for entry in no_proxy.split(",") if entry.strip())
