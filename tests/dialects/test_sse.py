"""The event-stream reader against cases written from the WHATWG text, and against itself cut up."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.dialects.sse import CAP, Event, EventStream

CASES = {
    "LF": (b"data: a\n\n", [(b"", b"a")]),
    "CRLF": (b"data: a\r\n\r\n", [(b"", b"a")]),
    "CR": (b"data: a\r\r", [(b"", b"a")]),
    "line ends mixed": (b"data: a\r\n\ndata: b\n\rdata: c\r\r\n", [(b"", b"a"), (b"", b"b"), (b"", b"c")]),
    "several data lines are joined by LF": (b"data: a\r\ndata: b\rdata:c\n\n", [(b"", b"a\nb\nc")]),
    "only one space is taken off": (b"data:  a\n\ndata:b\n\n", [(b"", b" a"), (b"", b"b")]),
    "a field without a colon is empty": (b"data\n\ndata\ndata\n\n", [(b"", b""), (b"", b"\n")]),
    "data with nothing behind the colon": (b"data:\n\ndata: \n\n", [(b"", b""), (b"", b"")]),
    "the type, the last one counts": (b"event: x\nevent: add\ndata: 1\n\n", [(b"add", b"1")]),
    "a type without a colon is empty": (b"event: x\nevent\ndata: 1\n\n", [(b"", b"1")]),
    "a type does not outlive its event": (b"event: x\n\ndata: 1\n\n", [(b"", b"1")]),
    "a type alone is no event": (b"event: x\n\n", []),
    "the type may follow the data": (b"data: 1\nevent: x\n\n", [(b"x", b"1")]),
    "id and retry change nothing": (b"id: 7\nretry: 10\ndata: a\nid\n\n", [(b"", b"a")]),
    "unknown fields are ignored": (b"dat: x\ndatas: y\n data: z\nDATA: q\ndata: a\n\n", [(b"", b"a")]),
    "comments are ignored": (b": one\n:\ndata: a\n:two\n\n", [(b"", b"a")]),
    "a comment block is silent": (b": one\n\n:\r\n\r\n", []),
    "blank lines are silent": (b"\n\n\r\n\r\r\n\n", []),
    "more blank lines than needed": (b"\n\ndata: a\n\n\n\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    "one leading byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    "a second byte order mark is a field's": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    "a later byte order mark is a field's": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
    "a mark behind a comment is a field's": (b": a\n\xef\xbb\xbfdata: b\n\n", []),
    "colons in a value": (b"data: a: b:c\n\n", [(b"", b"a: b:c")]),
    "a NUL is a byte like any other": (b"data: a\x00b\n\n", [(b"", b"a\x00b")]),
    "no other line end counts": (
        b"data: a\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8b\n\n",
        [(b"", b"a\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8b")],
    ),
    "invalid UTF-8 is not ours to judge": (b"data: \xff\xfe\n\n", [(b"", b"\xff\xfe")]),
    "a cut event is reported at the end": (b"data: a\n\ndata: b\n", [(b"", b"a"), (b"", b"b")]),
    "a cut line is reported at the end": (b"event: x\ndata: b", [(b"x", b"b")]),
    "nothing": (b"", []),
}


def read(pieces: list[bytes]) -> tuple[bytes, list[Event]]:
    stream = EventStream()
    raw = b""
    events: list[Event] = []
    for piece in pieces:
        passed, found = stream.feed(piece)
        raw += passed
        events += found
    passed, found = stream.close()
    return raw + passed, [*events, *found]


@pytest.mark.parametrize(("stream", "events"), CASES.values(), ids=CASES.keys())
def test_a_stream_says_what_the_standard_reads_in_it(stream: bytes, events: list[Event]) -> None:
    assert (stream, events) == read([stream])
    assert (stream, events) == read([bytes([byte]) for byte in stream])


@given(
    st.lists(
        st.sampled_from(
            [b"data", b"event", b":", b": ", b" ", b"\r", b"\n", b"\r\n", b"\n\n", b"a", b"\xef\xbb\xbf"]
        )
    ),
    st.data(),
)
def test_any_cut_of_any_bytes_gives_the_same_events(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))

    assert read([stream]) == read([stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])])


def test_what_is_passed_ends_with_an_event() -> None:
    stream = EventStream()

    assert (b"data: a\n\n", [(b"", b"a")]) == stream.feed(b"data: a\n\ndata: b\n")
    assert (b"data: b\n\n", [(b"", b"b")]) == stream.feed(b"\n")
    assert (b"", []) == stream.feed(b"da")
    assert (b"data: c\r\n\r\n", [(b"", b"c")]) == stream.feed(b"ta: c\r\n\r\nid: 1")


def test_an_event_ended_by_a_lone_cr_is_not_held_for_an_lf() -> None:
    stream = EventStream()

    assert (b"data: a\r\r", [(b"", b"a")]) == stream.feed(b"data: a\r\r")
    assert (b"\n", []) == stream.feed(b"\n")
    assert (b"data: b\r\n\r", [(b"", b"b")]) == stream.feed(b"data: b\r\n\r")


@pytest.mark.parametrize("beat", [b": ping\n", b": ping\r\n", b":\r", b"\n: ping\n", b": a\n: b\n", b"\n"])
def test_a_keep_alive_is_passed_when_its_line_is_whole(beat: bytes) -> None:
    assert (beat, []) == EventStream().feed(beat)


def test_a_comment_inside_an_event_waits_for_it() -> None:
    stream = EventStream()

    assert (b"", []) == stream.feed(b"data: a\n: ping\n")
    assert (b"data: a\n: ping\n\n", [(b"", b"a")]) == stream.feed(b"\n")


def big(size: int) -> bytes:
    return b"data: " + b"x" * (size - 6)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n"])
@pytest.mark.parametrize(("over", "read_"), [(0, True), (1, False), (9, False)])
@pytest.mark.parametrize("step", [1 << 21, 65_536, 4_093])
def test_an_event_above_the_cap_is_not_read_but_what_follows_is(
    end: bytes, over: int, read_: bool, step: int
) -> None:
    stream = b"data: a\n\n" + big(CAP + over) + end + b"data: b\n\n: c\n\ndata: d\n\n"
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]

    raw, events = read(pieces)

    assert stream == raw
    sizes = [(None if content is None else len(content)) for _, content in events]
    assert [1, CAP - 6 if read_ else None, 1, 1] == sizes


def test_around_the_cap_the_last_bytes_may_come_one_by_one() -> None:
    for over in (-1, 0, 1, 2, 3):
        stream = big(CAP + over) + b"\r\n\r\n" + b"data: b\n\n"
        pieces = [stream[: CAP - 3], *(bytes([byte]) for byte in stream[CAP - 3 :])]

        assert read([stream]) == read(pieces)


def test_nothing_is_held_of_an_oversized_event() -> None:
    stream = EventStream()

    piece = b"x" * 65_536
    stream.feed(b"data: ")
    passed = sum(len(stream.feed(piece)[0]) for _ in range(64))

    assert 64 * len(piece) + 6 == passed
    assert b"" == stream.close()[0]
