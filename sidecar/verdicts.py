"""What is known of each target of a route, and what the gate makes of one request: the words of `explain`.

The verdict is that of a sidecar that has just started: what targets have said since is not known here, and
neither are the bytes that a token takes there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from sidecar.dialects import speaks
from sidecar.dialects.base import BadBody
from sidecar.gate.check import Skip, Way, check, losses
from sidecar.gate.features import Features, of_ask, of_conversation
from sidecar.gate.writing import written
from sidecar.hub import TONGUES
from sidecar.hub.conversation import Conversation, Unrepresentable
from sidecar.model import Ask, Operation, Provider, Target, Variant
from sidecar.models.card import Card
from sidecar.models.catalogue import Cards
from sidecar.ordering import steps
from sidecar.settings import Route, Settings
from sidecar.variants import in_conversation


def verdicts(
    settings: Settings, route: Route, provider: Provider, dialect: str, ask: Ask, path: str, body: bytes,
    wall: float,
) -> Iterator[str]:  # fmt: skip
    """A line a target. `dialect`: the client's; `wall`: Unix time."""
    cards = Cards(settings.models)
    conversation = _read(dialect, ask, path, body)
    first = next(iter(steps(route.chain)), [])
    for target in route.targets:
        card = cards(target.provider, target.model or ask.model)
        outside = route.allow.outside(target.provider)
        own = target.provider.name == provider.name and (target in first or target.model in {None, ask.model})
        if outside:
            said = f"never asked: {outside}"
        elif own:
            said = "gets the client's own bytes" if target.variant is None else "asked"
        else:
            said = _verdict(route, target, provider, dialect, ask, conversation, len(body), card, wall)
        told = f"; told differently: {_told(target.variant)}" if target.variant is not None else ""
        yield f"{target.name}: {said}{told}; {_known(card)}"


def _read(dialect: str, ask: Ask, path: str, body: bytes) -> Conversation | None:
    tongue = TONGUES.get(dialect)
    if tongue is None or ask.operation is not Operation.CHAT:
        return None
    try:
        return tongue.read(path, body)
    except BadBody:
        return None


def _verdict(
    route: Route, target: Target, provider: Provider, dialect: str, ask: Ask,
    conversation: Conversation | None, size: int, card: Card | None, wall: float,
) -> str:  # fmt: skip
    theirs = target.provider.dialect
    translated = not speaks(target.provider, dialect)
    if translated and (conversation is None or theirs not in TONGUES):
        return f"skipped, unrepresentable: this is not translated to {theirs or 'its dialect'}"
    if conversation is not None and target.variant is not None:
        conversation = in_conversation(conversation, target.variant)
    features: Features = of_ask(ask, size) if conversation is None else of_conversation(conversation, size)
    way = Way(
        theirs if translated else dialect,
        translated,
        target.provider.name == provider.name,
        route.strict_capabilities,
    )
    found = check(features, card, way, wall=wall)
    if isinstance(found, Skip):
        field = conversation.named_as(found.field) if conversation is not None else found.field
        return f"skipped, {found.reason}" + (f": {field}" if field else "")
    lost = losses(conversation, found.changes)
    if translated and conversation is not None:
        try:
            made = written(conversation, found, card, way, target.model or ask.model)
        except Unrepresentable as error:
            return f"skipped, unrepresentable: {error}"
        lost = tuple(loss for loss in made.losses if loss.how != "cost")
    if not lost:
        return "asked"
    named = ", ".join(f"{loss.field} {loss.how}" for loss in lost)
    match route.on_loss:
        case "skip_target":
            return f"skipped, losses: {named}"
        case "fail":
            return f"ends the call (on_loss: fail): {named}"
        case _:
            return f"asked, with losses: {named}"


def _told(variant: Variant) -> str:
    system = variant.system
    texts = {"replaced": system.replace, "prepended": system.prepend, "appended": system.append}
    parts = [f"system prompt {how}" for how, text in texts.items() if text is not None]
    return ", ".join([*parts, *variant.parameters])


def _known(card: Card | None) -> str:
    if card is None:
        return "the catalogue does not know its model"
    said = [f"window {card.window}"] if card.window is not None else []
    said += [f"answers up to {card.output}"] if card.output is not None else []
    said += [f"not {', '.join(sorted(card.no))}"] if card.no else []
    said += [f"retires {_day(card.retires)}"] if card.retires is not None else []
    return "; ".join(said) or "the catalogue knows its price only"


def _day(day: date) -> str:
    return day.isoformat()
