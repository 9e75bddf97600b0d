"""Works the queue off: the oldest first, through the stacks that all calls go through, at its pace [R22].

A job is asked for as any call is: breakers, known waits, retries, the chain, a deadline. What is
refused before anybody was asked stays where it is, and its route waits as the refusal says
(core/pace). What fails in a way that time may heal is put off, alone and ever longer; what does not
is over, and its owner gets the provider's own words. An answer counts when it is on disk: as long as
the disk is full it is kept here and tried again, and nothing new is begun in its place.

Nothing is marked when a job is begun. So a process that is killed forgets only that it had asked:
the job is asked for again, with the same idempotency key, and nothing is lost. When the pod ends
nothing new is begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from sidecar.core.jobs import Gauges, Job, heals
from sidecar.core.pace import Pace, pause
from sidecar.core.webhook import OTHER
from sidecar.deferred.queue import Queue
from sidecar.deferred.rows import ANSWERED, FAILED, WAITING, Counts, Next, Unusable, word
from sidecar.dialects.base import BadBody, Wire
from sidecar.events import Bug, CallEnded, Deferred, Posted, Queued, Tell
from sidecar.listener import complaints
from sidecar.listener.reception import Generation
from sidecar.model import (
    DONE,
    Answered,
    Call,
    Chunk,
    Clock,
    Failed,
    Fault,
    Head,
    Headers,
    Outcome,
    Record,
    Refused,
    Rng,
    Stage,
    Traffic,
    latest,
)
from sidecar.settings import Deferral

if TYPE_CHECKING:
    from sidecar.deferred.store import Store

LOOK = 1.0  # seconds between two looks at what others did to the file
HEADS = 256  # the oldest jobs of a route, among which the next one is chosen
LARGEST = 16 * 1024 * 1024  # bytes of an answer that is kept
LAST = 16  # as many tries have the longest pause
DISK = 2.0  # seconds before an answer that could not be written is tried again
SERVED_BY = b"x-llm-sidecar-served-by"
KEPT = frozenset((b"content-type", b"request-id", b"x-request-id", b"x-llm-sidecar-losses", SERVED_BY))


class Collected:
    """A `Sink` that keeps the answer."""

    def __init__(self) -> None:
        self.stage = Stage.UNTOUCHED
        self.head = Head(0)
        self.body = bytearray()
        self.cut = False  # it was larger than is kept

    async def start(self, head: Head) -> None:
        self.head = head
        self.stage = Stage.COMMITTED

    def send(self, chunk: Chunk) -> Awaitable[None]:
        if len(self.body) + len(chunk.raw) > LARGEST:
            self.cut = True
        else:
            self.body += chunk.raw
        return DONE


@dataclass(slots=True)
class Worker:
    current: Callable[[], Generation]
    clock: Clock
    rng: Rng
    tell: Tell
    new_id: Callable[[], str]
    sample: Callable[[str, bool | None], bool | None] = lambda _, said: said
    ending: Callable[[], bool] = lambda: False
    queue: Queue = field(init=False)
    counts: Counts | None = None  # as they were a moment ago; None: there is no file
    _paces: dict[str, Pace] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)
    _due: dict[str, tuple[float, int]] = field(default_factory=dict)  # of jobs put off: when, and their tries
    _looked: float = -inf
    _troubles: dict[str, str] = field(default_factory=dict)  # by what cannot be done: why
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.queue = Queue(lambda: self.current().settings, self.clock, self.tell)

    async def run(self) -> None:
        """Until cancelled."""
        self.queue.arrived = self._news.set
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    wait = await self._turn(group)
                except Exception as error:  # noqa: BLE001  # the disk, or a bug: the queue itself never ends by it
                    wait = LOOK  # the next one may go better; what was accepted is not touched
                    why = str(error) if isinstance(error, Unusable) else word(error)
                    self._trouble(f"nothing is asked for: {why}", of="turn")
                else:
                    self._trouble("", of="turn")
                await self._rest(wait)

    def _trouble(self, detail: str, *, of: str) -> None:
        """Something cannot be done now, or can again (""). Told when the queue as a whole changes by it."""
        before = bool(self._troubles)
        if not detail:
            self._troubles.pop(of, None)
            if before and not self._troubles:
                self.tell(Queued(True))
        elif of not in self._troubles:
            self._troubles[of] = detail
            self.tell(Queued(False, detail))

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    async def _turn(self, group: asyncio.TaskGroup) -> float:
        """Begin what may begin; seconds until there may be more to do."""
        if not await self.queue.look():
            self.counts = None
            return LOOK
        if self.clock.now() - self._looked >= LOOK:
            await self._sweep()
        wait = LOOK
        if self.ending():
            return wait
        later = self.current().later
        for route in await self.queue.use(lambda store: store.routes()):
            if route in later:
                wait = min(wait, await self._begin(route, group))
        return wait

    async def _sweep(self) -> None:
        now = self.clock.now()
        self._due = {job: due for job, due in self._due.items() if due[0] > now}
        for ended in await self.queue.sweep():
            if ended.webhook:
                name = ended.webhook if ended.webhook in self.current().settings.webhooks else OTHER
                self.tell(Posted(name, "expired", ended.id, ended.route, age=ended.age))
            else:
                self.tell(Deferred(ended.state, ended.id, ended.route, age=ended.age))
        self.counts = await self.queue.counts()
        self._looked = self.clock.now()

    async def _begin(self, route: str, group: asyncio.TaskGroup) -> float:
        pace = self._paces.setdefault(route, Pace())
        rules = self.current().settings.deferred
        while True:
            wait = pace.wait(self.clock.now(), rules.concurrency)
            if wait > 0:
                return wait
            if "write" in self._troubles or (self.counts is not None and self.counts.answers >= rules.bytes):
                return LOOK  # there is no room for answers
            found = await self._next(route)
            if found is None:
                return LOOK
            pace.began(self.clock.now(), rules.per_second)
            self._running.add(found.id)
            group.create_task(self._work(route, found, pace))

    async def _next(self, route: str) -> Next | None:
        """The oldest job that is not being asked for and not put off."""
        heads = await self.queue.use(lambda store: store.heads(route, HEADS))
        now = self.clock.now()
        for found in heads:
            at, tries = self._due.get(found.id, (-inf, 0))
            # fewer tries than it had: an operator wants it asked again now
            if found.id not in self._running and (at <= now or found.tries < tries):
                self._due.pop(found.id, None)
                return found
        return None

    async def _work(self, route: str, found: Next, pace: Pace) -> None:
        try:
            job = await self.queue.use(lambda store: store.load(found.id))
            if job is not None:
                await self._ask(job, found, pace)
        except Exception as error:  # noqa: BLE001  # as in `run`; a row that cannot be read stands in nobody's way
            self._due[found.id] = (self.clock.now() + pause(LAST, self.rng), found.tries)
            self.tell(Deferred("put_off", found.id, route, type(error).__name__))
        finally:
            self._running.discard(found.id)
            pace.running -= 1
            self._news.set()

    # ---- one job

    async def _ask(self, job: Job, found: Next, pace: Pace) -> None:
        generation = self.current()
        sink = Collected()
        call = self._call(job, generation)
        if call is None:
            await self._fail(job, found, Failed(Fault.INVALID_REQUEST, detail="it cannot be read"), None)
            return
        outcome: Outcome | None = None
        try:
            outcome = await generation.later[job.route](call, sink)
        except Exception as error:  # noqa: BLE001  # a bug of ours costs this job a try
            self.tell(Bug(call, type(error).__name__))
            outcome = Failed(Fault.UNKNOWN, detail="llm-sidecar itself failed")
        finally:
            committed = sink.stage is Stage.COMMITTED
            self.tell(CallEnded(call, outcome, self.clock.now(), sink.head.status, committed))
        await self._settle(job, found, call, outcome, sink, pace)

    async def _settle(
        self, job: Job, found: Next, call: Call, outcome: Outcome, sink: Collected, pace: Pace
    ) -> None:
        now = self.clock.now()
        if isinstance(outcome, Answered):
            pace.answered(self.current().settings.deferred.concurrency)
            if sink.cut:
                await self._fail(job, found, Failed(Fault.UNKNOWN, detail="the answer is too large"), call)
                return
            answers = latest(call.record.attempts)
            served = answers.target.encode("ascii", "replace") if answers else b"-"
            head = Head(sink.head.status, headers=(*sink.head.headers, (SERVED_BY, served)))
            await self._end(job, found, ANSWERED, Wire(head, bytes(sink.body)), "")
        elif isinstance(outcome, Refused) and heals(outcome):
            pace.refused(now, outcome.until)
        elif heals(outcome) and found.tries + 1 < self._rules(job).attempts:
            assert isinstance(outcome, Failed)
            pace.failed(now, outcome.wait)
            self._due[found.id] = (now + pause(found.tries + 1, self.rng), found.tries + 1)
            await self._save(lambda store: store.put_off(found.id, outcome.fault.value))
            self._tell_of(job, "put_off", outcome.fault.value)
        else:
            await self._fail(job, found, outcome, call)

    async def _fail(self, job: Job, found: Next, outcome: Failed | Refused, call: Call | None) -> None:
        """It is over without an answer: what the client would have been told is kept for it."""
        dialect = self.current().dialects.get(job.dialect)
        reason = outcome.fault.value if isinstance(outcome, Failed) else outcome.by.value
        if isinstance(outcome, Failed) and outcome.head is not None and outcome.head.status >= 400:
            wire = complaints.raw(outcome, outcome.head)
        elif call is not None:
            wire = complaints.wire(complaints.of_outcome(outcome, call, self.clock.now()), dialect)
        else:
            sentence = "llm-sidecar: the stored request cannot be read any more"
            wire = complaints.wire(
                complaints.Complaint(400, Fault.INVALID_REQUEST, reason, sentence), dialect
            )
        await self._end(job, found, FAILED, wire, reason)

    async def _end(self, job: Job, found: Next, state: str, wire: Wire, reason: str) -> None:
        wall = self.clock.wall()
        headers: Headers = tuple(pair for pair in wire.head.headers if pair[0].lower() in KEPT)
        taken = await self._save(
            lambda store: store.finish(
                found.id,
                state,
                status=wire.head.status,
                headers=headers,
                answer=wire.body,
                reason=reason,
                wall=wall,
            )
        )
        if taken:
            self._tell_of(job, state, reason)

    async def _save(self, work: Callable[[Store], bool | None]) -> bool:
        """Until it is on disk: it is paid for. Raises Unusable where the file is closed."""
        while True:
            try:
                done = await self.queue.use(work)
            except OSError:
                self._trouble("answers cannot be written; nothing new is asked for", of="write")
                await self.clock.sleep(DISK)
            else:
                self._trouble("", of="write")
                return done is not False

    def _tell_of(self, job: Job, what: str, reason: str) -> None:
        age = max(0.0, self.clock.wall() - job.accepted)
        self.tell(Deferred(what, job.id, job.route, reason, age))

    def _rules(self, job: Job) -> Deferral:
        routes = self.current().settings.routes
        return next((one.deferred for one in routes if one.name == job.route and one.deferred), Deferral())

    def _call(self, job: Job, generation: Generation) -> Call | None:
        """The call as it would have come now; None where today's dialect cannot read it."""
        dialect = generation.dialects.get(job.dialect)
        operation = None if dialect is None else dialect.operation(job.method, job.path)
        if dialect is None or operation is None:
            return None
        try:
            ask = dialect.ask(operation, job.path, job.body)
        except BadBody:
            return None
        settings, now = generation.settings, self.clock.now()
        own = next((one.deadline for one in settings.routes if one.name == job.route), None)
        return Call(
            id=self.new_id(),
            route=job.route,
            provider=job.provider,
            dialect=job.dialect,
            method=job.method,
            path=job.path,
            query=job.query,
            headers=job.headers,
            body=job.body,
            ask=ask,
            traffic=Traffic.BACKGROUND,
            arrived=now,
            deadline=now + max(own or 0.0, settings.deadlines.background),
            record=Record(),
            trace_id=job.trace_id,
            exact=job.exact,
            sampled=self.sample(job.trace_id, None),
            job=job.id,
        )

    def gauges(self) -> Gauges | None:
        """For metrics; None where no route defers."""
        counts = self.counts
        if counts is None:
            return None
        rules = self.current().settings.deferred
        jobs = {state: counts.jobs.get(state, 0) for state in (WAITING, ANSWERED, FAILED)}
        running = min(len(self._running), jobs[WAITING])
        oldest = max(0.0, self.clock.wall() - counts.oldest) if counts.oldest else 0.0
        full = max(jobs[WAITING] / rules.items, counts.bytes / rules.bytes, counts.answers / rules.bytes)
        jobs[WAITING] -= running
        return Gauges(jobs | {"running": running}, oldest, counts.bytes, counts.answers, min(full, 1.0))
