"""The load counts what came, however it was cut, and nothing that did not come."""

from __future__ import annotations

import re

from bench.paced import ASKED, END, HEAD, ROLE, TEXT, wish
from bench.streams import Order, Reading, Tally, ask, share

MS = 1_000_000
GAP = 20
ASKED_AT = 1_000 * MS


def tally() -> Tally:
    return Tally(0, 10**18)


def reading(events: int, into: Tally) -> Reading:
    return Reading(into, events, GAP, ASKED_AT)


def event(number: int, sent: int) -> bytes:
    return TEXT % (number, sent)


def answer(events: int) -> bytes:
    """Sent on time, the first one a millisecond after the request."""
    sent = [ASKED_AT + MS + number * GAP * MS for number in range(events)]
    return HEAD + ROLE + b"".join(event(number, at) for number, at in enumerate(sent)) + END


def test_a_whole_stream_counts_the_same_however_it_is_cut():
    whole = answer(3)
    for size in (1, 2, 7, 64, 333, len(whole)):
        into = tally()
        one = reading(3, into)
        for at in range(0, len(whole), size):
            one.feed(whole[at : at + size], ASKED_AT + 100 * MS)
        assert one.whole, size
        assert list(into.firsts) == [100 * MS]
        assert list(into.delays) == [100 * MS - 21 * MS, 100 * MS - 41 * MS]
        assert list(into.lates) == [0, 0]
        assert into.in_steady == 3


def test_several_events_in_one_chunk_are_several_events():
    data = b"".join(
        re.sub(rb"\A[0-9a-f]+\r\n|\r\n\Z", b"", event(number, ASKED_AT + number * GAP * MS))
        for number in range(3)
    )
    into = tally()
    one = reading(3, into)
    one.feed(HEAD + b"%x\r\n%b\r\n" % (len(data), data) + END, ASKED_AT + 60 * MS)
    assert one.whole
    assert list(into.delays) == [40 * MS, 20 * MS]


def test_a_missing_event_is_not_held():
    into = tally()
    one = reading(3, into)
    one.feed(HEAD + event(0, ASKED_AT) + event(2, ASKED_AT + 40 * MS) + END, ASKED_AT + 50 * MS)
    assert not one.whole
    assert into.error == "event 2 came where 1 was due"


def test_an_end_before_the_last_event_is_not_held():
    into = tally()
    one = reading(3, into)
    one.feed(HEAD + event(0, ASKED_AT) + END, ASKED_AT + 50 * MS)
    assert not one.whole
    assert into.error == "ended after 1 of 3 events"


def test_a_stream_without_its_end_is_not_held():
    one = reading(1, tally())
    one.feed(HEAD + event(0, ASKED_AT), ASKED_AT + MS)
    assert not one.over
    assert not one.whole


def test_an_end_more_than_a_second_late_is_not_held():
    for late, held in ((999, True), (1001, False)):
        one = reading(2, tally())
        one.feed(answer(2), ASKED_AT + (2 * GAP + late) * MS)
        assert one.whole is held, late


def test_an_error_is_no_stream():
    into = tally()
    one = reading(1, into)
    one.feed(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", ASKED_AT)
    assert one.over
    assert not one.whole
    assert into.error.startswith("not a stream")


def test_a_late_vendor_is_told_apart_from_a_slow_subject():
    into = tally()
    one = reading(2, into)
    one.feed(HEAD + event(0, ASKED_AT), ASKED_AT + MS)
    sent = ASKED_AT + (GAP + 7) * MS
    one.feed(event(1, sent), sent + 2 * MS)
    assert list(into.delays) == [2 * MS]
    assert list(into.lates) == [7 * MS]


def test_only_events_of_the_steady_time_are_counted_for_cpu():
    into = Tally(ASKED_AT + 10 * MS, ASKED_AT + 30 * MS)
    one = reading(3, into)
    for number in range(3):
        at = ASKED_AT + number * GAP * MS
        one.feed((HEAD if number == 0 else b"") + event(number, at), at)
    assert into.in_steady == 1


def test_what_all_streams_add_up_to_is_in_seconds():
    into = tally()
    one = reading(3, into)
    one.feed(answer(3), ASKED_AT + 100 * MS)
    found = into.carried(held=1)
    assert (found.first_p50, found.delay_p50, found.delay_p99) == (0.1, 0.079, 0.079)
    assert (found.events, found.held, found.error) == (3, 1, "")


def test_a_share_is_a_value_that_was_seen():
    assert share([3.0, 1.0, 2.0], 0.5) == 2.0
    assert share(range(100), 0.99) == 99
    assert share([5.0], 0.99) == 5.0
    assert share([], 0.5) == float("inf")


def test_the_wish_in_a_request_is_what_the_vendor_reads():
    request = ask(Order(1, "/v1/chat/completions", 1, 80, 20, 0.0, 0.0, 0.0, 0.0))
    head, _, body = request.partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head
    found = ASKED.search(body)
    assert found is not None
    assert (found[1], found[2]) == (b"80", b"20")
    assert wish(80, 20).encode() in body
