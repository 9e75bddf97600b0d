"""What calls cost: the row that says where the money goes, and how much of it is the price of detours."""

from __future__ import annotations

from grafana_foundation_sdk.builders import timeseries

from alerts import recordings
from alerts.thresholds import DEFAULT
from dashboards import style
from dashboards.query import Query, largest, pick, rate, share, total
from dashboards.style import Levels, Panel
from sidecar.telemetry import catalog

HOUR = 3600
DOLLARS = "currencyUSD"


def by_purpose() -> timeseries.Panel:
    return style.lines(
        "Dollars an hour, by purpose",
        "What attempts cost and what for. Served is the traffic itself. Retry, fallback and quality_rejected "
        "are answers that were paid and lost; hedge is the slower of two. A band that grows beside served is "
        "an incident that is also a bill.",
        Query(f"{rate(catalog.COST, by=('purpose',))} * {HOUR}", "{{purpose}}"),
        unit=DOLLARS,
        stack=True,
        words="purpose",
    )


def by_provider() -> timeseries.Panel:
    return style.lines(
        "Dollars an hour, by provider",
        "Whom it goes to. In an outage the stand-in's line rises: compare its price with the first "
        "provider's before it becomes the normal state.",
        Query(f"{rate(catalog.COST, by=('provider', 'model'))} * {HOUR}", "{{provider}} {{model}}"),
        unit=DOLLARS,
        stack=True,
    )


def detours() -> timeseries.Panel:
    whole = rate(catalog.COST)
    return style.lines(
        "Share of the cost that is not served",
        "What resilience costs, of all that is paid. A few percent are the price of retries; much more means "
        "that answers are paid and thrown away: look at the quality of the provider, and at caps.",
        Query(share(rate(catalog.COST, 'purpose!="served"'), whole), "not served"),
        Query(share(rate(catalog.COST, 'estimated="true"'), whole), "estimated"),
        unit="percentunit",
        levels=Levels(critical=DEFAULT.detour_share),
        runbooks=("LLMDetourCostHigh",),
    )


def per_success() -> timeseries.Panel:
    return style.lines(
        "Cost of a successful call",
        "All that was paid in the last hour, divided by the calls that got a full answer. It rises when "
        "answers get longer, when a dearer target answers, and when attempts are paid for nothing.",
        Query(largest(pick(recordings.COST_PER_SUCCESS), ("namespace", "app")), "{{namespace}} {{app}}"),
        unit=DOLLARS,
    )


def budget() -> timeseries.Panel:
    limit = pick(catalog.BUDGET)
    spent = largest(f"{pick(catalog.SPENT)} / ({limit} > 0)", ("namespace", "app"))
    return style.lines(
        "Last hour against the budget",
        "The pod that has spent the most of its hourly budget. At the first line it warns, at the second "
        "routes with over_budget: refuse answer with an error or their static answer.",
        Query(spent, "{{namespace}} {{app}}"),
        unit="percentunit",
        levels=Levels(DEFAULT.cost_budget_share, 1.0),
        runbooks=("LLMCostBudgetNearlySpent",),
    )


def hour() -> timeseries.Panel:
    return style.lines(
        "Dollars of the last hour, and attempts without a price",
        "The sum over all pods. Attempts whose price nobody knows are in no sum: give their model one under "
        "models in the configuration, of zero if it costs nothing.",
        Query(total(pick(catalog.SPENT), ("namespace", "app")), "{{namespace}} {{app}}, dollars"),
        Query(
            f"{rate(catalog.UNPRICED, by=('provider', 'model'))} * {HOUR}",
            "{{provider}} {{model}}, attempts an hour without a price",
        ),
        unit="short",
        runbooks=("LLMCostHigh", "LLMUnpricedTraffic"),
    )


def row() -> list[Panel]:
    return [by_purpose(), by_provider(), detours(), per_success(), budget(), hour()]
