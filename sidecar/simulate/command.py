"""`llm-sidecar simulate`: which days are run under which policies, by how many processes.

Days are handed out seed by seed, so that what is there when somebody has enough (Ctrl-C) is whole:
a day counts once every policy in every world has lived through it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sidecar import config
from sidecar.simulate import ours, published
from sidecar.simulate.measure import Figures, Row
from sidecar.simulate.report import Report
from sidecar.simulate.world import CALLS, WORLDS, Day

HELP = """\
Runs a day of 50,000 calls in virtual time under several policies and says what becomes of them: how
many fail, how long answers take, what they cost, how many attempts they take and who answers.

A world says what a day's bad luck is drawn from: outages of the primary provider, attempts that never
answer, rate limits, and how much of it hits the other providers too. The same seed is the same day for
every policy. Five policies are models of a table that was published; the others are the sidecar's own
code, built from configuration: without one, with a chain of three, and tuned for this world.
A call has succeeded if it got a full answer. A degraded one (static, cached) counts as failed.

  llm-sidecar simulate --seeds 3                          # a few minutes instead of most of an hour
  llm-sidecar simulate --requests 5000 --seeds 5          # shorter days at the same pace
  llm-sidecar simulate --world storms --policy tuned      # one row
  llm-sidecar simulate --config sidecar.yaml --route chat # your route's rules, on the world's providers

Ctrl-C ends it with the days that are whole."""
FOLLOW = """\
The figures are the policies' in this model of a day, not a promise about your provider: docs/simulate.md.
A route of yours is asked in OpenAI's chat dialect, not streamed; its chain's providers become the
primary, the peer and the last, in their order."""

HARDER = ("fallback", "default", "tuned", "yours")  # in the other worlds, unless policies are named
PROCESSES = 2

Policy = published.Policy | ours.Policy


class Job(NamedTuple):
    """One policy's day in one world."""

    seed: int
    world: str
    policy: str
    calls: int
    own: tuple[str, str | None] | None  # path of a configuration, and the route's name


class Wrong(Exception):  # like ConfigError
    """What was given names nothing. The text is for people."""


def main(argv: Sequence[str] | None = None) -> int:
    """0: done, or ended by the user with at least one day; 1: ended before; 2: what was given is wrong."""
    parser = _parser()
    given = parser.parse_args(argv)
    own = None if given.config is None else (str(given.config), given.route)
    try:
        policies = _policies(own)
    except (config.ConfigError, Wrong) as error:
        _say(str(error))
        return 2
    unknown = [name for name in given.policy or () if name not in policies]
    if unknown:
        parser.error(f"no policy is called {unknown[0]!r}; there are {', '.join(policies)}")
    if given.route is not None and own is None:
        parser.error("--route names a route of --config FILE")
    rows = [
        (world.name, name)
        for world in WORLDS
        if not given.world or world.name in given.world
        for name in policies
        if (name in given.policy if given.policy else world is WORLDS[0] or name in HARDER)
    ]
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    jobs = [Job(seed, world, name, given.requests, own) for seed in seeds for world, name in rows]
    found = _run(jobs, given.processes, _progress if sys.stderr.isatty() else _silent)
    whole = [seed for seed in seeds if len(found[seed]) == len(rows)]
    if not whole:
        _say("Stopped before the first day was over.")
        return 1
    report = _report(given.requests, whole, rows, policies, found)
    if given.json:
        print(json.dumps(report.plain(), indent=1))  # noqa: T201
    else:
        print(report.text())  # noqa: T201
    if len(whole) < len(seeds):
        _say(f"Stopped: {len(whole)} of {len(seeds)} days.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llm-sidecar simulate",
        description=HELP,
        epilog=FOLLOW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=_count, default=30, help="how many days; default: %(default)s")
    parser.add_argument("--first-seed", type=_count, default=1, help="default: %(default)s")
    parser.add_argument(
        "--requests", type=_count, default=CALLS, help="of a day; fewer make it shorter; default: %(default)s"
    )
    parser.add_argument(
        "--world",
        action="append",
        choices=[world.name for world in WORLDS],
        help="repeatable; default: all, the published one with every policy",
    )
    parser.add_argument("--policy", action="append", metavar="NAME", help="repeatable; a row of the table")
    parser.add_argument("--config", "-c", type=Path, metavar="FILE", help='adds the policy "yours"')
    parser.add_argument("--route", metavar="NAME", help="of the configuration; default: its first")
    parser.add_argument(
        "--processes", type=_count, default=PROCESSES, help="default: %(default)s; 1: none but this one"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _count(text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= count <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1000000, got {text!r}")
    return count


def _policies(own: tuple[str, str | None] | None) -> dict[str, Policy]:
    """By name, in the table's order. Raises ConfigError and Wrong."""
    found: list[Policy] = [*published.POLICIES, ours.unconfigured(), ours.default(), ours.tuned()]
    if own is not None:
        path, name = own
        settings = config.load(Path(path))
        routes = {route.name: route for route in settings.routes}
        if not routes:
            raise Wrong(f"{path}: it has no route to simulate")
        if name is not None and name not in routes:
            raise Wrong(f"{path}: no route is called {name!r}; there are {', '.join(routes)}")
        route = routes[name or next(iter(routes))]
        found.append(ours.of_route("yours", f"route {route.name} of {Path(path).name}", settings, route))
    return {policy.name: policy for policy in found}


def run(job: Job) -> Figures:
    """One day. The same job gives the same figures, in whatever process."""
    world = next(world for world in WORLDS if world.name == job.world)
    return _policies(job.own)[job.policy].run(Day(world, job.seed, job.calls)).sum()


Found = dict[int, dict[tuple[str, str], Figures]]  # by seed, then by world and policy


def _run(jobs: Sequence[Job], processes: int, progress: Callable[[int, int], None]) -> Found:
    """What is there at the end, or when Ctrl-C comes."""
    found: Found = defaultdict(dict)
    try:
        with _workers(processes) as work:
            for done, (job, figures) in enumerate(work(jobs), 1):
                found[job.seed][job.world, job.policy] = figures
                progress(done, len(jobs))
    except KeyboardInterrupt:
        pass
    return found


def _worked(job: Job) -> tuple[Job, Figures]:
    return job, run(job)


@contextmanager
def _workers(processes: int) -> Iterator[Callable[[Iterable[Job]], Iterator[tuple[Job, Figures]]]]:
    if processes == 1:
        yield lambda jobs: map(_worked, jobs)
        return
    context = multiprocessing.get_context("spawn")
    # Ctrl-C goes to the whole group; leaving the pool's frame ends its processes
    with context.Pool(processes, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield lambda jobs: pool.imap_unordered(_worked, jobs)


def _report(
    calls: int,
    seeds: Sequence[int],
    rows: Sequence[tuple[str, str]],
    policies: dict[str, Policy],
    found: Found,
) -> Report:
    names = {name for _, name in rows}
    return Report(
        calls=calls,
        seeds=seeds,
        worlds=[world for world in WORLDS if any(world.name == name for name, _ in rows)],
        rows=[Row(world, name, tuple(found[seed][world, name] for seed in seeds)) for world, name in rows],
        told={name: policy.told for name, policy in policies.items() if name in names},
        printed={policy.name: policy.printed for policy in published.POLICIES if policy.name in names},
        goals=[
            name for name, policy in policies.items() if isinstance(policy, ours.Policy) and name in names
        ],
    )


def _progress(done: int, jobs: int) -> None:
    print(f"\r{done} of {jobs} days", end="\n" if done == jobs else "", file=sys.stderr, flush=True)  # noqa: T201


def _silent(done: int, jobs: int) -> None:
    """Nobody watches."""


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201
