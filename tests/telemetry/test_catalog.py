"""The rows of the catalogue, and what is printed from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.telemetry.catalog import CATALOG, PREFIX, Metric, MetricKind, reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


@pytest.mark.parametrize("metric", CATALOG, ids=lambda m: m.name)
def test_a_row_keeps_the_naming_rules(metric: Metric):
    base = metric.name.removesuffix("_total")

    assert metric.name.startswith(PREFIX)
    assert (metric.kind is MetricKind.COUNTER) == metric.name.endswith("_total")
    assert (metric.kind is MetricKind.HISTOGRAM) == bool(metric.buckets)
    assert base.endswith(metric.unit)
    assert metric.help.endswith(".")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.bound >= 1


def test_names_are_unique():
    assert len(CATALOG) == len({metric.name for metric in CATALOG})


def test_a_full_pod_stays_within_the_budget_of_series():
    """R27: at most 1,200 per pod in full detail; what is not there unless it is configured comes on top."""
    assert sum(metric.series for metric in CATALOG if not metric.optional) <= 1200
    assert sum(metric.series for metric in CATALOG if metric.optional) <= 80


def test_no_label_can_name_a_person_a_key_or_a_request():
    private = {"user", "key", "path_raw", "ip", "trace_id", "call", "url", "query", "status"}

    assert set() == private & {label for metric in CATALOG for label in metric.labels}


def test_the_reference_page_is_the_catalogue():
    """After a change: python -m sidecar.telemetry.catalog > docs/reference/metrics.md"""
    assert reference() == PAGE.read_text(encoding="utf-8")
