"""What a provider's answer means: one class from one table [R1, R2, R3, R5].

Promises: pure, never raises whatever the bytes; every answer gets exactly one class; the same
answer gets the same class whoever its provider is (`provider` only breaks ties). Status codes are
no taxonomy: 400 may mean an empty account, 429 a server without room, 200 an outage.

How a verdict is reached, from the most exact evidence to the least:
1. no answer at all (status 0), or plain text of a proxy on the way: the wire
2. a good status without an error in it: the answer itself (finish reason, emptiness)
3. a code or type that means one thing wherever it appears
4. a sentence, where the status lets it mean that
5. a limit: which of the many (day, minute, tokens, concurrency, too large ...)
6. a code that names only the family, and last the status alone

The scope is the class's own unless the evidence says more. The wait is the provider's hint, but
a class that is held for minutes does not believe a hint of seconds: Google sends RetryInfo of 30 s
with a quota that comes back at midnight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sidecar.classify import hints
from sidecar.classify.answer import Answer, only_pings, read
from sidecar.classify.codes import EXACT, LIMITED, STATUS, WEAK, WEAKEST, Ruling
from sidecar.classify.rates import limit
from sidecar.classify.sentences import MONEY, SAYS_LIMITED, TEXTS
from sidecar.classify.whole import judge
from sidecar.classify.wire import mesh, transport
from sidecar.faults import HANDLING, HOLD_CAP
from sidecar.model import Fault, Headers, Scope, Verdict

__all__ = ["classify", "raw_headers"]

_SHORTEST_HOLD = 60.0  # a shorter hint is not believed for what is held for HOLD_CAP
_LIMITS = frozenset(fault for fault in Fault if fault.startswith("rate_limit")) - {
    Fault.RATE_LIMIT_REQUEST_TOO_LARGE
}
_AMBIGUOUS = frozenset((408, 409, 425))  # [R3] the status says more than the family's name
_OF_THE_KEY = re.compile(r"api key|trial key|your account|your team|per (?:user|key|account)|all models")


def classify(
    *,
    provider: str,
    status: int,
    headers: Headers | Mapping[str, str],
    body: bytes,
    wall: float,
    streamed: bool = False,
) -> Verdict:
    """`wall` is Unix time, 0 if unknown; `streamed`: `body` is an event out of a stream, or a stream."""
    raw = raw_headers(headers)
    answer = read(status, raw, body)
    ruling, wait = _rule(answer, provider, raw, body, wall, streamed)
    handling = HANDLING[ruling.fault]
    if wait is not None and handling.hold >= HOLD_CAP and wait < _SHORTEST_HOLD:
        wait = None
    scope = ruling.scope or _scope(ruling.fault, answer) or handling.scope
    return Verdict(ruling.fault, scope, wait, again=ruling.again)


def raw_headers(headers: Headers | Mapping[str, str]) -> Headers:
    if isinstance(headers, Mapping):
        return tuple(
            (str(key).encode("latin-1", "replace"), str(value).encode("latin-1", "replace"))
            for key, value in headers.items()
        )
    return headers


def _rule(
    answer: Answer, provider: str, headers: Headers, body: bytes, wall: float, streamed: bool
) -> tuple[Ruling, float | None]:
    if answer.http == 0 and not answer.error:
        said = answer.data.get("transport_error") if isinstance(answer.data, dict) else None
        return Ruling(transport(said if isinstance(said, str) else answer.text)), None
    if not answer.error:
        return Ruling(_good(answer, body, streamed)), None
    wait = hints.wait(headers, answer.data if answer.data is not None else answer.text, wall)
    return _error(answer, provider, wait), wait


def _good(answer: Answer, body: bytes, streamed: bool) -> Fault:
    """A good status, no error object."""
    if not 200 <= answer.http < 300:
        return Fault.UNKNOWN  # redirects are never followed
    if only_pings(answer, body):
        return Fault.KEEPALIVE
    match answer.form:
        case "html":
            return Fault.SERVER_ERROR  # a CDN's page in the provider's place
        case "broken":
            return Fault.MALFORMED_CHUNK
        case "cut":
            return Fault.OK_NO_DONE  # a long answer: whoever needs more has read it as it passed
        case "events" if not answer.events:
            return Fault.EMPTY_OUTPUT  # a sentinel and nothing before it
        case "empty":
            return Fault.OK_NO_DONE if streamed or answer.http == 204 else Fault.EMPTY_OUTPUT
        case "events" if None in answer.events:
            return Fault.MALFORMED_CHUNK
        case "text" if "json" in answer.headers.get(b"content-type", ""):
            return Fault.MALFORMED_CHUNK
        case _:
            return judge(answer.data, streamed=streamed or answer.form == "events")


def _error(answer: Answer, provider: str, wait: float | None) -> Ruling:
    if b"x-envoy-overloaded" in answer.headers:
        return Ruling(Fault.LOCAL_OVERLOAD)
    if answer.form == "text" and (answer.status >= 500 or answer.text == "local_rate_limited"):
        on_the_way = mesh(answer.text)
        if on_the_way is not None:
            return Ruling(on_the_way)
    if answer.status == 413 and not answer.kinds.isdisjoint(LIMITED):
        return Ruling(Fault.RATE_LIMIT_REQUEST_TOO_LARGE)  # more than a minute's tokens in one request
    return (
        _exact(answer)
        or _sentence(answer)
        or _limited(answer, wait)
        or _weak(answer)
        or _status(answer, provider)
    )


def _exact(answer: Answer) -> Ruling | None:
    if not answer.kinds:
        return None
    found = next((ruling for ruling, words in EXACT if not words.isdisjoint(answer.kinds)), None)
    if found is not None and found.fault is Fault.QUOTA_EXHAUSTED:
        return next((row.ruling for row in MONEY if row.found(answer.status, answer.text)), found)
    return found


def _sentence(answer: Answer) -> Ruling | None:
    if not answer.text or (answer.form == "html" and answer.status >= 500):
        return None  # a CDN's error page has words about everything
    return next((row.ruling for row in TEXTS if row.found(answer.status, answer.text)), None)


def _limited(answer: Answer, wait: float | None) -> Ruling | None:
    named = not answer.kinds.isdisjoint(LIMITED)
    if answer.status == 429 or named or (answer.status < 500 and SAYS_LIMITED.search(answer.text)):
        return Ruling(limit(answer, hinted=wait is not None))
    return None


def _weak(answer: Answer) -> Ruling | None:
    if answer.status in _AMBIGUOUS:
        return STATUS[answer.status]
    tables = WEAK if answer.status else (*WEAK, *WEAKEST)
    return next((ruling for ruling, words in tables if not words.isdisjoint(answer.kinds)), None)


def _status(answer: Answer, provider: str) -> Ruling:
    if answer.status == 498 and provider == "cohere":
        return Ruling(Fault.CONTENT_POLICY)
    known = STATUS.get(answer.status)
    if known is not None:
        return known
    if answer.status >= 500 or answer.http < 400:
        return Ruling(Fault.SERVER_ERROR)  # also an error inside a 200 that names nothing
    return Ruling(Fault.INVALID_REQUEST if answer.status < 500 else Fault.UNKNOWN)


def _scope(fault: Fault, answer: Answer) -> Scope | None:
    if fault is Fault.RATE_LIMIT_CONCURRENCY or (fault in _LIMITS and _OF_THE_KEY.search(answer.text)):
        return Scope.KEY
    if fault is Fault.OVERLOADED and "resource exhausted" in answer.text:
        return Scope.REGION  # Google's shared capacity of one location
    return None
