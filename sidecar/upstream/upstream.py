"""The innermost service: one exchange with a provider, over the wire.

What it promises. Bytes go out and come in as they are, as soon as they are there; waiting for the
sink is the back-pressure, and its time is never the provider's. What goes wrong is a value: foreign
exceptions end in one table. A connection about which anything is in doubt is closed, at once when
the client leaves.

Whose limits. Connecting, the handshake and the headers of a stream are limited here, each also by
what is left of the call; first content, gaps and whole answers are the Judge's, which sees content
and not bytes. A non-stream answer has no limit of its own here: its headers come with it.

One exception to "an attempt is one request". A provider may close an idle connection in the moment
we write to it. If nothing at all came back on a connection that was used before, the request is
written once more, on a fresh one, and nobody counts it. It has to happen soon: a provider that dies
after seconds of thought was not stale. Uploads are gone by then; they are not sent again.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from aiohttp.client_exceptions import ClientError, ClientPayloadError, ServerDisconnectedError
from aiohttp.http_exceptions import HttpProcessingError

from sidecar.classify import classify
from sidecar.faults import HANDLING
from sidecar.model import (
    Answered,
    Chunk,
    Failed,
    Fault,
    Head,
    Operation,
    Refused,
    RefusedBy,
    current,
)
from sidecar.upstream.addresses import Unresolved
from sidecar.upstream.egress import Crowded, Forbidden, Handshake, Pool, ProxyRefused
from sidecar.upstream.inflate import Bomb, Inflate
from sidecar.upstream.request import HOP_BY_HOP, OURS, Request, form
from sidecar.upstream.wire import Late, Push, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.http_parser import RawResponseMessage
    from aiohttp.streams import StreamReader

    from sidecar.model import Call, Clock, Outcome, Sink
    from sidecar.settings import Limits
    from sidecar.upstream.egress import Door

ERROR_BODY = 1024 * 1024  # of an answer that is an error: more than any provider says
ERROR_SECONDS = 10.0
PASSED_IDLE = 600.0  # an upload is processed, a file is prepared: silence of what we do not judge
HEAD_BYTES = 64 * 1024
INTERIM = 100  # answers that only promise one
STALE_SECONDS = 2.0  # a stale connection shows within a round trip
REQUEST_IDS = frozenset(
    {b"x-request-id", b"request-id", b"x-amzn-requestid", b"apim-request-id", b"x-goog-request-id"}
)
OWN_ERRNO = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
)  # no file descriptor, buffer or port left: ours, not the provider's


class NotHttp(Exception):
    """What came is no answer to what was asked; the text is ours."""


# Most specific first; the text where the exception's own may quote the provider.
FAULT_OF: tuple[tuple[type[Exception], Fault, str], ...] = (
    (Crowded, Fault.LOCAL_OVERLOAD, ""),
    (Unresolved, Fault.NETWORK, ""),
    (Handshake, Fault.NETWORK, ""),
    (ProxyRefused, Fault.NETWORK, ""),
    (ssl.SSLError, Fault.TLS, "tls: the handshake failed"),
    (NotHttp, Fault.MALFORMED_CHUNK, ""),
    (HttpProcessingError, Fault.MALFORMED_CHUNK, "the answer is not HTTP, or beyond its limits"),
    (ClientPayloadError, Fault.STREAM_CUT, "cut in the middle of the answer"),
    (ServerDisconnectedError, Fault.NETWORK, "closed before the answer"),
    (ConnectionRefusedError, Fault.NETWORK, "connect: refused"),
    (ConnectionResetError, Fault.NETWORK, "reset before the answer"),
    (OSError, Fault.NETWORK, "the connection failed"),
    (ClientError, Fault.NETWORK, "the connection failed"),
)
FOREIGN: tuple[type[Exception], ...] = tuple(kind for kind, _, _ in FAULT_OF)
UNREAD: tuple[type[Exception], ...] = (*FOREIGN, Late, Bomb)


def failed(exc: Exception, *, answering: bool = False) -> Failed:
    """What an exception of the wire means; `answering`: the headers had come."""
    if isinstance(exc, OSError) and exc.errno in OWN_ERRNO:
        return _failed(
            Fault.LOCAL_OVERLOAD, f"no connection could be made here: {errno.errorcode[exc.errno]}"
        )
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _failed(Fault.TLS, f"tls: {exc.verify_message}")
    for kind, fault, text in FAULT_OF:
        if isinstance(exc, kind):
            if answering and fault is Fault.NETWORK:
                return _failed(Fault.STREAM_CUT, "cut in the middle of the answer")
            return _failed(fault, text or str(exc))
    raise exc


def _failed(fault: Fault, detail: str, head: Head | None = None, body: bytes = b"") -> Failed:
    return Failed(fault, HANDLING[fault].scope, head=head, body=body, detail=detail)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Asks the call's target; needs `call.target`."""

    pool: Pool
    limits: Limits
    clock: Clock

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        target = call.target
        assert target is not None, "the call has no target"
        request = form(call, target)
        if not isinstance(request, Request):
            return request
        try:
            door = self.pool.door(target.provider)
            asked = await self._ask(call, request, door)
        except Forbidden as exc:
            return Refused(RefusedBy.NOT_ALLOWED, fault=Fault.NETWORK, detail=str(exc))
        if isinstance(asked, Failed):
            return asked
        wire, message, body = asked
        try:
            return await self._answer(call, sink, wire, message, body)
        finally:
            door.leave(wire)

    # ---- asking --------------------------------------------------------------------------

    async def _ask(
        self, call: Call, request: Request, door: Door
    ) -> tuple[Wire, RawResponseMessage, StreamReader] | Failed:
        """Up to the headers of the answer; the connection is the caller's if they came."""
        for fresh in (False, True):
            wire = None if fresh or call.once else door.kept()  # one that is used is never stale
            if wire is None:
                most = self._left(call)
                try:
                    wire = await door.open(
                        connect=min(self.limits.connect * call.stretch, most),
                        tls=min(self.limits.tls * call.stretch, most),
                    )
                except Late as exc:
                    return _failed(Fault.NETWORK, str(exc))
                except FOREIGN as exc:
                    return failed(exc)
            asked = None
            began = self.clock.now()
            if call.record.attempts:
                current(call).sent = True
            wire.ask(request.head, call.body, bodiless=request.bodiless)
            try:
                if call.upload is not None:  # what the client's side raises is not for our table
                    stopped = await _upload(wire, call.upload, request.length)
                    if stopped is not None:
                        return stopped
                try:
                    asked = await self._headers(call, wire)
                except Late as exc:
                    return _failed(Fault.TIMEOUT, str(exc))
                except FOREIGN as exc:
                    stale = wire.reused and not wire.heard and self.clock.now() - began < STALE_SECONDS
                    if not stale or call.upload is not None:
                        return failed(exc)
                else:
                    return wire, *asked
            finally:
                if asked is None:
                    door.leave(wire)
        raise AssertionError("a fresh connection is never a reused one")

    async def _headers(self, call: Call, wire: Wire) -> tuple[RawResponseMessage, StreamReader]:
        limit, timer = self._headers_limit(call), None
        if limit != inf:
            timer = asyncio.get_running_loop().call_later(limit, wire.expire, "headers", limit)
        try:
            for _ in range(INTERIM):
                message, body = await wire.read()
                if message.code == 101:
                    raise NotHttp("the provider switched protocols without being asked")
                if message.code < 100:
                    raise NotHttp("the answer has no status")
                if message.code >= 200:
                    return message, body
        finally:
            if timer is not None:
                timer.cancel()
        raise NotHttp("interim answers, and no end of them")

    def _headers_limit(self, call: Call) -> float:
        if call.ask.operation is Operation.OTHER or call.shadow:
            return PASSED_IDLE
        if not call.ask.stream:
            return inf
        own = self.limits.reasoning if call.ask.reasoning else self.limits.headers
        return min(own * call.stretch, self._left(call))

    def _left(self, call: Call) -> float:
        """How long an attempt may be silent at all, whatever its phase. Seconds."""
        if call.ask.operation is Operation.OTHER or call.shadow:
            return inf
        now = self.clock.now()
        return max(0.0, min(call.deadline - now, call.leave_at - now, call.patience))

    # ---- the answer ----------------------------------------------------------------------

    async def _answer(
        self, call: Call, sink: Sink, wire: Wire, message: RawResponseMessage, body: StreamReader
    ) -> Outcome:
        head, size, request_id = _read(message)
        if call.record.attempts:
            attempt = current(call)
            attempt.status, attempt.request_id = head.status, request_id
        if size > HEAD_BYTES:
            return failed(NotHttp("the headers of the answer are beyond 64 KiB"))
        if call.ask.operation is Operation.OTHER:
            return await self._pass(head, sink, wire, message, body)
        inflate = Inflate.of(head)
        if inflate is not None:
            head = _plain(head)
        passes = 400 if call.ask.operation is Operation.TOOL else 300  # where a redirect is an answer
        if not 200 <= head.status < passes:
            return await self._error(call, head, wire, body, inflate)
        await sink.start(head)
        push = sink.send if inflate is None else _inflating(inflate, sink)
        while True:
            try:
                rest = await wire.pour(body, push)
            except FOREIGN as exc:
                return failed(exc, answering=True)
            if rest is None:
                break
            try:
                await rest
            except Bomb as exc:
                return _failed(Fault.STREAM_CUT, str(exc))
        if inflate is not None and not inflate.whole:
            return _failed(Fault.STREAM_CUT, "cut in the middle of the answer")
        return _ended(wire, message) or Answered(head.status)

    async def _pass(
        self, head: Head, sink: Sink, wire: Wire, message: RawResponseMessage, body: StreamReader
    ) -> Outcome:
        """What we do not judge goes through untouched, whatever its status."""
        await sink.start(head)
        while True:
            try:
                async with _within("answer", PASSED_IDLE):
                    data = await body.readany()
            except Late as exc:
                return _failed(Fault.TIMEOUT, str(exc))
            except FOREIGN as exc:
                return failed(exc, answering=True)
            if not data:
                return _ended(wire, message) or Answered(head.status)
            await sink.send(Chunk(data))

    async def _error(
        self, call: Call, head: Head, wire: Wire, body: StreamReader, inflate: Inflate | None
    ) -> Failed:
        """An answer that is an error is read whole, as far as it comes in its time."""
        raw, whole = bytearray(), False
        try:
            async with _within("error", min(ERROR_SECONDS, self._left(call))):
                while len(raw) < ERROR_BODY and (data := await body.readany()):
                    for piece in (data,) if inflate is None else inflate.feed(data):
                        raw += piece[: ERROR_BODY - len(raw)]  # little may inflate to much
                        if len(raw) == ERROR_BODY:
                            break
                whole = body.at_eof()
        except UNREAD:
            pass  # the status alone says enough to be judged by
        wire.owes = not whole
        if not whole:
            head = _plain(head)
        found = bytes(raw)
        if 300 <= head.status < 400:
            return _failed(Fault.UNKNOWN, "unexpected redirect", head, found)
        assert call.target is not None
        verdict = classify(
            provider=call.target.provider.name,
            status=head.status,
            headers=head.headers,
            body=found,
            wall=self.clock.wall(),
        )
        return Failed(verdict.fault, verdict.scope, verdict.wait, head, found, again=verdict.again)


# ---- pieces ------------------------------------------------------------------------------


@asynccontextmanager
async def _within(phase: str, seconds: float) -> AsyncIterator[None]:
    """A bound on waiting. Raises Late."""
    if seconds == inf:
        yield
        return
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise Late(phase, seconds) from None
        raise


async def _upload(wire: Wire, upload: AsyncIterator[bytes], length: int | None) -> Failed | None:
    """Pass a body on as it comes; stops when the provider answers, or leaves, before its end."""
    sent = 0
    try:
        async for piece in upload:
            if wire.heard:  # 413, 401: nobody reads the rest
                break
            if piece:
                sent += len(piece)
                framed = piece if length is not None else b"%x\r\n%b\r\n" % (len(piece), piece)
                async with _within("upload", PASSED_IDLE):
                    if not await wire.write(framed):
                        break
        else:
            if length is None:
                await wire.write(b"0\r\n\r\n")
            elif sent != length:
                return _failed(Fault.INVALID_REQUEST, "the body is not as long as the client announced")
            return None
    except Late as exc:
        return _failed(Fault.TIMEOUT, str(exc))
    wire.force_close()
    return None


def _inflating(inflate: Inflate, sink: Sink) -> Push:
    async def push(chunk: Chunk) -> None:
        for piece in inflate.feed(chunk.raw):
            await sink.send(Chunk(piece))

    return push


def _ended(wire: Wire, message: RawResponseMessage) -> Failed | None:
    """The body is over: was it all? What ends with the connection must not end with a reset."""
    if not message.chunked and "content-length" not in message.headers:
        ending = wire.exception()
        if ending is not None and not isinstance(ending, ServerDisconnectedError):
            return _failed(Fault.STREAM_CUT, "cut in the middle of the answer")
    wire.owes = False
    return None


def _read(message: RawResponseMessage) -> tuple[Head, int, str]:
    """The head to pass on, how many bytes its fields had, and the provider's name for the request."""
    size, request_id, named = 0, "", b""
    kept = []
    for pair in message.raw_headers:
        name = pair[0].lower()
        size += len(name) + len(pair[1])
        if name not in HOP_BY_HOP:
            if not name.startswith(OURS):  # what we say of an answer is not a provider's to say
                kept.append(pair)
        elif name == b"connection":
            named = pair[1]
        if not request_id and name in REQUEST_IDS:
            request_id = pair[1][:128].decode("latin-1")
    if named:
        gone = {token.strip().lower() for token in named.split(b",")}
        kept = [pair for pair in kept if pair[0].lower() not in gone]
    return Head(message.code, message.reason or "", tuple(kept)), size, request_id


def _plain(head: Head) -> Head:
    """The head of a body that is not the one which was sent: inflated, or cut by us."""
    gone = (b"content-encoding", b"content-length")
    return Head(head.status, head.reason, tuple(pair for pair in head.headers if pair[0].lower() not in gone))
