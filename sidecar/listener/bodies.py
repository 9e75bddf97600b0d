"""How a request's body comes in: held whole for calls that may be repeated, else passed on.

A held body is bounded in size, in the room it takes among all calls, and in time: it may neither
pause for long nor trickle. A body that is passed on has no cap; it is read only as fast as the
provider takes it, and may only not pause for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from aiohttp.streams import StreamReader

from sidecar.core.admission import Admission, Held
from sidecar.listener.http_strict import RequestError
from sidecar.model import Clock
from sidecar.settings import Listen

GRACE = 10.0  # seconds before a body's rate is looked at
STEP = 64 * 1024  # bytes; room for a body is taken in growing steps, as it comes


class NoRoomError(RequestError):
    """All the memory for held bodies is taken."""

    def __init__(self) -> None:
        super().__init__(
            503, "overload", "there is no room for the request's body now; try again in a moment"
        )


def arrived(body: StreamReader) -> bytes | None:
    """The whole body, if it is here already."""
    return body.read_nowait() if body.is_eof() else None


async def read_held(
    body: StreamReader,
    announced: int | None,
    room: Held,
    admission: Admission,
    listen: Listen,
    clock: Clock,
) -> bytes:
    """Raises RequestError: too large, too slow, malformed, no room."""
    largest = admission.largest(listen.max_body)
    if announced is not None and announced > largest:
        raise _too_large(listen) if announced > listen.max_body else NoRoomError
    taken = min(announced or 0, STEP)  # what is announced and does not come takes nobody's room
    if not room.take(taken):
        raise NoRoomError
    whole = arrived(body)
    if whole is not None and len(whole) <= taken:
        return whole
    blocks = [] if whole is None else [whole]
    size = 0 if whole is None else len(whole)
    started = clock.now()
    try:
        async with asyncio.timeout(None) as limit:
            while True:
                if size > largest:
                    raise _too_large(listen) if size > listen.max_body else NoRoomError
                if size > taken:
                    step = max(STEP, taken, size - taken)
                    if announced is not None:
                        step = min(step, announced - taken)
                    if not room.take(step):
                        raise NoRoomError
                    taken += step
                limit.reschedule(_due(listen, started, clock.now(), size))
                block = await body.readany()
                if not block:
                    return b"".join(blocks)
                blocks.append(block)
                size += len(block)
    except TimeoutError:
        raise RequestError(408, "slow_body", "the request's body came too slowly") from None


def _due(listen: Listen, started: float, now: float, size: int) -> float:
    """When a body of which `size` bytes have come is too slow: by its pause or by its rate."""
    return min(now + listen.body_idle, started + max(GRACE, size / listen.body_rate))


def _too_large(listen: Listen) -> RequestError:
    return RequestError(
        413,
        "body_too_large",
        f"the request's body is larger than {listen.max_body} bytes; listen.max_body sets the limit",
    )


class Upload:
    """A body on its way through. What goes wrong with it ends the call, by `stop`: the provider's
    side is not asked to make sense of an exception that is the client's."""

    __slots__ = ("_body", "_idle", "_stop")

    def __init__(self, body: StreamReader, idle: float, stop: Callable[[RequestError], None]) -> None:
        self._body = body
        self._idle = idle
        self._stop = stop

    def __aiter__(self) -> Upload:
        return self

    async def __anext__(self) -> bytes:
        try:
            block = self._body.read_nowait()
            if block:
                return block
            async with asyncio.timeout(self._idle):
                block = await self._body.readany()
        except TimeoutError:
            await self._end(RequestError(408, "slow_body", f"the request's body paused for {self._idle:g} s"))
        except RequestError as error:
            await self._end(error)
        if not block:
            raise StopAsyncIteration
        return block

    async def _end(self, error: RequestError) -> NoReturn:
        self._stop(error)
        await asyncio.get_running_loop().create_future()
        raise AssertionError("the call was stopped")
