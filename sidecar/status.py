"""What a pod without a dashboard can tell: how providers did lately, and what was decided last.

Everything here is of fixed size: five minutes and the one that runs, and the last twenty decisions.
It also says how late the event loop runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sidecar.core import bill
from sidecar.events import (
    AttemptEnded,
    BreakerMoved,
    BudgetMoved,
    Bug,
    Bypassed,
    CallEnded,
    Continued,
    Degraded,
    Drilled,
    Event,
    FellBack,
    Judged,
    OperatorAlert,
    Overridden,
    PodEnds,
    Pressed,
    Queued,
    Reloaded,
    RetryDenied,
    Shadowed,
    Shed,
    WouldOpen,
)
from sidecar.model import (
    Clock,
)
from sidecar.telemetry import logs, words

_SLICES = 5
_WIDTH = 60.0  # seconds
_MONEY, _TIERS = "$", "#"  # no provider's name
_DECISIONS = (
    Shadowed,
    Drilled,
    FellBack,
    Continued,
    BreakerMoved,
    Judged,
    WouldOpen,
    OperatorAlert,
    Degraded,
    RetryDenied,
    Shed,
    Reloaded,
    Overridden,
    Bypassed,
    Pressed,
    BudgetMoved,
    PodEnds,
    Queued,
    Bug,
)


@dataclass(slots=True)
class Status:
    """`note` every event; `view` is safe to show: it says what the logs may say."""

    clock: Clock
    _decisions: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=20))
    _slices: deque[tuple[int, dict[tuple[str, str], int]]] = field(
        default_factory=lambda: deque(maxlen=_SLICES + 1)
    )

    def note(self, event: Event) -> None:
        if isinstance(event, AttemptEnded):
            own = words.own_key(event.call)
            self._count(event.attempt.provider, words.went(event.attempt.outcome, own_key=own))
        elif isinstance(event, CallEnded):
            self._count("", words.ended(event.outcome))
            self._count(_TIERS, words.tier(event.outcome))
            for attempt in event.call.record.attempts:
                if attempt.cost is not None and attempt.purpose is not None and attempt.cost.pico:
                    self._count(_MONEY, attempt.purpose, attempt.cost.pico)
        elif isinstance(event, _DECISIONS):
            self._decide(event)

    def _decide(self, event: Event) -> None:
        what, fields = logs.describe(event)
        which = {key: fields[key] for key in ("call", "trace") if fields.get(key)}
        shown = {k: v for k, v in fields.items() if k not in which and v not in ("", None)}
        last = self._decisions[-1] if self._decisions else {}
        times = 1
        if shown == last.get("what") and what == last.get("event"):
            times += self._decisions.pop()["times"]  # a storm is one line, not the whole list
        at = round(self.clock.wall(), 3)
        self._decisions.append({"at": at, "event": what, "times": times, **which, "what": shown})

    def view(self) -> dict[str, Any]:
        counts: dict[str, dict[str, int]] = {}
        oldest = self._slice() - _SLICES
        for number, tally in self._slices:
            if number >= oldest:
                for (who, word), count in tally.items():
                    ours = counts.setdefault(who, {})
                    ours[word] = ours.get(word, 0) + count
        calls, money, tiers = counts.pop("", {}), counts.pop(_MONEY, {}), counts.pop(_TIERS, {})
        return {
            "window_seconds": int(_SLICES * _WIDTH),
            "calls": calls,
            "tiers": tiers,
            "dollars": {purpose: bill.dollars(pico) for purpose, pico in sorted(money.items())},
            "providers": {who: counts[who] for who in sorted(counts)},
            "decisions": list(reversed(self._decisions)),
        }

    def _slice(self) -> int:
        return int(self.clock.now() // _WIDTH)

    def _count(self, who: str, word: str, amount: int = 1) -> None:
        number = self._slice()
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append((number, {}))
        tally = self._slices[-1][1]
        tally[who, word] = tally.get((who, word), 0) + amount


@dataclass(slots=True)
class Longest:
    """The longest of what was seen in the last minute, whoever reads it and how often."""

    _slots: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=6))

    def add(self, value: float, now: float) -> float:
        slot = int(now // 10)
        if self._slots and self._slots[-1][0] == slot:
            value = max(value, self._slots.pop()[1])
        self._slots.append((slot, value))
        return max(seen for number, seen in self._slots if number > slot - 6)


async def watch_lag(clock: Clock, set_lag: Callable[[float], None], *, every: float = 0.1) -> None:
    """Runs until cancelled; sets the longest delay of the event loop in the last minute, in seconds."""
    longest = Longest()
    while True:
        before = clock.now()
        await clock.sleep(every)
        now = clock.now()
        set_lag(longest.add(max(0.0, now - before - every), now))
