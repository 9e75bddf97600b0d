"""`python -m bench`: the whole run. Exit 1: it failed, or missed a limit with --gate; 2: wrong options."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from bench import figures, machine, peers, report, subjects, telemetry, translation
from bench.phases import GROUPS
from bench.run import Run
from bench.subjects import Trouble

FILES = 4096  # open files that a thousand streams need, here and there


def main() -> int:
    options = _options()
    if not sys.platform.startswith("linux"):
        sys.stderr.write("bench: needs Linux: it reads /proc and pins processes to cores\n")
        return 2
    try:
        results = _run(options)
    except Trouble as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    print(report.text(results))
    if options.json:
        options.json.write_text(_json(results))
    return 1 if options.gate and any(holds is not True for *_, holds in figures.limits(results)) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What the sidecar costs.")
    parser.add_argument(
        "--phases",
        type=_groups,
        default=tuple(GROUPS),
        metavar="GROUPS",
        help=f"which ones, with commas (default {','.join(GROUPS)})",
    )
    parser.add_argument("--quick", action="store_true", help="about a minute: few rounds, short slices")
    parser.add_argument("--rounds", type=_count, help="turns of each subject (default 5, quick 2)")
    parser.add_argument("--seconds", type=float, help="of one slice (default 1.0, quick 0.4)")
    parser.add_argument("--stream-rounds", type=_count, help="the same for streams (default 3, quick 1)")
    parser.add_argument(
        "--stream-seconds", type=float, help="the life of a stream (default 4.0, quick 2.5; at least 2)"
    )
    parser.add_argument("--starts", type=_count, help="cold starts; the best counts (default 5, quick 2)")
    parser.add_argument("--nginx", metavar="PROGRAM", help="an nginx that is not on the path")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--gate", action="store_true", help="exit 1 if a limit is not met")
    options = parser.parse_args()
    usual = {"rounds": 5, "seconds": 1.0, "stream_rounds": 3, "stream_seconds": 4.0, "starts": 5}
    quick = {"rounds": 2, "seconds": 0.4, "stream_rounds": 1, "stream_seconds": 2.5, "starts": 2}
    for name, value in (quick if options.quick else usual).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.stream_seconds < 2:
        parser.error("--stream-seconds: a stream has to last at least 2 s, so that all are open for a while")
    return options


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no count; expected 1 or more")
    return int(text)


def _groups(text: str) -> tuple[str, ...]:
    named = tuple(text.split(","))
    for name in named:
        if name not in GROUPS:
            raise argparse.ArgumentTypeError(f"{name} is no group of phases; there are {', '.join(GROUPS)}")
    return named


def _run(options: argparse.Namespace) -> figures.Results:
    if machine.raise_files() < FILES:
        raise Trouble(f"needs {FILES} open files for a thousand streams; raise the hard limit (ulimit -Hn)")
    given = {"nginx": options.nginx}
    programs = {peer.name: peers.find(peer.name, given.get(peer.name)) for peer in peers.PEERS}
    if options.nginx and programs["nginx"] is None:
        raise Trouble(f"--nginx: {options.nginx} is no program that can be run")
    versions = {name: version(name) for name in ("llm-sidecar", "aiohttp", "uvloop")}
    versions = {"Python": platform.python_version(), **versions}
    there = [(peer, program) for peer in peers.PEERS if (program := programs[peer.name])]
    versions |= {peer.name: peers.version_of(peer, program) for peer, program in there}
    results = figures.Results(
        versions,
        _absent(programs),
        machine.describe(),
        options.rounds,
        options.seconds,
        options.stream_rounds,
        options.stream_seconds,
    )
    cores = machine.layout()
    machine.pin(os.getpid(), cores.load)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        ports = stack.enter_context(subjects.vendor(home, cores.load))
        load = stack.enter_context(subjects.load(cores.load))
        before = machine.ticks()
        for _ in range(options.starts - 1):
            with subjects.sidecar(home, ports, cores.subject) as (_, start):
                results.starts.append(start)
        if "translation" in options.phases:
            results.translation = translation.measure(cores)
        if "telemetry" in options.phases:
            results.telemetry = telemetry.measure(home, ports, load, cores, options.rounds, options.seconds)
        sidecar, start = stack.enter_context(subjects.sidecar(home, ports, cores.subject))
        results.starts.append(start)
        assert sidecar.pid is not None
        results.idle = machine.settled(sidecar.pid)
        field = [subjects.direct(ports)]
        field += [
            stack.enter_context(subjects.peer(peer, program, home, ports, cores.subject))
            for peer, program in there
        ]
        field.append(sidecar)
        Run(results, load, ports.pid, cores, field).all(options.phases)
        results.busy = machine.memory(sidecar.pid)
        results.steal = machine.stolen(before, machine.ticks())
    return results


def _absent(programs: Mapping[str, str | None]) -> tuple[str, ...]:
    """Who is not in this run, and why."""
    gone = tuple(f"{name} (not installed)" for name, program in programs.items() if program is None)
    why = "not run: it writes answers anew" if peers.find("litellm") else "not installed"
    return (*gone, f"litellm ({why})")


def _json(results: figures.Results) -> str:
    found = asdict(results)
    found["ratios"] = {
        phase: {what: results.ratio(phase, what) for what in ("p50", "p99")} for phase in results.phases
    }
    found["limits"] = [
        dict(zip(("name", "found", "limit", "holds"), row, strict=True)) for row in figures.limits(results)
    ]
    return json.dumps(found, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main())
