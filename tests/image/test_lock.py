"""The locks hold what pyproject.toml asks for, every file by its hash, and nothing about where from."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.docs.pages import ROOT

LOCKS = (ROOT / "image" / "requirements.lock", ROOT / "image" / "build.lock")
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_ENTRY = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>\S+)(?: ; (?P<marker>.+?))?(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)"
)


def entries(path: Path) -> dict[str, tuple[Version, str]]:
    """Versions and markers by name. Fails where a line is anything but a pinned, hashed package."""
    joined = re.sub(r"\\\n\s*", "", path.read_text())
    lines = [re.sub(r"\s+", " ", line).strip() for line in joined.splitlines() if line.strip()]
    found: dict[str, tuple[Version, str]] = {}
    for line in lines:
        match = _ENTRY.fullmatch(line)
        assert match, f"{path.name}: not a pinned package with hashes: {line[:80]}"
        found[canonicalize_name(match["name"])] = (Version(match["version"]), match["marker"] or "")
    return found


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_packages_by_hash_and_names_no_place(path: Path):
    assert entries(path)
    assert "//" not in path.read_text()
    assert "index" not in path.read_text()


@pytest.mark.parametrize(
    "wanted", [*_PROJECT["project"]["dependencies"], *_PROJECT["project"]["optional-dependencies"]["redis"]]
)
def test_the_lock_meets_a_floor_of_the_project(wanted: str):
    need = Requirement(wanted)
    version, _ = entries(LOCKS[0])[canonicalize_name(need.name)]
    assert version in need.specifier


def test_the_build_lock_meets_the_build_systems_floors():
    locked = entries(LOCKS[1])
    for wanted in map(Requirement, _PROJECT["build-system"]["requires"]):
        assert locked[canonicalize_name(wanted.name)][0] in wanted.specifier


@pytest.mark.parametrize("python", ["3.11", "3.13", "3.14"])
def test_the_lock_is_whole(python: str):
    """What the locked packages need is locked too, as far as the versions installed here can tell."""
    locked = entries(LOCKS[0])
    place = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "extra": "",
    }
    compared = 0
    for name, (version, _) in locked.items():
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if Version(found.version) != version:
            continue
        compared += 1
        for need in map(Requirement, found.requires or ()):
            if need.marker is not None and not need.marker.evaluate(place):
                continue
            assert canonicalize_name(need.name) in locked, f"{name} needs {need}"
            other, marker = locked[canonicalize_name(need.name)]
            assert other in need.specifier, f"{name} needs {need}"
            assert not marker or Marker(marker).evaluate(place), f"{name} needs {need} on {python}"
    assert compared >= 10, "hardly any locked version is installed here: lock anew (docs/image.md)"
