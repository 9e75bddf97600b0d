"""What a board must not do, as rules on its JSON: what the person on call would trip over.

Most rules answer a complaint that users of other boards have filed: "No data" because a metric was
renamed, a data source nobody has, NaN at night, thresholds that differ from the alerts, a panel
nobody can read without its author. Each rule has a board in the tests that breaks it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import combinations

from alerts import build
from alerts.rules import Recording
from alerts.thresholds import DEFAULT, PAGE_BURN, SLOW_PAGE_BURN, SLOW_TICKET_BURN, TICKET_BURN, Thresholds
from dashboards.reading import (
    WORD,
    Board,
    defaults,
    expressions,
    marks,
    metrics,
    name_of,
    panels,
    targets,
    urls,
    variable_query,
    variables,
    whole,
)
from sidecar.telemetry.catalog import CATALOG, PREFIX, Metric, MetricKind

Rule = Callable[[Board], Iterator[str]]

PROCESS = frozenset(
    {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    }
)
SUFFIXES = ("_bucket", "_sum", "_count")
WINDOWS = ("$__rate_interval", "$__range", "5m")  # 5m: of the alerts, in panels that show only now
MARK_WINDOW = "1m"  # of annotations, whose step is fixed
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
RANGE = re.compile(r"\[([^\]]+)\]")
DIVISION = re.compile(
    r"/\s*(?:(?:on|ignoring)\s*\([^)]*\)\s*(?:group_(?:left|right)\s*\([^)]*\)\s*)?)?(.*)", re.DOTALL
)


# ---- the board as a whole -----------------------------------------------------------------------


def data_source(board: Board) -> Iterator[str]:
    """The data source is a variable that comes with no value: an import must not ask for a missing one."""
    sources = [v for v in variables(board) if v["type"] == "datasource"]
    if [v["name"] for v in sources] != ["datasource"]:
        yield "there must be one data source variable, called datasource"
    for variable in sources:
        if variable.get("current"):
            yield f"variable {variable['name']}: remove its current value"
    used = [
        *panels(board),
        *board.get("annotations", {}).get("list", ()),
        *(v for v in variables(board) if v["type"] == "query"),
    ]
    used += [target for panel in panels(board) for target in panel.get("targets", ())]
    for user in used:
        source = user.get("datasource")
        if not isinstance(source, dict) or source.get("uid") != "${datasource}":
            yield f"{name_of(user)}: its data source must be ${{datasource}}"


def frozen(board: Board) -> Iterator[str]:
    """Boards come from code: what is edited in the browser would be lost."""
    if board.get("editable") is not False:
        yield "must be read only"
    if "id" in board and board["id"] is not None:
        yield "must have no id: it belongs to one Grafana"
    if not re.fullmatch(r"llm-sidecar-[a-z]+", board.get("uid", "")):
        yield "its uid must be llm-sidecar- and a word"


def known_variables(board: Board) -> Iterator[str]:
    """Each selection offers All, reloads with the time range, and is narrowed by the ones before it."""
    for variable in variables(board):
        if variable["type"] != "query":
            continue
        name = variable["name"]
        if not (variable.get("includeAll") and variable.get("multi") and variable.get("allValue") == ".*"):
            yield f"variable {name}: must offer All, as .*, and several values"
        if variable.get("refresh") != 2:
            yield f"variable {name}: must reload when the time range changes"
        if name != "namespace" and 'namespace=~"$namespace"' not in variable_query(variable):
            yield f"variable {name}: must be narrowed by $namespace"
    names = {v["name"] for v in variables(board)} | {"__rate_interval", "__range", "__range_s"}
    for expr in expressions(board):
        for used in re.findall(r"\$\{?(\w+)", WORD.sub(lambda m: re.sub(r"\$\d", "", m[0]), expr)):
            if used not in names and not used.isdigit():
                yield f"${used} is used and not defined"


def unique(board: Board) -> Iterator[str]:
    ids = Counter(panel.get("id") for panel in whole(board))
    for number, times in ids.items():
        if times > 1 or not isinstance(number, int) or number < 1:
            yield f"panel id {number} is there {times} times; ids are numbers from 1, each once"
    for panel in panels(board):
        refs = Counter(t.get("refId") for t in panel.get("targets", ()))
        if "" in refs or None in refs or max(refs.values(), default=1) > 1:
            yield f"{name_of(panel)}: every query needs a refId of its own"
    for title, times in Counter(panel.get("title") for panel in panels(board)).items():
        if times > 1:
            yield f"{title!r} is the title of {times} panels"


def places(board: Board) -> Iterator[str]:
    boxes = [(panel, panel["gridPos"]) for panel in whole(board)]
    for panel, box in boxes:
        if box["x"] < 0 or box["x"] + box["w"] > 24 or box["w"] < 1 or box["h"] < 1:
            yield f"{name_of(panel)}: does not fit into 24 columns"
    for (one, a), (other, b) in combinations(boxes, 2):
        if (
            a["x"] < b["x"] + b["w"]
            and b["x"] < a["x"] + a["w"]
            and a["y"] < b["y"] + b["h"]
            and b["y"] < a["y"] + a["h"]
        ):
            yield f"{name_of(one)} and {name_of(other)} overlap"


def links(board: Board) -> Iterator[str]:
    """Between boards, to a trace and to runbooks; addresses of one installation are variables."""
    shown = [link.get("url", "") for link in board.get("links", ())]
    if not any(
        link.get("type") == "dashboards" and link.get("includeVars") and link.get("keepTime")
        for link in board.get("links", ())
    ):
        yield "must link to its siblings and keep variables and time"
    if not any("${trace_id" in url for url in shown):
        yield "must link to a trace by its id"
    for panel in panels(board):
        for url in urls(panel):
            if re.match(r"https?://", url):
                yield f"{name_of(panel)}: {url} is an address of one installation; use a variable"
            elif (m := re.match(r"/d/([\w-]+)", url)) and not m[1].startswith("llm-sidecar-"):
                yield f"{name_of(panel)}: {url} is not one of our boards"


def breaker_marks(board: Board) -> Iterator[str]:
    if not any("breaker_transitions" in expr for expr in marks(board)):
        yield "must mark breaker transitions"


# ---- panels -------------------------------------------------------------------------------------


def told(board: Board) -> Iterator[str]:
    """A panel has a title of words, a description that says what a change means, and a text for silence."""
    for panel in panels(board):
        if not panel.get("title") or PREFIX in panel["title"]:
            yield f"{name_of(panel)}: needs a title, in words"
        if len(panel.get("description") or "") < 80:
            yield f"{name_of(panel)}: needs a description of what a change means and what to do"
        if not panel.get("targets"):
            yield f"{name_of(panel)}: has no query"
        if not defaults(panel).get("noValue"):
            yield f"{name_of(panel)}: must say what it shows when there is no traffic"


def units(board: Board) -> Iterator[str]:
    for panel in panels(board):
        if not defaults(panel).get("unit"):
            yield f"{name_of(panel)}: needs a unit"
        for target in panel.get("targets", ()):
            expr = target.get("expr", "")
            if (
                panel["type"] == "timeseries"
                and "histogram_quantile" in expr
                and defaults(panel).get("unit") != "s"
            ):
                yield f"{name_of(panel)}: quantiles of ours are seconds"


def legends(board: Board) -> Iterator[str]:
    """A series' name comes from its labels, in words; a line without one shows its whole selector."""
    for target in targets(board):
        if not target.legend or target.legend == "__auto":
            yield f"{name_of(target.panel)}: every query needs a legend"
        by = re.findall(r"\bby \(([^)]*)\)", target.expr)
        labels = {label.strip() for group in by for label in group.split(",")} | {"cause"}
        for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", target.legend):
            if label not in labels:
                yield f"{name_of(target.panel)}: its legend names {label}, which its query does not keep"


def levels(board: Board, limits: Thresholds = DEFAULT) -> Iterator[str]:
    """A colour changes where an alert would fire, and nowhere else; states are told by mappings."""
    burns = (PAGE_BURN, SLOW_PAGE_BURN, TICKET_BURN, SLOW_TICKET_BURN)
    known = {getattr(limits, field.name) for field in fields(limits)} | set(burns)
    for objective in (limits.error_objective, limits.full_objective):
        known |= {round(burn * (1 - objective), 6) for burn in burns}
    for panel in panels(board):
        places_ = [defaults(panel)]
        places_ += [
            {p["id"]: p.get("value") for p in o["properties"]}
            for o in panel["fieldConfig"].get("overrides", ())
        ]
        for place in places_:
            steps = (place.get("thresholds") or {}).get("steps", ())
            for step in steps:
                value = step.get("value")
                if value is None or value in known:
                    continue
                if defaults(panel).get("unit") == "short" and float(value).is_integer() and 1 <= value <= 2:
                    continue  # something counted that must not be, or a state
                yield f"{name_of(panel)}: turns {step['color']} at {value:g}, where no alert does"


# ---- queries ------------------------------------------------------------------------------------


def _series(row: Metric) -> set[str]:
    return {row.name + s for s in SUFFIXES} if row.kind is MetricKind.HISTOGRAM else {row.name}


def recorded() -> set[str]:
    return {rule.name for group in build.groups() for rule in group.rules if isinstance(rule, Recording)}


def names(board: Board) -> Iterator[str]:
    known = set().union(*(_series(row) for row in CATALOG)) | recorded() | PROCESS
    for expr in expressions(board):
        for name in sorted(metrics(expr) - known):
            yield f"{name} is neither in the catalogue nor recorded"


def labels(board: Board) -> Iterator[str]:
    """A label that a metric does not have makes a query that never answers."""
    scrape = {"namespace", "app", "team", "pod", "instance", "job", "container", "le"}
    rows = {name: row for row in CATALOG for name in _series(row)}
    for expr in expressions(board):
        for name, inside in SELECTOR.findall(expr):
            if name in rows:
                for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", WORD.sub('""', inside)):
                    if label not in scrape and label not in rows[name].labels:
                        yield f"{name} has no label {label}"


def scopes(board: Board) -> Iterator[str]:
    """Every selector is narrowed by the board's variables, and names no namespace itself."""
    for target in targets(board):
        for name, inside in SELECTOR.findall(target.expr):
            if 'namespace=~"$namespace"' not in inside:
                yield f"{name_of(target.panel)}: {name} is not narrowed by $namespace"
    for expr in expressions(board):
        for name, inside in SELECTOR.findall(expr):
            for label, value in re.findall(
                r'(namespace|app|pod|job|instance)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', inside
            ):
                if not value.startswith("$"):
                    yield f"{name}: {label} {value!r} is of one installation"


def windows(board: Board) -> Iterator[str]:
    """Counters are looked at by their rate, over a window that fits the zoom."""
    counters = {row.name for row in CATALOG if row.kind is MetricKind.COUNTER}
    counters |= {row.name + s for row in CATALOG if row.kind is MetricKind.HISTOGRAM for s in SUFFIXES}
    for target in targets(board):
        for window in RANGE.findall(target.expr):
            if window not in WINDOWS or (window == "5m" and not target.instant):
                yield f"{name_of(target.panel)}: looks back {window}; use $__rate_interval"
        for name in metrics(target.expr) & counters:
            if not re.search(rf"(?:rate|increase)\({name}\{{", target.expr):
                yield f"{name_of(target.panel)}: {name} only grows; show its rate or increase"


def divisions(board: Board) -> Iterator[str]:
    """Nothing is divided by something that can be 0."""
    for target in targets(board):
        bare = WORD.sub('""', target.expr)
        for at in (m.start() for m in re.finditer("/", bare)):
            if not _guarded(bare[at:]):
                yield f"{name_of(target.panel)}: a division needs a `> 0` on what it divides by"


def _guarded(rest: str) -> bool:
    found = DIVISION.match(rest)
    if found is None or not found[1].startswith("("):
        return bool(found and re.match(r"\d", found[1]))
    depth = 0
    for at, char in enumerate(found[1]):
        depth += (char == "(") - (char == ")")
        if depth == 0:
            return found[1][: at + 1].rstrip(")").rstrip().endswith("> 0")
    return False


def quantiles(board: Board) -> Iterator[str]:
    """A quantile is of buckets summed by le, and of nothing it is left out instead of being NaN."""
    for target in targets(board):
        for found in re.finditer(r"histogram_quantile\(", target.expr):
            rest = target.expr[found.start() :]
            if not re.search(r"sum by \([^)]*\ble\b[^)]*\)", rest):
                yield f"{name_of(target.panel)}: a quantile needs sum by (le)"
            if not re.search(r"\)\s*>=? 0", rest):
                yield f"{name_of(target.panel)}: a quantile of nothing is NaN; add >= 0"


RULES: tuple[Rule, ...] = (
    data_source, frozen, known_variables, unique, places, links, breaker_marks,
    told, units, legends, levels, names, labels, scopes, windows, divisions, quantiles,
)  # fmt: skip


def board(tree: Board) -> list[str]:
    """Everything that is wrong with a board."""
    return [f"{tree.get('uid', '?')}: {complaint}" for rule in RULES for complaint in rule(tree)]


def boards(trees: Mapping[str, Board], ruled: Iterable[str] = ()) -> list[str]:
    """And with all of them together: links that lead nowhere, rows of the catalogue that nobody sees.

    `ruled` are the expressions of the rules.
    """
    out = [complaint for tree in trees.values() for complaint in board(tree)]
    out += [
        f"{tree['uid']}: {name_of(panel)}: there is no board {found[1]}"
        for tree in trees.values()
        for panel in panels(tree)
        for url in urls(panel)
        if (found := re.match(r"/d/([\w-]+)", url)) and found[1] not in trees
    ]
    return out + unseen([expr for tree in trees.values() for expr in expressions(tree)], ruled)


def unseen(shown: Iterable[str], ruled: Iterable[str], catalog: Sequence[Metric] = CATALOG) -> list[str]:
    """Rows of the catalogue that are on no board and in no rule, and not there for debugging only."""
    used = set().union(*(metrics(expr) for expr in (*shown, *ruled)))
    return [
        f"{row.name} is on no board and in no rule; show it or mark it debug"
        for row in catalog
        if not getattr(row, "debug", False) and not _series(row) & used
    ]


def runbooks(trees: Iterable[Board], alerts: Iterable[str]) -> list[str]:
    """Links to runbooks of alerts that are not there."""
    known = {*alerts, "README"}
    return [
        f"{tree['uid']}: {name_of(panel)}: there is no alert {m[1]}"
        for tree in trees
        for panel in panels(tree)
        for url in urls(panel)
        if (m := re.search(r"\$\{runbooks[^}]*\}/(\w+)\.md", url)) and m[1] not in known
    ]
