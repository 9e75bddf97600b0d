"""Sending an answer: a list of pieces, played at the pace and in the framing that was asked for.

The list may hold an `Act`, where the sending stops being polite.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum, StrEnum
from itertools import pairwise
from random import Random

from sidecar.provider.answers import Asked, Part, Piece, Saying, Voice, saying
from sidecar.provider.behaviour import Behaviour
from sidecar.provider.wire import Body, Line, RequestHead, Upload, head_bytes


class Ending(StrEnum):
    """How an exchange ended, as the log says it."""

    ANSWERED = "answered"  # all that was planned was sent; the connection may be used again
    CLOSED = "closed"  # the same, and the connection is closed
    CUT = "cut"  # broken off by us
    CLIENT_LEFT = "client_left"
    STOPPED = "stopped"  # the vendor was shut down


class Act(Enum):
    STALL = "stall"
    FIN = "fin"
    RESET = "reset"
    BAD_CHUNK = "bad_chunk"
    OPEN = "open"  # all was said, but the end does not come


Item = Piece | Act


@dataclass(slots=True)
class Bill:
    """What an exchange costs its client in tokens: those that were read, and those that were made, whoever
    got them. `reported`: its answer said all of it.
    """

    given: int = 0
    made: int = 0
    reported: bool = False


@dataclass(slots=True, kw_only=True)
class Turn:
    """One call, and what is needed to answer it."""

    line: Line
    head: RequestHead
    upload: Upload
    voice: Voice
    asked: Asked
    do: Behaviour
    rng: Random
    status: int = 0
    said: int = 0  # tokens of the whole answer
    bill: Bill = field(default_factory=Bill)


Play = Callable[[Turn], Awaitable[Ending]]


# ---- the good answer ----------------------------------------------------------------------


def contents(turn: Turn, say: Saying | None = None) -> list[Item]:
    """The pieces of the good answer: events, or slices of a whole body."""
    say = say or saying(turn.asked, turn.do)
    turn.said = len(say.words) + len(say.reasoning)  # a token each
    if turn.asked.stream:
        return [
            Piece(piece.part, styled(piece.data, turn.do)) for piece in turn.voice.stream(turn.asked, say)
        ]
    body = turn.voice.whole(turn.asked, say)
    if turn.do.gzip:
        body = squeeze(body)
    count = max(1, min(len(say.words), len(body)))
    cuts = [round(n * len(body) / count) for n in range(count + 1)]
    return [Piece(Part.CONTENT, body[a:b]) for a, b in pairwise(cuts)]


def styled(event: bytes, do: Behaviour) -> bytes:
    if do.tight:
        event = event.replace(b"data: ", b"data:", 1)
    return event.replace(b"\n", {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}[do.eol])


def arrayed(items: Sequence[Item]) -> list[Item]:
    """Events as the elements of one JSON array; the end marker is its closing bracket."""
    out: list[Item] = []
    for item in items:
        if isinstance(item, Piece) and item.part is Part.SENTINEL and not item.data:
            out.append(Piece(item.part, b"\r\n]" if out else b"[]"))
        elif isinstance(item, Piece):
            element = item.data.strip().removeprefix(b"data:").strip()
            out.append(Piece(item.part, (b",\r\n" if out else b"[") + element))
        else:
            out.append(item)
    return out


def squeeze(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(body) + packer.flush()


def upto(items: Sequence[Item], do: Behaviour) -> int:
    """The index behind the `after`th content, or the `at`th event."""
    if do.at is not None:
        return min(do.at, len(items))
    after, seen = do.after, 0
    for index, item in enumerate(items):
        if isinstance(item, Piece) and item.part is Part.CONTENT:
            if seen == after:
                return index
            seen += 1
        elif seen == after and isinstance(item, Piece) and item.part is Part.CLOSING:
            return index
    return len(items)


def date(skew: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=skew), usegmt=True)


def head_of(turn: Turn, kind: str, framing: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        ("date", date(turn.do.skew)),
        ("content-type", kind),
        ("request-id" if turn.voice.name == "anthropic" else "x-request-id", "req_1"),
        *framing,
        *turn.do.headers.items(),
    ]


@dataclass(slots=True, kw_only=True)
class Show:
    """An answer as it will be sent. `promised` is added to an announced length."""

    items: Sequence[Item]
    promised: int = 0
    more: Sequence[tuple[str, str]] = ()  # headers
    framing: str = ""
    kind: str = ""
    encoded: bool = False  # the items are compressed already
    drip: float = 0.0
    bare: bool = False  # without a head
    unannounced: bool = False  # closes at the end without having said so
    failed: bool = False  # what it ends with is an error


async def show(turn: Turn, it: Show) -> Ending:
    do, line = turn.do, turn.line
    stream = turn.asked.stream
    ping = ping_of(turn)
    if turn.asked.array:
        it.items = arrayed(it.items)
    framing = it.framing or do.framing or ("chunked" if stream or do.keepalive else "length")
    packed = do.gzip and stream and not it.encoded
    if packed and framing == "length":
        framing = "chunked"
    size = sum(len(item.data) for item in it.items if isinstance(item, Piece)) + it.promised
    frames = {
        "chunked": [("transfer-encoding", "chunked")],
        "length": [("content-length", str(size))],
        "close": [("connection", "close")],
    }[framing]
    kind = it.kind or kind_of(turn)
    headers = head_of(turn, kind, [*frames, *it.more])
    if do.gzip or it.encoded:
        headers.append(("content-encoding", "gzip"))
    body = Body(line, chunked=framing == "chunked", split=do.split, gzip=packed, rng=turn.rng)

    await line.pause(do.delay)
    waits = do.gap * (len(it.items) - 1) + do.first_content_after
    if not stream and not do.keepalive and not it.drip:
        await line.pause(waits)  # a whole answer is silent until it is ready
    turn.status = 200
    if not it.bare:
        await _write_head(line, head_bytes(200, headers), it.drip)
    if not stream and do.keepalive:
        await _wait(turn, body, waits, ping)
    if do.bom and stream:
        await body.put(b"\xef\xbb\xbf")

    started = False
    if not stream:
        turn.bill.made = turn.said  # a whole answer is made before it is sent
    for item in it.items:
        if isinstance(item, Act):
            turn.bill.reported = item is Act.OPEN and _reports(turn)
            return await _act(line, body, item)
        if stream and item.part is Part.CONTENT:
            await _wait(turn, body, do.gap if started else do.first_content_after, ping)
            started = True
            turn.bill.made = min(turn.bill.made + 1, turn.said)
        await body.put(item.data)
    if not it.failed:
        turn.bill.made, turn.bill.reported = turn.said, _reports(turn)
    await body.end()
    if it.promised > 0:
        line.close()
        return Ending.CUT
    if framing == "close" or it.bare or it.unannounced:
        line.close()
        return Ending.CLOSED
    return Ending.ANSWERED


def _reports(turn: Turn) -> bool:
    """Does the answer say what it took? A stream of chat completions does where it was asked to."""
    asked_to = turn.asked.usage or not turn.asked.stream or turn.voice.name != "openai_chat"
    return turn.do.usage and asked_to


async def _write_head(line: Line, head: bytes, drip: float) -> None:
    if not drip:
        await line.write(head)
        return
    for n in range(len(head)):
        await line.write(head[n : n + 1])
        await line.pause(drip)


async def _wait(turn: Turn, body: Body, seconds: float, ping: bytes) -> None:
    if seconds <= 0:
        return
    await body.flush()
    while turn.do.keepalive and seconds > turn.do.keepalive:
        await turn.line.pause(turn.do.keepalive)
        seconds -= turn.do.keepalive
        await body.put(ping)
        await body.flush()
    await turn.line.pause(seconds)


async def _act(line: Line, body: Body, act: Act) -> Ending:
    match act:
        case Act.STALL:
            await body.flush()
            await line.pause(None)
        case Act.FIN:
            await body.flush()
            line.close()
        case Act.RESET:
            await body.flush()
            line.reset()
        case Act.BAD_CHUNK:
            await body.flush()
            await line.write(b"zz\r\nthis is no chunk\r\n")
            line.close()
        case Act.OPEN:
            await body.flush()
            await line.left.wait()
            return Ending.CLOSED
    return Ending.CUT


def kind_of(turn: Turn) -> str:
    events = turn.asked.stream and not turn.asked.array
    return "text/event-stream; charset=utf-8" if events else "application/json"


def ping_of(turn: Turn) -> bytes:
    return turn.voice.ping() if turn.asked.stream and not turn.asked.array else b"\n"


async def plain(
    turn: Turn, status: int, body: bytes, kind: str, more: Sequence[tuple[str, str]] = ()
) -> Ending:
    turn.status = status
    headers = head_of(turn, kind, [("content-length", str(len(body))), *more])
    await turn.line.write(head_bytes(status, headers) + (body if turn.head.method != "HEAD" else b""))
    return Ending.ANSWERED
