"""The five policies of the published table, as small as they can be told, and what was printed of each.

A policy is a generator per call: it yields the seconds that pass and gets the time after them, so a
whole day runs without a loop. What the table does not say (timeouts, what an open breaker does with a
call, when fallback asks the other provider) was chosen so that its figures come out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from random import Random

from sidecar.model import Tier
from sidecar.simulate.measure import Tally
from sidecar.simulate.world import Day, Fate, Target

Steps = Generator[float, float, None]

PATIENCE = 92.0  # seconds that a call is parked behind an open breaker at the most
OPENS = 3  # refusals in a row that open it
REST = 2.0  # seconds until the next call may ask
POLL = 0.25  # seconds after which a parked call looks again while another one asks


@dataclass(slots=True)
class Calls:
    """One day's calls under one policy, and what they share."""

    day: Day
    tally: Tally
    rng: Random  # jitter
    refused: int = 0  # in a row
    until: float = 0.0  # when the open breaker lets the next one ask
    asking: bool = False  # one call asks for all

    @property
    def open(self) -> bool:
        return self.refused >= OPENS

    def attempt(
        self, target: Target, call: int, number: int, now: float, *, timeout: float, cut_billed: bool
    ) -> Generator[float, float, tuple[Fate, float]]:
        """What became of it, and when: a STALL if it was cut."""
        luck = self.day.luck(target, now, call, number)
        cut = luck.fate is Fate.STALL or luck.seconds > timeout
        self.tally.charge(target, luck.price if cut_billed or not cut else 0.0)
        now = yield timeout if cut else luck.seconds
        return Fate.STALL if cut else luck.fate, now

    def jitter(self, retry: int) -> float:
        return self.rng.uniform(0.0, min(8.0, 0.5 * 2.0**retry))


def no_retry(calls: Calls, call: int, now: float) -> Steps:
    return _repeat(calls, call, now, timeout=30.0, retries=0, pause=lambda _: 0.0)


def fixed(calls: Calls, call: int, now: float) -> Steps:
    return _repeat(calls, call, now, timeout=6.9, retries=3, pause=lambda _: 1.0)


def exponential(calls: Calls, call: int, now: float) -> Steps:
    return _repeat(calls, call, now, timeout=4.05, retries=5, pause=calls.jitter)


def _repeat(
    calls: Calls, call: int, now: float, *, timeout: float, retries: int, pause: Callable[[int], float]
) -> Steps:
    began = now
    for retry in range(retries + 1):
        fate, now = yield from calls.attempt(
            Target.PRIMARY, call, retry + 1, now, timeout=timeout, cut_billed=False
        )
        if fate is Fate.ANSWER:
            calls.tally.end(Tier.FULL, now - began, Target.PRIMARY)
            return
        if retry < retries:
            now = yield pause(retry)
    calls.tally.end(Tier.NONE, now - began)


def breaker(calls: Calls, call: int, now: float) -> Steps:
    """A refusal costs none of the five retries: the call waits for the breaker instead."""
    began, number, retry = now, 0, 0
    while True:
        while calls.open and (now < calls.until or calls.asking):
            if now - began > PATIENCE:
                calls.tally.end(Tier.NONE, now - began)
                return
            now = yield max(calls.until - now, POLL)
        probes = calls.asking = calls.open
        number += 1
        fate, now = yield from calls.attempt(Target.PRIMARY, call, number, now, timeout=2.15, cut_billed=True)
        if probes:
            calls.asking = False
        match fate:
            case Fate.ANSWER:
                calls.refused = 0
                calls.tally.end(Tier.FULL, now - began, Target.PRIMARY)
                return
            case Fate.REFUSED | Fate.LIMITED:
                calls.refused += 1
                calls.until = now + REST
            case Fate.STALL:
                if retry == 5:
                    calls.tally.end(Tier.NONE, now - began)
                    return
        now = yield calls.jitter(retry)
        retry += fate is Fate.STALL


def fallback(calls: Calls, call: int, now: float) -> Steps:
    began = now
    for number, (target, timeout) in enumerate(((Target.PRIMARY, 2.25), (Target.PEER, 30.0)), 1):
        fate, now = yield from calls.attempt(target, call, number, now, timeout=timeout, cut_billed=True)
        if fate is Fate.ANSWER:
            calls.tally.end(Tier.FULL, now - began, target)
            return
    calls.tally.end(Tier.NONE, now - began)


@dataclass(frozen=True, slots=True)
class Printed:
    """What the table says of a policy."""

    failure: float  # share of the calls
    p95: float  # seconds
    cost: float  # dollars
    failures: tuple[float, float]  # the range of the failures' share over seeds, where it was modelled first

    def shown(self) -> tuple[str, str, str]:
        """As it was printed: per cent, seconds, dollars."""
        return f"{100 * self.failure:g}", f"{self.p95:g}", f"{self.cost:g}"


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    told: str  # in one sentence, for people
    steps: Callable[[Calls, int, float], Steps]
    printed: Printed

    def run(self, day: Day) -> Tally:
        calls = Calls(day, Tally(), Random(f"{day.seed} jitter"))  # noqa: S311  # repeatable, not secret
        play(day.arrivals, lambda call, now: self.steps(calls, call, now))
        return calls.tally


POLICIES = (
    Policy(
        "no-retry",
        "one try, 30 s of patience",
        no_retry,
        Printed(0.072, 1.8, 142, (0.0672, 0.0793)),
    ),
    Policy(
        "fixed",
        "3 retries, 1 s apart; a try is cut after 6.9 s",
        fixed,
        Printed(0.021, 8.4, 158, (0.0133, 0.0278)),
    ),
    Policy(
        "exponential",
        "5 retries with full jitter; a try is cut after 4.05 s",
        exponential,
        Printed(0.018, 4.7, 161, (0.0108, 0.0250)),
    ),
    Policy(
        "breaker",
        "the same, cut after 2.15 s; 3 refusals open a breaker for 2 s, behind which calls wait up to 92 s",
        breaker,
        Printed(0.003, 3.2, 165, (0.0008, 0.0035)),
    ),
    Policy(
        "fallback",
        "one try, cut after 2.25 s, then the peer",
        fallback,
        Printed(0.0002, 2.9, 178, (0.00010, 0.00022)),
    ),
)


def play(arrivals: Sequence[float], steps: Callable[[int, float], Steps]) -> None:
    """Run all calls to their ends, in the order of time."""
    waiting: list[tuple[float, int, Steps | None]] = [(at, call, None) for call, at in enumerate(arrivals)]
    heapify(waiting)
    while waiting:
        now, call, running = heappop(waiting)
        try:
            if running is None:
                running = steps(call, now)
                pause = next(running)
            else:
                pause = running.send(now)
        except StopIteration:
            continue
        heappush(waiting, (now + pause, call, running))
