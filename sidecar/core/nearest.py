"""The nearest of some vectors: plain cosine over a bounded list.

Only vectors of one scope are compared, which is everything about a call that must be equal. They are kept
at length 1, so that a comparison is one product. `MOST` of them are compared at the most: with 256 numbers
each in three milliseconds, with 1536 in twenty. That is time in which nothing else runs, and the reason for
them being few. The oldest ones go first.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum, isfinite, sqrt
from operator import mul

MOST = 128  # vectors of a route
LONGEST = 4096  # numbers of one


@dataclass(slots=True)
class Nearest:
    """Vectors of one route, by what they stand for."""

    most: int = MOST
    _held: OrderedDict[bytes, tuple[bytes, array[float]]] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._held)

    def add(self, scope: bytes, key: bytes, vector: Sequence[float]) -> None:
        unit = _unit(vector)
        if unit is None:
            return
        self._held.pop(key, None)
        self._held[key] = (scope, unit)
        while len(self._held) > self.most:
            self._held.popitem(last=False)

    def find(self, scope: bytes, vector: Sequence[float], threshold: float) -> tuple[bytes, float] | None:
        """The key of the nearest one and its cosine, if that is `threshold` at least."""
        unit = _unit(vector)
        best: tuple[bytes, float] | None = None
        for key, (where, one) in self._held.items():
            if unit is None or where != scope or len(one) != len(unit):
                continue
            cosine = sum(map(mul, one, unit))
            if cosine >= threshold and (best is None or cosine > best[1]):
                best = (key, min(1.0, cosine))
        return best

    def drop(self, key: bytes) -> None:
        self._held.pop(key, None)


def _unit(vector: Sequence[float]) -> array[float] | None:
    """None for what has no direction, or too many."""
    if not 0 < len(vector) <= LONGEST:
        return None
    size = sqrt(fsum(value * value for value in vector))
    if not isfinite(size) or size == 0.0:
        return None
    return array("d", [value / size for value in vector])
