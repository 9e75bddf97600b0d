"""Streams whose events leave on time, a thousand of them from one core.

One wheel turns once a millisecond for all streams: a timer each would cost more than the events.
A stream may leave a millisecond late, and that does no harm: each event carries the moment in which
it was written (CLOCK_MONOTONIC, the same in every process), so that whoever reads it knows its
delay, and how late it was sent.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from time import monotonic_ns

ASKED = re.compile(rb"bench:(\d+):(\d+)")  # in the request's body: events, and milliseconds between two


def wish(events: int, gap: int) -> str:
    """What a client says in `user`, which every gateway passes on."""
    return f"bench:{events}:{gap}"


def _event(delta: bytes, finish: bytes = b"null") -> bytes:
    return (
        b'data: {"id":"chatcmpl-0123456789abcdefghijklmnop","object":"chat.completion.chunk",'
        b'"created":1750000000,"model":"gpt-4o-mini","system_fingerprint":"fp_0123456789",'
        b'"choices":[{"index":0,"delta":{%b},"logprobs":null,"finish_reason":%b}]}\n\n' % (delta, finish)
    )


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-request-id: req_0123456789\r\ntransfer-encoding: chunked\r\n\r\n"
)
ROLE = _chunk(_event(b'"role":"assistant","content":""'))
_SIZE = len(_event(b'"content":" %06d:%019d"' % (0, 0)))
TEXT = b"%x\r\n%b\r\n" % (_SIZE, _event(b'"content":" %06d:%019d"'))  # number and moment
END = _chunk(_event(b"", b'"stop"')) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Stream:
    """The first event leaves with the head, the others `gap` milliseconds apart."""

    __slots__ = ("due", "events", "gap", "sent", "stopped", "write")

    def __init__(self, write: Callable[[bytes], None], events: int, gap: int, now: int) -> None:
        self.write = write
        self.events = events
        self.gap = gap
        self.due = now  # in ticks
        self.sent = 0
        self.stopped = False  # nobody reads it any more

    def step(self) -> bool:
        """Send what is due; False: that was the last."""
        event = TEXT % (self.sent, monotonic_ns())
        if self.sent == 0:
            event = HEAD + ROLE + event
        self.sent += 1
        self.due += self.gap
        if self.sent == self.events:
            self.write(event + END)
            return False
        self.write(event)
        return True


class Wheel:
    """Slots of a millisecond; a slot holds the streams that are due in it."""

    def __init__(self) -> None:
        self.slots: defaultdict[int, list[Stream]] = defaultdict(list)
        self.at = 0  # the next slot to be looked at
        self.running = 0

    def add(self, stream: Stream) -> None:
        self.running += 1
        self._move(stream)

    def turn(self, now: int) -> None:
        """Everything that is due by millisecond `now`, the earliest first."""
        while self.at <= now:
            for stream in self.slots.pop(self.at, ()):
                if stream.stopped:
                    self.running -= 1
                else:
                    self._move(stream)
            self.at += 1

    def _move(self, stream: Stream) -> None:
        if stream.step():
            self.slots[max(stream.due, self.at + 1)].append(stream)  # the slot of now is being emptied
        else:
            self.running -= 1
