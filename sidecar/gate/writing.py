"""A request written for who stands in: changed as the gate found necessary, said in his dialect.

What the gate changed and what the dialect cannot say is one list of losses here, each of them once, in
the client's own words.
"""

from __future__ import annotations

from msgspec.structs import replace

from sidecar.gate.check import Fit, Way, facts, losses, settled
from sidecar.hub import TONGUES, Written
from sidecar.hub.conversation import Conversation
from sidecar.models.card import Card


def written(conversation: Conversation, fit: Fit, card: Card | None, way: Way, model: str) -> Written:
    """Raises Unrepresentable."""
    asked = replace(settled(conversation, fit.changes), model=model)
    made = TONGUES[way.dialect].write(asked, facts(card, way))
    if not fit.changes:
        return made
    lost = dict.fromkeys((*losses(conversation, fit.changes), *made.losses))
    return replace(made, losses=tuple(lost))
