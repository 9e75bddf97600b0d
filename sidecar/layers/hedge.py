"""Hedge: a target that is slow is raced by the next one of the chain [R17]; off unless a route wants it.

When and how often are core/hedging's. Here is the race. The first target runs in the call's own task, the
second one, if it is begun at all, in a task of its own: the only one that any layer creates, made by a
timer so that a call whose target is in time costs a timer and nothing else. Whoever has its first content
first has won: the other one is cancelled there and then, nothing that it still brings reaches the client,
its breaker learns nothing, and its attempt says that it lost. No race is left before both have ended,
whoever ends it: the answer, a failure, the deadline, a client that goes.

It stands at the height of Fallback, which walks the chain: the second target is the chain's next one,
with its own breaker, gate and permit, one try, and no insisting. If the first one fails while the second
one runs, that is the fallback, already under way; if the second one fails first, the first one goes on and
the chain has one target less. After a winner that fails while it is still held the chain goes on behind
both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec.structs import replace

from sidecar.core.baseline import kind_of
from sidecar.core.hedging import QUANTILES, Hedging, usual_share
from sidecar.events import Bug, Hedged, Tell
from sidecar.model import (
    DONE,
    Answered,
    Attempt,
    Call,
    Chunk,
    Failed,
    Fault,
    Head,
    Operation,
    Outcome,
    Refused,
    Runner,
    Service,
    Sink,
    Stage,
    Target,
)
from sidecar.ordering import Rank
from sidecar.settings import Hedge as Rules

READING = frozenset({"GET", "HEAD", "OPTIONS"})  # safe methods, RFC 9110, section 9.2.1


@dataclass(frozen=True, slots=True)
class Hedge:
    """What one route wants, and what it has learned."""

    rules: Rules
    learned: Hedging
    cost: Rank | None  # what a target costs for a request
    tell: Tell

    def after(self, call: Call, slow: Target, beside: Target) -> float | None:
        """Seconds after which the second one is asked; None: never."""
        if call.once or _acts(call):
            return None
        share = usual_share(self.rules.after) if self.rules.share is None else self.rules.share
        self.learned.deposit(share, self._cost(call, slow), self._cost(call, beside))
        kind = kind_of(call, slow.model or call.ask.model)
        return self.learned.after(slow.name, kind, QUANTILES[self.rules.after])

    def allows(self, call: Call, slow: Target, beside: Target) -> bool:
        allowed = self.learned.withdraw(self._cost(call, slow), self._cost(call, beside))
        if not allowed:
            self.tell(Hedged(call, slow, beside, "denied"))
        return allowed

    def over(self, race: Race, call: Call, slow: Target, beside: Target) -> None:
        """Learn how long the first one took, and tell what became of the second."""
        attempt = race.first.attempt
        if attempt is not None:
            self._learn(call, slow, attempt)
        if race.beside is None:
            return
        if race.second.attempt is None:  # it refused
            self.learned.give_back(self._cost(call, slow), self._cost(call, beside))
        self.tell(Hedged(race.beside, slow, beside, race.result))

    def _learn(self, call: Call, target: Target, attempt: Attempt) -> None:
        until = attempt.first_content
        if until is None and attempt.lost_race:
            until = attempt.ended  # when it was beaten: the race goes on to the end of the winner's answer
        if until is not None:
            kind = kind_of(call, target.model or call.ask.model)
            self.learned.learn(target.name, kind, until - attempt.started)

    def _cost(self, call: Call, target: Target) -> int | None:
        found = None if self.cost is None else self.cost(target, call.ask, len(call.body))
        return None if found is None else found[0]


def _acts(call: Call) -> bool:
    """Is it a tool's, and does something? An idempotency key is known to one provider, not to two."""
    return call.ask.operation is Operation.TOOL and call.method not in READING


class Race:
    """One target, and perhaps another. Used once."""

    def __init__(
        self,
        sink: Sink,
        call: Call,
        service: Service,
        second: Callable[[], Call | None],
        other: Service,
        ends: Callable[[Failed | Refused], bool],
        tell: Tell,
    ) -> None:
        """`second` gives the call for the other one when its time has come, or None; `ends`: does what became
        of the first count, whatever the second might say?"""
        self.sink = sink
        self.first = Runner(self._first_won)
        self.second = Runner(self._second_won)
        self.beside: Call | None = None  # what the second one was asked
        self.winner: Runner | None = None
        self.result = "left"  # of the second one, once it was begun
        self._call = replace(call, runner=self.first)
        self._service = service
        self._begin = second
        self._other = other
        self._ends = ends
        self._tell = tell
        self._task: asyncio.Task[Outcome] | None = None  # the second one's
        self._running: asyncio.Task[object] | None = None  # that of the frame, while the first one runs
        self._turned = False  # the first one was cancelled by the second one's content

    async def run(self, after: float | None) -> tuple[Outcome | None, Outcome | None]:
        """What became of the first and of the second one; None: it was cancelled, or not begun."""
        task = asyncio.current_task()
        assert task is not None
        self._running, cancelled = task, task.cancelling()
        timer = None if after is None else asyncio.get_running_loop().call_later(after, self._start)
        try:
            try:
                outcome = await self._ask_first(task, cancelled)
            finally:
                self._running = None
                if timer is not None:
                    timer.cancel()
            if self._task is None:
                return outcome, None
            if self._goes_on(outcome):
                another = await self._task
                won = isinstance(another, Answered) or self.winner is self.second
                self.result = "won" if won else "failed"
                return outcome, another
            if self.second.attempt is not None and self.second.attempt.ended is None:
                self.second.attempt.lost_race = True  # the first one's failure is what counts
            failed = self._task.done() and not self._task.cancelled()
            self.result = "failed" if failed else "lost"
            return outcome, None
        finally:
            if self._task is not None:
                await _end(self._task)
            # whoever holds a call holds its runner, and that one held all of this
            self.first.claim = self.second.claim = _over
            self._begin = _nobody

    async def _ask_first(self, task: asyncio.Task[object], cancelled: int) -> Outcome | None:
        """None: it was beaten. `cancelled`: how often the task was, before."""
        try:
            return await self._service(self._call, _Own(self, self.first))
        except (asyncio.CancelledError, Exception) as error:
            if not self._turned or task.uncancel() > cancelled:
                raise  # somebody else's: the client left, or the deadline is over
            if isinstance(error, Exception):  # in its unwinding; the winner's answer goes on
                self._bug(self._call, error)
        return None

    def _goes_on(self, outcome: Outcome | None) -> bool:
        """Is the second one's outcome the one that counts?"""
        if outcome is None:
            return True
        if isinstance(outcome, Answered) or self.winner is self.first:
            return False
        return not self._ends(outcome)

    def _start(self) -> None:
        """The first one is slow."""
        if self._running is None or self.winner is not None:
            return
        self.beside = self._begin()
        if self.beside is not None:
            call = self.beside = replace(self.beside, runner=self.second)
            self._task = asyncio.create_task(self._ask(call))  # noqa: TID251  # it ends in `run`

    async def _ask(self, call: Call) -> Outcome:
        try:
            return await self._other(call, _Own(self, self.second))
        except Exception as error:  # noqa: BLE001  # it costs the call its second target, not its answer
            self._bug(call, error)
            return Failed(Fault.UNKNOWN, detail="llm-sidecar itself failed")

    def _bug(self, call: Call, error: Exception) -> None:
        self._tell(Bug(call, type(error).__name__))

    # ---- who wins

    def wins(self, runner: Runner) -> bool:
        """Its first content is here, or its answer begins: is it the first of them?"""
        if self.winner is None:
            self.winner = runner
            if runner is self.first and self._task is not None:
                if self.second.attempt is not None:
                    self.second.attempt.lost_race = True
                self._task.cancel()
            elif runner is self.second and self._running is not None:
                if self.first.attempt is not None and self.first.attempt.ended is None:
                    self.first.attempt.lost_race = True
                self._turned = True
                self._running.cancel()
        return self.winner is runner

    def _first_won(self) -> None:
        self.wins(self.first)

    def _second_won(self) -> None:
        self.wins(self.second)


@dataclass(frozen=True, slots=True)
class _Own:
    """The client's sink, for one of two."""

    race: Race
    runner: Runner

    @property
    def stage(self) -> Stage:
        return self.race.sink.stage

    async def start(self, head: Head) -> None:
        if not self.race.wins(self.runner):
            await asyncio.sleep(0)  # where its cancellation arrives, which is on its way
            return
        await self.race.sink.start(head)

    def send(self, chunk: Chunk) -> Awaitable[None]:
        # what is on the wire already still comes in
        return self.race.sink.send(chunk) if self.race.winner is self.runner else DONE


async def _end(task: asyncio.Task[Outcome]) -> None:
    """The task has ended when this returns, however often the frame itself is cancelled meanwhile."""
    again = False
    while not task.done():
        task.cancel()
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            again = True
    if again:
        raise asyncio.CancelledError
    if not task.cancelled():
        task.result()  # a bug in it is not lost


def _over() -> None:
    pass


def _nobody() -> Call | None:
    return None
