"""When the provider says it may be worth asking again [R5].

Promises: never raises, whatever the bytes; returns seconds from now, finite and above 0, at most
a day, or None. What does not fit a deadline is the caller's business.

The sources in order, the first that says something usable wins:
1. `retry-after-ms`, `x-ms-retry-after-ms`: exact, where Retry-After beside it was rounded up
2. `Retry-After`: seconds, fractions too, or an HTTP date (against the answer's own Date, so that
   a clock that is off does no harm)
3. the body's own field: google.rpc.RetryInfo, `retry_after`, `estimated_time`
4. the body's sentence: "try again in 1m2.5s"
5. `*-ratelimit-*-reset*`, but only of what is used up: every answer carries the resets of the
   limits that were not hit

One header given twice: the longest valid value wins. Zero, negative, infinite and unreadable
values are no hint. A reset may be a duration ("7m12s", "340ms"), seconds, a date, or Unix time in
seconds or milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from sidecar.model import Headers

LONGEST = 86_400.0
_MILLIS = (b"retry-after-ms", b"x-ms-retry-after-ms")
_UNIX = 1e9  # a reset above this is a point in time (2001 or later), above 1e11 in milliseconds
_UNIX_MILLIS = 1e11
_UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86_400.0,
}
_UNITS |= {"second": 1.0, "minute": 60.0, "day": 86_400.0, "hr": 3600.0, "millisecond": 0.001}
_UNITS |= {f"{unit}s": size for unit, size in _UNITS.items() if len(unit) > 2}

_NUMBER = re.compile(r"[+]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})([eE][+-]?\d{1,2})?")
_PIECE = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s?([a-z]{1,12})")
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,12})?(?:ms|[dhms])){1,5}")
# "try again in 6m0s", "retry after 22 seconds", "wait 3 minutes", "retry your request in 1.5s"
_SENTENCE = re.compile(
    r"\b(?:(?:try|retry)\b[^.\d]{0,40}\b(?:in|after)|wait(?:ing)?(?: for| at least| another)?"
    r"|resets? (?:in|after)"
    r"|available (?:again )?in)\s?:?\s?((?:\d{1,12}(?:\.\d{1,12})?\s?(?:milliseconds?|seconds?"
    r"|minutes?|hours?|days?|secs?|mins?|hrs?|ms|[dhms])\b[ ,]{0,2}(?:and )?"
    r"|\d{1,12}(?:\.\d{1,12})?(?:ms|[dhms])){1,4})"
)
_STRUCTURED = re.compile(r";\s?r=0\b[^,]{0,40};\s?t=(\d{1,9})")  # RateLimit: "default";r=0;t=30
_SPANS = frozenset(("second", "minute", "hour", "day", "month"))
_FIELDS = ("retryDelay", "retry_delay", "retry_after", "retry_after_seconds", "estimated_time", "retryAfter")


def wait(headers: Headers, body_error: Any, wall: float) -> float | None:
    """Seconds from now, or None. `body_error` is the parsed body, of any shape; `wall` 0: unknown."""
    plain = [(key.lower(), value.decode("latin-1").strip()) for key, value in headers]
    now = _answered_at(plain, wall)
    millis = [_number(value) for key, value in plain if key in _MILLIS]
    after = [_number(value) or _date(value, now) for key, value in plain if key == b"retry-after"]
    return (
        _longest(found / 1000 for found in millis if found)
        or _longest(after)
        or _longest(_fields(body_error, 0))
        or _longest(_sentences(body_error, 0))
        or _longest(_resets([*plain, *_quoted(body_error)], now))
    )


def _longest(found: Iterable[float | None]) -> float | None:
    valid = [seconds for seconds in found if seconds is not None and isfinite(seconds) and seconds > 0]
    return min(max(valid), LONGEST) if valid else None


def _number(text: str) -> float | None:
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        return None
    return float(text)


def _answered_at(headers: list[tuple[bytes, str]], wall: float) -> float:
    for key, value in headers:
        if key == b"date":
            sent = _moment(value)
            if sent:
                return sent
    return wall if isfinite(wall) else 0.0


def _moment(text: str) -> float | None:
    """Unix time of an HTTP date or an RFC 3339 one."""
    if len(text) > 64:
        return None
    try:
        read = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
        return read.replace(tzinfo=read.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _date(text: str, now: float) -> float | None:
    moment = _moment(text)
    return moment - now if moment and now > 0 else None


def duration(text: str) -> float | None:
    """Go's and Google's: "1h2m3.5s", "340ms"."""
    if len(text) > 40 or not _DURATION.fullmatch(text):
        return None
    return _sum(text)


def _sum(text: str) -> float:
    return sum(float(count) * _UNITS[unit] for count, unit in _PIECE.findall(text))


def _resets(headers: list[tuple[bytes, str]], now: float) -> Iterable[float | None]:
    spent: set[frozenset[str]] = set()
    resets: list[tuple[frozenset[str], str]] = []
    for key, value in headers:
        if b"ratelimit" not in key:
            continue
        words = set(key.decode("latin-1").split("-"))
        if "remaining" in words:
            if _nothing_left(value):
                spent.add(frozenset(words - {"remaining", "x"}))
        elif "reset" in words:
            resets.append((frozenset(words - {"reset", "x"}), value))
        else:
            found = _STRUCTURED.search(value)
            if found:
                yield float(found[1])
    # a reset that names no span belongs to whatever span of that resource is used up
    spent |= {frozenset(words - _SPANS) for words in spent}
    for named, value in resets:
        if named in spent:
            yield _reset(value, now)


def _nothing_left(value: str) -> bool:
    try:
        return float(value) <= 0
    except ValueError:
        return False


def _reset(value: str, now: float) -> float | None:
    number = _number(value)
    if number is None:
        return duration(value) or _date(value, now)
    if number < _UNIX:
        return number
    moment = number / 1000 if number > _UNIX_MILLIS else number
    return moment - now if now > 0 else None


def _quoted(node: Any) -> Iterable[tuple[bytes, str]]:
    """Headers that a router quotes in `error.metadata.headers`."""
    for key in ("error", "metadata", "headers"):
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key).lower().encode("latin-1", "replace"), str(value)[:64]


def _fields(node: Any, depth: int) -> Iterable[float | None]:
    if depth > 5:
        return
    if isinstance(node, list):
        for item in node[:8]:
            yield from _fields(item, depth + 1)
    elif isinstance(node, dict):
        for key in _FIELDS:
            if key in node:
                yield _field(node[key])
        for key in ("error", "response", "details", "metadata"):
            if key in node:
                yield from _fields(node[key], depth + 1)


def _field(value: Any) -> float | None:
    if isinstance(value, str):
        return duration(value) or _number(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < 1e15 else None
    if isinstance(value, Mapping):  # a protobuf Duration: {"seconds": 30}
        return _field(value.get("seconds"))
    return None


def _sentences(node: Any, depth: int) -> Iterable[float | None]:
    if isinstance(node, str):
        for found in _SENTENCE.finditer(node[:4000].lower()):
            yield _sum(found[1])
    elif depth < 5 and isinstance(node, list):
        for item in node[:8]:
            yield from _sentences(item, depth + 1)
    elif depth < 5 and isinstance(node, dict):
        for key in ("error", "response", "message", "detail", "metadata", "raw", "msg"):
            if key in node:
                yield from _sentences(node[key], depth + 1)
