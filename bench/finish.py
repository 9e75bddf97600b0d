"""What telemetry costs the loop, piece by piece: a call's metrics, its spans, and a scrape.

Run as `python -m bench.finish`; prints one JSON line, in seconds. Each figure is the mean of a run of
calls, and the best of several runs. The call is a clean one: one attempt, a whole answer with usage.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import product
from time import perf_counter

from msgspec import structs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sidecar.events import (
    AttemptEnded,
    BreakerMoved,
    CallEnded,
    FellBack,
    Judged,
    TargetSkipped,
)
from sidecar.model import (
    Answered,
    BreakerState,
    Call,
    Failed,
    Fault,
    Finding,
    Kind,
    Refused,
    RefusedBy,
    Target,
    Transition,
)
from sidecar.settings import Settings
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.otlp import Batch
from sidecar.telemetry.spans import Spans
from sidecar.telemetry.tracing import LARGEST
from sidecar.telemetry.wire import Encoder
from tests.telemetry.events import CLAUDE, FIRST, OPENAI, ROUTE, SETTINGS, USAGE, attempt, ended, good

SAMPLES = 1200
ROUTES = ("support", "search", "batch", "agents", "mail", "code", "voice", "night")
CALLS = 1000  # of one run
RUNS = 15
OPEN = "application/openmetrics-text; version=1.0.0"


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds: of a call, of a call, of a scrape with so many samples, and of one as OpenMetrics."""

    finish: float
    spans: float
    scrape: float
    scrape_open: float
    samples: int


def best(work: Callable[[], object], times: int) -> float:
    found = float("inf")
    for _ in range(RUNS):
        gc.collect()
        began = perf_counter()
        for _ in range(times):
            work()
        found = min(found, (perf_counter() - began) / times)
    return found


def _sampled() -> tuple[AttemptEnded, CallEnded]:
    one, over = good()
    call: Call = structs.replace(over.call, id="4bf92f3577b34da6a3ce929d0e0e4736", sampled=True)
    return structs.replace(one, call=call), structs.replace(over, call=call)


def _finish() -> float:
    metrics = Metrics(SETTINGS, wall=lambda: 0.0)
    one, over = _sampled()

    def work() -> None:
        metrics.count(one)
        metrics.count(over)

    return best(work, CALLS)


def _spans() -> float:
    """Made when calls end, then they wait; encoded later, into requests as large as those that are sent."""
    spans = Spans(SETTINGS)
    _, over = _sampled()
    encoder = Encoder()

    def work() -> None:
        waiting = [spans.of(over, spans.ended(over), 1_763_800_000.0) for _ in range(LARGEST // 2)]
        batch = Batch(ExportTraceServiceRequest(), {"service.name": "llm-sidecar"}, encoder)
        for one in waiting:
            batch.add(one)

    return best(work, CALLS * 2 // LARGEST) * 2 / LARGEST  # two spans a call


def _full() -> tuple[Metrics, int]:
    """Three providers with three models each, after traffic that made enough samples: two make fewer."""
    third = replace(OPENAI, name="third", host="api.third.example")
    targets = tuple(
        Target(name=f"{provider.name}-{size}", provider=provider, model=f"model-{size}", key=FIRST.key)
        for provider, size in product((OPENAI, CLAUDE, third), ("small", "large", "old"))
    )
    settings = Settings(
        providers={one.name: one for one in (OPENAI, CLAUDE, third)},
        routes=tuple(replace(ROUTE, name=name, chain=targets) for name in ROUTES),
        digest="0123abcd",
    )
    metrics = Metrics(settings, wall=lambda: 0.0)
    found = 0
    for fault, target, kind, route in product((None, *Fault), targets, Kind, settings.routes):
        outcome = Answered(200, USAGE) if fault is None else Failed(fault)
        one = attempt(outcome, target=target, kind=kind)
        over = ended([one], outcome)
        call = structs.replace(over.call, route=route.name, target=target, sampled=True)
        metrics.count(AttemptEnded(call, one))
        metrics.count(structs.replace(over, call=call))
        if fault is not None:
            finding, opened = (
                Finding("empty", "reject", fault, 0.0, 1.0),
                Transition(BreakerState.CLOSED, BreakerState.OPEN, "ratio"),
            )
            metrics.count(FellBack(call, target, targets[0], fault))
            metrics.count(TargetSkipped(call, target, Refused(list(RefusedBy)[len(fault) % len(RefusedBy)])))
            metrics.count(Judged(call, target, finding, "rejected"))
            metrics.count(BreakerMoved(call, "transport", "", target.name, one.provider, one.model, opened))
            metrics.add_evaluations(target, "empty", 1)
        found = sum(not line.startswith(b"#") for line in metrics.render("")[0].splitlines())
        if found >= SAMPLES:
            break
    return metrics, found


def main() -> None:
    finish, spans = _finish(), _spans()
    metrics, samples = _full()
    assert samples >= SAMPLES, samples
    scrape, scrape_open = best(lambda: metrics.render(""), 10), best(lambda: metrics.render(OPEN), 10)
    print(json.dumps(asdict(Costs(finish, spans, scrape, scrape_open, samples))))


if __name__ == "__main__":
    main()
