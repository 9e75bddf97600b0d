"""How breakers stand and move, as metrics: a gauge shows the worst of those that share its labels."""

from __future__ import annotations

from sidecar.events import BreakerMoved
from sidecar.model import BreakerState
from sidecar.telemetry import catalog
from sidecar.telemetry.catalog import OTHER
from sidecar.telemetry.instruments import Instruments
from sidecar.telemetry.labels import Key, Labels

LEVEL = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
MOST = 1024  # breakers remembered as not closed; clients choose models


class Breakers:
    def __init__(self, made: Instruments, labels: Labels) -> None:
        self.state = made.gauge(catalog.BREAKER_STATE)
        self.transitions = made.counter(catalog.BREAKER_TRANSITIONS)
        self._labels = labels
        self._open: dict[Key, tuple[Key, int]] = {}  # those that are not closed -> their gauge, level

    def declare(self, provider: str, model: str) -> None:
        for kind in ("transport", "quality"):
            self.state.declare(provider, model, kind)
            self.transitions.declare(provider, model, kind, BreakerState.OPEN, "ratio")
        self.transitions.declare(provider, model, "transport", BreakerState.OPEN, "run")

    def moved(self, event: BreakerMoved) -> None:
        labels, level = self._labels, LEVEL[event.transition.new]
        if event.kind == "quality":  # one per route and target, whatever model a call asks for
            which: Key = (event.kind, event.route, event.target)
            named = labels.targets.get(event.target) or (labels.provider(event.provider), OTHER)
        else:
            which = (event.kind, event.provider, event.model)
            named = labels.target(event.provider, event.model)
        gauge = (*named, event.kind)
        before = self._open.pop(which, None)
        if level and len(self._open) < MOST:
            self._open[which] = (gauge, level)
        if before is not None and before[0] != gauge:  # its model has earned a name meanwhile
            self._show_worst(before[0])
        self._show_worst(gauge)
        self.transitions[(*gauge, event.transition.new, event.transition.trigger)].inc()

    def forget_gone(self) -> None:
        """After a reload: gauges of what is configured no more."""
        labels = self._labels
        for which, (gauge, _level) in list(self._open.items()):
            kind, owner, member = which
            gone = kind == "quality" and not (labels.is_route(owner) and labels.is_target(member))
            if gone or not labels.is_model(*gauge[:2]):
                del self._open[which]
        for gauge in list(self.state):
            if labels.is_model(*gauge[:2]):
                self._show_worst(gauge)
            else:
                self.state.forget(gauge)

    def _show_worst(self, gauge: Key) -> None:
        levels = (level for shown, level in self._open.values() if shown == gauge)
        self.state[gauge].set(max(levels, default=0))
