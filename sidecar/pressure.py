"""How near the container's memory limit we are, and what is given up for it.

A sidecar that is killed for its memory takes every stream of its pod along, so it gives up comfort
first. From 70 % on (tight) hardly anything is held back that could flow: answers go out as they come
instead of being kept until they are proved. From 85 % on (full) new requests with large bodies are told
to come again. Each level is left only five points below where it began, or it would flutter.

What counts is what the kernel counts before it kills: the container's own usage, less the file pages
it can drop at once. Where no limit is found there is nothing to guard against, and nothing is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

TIGHT_AT = 0.70  # of the limit
FULL_AT = 0.85
RELIEF = 0.05  # below which share of the limit a level is left
UNLIMITED = 2**60  # bytes; cgroup v1 says "no limit" with a number
DIGITS = 20  # of a number; what is longer is none of the kernel's
MEMBERSHIP = Path("/proc/self/cgroup")


class Level(IntEnum):
    NORMAL = 0
    TIGHT = 1
    FULL = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        return self.used / self.limit


@dataclass(slots=True)
class Pressure:
    """`see` every reading; `level` is what holds now."""

    level: Level = Level.NORMAL

    def see(self, reading: Reading | None) -> bool:
        """Whether the level changed. None: the limit cannot be read (any more)."""
        before = self.level
        share = 0.0 if reading is None else reading.share
        risen = _level(share)
        # a level is kept while the share, with the relief added, still reaches it
        self.level = max(risen, min(before, _level(share + RELIEF)))
        return self.level is not before


def _level(share: float) -> Level:
    if share >= FULL_AT:
        return Level.FULL
    return Level.TIGHT if share >= TIGHT_AT else Level.NORMAL


class Cgroup:
    """The files of one memory controller, of version 2 or 1."""

    def __init__(self, folder: Path, membership: Path = MEMBERSHIP) -> None:
        self._places = _places(folder, membership)

    def read(self) -> Reading | None:
        """None where there is no limit, or none that we can see."""
        for place, limit_file, used_file, dropped in self._places:
            limit = _number(place / limit_file)
            used = _number(place / used_file)
            if limit is None or used is None or not 0 < limit < UNLIMITED:
                continue
            return Reading(max(0, used - _row(place / "memory.stat", dropped)), limit)
        return None


_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _places(folder: Path, membership: Path) -> tuple[tuple[Path, str, str, str], ...]:
    """Inside a container its own group is the root; where it is not, our group's folder is below it."""
    try:
        lines = membership.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    places: list[tuple[Path, str, str, str]] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        own = path.strip("/")
        if ".." in own.split("/"):
            continue
        if not controllers:
            places.append((folder / own, *_V2))
        elif "memory" in controllers.split(","):
            places.append((folder / "memory" / own, *_V1))
    return (*places, (folder, *_V2), (folder / "memory", *_V1))


def _number(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return _whole(text)


def _row(file: Path, name: str) -> int:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    for line in lines:
        key, _, value = line.partition(" ")
        if key == name:
            return _whole(value) or 0
    return 0


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= DIGITS else None
