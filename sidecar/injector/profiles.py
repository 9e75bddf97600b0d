"""The folder of profiles: read again when it changes; what was good stays in use until what comes is.

A folder is taken whole: a mistake in one profile keeps all as they were, so that pods never get half
of a change. ConfigMaps are mounted as symlinks that are swapped, so contents are compared, not times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sidecar.injector.profile import LARGEST, NAME, Check, Problem, Profile, ProfileError, load

DEFAULT: Final = "default"
SUFFIXES: Final = (".yaml", ".yml", ".json")
MOST: Final = 100  # files


class Profiles:
    """`current` is what is in use. Both methods block for as long as a few small files take."""

    def __init__(self, folder: Path, check: Check | None = None) -> None:
        """Raises ProfileError."""
        self._folder = folder
        self._check = check
        self._seen = self._digest()
        self.current: Mapping[str, Profile] = read(folder, check)
        self.trouble = ""  # why what is on disk is not in use; "": it is

    def reload(self) -> bool:
        """True if the folder was read again; `trouble` says how that went."""
        digest = self._digest()
        if digest == self._seen:
            return False
        self._seen = digest
        try:
            self.current = read(self._folder, self._check)
        except ProfileError as error:
            self.trouble = str(error)
        else:
            self.trouble = ""
        return True

    def _digest(self) -> bytes:
        sum_ = hashlib.sha256()
        try:
            for path in files(self._folder):
                with path.open("rb") as file:
                    sum_.update(path.name.encode("utf-8", "surrogateescape") + b"\0")
                    sum_.update(hashlib.sha256(file.read(LARGEST + 1)).digest())
        except OSError as error:  # a swap is under way, or the folder has gone: read() says which
            sum_.update(str(error.errno).encode())
        return sum_.digest()


def files(folder: Path) -> list[Path]:
    """Raises OSError."""
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    return found[:MOST]


def read(folder: Path, check: Check | None = None) -> dict[str, Profile]:
    """Raises ProfileError with the problems of all files."""
    try:
        paths = files(folder)
    except OSError as error:
        problem = Problem("", f"cannot be read: {error.strerror}; give the folder of profiles by --profiles")
        raise ProfileError(str(folder), [problem]) from None
    found: dict[str, Profile] = {}
    problems: list[Problem] = []
    for path in paths:
        if not NAME.fullmatch(path.stem):
            problems.append(Problem(path.name, "a profile's name has small letters, digits, - and . only"))
            continue
        if path.stem in found:
            problems.append(Problem(path.name, f"there is another profile {path.stem}; remove one of them"))
        try:
            found[path.stem] = load(path, check)
        except ProfileError as error:
            problems += [Problem(f"{path.name}: {p.path}".rstrip(": "), p.message) for p in error.problems]
    if not problems and DEFAULT not in found:
        problems.append(Problem("", f"there is no {DEFAULT}.yaml: the profile of pods that name none"))
    if problems:
        raise ProfileError(str(folder), problems)
    return found
