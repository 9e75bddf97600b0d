"""What can be set, as frozen values with safe defaults; product numbers in brackets.

Pure data: `config.py` reads a file into it, layers get the piece they need and never the whole.
Every default here is the product's; a YAML key is the field's name. Seconds unless named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.model import Fault, Operation, Provider, Target, Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """[R6] How long one phase of an attempt may last, each also bounded by what is left."""

    connect: float = 3.0
    tls: float = 5.0
    headers: float = 15.0  # of a stream; a non-stream answer's headers come with the answer
    first_content: float = 15.0
    reasoning: float = 120.0  # first content, and headers, of a request that asked for reasoning
    answer: float = 120.0  # a whole non-stream answer
    gap: float = 60.0  # between two contents of a stream
    total: float = 600.0  # a committed stream, whatever it still sends
    linger: float = 1.0  # after the last finish reason, for the sentinel that may not come
    write: float = 60.0  # to a slow client


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """[R4] Attempts count the first try too; to switch retries off use `attempts: 1`."""

    attempts: int = 3
    per_call: int = 6
    quality_attempts: int = 2  # a rejected answer is paid for: asked again once at the most
    base: float = 0.5
    cap: float = 8.0
    longest_wait: float = 5.0  # [R2] for a provider's hint, where another target exists


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRules:
    """[R7] A bucket of retries per target, sized for one pod."""

    size: float = 10.0
    per_call: float = 0.2
    per_minute: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """[R9] When a breaker trips, how long it rests, how it comes back."""

    run: int = 5  # BAD in a row, from at least `run_calls` distinct calls; 0: no run rule
    run_calls: int = 2
    run_window: float = 60.0
    quiet_window: float = 600.0  # instead, where fewer than `quiet_rate` samples came in 60 s
    quiet_rate: int = 10
    ratio: float = 0.5
    samples: int = 20
    min_samples: int = 10
    min_bodies: int = 1  # distinct requests among the BAD ones
    oldest: float = 600.0
    open: float = 60.0
    growth: float = 2.0
    longest: float = 300.0
    jitter: float = 0.1  # upwards only: a rest is never cut short
    successes: int = 2
    ramp: float = 30.0


QUALITY_BREAKER = BreakerRules(run=0, min_samples=5, min_bodies=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """[R10] What each quality signal does: off, observe, count or reject (rejecting counts too)."""

    empty: str = "reject"
    structured: str = "reject"
    tool_arguments: str = "reject"
    truncated: str = "count"
    refusal: str = "observe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """[R18] When held bytes go to the client: at first content, except that structured output
    is held until it is whole (it can be judged only then), within these bounds."""

    mode: str = "first_content"
    structured_seconds: float = 10.0
    hold_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticAnswer:
    """[R21] The labelled answer that is served when nothing else is left."""

    text: str
    json: str | None = None  # served instead where the client asked for JSON; must meet its schema
    link: str | None = None  # where a human helps; appended to the text


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """[R13a] Which calls a route takes; None matches all. `model` is a glob."""

    provider: str | None = None
    operation: Operation | None = None
    model: str | None = None
    stream: bool | None = None
    header: str | None = None  # value of x-llm-sidecar-route, or of the path form /openai@name


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way through the stack. `chain` is asked in order; `chains` replaces what is left of it
    after a failure of that class. `deadline` None: by traffic class; see layers/deadline.py."""

    name: str
    match: Match = Match()
    traffic: Traffic = Traffic.INTERACTIVE
    deadline: float | None = None
    chain: tuple[Target, ...] = ()
    chains: Mapping[Fault, tuple[Target, ...]] = field(default_factory=dict)
    limits: Limits = Limits()
    retry: RetryRules = RetryRules()
    budget: BudgetRules = BudgetRules()
    breaker: BreakerRules = BreakerRules()
    quality_breaker: BreakerRules = QUALITY_BREAKER
    signals: Signals = Signals()
    commit: Commit = Commit()
    static: StaticAnswer | None = None
    implicit: bool = False  # made for a provider without configuration: the SDK's timeout rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """[R6] Seconds per traffic class, and for routes nobody configured."""

    interactive: float = 30.0
    background: float = 300.0
    unconfigured: float = 300.0
    background_attempts: int = 6  # per target, unless the route says otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHeaders:
    """[R13a] Which x-llm-sidecar-* request headers are obeyed; the others are dropped."""

    route: bool = True
    fallback: bool = True
    retry: bool = True
    deadline: bool = True
    traffic: bool = True  # x-llm-sidecar-class
    cache: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    hosts: tuple[str, ...] = ("127.0.0.1", "::1")
    port: int = 4000
    allow_remote: bool = False  # anything but loopback also needs `client_token`
    client_token: str | None = None  # path of a file; compared with x-llm-sidecar-token
    names: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")  # accepted in Host
    origins: tuple[str, ...] = ()  # accepted in Origin
    head_seconds: float = 10.0
    body_idle: float = 30.0
    body_rate: int = 1024  # bytes/s, after 10 s
    max_body: int = 32 * 1024 * 1024  # of a held body; what is passed on has no cap
    max_connections: int = 1024
    keepalive: float = 75.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    hosts: tuple[str, ...] = ("127.0.0.1", "::1")
    port: int = 9901
    token: str | None = None  # path of a file; verbs need it


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What one sidecar takes on at a time; above it calls are shed at once."""

    in_flight: int = 512
    held_bytes: int = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    listen: Listen = Listen()
    admin: Admin = Admin()
    admission: Admission = Admission()
    deadlines: Deadlines = Deadlines()
    request_headers: RequestHeaders = RequestHeaders()
    drain: float = 20.0
    bypass: bool = False
    log_level: str = "info"
    providers: Mapping[str, Provider] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    digest: str = ""  # of the file it was read from
