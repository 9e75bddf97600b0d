"""1,000 calls, a process that is killed 50 times: what had a receipt is answered, to its owner alone."""

from __future__ import annotations

import multiprocessing
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from sidecar.core.jobs import owns, secrets_of
from sidecar.deferred.store import Store
from tests.deferred.child import key, serve

JOBS, KILLS = 1000, 50
MEMORY = Path("/dev/shm")  # noqa: S108  # what a killed process wrote outlives it there too, and faster


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as made:
        yield Path(made)


def receipts(folder: Path) -> dict[int, str]:
    file = folder / "receipts"
    lines = file.read_text().splitlines() if file.exists() else []
    return {int(number): job for number, job in (line.split() for line in lines)}


def kill_at_work(process: ForkServerProcess, folder: Path, notes: int) -> bool:
    """When it has written so many notes, however fast it is, so that it dies in the middle of something."""
    before = _noted(folder)
    while process.exitcode is None and _noted(folder) < before + notes:
        process.join(0.001)
    process.kill()
    process.join()
    return process.exitcode == -9


def _noted(folder: Path) -> int:
    files = map(folder.joinpath, ("receipts", "asked"))
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


def test_what_was_accepted_is_answered_however_often_the_process_is_killed(folder: Path):
    rng = random.Random(7)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.deferred.child"])
    killed, first = 0, 0
    while killed < KILLS:
        process = context.Process(target=serve, args=(folder, first, min(first + 40, JOBS)))
        process.start()
        killed += kill_at_work(process, folder, rng.randint(1, 24))
        # a call without a receipt may or may not be there: its client asks again
        first = max((number + 1 for number in receipts(folder)), default=0)
    assert first < JOBS, "the last ones died with nothing to do"
    process = context.Process(target=serve, args=(folder, first, JOBS))
    process.start()
    process.join(60)
    assert 0 == process.exitcode

    accepted = receipts(folder)
    store = Store(folder)
    assert list(range(JOBS)) == sorted(accepted)
    for number, job in accepted.items():
        found = store.find(job)
        assert found is not None, f"call {number} is lost"
        assert "answered" == found.state
        assert f"answer to call-{number}".encode() in found.answer
        assert owns(secrets_of((key(number),)), job, found.owner)
        assert not owns(secrets_of((key(number + 1),)), job, found.owner)
    assert {"waiting"}.isdisjoint(store.counts().jobs)
    store.close()
    asked = Counter((folder / "asked").read_text().splitlines())
    assert {f"call-{number} {job}" for number, job in accepted.items()} <= asked.keys(), "one key each"
    assert max(asked.values()) > 1, "no kill fell between an answer and its place on disk"
