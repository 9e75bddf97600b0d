"""Delivers what became of deferred calls to webhooks: at least once, each within its time [R22, T17].

That an end is to be delivered is written with the end itself, in one statement of the file; that it was
delivered, when the receiver has said 2xx. So a process that is killed forgets only that it had sent: the
message goes out once more, with the same webhook-id. Where to comes from the configuration alone. The
bytes leave by the way that calls leave (upstream.egress): judged addresses, verified TLS, no redirects.

What is no 2xx is tried again, ever later, until the answer is forgotten (`deferred.keep`). A receiver that
fails is left alone meanwhile, one message at a time; one message that it cannot take stands in no other's
way. 410 says that it wants nothing any more: nothing is sent to it until its configuration changes or the
process starts anew, and what is to be delivered stays in the file for its time. What a receiver answers
beyond its status is not read by anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf

from sidecar.core.pace import Pace, pause
from sidecar.core.webhook import OTHER, News, body_of, headers_of, key_of, name_of
from sidecar.deferred.queue import Queue
from sidecar.deferred.rows import Next, Outbox
from sidecar.dialects.http import HTTP
from sidecar.events import Posted, Tell
from sidecar.model import (
    DONE,
    Ask,
    Call,
    Chunk,
    Clock,
    Failed,
    Head,
    Operation,
    Outcome,
    Record,
    Refused,
    Rng,
    Service,
    Stage,
    Target,
    Traffic,
)
from sidecar.settings import Settings, Webhook

LOOK = 1.0  # seconds between two looks at the file
SECONDS = 20.0  # for one attempt, from the connection to the end of its answer
CONCURRENCY = 4  # messages to one webhook at a time, once it answers
PER_SECOND = 20.0  # to one webhook, begun
HEADS = 64  # the oldest messages to a webhook, among which the next one is chosen


class Unread:
    """A `Sink` that keeps the status and lets the rest fall."""

    def __init__(self) -> None:
        self.stage = Stage.UNTOUCHED
        self.status = 0

    async def start(self, head: Head) -> None:
        self.stage = Stage.COMMITTED
        self.status = head.status

    def send(self, chunk: Chunk) -> Awaitable[None]:
        return DONE


@dataclass(slots=True)
class Receiver:
    """How one webhook is doing, as far as this process knows."""

    pace: Pace = field(default_factory=Pace)
    failures: int = 0  # in a row
    stopped: Webhook | None = None  # as it was configured when it said 410


@dataclass(slots=True)
class Courier:
    current: Callable[[], Settings]
    queue: Queue
    send: Service
    clock: Clock
    rng: Rng
    tell: Tell
    ending: Callable[[], bool] = lambda: False
    outboxes: list[Outbox] = field(default_factory=list)  # as they were a moment ago
    _receivers: dict[str, Receiver] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)
    _due: dict[str, tuple[float, int]] = field(default_factory=dict)  # of jobs put off: when, and their sends
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    wait = await self._turn(group)
                except Exception:  # noqa: BLE001  # the disk: the worker tells of it; what is due stays due
                    wait = LOOK
                try:
                    async with asyncio.timeout(wait):
                        await self._news.wait()
                except TimeoutError:
                    pass
                self._news.clear()

    async def _turn(self, group: asyncio.TaskGroup) -> float:
        """Begin what may begin; seconds until there may be more to do."""
        webhooks = self.current().webhooks
        if not self.queue.open:
            self.outboxes = []
            return LOOK
        now = self.clock.now()
        self._due = {job: due for job, due in self._due.items() if due[0] > now}
        self.outboxes = await self.queue.use(lambda store: store.outboxes())
        wait = LOOK
        for name in (outbox.webhook for outbox in self.outboxes):
            webhook = webhooks.get(name)
            receiver = self._receivers.setdefault(name, Receiver())
            if webhook is not None and receiver.stopped != webhook and not self.ending():
                wait = min(wait, await self._begin(name, webhook, receiver, group))
        return wait

    async def _begin(
        self, name: str, webhook: Webhook, receiver: Receiver, group: asyncio.TaskGroup
    ) -> float:
        pace = receiver.pace
        while (wait := pace.wait(self.clock.now(), CONCURRENCY)) <= 0:
            found = await self._next(name)
            if found is None:
                return LOOK
            pace.began(self.clock.now(), PER_SECOND)
            self._running.add(found.id)
            group.create_task(self._work(name, webhook, receiver, found))
        return wait

    async def _next(self, name: str) -> Next | None:
        """The oldest message that is not under way and not put off."""
        now = self.clock.now()
        for found in await self.queue.use(lambda store: store.outbox(name, HEADS)):
            at, sends = self._due.get(found.id, (-inf, 0))
            # fewer sends than it had: an operator wants it sent again now
            if found.id not in self._running and (at <= now or found.tries < sends):
                return found
        return None

    async def _work(self, name: str, webhook: Webhook, receiver: Receiver, found: Next) -> None:
        try:
            news = await self.queue.use(lambda store: store.news(found.id))
            if news is not None:
                await self._deliver(name, webhook, receiver, found, news)
        except Exception as error:  # noqa: BLE001  # the disk, a row that cannot be read, or a bug
            self._put_off(found, found.tries)  # nothing was counted
            self.tell(Posted(name, "failed", found.id, "", type(error).__name__))
        finally:
            self._running.discard(found.id)
            receiver.pace.running -= 1
            self._news.set()

    def _put_off(self, found: Next, sends: int) -> None:
        """`sends`: what the file says of it, or will."""
        self._due[found.id] = (self.clock.now() + pause(found.tries + 1, self.rng), sends)

    # ---- one message

    async def _deliver(
        self, name: str, webhook: Webhook, receiver: Receiver, found: Next, news: News
    ) -> None:
        status, reason, hint = await self._post(name, webhook, news)
        delivered = 200 <= status < 300
        if delivered:
            receiver.failures = 0
            receiver.pace.answered(CONCURRENCY)
        elif status == 410:
            receiver.stopped = webhook
        else:
            receiver.failures += 1
            receiver.pace.failed(self.clock.now(), max(pause(receiver.failures, self.rng), hint))
            self._put_off(found, found.tries + 1)
        await self.queue.use(lambda store: store.sent(found.id, delivered=delivered))
        what = "delivered" if delivered else "stopped" if status == 410 else "failed"
        age = max(0.0, self.clock.wall() - news.ended)
        self.tell(Posted(name, what, news.id, news.route, "" if delivered else reason, age))

    async def _post(self, name: str, webhook: Webhook, news: News) -> tuple[int, str, float]:
        """The status (0: there was none), a word for why, and the seconds that the receiver wants to rest."""
        key = key_of(webhook.key.reveal() or "")
        if key is None:
            return 0, "no_key", 0.0
        sink, body = Unread(), body_of(news)
        headers = headers_of(name_of(news), key, wall=self.clock.wall(), body=body)
        outcome: Outcome | None = None
        try:
            async with asyncio.timeout(SECONDS):
                outcome = await self.send(self._call(name, webhook, headers, body, news), sink)
        except TimeoutError:
            if not sink.status:
                return 0, "timeout", 0.0
        if sink.status:  # however its body went on: nobody reads it
            return sink.status, f"http_{sink.status}", 0.0
        if isinstance(outcome, Refused):
            return 0, outcome.by.value, 0.0
        assert isinstance(outcome, Failed)
        if outcome.head is None:
            return 0, outcome.fault.value, 0.0
        return outcome.head.status, f"http_{outcome.head.status}", outcome.wait or 0.0

    def _call(
        self, name: str, webhook: Webhook, headers: tuple[tuple[bytes, bytes], ...], body: bytes, news: News
    ) -> Call:
        place, now = webhook.place, self.clock.now()
        return Call(
            id=news.id,
            route=news.route,
            provider=place.name,
            dialect=HTTP.name,
            method="POST",
            path=webhook.path,
            query="",
            headers=headers,
            body=body,
            ask=Ask(operation=Operation.TOOL, model=name),
            traffic=Traffic.BACKGROUND,
            arrived=now,
            deadline=now + SECONDS,
            record=Record(),
            exact=True,
            target=Target(name=place.name, provider=place),
        )

    def gauges(self) -> dict[str, tuple[int, float]]:
        """By webhook: how many messages wait, and for how many seconds the oldest one has."""
        wall = self.clock.wall()
        found = dict.fromkeys(self.current().webhooks, (0, 0.0))
        for one in self.outboxes:
            name = one.webhook if one.webhook in found else OTHER
            count, oldest = found.get(name, (0, 0.0))
            found[name] = (count + one.count, max(oldest, wall - one.oldest))
        return found
