"""The few words telemetry uses for what became of attempts and calls, as functions of values.

An attempt is success, provider_error, timeout, throttled, quality, caller_error or cancelled; a
call is success, error, client_error or cancelled. Both follow from the outcome and the taxonomy's
table; nothing here knows a metric or a log line.

Whose fault a refused key is depends on whose key it was: with the application's own it is the
caller's, with a configured one it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import assert_never

from sidecar.core import bill
from sidecar.events import Continued
from sidecar.faults import Charge, handling
from sidecar.model import (
    Answered,
    Attempt,
    Call,
    Cost,
    Failed,
    Fault,
    Finding,
    Kind,
    Loss,
    Outcome,
    Refused,
    Target,
    Tier,
)


class Went(StrEnum):
    """How an attempt went."""

    SUCCESS = "success"
    PROVIDER_ERROR = "provider_error"
    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    QUALITY = "quality"
    CALLER_ERROR = "caller_error"
    CANCELLED = "cancelled"


class Ended(StrEnum):
    """What the application got."""

    SUCCESS = "success"
    ERROR = "error"
    CLIENT_ERROR = "client_error"
    CANCELLED = "cancelled"


class Path(StrEnum):
    """How a call came to its end."""

    DIRECT = "direct"
    RETRY = "retry"
    FALLBACK = "fallback"
    HEDGE = "hedge"  # somebody was asked beside a slow one
    CACHE = "cache"
    DEGRADED = "degraded"


INTERRUPTED = frozenset({Fault.STREAM_STALL, Fault.STREAM_CUT, Fault.MALFORMED_CHUNK})
_NAME = re.compile(r"[\w./:@+~-]+( [\w./:@+~-]+){0,3}", re.ASCII)
LOOKS_LIKE_A_KEY = re.compile(
    r"(?:sk|pk|rk|gsk|xai|pplx|hf|ghp|gho|ghs|glpat|nvapi|npm|AIza|AKIA|ASIA|ya29|xox[abeoprs]|Bearer|eyJ)"
    r"[-_.A-Za-z0-9]{16,}"
    r"|\b(?i:bearer)[\s:]+[^\s\"',;]{6,}"
    # no name is so long in one piece, of all three kinds of characters
    r"|(?<!\w)(?=[A-Za-z_]{0,60}[0-9])(?=[a-z0-9_]{0,60}[A-Z])(?=[A-Z0-9_]{0,60}[a-z])[A-Za-z0-9_]{40,}"
)
_FIELD = re.compile(r"[A-Za-z_]\w{0,39}(?:\[\d{1,6}\]|\.\w{1,40}){0,12}", re.ASCII)  # messages[3].name
MOST_LOSSES = 24  # shown of one attempt
_INTRODUCED = re.compile(r"\b(?:bearer|basic|negotiate|token|key)[ :]+\S{6,}", re.IGNORECASE)
_ANSWER_OF_OURS = frozenset({Tier.CACHED, Tier.STATIC, Tier.DEFERRED})


def _failure_went(failed: Failed, *, own_key: bool) -> Went:
    fault, row = failed.fault, handling(failed, own_key=own_key)
    if fault in (Fault.CLIENT_CANCELLED, Fault.LOCAL_OVERLOAD):
        return Went.CANCELLED  # ended on our side: it says nothing about the provider
    if fault is Fault.REFUSAL:
        return Went.QUALITY
    if row.status == 200:
        return Went.SUCCESS
    if row.charge is Charge.GOOD:
        return Went.QUALITY
    if row.status == 429:
        return Went.THROTTLED
    if row.status == 504:
        return Went.TIMEOUT
    if row.status >= 500 or row.alert:
        return Went.PROVIDER_ERROR
    return Went.CALLER_ERROR


def _status_went(status: int) -> Went:
    """Of an error that was only passed on: nobody classified it."""
    if status == 429:
        return Went.THROTTLED
    return Went.PROVIDER_ERROR if status >= 500 else Went.CALLER_ERROR


def went(outcome: Outcome | None, *, own_key: bool = False) -> Went:
    match outcome:
        case Answered(status=status):
            return Went.SUCCESS if status < 400 else _status_went(status)
        case Failed():
            return _failure_went(outcome, own_key=own_key)
        case Refused() | None:
            return Went.CANCELLED
        case _:
            assert_never(outcome)


def error_type(outcome: Outcome | None) -> str:
    """The fault's name; empty on success."""
    match outcome:
        case Answered(status=status):
            return "" if status < 400 else Fault.UNKNOWN.value
        case Failed(fault=fault) | Refused(fault=fault):
            return fault.value
        case None:
            return Fault.CLIENT_CANCELLED.value
        case _:
            assert_never(outcome)


def fault_of(attempt: Attempt) -> str:
    """As error_type; losing a race is none."""
    return "" if attempt.lost_race and attempt.outcome is None else error_type(attempt.outcome)


def ended(outcome: Outcome | None, *, own_key: bool = False) -> Ended:
    match outcome:
        case Answered(status=status) if status < 400:
            return Ended.SUCCESS
        case Refused() | Failed(fault=Fault.LOCAL_OVERLOAD):
            return Ended.ERROR
        case Answered() | Failed() | None:
            return _ENDED[went(outcome, own_key=own_key)]
        case _:
            assert_never(outcome)


_ENDED = {
    Went.SUCCESS: Ended.SUCCESS,
    Went.PROVIDER_ERROR: Ended.ERROR,
    Went.TIMEOUT: Ended.ERROR,
    Went.THROTTLED: Ended.ERROR,
    Went.QUALITY: Ended.ERROR,
    Went.CALLER_ERROR: Ended.CLIENT_ERROR,
    Went.CANCELLED: Ended.CANCELLED,
}


def tier(outcome: Outcome | None) -> Tier:
    return outcome.tier if isinstance(outcome, Answered) and outcome.status < 400 else Tier.NONE


def path(attempts: Iterable[Attempt], outcome: Outcome | None) -> Path:
    """How it was done, with or without success; degraded is an answer without a provider,
    cache one that a route wanted to be given again."""
    if isinstance(outcome, Answered) and outcome.cached:
        return Path.CACHE
    if tier(outcome) in _ANSWER_OF_OURS:
        return Path.DEGRADED
    found = Path.DIRECT
    for attempt in attempts:
        if attempt.kind is Kind.FALLBACK or attempt.kind is Kind.CONTINUATION:
            return Path.FALLBACK
        if attempt.kind is Kind.HEDGE:
            found = Path.HEDGE
        elif attempt.kind is Kind.RETRY and found is Path.DIRECT:
            found = Path.RETRY
    return found


def continued(event: Continued) -> str:
    """What became of a stream that broke off."""
    if event.to is None:
        return "nobody"
    return "whole" if event.whole else "cut"


def overhead(call: Call, end: float) -> float | None:
    """The part of a call's seconds that was ours; None where an attempt has no end."""
    spent = call.record.waited + call.record.client_blocked
    known = call.arrived
    for attempt in call.record.attempts:
        if attempt.ended is None:
            return None
        if attempt.ended > known:  # two may have run at the same time
            spent += attempt.ended - max(attempt.started, known)
            known = attempt.ended
    return max(0.0, end - call.arrived - spent)


def served(attempts: list[Attempt], outcome: Outcome | None) -> Attempt | None:
    """Whose answer the application got."""
    if not isinstance(outcome, Answered) or outcome.status >= 400:
        return None
    return bill.shown(attempts, outcome, committed=True)


def findings(outcome: Outcome | None) -> tuple[Finding, ...]:
    return outcome.findings if isinstance(outcome, Answered | Failed) else ()


def model_of(target: Target, call: Call) -> str:
    return target.model or call.ask.model


def provider_of(call: Call) -> str:
    return call.target.provider.name if call.target is not None else call.provider


def own_key(call: Call) -> bool:
    """Of an attempt's copy: did it go out with the application's own key?"""
    return call.target is not None and call.target.credential is None


def lost(losses: Iterable[Loss]) -> tuple[str, ...]:
    """As spans and logs show them, "seed;dropped"; a field whose name is more than a name has none."""
    told = [f"{loss.field if _is_field(loss.field) else '(field)'};{loss.how}" for loss in losses]
    rest = len(told) - MOST_LOSSES
    return (*told[:MOST_LOSSES], f"and {rest} more") if rest > 0 else tuple(told)


def _is_field(path: str) -> bool:
    return len(path) <= 100 and _FIELD.fullmatch(path) is not None and not LOOKS_LIKE_A_KEY.search(path)


def dollars(cost: Cost | None) -> float | None:
    """Of a cost that is known."""
    return None if cost is None or cost.pico is None else bill.dollars(cost.pico)


def spent(attempts: Iterable[Attempt]) -> float | None:
    """Dollars of a whole call, as far as they are known."""
    amount = bill.total(attempts)
    return None if amount is None else bill.dollars(amount)


def guessed(attempts: Iterable[Attempt]) -> bool:
    """Is any of it an estimate?"""
    return any(one.cost is not None and one.cost.estimated for one in attempts)


def is_name(value: str) -> bool:
    """Clients choose model names and providers choose ids: is this no more than a name?"""
    return len(value) <= 100 and _is_name(value)


@lru_cache(maxsize=1024)  # the same few models, call after call
def _is_name(value: str) -> bool:
    if _NAME.fullmatch(value) is None:
        return False
    return not (LOOKS_LIKE_A_KEY.search(value) or _INTRODUCED.search(value))


def ignored(header: str, meant: str) -> str:
    return f"{header} is no header of ours" + (f", did you mean {meant}?" if meant else "")
