"""The plan of a fake vendor: which call gets which behaviour, from a YAML file or from code.

Rules are asked in order and the first that matches wins; a call that none matches is answered
well. A rule without conditions matches every call. Calls are counted from 1, seconds from the
start of the vendor, or from the moment the plan was replaced.

A few faults strike before there is a request to look at (`Moment`): those come first, and a rule
for them may only ask for the number of the call, the time and chance.
"""

from __future__ import annotations

import fnmatch
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec
import yaml

from sidecar.provider.behaviour import CATALOGUE, Behaviour, Moment, unknown

T = TypeVar("T")


class BadScript(Exception):
    """Everything that is wrong with a script, one line each, with its path."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = tuple(errors)


def span(text: str | float | None) -> tuple[float, float]:
    """The first and last of "3-7", "3-", 5; raises ValueError."""
    if text is None:
        return 0.0, math.inf
    low, dash, high = str(text).partition("-")
    try:
        first = float(low)
        last = float(high) if high else math.inf if dash else first
    except ValueError:
        first, last = 1.0, 0.0
    if not 0 <= first <= last:
        raise ValueError(f'{text!r} is no range; write 5, "3-7" or "3-"')
    return first, last


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a call when its behaviour is chosen; None: not yet."""

    number: int
    seconds: float
    reused: bool | None = None  # not the first call on its connection
    dialect: str | None = None
    model: str | None = None
    stream: bool | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The conditions of a rule; all that are given must hold."""

    calls: str | int | None = None  # 5, "3-7", "3-"
    seconds: str | None = None  # "10-25", "10-"
    p: float | None = None  # probability, drawn from seed and call number
    reused: bool | None = None
    dialect: str | None = None
    model: str | None = None  # glob
    stream: bool | None = None
    contains: str | None = None  # text in the request's body

    def __post_init__(self) -> None:
        span(self.calls)
        if span(self.seconds)[0] == span(self.seconds)[1]:
            raise ValueError(f'seconds: {self.seconds!r} is no stretch of time; write "10-25" or "10-"')

    @property
    def late(self) -> tuple[str, ...]:
        """The conditions that need the request."""
        names = ("reused", "dialect", "model", "stream", "contains")
        return tuple(name for name in names if getattr(self, name) is not None)

    def holds(self, facts: Facts, chance: random.Random) -> bool | None:
        """None: not known yet."""
        roll = chance.random()
        low, high = span(self.calls)
        since, until = span(self.seconds)
        if not low <= facts.number <= high or not since <= facts.seconds < until:
            return False
        if self.p is not None and roll >= self.p:
            return False
        answers = (
            _same(self.reused, facts.reused),
            _same(self.dialect, facts.dialect),
            _same(self.stream, facts.stream),
            _ask(self.model, facts.model, lambda glob, model: fnmatch.fnmatchcase(model, glob)),
            _ask(self.contains, facts.text, lambda text, whole: text in whole),
        )
        if False in answers:
            return False
        return True if answers.count(True) == len(self.late) else None


def _ask(condition: T | None, fact: T | None, holds: Callable[[T, T], bool]) -> bool | None:
    """None where there is no condition, or no fact yet."""
    return None if condition is None or fact is None else holds(condition, fact)


def _same(condition: T | None, fact: T | None) -> bool | None:
    return _ask(condition, fact, lambda one, other: one == other)


@dataclass(frozen=True, slots=True)
class Rule:
    do: Behaviour
    when: When = When()

    def __post_init__(self) -> None:
        """Raises ValueError for a condition that can never be known in time."""
        if self.do.kind.moment < Moment.BODY:
            early = [name for name in self.when.late if self.do.kind.moment < Moment.HEAD or name != "reused"]
            if early:
                raise ValueError(
                    f"{self.do.name} happens before {early[0]!r} is known; it may use calls, seconds and p"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    rules: tuple[Rule, ...] = ()
    name: str = ""
    seed: int = 0

    def choose(self, facts: Facts, moment: Moment) -> Behaviour | None:
        """What to do, as far as it is decided by now; None: the moment has no say."""
        for index, rule in enumerate(self.rules):
            holds = rule.when.holds(facts, random.Random(f"{self.seed}/{facts.number}/{index}"))  # noqa: S311  # repeatable
            if holds:
                return rule.do if rule.do.kind.moment <= moment else None
        return Behaviour("ok") if moment is Moment.BODY else None

    def edges(self) -> tuple[float, ...]:
        """The seconds at which a rule begins or ends."""
        spans = (span(rule.when.seconds) for rule in self.rules if rule.when.seconds is not None)
        return tuple(sorted({edge for pair in spans for edge in pair if 0 < edge < math.inf}))


def steps(behaviours: Sequence[Behaviour]) -> tuple[Rule, ...]:
    """One behaviour per call; the last one stays for ever."""
    last = len(behaviours)
    for behaviour in behaviours[:-1]:
        if behaviour.name in ("refuse", "blackhole") and behaviour.seconds is None:
            raise ValueError(f"{behaviour.name} is not seen as a call: give it seconds, or make it the last")
    return tuple(
        Rule(behaviour, When(calls=number if number < last else f"{number}-"))
        for number, behaviour in enumerate(behaviours, 1)
    )


# ---- reading a file -----------------------------------------------------------------------


def load(path: str | Path) -> Script:
    """Raises BadScript with all errors at once, OSError if the file cannot be read."""
    return parse(Path(path).read_text(encoding="utf-8"))


def parse(text: str) -> Script:
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise BadScript([f"{where}this is no YAML: {getattr(error, 'problem', error)}"]) from None
    errors: list[str] = []
    script = _script(tree if tree is not None else {}, errors)
    if errors:
        raise BadScript(errors)
    return script


def _script(tree: object, errors: list[str]) -> Script:
    top = _mapping(tree, "script", ("name", "seed", "rules", "steps"), errors)
    name, seed = top.get("name", ""), top.get("seed", 0)
    if not isinstance(name, str):
        errors.append(f"name: {name!r} is no text")
    if not isinstance(seed, int):
        errors.append(f"seed: {seed!r} is no whole number")
    if "rules" in top and "steps" in top:
        errors.append("script: give either rules (the first that matches) or steps (one per call)")
    rules = [_rule(item, f"rules[{n}]", errors) for n, item in enumerate(_list(top, "rules", errors))]
    plain = [_behaviour(item, f"steps[{n}]", errors) for n, item in enumerate(_list(top, "steps", errors))]
    if errors:
        return Script()
    try:
        stepped = steps([step for step in plain if step is not None])
    except ValueError as error:
        errors.append(f"steps: {error}")
        return Script()
    return Script(rules=tuple(rule for rule in rules if rule is not None) or stepped, name=name, seed=seed)


def _rule(tree: object, path: str, errors: list[str]) -> Rule | None:
    parts = _mapping(tree, path, ("when", "do"), errors)
    when: When | None = When()
    if "when" in parts:
        when = _value(When, parts["when"], f"{path}.when", errors)
    behaviour = _behaviour(parts.get("do", "ok"), f"{path}.do", errors)
    if when is None or behaviour is None:
        return None
    try:
        return Rule(behaviour, when)
    except ValueError as error:
        errors.append(f"{path}: {error}")
        return None


def _behaviour(tree: object, path: str, errors: list[str]) -> Behaviour | None:
    """`rate_limit`, or `{rate_limit: {retry_after: 2}}`."""
    options: object = {}
    if isinstance(tree, dict) and len(tree) == 1:
        ((tree, options),) = tree.items()
    if not isinstance(tree, str):
        errors.append(f"{path}: expected a behaviour, such as hang or {{stall: {{after: 3}}}}")
        return None
    if tree not in CATALOGUE:
        errors.append(f"{path}: {unknown('behaviour', tree, CATALOGUE)}")
        return None
    return _value(Behaviour, options if options is not None else {}, f"{path}.{tree}", errors, name=tree)


def _value(kind: type[T], tree: object, path: str, errors: list[str], **given: Any) -> T | None:
    """A dataclass from a mapping, every field checked on its own so that all errors are told."""
    before = len(errors)
    hints = get_type_hints(kind)
    known = _options(kind, given)
    parts: dict[str, Any] = {}
    for key, value in _mapping(tree, path, known, errors).items():
        if key == "json" and not isinstance(value, str):
            value = json.dumps(value)
        try:
            parts[key] = msgspec.convert(value, hints[key])
        except msgspec.ValidationError as error:
            errors.append(f"{path}.{key}: {error}")
    try:
        made = kind(**given, **parts)
    except ValueError as error:
        errors.append(f"{path}: {error}")
    return made if len(errors) == before else None


def _options(kind: type[Any], given: Mapping[str, Any]) -> tuple[str, ...]:
    if kind is Behaviour:
        return CATALOGUE[given["name"]].options
    return tuple(option.name for option in fields(kind))


def _mapping(tree: object, path: str, known: Sequence[str], errors: list[str]) -> dict[str, Any]:
    if not isinstance(tree, dict):
        errors.append(f"{path}: expected a mapping, got {type(tree).__name__}")
        return {}
    errors += [f"{path}: {unknown('key', str(key), known)}" for key in tree if key not in known]
    return {key: value for key, value in tree.items() if key in known}


def _list(top: Mapping[str, Any], key: str, errors: list[str]) -> list[Any]:
    items = top.get(key, [])
    if not isinstance(items, list):
        errors.append(f"{key}: expected a list, got {type(items).__name__}")
        return []
    return items
