"""What providers told us to wait for, remembered for everybody it concerns.

A limit, a used-up quota or a refused key is not a matter of one call: it holds for its scope
(model, key, provider), for the time the provider named or the table's `hold`, at most ten
minutes. Until then later calls are refused without being sent and without a breaker sample.

A verdict without a time of its own (a quota, a key) may be cured by a human at any moment, so a
call that has nowhere else to go is let through once every `RECHECK` seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from sidecar.faults import HANDLING, HOLD_CAP
from sidecar.model import Failed, Fault, Scope

RECHECK = 30.0
KEPT = 1024  # scopes remembered; the oldest go first

Key = tuple[str, ...]


@dataclass(slots=True)
class Hold:
    until: float
    fault: Fault
    named: bool  # the provider named the time
    recheck: float  # when a lonely call may ask again before `until`
    since: float = 0.0
    heard: bool = False  # from another pod


@dataclass(slots=True)
class Waits:
    _holds: OrderedDict[Key, Hold] = field(default_factory=OrderedDict)

    def remember(
        self, failed: Failed, now: float, *, provider: str, model: str, digest: str, final: bool
    ) -> None:
        """Keep what `failed` says about later calls. `final`: its call asks this target no more,
        so the table's own hold applies where the provider named no time."""
        handling = HANDLING[failed.fault]
        if not handling.waits:
            return
        seconds = failed.wait if failed.wait is not None else (handling.hold if final else 0.0)
        if seconds <= 0:
            return
        key = _key(failed.scope, provider, model, digest)
        if key is None:
            return
        until = now + min(seconds, HOLD_CAP)
        known = self._holds.pop(key, None)
        if known is not None and known.until > until:
            known.recheck = now + RECHECK
            known.since = now
            self._holds[key] = known
            return
        self._holds[key] = Hold(until, failed.fault, failed.wait is not None, now + RECHECK, now)
        while len(self._holds) > KEPT:
            self._holds.popitem(last=False)

    def advise(self, key: Key, seconds: float, fault: Fault, now: float, *, named: bool) -> bool:
        """Another pod was told to wait. False: that is known, or over."""
        until = now + min(seconds, HOLD_CAP)
        known = self._holds.get(key)
        if seconds <= 0 or (known is not None and known.until > until - 1.0):
            return False
        self._holds[key] = Hold(until, fault, named, now + RECHECK, now, heard=True)
        self._holds.move_to_end(key)
        while len(self._holds) > KEPT:
            self._holds.popitem(last=False)
        return True

    def news(self, since: float) -> list[tuple[Key, Hold]]:
        """What this pod itself was told after `since`."""
        return [(key, hold) for key, hold in self._holds.items() if hold.since > since and not hold.heard]

    def refusal(
        self, now: float, *, provider: str, model: str, digest: str, insist: bool = False
    ) -> Hold | None:
        """The longest hold on this way, or None: ask."""
        if not self._holds:
            return None
        longest: Hold | None = None
        for scope in (Scope.MODEL, Scope.KEY, Scope.PROVIDER):
            key = _key(scope, provider, model, digest)
            hold = self._holds.get(key) if key else None
            if hold is None or key is None:
                continue
            if hold.until <= now + 1e-6:
                del self._holds[key]
            elif longest is None or hold.until > longest.until:
                longest = hold
        if longest is not None and insist and not longest.named and now >= longest.recheck:
            longest.recheck = now + RECHECK
            return None
        return longest

    def forget(self, asked: float, *, provider: str, model: str, digest: str) -> None:
        """An attempt begun at `asked` was answered: what was held before that is over."""
        if not self._holds:
            return
        for scope in (Scope.MODEL, Scope.KEY, Scope.PROVIDER):
            key = _key(scope, provider, model, digest)
            if key and key in self._holds and self._holds[key].since <= asked:
                del self._holds[key]


def _key(scope: Scope, provider: str, model: str, digest: str) -> Key | None:
    match scope:
        case Scope.REQUEST:
            return None
        case Scope.MODEL:
            return ("model", provider, model, digest)
        case Scope.KEY:
            return ("key", provider, digest)
        case Scope.PROVIDER | Scope.REGION:
            return ("provider", provider)
