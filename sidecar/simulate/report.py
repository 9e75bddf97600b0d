"""The simulation's figures, as one table for people and as one document for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.model import Tier
from sidecar.simulate.measure import QUANTILES, Range, Row
from sidecar.simulate.published import Printed
from sidecar.simulate.world import World

GOAL_FAILURE = 0.00005  # share of the calls
GOAL_P95 = 2.4  # seconds
GOAL_COST = 168.0  # dollars
DEGRADED = (Tier.REDUCED, Tier.CACHED, Tier.STATIC, Tier.DEFERRED)

HEAD = ("policy", "failed %", "over the days", "p95 s", "p99 s", "p99.9 s", "$", "attempts", "full by", "")


@dataclass(frozen=True, slots=True)
class Report:
    """What was run."""

    calls: int  # a day
    seeds: Sequence[int]  # of the days that are whole
    worlds: Sequence[World]
    rows: Sequence[Row]
    told: dict[str, str]  # policies, for people
    printed: dict[str, Printed]  # of the policies that were published
    goals: Sequence[str]  # policies that are to reach them, in the first world

    def text(self) -> str:
        blocks = []
        for world in self.worlds:
            rows = [row for row in self.rows if row.world == world.name]
            if rows:
                blocks.append(f"{world.name}: {world.told}\n\n{_table([HEAD, *map(self._cells, rows)])}")
        named = [f"  {name}: {told}" for name, told in self.told.items()]
        blocks.append("\n".join(["policies", *named]))
        goals = [line for name in self.goals for line in self._goals(name)]
        if goals:
            blocks.append("\n".join([f"goals in world {self.worlds[0].name}", *goals]))
        again = [line for row in self.rows for line in self._reproduced(row)]
        if again:
            title = (
                "published policies: failed %, and its range over seeds where the table was first modelled"
            )
            blocks.append("\n".join([title, *again]))
        blocks.append(f"{self._days()}\n{LEGEND}")
        return "\n\n".join(blocks)

    def _days(self) -> str:
        first, last = self.seeds[0], self.seeds[-1]
        days = f"seed {first}" if first == last else f"seeds {first} to {last}"
        return f"{len(self.seeds)} x {self.calls:,} calls, {days}, in virtual time."

    def _cells(self, row: Row) -> tuple[str, ...]:
        shown = ("", "", "")
        if row.world == "published" and row.policy in self.printed:
            shown = self.printed[row.policy].shown()
        failure, degraded = row.failure, sum(row.tier(tier) for tier in DEGRADED)
        return (
            row.policy,
            _beside(_percent(failure.mean), shown[0]),
            f"{_percent(failure.low)} to {_percent(failure.high)}",
            _beside(f"{row.quantile(0.95).mean:.2f}", shown[1]),
            f"{row.quantile(0.99).mean:.2f}",
            f"{row.quantile(0.999).mean:.2f}",
            _beside(f"{row.cost.mean:.0f}", shown[2]),
            f"{row.attempts.mean:.3f}",
            ", ".join(f"{target} {share:.1%}" for target, share in row.served().items() if share),
            f"degraded {degraded:.2%}, failures all the same" if degraded else "",
        )

    def _goals(self, policy: str) -> list[str]:
        row = next((r for r in self.rows if (r.world, r.policy) == (self.worlds[0].name, policy)), None)
        if row is None:
            return []
        failed, calls = sum(day.failed for day in row.days), sum(day.calls for day in row.days)
        p95, cost = row.quantile(0.95).mean, row.cost.mean
        found = (
            (failed / calls <= GOAL_FAILURE, f"failed {failed} of {calls:,}, at most {GOAL_FAILURE:.3%}"),
            (p95 <= GOAL_P95, f"p95 {p95:.2f} s, at most {GOAL_P95}"),
            (cost <= GOAL_COST, f"${cost:.1f}, at most {GOAL_COST:.0f}"),
        )
        return [f"  {policy}: " + "; ".join(f"{said}: {'met' if met else 'MISSED'}" for met, said in found)]

    def _reproduced(self, row: Row) -> list[str]:
        if row.world != self.worlds[0].name or row.policy not in self.printed:
            return []
        low, high = self.printed[row.policy].failures
        within = "within" if low <= row.failure.mean <= high else "OUTSIDE"
        return [
            f"  {row.policy}: {_percent(row.failure.mean)} is {within} {_percent(low)} to {_percent(high)}"
        ]

    def plain(self) -> dict[str, Any]:
        """For machines: shares are of 1, times in seconds, costs in dollars of a whole day."""
        return {
            "calls": self.calls,
            "seeds": list(self.seeds),
            "worlds": {world.name: world.told for world in self.worlds},
            "policies": self.told,
            "goals": {"failed": GOAL_FAILURE, "p95": GOAL_P95, "cost": GOAL_COST},
            "rows": [self._plain(row) for row in self.rows],
        }

    def _plain(self, row: Row) -> dict[str, Any]:
        printed = self.printed.get(row.policy)
        return {
            "world": row.world,
            "policy": row.policy,
            "failed": _range(row.failure),
            "failed_calls": sum(day.failed for day in row.days),
            "calls": sum(day.calls for day in row.days),
            **{_quantile(share): _range(row.quantile(share)) for share in QUANTILES},
            "cost": _range(row.cost),
            "attempts": _range(row.attempts),
            "tiers": {tier.value: row.tier(tier) for tier in Tier},
            "served": {target.value: share for target, share in row.served().items()},
            "printed": None
            if printed is None
            else {
                "failed": printed.failure,
                "p95": printed.p95,
                "cost": printed.cost,
                "failed_range": list(printed.failures),
            },
        }


LEGEND = """\
failed: got no full answer; a degraded one is a failure here. Beside a figure: what the table printed.
p95, p99, p99.9: of full answers. $: a day of 50,000 calls. attempts: per call. full by: who answered."""


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _beside(value: str, printed: str) -> str:
    return f"{value} ({printed})" if printed else value


def _percent(share: float) -> str:
    return f"{100 * share:.4f}" if share < 0.001 else f"{100 * share:.2f}"


def _quantile(share: float) -> str:
    return f"p{100 * share:g}"


def _range(value: Range) -> dict[str, float]:
    return {"mean": value.mean, "low": value.low, "high": value.high}
