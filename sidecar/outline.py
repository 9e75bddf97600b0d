"""A route's stack in words: each layer with the settings it works by, outermost first.

What `explain` prints. A test holds the names against the stack that is really built.
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.ordering import steps
from sidecar.pricing import asks_usage
from sidecar.settings import Boundary, BreakerRules, Route, Settings


def outline(settings: Settings, route: Route) -> Iterator[tuple[str, str]]:
    """(layer, its settings)."""
    limits, retry, signals, commit = route.limits, route.retry, route.signals, route.commit
    if route.deferred is not None:
        yield "Defer", "a call of class background that nobody answers is kept, and asked for later"
    yield (
        "Degrade",
        "the route's static answer" if route.static else "a rejected answer if it is the best there was",
    )
    cache = route.cache
    if cache.scope != "off":
        nearest = f", the nearest question from {cache.semantic.threshold:g} on" if cache.semantic else ""
        fresh = f"fresh for {cache.fresh:g} s" if cache.fresh else "never instead of asking"
        yield "Cache", f"{cache.scope}; {fresh}, for {cache.stale:g} s when nobody answers{nearest}"
    if route.cost.over_budget == "refuse":
        yield "Spent", f"refuses once {_money(settings.cost.hourly_budget)} are spent in an hour"
    yield "Admit", f"at most {settings.admission.in_flight} calls in flight"
    yield "Deadline", f"bounds the waiting; a stream that flows may take {limits.total:g} s"
    in_groups = len(route.chain) - len(steps(route.chain))
    count = f"{len(route.chain)} in the chain" + (f", {len(steps(route.chain))} steps" if in_groups else "")
    if route.hedge.after != "off":
        count += f", raced by the next after {route.hedge.after}"
    yield "Fallback", f"{count}, at most {retry.per_call} attempts a call"
    if route.cost.cap is not None:
        yield "Cap", f"no further attempt that could make the call dearer than {_money(route.cost.cap)}"
    budget = f"budget {route.budget.size:g} + {route.budget.per_call:g} a call"
    backoff = f"full jitter from {retry.base:g} s up to {retry.cap:g} s"
    yield "Retry", f"{retry.attempts} attempts a target, {backoff}, {budget}"
    if route.upstream_stream:
        yield "AskStream", "a whole call is asked for as a stream"
    unknown = "what nobody knows is no" if route.strict_capabilities else "what nobody knows is allowed"
    yield "Gate", f"stand-ins that cannot do it are passed over, {unknown}; on_loss {route.on_loss}"
    if route.chain and asks_usage(route.cost, route.chain[0].provider):
        yield "AskUsage", "a stream is asked what it took; the event that says so is kept from the client"
    yield "Guard", f"breaker: {_breaker(route.breaker)}; quality: {_breaker(route.quality_breaker)}"
    yield "AttemptSpan", "one record per try"
    acting = [f"{name} {action}" for name, action in _actions(signals) if action != "off"]
    silence = f"first content {limits.first_content:g} s, gap {limits.gap:g} s"
    yield "Judge", f"commit {commit.mode}, {silence}; {', '.join(acting)}"
    if route.upstream_stream:
        yield "Assemble", "the stream becomes the whole answer that was asked for"
    spoken = sorted({target.provider.dialect for target in route.chain})
    yield "Translate", f"between {' and '.join(spoken)}" if len(spoken) > 1 else "one dialect: nothing to do"
    yield "Heed", "a field that a target refuses is not sent to it again"
    yield "Adapt", "only the model and the key are changed"
    if route.allow != Boundary():
        yield "Confine", f"nothing leaves for anybody but {_allowed(route.allow)}"
    yield (
        "Upstream",
        f"connect {limits.connect:g} s, TLS {limits.tls:g} s, headers of a stream {limits.headers:g} s",
    )


def _money(amount: float | None) -> str:
    return "(no budget is set)" if amount is None else f"${amount:g}"


def _allowed(allow: Boundary) -> str:
    lists = (("processor", allow.processors), ("region", allow.regions))
    return ", ".join(f"{name} {' or '.join(words)}" for name, words in lists if words)


def _breaker(rules: BreakerRules) -> str:
    run = f"{rules.run} BAD in a row or " if rules.run else ""
    return (
        f"{run}{rules.ratio:.0%} of the last {rules.samples}, open {rules.open:g} s up to {rules.longest:g} s"
    )


def _actions(signals: object) -> Iterator[tuple[str, str]]:
    for name in signals.__dataclass_fields__:  # type: ignore[attr-defined]  # a dataclass of ours
        value = getattr(signals, name)
        if isinstance(value, str):
            yield name, value
