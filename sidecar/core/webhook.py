"""What became of a deferred call as a signed message, by the rules of Standard Webhooks 1.0 [R22, T17].

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: three headers
(webhook-id, webhook-timestamp, webhook-signature), and a signature `v1,` of base64 of HMAC-SHA256 over
`id.timestamp.body`. The id is the same at every attempt, so that a receiver can do things once; the time
is the attempt's, so that a message that was caught on its way is soon worth nothing. Any library for the
standard verifies them. Pure.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any

import msgspec

from sidecar.core.receipt import PLACE
from sidecar.model import Headers, header

PREFIX = "whsec_"
OTHER = "other"  # in place of the name of a webhook that is not configured any more
SHORTEST, LONGEST = 24, 64  # bytes of a key, as the standard has it


class News(msgspec.Struct, frozen=True):
    """The end of a job. Times are Unix time."""

    id: str
    route: str
    state: str  # answered, failed, expired or dropped
    accepted: float
    ended: float
    status: int  # of the answer, or of the error that was the end; 0: there is neither
    headers: Headers
    answer: bytes

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # as Call
        return f"News({self.id}, {self.state})"


def key_of(text: str) -> bytes | None:
    """`whsec_` and base64 of 24 to 64 bytes, the prefix may be missing; None: it is no such key."""
    try:
        key = b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return None
    return key if SHORTEST <= len(key) <= LONGEST else None


def name_of(news: News) -> str:
    """The message's own id: a job that failed and was asked again has two ends, and two messages."""
    return f"{news.id}_{news.state}"


def body_of(news: News) -> bytes:
    """The answer is in it as text, byte for byte; as base64 where it is no text."""
    said: dict[str, Any] = {
        "id": news.id,
        "state": news.state,
        "route": news.route,
        "accepted": int(news.accepted),
        "url": PLACE + news.id,
    }
    if news.status:
        said["status"] = news.status
        said["content_type"] = (header(news.headers, b"content-type") or b"").decode("latin-1")
        try:
            said["body"] = news.answer.decode()
        except UnicodeDecodeError:
            said["body_base64"] = b64encode(news.answer).decode()
    when = datetime.fromtimestamp(news.ended, UTC).isoformat(timespec="milliseconds")
    kind = f"llm_sidecar.job.{news.state}"
    return msgspec.json.encode({"type": kind, "timestamp": when.replace("+00:00", "Z"), "data": said})


def headers_of(name: str, key: bytes, *, wall: float, body: bytes) -> Headers:
    """All that goes out with it."""
    seconds = b"%d" % int(wall)
    signed = hmac.digest(key, b".".join((name.encode(), seconds, body)), "sha256")
    return (
        (b"content-type", b"application/json"),
        (b"user-agent", b"llm-sidecar"),
        (b"webhook-id", name.encode()),
        (b"webhook-timestamp", seconds),
        (b"webhook-signature", b"v1," + b64encode(signed)),
    )
