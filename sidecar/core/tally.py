"""How often a quality signal looked, how often it fired, and what it would have done.

For an owner who thinks of letting a signal count: one that only observes has a shadow, a breaker with
the rules of the real one that nobody asks. While it is open it skips what it would have kept away,
then takes its probes, so that it opens and closes as the real one would have.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf

from sidecar.core.breaker import Breaker, Denied
from sidecar.faults import Charge
from sidecar.model import BreakerState, Rng, Transition
from sidecar.settings import BreakerRules

_WIDTH = 300.0  # seconds of a slice
_SLICES = 12  # to an hour


@dataclass(slots=True)
class Pace:
    """Lets some samples through so that a breaker's last twenty span at least a second, whatever the
    traffic: at five hundred a second they would be the last forty milliseconds, and one hiccup of a
    provider would fill them.
    """

    rate: float = 20.0  # a second
    burst: float = 20.0  # at rest
    tokens: float = 20.0
    at: float = 0.0

    def take(self, now: float) -> bool:
        tokens = self.tokens
        if now > self.at:
            tokens = min(self.burst, tokens + (now - self.at) * self.rate)
        self.at = now
        taken = tokens >= 1.0
        self.tokens = tokens - 1.0 if taken else tokens
        return taken


@dataclass(slots=True)
class Counts:
    evaluated: int = 0
    fired: int = 0
    opened: int = 0

    def add(self, other: Counts) -> None:
        self.evaluated += other.evaluated
        self.fired += other.fired
        self.opened += other.opened

    def shown(self, *, shadow: bool) -> dict[str, int | None]:
        """For people; only a signal with a shadow can say how often it would have opened a breaker."""
        opened = self.opened if shadow else None
        return {"evaluated": self.evaluated, "fired": self.fired, "would_have_opened": opened}


@dataclass(slots=True)
class Shadow:
    breaker: Breaker
    pace: Pace = field(default_factory=Pace)

    def add(self, bad: bool, now: float, *, call: str, body: int) -> Transition | None:
        """The transition, if the breaker would have opened now."""
        breaker = self.breaker
        permit = breaker.allow(now)
        if isinstance(permit, Denied):
            return None
        if not permit.probe and not self.pace.take(now):
            return None
        breaker.record(permit, Charge.BAD if bad else Charge.GOOD, now, call=call, body=body)
        for moved in breaker.moves():
            if moved.old is BreakerState.CLOSED:
                return moved
        return None


@dataclass(slots=True)
class Tally:
    """Of one signal, for one route and target."""

    shadow: Shadow | None = None
    told: int = 0  # evaluations that metrics know of
    _older: Counts = field(default_factory=Counts)
    _slices: deque[tuple[int, Counts]] = field(default_factory=deque)
    _now: Counts = field(default_factory=Counts)  # of the last slice
    _at: float = inf  # when that began

    def add(self, fired: bool, now: float, *, call: str, body: int) -> Transition | None:
        if not self._at <= now < self._at + _WIDTH:
            self._begin(int(now // _WIDTH))
        counts = self._now
        counts.evaluated += 1
        if fired:
            counts.fired += 1
        if self.shadow is None:
            return None
        moved = self.shadow.add(fired, now, call=call, body=body)
        if moved is not None:
            counts.opened += 1
        return moved

    def _begin(self, number: int) -> None:
        """The next slice."""
        self._at, self._now = number * _WIDTH, Counts()
        self._slices.append((number, self._now))
        if len(self._slices) > _SLICES:
            self._older.add(self._slices.popleft()[1])

    def watch(self, rules: BreakerRules, rng: Rng, *, observed: bool) -> None:
        """Have a shadow while the signal only observes."""
        if not observed:
            self.shadow = None
        elif self.shadow is None:
            self.shadow = Shadow(Breaker(rules, rng))
        else:
            self.shadow.breaker.rules = rules

    def last_hour(self, now: float) -> Counts:
        """In steps of five minutes."""
        oldest = int(now // _WIDTH) - _SLICES + 1
        found = Counts()
        for number, counts in self._slices:
            if number >= oldest:
                found.add(counts)
        return found

    @property
    def total(self) -> Counts:
        found = Counts()
        for counts in (self._older, *(counts for _, counts in self._slices)):
            found.add(counts)
        return found

    def news(self) -> int:
        """Evaluations since the last time this was asked."""
        before, self.told = self.told, self.total.evaluated
        return self.told - before
