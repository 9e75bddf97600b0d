"""A profile: what a sidecar that the injector makes looks like. One document per profile, YAML or JSON.

A document is taken whole or not at all, and all that is wrong with it is said at once: where, what
was expected, and what to do. Maps of Kubernetes (resources, securityContext) replace our defaults as
a whole, so that leaving a key out means something: OpenShift wants no runAsUser.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import yaml

LARGEST: Final = 256 * 1024  # bytes of a document
LARGEST_CONFIG: Final = 32 * 1024  # bytes of its `config`: it stands in every pod, as text

NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")  # of a Kubernetes object
IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
PATH: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}(/[A-Za-z0-9._@-]+)*")  # a provider, then its own path
OURS: Final = "LLM_SIDECAR_"  # variables that begin so are the sidecar's own

PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
NATIVE: Final = ("auto", "true", "false")
CAPTURE: Final = ("env", "proxy", "none")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
PROTOCOLS: Final = ("grpc", "http/protobuf")

# Which variable leads an SDK to which path of the sidecar. Names that mean the same stand together,
# because clients differ in which of them they read first.
VARIABLES: Final[Mapping[str, str]] = {
    "OPENAI_BASE_URL": "openai/v1",
    "OPENAI_API_BASE": "openai/v1",
    "ANTHROPIC_BASE_URL": "anthropic",
    "ANTHROPIC_API_URL": "anthropic",
    "ANTHROPIC_API_BASE": "anthropic",
    "GOOGLE_GEMINI_BASE_URL": "gemini",
    "GEMINI_API_BASE": "gemini/v1beta",
    "GROQ_BASE_URL": "groq",
    "CO_API_URL": "cohere",
    "AZURE_OPENAI_ENDPOINT": "azure",
}
RESOURCES: Final[Mapping[str, Any]] = {
    "requests": {"cpu": "50m", "memory": "128Mi"},
    "limits": {"memory": "512Mi"},
}
SECURITY: Final[Mapping[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Otlp:
    endpoint: str = ""  # "": no telemetry is pushed
    protocol: str = "http/protobuf"
    secret_name: str = ""  # of a Secret in the pod's namespace that holds the headers
    secret_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    image: str
    image_pull_policy: str = "IfNotPresent"
    port: int = 4000
    admin_port: int = 9901
    capture_port: int = 4001
    native: str = "auto"
    capture: str = "env"
    readiness: bool = False
    startup_failure_threshold: int = 60  # seconds
    drain_timeout: int = 20  # seconds
    log_level: str = "info"
    resources: Mapping[str, Any] = field(default_factory=lambda: RESOURCES)
    security_context: Mapping[str, Any] = field(default_factory=lambda: SECURITY)
    env: Mapping[str, str] = field(default_factory=lambda: VARIABLES)
    extra_env: tuple[Mapping[str, Any], ...] = ()
    otlp: Otlp = Otlp()
    overrides_config_map: str = "llm-sidecar-overrides"
    config_map: str = ""  # wins over `config`
    secret: str = ""
    config: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    path: str
    message: str

    def text(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ProfileError(Exception):
    """All that is wrong with a profile; its text has a line for each."""

    def __init__(self, name: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = [f"{name}: {count} problem{'s' if count > 1 else ''}"]
        super().__init__("\n".join([*lines, *(f"  {problem.text()}" for problem in self.problems)]))


Check = Callable[[str], None]  # says a sidecar configuration is wrong by raising ValueError


def parse(text: str, name: str = "profile", check: Check | None = None) -> Profile:
    """Raises ProfileError. `check` looks at the sidecar's configuration inside."""
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise ProfileError(name, [Problem("", f"is larger than {LARGEST // 1024} KiB")])
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        what = getattr(error, "problem", None) or "cannot be read"
        raise ProfileError(name, [Problem("", f"is no YAML: {what}{where}")]) from None
    reader = _Reader(check)
    profile = reader.profile(raw)
    if profile is None or reader.problems:
        raise ProfileError(name, reader.problems)
    return profile


def load(path: Path, check: Check | None = None) -> Profile:
    """Raises ProfileError."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1).decode("utf-8-sig")
    except OSError as error:
        raise ProfileError(path.name, [Problem("", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ProfileError(path.name, [Problem("", "is not UTF-8 text")]) from None
    return parse(text, path.name, check)


_KEYS: Final = {
    "imagePullPolicy": "image_pull_policy",
    "adminPort": "admin_port",
    "capturePort": "capture_port",
    "startupFailureThreshold": "startup_failure_threshold",
    "drainTimeout": "drain_timeout",
    "logLevel": "log_level",
    "securityContext": "security_context",
    "extraEnv": "extra_env",
    "overridesConfigMap": "overrides_config_map",
    "configMap": "config_map",
}
_FIELDS: Final = {row.name for row in fields(Profile)} - set(_KEYS.values())
KEYS: Final[Mapping[str, str]] = {**{name: name for name in _FIELDS}, **_KEYS}


@dataclass(slots=True)
class _Reader:
    check: Check | None
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))

    def profile(self, raw: Any) -> Profile | None:
        if not isinstance(raw, dict):
            self.wrong("", f"expected a mapping with at least `image`, got {_shown(raw)}")
            return None
        given: dict[str, Any] = {}
        for key, value in raw.items():
            if key not in KEYS:
                near = difflib.get_close_matches(str(key), KEYS, 1)
                hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(sorted(KEYS))}"
                self.wrong(_shown_key(key), f"no such key; {hint}")
            elif value is not None:
                taken = getattr(self, f"_{KEYS[key]}", None)
                found = taken(key, value) if taken else self._by_kind(key, value)
                if found is not None:
                    given[KEYS[key]] = found
        if "image" not in raw:
            self.wrong(
                "image", "is missing; name the sidecar's image, like registry.example.com/llm-sidecar:1"
            )
        if self.problems:
            return None
        profile = Profile(**given)
        self._ports_differ(profile)
        return profile

    # ---- by kind --------------------------------------------------------------------------------

    def _by_kind(self, key: str, value: Any) -> Any:
        match key:
            case "imagePullPolicy":
                return self._one_of(key, value, PULL_POLICIES)
            case "capture":
                return self._one_of(key, value, CAPTURE)
            case "logLevel":
                return self._one_of(key, value, LOG_LEVELS)
            case "port" | "adminPort" | "capturePort":
                return self._whole(key, value, 1024, 65535)
            case "startupFailureThreshold":
                return self._whole(key, value, 1, 3600)
            case "drainTimeout":
                return self._whole(key, value, 1, 86400)
            case "overridesConfigMap" | "configMap" | "secret":
                return self._name(key, value)
            case _:
                raise AssertionError(key)

    def _one_of(self, path: str, value: Any, known: tuple[str, ...]) -> str | None:
        if isinstance(value, str) and value in known:
            return value
        self.wrong(path, f"expected {' or '.join(known)}, got {_shown(value)}")
        return None

    def _whole(self, path: str, value: Any, low: int, high: int) -> int | None:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.wrong(path, f"expected a whole number from {low} to {high}, got {_shown(value)}")
        return None

    def _name(self, path: str, value: Any) -> str | None:
        if isinstance(value, str) and (value == "" or NAME.fullmatch(value)):
            return value
        self.wrong(path, f"expected the name of an object in the pod's namespace, got {_shown(value)}")
        return None

    def _text(self, path: str, value: Any) -> str | None:
        if isinstance(value, str):
            return value
        self.wrong(path, f"expected a text, got {_shown(value)}")
        return None

    def _mapping(self, path: str, value: Any) -> dict[str, Any] | None:
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return value
        self.wrong(path, f"expected a mapping, got {_shown(value)}")
        return None

    # ---- by name --------------------------------------------------------------------------------

    def _image(self, path: str, value: Any) -> str | None:
        if isinstance(value, str) and IMAGE.fullmatch(value):
            return value
        self.wrong(path, f"expected an image like registry.example.com/llm-sidecar:1, got {_shown(value)}")
        return None

    def _native(self, path: str, value: Any) -> str | None:
        if isinstance(value, bool):  # YAML reads true without quotes as one
            return "true" if value else "false"
        return self._one_of(path, value, NATIVE)

    def _readiness(self, path: str, value: Any) -> bool | None:
        if isinstance(value, bool):
            return value
        self.wrong(path, f"expected true or false, got {_shown(value)}")
        return None

    def _resources(self, path: str, value: Any) -> dict[str, Any] | None:
        if (given := self._mapping(path, value)) is None:
            return None
        for key, part in given.items():
            if key not in {"requests", "limits", "claims"}:
                self.wrong(f"{path}.{key}", "no such key; known are requests, limits")
            elif key != "claims" and (amounts := self._mapping(f"{path}.{key}", part)) is not None:
                for name, amount in amounts.items():
                    if isinstance(amount, bool) or not isinstance(amount, str | int | float):
                        self.wrong(f"{path}.{key}.{name}", f"expected a quantity, got {_shown(amount)}")
        return {
            key: {name: str(amount) for name, amount in part.items()} if isinstance(part, dict) else part
            for key, part in given.items()
        } or dict(RESOURCES)

    def _security_context(self, path: str, value: Any) -> dict[str, Any] | None:
        given = self._mapping(path, value)
        if given is None:
            return None
        return {key: part for key, part in given.items() if part is not None} or dict(SECURITY)

    def _env(self, path: str, value: Any) -> dict[str, str] | None:
        if (given := self._mapping(path, value)) is None:
            return None
        for name, target in given.items():
            if not VARIABLE.fullmatch(name) or name.startswith(OURS):
                self.wrong(
                    f"{path}.{_shown_key(name)}",
                    f"expected the name of a variable, not beginning with {OURS}",
                )
            elif target is not None and not (isinstance(target, str) and PATH.fullmatch(target)):
                self.wrong(
                    f"{path}.{name}",
                    f"expected a provider and its path, like openai/v1, got {_shown(target)}",
                )
        return {name: target for name, target in given.items() if target is not None}

    def _extra_env(self, path: str, value: Any) -> tuple[dict[str, Any], ...] | None:
        if not isinstance(value, list):
            self.wrong(path, f"expected a list of variables, got {_shown(value)}")
            return None
        for number, row in enumerate(value):
            where = f"{path}[{number}]"
            if not isinstance(row, dict) or not isinstance(row.get("name"), str) or not row["name"]:
                self.wrong(where, "expected a mapping with a name, and value or valueFrom")
            elif unknown := sorted(str(key) for key in row.keys() - {"name", "value", "valueFrom"}):
                self.wrong(f"{where}.{unknown[0]}", "no such key; known are name, value, valueFrom")
            elif "value" in row and not isinstance(row["value"], str):
                self.wrong(f"{where}.value", f"expected a text, in quotes, got {_shown(row['value'])}")
            elif "valueFrom" in row and ("value" in row or not isinstance(row["valueFrom"], dict)):
                self.wrong(f"{where}.valueFrom", "expected a mapping, and no value beside it")
        return tuple(value)

    def _otlp(self, path: str, value: Any) -> Otlp | None:
        if (given := self._mapping(path, value)) is None:
            return None
        for unknown in sorted(given.keys() - {"endpoint", "protocol", "headersSecret"}):
            self.wrong(f"{path}.{unknown}", "no such key; known are endpoint, protocol, headersSecret")
        endpoint = self._text(f"{path}.endpoint", given.get("endpoint") or "")
        if endpoint and not re.fullmatch(r"https?://[^\s$]+", endpoint):
            self.wrong(
                f"{path}.endpoint", f"expected http://host:port or https://..., got {_shown(endpoint)}"
            )
        protocol = self._one_of(f"{path}.protocol", given.get("protocol") or "http/protobuf", PROTOCOLS)
        secret = self._mapping(f"{path}.headersSecret", given.get("headersSecret") or {}) or {}
        for unknown in sorted(secret.keys() - {"name", "key"}):
            self.wrong(f"{path}.headersSecret.{unknown}", "no such key; known are name, key")
        name = self._name(f"{path}.headersSecret.name", secret.get("name") or "")
        key = self._text(f"{path}.headersSecret.key", secret.get("key") or "")
        if bool(name) != bool(key):
            if name:
                key = "headers"  # what the page on telemetry calls it
            else:
                self.wrong(f"{path}.headersSecret.name", "is missing; a key needs the Secret it is in")
        if self.problems:
            return None
        return Otlp(
            endpoint=endpoint or "",
            protocol=protocol or "",
            secret_name=name or "",
            secret_key=key or "",
        )

    def _config(self, path: str, value: Any) -> str | None:
        text = self._text(path, value)
        if not text:
            return text
        if len(text.encode()) > LARGEST_CONFIG:
            self.wrong(
                path, f"is larger than {LARGEST_CONFIG // 1024} KiB; put it into a ConfigMap: configMap"
            )
            return None
        if self.check is not None:
            try:
                self.check(text)
            except ValueError as error:
                for line in str(error).splitlines():
                    self.wrong(path, line.strip())
        return text

    def _ports_differ(self, profile: Profile) -> None:
        taken: dict[int, str] = {}
        for key in ("port", "adminPort", "capturePort"):
            number: int = getattr(profile, KEYS[key])
            if number in taken:
                self.wrong(key, f"is {number}, as {taken[number]} is; choose another")
            taken[number] = key


def _shown_key(key: Any) -> str:
    text = str(key)
    return text if len(text) <= 60 and text.isprintable() else f"a key of {len(text)} characters"


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str() if len(value) <= 40 and value.isprintable():
            return f'"{value}"'
        case str():
            return f"a text of {len(value)} characters"
        case int() if abs(value) >= 10**20:
            return "a huge number"
        case int() | float():
            return str(value)
        case _:
            return f"a {type(value).__name__}"
