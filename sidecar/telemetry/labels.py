"""Which values labels may have, and how many: the guard between traffic and the number of series.

`Labels` decides about names: configured ones pass, an unconfigured model earns its name by an
answer, the rest is `other`. `Family` decides about combinations: up to the metric's bound each has
its own child, then they are folded. Both count what they fold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram

from sidecar.model import Call
from sidecar.settings import Settings
from sidecar.telemetry import words
from sidecar.telemetry.catalog import MODELS, OTHER, Metric

Child = TypeVar("Child", Counter, Gauge, Histogram)
Key = tuple[str, ...]
PASSTHROUGH = "passthrough"  # the route of paths that no dialect knows


class Family(dict[Key, Child], Generic[Child]):
    """The children of one metric by their label values; a missing one is made, within the bound."""

    def __init__(self, metric: Metric, parent: Child, overflow: Callable[[str], None]) -> None:
        super().__init__()
        self.metric = metric
        self.limit = metric.bound
        self._parent: Child = parent
        self._overflow = overflow
        self._models = tuple(i for i, name in enumerate(metric.labels) if name.endswith("model"))

    def declare(self, *key: str) -> None:
        """A combination that configuration names: it exists whatever the bound."""
        if key not in self:
            self[key] = self._parent.labels(*key)

    def forget(self, key: Key) -> None:
        if self.pop(key, None) is not None:
            self._parent.remove(*key)

    def __missing__(self, key: Key) -> Child:
        if len(self) >= self.limit - self.limit // 4 and self._models:
            fewer = tuple(OTHER if i in self._models else value for i, value in enumerate(key))
            if fewer != key:
                self._overflow("model")
                return self[fewer]
        everything = (OTHER,) * len(key)
        if len(self) >= self.limit and key != everything:
            self._overflow(self.metric.name)
            return self[everything]
        self.declare(*key)
        return self[key]


class Labels:
    """Which names may become label values, and which are folded into `other`."""

    def __init__(self, overflow: Callable[[str], None]) -> None:
        self.routes: dict[str, str] = {}  # route -> primary provider, "" where the prefix says it
        self.targets: dict[str, Key] = {}  # target -> (provider, model)
        self.providers: set[str] = set()
        self.models: dict[tuple[str, str], Key] = {}
        self._earned: set[tuple[str, str]] = set()
        self.keyed: set[str] = set()  # targets whose key is configured
        self._overflow = overflow

    def learn(self, settings: Settings) -> None:
        """The names of a configuration; models that earned their name keep it."""
        targets = [target for route in settings.routes for target in route.targets]
        self.routes = {PASSTHROUGH: ""}
        self.routes |= {r.name: r.chain[0].provider.name if r.chain else "" for r in settings.routes}
        self.targets = {t.name: (t.provider.name, t.model or OTHER) for t in targets}
        self.providers = {*settings.providers, *(t.provider.name for t in targets)}
        self.keyed = {t.name for t in targets if t.credential is not None}
        self.keyed |= {name for name, provider in settings.providers.items() if provider.key is not None}
        named = {(t.provider.name, t.model) for t in targets if t.model is not None}
        self.models = {key: key for key in {*named, *self._earned}}

    def route(self, name: str) -> str:
        if self.is_route(name):
            return name
        self._overflow("route")
        return OTHER

    def provider(self, name: str) -> str:
        if name in self.providers:
            return name
        self._overflow("provider")
        return OTHER

    def is_route(self, name: str) -> bool:
        return name in self.routes or name in self.providers

    def is_target(self, name: str) -> bool:
        return name in self.targets or name in self.providers  # an implicit one is named as its provider

    def is_model(self, provider: str, model: str) -> bool:
        return provider in self.providers and (model == OTHER or (provider, model) in self.models)

    def primary(self, call: Call) -> str:
        return self.routes.get(call.route) or self.provider(call.provider)

    def target(self, provider: str, model: str, *, answered: bool = False) -> Key:
        """(provider, model) as label values; an unconfigured model earns its name by an answer."""
        known = self.models.get((provider, model))
        if known is not None:
            return known
        name = self.provider(provider)
        if answered and name != OTHER and len(self._earned) < MODELS and words.is_name(model):
            self._earned.add((name, model))
            self.models[name, model] = (name, model)
            return (name, model)
        if answered:
            self._overflow("model")
        return (name, OTHER)
