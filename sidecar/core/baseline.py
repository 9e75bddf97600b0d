"""What is usual: running figures that cost little and forget slowly.

`Baseline` is a running median of seconds: logarithmic buckets (each 10 % wider than the last, 1 ms to
about 20 min), all counts faded by a constant factor per sample, so that about the last two hundred
lessons decide. The median of such a histogram is within 5 % of the true one and needs no log.

`Lengths` is a running mean and variance of the logarithm of an answer's length, over about fifty
lessons: lengths spread by factors, not by sums.

`Usual` is what one target does on one route: a `Lesson` book per kind of request, since a long
prompt, a reasoning request and a stream each have an own idea of normal, and per answering model: a
model that is new starts from nothing, and one that comes back finds what it taught.

Time, not only counts. Two hundred answers are forty minutes at five a minute and less than half a
second at five hundred a second, where a target that gets slower within ten seconds would redefine
what is usual before anybody noticed. So once enough is learned, lessons keep a distance: the memory
reaches back over all that was seen, up to twenty minutes.

A prior from configuration stands in until enough is learned, and holds what is learned within a
quarter to four times of it, so that no drift, however slow, ends up as the new normal.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from sidecar.model import Call, Prior

_GROWTH = 1.1
_LOG = math.log(_GROWTH)
_BUCKETS = 148  # 0.001 * 1.1^147 is about 1,200 s
_FADE = 1 / 0.995
_LARGEST = 1e12
_REACH = 4.0  # how far from its prior a learned value may get, either way

ENOUGH = 200  # lessons after which they keep a distance
APART = 6.0  # seconds between two lessons at the most: times ENOUGH, twenty minutes of memory
KINDS = 64  # books kept per route and target; the least recently used go first
SMALL, MEDIUM = 8 * 1024, 64 * 1024  # bytes of a request's body
_PACE = 1 / 50  # of the running mean of lengths
_SPREAD = 0.6  # of the logarithm of lengths, until it is learned
_LEAST_SPREAD = 0.25


def within(value: float, prior: float | None) -> float:
    """The learned value, held within reach of its prior."""
    return value if prior is None else min(max(value, prior / _REACH), prior * _REACH)


@dataclass(slots=True)
class Baseline:
    min_samples: int = 10
    count: int = 0
    _weights: list[float] = field(default_factory=lambda: [0.0] * _BUCKETS)
    _weight: float = 1.0  # of the next sample: growing it fades all others at once
    _median: float | None = None  # until the next sample

    def observe(self, seconds: float) -> None:
        """Learn one good answer."""
        index = int(math.log(max(seconds, 0.001) / 0.001) / _LOG)
        self._weights[min(max(index, 0), _BUCKETS - 1)] += self._weight
        self.count += 1
        self._median = None
        self._weight *= _FADE
        if self._weight > _LARGEST:
            self._weights = [weight / self._weight for weight in self._weights]
            self._weight = 1.0

    @property
    def median(self) -> float | None:
        """Seconds, or None while too little was seen."""
        if self.count < self.min_samples:
            return None
        if self._median is None:
            sums = list(accumulate(self._weights))
            self._median = 0.001 * math.exp((bisect_left(sums, sums[-1] / 2) + 0.5) * _LOG)
        return self._median

    def quantile(self, share: float) -> float | None:
        """Seconds below which this share of the samples lies; None while too little was seen."""
        if self.count < self.min_samples:
            return None
        sums = list(accumulate(self._weights))
        sought = share * sums[-1]
        index = min(bisect_left(sums, sought), _BUCKETS - 1)
        part = 1 - (sums[index] - sought) / self._weights[index]  # of the bucket that it falls into
        return 0.001 * math.exp((index + part) * _LOG)

    def snapshot(self) -> dict[str, Any]:
        weights = {str(n): w / self._weight for n, w in enumerate(self._weights) if w}
        return {"count": self.count, "weights": weights}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Raises ValueError or TypeError for what no snapshot says."""
        weights = [0.0] * _BUCKETS
        for n, weight in saved["weights"].items():
            if not 0 <= int(n) < _BUCKETS:
                raise ValueError("no such bucket")
            weights[int(n)] = _number(weight)
        count = int(_number(saved["count"]))
        if count and not any(weights):
            raise ValueError("samples without weight")
        self.count, self._weights, self._weight, self._median = count, weights, 1.0, None


@dataclass(slots=True)
class Lengths:
    """Of answers in tokens, as mean and variance of their logarithm."""

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0
    _asked: tuple[float | None, ...] = ()  # what `_shortest` is the answer to, until the next sample
    _shortest: float | None = None

    def observe(self, tokens: float) -> None:
        """Learn one good answer."""
        self.count += 1
        self._asked = ()
        pace = max(_PACE, 1 / self.count)  # the first ones average, else the very first would rule
        off = math.log1p(tokens) - self.mean
        self.mean += pace * off
        self.variance = (1 - pace) * (self.variance + pace * off * off)

    def shortest(self, prior: float | None, *, enough: int, deviations: float, share: float) -> float | None:
        """The length below which an answer is neither near the mean nor a fair share of the usual one."""
        asked = (prior, enough, deviations, share)
        if self._asked != asked:
            self._asked, self._shortest = asked, self._below(*asked)
        return self._shortest

    def _below(self, prior: float | None, enough: int, deviations: float, share: float) -> float | None:
        if self.count >= enough:
            usual, spread = within(math.expm1(self.mean), prior), math.sqrt(self.variance)
        elif prior is not None:
            usual, spread = prior, _SPREAD
        else:
            return None
        far = math.expm1(math.log1p(usual) - deviations * max(spread, _LEAST_SPREAD))
        return min(far, share * usual)

    def snapshot(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean, "variance": self.variance}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Raises ValueError or TypeError for what no snapshot says."""
        count, mean, variance = (_number(saved[key]) for key in ("count", "mean", "variance"))
        self.count, self.mean, self.variance = int(count), min(mean, 20.0), min(variance, 20.0)
        self._asked = ()


Kind = tuple[str, int, bool, bool]
"""Requests whose answers can be compared: the model that answers, the request's size (0 small, 1 medium,
2 large), whether it wants reasoning, whether it wants a stream."""
_KIND = ("model", "size", "reasoning", "stream")


def kind_of(call: Call, model: str) -> Kind:
    size = len(call.body)
    return model, (size > SMALL) + (size > MEDIUM), call.ask.reasoning, call.ask.stream


@dataclass(slots=True)
class Lesson:
    """What is usual of one kind: seconds to the first content of a stream, to the end of a whole
    answer; tokens of either.
    """

    seconds: Baseline = field(default_factory=Baseline)
    lengths: Lengths = field(default_factory=Lengths)
    since: float | None = None
    last: float = 0.0

    def due(self, now: float) -> bool:
        """Is it time for another lesson?"""
        if self.since is None:
            self.since = now
        apart = min(APART, (now - self.since) / ENOUGH)
        if self.seconds.count >= ENOUGH and now - self.last < apart:
            return False
        self.last = now
        return True


@dataclass(slots=True)
class Usual:
    """One per route and target."""

    prior: Prior | None = None
    _lessons: OrderedDict[Kind, Lesson] = field(default_factory=OrderedDict)
    _answering: OrderedDict[str, str] = field(default_factory=OrderedDict)  # model asked for -> answering

    def learn(
        self, call: Call, answering: str, now: float, *, seconds: float | None, tokens: float | None
    ) -> None:
        """One good answer."""
        self._answers(call.ask.model, answering)
        lesson = self._lesson(self._kind(call, answering))
        if not lesson.due(now):
            return
        if seconds is not None:
            lesson.seconds.observe(seconds)
        if tokens is not None:
            lesson.lengths.observe(tokens)

    def seconds(self, call: Call, answering: str = "", *, enough: int = 0) -> float | None:
        """The usual time of such a call; None while fewer than `enough` (else ten) taught it."""
        lesson = self._lessons.get(self._kind(call, answering))
        prior = None
        if self.prior is not None:
            prior = self.prior.first_content if call.ask.stream else self.prior.answer
        median = None if lesson is None or lesson.seconds.count < enough else lesson.seconds.median
        return prior if median is None else within(median, prior)

    def shortest(
        self, call: Call, answering: str, *, enough: int, deviations: float, share: float
    ) -> float | None:
        """Tokens below which an answer to such a call is unusually short."""
        lesson = self._lessons.get(self._kind(call, answering))
        lengths = Lengths() if lesson is None else lesson.lengths
        prior = None if self.prior is None else self.prior.tokens
        return lengths.shortest(prior, enough=enough, deviations=deviations, share=share)

    # ---- keeping

    def snapshot(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        kinds = [
            {
                **dict(zip(_KIND, kind, strict=True)),
                "seconds": lesson.seconds.snapshot(),
                "lengths": lesson.lengths.snapshot(),
            }
            for kind, lesson in self._lessons.items()
        ]
        return {"answering": dict(self._answering), "kinds": kinds}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Raises LookupError, ValueError, TypeError or AttributeError for what no snapshot says; then
        nothing is changed. What was learned since the start is not overwritten.
        """
        found: OrderedDict[Kind, Lesson] = OrderedDict()
        for row in saved["kinds"]:
            lesson = Lesson(since=-math.inf)
            lesson.seconds.restore(row["seconds"])
            lesson.lengths.restore(row["lengths"])
            kind = (str(row["model"]), int(row["size"]), bool(row["reasoning"]), bool(row["stream"]))
            found[kind] = lesson
        answering = {str(asked): str(model) for asked, model in saved["answering"].items()}
        for asked, model in list(answering.items())[-KINDS:]:
            self._answering.setdefault(asked, model)
        for kind, lesson in list(found.items())[-KINDS:]:
            self._lessons.setdefault(kind, lesson)

    # ---- kinds

    def _kind(self, call: Call, answering: str) -> Kind:
        return kind_of(call, answering or self._answering.get(call.ask.model, call.ask.model))

    def _lesson(self, kind: Kind) -> Lesson:
        lesson = self._lessons.get(kind)
        if lesson is None:
            lesson = self._lessons[kind] = Lesson()
            if len(self._lessons) > KINDS:
                self._lessons.popitem(last=False)
        self._lessons.move_to_end(kind)
        return lesson

    def _answers(self, asked: str, answering: str) -> None:
        if answering and self._answering.get(asked) != answering:
            self._answering[asked] = answering
            if len(self._answering) > KINDS:
                self._answering.popitem(last=False)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LARGEST:
        raise ValueError("not a number that was counted")
    return float(value)
