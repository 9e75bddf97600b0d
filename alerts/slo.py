"""Burn rates of two objectives: calls answered at all, and calls answered in full.

The second one is there so that a static answer cannot hide an outage. Pairs of windows and factors
are those of the SRE workbook: 14.4 (1 h and 5 min) and 6 (6 h and 30 min) page, 3 (1 d and 2 h) and
1 (3 d and 6 h) make a ticket. The short window of a pair ends the alert soon after the trouble.

Longer windows are sums over the recorded five minutes, which costs Prometheus two series per
application and not all the counters of all pods.
"""

from __future__ import annotations

from alerts import recordings as r
from alerts.promql import APP, events, joined, number
from alerts.rules import Alert, Area, Recording, Severity
from alerts.thresholds import PAGE_BURN, SLOW_PAGE_BURN, SLOW_TICKET_BURN, TICKET_BURN, Thresholds
from sidecar.telemetry import catalog

WINDOWS = ("30m", "1h", "2h", "6h", "1d", "3d")
_BAD: dict[str, tuple[str, tuple[str, ...]]] = {
    r.ERROR_SHARE: (r.ERRORS, ('outcome="error"',)),
    r.BELOW_FULL_SHARE: (r.BELOW_FULL, (r.ASKED, 'tier!="full"')),
}


def share(recorded: str, window: str) -> str:
    """The name of a share over another window than five minutes."""
    return recorded.replace("5m", window)


def recordings() -> tuple[Recording, ...]:
    return tuple(
        Recording(
            share(name, window),
            f"sum_over_time({bad}[{window}])\n/\n(sum_over_time({r.CALLS}[{window}]) > 0)",
        )
        for name, (bad, _) in _BAD.items()
        for window in WINDOWS
    )


def _burns(name: str, budget: float, *pairs: tuple[float, str, str]) -> str:
    return "\n  or\n".join(
        f"  {share(name, long)} > {number(factor * budget)}"
        f" and {share(name, short)} > {number(factor * budget)}"
        for factor, long, short in pairs
    )


def _expr(t: Thresholds, name: str, objective: float, window: str, *pairs: tuple[float, str, str]) -> str:
    bad = events(catalog.REQUESTS, window, APP, *_BAD[name][1])
    return f"(\n{_burns(name, 1 - objective, *pairs)}\n)\nand {joined(APP)} {bad} >= {number(t.burn_events)}"


def _fast(t: Thresholds, name: str, objective: float) -> str:
    return _expr(t, name, objective, "1h", (PAGE_BURN, "1h", "5m"), (SLOW_PAGE_BURN, "6h", "30m"))


def _slow(t: Thresholds, name: str, objective: float) -> str:
    return _expr(t, name, objective, "6h", (TICKET_BURN, "1d", "2h"), (SLOW_TICKET_BURN, "3d", "6h"))


def alerts(t: Thresholds) -> tuple[Alert, ...]:
    return (
        Alert(
            name="LLMAppErrorBudgetBurnFast",
            area=Area.APP,
            severity=Severity.CRITICAL,
            expr=_fast(t, r.ERROR_SHARE, t.error_objective),
            wait="2m",
            summary="Calls of {{ $labels.app }} fail so fast that the month's error budget goes within days.",
            description="Of the calls of {{ $labels.app }} in {{ $labels.namespace }} "
            "{{ $value | humanizePercentage }} get an error, over the last hours and right now.",
        ),
        Alert(
            name="LLMAppErrorBudgetBurnSlow",
            area=Area.APP,
            severity=Severity.WARNING,
            expr=_slow(t, r.ERROR_SHARE, t.error_objective),
            wait="15m",
            summary="Calls of {{ $labels.app }} fail steadily and eat the month's error budget.",
            description="Of the calls of {{ $labels.app }} in {{ $labels.namespace }} "
            "{{ $value | humanizePercentage }} got an error over a day or more.",
        ),
        Alert(
            name="LLMFullTierBudgetBurnFast",
            area=Area.APP,
            severity=Severity.CRITICAL,
            expr=_fast(t, r.BELOW_FULL_SHARE, t.full_objective),
            wait="2m",
            summary="Most of what {{ $labels.app }} gets is no full answer.",
            description="Of the calls of {{ $labels.app }} in {{ $labels.namespace }} "
            "{{ $value | humanizePercentage }} get a lesser answer or none, over hours and right now.",
        ),
        Alert(
            name="LLMFullTierBudgetBurnSlow",
            area=Area.APP,
            severity=Severity.WARNING,
            expr=_slow(t, r.BELOW_FULL_SHARE, t.full_objective),
            wait="15m",
            summary="{{ $labels.app }} steadily gets more answers below full than its objective allows.",
            description="Of the calls of {{ $labels.app }} in {{ $labels.namespace }} "
            "{{ $value | humanizePercentage }} got a lesser answer or none over a day or more.",
        ),
    )
