"""What the pod says: LLM_SIDECAR_* variables, and how a configuration is read in their light.

A container that a webhook or a chart made has no file of its own: the configuration may be a text in a
variable, ports and grace are the pod's, and an application that had a gateway of its own brings its
address along. All of it is laid over the configuration as it was written, before anything is built
from it, so the rules for what is given here are those of the file. The command line wins over the
variables, the variables over the configuration; only `state_dir` asks the configuration first.

A wrong value stops the start, with the variable's name; but not a wrong upstream. That one is the
application's own word, often read from a Secret that no webhook could look into, and a pod that starts
with its provider's configured url is better than one that does not start: it is told, and left out.
Kubernetes itself writes variables about
Services into a pod: one named llm-sidecar makes LLM_SIDECAR_PORT=tcp://..., which is no word to us.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from sidecar import config
from sidecar.config.convert import parse_duration
from sidecar.config.problems import Problems, nearest, quote
from sidecar.config.urls import BadUrl, is_loopback, parse_url
from sidecar.settings import Settings
from sidecar.vendors import VENDORS

T = TypeVar("T")

UPSTREAM: Final = "LLM_SIDECAR_UPSTREAM_"
CGROUP: Final = Path("/sys/fs/cgroup")
_LEVELS: Final = ("debug", "info", "warning", "error")
_MODES: Final = ("open", "closed")
_LONGEST: Final = 86400.0

# What `run --help` and docs/operations.md print; a test compares.
VARIABLES: Final[Mapping[str, str]] = {
    "LLM_SIDECAR_CONFIG": "path of the configuration, where --config is not given",
    "LLM_SIDECAR_CONFIG_TEXT": "the configuration itself, where no path is given",
    "LLM_SIDECAR_OVERRIDES": "path of the operator's overrides; the file may come and go",
    "LLM_SIDECAR_PORT": "wins over listen.port",
    "LLM_SIDECAR_ADMIN_PORT": "wins over admin.port",
    "LLM_SIDECAR_ADMIN_HOSTS": "wins over admin.hosts, separated by commas",
    "LLM_SIDECAR_LOG_LEVEL": "wins over log_level",
    "LLM_SIDECAR_FAIL_MODE": "wins over fail_mode",
    "LLM_SIDECAR_STATE_DIR": "state_dir, where the configuration names none",
    "LLM_SIDECAR_NATIVE": "true: SIGTERM comes when the application has gone; false: together with it",
    "LLM_SIDECAR_GRACE_SECONDS": "terminationGracePeriodSeconds of the pod",
    "LLM_SIDECAR_DRAIN_SECONDS": "wins over drain",
    "LLM_SIDECAR_UPSTREAM_<PROVIDER>": "url of that provider, instead of the configured one; may be private",
    "LLM_SIDECAR_CAPTURE": "proxy: wins over capture.mode",
    "LLM_SIDECAR_CAPTURE_PORT": "wins over capture.port",
    "LLM_SIDECAR_TRUST_DIR": "wins over capture.trust_dir",
    "LLM_SIDECAR_CGROUP": "folder of the container's memory limit, /sys/fs/cgroup unless set",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """What a process was told from outside its configuration. None: nothing."""

    path: Path | None = None  # of the configuration
    text: str | None = None
    overrides: Path | None = None
    port: int | None = None
    admin_port: int | None = None
    admin_hosts: tuple[str, ...] = ()
    log_level: str | None = None
    fail_mode: str | None = None
    state_dir: str | None = None
    native: bool | None = None  # None: no pod
    grace: float | None = None  # seconds
    drain: float | None = None  # seconds
    upstreams: Mapping[str, str] = field(default_factory=dict)  # by the end of the variable's name
    capture: str | None = None
    capture_port: int | None = None
    trust_dir: str | None = None
    cgroup: Path = CGROUP
    _unused: dict[str, str] = field(default_factory=dict, compare=False)  # upstreams -> why, at the last load

    @property
    def unused(self) -> tuple[str, ...]:
        """What is left out since the configuration was read last, in sentences."""
        return tuple(f"{name} is not used: {why}" for name, why in sorted(self._unused.items()))

    def load(self) -> Settings:
        """The settings as they are now; reads the file again. Raises ConfigError."""
        return config.load(self.path, self.text, amend=self.amend)

    def check(self) -> tuple[str, int]:
        """What `llm-sidecar check` prints, and its exit status."""
        text, status = config.check_text(self.path, self.text, amend=self.amend)
        return "\n".join([text, *(f"  warning: {one}" for one in self.unused)]), status

    def amend(self, raw: Any, problems: Problems) -> Any:
        """A configuration's plain values with what the pod says laid over them."""
        if raw is not None and not isinstance(raw, dict):
            return raw  # a mistake of its own, told by whoever reads it
        made: dict[str, Any] = dict(raw or {})
        _put(made, "listen", port=self.port)
        _put(made, "admin", port=self.admin_port, hosts=list(self.admin_hosts) or None)
        _put(made, "capture", mode=self.capture, port=self.capture_port, trust_dir=self.trust_dir)
        if self.log_level is not None:
            made["log_level"] = self.log_level
        if self.fail_mode is not None:
            made["fail_mode"] = self.fail_mode
        if self.drain is not None:
            made["drain"] = self.drain
        if self.state_dir is not None and made.get("state_dir") is None:
            made["state_dir"] = self.state_dir
        if self.upstreams:
            self._upstreams(made)
        return made

    def _upstreams(self, made: dict[str, Any]) -> None:
        self._unused.clear()
        own = made.get("providers") or {}
        if not isinstance(own, dict):
            return
        providers = dict(own)
        names = {variable(name): name for name in (*VENDORS, *own)}
        port = _own_port(made)
        for end, url in self.upstreams.items():
            name = names.get(end)
            if name is None:
                known = [known_name for known_name in names.values() if known_name]
                hint = nearest(end.lower().replace("_", "-"), known)
                self._unused[UPSTREAM + end] = f"names no provider{hint}"
                continue
            try:
                origin = parse_url(url, private=True)
            except BadUrl as bad:
                self._unused[UPSTREAM + end] = bad.message
                continue
            if is_loopback(origin.host) and origin.port == port:
                self._unused[UPSTREAM + end] = "is this sidecar itself: its calls would go round in circles"
                continue
            entry = providers.get(name) or {}
            if isinstance(entry, dict):
                providers[name] = {**entry, "url": url, "private": True}
        made["providers"] = providers


def variable(provider: str) -> str:
    """What stands for a provider in the name of its variable."""
    return re.sub(r"[^A-Z0-9]", "_", provider.upper())


def read(
    env: Mapping[str, str],
    *,
    path: Path | None = None,
    port: int | None = None,
    admin_port: int | None = None,
) -> Pod:
    """`path` and the ports are the command line's. Raises ConfigError with all that is wrong."""
    found = _Variables(env)
    pod = Pod(
        path=path or found.path("CONFIG"),
        text=found.text("CONFIG_TEXT") if path is None else None,
        overrides=found.path("OVERRIDES"),
        port=found.take("PORT", _port, "a port from 0 to 65535") if port is None else port,
        admin_port=(
            found.take("ADMIN_PORT", _port, "a port from 0 to 65535") if admin_port is None else admin_port
        ),
        admin_hosts=found.take("ADMIN_HOSTS", _hosts, "addresses such as 0.0.0.0,::") or (),
        log_level=found.take("LOG_LEVEL", _one_of(_LEVELS), f"one of {', '.join(_LEVELS)}"),
        fail_mode=found.take("FAIL_MODE", _one_of(_MODES), f"one of {', '.join(_MODES)}"),
        state_dir=found.text("STATE_DIR"),
        native=found.take("NATIVE", _flag, "true or false"),
        grace=found.take("GRACE_SECONDS", _period, "a number of seconds such as 30"),
        drain=found.take("DRAIN_SECONDS", _seconds, "a number of seconds such as 20"),
        upstreams=found.upstreams(),
        capture=found.take("CAPTURE", _one_of(("proxy",)), "proxy, or no such variable"),
        capture_port=found.take("CAPTURE_PORT", _port, "a port from 0 to 65535"),
        trust_dir=found.text("TRUST_DIR"),
        cgroup=found.path("CGROUP") or CGROUP,
    )
    if found.problems:
        raise config.ConfigError(list(found.problems), "environment")
    return pod


class _Variables:
    """The variables, and what is wrong with them. One that is set and empty says nothing."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.problems = Problems()

    def text(self, name: str) -> str | None:
        return self._env.get(f"LLM_SIDECAR_{name}", "").strip() or None

    def path(self, name: str) -> Path | None:
        text = self.text(name)
        return None if text is None else Path(text)

    def take(self, name: str, convert: Callable[[str], T | None], expected: str) -> T | None:
        text = self.text(name)
        if text is None or text.startswith("tcp://"):  # of a Service, see above
            return None
        taken = convert(text)
        if taken is None:
            self.problems.add((f"LLM_SIDECAR_{name}",), f"expected {expected}, got {quote(text)}")
        return taken

    def upstreams(self) -> dict[str, str]:
        return {
            name.removeprefix(UPSTREAM): value.strip()
            for name, value in sorted(self._env.items())
            if name.startswith(UPSTREAM) and value.strip()
        }


def _put(made: dict[str, Any], section: str, **values: Any) -> None:
    given = {key: value for key, value in values.items() if value is not None}
    before = made.get(section) or {}
    if given and isinstance(before, dict):
        made[section] = {**before, **given}


def _own_port(made: Mapping[str, Any]) -> object:
    listen = made.get("listen")
    return listen.get("port", Settings().listen.port) if isinstance(listen, dict) else Settings().listen.port


def _port(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= 65535 else None


def _flag(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _seconds(text: str) -> float | None:
    number = re.fullmatch(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", text)
    seconds = float(text) if number else parse_duration(text)
    return seconds if seconds is not None and seconds <= _LONGEST else None


def _period(text: str) -> float | None:
    """Kubernetes takes any; beyond a day it makes no difference to us."""
    return min(float(text), _LONGEST) if re.fullmatch(r"[0-9]{1,19}", text) else _seconds(text)


def _hosts(text: str) -> tuple[str, ...] | None:
    hosts = tuple(host.strip() for host in text.split(","))
    try:
        for host in hosts:
            ipaddress.ip_address(host)
    except ValueError:
        return None
    return hosts


def _one_of(words: tuple[str, ...]) -> Callable[[str], str | None]:
    return lambda text: text if text in words else None
