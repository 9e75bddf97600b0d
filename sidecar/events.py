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
    cause: str  # budget, deadline, attempts, committed


class FellBack(Struct, frozen=True):
    call: Call
    left: Target
    to: Target
    reason: str  # a Fault, or a RefusedBy


class TargetSkipped(Struct, frozen=True):
    """A target refused without being asked."""

    call: Call
    target: Target
    refused: Refused


class BreakerMoved(Struct, frozen=True):
    call: Call | None  # None: an operator did it
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


class Shed(Struct, frozen=True):
    call: Call
    reason: str  # concurrency, memory, draining


class Turned(Struct, frozen=True):
    """A request or a connection was turned away before it became a call."""

    reason: str  # connections, host, malformed, not_allowed, slow, token, too_large, unknown, websocket
    detail: str = ""  # our code for it


class NestedRetry(Struct, frozen=True):
    call: Call
    source: str  # sdk_header, same_body, idempotency_key


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
    problems: tuple[str, ...] = ()


class Restored(Struct, frozen=True):
    """What an earlier process had learned was read, or could not be."""

    ok: bool
    detail: str = ""  # ours


class Delivered(Struct, frozen=True):
    """Telemetry cannot be sent any more, or can again."""

    ok: bool
    signal: str  # traces
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
    | TargetSkipped
    | BreakerMoved
    | Judged
    | WouldOpen
    | OperatorAlert
    | Degraded
    | Shed
    | Turned
    | NestedRetry
    | CallEnded
    | Reloaded
    | Restored
    | Delivered
    | Bug
)

Tell = Callable[[Event], None]
