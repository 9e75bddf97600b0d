"""From the record of a call that is over to its spans: one for the call, one for each attempt.

Spans are made when everything is known, so nothing is measured twice, nothing is kept per chunk, and
a call that nobody wants to see costs a comparison. What is made are plain values of this module: they
hold nothing of the request or the answer, so that a queue of them holds no body, key or prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from msgspec import Struct

from sidecar.events import (
    CallEnded,
)
from sidecar.model import (
    Answered,
    Attempt,
    Call,
    Failed,
    Finding,
    FinishReason,
    Kind,
    Operation,
    Outcome,
    Provider,
    Tier,
    Usage,
    span_id,
)
from sidecar.settings import Settings
from sidecar.telemetry import span_rows as rows
from sidecar.telemetry import words
from sidecar.telemetry.labels import targets_of
from sidecar.telemetry.logs import name
from sidecar.telemetry.words import Ended, Path, Went

Value = str | bool | int | float | tuple[str, ...]
Attributes = dict[str, Value]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_FINISHES = {reason: reason.value for reason in FinishReason} | {
    FinishReason.TOOL: "tool_call",
    FinishReason.FILTER: "content_filter",
}

# The conventions' names of providers, where they are not the vendor's name here.
_NAMES = {
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "xai": "x_ai",
}
_HOSTS = (
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".openai.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    (".amazonaws.com", "aws.bedrock"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.cohere.com", "cohere"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.x.ai", "x_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.moonshot.ai", "moonshot_ai"),
)


class Moment(Struct, frozen=True):
    """An event of a span."""

    at: int  # Unix time in nanoseconds
    name: str
    attributes: Mapping[str, Any]


class Span(Struct, kw_only=True):
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


def known_as(provider: Provider) -> str:
    """The conventions' name: by the host that is asked, else the vendor's name, else the configured one."""
    for host, known in _HOSTS:
        if provider.host.endswith(host):
            return known
    return _NAMES.get(provider.name, provider.name)


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
    if path is not Path.DIRECT:
        return path.value
    for attempt in call.record.attempts:
        if any(finding.action != "observe" for finding in _findings(attempt.outcome)):
            return "violation"
    return "slow" if event.ended - call.arrived >= slow else ""


def _findings(outcome: Outcome | None) -> tuple[Finding, ...]:
    return outcome.findings if isinstance(outcome, Answered | Failed) else ()


class Spans:
    """Makes them. Knows from the configuration what a record does not say."""

    def __init__(self, settings: Settings) -> None:
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        targets = [target for route in settings.routes for target in targets_of(route)]
        providers = {**settings.providers, **{t.provider.name: t.provider for t in targets}}
        self._keyed = {t.name for t in targets if t.credential is not None}
        self._keyed |= {name for name, provider in settings.providers.items() if provider.key is not None}
        self._primary = {r.name: r.chain[0].provider.name for r in settings.routes if r.chain}
        self._where: dict[str, tuple[str, str, int]] = {
            name: (known_as(provider), provider.host, provider.port) for name, provider in providers.items()
        }
        self._gen_ai = settings.telemetry.genai_attributes == "attempts"
        self.slow = settings.telemetry.slow_seconds

    def ended(self, event: CallEnded) -> Ended:
        attempts = event.call.record.attempts
        own_key = not attempts or attempts[-1].target not in self._keyed
        return words.ended(event.outcome, own_key=own_key)

    def of(self, event: CallEnded, ended: Ended, since: float, reason: str = "") -> list[Span]:
        """The call's span and its attempts'. `since`: Unix time when the monotonic clock was 0."""
        call = event.call
        spans = [self._call(event, ended, since, reason)]
        spans += [self._attempt(call, attempt, since, event.ended) for attempt in call.record.attempts]
        return spans

    # ---- the call

    def _call(self, event: CallEnded, ended: Ended, since: float, reason: str) -> Span:
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
        served = _served(attempts, outcome)
        if served is not None:
            attributes[rows.SERVED_PROVIDER] = served.provider
            attributes[rows.SERVED_MODEL] = name(served.model)
        if record.nested:
            attributes[rows.NESTED] = record.nested
        if isfinite(call.deadline):
            attributes[rows.DEADLINE] = round((call.deadline - call.arrived) * 1000)
        ours = words.overhead(call, event.ended)
        if ours is not None:
            attributes[rows.OVERHEAD] = round(ours * 1000, 3)
        fault = words.error_type(outcome)
        if fault:
            attributes[rows.ERROR_TYPE] = fault
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
        )

    # ---- an attempt

    def _attempt(self, call: Call, attempt: Attempt, since: float, over: float) -> Span:
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
        if attempt.request_id:
            attributes[rows.REQUEST_ID] = name(attempt.request_id)
        if ask.stream and attempt.chunks:
            attributes[rows.CHUNKS] = attempt.chunks
            attributes[rows.MAX_GAP] = round(attempt.max_gap, 4)
        if isinstance(outcome, Failed):
            if outcome.wait is not None:
                attributes[rows.RETRY_AFTER] = outcome.wait
            if went is Went.QUALITY and outcome.findings:
                attributes[rows.DISCARDED] = outcome.detail
        fault = words.error_type(outcome)
        if fault:
            attributes[rows.ERROR_TYPE] = fault
        title = call.method if call.method in _METHODS else "HTTP"
        if ask.operation is not Operation.OTHER:
            title = _operation(call)
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
            parent_id=span_id(call.id),
            server=False,
            sampled=bool(call.sampled),
            start=_nanos(since + attempt.started),
            end=_nanos(since + (over if attempt.ended is None else attempt.ended)),
            attributes=attributes,
            error=went is not Went.SUCCESS and went is not Went.CANCELLED,
        )


def _operation(call: Call) -> str:
    if call.ask.operation is Operation.EMBEDDINGS:
        return "embeddings"
    return "generate_content" if call.dialect == "gemini" else "chat"


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
    finishes = tuple(_FINISHES[reason] for reason in attempt.finishes)
    if not finishes and isinstance(outcome, Failed) and outcome.fault in words.INTERRUPTED:
        finishes = ("error",)
    if finishes:
        attributes[rows.GEN_FINISHES] = finishes
    if isinstance(outcome, Answered) and outcome.usage is not None:
        _tokens(attributes, outcome.usage)


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


def _served(attempts: list[Attempt], outcome: Outcome | None) -> Attempt | None:
    """Whose answer the application got."""
    if not isinstance(outcome, Answered) or outcome.status >= 400:
        return None
    if outcome.tier is Tier.FULL:
        return attempts[-1] if attempts else None
    if (
        outcome.tier is Tier.REDUCED and outcome.findings
    ):  # an answer that was rejected, and then served for want of a better one
        rejected = (a for a in attempts if _findings(a.outcome) == outcome.findings)
        return next(rejected, None)
    return None


def _moments(call: Call, since: float, over: float) -> tuple[Moment, ...]:
    notes = sorted(call.record.notes, key=lambda one: one.at)
    moments = [Moment(_nanos(since + one.at), one.name, one.fields) for one in notes]
    if call.record.unnoted:
        moments.append(Moment(_nanos(since + over), rows.TRUNCATED, {"count": call.record.unnoted}))
    return tuple(moments)


def _nanos(seconds: float) -> int:
    return int(seconds * 1e9)
