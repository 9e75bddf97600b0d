"""The words of the data plane: what a call is, what may come of it, and who carries it.

Everything between the listener and the wire is a `Service`: it takes a call and a sink, pushes
the reply into the sink, and returns the outcome when the exchange is over, last byte included.
So what a layer owns (a permit, a timer, a slot) is a `with` or a `finally` in its frame.

Three facts have exactly one owner:
- whether the client has seen anything: the sink (`Sink.stage`); nobody keeps a copy;
- how an attempt went: its outcome; failures are values, exceptions are bugs or cancellation;
- what happened to this call so far: its `Record`, the only mutable thing that travels with it.

This module imports nothing of ours, so that every floor may speak it. Seconds everywhere;
`now` is monotonic, `wall` is Unix time. Headers are raw pairs of bytes in the order they came.

What is made for every call or every event is a msgspec Struct: as frozen as a dataclass, and made
and replaced in a tenth of the time. What holds keys, prompts or answers does not show them in its
repr.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from math import inf
from typing import Any, Protocol

from msgspec import Struct
from msgspec import field as msgspec_field

Headers = tuple[tuple[bytes, bytes], ...]


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header, or None. `name` in lower case."""
    for key, value in headers:
        if key.lower() == name:
            return value
    return None


# ---- what can go wrong -------------------------------------------------------------------


class Fault(StrEnum):
    """The only error vocabulary: taxonomy, labels, span attributes and logs use these words."""

    RATE_LIMIT_RPM = "rate_limit_rpm"
    RATE_LIMIT_TPM = "rate_limit_tpm"
    RATE_LIMIT_DAILY = "rate_limit_daily"
    RATE_LIMIT_CONCURRENCY = "rate_limit_concurrency"
    RATE_LIMIT_ACCELERATION = "rate_limit_acceleration"
    RATE_LIMIT_REQUEST_TOO_LARGE = "rate_limit_request_too_large"
    RATE_LIMIT_UNKNOWN = "rate_limit_unknown"
    QUOTA_EXHAUSTED = "quota_exhausted"
    ORG_LIMIT = "org_limit"
    BILLING = "billing"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    MODEL_LOADING = "model_loading"
    TIMEOUT = "timeout"
    TTFT_TIMEOUT = "ttft_timeout"
    STREAM_STALL = "stream_stall"
    STREAM_CUT = "stream_cut"
    MALFORMED_CHUNK = "malformed_chunk"
    NETWORK = "network"
    TLS = "tls"
    CONTEXT_WINDOW = "context_window"
    CONTENT_POLICY = "content_policy"
    REFUSAL = "refusal"
    AUTH = "auth"
    PERMISSION = "permission"
    REGION_BLOCKED = "region_blocked"
    NOT_FOUND = "not_found"
    MODEL_GONE = "model_gone"
    INVALID_REQUEST = "invalid_request"
    REQUEST_TOO_LARGE = "request_too_large"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    CAPABILITY_MISMATCH = "capability_mismatch"
    CONFLICT = "conflict"
    KEEPALIVE = "keepalive"
    OK_NO_DONE = "ok_no_done"
    EMPTY_OUTPUT = "empty_output"
    TRUNCATED_OUTPUT = "truncated_output"
    MALFORMED_TOOL_CALL = "malformed_tool_call"
    STRUCTURED_OUTPUT_FAILED = "structured_output_failed"
    LOW_QUALITY = "low_quality"
    CLIENT_CANCELLED = "client_cancelled"
    LOCAL_OVERLOAD = "local_overload"
    UNKNOWN = "unknown"


class Scope(StrEnum):
    """How far a verdict reaches beyond the request that met it."""

    REQUEST = "request"
    MODEL = "model"
    KEY = "key"
    PROVIDER = "provider"
    REGION = "region"


class Verdict(Struct, frozen=True):
    """What one provider answer means. `wait` is the provider's own hint, in seconds from now;
    `again` overrules the fault's row where the answer itself says more (a 408, a 500 that never heals)."""

    fault: Fault
    scope: Scope
    wait: float | None = None
    again: bool | None = None


# ---- where a call goes -------------------------------------------------------------------


class Credential(Protocol):
    """A reference to a secret. Its repr is a mask; only the upstream calls `reveal`."""

    @property
    def digest(self) -> str: ...  # 8 hex characters, safe to show; changes when the secret does
    def reveal(self) -> str | None: ...  # None: there is none now (file missing, variable unset)


class AuthStyle(StrEnum):
    """Which request header carries a provider's key."""

    BEARER = "authorization"  # authorization: Bearer KEY
    X_API_KEY = "x-api-key"
    API_KEY = "api-key"
    X_GOOG_API_KEY = "x-goog-api-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One configured upstream: an origin, the dialect it speaks, how it wants its key."""

    name: str  # also the path prefix on the listener
    dialect: str  # a name in sidecar.dialects.DIALECTS, or "" for pass-through only
    scheme: str
    host: str
    port: int
    base_path: str = ""  # without a trailing slash and without the version segment
    version: str = ""  # "v1": inserted where the client sent no version segment
    version_known: bool = True  # False: inserted for the dialect's own operations only
    auth: AuthStyle = AuthStyle.BEARER
    key: Credential | None = None  # None: the application's own key is passed through
    private: bool = False  # may resolve to loopback and private addresses
    ca_file: str | None = None
    proxy: str | None = None
    processor: str = ""
    region: str = ""
    responses: bool = True  # of openai_chat: it serves responses too
    propagate_trace: bool = False  # its requests carry the trace, with the attempt's span as their parent


class Prior(Protocol):
    """What is known of a target before it is learned: seconds and tokens, None where nothing is."""

    @property
    def first_content(self) -> float | None: ...  # of a stream
    @property
    def answer(self) -> float | None: ...  # a whole one
    @property
    def tokens(self) -> float | None: ...  # of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What becomes of the system prompt for one target. `replace` goes with neither of the others."""

    replace: str | None = None  # the whole prompt; an empty text takes it away
    prepend: str | None = None  # put before it
    append: str | None = None  # and behind


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What is said differently to one target; see sidecar.variants."""

    system: System = System()
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an attempt may go: a provider, a model (None: the one the client asked for), a key."""

    name: str
    provider: Provider
    model: str | None = None
    key: Credential | None = None  # wins over the provider's
    baseline: Prior | None = None  # wins over the route's
    group: int | None = None  # neighbours in a chain with the same number are one step of it
    variant: Variant | None = None  # it is told something else than what the client wrote
    weight: float = 1.0  # of a group's calls, against the weights of the others; 0: only when they fail

    @property
    def credential(self) -> Credential | None:
        return self.key or self.provider.key


# ---- what is asked -----------------------------------------------------------------------


class Operation(StrEnum):
    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    TOOL = "tool"  # of a plain HTTP tool
    OTHER = "other"


class Traffic(StrEnum):
    INTERACTIVE = "interactive"
    BACKGROUND = "background"


class Ask(Struct, frozen=True, kw_only=True):
    """What a request wants, as far as policy has to know. Read by the dialect from the body."""

    operation: Operation
    model: str
    stream: bool = False
    json: bool = False  # structured output was asked for
    schema: bytes | None = None  # the JSON schema the answer has to meet, if one was given
    tools: frozenset[str] = frozenset()  # names of the tools the model may call
    reasoning: bool = False
    max_output: int | None = None
    choices: int = 1
    hides_usage: bool = False  # the event of a stream that only counts is none that the client asked for


class Head(Struct, frozen=True):
    """Status line and headers of an answer."""

    status: int
    reason: str = ""
    headers: Headers = ()

    def get(self, name: bytes) -> bytes | None:
        return header(self.headers, name)


# ---- what comes back, as a neutral side view ---------------------------------------------


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    TOOL = "tool"
    FILTER = "filter"
    REFUSAL = "refusal"
    CONTEXT_FULL = "context_full"
    ERROR = "error"


class Text(Struct, frozen=True):
    text: str
    choice: int = 0


class Reasoning(Struct, frozen=True):
    text: str  # may be empty where the provider hides it but shows that it happens
    choice: int = 0


class Refusal(Struct, frozen=True):
    text: str
    choice: int = 0


class ToolCall(Struct, frozen=True):
    """A piece of a tool call; `id` and `name` come once, `arguments` in pieces."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    choice: int = 0


class Media(Struct, frozen=True):
    """Content that is neither text nor a call: an image, audio, an embedding, a citation."""

    kind: str


class Usage(Struct, frozen=True):
    """Tokens. Last value of a key wins in a stream; None where the provider said nothing."""

    input_total: int | None = None
    output_total: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


class Finish(Struct, frozen=True):
    reason: FinishReason
    choice: int = 0


class Answering(Struct, frozen=True):
    """Which model says it answers."""

    model: str


class Trouble(Struct, frozen=True):
    """An error inside an answer of HTTP 200; `status` is the one it names, 0 where it names none."""

    status: int
    body: bytes


class Malformed(Struct, frozen=True):
    """A piece that could not be read; what is around it still counts."""

    where: str


Delta = Text | Reasoning | Refusal | ToolCall | Media | Usage | Finish | Answering | Trouble | Malformed


class Chunk(Struct, frozen=True):
    """What flows down the sink: bytes ready to write, and what they say.

    In a stream `raw` holds whole events only, so that an error event can always follow.
    """

    raw: bytes
    deltas: tuple[Delta, ...] = ()

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # 3.11 has none
        return f"Chunk({len(self.raw)} bytes, {len(self.deltas)} deltas)"


# ---- what becomes of an attempt, and of a call --------------------------------------------


class Loss(Struct, frozen=True, order=True):
    """One thing of a request that did not make it to a target: where it stood (`messages[3].name`) and why
    not."""

    field: str  # a path in the client's words; holds no value
    how: str  # dropped, clamped, merged, hoisted, emulated, silent (our mistake); cost: only the bill


class Finding(Struct, frozen=True):
    """A quality signal that fired: what was seen and what the limit was."""

    signal: str
    action: str  # observe, count or reject
    fault: Fault
    value: float = 0.0
    limit: float = 0.0


class Tier(StrEnum):
    """How good an answer the client got."""

    FULL = "full"
    REDUCED = "reduced"
    CACHED = "cached"
    STATIC = "static"
    DEFERRED = "deferred"
    NONE = "none"


class Answered(Struct, frozen=True):
    """A whole answer went (or, while held, can go) to the client."""

    status: int
    usage: Usage | None = None
    findings: tuple[Finding, ...] = ()
    tier: Tier = Tier.FULL
    cached: bool = False  # given before, and given again because the route wants it so


class Failed(Struct, frozen=True):
    """The provider or the wire let us down. `head` and `body` pass to the client byte for byte.

    `detail` is ours, safe to log: it never quotes a provider.
    """

    fault: Fault
    scope: Scope = Scope.REQUEST
    wait: float | None = None
    head: Head | None = None
    body: bytes = b""
    detail: str = ""
    findings: tuple[Finding, ...] = ()
    again: bool | None = None  # overrides the table's `again` for this one answer
    told: bool = False  # the provider's own error event went to the client: nothing to add

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # as Chunk
        return f"Failed({self.fault}, {self.scope}, wait={self.wait}, {self.detail!r})"


class RefusedBy(StrEnum):
    BREAKER = "breaker"
    QUALITY_BREAKER = "quality_breaker"
    KNOWN_WAIT = "known_wait"
    ADMISSION = "admission"
    NO_CREDENTIAL = "no_credential"
    NOT_ALLOWED = "not_allowed"
    UNREPRESENTABLE = "unrepresentable"  # the target's dialect cannot say it
    INCAPABLE = "incapable"  # the target's model cannot do it
    COST_CAP = "cost_cap"  # it could make the call dearer than its route allows
    COST_BUDGET = "cost_budget"  # the pod's money for this hour is spent


class Refused(Struct, frozen=True):
    """We did not even try. `until` is when it may be worth asking again (inf: not by waiting).

    `reason`: a word of ours that says more than `by`, where there is one. `final`: nobody else is asked.
    """

    by: RefusedBy
    until: float = inf
    fault: Fault = Fault.UNKNOWN  # what made us refuse, where that is known
    detail: str = ""
    reason: str = ""
    final: bool = False


Outcome = Answered | Failed | Refused


# ---- breakers, as everybody sees them --------------------------------------------------


class BreakerState(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Transition(Struct, frozen=True):
    """A breaker changed its state. `trigger`: run, ratio, probe, manual, pardon, fleet."""

    old: BreakerState
    new: BreakerState
    trigger: str
    bad: int = 0
    samples: int = 0


# ---- the call and its record --------------------------------------------------------------


class Kind(StrEnum):
    """Why an attempt was made."""

    INITIAL = "initial"
    RETRY = "retry"
    FALLBACK = "fallback"
    PROBE = "probe"
    HEDGE = "hedge"  # beside one that is slow
    CONTINUATION = "continuation"  # goes on with what another one began


class Said(Struct):
    """The answer's bytes in the client's dialect, for a span; up to a bound."""

    content_type: bytes = b""
    raw: bytearray = msgspec_field(default_factory=bytearray)
    cut: bool = False  # there was more

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # as Chunk
        return f"Said({len(self.raw)} bytes)"


class Purpose(StrEnum):
    """What the money of an attempt was for; see core/bill."""

    SERVED = "served"
    RETRY = "retry"
    FALLBACK = "fallback"
    HEDGE = "hedge"
    QUALITY_REJECTED = "quality_rejected"


class Cost(Struct, frozen=True):
    """`pico` dollars, 1e-12 of one; None: nobody knows the price."""

    pico: int | None
    estimated: bool = False


class Attempt(Struct, kw_only=True):
    """One exchange with a provider, filled in while it runs."""

    number: int  # from 1, over the whole call
    target: str
    provider: str
    model: str
    kind: Kind
    breaker: str  # its state when the attempt was let through
    started: float
    first_content: float | None = None
    last_content: float | None = None
    ended: float | None = None
    status: int = 0
    outcome: Outcome | None = None  # None while running, and for ever if it was cut short
    answering: str = ""
    request_id: str = ""  # the provider's own
    chunks: int = 0
    max_gap: float = 0.0
    finishes: tuple[FinishReason, ...] = ()  # by choice
    held: int = 0  # bytes held at the most
    sent: bool = False  # the request, or a part of it, went out
    malformed: int = 0  # pieces that could not be read
    usage: Usage | None = None  # what the provider said it took, whoever got the answer
    characters: int = 0  # of all content that came
    said: Said | None = None  # kept only where contents are captured
    losses: tuple[Loss, ...] = ()  # of the request and its answer, on the way between two dialects or models
    lost_race: bool = False  # another attempt was asked beside it, and was the faster one
    cost: Cost | None = None  # None while running, and of what is passed through unread
    purpose: Purpose | None = None  # of its cost; None until the call is over


Fields = Mapping[str, Any]  # plain values, ready to be shown


class Note(Struct, frozen=True):
    """What was told of a call while it ran, as its span will show it: plain values, no call in them."""

    at: float
    name: str
    fields: Fields


class Record(Struct, kw_only=True):
    """What happened to a call so far; telemetry reads it when the call is over."""

    attempts: list[Attempt] = msgspec_field(default_factory=list)
    notes: list[Note] = msgspec_field(default_factory=list)  # kept only where spans are made
    unnoted: int = 0  # notes beyond the bound
    waited: float = 0.0  # seconds slept between attempts
    client_blocked: float = 0.0  # seconds a slow client made us wait
    answering: bool = False  # content arrives: the deadline bounds waiting, not answering
    drawn: str = ""  # the member that the call drew from the first group of its chain
    nested: int = 0  # the SDK's own retry count, or 1 where we found out ourselves
    reading: object = None  # what the gate read of the request, once for all targets (layers.gate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A fault that is played on purpose, in a share of the attempts and for a time."""

    fault: str  # network, overloaded, server_error, rate_limit_rpm, timeout or stream_cut
    until: str  # when it is over: an ISO 8601 time with its zone, in quotes
    share: float = 0.1  # of the attempts
    target: str = ""  # of a target or a provider; "": all of the route


class Runner(Struct):
    """One of two targets that are asked at the same time; see layers/hedge."""

    claim: Callable[[], object]  # says that its first content is here
    attempt: Attempt | None = None  # the one that runs, or ran last

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # as Chunk
        return f"Runner({self.attempt and self.attempt.number})"


class Options(Struct, frozen=True, kw_only=True):
    """What the request's own headers changed, where configuration allows it."""

    fallback: bool = True
    retry: bool = True
    cache: bool = True
    tenant: str = ""  # whose request it is, where the application has tenants
    drill: Drill | None = None
    defer: str = ""  # on, off, always; "": as its class and its route say
    webhook: str = ""  # where its result is sent if it is deferred, or off; "": as its route says


class Call(Struct, frozen=True, kw_only=True):
    """One request of the application or, with `target` set, one attempt's copy of it."""

    id: str
    route: str
    provider: str  # the prefix the client used
    dialect: str
    method: str
    path: str  # after the prefix, with the version segment if the client sent one
    query: str
    headers: Headers
    body: bytes
    ask: Ask
    traffic: Traffic
    arrived: float
    deadline: float  # no attempt starts after it; a call without content ends at it
    record: Record
    options: Options = Options()
    patience: float = inf  # the SDK's own read timeout, times 0.9: limits silence, not answers
    key_digest: str = ""  # of the application's own credential
    trace_id: str = ""
    parent_id: str = ""  # the span of the application that this call is part of, if it said so
    sampled: bool | None = None  # are its spans kept? None: nobody said, and no spans are made here
    upload: AsyncIterator[bytes] | None = None  # a body that is passed on, not held
    shadow: bool = False  # policies say what they would do, and do nothing
    once: bool = False  # nobody is asked again once bytes went out to a provider
    exact: bool = False  # the path is its own provider's, whole: nothing is put in
    named: str = ""  # the route that the request names, if it does
    job: str = ""  # of the deferred call that is asked for now; its client got a receipt earlier
    # the attempt's copy:
    target: Target | None = None
    kind: Kind = Kind.INITIAL
    leave_at: float = inf  # when a silent target is left for the next one
    others: int = 0  # targets of the chain that may still be asked after this one
    alone: bool = False  # nobody else can take this call, not even a degraded answer
    early: bool = False  # alone, and waiting: it may probe before the breaker's rest is over
    stretch: float = 1.0  # of the silence limits, on the one more try of a lonely target
    breaker: BreakerState | None = None  # the state that let this attempt through
    runner: Runner | None = None  # where another target may be asked beside this one
    covered: bool = False  # an answer that was given before stands behind this call
    assembled: bool = False  # asked as a stream for a client that wants it whole
    written: object = None  # the request in its target's dialect (hub.Written), where that is another one
    losses: tuple[Loss, ...] = ()  # what of the request its target is not told

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # as Chunk
        return f"Call({self.id}, {self.route}, {self.target and self.target.name})"


def spent(call: Call) -> bool:
    """May nobody be asked any more, because the request may have been acted on?"""
    return call.once and any(attempt.sent for attempt in call.record.attempts)


def current(call: Call) -> Attempt:
    """The attempt that runs, or ran last, in the frame that this copy of the call was made for."""
    runner = call.runner
    if runner is None or runner.attempt is None:
        return call.record.attempts[-1]
    return runner.attempt


def latest(attempts: Sequence[Attempt]) -> Attempt | None:
    """The last one that lost no race: whose answer it is, if there is any."""
    if attempts and not attempts[-1].lost_race:  # nearly always
        return attempts[-1]
    return next((one for one in reversed(attempts) if not one.lost_race), None)


def span_id(call_id: str, number: int = 0) -> str:
    """The id of a call's span, or of its attempt's: known before either begins, so that it can be sent."""
    if number == 0:
        return call_id[:16]
    return f"{(int(call_id[16:32], 16) + number) % (2**64 - 1) + 1:016x}"  # never 0, which is no id


# ---- who carries it -----------------------------------------------------------------------


class Stage(IntEnum):
    """What the client has seen. OPENED: a head and comments; who answers may still change, and errors go
    into the stream.
    """

    UNTOUCHED = 0
    OPENED = 1
    COMMITTED = 2


class Done:
    """What a sink returns that took a chunk at once: to be awaited without waiting."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


DONE = Done()


class Sink(Protocol):
    """`send` may be called by the transport that brings the bytes, outside of any task. What it returns
    is awaited before the next chunk is sent, in the call's task; DONE need not be.
    """

    @property
    def stage(self) -> Stage: ...
    async def start(self, head: Head) -> None: ...
    def send(self, chunk: Chunk) -> Awaitable[None]: ...


class Service(Protocol):
    async def __call__(self, call: Call, sink: Sink) -> Outcome: ...


class Clock(Protocol):
    def now(self) -> float: ...  # monotonic; equals the running loop's time()
    def wall(self) -> float: ...  # Unix time, for dates in headers only
    async def sleep(self, seconds: float) -> None: ...


class Rng(Protocol):
    def uniform(self, a: float, b: float, /) -> float: ...
