"""The whole way: a real sidecar, an incident, a real Prometheus with the shipped rules, the boards' queries.

Windows and waits of the rules are shorter by SHORTER, so that minutes become seconds; nothing else
differs from what is shipped. One incident is played for all tests of this file; they look at it
afterwards, at moments of it, through Prometheus' own interface.
"""

from __future__ import annotations

import asyncio
import math
import re
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from alerts import recordings
from alerts.build import alerts
from dashboards.__main__ import boards
from dashboards.incident import LABELS, Incident, incident
from dashboards.prometheus import Prometheus, prometheus
from dashboards.reading import Target, marks, targets
from sidecar.telemetry.catalog import DURATION
from tests.kit.promtool import need

from .ledger import PROVIDERS, Window, p95, window

pytestmark = pytest.mark.live

SHORTER = 20
RULES = 300 / SHORTER  # seconds of the alerts' five minutes
RATE = 20.0  # seconds that stand for $__rate_interval
HEALTHY, ILL = 40.0, 42.0

# queries that need something this incident does not have: interception, the cache and shared state are off
# unless asked for, and what is lost depends on what the applications ask for
OPTIONAL = frozenset(
    {
        "Connections to the proxy port",
        "Hedges",  # off unless a route wants it
        "Lost on the way to a stand-in",
        "Answers given again",
        "Answers taken in and dropped",
        "Advice of the fleet",
        "The fleet's Redis",
        "Pods that hear nothing",
        "Deferred calls",
        "What becomes of deferred calls",
        "Oldest deferred call",
        "Room for deferred calls",
        "Bytes of deferred calls",
        "Messages to webhooks",
        "Oldest message to a webhook",
    }
)

FIRE = {
    "LLMBreakerOpen",
    "LLMFallbackBurst",
    "LLMFallbackRateHigh",
    "LLMProviderErrorRateHigh",
    "LLMProviderErrorRateCritical",
    "LLMRetryBudgetExhausted",  # probes come every second or two, and none of them may be retried
}
# a machine that is busy with other things than this test delays the event loop for real
BUSY = {"LLMSidecarEventLoopLag", "LLMSidecarOverheadHigh"}


@dataclass(frozen=True, slots=True)
class Played:
    runner: asyncio.Runner
    incident: Incident
    prometheus: Prometheus
    well: float  # a moment before the outage
    ill: float  # a moment long after it began

    def instant(self, query: str, at: float) -> list[tuple[dict[str, str], float]]:
        return self.runner.run(self.prometheus.instant(filled(query), at))

    def course(self, query: str) -> list[tuple[dict[str, str], list[float]]]:
        return self.runner.run(self.prometheus.course(filled(query), self.incident.began, self.ill))

    def window(self, at: float, seconds: float) -> Window:
        async def look() -> Window:  # a scrape is half a second old on average
            return window(self.incident, at - 0.5 - seconds, at - 0.5)

        return self.runner.run(look())


def filled(expr: str) -> str:
    """As Grafana would send it, with All selected, and with windows as short as those of the rules."""
    for long, short in (
        ("$__rate_interval", f"{RATE:g}s"),
        ("$__range_s", "150"),
        ("$__range", "150s"),
        ("[5m]", f"[{RULES:g}s]"),
        ("[1m]", f"[{60 / SHORTER:g}s]"),
    ):
        expr = expr.replace(long, short)
    return re.sub(r'=~"\$\w+"', '=~".*"', expr)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    need("promtool")  # comes with Prometheus
    folder = tmp_path_factory.mktemp("live")

    async def play(stack: AsyncExitStack) -> tuple[Incident, Prometheus, float, float]:
        it = await stack.enter_async_context(incident(folder))
        asked = await stack.enter_async_context(prometheus(folder, it.admin, LABELS, shorter=SHORTER))
        await it.play(HEALTHY)
        it.outage()
        well = it.broke - 2
        await it.play(ILL)
        ill = it.calls[-1].at - 2
        await asyncio.sleep(2)  # the last scrapes and rules
        return it, asked, well, ill

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            yield Played(runner, *runner.run(play(stack)))
        finally:
            runner.run(stack.aclose())


QUERIES = [
    pytest.param(query, id=f"{uid}: {query.panel['title']} / {query.legend}")
    for uid, tree in boards().items()
    for query in targets(tree)
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_a_panel_has_data_and_no_nan(played: Played, query: Target):
    series = played.course(query.expr)

    assert series or query.panel["title"] in OPTIONAL
    assert not [value for _, values in series for value in values if math.isnan(value) or math.isinf(value)]


@pytest.mark.parametrize("uid", boards())
def test_the_marks_show_the_breaker_that_opened(played: Played, uid: str):
    (mark,) = marks(boards()[uid])

    opened = [labels for labels, _ in played.course(mark) if labels["to"] == "open"]

    assert "openai" in {labels["provider"] for labels in opened}


def test_every_rule_is_well(played: Played):
    rules = played.runner.run(played.prometheus.rules())

    assert len(alerts()) == sum(rule["type"] == "alerting" for rule in rules)
    assert not [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"]


def test_the_expected_alerts_fire_and_no_other(played: Played):
    fired = {
        labels["alertname"] for labels, _ in played.course('max by (alertname) (ALERTS{alertstate="firing"})')
    }

    assert FIRE == fired - BUSY


def test_alerts_name_the_provider_and_the_application(played: Played):
    firing = played.instant('ALERTS{alertstate="firing"}', played.ill)

    for labels, _ in firing:
        assert labels["namespace"] == "shop"
        if labels["alertname"].startswith(("LLMProvider", "LLMBreaker")):
            assert labels["provider"] == "openai"
        if labels["alertname"].startswith("LLMFallbackRate"):
            assert labels["app"] == "checkout"


# ---- the answer within 30 seconds -----------------------------------------------------------------


def test_the_recording_names_the_provider_and_why_and_nobody_before(played: Played):
    before = played.instant(f"{recordings.DEGRADED} > 0", played.well)
    after = played.instant(f"{recordings.DEGRADED} > 0", played.ill)
    ever = played.course(f"{recordings.DEGRADED} > 0")

    assert [] == before
    assert {("openai", "errors"), ("openai", "breaker")} == {(m["provider"], m["cause"]) for m, _ in after}
    assert {"openai"} == {labels["provider"] for labels, _ in ever}


def test_it_does_so_within_thirty_seconds(played: Played):
    async def named() -> list[tuple[dict[str, str], float]]:
        return await played.prometheus.instant(f"{recordings.DEGRADED} > 0", played.incident.broke + 30)

    assert {"openai"} == {labels["provider"] for labels, _ in played.runner.run(named())}


@pytest.mark.parametrize("recording", [recordings.ASSIGNED_SHARE, recordings.CARRIED_SHARE])
@pytest.mark.parametrize("moment", ["well", "ill"])
def test_the_recorded_shares_are_the_vendors(played: Played, recording: str, moment: str):
    at = getattr(played, moment)
    seen = played.window(at, RULES)
    share = seen.wanted if recording == recordings.ASSIGNED_SHARE else seen.carried

    told = {labels["provider"]: value for labels, value in played.instant(recording, at)}

    for provider in PROVIDERS:
        assert told.get(provider, 0) == pytest.approx(share(provider), abs=0.05)


# ---- panels ---------------------------------------------------------------------------------------


def shown(played: Played, title: str, legend: str = "", at: float | None = None) -> dict[str, float]:
    """What a panel shows: the values of its labels in words, to the value."""
    (query,) = [
        t
        for tree in boards().values()
        for t in targets(tree)
        if t.panel["title"] == title and legend in ("", t.legend)
    ][:1]
    rows = played.instant(query.expr, played.ill if at is None else at)
    return {" ".join(labels[key] for key in sorted(labels)): value for labels, value in rows}


def test_the_first_panel_says_who_and_why(played: Played):
    assert {"breaker openai", "errors openai"} == set(shown(played, "Degraded now"))
    assert {"no provider": 0} == shown(played, "Degraded now", at=played.well)


def test_the_first_row_says_how_much(played: Played):
    seen = played.window(played.ill, RULES)

    assert shown(played, "Calls that want it")[""] == pytest.approx(seen.wanted("openai"), rel=0.05)
    assert shown(played, "Attempts that still hit it")[""] == pytest.approx(seen.carried("openai"), abs=0.05)
    assert 0 == seen.failed == shown(played, "Calls that fail")[""]
    assert 0 == shown(played, "Calls without a full answer")[""]


def test_the_table_of_providers_is_the_vendors_log(played: Played):
    seen = played.window(played.ill, RULES)

    wanted, carried, wrong = (
        shown(played, "Providers", column)
        for column in ("calls that want it", "attempts it gets", "error rate")
    )

    for provider in PROVIDERS:
        assert wanted.get(provider, 0) == pytest.approx(seen.wanted(provider), abs=0.05)
        assert carried[provider] == pytest.approx(seen.carried(provider), abs=0.05)
        assert wrong[provider] == pytest.approx(seen.error_rate(provider), rel=0.05)
    assert {"openai": 1, "backup": 0, "anthropic": 0} == shown(played, "Providers", "degraded")


def test_rates_are_the_logs(played: Played):
    seen = played.window(played.ill, RATE)
    paths, tiers, outcomes, kinds = (
        shown(played, title)
        for title in ("Calls by path", "Calls by tier", "Attempts by outcome", "Attempts by kind")
    )

    assert paths["fallback"] == pytest.approx(seen.per_second(seen.calls["openai"]), rel=0.05)
    assert paths["direct"] == pytest.approx(seen.per_second(seen.calls["anthropic"]), rel=0.05)
    assert tiers["full"] == pytest.approx(seen.per_second(seen.all_calls), rel=0.05)
    good = seen.attempts.total() - seen.wrong.total()
    assert outcomes["success"] == pytest.approx(seen.per_second(good), rel=0.05)
    assert kinds["fallback"] == pytest.approx(seen.per_second(seen.attempts["backup"]), rel=0.05)
    assert shown(played, "Fallback rate by application")["checkout shop"] == pytest.approx(
        seen.calls["openai"] / seen.all_calls, rel=0.05
    )


def test_attempts_are_the_vendors(played: Played):
    seen = played.window(played.ill, RULES)

    assert shown(played, "Attempts")[""] == pytest.approx(seen.per_second(seen.attempts.total()), rel=0.05)


def test_the_table_of_fallbacks_counts_all_of_them(played: Played):
    taken_over = played.window(played.ill, played.ill - played.incident.began).attempts["backup"]

    assert sum(shown(played, "Fallbacks: from, to, why").values()) == pytest.approx(taken_over, rel=0.05)


def test_a_single_bad_answer_is_in_the_table_of_quality(played: Played):
    """It gave birth to its series, and an increase would not show it."""
    rows = shown(played, "What was done about them")

    assert {"rejected anthropic empty": 1, "rejected openai empty": 1}.items() <= rows.items()


def test_p95_lies_in_the_bucket_of_the_vendors_own(played: Played):
    async def timed() -> float:
        return p95(played.incident, "backup", played.ill - RATE, played.ill)

    own, told = (
        played.runner.run(timed()),
        shown(played, "p95, and where slow begins")["gpt-demo backup"],
    )

    assert abs(bisect_left(DURATION, told) - bisect_left(DURATION, own)) <= 1


def test_processes_are_ours(played: Played):
    (memory,) = shown(played, "Memory").values()

    assert 20 * 2**20 < memory < 400 * 2**20
