"""In which order the targets of a chain are asked: as listed, by price or by ability; and, within a
group, by lot [R13, R16].

A group is one step of a chain with several members. A call draws one of them by weight, and if that one
fails the others are drawn from what is left, before the chain goes on: who has a canary wants its sibling
to help out, and not the next provider. A weight of 0 is never drawn while another is left. Nothing is
remembered from call to call, so the shares hold for calls and not for conversations.

A route may have its steps in another order than listed: the cheapest first, by what a request of this
size would cost, or the most capable first, by the window and then by the number of abilities. Sorting is
stable, and what the catalogue does not know stands last. A group stands where
the last of those would that can be drawn, so that no call gets dearer, or less able, than its place says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from sidecar.core.bill import priced
from sidecar.gate.tokens import tokens
from sidecar.model import Ask, Provider, Rng, Target, Usage
from sidecar.models.card import Card

USUAL = 500  # tokens of an answer, for a price that is only compared

Rank = Callable[[Target, Ask, int], tuple[int, ...] | None]
"""Where a target stands for a request of so many bytes, lower first; None: nobody knows."""


class Placed(Protocol):
    """A target, or what leads to one."""

    @property
    def group(self) -> int | None: ...
    @property
    def weight(self) -> float: ...


T = TypeVar("T", bound=Placed)


def steps(chain: Iterable[T]) -> list[list[T]]:
    """Neighbours of one group are one step."""
    found: list[list[T]] = []
    for one in chain:
        if found and one.group is not None and found[-1][0].group == one.group:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def drawn(members: Sequence[T], rng: Rng) -> list[T]:
    """By weight, each once; those without one last, as listed."""
    left = [one for one in members if one.weight > 0]
    order = []
    while len(left) > 1:
        point = rng.uniform(0.0, sum(one.weight for one in left))
        for one in left:
            point -= one.weight
            if point <= 0:
                break
        order.append(one)
        left.remove(one)
    return [*order, *left, *(one for one in members if one.weight <= 0)]


def shares(members: Sequence[Placed]) -> list[float]:
    """Which share of the calls draws each of them first."""
    whole = sum(one.weight for one in members)
    return [one.weight / whole if whole else 0.0 for one in members]


def ordered(chain: Iterable[T], place: Callable[[T], tuple[int, ...] | None] | None) -> list[list[T]]:
    """The steps of a chain, those in lower places first; None: as listed."""
    found = steps(chain)
    if place is None:
        return found

    def last(step: list[T]) -> tuple[bool, tuple[int, ...]]:
        places = [place(one) for one in step if one.weight > 0 or one.group is None]
        known = [one for one in places if one is not None]
        return len(known) < len(places), max(known, default=())

    return sorted(found, key=last)


def ranking(order: str, card: Callable[[Provider, str], Card | None]) -> Rank | None:
    """By a route's `order`; None where the list's own is meant."""

    def cost(target: Target, ask: Ask, size: int) -> tuple[int, ...] | None:
        known = card(target.provider, target.model or ask.model)
        if known is None or known.price is None:
            return None
        said = USUAL if ask.max_output is None else min(ask.max_output, USUAL)
        return (priced(known.price, Usage(input_total=tokens(size), output_total=said)),)

    def capability(target: Target, ask: Ask, _: int) -> tuple[int, ...] | None:
        known = card(target.provider, target.model or ask.model)
        if known is None or known.window is None:
            return None
        return (-known.window, -len(known.yes))

    return {"cost": cost, "capability": capability}.get(order)
