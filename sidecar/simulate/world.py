"""A day as it is for everybody: when calls arrive, and what becomes of an attempt that is made then.

The model is fitted to a table that was published: 50,000 calls in 24 h, five policies, of each the
failures, the p95 and the bill. About fifteen constants meet fifteen figures, so it shows that such a
day is possible and which mechanisms it takes, not that it was measured. What it says:

Outages come in spells and hit everybody who asks meanwhile; stalls hit single attempts, which then
never answer. An answer takes a time of its own (log-normal); its first content comes at a part of it.
A call costs the same however long it takes. A refused attempt costs most of an answered one, which the
published bills cannot be had without; one that is cut costs all of it in the policies that cut early
and nothing in those that wait. Three providers: the primary has all the bad luck above, two peers are
dearer, a bit slower, and refuse some attempts at any time.

Every attempt has its own luck, drawn from (seed, target, call, attempt) and nothing else, so that
policies meet the same day and differ only in what they do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import log
from random import Random

from msgspec import Struct

CALLS = 50_000  # in a whole day
DAY = 86_400.0  # seconds

MEDIAN = 0.86  # seconds of an answer
SIGMA = 0.45  # of its logarithm
FIRST = 0.4  # the part of an answer's time after which its first content comes
REFUSAL = (0.1, 0.4)  # seconds that a refusal takes

CALL_PRICE = 0.003  # dollars of an answered call to the primary
REFUSED = 0.78  # of it, for a refused attempt


class Target(StrEnum):
    """Who can be asked, in the order of the chain."""

    PRIMARY = "primary"
    PEER = "peer"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Peer:
    median: float = 0.95  # seconds
    faults: float = 0.0022  # the share of attempts that it refuses
    price: float = 2.15  # of the primary's


# the last peer is asked when the first one failed: what hit the one is likelier to hit the other
PEERS = {Target.PEER: Peer(), Target.LAST: Peer(faults=0.011)}


@dataclass(frozen=True, slots=True)
class Spells:
    """Times in which something is wrong: their share of the day, and their mean length in seconds."""

    share: float = 0.0
    mean: float = 1.0

    def draw(self, rng: Random, end: float) -> Iterator[tuple[float, float]]:
        """From second 0 to `end`: lengths and the times between them are exponential."""
        if self.share <= 0:
            return
        between = self.mean * (1 - self.share) / self.share
        at = rng.expovariate(1 / between)
        while at < end:
            until = at + rng.expovariate(1 / self.mean)
            yield at, until
            at = until + rng.expovariate(1 / between)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a day is drawn from."""

    name: str
    told: str  # in one sentence, for people
    outages: Spells = Spells(0.0236, 45.0)  # of the primary: every attempt is refused
    overlap: float = 0.0  # the share of its outages that are the peers' too
    stalls: float = 0.0525  # the share of attempts at the primary that never answer
    storms: Spells = Spells()  # the quota that primary and peer share is used up by others
    limited: float = 0.8  # the share of their attempts that get a 429 meanwhile, with a Retry-After


WORLDS = (
    World(
        name="published",
        told="the primary is down for 2.36 % of the day, 45 s at a time; 5.25 % of its attempts never answer",
    ),
    World(
        name="correlated",
        told="as published, and three of ten outages are the peers' too",
        overlap=0.3,
    ),
    World(
        name="stalls",
        told="as published, but ten times as many attempts never answer (52.5 %)",
        stalls=0.525,
    ),
    World(
        name="storms",
        told="as published, and for 3 % of the day, 2 min at a time, others use up the quota of primary and "
        "peer: 80 % of the attempts at both get a 429",
        storms=Spells(0.03, 120.0),
    ),
)


class Fate(StrEnum):
    ANSWER = "answer"
    REFUSED = "refused"  # overloaded
    LIMITED = "limited"  # a rate limit, which is not billed
    STALL = "stall"  # for ever


class Luck(Struct, frozen=True):
    """What becomes of one attempt."""

    fate: Fate
    price: float  # dollars, if nobody cuts it
    seconds: float = 0.0  # until the whole answer, or the refusal
    first: float = 0.0  # until its first content
    wait: int = 0  # seconds of a Retry-After


class Day:
    """One day of a world. With fewer calls it is shorter: their pace is that of a whole day."""

    def __init__(self, world: World, seed: int, calls: int = CALLS) -> None:
        self.world = world
        self.seed = seed
        self.end = DAY * calls / CALLS
        arrivals = self._rng("arrivals")
        self.arrivals: Sequence[float] = sorted(arrivals.uniform(0.0, self.end) for _ in range(calls))
        self._outages = _edges(world.outages.draw(self._rng("outages"), self.end))
        shared = self._rng("shared")
        self._shared = [shared.random() < world.overlap for _ in self._outages]
        self._storms = _edges(world.storms.draw(self._rng("storms"), self.end))

    def luck(self, target: Target, now: float, call: int, attempt: int) -> Luck:
        """Of the attempt that a call makes at second `now`; its attempts are numbered from 1."""
        rng = self._rng(f"{target.value} {call} {attempt}")
        fault, seconds = rng.random(), rng.uniform(*REFUSAL)
        world, peer = self.world, PEERS.get(target)
        price = CALL_PRICE * (1.0 if peer is None else peer.price)
        if self._out(target, now) or (peer is not None and fault < peer.faults):
            return Luck(Fate.REFUSED, price * REFUSED, seconds)
        if target is not Target.LAST and _within(self._storms, now) and rng.random() < world.limited:
            return Luck(Fate.LIMITED, 0.0, seconds, wait=rng.randint(1, 20))
        if peer is None and fault < world.stalls:
            return Luck(Fate.STALL, price)
        seconds = rng.lognormvariate(log(MEDIAN if peer is None else peer.median), SIGMA)
        return Luck(Fate.ANSWER, price, seconds, seconds * FIRST)

    def _out(self, target: Target, now: float) -> bool:
        if not _within(self._outages, now):
            return False
        return target is Target.PRIMARY or self._shared[bisect_right(self._outages, now)]

    def _rng(self, what: str) -> Random:
        return Random(f"{self.seed} {what}")  # noqa: S311  # repeatable, not secret


def _edges(spells: Iterator[tuple[float, float]]) -> list[float]:
    """Beginnings and ends in turn: an odd number of them before a moment means it lies in a spell."""
    edges = [edge for spell in spells for edge in spell]
    assert all(before <= after for before, after in pairwise(edges))
    return edges


def _within(edges: Sequence[float], now: float) -> bool:
    return bisect_right(edges, now) % 2 == 1
