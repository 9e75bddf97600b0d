"""Breakers and signals as operators see and switch them.

Every breaker has a key: what kind it is, then what it guards, such as transport:openai/gpt-4o/c8fe32c7 or
quality:support/openai. A word spoken at the admin port holds until the next one, or a restart; one that
stands in the overrides holds as long as it stands there, for breakers that come later too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sidecar.core.breaker import Breaker
from sidecar.core.standing import Standing
from sidecar.events import BreakerMoved, Tell
from sidecar.memory import Memory
from sidecar.model import BreakerState, Clock, Target
from sidecar.overrides import NONE, Overrides
from sidecar.settings import Route
from sidecar.telemetry import logs

_STATES = {"open": BreakerState.OPEN, "closed": BreakerState.CLOSED, "auto": None}


@dataclass(frozen=True, slots=True)
class Way:
    """A breaker, and what it stands before."""

    breaker: Breaker
    kind: str
    route: str
    target: str
    provider: str
    model: str

    @property
    def moved(self) -> bool:
        return self.breaker.forced is not None or self.breaker.state is not BreakerState.CLOSED


@dataclass(slots=True)
class Switchboard:
    """`routes` are those that are built now."""

    memory: Memory
    routes: Callable[[], tuple[Route, ...]]
    clock: Clock
    tell: Tell
    _said: Overrides = NONE

    def breakers(self) -> list[dict[str, Any]]:
        """Those that have seen something."""
        ways = self._ways().items()
        return [self._row(key, way) for key, way in ways if way.breaker.counts()[1] or way.moved]

    def _row(self, key: str, way: Way) -> dict[str, Any]:
        breaker = way.breaker
        bad, samples = breaker.counts()
        rest = max(0.0, breaker.until - self.clock.now()) if breaker.shown is BreakerState.OPEN else 0.0
        return {
            "key": key,
            "provider": way.provider,
            "state": breaker.shown.value,
            "forced": breaker.forced is not None,
            "bad": bad,
            "samples": samples,
            "probe_in_s": round(rest, 1),
        }

    def signals(self) -> list[dict[str, Any]]:
        """What every signal did, or would have done, per route and target."""
        now = self.clock.now()
        return [
            {
                "route": route.name,
                "target": target.name,
                "signal": name,
                "action": getattr(route.signals, name),
                **tally.total.shown(shadow=tally.shadow is not None),
                "last_hour": tally.last_hour(now).shown(shadow=tally.shadow is not None),
            }
            for route, target, standing in self.standings()
            for name, tally in standing.tallies.items()
            if tally.total.evaluated
        ]

    def standings(self) -> Iterator[tuple[Route, Target, Standing]]:
        for route in self.routes():
            for target in route.targets:
                standing = self.memory.standings.get((route.name, target.name))
                if standing is not None:
                    yield route, target, standing

    # ---- an operator's word

    def force(self, key: str, state: str) -> bool:
        """False: there is no such breaker."""
        way = self._ways().get(key)
        if way is None:
            return False
        self._force(way, _STATES[state])
        return True

    def order(self, overrides: Overrides) -> None:
        """What the overrides say holds from now on; what they said before and say no more is given back."""
        self.memory.forced = lambda provider, model, digest: overrides.breaker(
            transport_key(provider, model, digest), provider, model
        )
        before, self._said = self._said, overrides
        for key, way in self._ways().items():
            said = before.breaker(key, way.provider, way.model)
            wanted = overrides.breaker(key, way.provider, way.model)
            if wanted is not None and way.breaker.forced is not wanted:
                self._force(way, wanted)
            elif wanted is None and said is not None and way.breaker.forced is said:
                self._force(way, None)

    def _force(self, way: Way, wanted: BreakerState | None) -> None:
        way.breaker.force(wanted, self.clock.now())
        for moved in way.breaker.moves():
            self.tell(BreakerMoved(None, way.kind, way.route, way.target, way.provider, way.model, moved))

    def _ways(self) -> dict[str, Way]:
        """Every breaker under its key."""
        ways: dict[str, Way] = {}
        for (provider, model, digest), breaker in self.memory.breakers.items():
            key = transport_key(provider, model, digest)
            ways[key] = Way(breaker, "transport", "", provider, provider, model)
        for route, target, standing in self.standings():
            quality, provider, model = standing.breaker, target.provider.name, target.model or ""
            ways[f"quality:{route.name}/{target.name}"] = Way(
                quality, "quality", route.name, target.name, provider, model
            )
        return ways


def transport_key(provider: str, model: str, digest: str) -> str:
    return f"transport:{provider}/{logs.name(model)}/{digest or 'none'}"
