"""Server-sent events, cut out of bytes that arrive in any pieces (WHATWG HTML, section 9.2).

What it promises. The bytes that come out are the bytes that went in, in order; they come out when
an event is whole, so that another event may always be put after them. What the events say comes
out beside them and is the same however the bytes were cut.

Lines end with LF, CR or CRLF. A lone CR ends its line at once: whoever sends only CR would
otherwise be read one event late, and the LF that may follow is a blank line, which says nothing.

Comments are passed as soon as their line is whole: keep-alives must not wait for the next event.
`id` and `retry` steer a browser's reconnecting; nobody reads them here.

An event above `CAP` is not read. Its bytes pass as they come, and reading goes on behind it: the
stream may still be judged by its end. Only while such an event passes is the output not aligned.

An event that the end of the bytes leaves without its blank line is reported by `close`. A browser
would drop it, but providers forget the blank line after their last event, and it says that the
answer is complete.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

CAP = 1024 * 1024

Event = tuple[bytes, bytes | None]
"""Type (empty where none is named) and data; data None: the event was too large to be read."""

_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"(?>\r\n?|\n)((?>\r\n?|\n))")
_SILENCE = re.compile(rb"(?:[\r\n]|:[^\r\n]*+[\r\n])++")


class EventStream:
    __slots__ = ("_begun", "_cap", "_held", "_oversized", "_tail")

    def __init__(self, cap: int = CAP) -> None:
        self._cap = cap
        self._held = bytearray()  # the beginning of an event that is not whole yet
        self._begun = False  # a byte order mark counts only at the very beginning
        self._oversized = False
        self._tail = b""  # the line end that an oversized event's last piece stopped with

    @property
    def bare(self) -> bytes:
        """What is held, if it begins as JSON and not as an event; else nothing."""
        # the LF of a CRLF may come late and then stand in front
        return bytes(self._held) if self._held[:2].lstrip(b"\n")[:1] == b"{" else b""

    def feed(self, data: bytes) -> tuple[bytes, Sequence[Event]]:
        """The bytes that may go on, and the events that are whole in them."""
        if (  # nearly all that comes: one event of one line, in one piece
            data[:6] == b"data: "
            and data.find(b"\n") == len(data) - 2
            and data[-1:] == b"\n"
            and not self._held
            and not self._oversized
            and len(data) <= self._cap
            and b"\r" not in data
        ):
            self._begun = True
            return data, ((b"", data[6:-2]),)
        if (
            data[-1:] == b"\n"
            and not self._held
            and not self._oversized
            and data[:1] != _BOM[:1]
            and len(data) <= self._cap
        ):
            plain = data.replace(b"\r\n", b"\n") if b"\r" in data else data  # Google's are CRLF
            if plain[-2:] == b"\n\n" and b"\r" not in plain:
                self._begun = True
                return data, _plain_events(plain)
        if self._oversized:
            return self._skip(data)
        return self._scan(data)

    def close(self) -> tuple[bytes, Sequence[Event]]:
        """The bytes that were left, and the event they may hold."""
        raw = bytes(self._held)
        self._held.clear()
        events: list[Event] = []
        if raw:
            self._take(raw, events)
        return raw, events

    def _scan(self, data: bytes) -> tuple[bytes, Sequence[Event]]:
        held = self._held
        # not from the beginning, so that an event in many pieces is not searched again and again
        start = max(0, len(held) - 3)
        held += data
        events: list[Event] = []
        end = 0
        for blank in _BLANK.finditer(held, start):
            self._take(bytes(held[end : blank.start()]), events)
            end = blank.end()
        if len(held) - end > self._cap + 2:  # two bytes may belong to the blank line
            events.append((b"", None))
            self._begun = self._oversized = True
            self._tail = _line_end(held)
            end = len(held)
        elif data[-1:] in (b"\n", b"\r") and _SILENCE.fullmatch(held, end):
            self._begun = True
            end = len(held)
        if not end:
            return b"", events
        raw = bytes(held[:end])
        del held[:end]
        return raw, events

    def _skip(self, data: bytes) -> tuple[bytes, Sequence[Event]]:
        joined = self._tail + data
        blank = _BLANK.search(joined)
        if blank is None:
            self._tail = _line_end(joined)
            return data, ()
        cut = blank.end() - len(self._tail)
        self._oversized = False
        self._tail = b""
        raw, events = self.feed(data[cut:])
        return data[:cut] + raw, events

    def _take(self, block: bytes, events: list[Event]) -> None:
        if not self._begun:
            self._begun = True
            block = block.removeprefix(_BOM)
        if len(block) > self._cap:
            events.append((b"", None))
        else:
            _read(block, events)


def without(raw: bytes, contents: Sequence[bytes]) -> bytes:
    """Whole events, less those whose data is one of `contents`."""
    kept = bytearray()
    start = 0
    for blank in _BLANK.finditer(raw):
        events: list[Event] = []
        _read(raw[start : blank.start()].removeprefix(_BOM), events)
        end = blank.end()
        if any(data in contents for _, data in events):
            comments = _SILENCE.match(raw, start, end)  # they have been passed already if they came alone
            # its blank line stays: with CRLF the LF of it may still be on its way
            kept += raw[start : comments.end() if comments else start] + blank[1]
        else:
            kept += raw[start:end]
        start = blank.end()
    return bytes(kept + raw[start:])


def _plain_events(data: bytes) -> list[Event]:
    """The common case without a search: whole events, LF only, mostly `data` alone or behind `event`."""
    events: list[Event] = []
    for block in data.split(b"\n\n"):
        if block[:6] == b"data: " and b"\n" not in block:
            events.append((b"", block[6:]))
        elif block[:7] == b"event: " and block.count(b"\n") == 1 and b"\ndata: " in block:
            kind, _, content = block.partition(b"\ndata: ")
            events.append((kind[7:], content))
        elif block:
            _read(block, events)
    return events


def _read(block: bytes, events: list[Event]) -> None:
    kind = b""
    lines: list[bytes] = []
    for line in block.splitlines():  # of bytes: at LF, CR and CRLF only
        if line[:5] == b"data:":
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line[:6] == b"event:":
            kind = line[7:] if line[6:7] == b" " else line[6:]
        elif line == b"data":
            lines.append(b"")
        elif line == b"event":
            kind = b""
    if lines:
        events.append((kind, b"\n".join(lines)))


def _line_end(data: bytes | bytearray) -> bytes:
    if data.endswith(b"\r\n"):
        return b"\r\n"
    return bytes(data[-1:]) if data[-1:] in (b"\n", b"\r") else b""
