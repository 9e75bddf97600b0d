"""One client connection: aiohttp's protocol with a strict gate in front and plain replies behind.

aiohttp keeps what it is good at: the C parser, keep-alive, cancelling the handler of a client that
left. Its own requests, responses and error pages are not used: they cost time, add headers, and
quote the client's bytes. This is the one module that leans on aiohttp's server classes, and says
what it relies on: `_messages` and `_waiter` (where a refusal queues up like a request, so that
pipelined answers stay in order), `_current_request`, and the hooks of `RequestHandler`.

A half-closed connection counts as a client that left: on loopback nothing else tells us in time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web import BaseRequest, RequestHandler, Server, StreamResponse

from sidecar.listener.http_strict import Gate, RequestError

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override  # aiohttp depends on it there


READ_BUFFER = 64 * 1024  # of a body, before the client is made to wait
WRITE_BUFFER = 64 * 1024  # of an answer, before the provider is made to wait
LINGER = 5.0  # seconds in which the rest of a refused body is read, so that the client sees our answer
LAST_WORDS = 60.0  # seconds in which the client of a connection that ends may read the last of it
OVERFLOW = 64  # connections above the cap that still get an answer instead of a reset
_INVALID = (  # what the parser says of it may quote the request
    "the request is not valid HTTP/1.1: a line of its head cannot be read, or a header that may stand there "
    "once, such as content-type, stands twice"
)


@dataclass(frozen=True, slots=True)
class Bound:
    """Whom a captured connection is for: its client named the host, and speaks to it as it would to it."""

    host: str
    provider: str  # in the configuration
    base: str = ""  # the path of the vendor's own url, without its version: "/openai" at groq


class Request:
    """What the listener gets to see: the parsed head, or why there is none, and the body's reader."""

    __slots__ = ("_task", "body", "connection", "head")

    def __init__(
        self, head: RawRequestMessage | RequestError, body: StreamReader, connection: Connection
    ) -> None:
        self.head = head
        self.body = body
        self.connection = connection
        self._task: asyncio.Task[None] | None = None  # aiohttp clears it after the reply

    def _cancel(self, exc: BaseException) -> None:
        """Called when the connection is lost; the handler's cancellation is all we need."""


class Reply:
    """Tells aiohttp that the answer is written, and whether the connection may be used again."""

    __slots__ = ("keep_alive",)

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive


KEEP = Reply(keep_alive=True)
CLOSE = Reply(keep_alive=False)

Handler = Callable[[Request], Awaitable[Reply]]


class Door(Server):
    """Makes a `Connection` per client, and counts them."""

    def __init__(
        self,
        handler: Handler,
        *,
        head_seconds: float,
        keepalive: float,
        most: int,
        full: bytes,
        turned: Callable[[], None],
    ) -> None:
        super().__init__(
            cast("Any", handler), request_factory=cast("Any", _request), handler_cancellation=True
        )
        self.head_seconds = head_seconds
        self.keepalive = keepalive
        self.most = most
        self.full = full  # the answer to a connection above the cap
        self.turned = turned  # called for each of them
        self.open = 0

    @override
    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop)

    def captured(self, bound: Bound) -> RequestHandler:
        """For a client that meant to speak to a provider's own host."""
        return Connection(self, loop=self._loop, bound=bound)


class Connection(RequestHandler):
    __slots__ = ("_door", "_end_timer", "_gate", "_head_timer", "_shut", "bound")

    def __init__(self, door: Door, *, loop: asyncio.AbstractEventLoop, bound: Bound | None = None) -> None:
        super().__init__(
            door,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # documented: no access log
            keepalive_timeout=door.keepalive,
            lingering_time=LINGER,
            read_bufsize=READ_BUFFER,
            max_line_size=64 * 1024,  # the gate's own limits hold
            max_field_size=64 * 1024,
            max_headers=256,
            auto_decompress=False,
        )
        self._door = door
        self.bound = bound  # None: its requests name a provider by their path
        self._gate = Gate()
        self._head_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._shut = False  # refused: what still comes is read and forgotten

    # ---- coming and going ------------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        door = self._door
        door.open += 1
        if door.open > door.most:
            self._turn_away(cast("asyncio.Transport", transport))
            return
        super().connection_made(transport)
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=WRITE_BUFFER)
        self._expect_head()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self._door.open -= 1
        self._head_came()
        if self._end_timer is not None:
            self._end_timer.cancel()
        super().connection_lost(exc)

    def _turn_away(self, transport: asyncio.Transport) -> None:
        self._shut = True
        self.transport = transport
        self._door.turned()
        if self._door.open > self._door.most + OVERFLOW:
            transport.abort()
            return
        transport.write(self._door.full)
        self._loop.call_later(LINGER, transport.abort)

    # ---- bytes -----------------------------------------------------------------------------

    @override
    def data_received(self, data: bytes) -> None:
        if self._shut:
            if self._task_handler is None and self.transport is not None:
                self.transport.close()  # turned away at the door: it has asked, and has its answer
            return
        if not data:  # aiohttp resumes its parser
            super().data_received(data)
            return
        passed, refusal = self._gate.feed(data)
        if passed:
            super().data_received(passed)
            if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
                self._messages.pop()  # the parser refused what the gate let pass
                refusal = RequestError(400, "bad_request", _INVALID)
        if refusal is not None:
            self.refuse(refusal)
        elif self._gate.head_pending:
            if self._head_timer is None:
                self._expect_head()
        elif self._head_timer is not None:
            self._head_came()

    @override
    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:  # called after every read; it costs two trips through the parser
            super().resume_reading(resume_parser)

    @override
    def force_close(self) -> None:
        """The connection is given up. What its client did not read by now it will not read: closing
        politely would wait for it."""
        transport = self.transport
        if transport is not None and not transport.is_closing() and transport.get_write_buffer_size():
            transport.abort()
        super().force_close()

    def refuse(self, refusal: RequestError) -> None:
        """No further request is read. The refusal is answered in its turn, then the connection closes."""
        self._shut = True
        self._head_came()
        request = self._current_request
        if request is not None and _break(cast("Any", request).body, refusal):
            return  # the handler that waits for this body answers
        if any(_break(body, refusal) for _, body in self._messages):
            return
        self._messages.append((cast("Any", refusal), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def give_up(self, why: RequestError) -> None:
        """A body that is still being received is not waited for any more; whoever reads it answers."""
        request = self._current_request
        if request is not None:
            _break(cast("Any", request).body, why)

    def _expect_head(self) -> None:
        self._head_timer = self._loop.call_later(self._door.head_seconds, self._head_is_late)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._gate.head_pending:
            seconds = self._door.head_seconds
            self.refuse(
                RequestError(408, "slow_head", f"the request's head did not come within {seconds:g} s")
            )
        else:
            self.force_close()  # nothing came: nobody to answer

    # ---- what aiohttp would do its own way -------------------------------------------------

    @override
    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        if not resp.keep_alive and self.transport is not None:  # a polite close waits for the client to read
            self._end_timer = self._loop.call_later(LAST_WORDS, self.transport.abort)
        return resp, False  # written already

    @override
    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        raise RuntimeError("the listener answers its own errors") from None

    @override
    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Silent: these messages quote the client's bytes, which may hold a key. We tell our own events."""

    # ---- for the sink ----------------------------------------------------------------------

    async def drained(self) -> None:
        await self._drain_helper()


def _break(body: StreamReader, refusal: RequestError) -> bool:
    """Ends a body that is still being received."""
    if body.is_eof():
        return False
    body.set_exception(refusal)
    return True


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    _writer: AbstractStreamWriter,
    _task: asyncio.Task[None],
) -> Request:
    return Request(message, payload, cast("Connection", protocol))
