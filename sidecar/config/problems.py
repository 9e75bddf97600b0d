"""What is wrong with a configuration, told all at once, without ever quoting a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Path = tuple[str | int, ...]

# How the keys of providers begin; the last alternatives are tokens, certificates and headers.
_KNOWN_KEYS: Final = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        sk-[A-Za-z0-9_\-]{8,}
      | (?:whsec_|gsk_|hf_|fw_|ghp_|xai-|csk-|pplx-|nvapi-|glpat-)[A-Za-z0-9_]{16,}
      | AIza[0-9A-Za-z_\-]{20,}
      | (?:AKIA|ASIA)[0-9A-Z]{16}
      | eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+
      | -----BEGIN\s
    )
      | (?i:\b(?:bearer|basic)\s+[A-Za-z0-9_\-.+/=]{6,})""",
    re.VERBOSE,
)
_RUN: Final = re.compile(r"[A-Za-z0-9]{24,}")
_LONGEST_QUOTE: Final = 40


def looks_like_key(text: str, *, prose: bool = False) -> bool:
    """Whether a text holds what may be a secret. `prose`: sentences, links and paths, which hold long
    runs of letters and digits for good reasons, so only the known forms count.
    """
    if _KNOWN_KEYS.search(text):
        return True
    return not prose and any(_random(run) for run in _RUN.findall(text))


def _random(run: str) -> bool:
    digits = sum(char.isdigit() for char in run)
    return 3 <= digits < len(run)  # words have fewer digits, numbers nothing else


def quote(value: Any) -> str:
    """A value as a message may show it: short, on one line, no secret."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            if looks_like_key(value):
                return "a text that looks like a key"
            if len(value) > _LONGEST_QUOTE:
                return f"a text of {len(value)} characters"
            return '"' + "".join(char if char.isprintable() else "?" for char in value) + '"'
        case _:
            return str(value)[:_LONGEST_QUOTE]


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint to end a message with: the nearest known name, else all of them if they are few."""
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if close:
        return f', did you mean "{close[0]}"?'
    return f"; known: {', '.join(names)}" if names else ""


def show(path: Path) -> str:
    """routes[1].retry.attempts"""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        plain = re.fullmatch(r"[A-Za-z0-9_.@/<-]{1,64}", part) and not looks_like_key(part)
        text += ("." if text else "") + (part if plain else "?")
    return text


@dataclass(frozen=True, slots=True)
class Problem:
    path: str
    message: str
    line: int = 0  # 0: unknown

    def text(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class Problems:
    """Collects what is wrong. The first thing said about a place stands; what follows from it is noise."""

    def __init__(self) -> None:
        self.lines: Mapping[Path, int] = {}
        self._found: dict[Path, str] = {}

    def add(self, path: Path, message: str) -> None:
        if not any(path[:n] in self._found for n in range(1, len(path) + 1)):
            self._found.setdefault(path, message)

    def at(self, path: Path) -> bool:
        """Whether something was said about this place, above it or below it."""
        return any(known[: len(path)] == path or path[: len(known)] == known for known in self._found)

    def _line(self, path: Path) -> int:
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def __iter__(self) -> Iterator[Problem]:
        """In the order of the file."""
        rows = [Problem(show(path), message, self._line(path)) for path, message in self._found.items()]
        return iter(sorted(rows, key=lambda row: (row.line, row.path)))

    def __len__(self) -> int:
        return len(self._found)


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has everything that is wrong with it."""

    def __init__(self, problems: list[Problem], name: str = "configuration") -> None:
        self.problems = problems
        self.name = name
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{name}: {count}", *(f"  {problem.text()}" for problem in problems)]))
