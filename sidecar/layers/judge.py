"""Judge: an answer is held until it is proved (layers/hold), judged, and only then the client's.

When. A whole answer is judged when it is whole. The one thing that can be known sooner is a first
content that was far too late: it is told and charged when it comes, not when a long stream ends.

What for. A finding that rejects turns a held answer into a failure, so that it can be repeated
elsewhere; what is shown already can only be counted. Soft signals reject within the route's allowance
(core/standing); beyond it their answers are counted and served.

What teaches. Good answers, while nothing is degraded: what is usual of a target is not learned from
answers that had findings, nor while a breaker keeps it at arm's length.

Trouble in a 200. An error object or event before the commit is handled as the status it names;
after it the provider's own event has gone to the client and nothing is added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sidecar.core.admission import Admission
from sidecar.core.standing import Standing
from sidecar.events import (
    BreakerMoved,
    Judged,
    Shadowed,
    Tell,
    WouldOpen,
)
from sidecar.faults import Charge
from sidecar.layers.hold import Hold, TroubleBefore
from sidecar.layers.limit import Limit
from sidecar.model import (
    Answered,
    BreakerState,
    Call,
    Clock,
    Failed,
    Fault,
    Finding,
    Head,
    Outcome,
    Scope,
    Service,
    Sink,
    Target,
    Trouble,
    Verdict,
    current,
)
from sidecar.settings import Commit, Limits
from sidecar.signals.answer import Answer
from sidecar.signals.judging import (
    HARD,
    SHORT_DEVIATIONS,
    SHORT_ENOUGH,
    SHORT_SHARE,
    SLOW_ENOUGH,
    Judgement,
    Rules,
    Schemas,
    Seen,
    counted,
    judge,
    rejection,
)

Classify = Callable[[str, int, Head, bytes], Verdict]  # provider, status, head, body


@dataclass(frozen=True, slots=True)
class Judge:
    inner: Service
    target: Target
    rules: Rules
    limits: Limits
    commit: Commit
    standing: Standing
    schemas: Schemas
    classify: Classify
    room: Admission
    clock: Clock
    tell: Tell

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        call.record.answering = False  # this attempt has said nothing yet
        attempt = current(call)
        if attempt.number == 1:
            self.standing.allowance.deposit()
        answer = Answer(call.ask, watched=self.rules.watched)
        usual = None if call.ask.stream else self.standing.usual.seconds(call)
        hold = Hold(
            call,
            sink,
            attempt,
            answer,
            self.limits,
            self.commit,
            self.clock,
            self.room,
            usual,
            self._first,
            self.tell,
        )
        hold.limit = Limit(hold.watch if call.shadow else hold.due)
        try:
            with hold.limit:
                outcome = await self.inner(call, hold)
        except TimeoutError:
            return hold.silent()
        except TroubleBefore as before:
            return self._trouble(hold, before.trouble)
        finally:
            attempt.usage = answer.usage  # paid for, whatever becomes of the answer
            attempt.characters = answer.characters + answer.others
            attempt.malformed = answer.malformed
            hold.let_go()
        attempt.finishes = tuple(answer.finishes.values())
        if call.shadow and isinstance(outcome, Failed) and hold.head is not None:
            await hold.release()  # the client gets what it would have got, broken or not
        if isinstance(outcome, Answered):
            outcome = await self._judge(hold, outcome)
        if hold.committed and answer.trouble is not None:
            failed = self._trouble(hold, answer.trouble)
            # after commit the provider's own error event has gone out: say so
            return Failed(failed.fault, failed.scope, failed.wait, detail=failed.detail, told=True)
        return outcome

    # ---- judging

    def _first(self, hold: Hold, now: float) -> None:
        """The first content is here: was it far too late?"""
        call = hold.call
        if self.rules.early is None or not call.ask.stream:
            return
        usual = self.standing.usual.seconds(call, hold.answer.model, enough=SLOW_ENOUGH)
        seen = Seen(hold.answer, self.schemas, now - hold.started, usual)
        judgement = judge(seen, (self.rules.early,))
        self._count(judgement, call, now)
        hold.early = judgement.findings
        self._told(call, judgement.findings, "served")
        if counted(judgement.findings):
            self.standing.record(call, Charge.BAD, now)
            provider, model = self.target.provider.name, self.target.model or call.ask.model
            for moved in self.standing.breaker.moves():
                self.tell(BreakerMoved(call, "quality", call.route, self.target.name, provider, model, moved))

    async def _judge(self, hold: Hold, outcome: Answered) -> Outcome:
        answer, took, now = hold.answer, hold.took(), self.clock.now()
        if answer.trouble is not None:
            if hold.call.shadow:
                await hold.release()
                return outcome
            return self._trouble(hold, answer.trouble)
        if answer.unreadable and not hold.committed and not hold.call.shadow:
            return Failed(Fault.MALFORMED_CHUNK, Scope.MODEL, detail="no event of the answer is readable")
        late: tuple[Finding, ...] = ()
        if hold.readable or not hold.size:  # no bytes at all is as empty as an answer can be
            judgement = judge(self._seen(hold, took), self.rules.late)
            self._count(judgement, hold.call, now)
            late = judgement.findings
        findings = late + hold.early
        rejected = None if hold.committed else rejection(findings)
        if rejected is not None and rejected.signal not in HARD and not self.standing.allowance.withdraw():
            rejected = None
        if rejected is not None and hold.call.shadow:
            self.tell(Shadowed(hold.call, "reject", rejected.signal))
            rejected = None
        self._told(hold.call, late, "served" if rejected is None else "rejected")
        if rejected is not None:
            return Failed(
                rejected.fault, head=hold.head, body=hold.whole(), findings=findings, detail=rejected.signal
            )
        self._learn(hold, findings, took, now)
        await hold.release()
        return Answered(outcome.status, answer.usage, findings, outcome.tier)

    def _seen(self, hold: Hold, took: float | None) -> Seen:
        call, model, usual = hold.call, hold.answer.model, self.standing.usual
        seconds = None if call.ask.stream else usual.seconds(call, model, enough=SLOW_ENOUGH)
        shortest = usual.shortest(
            call, model, enough=SHORT_ENOUGH, deviations=SHORT_DEVIATIONS, share=SHORT_SHARE
        )
        return Seen(hold.answer, self.schemas, took, seconds, shortest, self.rules.min_characters)

    def _learn(self, hold: Hold, findings: tuple[Finding, ...], took: float | None, now: float) -> None:
        standing, answer = self.standing, hold.answer
        steady = hold.call.breaker in (None, BreakerState.CLOSED) and standing.steady
        if standing.trusted or (steady and not findings):
            tokens = answer.tokens if answer.plain else None
            standing.usual.learn(hold.call, answer.model, now, seconds=took, tokens=tokens)

    # ---- telling

    def _count(self, judgement: Judgement, call: Call, now: float) -> None:
        for signal, moved in self.standing.tally(judgement.evaluated, call, now):
            self.tell(WouldOpen(call, self.target, signal, moved))

    def _told(self, call: Call, findings: tuple[Finding, ...], done: str) -> None:
        for finding in findings:
            self.tell(Judged(call, self.target, finding, "observed" if finding.action == "observe" else done))

    def _trouble(self, hold: Hold, trouble: Trouble) -> Failed:
        """The error inside a 200, as the status it names."""
        assert hold.head is not None
        verdict = self.classify(
            self.target.provider.name, trouble.status or hold.head.status, hold.head, trouble.body
        )
        head = Head(trouble.status or 502, "", ((b"Content-Type", b"application/json"),))
        return Failed(
            verdict.fault,
            verdict.scope,
            verdict.wait,
            head,
            trouble.body,
            detail="an error inside an answer of 200",
        )
