"""Whose probe it is, as far as the other pods are heard of.

While an advisor answers, a breaker's probe is the fleet's: one pod at a time has the lease for it. That
is a courtesy with an end. Where nobody answers, or the lease goes to nobody for `YIELD` seconds, each pod
probes by its own timers, as one that is alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

YIELD = 30.0  # seconds that a probe which is due is left to other pods
FREED = 30.0  # seconds after another pod's good probes in which this one may probe at once


@dataclass(slots=True)
class Election:
    until: float = -inf  # the advisor answers: a probe needs a lease
    lease: float = -inf  # which this pod holds
    freed: float = -inf  # or does not need, since another pod's probes were good
    wanted: float = -inf  # when a call would last have been a probe

    def may_probe(self, now: float, due: float) -> bool:
        """`due`: since when, by this pod's own timers."""
        if now >= self.until or now < self.lease or now < self.freed:
            return True
        self.wanted = now
        return now >= due + YIELD

    def hold(self, until: float, lease: float) -> None:
        """The advisor answers: until then a probe needs the lease, which is ours until `lease`."""
        self.until = until
        self.lease = lease

    def over(self) -> None:
        """The next probe is another one."""
        self.lease = self.freed = self.wanted = -inf
