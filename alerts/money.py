"""What calls cost: too much, too much of it for nothing, or without a known price."""

from __future__ import annotations

from alerts import recordings as r
from alerts.promql import APP, MODEL, at_least, events, guarded
from alerts.promql import number as n
from alerts.rules import Alert, Area, Severity
from alerts.thresholds import Thresholds
from sidecar.telemetry import catalog

_WHO = "{{ $labels.app }} in {{ $labels.namespace }}"


def alerts(t: Thresholds) -> tuple[Alert, ...]:
    spent, budget = catalog.SPENT.name, catalog.BUDGET.name
    by = ", ".join(APP)
    return (
        Alert(
            name="LLMCostHigh",
            area=Area.MONEY,
            severity=Severity.WARNING,
            expr=f"{r.COST_HOUR} > {n(t.cost_dollars)}",
            summary="{{ $labels.app }} spends more in an hour than it should.",
            description=f"The calls of {_WHO} cost {{{{ $value | humanize }}}} dollars in the last hour.",
        ),
        Alert(
            name="LLMCostBudgetNearlySpent",
            area=Area.MONEY,
            severity=Severity.WARNING,
            expr=f"max by ({by}) ({spent} / ({budget} > 0)) >= {n(t.cost_budget_share)}",
            summary="A pod of {{ $labels.app }} has spent most of its hourly budget.",
            description=f"A pod of {_WHO} has spent {{{{ $value | humanizePercentage }}}} of what it may "
            "spend in an hour; from 100 % on routes with over_budget: refuse refuse calls.",
        ),
        Alert(
            name="LLMDetourCostHigh",
            area=Area.MONEY,
            severity=Severity.WARNING,
            expr=guarded(f"{r.DETOUR_SHARE} > {n(t.detour_share)}", APP, r.DETOUR_HOUR, t.detour_dollars),
            wait="10m",
            summary="Much of what {{ $labels.app }} pays is for attempts that served nobody.",
            description=f"{{{{ $value | humanizePercentage }}}} of what the calls of {_WHO} cost in the last "
            "hour went to retries, fallbacks, lost races and rejected answers.",
        ),
        Alert(
            name="LLMUnpricedTraffic",
            area=Area.MONEY,
            severity=Severity.INFO,
            expr=at_least(events(catalog.UNPRICED, "1h", MODEL), t.unpriced_events),
            wait="10m",
            summary="Nobody knows what {{ $labels.model }} of {{ $labels.provider }} costs.",
            description="{{ $value | humanize }} attempts at {{ $labels.model }} of {{ $labels.provider }} "
            "for {{ $labels.namespace }} in the last hour are in no cost and count against no budget.",
        ),
    )
