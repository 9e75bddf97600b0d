"""Quality signals: is this answer worth giving to the application? [R10]

An answer of HTTP 200 can be no answer at all. Hard signals are facts about one whole answer (empty, no
JSON though JSON was asked for, tool arguments that do not parse). Soft ones compare it with what is
usual of its target, or with a taste: slow, short, cut, declined, going round in circles. One soft
finding proves little; their rate does. What is done about a finding (observe, count, reject) is the
route's setting, and only held answers can be rejected.

A refusal or a content filter is the provider's decision: the application gets it as it is, so neither
is "empty", and neither says anything about lengths.

A signal that has nothing to look at (no JSON was asked for, nothing usual is known yet) is not
evaluated, so that the share of answers it fires at means something.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from msgspec import Struct

from sidecar.model import Fault, Finding, FinishReason
from sidecar.settings import Signals
from sidecar.signals.answer import DECIDED, Answer
from sidecar.signals.repetition import SHARE

TIMES_USUAL = 3.0  # slower than so many times the usual
FLOOR = 1.0  # seconds below which nothing is slow
SHORT_SHARE = 0.25  # shorter than this share of the usual, and
SHORT_DEVIATIONS = 3.0  # so many deviations off
SLOW_ENOUGH = 30  # answers that have to teach what is usual: of times
SHORT_ENOUGH = 50  # and of lengths
EARLY = "slow_first_content"  # the signal that does not wait for the end
HARD = frozenset({"empty", "structured", "tool_arguments"})

Validator = Callable[[object], bool]


@dataclass(slots=True)
class Schemas:
    """Compiled JSON schemas, the last used ones. `compile` returns None for what is no schema."""

    compile: Callable[[bytes], Validator | None]
    size: int = 256
    _known: OrderedDict[bytes, Validator | None] = field(default_factory=OrderedDict)

    def valid(self, schema: bytes, value: object) -> bool:
        """Does `value` meet the schema? True where the schema itself cannot be compiled: then it
        is the provider's to refuse, not ours to judge by."""
        if schema in self._known:
            self._known.move_to_end(schema)
        else:
            self._known[schema] = self.compile(schema)
            if len(self._known) > self.size:
                self._known.popitem(last=False)
        validator = self._known[schema]
        return validator is None or validator(value)


class Seen(Struct, frozen=True):
    """One answer, and what is usual where it comes from (None: not known yet)."""

    answer: Answer
    schemas: Schemas
    seconds: float | None = None  # to the first content of a stream, to the end of a whole answer
    usual: float | None = None  # seconds
    shortest: float | None = None  # tokens
    min_characters: int = 0  # 0: not judged by


class Measure(NamedTuple):
    fired: bool
    value: float = 0.0
    limit: float = 0.0


FINE = Measure(fired=False)
Check = Callable[[Seen], Measure | None]  # None: nothing to look at


@dataclass(frozen=True, slots=True)
class Rule:
    """A signal that a route has switched on."""

    signal: str
    action: str
    fault: Fault
    check: Check

    def finding(self, measure: Measure) -> Finding:
        return Finding(self.signal, self.action, self.fault, measure.value, measure.limit)


class Judgement(Struct, frozen=True):
    findings: tuple[Finding, ...] = ()  # the worst first
    evaluated: tuple[tuple[str, bool], ...] = ()  # signal, whether it fired


@dataclass(frozen=True, slots=True)
class Rules:
    """What a route has switched on: judged at the end, the worst first; and at the first content."""

    late: tuple[Rule, ...]
    early: Rule | None
    watched: bool  # for repetition
    min_characters: int

    @property
    def actions(self) -> dict[str, str]:
        """By signal."""
        every = self.late if self.early is None else (*self.late, self.early)
        return {rule.signal: rule.action for rule in every}


def rules_of(signals: Signals) -> Rules:
    rules = {
        name: Rule(name, action, fault, check)
        for name, (fault, check) in CHECKS.items()
        if (action := getattr(signals, name)) != "off"
    }
    early = rules.pop(EARLY, None)
    return Rules(tuple(rules.values()), early, "repetition" in rules, signals.min_characters)


def judge(seen: Seen, rules: tuple[Rule, ...]) -> Judgement:
    """What all the rules say of a whole answer."""
    findings, evaluated = [], []
    for rule in rules:
        measure = rule.check(seen)
        if measure is not None:
            evaluated.append((rule.signal, measure.fired))
            if measure.fired:
                findings.append(rule.finding(measure))
    return Judgement(tuple(findings), tuple(evaluated))


def rejection(findings: tuple[Finding, ...]) -> Finding | None:
    """The finding for which a held answer is not given out, if there is one."""
    return next((finding for finding in findings if finding.action == "reject"), None)


def counted(findings: tuple[Finding, ...]) -> bool:
    """Is this a BAD sample for the quality breaker?"""
    return any(finding.action in ("count", "reject") for finding in findings)


# ---- hard signals


def _empty(seen: Seen) -> Measure:
    answer = seen.answer
    return FINE if answer.content or answer.finished(*DECIDED) else Measure(fired=True)


def _structured(seen: Seen) -> Measure | None:
    answer = seen.answer
    # an answer that calls tools, refuses or was cut at its length is judged by other signals
    if not answer.ask.json or not answer.content or answer.tools or answer.refused or not answer.whole:
        return None
    if answer.finished(*DECIDED):
        return None
    schema, texts = answer.ask.schema, answer.texts.values()
    return Measure(any(not _meets("".join(text), schema, seen.schemas) for text in texts))


def _meets(text: str, schema: bytes | None, schemas: Schemas) -> bool:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return schema is None or schemas.valid(schema, value)


def _tool_arguments(seen: Seen) -> Measure | None:
    answer = seen.answer
    if not answer.tools or not answer.whole or answer.finished(FinishReason.LENGTH):
        return None
    return Measure(any(_bad_call(tool.name, tool.arguments, answer) for tool in answer.tools.values()))


def _bad_call(name: str, pieces: list[str], answer: Answer) -> bool:
    if answer.ask.tools and name and name not in answer.ask.tools:
        return True
    arguments = "".join(pieces)
    if not arguments.strip():
        return False  # no arguments at all is how some providers say {}
    try:
        msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return True
    return False


# ---- soft signals


def _truncated(seen: Seen) -> Measure | None:
    if seen.answer.ask.max_output is not None:
        return None  # the client set a length, and knows
    return Measure(fired=True) if seen.answer.finished(FinishReason.LENGTH) else FINE


def _refusal(seen: Seen) -> Measure:
    refused = seen.answer.refused or seen.answer.finished(FinishReason.REFUSAL)
    return Measure(fired=True) if refused else FINE


def _too_short(seen: Seen) -> Measure | None:
    if seen.shortest is None or not seen.answer.plain:
        return None
    tokens = seen.answer.tokens
    return FINE if tokens >= seen.shortest else Measure(True, tokens, round(seen.shortest, 1))


def _min_length(seen: Seen) -> Measure | None:
    if not seen.min_characters or not seen.answer.plain:
        return None
    characters = seen.answer.characters
    return FINE if characters >= seen.min_characters else Measure(True, characters, seen.min_characters)


def _repetition(seen: Seen) -> Measure | None:
    answer = seen.answer
    if answer.ask.json or not answer.characters:
        return None
    return Measure(True, round(answer.looped, 2), SHARE) if answer.looped else FINE


def _slow(seen: Seen) -> Measure | None:
    if seen.usual is None or seen.seconds is None:
        return None
    limit = max(FLOOR, TIMES_USUAL * seen.usual)
    return FINE if seen.seconds <= limit else Measure(True, round(seen.seconds, 3), round(limit, 3))


def slow_first_content(seen: Seen) -> Measure | None:
    return _slow(seen) if seen.answer.ask.stream else None


def slow_answer(seen: Seen) -> Measure | None:
    return None if seen.answer.ask.stream else _slow(seen)


CHECKS: Mapping[str, tuple[Fault, Check]] = {
    "empty": (Fault.EMPTY_OUTPUT, _empty),
    "structured": (Fault.STRUCTURED_OUTPUT_FAILED, _structured),
    "tool_arguments": (Fault.MALFORMED_TOOL_CALL, _tool_arguments),
    "truncated": (Fault.TRUNCATED_OUTPUT, _truncated),
    "refusal": (Fault.REFUSAL, _refusal),
    "too_short": (Fault.LOW_QUALITY, _too_short),
    "min_length": (Fault.LOW_QUALITY, _min_length),
    "repetition": (Fault.LOW_QUALITY, _repetition),
    "slow_first_content": (Fault.LOW_QUALITY, slow_first_content),
    "slow_answer": (Fault.LOW_QUALITY, slow_answer),
}
