"""How many tokens a prompt is, from its bytes: a guess that learns, for each target.

No tokenizer is at hand that is right for everybody, and none is needed: the question is whether a prompt
could be too long, and the answer is "no" for nearly all of them by their bytes alone. For the others the
bytes a token takes are learned from what the target counted before.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field

from sidecar.gate.features import Features

START = 3.6  # bytes a token, before anything is learned; English has about four
LEAST, MOST = 1.5, 6.0
PACE = 0.1  # of what is learned, each time
SAFETY = 1.15  # a guess that is this much too low still fits
IMAGE = 1600  # tokens
DOCUMENT = 10_000  # five pages of two thousand: nobody counts them before
AUDIO = 2000  # about a minute
VIDEO = 16_000  # about a minute
KEPT = 256  # targets; the least recently used go first
ENOUGH = 256  # bytes below which a prompt teaches nothing: what surrounds it is most of it


def media(features: Features) -> int:
    """Tokens of all that is not text, a guess."""
    return (
        features.images * IMAGE
        + features.documents * DOCUMENT
        + features.audio * AUDIO
        + features.video * VIDEO
    )


def matters(size: int, fixed: int, room: float) -> bool:
    """Could text of `size` bytes and `fixed` tokens of media be too long for `room` tokens at all?"""
    return (size / LEAST + fixed) * SAFETY > room


def tokens(size: int, ratio: float = START) -> int:
    return math.ceil(size / ratio)


@dataclass(slots=True)
class Ratios:
    """Bytes a token takes, by target."""

    _known: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def of(self, target: str) -> float:
        return self._known.get(target, START)

    def learn(self, target: str, features: Features, input_tokens: int | None) -> None:
        """What a target counted. Prompts with media and tiny ones teach nothing."""
        if not input_tokens or input_tokens < 0 or features.size < ENOUGH or media(features):
            return
        if not features.read:
            return  # its bytes may be an image's
        self.note(target, features.size, input_tokens)

    def note(self, target: str, size: int, count: int) -> None:
        """So many bytes were so many tokens there."""
        seen = min(max(size / count, LEAST), MOST)
        self._known[target] = (1 - PACE) * self.of(target) + PACE * seen
        self._known.move_to_end(target)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
