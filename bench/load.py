"""The load: clients that ask again as soon as they were answered (closed loop), and look at the answer.

Run as `python -m bench.load`: one JSON line in per slice, one out. A slice opens its connections,
warms up, measures, and closes them. Streams are another module's (bench/streams).
"""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
from array import array
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import cast

import uvloop

from bench import streams
from bench.streams import MESSAGES, share
from bench.vendor import BODY

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override  # aiohttp depends on it there

PROMPT = json.dumps({"model": "gpt-4o-mini", "messages": MESSAGES, "temperature": 0.2}).encode()
STUCK = 10.0  # seconds beyond the slice after which a subject counts as hung


@dataclass(frozen=True, slots=True)
class Slice:
    """What to do. `warm` and `seconds` follow each other."""

    port: int
    path: str
    connections: int
    warm: float
    seconds: float
    ca: str = ""  # speak TLS and trust this


@dataclass(frozen=True, slots=True)
class Found:
    """Latencies in seconds; `requests` counts those of the warm-up too, `measured` does not."""

    p50: float
    p99: float
    rps: float
    requests: int
    measured: int
    error: str = ""


class Client(asyncio.Protocol):
    def __init__(self, slice_: _Running) -> None:
        self.slice = slice_
        self.transport: asyncio.Transport
        self.held = b""
        self.asked = 0.0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.ask()

    def ask(self) -> None:
        self.asked = perf_counter()
        self.transport.write(self.slice.request)

    @override
    def data_received(self, data: bytes) -> None:
        if self.held:
            data = self.held + data
        if not data.endswith(BODY):
            self.held = data
            if len(data) > len(BODY) + 4096:
                self.slice.fail(data)
            return
        if not data.startswith(b"HTTP/1.1 200 "):
            self.slice.fail(data)
            return
        self.held = b""
        self.slice.answered(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.slice.lost(self)


class _Running:
    def __init__(self, what: Slice) -> None:
        host = f"127.0.0.1:{what.port}"
        self.request = (
            f"POST {what.path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer not-a-key\r\naccept: application/json\r\nuser-agent: bench\r\n"
            f"content-length: {len(PROMPT)}\r\n\r\n"
        ).encode() + PROMPT
        self.latencies = array("d")
        self.requests = 0
        self.measure_from = 0.0
        self.until = 0.0
        self.open = what.connections
        self.done = asyncio.get_running_loop().create_future()

    def answered(self, client: Client) -> None:
        now = perf_counter()
        self.requests += 1
        if now >= self.until:
            client.transport.close()
            return
        if client.asked >= self.measure_from:
            self.latencies.append(now - client.asked)
        client.ask()

    def lost(self, client: Client) -> None:
        self.open -= 1
        if perf_counter() < self.until:
            self.fail(client.held or b"the connection was closed")
        elif self.open == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, data: bytes) -> None:
        if not self.done.done():
            self.done.set_exception(ValueError(f"a wrong answer: {data[:300]!r}"))


async def run(what: Slice) -> Found:
    loop = asyncio.get_running_loop()
    running = _Running(what)
    tls = ssl.create_default_context(cafile=what.ca) if what.ca else None
    running.measure_from = perf_counter() + what.warm
    running.until = running.measure_from + what.seconds
    try:
        for _ in range(what.connections):
            await loop.create_connection(
                lambda: Client(running),
                "127.0.0.1",
                what.port,
                ssl=tls,
                server_hostname="localhost" if tls else None,
            )
        await asyncio.wait_for(running.done, what.warm + what.seconds + STUCK)
    except TimeoutError:
        return _wrong(running, f"{running.open} connections had no answer {STUCK:g} s after the end")
    except (OSError, ValueError) as error:
        return _wrong(running, str(error))
    found = running.latencies
    if not found:
        return _wrong(running, "not one answer in the measured time")
    return Found(
        share(found, 0.5),
        share(found, 0.99),
        len(found) / what.seconds,
        running.requests,
        len(found),
    )


def _wrong(running: _Running, error: str) -> Found:
    return Found(0.0, 0.0, 0.0, running.requests, 0, error)


def main() -> None:
    gc.disable()  # its pauses would be the subject's latency
    print("ready", flush=True)
    for line in sys.stdin:
        what = json.loads(line)
        found: Found | streams.Carried
        if "streams" in what:
            found = uvloop.run(streams.run(streams.Order(**what)))
        else:
            found = uvloop.run(run(Slice(**what)))
        print(json.dumps(asdict(found)), flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
