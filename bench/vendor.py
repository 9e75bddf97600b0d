"""The vendor: one OpenAI chat answer, the same for everybody, as fast as Python can.

Our own program and not nginx, so that the bench measures the same thing where no nginx is
installed. It speaks just the HTTP that the subjects speak to it: POST with a content-length.
Run as `python -m bench.vendor`; prints its two ports. A chain has two targets, hence two.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override  # aiohttp depends on it there

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
    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.held = b""

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
                held = held[end + 4 + length :]
                self.transport.write(ANSWER)
        self.held = held


async def main() -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Vendor, "127.0.0.1", 0, backlog=1024) for _ in range(2)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    uvloop.run(main())
