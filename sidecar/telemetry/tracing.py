"""Tracing: which calls become spans, and how they leave without anybody waiting for it.

When it is on. Where a variable names an OTLP endpoint, unless configuration or OTEL_SDK_DISABLED or
OTEL_TRACES_EXPORTER=none say no.

Which calls. The application's own word about its trace; where it says nothing, a share of the trace
ids, so that everybody who sees the id decides alike. OTEL_TRACES_SAMPLER overrules the share and the
word. A call that did not go straight, or was slow, is kept in any case, and says why.

What it costs. Spans are plain values made when the call ends. They wait in a queue of `MOST` calls, a
task encodes them in slices of `SLICE` spans or `SPELL` seconds, whichever is over first, with pauses
between, and a thread sends them. A collector that is slow, dead or refuses fills the queue; then spans
are dropped before they are made, whole calls at a time, and counted. One that did not take a batch is
asked again after twice as long, up to `RETRY`, with one batch: until it is back a call costs what it
costs without tracing. No call ever waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from sidecar.events import (
    CallEnded,
    Delivered,
    Event,
    Tell,
)
from sidecar.model import (
    Clock,
)
from sidecar.settings import CONTENT_VARIABLE, Settings
from sidecar.telemetry import content, notes
from sidecar.telemetry.otlp import PROTOCOLS, Batch, Courier, protocol, timeout
from sidecar.telemetry.spans import Span, Spans, interest, size

MOST = 2048  # calls whose spans wait; OTEL_BSP_MAX_QUEUE_SIZE
SLICE = 24  # spans encoded without letting go of the loop
SPELL = 0.0005  # seconds after which a slice takes no further call
PAUSE = 0.004  # seconds between two slices
LARGEST = 256  # spans of one request, or a few more: a call is not divided; _MAX_EXPORT_BATCH_SIZE
RETRY = 30.0  # seconds at the most until a collector that takes nothing is asked again
EVERY = 1.0  # seconds between two requests, while the collector keeps up; OTEL_BSP_SCHEDULE_DELAY
CONTENTS = 8 * 2**20  # characters of contents that wait; beyond it they are left out
HEAVY = 2**20  # characters of contents in one request: collectors take 4 MiB
FLUSH = 1.5  # seconds for what is left when the process ends

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Dropped = Callable[[str, int], None]  # why, how many spans


def wanted(settings: Settings, env: Mapping[str, str]) -> bool:
    if settings.telemetry.traces == "off" or env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if env.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return False
    return any(env.get(name, "").strip() for name in _ENDPOINTS)


def positive(env: Mapping[str, str], name: str, default: float) -> float:
    """A number that a variable says; what is none, or none above 0, is ignored as the conventions want."""
    try:
        value = float(env.get(name, ""))
    except ValueError:
        return default
    return value if 0.0 < value < 1e9 else default


class Sampler:
    """Decides by the trace's id, its parent and OTEL_TRACES_SAMPLER. `heeds` and `interest`: whether the
    parent's word and a call's interest count.
    """

    def __init__(self, ratio: float, env: Mapping[str, str]) -> None:
        named = env.get("OTEL_TRACES_SAMPLER", "").strip().lower()
        self.heeds = not named or named.startswith("parentbased_")
        kind = named.removeprefix("parentbased_")
        if kind == "always_on":
            ratio = 1.0
        elif kind == "always_off":
            ratio = 0.0
        elif kind == "traceidratio":
            ratio = _ratio(env.get("OTEL_TRACES_SAMPLER_ARG", ""))
        self.interest = kind != "always_off"  # whoever says off means off
        self._below = round(ratio * 2**64)

    def __call__(self, trace_id: str, said: bool | None) -> bool:
        if said is not None and self.heeds:
            return said
        return int(trace_id[16:], 16) < self._below


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        return 1.0
    return ratio if 0.0 <= ratio <= 1.0 else 1.0


class Tracing:
    """`note` every event; `start`, `run` and `stop` with the process."""

    def __init__(
        self, settings: Settings, *, env: Mapping[str, str], clock: Clock, tell: Tell, dropped: Dropped
    ) -> None:
        self.on = False
        self.trouble = ""  # why it is not on though it is wanted
        self._env = env
        self._clock = clock
        self._tell = tell
        self._dropped = dropped
        self._queue: deque[list[Span]] = deque()
        self._courier: Courier | None = None
        self._takes = True  # did the collector take the last one?
        self._batch: Batch | None = None  # being encoded
        self._most = int(positive(env, "OTEL_BSP_MAX_QUEUE_SIZE", MOST))
        self._largest = int(positive(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", LARGEST))
        self._every = positive(env, "OTEL_BSP_SCHEDULE_DELAY", EVERY * 1000) / 1000
        self._waiting = 0  # characters of contents in the queue
        self._packed = 0  # and in the batch
        self._keys = (False, False)  # to contents, as it was said last
        self._sending: tuple[asyncio.Future[bool], int] | None = None
        self._spans = Spans(settings)
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Whether spans are made follows the configuration; an exporter is only made at the start."""
        self._wanted = wanted(settings, self._env)
        self._keep = settings.telemetry.keep_interesting
        self._sampler = Sampler(settings.telemetry.sample_ratio, self._env)
        self._captures = content.opened(settings, self._env)
        self._spans.configure(settings, contents=self._captures)
        self.on = self._wanted and self._courier is not None
        self._settings = settings
        if self.on:
            self._say_keys()

    def _say_keys(self) -> None:
        """Whether contents are captured; nothing where nobody asked for it."""
        keys = content.keys(self._settings, self._env)
        if keys == self._keys:
            return
        self._keys = keys
        detail = "prompts and answers of sampled calls are put on spans, redacted"
        if keys != (True, True):
            lacks = "telemetry.capture_content is false" if keys[1] else f"{CONTENT_VARIABLE} is not true"
            detail = f"prompts and answers are not captured: {lacks}"
        self._tell(Delivered(keys == (True, True), "content", detail))

    def sample(self, trace_id: str, said: bool | None) -> bool | None:
        """Are the spans of this trace kept? None where no spans are made."""
        return self._sampler(trace_id, said) if self.on else None

    # ---- while calls run

    def note(self, event: Event) -> None:
        if not self.on:
            return
        if isinstance(event, CallEnded):
            self._finish(event)
        elif self._takes or len(self._queue) < self._most:  # else nobody would read it
            notes.note(event, self._clock.now())

    def _finish(self, event: CallEnded) -> None:
        if event.call.sampled and len(self._queue) >= self._most:
            self._dropped("queue_full", 1 + len(event.call.record.attempts))
            return
        ended, reason = self._spans.ended(event), ""
        if not event.call.sampled:
            if not (self._keep and self._sampler.interest) or event.call.sampled is None:
                return
            reason = interest(event, ended, self._spans.slow)
            if not reason:
                return
        if len(self._queue) >= self._most:
            self._dropped("queue_full", 1 + len(event.call.record.attempts))
            return
        since, room = self._clock.wall() - self._clock.now(), self._waiting < CONTENTS
        spans = self._spans.of(event, ended, since, reason, room=room)
        if self._captures:
            self._waiting += size(spans)
        self._queue.append(spans)

    # ---- how they leave

    async def start(self) -> None:
        """Make the exporter, before there are calls that would feel it; without one the sidecar runs on."""
        if not self._wanted:
            return
        how = protocol(self._env)
        if how not in PROTOCOLS:
            expected = " or ".join(PROTOCOLS)
            self._cannot(f"no traces are sent: OTEL_EXPORTER_OTLP_PROTOCOL has to be {expected}")
            return
        courier = Courier(how, timeout(self._env))
        try:
            await courier.open()
        except Exception as error:  # noqa: BLE001  # the packages of others, and files they were told to read
            courier.close()
            self._cannot(f"no traces are sent: the {how} exporter cannot be made, {type(error).__name__}")
            return
        self._courier = courier
        self.on = True
        self._say_keys()

    async def run(self) -> None:
        """Sends what is there, until cancelled."""
        wait = self._every
        while self._courier is not None:
            await self._clock.sleep(wait)
            most = 0  # then only what makes a large request: a trickle would be sent call by call
            while len(self._queue) > most and self._courier is not None:
                await self._send(self._courier, PAUSE)
                if not self._takes:
                    break
                most = self._largest // 2
            wait = self._every if self._takes else max(self._every, min(2 * wait, RETRY))

    async def stop(self) -> None:
        """Send what is left, within `FLUSH`; `run` is cancelled already."""
        courier, self._courier = self._courier, None
        self.on = False
        if courier is None:
            return
        try:
            async with asyncio.timeout(FLUSH):
                await self._arrived()
                while self._queue or self._batch:
                    await self._send(courier, 0.0)
        except TimeoutError:
            left = sum(len(spans) for spans in self._queue) + len(self._batch or ())
            self._dropped("shutdown", left + (self._sending[1] if self._sending else 0))
        courier.close()

    async def _send(self, courier: Courier, pause: float) -> None:
        batch = self._batch = self._batch or courier.batch()
        while self._queue and len(batch) < self._largest and self._packed < HEAVY:
            self._encode(batch)
            await self._clock.sleep(pause)
        self._packed = 0
        self._batch, self._sending = None, (courier.send(batch), len(batch))
        await self._arrived()

    async def _arrived(self) -> None:
        """Wait for the answer of the collector; a wait that is cancelled can be taken up again."""
        if self._sending is None:
            return
        sent, spans = self._sending
        await asyncio.wait((sent,))
        self._sending = None
        taken = sent.exception() is None and sent.result()
        if not taken:
            self._dropped("export_failed", spans)
        if taken != self._takes:  # said once, not with every batch
            self._takes = taken
            self._tell(
                Delivered(
                    taken, "traces", "" if taken else "the collector did not take them; they are dropped"
                )
            )

    def _cannot(self, why: str) -> None:
        self._tell(Delivered(ok=False, signal="traces", detail=why))

    def _encode(self, batch: Batch) -> None:
        until, over = min(len(batch) + SLICE, self._largest), self._clock.now() + SPELL
        while self._queue:
            spans = self._queue.popleft()
            batch.add(spans)
            if self._waiting:
                heavy = size(spans)
                self._waiting -= heavy
                self._packed += heavy
            if len(batch) >= until or self._packed >= HEAVY or self._clock.now() >= over:
                return
