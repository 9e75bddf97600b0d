"""One piece of work for calls that are the same one: they are joined, not doubled [R23].

Which calls are the same. Those with the same idempotency key, credential, path and body; where a route
says `derived`, those with the same credential, path and body. Everything has to be equal, so nobody is
ever given somebody else's answer, and a key that was used for something else joins nothing.

How. The work belongs to no client: a task of its own carries the call and keeps what it says, and each
client reads from that, the first one too. So an SDK that gives up and asks again finds the work still
running, and its second try costs nothing. A client that leaves only leaves; the last one to leave has
`linger` seconds to come back before the work is given up.

Afterwards. A whole good answer is kept for `keep` seconds and given to whoever asks the same again.
Failures are not: the next try is a real one.

What is kept is bounded: an answer that outgrows `LARGEST` takes no more clients and is from then on read
at the pace of the slowest one; all kept answers together are at most `KEPT` bytes, the oldest go first.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from msgspec.structs import replace

from sidecar.events import Joined, Tell
from sidecar.model import DONE, Answered, Call, Chunk, Clock, Head, Outcome, Sink, Stage, Tier, latest
from sidecar.settings import Idempotency

LARGEST = 1024 * 1024  # bytes of one answer that others can still join
KEPT = 16 * 1024 * 1024  # bytes of all answers that are over
MOST = 1024  # of them
LABEL = b"x-llm-sidecar-joined"
SERVED_BY = b"x-llm-sidecar-served-by"

Mark = bytes
Work = Callable[[Sink], Coroutine[Any, Any, Outcome]]


def mark(call: Call, key: bytes, rules: Idempotency) -> Mark | None:
    """What makes this call the same as another one; None: it is alone."""
    if call.upload is not None or call.shadow or rules.keys == "off" or not (key or rules.keys == "derived"):
        return None
    found = blake2b(digest_size=16)
    for part in (call.key_digest, call.provider, call.route, call.method, call.path, call.query):
        found.update(part.encode() + b"\0")
    found.update(b"%d\0" % len(key) + key)
    found.update(call.body)
    return found.digest()


@dataclass(slots=True, eq=False)
class _Shared:
    """The work and what it has said. It is the sink that the work writes into."""

    call: Call
    rules: Idempotency
    task: asyncio.Task[Outcome] = field(init=False)
    head: Head | None = None
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    outcome: Outcome | None = None
    over: bool = False
    full: bool = False  # it outgrew what is kept
    readers: dict[int, int] = field(default_factory=dict)  # how many chunks each has read
    leaving: asyncio.TimerHandle | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    read: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stage(self) -> Stage:
        return Stage.UNTOUCHED if self.head is None else Stage.COMMITTED

    async def start(self, head: Head) -> None:
        self.head = head
        self._tell()

    def send(self, chunk: Chunk) -> Awaitable[None]:
        if not chunk.raw:
            return DONE
        self.chunks.append(chunk.raw)
        self.size += len(chunk.raw)
        self._tell()
        if self.size <= LARGEST:
            return DONE
        self.full = True
        return self._pace()

    async def _pace(self) -> None:
        """What nobody else can join any more is kept no longer than until it is read."""
        while self.readers and min(self.readers.values()) < len(self.chunks):
            self.read.clear()
            await self.read.wait()
        self.chunks = [b""] * len(self.chunks)

    def _tell(self) -> None:
        self.news.set()
        self.news = asyncio.Event()

    def end(self, outcome: Outcome | None) -> None:
        self.outcome, self.over = outcome, True
        self._tell()

    @property
    def whole(self) -> bool:
        """A good answer, all of it: worth giving again."""
        good = isinstance(self.outcome, Answered) and self.outcome.tier is Tier.FULL
        return good and not self.full and self.head is not None and 200 <= self.head.status < 300


class Joining:
    def __init__(self, clock: Clock, tell: Tell) -> None:
        self._clock = clock
        self._tell = tell
        self._running: dict[Mark, _Shared] = {}
        self._kept: OrderedDict[Mark, tuple[float, _Shared]] = OrderedDict()  # until when
        self._size = 0

    @property
    def running(self) -> int:
        return len(self._running)

    async def carry(self, same: Mark, call: Call, sink: Sink, rules: Idempotency, work: Work) -> Outcome:
        """The outcome of the one piece of work, whoever began it. Raises CancelledError where the work was
        ended by us.
        """
        earlier = self._running.get(same)
        if earlier is not None and not earlier.full:
            self._tell(Joined(call, "running"))
            return await self._follow(earlier, call, sink, b"running")
        repeat = self._again(same)
        if repeat is not None:
            self._tell(Joined(call, "answered"))
            return await self._follow(repeat, call, sink, b"answered")
        shared = _Shared(call, rules)
        self._running[same] = shared
        shared.task = asyncio.create_task(work(shared))  # noqa: TID251  # the listener's own
        shared.task.add_done_callback(lambda task: self._done(same, shared, task))
        return await self._follow(shared, call, sink, b"")

    def close(self) -> None:
        """Give up all work that still runs."""
        for shared in tuple(self._running.values()):
            shared.task.cancel()

    async def _follow(self, shared: _Shared, call: Call, sink: Sink, label: bytes) -> Outcome:
        me = id(call)
        shared.readers[me] = 0
        if shared.leaving is not None:
            shared.leaving.cancel()
            shared.leaving = None
        try:
            while shared.head is None and not shared.over:
                await shared.news.wait()
            if shared.head is not None:
                await sink.start(_labelled(shared, label) if label else shared.head)
            place = 0
            while True:
                while place < len(shared.chunks):
                    raw = shared.chunks[place]
                    place += 1
                    await sink.send(Chunk(raw))
                    shared.readers[me] = place
                    shared.read.set()
                if shared.over:
                    break
                await shared.news.wait()
        finally:
            del shared.readers[me]
            shared.read.set()
            if not shared.readers and not shared.over:
                shared.leaving = asyncio.get_running_loop().call_later(
                    shared.rules.linger, shared.task.cancel
                )
        if shared.outcome is None:
            raise asyncio.CancelledError
        return shared.outcome

    def _done(self, same: Mark, shared: _Shared, task: asyncio.Task[Outcome]) -> None:
        if shared.leaving is not None:
            shared.leaving.cancel()
        if self._running.get(same) is shared:
            del self._running[same]
        shared.end(None if task.cancelled() else task.result())
        if shared.whole and shared.rules.keep:
            self._keep(same, shared)

    # ---- answers that are over

    def _keep(self, same: Mark, shared: _Shared) -> None:
        shared.call = replace(shared.call, body=b"", headers=())
        self._kept[same] = (self._clock.now() + shared.rules.keep, shared)
        self._size += shared.size
        while self._size > KEPT or len(self._kept) > MOST:
            self._forget(next(iter(self._kept)))

    def _again(self, same: Mark) -> _Shared | None:
        found = self._kept.get(same)
        if found is None:
            return None
        until, shared = found
        if self._clock.now() > until:
            self._forget(same)
            return None
        return shared

    def _forget(self, same: Mark) -> None:
        _, shared = self._kept.pop(same)
        self._size -= shared.size


def _labelled(shared: _Shared, label: bytes) -> Head:
    """Whose answer it is, for a call that asked nobody itself."""
    assert shared.head is not None
    answers = latest(shared.call.record.attempts)
    served = answers.target.encode("ascii", "replace") if answers else b"-"
    said = {name.lower() for name, _ in shared.head.headers}
    more = ((LABEL, label), *(((SERVED_BY, served),) if SERVED_BY not in said else ()))
    return replace(shared.head, headers=shared.head.headers + more)
