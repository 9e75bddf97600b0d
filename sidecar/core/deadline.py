"""One deadline for a call, shared out among the targets that may still be asked."""

from __future__ import annotations

from math import inf


def share(deadline: float, now: float, others: int) -> float:
    """When a silent target is left, so that the `others` after it keep a fair part; inf if none."""
    if others <= 0:
        return inf
    return now + max(0.0, deadline - now) / (others + 1)
