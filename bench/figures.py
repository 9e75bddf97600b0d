"""The figures of a run, how the best of the rounds is kept, and what has to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.machine import Memory
from bench.phases import ALONE, GROUPS, MANY, Streams
from bench.streams import Carried
from bench.subjects import Start
from bench.telemetry import Telemetry
from bench.translation import Translation

RATIO = 16.0  # times nginx's added p50, one connection
IDLE = 45 * 2**20  # bytes of PSS
LISTENING = 1.0  # seconds
TAKEN = 0.1  # of a subject's core by others: beyond it delays say little
STEAL = 0.02  # beyond it figures say little
MEANT = 5e-6  # seconds: an nginx that adds less than this is no measure
LATE = 0.25  # of the time between two events: a vendor that is later than this (p99) did not keep pace
ALL = [phase for group in GROUPS.values() for phase in group if isinstance(phase, Streams)]


@dataclass(slots=True)
class Cell:
    """One subject in a closed loop: the best of its rounds. Seconds; CPU per request."""

    p50: float = float("inf")
    p99: float = float("inf")
    rps: float = 0.0
    cpu: float | None = None
    requests: int = 0

    def take(self, p50: float, p99: float, rps: float, cpu: float | None, requests: int) -> None:
        self.p50 = min(self.p50, p50)
        self.p99 = min(self.p99, p99)
        self.rps = max(self.rps, rps)
        self.cpu = least(self.cpu, cpu)
        self.requests += requests


@dataclass(slots=True)
class Flow:
    """One subject with streams: the best of its rounds, but the worst of what it held and of its
    memory. Seconds; CPU per event, of the time in which all streams are open."""

    first_p50: float = float("inf")
    first_p99: float = float("inf")
    delay_p50: float = float("inf")
    delay_p99: float = float("inf")
    cpu: float | None = None
    share: float | None = None  # of its core, in the round that was disturbed least
    waited: float | None = None  # share of the time in which other programs had its core
    held: int | None = None  # streams
    rounds: int = 0
    rounds_held: int = 0  # with every stream
    late: float = float("inf")  # of the vendor, p99
    harness: float | None = None  # the core's share that load and vendor needed
    memory: Memory | None = None
    trouble: str = ""

    def take(self, found: Carried, streams: int) -> None:
        self.first_p50 = min(self.first_p50, found.first_p50)
        self.first_p99 = min(self.first_p99, found.first_p99)
        self.delay_p50 = min(self.delay_p50, found.delay_p50)
        self.delay_p99 = min(self.delay_p99, found.delay_p99)
        self.late = min(self.late, found.late)
        self.held = found.held if self.held is None else min(self.held, found.held)
        self.rounds += 1
        self.rounds_held += found.held == streams
        self.trouble = self.trouble or found.error

    def strain(self, harness: float, seconds: float) -> None:
        """CPU seconds of load and vendor in so much time."""
        self.harness = least(self.harness, harness / seconds)

    def spend(self, cpu: float, waited: float, events: int, seconds: float) -> None:
        """CPU seconds of the subject, and those it waited for its core, while so many events came."""
        if events:
            self.cpu = least(self.cpu, cpu / events)
        if self.waited is None or waited / seconds < self.waited:
            self.waited, self.share = waited / seconds, cpu / seconds

    @property
    def disturbed(self) -> bool:
        """Did other programs have the core too often?"""
        return self.waited is not None and self.waited > TAKEN

    def weigh(self, memory: Memory) -> None:
        if self.memory is None or memory.pss > self.memory.pss:
            self.memory = memory


def least(one: float | None, other: float | None) -> float | None:
    return min((found for found in (one, other) if found is not None), default=None)


@dataclass(slots=True)
class Results:
    versions: dict[str, str]
    absent: tuple[str, ...]  # peers, and why they are not in this run
    machine: str
    rounds: int
    seconds: float
    stream_rounds: int
    stream_seconds: float
    phases: dict[str, dict[str, Cell]] = field(default_factory=dict)  # by phase, by subject
    streams: dict[str, dict[str, Flow]] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)
    idle: Memory | None = None
    busy: Memory | None = None  # after all slices
    telemetry: Telemetry | None = None
    translation: Translation | None = None
    steal: float = 0.0

    def added(self, phase: str, name: str, what: str) -> float:
        cells: Mapping[str, Cell | Flow] = (
            self.streams[phase] if phase in self.streams else self.phases[phase]
        )
        return float(getattr(cells[name], what) - getattr(cells["direct"], what))

    def ratio(self, phase: str, what: str) -> float | None:
        """The sidecar's added latency in nginx's; None if nginx's is too small to divide by."""
        if "nginx" not in self.phases[phase]:
            return None
        nginx = self.added(phase, "nginx", what)
        return self.added(phase, "sidecar", what) / nginx if nginx >= MEANT else None

    def kept_pace(self, phase: str) -> bool:
        """Did the harness itself do what it asked of the subjects?"""
        direct = self.streams[phase]["direct"]
        gap = next(one.gap for one in ALL if one.name == phase)
        return direct.rounds_held > 0 and direct.late <= LATE * gap / 1000

    @property
    def start(self) -> Start:
        return Start(min(one.listening for one in self.starts), min(one.answered for one in self.starts))


def limits(results: Results) -> list[tuple[str, str, str, bool | None]]:
    """What has to hold: name, found, limit, whether it does. None: not measured."""
    found = [
        one for name in ALONE if name in results.phases and (one := results.ratio(name, "p50")) is not None
    ]
    ratio = max(found, default=None)  # a ratio that is good because the machine wakes slowly is none
    idle = results.idle
    return [
        (
            "added p50 at 1 connection, times nginx's",
            "not measured" if ratio is None else f"{ratio:.1f}",
            f"at most {RATIO:g}",
            None if ratio is None else ratio <= RATIO,
        ),
        *(_held(results, name) for name in results.streams),
        *(results.telemetry.limits() if results.telemetry else ()),
        *(results.translation.limits() if results.translation else ()),
        (
            "idle memory (PSS), MiB",
            "not measured" if idle is None else f"{idle.pss / 2**20:.1f}",
            f"at most {IDLE / 2**20:g}",
            None if idle is None else idle.pss <= IDLE,
        ),
        (
            "start to listening, s",
            f"{results.start.listening:.2f}",
            f"at most {LISTENING:g}",
            results.start.listening <= LISTENING,
        ),
    ]


def _held(results: Results, name: str) -> tuple[str, str, str, bool | None]:
    """Where the harness could not keep pace, or others had the core, nothing is said of the sidecar."""
    flow = results.streams[name]["sidecar"]
    calm = results.kept_pace(name) and not flow.disturbed
    holds = True if flow.rounds_held else (False if calm else None)
    return (f"{name}: rounds held", f"{flow.rounds_held} of {flow.rounds}", "at least 1", holds)


def many(results: Results) -> Memory | None:
    """The sidecar's memory with a thousand streams open."""
    flows = results.streams.get(MANY)
    return flows["sidecar"].memory if flows else None


def events_of(phase: Streams, seconds: float) -> int:
    """Of one stream that lasts so long."""
    return max(2, round(seconds * phase.rate))
