"""Circuit breaker: keeps calls away from a target that is not worth asking.

What it counts. One sample per attempt, judged at the end of its answer: GOOD or BAD. NEUTRAL ones
(the caller's fault, a limit, a cancellation) touch no count and only give a probe's slot back.

Why two conditions. A run of failures sees a hard outage at once but misses a target that fails
every other call; a ratio over the last samples sees that, but needs a minimum of them. A run must
come from more than one call, since the retries of one unlucky call prove little; and it has a
window, wider where little traffic makes samples rare.

Whom it blames. A fault that the next target repeats for the same request is charged to the
request (`pardon`): such samples count only once they come from three different requests. And
when every BAD sample stems from one request body while other bodies got answers, the body is the
poison, not the target.

Coming back. After a rest, grown on each failed probe and decaying with time, one probe at a time is let
through. Its slot is free at its first content, so that a long answer does not block the next probe, and
after `PATIENCE` of silence, so that a hung one does not; a bad end still reopens. After `successes`
good ones it closes, and traffic ramps up over `ramp` seconds, so that a target that has just stood up
is not run over.

Nowhere else to go (`insist`). Without another target an open breaker must not make things worse: while
the last five samples held a GOOD it lets calls pass, and the good ones close it early; only a target
that answered nothing is refused until the next probe, and `EARLY` seconds after it opened whoever asks
is that probe. (Stopping the retries of such calls as well was measured and cost more answers than it
spared attempts: docs/decisions/0004.)

The other pods (core/fleet). What they say is advice and is never waited for: it may open this breaker
early, but only where this pod's own last sample is BAD and no GOOD of its own contradicts; it passes on
the verdict of a probe; and while the advisor answers, a probe needs the fleet's lease. Silence ends all
of it: each piece has its time, and a lease is waited for no longer than core/election says.

Pure: `now` and chance come in, transitions are kept until the caller takes them (`moves`). A
permit carries the generation it was given in, so that a late answer to an old question is not
mistaken for a new one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from sidecar.core.election import FREED, Election
from sidecar.core.report import LONGEST, Report
from sidecar.faults import Charge
from sidecar.model import BreakerState, Rng, Transition
from sidecar.settings import BreakerRules

RECENT = 5  # samples that tell whether a target still answers at all
SUSPECTS = 3  # distinct requests that make charged samples evidence again
PROBE_POLL = 0.5  # seconds after which to ask again while another call holds the probe
PATIENCE = 10.0  # seconds that a silent probe is the only one
EARLY = 5.0  # seconds between two probes that do not wait for their time
PASSED_PER_SECOND = 1.0  # what a ramp always lets through: at low volume there is no herd
QUORUM = 2  # other pods in trouble of their own that it takes to open on the fleet's evidence
SLACK = 0.25  # seconds by which two pods may put the same event apart


class Permit(Struct, frozen=True):
    generation: int
    probe: bool = False
    insisted: bool = False


class Denied(Struct, frozen=True):
    until: float  # when to ask again


class _Sample(Struct):
    at: float
    bad: bool
    call: str
    body: int
    charged: bool = False  # to the request, not to the target


@dataclass(slots=True)
class Breaker:
    rules: BreakerRules
    rng: Rng
    state: BreakerState = BreakerState.CLOSED
    forced: BreakerState | None = None
    until: float = 0.0  # while open: when the next probe may go
    _generation: int = 0
    _samples: deque[_Sample] = field(default_factory=deque)
    _good_bodies: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=4))
    _probing: Permit | None = None
    _probed_at: float = -inf
    _successes: int = 0
    _failed_probes: int = 0
    _opened_at: float = -inf
    _closed_at: float = -inf
    _ramped: list[int] = field(default_factory=lambda: [0, 0])  # passed, seen
    _moves: list[Transition] = field(default_factory=list)
    election: Election = field(default_factory=Election)  # whose probe the next one is, over the fleet
    _fleet: tuple[float, tuple[Report, ...]] = (-inf, ())  # what was last said of it, and when
    _probe_failed: float = -inf  # the last one of our own
    _recovered: float = -inf  # closed by probes of our own

    # ---- asking

    def allow(self, now: float) -> Permit | Denied:
        """May this attempt go? A Permit must come back through `record`."""
        if self.forced is not None:
            return Denied(inf) if self.forced is BreakerState.OPEN else Permit(self._generation)
        if self.state is BreakerState.CLOSED:
            since = now - self._closed_at
            return Permit(self._generation) if since >= self.rules.ramp else self._ramp(now, since)
        if self.state is BreakerState.OPEN:
            if now < self.until:
                return Denied(self.until)
            if not self.election.may_probe(now, self.until):
                return Denied(now + PROBE_POLL)
            self._half_open()
        elif self._is_probed(now) or not self.election.may_probe(now, self.until):
            return Denied(now + PROBE_POLL)
        return self._probe(now)

    def _is_probed(self, now: float) -> bool:
        """Is somebody looking, who may yet tell? A silent probe keeps others away for so long only."""
        return self._probing is not None and now < self._probed_at + PATIENCE

    def _probe(self, now: float) -> Permit:
        self._probing = Permit(self._generation, probe=True)
        self._probed_at = now
        return self._probing

    def _half_open(self) -> None:
        self._move(BreakerState.HALF_OPEN, "rest_over")
        self._successes = 0
        self._probing = None

    def insist(self, now: float, *, early: bool = False) -> Permit | Denied:
        """The same, for a call that has nowhere else to go. `early`: it waits for nothing else, so it may be
        the probe before its time, once every `EARLY` seconds.
        """
        permit = self.allow(now)
        if isinstance(permit, Permit) or self.forced is BreakerState.OPEN:
            return permit
        if self.state is BreakerState.CLOSED:  # the ramp alone said no
            return Permit(self._generation)
        recent = list(self._samples)[-RECENT:]
        if self.state is BreakerState.OPEN and any(not sample.bad for sample in recent):
            return Permit(self._generation, insisted=True)
        if self.state is BreakerState.OPEN and early and now >= self._opened_at + EARLY:
            if not self.election.may_probe(now, self._opened_at + EARLY):
                return Denied(now + PROBE_POLL)
            self.until = now
            self._half_open()
            return self._probe(now)
        return permit

    def proved(self, permit: Permit) -> None:
        """First content of a probe: the next one may go, whatever becomes of this one."""
        if self._probing is permit:
            self._probing = None

    # ---- learning

    def record(self, permit: Permit, charge: Charge, now: float, *, call: str, body: int) -> None:
        """The attempt is over. `call` and `body` tell distinct calls and requests apart."""
        if permit.probe:
            self.proved(permit)
        if permit.generation != self._generation or charge is Charge.NEUTRAL:
            return
        bad = charge is Charge.BAD
        if not bad:
            self._good_bodies.append((now, body))
        self._samples.append(_Sample(now, bad, call, body))
        while len(self._samples) > self.rules.samples:
            self._samples.popleft()
        if self.state is BreakerState.HALF_OPEN:
            self._after_probe(bad, now)
        elif self.state is BreakerState.OPEN:
            self._after_insisted(bad, now)
        elif bad:
            self._trip(now)

    def pardon(self, call: str, now: float) -> None:
        """The next target repeated this call's fault: charge it to the request."""
        for sample in self._samples:
            if sample.call == call and sample.bad:
                sample.charged = True
        if self.state is BreakerState.OPEN and self._failed_probes == 0 and self._reason(now) is None:
            self._close("pardon", now)

    def force(self, state: BreakerState | None, now: float) -> None:
        """An operator's word: OPEN refuses all, CLOSED lets all pass, None gives the reins back."""
        before = self.shown
        self.forced = state
        if state is None:
            self._reset(now)
        if self.shown is not before:
            self._moves.append(Transition(before, self.shown, "manual"))

    # ---- the other pods

    def report(self, now: float, told: float) -> Report | None:
        """What others should know; a recovery for `told` seconds, an operator's word never."""
        if self.forced is not None:
            return None
        if self.state is BreakerState.CLOSED:
            if now - self._recovered <= told:
                return Report(recovered=now - self._recovered)
            run = self._run(now)
            return self._told(run, now) if run else None
        ago = _age(self._probe_failed, now) if self._probe_failed >= self._opened_at else None
        rest, failed = _age(now, self.until), min(self._failed_probes, 32)
        it = self._told(self._run(now), now)
        return replace(it, open=True, rest=rest, failed=failed, probed=ago)

    def _told(self, run: Sequence[_Sample], now: float) -> Report:
        began = run[0].at if run else self._opened_at
        bodies = tuple(OrderedDict.fromkeys(sample.body for sample in run))[:SUSPECTS]
        return Report(since=_age(began, now), bad=len(run), bodies=bodies)

    def _run(self, now: float) -> list[_Sample]:
        """The BAD samples that stand last and are nobody's fault but the target's. While it is open they
        grow no older: nothing was learned since."""
        live = [sample for sample in self._samples if not sample.charged]
        since = now - self.rules.oldest if self.state is BreakerState.CLOSED else -inf
        run = list(takewhile(lambda sample: sample.bad and sample.at > since, reversed(live)))
        return [] if self._poisoned(run, now) else run[::-1]

    def advise(self, heard: Sequence[Report], now: float) -> str:
        """What other pods say of the same target; it stands until the next time, or the advisor's silence.
        Tells what was done: tripped, verdict or ""."""
        if self.forced is not None:
            return ""
        self._fleet = (now, tuple(heard))
        if not heard:
            return ""
        if self.state is BreakerState.CLOSED:
            return "tripped" if self._join(now) else ""
        if self._probing is not None or self._successes:
            return ""  # we are about to know better
        opened = self._opened_at + SLACK
        probed = self._probe_failed  # just now, by us: a fleet that says otherwise may be wrong again
        recovered = any(one.recovered is not None and now - one.recovered > opened for one in heard)
        if recovered and now >= probed + EARLY:
            freed, self.election.freed = self.election.freed, now + FREED
            self.until = min(self.until, now)
            return "verdict" if now >= freed else ""
        verdicts = [one for one in heard if one.probed is not None and now - one.probed > opened]
        own = max((sample.at for sample in self._samples if sample.bad), default=-inf)
        if not verdicts or now - own > 2 * self.rules.longest:
            return ""  # others cannot keep us from looking ourselves for ever
        if self.state is BreakerState.HALF_OPEN:
            self._open("fleet", now)
        last = min(verdicts, key=lambda one: one.probed or 0.0)
        self._opened_at = now - (last.probed or 0.0)
        self._adopt(verdicts, now)
        return "verdict"

    def wants(self, now: float, within: float) -> bool:
        """Does this pod ask for the probe, or is at it?"""
        probing = self.state is BreakerState.HALF_OPEN and (self._probing is not None or self._successes > 0)
        return probing or now - self.election.wanted <= within

    def _join(self, now: float) -> bool:
        """The run rule over the fleet. `QUORUM` other pods are in trouble that they met themselves; their
        BAD samples and ours make a run, of three different requests; our last one is BAD, and none of
        ours was GOOD since their trouble began. True: it opened."""
        at, heard = self._fleet
        run = self._run(now)
        troubled = [one for one in heard if one.bad]
        if len(troubled) < QUORUM or not run or now >= self.election.until:
            return False
        start = at - sorted(one.since for one in troubled)[-QUORUM]
        contradicts = any(not sample.bad and sample.at >= start for sample in self._samples)
        if contradicts or run[-1].at < start - self.rules.run_window:
            return False
        bodies = {sample.body for sample in run}.union(*(one.bodies for one in troubled))
        total = len(run) + sum(one.bad for one in troubled)
        if total < self.rules.run or len(bodies) < SUSPECTS:
            return False
        self._open("fleet", now)
        self._adopt([one.later(now - at) for one in heard if one.open], now)
        return True

    def _adopt(self, others: Sequence[Report], now: float) -> None:
        """Rest as long as they do, so that the fleet's next probe finds all of it waiting."""
        if others:
            longest = self.rules.longest * (1 + self.rules.jitter)
            self._failed_probes = max(self._failed_probes, *(one.failed for one in others))
            self.until = now + min(longest, max(one.rest for one in others))

    @property
    def shown(self) -> BreakerState:
        return self.forced or self.state

    def counts(self) -> tuple[int, int]:
        """(BAD, all) among the samples kept."""
        return sum(sample.bad for sample in self._samples), len(self._samples)

    def moves(self) -> tuple[Transition, ...]:
        """The transitions since the last time this was asked."""
        if not self._moves:
            return ()
        taken = tuple(self._moves)
        self._moves.clear()
        return taken

    # ---- deciding

    def _trip(self, now: float) -> None:
        reason = self._reason(now)
        if reason is None:
            if self._fleet[1]:
                self._join(now)
            return
        rested = max(0.0, now - self._closed_at)
        self._failed_probes = max(0, self._failed_probes - int(min(rested / self.rules.open, 99)))
        self._open(reason, now)

    def _reason(self, now: float) -> str | None:
        rules = self.rules
        live = [sample for sample in self._samples if sample.at > now - rules.oldest]
        suspects = {sample.body for sample in live if sample.bad and sample.charged}
        if len(suspects) < SUSPECTS:
            live = [sample for sample in live if not sample.charged]
        bad = [sample for sample in live if sample.bad]
        if self._poisoned(bad, now):
            return None
        if rules.run and self._is_run(live[-rules.run :], live, now):
            return "run"
        enough = len(live) >= rules.min_samples and len({s.body for s in bad}) >= rules.min_bodies
        if enough and len(bad) >= rules.ratio * len(live):
            return "ratio"
        return None

    def _poisoned(self, bad: list[_Sample], now: float) -> bool:
        bodies = {sample.body for sample in bad}
        if len(bodies) != 1:
            return False
        return any(body not in bodies and at > now - self.rules.oldest for at, body in self._good_bodies)

    def _is_run(self, last: list[_Sample], live: list[_Sample], now: float) -> bool:
        rules = self.rules
        if len(last) < rules.run or not all(sample.bad for sample in last):
            return False
        busy = sum(sample.at > now - rules.run_window for sample in live) >= rules.quiet_rate
        window = rules.run_window if busy else rules.quiet_window
        return last[0].at > now - window and len({sample.call for sample in last}) >= rules.run_calls

    def _after_probe(self, bad: bool, now: float) -> None:
        if bad:
            self._failed_probes += 1
            self._open("probe", now)
            self._probe_failed = now
            return
        self._successes += 1
        if self._successes >= self.rules.successes:
            self._close("probe", now)

    def _after_insisted(self, bad: bool, now: float) -> None:
        self._successes = 0 if bad else self._successes + 1
        if self._successes >= self.rules.successes:
            self._close("probe", now)

    def _ramp(self, now: float, since: float) -> Permit | Denied:
        """`since` seconds after it closed."""
        passed, seen = self._ramped
        share = 0.1 + 0.9 * since / self.rules.ramp
        self._ramped[1] = seen + 1
        if passed > 1 + since * PASSED_PER_SECOND and passed > share * seen:
            return Denied(now + PROBE_POLL)
        self._ramped[0] = passed + 1
        return Permit(self._generation)

    # ---- moving

    def _open(self, trigger: str, now: float) -> None:
        rules = self.rules
        rest = min(rules.longest, rules.open * rules.growth ** min(self._failed_probes, 32))
        self._opened_at = now
        self.until = now + rest * (1 + self.rng.uniform(0.0, rules.jitter))
        self._successes = 0
        self._probing = None
        self.election.over()
        self._recovered = -inf
        self._move(BreakerState.OPEN, trigger)

    def _close(self, trigger: str, now: float) -> None:
        self._move(BreakerState.CLOSED, trigger)
        self._closed_at = now
        self._recovered = now if trigger == "probe" else -inf
        self._ramped = [0, 0]
        self._samples.clear()
        self._probing = None

    def _reset(self, now: float) -> None:
        self.state = BreakerState.CLOSED
        self._generation += 1
        self._failed_probes = 0
        self._closed_at = now - self.rules.ramp
        self._samples.clear()
        self._probing = None

    def _move(self, new: BreakerState, trigger: str) -> None:
        if self.forced is None:  # else nobody sees it: the operator's word is what is shown
            bad, samples = self.counts()
            self._moves.append(Transition(self.state, new, trigger, bad, samples))
        self.state = new
        self._generation += 1


def _age(then: float, now: float) -> float:
    """As long as a report may say that something was, or lasts: an outage may outlast that."""
    return min(max(0.0, now - then), LONGEST)
