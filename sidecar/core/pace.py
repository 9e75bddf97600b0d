"""How fast deferred calls of one route are asked for: a trickle first, then a stream, within its bounds.

A provider that was down is not asked for everything at once when it is back. After a failure one
call is under way at a time; each answer allows one more, up to the bound. Starts are spread evenly
(`per_second`). A refusal, by a breaker or a known wait, stops the route until it may be worth asking
again: it costs nobody an attempt and no job one of its tries.

A job that failed itself waits alone (`pause`): those behind it need not wait for it. Pure.
"""

from __future__ import annotations

from math import inf

from msgspec import Struct

from sidecar.model import Rng

FIRST = 5.0  # seconds, before a job is asked for a second time
LONGEST = 300.0
SOONEST = 0.1  # after a refusal whose end is now: never a busy loop
LOOK = 30.0  # seconds after which a refusing route is looked at again, whatever it said


class Pace(Struct):
    """Of one route. `now` is monotonic."""

    allowed: int = 1  # at a time
    running: int = 0
    next: float = 0.0  # when the next one may begin
    held: float = 0.0  # until when nobody is asked

    def wait(self, now: float, concurrency: int) -> float:
        """Seconds until one more may begin; inf: not before one has ended."""
        if self.running >= min(self.allowed, concurrency):
            return inf
        return max(0.0, self.next - now, self.held - now)

    def began(self, now: float, per_second: float) -> None:
        self.running += 1
        self.next = max(now, self.next) + 1.0 / per_second if self.next > now else now + 1.0 / per_second

    def answered(self, concurrency: int) -> None:
        self.allowed = min(self.allowed + 1, concurrency)

    def failed(self, now: float, wait: float | None = None) -> None:
        """A failure that time may heal; `wait` is the provider's own hint."""
        self.allowed = 1
        if wait is not None:
            self.held = max(self.held, now + min(wait, LONGEST))

    def refused(self, now: float, until: float) -> None:
        self.allowed = 1
        self.held = max(self.held, now + min(max(until - now, SOONEST), LOOK))


def pause(tries: int, rng: Rng) -> float:
    """Seconds before a job that failed `tries` times is asked for again: half of it fixed, half chance."""
    longest = min(LONGEST, FIRST * 2.0 ** min(tries - 1, 16))
    return longest / 2 + rng.uniform(0.0, longest / 2)
