"""HTTP/1.1 as the fake vendor needs it: it understands good requests, and writes any bytes at all.

Everything is written through one `Line`, which knows how many bytes really left and whether the
client is still there: every wait ends when it is not.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from sidecar.model import Headers, header

LIMIT = 64 * 1024
KEPT = 8 * 1024 * 1024  # of a request's body; more is read, and digested, but not kept


class Left(Exception):
    """The client closed the connection, or sent what is no HTTP."""


class Line:
    """One connection, as the vendor holds it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: asyncio.Event
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.left = left  # set when the client's end, or both, are closed
        self.sent = 0
        writer.transport.set_write_buffer_limits(0)  # `drain` returns when all has left us

    async def write(self, data: bytes) -> None:
        """Returns when the bytes have left. Raises Left."""
        if self.writer.transport.is_closing():
            raise Left
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError:
            raise Left from None
        self.sent += len(data)

    async def pause(self, seconds: float | None) -> None:
        """Waits; None is for ever. Raises Left as soon as the client is gone."""
        if seconds is not None and seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self.left.wait()
        except TimeoutError:
            return
        raise Left

    async def hello(self) -> None:
        """Waits for the client's first bytes, whatever they are."""
        self._read_on()
        await self.reader.read(LIMIT)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context)
        self.writer.transport.set_write_buffer_limits(1, 0)  # TLS stays paused for ever at 0

    def _read_on(self) -> None:
        transport = self.writer.transport
        if isinstance(transport, asyncio.ReadTransport) and not transport.is_reading():
            transport.resume_reading()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and not self.writer.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close_gently(self) -> None:
        """FIN, though the client may still be sending: closing at once would be a reset, and that
        can take the answer away from under the client."""
        if self.writer.can_write_eof():
            self.writer.write_eof()
            try:
                async with asyncio.timeout(5):
                    while await self.reader.read(LIMIT):
                        pass
            except (TimeoutError, ConnectionError):
                pass
        self.close()


@dataclass(frozen=True, slots=True)
class RequestHead:
    method: str
    path: str
    query: str
    headers: Headers

    def get(self, name: bytes) -> bytes | None:
        return header(self.headers, name)

    @property
    def length(self) -> int | None:
        """Bytes of the body; None: it comes in chunks."""
        if (self.get(b"transfer-encoding") or b"").lower() == b"chunked":
            return None
        return int(self.get(b"content-length") or 0)


async def read_head(reader: asyncio.StreamReader) -> RequestHead:
    """Raises Left for a closed connection and for what cannot be read."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw[:-4].split(b"\r\n")
        method, target, _version = first.decode("ascii").split(" ")
        path, _, query = target.partition("?")
        pairs = (line.split(b":", 1) for line in lines)
        head = RequestHead(method, path, query, tuple((name, value.strip()) for name, value in pairs))
        assert head.length is None or head.length >= 0
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        raise Left from None
    except (ValueError, AssertionError):
        raise Left from None
    return head


class Upload:
    """The body of a request while it is read."""

    def __init__(self, line: Line, head: RequestHead) -> None:
        self._line = line
        self._left = head.length
        self._hash = hashlib.sha256()
        self._kept = bytearray()
        self.size = 0

    @property
    def kept(self) -> bytes:
        return bytes(self._kept)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    async def read(self, upto: float = float("inf"), rate: float | None = None) -> None:
        """Reads to the end, or until `upto` bytes are there. `rate`: bytes/s. Raises Left."""
        piece = LIMIT if rate is None else max(1, min(LIMIT, int(rate / 10)))
        while self.size < upto:
            data = await self._some(int(min(piece, upto - self.size)))
            if not data:
                return
            self._hash.update(data)
            self._kept += data[: max(0, KEPT - self.size)]
            self.size += len(data)
            if rate is not None:
                await self._line.pause(len(data) / rate)

    _chunk = 0  # bytes left of the current chunk

    async def _some(self, most: int) -> bytes:
        reader = self._line.reader
        try:
            if self._left is not None:
                data = await reader.read(min(most, self._left)) if self._left else b""
                if self._left and not data:
                    raise Left
                self._left -= len(data)
                return data
            if not self._chunk:
                self._chunk = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
                if not self._chunk:
                    while await reader.readuntil(b"\r\n") != b"\r\n":
                        pass
                    self._left = 0
                    return b""
            data = await reader.read(min(most, self._chunk))
            if not data:
                raise Left
            self._chunk -= len(data)
            if not self._chunk:
                await reader.readexactly(2)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            raise Left from None
        return data


def head_bytes(status: int, headers: Iterable[tuple[str, str]], reason: str | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown') if reason is None else reason}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


REASONS = {
    100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints", 200: "OK",
    301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    408: "Request Timeout", 409: "Conflict", 413: "Content Too Large", 422: "Unprocessable Content",
    425: "Too Early", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout", 529: "Overloaded",
}  # fmt: skip


class Body:
    """The body of an answer on its way out: compressed, framed and cut as the behaviour says."""

    def __init__(self, line: Line, *, chunked: bool, split: str, gzip: bool, rng: Random) -> None:
        self._line = line
        self._chunked = chunked
        self._split = split
        self._zip = zlib.compressobj(wbits=31) if gzip else None
        self._rng = rng
        self._rest = b""  # held back by split whole and random

    async def put(self, data: bytes) -> None:
        if self._zip is not None:
            data = self._zip.compress(data) + self._zip.flush(zlib.Z_SYNC_FLUSH)
        match self._split:
            case "whole":
                self._rest += data
            case "byte":
                for n in range(len(data)):
                    await self._frame(data[n : n + 1])
                    await asyncio.sleep(0)
            case "random":
                self._rest += data
                while len(self._rest) > (cut := self._rng.randint(1, 64)):
                    piece, self._rest = self._rest[:cut], self._rest[cut:]
                    await self._frame(piece)
                    await asyncio.sleep(0)
            case _:
                await self._frame(data)

    async def flush(self) -> None:
        """What is held back goes out: before a wait, a cut and the end."""
        rest, self._rest = self._rest, b""
        await self._frame(rest)

    async def end(self) -> None:
        """The end that the framing has."""
        if self._zip is not None:
            self._rest += self._zip.flush()
        await self.flush()
        if self._chunked:
            await self._line.write(b"0\r\n\r\n")

    async def _frame(self, data: bytes) -> None:
        if data:
            await self._line.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
