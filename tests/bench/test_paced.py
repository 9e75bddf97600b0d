"""The vendor sends what is due, in order, and nothing to who has left."""

from __future__ import annotations

import re

from bench.paced import END, HEAD, ROLE, TEXT, Stream, Wheel


def numbers(sent: list[bytes]) -> list[int]:
    return [int(found) for found in re.findall(rb'"content":" (\d{6}):', b"".join(sent))]


def started(wheel: Wheel, now: int, events: int, gap: int) -> tuple[Stream, list[bytes]]:
    sent: list[bytes] = []
    wheel.at = max(wheel.at, now)
    stream = Stream(sent.append, events, gap, now)
    wheel.add(stream)
    return stream, sent


def test_the_first_event_leaves_with_the_head():
    _, sent = started(Wheel(), 500, events=3, gap=20)
    assert len(sent) == 1
    assert sent[0].startswith(HEAD + ROLE)
    assert numbers(sent) == [0]


def test_an_event_leaves_when_it_is_due_and_not_before():
    wheel = Wheel()
    _, sent = started(wheel, 500, events=3, gap=20)
    wheel.turn(519)
    assert numbers(sent) == [0]
    wheel.turn(520)
    assert numbers(sent) == [0, 1]
    wheel.turn(540)
    assert numbers(sent) == [0, 1, 2]
    assert sent[-1].endswith(END)
    assert wheel.running == 0


def test_a_wheel_that_was_held_up_sends_everything_that_was_due_in_order():
    wheel = Wheel()
    _, sent = started(wheel, 0, events=5, gap=10)
    wheel.turn(35)
    assert numbers(sent) == [0, 1, 2, 3]


def test_streams_of_different_gaps_share_the_wheel():
    wheel = Wheel()
    _, slow = started(wheel, 0, events=3, gap=30)
    _, fast = started(wheel, 0, events=7, gap=10)
    wheel.turn(60)
    assert numbers(slow) == [0, 1, 2]
    assert numbers(fast) == [0, 1, 2, 3, 4, 5, 6]
    assert wheel.running == 0


def test_who_has_left_gets_nothing_more():
    wheel = Wheel()
    stream, sent = started(wheel, 0, events=5, gap=10)
    stream.stopped = True
    wheel.turn(100)
    assert numbers(sent) == [0]
    assert wheel.running == 0


def test_an_event_s_chunk_has_the_length_it_announces():
    for number, moment in ((0, 0), (7, 123_456_789_012_345), (999_999, 2**62)):
        size, _, rest = (TEXT % (number, moment)).partition(b"\r\n")
        assert len(rest) == int(size, 16) + 2
