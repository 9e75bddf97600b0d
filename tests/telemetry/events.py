"""Values of every kind of event, with room for what a test wants to say about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from msgspec.structs import replace

from sidecar.events import (
    AttemptEnded,
    BreakerMoved,
    BudgetMoved,
    Bug,
    Bypassed,
    Cached,
    CallEnded,
    Continued,
    Deferred,
    Degraded,
    Delivered,
    Drilled,
    Event,
    FellBack,
    FieldsDenied,
    Hedged,
    Ignored,
    Joined,
    Judged,
    Keyed,
    Met,
    NestedRetry,
    OperatorAlert,
    Overridden,
    PodEnds,
    Posted,
    Pressed,
    Proxied,
    Queued,
    Reloaded,
    Restored,
    Retiring,
    RetryDenied,
    RetryPlanned,
    Shadowed,
    Shed,
    TargetSkipped,
    Trusted,
    Turned,
    WouldOpen,
)
from sidecar.model import (
    Answered,
    Ask,
    Attempt,
    BreakerState,
    Call,
    Failed,
    Fault,
    Finding,
    Head,
    Headers,
    Kind,
    Operation,
    Outcome,
    Provider,
    Record,
    Refused,
    RefusedBy,
    Target,
    Tier,
    Traffic,
    Transition,
    Usage,
)
from sidecar.settings import Deferral, Route, Settings, StaticAnswer, Webhook


class Key:
    digest = "89abcdef"

    def reveal(self) -> str:
        return "canary-provider-key"


OPENAI = Provider(name="openai", dialect="openai_chat", scheme="https", host="api.openai.com", port=443)
CLAUDE = Provider(name="anthropic", dialect="anthropic", scheme="https", host="api.anthropic.com", port=443)
FIRST = Target(name="first", provider=OPENAI, model="gpt-4o", key=Key())
SECOND = Target(name="second", provider=CLAUDE, model="claude-sonnet")
ROUTE = Route(name="support", chain=(FIRST, SECOND), static=StaticAnswer(text="later"), deferred=Deferral())
PLACE = Provider(name="webhooks.results", dialect="http", scheme="https", host="app.example", port=443)
SETTINGS = Settings(
    providers={"openai": OPENAI, "anthropic": CLAUDE},
    webhooks={"results": Webhook(place=PLACE, path="/results", key=Key())},
    routes=(ROUTE,),
    digest="0123abcd",
)
USAGE = Usage(input_total=100, output_total=20, cache_read=40, cache_write=0, reasoning=8)

EVENTS: tuple[type[Event], ...] = get_args(Event)


def call(
    *attempts: Attempt,
    model: str = "gpt-4o",
    stream: bool = True,
    headers: Headers = (),
    body: bytes = b"{}",
    query: str = "",
    route: str = "support",
) -> Call:
    return Call(
        id="c1",
        route=route,
        provider="openai",
        dialect="openai_chat",
        method="POST",
        path="/v1/chat/completions",
        query=query,
        headers=headers,
        body=body,
        ask=Ask(operation=Operation.CHAT, model=model, stream=stream),
        traffic=Traffic.INTERACTIVE,
        arrived=100.0,
        deadline=130.0,
        record=Record(attempts=list(attempts)),
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    )


def attempt(
    outcome: Outcome | None,
    *,
    target: Target = FIRST,
    model: str | None = None,
    kind: Kind = Kind.INITIAL,
    first: float | None = 100.4,
) -> Attempt:
    return Attempt(
        number=1,
        target=target.name,
        provider=target.provider.name,
        model=model if model is not None else target.model or "",
        kind=kind,
        breaker=BreakerState.CLOSED,
        started=100.001,
        first_content=first,
        ended=102.0,
        status=200,
        outcome=outcome,
        usage=outcome.usage if isinstance(outcome, Answered) else None,
    )


def ended(tried: Sequence[Attempt], outcome: Outcome | None, *, status: int = 200) -> CallEnded:
    return CallEnded(call(*tried), outcome, 102.002, status, committed=True)


def good() -> tuple[AttemptEnded, CallEnded]:
    """A clean call: one attempt, one whole answer."""
    tried = attempt(Answered(200, USAGE))
    over = ended([tried], tried.outcome)
    return AttemptEnded(over.call, tried), over


def every(about: Call | None = None, failed: Failed | None = None) -> list[Event]:
    """One of each kind, about `about`, with `failed` wherever an outcome fits."""
    call_ = about or call()
    failed = failed or Failed(Fault.SERVER_ERROR, head=Head(500), body=b"oops")
    refused = Refused(RefusedBy.BREAKER, until=160.0, fault=Fault.OVERLOADED)
    bad = attempt(failed)
    call_ = replace(call_, record=Record(attempts=[bad], nested=1))
    moved = Transition(BreakerState.CLOSED, BreakerState.OPEN, "run", bad=5, samples=5)
    finding = Finding("empty", "reject", Fault.EMPTY_OUTPUT, 0.0, 1.0)
    events: list[Event] = [
        AttemptEnded(call_, bad),
        RetryPlanned(call_, failed.fault, 0.25, "backoff"),
        RetryDenied(call_, failed.fault, "budget"),
        FellBack(call_, FIRST, SECOND, failed.fault),
        Continued(call_, "openai", SECOND, whole=True),
        Hedged(call_, FIRST, SECOND, "won"),
        TargetSkipped(call_, FIRST, refused),
        Ignored(call_, "x-llm-sidecar-rout", "x-llm-sidecar-route"),
        Keyed(ok=False, detail="providers.a.key: file:/secrets/a: No such file or directory"),
        Retiring(FIRST, "2030-01-31"),
        FieldsDenied(call_, FIRST, ("temperature", "(images)")),
        BreakerMoved(call_, "transport", "", "first", "openai", "gpt-4o", moved),
        Judged(call_, FIRST, finding, "rejected"),
        WouldOpen(call_, FIRST, "refusal", moved),
        OperatorAlert(call_, FIRST, Fault.QUOTA_EXHAUSTED),
        Degraded(call_, Tier.STATIC, "chain_exhausted"),
        Cached(call_, "stale_hit", 61.0),
        Shed(call_, "concurrency"),
        Turned("malformed", "bare_lf"),
        Proxied("failed", "untrusted", "openai"),
        Trusted(ok=True, detail="port 4001, 3 hosts"),
        Joined(call_, "running"),
        Shadowed(call_, "retry", "overloaded"),
        Drilled(call_, FIRST, "overloaded"),
        NestedRetry(call_, "sdk_header"),
        BudgetMoved("warn", 4.2, 5.0),
        CallEnded(call_, failed, 102.0, 500, committed=False),
        Deferred("accepted", "job_0123", "support", "breaker"),
        Posted("results", "failed", "job_0123", "support", "http_500", 12.0),
        Queued(ok=False, detail="deferred.sqlite3 cannot be used: SQLITE_CORRUPT"),
        Overridden(ok=True, active=("chains 1",), idle=("chains.b: no route has this name",)),
        Bypassed(on=True, source="overrides"),
        Pressed("tight", 0.71),
        PodEnds("signal", 26.0),
        Reloaded(ok=False, digest="0123abcd", problems=("routes[0].chain: empty",)),
        Restored(ok=False, detail="baselines.json is not JSON"),
        Met(ok=False, reason="timeout", detail="does not answer in time"),
        Delivered(ok=False, signal="traces", detail="the collector does not take them"),
        Bug(call_, "KeyError"),
    ]
    assert set(EVENTS) == {type(event) for event in events}
    return events
