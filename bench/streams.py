"""The load of streams: so many at a time, each looked at event by event.

A stream is held if all of its events came in their order, its end came too, and that in time: not
more than a second after the last event was due. The delay of an event is the time from the vendor's
write to our read. The first one's is not counted among them: it is part of the first content, which
is counted from the request.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic_ns
from typing import cast

from bench.machine import clock
from bench.paced import wish

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override  # aiohttp depends on it there

GRACE = 1.0  # seconds that a stream's end may be late
STUCK = 3.0  # seconds after which what is not over is given up
EVENT = re.compile(rb'"content": ?" (\d{6}):(\d{19})"')
MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Tell me how a proxy spends its time. " * 23},
]


@dataclass(frozen=True, slots=True)
class Order:
    """What to do. Moments are of the monotonic clock, in seconds: streams are opened from `start`
    on, and what arrives between `steady` and `until` is counted apart."""

    port: int
    path: str
    streams: int
    events: int  # of one stream
    gap: int  # milliseconds
    opening: float
    start: float
    steady: float
    until: float
    ca: str = ""  # speak TLS and trust this
    grace: float = GRACE


@dataclass(frozen=True, slots=True)
class Carried:
    """Seconds. `late`: of the vendor itself, p99. `held`: streams."""

    first_p50: float
    first_p99: float
    delay_p50: float
    delay_p99: float
    late: float
    held: int
    events: int
    steady: int  # events that arrived in the steady time
    error: str = ""  # the first thing that was wrong


def share(found: Sequence[float], part: float) -> float:
    """The value that `part` of the values do not exceed; inf where there are none."""
    return sorted(found)[min(len(found) - 1, int(len(found) * part))] if found else float("inf")


class Tally:
    """What all streams of a slice add up to. Nanoseconds."""

    def __init__(self, steady: int, until: int) -> None:
        self.steady = steady
        self.until = until
        self.firsts = array("q")
        self.delays = array("q")
        self.lates = array("q")
        self.in_steady = 0
        self.error = ""

    def carried(self, held: int) -> Carried:
        def seconds(found: array[int], part: float) -> float:
            return share(found, part) / 1e9

        return Carried(
            seconds(self.firsts, 0.5),
            seconds(self.firsts, 0.99),
            seconds(self.delays, 0.5),
            seconds(self.delays, 0.99),
            seconds(self.lates, 0.99),
            held,
            len(self.firsts) + len(self.delays),
            self.in_steady,
            self.error,
        )


class Reading:
    """One answer: status, chunks, events. `asked` in nanoseconds."""

    __slots__ = (
        *("asked", "began", "due", "gap", "grace", "headed", "held", "next", "over", "part", "tally"),
        "whole",
    )

    def __init__(self, tally: Tally, events: int, gap: int, asked: int, grace: float = GRACE) -> None:
        self.tally = tally
        self.grace = grace
        self.gap = gap * 1_000_000
        self.asked = asked
        self.due = events
        self.began = 0  # when the vendor wrote the first event
        self.next = 0
        self.headed = False
        self.held = b""  # of the connection's bytes
        self.part = b""  # of an event
        self.over = False
        self.whole = False

    def feed(self, data: bytes, now: int) -> None:
        if self.over:
            return
        if self.held:
            data = self.held + data
        at = 0
        if not self.headed:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.held = data
                return
            head = data[:end].lower()
            if not head.startswith(b"http/1.1 200 ") or b"\r\ntransfer-encoding: chunked" not in head:
                self.fail(f"not a stream: {data[:300]!r}")
                return
            self.headed = True
            at = end + 4
        while not self.over:
            line = data.find(b"\r\n", at)
            if line < 0:
                break
            size = int(data[at:line], 16)
            end = line + 2 + size
            if len(data) < end + 2:
                break
            at = end + 2
            if size:
                self._events(data[line + 2 : end], now)
            else:
                self._ended(now)
        self.held = data[at:]

    def _events(self, data: bytes, now: int) -> None:
        if self.part:
            data = self.part + data
        if data.endswith(b"\n\n"):
            self.part = b""
        else:
            end = data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
            data, self.part = data[:end], data[end:]
        tally = self.tally
        for found in EVENT.finditer(data):
            if int(found[1]) != self.next:
                self.fail(f"event {int(found[1])} came where {self.next} was due")
                return
            sent = int(found[2])
            if self.next == 0:
                self.began = sent
                tally.firsts.append(now - self.asked)
            else:
                tally.delays.append(now - sent)
                tally.lates.append(sent - self.began - self.next * self.gap)
            self.next += 1
            if tally.steady <= now < tally.until:
                tally.in_steady += 1

    def _ended(self, now: int) -> None:
        if self.over:
            return
        self.over = True
        if self.next != self.due:
            self.fail(f"ended after {self.next} of {self.due} events")
        elif now > self.asked + self.due * self.gap + self.grace * 1e9:
            self.fail("ended too late")
        else:
            self.whole = True

    def fail(self, why: str) -> None:
        self.over = True
        self.whole = False
        self.tally.error = self.tally.error or why


class Client(asyncio.Protocol):
    def __init__(self, order: Order, request: bytes, tally: Tally, over: asyncio.Semaphore) -> None:
        self.order = order
        self.request = request
        self.tally = tally
        self.ended = over
        self.transport: asyncio.Transport
        self.reading: Reading

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        order = self.order
        self.reading = Reading(self.tally, order.events, order.gap, monotonic_ns(), order.grace)
        self.transport.write(self.request)

    @override
    def data_received(self, data: bytes) -> None:
        self.reading.feed(data, monotonic_ns())
        if self.reading.over:
            self.transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.reading.over:
            self.reading.fail(f"the connection was closed after {self.reading.next} events")
        self.ended.release()


async def run(order: Order) -> Carried:
    loop = asyncio.get_running_loop()
    tally = Tally(int(order.steady * 1e9), int(order.until * 1e9))
    over = asyncio.Semaphore(0)
    request = ask(order)
    tls = ssl.create_default_context(cafile=order.ca) if order.ca else None
    clients: list[Client] = []
    try:
        for number in range(order.streams):
            await asyncio.sleep(order.start + order.opening * number / order.streams - clock())
            _, client = await loop.create_connection(
                lambda: Client(order, request, tally, over),
                "127.0.0.1",
                order.port,
                ssl=tls,
                server_hostname="localhost" if tls else None,
            )
            clients.append(client)
        last = order.start + order.opening + order.events * order.gap / 1000 + order.grace + STUCK
        async with asyncio.timeout(max(STUCK, last - clock())):
            for _ in clients:
                await over.acquire()
    except TimeoutError:
        tally.error = tally.error or "streams were not over in time"
    except OSError as error:
        tally.error = tally.error or f"no connection: {error}"
    held = sum(client.reading.whole for client in clients)
    for client in clients:
        client.transport.abort()
    return tally.carried(held)


def ask(order: Order) -> bytes:
    body = json.dumps(
        {
            "model": "gpt-4o-mini",
            "messages": MESSAGES,
            "stream": True,
            "user": wish(order.events, order.gap),
        }
    ).encode()
    return (
        f"POST {order.path} HTTP/1.1\r\nhost: 127.0.0.1:{order.port}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer not-a-key\r\naccept: text/event-stream\r\nuser-agent: bench\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body
