"""Each rule of the linter, by a board that breaks it; and the boards that break none."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from alerts.build import alerts, groups
from dashboards import lint
from dashboards.__main__ import boards, ruled
from dashboards.reading import expressions
from sidecar.telemetry.catalog import CATALOG, Metric, MetricKind

Tree = dict[str, Any]
BOARDS = boards()
FLEET = "llm-sidecar-fleet"


def broken(change: Callable[[Tree], object]) -> list[str]:
    tree = copy.deepcopy(BOARDS[FLEET])
    change(tree)
    return lint.board(tree)


def panel(tree: Tree, title: str) -> Tree:
    found: Tree = next(p for p in tree["panels"] if p["title"] == title)
    return found


ERRORS = "Error rate by provider"


def expr(tree: Tree, text: str, title: str = ERRORS, legend: str = "{{provider}}") -> None:
    panel(tree, title)["targets"][0] |= {"expr": text, "legendFormat": legend}


def variable(tree: Tree, name: str) -> Tree:
    found: Tree = next(v for v in tree["templating"]["list"] if v["name"] == name)
    return found


def step(tree: Tree, value: float) -> None:
    panel(tree, ERRORS)["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"] = value


def cell(tree: Tree, value: float) -> None:
    for override in panel(tree, "Providers")["fieldConfig"]["overrides"]:
        for setting in override["properties"]:
            if setting["id"] == "thresholds":
                setting["value"]["steps"][1]["value"] = value


SCOPE = '{namespace=~"$namespace"}'
A = "llm_sidecar_attempts_total" + SCOPE
RATE = f"sum by (provider) (rate({A}[$__rate_interval]))"
BUCKETS = f"rate(llm_sidecar_overhead_seconds_bucket{SCOPE}[$__rate_interval])"

BREAKS: dict[str, tuple[str, Callable[[Tree], object], str]] = {
    "a data source with a value": (
        "data_source", lambda t: variable(t, "datasource").update(current={"value": "abc"}), "current value"),
    "no data source variable": (
        "data_source", lambda t: t["templating"]["list"].pop(0), "one data source variable"),
    "a panel with a data source of its own": (
        "data_source", lambda t: panel(t, ERRORS).update(datasource={"uid": "P1809"}), "${datasource}"),
    "a query with a data source of its own": (
        "data_source", lambda t: panel(t, ERRORS)["targets"][0].update(datasource=None), "${datasource}"),
    "a board to edit in the browser": ("frozen", lambda t: t.update(editable=True), "read only"),
    "an id of one Grafana": ("frozen", lambda t: t.update(id=7), "no id"),
    "a uid of another family": ("frozen", lambda t: t.update(uid="fleet"), "uid"),
    "a selection without All": (
        "known_variables", lambda t: variable(t, "app").update(includeAll=False), "must offer All"),
    "a selection that is never reloaded": (
        "known_variables", lambda t: variable(t, "app").pop("refresh"), "must reload"),
    "a selection over all namespaces": (
        "known_variables",
        lambda t: variable(t, "app").update(query="label_values(llm_sidecar_build_info, app)"),
        "narrowed by $namespace"),
    "a variable nobody defined": (
        "known_variables", lambda t: expr(t, RATE.replace("{", '{pod=~"$pod", ')), "$pod"),
    "two panels with one id": ("unique", lambda t: t["panels"][2].update(id=2), "panel id 2"),
    "two queries with one refId": (
        "unique",
        lambda t: panel(t, "Calls that want it, attempts it gets")["targets"][1].update(refId="A"),
        "refId"),
    "an empty refId": ("unique", lambda t: panel(t, ERRORS)["targets"][0].update(refId=""), "refId"),
    "two panels with one title": ("unique", lambda t: panel(t, ERRORS).update(title="Breakers"), "2 panels"),
    "panels on top of each other": (
        "places", lambda t: panel(t, ERRORS)["gridPos"].update(y=17), "overlap"),
    "a panel over the edge": ("places", lambda t: panel(t, ERRORS)["gridPos"].update(x=20), "24 columns"),
    "no way to the other boards": ("links", lambda t: t["links"].pop(0), "siblings"),
    "no way to a trace": ("links", lambda t: t["links"].pop(1), "trace"),
    "an address of one installation": (
        "links", lambda t: panel(t, ERRORS)["links"].append({"url": "https://grafana.corp"}), "installation"),
    "no marks of breakers": ("breaker_marks", lambda t: t.pop("annotations"), "mark breaker"),
    "no title": ("told", lambda t: panel(t, ERRORS).update(title=""), "title"),
    "a metric as title": ("told", lambda t: panel(t, ERRORS).update(title="llm_sidecar_x"), "title"),
    "no description": ("told", lambda t: panel(t, ERRORS).pop("description"), "description"),
    "a description that says nothing": (
        "told", lambda t: panel(t, ERRORS).update(description="The error rate."), "description"),
    "no text for silence": (
        "told", lambda t: panel(t, ERRORS)["fieldConfig"]["defaults"].pop("noValue"), "no traffic"),
    "no query": ("told", lambda t: panel(t, ERRORS).update(targets=[]), "no query"),
    "no unit": ("units", lambda t: panel(t, ERRORS)["fieldConfig"]["defaults"].pop("unit"), "unit"),
    "seconds shown as something else": (
        "units",
        lambda t: panel(t, "p95 of calls, by path")["fieldConfig"]["defaults"].update(unit="ms"),
        "seconds"),
    "no legend": ("legends", lambda t: expr(t, RATE, legend=""), "legend"),
    "a legend of labels that are gone": (
        "legends", lambda t: expr(t, RATE, legend="{{model}}"), "names model"),
    "a line where no alert fires": ("levels", lambda t: step(t, 0.07), "0.07"),
    "a colour of a cell where no alert fires": ("levels", lambda t: cell(t, 0.07), "0.07"),
    "a metric that was renamed": (
        "names", lambda t: expr(t, RATE.replace("attempts_total", "tries_total")), "llm_sidecar_tries_total"),
    "a recording that nobody records": (
        "names", lambda t: expr(t, f"max by (provider) (a:llm_sidecar_b:rate5m{SCOPE})"), "a:llm_sidecar_b"),
    "a label that the metric lacks": (
        "labels", lambda t: expr(t, RATE.replace("{", '{route="chat", ')), "no label route"),
    "a selector over all namespaces": (
        "scopes", lambda t: expr(t, RATE.replace(SCOPE, '{kind="retry"}')), "narrowed by $namespace"),
    "a namespace of one installation": (
        "scopes", lambda t: expr(t, RATE.replace("$namespace", "shop")), "one installation"),
    "a window that fits one zoom": (
        "windows", lambda t: expr(t, RATE.replace("$__rate_interval", "1m")), "$__rate_interval"),
    "the alerts' window in a course over time": (
        "windows", lambda t: expr(t, RATE.replace("$__rate_interval", "5m")), "$__rate_interval"),
    "a counter that only grows": ("windows", lambda t: expr(t, f"sum by (provider) ({A})"), "only grows"),
    "a division by nothing": ("divisions", lambda t: expr(t, f"{RATE} / {RATE}"), "division"),
    "a division by nothing, joined": (
        "divisions", lambda t: expr(t, f"{RATE} / on () group_left () (sum({RATE}))"), "division"),
    "a quantile without le": (
        "quantiles",
        lambda t: expr(t, f"histogram_quantile(0.9, sum by (stream) ({BUCKETS})) >= 0", legend="x"),
        "sum by (le)"),
    "a quantile that is NaN at night": (
        "quantiles",
        lambda t: expr(t, f"histogram_quantile(0.9, sum by (le) ({BUCKETS}))", legend="x"),
        "NaN"),
}  # fmt: skip


def test_our_boards_break_no_rule():
    assert [] == lint.boards(BOARDS, ruled())


@pytest.mark.parametrize("case", BREAKS)
def test_a_rule_sees(case: str):
    rule, change, said = BREAKS[case]

    tree = copy.deepcopy(BOARDS[FLEET])
    change(tree)

    assert [c for c in getattr(lint, rule)(tree) if said in c]
    assert [c for c in lint.board(tree) if said in c]


def test_every_rule_has_a_board_that_breaks_it():
    assert {rule.__name__ for rule in lint.RULES} == {rule for rule, _, _ in BREAKS.values()}


def test_every_function_that_looks_like_a_rule_is_one():
    one_board = {
        name
        for name, made in inspect.getmembers(lint, inspect.isgeneratorfunction)
        if made.__module__ == lint.__name__
    }

    assert one_board == {rule.__name__ for rule in lint.RULES}


def test_a_guarded_division_is_fine():
    for whole in (f"({RATE} > 0)", f"on () group_left () (sum({RATE}) > 0)", "0.01"):
        assert not broken(lambda t, whole=whole: expr(t, f"{RATE} / {whole}"))  # type: ignore[misc]


def test_a_link_to_a_board_that_is_not_there():
    trees = copy.deepcopy(BOARDS)
    trees.pop("llm-sidecar-provider")

    assert any("there is no board llm-sidecar-provider" in c for c in lint.boards(trees, ruled()))


def test_a_row_of_the_catalogue_that_nobody_sees():
    lonely = Metric("llm_sidecar_lonely_total", MetricKind.COUNTER, "", (), "Nobody looks.")

    assert [
        "llm_sidecar_lonely_total is on no board and in no rule; show it or mark it debug"
    ] == lint.unseen(["rate(llm_sidecar_other_total{}[1m])"], [], [lonely])
    assert [] == lint.unseen([], ["rate(llm_sidecar_lonely_total[5m])"], [lonely])


def test_every_row_is_on_a_board():
    """Rules alone may show a row too; today the boards show them all."""
    shown = [e for tree in BOARDS.values() for e in expressions(tree)]

    assert [] == lint.unseen(shown, [], CATALOG)


def test_a_runbook_of_an_alert_that_is_not_there():
    tree = copy.deepcopy(BOARDS[FLEET])
    panel(tree, ERRORS)["links"][0]["url"] = "${runbooks:raw}/LLMNothing.md"

    assert [f"{FLEET}: '{ERRORS}': there is no alert LLMNothing"] == lint.runbooks(
        [tree], (alert.name for alert in alerts())
    )


def test_runbooks_of_our_boards_are_of_our_alerts():
    assert [] == lint.runbooks(BOARDS.values(), (alert.name for alert in alerts()))
    assert groups()
