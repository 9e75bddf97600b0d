"""One connection to a provider: aiohttp's protocol and C parser, and what we have to know of it.

A body goes on in the callback that brings it (`pour`): to wake the task for every event of a stream, and
with it all frames from the listener down to here, costs as much as reading the event.

Only these two are used of aiohttp's client. Its session and connector cost about twice as much per
exchange as all of our own way from call to answer, and they resolve, re-send and decode by rules of
their own. Whoever replaces the parser replaces this file, and the table of exceptions in upstream.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser
from aiohttp.streams import EmptyStreamReader, StreamReader

from sidecar.model import DONE, Chunk

if HttpResponseParser.__module__ != "aiohttp._http_parser":
    raise ImportError("aiohttp came without its C parser; install a wheel of it for this platform")

READ_BUFFER = 32 * 1024  # the protocol pauses reading at twice this
PIECE = 2 * READ_BUFFER  # of a body, at a time
LINE = 8 * 1024
FIELD = 32 * 1024
FIELDS = 200


Push = Callable[[Chunk], Awaitable[None]]  # as Sink.send


class Late(Exception):
    """A phase was not over in its time."""

    def __init__(self, phase: str, seconds: float) -> None:
        super().__init__(f"{phase}: no answer in {seconds:.3g} s")


class Wire(ResponseHandler):
    """One connection, and what the pool has to know of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.heard = False  # a byte came since the last request
        self.owes = False  # a request went out and its answer has not ended
        self.reused = False
        self.idle_since = 0.0
        self._pouring: tuple[StreamReader, Push, asyncio.Future[Awaitable[None] | None]] | None = None

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]
        self.heard = True
        super().data_received(data)
        if self._pouring is not None:
            self._pour(*self._pouring)

    def connection_lost(self, exc: BaseException | None) -> None:  # type: ignore[explicit-override]
        super().connection_lost(exc)
        if self._pouring is not None:
            self._pour(*self._pouring)

    def set_exception(  # type: ignore[explicit-override]
        self, exc: BaseException, exc_cause: BaseException | None = None
    ) -> None:
        # A broken chunk in the middle of a body reaches only the queue of messages; whoever
        # reads the body would wait for ever.
        super().set_exception(exc, exc_cause or exc)
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(ClientPayloadError("broken framing"), exc)
        if self._pouring is not None:
            self._pour(*self._pouring)

    def resume_reading(  # type: ignore[explicit-override]
        self, resume_parser: bool = True
    ) -> None:
        if self._reading_paused:  # called after every read; it costs two trips through the parser
            super().resume_reading(resume_parser)

    def expire(self, phase: str, seconds: float) -> None:
        """To be called by a timer: whoever waits for the answer gets Late."""
        self.set_exception(Late(phase, seconds))

    def ask(self, head: bytes, body: bytes, *, bodiless: bool) -> None:
        """Write a request; `bodiless`: the answer to it has no body, whatever its headers say."""
        transport = self.transport
        self.heard, self.owes = False, True
        if transport is None:  # it died just now: `read` says of what
            return
        self.set_response_params(
            skip_payload=bodiless,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
            max_line_size=LINE,
            max_field_size=FIELD,
            max_headers=FIELDS,
        )
        if len(body) <= READ_BUFFER:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)

    # ---- the body ------------------------------------------------------------------------

    async def pour(self, body: StreamReader, push: Push) -> Awaitable[None] | None:
        """Push the body as it comes. Returns what is to be waited for before there may be more, None when
        it is all pushed. Raises what ends it: what `push` raises comes out of what is waited for.
        """
        if isinstance(body, EmptyStreamReader):  # of an answer that has none: 204, or the answer to a HEAD
            return None
        rest = _push(body, push)
        if rest is None and not body.is_eof() and body.exception() is None:
            poured = self._loop.create_future()
            self._pouring = body, push, poured
            try:
                rest = await poured
            except asyncio.CancelledError:
                if poured.done() and not poured.cancelled():
                    _forget(poured.result())
                raise
            finally:
                self._pouring = None
        if rest is None and (ended := body.exception()) is not None:
            raise ended
        return rest

    def _pour(self, body: StreamReader, push: Push, poured: asyncio.Future[Awaitable[None] | None]) -> None:
        self._pouring = None  # a read may let more in, or the end: not in the middle of this
        if poured.done():  # nobody waits any more
            return
        rest = _push(body, push)
        if poured.done():
            _forget(rest)
        elif rest is not None or body._eof or body._exception is not None:  # noqa: SLF001  # two frames less
            poured.set_result(rest)
        else:
            self._pouring = body, push, poured

    async def write(self, data: bytes) -> bool:
        """A piece of a body that is passed on: waits while the provider does not read; False: it left."""
        if self.transport is None:
            return False
        self.transport.write(data)
        if self.writing_paused:
            try:
                await self._drain_helper()
            except ConnectionError:
                return False
        return True

    def reusable(self) -> bool:
        transport = self.transport
        return (
            not self.owes
            and transport is not None
            and not transport.is_closing()
            and not self.should_close
            and transport.get_write_buffer_size() == 0  # an answer before the request was read
        )


def _push(body: StreamReader, push: Push) -> Awaitable[None] | None:
    """Push what is here; what has to be waited for, if there is anything."""
    while body._size and body._exception is None:  # noqa: SLF001  # reading may let more of it in
        try:
            # what a slow client does not take at once stays here, where it stops the reading
            rest = push(Chunk(body.read_nowait(-1 if body._size <= PIECE else PIECE)))  # noqa: SLF001
        except Exception as exc:  # noqa: BLE001  # it belongs to the frame that waits, not to the transport
            return _raised(exc)
        if rest is not DONE:
            return rest
    return None


async def _raised(exc: Exception) -> None:
    raise exc


def _forget(rest: Awaitable[None] | None) -> None:
    """Nobody will wait for what was to be waited for."""
    if isinstance(rest, Coroutine):
        rest.close()
