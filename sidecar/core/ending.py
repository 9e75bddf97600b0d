"""How a sidecar ends: what time is left, and when it may go.

A pod that ends says so twice. First, at once, through the sidecar's preStop hook (`begin`): the
application still works, its calls are still served, and what is promised to them has to fit into the
grace period, which began there. Then by SIGTERM (`terminate`). In a native sidecar that comes when the
application has gone: nobody will ask again, so only what is in flight is waited for. In a plain container
it comes together with the application's own, which may still need us to end well: there the sidecar
goes when nobody has been connected for `QUIET` seconds.

Never later than the drain limit, nor than the grace period less a margin for last words: an answer that
we end ourselves says so, one that the kubelet cuts off says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

MARGIN = 4.0  # seconds of the grace period kept for last words and telemetry
MARGIN_SHARE = 0.25  # of a short grace period
QUIET = 2.0  # seconds without anybody connected after which an application has gone


@dataclass(slots=True)
class Ending:
    """`native` None: no pod said anything, and nobody but the calls in flight is waited for."""

    native: bool | None = None
    grace: float | None = None  # seconds; None: unknown
    began: float | None = None
    limit: float = inf  # when what still runs is ended
    _quiet_since: float | None = None

    @property
    def latest(self) -> float:
        """When the last answer has to be over."""
        if self.began is None or self.grace is None:
            return inf
        return self.began + self.grace - min(MARGIN, MARGIN_SHARE * self.grace)

    def begin(self, now: float) -> None:
        """The pod ends; the first to say so is right about when."""
        if self.began is None:
            self.began = now

    def terminate(self, now: float, drain: float) -> None:
        """SIGTERM. `drain` seconds are left at the most."""
        self.begin(now)
        self.limit = min(self.limit, max(now, min(now + drain, self.latest)))

    def hurry(self, now: float) -> None:
        """SIGTERM again."""
        self.limit = min(self.limit, now)

    def over(self, now: float, *, busy: int, connected: int) -> bool:
        """May the process end? Asked again and again after `terminate`."""
        if now >= self.limit:
            return True
        if self.native is not False:
            return not busy
        if busy or connected:
            self._quiet_since = None
            return False
        if self._quiet_since is None:
            self._quiet_since = now
        return now - self._quiet_since >= QUIET
