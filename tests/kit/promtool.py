"""Prometheus and its tool, from the system's package: found, installed where that is allowed, or asked for.

Allowed is: we are root, or this is CI and sudo asks nothing. Anywhere else a test that needs them
fails and says how to get them; it is never skipped, because a rule nobody parsed is no rule.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

HOW = (
    "{} is missing. Debian and Ubuntu: apt-get install prometheus. macOS: brew install prometheus. "
    "Anywhere: put it from https://prometheus.io/download into PATH."
)


@functools.cache
def program(name: str) -> str:
    """The path of promtool or prometheus."""
    if shutil.which(name) is None:
        _install()
    found = shutil.which(name)
    if found is None:
        pytest.fail(HOW.format(name), pytrace=False)
    return found


def _install() -> None:
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if shutil.which("apt-get") is None or not (root or (os.environ.get("CI") and shutil.which("sudo"))):
        return
    apt = ["apt-get"] if root else ["sudo", "-n", "apt-get"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "prometheus"]):
        subprocess.run([*apt, *words], check=False, capture_output=True, timeout=300, env=env)  # noqa: S603


def run(arguments: Sequence[str], folder: Path) -> tuple[bool, str]:
    """Whether promtool was content, and what it said."""
    command = [program("promtool"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    return done.returncode == 0, done.stdout + done.stderr


def check_rules(text: str) -> tuple[bool, str]:
    """`promtool check rules` on the text of a rule file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rules.yaml").write_text(text, encoding="utf-8")
        return run(["check", "rules", "rules.yaml"], folder)
