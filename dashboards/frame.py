"""What is around the panels of a board: variables, links, marks of breakers, and its JSON.

`finish` turns a board into what is committed. It also mends what the SDK leaves open: refIds and
ids of panels, ids of variables that are all the same, the texts of marks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as d

from alerts.thresholds import DEFAULT
from dashboards.style import RED, SOURCE, Panel
from sidecar.telemetry.catalog import ATTEMPTS, BREAKER_TRANSITIONS, BUILD, Metric

TAG = "llm-sidecar"
FLEET_UID, PROVIDER_UID, INTERNALS_UID = "llm-sidecar-fleet", "llm-sidecar-provider", "llm-sidecar-internals"
TRACES = "http://localhost:16686/trace/"
RUNBOOKS = DEFAULT.runbooks


# ---- links ------------------------------------------------------------------------------------


def to_board(title: str, uid: str, variables: Sequence[str], **values: str) -> dashboard.DashboardLink:
    """A link out of a panel that keeps time and selection; `values` are set from what was clicked."""
    kept = [f"${{{name}:queryparam}}" for name in variables]
    given = [f"var-{name}={value}" for name, value in values.items()]
    return (
        dashboard.DashboardLink(title)
        .type(d.DashboardLinkType.LINK)
        .url(f"/d/{uid}?" + "&".join([*kept, *given, "${__url_time_range}"]))
    )


def to_trace() -> dashboard.DashboardLink:
    """To the trace whose id stands in the box at the top; a log line or a response header has it."""
    return (
        dashboard.DashboardLink("Open trace ${trace_id}")
        .type(d.DashboardLinkType.LINK)
        .url("${trace_url:raw}${trace_id:raw}")
        .target_blank(True)
    )


# ---- the board ----------------------------------------------------------------------------------


def _values(name: str, label: str, row: Metric, *scope: str) -> dashboard.QueryVariable:
    selector = f"{row.name}{{{', '.join(scope)}}}" if scope else row.name
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": f"label_values({selector}, {label})", "refId": f"variable-{name}"})
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(d.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def variables(*names: str) -> list[Any]:
    """The data source, then the selections asked for, then where traces and runbooks live."""
    inside = 'namespace=~"$namespace"'
    known = {
        "namespace": _values("namespace", "namespace", BUILD),
        "app": _values("app", "app", BUILD, inside),
        "pod": _values("pod", "pod", BUILD, inside, 'app=~"$app"'),
        "provider": _values("provider", "provider", ATTEMPTS, inside),
        "model": _values("model", "model", ATTEMPTS, inside, 'provider=~"$provider"'),
    }
    source = dashboard.DatasourceVariable("datasource").label("data source").type("prometheus")
    boxes = [
        dashboard.TextBoxVariable("trace_id")
        .label("trace id")
        .description(
            "Of a log line, an exemplar or an answer's x-llm-sidecar-trace-id; then follow Open trace."
        ),
        dashboard.TextBoxVariable("trace_url")
        .label("traces at")
        .description("What comes before the trace id in the address of your trace viewer.")
        .default_value(TRACES),
        dashboard.TextBoxVariable("runbooks")
        .label("runbooks at")
        .description("The folder of the runbooks.")
        .default_value(RUNBOOKS)
        .hide(d.VariableHide.HIDE_VARIABLE),
    ]
    return [source, *(known[name] for name in names), *boxes]


def board(title: str, text: str, uid: str, *selections: str) -> dashboard.Dashboard:
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(text)
        .tags([TAG])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .variables(variables(*selections))
        .annotation(breakers(selections))
        .link(
            dashboard.DashboardLink("LLM sidecar boards")
            .type(d.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(False)
            .include_vars(True)
            .keep_time(True)
        )
        .link(to_trace())
        .link(
            dashboard.DashboardLink("Runbooks")
            .type(d.DashboardLinkType.LINK)
            .url("${runbooks:raw}/README.md")
            .target_blank(True)
        )
    )


def breakers(selections: Sequence[str]) -> dashboard.AnnotationQuery:
    """Each change of a breaker as a mark on every panel: a gauge would miss what is shorter than a scrape."""
    scope = ['namespace=~"$namespace"', *(['provider=~"$provider"'] if "provider" in selections else [])]
    moved = f"increase({BREAKER_TRANSITIONS.name}{{{', '.join(scope)}}}[1m])"
    return (
        dashboard.AnnotationQuery()
        .name("Breakers")
        .datasource(SOURCE)
        .enable(True)
        .hide(False)
        .icon_color(RED)
        .expr(f"sum by (provider, model, kind, to, trigger) ({moved}) > 0")
    )


def fill(board: dashboard.Dashboard, rows: Mapping[str, Sequence[Panel]]) -> dashboard.Dashboard:
    """Rows of panels from left to right; a panel's size decides where the next one stands."""
    for title, panels in rows.items():
        board.with_row(dashboard.Row(title))
        for panel in panels:
            board.with_panel(panel)
    return board


def finish(board: dashboard.Dashboard) -> dict[str, Any]:
    """The JSON of a board."""
    tree: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(board.build()))
    for number_, panel in enumerate(tree["panels"], 1):
        panel["id"] = number_
        for at, target in enumerate(panel.get("targets", [])):
            target["refId"] = chr(ord("A") + at)
    for variable in tree["templating"]["list"]:
        variable.pop("id", None)  # the SDK's is all zeros, for each of them
        variable.pop("auto", None)
        variable.pop("auto_min", None)
        variable.pop("auto_count", None)
    for mark in tree["annotations"]["list"]:
        mark |= {
            "step": "30s",
            "titleFormat": "{{provider}} {{model}}: {{kind}} breaker {{to}}",
            "textFormat": "trigger: {{trigger}}",
            "tagKeys": "provider,to",
        }
    return tree


def text(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def compact(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
