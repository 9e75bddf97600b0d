"""Does a text go round in circles? Looked at as it grows, one kibibyte at a time.

Two things have to agree. The end of the text is covered by one passage, repeated at least three times:
ordinary text, code, tables and lists stay at nearly nothing, a model that is stuck reaches the whole.
And the text packs far better than its kind does, which tells a loop from a short refrain. The first is
a few searches that take microseconds, so that text which is fine costs nearly nothing; only what it
suspects is packed.

It sees exact repeats. JSON repeats itself by nature and is never looked at.
"""

from __future__ import annotations

import zlib

LOOK_EVERY = 1024  # characters
TAIL = 1024  # in which repeats are sought
PACKED = 2048  # characters that are packed, at most
SHARE = 0.4  # of the tail that one passage covers
RATIO = 3.0  # of a text to its packed form
_NEEDLE = 16
_CANDIDATES = 8


def covered(text: str) -> float:
    """The share of the text's end that one passage covers, repeated at least three times."""
    tail = text[-TAIL:]
    if len(tail) < 4 * _NEEDLE:
        return 0.0
    needle, end, best = tail[-_NEEDLE:], len(tail) - 1, 0
    for _ in range(_CANDIDATES):
        found = tail.rfind(needle, 0, end)
        if found < 0:
            break
        period = len(tail) - _NEEDLE - found
        length = period + _common_end(tail, tail[:-period])
        if length >= 3 * period:
            best = max(best, length)
            break
        end = found + _NEEDLE - 1
    return best / len(tail)


def _common_end(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one.endswith(other[-middle:]):
            low = middle
        else:
            high = middle - 1
    return low


def loops(text: str) -> float:
    """The covered share if this text goes round in circles, else 0."""
    share = covered(text)
    if share < SHARE:
        return 0.0
    data = text[-PACKED:].encode(errors="replace")
    return share if len(data) > RATIO * len(zlib.compress(data)) else 0.0
