"""What can be set, as frozen values with safe defaults; product numbers in brackets.

Pure data: `config.py` reads a file into it, layers get the piece they need and never the whole.
Every default here is the product's; a YAML key is the field's name. Seconds unless named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Annotated

from sidecar.model import Credential, Drill, Fault, Operation, Provider, Target, Traffic


@dataclass(frozen=True, slots=True)
class Bound:
    """What a field takes beyond its type. `unit` is "seconds", "bytes" or nothing."""

    low: float = -inf
    high: float = inf
    unit: str = ""
    choices: tuple[str, ...] = ()


DAY = 86400.0
Seconds = Annotated[float, Bound(0.001, DAY, "seconds")]
Pause = Annotated[float, Bound(0.0, DAY, "seconds")]  # seconds that may be none
Bytes = Annotated[int, Bound(1, 2**40, "bytes")]
Count = Annotated[int, Bound(1, 1_000_000)]
Zero = Annotated[int, Bound(0, 1_000_000)]  # a count that may be none
Tokens = Annotated[int, Bound(1, 100_000_000)]
Amount = Annotated[float, Bound(0.0, 1_000_000.0)]
Rate = Annotated[float, Bound(0.01, 1000.0)]
Share = Annotated[float, Bound(0.0, 1.0)]
Growth = Annotated[float, Bound(1.0, 100.0)]
Port = Annotated[int, Bound(0, 65535)]
Action = Annotated[str, Bound(choices=("off", "observe", "count", "reject"))]
CommitMode = Annotated[str, Bound(choices=("first_content", "window", "complete"))]
TraceMode = Annotated[str, Bound(choices=("off", "auto"))]
GenAi = Annotated[str, Bound(choices=("attempts", "none"))]
CacheScope = Annotated[str, Bound(choices=("off", "shared", "tenant"))]
IdempotencyKeys = Annotated[str, Bound(choices=("off", "given", "derived"))]
OnLoss = Annotated[str, Bound(choices=("allow", "skip_target", "fail"))]
HedgeAfter = Annotated[str, Bound(choices=("off", "p90", "p95"))]
ChainOrder = Annotated[str, Bound(choices=("listed", "cost", "capability"))]
LogLevel = Annotated[str, Bound(choices=("debug", "info", "warning", "error"))]
FailMode = Annotated[str, Bound(choices=("open", "closed"))]
CaptureMode = Annotated[str, Bound(choices=("off", "proxy"))]
Others = Annotated[str, Bound(choices=("tunnel", "refuse"))]
StreamUsage = Annotated[str, Bound(choices=("auto", "always", "never"))]
OverBudget = Annotated[str, Bound(choices=("serve", "refuse"))]
Reach = Annotated[str, Bound(choices=("public", "private", "any"))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """[R6] How long one phase of an attempt may last, each also bounded by what is left."""

    connect: Seconds = 3.0  # TCP, to the address
    tls: Seconds = 5.0  # the TLS handshake
    headers: Seconds = 15.0  # of a stream; a non-stream answer's headers come with the answer
    first_content: Seconds = 15.0  # of a stream: text, a tool call, visible reasoning; keep-alives are none
    reasoning: Seconds = 120.0  # first content, and headers, of a request that asked for reasoning
    answer: Seconds = 120.0  # a whole non-stream answer
    gap: Seconds = 60.0  # between two contents of a stream
    total: Seconds = 600.0  # a committed stream, whatever it still sends
    linger: Pause = 1.0  # after the last finish reason, for the sentinel that may not come
    write: Seconds = 60.0  # to a slow client


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """[R4] Attempts count the first try too; to switch retries off use `attempts: 1`."""

    attempts: Count = 3  # on one target, the first one included
    per_call: Count = 6  # over all targets
    quality_attempts: Count = 2  # a rejected answer is paid for: asked again once at the most
    base: Pause = 0.5  # full jitter: a wait is drawn from 0 to min(cap, base * 2^n)
    cap: Pause = 8.0
    longest_wait: Pause = 5.0  # [R2] for a provider's hint, where another target exists


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRules:
    """[R7] A bucket of retries per target, sized for one pod."""

    size: Amount = 10.0  # retries at rest
    per_call: Amount = 0.2  # added by each call
    per_minute: Amount = 1.0  # added by time alone


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """[R9] When a breaker trips, how long it rests, how it comes back."""

    run: Zero = 5  # BAD in a row, from at least `run_calls` distinct calls; 0: no run rule
    run_calls: Count = 2
    run_window: Seconds = 60.0
    quiet_window: Seconds = 600.0  # instead, where fewer than `quiet_rate` samples came in 60 s
    quiet_rate: Zero = 10
    ratio: Share = 0.5  # trips when this share of the last `samples` is BAD
    samples: Count = 20
    min_samples: Count = 10  # below it the ratio is silent
    min_bodies: Count = 1  # distinct requests among the BAD ones
    oldest: Seconds = 600.0  # samples beyond it are forgotten
    open: Seconds = 60.0  # the first rest
    growth: Growth = 2.0  # of the rest, at each failed probe; 1: none
    longest: Seconds = 300.0  # rest
    jitter: Share = 0.1  # upwards only: a rest is never cut short
    successes: Count = 2  # good probes that close it
    ramp: Pause = 30.0  # from closing to full traffic


QUALITY_BREAKER = BreakerRules(run=0, min_samples=5, min_bodies=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """[R10] What each quality signal does: off, observe, count or reject (rejecting counts too)."""

    empty: Action = "reject"  # an answer without content
    structured: Action = "reject"  # JSON was asked for and this is none, or breaks its schema
    tool_arguments: Action = "reject"  # of a tool call, no JSON
    truncated: Action = "count"  # cut at a length the client did not ask for
    slow_first_content: Action = "count"  # of a stream: above 3 times the usual, and 1 s
    slow_answer: Action = "count"  # a whole answer: above 3 times the usual, and 1 s
    too_short: Action = "count"  # below a quarter of the usual length, and 3 deviations off
    refusal: Action = "observe"  # the model declines
    repetition: Action = "observe"  # the text goes round in circles
    min_length: Action = "observe"  # fewer than `min_characters`
    min_characters: Zero = 0  # of an answer that is text; 0: any number will do


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """[R10] What is usual before it is learned; afterwards it holds what is learned within a quarter
    to four times of it.
    """

    first_content: Seconds | None = None  # of a stream
    answer: Seconds | None = None  # a whole one
    tokens: Count | None = None  # of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """[R18] When held bytes go to the client: at first content, except that structured output
    is held until it is whole (it can be judged only then), within these bounds.
    """

    mode: CommitMode = "first_content"  # window: a little later; complete: when the answer is whole
    window_chars: Zero = 256  # of text that end a proving window
    window_seconds: Pause = 1.0  # after the first content that end it too
    structured_seconds: Pause = 10.0  # structured output is held no longer
    hold_bytes: Bytes = 1024 * 1024  # of one answer; beyond it it commits


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticText:
    """What a static answer says instead after one class of failure."""

    text: str | None = None
    json: str | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """[R17] A slow target is raced by the next one of the chain, before the client has seen anything."""

    after: HedgeAfter = "off"  # or when so many of the target's answers have begun: p90, p95
    share: Share | None = None  # of calls asked twice; none: 0.12 with p90, 0.06 with p95


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticAnswer:
    """[R21] The labelled answer that is served when nothing else is left. `{link}` and `{trace}` in the
    text are the link and the call's trace id.
    """

    text: str
    json: str | None = None  # served instead where the client asked for JSON; must meet its schema
    empty: bool = True  # where there is no such `json`: the emptiest value that the schema allows
    link: str | None = None  # where a human helps; appended to the text that does not name it
    by_fault: Mapping[Fault, StaticText] = field(
        default_factory=dict
    )  # after these faults; the rest as above


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """[R23] Calls that are the same one are joined: one piece of work, one answer for all."""

    keys: IdempotencyKeys = "given"  # by Idempotency-Key; derived: by equal bodies too; off: never
    keep: Pause = 60.0  # a whole good answer is given again for so long
    linger: Pause = 10.0  # for a client that left and may ask again, before the work is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteCost:
    """[R25] What a route does about money, in dollars."""

    cap: Amount | None = None  # of one call: a further attempt that could go above it is not made
    over_budget: OverBudget = "serve"  # once `cost.hourly_budget` is spent; refuse: calls are refused
    stream_usage: StreamUsage = "auto"  # ask chat completions streams for it; auto: where it is known to work


@dataclass(frozen=True, slots=True, kw_only=True)
class Semantic:
    """Where nobody answers and no earlier answer is to the same question: the one to the nearest question,
    if all else about the call is equal. Plain text only.
    """

    target: Target  # makes the vectors: a provider with OpenAI's embeddings, a model, a key of its own
    threshold: Annotated[float, Bound(0.5, 1.0)] = 0.95  # cosine of the two questions
    seconds: Seconds = 0.5  # so long a vector may take
    dimensions: Annotated[int, Bound(1, 4096)] | None = None  # of a vector, where the model can make fewer


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRules:
    """[R20] Whether answers are given again, to whom, and for how long."""

    scope: CacheScope = "off"  # shared: one key is one tenant; tenant: x-llm-sidecar-tenant names it
    fresh: Pause = 0.0  # so long the same question gets the same answer and nobody is asked; 0: always asked
    stale: Seconds = DAY  # so long it may stand in when nobody answers
    semantic: Semantic | None = None  # off unless given; see below


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSize:
    """What all routes together keep in memory; the least recently used answers go first."""

    entries: Count = 4096
    bytes: Bytes = 32 * 1024 * 1024
    shared: bool = False  # answers also lie in the Redis of `shared`, readable for who can read there


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """[R13a] Whose hands a route's calls may get into; an empty list allows all. What a provider does not say
    of itself is outside of any list.
    """

    processors: tuple[str, ...] = ()  # words that providers have as their `processor`
    regions: tuple[str, ...] = ()  # and as their `region`

    def outside(self, provider: Provider) -> str:
        """Why a provider is outside; "" where it is not."""
        for name, said, allowed in (
            ("processor", provider.processor, self.processors),
            ("region", provider.region, self.regions),
        ):
            if allowed and said not in allowed:
                is_ = f"its {name} is {said}" if said else f"it has no {name}"
                return f"{is_}, not {' or '.join(allowed)}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """[R22] Calls of class background that nobody answers are stored and asked for later; the client
    gets a receipt. Needs `state_dir`, and a target with a key of the sidecar's own.
    """

    expires: Seconds = DAY  # a call that waits longer is given up
    keep: Seconds = DAY  # an answer, from when it is there; then it is forgotten
    attempts: Count = 10  # rounds of asking that failed, refusals by a breaker or a known wait aside
    webhook: str | None = None  # a name in `webhooks`: what became of each call is sent there too


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredRules:
    """[R22] The file of deferred calls as a whole: its bounds, and how fast it is worked off."""

    items: Count = 10_000  # calls that wait; beyond it none is taken
    bytes: Bytes = 256 * 1024 * 1024  # of calls that wait, and as many of answers that are kept
    concurrency: Count = 4  # calls of one route that are asked for at a time
    per_second: Rate = 5.0  # of one route, begun


MOST_WEBHOOKS = 4  # their names are labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """[R22] Where results of deferred calls are sent, signed. Read from `webhooks` of the file."""

    place: Provider  # its origin, as the way out knows it; speaks no dialect and has no key
    path: str
    key: Credential  # signs


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """[R13a] Which calls a route takes; None matches all. `model` is a glob."""

    provider: str | None = None  # the prefix the client uses
    operation: Operation | None = None
    model: str | None = None  # a glob, "gpt-4o*"
    stream: bool | None = None
    header: str | None = None  # value of x-llm-sidecar-route, or of the path form /openai@name


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way through the stack. `chain` is asked in order; `chains` replaces what is left of it
    after a failure of that class. `deadline` None: by traffic class; see layers/deadline.py.
    """

    name: str
    match: Match = Match()
    traffic: Traffic = Traffic.INTERACTIVE
    deadline: Seconds | None = None  # none: by traffic class
    chain: tuple[Target, ...] = ()
    chains: Mapping[Fault, tuple[Target, ...]] = field(default_factory=dict)
    order: ChainOrder = "listed"  # or the cheapest first for the request's size, or the most capable
    hedge: Hedge = Hedge()
    limits: Limits = Limits()
    retry: RetryRules = RetryRules()
    budget: BudgetRules = BudgetRules()
    breaker: BreakerRules = BreakerRules()
    quality_breaker: BreakerRules = QUALITY_BREAKER
    signals: Signals = Signals()
    strict: bool = False  # never serve an answer that a signal rejected
    baseline: Baseline = Baseline()
    commit: Commit = Commit()
    static: StaticAnswer | None = None
    cache: CacheRules = CacheRules()
    idempotency: Idempotency = Idempotency()
    repeat_posts: bool = False  # of plain HTTP tools: a POST or PATCH without a key may be sent again
    once: bool = False  # not idempotent: once bytes went out to a provider, nobody is asked again
    on_loss: OnLoss = "allow"  # where a stand-in cannot be told all of a request; fail: the call ends there
    allow: Boundary = Boundary()
    deferred: Deferral | None = None  # `{}` turns it on
    shadow: bool = False  # breakers, signals, limits and chain only say what they would do
    continuation: bool = False  # a text stream that breaks off goes on at a target that takes a prefill
    strict_capabilities: bool = False  # what nobody knows that a stand-in can do, it cannot
    cost: RouteCost = RouteCost()
    heartbeat: Pause = 0.0  # comments in a stream that waits for its first content, so often; 0: none
    drill: Drill | None = None  # a fault that is played on purpose, see below
    upstream_stream: bool = False  # ask for streams where the client did not: silence shows at first content
    implicit: bool = False  # made for a provider without configuration: the SDK's timeout rules

    @property
    def targets(self) -> tuple[Target, ...]:
        """Whoever may be asked: the chain's, then those of the chains for failures. May repeat."""
        return self.chain + tuple(target for chain in self.chains.values() for target in chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """[R6] Seconds per traffic class, and for routes nobody configured."""

    interactive: Seconds = 30.0
    background: Seconds = 300.0
    unconfigured: Seconds = 300.0  # where the SDK names no timeout of its own
    background_attempts: Count = 6  # per target, unless the route says otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHeaders:
    """[R13a] Which x-llm-sidecar-* request headers are obeyed; the others are dropped."""

    route: bool = True
    fallback: bool = True
    retry: bool = True
    deadline: bool = True
    traffic: bool = True  # x-llm-sidecar-class
    cache: bool = True
    defer: bool = True
    webhook: bool = False  # a name in `webhooks`, or off: whoever sends requests may choose among them


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    hosts: tuple[str, ...] = ("127.0.0.1", "::1")
    port: Port = 4000
    allow_remote: bool = False  # anything but loopback also needs `client_token`
    client_token: str | None = None  # path of a file; compared with x-llm-sidecar-token
    names: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")  # accepted in Host
    origins: tuple[str, ...] = ()  # accepted in Origin
    head_seconds: Seconds = 10.0  # for a whole request head
    body_idle: Seconds = 30.0  # between two pieces of a request body
    body_rate: Zero = 1024  # bytes/s, after 10 s
    max_body: Bytes = 32 * 1024 * 1024  # of a held body; what is passed on has no cap
    max_connections: Count = 1024
    keepalive: Seconds = 75.0  # an idle connection of a client


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    hosts: tuple[str, ...] = ("127.0.0.1", "::1")
    port: Port = 9901
    token: str | None = None  # path of a file; verbs need it


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What one sidecar takes on at a time; above it calls are shed at once."""

    in_flight: Count = 512  # calls
    held_bytes: Bytes = 128 * 1024 * 1024


# The second key to contents, as OpenTelemetry names it, and the values that open: spans are meant.
CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CONTENT_OPEN = frozenset({"true", "span_only", "span_and_event"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """[R26] What leaves the pod about calls; where to is said by the OTEL_* variables."""

    traces: TraceMode = "auto"  # auto: on where a variable names an OTLP endpoint
    sample_ratio: Share = 1.0  # of calls that come without a trace; OTEL_TRACES_SAMPLER wins
    keep_interesting: bool = True  # spans of calls that did not go straight, or were slow, sampled or not
    slow_seconds: Seconds = 60.0  # from here on a call is slow
    genai_attributes: GenAi = "attempts"  # none: where the application's own spans count tokens already
    genai_metrics: bool = False  # /metrics also shows the gen_ai_client_* metrics of the conventions
    capture_content: bool = False  # prompts and answers on spans; a variable has to say so too
    redact: tuple[str, ...] = ()  # patterns that are taken out of them, beside those we know


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """[R32] An HTTPS proxy on loopback, for applications that take no base URL. The hosts of providers
    end in it, with certificates that only this pod trusts; read at the start of the process.
    """

    mode: CaptureMode = "off"  # proxy: listen for HTTPS_PROXY clients
    port: Port = 4001  # on loopback, always
    trust_dir: str | None = None  # where ca-bundle.pem and ca.pem are put; proxy needs it
    hosts: Mapping[str, str] = field(default_factory=dict)  # a host: its provider; "" leaves that host alone
    only_hosts: bool = False  # `hosts` alone, not those of all providers too
    others: Others = "tunnel"  # what becomes of connections to all other hosts
    reach: Reach = "private"  # of tunnels: public addresses, private ones too, or any (loopback too)
    tunnels: Count = 256  # at a time
    idle: Seconds = 900.0  # a tunnel that carries nothing for so long is closed
    proxy: str | None = None  # http://host:port, that tunnels go through


SHORTEST_KEY = 16  # characters that are enough to sign with


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """[R12] A Redis where the pods of a fleet tell each other what they learn. It advises and is never
    needed; off unless both `url` and `key` are given. Needs the extra `llm-sidecar[redis]`.
    """

    url: Credential | None = None  # a secret, since it holds a password: rediss://:PASSWORD@HOST:6379/0
    key: Credential | None = None  # signs what is told; the same in every pod, 16 characters or more
    prefix: str = "llm-sidecar"  # of all keys; pods with another one are another fleet
    every: Annotated[float, Bound(0.05, 60.0, "seconds")] = 1.0  # between two rounds: tell, read, elect
    timeout: Annotated[float, Bound(0.001, 5.0, "seconds")] = 0.05  # of one round


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What is known better than the catalogue of one model of one provider. Prices are dollars for a
    million tokens; `input` and `output` make a price.
    """

    provider: str  # a name of a provider in the configuration
    model: str
    like: str | None = None  # PROVIDER/MODEL of the catalogue to start from
    window: Tokens | None = None  # tokens of input
    output_limit: Tokens | None = None  # tokens of one answer
    can: tuple[str, ...] = ()  # abilities it has: tools, schema, images, documents, thinking, ...
    cannot: tuple[str, ...] = ()
    retires: str | None = None  # YYYY-MM-DD, its last day; "" for never
    input: Amount | None = None
    output: Amount | None = None
    cache_read: Amount | None = None
    cache_write: Amount | None = None
    reasoning: Amount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRules:
    """[R25] What this pod may spend, in dollars."""

    hourly_budget: Amount | None = None  # from four fifths of it on it warns; routes say if they refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    listen: Listen = Listen()
    admin: Admin = Admin()
    admission: Admission = Admission()
    cache_size: CacheSize = CacheSize()
    deadlines: Deadlines = Deadlines()
    request_headers: RequestHeaders = RequestHeaders()
    telemetry: Telemetry = Telemetry()
    capture: Capture = Capture()
    cost: CostRules = CostRules()
    shared: Shared = Shared()
    deferred: DeferredRules = DeferredRules()
    drain: Pause = 20.0  # for calls in flight, after SIGTERM
    audit_translations: bool = False  # look whether anything of a translated request was lost silently
    bypass: bool = False  # pass everything on, untouched by any policy
    fail_mode: FailMode = "open"  # after a bug of ours a call goes straight to its provider; closed: it fails
    log_level: LogLevel = "info"
    drill_key: str | None = None  # path of a file: requests signed with what it holds may ask for a drill
    state_dir: str | None = None  # a folder that outlives the process: what was learned is kept there
    providers: Mapping[str, Provider] = field(default_factory=dict)  # the well-known ones too
    webhooks: Mapping[str, Webhook] = field(default_factory=dict)
    models: tuple[Override, ...] = ()  # what you know better than the catalogue; see below
    routes: tuple[Route, ...] = ()
    defaults: Route = Route(name="defaults")  # what every route starts from, implicit ones too
    digest: str = ""  # of the file it was read from
