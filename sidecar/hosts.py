"""Whose host is whose: the names that interception answers for, and the provider behind each.

A well-known vendor's own host belongs to the provider of that name, wherever its url leads: who moved
`openai` to a gateway wants the calls to api.openai.com there too. Every other host of a configured url
belongs to its provider, the first by name where several share it. `capture.hosts` has the last word.
Only names on port 443 are taken: an address has no certificate that a client would ask for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from sidecar.settings import Settings
from sidecar.vendors import VENDORS

HOST: Final = re.compile(r"(?=.{1,253}\Z)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)+(?!-)[a-z][a-z0-9-]{0,62}(?<!-)")
_VERSION: Final = re.compile(r"/v\d+\w*\Z")


def captured(settings: Settings) -> Mapping[str, str]:
    """Hosts in lower case, each with the name of its provider."""
    found: dict[str, str] = {}
    if not settings.capture.only_hosts:
        found |= {host: name for name, host in _vendors().items() if name in settings.providers}
        for name, provider in sorted(settings.providers.items()):
            if provider.scheme == "https" and provider.port == 443 and HOST.fullmatch(provider.host):
                found.setdefault(provider.host, name)
    for host, name in settings.capture.hosts.items():
        found[host.lower()] = name
    return {host: name for host, name in found.items() if name in settings.providers}


def base_of(host: str) -> str:
    """The path of the vendor's url on its own host, without the version: "/openai" at groq's."""
    return next((_VERSION.sub("", urlsplit(row.url).path) for row in VENDORS.values()
                 if row.url and urlsplit(row.url).hostname == host), "")  # fmt: skip


@cache
def _vendors() -> Mapping[str, str]:
    return {row.name: urlsplit(row.url).hostname or "" for row in VENDORS.values() if row.url}
