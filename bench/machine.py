"""What Linux says about this machine and its processes: cores, stolen time, CPU and memory."""

from __future__ import annotations

import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
SETTLE = 1.0  # seconds before idle memory is read


@dataclass(frozen=True, slots=True)
class Layout:
    """Which core measures and which one is measured; None: too few to choose."""

    load: int | None
    subject: int | None


def layout() -> Layout:
    cores = sorted(os.sched_getaffinity(0))
    return Layout(cores[0], cores[1]) if len(cores) > 1 else Layout(None, None)


def pin(pid: int, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(pid, {core})


def raise_files() -> int:
    """As many open files as we may have, for us and for whom we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@dataclass(frozen=True, slots=True)
class Ticks:
    """Of all cores together, since boot."""

    all: int
    stolen: int


def ticks() -> Ticks:
    fields = [int(word) for word in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    return Ticks(sum(fields), fields[7])


def stolen(before: Ticks, after: Ticks) -> float:
    """The share that the hypervisor gave to others."""
    return (after.stolen - before.stolen) / max(1, after.all - before.all)


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of all threads: on a core, and ready but waiting for one that others had."""

    spent: float
    waited: float


def cpu(pid: int) -> Cpu:
    spent = waited = 0
    for thread in (PROC / str(pid) / "task").iterdir():
        fields = (thread / "schedstat").read_text().split()
        spent += int(fields[0])
        waited += int(fields[1])
    return Cpu(spent / 1e9, waited / 1e9)


def cpu_seconds(pid: int) -> float:
    return cpu(pid).spent


@dataclass(frozen=True, slots=True)
class Memory:
    """In bytes. PSS shares a page among all who map it; RSS counts it for each of them;
    `own` is what would be free if the process ended."""

    pss: int
    rss: int
    own: int


def memory(pid: int) -> Memory:
    found = {}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) * 1024
    return Memory(found["Pss"], found["Rss"], found["Private_Clean"] + found["Private_Dirty"])


def clock() -> float:
    """Seconds of the clock that all processes share."""
    return time.monotonic_ns() / 1e9


def settled(pid: int) -> Memory:
    time.sleep(SETTLE)
    return memory(pid)


def describe() -> str:
    """The machine's class, without its name."""
    model = "unknown processor"
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{len(os.sched_getaffinity(0))} cores, {model}, Linux {platform.release().split('-')[0]}"
