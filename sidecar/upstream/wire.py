"""One connection to a provider: aiohttp's protocol and C parser, and what we have to know of it.

Only these two are used of aiohttp's client. Its session and connector cost about twice as much per
exchange as all of our own way from call to answer, and they resolve, re-send and decode by rules of
their own. Whoever replaces the parser replaces this file, and the table of exceptions in upstream.py.
"""

from __future__ import annotations

import asyncio

from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser

if HttpResponseParser.__module__ != "aiohttp._http_parser":
    raise ImportError("aiohttp came without its C parser; install a wheel of it for this platform")

READ_BUFFER = 32 * 1024  # the protocol pauses reading at twice this
LINE = 8 * 1024
FIELD = 32 * 1024
FIELDS = 200


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

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]
        self.heard = True
        super().data_received(data)

    def set_exception(  # type: ignore[explicit-override]
        self, exc: BaseException, exc_cause: BaseException | None = None
    ) -> None:
        # A broken chunk in the middle of a body reaches only the queue of messages; whoever
        # reads the body would wait for ever.
        super().set_exception(exc, exc_cause or exc)
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(ClientPayloadError("broken framing"), exc)

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
