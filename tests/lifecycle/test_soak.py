"""The soak for a few seconds: whether it can be run, and what it would object to."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from bench.soak import LIMIT, Soaked
from bench.streams import Carried
from tests.docs.pages import ROOT

GOOD = Soaked(Carried(0.1, 0.2, 0.01, 0.05, 0.0, 20, 400, 300), streams=20, peak=LIMIT // 4, cpu=1.0)


@pytest.mark.process
def test_streams_come_whole_within_the_memory():
    command = [sys.executable, "-m", "bench.soak", "--seconds", "3", "--streams", "20", "--rate", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)  # noqa: S603

    assert "20 of 20 streams whole, 1200 events" in done.stdout, done.stderr
    assert "memory" not in done.stderr


def test_a_soak_objects_to_lost_streams_to_stalls_and_to_memory():
    assert [] == GOOD.faults()
    assert "1 of 20 streams" in replace(GOOD, carried=replace(GOOD.carried, held=19)).faults()[0]
    assert "delay" in replace(GOOD, carried=replace(GOOD.carried, delay_p99=2.0)).faults()[0]
    assert "memory rose" in replace(GOOD, peak=LIMIT).faults()[0]
