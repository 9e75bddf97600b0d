"""The rounds: every phase, every subject in turn, and what each slice cost."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from bench import machine
from bench.figures import Cell, Flow, Results, events_of
from bench.load import Slice
from bench.phases import GROUPS, MANY, Requests, Streams
from bench.streams import Order
from bench.subjects import Load, Subject, Trouble

WARM = 0.2
AHEAD = 0.1  # seconds from an order to its first stream
CALM = 0.3  # seconds after the last stream was opened, and before the first one ends


@dataclass(frozen=True, slots=True)
class Run:
    results: Results
    load: Load
    vendor: int  # its process
    cores: machine.Layout
    field: list[Subject]

    def all(self, groups: Iterable[str]) -> None:
        phases = [phase for group in groups for phase in GROUPS[group]]
        for number in range(max(self.results.rounds, self.results.stream_rounds)):
            for phase in phases:
                if isinstance(phase, Streams):
                    if number < self.results.stream_rounds:
                        self._streams(phase)
                elif number < self.results.rounds and not self._twice(phase):
                    self._requests(phase)

    def _twice(self, phase: Requests) -> bool:
        """Where there is one core, cores apart is the same as one core."""
        return self.cores.subject is None and phase.connections == 1 and phase.apart

    def _requests(self, phase: Requests) -> None:
        cells = self.results.phases.setdefault(phase.name, {one.name: Cell() for one in self.field})
        for subject in self.field:
            if subject.pid is not None:
                machine.pin(subject.pid, self.cores.subject if phase.apart else self.cores.load)
            way = subject.way(tls=phase.tls)
            before = machine.cpu_seconds(subject.pid) if subject.pid else 0.0
            what = Slice(way.port, way.path, phase.connections, WARM, self.results.seconds, way.ca)
            try:
                found = self.load.run(what)
            except Trouble as error:
                raise Trouble(f"{subject.name}, {phase.name}: {error}") from None
            cpu = (machine.cpu_seconds(subject.pid) - before) / found.requests if subject.pid else None
            cells[subject.name].take(found.p50, found.p99, found.rps, cpu, found.measured)

    def _streams(self, phase: Streams) -> None:
        flows = self.results.streams.setdefault(phase.name, {one.name: Flow() for one in self.field})
        for subject in self.field:
            if subject.pid is not None:
                machine.pin(subject.pid, self.cores.subject)
            self._carry(subject, phase, flows[subject.name])

    def _carry(self, subject: Subject, phase: Streams, flow: Flow) -> None:
        seconds = self.results.stream_seconds
        start = machine.clock() + AHEAD
        steady, until = start + phase.opening + CALM, start + seconds - CALM
        way = subject.way(tls=phase.tls)
        events = events_of(phase, seconds)
        self.load.begin(
            Order(
                way.port,
                way.path,
                phase.streams,
                events,
                phase.gap,
                phase.opening,
                start,
                steady,
                until,
                way.ca,
            )
        )
        before, idle = self._cpu(subject, steady)
        after, busy = self._cpu(subject, until)
        if subject.pid is not None and phase.name == MANY:
            flow.weigh(machine.memory(subject.pid))
        found = self.load.carried()
        flow.take(found, phase.streams)
        window = until - steady
        flow.strain(busy - idle, window)
        if before is not None and after is not None:
            flow.spend(after.spent - before.spent, after.waited - before.waited, found.steady, window)

    def _cpu(self, subject: Subject, at: float) -> tuple[machine.Cpu | None, float]:
        """CPU of the subject and of the harness at that moment."""
        time.sleep(max(0.0, at - machine.clock()))
        own = machine.cpu(subject.pid) if subject.pid else None
        return own, machine.cpu_seconds(self.load.process.pid) + machine.cpu_seconds(self.vendor)
