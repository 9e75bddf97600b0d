"""Hold: the sink of one attempt, which keeps what may still be replaced and knows when it is silent.

When held bytes go out [R18]. A non-stream answer when it is whole. A stream at its first content; with
a proving window once so many characters or seconds have followed it; with `complete`, or where JSON
was asked for, when it is whole. Time is looked at when something comes: a stream that says one word
and stops stays held, and can still be rescued.

Silence [R6]. Liveness is content, not bytes: `first_content` bounds the time to the first one,
`gap` the time between two, `answer` the whole of a non-stream answer. Time in which a slow client
holds us up is the client's. A target that others can stand in for is left at its share of the
deadline; a whole answer may take up to three times its usual time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf

from sidecar.core.admission import Admission
from sidecar.events import Shadowed, Tell
from sidecar.layers.limit import Limit
from sidecar.model import (
    DONE,
    Attempt,
    Call,
    Chunk,
    Clock,
    Failed,
    Fault,
    Finding,
    FinishReason,
    Head,
    Sink,
    Stage,
    Trouble,
)
from sidecar.settings import Commit, Limits
from sidecar.signals.answer import Answer

TIMES_USUAL = 3.0  # how much longer than usual a whole answer may take before it is left


class TroubleBefore(Exception):  # not an error: it carries a verdict out of the wire's frame
    """An error object came before any content: nothing more is wanted from this answer."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.status)
        self.trouble = trouble


@dataclass(slots=True)
class Hold:
    call: Call
    sink: Sink
    attempt: Attempt
    answer: Answer
    limits: Limits
    commit: Commit
    clock: Clock
    room: Admission
    usual: float | None  # seconds of a whole answer
    first: Callable[[Hold, float], None]  # told when the first content comes
    tell: Tell
    started: float = field(init=False)
    head: Head | None = None
    held: list[Chunk] = field(default_factory=list)
    size: int = 0
    kept: int = 0  # of it, in the room that all calls share
    full: bool = False  # that room
    committed: bool = False
    early: tuple[Finding, ...] = ()  # what was found at the first content
    readable: bool = False  # any delta came: there was a reader
    blocked: bool = False  # by a slow client, now
    blocked_before: float = field(init=False)  # seconds, in earlier attempts
    late: bool = False  # in shadow: a limit is over
    limit: Limit = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock.now()
        self.blocked_before = self.call.record.client_blocked

    @property
    def stage(self) -> Stage:
        return self.sink.stage

    # ---- what comes in

    async def start(self, head: Head) -> None:
        self.head = head
        self.attempt.status = head.status

    def send(self, chunk: Chunk) -> Awaitable[None]:
        if chunk.deltas:
            self._see(chunk)
        if self.committed:  # nearly all events of a stream
            if not chunk.raw:
                return DONE
            rest = self.sink.send(chunk)
            return rest if rest is DONE else self._client(rest)
        if chunk.raw:
            self.held.append(chunk)
            self.full = self.full or not self.room.keep(len(chunk.raw))
            self.kept += 0 if self.full else len(chunk.raw)
        self.size += len(chunk.raw)
        self.attempt.held = max(self.attempt.held, self.size)
        return self.release() if self._proved() else DONE

    async def _client(self, rest: Awaitable[None]) -> None:
        """Wait for a slow client: that is not the provider's silence."""
        self.blocked = True
        try:
            await rest
        finally:
            self.blocked = False

    def _see(self, chunk: Chunk) -> None:
        self.readable = True
        answer = self.answer
        content = False
        for delta in chunk.deltas:
            content = answer.add(delta) or content
        if answer.trouble is not None and not self.committed and not self.call.shadow:
            raise TroubleBefore(answer.trouble)
        if answer.model:
            self.attempt.answering = answer.model
        if content:
            self._content(self.clock.now())

    def _content(self, now: float) -> None:
        attempt = self.attempt
        attempt.chunks += 1
        if attempt.first_content is None:
            attempt.first_content = now
            if self.call.runner is not None:
                self.call.runner.claim()
            self.call.record.answering = True
            self.first(self, now)
        elif attempt.last_content is not None and now - attempt.last_content > attempt.max_gap:
            attempt.max_gap = now - attempt.last_content
        attempt.last_content = now

    # ---- what goes out

    def _proved(self) -> bool:
        commit = self.commit
        if self.size > commit.hold_bytes or self.full:
            return True  # too much to hold: from here on it is only counted
        first = self.attempt.first_content
        if not self.call.ask.stream or first is None or commit.mode == "complete" or self.call.assembled:
            return False
        if self.answer.finished(FinishReason.ERROR):
            return False  # it broke off by itself, such as a tool call that does not parse: judged first
        if self.call.ask.json:
            return self.clock.now() - first > commit.structured_seconds
        if commit.mode == "window":
            enough = self.answer.characters >= commit.window_chars
            return enough or self.clock.now() - first >= commit.window_seconds
        return True

    async def release(self) -> None:
        """Let the client see what is held, and everything after it."""
        if self.committed:
            return
        assert self.head is not None
        self.committed = True
        await self.sink.start(self.head)
        held, self.held = self.held, []
        self.let_go()
        if len(held) > 1:
            deltas = tuple(delta for chunk in held for delta in chunk.deltas)
            held = [Chunk(b"".join(chunk.raw for chunk in held), deltas)]
        if held:
            await self._client(self.sink.send(held[0]))

    def let_go(self) -> None:
        """Give the room back; what is held is on its way, or dropped."""
        self.room.let_go(self.kept)
        self.kept = 0

    def whole(self) -> bytes:
        return b"".join(chunk.raw for chunk in self.held)

    # ---- time

    def took(self) -> float | None:
        """Seconds to the first content of a stream, None if there was none; else until now, without
        the client's own slowness.
        """
        if self.call.ask.stream:
            first = self.attempt.first_content
            return None if first is None else first - self.started
        return max(0.0, self.clock.now() - self.started - self._unread())

    def _unread(self) -> float:
        """Seconds that the client let this attempt wait."""
        return self.call.record.client_blocked - self.blocked_before

    def due(self) -> float:
        limits, call, attempt = self.limits, self.call, self.attempt
        now = self.clock.now()
        if self.blocked:
            return now + limits.gap
        if not call.ask.stream:
            longest = self.started + min(limits.answer * call.stretch, call.patience)
            if self.committed:  # too large to hold: only its own limit is left
                return longest + self._unread()
            leave = max(call.leave_at, self.started + TIMES_USUAL * (self.usual or 0.0))
            return min(longest, leave, call.deadline)
        first = limits.reasoning if call.ask.reasoning else limits.first_content
        if attempt.last_content is not None:
            # while held another target can still answer: a gap as long as the first wait is enough
            gap = limits.gap if self.committed else min(limits.gap, first)
            return attempt.last_content + min(gap, call.patience)
        return min(self.started + min(first * call.stretch, call.patience), call.leave_at, call.deadline)

    def watch(self) -> float:
        """In shadow: a limit that is over is told, once, and nothing ends."""
        due = self.due()
        if self.late or due > self.clock.now():
            return inf if self.late else due
        self.late = True
        self.tell(Shadowed(self.call, "timeout", self.silent().fault.value))
        return inf

    def silent(self) -> Failed:
        """The limit fired."""
        if self.attempt.first_content is not None:
            return Failed(Fault.STREAM_STALL, detail="no content for the whole gap limit")
        if self.call.ask.stream:
            return Failed(Fault.TTFT_TIMEOUT, detail="no content within the first-content limit")
        return Failed(Fault.TIMEOUT, detail="no answer within its limit")
