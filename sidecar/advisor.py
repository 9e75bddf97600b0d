"""The advisor: a round every second between this pod's memory and the place where the pods meet [R12].

What it promises. No call waits for it: it is a task beside them, which reads breakers and waits as they
stand and gives them advice as plain values. It is never needed: down, slow, flushed, full of garbage or
hostile, it leaves every pod with what it sees itself, as if it were alone; core/fleet says what of it is
believed, core/breaker what may follow. A round has a limit of its own, and after three that failed a
breaker like all others lets the place rest.

A round tells what stands (at each change, and every third time), reads what was told in the last
seconds, and claims the leases for the probes that calls of this pod have asked for. A lease ends by
itself: a pod that dies with it holds nobody up for longer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.core.breaker import Breaker, Permit
from sidecar.core.fleet import (
    AHEAD,
    NAME,
    ROWS,
    SHARED,
    Fleet,
    Lease,
    Message,
    Refuse,
    Row,
    Seal,
    Subject,
    Wait,
    letters,
)
from sidecar.core.waits import Waits
from sidecar.events import AttemptEnded, BreakerMoved, Event, Met, Tell
from sidecar.faults import HOLD_CAP, Charge
from sidecar.meeting import Answer, Claim, Meeting, RedisMeeting, Unavailable
from sidecar.model import BreakerState, Clock, Failed, Rng
from sidecar.settings import SHORTEST_KEY, BreakerRules, Shared

QUICK = 0.1  # of a round: what fails is told at once, and what fails within this time thereafter together
REFRESH = 3  # rounds after which what stands is told again
FRESH = 10  # rounds for which a report is of use, a recovery is news and a lease holds
AWAITED = 3  # rounds without an answer, and probes are nobody's but our own; so long a call's wish holds
CLAIMS = 8  # leases in one round
READ = 1024  # entries whose ids are remembered, so that each is looked at once
RESTS = BreakerRules(  # of the place itself; pods that lost it together come back one by one
    run=3, run_calls=1, open=5.0, longest=60.0, successes=1, ramp=0.0, jitter=1.0
)

Breakers = Callable[[], Sequence[tuple[Subject, Breaker]]]
Count = Callable[[str], None]


@dataclass(slots=True)
class _Place:
    """A meeting place as it is configured now."""

    rules: Shared
    digests: tuple[str, str]  # of the url and the key: a new password is another place
    seal: Seal
    meeting: Meeting
    fleet: Fleet
    told_waits: float  # holds since then are news
    first: bool = True
    rounds: int = 0
    told: tuple[object, ...] = ()
    read: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    claimed: list[Subject] = field(default_factory=list)  # in this round
    held: dict[Subject, float] = field(default_factory=dict)  # leases of ours, and until when
    spoilt: set[Subject] = field(default_factory=set)  # leases that are none


class Show(Protocol):
    def __call__(self, prefix: str, *, silent: bool | None) -> None: ...  # None: nothing is shared


class Advisor:
    """`breakers` are those of the transport; `advised` and `failed` count."""

    def __init__(
        self,
        *,
        settings: Callable[[], Shared],
        breakers: Breakers,
        waits: Waits,
        clock: Clock,
        rng: Rng,
        pod: str,
        tell: Tell,
        advised: Count,
        failed: Count,
        show: Show,
        meet: Callable[[str, str, float], Meeting] = RedisMeeting,
    ) -> None:
        self._settings = settings
        self._breakers = breakers
        self._waits = waits
        self._clock = clock
        self._pod = pod
        self._tell = tell
        self._advised = advised
        self._failed = failed
        self._show = show
        self._meet = meet
        self._rng = rng
        self._own = Breaker(RESTS, rng)
        self._place: _Place | None = None
        self._answers: bool | None = None  # nothing was said of it yet
        self._why = ""
        self._moved = asyncio.Event()
        self._count = 0  # messages of this pod: it starts anew with the pod, whose name does too

    @property
    def state(self) -> str:
        """For people: off, answers or silent."""
        if self._place is None and not self._why:
            return "off"
        return "answers" if self._answers else "silent"

    def note(self, event: Event) -> None:
        """A breaker moved, or an attempt failed: others want to know."""
        if self._place is None:
            return
        if isinstance(event, AttemptEnded):
            if isinstance(event.attempt.outcome, Failed):
                self._moved.set()
        elif isinstance(event, BreakerMoved) and event.kind == "transport":
            self._moved.set()
            if event.transition.trigger == "fleet" and event.transition.old is BreakerState.CLOSED:
                self._advised("tripped")

    def mark(self, body: bytes) -> int:
        """As Seal.mark, where there is a fleet."""
        return hash(body) if self._place is None else self._place.seal.mark(body)

    def greet(self, subject: Subject, breaker: Breaker) -> None:
        """A breaker that is new here may not be new to the fleet."""
        place = self._place
        if place is not None and self._answers:
            now = self._clock.now()
            breaker.election.until = now + AWAITED * place.rules.every
            breaker.advise(place.fleet.of(subject, now), now)

    async def run(self) -> None:
        """Until cancelled, even if a library has swallowed that."""
        task = asyncio.current_task()
        try:
            while task is None or not task.cancelling():
                await self.round()
                every = self._settings().every
                await self._clock.sleep(every * QUICK)
                try:
                    async with asyncio.timeout(every * (1 - QUICK)):
                        await self._moved.wait()
                except TimeoutError:
                    continue
        finally:
            await self._leave()

    async def round(self) -> None:
        self._moved.clear()
        place = await self._at()
        if place is None:
            return
        began = self._clock.now()
        permit = self._own.allow(began)
        if not isinstance(permit, Permit):
            return
        place.rounds += 1
        try:
            answer = await place.meeting.exchange(
                self._news(place, began),
                self._clock.wall() - (HOLD_CAP if place.first else FRESH * place.rules.every + AHEAD),
                self._claims(place, began),
                FRESH * place.rules.every,
            )
        except Unavailable as no:
            self._own.record(permit, Charge.BAD, self._clock.now(), call=str(place.rounds), body=place.rounds)
            place.told = ()
            self._failed(no.reason)
            self._said(answers=False, reason=no.reason, detail=no.detail)
            return
        self._own.record(permit, Charge.GOOD, self._clock.now(), call="", body=0)
        place.first = False
        self._take(place, answer, began)
        if answer.trouble:
            place.told = ()
            self._failed(answer.trouble)
        self._said(answers=True)

    # ---- where

    async def _at(self) -> _Place | None:
        rules = self._settings()
        if rules.url is None or rules.key is None:
            if self._answers is not None or self._place is not None:
                await self._leave()
                self._answers, self._why = None, ""
                self._show(rules.prefix, silent=None)
            return None
        digests = rules.url.digest, rules.key.digest
        place = self._place
        if place is not None and place.rules == rules and place.digests == digests:
            return place
        await self._leave()
        url, key = rules.url.reveal(), rules.key.reveal()
        if not url or key is None or len(key) < SHORTEST_KEY:
            self._failed("setup")
            which = "shared.key is missing or too short" if url else "shared.url is missing"
            self._said(answers=False, reason="setup", detail=which)
            return None
        self._own = Breaker(RESTS, self._rng)
        self._place = _Place(
            rules,
            digests,
            Seal(key.encode(), rules.prefix),
            self._meet(url, rules.prefix, rules.timeout),
            Fleet(self._pod, FRESH * rules.every),
            self._clock.now() - HOLD_CAP,
        )
        return self._place

    async def _leave(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            await place.meeting.close()

    def _said(self, *, answers: bool, reason: str = "", detail: str = "") -> None:
        if self._answers is not answers or (not answers and reason != self._why):
            self._tell(Met(answers, reason, detail))
        self._answers, self._why = answers, reason
        self._show(self._settings().prefix, silent=not answers)

    # ---- what is told

    def _news(self, place: _Place, now: float) -> list[bytes]:
        fresh = FRESH * place.rules.every
        rows: list[Row] = []
        for subject, breaker in self._breakers():
            report = breaker.report(now, fresh)
            if report is not None and all(len(word) <= NAME for word in subject):
                rows.append(Row(subject, report))
        rows = rows[-ROWS:]
        standing = tuple(
            (row.subject, row.report.open, row.report.bad, row.report.failed, row.report.recovered is None)
            for row in rows
        )
        if standing == place.told and place.rounds % REFRESH:
            rows = []
        place.told = standing
        holds = [
            Wait(key, hold.until - now, hold.fault, hold.named)
            for key, hold in self._waits.news(place.told_waits)
            if hold.fault in SHARED and hold.until > now and all(len(word) <= NAME for word in key)
        ][-ROWS:]
        if not rows and not holds:
            return []
        all_of_it = Message(self._pod, self._count, self._clock.wall(), tuple(rows), tuple(holds))
        found = letters(place.seal, all_of_it)
        self._count += len(found)
        return found

    def _claims(self, place: _Place, now: float) -> list[Claim]:
        every = place.rules.every
        found: list[Claim] = []
        place.held = {subject: until for subject, until in place.held.items() if until > now}
        place.claimed = []
        for subject, breaker in self._breakers():
            if len(found) < CLAIMS and breaker.wants(now, AWAITED * every):
                until = self._clock.wall() + FRESH * every
                value = place.seal.close(Lease(self._pod, subject, until))
                held = place.held.get(subject, now) > now + every
                found.append(Claim(place.seal.name(subject), value, held, subject in place.spoilt))
                place.claimed.append(subject)
        return found

    # ---- what is heard

    def _take(self, place: _Place, answer: Answer, began: float) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        place.told_waits = began
        for wait in place.fleet.hear(place.seal, self._unread(place, answer), now, wall):
            if self._waits.advise(wait.scope, wait.seconds, wait.fault, now, named=wait.named):
                self._advised("wait")
        self._lead(place, answer, began, wall)
        for subject, breaker in self._breakers():
            breaker.election.hold(now + AWAITED * place.rules.every, place.held.get(subject, began))
            taken = breaker.advise(place.fleet.of(subject, now), now)
            if taken and taken != "tripped":  # which may come later too: see note
                self._advised(taken)
            for moved in breaker.moves():
                self._tell(BreakerMoved(None, "transport", "", subject[0], subject[0], subject[1], moved))
        for reason, times in place.fleet.refused.items():
            for _ in range(times):
                self._failed(reason)
        place.fleet.refused.clear()

    def _unread(self, place: _Place, answer: Answer) -> list[bytes]:
        found = [value for which, value in answer.entries if which not in place.read]
        for which, _ in answer.entries:
            place.read[which] = None
        while len(place.read) > READ:
            place.read.popitem(last=False)
        return found

    def _lead(self, place: _Place, answer: Answer, began: float, wall: float) -> None:
        """Who has the leases that we claimed."""
        for subject, (value, seconds) in zip(place.claimed, answer.leases, strict=False):
            place.spoilt.discard(subject)
            try:
                lease = place.seal.open_lease(value, subject, wall)
            except Refuse as no:
                if value:
                    place.fleet.refuse(no.reason)
                    place.spoilt.add(subject)
                continue
            if lease.pod == self._pod:
                if subject not in place.held:
                    self._advised("elected")
                place.held[subject] = began + min(seconds, FRESH * place.rules.every)
            else:
                place.held.pop(subject, None)
