"""The injector's metrics are the catalogue's rows, and each of them is in a rule."""

from __future__ import annotations

from alerts.build import rule_file
from sidecar.injector.measures import CHORES, Measures
from sidecar.telemetry.catalog import CATALOG, INJECTOR, PREFIX


def test_what_is_scraped_is_what_the_catalogue_says():
    measures = Measures()
    measures.missed({"shop": 1})
    for chore in CHORES:
        measures.done(chore, 1.0)
    text = measures.text().decode()
    kinds = {
        line.split()[2]: line.split()[3]
        for line in text.splitlines()
        if line.startswith(f"# TYPE {PREFIX}") and not line.split()[2].endswith("_created")
    }

    assert {row.name: str(row.kind) for row in INJECTOR} == kinds
    assert "process_start_time_seconds" in text


def test_every_row_is_in_a_rule_and_in_no_pod_of_an_application():
    ruled = [rule["expr"] for group in rule_file()["groups"] for rule in group["rules"]]

    assert [] == [row.name for row in INJECTOR if not any(row.name in expr for expr in ruled)]
    assert not {row.name for row in INJECTOR} & {row.name for row in CATALOG}
