"""What the application is told when there is no answer: a sentence, a word for machines, a status.

A provider's own error passes byte for byte. Where there is none (nobody answered, or we refused),
the error is ours, in the client's dialect, and says what happened, how often it was tried and
where. Nothing here quotes a request or an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf, isfinite

from sidecar.dialects.base import Dialect, Wire
from sidecar.events import (
    Turned,
)
from sidecar.faults import HANDLING
from sidecar.listener.http_rules import LONGEST_RETRY_AFTER
from sidecar.listener.http_strict import RequestError
from sidecar.model import (
    Call,
    Failed,
    Fault,
    Head,
    Headers,
    Refused,
    RefusedBy,
)

SOON_MS = 1000  # when it may be worth asking again after we had no room

_SAID: Mapping[Fault, str] = {
    Fault.RATE_LIMIT_RPM: "the provider's limit of requests per minute is reached",
    Fault.RATE_LIMIT_TPM: "the provider's limit of tokens per minute is reached",
    Fault.RATE_LIMIT_DAILY: "the provider's daily limit is reached",
    Fault.RATE_LIMIT_CONCURRENCY: "the provider's limit of requests at a time is reached",
    Fault.RATE_LIMIT_ACCELERATION: "the provider wants the rate of requests to grow more slowly",
    Fault.RATE_LIMIT_UNKNOWN: "a rate limit of the provider is reached",
    Fault.RATE_LIMIT_REQUEST_TOO_LARGE: "the request alone is larger than the provider's rate limit",
    Fault.QUOTA_EXHAUSTED: "the quota of this key is used up",
    Fault.ORG_LIMIT: "the organisation's limit is reached",
    Fault.BILLING: "the provider refuses for billing reasons",
    Fault.OVERLOADED: "the provider is overloaded",
    Fault.SERVER_ERROR: "the provider failed",
    Fault.MODEL_LOADING: "the model is still being loaded",
    Fault.TIMEOUT: "no provider answered in time",
    Fault.TTFT_TIMEOUT: "no provider began to answer in time",
    Fault.STREAM_STALL: "the answer stalled",
    Fault.STREAM_CUT: "the answer was cut off",
    Fault.MALFORMED_CHUNK: "the answer could not be read",
    Fault.NETWORK: "the provider could not be reached",
    Fault.TLS: "no secure connection to the provider was possible",
    Fault.AUTH: "the provider does not accept the key, or there is none",
    Fault.PERMISSION: "the provider does not allow this to the key",
    Fault.REGION_BLOCKED: "the provider does not serve this country or region",
    # in the words of OpenAI and of Anthropic: applications look for them
    Fault.CONTEXT_WINDOW: "the prompt is too long: it exceeds the model's maximum context length",
    Fault.CONTENT_POLICY: "the provider's content policy forbids the request",
    Fault.REFUSAL: "the model declined to answer",
    Fault.NOT_FOUND: "the provider has nothing at this path",
    Fault.MODEL_GONE: "the model does not exist at this provider, or does no longer",
    Fault.INVALID_REQUEST: "the provider finds the request invalid",
    Fault.REQUEST_TOO_LARGE: "the request is larger than the provider takes",
    Fault.UNSUPPORTED_PARAMETER: "the model does not take a parameter of the request",
    Fault.CAPABILITY_MISMATCH: "the model does not support what the request asks for",
    Fault.CONFLICT: "the provider is busy with another request of the same kind",
    Fault.EMPTY_OUTPUT: "the answer was empty",
    Fault.TRUNCATED_OUTPUT: "the answer was truncated",
    Fault.MALFORMED_TOOL_CALL: "the answer's tool call could not be read",
    Fault.STRUCTURED_OUTPUT_FAILED: "the answer does not meet the schema that was asked for",
    Fault.LOW_QUALITY: "the answer was not good enough",
    Fault.LOCAL_OVERLOAD: "llm-sidecar has no room for this call",
}
_BY: Mapping[RefusedBy, str] = {
    RefusedBy.BREAKER: "calls are held back after repeated failures",
    RefusedBy.QUALITY_BREAKER: "calls are held back after repeated bad answers",
    RefusedBy.KNOWN_WAIT: "the provider has asked to wait",
    RefusedBy.ADMISSION: "llm-sidecar has no room for this call",
    RefusedBy.NO_CREDENTIAL: "there is no key for the provider",
    RefusedBy.NOT_ALLOWED: "configuration does not allow this call",
    RefusedBy.UNREPRESENTABLE: "no target can be asked for this",
    RefusedBy.INCAPABLE: "no target can do what this request needs",
    RefusedBy.COST_CAP: "another attempt could cost more than the route allows for one call",
    RefusedBy.COST_BUDGET: "the money that this pod may spend in an hour is spent",
}
# with the target as their detail
_LATER = frozenset((RefusedBy.BREAKER, RefusedBy.QUALITY_BREAKER, RefusedBy.KNOWN_WAIT))
_STATUS: Mapping[RefusedBy, int] = {
    RefusedBy.KNOWN_WAIT: 429,
    RefusedBy.NO_CREDENTIAL: 401,
    RefusedBy.NOT_ALLOWED: 403,
    RefusedBy.COST_BUDGET: 429,
}
_FAULT_OF_STATUS: Mapping[int, Fault] = {
    401: Fault.AUTH,
    403: Fault.PERMISSION,
    404: Fault.NOT_FOUND,
    408: Fault.TIMEOUT,
    409: Fault.CONFLICT,
    413: Fault.REQUEST_TOO_LARGE,
    431: Fault.REQUEST_TOO_LARGE,
    500: Fault.UNKNOWN,
    503: Fault.LOCAL_OVERLOAD,
}
_TURNED: Mapping[int, str] = {
    401: "token",
    403: "not_allowed",
    404: "unknown",
    408: "slow",
    413: "too_large",
    414: "too_large",
    421: "host",
    431: "too_large",
    501: "websocket",
    503: "connections",
}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    503: "overloaded_error",
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """`reason` and `retry` become x-llm-sidecar-reason and x-should-retry; `wait` in seconds."""

    status: int
    fault: Fault
    reason: str
    message: str
    retry: bool = False
    wait: float = inf


def turned(error: RequestError) -> Turned:
    """What is told of a request, or a connection, that became no call."""
    return Turned(_TURNED.get(error.status, "malformed"), error.code)


def of_error(error: RequestError) -> Complaint:
    """A request that became no call, or was stopped."""
    again = error.status == 503
    return Complaint(
        error.status,
        _FAULT_OF_STATUS.get(error.status, Fault.INVALID_REQUEST),
        error.code,
        f"llm-sidecar: {error.message}",
        retry=again,
        wait=SOON_MS / 1000 if again else inf,
    )


def of_outcome(outcome: Failed | Refused, call: Call, now: float) -> Complaint:
    """The end of a call that has no answer to show."""
    if isinstance(outcome, Failed):
        message = _sentence(_SAID.get(outcome.fault, "the call failed"), outcome.fault, outcome.detail, call)
        wait = inf if outcome.wait is None else outcome.wait
        status = HANDLING[outcome.fault].status
        return Complaint(max(status, 400), outcome.fault, outcome.fault.value, message, wait=wait)
    fault = outcome.fault
    wait, detail = outcome.until - now, outcome.detail
    if detail and outcome.by in _LATER and isfinite(wait):
        detail += f" is asked again in {ceil(max(wait, 1.0))} s"
    message = _sentence(_BY[outcome.by], outcome.by, detail, call)
    if outcome.by is RefusedBy.ADMISSION:
        return Complaint(503, Fault.LOCAL_OVERLOAD, "overload", message, retry=True, wait=SOON_MS / 1000)
    if outcome.by is not RefusedBy.KNOWN_WAIT and isfinite(wait):
        wait = min(wait, LONGEST_RETRY_AFTER)  # it is ours, and may be over sooner
    status = _STATUS.get(outcome.by, 503) if fault is Fault.UNKNOWN else max(HANDLING[fault].status, 400)
    return Complaint(status, fault, outcome.by.value, message, wait=wait)


def _sentence(said: str, word: str, detail: str, call: Call) -> str:
    attempts = call.record.attempts
    made = "no attempt was made" if not attempts else f"{len(attempts)} attempt{'s' * (len(attempts) > 1)}"
    where = f", the last on {attempts[-1].target}" if attempts else ""
    more = f": {detail}" if detail else ""
    return f"llm-sidecar: {said} ({word}){more}; {made}{where}."


def wire(complaint: Complaint, dialect: Dialect | None) -> Wire:
    """The whole answer, in the client's dialect where it is known."""
    if dialect is None:
        own = _generic(complaint)
    else:
        own = dialect.complain(complaint.status, complaint.fault, complaint.message)
    length = (b"content-length", str(len(own.body)).encode())
    headers = tuple(pair for pair in own.head.headers if pair[0].lower() != b"content-length")
    return Wire(Head(own.head.status, own.head.reason, (*headers, length, *_hints(complaint))), own.body)


def raw(failed: Failed, head: Head, *, shadow: bool = False) -> Wire:
    """The provider's own error. Only what it says about retrying is ours: our retries are spent. In shadow
    none were made, so its own word stands.
    """
    if shadow:
        return Wire(head, failed.body)
    kept: list[tuple[bytes, bytes]] = []
    for pair in head.headers:
        lower = pair[0].lower()
        if lower == b"x-should-retry" or (lower == b"content-length" and failed.body):
            continue
        kept.append(pair)
    if failed.body:
        kept.append((b"content-length", str(len(failed.body)).encode()))
    kept += _answer_hints(failed.fault.value, retry=False)
    return Wire(Head(head.status, head.reason, tuple(kept)), failed.body)


def _generic(complaint: Complaint) -> Wire:
    """The shape that the SDKs of OpenAI and of Anthropic both understand."""
    kind = _TYPES.get(complaint.status, "api_error" if complaint.status >= 500 else "invalid_request_error")
    error = {"type": kind, "message": complaint.message, "code": complaint.reason}
    body = json.dumps({"type": "error", "error": error}).encode()
    return Wire(Head(complaint.status, headers=((b"content-type", b"application/json"),)), body)


def _hints(complaint: Complaint) -> Headers:
    hints = _answer_hints(complaint.reason, retry=complaint.retry)
    if isfinite(complaint.wait) and complaint.wait > 0:
        if complaint.retry:
            hints.append((b"retry-after-ms", b"%d" % ceil(complaint.wait * 1000)))
            hints.append((b"retry-after", b"%d" % ceil(complaint.wait)))  # for whoever reads no other
        elif complaint.wait <= LONGEST_RETRY_AFTER:
            hints.append((b"retry-after", b"%d" % ceil(complaint.wait)))
        else:
            hints.append((b"x-llm-sidecar-upstream-retry-after", b"%d" % ceil(complaint.wait)))
    return tuple(hints)


def _answer_hints(reason: str, *, retry: bool) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-should-retry", b"true" if retry else b"false"),
        (b"x-llm-sidecar-reason", reason.encode("ascii", "replace")),
        (b"x-llm-sidecar-tier", b"none"),
    ]
