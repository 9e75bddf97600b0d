"""What was seen, and what is found: values that cross between looking, judging and reporting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.doctor.clients import BASE_VARIABLES, PROXY_VARIABLES, TRUST_VARIABLES, Language

_KEPT = BASE_VARIABLES | PROXY_VARIABLES | TRUST_VARIABLES | {"NODE_USE_ENV_PROXY", "JAVA_TOOL_OPTIONS"}


class Level(StrEnum):
    OK = "ok"
    ATTENTION = "attention"  # works, or cannot be known: somebody should look
    BROKEN = "broken"  # calls fail, or go past the sidecar


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    subject: str
    said: str
    do: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Installed:
    language: Language
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Application:
    """One place that makes calls: an environment, and the clients that were found with it."""

    name: str
    environ: Mapping[str, str]  # only what `kept` keeps
    clients: tuple[Installed, ...] = ()
    node: str = ""  # version of its Node, where that is known
    unreadable: frozenset[str] = frozenset()  # trust variables whose file is not there or not readable


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """Where the sidecar should be and what it would take."""

    port: int = 4000
    admin_port: int = 9901
    capture: bool = False
    capture_port: int = 4001
    providers: Mapping[str, str] = field(default_factory=dict)  # name -> dialect
    hosts: frozenset[str] = frozenset()  # of the providers


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the two ports said. None: nobody answered."""

    data: bool | None = None  # False: something that is no sidecar listens there
    started: bool | None = None
    ready: bool | None = None
    why: str = ""  # not ready
    version: str = ""
    bypass: bool = False
    in_flight: int = 0
    capture: bool | None = None  # somebody listens on the port of interception; None: it is not wanted


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a provider was reached: `step` and `trouble` say where it ended, empty where it did not."""

    provider: str
    host: str
    step: str = ""  # dns, address, tcp, proxy, tls, file
    trouble: str = ""


def kept(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are judged; none of them is a key, and nothing else is remembered."""
    return {name: value.strip() for name, value in environ.items() if name in _KEPT and value.strip()}
