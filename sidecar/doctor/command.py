"""The command: where are we, what is there to look at, and a report."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar import __version__
from sidecar.doctor import judge, probe, processes, report, survey
from sidecar.doctor.addresses import read
from sidecar.doctor.clients import CLIENTS
from sidecar.doctor.values import Application, Finding, Installed, Level, Sidecar, kept
from sidecar.settings import Settings

TEXT = """\
Says which SDKs are installed, which variable each honours, whether it points at the sidecar, whether the
sidecar answers, and whether providers can be reached. Sends no request to a provider, shows no key.

On a laptop, in the application's folder and environment:
  llm-sidecar doctor
In a pod, from the sidecar's container (it sees the application only in a shared process namespace):
  kubectl exec POD -c llm-sidecar -- llm-sidecar doctor
With what the application's container says of itself:
  kubectl exec POD -c APP -- env | llm-sidecar doctor --environment -
  kubectl exec POD -c APP -- pip freeze > packages; llm-sidecar doctor --packages packages --environment env
"""
MAIN = ("openai", "anthropic", "gemini")  # tried where nothing says which providers are used


def main(argv: list[str]) -> int:
    """0: nothing broken, 1: something is, 2: what was given is wrong."""
    given = _parser().parse_args(argv)
    environ = dict(os.environ)
    in_container = "LLM_SIDECAR_NATIVE" in environ
    found, settings = _sidecar(given, environ)
    try:
        applications, notes = _applications(given, environ, in_container)
    except OSError as error:
        said = error.strerror or str(error)
        print(f"llm-sidecar doctor: {error.filename or 'input'}: {said}", file=sys.stderr)  # noqa: T201
        return 2
    sections: list[report.Section] = [("here", [*notes, *found.notes])]
    sections += [(app.name, judge.application(app, found.sidecar)) for app in applications]
    capture = found.sidecar.capture_port if found.sidecar.capture else None
    seen, busy = probe.health(found.sidecar.port, found.sidecar.admin_port, capture)
    own = list(judge.environment(environ)) if in_container else []
    sections.append(("sidecar", [*judge.health(seen, found.sidecar, __version__), *own]))
    if settings is not None and not given.offline:
        sections.append(("providers", _providers(given.provider, settings, applications, busy)))
    place = "sidecar container" if in_container else "pod" if _in_pod(environ) else "machine"
    write = (
        report.as_json(sections, version=__version__, place=place) if given.json else report.text(sections)
    )
    print(write)  # noqa: T201
    return 1 if report.broken(sections) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llm-sidecar doctor", description=TEXT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", "-c", type=Path, metavar="FILE", help="the sidecar's configuration")
    parser.add_argument("--port", type=int, help="the sidecar's port, 4000 unless configured")
    parser.add_argument("--admin-port", type=int, help="its admin port, 9901 unless configured")
    parser.add_argument(
        "--path", type=Path, default=Path(), help="the application's folder, this one unless given"
    )
    parser.add_argument(
        "--python", type=Path, metavar="PATH", help="an interpreter or environment to look into"
    )
    parser.add_argument("--process", type=int, metavar="PID", help="judge a running process instead")
    parser.add_argument("--environment", metavar="FILE", help="an environment as `env` prints it; - is stdin")
    parser.add_argument("--packages", type=Path, metavar="FILE", help="what `pip freeze` or `npm ls` printed")
    parser.add_argument("--provider", action="append", default=[], metavar="NAME", help="try these providers")
    parser.add_argument("--offline", action="store_true", help="do not try providers")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


# ---- the sidecar's place --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    sidecar: Sidecar
    notes: tuple[Finding, ...]


def _sidecar(given: argparse.Namespace, environ: Mapping[str, str]) -> tuple[_Found, Settings | None]:
    """Where it is configured to be. A configuration that is wrong is a finding, not the end."""
    from sidecar import environment, hosts
    from sidecar.config import ConfigError

    try:
        pod = environment.read(environ, path=given.config, port=given.port, admin_port=given.admin_port)
        settings = pod.load()
    except ConfigError as error:
        first, _, more = str(error).partition("\n")
        note = Finding(Level.BROKEN, "configuration", f"{first} {more.strip().partition(chr(10))[0]}".strip(),
                       "llm-sidecar check says all that is wrong with it")  # fmt: skip
        place = Sidecar(port=given.port or 4000, admin_port=given.admin_port or 9901)
        return _Found(place, (note,)), None
    place = Sidecar(
        port=settings.listen.port,
        admin_port=settings.admin.port,
        capture=settings.capture.mode == "proxy",
        capture_port=settings.capture.port,
        providers={name: provider.dialect for name, provider in settings.providers.items()},
        hosts=frozenset(hosts.captured(settings)),
    )
    unused = [
        Finding(Level.BROKEN, "configuration", said, "its calls go to the configured url")
        for said in pod.unused
    ]
    return _Found(place, tuple(unused)), settings


# ---- the applications -----------------------------------------------------------------------------


def _applications(
    given: argparse.Namespace, environ: Mapping[str, str], in_container: bool
) -> tuple[list[Application], list[Finding]]:
    """Raises OSError for a file, a process or an interpreter that was named and is not there."""
    if given.process is not None:
        return [processes.one(given.process)], []
    if in_container and not (given.environment or given.packages or given.python):
        return _from_container()
    name = "this environment"
    if given.environment:
        name = "the environment that was given"
        data = sys.stdin.buffer.read() if given.environment == "-" else Path(given.environment).read_bytes()
        environ = processes.parse(data)
    clients: list[Installed] = []
    if given.packages:
        clients += survey.listed(given.packages.read_text(errors="replace").splitlines())
    elif given.environment and not given.python:
        clients += _pointed(environ)
    else:
        folder = given.path.resolve()
        own = survey.interpreter(given.python) if given.python else survey.own_environment(environ, folder)
        clients += [*survey.python(own), *survey.folder(folder)]
    node = survey.node_version() if any(found.language == "node" for found in clients) else ""
    own_environ = kept(environ)
    lost = frozenset[str]() if given.environment else processes.unreadable(own_environ)
    return [Application(name, own_environ, tuple(clients), node, lost)], []


def _pointed(environ: Mapping[str, str]) -> list[Installed]:
    """Nobody said what is installed: the clients that read a variable that is set there."""
    wanted = [row for row in CLIENTS if set(row.variables) & environ.keys() and row.language == "python"]
    return sorted({Installed(row.language, row.name, "(if installed)") for row in wanted})


def _from_container() -> tuple[list[Application], list[Finding]]:
    found, closed = processes.others()
    if found:
        said = f"the pod shares its processes: {len(found)} other container(s) can be seen"
        return found, [Finding(Level.OK, "this container", said)]
    if closed:
        said = f"{closed} processes of other containers belong to other users and cannot be read"
    else:
        said = "is the sidecar's own, and the application's cannot be seen from here"
    do = "kubectl exec POD -c APP -- env | llm-sidecar doctor --environment -"
    return [], [Finding(Level.ATTENTION, "this container", said, do)]


def _in_pod(environ: Mapping[str, str]) -> bool:
    return "KUBERNETES_SERVICE_HOST" in environ


# ---- the providers --------------------------------------------------------------------------------


def _providers(
    named: Sequence[str], settings: Settings, applications: Sequence[Application], busy: frozenset[str]
) -> list[Finding]:
    unknown = [name for name in named if name not in settings.providers]
    if unknown:
        known = ", ".join(sorted(settings.providers))
        return [
            Finding(Level.BROKEN, f"provider {unknown[0]}", "is none of the sidecar's", f"known: {known}")
        ]
    wanted = set(named) or used(settings, applications) | busy
    rows = [settings.providers[name] for name in sorted(wanted or MAIN) if name in settings.providers]
    findings = [judge.reached(seen) for seen in probe.providers(rows)]
    if wanted:
        return findings
    doubt = "; nothing says whether it is used"
    return [
        replace(f, level=Level.ATTENTION, said=f.said + doubt) if f.level is Level.BROKEN else f
        for f in findings
    ]


def used(settings: Settings, applications: Sequence[Application]) -> set[str]:
    """Providers that a route asks, or that an application's variable leads to."""
    found = {target.provider.name for route in settings.routes for target in route.targets}
    for app in applications:
        for value in app.environ.values():
            address = read(value)
            if address is not None and address.loopback and address.port == settings.listen.port:
                found.add(address.path.lstrip("/").partition("/")[0].partition("@")[0])
    return found & settings.providers.keys()
