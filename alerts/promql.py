"""PromQL for rules, from rows of the catalogue: a label that a metric lacks is an error here.

Why `events` is more than an increase(). Most children of our counters are born with their first
event, and a container's restart gives birth to all of them again: the increase of a counter that
is born at 7 is 0, so the first burst of anything would be invisible. A series that did not exist
a window ago therefore counts with its value. That holds only where its target was watched then, or
started since: a Prometheus that meets an old pod for the first time must not take the counts of
its whole life for a burst; the recorded `watched` says so, per window.
"""

from __future__ import annotations

import re

from sidecar.telemetry.catalog import Metric, MetricKind

By = tuple[str, ...]

TARGET = frozenset({"namespace", "pod", "container", "job", "app", "team", "instance"})  # of the scrape
APP: By = ("namespace", "app")
POD: By = ("namespace", "app", "pod")
PROVIDER: By = ("namespace", "provider")
MODEL: By = ("namespace", "provider", "model")
STARTED = "process_start_time_seconds"
WATCHED = "instance:llm_sidecar_watched:"  # and a window: targets whose newborn series can be believed
WINDOWS = ("5m", "10m", "15m", "1h", "6h")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def select(metric: Metric, *where: str, part: str = "") -> str:
    """`where` are matchers; `part` is a suffix of a histogram."""
    for matcher in where:
        label = re.split(r"[=!]", matcher, maxsplit=1)[0]
        if label not in metric.labels and label not in TARGET and not (label == "le" and part == "_bucket"):
            raise ValueError(f"{metric.name} has no label {label}: it has {', '.join(metric.labels)}")
    return f"{metric.name}{part}" + (f"{{{', '.join(where)}}}" if where else "")


def watched(job: str, window: str) -> str:
    start = f'{STARTED}{{job="{job}"}}'
    seconds = int(window[:-1]) * SECONDS[window[-1]]
    return f"{start} offset {window} or {start} > time() - {seconds}"


def events(metric: Metric, window: str, by: By, *where: str, part: str = "") -> str:
    """How many in a window, those of newborn series included."""
    if metric.kind is MetricKind.GAUGE:
        raise ValueError(f"{metric.name} is a gauge and counts nothing")
    if unknown := set(by) - {*metric.labels, *TARGET}:
        raise ValueError(f"{metric.name} has no label {', '.join(sorted(unknown))}")
    if window not in WINDOWS:
        raise ValueError(f"{window}: there is no {WATCHED}{window}")
    one = select(metric, *where, part=part)
    return (
        f"sum by ({', '.join(by)}) (\n"
        f"  {one} unless {one} offset {window}\n"
        f"    and on (job, namespace, instance) {WATCHED}{window}\n"
        f"  or\n"
        f"  increase({one}[{window}])\n"
        f")"
    )


def filled(expr: str, base: str) -> str:
    """0 where there is a base and none of it happened."""
    return f"{expr}\nor\n0 * {base}"


def ratio(part: str, whole: str) -> str:
    """Of two names or calls; nothing where nothing runs."""
    return f"{part}\n/\n({whole} > 0)"


def joined(by: By) -> str:
    return f"on ({', '.join(by)})"


def number(value: float) -> str:
    """As few digits as say it: no 1e+09, no 0.15000000000000002."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def at_least(count: str, least: float) -> str:
    return f"{count} >= {number(least)}"


def guarded(condition: str, by: By, count: str, least: float) -> str:
    """A share that is bad, by so many bad events."""
    return f"{condition}\nand {joined(by)} {at_least(count, least)}"
