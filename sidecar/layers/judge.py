"""Judge: holds an answer until it is proved, judges it, and only then lets the client see it.

Commit [R18]. A stream goes to the client at its first content: keep-alives, role-only deltas and
message starts are held, so that a target which says only "hello" can still be replaced. A
non-stream answer is held whole. So is a stream that was asked for structured output, for a bounded
time and size: half a JSON document helps nobody, and only a whole one can be judged.

Silence [R6]. Liveness is content, not bytes: `first_content` bounds the time to the first one,
`gap` the time between two, `answer` the whole of a non-stream answer. Time in which a slow client
holds us up is the client's. A target that others can stand in for is left at its share of the
deadline; a whole answer may take up to three times its usual time.

Trouble in a 200. An error object or event before the commit is handled as the status it names;
after it the provider's own event has gone to the client and nothing is added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.core.baseline import Baseline
from sidecar.layers.limit import Limit
from sidecar.model import (
    Answered,
    Attempt,
    Call,
    Chunk,
    Clock,
    Failed,
    Fault,
    Finding,
    Head,
    Judged,
    Outcome,
    Service,
    Sink,
    Stage,
    Target,
    Tell,
    Trouble,
    Verdict,
)
from sidecar.settings import Commit, Limits, Signals
from sidecar.signals.answer import Answer
from sidecar.signals.judging import Schemas, judge, rejection

TIMES_USUAL = 3.0  # how much longer than usual a whole answer may take before it is left

Classify = Callable[[str, int, Head, bytes], Verdict]  # provider, status, head, body


@dataclass(frozen=True, slots=True)
class Judge:
    inner: Service
    target: Target
    signals: Signals
    limits: Limits
    commit: Commit
    baseline: Baseline
    schemas: Schemas
    classify: Classify
    clock: Clock
    tell: Tell

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        call.record.answering = False  # this attempt has said nothing yet
        hold = _Hold(self, call, sink, call.record.attempts[-1], self.clock.now())
        hold.limit = Limit(hold.due)
        try:
            async with hold.limit:
                outcome = await self.inner(call, hold)
        except TimeoutError:
            return hold.silent()
        except _TroubleBefore as trouble:
            return trouble.failed
        if isinstance(outcome, Answered):
            outcome = await self._judge(hold, outcome)
        return hold.told(outcome)

    async def _judge(self, hold: _Hold, outcome: Answered) -> Outcome:
        answer = hold.answer
        if answer.trouble is not None:
            return hold.trouble(answer.trouble)
        findings = judge(answer, self.signals, self.schemas) if hold.readable or not hold.size else ()
        rejected = rejection(findings)
        if rejected is not None and not hold.committed:
            self._tell(hold.call, findings, "rejected")
            return Failed(
                rejected.fault, head=hold.head, body=hold.whole(), findings=findings, detail=rejected.signal
            )
        self._tell(hold.call, findings, "served")
        hold.learn()
        await hold.release()
        return Answered(outcome.status, answer.usage, findings, outcome.tier)

    def _tell(self, call: Call, findings: tuple[Finding, ...], done: str) -> None:
        for finding in findings:
            self.tell(Judged(call, self.target, finding, "observed" if finding.action == "observe" else done))


class _TroubleBefore(Exception):  # not an error: it carries a verdict out of the upstream's frame
    """An error object came before any content: nothing more is wanted from this answer."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.fault)
        self.failed = failed


@dataclass(slots=True)
class _Hold:
    """The sink of one attempt."""

    rules: Judge
    call: Call
    sink: Sink
    attempt: Attempt
    started: float
    head: Head | None = None
    held: list[Chunk] = field(default_factory=list)
    size: int = 0
    committed: bool = False
    answer: Answer = field(init=False)
    readable: bool = False  # any delta came: there was a reader
    blocked: bool = False  # by a slow client, now
    limit: Limit = field(init=False)

    def __post_init__(self) -> None:
        self.answer = Answer(self.call.ask)

    @property
    def stage(self) -> Stage:
        return self.sink.stage

    # ---- what comes in

    async def start(self, head: Head) -> None:
        self.head = head
        self.attempt.status = head.status

    async def send(self, chunk: Chunk) -> None:
        if chunk.deltas:
            self._see(chunk)
        if self.committed:
            await self._pass(chunk)
            return
        self.held.append(chunk)
        self.size += len(chunk.raw)
        self.attempt.held = max(self.attempt.held, self.size)
        if self._proved():
            await self.release()

    def _see(self, chunk: Chunk) -> None:
        self.readable = True
        answer = self.answer
        content = False
        for delta in chunk.deltas:
            content = answer.add(delta) or content
        if answer.trouble is not None and not self.committed:
            raise _TroubleBefore(self.trouble(answer.trouble))
        if answer.model:
            self.attempt.answering = answer.model
        if content:
            self._content(self.rules.clock.now())

    def _content(self, now: float) -> None:
        attempt = self.attempt
        attempt.chunks += 1
        if attempt.first_content is None:
            attempt.first_content = now
            self.call.record.answering = True
        elif attempt.last_content is not None and now - attempt.last_content > attempt.max_gap:
            attempt.max_gap = now - attempt.last_content
        attempt.last_content = now

    # ---- what goes out

    def _proved(self) -> bool:
        if self.size > self.rules.commit.hold_bytes:
            return True  # too large to hold: from here on it is only counted
        if not self.call.ask.stream or self.attempt.first_content is None:
            return False
        if self.rules.commit.mode == "complete":
            return False
        if not self.call.ask.json:
            return True
        patience = self.rules.commit.structured_seconds
        return self.rules.clock.now() - self.attempt.first_content > patience

    async def release(self) -> None:
        """Let the client see what is held, and everything after it."""
        if self.committed:
            return
        assert self.head is not None
        self.committed = True
        await self.sink.start(self.head)
        held, self.held = self.held, []
        raw = held[0].raw if len(held) == 1 else b"".join(chunk.raw for chunk in held)
        if raw:
            await self._pass(Chunk(raw))

    async def _pass(self, chunk: Chunk) -> None:
        if not chunk.raw:
            return
        self.blocked = True
        try:
            await self.sink.send(chunk)
        finally:
            self.blocked = False

    def whole(self) -> bytes:
        return b"".join(chunk.raw for chunk in self.held)

    # ---- silence

    def due(self) -> float:
        rules, call, attempt = self.rules, self.call, self.attempt
        now = rules.clock.now()
        if not call.ask.stream:
            usual = rules.baseline.median
            leave = max(call.leave_at, self.started + TIMES_USUAL * (usual or 0.0))
            longest = min(rules.limits.answer * call.stretch, call.patience)
            return min(self.started + longest, leave, call.deadline)
        if self.blocked:
            return now + rules.limits.gap
        first = rules.limits.reasoning if call.ask.reasoning else rules.limits.first_content
        if attempt.last_content is not None:
            # while held another target can still answer: a gap as long as the first wait is enough
            gap = rules.limits.gap if self.committed else min(rules.limits.gap, first)
            return attempt.last_content + min(gap, call.patience)
        return min(self.started + min(first * call.stretch, call.patience), call.leave_at, call.deadline)

    def silent(self) -> Failed:
        """The limit fired."""
        if self.attempt.first_content is not None:
            return Failed(Fault.STREAM_STALL, detail="no content for the whole gap limit")
        if self.call.ask.stream:
            return Failed(Fault.TTFT_TIMEOUT, detail="no content within the first-content limit")
        return Failed(Fault.TIMEOUT, detail="no answer within its limit")

    # ---- verdicts

    def trouble(self, trouble: Trouble) -> Failed:
        """The error inside a 200, as the status it names."""
        assert self.head is not None
        verdict = self.rules.classify(
            self.rules.target.provider.name, trouble.status or self.head.status, self.head, trouble.body
        )
        status = trouble.status or 502
        head = Head(status, "", ((b"Content-Type", b"application/json"),))
        return Failed(
            verdict.fault,
            verdict.scope,
            verdict.wait,
            head,
            trouble.body,
            detail="an error inside an answer of 200",
        )

    def told(self, outcome: Outcome) -> Outcome:
        """After commit the provider's own error event has gone out: say so."""
        if self.committed and self.answer.trouble is not None:
            failed = self.trouble(self.answer.trouble)
            return Failed(failed.fault, failed.scope, failed.wait, detail=failed.detail, told=True)
        return outcome

    def learn(self) -> None:
        """A good answer teaches what is usual: to first content of a stream, to the end else."""
        at = self.attempt.first_content if self.call.ask.stream else self.rules.clock.now()
        if at is not None:
            self.rules.baseline.observe(at - self.started)
