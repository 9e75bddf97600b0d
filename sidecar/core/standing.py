"""How one target stands with one route: what is usual of it, and whether its answers are good.

The quality breaker gets one sample per attempt. Most come at the attempt's end; a first content that
is far too late is one when it comes, and the end of that attempt then adds nothing. Samples keep a
pace (core/tally), so that the rule "half of the last twenty" means the same at any volume.

Nowhere else to go. A poor answer is better than none: a call that nobody else can take passes an open
quality breaker, except on a strict route or by an operator's word. It is no sample; the probes are.

`Allowance` bounds what soft signals may reject: more than one answer in ten is never paid for twice
because of a bad threshold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sidecar.core.baseline import Usual
from sidecar.core.breaker import Breaker, Denied, Permit
from sidecar.core.tally import Pace, Tally
from sidecar.faults import Charge
from sidecar.model import BreakerState, Call, Transition
from sidecar.settings import BreakerRules

CALLS_PER_REJECTION = 10  # more than so many calls for each: below a tenth, at any time
SAVED = 5  # rejections that a quiet time may save up


@dataclass(slots=True)
class Allowance:
    """Of one route, for rejections by soft signals."""

    calls: int = 0

    def deposit(self) -> None:
        self.calls = min(self.calls + 1, SAVED * CALLS_PER_REJECTION + 1)

    def withdraw(self) -> bool:
        if self.calls <= CALLS_PER_REJECTION:
            return False
        self.calls -= CALLS_PER_REJECTION
        return True


@dataclass(slots=True)
class Standing:
    breaker: Breaker
    allowance: Allowance = field(default_factory=Allowance)
    usual: Usual = field(default_factory=Usual)
    tallies: dict[str, Tally] = field(default_factory=dict)
    _due: dict[str, Permit] = field(default_factory=dict)  # by call: attempts that owe a sample
    _pace: Pace = field(default_factory=Pace)

    # ---- the breaker

    def approve(self, call: Call, now: float, *, strict: bool) -> Denied | None:
        """May this attempt go? If so it has to come back through `record`."""
        breaker = self.breaker
        permit = breaker.insist(now, early=call.early) if call.alone else breaker.allow(now)
        if isinstance(permit, Denied):
            forced = breaker.forced is BreakerState.OPEN
            return None if call.alone and not strict and not forced else permit
        self._due[call.id] = permit
        return None

    def record(self, call: Call, charge: Charge, now: float) -> None:
        """What this attempt says of its target; only the first word counts."""
        permit = self._due.pop(call.id, None)
        if permit is None:
            return
        if not permit.probe and self.breaker.state is BreakerState.CLOSED and charge is not Charge.NEUTRAL:
            charge = charge if self._pace.take(now) else Charge.NEUTRAL
        self.breaker.record(permit, charge, now, call=call.id, body=hash(call.body))

    @property
    def steady(self) -> bool:
        """Is it far from trouble, so that what it does is what is usual of it?"""
        return self.breaker.shown is BreakerState.CLOSED

    @property
    def trusted(self) -> bool:
        """An operator forced the breaker closed: whatever is seen is the new usual."""
        return self.breaker.forced is BreakerState.CLOSED

    # ---- the signals

    def watch(self, signals: dict[str, str], rules: BreakerRules) -> None:
        """Signals and their actions, as they are configured now."""
        for signal in [signal for signal in self.tallies if signal not in signals]:
            del self.tallies[signal]
        for signal, action in signals.items():
            tally = self.tallies.setdefault(signal, Tally())
            tally.watch(rules, self.breaker.rng, observed=action == "observe")

    def tally(
        self, evaluated: Iterable[tuple[str, bool]], call: Call, now: float
    ) -> list[tuple[str, Transition]]:
        """Count signals and whether they fired. Those that only observe and would have opened a breaker."""
        opened = []
        body = hash(call.body)
        for signal, fired in evaluated:
            tally = self.tallies.get(signal)  # None: switched off while this call was under way
            moved = None if tally is None else tally.add(fired, now, call=call.id, body=body)
            if moved is not None:
                opened.append((signal, moved))
        return opened
