"""PromQL from rows of the catalogue: no metric is named here, and no panel types one.

Three habits keep a board honest. A division says what it does where nothing runs: the whole is
guarded by `> 0`, the part is 0 where only the whole is there. A quantile of nothing is NaN, which
`>= 0` leaves out. Rates look back over $__rate_interval, which knows the scrape and the zoom.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.promql import STARTED
from sidecar.telemetry.catalog import Metric

WINDOW = "$__rate_interval"
FLEET = ('namespace=~"$namespace"', 'app=~"$app"')
PROVIDER = ('provider=~"$provider"',)
TARGET = (*PROVIDER, 'model=~"$model"')


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel and how its series are called."""

    expr: str
    legend: str
    exemplars: bool = False


def pick(row: Metric | str, *matchers: str, scope: tuple[str, ...] = FLEET, part: str = "") -> str:
    """A selector. `part` is a suffix of a histogram, such as _bucket."""
    name = row.name if isinstance(row, Metric) else row
    return f"{name}{part}{{{', '.join((*scope, *matchers))}}}"


def _over(how: str, by: tuple[str, ...], inner: str) -> str:
    return f"{how} by ({', '.join(by)}) ({inner})" if by else f"{how}({inner})"


def rate(
    row: Metric,
    *matchers: str,
    by: tuple[str, ...] = (),
    scope: tuple[str, ...] = FLEET,
    over: str = WINDOW,
    part: str = "",
) -> str:
    """Per second."""
    return _over("sum", by, f"rate({pick(row, *matchers, scope=scope, part=part)}[{over}])")


def count(
    row: Metric,
    *matchers: str,
    by: tuple[str, ...] = (),
    scope: tuple[str, ...] = FLEET,
    part: str = "",
) -> str:
    """How many in a step."""
    return _over("sum", by, f"increase({pick(row, *matchers, scope=scope, part=part)}[{WINDOW}])")


def happened(row: Metric, *matchers: str, by: tuple[str, ...], scope: tuple[str, ...] = FLEET) -> str:
    """How often in the time shown, those included with which a series was born.

    The increase of a series that is born at 1 is 0; see alerts.promql.events, which this follows.
    """
    one, span = pick(row, *matchers, scope=scope), "$__range"
    started = pick(STARTED, scope=FLEET)
    watched = f"({started} offset {span} or {started} > time() - $__range_s)"
    born = f"{one} unless {one} offset {span} and on (job, namespace, instance) {watched}"
    return _over("sum", by, f"{born} or increase({one}[{span}])")


def quantile(
    q: float, row: Metric, *matchers: str, by: tuple[str, ...] = (), scope: tuple[str, ...] = FLEET
) -> str:
    buckets = rate(row, *matchers, by=(*by, "le"), scope=scope, part="_bucket")
    return f"histogram_quantile({q:g}, {buckets}) >= 0"


def largest(expr: str, by: tuple[str, ...] = ()) -> str:
    return _over("max", by, expr)


def smallest(expr: str, by: tuple[str, ...] = ()) -> str:
    return _over("min", by, expr)


def total(expr: str, by: tuple[str, ...] = ()) -> str:
    return _over("sum", by, expr)


def share(part: str, whole: str) -> str:
    """Of two expressions with the same labels: 0 where nothing of it happens, nothing where nothing runs."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"
