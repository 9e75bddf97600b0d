"""What a sidecar has learned: breakers, budgets, waits, what is usual of each target, what it has spent.

One per process. A reload builds every stack anew and hands it the same memory, so a breaker that is
open stays open and a budget that is used up stays used up; `keep` forgets what is configured no more.
What a client can name (a model, a key) is bounded; what the configuration names is bounded by it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sidecar.core import bill
from sidecar.core.baseline import Usual
from sidecar.core.breaker import Breaker
from sidecar.core.budget import Budget
from sidecar.core.cache import Answers, AnswerStore
from sidecar.core.hedging import Hedging
from sidecar.core.nearest import Nearest
from sidecar.core.standing import Allowance, Standing
from sidecar.core.waits import Waits
from sidecar.gate.denials import Denials
from sidecar.gate.tokens import Ratios
from sidecar.layers.embed import Learning
from sidecar.model import BreakerState, Rng, Target
from sidecar.pricing import Tab
from sidecar.settings import BreakerRules, Route, Settings
from sidecar.signals.judging import rules_of

BREAKERS = 256  # kept; the least recently used go first


@dataclass(slots=True)
class Memory:
    """What a sidecar has learned. One per process; survives every reload."""

    rng: Rng
    forced: Callable[[str, str, str], BreakerState | None] = lambda *_: None  # an operator's word on new ones
    greet: Callable[[tuple[str, str, str], Breaker], None] = lambda *_: None  # the fleet's on them too
    mark: Callable[[bytes], int] = hash  # tells request bodies apart; keyed where a fleet has to as well
    waits: Waits = field(default_factory=Waits)
    breakers: OrderedDict[tuple[str, str, str], Breaker] = field(default_factory=OrderedDict)
    budgets: dict[str, Budget] = field(default_factory=dict)
    standings: dict[tuple[str, str], Standing] = field(default_factory=dict)  # by route and target
    allowances: dict[str, Allowance] = field(default_factory=dict)  # by route
    hedgings: dict[str, Hedging] = field(default_factory=dict)  # by route, of those that hedge
    denials: Denials = field(default_factory=Denials)  # fields that targets said they do not take
    retiring: set[tuple[str, date]] = field(default_factory=set)  # targets whose last day was told
    ratios: Ratios = field(default_factory=Ratios)  # bytes a token takes
    tab: Tab = field(default_factory=Tab)
    answers: Answers = field(default_factory=Answers)  # given before, for routes with a cache
    nearest: dict[str, Nearest] = field(default_factory=dict)  # their questions, by route and model
    learning: Learning = field(default_factory=Learning)
    answer_store: AnswerStore | None = None  # where pods share them
    secret: bytes = field(default=b"-", repr=False)  # digests of what callers sent are keyed with it
    uncounted: set[tuple[str, str]] = field(default_factory=set)  # who refused to say what streams take

    def breaker(self, provider: str, model: str, key: str, rules: BreakerRules) -> Breaker:
        """One per (provider, model, key): never shared between providers."""
        name = (provider, model, key)
        breaker = self.breakers.get(name)
        if breaker is None:
            breaker = self.breakers[name] = Breaker(rules, self.rng)
            forced = self.forced(provider, model, key)
            if forced is not None:
                breaker.force(forced, 0.0)
            self.greet(name, breaker)
            if len(self.breakers) > BREAKERS:
                self._evict()
        else:
            self.breakers.move_to_end(name)
            breaker.rules = rules
        return breaker

    def _evict(self) -> None:
        """The oldest one that knows nothing but good goes; an open or forced one stays if it can."""
        idle = (name for name, breaker in self.breakers.items() if breaker.shown is BreakerState.CLOSED)
        del self.breakers[next(idle, next(iter(self.breakers)))]

    def standing(self, route: Route, target: Target) -> Standing:
        standing = self.standings.get((route.name, target.name))
        if standing is None:
            allowance = self.allowances.setdefault(route.name, Allowance())
            standing = Standing(Breaker(route.quality_breaker, self.rng), allowance)
            self.standings[route.name, target.name] = standing
        standing.breaker.rules = route.quality_breaker
        standing.usual.prior = target.baseline or route.baseline
        standing.watch(rules_of(route.signals).actions, route.quality_breaker)
        return standing

    def budget(self, route: Route, target: Target) -> Budget:
        budget = self.budgets.setdefault(target.name, Budget(route.budget))
        budget.rules = route.budget
        return budget

    def snapshot(self) -> list[dict[str, Any]]:
        """What is usual of every target, as plain values."""
        return [
            {"route": route, "target": target, "usual": standing.usual.snapshot()}
            for (route, target), standing in self.standings.items()
        ]

    def restore(self, saved: Iterable[Mapping[str, Any]]) -> None:
        """Of the targets that there are. Raises what Usual.restore raises; then nothing is changed."""
        read = [(standing, row["usual"]) for row in saved if (standing := self._named(row)) is not None]
        for _, usual in read:
            Usual().restore(usual)
        for standing, usual in read:
            standing.usual.restore(usual)

    def _named(self, row: Mapping[str, Any]) -> Standing | None:
        return self.standings.get((row["route"], row["target"]))

    def keep(self, settings: Settings) -> None:
        """Forget the routes and targets that are configured no more."""
        hourly = settings.cost.hourly_budget
        self.tab.spend.budget = None if hourly is None else bill.pico(hourly)
        used = {(route.name, target.name) for route in settings.routes for target in route.targets}
        named = {name for name, _ in used} | set(settings.providers)
        kept = {key: value for key, value in self.standings.items() if key in used or key[0] in named}
        self.standings = kept
        self.hedgings = {name: value for name, value in self.hedgings.items() if name in named}
        for name in [name for name in self.breakers if name[0] not in settings.providers]:
            del self.breakers[name]
