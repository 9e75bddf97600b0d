"""Who is asked first: shares that hold, and orders that follow prices and abilities."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from sidecar.model import Ask, Operation, Provider, Target
from sidecar.models.card import Ability, Card, Price, Rates, Tier
from sidecar.ordering import drawn, ordered, ranking, shares, steps

ASK = Ask(operation=Operation.CHAT, model="client's")
PROVIDER = Provider(name="p", dialect="openai_chat", scheme="https", host="h", port=443)


def target(name: str, *, group: int | None = None, weight: float = 1.0) -> Target:
    return Target(name=name, provider=PROVIDER, model=name, group=group, weight=weight)


def names(chain: list[Target]) -> str:
    return "".join(one.name for one in chain)


def test_neighbours_of_one_group_are_one_step():
    chain = [target("a"), target("b", group=1), target("c", group=1), target("d"), target("e", group=3)]

    assert ["a", "bc", "d", "e"] == [names(step) for step in steps(chain)]


def test_two_groups_side_by_side_are_two_steps():
    assert 2 == len(steps([target("a", group=0), target("b", group=1)]))


def test_calls_are_shared_by_weight():
    members = [target("a", group=0, weight=95), target("b", group=0, weight=5)]
    rng = random.Random(7)

    firsts = Counter(drawn(members, rng)[0].name for _ in range(10_000))

    assert 400 <= firsts["b"] <= 600
    assert [0.95, 0.05] == shares(members)


def test_all_members_are_in_every_draw_and_those_without_weight_are_last():
    members = [target("z", group=0, weight=0), target("a", group=0), target("y", group=0, weight=0)]
    members += [target("b", group=0, weight=2), target("c", group=0, weight=3)]
    rng = random.Random(7)

    draws = [names(drawn(members, rng)) for _ in range(200)]

    assert {"abczy"} == {"".join(sorted(draw[:3])) + draw[3:] for draw in draws}
    assert 6 == len(set(draws))


def test_who_helps_out_is_drawn_by_weight_too():
    members = [target("a", group=0, weight=90), target("b", group=0, weight=9), target("c", group=0)]
    rng = random.Random(7)

    seconds = Counter(draw[1].name for _ in range(5000) if (draw := drawn(members, rng))[0].name == "a")

    assert 0.86 <= seconds["b"] / seconds.total() <= 0.94


class Top:
    """Chance at its end: a draw that lands on the very sum."""

    def uniform(self, a: float, b: float, /) -> float:
        return b


def test_a_draw_at_the_very_end_is_the_last_member_with_weight():
    members = [
        target("a", group=0, weight=0.1),
        target("b", group=0, weight=0.2),
        target("c", group=0, weight=0),
    ]

    assert "bac" == names(drawn(members, Top()))


CARDS = {
    "cheap": Card(provider="p", name="cheap", window=8000, price=Price(Rates(10, 20))),
    "wordy": Card(provider="p", name="wordy", window=8000, price=Price(Rates(1, 100))),
    "large": Card(
        provider="p",
        name="large",
        window=1_000_000,
        yes=frozenset({Ability.TOOLS}),
        price=Price(Rates(20, 30), (Tier(1000, Rates(1, 1)),)),
    ),
    "able": Card(provider="p", name="able", window=1_000_000, yes=frozenset({Ability.TOOLS, Ability.IMAGES})),
}


def sorted_by(order: str, *chain: Target, size: int = 360, ask: Ask = ASK) -> list[str]:
    rank = ranking(order, lambda _, model: CARDS.get(model))
    assert rank is not None
    return ["+".join(one.name for one in step) for step in ordered(chain, lambda one: rank(one, ask, size))]


ALL = [target(name) for name in ("able", "new", "large", "wordy", "cheap")]


def test_the_cheapest_for_an_answer_of_usual_length_comes_first_and_the_unknown_last():
    assert ["cheap", "large", "wordy", "able", "new"] == sorted_by("cost", *ALL)


def test_a_short_answer_or_a_long_prompt_changes_who_is_cheapest():
    short = Ask(operation=Operation.CHAT, model="m", max_output=1)

    assert "wordy" == sorted_by("cost", *ALL, ask=short)[0]
    assert "large" == sorted_by("cost", *ALL, size=36_000)[0]


def test_the_largest_window_comes_first_and_then_who_can_do_more():
    assert ["able", "large", "wordy", "cheap", "new"] == sorted_by("capability", *ALL)


def test_a_target_without_a_model_is_ranked_by_the_one_that_was_asked_for():
    own = Target(name="own", provider=PROVIDER)
    ask = Ask(operation=Operation.CHAT, model="cheap")

    assert ["own", "wordy"] == sorted_by("cost", target("wordy"), own, ask=ask)


def test_a_group_stands_where_its_dearest_member_would_that_can_be_drawn():
    group = [target("cheap", group=0), target("wordy", group=0), target("new", group=0, weight=0)]

    assert ["large", "cheap+wordy+new"] == sorted_by("cost", *group, target("large"))


@pytest.mark.parametrize("order", ["listed"])
def test_a_listed_chain_has_no_rank(order: str):
    assert ranking(order, lambda *_: None) is None
