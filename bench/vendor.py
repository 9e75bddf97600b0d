"""The vendor: one OpenAI chat answer, the same for everybody, or a paced stream (bench/paced).

Our own program and not nginx, so that the bench measures the same thing where no nginx is
installed. It speaks just the HTTP that the subjects speak to it: POST with a content-length.
Run as `python -m bench.vendor CERTIFICATE`; prints three ports: a chain has two targets, and one
speaks TLS.
"""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
from collections.abc import Callable
from time import monotonic_ns
from typing import cast

import uvloop

from bench.paced import ASKED, Stream, Wheel

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override  # aiohttp depends on it there

TICK = 0.001  # seconds
WORDS = "The quick brown fox jumps over the lazy dog while the band plays on. "
BODY = json.dumps(
    {
        "id": "chatcmpl-0123456789abcdefghijklmnop",
        "object": "chat.completion",
        "created": 1750000000,
        "model": "gpt-4o-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": (WORDS * 16).strip(), "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 220,
            "completion_tokens": 225,
            "total_tokens": 445,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "system_fingerprint": "fp_0123456789",
    }
).encode()
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_0123456789\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


class Vendor(asyncio.Protocol):
    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.transport: asyncio.Transport
        self.held = b""
        self.stream: Stream | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        held = self.held + data if self.held else data
        end = held.find(b"\r\n\r\n")
        if end >= 0:
            at = held[:end].lower().find(b"\r\ncontent-length:")
            length = int(held[at + 17 : held.find(b"\r\n", at + 17)]) if at >= 0 else 0
            if len(held) >= end + 4 + length:
                body, held = held[end + 4 : end + 4 + length], held[end + 4 + length :]
                self._answer(body)
        self.held = held

    def _answer(self, body: bytes) -> None:
        asked = ASKED.search(body)
        if asked is None:
            self.transport.write(ANSWER)
        else:
            self.stream = self.pace.start(self.transport.write, int(asked[1]), int(asked[2]))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.stream is not None:
            self.stream.stopped = True


class Pace:
    """Turns the wheel once a millisecond, as long as there is a stream."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.wheel = Wheel()
        self.turning = False

    def start(self, write: Callable[[bytes], None], events: int, gap: int) -> Stream:
        now = monotonic_ns() // 1_000_000
        if not self.turning:
            self.turning = True
            self.wheel.at = now
            self.loop.call_later(TICK, self._turn)
        stream = Stream(write, events, gap, now)
        self.wheel.add(stream)
        return stream

    def _turn(self) -> None:
        self.wheel.turn(monotonic_ns() // 1_000_000)
        self.turning = self.wheel.running > 0
        if self.turning:
            self.loop.call_later(TICK, self._turn)


async def main(certificate: str) -> None:
    loop = asyncio.get_running_loop()
    pace = Pace()
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate)
    servers = [
        await loop.create_server(lambda: Vendor(pace), "127.0.0.1", 0, backlog=1024, ssl=tls)
        for tls in (None, None, secure)
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    gc.disable()  # its pauses would be the subject's delay
    uvloop.run(main(sys.argv[1]))
