"""What a pod's annotations ask for, over the profile they name.

An annotation never stops a pod: what cannot be meant is left out, and a warning says which one, what
is wrong with it and what is used instead. kubectl shows warnings to whoever creates the pod.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from sidecar.injector import profile as p
from sidecar.injector.profile import Profile
from sidecar.injector.profiles import DEFAULT

PREFIX: Final = "llm-sidecar.dev/"
INJECT: Final = PREFIX + "inject"  # a label
INJECTED: Final = PREFIX + "injected"  # a label, ours
STATUS: Final = PREFIX + "status"  # ours

LONGEST: Final = 120  # characters of a warning: the API server cuts longer ones
MOST: Final = 20  # warnings of a review: it drops all beyond 4 KiB
LEAST_MEMORY: Final = 64 * 1024**2
LEAST_CPU: Final = Decimal("0.01")


class Warnings:
    """In the order they came, each once."""

    def __init__(self) -> None:
        self._said: dict[str, None] = {}

    def add(self, text: str) -> None:
        self._said[text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."] = None

    def about(self, key: str, wrong: str, instead: str) -> None:
        self.add(f"{PREFIX}{key}: {wrong}; {instead}")

    def texts(self) -> tuple[str, ...]:
        said = tuple(self._said)
        if len(said) <= MOST:
            return said
        return (*said[: MOST - 1], f"llm-sidecar: and {len(said) - MOST + 1} more warnings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A profile with the pod's annotations applied, and what only annotations can say."""

    name: str  # of the profile
    profile: Profile
    containers: frozenset[str] | None = None  # None: all
    exclude: frozenset[str] = frozenset()
    override: bool = False
    fail_mode: str = "open"
    grace: int | None = None  # terminationGracePeriodSeconds is raised to it
    host_network: bool = False


class _Bad(Exception):
    """What was expected."""


@dataclass(slots=True)
class _Asked:
    fields: dict[str, Any] = field(default_factory=dict)  # of the profile
    amounts: dict[tuple[str, str], str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)  # of Wanted
    env: dict[str, str] = field(default_factory=dict)


def wanted(annotations: Mapping[str, str], profiles: Mapping[str, Profile], warnings: Warnings) -> Wanted:
    name = annotations.get(PREFIX + "profile", DEFAULT)
    if name not in profiles:
        warnings.about("profile", f"there is no profile {shown(name)}", f"{DEFAULT} is used")
        name = DEFAULT
    base = profiles[name]
    asked = _Asked()
    for key in sorted(annotations):
        if key.startswith(PREFIX):
            _take(key.removeprefix(PREFIX), annotations[key], base, asked, warnings)
    profile = replace(
        base,
        **asked.fields,
        env={**base.env, **asked.env},
        resources=_resources(base, asked.amounts, warnings),
    )
    return Wanted(name=name, profile=_distinct(profile, base, warnings), **asked.extra)


def _take(key: str, value: str, base: Profile, asked: _Asked, warnings: Warnings) -> None:
    if key in _IGNORED:
        return
    if key in {"inject", "injection"}:
        place = "pod" if key == "inject" else "namespace"
        warnings.about(key, f"is a label of the {place}, not an annotation", "it is ignored")
        return
    row = _ROWS.get(key)
    if row is None:
        near = difflib.get_close_matches(key[:64], _ROWS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        warnings.add(f"{PREFIX}{cut(key, 40)}: no such annotation; {hint}it is ignored")
        return
    try:
        row.take(asked, row.read(value.strip()))
    except _Bad as error:
        got = shown(value)
        warnings.about(key, f"expected {error}, got {got}", f"{row.instead(base)} is used")


# ---- values ----------------------------------------------------------------------------------


def _bool(text: str) -> bool:
    if text in {"true", "false"}:
        return text == "true"
    raise _Bad("true or false")


def _one_of(*known: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in known:
            raise _Bad(f"{', '.join(known[:-1])} or {known[-1]}")
        return text

    return read


def _number(text: str, low: int, high: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
        raise _Bad(what)
    return int(text)


def _port(text: str) -> int:
    return _number(text, 1024, 65535, "a port from 1024 to 65535")


def _seconds(text: str) -> int:
    what = "seconds, like 20s"
    match = re.fullmatch(r"([0-9]{1,6})(s|m|h|)", text)
    if match is None:
        raise _Bad(what)
    return _number(str(int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]), 1, 86400, what)


def _name(text: str) -> str:
    if not p.NAME.fullmatch(text):
        raise _Bad("an object's name")
    return text


def _image(text: str) -> str:
    if not p.IMAGE.fullmatch(text):
        raise _Bad("an image")
    return text


def _names(text: str) -> frozenset[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or not all(re.fullmatch(r"[a-z0-9-]{1,63}", name) for name in names):
        raise _Bad("names of containers, with commas")
    return frozenset(names)


def _pairs(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in (one.strip() for one in text.split(",")):
        name, _, path = pair.partition("=")
        if not (p.VARIABLE.fullmatch(name) and p.PATH.fullmatch(path)) or name.startswith(p.OURS):
            raise _Bad("VARIABLE=provider/path, with commas")
        found[name] = path
    return found


_SUFFIX: Final[Mapping[str, Decimal]] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** n for n, suffix in enumerate("kMGT", 1)},
    **{f"{suffix}i": Decimal(1024) ** n for n, suffix in enumerate("KMGT", 1)},
}
_QUANTITY: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(m|k|M|G|T|Ki|Mi|Gi|Ti|)")


def amount(text: str) -> Decimal | None:
    """Of cores or bytes; None where it is none that we understand."""
    match = _QUANTITY.fullmatch(text)
    return None if match is None else Decimal(match[1]) * _SUFFIX[match[2]]


def _cpu(least: Decimal) -> Callable[[str], str]:
    def read(text: str) -> str:
        value = amount(text)
        if value is None or not least <= value <= 1024 or value * 1000 % 1:
            raise _Bad("cores, like 100m")
        return text

    return read


def _memory(least: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        value = amount(text)
        if value is None or value % 1 or not least <= value <= 2**45:
            raise _Bad("bytes, 64Mi or more" if least else "bytes, like 128Mi")
        return text

    return read


# ---- the table -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    read: Callable[[str], Any]  # raises _Bad
    take: Callable[[_Asked, Any], None]
    instead: Callable[[Profile], str]


def _of_profile(name: str, read: Callable[[str], Any]) -> _Row:
    def take(asked: _Asked, value: Any) -> None:
        asked.fields[name] = value

    def instead(base: Profile) -> str:
        value = getattr(base, name)
        return cut(str(value).lower() if isinstance(value, bool) else str(value) or "none", 24)

    return _Row(read, take, instead)


def _of_pod(name: str, read: Callable[[str], Any], instead: str) -> _Row:
    def take(asked: _Asked, value: Any) -> None:
        asked.extra[name] = value

    return _Row(read, take, lambda _: instead)


def _of_resources(kind: str, name: str, read: Callable[[str], str]) -> _Row:
    def take(asked: _Asked, value: str) -> None:
        asked.amounts[kind, name] = value

    return _Row(read, take, lambda base: _given(base.resources, kind, name) or "none")


def _of_env(read: Callable[[str], dict[str, str]]) -> _Row:
    return _Row(read, lambda asked, value: asked.env.update(value), lambda _: "the profile's list")


_IGNORED: Final = frozenset({"profile", "status"})
_ROWS: Final[Mapping[str, _Row]] = {
    "config-map": _of_profile("config_map", _name),
    "secret": _of_profile("secret", _name),
    "containers": _of_pod("containers", _names, "all"),
    "exclude-containers": _of_pod("exclude", _names, "none"),
    "env": _of_env(_pairs),
    "override-env": _of_pod("override", _bool, "false"),
    "capture": _of_profile("capture", _one_of(*p.CAPTURE)),
    "native": _of_profile("native", _one_of(*p.NATIVE)),
    "image": _of_profile("image", _image),
    "image-pull-policy": _of_profile("image_pull_policy", _one_of(*p.PULL_POLICIES)),
    "cpu-request": _of_resources("requests", "cpu", _cpu(Decimal(0))),
    "cpu-limit": _of_resources("limits", "cpu", _cpu(LEAST_CPU)),
    "memory-request": _of_resources("requests", "memory", _memory(0)),
    "memory-limit": _of_resources("limits", "memory", _memory(LEAST_MEMORY)),
    "log-level": _of_profile("log_level", _one_of(*p.LOG_LEVELS)),
    "port": _of_profile("port", _port),
    "admin-port": _of_profile("admin_port", _port),
    "capture-port": _of_profile("capture_port", _port),
    "fail-mode": _of_pod("fail_mode", _one_of("open", "closed"), "open"),
    "drain-timeout": _of_profile("drain_timeout", _seconds),
    "readiness": _of_profile("readiness", _bool),
    "raise-grace": _of_pod("grace", _seconds, "the pod's own"),
    "host-network": _of_pod("host_network", _bool, "false"),
}
KEYS: Final = (*_ROWS, "profile")  # without our own


# ---- what must fit together ------------------------------------------------------------------


def _given(resources: Mapping[str, Any], kind: str, name: str) -> str:
    part = resources.get(kind)
    return str(part.get(name, "")) if isinstance(part, Mapping) else ""


def _resources(
    base: Profile, amounts: Mapping[tuple[str, str], str], warnings: Warnings
) -> Mapping[str, Any]:
    """A request above its limit would have the whole pod refused."""
    if not amounts:
        return base.resources
    made = {kind: dict(part) if isinstance(part, Mapping) else part for kind, part in base.resources.items()}
    for (kind, name), value in amounts.items():
        made.setdefault(kind, {})[name] = value
    for name in ("cpu", "memory"):
        request, limit = _given(made, "requests", name), _given(made, "limits", name)
        asked, most = amount(request), amount(limit)
        if request and limit and asked is not None and most is not None and asked > most:
            key = f"{name}-request" if ("requests", name) in amounts else f"{name}-limit"
            warnings.about(key, f"the request {request} is above the limit {limit}", f"{limit} is requested")
            made["requests"][name] = limit
    return made


def _distinct(profile: Profile, base: Profile, warnings: Warnings) -> Profile:
    ports = (profile.port, profile.admin_port, profile.capture_port)
    if len(set(ports)) == len(ports):
        return profile
    usual = f"{base.port}, {base.admin_port}, {base.capture_port} are used"
    warnings.about("port", "port, admin-port and capture-port must differ", usual)
    return replace(profile, port=base.port, admin_port=base.admin_port, capture_port=base.capture_port)


# ---- words -----------------------------------------------------------------------------------


def shown(value: str) -> str:
    """A value of a stranger's, short and on one line."""
    return '"' + cut("".join(c if " " <= c <= "~" and c != '"' else "?" for c in value[:64]), 16) + '"'


def cut(text: str, most: int) -> str:
    plain = "".join(c if " " <= c <= "~" else "?" for c in text)
    return plain if len(plain) <= most else plain[: most - 3] + "..."
