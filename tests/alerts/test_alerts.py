"""Each alert fires for what it says, is silent just under it and in the quiet, and resolves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.build import RENDERED, alerts
from alerts.rules import Alert
from tests.alerts.cases import CASES
from tests.alerts.scenes import Case, alive, written
from tests.kit.promtool import Night

RULES: dict[str, Any] = yaml.safe_load((RENDERED / "llm-sidecar.rules.yaml").read_text())
ALERTS = {alert.name: alert for alert in alerts()}


def firing(alert: Alert, labels: dict[str, str]) -> str:
    every = {
        "alertname": alert.name,
        "alertstate": "firing",
        "severity": str(alert.severity),
        "area": str(alert.area),
        "component": "llm-sidecar",
    }
    return written("ALERTS", every | labels)


def needed(alert: str) -> dict[str, Any]:
    """Of the shipped rules the alert, and the recordings it stands on: all of them take a minute a night."""
    wanted = [r for g in RULES["groups"] for r in g["rules"] if r.get("alert") == alert]
    for rule in wanted:
        wanted += [
            r
            for g in RULES["groups"]
            for r in g["rules"]
            if "record" in r and r not in wanted and re.search(rf"{r['record']}(?!\w)", rule["expr"])
        ]
    inner_first = [r for g in RULES["groups"] for r in g["rules"] if r in wanted]
    return {"groups": [{"name": "needed", "rules": inner_first}]}


def of(name: str) -> str:
    return f'ALERTS{{alertname="{name}", alertstate="firing"}}'


def night(case: Case) -> Night:
    made = Night(step=case.step)
    for namespace, scene in (("fires", case.fires), ("under", case.under), ("quiet", case.quiet)):
        for series in alive(scene):
            made.add(series.text(namespace), series.values(case.minutes, case.step))
    before, during, after = case.minutes
    made.ask(of(case.alert), before)
    made.ask(of(case.alert), before + during, (firing(ALERTS[case.alert], case.namespace | case.labels), 1))
    made.ask(of(case.alert), before + during + after)
    whole = int(before + during + after)
    made.ask(
        f"group by (namespace) (count_over_time({of(case.alert)}[{whole}m]))",
        whole,
        ('{namespace="fires"}', 1),
    )
    return made


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.alert))
def test_it_fires_is_silent_under_the_threshold_and_in_low_traffic_and_resolves(
    case: Case, tmp_path: Path
) -> None:
    night(case).check(needed(case.alert), tmp_path)
