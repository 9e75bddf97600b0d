"""Other containers of the pod, as far as they can be seen.

A container sees its own processes alone, unless the pod shares its process namespace or a debugging
container was attached to one (`kubectl debug --target`). Then /proc shows the others; their environment
and files only to the same user, or to root. What is read of an environment is filtered at once (`kept`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from sidecar.doctor import survey
from sidecar.doctor.clients import TRUST_VARIABLES
from sidecar.doctor.values import Application, Installed, kept

PROC = Path("/proc")
PREFIXES = ("usr/local", "usr", "opt/venv", "venv", ".venv", "app/.venv", "app/venv", "opt/app/.venv")
LARGEST = 1024 * 1024
MANY = 200  # processes are looked at


def others(proc: Path = PROC) -> tuple[list[Application], int]:
    """One application per container of the pod but our own, and how many could not be read."""
    own = _namespace(proc / "self")
    seen: dict[str, Application] = {}
    closed = 0
    for process in _processes(proc):
        namespace = _namespace(process)
        if namespace is None:
            closed += not _is_kernel(process)
            continue
        if namespace == own or namespace in seen:
            continue
        environ = _environ(process)
        if environ is None:
            closed += 1
            continue
        seen[namespace] = _application(process, environ)
    return list(seen.values()), closed


def one(pid: int, proc: Path = PROC) -> Application:
    """Raises OSError where it is not there or not ours to read."""
    process = proc / str(pid)
    environ = parse((process / "environ").read_bytes())
    return _application(process, environ)


def parse(block: bytes) -> dict[str, str]:
    """An environment, its entries ended by zeros (/proc, `env -0`) or by lines (`env`)."""
    mark = b"\0" if b"\0" in block else b"\n"
    pairs = (entry.decode("utf-8", "replace").partition("=") for entry in block.split(mark))
    return {name: value for name, equals, value in pairs if equals}


def unreadable(environ: Mapping[str, str], root: Path = Path("/")) -> frozenset[str]:
    """Of the variables that name a file of certificates, those whose file is not there."""
    named = TRUST_VARIABLES & environ.keys()
    return frozenset(name for name in named if not os.access(root / environ[name].lstrip("/"), os.R_OK))


def _application(process: Path, environ: dict[str, str]) -> Application:
    root, cwd = process / "root", process / "cwd"
    roots = [root / prefix for prefix in PREFIXES]
    if environ.get("VIRTUAL_ENV"):
        roots.insert(0, root / environ["VIRTUAL_ENV"].lstrip("/"))
    clients: dict[tuple[str, str], Installed] = {}
    for found in _clients(roots, root, cwd):
        clients.setdefault((found.language, found.name), found)
    own = kept(environ)
    return Application(
        f"process {process.name} ({_command(process)})",
        own,
        tuple(clients.values()),
        "",
        unreadable(own, root),
    )


def _clients(roots: list[Path], root: Path, cwd: Path) -> Iterator[Installed]:
    try:
        yield from survey.python([path for place in roots for path in survey.site_packages(place)])
        for place in (cwd, root / "app", root / "usr/src/app"):
            yield from survey.folder(place)
    except OSError:  # the process has ended, or its files are not ours to read
        return


def _processes(proc: Path) -> list[Path]:
    try:
        found = [entry for entry in proc.iterdir() if entry.name.isdigit()]
    except OSError:
        return []
    return sorted(found, key=lambda entry: int(entry.name))[:MANY]


def _namespace(process: Path) -> str | None:
    try:
        return str((process / "ns" / "mnt").readlink())
    except OSError:
        return None


def _is_kernel(process: Path) -> bool:
    """Kernel threads, and the pause container, have nothing to say."""
    return _command(process) in {"?", "pause"}


def _environ(process: Path) -> dict[str, str] | None:
    try:
        with (process / "environ").open("rb") as file:
            return parse(file.read(LARGEST))
    except OSError:
        return None


def _command(process: Path) -> str:
    """The program's name alone: arguments may hold anything."""
    try:
        with (process / "cmdline").open("rb") as file:
            first = file.read(4096).partition(b"\0")[0]
    except OSError:
        return "?"
    name = Path(first.decode("utf-8", "replace").partition(" ")[0]).name
    return name if name.isprintable() and name else "?"
