"""How long to wait before the same target is asked again, and whether at all.

Full jitter, uniform(0, min(cap, base * 2^n)): of the usual schemes the one that spreads a crowd
best for the same total wait (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
Blog, 2015). A provider's own hint comes first and is never shortened: hammering prolongs limits.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.model import Rng
from sidecar.settings import RetryRules

SHARE_OF_LEFT = 0.25  # of the time left that a call may spend waiting while another target exists


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float
    source: str  # backoff or provider


def wait(n: int, rules: RetryRules, rng: Rng, *, hint: float | None, left: float, alone: bool) -> Wait | None:
    """The wait before retry `n` (from 0), or None: it does not fit, another target is better.

    `hint` is the provider's own wait, `left` what the deadline leaves, `alone` that nobody else
    could answer.
    """
    if hint is None:
        planned = Wait(rng.uniform(0.0, min(rules.cap, rules.base * 2.0**n)), "backoff")
    else:
        planned = Wait(hint, "provider")
    longest = left if alone else min(rules.longest_wait, left * SHARE_OF_LEFT)
    if planned.source == "backoff":
        longest = left
    return planned if planned.seconds < longest else None
