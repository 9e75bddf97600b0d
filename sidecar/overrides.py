"""Overrides: what an operator says in an incident, laid over a configuration that stays as it is.

One file for all pods of a namespace (the ConfigMap `llm-sidecar-overrides`, mounted where it exists),
looked at once a second; it holds as long as it is there and its `until` has not passed. Nothing in it
can add anything: chains are put in another order or shortened, targets are left out, limits changed,
breakers forced, answers given without asking. A wrong file changes nothing, and the last good one holds.

One file meets many configurations, so what it names need not be known here: what fits nothing is told
and does no harm. In patterns * and ? stand for what they do in a shell; of several that fit, the first
one counts.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from fnmatch import fnmatchcase
from math import inf
from pathlib import Path
from typing import Annotated, Any, Final

from sidecar.config import ConfigError, Problem, document
from sidecar.config.convert import BAD, Converter
from sidecar.config.problems import Path as Place
from sidecar.config.problems import Problems, quote
from sidecar.model import BreakerState, Target
from sidecar.settings import Bound, Route, Seconds, Settings
from sidecar.watched import Watched

Forced = Annotated[str, Bound(choices=("open", "closed"))]
_LONGEST: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Of a route; what is not given stays as it is."""

    deadline: Seconds | None = None
    connect: Seconds | None = None
    tls: Seconds | None = None
    headers: Seconds | None = None
    first_content: Seconds | None = None
    reasoning: Seconds | None = None
    answer: Seconds | None = None
    gap: Seconds | None = None
    total: Seconds | None = None
    write: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Keys are patterns: of routes, of targets and providers, of breakers."""

    until: str | None = None  # a moment, 2026-11-22T18:00:00Z; from then on none of it holds
    bypass: bool | None = None  # wins over the configuration's
    breakers: Mapping[str, Forced] = field(default_factory=dict)  # by provider/model, or a whole key
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by route: its targets, in order
    timeouts: Mapping[str, Timeouts] = field(default_factory=dict)  # by route
    static: tuple[str, ...] = ()  # routes that give their static answer without asking anybody
    disable: tuple[str, ...] = ()  # targets or providers that are not asked

    @property
    def ends(self) -> float:
        """Unix time."""
        moment = None if self.until is None else _moment(self.until)
        return inf if moment is None else moment

    def active(self) -> tuple[tuple[str, int], ...]:
        """Which kinds are in it, and how many of each."""
        sizes = (
            ("bypass", int(self.bypass is True)),
            *((name, len(getattr(self, name))) for name in KINDS[1:]),
        )
        return tuple((name, size) for name, size in sizes if size)

    # ---- what it does to a route

    def shape(self, route: Route) -> Route:
        """The route as it is to be built. One without a chain asks nobody."""
        times = _first(self.timeouts, route.name)
        if times is not None:
            given = {f.name: v for f in fields(Timeouts) if (v := getattr(times, f.name)) is not None}
            deadline = given.pop("deadline", None)
            route = replace(route, limits=replace(route.limits, **given))
            if deadline is not None:
                route = replace(route, deadline=deadline, implicit=False)
        order = _first(self.chains, route.name)
        if order is not None:
            # an operator's order is an order: groups and `order` do not hold in it
            chosen = tuple(replace(target, group=None) for target in _chosen(order, route))
            route = replace(route, chain=chosen, order="listed") if chosen else route
        if self.disable:
            chains = {fault: self._enabled(chain) for fault, chain in route.chains.items()}
            route = replace(
                route,
                chain=self._enabled(route.chain),
                chains={fault: chain for fault, chain in chains.items() if chain},
            )
        if route.static is not None and any(fnmatchcase(route.name, pattern) for pattern in self.static):
            route = replace(route, chain=(), chains={})
        return route

    def _enabled(self, chain: tuple[Target, ...]) -> tuple[Target, ...]:
        return tuple(t for t in chain if not any(_is(t, pattern) for pattern in self.disable))

    # ---- what it does to a breaker

    def breaker(self, key: str, provider: str, model: str) -> BreakerState | None:
        """What the breaker of this key is forced to. `key` is the one that operators see."""
        for pattern, state in self.breakers.items():
            whole = pattern.startswith(("transport:", "quality:"))
            target = pattern if "/" in pattern else f"{pattern}/*"
            transport = key.startswith("transport:") and fnmatchcase(f"{provider}/{model}", target)
            if fnmatchcase(key, pattern) if whole else transport:
                return BreakerState(state)
        return None

    # ---- what it names that is not there

    def idle(self, settings: Settings, routes: Iterable[Route]) -> tuple[str, ...]:
        """What has no effect on this configuration, in sentences. Models are not looked at: clients
        choose them."""
        return tuple(self._idle(settings, tuple(routes)))

    def _idle(self, settings: Settings, routes: tuple[Route, ...]) -> Iterator[str]:
        names = [route.name for route in routes]
        targets = {t.name: t for route in routes for t in route.targets}
        for kind, patterns in (("chains", self.chains), ("timeouts", self.timeouts), ("static", self.static)):
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    yield f"{kind}.{pattern}: no route has this name{_near(pattern, names)}"
        for pattern in self.static:
            fit = [route for route in routes if fnmatchcase(route.name, pattern)]
            if fit and all(route.static is None for route in fit):
                yield f"static.{pattern}: this route has no static answer in the configuration"
        for pattern, order in self.chains.items():
            for route in (route for route in routes if fnmatchcase(route.name, pattern)):
                known = {t.name: t for t in route.targets}
                for name in order:
                    if not any(name in {t.name, t.provider.name} for t in known.values()):
                        yield f"chains.{route.name}: it has no target {name}{_near(name, known)}"
        for pattern in self.disable:
            if not any(_is(target, pattern) for target in targets.values()):
                yield f"disable.{pattern}: no target and no provider has this name{_near(pattern, targets)}"
        for pattern in self.breakers:
            provider = pattern.removeprefix("transport:").partition("/")[0]
            if not pattern.startswith("quality:") and not any(
                fnmatchcase(name, provider) for name in settings.providers
            ):
                yield f"breakers.{pattern}: no provider has this name{_near(provider, settings.providers)}"


NONE: Final = Overrides()
KINDS: Final = ("bypass", "breakers", "chains", "timeouts", "static", "disable")


def parse(text: str, name: str = "overrides") -> Overrides:
    """Raises ConfigError with all problems."""
    problems = Problems()
    try:
        raw = document.read(text, problems)
    except document.Unreadable as bad:
        raise ConfigError([Problem("", bad.message, bad.line)], name) from None
    document.refuse_keys(raw, (), problems)
    taken: Any = Converter(problems).record(Overrides, raw, (), NONE)
    if isinstance(taken, Overrides) and taken is not BAD:
        _check(taken, problems)
    if problems:
        raise ConfigError(list(problems), name)
    made: Overrides = taken
    return made


def load(path: Path) -> Overrides | None:
    """None where there is no file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(document.LARGEST + 1)
        return parse(data.decode("utf-8-sig"), path.name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError([Problem("", f"cannot be read: {error.strerror}")], path.name) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem("", "is not UTF-8 text")], path.name) from None


def _check(taken: Overrides, problems: Problems) -> None:
    if taken.until is not None and _moment(taken.until) is None:
        problems.add(("until",), f"expected a moment such as 2026-11-22T18:00:00Z, got {quote(taken.until)}")
    for name in KINDS[1:]:
        for at, pattern in enumerate(getattr(taken, name)):
            place: Place = (name, at if isinstance(getattr(taken, name), tuple) else pattern)
            if not pattern.strip() or len(pattern) > _LONGEST:
                problems.add(place, "expected a name, or a pattern such as openai/*")
    for route, order in taken.chains.items():
        if not order:
            problems.add(("chains", route), "is empty; to ask nobody use `static` or `disable`")
        elif len(set(order)) < len(order):
            problems.add(("chains", route), "names a target twice")


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def _first(patterns: Mapping[str, Any], name: str) -> Any:
    return next((value for pattern, value in patterns.items() if fnmatchcase(name, pattern)), None)


def _chosen(order: tuple[str, ...], route: Route) -> Iterator[Target]:
    """The named targets of a route, each once; a provider's name stands for all of its targets."""
    known = {target.name: target for target in route.targets}
    taken: set[str] = set()
    for name in order:
        one = known.get(name)
        for target in [one] if one is not None else [t for t in known.values() if t.provider.name == name]:
            if target.name not in taken:
                taken.add(target.name)
                yield target


def _is(target: Target, pattern: str) -> bool:
    return fnmatchcase(target.name, pattern) or fnmatchcase(target.provider.name, pattern)


def _near(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


class Watch:
    """The file as it comes, changes and goes. `held` is what holds now, `problems` why the file does not."""

    def __init__(self, path: Path | None, wall: Callable[[], float]) -> None:
        self.path = path
        self.held = NONE
        self.problems: tuple[str, ...] = ()
        self._wall = wall
        self._file = Watched(path)
        self._read = NONE  # the last good one, whether or not it still holds

    def look(self) -> bool:
        """Whether something changed: what holds, or what is wrong with the file."""
        before = self.held, self.problems
        if self._file.changed():
            self._load()
        self.held = self._read if self._wall() < self._read.ends else NONE
        return before != (self.held, self.problems)

    def _load(self) -> None:
        try:
            found = None if self.path is None else load(self.path)
        except ConfigError as error:
            self.problems = tuple(problem.text() for problem in error.problems)
        else:
            self._read, self.problems = found or NONE, ()
