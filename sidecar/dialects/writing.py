"""What we say ourselves, in either dialect: JSON answers, event streams, the label of a static one."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import msgspec

from sidecar.dialects.base import Wire
from sidecar.model import Head, Tier

# under `llm_sidecar`, so that nobody takes it for the model's words
LABEL = {"degraded": True, "tier": Tier.STATIC.value}
STATIC_ID = "llm-sidecar-static"

encode = msgspec.json.encode

# where the first object of an answer begins, in an array too
_BODY = re.compile(rb"\s*\[?\s*\{\s*(\}?)")
_EVENT = re.compile(rb"(?:^|[\r\n])data: ?\{\s*(\}?)")
# what an SDK makes its answer of: what the first event begins, or what the last one holds whole
_BEGUN = re.compile(rb'[^\r\n]*?"(?:message|response)":\s*\{\s*(\}?)')
_WHOLE = re.compile(rb'(?:^|[\r\n])data: ?\{[^\r\n]*?"response":\s*\{\s*(\}?)')


def json_wire(status: int, content: Any) -> Wire:
    return _wire(status, b"application/json", encode(content))


def events_wire(*events: bytes) -> Wire:
    return _wire(200, b"text/event-stream; charset=utf-8", b"".join(events))


def _wire(status: int, content_type: bytes, body: bytes) -> Wire:
    length = str(len(body)).encode()
    return Wire(Head(status, "", ((b"content-type", content_type), (b"content-length", length))), body)


def is_event_stream(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"text/event-stream"


def labelled(content_type: bytes, body: bytes, tier: Tier) -> bytes:
    """An answer that somebody else gave, with our label in its first object; in a stream also in the answer
    that an SDK makes of its events."""
    streamed = is_event_stream(content_type)
    found = _EVENT.search(body) if streamed else _BODY.match(body)
    if found is None:
        return body
    places = [found]
    if streamed:
        begun = _BEGUN.match(body, found.end())
        places += [] if begun is None else [begun]
        places += deque(_WHOLE.finditer(body), maxlen=1)
    label = b'"llm_sidecar":' + encode({"degraded": True, "tier": tier.value})
    for at, place in sorted({one.start(1): one for one in places}.items(), reverse=True):
        body = b"".join((body[:at], label, b"" if place[1] else b",", body[at:]))  # from behind
    return body
