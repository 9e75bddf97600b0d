"""The pages of the documentation, as the tests read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ("retry", "breaker", "fallback", "deadline", "quality", "cache", "shared", "deferred", "hedging")

_ROW = re.compile(r"^\| `([\w.]+)` \| ([^|]+?) \|", re.MULTILINE)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shown(page: Path) -> str:
    """A page's name for people."""
    return str(page.relative_to(ROOT))


def policy(name: str) -> str:
    return (ROOT / "docs" / "policies" / f"{name}.md").read_text()


def rows(text: str) -> Iterator[tuple[str, str]]:
    """The first two cells of each table row whose first one is a name in backticks."""
    for match in _ROW.finditer(text):
        yield match[1], match[2]


def blocks(text: str, language: str) -> list[str]:
    return [match[2] for match in _FENCE.finditer(text) if match[1] == language]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text)
