"""The nights of the alerts about money. A minute's phases of a cost are dollars a minute."""

from __future__ import annotations

from sidecar.telemetry import catalog as c
from tests.alerts.scenes import Case, Phases, Series, of

APP = {"app": "web"}
GPT = {"provider": "openai", "model": "gpt-4o"}
LONG: Phases = (30.0, 90.0, 90.0)  # an hour after the trouble nothing is left of it


def _cost(phases: Phases | float, purpose: str = "served") -> Series:
    return of(c.COST, phases, purpose=purpose, estimated="false", **GPT)


def _lost(dollars: float, purpose: str = "retry") -> Series:
    return _cost((0.0, dollars, 0.0), purpose)


def _unpriced(rate: float) -> Series:
    return of(c.UNPRICED, (0.0, rate, 0.0), **GPT)


def _spent(dollars: float, budget: float) -> tuple[Series, ...]:
    return (of(c.SPENT, (0.1, dollars, 0.1)), of(c.BUDGET, budget))


MONEY_CASES = (
    Case(
        alert="LLMCostHigh",
        labels=APP,
        fires=(_cost((0.1, 0.9, 0.1)),),  # 54 dollars in an hour
        under=(_cost((0.1, 0.8, 0.1)),),
        quiet=(_lost(0.1),),
        minutes=LONG,
    ),
    Case(
        alert="LLMCostBudgetNearlySpent",
        labels=APP,
        fires=_spent(4.1, 5),
        under=_spent(3.9, 5),
        quiet=_spent(1000, 0),  # there is no budget
    ),
    Case(
        alert="LLMDetourCostHigh",
        labels=APP,
        fires=(_cost(0.5), _lost(0.1), _lost(0.06, "quality_rejected")),  # 24 %
        under=(_cost(0.5), _lost(0.12)),
        quiet=(_lost(0.015),),  # all of it, 90 cents
        minutes=LONG,
    ),
    Case(
        alert="LLMUnpricedTraffic",
        labels=GPT,
        fires=(_unpriced(1),),
        under=(_cost(1.0), _unpriced(0.15)),  # 9 in an hour
        quiet=(_unpriced(0.15),),
        minutes=LONG,
    ),
)
