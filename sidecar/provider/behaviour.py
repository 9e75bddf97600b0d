"""What the fake vendor can do to a call: one row per behaviour, one frozen value per use of it.

A behaviour is a name from `CATALOGUE` and options; every option has a default, and a behaviour
takes only the options that mean something to it. `covers` names the lines of the project's fault
catalogue (docs/provider.md) that the behaviour stands for.

When it is chosen matters: some faults happen before there is a request to look at. `Moment`
says how much of the call is known then, and so which conditions of a rule can hold.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, dataclass, field, fields
from enum import IntEnum

ERRORS = (
    "rate_limit", "quota", "billing", "auth", "permission", "region", "overloaded", "server_error",
    "timeout", "conflict", "context_window", "content_filter", "invalid_request", "model_gone",
    "not_found", "too_large",
)  # fmt: skip
LIMITS = ("requests", "tokens", "day", "concurrency", "acceleration")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "split": ("event", "whole", "byte", "random"),
    "framing": ("", "chunked", "length", "close"),
    "eol": ("lf", "crlf", "cr"),
    "finish": ("", "stop", "length", "content_filter", "refusal"),
    "how": ("fin", "reset"),
    "error": ERRORS,
    "limit": LIMITS,
}


class Moment(IntEnum):
    """When a behaviour is chosen: only the number and the time are known at ACCEPT."""

    ACCEPT = 0
    HEAD = 1
    BODY = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the catalogue."""

    help: str
    covers: tuple[int, ...] = ()
    options: tuple[str, ...] = ()
    moment: Moment = Moment.BODY


GOOD = (
    "text", "events", "delay", "first_content_after", "gap", "usage", "tool", "json", "reasoning",
    "keepalive", "split", "framing", "eol", "bom", "tight", "finish", "model", "gzip", "headers",
)  # fmt: skip
ERROR = (
    "delay", "headers", "message", "body", "retry_after", "retry_after_ms", "retry_after_date", "skew",
    "should_retry",
)  # fmt: skip
PLACED = (*GOOD, "after", "at")


CATALOGUE: Mapping[str, Kind] = {
    "ok": Kind("a good, whole answer, as slow and as oddly cut as its options say", (40, 46, 50), GOOD),
    # connection
    "refuse": Kind(
        "closes the port, for `seconds` or while the rule holds; running exchanges finish",
        (1, 98),
        ("seconds",),
        Moment.ACCEPT,
    ),
    "blackhole": Kind(
        "as refuse, but connecting times out instead (Linux)", (2,), ("seconds",), Moment.ACCEPT
    ),
    "accept_reset": Kind("accepts and resets at once", (10, 15), (), Moment.ACCEPT),
    "accept_stall": Kind("accepts and never reads or writes: a stalled handshake", (9,), (), Moment.ACCEPT),
    "tls_alert": Kind("answers the first bytes with a fatal TLS alert", (10,), (), Moment.ACCEPT),
    "reset_in_body": Kind("resets after `size` bytes of the request's body", (13,), ("size",), Moment.HEAD),
    "early_answer": Kind(
        "answers `error` (413 by default) before the body has come, reads no more of it and closes",
        (17,),
        ("error", *ERROR),
        Moment.HEAD,
    ),
    "slow_read": Kind(
        "reads the request's body at `rate` bytes/s, then answers well", (), ("rate", *GOOD), Moment.HEAD
    ),
    "no_continue": Kind("never sends 100 Continue, then answers well", (19,), GOOD, Moment.HEAD),
    # before the answer
    "reset_before_headers": Kind("reads the request, then resets", (14, 15), ("delay",)),
    "close_before_headers": Kind("reads the request, then closes politely", (16,), ("delay",)),
    "hang": Kind("reads the request and never answers", (18,)),
    "headers_then_hang": Kind("sends a good head and then nothing", (18, 37, 41), ("delay", "headers")),
    "informational": Kind("sends 103 and 102 before a good answer", (20,), GOOD),
    "garbage_status": Kind("sends something that is no status line", (21,), ("body",)),
    "http09": Kind("sends a body with no head at all", (21,), GOOD),
    "huge_headers": Kind(
        "a good answer under `size` bytes of headers in `lines` lines", (22,), ("size", "lines", *GOOD)
    ),
    "dripped_headers": Kind("sends the head one byte per `gap` seconds", (23,), GOOD),
    "redirect": Kind("307 (or `status`) to `location`", (24,), ("status", "location", "headers")),
    "switching_protocols": Kind("101, though nobody asked", (25,)),
    "conflicting_framing": Kind("both Content-Length and chunked", (26,), GOOD),
    "two_lengths": Kind("two Content-Length headers that differ", (26,), GOOD),
    # body
    "length_too_long": Kind("promises `size` bytes more than it sends, then closes", (27,), ("size", *GOOD)),
    "length_too_short": Kind("sends `size` bytes more than it promised", (28,), ("size", *GOOD)),
    "bad_chunk_size": Kind("an unreadable chunk size after `after` events", (30,), PLACED),
    "invalid_json": Kind("200 with a body that is no JSON (a stream: events that are none)", (31,), GOOD),
    "html": Kind("200 with a page of HTML, as from a CDN", (32,), ("delay", "headers")),
    "empty_body": Kind("200 with nothing in it", (33,), ("delay", "headers")),
    "empty_answer": Kind("a well-formed answer that says nothing", (33,), GOOD),
    "corrupt_gzip": Kind("gzip whose data is damaged", (34,), GOOD),
    "gzip_bomb": Kind("gzip that inflates to `size` bytes", (34,), ("size", *GOOD)),
    "invalid_utf8": Kind("a good answer with bytes in it that are no UTF-8", (35,), GOOD),
    "error_in_200": Kind("200 with the dialect's error object", (36,), ("error", "limit", *ERROR)),
    "unparsable_answer": Kind("a good envelope whose text is broken JSON", (38,), GOOD),
    "schema_breaking_answer": Kind("a good envelope whose JSON has the wrong fields", (38,), GOOD),
    # streams; a call that does not stream gets the same done to its body
    "stall": Kind("sends `after` events, then nothing; the connection stays open", (37, 41, 42), PLACED),
    "cut": Kind(
        "sends `after` events (and half of one: `mid_event`), then breaks off: `how` fin or reset",
        (27, 29, 43),
        ("how", "mid_event", *PLACED),
    ),
    "end_early": Kind("sends `after` events, then ends politely, as if that were all", (48,), PLACED),
    "error_event": Kind(
        "the dialect's `error` event after `after` events", (44,), ("error", "limit", "message", *PLACED)
    ),
    "malformed_event": Kind("one event after `after` events whose data is no JSON", (45,), PLACED),
    "garbage": Kind("lines that are no events after `after` events", (45,), PLACED),
    "huge_event": Kind("one event of `size` bytes after `after` events", (47,), ("size", *PLACED)),
    "no_sentinel": Kind(
        "whole, but without [DONE] or message_stop; `keep_open`: and the stream never ends",
        (48,),
        ("keep_open", *GOOD),
    ),
    "trailing_data": Kind("another event after the end marker", (49,), GOOD),
    "linger": Kind("whole, end marker and all, but the stream never ends", (48, 49), GOOD),
    "odd_ids": Kind("events with repeated and disordered ids", (51,), GOOD),
    "duplicate_event": Kind("sends one content event twice", (51,), PLACED),
    "keepalives_forever": Kind(
        "only comments or pings, every `keepalive` s", (52,), ("keepalive", "headers")
    ),
    "broken_tool_call": Kind("a tool call whose arguments are cut off", (53,), GOOD),
    "ok_then_close": Kind("answers well, then closes the connection without having said so", (14,), GOOD),
    # finished, but not as hoped
    "truncated": Kind("finished by the output limit", (39,), GOOD),
    "refusal": Kind("the model declines", (39,), GOOD),
    "content_filter_finish": Kind("200, finished by the content filter", (39,), GOOD),
    # errors, in the dialect's own envelope
    "status": Kind("`status` with the dialect's error envelope, or with `body`", (66,), ("status", *ERROR)),
    "rate_limit": Kind(
        "429; `limit` says which limit; with or without a hint when to come back",
        (56, 57, 58, 59, 60, 61, 67, 68),
        ("limit", "reset", *ERROR),
    ),
    "quota": Kind("429 insufficient_quota / 400 usage limit", (63,), ERROR),
    "billing": Kind("402, or 429 billing_hard_limit", (63,), ERROR),
    "auth": Kind("401", (64,), ERROR),
    "permission": Kind("403", (64,), ERROR),
    "region": Kind("403, wrong country", (64,), ERROR),
    "overloaded": Kind("529 overloaded_error / 503", (62,), ERROR),
    "server_error": Kind("500", (66,), ERROR),
    "timeout": Kind("408", (66,), ERROR),
    "conflict": Kind("409", (66,), ERROR),
    "context_window": Kind("400, prompt too long", (65,), ERROR),
    "content_filter": Kind("400, prompt flagged", (65,), ERROR),
    "invalid_request": Kind("400", (65,), ERROR),
    "model_gone": Kind("404, no such model", (65,), ERROR),
    "not_found": Kind("404, no such path", (65,), ERROR),
    "too_large": Kind("413", (65,), ERROR),
}


# what an option does, for `--list`, the docs, and whoever reads on
OPTIONS: Mapping[str, str] = {
    "after": "content events that are sent before the fault",
    "at": "events of any kind that are sent before the fault, instead of `after`",
    "body": "the body as it is, instead of the dialect's envelope",
    "bom": "the stream begins with a byte order mark",
    "delay": "seconds before the head",
    "eol": "line ends of the stream: lf, crlf or cr",
    "error": "which error: a name of the errors below",
    "events": "content events of the good answer",
    "finish": "finish reason: stop, length, content_filter or refusal",
    "first_content_after": "seconds from the head to the first content",
    "framing": "chunked, length or close (the end of the connection is the end of the body)",
    "gap": "seconds between two contents (dripped_headers: between two bytes)",
    "gzip": "the body is compressed",
    "headers": "more headers of the answer",
    "how": "fin or reset",
    "json": 'the text of the answer as JSON; "{nonce}" is replaced',
    "keep_open": "the connection stays open",
    "keepalive": "a comment, ping or blank every so many seconds of waiting",
    "limit": "requests, tokens, day, concurrency or acceleration",
    "lines": "headers",
    "location": "where the redirect points",
    "message": "the error's text",
    "mid_event": "also sends half of the next event",
    "model": "the model that the answer names",
    "rate": "bytes per second",
    "reasoning": "reasoning events before the text",
    "reset": 'x-ratelimit-reset-requests (and its like) as it is: "1m2.5s"',
    "retry_after": "the header's value, or a list: the header comes several times",
    "retry_after_date": "Retry-After as a date, so many seconds from now",
    "retry_after_ms": "the header's value",
    "seconds": "how long",
    "should_retry": "x-should-retry",
    "size": "bytes",
    "skew": "seconds by which the vendor's clock is wrong",
    "split": "how the bytes are cut: event, whole, byte or random",
    "status": "the status code",
    "text": 'the text of the answer; "{nonce}" is replaced',
    "tight": "no blank after `data:`",
    "tool": "calls the first tool of the request",
    "usage": "tokens are reported",
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What is done to one call: `Behaviour("stall", after=3)`. See `CATALOGUE` and `OPTIONS`.

    Raises ValueError, with the nearest known word, for what makes no sense.
    """

    name: str = "ok"
    _: KW_ONLY
    after: int = 2
    at: int | None = None
    body: str | None = None
    bom: bool = False
    delay: float = 0.0
    eol: str = "lf"
    error: str = "server_error"
    events: int = 8
    finish: str = ""
    first_content_after: float = 0.0
    framing: str = ""
    gap: float = 0.0
    gzip: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    how: str = "fin"
    json: str | None = None
    keep_open: bool = False
    keepalive: float = 0.0
    limit: str = "requests"
    lines: int = 8
    location: str = "https://example.com/"
    message: str | None = None
    mid_event: bool = False
    model: str | None = None
    rate: float = 65536.0
    reasoning: int = 0
    reset: str | None = None
    retry_after: str | float | Sequence[str] | None = None
    retry_after_date: float | None = None
    retry_after_ms: float | None = None
    seconds: float | None = None
    should_retry: bool | None = None
    size: int | None = None
    skew: float = 0.0
    split: str = "event"
    status: int = 500
    text: str | None = None
    tight: bool = False
    tool: bool = False
    usage: bool = True

    def __post_init__(self) -> None:
        if self.name not in CATALOGUE:
            raise ValueError(unknown("behaviour", self.name, CATALOGUE))
        allowed = CATALOGUE[self.name].options
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name in CHOICES and value not in CHOICES[option.name]:
                raise ValueError(unknown(option.name, value, CHOICES[option.name]))
            if option.name in ("name", *allowed):
                continue
            if value != (option.default if option.default is not MISSING else {}):
                takes = ", ".join(sorted(allowed)) or "no option"
                raise ValueError(f"{self.name} does not use {option.name!r}; it takes {takes}")

    @property
    def kind(self) -> Kind:
        return CATALOGUE[self.name]


do = Behaviour  # reads well in a test: Vendor([do("rate_limit", retry_after=2), do("ok")])


def unknown(what: str, got: str, known: Iterable[str]) -> str:
    """An error's text for a word that is not among the known ones."""
    words = sorted(word for word in known if word)
    near = difflib.get_close_matches(got, words, 1)
    return f"unknown {what} {got!r}" + (
        f", did you mean {near[0]!r}?" if near else f"; known: {', '.join(words)}"
    )
