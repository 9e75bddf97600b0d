"""Policies on simulated days: the published ones give the published figures, ours keep their promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar import config
from sidecar.model import Tier
from sidecar.settings import StaticAnswer
from sidecar.simulate import ours, published
from sidecar.simulate.measure import Figures, Row, Tally
from sidecar.simulate.world import CALL_PRICE, CALLS, WORLDS, Day, Spells, Target, World

PUBLISHED = WORLDS[0]
CALM = World(name="calm", told="nothing goes wrong", outages=Spells(), stalls=0.0)
DEAD = World(name="dead", told="everybody is down all day", outages=Spells(1 - 1e-9, 1e4), overlap=1.0)


def days(policy: published.Policy | ours.Policy, world: World, seeds: range, calls: int) -> Row:
    return Row(world.name, policy.name, tuple(policy.run(Day(world, s, calls)).sum() for s in seeds))


# ---- the published table --------------------------------------------------------------------


@pytest.mark.parametrize("policy", published.POLICIES, ids=lambda policy: policy.name)
def test_a_published_policy_gives_its_published_figures(policy: published.Policy):
    row = days(policy, PUBLISHED, range(10, 13), 15_000)
    low, high = policy.printed.failures
    assert low <= row.failure.mean <= high
    assert policy.printed.p95 == pytest.approx(row.quantile(0.95).mean, rel=0.1)
    assert policy.printed.cost == pytest.approx(row.cost.mean, rel=0.03)  # outages swing by a sixth


def test_without_faults_every_policy_answers_at_its_own_price():
    for policy in published.POLICIES[:3]:
        day = days(policy, CALM, range(1, 2), 500).days[0]
        assert (0, 1.0) == (day.failed, day.attempts)
        assert CALLS * CALL_PRICE == pytest.approx(day.cost)


def test_the_published_breaker_parks_a_call_and_gives_up_after_its_patience():
    tally = next(p for p in published.POLICIES if p.name == "breaker").run(Day(DEAD, 1, 200))
    assert 200 == tally.tiers[Tier.NONE]
    assert tally.asked.total() < 200  # most of them never asked: one call asks for all


# ---- ours -----------------------------------------------------------------------------------


def test_the_tuned_route_is_better_than_the_last_published_policy_in_all_three_on_the_same_days():
    row = days(ours.tuned(), PUBLISHED, range(1, 3), 1200)
    printed = days(published.POLICIES[-1], PUBLISHED, range(1, 3), 1200)
    assert 0 == row.failure.mean <= printed.failure.mean
    assert row.quantile(0.95).mean <= 2.4 < printed.quantile(0.95).mean
    assert row.cost.mean < printed.cost.mean
    assert row.attempts.mean <= 1.08


def test_the_default_route_answers_every_call_and_is_late_where_the_primary_is_silent():
    row = days(ours.default(), PUBLISHED, range(1, 3), 1200)
    assert 0 == sum(day.failed for day in row.days)
    assert 10 < row.quantile(0.99).mean < 15  # a share of the deadline, then somebody else's answer
    assert row.attempts.mean <= 1.08


def test_our_attempts_are_billed_and_counted_at_the_wire():
    day = days(ours.default(), CALM, range(1, 2), 300).days[0]
    assert (0, 1.0, 1.0) == (day.failed, day.attempts, day.served[Target.PRIMARY])
    assert CALLS * CALL_PRICE == pytest.approx(day.cost)


def test_where_everybody_is_down_all_day_nobody_is_answered():
    day = days(ours.default(), DEAD, range(1, 2), 100).days[0]
    assert (100, 1.0) == (day.failed, day.tiers[Tier.NONE])


def test_a_degraded_answer_is_no_success():
    policy = ours.default()
    static = replace(policy, route=replace(policy.route, static=StaticAnswer(text="Please try again.")))
    day = static.run(Day(DEAD, 1, 100)).sum()
    assert 1.0 == day.tiers[Tier.STATIC]
    assert (100, 0.0) == (day.failed, day.quantiles[1])
    assert {0.0} == set(day.served.values())


@pytest.mark.parametrize("tier", [tier for tier in Tier if tier is not Tier.FULL])
def test_every_tier_but_full_is_a_failure(tier: Tier):
    tally = Tally()
    tally.end(Tier.FULL, 1.0, Target.PRIMARY)
    tally.end(tier, 0.001, Target.PRIMARY)
    found = tally.sum()
    assert (1, 0.5) == (found.failed, found.failure)
    assert 1.0 == found.quantiles[0]  # its haste is no merit either


@pytest.mark.parametrize("policy", [published.POLICIES[3], ours.tuned()], ids=lambda policy: policy.name)
def test_a_seed_gives_the_same_figures_every_time(policy: published.Policy | ours.Policy):
    def once(seed: int) -> Figures:
        return policy.run(Day(WORLDS[3], seed, 600)).sum()

    assert once(5) == once(5)
    assert once(5) != once(6)


# ---- a route of one's own -------------------------------------------------------------------


def test_the_providers_of_a_route_become_the_worlds_in_their_order():
    settings = config.parse(
        "providers:\n"
        '  a: {dialect: openai_chat, url: "https://a.example/v1", key: {env: A}}\n'
        '  b: {dialect: openai_chat, url: "https://b.example/v1", key: {env: B}}\n'
        "routes:\n"
        "  - name: r\n"
        "    match: {provider: b}\n"
        "    chain: [b, {provider: b, name: again, model: small}, a]\n"
        "    deadline: 7\n"
    )
    policy = ours.of_route("yours", "", settings)
    assert ["primary", "primary", "peer"] == [target.provider.name for target in policy.route.chain]
    assert ["b", "again", "a"] == [target.name for target in policy.route.chain]
    assert 0 == policy.run(Day(CALM, 1, 50)).sum().failed
