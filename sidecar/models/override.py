"""What an operator knows better than the catalogue, as configuration says it.

A contract price, a model that is served in the company, a deployment whose name says nothing. Only what
is said is replaced; `like` starts from another model's card. Prices are dollars for a million tokens,
as every price list prints them.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from msgspec.structs import replace

from sidecar.models.card import Ability, Card, Price, Rates
from sidecar.settings import Override

MILLION = 1_000_000
_SAYABLE = ", ".join(sorted(Ability))


def problems(override: Override) -> list[str]:
    """What is wrong with it, for people; empty: nothing."""
    said = []
    strange = [word for word in (*override.can, *override.cannot) if word not in set(Ability)]
    said += [f'"{word}" is no ability; there are {_SAYABLE}' for word in strange]
    said += [f'"{word}" is in `can` and in `cannot`' for word in override.can if word in override.cannot]
    if override.retires:
        try:
            date.fromisoformat(override.retires)
        except ValueError:
            said.append(f'`retires: {override.retires}` is no date; write it as "2027-01-31"')
    if (override.input is None) != (override.output is None):
        said.append("`input` and `output` make a price together; one of them is missing")
    others = (override.cache_read, override.cache_write, override.reasoning)
    if override.input is None and override.like is None and any(value is not None for value in others):
        said.append("a price of caches or reasoning needs `input` and `output`, or `like`")
    if any(value is not None and value < 0 for value in (override.input, override.output, *others)):
        said.append("a price is below zero")
    if override.like is not None and "/" not in override.like:
        said.append(f'`like: {override.like}` names no provider; write it as "openai/gpt-4o"')
    return said


def applied(override: Override, base: Card | None) -> Card:
    """The card with what the override says put in. Raises ValueError where `problems` would have spoken."""
    card = base or Card(provider=override.provider, name=override.model)
    can, cannot = (frozenset(map(Ability, words)) for words in (override.can, override.cannot))
    return replace(
        card,
        provider=override.provider,
        name=override.model,
        exact=True,
        window=card.window if override.window is None else override.window,
        output=card.output if override.output_limit is None else override.output_limit,
        yes=(card.yes - cannot) | can,
        no=(card.no - can) | cannot,
        retires=card.retires if override.retires is None else _date(override.retires),
        price=_price(override, card.price),
    )


def _date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _price(override: Override, known: Price | None) -> Price | None:
    """A new price of input and output forgets tiers and caches: they were parts of the old one."""
    named = {
        name: pico(value)
        for name in ("cache_read", "cache_write", "reasoning")
        if (value := getattr(override, name)) is not None
    }
    if override.input is not None and override.output is not None:
        return Price(Rates(input=pico(override.input), output=pico(override.output), **named))
    if known is None or not named:
        return known
    return Price(replace(known.rates, **named))


def pico(dollars_per_million: float) -> int:
    """Pico-dollars a token, to the nearest whole one."""
    return round(Decimal(repr(dollars_per_million)) * MILLION)
