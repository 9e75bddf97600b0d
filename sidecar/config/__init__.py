"""The configuration file: YAML in, frozen Settings out, or everything that is wrong with it at once.

Reading is pure apart from the file itself: the same text gives equal settings, so a reload parses,
and only what parsed whole takes the place of what runs. Keys never stand in the file: a literal that
looks like one is refused, and no message, repr or log quotes it.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sidecar.config import checks, document
from sidecar.config.build import Builder
from sidecar.config.problems import ConfigError, Problem, Problems
from sidecar.settings import Settings

__all__ = [
    "ConfigError",
    "Problem",
    "check_text",
    "keys",
    "load",
    "parse",
    "unkept",
    "warnings",
    "without_key",
]

warnings = checks.warnings
without_key = checks.without_key
unkept = checks.unkept
keys = checks.keys
Amend = Callable[[Any, Problems], Any]  # lays over the plain values what is said elsewhere
TEXT = "LLM_SIDECAR_CONFIG_TEXT"  # what a configuration without a file is called


def parse(text: str, name: str = "configuration") -> Settings:
    """Raises ConfigError with all problems. `name` is the file's, for the messages."""
    return _parse(text, name)[0]


def load(path: Path | None, text: str | None = None, *, amend: Amend | None = None) -> Settings:
    """The file's settings, else the text's; without either those of no configuration. Raises ConfigError."""
    return _parse(*_given(path, text), amend)[0]


def check_text(path: Path | None, text: str | None = None, *, amend: Amend | None = None) -> tuple[str, int]:
    """What `llm-sidecar check` prints, and its exit status."""
    try:
        given, name = _given(path, text)
        settings, raw = _parse(given, name, amend)
    except ConfigError as error:
        return str(error), 2
    if path is None and text is None:
        return _unconfigured(settings), 0
    providers = raw.get("providers") or {} if isinstance(raw, dict) else {}
    found = warnings(settings)
    counts = [_count(len(settings.routes), "route"), _count(len(providers), "provider")]
    counts += [_count(len(found), "warning")] if found else []
    ok = f"{name}: ok, {', '.join(counts)}"
    told = checks.capture_text(settings)
    if not (settings.routes or providers):
        ok += "\n  well-known providers work by their prefixes, as without a file"
    lines = [ok, *([told] if told else []), *(f"  warning: {warning.text()}" for warning in found)]
    return "\n".join(lines), 0


def _given(path: Path | None, text: str | None) -> tuple[str, str]:
    if path is not None:
        return _text(path), path.name
    return ("", "configuration") if text is None else (text, TEXT)


def _parse(text: str, name: str, amend: Amend | None = None) -> tuple[Settings, Any]:
    problems = Problems()
    try:
        raw = document.read(text, problems)
    except document.Unreadable as bad:
        raise ConfigError([Problem("", bad.message, bad.line)], name) from None
    document.refuse_keys(raw, (), problems)
    if amend is not None:
        raw = amend(raw, problems)
    settings = Builder(problems).settings(raw)
    checks.check(settings, problems)
    if problems:
        raise ConfigError(list(problems), name)
    digest = blake2b(text.encode(), digest_size=6).hexdigest()
    return Settings(**{**_fields(settings), "digest": digest}), raw


def _fields(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in Settings.__dataclass_fields__}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(document.LARGEST + 1)
        return data.decode("utf-8-sig")
    except OSError as error:
        message = f"cannot be read: {error.strerror}: {path.absolute()}"
        raise ConfigError([Problem("", message)], path.name) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem("", "is not UTF-8 text")], path.name) from None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _unconfigured(settings: Settings) -> str:
    names = ", ".join(sorted(settings.providers))
    return "\n".join(
        [
            "no configuration: ok, every well-known provider works by its prefix",
            f"  providers: {names}",
            f"  listens on http://127.0.0.1:{settings.listen.port}/PROVIDER",
            "  keys: the application's own, passed through",
            "  policies: retries, breakers, deadlines, quality checks and metrics, with their defaults",
            "  no fallback: that needs a route with a chain of two providers",
            *checks.capture_text(settings).splitlines(),
        ]
    )
