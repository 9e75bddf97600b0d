"""The two ways an answer arrives, as a stream of events or as one body, for every dialect.

A reader never keeps bytes from the client: what is whole goes on at once. Two exceptions: an event
that is no JSON is left out, because the SDKs die on it and lose the rest of a good answer; and so is one
that only answers a question of ours (`hides`).
What the bytes say is the business of an `Answer`, one per dialect and per answer, which is fed
whole events or one whole body and so knows nothing of how they were cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from sidecar.dialects.sse import EventStream, without
from sidecar.model import Chunk, Delta, Malformed, Media

BODY_CAP = 8 * 1024 * 1024


class Answer(Protocol):
    """What one answer has said so far."""

    @property
    def done(self) -> bool: ...
    @property
    def finished(self) -> bool: ...
    def event(self, kind: bytes, data: bytes, out: list[Delta]) -> bool:
        """Read one event of a stream into `out`. False: it is no JSON object."""

    def body(self, data: bytes, out: list[Delta]) -> bool:
        """Read a whole body into `out`. False: it is no JSON object."""


class StreamReader:
    __slots__ = ("_answer", "_count", "_events", "_hides", "done", "finished")
    streams = True

    def __init__(self, answer: Answer, hides: Callable[[bytes], bool] | None = None) -> None:
        """`hides` says of an event's data whether it is kept from the client."""
        self._answer = answer
        self._hides = hides
        self._events = EventStream()
        self._count = 0
        self.done = False
        self.finished = False

    @property
    def bare(self) -> bytes:
        return self._events.bare

    def feed(self, data: bytes) -> Chunk:
        raw, events = self._events.feed(data)
        if not events:
            return Chunk(raw)
        out: list[Delta] = []
        bad: list[bytes] = []
        oversized = alone = False
        for kind, content in events:
            self._count += 1
            if content is None:
                # too large to be read, but surely content: an image, or audio
                oversized = True
                out.append(Media("oversized"))
            elif not self._answer.event(kind, content, out):
                bad.append(content)
                out.append(Malformed(f"event {self._count}"))
            elif self._hides is not None and self._hides(content):
                bad.append(content)
                alone = len(events) == 1 and raw[:5] == b"data:"
        if bad and not oversized:  # behind the end of an oversized event nothing is cut out
            raw = b"" if alone else without(raw, bad)  # with its blank line: nothing of it is left
        self._note()
        return Chunk(raw, tuple(out))

    def close(self) -> Chunk:
        raw, events = self._events.close()
        out: list[Delta] = []
        for kind, content in events:
            # if it cannot be read, the stream was cut in it: that is not a malformed event
            last: list[Delta] = []
            if content is not None and self._answer.event(kind, content, last):
                out += last
                if self._hides is not None and self._hides(content):
                    raw = without(raw, [content])
        self._note()
        return Chunk(raw, tuple(out))

    def _note(self) -> None:
        self.done, self.finished = self._answer.done, self._answer.finished


class BodyReader:
    """Passes a body on as it comes and reads it at its end, if it was not too large to be kept."""

    __slots__ = ("_answer", "_kept", "_over")
    streams = False

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._kept = bytearray()
        self._over = False

    # a body that nobody could read is not called incomplete: its length says whether it is
    @property
    def done(self) -> bool:
        return self._over or self._answer.done

    @property
    def finished(self) -> bool:
        return self._over or self._answer.finished

    def feed(self, data: bytes) -> Chunk:
        if not self._over:
            self._kept += data
            if len(self._kept) > BODY_CAP:
                self._kept.clear()
                self._over = True
        return Chunk(data)

    def close(self) -> Chunk:
        out: list[Delta] = []
        if self._over:
            out.append(Media("oversized"))
        elif not self._answer.body(bytes(self._kept), out):
            out.append(Malformed("body"))
        return Chunk(b"", tuple(out))


_STATUS = {
    "invalid_request_error": 400,
    "invalid_request": 400,
    "invalid_argument": 400,
    "failed_precondition": 400,
    "badrequesterror": 400,
    "unsupported_value": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "invalid_prompt": 400,
    "data_residency_mismatch": 400,
    "bio_policy": 400,
    "cyber_policy": 400,
    "misalignment_policy_violation": 400,
    "image_content_policy_violation": 400,
    "invalid_image": 400,
    "invalid_image_format": 400,
    "invalid_image_mode": 400,
    "invalid_image_url": 400,
    "invalid_base64_image": 400,
    "image_too_large": 400,
    "image_too_small": 400,
    "image_file_too_large": 400,
    "image_file_not_found": 400,
    "image_parse_error": 400,
    "empty_image_file": 400,
    "failed_to_download_image": 400,
    "unsupported_image_media_type": 400,
    "authentication_error": 401,
    "unauthenticated": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "insufficient_credits": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "not_found": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "too_many_requests": 429,
    "resource_exhausted": 429,
    "insufficient_quota": 429,
    "quota_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "internalservererror": 500,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
    "unavailable": 503,
    "engine_overloaded": 503,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "vector_store_timeout": 504,
    "timeout_error": 504,
    "deadline_exceeded": 504,
    "overloaded_error": 529,
    "overloaded": 529,
}


def named_status(error: Any) -> int:
    """The HTTP status that an error object names, by number or by word; 0 where it names none.

    Numbers first, then `code` before `type`: the code is the narrower word.
    """
    if not isinstance(error, dict):
        return 0
    named = [error.get(key) for key in ("code", "status", "status_code", "type")]
    for value in named:
        number = int(value) if isinstance(value, str) and re.fullmatch("[45][0-9]{2}", value) else value
        if isinstance(number, int) and 400 <= number <= 599:
            return number
    for value in named:
        if isinstance(value, str):
            status = _STATUS.get(value.lower().replace(" ", "_"))
            if status is not None:
                return status
    return 0
