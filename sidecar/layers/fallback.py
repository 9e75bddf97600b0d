"""Fallback: walks the chain until somebody answers [R13].

A target is left when its failure is one that another target may not have; a caller's mistake ends
the chain, because everybody else would say the same and the application has to see it. A class
of failure may have a chain of its own (a larger window for context_window), which then replaces
what is left.

A chain's steps may be put in another order for each call, and a step may be a group whose members share
the calls by weight (sidecar/ordering): from here on they are targets like others, and a group's other
members are simply next.

Nobody left. A call that has nobody else (no other target, no degraded answer) goes `alone`: a breaker
lets it pass to a target that still answers some. Where all refused without being asked, the call waits
for whoever can be asked soonest, as long as the deadline allows: an answer that comes late is worth
more than a quick refusal, and a breaker that only fails fast saves nobody. While calls wait, one of
them probes a dead target every `EARLY` seconds, whatever its breaker's rest: that spares a provider
calls which others can answer, and here nobody can. Where nobody set a deadline there is only the SDK's
own timeout, which is made for long answers (ten minutes, with OpenAI's): there a call waits no longer
than `PARKED`, because behind it stands somebody.

A slow target may be raced by the next one (layers/hedge).

Whom to blame. If the next target fails the same request in the same way, the request is the
likelier cause, and the first target's samples are charged to it (core/breaker).

Once. On a route that is not idempotent nobody is asked after the request went out to somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf

from msgspec import Struct, field
from msgspec.structs import replace

from sidecar.core.breaker import EARLY
from sidecar.core.deadline import share
from sidecar.events import (
    FellBack,
    Shadowed,
    TargetSkipped,
    Tell,
)
from sidecar.faults import HANDLING, Charge, forbidden, handling
from sidecar.layers.hedge import Hedge, Race
from sidecar.model import (
    Answered,
    Call,
    Clock,
    Failed,
    Fault,
    Kind,
    Outcome,
    Refused,
    RefusedBy,
    Rng,
    Service,
    Sink,
    Stage,
    Target,
    spent,
)
from sidecar.ordering import Rank, drawn, ordered

ASK_AGAIN = frozenset({RefusedBy.BREAKER, RefusedBy.QUALITY_BREAKER, RefusedBy.KNOWN_WAIT})

PARKED = 75.0  # seconds: most outages are shorter


@dataclass(frozen=True, slots=True)
class Lane:
    target: Target
    service: Service

    @property
    def group(self) -> int | None:
        return self.target.group

    @property
    def weight(self) -> float:
        return self.target.weight


Arrange = Callable[[Iterable[Lane], Call], list[Lane]]


def arranging(rank: Rank | None, rng: Rng) -> Arrange:
    """Puts a chain into its order for a call: the steps by their rank, the members of a group by lot."""

    def arrange(lanes: Iterable[Lane], call: Call) -> list[Lane]:
        def place(lane: Lane) -> tuple[int, ...] | None:
            return None if rank is None else rank(lane.target, call.ask, len(call.body))

        found = []
        for step in ordered(lanes, None if rank is None else place):
            members = drawn(step, rng)
            if len(members) > 1 and not call.record.drawn:
                call.record.drawn = members[0].target.name
            found += members
        return found

    return arrange


class _Walk(Struct):
    """What a call has met on its way along the chain."""

    failed: list[tuple[Lane, Failed]] = field(default_factory=list)
    refused: dict[str, tuple[Lane, Refused]] = field(default_factory=dict)
    left: tuple[Target, str] | None = None  # the target we come from, and why


@dataclass(frozen=True, slots=True)
class Fallback:
    lanes: tuple[Lane, ...]
    by_fault: Mapping[Fault, tuple[Lane, ...]]
    content_policy: bool  # the route opted in to asking others after a content filter
    degradable: bool  # a degraded answer stands behind us
    attempts: int  # of one call, over all targets
    clock: Clock
    tell: Tell
    pardon: Callable[[Target, Call, float], None]
    arrange: Arrange | None = None  # None: as listed, and no groups
    hedge: Hedge | None = None  # None: nobody is asked beside another
    parked: float = inf  # seconds after its arrival that a call may wait for somebody who can be asked

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        walk = _Walk()
        queue = self._arranged(self.lanes, call)
        if not call.options.fallback:
            del queue[1:]
        asked: set[str] = set()
        while queue:
            if self.clock.now() >= call.deadline or len(call.record.attempts) >= self.attempts:
                break
            if self.hedge is None or len(queue) == 1:
                lane = queue.pop(0)
                asked.add(lane.target.name)
                outcome = await self._ask(lane, call, sink, walk, others=len(queue))
            else:
                outcome, lane = await self._race(self.hedge, queue, call, sink, walk, asked)
            if isinstance(outcome, Answered) or sink.stage is Stage.COMMITTED:
                return outcome
            if isinstance(outcome, Failed):
                if call.shadow:
                    if queue and not self._is_final(outcome, lane, walk):
                        self.tell(Shadowed(call, "fallback", outcome.fault.value))
                    return outcome
                if spent(call) or self._is_final(outcome, lane, walk):
                    return outcome
            elif outcome.final:
                return outcome
            if call.options.fallback and outcome.fault in self.by_fault and _tells(outcome):
                others = self._arranged(self.by_fault[outcome.fault], call)
                queue = [other for other in others if other.target.name not in asked]
        behind = self.degradable or call.covered or any(_is_answer(failed) for _, failed in walk.failed)
        if walk.refused and not behind:
            insisted = await self._insist(call, sink, walk)
            if insisted is not None:
                return insisted
        return _last(walk)

    def _arranged(self, lanes: tuple[Lane, ...], call: Call) -> list[Lane]:
        return list(lanes) if self.arrange is None else self.arrange(lanes, call)

    async def _ask(self, lane: Lane, call: Call, sink: Sink, walk: _Walk, *, others: int) -> Outcome:
        attempt = self._copy(lane, call, walk, others)
        before = len(call.record.attempts)
        outcome = await lane.service(attempt, sink)
        self._moved(lane, attempt, walk, asked=len(call.record.attempts) > before)
        self._note(lane, attempt, outcome, walk)
        return outcome

    async def _race(
        self, hedge: Hedge, queue: list[Lane], call: Call, sink: Sink, walk: _Walk, asked: set[str]
    ) -> tuple[Outcome, Lane]:
        """As _ask of the first in the queue, with the next one beside it if it is slow. And whose it is."""
        lane, other = queue.pop(0), queue[0]
        asked.add(lane.target.name)
        after = hedge.after(call, lane.target, other.target)
        first = self._copy(lane, call, walk, len(queue))

        def second() -> Call | None:
            spent = self.clock.now() >= call.deadline or len(call.record.attempts) >= self.attempts
            if spent or not hedge.allows(call, lane.target, other.target):
                return None
            asked.add(queue.pop(0).target.name)
            beside = self._copy(other, call, walk, len(queue))
            # one try, and no insisting: it is made for speed
            return replace(beside, kind=Kind.HEDGE, alone=False, options=replace(call.options, retry=False))

        def ends(outcome: Failed | Refused) -> bool:
            if isinstance(outcome, Refused):
                return outcome.final
            return not walk.failed and self._final(outcome, lane)

        race = Race(sink, first, lane.service, second, other.service, ends, self.tell)
        try:
            outcome, another = await race.run(after)
        finally:
            hedge.over(race, call, lane.target, other.target)
        if outcome is not None:
            self._moved(lane, first, walk, asked=race.first.attempt is not None)
            self._note(lane, first, outcome, walk)
        if another is None or race.beside is None:
            assert outcome is not None
            return outcome, lane
        self._moved(other, race.beside, walk, asked=race.second.attempt is not None)
        self._note(other, race.beside, another, walk)
        if outcome is None or isinstance(another, Answered) or sink.stage is Stage.COMMITTED:
            return another, other
        return outcome, lane

    def _copy(self, lane: Lane, call: Call, walk: _Walk, others: int) -> Call:
        """The call as this target gets it, with its share of the time."""
        if walk.left is not None and walk.left[0] is not lane.target:
            kind = Kind.FALLBACK
        else:
            kind = Kind.RETRY if call.record.attempts else Kind.INITIAL
        return replace(
            call,
            target=lane.target,
            kind=kind,
            leave_at=share(call.deadline, self.clock.now(), others),
            others=others,
            alone=others == 0 and not (self.degradable or call.covered),
        )

    def _moved(self, lane: Lane, attempt: Call, walk: _Walk, *, asked: bool) -> None:
        if walk.left is not None and asked and walk.left[0] is not lane.target:
            self.tell(FellBack(attempt, walk.left[0], lane.target, walk.left[1]))

    def _note(self, lane: Lane, attempt: Call, outcome: Outcome, walk: _Walk) -> None:
        match outcome:
            case Refused():
                walk.refused[lane.target.name] = (lane, outcome)
                walk.left = walk.left or (lane.target, outcome.by.value)
                self.tell(TargetSkipped(attempt, lane.target, outcome))
            case Failed():
                self._blame(attempt, outcome, walk)
                walk.failed.append((lane, outcome))
                walk.refused.pop(lane.target.name, None)
                walk.left = (lane.target, outcome.fault.value)
            case Answered():
                pass

    def _is_final(self, failed: Failed, lane: Lane, walk: _Walk) -> bool:
        """Is this failure the application's to see, whoever else is in the chain?"""
        # a stand-in's complaint about a request it was never meant for is no reason to stop
        return len(walk.failed) == 1 and self._final(failed, lane)

    def _final(self, failed: Failed, lane: Lane) -> bool:
        rules = handling(failed, own_key=lane.target.credential is None)
        if rules.elsewhere or failed.fault in self.by_fault:
            return False
        return failed.fault is not Fault.CONTENT_POLICY or not self.content_policy

    def _blame(self, call: Call, failed: Failed, walk: _Walk) -> None:
        if not walk.failed:
            return
        lane, before = walk.failed[-1]
        if lane.target is call.target:
            return  # it was asked again
        if before.fault is failed.fault and HANDLING[failed.fault].suspect:
            now = self.clock.now()
            self.pardon(lane.target, call, now)
            assert call.target is not None
            self.pardon(call.target, call, now)

    async def _insist(self, call: Call, sink: Sink, walk: _Walk) -> Outcome | None:
        """Ask whoever can be asked soonest, until somebody answers; None if nobody can in time."""
        due = min(call.deadline, call.arrived + self.parked)
        while True:
            open_ways = [(lane, no) for lane, no in walk.refused.values() if no.by in ASK_AGAIN]
            spent = len(call.record.attempts) >= self.attempts
            if not open_ways or spent or self.clock.now() >= due:
                return None
            lane, no = min(open_ways, key=lambda way: way[1].until)
            early = replace(call, early=no.by is RefusedBy.BREAKER)
            outcome = await self._ask(lane, early, sink, walk, others=0)
            if self._goes_again(call, outcome, lane, sink):
                walk.refused[lane.target.name] = lane, no
            elif not isinstance(outcome, Refused):
                return outcome
            now = self.clock.now()
            refusals = (no for _, no in walk.refused.values() if no.by in ASK_AGAIN)
            chance = min((_chance(no, now) for no in refusals), default=inf)
            if chance >= due:
                # nobody can be asked in time: the nearest one is tried as it is
                outcome = await self._ask(lane, replace(call, early=True), sink, walk, others=0)
                if not isinstance(outcome, Refused):
                    return outcome
                chance = outcome.until  # the fleet chooses who probes: soon it has
                if chance >= due:
                    return None
            pause = max(chance - now, 0.01)
            call.record.waited += pause
            await self.clock.sleep(pause)

    def _goes_again(self, call: Call, outcome: Outcome, lane: Lane, sink: Sink) -> bool:
        """Was it a probe, and may it be one again?"""
        if not isinstance(outcome, Failed) or sink.stage is Stage.COMMITTED or spent(call):
            return False
        rules = handling(outcome, own_key=lane.target.credential is None)
        return call.options.retry and rules.again and rules.charge is Charge.BAD and not forbidden(outcome)


def _chance(no: Refused, now: float) -> float:
    """When it is worth asking again: a dead target may be probed before its time, by one call for all."""
    return min(no.until, now + EARLY) if no.by is RefusedBy.BREAKER and no.until < inf else no.until


def _tells(outcome: Failed | Refused) -> bool:
    """Is its fault this request's? A breaker's is that of others before it."""
    return isinstance(outcome, Failed) or outcome.by is RefusedBy.INCAPABLE


def _is_answer(failed: Failed) -> bool:
    """Is this a whole answer that was rejected for its quality?"""
    return failed.head is not None and failed.head.status < 300 and bool(failed.body)


def _last(walk: _Walk) -> Outcome:
    """What the application is told when nobody answered.

    A whole answer that was rejected for its quality is better than an error, so it is kept for
    the layer that may serve it; else the last failure, the first target's own before a stand-in's
    complaint about the request; else the refusal that would end soonest.
    """
    failures = [failed for _, failed in walk.failed]
    answers = [failed for failed in failures if _is_answer(failed)]
    if answers:
        return min(answers, key=lambda failed: failed.fault is Fault.EMPTY_OUTPUT)
    telling = failures[:1] + [failed for failed in failures[1:] if HANDLING[failed.fault].elsewhere]
    if telling:
        return telling[-1]
    refusals = [refused for _, refused in walk.refused.values()]
    spent = Failed(Fault.TIMEOUT, detail="the deadline was over before anybody could be asked")
    return min(refusals, key=lambda refused: refused.until, default=spent)
