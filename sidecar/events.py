"""What is told while calls run and when they end: one type per fact, for metrics, logs, spans and status.

Layers tell; telemetry counts, writes and shows. Nobody here decides anything: an event that nobody
hears changes no call. What holds a call does not show its keys or prompts in its repr.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from sidecar.model import Attempt, Call, Fault, Finding, Outcome, Refused, Target, Tier, Transition


class AttemptEnded(Struct, frozen=True):
    call: Call
    attempt: Attempt


class RetryPlanned(Struct, frozen=True):
    call: Call
    fault: Fault
    wait: float
    source: str  # backoff or provider


class RetryDenied(Struct, frozen=True):
    call: Call
    fault: Fault
    cause: str  # budget, deadline, attempts, committed, cost_cap


class FellBack(Struct, frozen=True):
    call: Call
    left: Target
    to: Target
    reason: str  # a Fault, or a RefusedBy


class Hedged(Struct, frozen=True):
    """A target was slow, so that another one was asked beside it, or would have been. `result`: won (the
    second one's answer is taken), lost, failed (it had none), left (the call ended first) or denied (the
    budget is spent).
    """

    call: Call
    slow: Target
    beside: Target
    result: str


class Continued(Struct, frozen=True):
    """A stream broke off after commit and somebody was asked to go on. `to` None: nobody did."""

    call: Call
    left: str  # the provider whose stream broke off
    to: Target | None
    whole: bool  # the answer came to its end


class Shadowed(Struct, frozen=True):
    """What a policy would have done with a call of a route that runs in shadow; nothing was done."""

    call: Call
    what: str  # retry, fallback, breaker, quality_breaker, known_wait, reject, timeout or degrade
    detail: str = ""  # a fault, a signal, a target


class TargetSkipped(Struct, frozen=True):
    """A target refused without being asked."""

    call: Call
    target: Target
    refused: Refused


class FieldsDenied(Struct, frozen=True):
    """A target refused a request for a field that it does not take: it is not sent that again.

    `fields`: names of the target's own dialect, or "(images)" for an ability; plain characters only.
    """

    call: Call
    target: Target
    fields: tuple[str, ...]


class Retiring(Struct, frozen=True):
    """A configured target's model is retired already, or will be within thirty days; told once."""

    target: Target
    last: str  # its last day, 2027-01-31


class BreakerMoved(Struct, frozen=True):
    call: Call | None  # None: an operator did it, or the fleet
    kind: str  # "transport" or "quality"
    route: str  # "" for transport breakers
    target: str
    provider: str
    model: str
    transition: Transition


class Judged(Struct, frozen=True):
    """A signal was evaluated and fired; `done`: observed, rejected or served."""

    call: Call
    target: Target
    finding: Finding
    done: str


class WouldOpen(Struct, frozen=True):
    """A signal that only observes would have opened the quality breaker of this route and target."""

    call: Call
    target: Target
    signal: str
    transition: Transition


class OperatorAlert(Struct, frozen=True):
    """Somebody has to act: a quota, a key, a model that is gone."""

    call: Call
    target: Target
    fault: Fault


class Degraded(Struct, frozen=True):
    call: Call
    tier: Tier
    reason: str


class Cached(Struct, frozen=True):
    """The cache was asked, or took an answer in."""

    call: Call
    result: str  # hit, stale_hit, semantic_hit, miss, stale_miss, stored
    age: float = 0.0  # seconds, of a hit


class Shed(Struct, frozen=True):
    call: Call
    reason: str  # concurrency, memory, draining


class Turned(Struct, frozen=True):
    """A request or a connection was turned away before it became a call."""

    reason: str  # connections, host, malformed, not_allowed, slow, token, too_large, unknown, websocket
    detail: str = ""  # our code for it


class Proxied(Struct, frozen=True):
    """A client of the proxy port was served, or was not."""

    how: str  # intercepted, tunnelled, refused, failed (its TLS)
    reason: str = ""  # of the last two: address, crowded, handshake, host, left, malformed, method, slow, ...
    provider: str = ""  # of an intercepted host


class Trusted(Struct, frozen=True):
    """The certificates that clients of the proxy port have to trust are in their folder, or could not be
    put there; or they are others than clients may have read.
    """

    ok: bool
    detail: str = ""  # ours


class Joined(Struct, frozen=True):
    """A call is the same as another one and takes part in its answer: no provider was asked for it."""

    call: Call
    how: str  # running: the other one is under way; answered: it is over


class NestedRetry(Struct, frozen=True):
    call: Call
    source: str  # sdk_header, same_body, idempotency_key


class Ignored(Struct, frozen=True):
    """A request had a header with our prefix that is none of ours; each name is told once."""

    call: Call
    header: str  # a plain name
    meant: str  # the nearest one that there is, or ""


class CallEnded(Struct, frozen=True):
    """The call is over. `outcome` None: the client left or the process had to stop it."""

    call: Call
    outcome: Outcome | None
    ended: float
    status: int  # what the client saw; 0: nothing
    committed: bool


class Reloaded(Struct, frozen=True):
    ok: bool
    digest: str
    problems: tuple[str, ...] = ()  # why it was not taken, or what of the pod's word was left out


class Keyed(Struct, frozen=True):
    """A key that could be read cannot be any more, or can again."""

    ok: bool
    detail: str  # ours: who wants it, where it is read, why it cannot be


class Overridden(Struct, frozen=True):
    """The operator's overrides were read, or have come to their end."""

    ok: bool
    active: tuple[str, ...] = ()  # what holds now: "chains 2"
    problems: tuple[str, ...] = ()  # why it was not taken
    idle: tuple[str, ...] = ()  # what fits nothing in this configuration


class Bypassed(Struct, frozen=True):
    """All policy is passed by from now on, or no more."""

    on: bool
    source: str  # configuration, overrides or verb


class Pressed(Struct, frozen=True):
    """The container's memory: how much is given up for it changed."""

    level: str  # normal, tight or full
    share: float  # of the limit


class BudgetMoved(Struct, frozen=True):
    """The last hour's spending came to another level of the pod's budget. Amounts in dollars."""

    level: str  # under, warn or over
    spent: float
    budget: float


class PodEnds(Struct, frozen=True):
    """The pod ends: by its preStop hook, or by a signal."""

    source: str  # verb or signal
    left: float  # seconds for what is in flight; inf: unknown


class Restored(Struct, frozen=True):
    """What an earlier process had learned was read, or could not be."""

    ok: bool
    detail: str = ""  # ours


class Deferred(Struct, frozen=True):
    """Something became of a deferred call, or of a call that asked to be one."""

    what: str  # accepted, refused, put_off, answered, failed, expired or dropped
    job: str  # its id; "" where it was refused
    route: str
    reason: str = ""  # of refused: items, bytes, disk, ...; of the others: a Fault, or a RefusedBy
    age: float = 0.0  # seconds since it was accepted


class Posted(Struct, frozen=True):
    """What became of a deferred call was sent to a webhook, or could not be."""

    webhook: str  # its name; other: it is not configured any more
    what: str  # delivered; failed: and is tried again; stopped: 410, nothing is sent any more; expired
    job: str
    route: str
    reason: str = ""  # of failed: http_500, timeout, a Fault, ...
    age: float = 0.0  # seconds since the job ended; of expired: since it was accepted


class Queued(Struct, frozen=True):
    """The file of deferred calls can be used from now on, or cannot."""

    ok: bool
    detail: str = ""  # ours


class Delivered(Struct, frozen=True):
    """Telemetry cannot be sent any more, or can again."""

    ok: bool
    signal: str  # traces, or content: of calls, on their spans
    detail: str = ""  # ours


class Drilled(Struct, frozen=True):
    """A fault was played in a target's place, because a drill says so."""

    call: Call
    target: Target
    fault: str


class Met(Struct, frozen=True):
    """The place where the pods of the fleet meet can be asked, or cannot any more."""

    ok: bool
    reason: str = ""  # auth, connection, reply, setup, timeout
    detail: str = ""  # ours


class Bug(Struct, frozen=True):
    """Our own code failed; the call went past the policy, straight to its provider."""

    call: Call
    error: str  # the exception's type, nothing else


Event = (
    AttemptEnded
    | RetryPlanned
    | RetryDenied
    | FellBack
    | Shadowed
    | Hedged
    | Continued
    | TargetSkipped
    | FieldsDenied
    | Retiring
    | BreakerMoved
    | Judged
    | WouldOpen
    | OperatorAlert
    | Degraded
    | Cached
    | Shed
    | Turned
    | Proxied
    | Trusted
    | Joined
    | NestedRetry
    | Ignored
    | CallEnded
    | Reloaded
    | Keyed
    | Overridden
    | Bypassed
    | Pressed
    | BudgetMoved
    | PodEnds
    | Restored
    | Deferred
    | Posted
    | Queued
    | Delivered
    | Drilled
    | Met
    | Bug
)

Tell = Callable[[Event], None]
