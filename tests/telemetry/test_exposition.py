"""The text of a scrape, against the library's own of the same registry."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from sidecar.events import (
    AttemptEnded,
    CallEnded,
)
from sidecar.telemetry.exposition import (
    OPEN,
    TEXT,
    Child,
    Exposition,
    Shown,
    add,
    buckets_of,
    observe,
    prefers_open,
    sum_of,
    value_of,
)
from sidecar.telemetry.metrics import Metrics

from .events import SETTINGS, every, good

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FORMATS: list[Any] = [("", TEXT, generate_latest, parse), (OPEN, OPEN, generate_open, parse_open)]
NASTY = 'a "quoted" back\\slash\nand a line, {x="y"} \u00e9'


def sampled(*, yes: bool | None = True) -> tuple[AttemptEnded, CallEnded]:
    attempt, over = good()
    call = replace(over.call, sampled=yes)
    return replace(attempt, call=call), replace(over, call=call)


def used() -> Metrics:
    metrics = Metrics(SETTINGS, wall=lambda: 1_763_800_000.0)
    for event in [*sampled(), *good(), *every()]:
        metrics.count(event)
    metrics.set_connections("openai", active=1, idle=2)
    return metrics


def lines(body: bytes) -> list[str]:
    """Without the process's own, which move between two looks."""
    return [line for line in body.decode().splitlines() if not line.startswith("process_")]


@pytest.mark.parametrize(("accept", "content_type", "generate", "parsed"), FORMATS)
def test_a_scrape_is_the_librarys_text_byte_for_byte(
    accept: str, content_type: str, generate: Callable[[Any], bytes], parsed: Callable[[str], Any]
):
    metrics = used()

    for _ in range(2):  # the second time from what was kept of the first
        body, said = metrics.render(accept)
        expected = generate(metrics.registry)
        assert content_type == said
        assert lines(expected) == lines(body)
        ours = {f.name: f for f in parsed(body.decode())}
        for family in parsed(expected.decode()):
            shown = ours.pop(family.name)
            assert (family.type, family.unit, family.documentation) == (
                shown.type,
                shown.unit,
                shown.documentation,
            )
            if not family.name.startswith("process_"):
                assert family.samples == shown.samples
        assert not ours
        metrics.count(good()[0])


def test_what_is_forgotten_and_comes_again_is_shown_as_it_is():
    metrics = used()
    metrics.render("")
    metrics.configure(dataclasses.replace(SETTINGS, digest="other"))
    metrics.set_connections("openai", active=7, idle=0)

    assert lines(generate_latest(metrics.registry)) == lines(metrics.render("")[0])


def test_names_that_come_and_go_leave_nothing_behind():
    gauge = Gauge("g", "help", ["name"], registry=None)
    children: dict[tuple[str, ...], Gauge] = {}
    shown = Shown(gauge, ("name",), children)
    for number in range(50):
        children.clear()
        children[(str(number),)] = gauge.labels(str(number))
        shown.write([], open_metrics=False)

    assert len(shown._prefixes) <= 2


@pytest.mark.parametrize("value", [0.0, -0.0, -1.5, 1e-9, 999999.5, 1e6, 123456789.25, 1e22, inf, -inf, nan])
@pytest.mark.parametrize(("accept", "generate"), [(row[0], row[2]) for row in FORMATS])
def test_every_number_and_every_character_is_written_as_the_library_does(
    accept: str, generate: Callable[[Any], bytes], value: float
):
    registry = CollectorRegistry()
    gauge = Gauge("g_seconds", NASTY, ["z", "a"], unit="seconds", registry=registry)
    gauge.labels(NASTY, "").set(value)
    histogram = Histogram("h", NASTY, ["zone"], buckets=(0.5, 2e6), registry=registry)
    histogram.labels(NASTY).observe(value, {"trace_id": 'q"\\\n', "a": "b"})
    page = Exposition()
    page.add(Shown(gauge, ("z", "a"), {(NASTY, ""): gauge.labels(NASTY, "")}))
    page.add(Shown(histogram, ("zone",), {(NASTY,): histogram.labels(NASTY)}, (0.5, 2e6)))

    expected = [line for line in lines(generate(registry)) if "_created" not in line]
    assert expected == lines(page.render(accept)[0])


# ---- what is not public of the library ----------------------------------------------------------


def test_the_numbers_that_are_read_are_those_the_library_shows():
    registry = CollectorRegistry()
    children: list[Child] = [
        Counter("c", "help", registry=registry),
        Gauge("g", "help", registry=registry),
        Histogram("h", "help", buckets=(1.0, 2.0), registry=registry),
    ]
    counter, gauge, histogram = children
    assert isinstance(counter, Counter)
    assert isinstance(gauge, Gauge)
    assert isinstance(histogram, Histogram)
    counter.inc(3)
    gauge.set(-2.5)
    for seconds in (0.5, 1.5, 1.75, 9.0):
        histogram.observe(seconds, {"trace_id": TRACE})

    assert 3 == value_of(counter) == registry.get_sample_value("c_total")
    assert -2.5 == value_of(gauge) == registry.get_sample_value("g")
    assert [1, 2, 1] == [bucket.get() for bucket in buckets_of(histogram)]
    assert [0.5, 1.75, 9.0] == [e.value for b in buckets_of(histogram) if (e := b.get_exemplar())]
    assert 12.75 == sum_of(histogram) == registry.get_sample_value("h_sum")


def test_the_short_way_of_counting_ends_where_the_librarys_does():
    registry = CollectorRegistry()
    ours, theirs = (Counter(name, "help", registry=registry) for name in ("ours", "theirs"))
    for amount in (1.0, 2.5):
        add(ours, amount)
        theirs.inc(amount)
    mine, its = (Histogram(name, "help", buckets=(1.0, 2.0), registry=registry) for name in ("mine", "its"))
    for seconds in (0.0, 0.5, 1.0, 1.0001, 2.0, 9.0):
        observe(mine, seconds)
        its.observe(seconds)

    assert value_of(ours) == value_of(theirs)
    assert [b.get() for b in buckets_of(mine)] == [b.get() for b in buckets_of(its)]
    assert sum_of(mine) == sum_of(its)


# ---- exemplars ------------------------------------------------------------------------------------


def test_a_sampled_call_is_the_exemplar_of_both_durations_in_open_metrics_only():
    metrics = Metrics(SETTINGS, wall=lambda: 0.0)
    for event in sampled():
        metrics.count(event)

    body = metrics.render(OPEN)[0].decode()
    found = {
        sample.name: (sample.exemplar.labels, sample.labels["le"])
        for family in parse_open(body)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    }

    assert {
        "llm_sidecar_attempt_duration_seconds_bucket": ({"trace_id": TRACE}, "2.56"),
        "llm_sidecar_request_duration_seconds_bucket": ({"trace_id": TRACE}, "2.56"),
    } == found
    assert TRACE not in metrics.render("")[0].decode()


def test_a_bucket_keeps_its_exemplar_for_a_second():
    metrics = Metrics(SETTINGS, wall=lambda: 0.0)
    for second, trace in ((0.0, "1" * 32), (0.9, "2" * 32), (1.1, "3" * 32)):
        _, over = sampled()
        call = replace(over.call, trace_id=trace, arrived=over.call.arrived + second)
        metrics.count(replace(over, call=call, ended=over.ended + second))
        if second < 1:
            assert "1" * 32 in metrics.render(OPEN)[0].decode()
            assert "2" * 32 not in metrics.render(OPEN)[0].decode()

    assert "3" * 32 in metrics.render(OPEN)[0].decode()


@pytest.mark.parametrize("yes", [False, None])
def test_a_call_without_spans_is_nobodys_exemplar(yes: bool | None):
    metrics = Metrics(SETTINGS, wall=lambda: 0.0)
    for event in sampled(yes=yes):
        metrics.count(event)

    assert TRACE not in metrics.render(OPEN)[0].decode()


# ---- who gets what ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0", True),
        ("Application/OpenMetrics-Text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.3", True),
        ("text/plain;version=1.0.0;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5", False),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=abc", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=much", False),
        (";;=,", False),
    ],
)
def test_open_metrics_is_for_who_prefers_it(accept: str, expected: bool):
    assert expected == prefers_open(accept)
