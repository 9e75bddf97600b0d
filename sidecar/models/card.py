"""One model as the catalogue knows it, and how its file says it.

Everything may be unknown, and unknown is never "no": a list kept by many hands has gaps, and a target
must not lose its calls to a gap. So an ability is yes, no, or None.

Prices are whole pico-dollars (1e-12 of a dollar) for one token. The cheapest token on any list is a few
thousand of them, and no price has needed a fraction of one; with whole numbers a sum over a million
attempts is exact in any order, which floating point is not.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from msgspec import Struct

PICO = 10**12  # pico-dollars in a dollar


class Ability(StrEnum):
    TOOLS = "tools"
    CHOICE = "choice"  # takes a tool choice
    FORCED = "forced"  # takes a choice that forces a tool
    PARALLEL = "parallel"  # calls several tools at once
    SWITCH = "switch"  # lets the caller forbid that
    SCHEMA = "schema"  # structured output in some way
    NATIVE_SCHEMA = "native_schema"  # without a forced tool in its place
    IMAGES = "images"
    DOCUMENTS = "documents"
    AUDIO = "audio"
    VIDEO = "video"
    THINKING = "thinking"
    ADAPTIVE = "adaptive"  # efforts instead of budgets
    NO_EFFORT = "no_effort"  # thinking can be switched off by effort
    MINIMAL_EFFORT = "minimal_effort"
    XHIGH_EFFORT = "xhigh_effort"
    MAX_EFFORT = "max_effort"
    PREFILL = "prefill"  # goes on with a turn of its own
    SYSTEM = "system"
    SYSTEM_ANYWHERE = "system_anywhere"  # after the first turn too
    SAMPLING = "sampling"  # temperature, top_p, top_k
    CACHING = "caching"


class Rates(Struct, frozen=True, array_like=True):
    """Pico-dollars for one token; None: this kind costs what its plain kind costs."""

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


class Tier(Struct, frozen=True, array_like=True):
    """Rates of a whole request whose input is longer than `above` tokens."""

    above: int
    rates: Rates


class Price(Struct, frozen=True):
    rates: Rates
    tiers: tuple[Tier, ...] = ()  # by `above`, rising

    def at(self, input_tokens: int) -> Rates:
        """The rates of a request of this size."""
        rates = self.rates
        for tier in self.tiers:
            if input_tokens > tier.above:
                rates = tier.rates
        return rates


class Card(Struct, frozen=True, kw_only=True):
    """`name` is the catalogue's; `exact` is False where it was found by a name that only resembles it."""

    provider: str
    name: str
    embedding: bool = False
    window: int | None = None  # tokens of input
    output: int | None = None  # tokens, the most of one answer
    yes: frozenset[Ability] = frozenset()
    no: frozenset[Ability] = frozenset()
    retires: date | None = None  # the last day
    price: Price | None = None
    exact: bool = True

    def can(self, ability: Ability) -> bool | None:
        """None: nobody knows."""
        if ability in self.yes:
            return True
        return False if ability in self.no else None


class Row(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """A card in the file, under all names that share it. Abilities are words with blanks between."""

    names: tuple[str, ...]
    embedding: bool = False
    window: int | None = None
    output: int | None = None
    yes: str = ""
    no: str = ""
    retires: date | None = None
    rates: Rates | None = None
    tiers: tuple[Tier, ...] = ()

    def card(self, provider: str, name: str) -> Card:
        return Card(
            provider=provider,
            name=name,
            embedding=self.embedding,
            window=self.window,
            output=self.output,
            yes=frozenset(map(Ability, self.yes.split())),
            no=frozenset(map(Ability, self.no.split())),
            retires=self.retires,
            price=Price(self.rates, self.tiers) if self.rates is not None else None,
        )


class About(Struct, frozen=True):
    """Where the figures are from. The licence asks to travel with them."""

    source: str
    version: str
    digest: str  # sha256 of the source's file
    units: str
    licence: str


class Data(Struct, frozen=True):
    """The file."""

    about: About
    providers: dict[str, tuple[Row, ...]]


def priced(card: Card | None) -> str:
    """A price for people: dollars for a million tokens."""
    if card is None or card.price is None:
        return "no price is known; give it one under `models`"
    rates = card.price.rates
    said = [f"{_dollars(rates.input)} in", f"{_dollars(rates.output)} out"]
    for rate, of in (
        (rates.cache_read, "read from a cache"),
        (rates.cache_write, "written into one"),
        (rates.reasoning, "reasoning"),
    ):
        if rate is not None:
            said.append(f"{_dollars(rate)} {of}")
    for tier in card.price.tiers:
        dearer = f"{_dollars(tier.rates.input)} in and {_dollars(tier.rates.output)} out"
        said.append(f"beyond {tier.above} tokens of input {dearer}")
    return ", ".join(said) + ("" if card.exact else f" (as {card.name}: an estimate)")


def _dollars(rate: int) -> str:
    return f"{rate * 1_000_000 / PICO:g}"
