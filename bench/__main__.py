"""`python -m bench`: the whole run. Exit 1: it failed, or missed a limit with --gate; 2: wrong options."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from bench import machine, report, subjects
from bench.load import Slice
from bench.report import PHASES, Cell, Phase
from bench.subjects import Subject, Trouble

WARM = 0.2
SETTLE = 1.0  # seconds before idle memory is read


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
    return 1 if options.gate and any(holds is not True for *_, holds in report.limits(results)) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What the sidecar costs.")
    parser.add_argument("--rounds", type=_count, default=5, help="turns of each subject (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one slice (default 1.0)")
    parser.add_argument("--starts", type=_count, default=5, help="cold starts; the best counts (default 5)")
    parser.add_argument("--nginx", metavar="PROGRAM", help="an nginx that is not on the path")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--gate", action="store_true", help="exit 1 if a limit is not met")
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no count; expected 1 or more")
    return int(text)


def _run(options: argparse.Namespace) -> report.Results:
    program = subjects.find_nginx(options.nginx)
    versions = {name: version(name) for name in ("llm-sidecar", "aiohttp", "uvloop")}
    versions = {"Python": platform.python_version(), **versions}
    if program:
        versions["nginx"] = subjects.version_of(program)
    results = report.Results(versions, machine.describe(), options.rounds, options.seconds)
    cores = machine.layout()
    machine.pin(os.getpid(), cores.load)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        ports = stack.enter_context(subjects.vendor(cores.load))
        load = stack.enter_context(subjects.load(cores.load))
        before = machine.ticks()
        for _ in range(options.starts - 1):
            with subjects.sidecar(home, ports, cores.subject) as (_, start):
                results.starts.append(start)
        sidecar, start = stack.enter_context(subjects.sidecar(home, ports, cores.subject))
        results.starts.append(start)
        assert sidecar.pid is not None
        time.sleep(SETTLE)
        results.idle = machine.memory(sidecar.pid)
        field = [Subject("direct", ports[0], "/v1/chat/completions")]
        if program:
            field.append(stack.enter_context(subjects.nginx(program, home, ports, cores.subject)))
        field.append(sidecar)
        # where there is one core all phases are the first one
        phases = [one for one in PHASES if cores.subject is not None or one.connections > 1 or not one.apart]
        for _ in range(options.rounds):
            for phase in phases:
                cells = results.phases.setdefault(phase.name, {one.name: Cell() for one in field})
                for subject in field:
                    if subject.pid is not None:
                        machine.pin(subject.pid, cores.subject if phase.apart else cores.load)
                    _slice(subject, load, phase, options.seconds, cells[subject.name])
        results.busy = machine.memory(sidecar.pid)
        results.steal = machine.stolen(before, machine.ticks())
    return results


def _slice(subject: Subject, load: subjects.Load, phase: Phase, seconds: float, cell: Cell) -> None:
    before = machine.cpu_seconds(subject.pid) if subject.pid else 0.0
    try:
        found = load.run(Slice(subject.port, subject.path, phase.connections, WARM, seconds))
    except Trouble as error:
        raise Trouble(f"{subject.name}, {phase.name}: {error}") from None
    cpu = (machine.cpu_seconds(subject.pid) - before) / found.requests if subject.pid else None
    cell.take(found.p50, found.p99, found.rps, cpu, found.measured)


def _json(results: report.Results) -> str:
    figures = asdict(results)
    figures["ratios"] = {
        phase: {what: results.ratio(phase, what) for what in ("p50", "p99")} for phase in results.phases
    }
    figures["limits"] = [
        dict(zip(("name", "found", "limit", "holds"), row, strict=True)) for row in report.limits(results)
    ]
    return json.dumps(figures, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main())
