"""What we say ourselves, in either dialect: JSON answers, event streams, the label of a static one."""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.dialects.base import Wire
from sidecar.model import Head

LABEL = {"degraded": "static"}  # under `llm_sidecar`, so that nobody takes it for the model's words
STATIC_ID = "llm-sidecar-static"

encode = msgspec.json.encode


def json_wire(status: int, content: Any) -> Wire:
    return _wire(status, b"application/json", encode(content))


def events_wire(*events: bytes) -> Wire:
    return _wire(200, b"text/event-stream; charset=utf-8", b"".join(events))


def _wire(status: int, content_type: bytes, body: bytes) -> Wire:
    length = str(len(body)).encode()
    return Wire(Head(status, "", ((b"content-type", content_type), (b"content-length", length))), body)


def is_event_stream(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"text/event-stream"
