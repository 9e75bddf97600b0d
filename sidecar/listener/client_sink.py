"""Writes one answer to one client: the only place that knows what the client has seen.

Bytes go straight to the transport: the provider's headers in their order and case, nothing added
but our own x-llm-sidecar-* and, where a connection ends, `connection: close`. `send` returns when
there is room again, so a slow client slows the reading from the provider; one that takes nothing
for `write_limit` is treated as gone. After the client is gone no call here returns: the handler's
task is being cancelled, and whoever waits here is unwound by that.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable
from http import HTTPStatus

from aiohttp.streams import StreamReader

from sidecar.listener.connection import Connection
from sidecar.listener.http_rules import outgoing, tame
from sidecar.model import DONE, Chunk, Clock, Head, Record, Stage, latest

AT_ONCE = 64 * 1024  # bytes that do not wait for the end of a turn of the loop
NOTICED = 0.001  # seconds of waiting for a client that are worth adding up

_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++: [^\x00-\x08\x0a-\x1f\x7f]*+\r\n")
_FIELDS = re.compile(rb"(?:%b)*+" % _FIELD.pattern)
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_LENGTH, _TYPE, _TIER, _SERVED = range(4)
_KNOWN = {
    b"content-length": _LENGTH,
    b"content-type": _TYPE,
    b"x-llm-sidecar-tier": _TIER,  # these two are a layer's word: what a provider says of them ends upstream
    b"x-llm-sidecar-served-by": _SERVED,
}


class ClientSink:
    """A `Sink`. Stage is COMMITTED from the head of an answer on, OPENED where `beat` sent it before."""

    __slots__ = (
        "_body",
        "_chunked",
        "_clock",
        "_connection",
        "_flushing",
        "_head_only",
        "_held",
        "_keep",
        "_left",
        "_record",
        "_size",
        "_trace_id",
        "_version",
        "_write_limit",
        "event_stream",
        "ignored",
        "stage",
        "status",
    )

    def __init__(
        self,
        connection: Connection,
        body: StreamReader,
        record: Record,
        trace_id: str,
        clock: Clock,
        *,
        write_limit: float,
        keep_alive: bool,
        http10: bool = False,
        head_only: bool = False,
    ) -> None:
        self._connection = connection
        self._body = body
        self._record = record
        self._trace_id = trace_id
        self._clock = clock
        self._write_limit = write_limit
        self._keep = keep_alive
        self._version = b"HTTP/1.0 " if http10 else b"HTTP/1.1 "
        self._head_only = head_only
        self._held: list[bytes] = []  # until the end of this turn of the loop
        self._size = 0
        self._flushing: asyncio.Handle | None = None
        self._left: int | None = None  # of an announced length
        self._chunked = False
        self.stage = Stage.UNTOUCHED
        self.status = 0
        self.event_stream = False
        self.ignored: tuple[str, ...] = ()  # see Wishes.unknown

    def beat(self, comment: bytes) -> None:
        """A sign of life before the answer: the head of a stream, and comments. Nothing where the client does
        not even take those.
        """
        transport = self._connection.transport
        if transport is None or transport.is_closing() or self._connection.writing_paused:
            return
        if self.stage is Stage.UNTOUCHED:
            self._keep = self._keep and self._body.is_eof()
            self._frame(200, [])
            kind = [b"content-type: text/event-stream; charset=utf-8\r\n"]
            self._hold(self._block(Head(200), kind, {_TIER, _SERVED}))  # of those nobody knows yet
            self.stage, self.status, self.event_stream = Stage.OPENED, 200, True
        self._hold(b"%x\r\n%b\r\n" % (len(comment), comment) if self._chunked else comment)

    async def start(self, head: Head) -> None:
        if self.stage is Stage.OPENED:  # the client has one
            self.stage = Stage.COMMITTED
            return
        fields = outgoing(head.headers)
        if head.status >= 400:
            fields = tame(fields, self._clock.wall())
        lengths: list[bytes] = []
        said: set[int] = set()
        lines: list[bytes] = []
        for field in fields:
            lines.append(b"%b: %b\r\n" % field)
            what = _KNOWN.get(field[0].lower())
            if what is None:
                continue
            if what == _LENGTH:
                lengths.append(field[1])
            elif what == _TYPE:
                self.event_stream = field[1][:17].lower() == b"text/event-stream"
            else:
                said.add(what)
        self._keep = self._keep and self._body.is_eof()  # what is unread would be taken for a request
        self._frame(head.status, lengths)
        if lengths and self._left is None and not self._head_only:
            lines = [line for line in lines if not line.lower().startswith(b"content-length:")]
        self.status = head.status
        self.stage = Stage.COMMITTED
        await self._write(self._block(head, lines, said))

    def _block(self, head: Head, lines: list[bytes], said: set[int]) -> bytes:
        return b"".join(
            [
                self._status_line(head),
                _checked(lines),
                self._labels(said),
                b"transfer-encoding: chunked\r\n" if self._chunked else b"",
                b"" if self._keep else b"connection: close\r\n",
                b"\r\n",
            ]
        )

    def send(self, chunk: Chunk) -> Awaitable[None]:
        raw = chunk.raw
        if not raw or self._head_only:
            return DONE
        if self._chunked:
            raw = b"%x\r\n%b\r\n" % (len(raw), raw)
        elif self._left is not None:
            raw = raw[: self._left]
            self._left -= len(raw)
        return self._write(raw, at_once=self.event_stream)

    async def finish(self) -> bool:
        """Ends the answer properly; whether the connection can be used again. An answer that is
        shorter than it announced is not ended: the client has to see that it was cut."""
        if self._left and not self._head_only:
            self.cut()
            return False
        if self._chunked:
            await self._write(b"0\r\n\r\n")
        self._flush()
        transport = self._connection.transport
        if self._connection.writing_paused and transport is not None:
            await self._drain(transport)  # the last piece of an answer may well be all of it
        return self._keep

    def cut(self) -> None:
        """Ends the connection so that the answer cannot be taken for a whole one."""
        self._flush()
        transport = self._connection.transport
        if transport is None:
            return
        if self._chunked or self._left:
            transport.close()  # what was sent still arrives; the terminator never does
        else:
            _reset(transport)  # a body that ends with its connection: only a reset tells the truth

    # ---- the head --------------------------------------------------------------------------

    def _frame(self, status: int, lengths: list[bytes]) -> None:
        if self._head_only or status in {204, 304} or status < 200:
            self._head_only = True
            return
        if len(lengths) == 1 and lengths[0].isdigit():
            self._left = int(lengths[0])
        elif self._version == b"HTTP/1.1 ":
            self._chunked = True
        else:
            self._keep = False

    def _status_line(self, head: Head) -> bytes:
        reason = head.reason.encode("latin-1", "replace") if head.reason else _REASONS.get(head.status, b"")
        return b"%b%d %b\r\n" % (self._version, head.status, reason)

    def _labels(self, said: set[int]) -> bytes:
        attempts = self._record.attempts
        answers = latest(attempts)
        served = answers.target.encode("ascii", "replace") if answers else b"-"
        return b"x-llm-sidecar-trace-id: %b\r\nx-llm-sidecar-attempts: %d\r\n%b%b%b" % (
            self._trace_id.encode("ascii"),
            len(attempts),
            b"" if _SERVED in said else b"x-llm-sidecar-served-by: %b\r\n" % served,
            b"" if _TIER in said else b"x-llm-sidecar-tier: full\r\n",
            self._unknown() if self.ignored else b"",
        )

    def _unknown(self) -> bytes:
        names = ", ".join(f"x-llm-sidecar-{name}" for name in self.ignored)
        return b"x-llm-sidecar-ignored: %b\r\n" % names.encode("ascii")

    # ---- bytes -----------------------------------------------------------------------------

    def _write(self, data: bytes, *, at_once: bool = False) -> Awaitable[None]:
        connection = self._connection
        transport = connection.transport
        if transport is None or connection.writing_paused or transport.is_closing():
            return self._write_later(data)
        if at_once and not self._held:
            transport.write(data)  # the next event is some milliseconds away
        else:
            self._hold(data)
        return DONE

    async def _write_later(self, data: bytes) -> None:
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            await self._gone()
            return
        await self._drain(transport)
        self._hold(data)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size >= AT_ONCE:
            self._flush()
        elif self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """What was sent in one turn of the loop leaves in one write: a system call costs as much as
        all of this module."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._held:
            data = b"".join(self._held) if len(self._held) > 1 else self._held[0]
            self._held.clear()
            self._size = 0
            transport = self._connection.transport
            if transport is not None and not transport.is_closing():
                transport.write(data)

    async def _drain(self, transport: asyncio.Transport) -> None:
        before = self._clock.now()
        try:
            async with asyncio.timeout(self._write_limit):
                await self._connection.drained()
        except (TimeoutError, ConnectionError):
            transport.abort()
            await self._gone()
        finally:
            blocked = self._clock.now() - before
            if blocked > NOTICED:
                self._record.client_blocked += blocked

    async def _gone(self) -> None:
        await asyncio.get_running_loop().create_future()


def _checked(lines: list[bytes]) -> bytes:
    """The header block; what would break it apart is left out (T7)."""
    block = b"".join(lines)
    if _FIELDS.fullmatch(block):
        return block
    return b"".join(line for line in lines if _FIELD.fullmatch(line))


def _reset(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
