"""What the phase `telemetry` says of its figures."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bench.telemetry import Telemetry, Traced

MEASURED = Telemetry(
    finish=60e-6,
    spans=60e-6,
    scrape=3e-3,
    scrape_open=9.0,
    samples=1200,
    pss=60 * 2**20,
    tracing=[
        Traced("no tracing", [1e-3] * 3, [2.00e-3, 2.00e-3, 2.00e-3]),
        Traced("no tracing again", [1e-3] * 3, [2.04e-3, 1.98e-3, 2.02e-3]),
        Traced("tracing over http", [1e-3], [2e-3]),
        Traced("dead collector", [1e-3] * 3, [2.04e-3, 2.00e-3, 2.03e-3]),
    ],
)


def test_figures_on_their_limits_hold():
    assert [True] * 5 == [holds for *_, holds in MEASURED.limits()]


@pytest.mark.parametrize(
    ("name", "value"), [("finish", 61e-6), ("spans", 61e-6), ("scrape", 3.1e-3), ("pss", 63e6)]
)
def test_each_figure_beyond_its_limit_is_missed_alone(name: str, value: float):
    changed: dict[str, Any] = {name: value}
    beyond = dataclasses.replace(MEASURED, **changed)

    assert [False] == [holds for *_, holds in beyond.limits() if not holds]


def test_a_dead_collector_costs_no_more_than_twins_differ_by():
    assert MEASURED.noise() == pytest.approx((-20e-6, 20e-6))
    assert MEASURED.dead() == pytest.approx(20e-6)


def test_a_dead_collector_that_costs_more_is_missed():
    *others, _ = MEASURED.tracing
    slow = Traced("dead collector", [1e-3] * 3, [2.05e-3, 2.02e-3, 2.04e-3])

    assert [False] == [
        holds for *_, holds in dataclasses.replace(MEASURED, tracing=[*others, slow]).limits() if not holds
    ]
