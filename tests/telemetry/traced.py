"""A real stack in virtual time whose calls become spans, and metrics beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.samples import Sample

from sidecar.events import (
    CallEnded,
    Event,
)
from sidecar.model import (
    Outcome,
)
from sidecar.settings import Route, Settings, Telemetry
from sidecar.telemetry.content import opened
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.spans import Span
from sidecar.telemetry.tracing import Tracing
from tests.kit.script import Play
from tests.kit.tape import Tape

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.test"}


@dataclass
class Tree:
    call: Span
    attempts: list[Span]

    @property
    def events(self) -> list[str]:
        return [event.name for event in self.call.events]

    def event(self, name: str) -> dict[str, Any]:
        (found,) = [dict(event.attributes) for event in self.call.events if event.name == name]
        return found

    def all(self, attribute: str) -> list[Any]:
        return [attempt.attributes.get(attribute) for attempt in self.attempts]


class Told(list[Event]):
    """What a stack tells, to the metrics and the traces as in the app."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        super().__init__()
        self.metrics = metrics
        self.tracing = tracing

    def append(self, event: Event) -> None:  # type: ignore[explicit-override]  # 3.11 has none
        super().append(event)
        self.metrics.count(event)
        self.tracing.note(event)


class Traced(Play):
    telemetry = Telemetry()
    env: Mapping[str, str] = ENDPOINT

    def build(self, route: Route) -> Any:  # type: ignore[explicit-override]  # as above
        providers = {target.provider.name: target.provider for target in route.chain}
        settings = Settings(routes=(route,), providers=providers, telemetry=self.telemetry)
        self.metrics = Metrics(settings, wall=self.clock.wall)
        self.dropped: list[tuple[str, int]] = []
        self.tracing = Tracing(
            settings, env=self.env, clock=self.clock, tell=lambda _: None, dropped=self._drop
        )
        self.tracing.on = True
        self.captures = opened(settings, self.env)
        self.told = Told(self.metrics, self.tracing)
        self.tell = self.told.append
        return super().build(route)

    def _drop(self, why: str, spans: int) -> None:
        self.dropped.append((why, spans))

    async def trace(self, body: bytes | None = None, *, tape: Tape | None = None, **more: Any) -> Tree:
        """One call, as the listener has it, and its spans; fails if it has none."""
        before = len(self.tracing._queue)
        fields: dict[str, Any] = {
            "id": f"{self.calls + 1:032x}",
            "trace_id": TRACE,
            "parent_id": PARENT,
            "sampled": True,
        }
        call = self.call(body, **(fields | more))
        tape = tape or Tape()
        outcome: Outcome | None = None
        try:
            outcome = await self.stack(call, tape)
        finally:
            status = tape.head.status if tape.head else 502 if outcome else 0
            ended = CallEnded(call, outcome, self.clock.now(), status, committed=tape.head is not None)
            self.told.append(ended)
        assert before + 1 == len(self.tracing._queue)
        return self.last()

    def last(self) -> Tree:
        call, *attempts = self.tracing._queue[-1]
        return Tree(call, attempts)

    def samples(self, name: str) -> Iterable[Sample]:
        for metric in self.metrics.registry.collect():
            yield from (sample for sample in metric.samples if sample.name == name and sample.value)
