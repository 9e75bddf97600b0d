"""Which SDKs are installed: Python environments, node_modules, and the dependency files of Go and Java."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from sidecar.doctor.clients import CLIENTS, Language, names
from sidecar.doctor.values import Installed

LARGEST = 1024 * 1024  # bytes of a dependency file
LIMIT = 10.0  # seconds for an interpreter to say where its packages are
_LINE = re.compile(r"(@?[A-Za-z0-9][\w./-]*?)(==|@|\s+)v?(\d[\w.+-]*)\s*$")


def python(folders: Sequence[str]) -> Iterator[Installed]:
    for name in sorted(names("python")):
        for found in metadata.distributions(name=name, path=list(folders)):
            yield Installed("python", name, found.version)
            break


def site_packages(root: Path) -> list[str]:
    """Of a virtual environment, of a prefix such as /usr/local, or of a folder that is one itself."""
    if root.name in {"site-packages", "dist-packages"}:
        return [str(root)]
    found = sorted(root.glob("lib/python3*/*-packages")) + sorted(root.glob("Lib/site-packages"))
    return [str(path) for path in found]


def interpreter(path: Path) -> list[str]:
    """Where an interpreter finds packages. Raises OSError where it cannot say."""
    if path.is_dir():
        return site_packages(path)
    code = "import json, sys; print(json.dumps([p for p in sys.path if p]))"
    try:
        done = subprocess.run(  # noqa: S603  # what the user named
            [str(path), "-I", "-c", code], capture_output=True, text=True, check=True, timeout=LIMIT
        )
        found = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        raise OSError(f"{path} does not say where its packages are: {type(error).__name__}") from None
    return [str(entry) for entry in found]


def own_environment(environ: Mapping[str, str], folder: Path) -> list[str]:
    """Packages of this interpreter, and those of the virtual environment that is active or lies here."""
    roots = [Path(environ["VIRTUAL_ENV"])] if environ.get("VIRTUAL_ENV") else []
    roots += [folder / ".venv", folder / "venv"]
    return [path for root in roots for path in site_packages(root)] + [path for path in sys.path if path]


def node(folder: Path) -> Iterator[Installed]:
    """As Node looks: node_modules here, then upwards."""
    places = [place / "node_modules" for place in (folder, *folder.parents)]
    for name in sorted(names("node")):
        for place in places:
            if (text := _text(place / name / "package.json")) is not None:
                yield Installed("node", name, _json_version(text))
                break


def node_version() -> str:
    path = shutil.which("node")
    if path is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603  # the one on PATH
            [path, "--version"], capture_output=True, text=True, check=False, timeout=LIMIT
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def go(folder: Path) -> Iterator[Installed]:
    text = _text(folder / "go.mod") or ""
    for name in sorted(names("go")):
        found = re.search(rf"^\s*(?:require\s+)?{re.escape(name)}(?:/v\d+)?\s+v(\S+)", text, re.MULTILINE)
        if found:
            yield Installed("go", name, found[1])


def java(folder: Path) -> Iterator[Installed]:
    """Lightly: versions often stand elsewhere (a BOM, a catalogue), and then stay unknown."""
    files = ("pom.xml", "build.gradle", "build.gradle.kts", "gradle/libs.versions.toml")
    text = "\n".join(filter(None, (_text(folder / file) for file in files)))
    for name in sorted(names("java")):
        group, _, artifact = name.partition(":")
        gradle = re.search(rf"{re.escape(name)}(?:-okhttp)?(?::([\w.-]+))?[\"']", text)
        maven = re.search(
            rf"<groupId>{re.escape(group)}</groupId>\s*<artifactId>{re.escape(artifact)}[\w-]*</artifactId>"
            r"(?:\s*<version>([^<$]+)</version>)?",
            text,
        )
        if found := gradle or maven:
            yield Installed("java", name, found[1] or "")


def listed(lines: Iterable[str]) -> Iterator[Installed]:
    """From what `pip freeze` or `npm ls --depth 0` prints."""
    known: dict[str, list[Language]] = {}
    for row in CLIENTS:
        known.setdefault(row.name, []).append(row.language)
    for line in lines:
        found = _LINE.search(line.strip())
        name = found[1] if found else ""
        if found is None or name not in known:
            continue
        npm = found[2] == "@"
        for language in dict.fromkeys(known[name]):
            if language not in {"python", "node"} or npm == (language == "node"):
                yield Installed(language, name, found[3])


def folder(path: Path) -> list[Installed]:
    """All but Python, which is found by its environment."""
    return [*node(path), *go(path), *java(path)]


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST).decode("utf-8", "replace")
    except OSError:
        return None


def _json_version(text: str) -> str:
    try:
        return str(json.loads(text)["version"])
    except (ValueError, KeyError, TypeError):
        return ""
