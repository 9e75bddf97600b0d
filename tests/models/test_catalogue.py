from __future__ import annotations

import dataclasses
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.build import provider_of
from sidecar.models import build, catalogue
from sidecar.models.card import Ability, About, Card, Data, Price, Rates, Row, Tier
from sidecar.models.catalogue import Catalogue, row_of
from sidecar.models.override import applied, pico, problems
from sidecar.settings import Override
from sidecar.vendors import VENDORS

ABOUT = About("a list", "1", "", "", "MIT")


def shelf(*rows: Row, overrides: tuple[Override, ...] = ()) -> Catalogue:
    return Catalogue(Data(ABOUT, {"openai": rows, "gemini": rows}), overrides)


def row(*names: str, **fields: Any) -> Row:
    return Row(names=names, **{"window": 1000, "rates": Rates(1, 2), **fields})


def found(known: Catalogue, model: str, provider: str = "openai") -> str:
    card = known.card(provider, model)
    return "" if card is None else card.name


# ---- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("gpt-9", "gpt-9"),
        ("GPT-9", "gpt-9"),
        ("openai/gpt-9", "gpt-9"),
        ("gpt-9-2031-05-06", "gpt-9"),
        ("gpt-9-latest", "gpt-9"),
        ("ft:gpt-8:acme::x1", "ft:gpt-8"),
        ("solo", "solo-2030-02-02"),  # the newest dated one
        ("solo-2030-01-01", "solo-2030-01-01"),
        ("gpt-9-mini", ""),
        ("gpt", ""),
        ("", ""),
        ("gpt-9" * 100, ""),
    ],
)
def test_a_model_is_found_by_the_names_it_is_asked_by(asked: str, name: str):
    known = shelf(row("gpt-9"), row("ft:gpt-8"), row("solo-2030-01-01"), row("solo-2030-02-02"))
    assert name == found(known, asked)


def test_googles_resource_names_are_understood():
    assert "gemini-9" == found(shelf(row("gemini-9")), "models/gemini-9", "gemini")


def test_a_slash_that_belongs_to_the_name_stays():
    known = shelf(row("gpt-9"), row("openai/gpt-9", window=5))
    card = known.card("openai", "openai/gpt-9")
    assert card is not None
    assert 5 == card.window


def test_another_date_of_a_model_is_told_as_such_and_does_not_inherit_its_end():
    known = shelf(row("gpt-9", retires=date(2030, 1, 1)))
    exact, near = known.card("openai", "gpt-9"), known.card("openai", "gpt-9-2031-05-06")
    assert exact is not None
    assert near is not None
    assert (True, date(2030, 1, 1)) == (exact.exact, exact.retires)
    assert (False, None) == (near.exact, near.retires)


def test_nobody_knows_the_models_of_a_provider_without_a_shelf():
    assert shelf(row("x")).card("vllm", "x") is None


@given(st.text(max_size=80))
def test_any_name_may_be_asked_for(model: str):
    shelf(row("gpt-9")).card("openai", model)


# ---- what a card says ---------------------------------------------------------------------------


def test_an_ability_is_yes_or_no_or_unknown():
    card = shelf(row("m", yes="tools images", no="sampling")).card("openai", "m")
    assert card is not None
    assert [True, False, None] == [card.can(a) for a in (Ability.TOOLS, Ability.SAMPLING, Ability.AUDIO)]


def test_the_tier_of_a_request_is_that_of_its_length():
    price = Price(Rates(1, 1), (Tier(100, Rates(2, 2)), Tier(200, Rates(3, 3))))
    assert [1, 1, 2, 3] == [price.at(tokens).input for tokens in (0, 100, 101, 201)]


# ---- which provider is it -----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(row.name for row in VENDORS.values() if row.url))
def test_a_well_known_provider_is_known_under_any_name(name: str):
    assert name == row_of(provider_of(VENDORS[name], "mine"))


@pytest.mark.parametrize(
    ("host", "name", "expected"),
    [
        ("acme.openai.azure.com", "east", "azure"),
        ("europe-west4-aiplatform.googleapis.com", "eu", "vertex"),
        ("gateway.internal", "openai", "openai"),
        ("gateway.internal", "ours", ""),
    ],
)
def test_clouds_are_known_by_their_hosts(host: str, name: str, expected: str):
    provider = dataclasses.replace(provider_of(VENDORS["openai"], name), host=host)
    assert expected == row_of(provider)


# ---- overrides ------------------------------------------------------------------------------------


def test_an_override_replaces_what_it_says_and_nothing_else():
    override = Override(provider="openai", model="m", output_limit=7, can=("audio",), cannot=("tools",))
    card = shelf(row("m", yes="tools images"), overrides=(override,)).card("openai", "M")
    assert card is not None
    assert (1000, 7) == (card.window, card.output)
    assert frozenset({Ability.AUDIO, Ability.IMAGES}) == card.yes
    assert frozenset({Ability.TOOLS}) == card.no
    assert Price(Rates(1, 2)) == card.price


def test_a_model_of_the_company_gets_a_card_of_its_own():
    override = Override(provider="vllm", model="ours", window=32_000, input=0.0, output=0.0)
    card = shelf(overrides=(override,)).card("vllm", "ours")
    assert card is not None
    assert (32_000, Price(Rates(0, 0))) == (card.window, card.price)


def test_a_deployment_is_like_the_model_behind_it():
    override = Override(provider="east", model="prod-1", like="openai/m", retires="2031-01-01")
    card = shelf(row("m"), overrides=(override,)).card("east", "prod-1", "azure")
    assert card is not None
    assert ("east", "prod-1", 1000, date(2031, 1, 1)) == (card.provider, card.name, card.window, card.retires)


def test_a_new_price_forgets_the_tiers_of_the_old_one_and_a_part_of_it_keeps_the_rest():
    base = Card(provider="openai", name="m", price=Price(Rates(1, 2, 3), (Tier(9, Rates(1, 1)),)))
    whole = applied(Override(provider="openai", model="m", input=1.25, output=10.0), base)
    part = applied(Override(provider="openai", model="m", cache_read=0.5), base)
    assert Price(Rates(1_250_000, 10_000_000)) == whole.price
    assert Price(Rates(1, 2, 500_000)) == part.price


def test_a_model_that_retires_never_says_so_with_an_empty_date():
    base = Card(provider="openai", name="m", retires=date(2030, 1, 1))
    assert applied(Override(provider="openai", model="m", retires=""), base).retires is None
    assert date(2030, 1, 1) == applied(Override(provider="openai", model="m"), base).retires


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"can": ("flying",)}, '"flying" is no ability'),
        ({"can": ("tools",), "cannot": ("tools",)}, "in `can` and in `cannot`"),
        ({"retires": "soon"}, "is no date"),
        ({"input": 1.0}, "one of them is missing"),
        ({"cache_read": 1.0}, "needs `input` and `output`"),
        ({"input": -1.0, "output": 1.0}, "below zero"),
        ({"like": "gpt-4o"}, "names no provider"),
    ],
)
def test_a_wrong_override_is_told_to_people(fields: dict[str, Any], told: str):
    said = problems(Override(provider="openai", model="m", **fields))
    assert 1 == len(said)
    assert told in said[0]


def test_a_right_override_has_no_problems():
    assert [] == problems(Override(provider="x", model="m", like="openai/m", cache_read=1.0, can=("tools",)))


@pytest.mark.parametrize(
    ("dollars", "expected"), [(2.5, 2_500_000), (0.075, 75_000), (0.0028, 2_800), (15, 15_000_000)]
)
def test_dollars_for_a_million_tokens_are_whole_pico_dollars_a_token(dollars: float, expected: int):
    assert expected == pico(dollars)


# ---- the file that ships --------------------------------------------------------------------------


def test_the_shipped_file_is_small_and_says_whose_it_is():
    raw = build.FILE.read_bytes()
    data = catalogue.shipped()
    assert len(raw) <= 200_000
    assert build.PINNED == data.about.version
    assert 64 == len(data.about.digest)
    assert "MIT License" in data.about.licence
    assert data.about.licence in (Path(__file__).parents[2] / "docs" / "NOTICE").read_text()


def test_the_shipped_file_is_what_the_build_writes():
    assert build.FILE.read_bytes() == build.written(catalogue.shipped())


def test_every_shelf_belongs_to_a_provider_we_speak():
    shelves = set(catalogue.shipped().providers)
    assert shelves <= set(VENDORS)
    assert shelves == set(build.PROVIDERS)
    assert all(VENDORS[name].dialect for name in shelves)


def test_every_shipped_row_makes_a_card_with_plausible_figures():
    known = Catalogue(catalogue.shipped())
    names = [
        (provider, name)
        for provider, rows in catalogue.shipped().providers.items()
        for r in rows
        for name in r.names
    ]
    cards = [known.card(provider, name) for provider, name in names]
    assert known.count() == len(names) == len({(p, n.casefold()) for p, n in names})
    for card in cards:
        assert card is not None
        assert card.exact
        assert not card.yes & card.no
        assert card.window is None or 0 < card.window <= 20_000_000
        assert card.output is None or 0 < card.output <= 20_000_000
        if card.price is not None:
            above = [tier.above for tier in card.price.tiers]
            assert above == sorted(set(above))
            for rates in (card.price.rates, *(tier.rates for tier in card.price.tiers)):
                assert 0 <= rates.input < 10**9  # a thousand dollars a million
                assert 0 <= rates.output < 10**9


@pytest.mark.parametrize(
    ("provider", "model", "least"),
    [
        ("openai", "gpt-4o-mini", 100_000),
        ("anthropic", "claude-haiku-4-5", 100_000),
        ("gemini", "gemini-2.5-pro", 500_000),
    ],
)
def test_models_that_everybody_uses_have_limits_and_prices(provider: str, model: str, least: int):
    card = Catalogue(catalogue.shipped()).card(provider, model)
    assert card is not None
    assert card.window is not None
    assert card.window >= least
    assert card.output is not None
    assert card.price is not None
    assert card.can(Ability.TOOLS) is True
