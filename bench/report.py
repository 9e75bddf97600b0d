"""The figures of a run, and how they are shown and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.machine import Memory
from bench.subjects import Start

RATIO = 16.0  # times nginx's added p50, one connection
IDLE = 45 * 2**20  # bytes of PSS
LISTENING = 1.0  # seconds
STEAL = 0.02  # beyond it figures say little
MEANT = 5e-6  # seconds: an nginx that adds less than this is no measure


@dataclass(frozen=True, slots=True)
class Phase:
    """`apart`: the subject has a core of its own. With one connection only one process works at a
    time, so that sharing a core costs nothing, and waking a sleeping core (which costs more than
    nginx's whole work on many virtual machines) is no part of the figure."""

    name: str
    connections: int
    apart: bool


PHASES = (
    Phase("1 connection, one core", 1, apart=False),
    Phase("1 connection, cores apart", 1, apart=True),
    Phase("32 connections, cores apart", 32, apart=True),
)


@dataclass(slots=True)
class Cell:
    """One subject in one phase: the best of its rounds. Seconds; CPU per request."""

    p50: float = float("inf")
    p99: float = float("inf")
    rps: float = 0.0
    cpu: float | None = None
    requests: int = 0

    def take(self, p50: float, p99: float, rps: float, cpu: float | None, requests: int) -> None:
        self.p50 = min(self.p50, p50)
        self.p99 = min(self.p99, p99)
        self.rps = max(self.rps, rps)
        if cpu is not None:
            self.cpu = cpu if self.cpu is None else min(self.cpu, cpu)
        self.requests += requests


@dataclass(slots=True)
class Results:
    versions: dict[str, str]
    machine: str
    rounds: int
    seconds: float
    phases: dict[str, dict[str, Cell]] = field(default_factory=dict)  # by phase, by subject
    starts: list[Start] = field(default_factory=list)
    idle: Memory | None = None
    busy: Memory | None = None  # after all slices
    steal: float = 0.0

    def added(self, phase: str, name: str, what: str) -> float:
        cells = self.phases[phase]
        return float(getattr(cells[name], what) - getattr(cells["direct"], what))

    def ratio(self, phase: str, what: str) -> float | None:
        """The sidecar's added latency in nginx's; None if nginx's is too small to divide by."""
        if "nginx" not in self.phases[phase]:
            return None
        nginx = self.added(phase, "nginx", what)
        return self.added(phase, "sidecar", what) / nginx if nginx >= MEANT else None

    @property
    def start(self) -> Start:
        return Start(min(one.listening for one in self.starts), min(one.answered for one in self.starts))


def limits(results: Results) -> list[tuple[str, str, str, bool | None]]:
    """What has to hold: name, found, limit, whether it does. None: not measured."""
    alone = [phase.name for phase in PHASES if phase.connections == 1 and phase.name in results.phases]
    found = [one for one in (results.ratio(name, "p50") for name in alone) if one is not None]
    ratio = max(found, default=None)  # a ratio that is good because the machine wakes slowly is none
    idle = results.idle
    return [
        (
            "added p50 at 1 connection, times nginx's",
            "not measured" if ratio is None else f"{ratio:.1f}",
            f"{RATIO:g}",
            None if ratio is None else ratio <= RATIO,
        ),
        (
            "idle memory (PSS), MiB",
            "not measured" if idle is None else f"{idle.pss / 2**20:.1f}",
            f"{IDLE / 2**20:g}",
            None if idle is None else idle.pss <= IDLE,
        ),
        (
            "start to listening, s",
            f"{results.start.listening:.2f}",
            f"{LISTENING:g}",
            results.start.listening <= LISTENING,
        ),
    ]


def text(results: Results) -> str:
    parts = [_heading(results)]
    parts += [_phase(results, phase) for phase in results.phases]
    parts += [_life(results), _verdicts(results)]
    return "\n\n".join(parts)


def _heading(results: Results) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    lines = [results.machine, versions]
    lines.append(
        f"best of {results.rounds} rounds of {results.seconds:g} s, subjects in turn; "
        f"hypervisor steal {results.steal:.1%}"
    )
    if results.steal > STEAL:
        lines.append(f"WARNING: steal above {STEAL:.0%}; run again when the machine is quiet")
    if "nginx" not in results.versions:
        lines.append("without nginx (Debian: apt-get install nginx-light): compared with direct only")
    return "\n".join(lines)


def _phase(results: Results, phase: str) -> str:
    head = ("subject", "p50 us", "p99 us", "added p50", "added p99", "x nginx p50", "x nginx p99")
    rows: list[Sequence[str]] = [(*head, "req/s", "CPU us/req", "x nginx")]
    nginx = results.phases[phase].get("nginx", Cell()).cpu
    for name, cell in results.phases[phase].items():
        added = ["-"] * 2
        ratios = ["-"] * 2
        if name != "direct":
            added = [_us(results.added(phase, name, what)) for what in ("p50", "p99")]
        if name == "sidecar":
            found = [results.ratio(phase, what) for what in ("p50", "p99")]
            ratios = ["-" if one is None else f"{one:.1f}" for one in found]
        cpu = "-" if cell.cpu is None else _us(cell.cpu)
        times = "-" if name != "sidecar" or not cell.cpu or not nginx else f"{cell.cpu / nginx:.1f}"
        rows.append((name, _us(cell.p50), _us(cell.p99), *added, *ratios, f"{cell.rps:.0f}", cpu, times))
    return f"{phase}, closed loop\n{table(rows)}"


def _life(results: Results) -> str:
    rows: list[Sequence[str]] = [("sidecar", "PSS MiB", "RSS MiB", "own MiB")]
    for name, found in (("idle", results.idle), ("after the load", results.busy)):
        if found is not None:
            rows.append((name, *(f"{one / 2**20:.1f}" for one in (found.pss, found.rss, found.own))))
    start = results.start
    return (
        f"{table(rows)}\nstart to listening {start.listening:.3f} s, "
        f"to the first answer {start.answered:.3f} s (best of {len(results.starts)})"
    )


def _verdicts(results: Results) -> str:
    words = {True: "ok", False: "MISSED", None: "not measured"}
    rows: list[Sequence[str]] = [("limit", "found", "at most", "")]
    rows += [(name, found, limit, words[holds]) for name, found, limit, holds in limits(results)]
    return table(rows)


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """First column to the left, the others to the right; the first row is the head."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
