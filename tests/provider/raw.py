"""A client that looks at bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from sidecar.provider import Vendor

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
GENERATE = "/v1beta/models/m-1:generateContent"
STREAM = "/v1beta/models/m-1:streamGenerateContent?alt=sse"
ARRAY = "/v1beta/models/m-1:streamGenerateContent"


@dataclass(frozen=True)
class Seen:
    """What came back; `end` is eof, reset, open (nothing more came), refused or timeout."""

    raw: bytes
    end: str

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def head(self) -> str:
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").lower()

    def header(self, name: str) -> list[str]:
        pairs = (line.partition(": ") for line in self.head.split("\r\n")[1:])
        return [value for key, _, value in pairs if key == name]

    @property
    def framed(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def body(self) -> bytes:
        """Without the chunks, as far as they are whole."""
        if self.header("transfer-encoding") != ["chunked"]:
            return self.framed
        out, rest = b"", self.framed
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            out, rest = out + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return out

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        """The data of each event."""
        lines = self.body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]

    @property
    def text(self) -> str:
        """The answer's text, of a whole answer or a stream, in either dialect."""
        if "event-stream" not in self.head:
            return text_of(self.json)
        return "".join(text_of(json.loads(event)) for event in self.events if event.startswith("{"))


def text_of(answer: dict[str, Any]) -> str:
    match answer:
        case {"choices": [{"message": {"content": str(text)}}]} | {
            "choices": [{"delta": {"content": str(text)}}]
        }:
            return text
        case {"candidates": [{"content": {"parts": [{"text": str(text)}]}}]}:
            return text
        case {"content": [{"text": str(text)}]} | {"delta": {"text": str(text)}}:
            return text
        case _:
            return ""


def request(path: str = CHAT, *, stream: bool = False, text: str = "hi nonce:n1", **more: Any) -> bytes:
    body = {"model": "m-1", "stream": stream, "messages": [{"role": "user", "content": text}]} | more
    return post(path, json.dumps(body).encode())


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: vendor", "authorization: Bearer sk-canary", *headers]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def last(request_bytes: bytes) -> bytes:
    """The same request, after which the client wants the connection closed."""
    return request_bytes.replace(b"\r\nhost:", b"\r\nconnection: close\r\nhost:", 1)


async def ask(vendor: Vendor, sent: bytes, *, quiet: float = 0.15, at_most: float = 10.0) -> Seen:
    """One request on a connection of its own; the answer has ended when nothing came for `quiet` s.

    Of what does not end, `at_most` seconds are read.
    """
    try:
        async with asyncio.timeout(quiet * 3):
            reader, writer = await asyncio.open_connection("127.0.0.1", vendor.port)
    except ConnectionRefusedError:
        return Seen(b"", "refused")
    except TimeoutError:
        return Seen(b"", "timeout")
    writer.write(sent)
    try:
        return await listen(reader, quiet, at_most)
    finally:
        writer.close()


async def listen(reader: asyncio.StreamReader, quiet: float = 0.15, at_most: float = 10.0) -> Seen:
    raw = b""
    loop = asyncio.get_running_loop()
    enough = loop.time() + at_most
    while True:
        try:
            async with asyncio.timeout_at(min(loop.time() + quiet, enough)):
                data = await reader.read(65536)
        except TimeoutError:
            return Seen(raw, "open")
        except ConnectionError:
            return Seen(raw, "reset")
        if not data:
            return Seen(raw, "eof")
        raw += data


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)
