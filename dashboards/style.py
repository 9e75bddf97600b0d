"""How a board looks: one place for defaults, so that a board module is rows of named panels.

What every panel gets from here: the data source variable, a text for "no traffic", a legend, a
unit, the alerts' thresholds as colours and lines, links to runbooks. What is around the panels
stands in frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.query import Query

QUIET = "no traffic"
GREEN, AMBER, RED, BLUE, GREY = "green", "orange", "red", "blue", "#808080"
SOURCE = d.DataSourceRef(type_val="prometheus", uid="${datasource}")

# the words of a label have the same colours on every board
WORDS: Mapping[str, Mapping[str, str]] = {
    "outcome": {
        "success": GREEN, "error": RED, "provider_error": RED, "timeout": "dark-red", "throttled": AMBER,
        "quality": "purple", "caller_error": "light-blue", "client_error": "light-blue", "cancelled": GREY,
    },
    "tier": {
        "full": GREEN, "reduced": "yellow", "cached": "light-orange", "static": AMBER, "deferred": "purple",
        "none": RED,
    },
    "path": {
        "direct": GREEN, "retry": "yellow", "fallback": BLUE, "hedge": "light-blue", "degraded": "purple",
    },
    "kind": {"initial": GREEN, "retry": "yellow", "fallback": BLUE, "hedge": "light-blue", "probe": GREY},
    "purpose": {
        "served": GREEN, "overhead": AMBER, "retry": "yellow", "fallback": BLUE, "hedge": "purple",
        "quality_rejected": RED,
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Levels:
    """Where a number turns amber and red. `falling`: small is bad."""

    warning: float | None = None
    critical: float | None = None
    falling: bool = False

    @property
    def steps(self) -> tuple[tuple[float | None, str], ...]:
        amber, red = self.warning, self.critical
        if self.falling:
            steps = [(None, RED if red is not None else AMBER), (red, AMBER), (amber, GREEN)]
        else:
            steps = [(None, GREEN), (amber, AMBER), (red, RED)]
        return (steps[0], *((value, colour) for value, colour in steps[1:] if value is not None))


CALM = Levels()
Panel: TypeAlias = timeseries.Panel | stat.Panel | tables.Panel | statetimeline.Panel | heatmap.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, tables.Panel, statetimeline.Panel, heatmap.Panel)


def _dress(
    panel: P, title: str, text: str, unit: str, levels: Levels, size: tuple[int, int], runbooks: Sequence[str]
) -> P:
    panel.title(title).description(text).datasource(SOURCE).span(size[0]).height(size[1]).no_value(QUIET)
    steps = [d.Threshold(value=value, color=colour) for value, colour in levels.steps]
    panel.unit(unit).thresholds(dashboard.ThresholdsConfig().mode(d.ThresholdsMode.ABSOLUTE).steps(steps))
    if runbooks:
        panel.links([runbook(name) for name in runbooks])
    return panel


def runbook(alert: str) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink(f"Runbook: {alert}")
        .type(d.DashboardLinkType.LINK)
        .url(f"${{runbooks:raw}}/{alert}.md")
        .target_blank(True)
    )


def _target(
    query: Query, *, instant: bool = False, kind: PromQueryFormat | None = None
) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).datasource(SOURCE)
    if query.exemplars:
        target.exemplar(True)
    if kind is not None:
        target.format(kind)
    return target.instant() if instant else target.range()


def _paint(panel: timeseries.Panel, label: str) -> timeseries.Panel:
    for word, colour in WORDS[label].items():
        panel.override_by_name(
            word, [d.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})]
        )
    return panel


def lines(
    title: str,
    text: str,
    *queries: Query,
    unit: str,
    levels: Levels = CALM,
    stack: bool = False,
    bars: bool = False,
    words: str = "",
    size: tuple[int, int] = (8, 8),
    runbooks: Sequence[str] = (),
    links: Sequence[dashboard.DashboardLink] = (),
) -> timeseries.Panel:
    """A course over time. `words`: the label whose words the series are, for their colours."""
    panel = _dress(timeseries.Panel(), title, text, unit, levels, size, runbooks)
    panel.min(0).show_points(c.VisibilityMode.NEVER if not bars else c.VisibilityMode.AUTO)
    panel.draw_style(c.GraphDrawStyle.BARS if bars else c.GraphDrawStyle.LINE)
    panel.fill_opacity(60 if stack or bars else 8).line_width(1 if stack or bars else 2)
    panel.color_scheme(dashboard.FieldColor().mode(d.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING))
    panel.legend(
        common.VizLegendOptions()
        .display_mode(c.LegendDisplayMode.LIST)
        .placement(c.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    if stack:
        panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
    if levels is not CALM:
        line = common.GraphThresholdsStyleConfig().mode(c.GraphTresholdsStyleMode.DASHED)
        panel.thresholds_style(line)
    for query in queries:
        panel.with_target(_target(query))
    if links:
        panel.data_links(list(links))
    return _paint(panel, words) if words else panel


def number(
    title: str,
    text: str,
    query: Query,
    *,
    unit: str,
    levels: Levels = CALM,
    names: bool = False,
    texts: Mapping[str, tuple[str, str]] | None = None,
    size: tuple[int, int] = (4, 4),
    runbooks: Sequence[str] = (),
    links: Sequence[dashboard.DashboardLink] = (),
) -> stat.Panel:
    """What is true now. `names`: the series' names are the answer, their values only colour it."""
    panel = _dress(stat.Panel(), title, text, unit, levels, size, runbooks)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    panel.color_mode(
        c.BigValueColorMode.BACKGROUND if names or levels is not CALM else c.BigValueColorMode.NONE
    )
    panel.graph_mode(c.BigValueGraphMode.NONE).justify_mode(c.BigValueJustifyMode.AUTO)
    panel.text_mode(c.BigValueTextMode.NAME if names else c.BigValueTextMode.AUTO)
    panel.orientation(c.VizOrientation.AUTO)
    if texts:
        panel.mappings([mapping(texts)])
    if links:
        panel.data_links(list(links))
    return panel.with_target(_target(query, instant=True))


def mapping(texts: Mapping[str, tuple[str, str]]) -> d.ValueMap:
    """Numbers that stand for words: value to text and colour."""
    return d.ValueMap(
        options={
            value: d.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(texts.items())
        }
    )


def states(
    title: str,
    text: str,
    *queries: Query,
    texts: Mapping[str, tuple[str, str]],
    size: tuple[int, int] = (12, 8),
    runbooks: Sequence[str] = (),
) -> statetimeline.Panel:
    """Which state when."""
    panel = _dress(statetimeline.Panel(), title, text, "short", CALM, size, runbooks)
    panel.mappings([mapping(texts)]).show_value(c.VisibilityMode.NEVER).merge_values(True).row_height(0.8)
    panel.line_width(0).fill_opacity(80)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(c.LegendDisplayMode.LIST)
        .placement(c.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    for query in queries:
        panel.with_target(_target(query))
    return panel


def heat(title: str, text: str, query: Query, *, unit: str, size: tuple[int, int] = (12, 8)) -> heatmap.Panel:
    """How a histogram's buckets fill over time."""
    panel = _dress(heatmap.Panel(), title, text, unit, CALM, size, ())
    panel.calculate(False).y_axis(heatmap.YAxisConfig().unit(unit))
    panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
    panel.cell_gap(1).show_tooltip().show_legend()
    return panel.with_target(_target(query, kind=PromQueryFormat.HEATMAP))


@dataclass(frozen=True, slots=True)
class Column:
    """Of a table: a query that gives one number per row, and how to show it."""

    title: str
    expr: str
    unit: str = "percentunit"
    levels: Levels = CALM
    texts: Mapping[str, tuple[str, str]] | None = None
    bar: bool = False
    width: int | None = None


def table(
    title: str,
    text: str,
    keys: Sequence[str],
    columns: Sequence[Column],
    *,
    size: tuple[int, int] = (24, 8),
    runbooks: Sequence[str] = (),
    links: Mapping[str, dashboard.DashboardLink] | None = None,
) -> tables.Panel:
    """One line per value of the first key, joined over all columns. Other keys name more lines."""
    panel = _dress(tables.Panel(), title, text, "short", CALM, size, runbooks)
    names: dict[str, str] = {}
    for number_, column in enumerate(columns):
        ref = chr(ord("A") + number_)
        panel.with_target(_target(Query(column.expr, column.title), instant=True, kind=PromQueryFormat.TABLE))
        names[f"Value #{ref}" if len(columns) > 1 else "Value"] = column.title
        panel.override_by_name(column.title, _cell(column))
    for key, link in (links or {}).items():
        panel.override_by_name(key, [d.DynamicConfigValue(id_val="links", value=[link.build()])])
    if len(columns) > 1:
        panel.with_transformation(
            d.DataTransformerConfig(
                id_val="joinByField" if len(keys) == 1 else "merge",
                options={"byField": keys[0], "mode": "outer"} if len(keys) == 1 else {},
            )
        )
    times = [f"Time {n}" for n in range(1, len(columns) + 1)]
    order = {name: at for at, name in enumerate([*keys, *names])}
    return panel.with_transformation(
        d.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(["Time", *times], True),
                "indexByName": order,
                "renameByName": names,
            },
        )
    )


def _cell(column: Column) -> list[d.DynamicConfigValue]:
    look = [d.DynamicConfigValue(id_val="unit", value=column.unit)]
    if column.width is not None:
        look.append(d.DynamicConfigValue(id_val="custom.width", value=column.width))
    if column.texts is not None:
        look.append(d.DynamicConfigValue(id_val="mappings", value=[mapping(column.texts)]))
    if column.bar:
        look.append(d.DynamicConfigValue(id_val="min", value=0))
        look.append(d.DynamicConfigValue(id_val="max", value=1))
        look.append(
            d.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "gauge", "mode": "basic"})
        )
    elif column.levels is not CALM or column.texts is not None:
        look.append(
            d.DynamicConfigValue(
                id_val="custom.cellOptions", value={"type": "color-background", "mode": "basic"}
            )
        )
    if column.levels is not CALM:
        steps = [d.Threshold(value=value, color=colour) for value, colour in column.levels.steps]
        look.append(
            d.DynamicConfigValue(
                id_val="thresholds", value=d.ThresholdsConfig(d.ThresholdsMode.ABSOLUTE, steps)
            )
        )
    return look
