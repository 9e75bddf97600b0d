"""What is committed is what the rows say; thresholds can be set; nothing is without its page."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.__main__ import committed, main, stale
from alerts.build import RENDERED, alerts, files, groups, page, prometheus_rule, rule_file, shortened
from alerts.inhibition import INHIBITIONS
from alerts.promql import APP, MODEL, events, select
from alerts.provider import KEY, QUOTA, UNUSABLE
from alerts.rules import Area, Recording, Severity
from alerts.thresholds import DEFAULT, Thresholds, Wrong, changed
from sidecar.faults import HANDLING
from sidecar.model import Fault
from sidecar.telemetry import catalog, logs
from tests.alerts import cases, test_nights
from tests.docs.pages import ROOT, blocks
from tests.kit.promtool import need, run

RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("LLM*.md"))
HEADINGS = ["Meaning", "Impact", "Look here", "Do this", "False positives"]
LOG_LINES = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$",
    (ROOT / "docs" / "operations.md").read_text().partition("\n## Logs\n")[2].partition("\n## ")[0],
    re.MULTILINE,
)
RULES = [rule for group in rule_file()["groups"] for rule in group["rules"]]
FOREIGN = {"process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total", "up"}


# ---- files -----------------------------------------------------------------------------------


def test_the_committed_files_are_those_of_the_rows() -> None:
    assert list(stale()) == []
    assert main(["--check"]) == 0


def test_a_stale_file_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("alerts.__main__.page", lambda: page() + "more")
    assert main(["--check"]) == 1
    assert capsys.readouterr().err == "docs/reference/alerts.md is stale: run python -m alerts\n"


def test_promtool_accepts_the_rules_and_so_it_does_with_other_thresholds(tmp_path: Path) -> None:
    promtool = need("promtool")
    assert f"{len(RULES)} rules found" in run(
        promtool, "check", "rules", str(RENDERED / "llm-sidecar.rules.yaml")
    )
    extreme = {
        row.name: 1e-6 for row in fields(Thresholds) if isinstance(getattr(DEFAULT, row.name), float | int)
    }
    extreme |= {"error_objective": 0.99999, "full_objective": 0.94, "overhead_seconds": 0.256}
    for name, text in files(changed(extreme)).items():
        (tmp_path / name).write_text(text)
    run(promtool, "check", "rules", str(tmp_path / "llm-sidecar.rules.yaml"))


def test_the_operators_object_holds_the_same_rules() -> None:
    wrapped = yaml.safe_load((RENDERED / "prometheusrule.yaml").read_text())
    assert wrapped["spec"] == yaml.safe_load((RENDERED / "llm-sidecar.rules.yaml").read_text())
    assert (wrapped["apiVersion"], wrapped["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert wrapped == prometheus_rule()


def test_shortened_rules_have_shorter_times_and_nothing_else(tmp_path: Path) -> None:
    short = shortened(rule_file(), 10)
    text = yaml.safe_dump(short, width=1_000_000)
    (tmp_path / "short.yaml").write_text(text)
    run(need("promtool"), "check", "rules", str(tmp_path / "short.yaml"))
    assert set(re.findall(r"\[(\w+)\]", text)) == {
        *("30s", "60s", "90s", "180s", "360s", "720s", "2160s", "8640s", "25920s")
    }
    assert "time() - 30\n" in text or "time() - 30'" in text
    assert [r.get("record", r.get("alert")) for g in short["groups"] for r in g["rules"]] == [
        r.get("record", r.get("alert")) for r in RULES
    ]


# ---- rules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert.name))
def test_an_alert_has_all_that_a_person_needs(alert: Any) -> None:
    (rule,) = [rule for rule in RULES if rule.get("alert") == alert.name]
    assert rule["labels"]["severity"] in set(Severity)
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"{DEFAULT.runbooks}/{alert.name}.md"


def test_every_alert_has_its_nights() -> None:
    by_hand = {"LLMSidecarAbsent", "LLMSidecarRestarting", "LLMSidecarConfigDrift"}
    source = Path(test_nights.__file__).read_text()
    assert all(f'"{name}"' in source for name in by_hand)
    assert sorted({case.alert for case in cases.CASES} | by_hand) == sorted(alert.name for alert in alerts())


def test_annotations_use_labels_that_the_alert_has() -> None:
    known = {case.alert: {"namespace", *case.labels} for case in cases.CASES}
    known["LLMSidecarAbsent"] = {"job"}
    known["LLMSidecarRestarting"] = {"namespace", "app", "pod"}
    known["LLMSidecarConfigDrift"] = {"namespace", "app"}
    for alert in alerts():
        used = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.description))
        assert used <= known[alert.name], alert.name


def test_rules_name_only_metrics_of_the_catalogue_and_recordings_that_exist() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    metrics = {m.name for m in (*catalog.CATALOG, *catalog.INJECTOR)} | FOREIGN
    for rule in RULES:
        used = set(re.findall(r"[a-z_]+:[a-z_]+:\w+", rule["expr"]))
        assert used <= recorded, rule
        rest = re.sub(r"[a-z_]+:[a-z_]+:\w+", "", rule["expr"])
        for name in re.findall(r"\b(?:llm_sidecar|process)_\w+", rest):
            assert re.sub(r"_(bucket|count)$", "", name) in metrics, rule


def test_every_recording_is_read_by_an_alert_another_recording_a_board_or_a_runbook() -> None:
    text = "".join(rule["expr"] for rule in RULES)
    readers = [*(ROOT / "dashboards" / "rendered").glob("*.json"), *RUNBOOKS]
    text += "".join(path.read_text() for path in readers)
    unused = [
        rule.name
        for group in groups()
        for rule in group.rules
        if isinstance(rule, Recording) and rule.name not in text
    ]
    assert unused == []


def test_symptoms_of_applications_are_grouped_for_their_owners() -> None:
    for case in cases.APP_CASES:
        assert case.labels["app"] == "web", case.alert


def test_every_fault_that_needs_a_human_has_exactly_one_alert() -> None:
    told = [*QUOTA, *KEY, *UNUSABLE]
    assert sorted(told) == sorted(fault for fault, row in HANDLING.items() if row.alert)
    assert all(isinstance(fault, Fault) for fault in told)


def test_a_label_that_a_metric_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="llm_sidecar_requests_total has no label provider"):
        events(catalog.REQUESTS, "5m", ("namespace", "provider"))
    with pytest.raises(ValueError, match="has no label model"):
        select(catalog.REQUESTS, 'model="m"')
    with pytest.raises(ValueError, match="is a gauge"):
        events(catalog.BREAKER_STATE, "5m", MODEL)
    with pytest.raises(ValueError, match="7m"):
        events(catalog.REQUESTS, "7m", APP)


# ---- thresholds ------------------------------------------------------------------------------


def test_thresholds_come_from_the_command_line_and_from_a_file(tmp_path: Path) -> None:
    given = tmp_path / "mine.yaml"
    given.write_text("error_rate_warning: 0.07\nfallback_burst: 25\njob: gateway\n")
    out = tmp_path / "out"
    arguments = ["--thresholds", str(given), "--set", "error_rate_warning=0.1", "--out", str(out)]
    assert main([*arguments, "--set", "runbooks=https://wiki.example.com/llm/"]) == 0
    text = (out / "llm-sidecar.rules.yaml").read_text()
    assert "error_ratio5m > 0.1\n" in text
    assert ") > 25\n" in text
    assert 'up{job="gateway"}' in text
    assert "https://wiki.example.com/llm/LLMBreakerOpen.md" in text
    assert sorted(path.name for path in out.iterdir()) == sorted(files())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"eror_rate": 1}, "eror_rate: no such threshold; known are job, "),
        ({"error_rate_warning": "five"}, "error_rate_warning: expected a number, got 'five'"),
        ({"error_rate_warning": True}, "error_rate_warning: expected a number, got True"),
        ({"error_rate_warning": 5}, "error_rate_warning: expected more than 0 and at most 1, got 5"),
        ({"fallback_burst": 0}, "fallback_burst: expected more than 0"),
        ({"fallback_burst": "nan"}, "fallback_burst: expected more than 0"),
        (
            {"error_rate_warning": 0.2},
            "error_rate_warning: expected at most error_rate_critical, which is 0.15",
        ),
        ({"full_objective": 0.9}, "full_objective: expected more than 0.9306 and less than 1, got 0.9"),
        ({"overhead_seconds": 0.025}, "overhead_seconds: expected a bound of the histogram"),
        ({"job": 'x"} or up'}, "job: expected a text without quotes or braces"),
    ],
)
def test_a_threshold_that_nobody_can_mean_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(Wrong, match=re.escape(said)):
        changed(values)


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--set", "fallback_burst", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "--set fallback_burst: expected NAME=VALUE\n"
    with pytest.raises(SystemExit):
        main(["--set", "fallback_burst=3"])
    assert "use --out DIR" in capsys.readouterr().err


def test_the_defaults_are_those_that_were_asked_for() -> None:
    asked = (0.05, 0.15, 10, 0.1, 0.02, 0.2, 3, 0.2, 0.95)
    assert asked == (
        DEFAULT.error_rate_warning,
        DEFAULT.error_rate_critical,
        DEFAULT.fallback_burst,
        DEFAULT.fallback_rate,
        DEFAULT.retry_rate_look,
        DEFAULT.retry_rate_page,
        DEFAULT.latency_factor,
        DEFAULT.below_full_rate,
        DEFAULT.full_objective,
    )


# ---- Alertmanager ----------------------------------------------------------------------------


def test_inhibitions_name_alerts_and_areas_that_exist_and_labels_that_both_sides_have() -> None:
    labels = {case.alert: {"namespace", *case.labels} for case in cases.CASES}
    areas = {area: [alert.name for alert in alerts() if alert.area is area] for area in Area}
    for row in INHIBITIONS:
        targets = [
            name for one in row.target for name in (areas[one] if isinstance(one, Area) else [str(one)])
        ]
        assert targets, row
        for name in (*row.source, *targets):
            assert set(row.equal) <= labels[name], (row, name)


def test_what_users_feel_is_never_inhibited() -> None:
    felt = {alert.name for alert in alerts() if alert.area is Area.APP}
    assert felt >= {"LLMAppErrorBudgetBurnFast", "LLMChainExhausted", "LLMAnswersBelowFull"}
    for row in INHIBITIONS:
        assert not felt & {str(name) for name in row.target}
        assert Area.APP not in row.target


def test_only_what_is_at_least_as_loud_inhibits() -> None:
    order = [Severity.INFO, Severity.WARNING, Severity.CRITICAL]
    by_name = {alert.name: alert for alert in alerts()}
    for row in INHIBITIONS:
        loudest = min(order.index(by_name[name].severity) for name in row.source)
        for one in row.target:
            if not isinstance(one, Area):
                assert order.index(by_name[one].severity) <= loudest, row


def test_alertmanager_accepts_the_example_and_sends_pages_to_the_pager() -> None:
    amtool, example = need("amtool"), str(RENDERED / "alertmanager-example.yaml")
    run(amtool, "check-config", example)
    for severity, receiver in (("critical", "pager"), ("warning", "tickets"), ("info", "nobody")):
        route = ("config", "routes", "test", f"--config.file={example}", f"--verify.receivers={receiver}")
        run(amtool, *route, "component=llm-sidecar", f"severity={severity}")


# ---- runbooks --------------------------------------------------------------------------------


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert [path.stem for path in RUNBOOKS] == sorted(alert.name for alert in alerts())


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: str(path.stem))
def test_a_runbook_keeps_the_skeleton_and_points_at_what_exists(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(f"# {path.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert blocks(text, "promql")
    named = set(re.findall(r"\bLLM[A-Z]\w+", text))
    assert named <= {alert.name for alert in alerts()}
    boards = ROOT / "dashboards" / "rendered"
    for uid, titles in re.findall(r"^- Board `([\w-]+)`: (.+)\.$", text, re.MULTILINE):
        board = json.loads((boards / f"{uid}.json").read_text())
        there = {panel["title"] for panel in _panels(board["panels"])}
        assert set(re.findall(r"\*([^*]+)\*", titles)) <= there, uid


def _panels(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [inner for panel in panels for inner in (panel, *_panels(panel.get("panels", [])))]


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: str(path.stem))
def test_a_runbooks_commands_work_in_a_cluster_at_the_level_of_log_that_is_shipped(path: Path) -> None:
    commands = "".join(blocks(path.read_text(), "sh"))
    told = {event: level for names, level in LOG_LINES for event in re.findall(r"`(\w+)`", names)}
    for event in re.findall(r'\.event == "(\w+)"', commands):
        assert told[event] != "debug", event
    for line in commands.splitlines():
        assert " logs " not in line or "jq" not in line or "fromjson?" in line, "stderr is in it, and no JSON"
        assert "kill -" not in line, "a command for a laptop"
    given = re.findall(r"\$([A-Z_]+)", commands)
    assert set(given) <= {"NAMESPACE", "APP", "POD", "PROVIDER", "MODEL", "ROUTE", "DIGEST", "KEY", "HOST"}
    assert commands.count("/$KEY/") == 0 or ".key" in commands, "where to read the key"


def test_every_line_of_the_log_is_described() -> None:
    told = {event for names, _ in LOG_LINES for event in re.findall(r"`(\w+)`", names)}
    assert set(re.findall(r'return "(\w+)"', inspect.getsource(logs.describe))) <= told


def test_queries_of_the_runbooks_parse(tmp_path: Path) -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    rules: list[dict[str, object]] = []
    for path in RUNBOOKS:
        for query in "\n".join(blocks(path.read_text(), "promql")).splitlines():
            rules.append({"record": "x", "expr": query, "labels": {"of": path.stem, "n": str(len(rules))}})
            assert set(re.findall(r"[a-z_]+:[a-z_]+:\w+", query)) <= recorded, path
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    run(need("promtool"), "check", "rules", str(tmp_path / "queries.yaml"))


def test_the_page_lists_every_alert_and_every_threshold() -> None:
    text = page()
    assert all(f"[{alert.name}](../runbooks/{alert.name}.md)" in text for alert in alerts())
    assert all(f"| `{row.name}` |" in text for row in fields(Thresholds))
    assert set(committed()) == {*(RENDERED / name for name in files()), ROOT / "docs/reference/alerts.md"}
