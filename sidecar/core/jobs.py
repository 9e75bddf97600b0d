"""Deferred calls as values: who they belong to, which of them is the same, what time may heal [R22].

What is kept of a call is what has to be asked again and nothing that is secret: the headers on a
short list, the path, the query without credentials, the body. The application's key is not kept. It
is only known again: by a digest that is salted with the job's id, so that the file tells nobody which
jobs have one owner. An application without a key owns nothing, so its calls are not deferred.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import blake2b
from urllib.parse import parse_qsl

from msgspec import Struct

from sidecar.model import Answered, Call, Fault, Headers, Outcome, Refused, RefusedBy

PREFIX = "job_"
CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"))
QUERY_CREDENTIALS = frozenset(("key", "api_key", "api-key", "access_token"))
KEPT = frozenset(
    (
        b"accept",
        b"anthropic-beta",
        b"anthropic-version",
        b"content-type",
        b"idempotency-key",
        b"openai-beta",
        b"user-agent",
    )
)
_HEALING = frozenset(
    (RefusedBy.BREAKER, RefusedBy.QUALITY_BREAKER, RefusedBy.KNOWN_WAIT, RefusedBy.ADMISSION)
)
PASSING = frozenset(
    (
        Fault.RATE_LIMIT_RPM,
        Fault.RATE_LIMIT_TPM,
        Fault.RATE_LIMIT_DAILY,
        Fault.RATE_LIMIT_CONCURRENCY,
        Fault.RATE_LIMIT_ACCELERATION,
        Fault.RATE_LIMIT_UNKNOWN,
        Fault.QUOTA_EXHAUSTED,
        Fault.ORG_LIMIT,
        Fault.BILLING,
        Fault.OVERLOADED,
        Fault.SERVER_ERROR,
        Fault.MODEL_LOADING,
        Fault.TIMEOUT,
        Fault.TTFT_TIMEOUT,
        Fault.STREAM_STALL,
        Fault.STREAM_CUT,
        Fault.MALFORMED_CHUNK,
        Fault.NETWORK,
        Fault.LOCAL_OVERLOAD,
        Fault.UNKNOWN,
    )
)


class Job(Struct, frozen=True, kw_only=True):
    """A call that is to be asked again. Times are Unix time."""

    id: str
    route: str
    provider: str
    dialect: str
    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    exact: bool
    trace_id: str
    owner: bytes
    same: bytes  # equal for the same request of the same owner with the same idempotency key; else empty
    accepted: float
    expires: float
    keep: float  # seconds that its answer is kept
    webhook: str = ""  # a name in `webhooks`, where its end is sent

    @property
    def size(self) -> int:
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers) + 512

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # as Call
        return f"Job({self.id}, {self.route})"


class Gauges(Struct, frozen=True):
    """The queue as it is now, for those who watch it."""

    jobs: dict[str, int]  # waiting, running, answered, failed
    oldest: float  # seconds that the oldest one that waits has waited
    bytes: int  # of calls that wait
    answers: int  # bytes of answers that are kept
    full: float  # the fullest of its bounds, as a share


class Receipt(Struct, frozen=True):
    """Where the answer will be."""

    id: str
    expires: float  # Unix time


class Declined(Struct, frozen=True):
    """A call that could not be taken, and why: one word."""

    reason: str


def heals(outcome: Outcome) -> bool:
    """May the same call be answered later? Limits, outages and empty accounts end; what is wrong with a
    request, a key or a model does not end by waiting.
    """
    if isinstance(outcome, Answered):
        return False
    if isinstance(outcome, Refused):
        return outcome.by in _HEALING
    if outcome.again is False:
        return False  # the provider's own word on this answer
    return outcome.fault in PASSING


def secrets_of(headers: Headers, query: str = "") -> tuple[bytes, ...]:
    """What a request proves itself with, in whatever header its SDK puts it."""
    found = {_bare(value) for name, value in headers if name.lower() in CREDENTIALS}
    found |= {value.encode() for name, value in parse_qsl(query) if name.lower() in QUERY_CREDENTIALS}
    return tuple(sorted(found - {b""}))


def owner_of(secrets: Iterable[bytes], job: str) -> bytes:
    """32 bytes that tell whether somebody has the same credential, and nothing more."""
    return _digest(job.encode(), *secrets)


def owns(secrets: tuple[bytes, ...], job: str, owner: bytes) -> bool:
    return bool(secrets) and hmac.compare_digest(owner_of(secrets, job), owner)


def keep(
    call: Call, job: str, *, wall: float, expires: float, keep_seconds: float, webhook: str = ""
) -> Job | None:
    """What is stored of a call; None where its answer could be neither fetched nor delivered."""
    secrets = secrets_of(call.headers, call.query)
    if not (secrets or webhook) or call.upload is not None:
        return None
    kept = tuple(pair for pair in call.headers if pair[0].lower() in KEPT)
    key = next((value for name, value in kept if name.lower() == b"idempotency-key"), b"")
    same = _digest(call.provider.encode(), call.path.encode(), key, call.body, *secrets) if key else b""
    if not key:  # whoever knows such keys acts once, however often we have to ask
        kept += ((b"idempotency-key", job.encode()),)
    return Job(
        id=job,
        route=call.route,
        provider=call.provider,
        dialect=call.dialect,
        method=call.method,
        path=call.path,
        query=_plain(call.query),
        headers=kept,
        body=call.body,
        exact=call.exact,
        trace_id=call.trace_id,
        owner=owner_of(secrets, job),
        same=same,
        accepted=wall,
        expires=wall + expires,
        keep=keep_seconds,
        webhook=webhook,
    )


def _bare(value: bytes) -> bytes:
    scheme, _, rest = value.strip().partition(b" ")
    return rest.strip() if scheme.lower() == b"bearer" else value.strip()


def _plain(query: str) -> str:
    parts = (part for part in query.split("&") if part)
    return "&".join(part for part in parts if part.partition("=")[0].lower() not in QUERY_CREDENTIALS)


def _digest(*parts: bytes) -> bytes:
    made = blake2b(digest_size=32)
    for part in parts:
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.digest()
