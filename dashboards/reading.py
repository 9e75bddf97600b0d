"""Reading a board's JSON: its panels, what they ask Prometheus, and which metrics that is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Board = Mapping[str, Any]

NAME = re.compile(r"(?<![\w:.$\"])([a-zA-Z_:][\w:]*)(?=\{|\[)")
WORD = re.compile(r"\"(?:[^\"\\]|\\.)*\"")


@dataclass(frozen=True, slots=True)
class Target:
    panel: Mapping[str, Any]
    expr: str
    legend: str
    instant: bool


def panels(board: Board) -> list[Mapping[str, Any]]:
    """Without the titles of rows."""
    return [panel for panel in whole(board) if panel["type"] != "row"]


def whole(board: Board) -> list[Mapping[str, Any]]:
    out: list[Mapping[str, Any]] = []
    for panel in board["panels"]:
        out += [panel, *panel.get("panels", ())]
    return out


def targets(board: Board) -> list[Target]:
    return [
        Target(panel, t.get("expr", ""), t.get("legendFormat", ""), bool(t.get("instant")))
        for panel in panels(board)
        for t in panel.get("targets", ())
    ]


def marks(board: Board) -> list[str]:
    return [mark["expr"] for mark in board.get("annotations", {}).get("list", ()) if "expr" in mark]


def variables(board: Board) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = board.get("templating", {}).get("list", [])
    return found


def expressions(board: Board) -> list[str]:
    """Everything Prometheus is asked, marks and variables included."""
    asked = [variable_query(v) for v in variables(board) if v["type"] == "query"]
    inner = [m[1] for q in asked if (m := re.match(r"label_values\((.+), \w+\)$", q))]
    return [*(t.expr for t in targets(board)), *marks(board), *inner]


def variable_query(variable: Mapping[str, Any]) -> str:
    query = variable.get("query", "")
    return str(query["query"] if isinstance(query, dict) else query)


def metrics(expr: str) -> set[str]:
    """Names of metrics in an expression, suffixes of histograms included."""
    bare = WORD.sub('""', expr)
    return set(NAME.findall(bare)) | ({bare} if re.fullmatch(r"[a-zA-Z_:][\w:]*", bare) else set())


def urls(panel: Mapping[str, Any]) -> list[str]:
    found = [link.get("url", "") for link in (*panel.get("links", ()), *defaults(panel).get("links", ()))]
    for override in panel.get("fieldConfig", {}).get("overrides", ()):
        for setting in override["properties"]:
            if setting["id"] == "links":
                found += [link["url"] for link in setting["value"]]
    return found


def defaults(panel: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = panel.get("fieldConfig", {}).get("defaults", {})
    return found


def name_of(thing: Mapping[str, Any]) -> str:
    return repr(str(thing.get("title") or thing.get("name") or thing.get("expr") or thing.get("id")))
