"""Continue: a stream that breaks off after the client has seen some of it goes on elsewhere [R18].

Opt-in, and for plain text only. Once bytes are out nothing can be asked again, so without this layer a
cut stream ends with its dialect's own error event. With it the text so far is given to a target that goes
on with a turn of its own (a prefill), and what that one says is told behind it, in the client's dialect.
With tools, reasoning, media or constrained output in play it never starts (continuing says why).

It stands outside the chain: whoever is asked to go on has an attempt, a breaker and retries like any
other, and is held until its first content, so one that fails is left for the next. No attempt starts
after the deadline or beyond the call's number of attempts. What is told of the answer is true: its events
name the model that goes on, its usage is the last one's own, and each attempt keeps its own account.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from sidecar.continuing import LONGEST, Seam, plain, prefilled
from sidecar.core.deadline import share
from sidecar.dialects.base import BadBody
from sidecar.events import Continued, Tell
from sidecar.hub import TONGUES, Voice
from sidecar.hub.conversation import Conversation
from sidecar.layers.fallback import Lane
from sidecar.model import (
    Answered,
    Answering,
    Call,
    Chunk,
    Clock,
    Delta,
    Failed,
    Fault,
    Head,
    Kind,
    Malformed,
    Operation,
    Outcome,
    Reasoning,
    Service,
    Sink,
    Stage,
    Target,
    Text,
    Usage,
    latest,
)

TIMES = 2  # continuations of one answer
BROKEN = frozenset({Fault.STREAM_CUT, Fault.STREAM_STALL, Fault.NETWORK, Fault.MALFORMED_CHUNK})
_SILENT = (Answering, Usage, Malformed)  # deltas that add nothing to the text
# events after which the text is closed, though the answer is not over
_CLOSED = (b"content_block_stop", b"response.output_text.done", b"response.content_part.done")


@dataclass(frozen=True, slots=True)
class Continue:
    inner: Service
    lanes: tuple[Lane, ...]
    takes: Callable[[Target, str], bool]  # a prefill; by the model that the client asked for
    attempts: int  # of one call, over all targets
    clock: Clock
    tell: Tell

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        ask = call.ask
        busy = ask.json or ask.tools or ask.reasoning or call.once
        if busy or not ask.stream or ask.operation is not Operation.CHAT:
            return await self.inner(call, sink)
        kept = _Kept(sink)
        outcome = await self.inner(call, kept)
        for _ in range(TIMES):
            if not _broken(outcome, kept):
                break
            resumed = await self._resume(call, kept)
            if resumed is None:
                break
            outcome = resumed
        return outcome

    async def _resume(self, call: Call, kept: _Kept) -> Outcome | None:
        """What became of going on; None where nobody could: the break is the client's to see."""
        asked = plain(call.dialect, call.path, call.body)
        lanes = [lane for lane in self.lanes if self.takes(lane.target, call.ask.model)]
        said = kept.text
        if asked is None or not said.strip() or not lanes:
            return None
        try:
            body = prefilled(call.dialect, call.body, said.rstrip(), call.ask.max_output)
        except BadBody:
            return None
        left = latest(call.record.attempts) or call.record.attempts[-1]
        for place, lane in enumerate(lanes):
            now = self.clock.now()
            if now >= call.deadline or len(call.record.attempts) >= self.attempts:
                break
            others = len(lanes) - place - 1
            attempt = replace(
                call,
                target=lane.target,
                kind=Kind.CONTINUATION,
                body=body,
                leave_at=share(call.deadline, now, others),
                others=others,
            )
            going = _Going(kept, self._voice(call, asked, left.answering, said), Seam(said))
            outcome = await lane.service(attempt, going)
            if going.stage is Stage.COMMITTED:
                if isinstance(outcome, Answered):
                    await going.end()
                whole = isinstance(outcome, Answered)
                self.tell(Continued(attempt, left.provider, lane.target, whole=whole))
                return outcome
        self.tell(Continued(call, left.provider, None, whole=False))
        return None

    def _voice(self, call: Call, asked: Conversation, model: str, said: str) -> Voice:
        """One that has said what the client has seen; what it made of that is not sent again."""
        voice = TONGUES[call.dialect].voice(asked, ident=call.id, created=int(self.clock.wall()))
        voice.say((Answering(model or asked.model), Text(said)))
        return voice


def _broken(outcome: Outcome, kept: _Kept) -> bool:
    if not isinstance(outcome, Failed) or outcome.fault not in BROKEN or outcome.told:
        return False
    return kept.stage is Stage.COMMITTED and kept.continuable


@dataclass(slots=True)
class _Kept:
    """The client's sink, and the text that went into it."""

    sink: Sink
    continuable: bool = True
    pieces: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def stage(self) -> Stage:
        return self.sink.stage

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    async def start(self, head: Head) -> None:
        await self.sink.start(head)

    def send(self, chunk: Chunk) -> Awaitable[None]:
        if self.continuable:
            self._see(chunk)
        return self.sink.send(chunk)

    def _see(self, chunk: Chunk) -> None:
        for delta in chunk.deltas:
            if isinstance(delta, Text) and delta.choice == 0:
                self.pieces.append(delta.text)
                self.size += len(delta.text)
            elif not isinstance(delta, _SILENT):
                self.continuable = False
        if self.size > LONGEST or any(word in chunk.raw for word in _CLOSED):
            self.continuable = False


@dataclass(slots=True)
class _Going:
    """The sink of an attempt to go on: untouched until it says something, for the client saw none of it."""

    kept: _Kept
    voice: Voice
    seam: Seam
    stage: Stage = Stage.UNTOUCHED

    async def start(self, head: Head) -> None:
        """The client has its head."""

    async def send(self, chunk: Chunk) -> None:
        self.stage = Stage.COMMITTED
        deltas = tuple(delta for one in chunk.deltas if (delta := self._new(one)) is not None)
        raw = self.voice.say(deltas)
        if raw:
            await self.kept.send(Chunk(raw, deltas))

    def _new(self, delta: Delta) -> Delta | None:
        if isinstance(delta, Text):
            text = self.seam.new(delta.text)
            return Text(text) if text and delta.choice == 0 else None
        return None if isinstance(delta, Reasoning) else delta

    async def end(self) -> None:
        await self.kept.sink.send(Chunk(self.voice.end()))
