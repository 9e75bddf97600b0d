"""`python -m bench.soak`: many streams for minutes through one sidecar that is short of processor.

What has to hold under the default resources: memory stays below 60 % of the container's limit, and no
stream stalls or breaks by our doing. The sidecar shares one core with the vendor and the load, and gives
way to them; who is not that patient says `--seconds`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import machine, streams, subjects
from bench.machine import clock

LIMIT = 512 * 1024 * 1024  # bytes, of the container
SHARE = 0.6  # of it
STALLED = 1.0  # seconds between the vendor's write and our read
LATE = 30.0  # seconds that a stream may end late on a busy machine; what we add is seen in the delays
NICE = 5
OPENING = 2.0  # seconds in which all streams are opened


@dataclass(frozen=True, slots=True)
class Soaked:
    carried: streams.Carried
    streams: int
    peak: int  # bytes, resident
    cpu: float  # seconds

    def faults(self) -> list[str]:
        found = [self.carried.error] if self.carried.error else []
        if self.carried.held < self.streams:
            found.append(f"{self.streams - self.carried.held} of {self.streams} streams did not come whole")
        if self.carried.delay_p99 - max(0.0, self.carried.late) > STALLED:
            found.append(f"p99 of the delay is {self.carried.delay_p99:.3f} s")
        if self.peak > SHARE * LIMIT:
            found.append(f"memory rose to {self.peak / LIMIT:.0%} of the limit, allowed are {SHARE:.0%}")
        return found


def soak(seconds: float, number: int, rate: int, home: Path) -> Soaked:
    gap = max(1, round(1000 / rate))
    with subjects.vendor(home, None) as ports, subjects.sidecar(home, ports, None) as (subject, _):
        pid = subject.pid
        assert pid is not None
        core = min(os.sched_getaffinity(0))
        machine.pin(pid, core)
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
        began = machine.cpu_seconds(pid)
        start = clock() + 0.2
        order = streams.Order(
            port=subject.plain.port,
            path=subject.plain.path,
            streams=number,
            events=max(1, int(seconds * 1000 / gap)),
            gap=gap,
            opening=OPENING,
            start=start,
            steady=start + OPENING,
            until=start + seconds,
            grace=LATE,
        )
        carried, peak = asyncio.run(_watched(order, pid))
        return Soaked(carried, number, peak, machine.cpu_seconds(pid) - began)


async def _watched(order: streams.Order, pid: int) -> tuple[streams.Carried, int]:
    """What the streams came to, and the most memory seen meanwhile."""
    running = asyncio.create_task(streams.run(order))  # noqa: TID251  # beside the looking
    peak = machine.memory(pid).rss
    while not running.done():
        await asyncio.wait((running,), timeout=1.0)
        peak = max(peak, machine.memory(pid).rss)
    return running.result(), peak


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rate", type=int, default=50, help="events per second and stream")
    arguments = parser.parse_args(argv)
    machine.raise_files()
    with tempfile.TemporaryDirectory() as home:
        found = soak(arguments.seconds, arguments.streams, arguments.rate, Path(home))
    carried = found.carried
    print(
        f"{carried.held} of {found.streams} streams whole, {carried.events} events; "
        f"delay p50 {carried.delay_p50 * 1000:.1f} ms, p99 {carried.delay_p99 * 1000:.1f} ms; "
        f"memory {found.peak / 2**20:.0f} MiB ({found.peak / LIMIT:.0%} of the limit); "
        f"{found.cpu:.1f} s of processor"
    )
    faults = found.faults()
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
