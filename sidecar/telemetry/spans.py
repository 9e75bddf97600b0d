"""From the record of a call that is over to its spans: one for the call, one for each attempt.

Spans are made when everything is known, so nothing is measured twice, nothing is kept per chunk, and
a call that nobody wants to see costs a comparison. What is made are plain values of this module: they
hold nothing of the request or the answer, so that a queue of them holds no body, key or prompt. (Unless
contents are captured: then redacted and bounded ones, see content.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from msgspec import Struct

from sidecar.events import (
    CallEnded,
)
from sidecar.model import (
    Attempt,
    Call,
    Failed,
    Kind,
    Operation,
    Tier,
    Usage,
    latest,
    span_id,
)
from sidecar.settings import Settings
from sidecar.telemetry import span_rows as rows
from sidecar.telemetry import words
from sidecar.telemetry.content import Attributes as Contents
from sidecar.telemetry.content import Content, together
from sidecar.telemetry.conventions import FINISHES, known_as, operation_of
from sidecar.telemetry.logs import name
from sidecar.telemetry.words import Ended, Path, Went

Value = str | bool | int | float | tuple[str, ...]
Attributes = dict[str, Value]

_CONTENTS = (rows.GEN_SYSTEM, rows.GEN_ASKED, rows.GEN_ANSWERED)
_STATE_MOST = 512  # characters; vendors may drop a longer one
_MEMBER = re.compile(r"[ \t]*([a-z0-9][-_*/a-z0-9@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256})?[ \t]*")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})


# No cycle can come to be of plain values, and thousands of spans may wait for a collector: gc=False keeps
# them out of every collection, which would look at each of them for nothing.


class Moment(Struct, frozen=True, gc=False):
    """An event of a span."""

    at: int  # Unix time in nanoseconds
    name: str
    attributes: Mapping[str, Any]


class Span(Struct, kw_only=True, gc=False):
    name: str
    trace_id: str
    span_id: str
    parent_id: str  # "" where the trace begins here
    server: bool  # the call's own span, else a client's
    sampled: bool
    start: int  # Unix time in nanoseconds
    end: int
    attributes: Attributes
    events: tuple[Moment, ...] = ()
    error: bool = False
    state: str = ""  # the W3C tracestate that the application sent along


def size(spans: Iterable[Span]) -> int:
    """Characters of contents on them."""
    shown = (span.attributes.get(key) for span in spans for key in _CONTENTS)
    return sum(len(value) for value in shown if isinstance(value, str))


# ---- when it is over ------------------------------------------------------------------------


def interest(event: CallEnded, ended: Ended, slow: float) -> str:
    """Why a call is worth its spans though it was not sampled; "" where it is not. What the application
    did wrong itself is not: it sees that, and whoever does it does it always.
    """
    call, outcome = event.call, event.outcome
    if ended is Ended.ERROR:
        return "error"
    if ended is Ended.SUCCESS and words.tier(outcome) is not Tier.FULL:
        return "degraded"
    path = words.path(call.record.attempts, outcome)
    if path not in (Path.DIRECT, Path.CACHE):
        return path.value
    for attempt in call.record.attempts:
        if any(finding.action != "observe" for finding in words.findings(attempt.outcome)):
            return "violation"
    return "slow" if event.ended - call.arrived >= slow else ""


class Spans:
    """Makes them. Knows from the configuration what a record does not say."""

    def __init__(self, settings: Settings) -> None:
        self.configure(settings)

    def configure(self, settings: Settings, *, contents: bool = False) -> None:
        """`contents`: whether prompts and answers are shown."""
        targets = [target for route in settings.routes for target in route.targets]
        providers = {**settings.providers, **{t.provider.name: t.provider for t in targets}}
        self._keyed = {t.name for t in targets if t.credential is not None}
        self._keyed |= {name for name, provider in settings.providers.items() if provider.key is not None}
        self._primary = {r.name: r.chain[0].provider.name for r in settings.routes if r.chain}
        self._where: dict[str, tuple[str, str, int]] = {
            name: (known_as(provider), provider.host, provider.port) for name, provider in providers.items()
        }
        self._gen_ai = settings.telemetry.genai_attributes == "attempts"
        self._content = Content(settings.telemetry.redact) if contents and self._gen_ai else None
        self.slow = settings.telemetry.slow_seconds

    def ended(self, event: CallEnded) -> Ended:
        attempts = event.call.record.attempts
        last = latest(attempts)
        own_key = last is None or last.target not in self._keyed
        return words.ended(event.outcome, own_key=own_key)

    def of(
        self, event: CallEnded, ended: Ended, since: float, reason: str = "", *, room: bool = True
    ) -> list[Span]:
        """The call's span and its attempts'. `since`: Unix time when the monotonic clock was 0; `room`:
        for contents, if they are shown.
        """
        call = event.call
        state = _state(call) if call.parent_id else ""
        top = self._call(event, ended, since, reason, state)
        spans = [top, *(self._attempt(call, one, since, event.ended, top) for one in call.record.attempts)]
        if self._content is not None and call.sampled and call.ask.operation is Operation.CHAT:
            self._show_contents(self._content, call, spans[1:], room=room)
        return spans

    def _show_contents(self, content: Content, call: Call, spans: list[Span], *, room: bool) -> None:
        asked: Contents = content.asked(call) if room else {rows.CONTENT: "withheld"}
        for span, attempt in zip(spans, call.record.attempts, strict=True):
            span.attributes |= together(asked, content.answered(call, attempt) if room else {})

    # ---- the call

    def _call(self, event: CallEnded, ended: Ended, since: float, reason: str, state: str) -> Span:
        call, record, outcome = event.call, event.call.record, event.outcome
        attempts = record.attempts
        attributes: Attributes = {
            rows.HTTP_METHOD: call.method if call.method in _METHODS else "_OTHER",
            rows.HTTP_ROUTE: f"/{call.provider}",
            rows.CALL_ID: call.id,
            rows.ROUTE: call.route,
            rows.OPERATION: call.ask.operation.value,
            rows.PRIMARY_PROVIDER: self._primary.get(call.route) or call.provider,
            rows.OUTCOME: ended.value,
            rows.TIER: words.tier(outcome).value,
            rows.PATH: words.path(attempts, outcome).value,
            rows.TRAFFIC: call.traffic.value,
            rows.STREAM: call.ask.stream,
            rows.ATTEMPTS: len(attempts),
            rows.RETRIES: sum(attempt.kind is Kind.RETRY for attempt in attempts),
            rows.FALLBACKS: sum(attempt.kind is Kind.FALLBACK for attempt in attempts),
            rows.BACKOFF: round(record.waited * 1000, 3),
        }
        if event.status:
            attributes[rows.HTTP_STATUS] = event.status
        if call.ask.model:
            attributes[rows.REQUESTED_MODEL] = name(call.ask.model)
        served = words.served(attempts, outcome)
        if served is not None:
            attributes[rows.SERVED_PROVIDER] = served.provider
            attributes[rows.SERVED_MODEL] = name(served.model)
        if record.drawn:
            attributes[rows.DRAWN] = record.drawn
        if record.nested:
            attributes[rows.NESTED] = record.nested
        if call.job:
            attributes[rows.JOB] = call.job
        if isfinite(call.deadline):
            attributes[rows.DEADLINE] = round((call.deadline - call.arrived) * 1000)
        ours = words.overhead(call, event.ended)
        if ours is not None:
            attributes[rows.OVERHEAD] = round(ours * 1000, 3)
        fault = words.error_type(outcome)
        if fault:
            attributes[rows.ERROR_TYPE] = fault
        spent = words.spent(attempts)
        if spent is not None:
            attributes[rows.COST] = spent
            if words.guessed(attempts):
                attributes[rows.ESTIMATED] = True
        if reason:
            attributes[rows.REASON] = reason
        return Span(
            name=rows.CALL_SPAN,
            trace_id=call.trace_id,
            span_id=span_id(call.id),
            parent_id=call.parent_id,
            server=True,
            sampled=bool(call.sampled),
            start=_nanos(since + call.arrived),
            end=_nanos(since + event.ended),
            attributes=attributes,
            events=_moments(call, since, event.ended) if record.notes else (),
            error=ended is Ended.ERROR,
            state=state,
        )

    # ---- an attempt

    def _attempt(self, call: Call, attempt: Attempt, since: float, over: float, top: Span) -> Span:
        outcome, ask = attempt.outcome, call.ask
        went = words.went(outcome, own_key=attempt.target not in self._keyed)
        known, host, port = self._where.get(attempt.provider) or (attempt.provider, "", 0)
        model = name(attempt.model)
        attributes: Attributes = {
            rows.HTTP_METHOD: call.method if call.method in _METHODS else "_OTHER",
            rows.NUMBER: attempt.number,
            rows.KIND: attempt.kind.value,
            rows.WENT: went.value,
            rows.TARGET: attempt.target,
            rows.PROVIDER: attempt.provider,
            rows.BREAKER: str(attempt.breaker),
        }
        if host:
            attributes[rows.ADDRESS] = host
            attributes[rows.PORT] = port
        if model:
            attributes[rows.MODEL] = model
        if attempt.status:
            attributes[rows.HTTP_STATUS] = attempt.status
        if attempt.kind is Kind.RETRY:
            attributes[rows.RESEND] = sum(
                earlier.target == attempt.target and earlier.number < attempt.number
                for earlier in call.record.attempts
            )
        spent = words.dollars(attempt.cost)
        if spent is not None and attempt.cost is not None:
            attributes[rows.COST] = spent
            if attempt.cost.estimated:
                attributes[rows.ESTIMATED] = True
            if attempt.purpose is not None and spent:
                attributes[rows.PURPOSE] = attempt.purpose.value
        if attempt.request_id:
            attributes[rows.REQUEST_ID] = name(attempt.request_id)
        if attempt.losses:
            attributes[rows.LOSSES] = words.lost(attempt.losses)
        if ask.stream and attempt.chunks:
            attributes[rows.CHUNKS] = attempt.chunks
            attributes[rows.MAX_GAP] = round(attempt.max_gap, 4)
        if isinstance(outcome, Failed):
            if outcome.wait is not None:
                attributes[rows.RETRY_AFTER] = outcome.wait
            if went is Went.QUALITY and outcome.findings:
                attributes[rows.DISCARDED] = outcome.detail
        if attempt.lost_race:
            attributes[rows.LOST] = True
        fault = words.fault_of(attempt)
        if fault:
            attributes[rows.ERROR_TYPE] = fault
        title = call.method if call.method in _METHODS else "HTTP"
        if ask.operation not in {Operation.OTHER, Operation.TOOL}:
            title = operation_of(call)
            if self._gen_ai:
                attributes[rows.GEN_OPERATION] = title
                attributes[rows.GEN_PROVIDER] = known
                _gen_ai(attributes, call, attempt, model)
            if model:
                title = f"{title} {model}"
        return Span(
            name=title,
            trace_id=call.trace_id,
            span_id=span_id(call.id, attempt.number),
            parent_id=top.span_id,
            server=False,
            sampled=bool(call.sampled),
            start=_nanos(since + attempt.started),
            end=_nanos(since + (over if attempt.ended is None else attempt.ended)),
            attributes=attributes,
            error=went is not Went.SUCCESS and went is not Went.CANCELLED,
            state=top.state,
        )


def _gen_ai(attributes: Attributes, call: Call, attempt: Attempt, model: str) -> None:
    ask, outcome = call.ask, attempt.outcome
    if model:
        attributes[rows.GEN_MODEL] = model
    if ask.stream:
        attributes[rows.GEN_STREAM] = True
        if attempt.first_content is not None:
            attributes[rows.GEN_FIRST] = round(attempt.first_content - attempt.started, 6)
    if ask.max_output is not None:
        attributes[rows.GEN_MAX] = ask.max_output
    if ask.choices != 1:
        attributes[rows.GEN_CHOICES] = ask.choices
    if ask.json:
        attributes[rows.GEN_OUTPUT] = "json"
    if attempt.answering:
        attributes[rows.GEN_ANSWERING] = name(attempt.answering)
    finishes = tuple(FINISHES[reason] for reason in attempt.finishes)
    if not finishes and isinstance(outcome, Failed) and outcome.fault in words.INTERRUPTED:
        finishes = ("error",)
    if finishes:
        attributes[rows.GEN_FINISHES] = finishes
    if attempt.usage is not None:
        _tokens(attributes, attempt.usage)


def _tokens(attributes: Attributes, usage: Usage) -> None:
    for key, tokens in (
        (rows.GEN_INPUT, usage.input_total),
        (rows.GEN_TOKENS, usage.output_total),
        (rows.GEN_CACHE_READ, usage.cache_read),
        (rows.GEN_CACHE_WRITE, usage.cache_write),
        (rows.GEN_REASONING, usage.reasoning),
    ):
        if tokens is not None and tokens >= 0:  # a negative count is a provider's mistake
            attributes[key] = tokens


def _moments(call: Call, since: float, over: float) -> tuple[Moment, ...]:
    notes = sorted(call.record.notes, key=lambda one: one.at)
    moments = [Moment(_nanos(since + one.at), one.name, one.fields) for one in notes]
    if call.record.unnoted:
        moments.append(Moment(_nanos(since + over), rows.TRUNCATED, {"count": call.record.unnoted}))
    return tuple(moments)


def _state(call: Call) -> str:
    """The application's tracestate, if it is one and holds nothing that looks like a key."""
    said = ",".join(value.decode("latin-1") for name, value in call.headers if name.lower() == b"tracestate")
    if not said or len(said) > _STATE_MOST or words.LOOKS_LIKE_A_KEY.search(said):
        return ""
    return said if all(_MEMBER.fullmatch(member) for member in said.split(",")) else ""


def _nanos(seconds: float) -> int:
    return int(seconds * 1e9)
