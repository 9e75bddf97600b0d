"""How each behaviour of the catalogue is played, byte for byte.

Most faults are a change to the good answer: to its text, to the list of pieces it is sent in, or
to its head. The list may hold an `Act` where the sending stops being polite. `show` plays such a
list; everything else here prepares one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum, StrEnum
from itertools import cycle, pairwise
from random import Random

from sidecar.provider.answers import Asked, Part, Piece, Saying, Voice, pieces, saying, sse
from sidecar.provider.behaviour import ERRORS, Behaviour
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


Play = Callable[[Turn], Awaitable[Ending]]


# ---- the good answer ----------------------------------------------------------------------


def contents(turn: Turn, say: Saying | None = None) -> list[Item]:
    """The pieces of the good answer: events, or slices of a whole body."""
    say = say or saying(turn.asked, turn.do)
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


def squeeze(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(body) + packer.flush()


def upto(items: Sequence[Item], after: int) -> int:
    """The index behind the `after`th content."""
    seen = 0
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


async def show(turn: Turn, it: Show) -> Ending:
    do, line = turn.do, turn.line
    stream = turn.asked.stream
    ping = turn.voice.ping() if stream else b"\n"
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
    kind = it.kind or ("text/event-stream; charset=utf-8" if stream else "application/json")
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
    for item in it.items:
        if isinstance(item, Act):
            return await _act(line, body, item)
        if stream and item.part is Part.CONTENT:
            await _wait(turn, body, do.gap if started else do.first_content_after, ping)
            started = True
        await body.put(item.data)
    await body.end()
    if it.promised > 0:
        line.close()
        return Ending.CUT
    if framing == "close" or it.bare or it.unannounced:
        line.close()
        return Ending.CLOSED
    return Ending.ANSWERED


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


# ---- behaviours that change the answer ----------------------------------------------------


async def ok(turn: Turn) -> Ending:
    return await show(turn, Show(items=contents(turn)))


def with_say(change: Callable[[Saying, Turn], Saying]) -> Play:
    """The good answer, saying something else."""

    async def play(turn: Turn) -> Ending:
        return await show(turn, Show(items=contents(turn, change(saying(turn.asked, turn.do), turn))))

    return play


def finished(reason: str) -> Play:
    def change(say: Saying, turn: Turn) -> Saying:
        return replace(say, finish=turn.do.finish or reason)

    return with_say(change)


def empty(say: Saying, _turn: Turn) -> Saying:
    return replace(say, words=(), reasoning=(), tool="", finish="stop")


def unparsable(say: Saying, turn: Turn) -> Saying:
    text = '{"answer": "' + "".join(say.words).replace('"', "") + '", '
    return replace(say, words=pieces(text, turn.do.events))


def schema_breaking(say: Saying, turn: Turn) -> Saying:
    text = json.dumps({"unexpected": True, "nonce": turn.asked.nonce})
    return replace(say, words=pieces(text, turn.do.events))


def broken_tool(say: Saying, turn: Turn) -> Saying:
    text = '{"place": "nonce:' + turn.asked.nonce + " of the"
    tool = turn.asked.tools[0][0] if turn.asked.tools else "look_up"
    return replace(say, words=pieces(text, turn.do.events), tool=tool, finish="tool")


def with_items(change: Callable[[list[Item], Turn], list[Item]]) -> Play:
    """The good answer, its pieces changed."""

    async def play(turn: Turn) -> Ending:
        items = contents(turn)
        size = sum(len(item.data) for item in items if isinstance(item, Piece))
        changed = change(items, turn)
        left = sum(len(item.data) for item in changed if isinstance(item, Piece))
        # a whole answer that is broken off had promised all of it
        broken = not turn.asked.stream and any(isinstance(item, Act) for item in changed)
        return await show(turn, Show(items=changed, promised=size - left if broken else 0))

    return play


def stall(items: list[Item], turn: Turn) -> list[Item]:
    return [*items[: upto(items, turn.do.after)], Act.STALL]


def cut(items: list[Item], turn: Turn) -> list[Item]:
    at = upto(items, turn.do.after)
    head, rest = items[:at], items[at:]
    if turn.do.mid_event and rest and isinstance(rest[0], Piece):
        head.append(Piece(rest[0].part, rest[0].data[: len(rest[0].data) // 2]))
    return [*head, Act.RESET if turn.do.how == "reset" else Act.FIN]


def end_early(items: list[Item], turn: Turn) -> list[Item]:
    return items[: upto(items, turn.do.after)]


def inserted(make: Callable[[Turn], bytes]) -> Callable[[list[Item], Turn], list[Item]]:
    def change(items: list[Item], turn: Turn) -> list[Item]:
        if not turn.asked.stream:
            return items
        at = upto(items, turn.do.after)
        return [*items[:at], Piece(Part.OPENING, styled(make(turn), turn.do)), *items[at:]]

    return change


def without_sentinel(items: list[Item], turn: Turn) -> list[Item]:
    kept = [item for item in items if not (isinstance(item, Piece) and item.part is Part.SENTINEL)]
    return [*kept, Act.OPEN] if turn.do.keep_open else kept


def trailing(items: list[Item], turn: Turn) -> list[Item]:
    return [*items, Piece(Part.SENTINEL, turn.voice.filler(10))] if turn.asked.stream else items


def odd_ids(items: list[Item], turn: Turn) -> list[Item]:
    if not turn.asked.stream:
        return items
    ids = cycle((3, 3, 1, 7, 2))
    return [
        Piece(item.part, styled(b"id: %d\n" % next(ids), turn.do) + item.data)
        for item in items
        if isinstance(item, Piece)
    ]


def duplicate(items: list[Item], turn: Turn) -> list[Item]:
    at = upto(items, turn.do.after)
    return [*items[:at], items[max(0, at - 1)], *items[at:]] if turn.asked.stream else items


async def malformed_event(turn: Turn) -> Ending:
    if not turn.asked.stream:
        return await invalid_json(turn)
    broken = inserted(lambda _: sse('{"choices": [{"delta": {"content": "bro', None))
    return await with_items(broken)(turn)


async def error_event(turn: Turn) -> Ending:
    if not turn.asked.stream:
        return await error_in_200(turn)
    items = contents(turn)
    event = turn.voice.error_event(turn.voice.complain(turn.do.error, turn.do))
    return await show(turn, Show(items=[*items[: upto(items, turn.do.after)], Piece(Part.CLOSING, event)]))


async def invalid_json(turn: Turn) -> Ending:
    def spoil(item: Item) -> Item:
        return Piece(item.part, item.data.replace(b":{", b"=<")) if isinstance(item, Piece) else item

    items = [spoil(item) for item in contents(turn)]
    if not turn.asked.stream:
        items = [Piece(Part.CONTENT, b'{"id": "1", "choices": [{"message": {"content": "nev')]
    return await show(turn, Show(items=items))


async def invalid_utf8(turn: Turn) -> Ending:
    say = saying(turn.asked, turn.do)
    marked = replace(say, words=(say.words[0] + "\u2603", *say.words[1:]))
    items = [
        Piece(item.part, item.data.replace("\u2603".encode(), b"\xff\xfe\x80"))
        for item in contents(turn, marked)
        if isinstance(item, Piece)
    ]
    return await show(turn, Show(items=items))


def packed(damage: Callable[[bytes, Turn], bytes]) -> Play:
    """The whole answer compressed in one, then damaged."""

    async def play(turn: Turn) -> Ending:
        plain = replace(turn, do=replace(turn.do, gzip=False))
        raw = b"".join(item.data for item in contents(plain) if isinstance(item, Piece))
        item = Piece(Part.CONTENT, damage(raw, turn))
        ending = await show(plain, Show(items=[item], encoded=True))
        turn.status = plain.status
        return ending

    return play


def corrupted(raw: bytes, _turn: Turn) -> bytes:
    data = bytearray(squeeze(raw))
    for n in range(12, min(len(data), 24)):
        data[n] ^= 0xFF
    return bytes(data)


def bomb(raw: bytes, turn: Turn) -> bytes:
    packer = zlib.compressobj(wbits=31)
    out, left = [packer.compress(raw[:1])], turn.do.size or 64 * 1024 * 1024
    while left > 0:
        out.append(packer.compress(b" " * min(left, 1024 * 1024)))
        left -= 1024 * 1024
    return b"".join([*out, packer.compress(raw[1:]), packer.flush()])


# ---- behaviours that change the head or the framing ---------------------------------------


async def http09(turn: Turn) -> Ending:
    return await show(turn, Show(items=contents(turn), framing="close", bare=True))


async def ok_then_close(turn: Turn) -> Ending:
    return await show(turn, Show(items=contents(turn), unannounced=True))


async def huge_headers(turn: Turn) -> Ending:
    each = max(1, (turn.do.size or 70_000) // max(1, turn.do.lines))
    more = [(f"x-filler-{n}", "x" * each) for n in range(turn.do.lines)]
    return await show(turn, Show(items=contents(turn), more=more))


async def dripped_headers(turn: Turn) -> Ending:
    return await show(turn, Show(items=contents(turn), drip=turn.do.gap or 1.0))


async def conflicting_framing(turn: Turn) -> Ending:
    return await show(turn, Show(items=contents(turn), framing="chunked", more=[("content-length", "5")]))


async def two_lengths(turn: Turn) -> Ending:
    return await show(turn, Show(items=contents(turn), framing="length", more=[("content-length", "5")]))


async def length_too_long(turn: Turn) -> Ending:
    return await show(turn, Show(items=contents(turn), framing="length", promised=turn.do.size or 100))


async def length_too_short(turn: Turn) -> Ending:
    ending = await show(turn, Show(items=contents(turn), framing="length"))
    await turn.line.write(b"x" * (turn.do.size or 20))
    turn.line.close()
    return Ending.CLOSED if ending is Ending.ANSWERED else ending


async def bad_chunk_size(turn: Turn) -> Ending:
    items = contents(turn)
    return await show(
        turn, Show(items=[*items[: upto(items, turn.do.after)], Act.BAD_CHUNK], framing="chunked")
    )


async def keepalives_forever(turn: Turn) -> Ending:
    await turn.line.write(head_bytes(200, head_of(turn, _kind(turn), [("transfer-encoding", "chunked")])))
    turn.status = 200
    body = Body(turn.line, chunked=True, split="event", gzip=False, rng=turn.rng)
    while True:
        await body.put(turn.voice.ping() if turn.asked.stream else b"\n")
        await turn.line.pause(turn.do.keepalive or 1.0)


async def informational(turn: Turn) -> Ending:
    await turn.line.write(head_bytes(103, [("link", "</hint>; rel=preload")]) + head_bytes(102, []))
    return await ok(turn)


# ---- behaviours instead of an answer ------------------------------------------------------


async def reset_before_headers(turn: Turn) -> Ending:
    await turn.line.pause(turn.do.delay)
    turn.line.reset()
    return Ending.CUT


async def close_before_headers(turn: Turn) -> Ending:
    await turn.line.pause(turn.do.delay)
    await turn.line.close_gently()
    return Ending.CUT


async def hang(turn: Turn) -> Ending:
    await turn.line.pause(None)
    return Ending.CUT


async def headers_then_hang(turn: Turn) -> Ending:
    await turn.line.pause(turn.do.delay)
    framing = [("transfer-encoding", "chunked")] if turn.asked.stream else [("content-length", "500")]
    await turn.line.write(head_bytes(200, head_of(turn, _kind(turn), framing)))
    turn.status = 200
    return await hang(turn)


async def garbage_status(turn: Turn) -> Ending:
    await turn.line.write((turn.do.body or "HPPT 2000 OKAY\r\nwhat: is this\r\n\r\n").encode())
    turn.line.close()
    return Ending.CUT


async def redirect(turn: Turn) -> Ending:
    status = turn.do.status if turn.do.status != 500 else 307
    return await _plain(turn, status, b"", "text/plain", [("location", turn.do.location)])


async def switching_protocols(turn: Turn) -> Ending:
    turn.status = 101
    await turn.line.write(head_bytes(101, [("connection", "upgrade"), ("upgrade", "websocket")]))
    turn.line.close()
    return Ending.CLOSED


async def html(turn: Turn) -> Ending:
    await turn.line.pause(turn.do.delay)
    page = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking.</body></html>"
    return await _plain(turn, 200, page, "text/html; charset=utf-8")


async def empty_body(turn: Turn) -> Ending:
    await turn.line.pause(turn.do.delay)
    return await _plain(turn, 200, b"", _kind(turn))


def _kind(turn: Turn) -> str:
    return "text/event-stream; charset=utf-8" if turn.asked.stream else "application/json"


async def _plain(
    turn: Turn, status: int, body: bytes, kind: str, more: Sequence[tuple[str, str]] = ()
) -> Ending:
    turn.status = status
    headers = head_of(turn, kind, [("content-length", str(len(body))), *more])
    await turn.line.write(head_bytes(status, headers) + (body if turn.head.method != "HEAD" else b""))
    return Ending.ANSWERED


# ---- errors -------------------------------------------------------------------------------


def hints(do: Behaviour) -> list[tuple[str, str]]:
    """The headers that say when to come back."""
    out: list[tuple[str, str]] = []
    if do.retry_after_ms is not None:
        out.append(("retry-after-ms", f"{do.retry_after_ms:g}"))
    values = do.retry_after if isinstance(do.retry_after, list | tuple) else [do.retry_after]
    out += [
        ("retry-after", f"{value:g}" if isinstance(value, float) else str(value))
        for value in values
        if value is not None
    ]
    if do.retry_after_date is not None:
        out.append(("retry-after", date(do.skew + do.retry_after_date)))
    if do.should_retry is not None:
        out.append(("x-should-retry", str(do.should_retry).lower()))
    return out


async def complain(turn: Turn, error: str, status: int | None = None) -> Ending:
    await turn.line.pause(turn.do.delay)
    said = turn.voice.complain(error, turn.do)
    body = turn.do.body.encode() if turn.do.body is not None else said.body
    more = [*turn.voice.hints(turn.do), *hints(turn.do)]
    return await _plain(turn, status or said.status, body, "application/json", more)


def named(error: str) -> Play:
    async def play(turn: Turn) -> Ending:
        return await complain(turn, error)

    return play


OF_STATUS = {
    400: "invalid_request", 401: "auth", 402: "billing", 403: "permission", 404: "not_found", 408: "timeout",
    409: "conflict", 413: "too_large", 422: "invalid_request", 429: "rate_limit", 503: "overloaded",
    529: "overloaded",
}  # fmt: skip


async def status(turn: Turn) -> Ending:
    code = turn.do.status
    return await complain(
        turn, OF_STATUS.get(code, "server_error" if code >= 500 else "invalid_request"), code
    )


async def error_in_200(turn: Turn) -> Ending:
    return await complain(turn, turn.do.error, 200)


# ---- before the body of the request -------------------------------------------------------


async def reset_in_body(turn: Turn) -> Ending:
    await turn.upload.read(turn.do.size if turn.do.size is not None else 1024)
    turn.line.reset()
    return Ending.CUT


async def early_answer(turn: Turn) -> Ending:
    error = "too_large" if turn.do.error == "server_error" else turn.do.error
    turn.do = replace(turn.do, headers={**turn.do.headers, "connection": "close"})
    await complain(turn, error)
    await turn.line.close_gently()
    return Ending.CLOSED


PLAYS: Mapping[str, Play] = {
    "ok": ok,
    "reset_in_body": reset_in_body,
    "early_answer": early_answer,
    "slow_read": ok,  # the server reads slowly for it
    "no_continue": ok,  # the server stays silent for it
    "reset_before_headers": reset_before_headers,
    "close_before_headers": close_before_headers,
    "hang": hang,
    "headers_then_hang": headers_then_hang,
    "informational": informational,
    "garbage_status": garbage_status,
    "http09": http09,
    "huge_headers": huge_headers,
    "dripped_headers": dripped_headers,
    "redirect": redirect,
    "switching_protocols": switching_protocols,
    "conflicting_framing": conflicting_framing,
    "two_lengths": two_lengths,
    "length_too_long": length_too_long,
    "length_too_short": length_too_short,
    "bad_chunk_size": bad_chunk_size,
    "invalid_json": invalid_json,
    "html": html,
    "empty_body": empty_body,
    "empty_answer": with_say(empty),
    "corrupt_gzip": packed(corrupted),
    "gzip_bomb": packed(bomb),
    "invalid_utf8": invalid_utf8,
    "error_in_200": error_in_200,
    "unparsable_answer": with_say(unparsable),
    "schema_breaking_answer": with_say(schema_breaking),
    "stall": with_items(stall),
    "cut": with_items(cut),
    "end_early": with_items(end_early),
    "error_event": error_event,
    "malformed_event": malformed_event,
    "garbage": with_items(inserted(lambda _: b"%%%% garbage\nnot: a field\n\x00\x01\n\n")),
    "huge_event": with_items(inserted(lambda turn: turn.voice.filler(turn.do.size or 1_200_000))),
    "no_sentinel": with_items(without_sentinel),
    "trailing_data": with_items(trailing),
    "linger": with_items(lambda items, _: [*items, Act.OPEN]),
    "odd_ids": with_items(odd_ids),
    "duplicate_event": with_items(duplicate),
    "keepalives_forever": keepalives_forever,
    "broken_tool_call": with_say(broken_tool),
    "ok_then_close": ok_then_close,
    "truncated": finished("length"),
    "refusal": finished("refusal"),
    "content_filter_finish": finished("content_filter"),
    "status": status,
    **{error: named(error) for error in ERRORS},
}
