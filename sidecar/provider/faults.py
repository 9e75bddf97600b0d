"""How each behaviour of the catalogue is played, byte for byte.

Most faults are a change to the good answer: to its text, to the list of pieces it is sent in, or
to its head. The list may hold an `Act` where the sending stops being polite. `show` plays such a
list; everything else here prepares one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import cycle

from sidecar.provider.answers import Part, Piece, Saying, pieces, saying, sse
from sidecar.provider.behaviour import ERRORS
from sidecar.provider.complaints import complain, error_in_200, named, status
from sidecar.provider.show import (
    Act,
    Ending,
    Item,
    Play,
    Show,
    Turn,
    contents,
    head_of,
    kind_of,
    ping_of,
    plain,
    show,
    squeeze,
    styled,
    upto,
)
from sidecar.provider.wire import Body, head_bytes

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
    return [*items[: upto(items, turn.do)], Act.STALL]


def cut(items: list[Item], turn: Turn) -> list[Item]:
    at = upto(items, turn.do)
    head, rest = items[:at], items[at:]
    if turn.do.mid_event and rest and isinstance(rest[0], Piece):
        head.append(Piece(rest[0].part, rest[0].data[: len(rest[0].data) // 2]))
    return [*head, Act.RESET if turn.do.how == "reset" else Act.FIN]


def end_early(items: list[Item], turn: Turn) -> list[Item]:
    return items[: upto(items, turn.do)]


def inserted(make: Callable[[Turn], bytes]) -> Callable[[list[Item], Turn], list[Item]]:
    def change(items: list[Item], turn: Turn) -> list[Item]:
        if not turn.asked.stream:
            return items
        at = upto(items, turn.do)
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
    at = upto(items, turn.do)
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
    return await show(
        turn, Show(items=[*items[: upto(items, turn.do)], Piece(Part.CLOSING, event)], failed=True)
    )


async def invalid_json(turn: Turn) -> Ending:
    def spoil(item: Item) -> Item:
        return Piece(item.part, item.data.replace(b'{"', b'<"')) if isinstance(item, Piece) else item

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
        unzipped = replace(turn, do=replace(turn.do, gzip=False))
        raw = b"".join(item.data for item in contents(unzipped) if isinstance(item, Piece))
        item = Piece(Part.CONTENT, damage(raw, turn))
        ending = await show(unzipped, Show(items=[item], encoded=True))
        turn.status = unzipped.status
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
    return await show(turn, Show(items=[*items[: upto(items, turn.do)], Act.BAD_CHUNK], framing="chunked"))


async def keepalives_forever(turn: Turn) -> Ending:
    await turn.line.write(head_bytes(200, head_of(turn, kind_of(turn), [("transfer-encoding", "chunked")])))
    turn.status = 200
    body = Body(turn.line, chunked=True, split="event", gzip=False, rng=turn.rng)
    while True:
        await body.put(ping_of(turn))
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
    await turn.line.write(head_bytes(200, head_of(turn, kind_of(turn), framing)))
    turn.status = 200
    return await hang(turn)


async def garbage_status(turn: Turn) -> Ending:
    await turn.line.write((turn.do.body or "HPPT 2000 OKAY\r\nwhat: is this\r\n\r\n").encode())
    turn.line.close()
    return Ending.CUT


async def redirect(turn: Turn) -> Ending:
    status = turn.do.status if turn.do.status != 500 else 307
    return await plain(turn, status, b"", "text/plain", [("location", turn.do.location)])


async def switching_protocols(turn: Turn) -> Ending:
    turn.status = 101
    await turn.line.write(head_bytes(101, [("connection", "upgrade"), ("upgrade", "websocket")]))
    turn.line.close()
    return Ending.CLOSED


async def html(turn: Turn) -> Ending:
    await turn.line.pause(turn.do.delay)
    page = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking.</body></html>"
    return await plain(turn, 200, page, "text/html; charset=utf-8")


async def empty_body(turn: Turn) -> Ending:
    await turn.line.pause(turn.do.delay)
    return await plain(turn, 200, b"", kind_of(turn))


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
