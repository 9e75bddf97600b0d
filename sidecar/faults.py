"""The taxonomy as one table: what each fault allows, whom it is charged to, who is told.

`again`      the same target may be asked again (R4); the wait is the provider's or our backoff
`elsewhere`  another target may be asked (R13)
`charge`     what one such attempt says about the target (R9): BAD counts against its breaker;
             NEUTRAL touches no count, because it is the caller's fault, a limit or our own doing
`suspect`    the request itself may be the cause: if the next target repeats it for the same
             request, the first target's sample is charged to the request
`alert`      somebody has to act: a quota, a bill, a key, a model that is gone (R2)
`hold`       how long later calls in the verdict's scope are refused when the provider named no
             time, in seconds; 0: not at all. A wait the provider named is held for any class
             that has `waits`, at most HOLD_CAP.
`status`     what the client is told where the provider's own answer cannot be passed on

Why a timeout is not asked again: whoever was silent for a whole limit is left; the same wait
again would cost the next target its time. A lonely target gets one more try (R6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from sidecar.model import Failed, Fault, Scope

HOLD_CAP = 600.0


class Charge(StrEnum):
    GOOD = "good"
    BAD = "bad"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Handling:
    again: bool
    elsewhere: bool
    charge: Charge
    status: int
    scope: Scope = Scope.REQUEST
    suspect: bool = False
    alert: bool = False
    waits: bool = False
    hold: float = 0.0


_BAD, _NEUTRAL, _GOOD = Charge.BAD, Charge.NEUTRAL, Charge.GOOD


def _limit(
    *, again: bool = True, hold: float = 0.0, alert: bool = False, scope: Scope = Scope.MODEL
) -> Handling:
    return Handling(
        again=again,
        elsewhere=True,
        charge=_NEUTRAL,
        status=429,
        scope=scope,
        alert=alert,
        waits=True,
        hold=hold,
    )


def _verdict(status: int, scope: Scope) -> Handling:
    """A quota, a bill, a key: no retry helps, somebody has to act, it holds for ten minutes."""
    return Handling(
        again=False,
        elsewhere=True,
        charge=_NEUTRAL,
        status=status,
        scope=scope,
        alert=True,
        waits=True,
        hold=HOLD_CAP,
    )


def _target(
    status: int, *, again: bool = True, suspect: bool = False, scope: Scope = Scope.MODEL
) -> Handling:
    return Handling(
        again=again, elsewhere=True, charge=_BAD, status=status, scope=scope, suspect=suspect, waits=True
    )


def _caller(status: int, *, elsewhere: bool = False) -> Handling:
    return Handling(again=False, elsewhere=elsewhere, charge=_NEUTRAL, status=status)


def _quality(*, again: bool = True) -> Handling:
    # the exchange itself went well: the quality breaker counts it, the target's own does not
    return Handling(again=again, elsewhere=True, charge=_GOOD, status=502, suspect=True)


HANDLING: Mapping[Fault, Handling] = {
    Fault.RATE_LIMIT_RPM: _limit(hold=5.0),
    Fault.RATE_LIMIT_TPM: _limit(hold=5.0),
    Fault.RATE_LIMIT_CONCURRENCY: _limit(hold=2.0),
    Fault.RATE_LIMIT_ACCELERATION: _limit(hold=10.0),
    Fault.RATE_LIMIT_UNKNOWN: _limit(hold=10.0),
    Fault.RATE_LIMIT_DAILY: _limit(again=False, hold=HOLD_CAP, alert=True),
    # this request alone is larger than the limit: waiting never helps it, others may pass
    Fault.RATE_LIMIT_REQUEST_TOO_LARGE: Handling(again=False, elsewhere=True, charge=_NEUTRAL, status=429),
    Fault.QUOTA_EXHAUSTED: _verdict(429, Scope.KEY),
    Fault.ORG_LIMIT: _verdict(429, Scope.KEY),
    Fault.BILLING: _verdict(402, Scope.KEY),
    Fault.AUTH: _verdict(401, Scope.KEY),
    Fault.PERMISSION: _verdict(403, Scope.MODEL),
    Fault.REGION_BLOCKED: _verdict(403, Scope.PROVIDER),
    Fault.MODEL_GONE: _verdict(404, Scope.MODEL),
    Fault.NOT_FOUND: _caller(404, elsewhere=True),
    Fault.OVERLOADED: _target(503),
    Fault.SERVER_ERROR: _target(502, suspect=True),
    Fault.MODEL_LOADING: Handling(
        again=True, elsewhere=True, charge=_NEUTRAL, status=503, scope=Scope.MODEL, waits=True
    ),
    Fault.TIMEOUT: _target(504, again=False, suspect=True),
    Fault.TTFT_TIMEOUT: _target(504, again=False, suspect=True),
    Fault.STREAM_STALL: _target(504, again=False, suspect=True),
    Fault.STREAM_CUT: _target(502, suspect=True),
    Fault.MALFORMED_CHUNK: _target(502, suspect=True),
    Fault.NETWORK: _target(502, scope=Scope.PROVIDER),
    Fault.TLS: Handling(
        again=False, elsewhere=True, charge=_BAD, status=502, scope=Scope.PROVIDER, alert=True
    ),
    Fault.CONTEXT_WINDOW: _caller(400, elsewhere=True),
    Fault.CONTENT_POLICY: _caller(400),
    Fault.REFUSAL: _caller(200),
    Fault.INVALID_REQUEST: _caller(400),
    Fault.REQUEST_TOO_LARGE: _caller(413),
    Fault.UNSUPPORTED_PARAMETER: _caller(400),
    Fault.CAPABILITY_MISMATCH: _caller(400, elsewhere=True),
    Fault.CONFLICT: Handling(again=True, elsewhere=False, charge=_NEUTRAL, status=409),
    Fault.EMPTY_OUTPUT: _quality(),
    Fault.TRUNCATED_OUTPUT: _quality(again=False),
    Fault.MALFORMED_TOOL_CALL: _quality(),
    Fault.STRUCTURED_OUTPUT_FAILED: _quality(),
    Fault.LOW_QUALITY: _quality(again=False),
    Fault.CLIENT_CANCELLED: Handling(again=False, elsewhere=False, charge=_NEUTRAL, status=499),
    Fault.LOCAL_OVERLOAD: Handling(again=False, elsewhere=True, charge=_NEUTRAL, status=503),
    Fault.UNKNOWN: Handling(again=False, elsewhere=True, charge=_BAD, status=502, suspect=True),
    # not failures: they have rows so that every class has one
    Fault.KEEPALIVE: Handling(again=False, elsewhere=False, charge=_NEUTRAL, status=200),
    Fault.OK_NO_DONE: Handling(again=False, elsewhere=False, charge=_GOOD, status=200),
}

# The application's own key: its refusal is the application's affair, its bytes go back to it.
OWN_KEY = Handling(again=False, elsewhere=False, charge=_NEUTRAL, status=401)


def handling(failed: Failed, *, own_key: bool) -> Handling:
    """The table's row for one failure; `own_key`: it was met with the application's own key."""
    if own_key and failed.fault in (Fault.AUTH, Fault.PERMISSION):
        return OWN_KEY
    row = HANDLING[failed.fault]
    if failed.again is None or failed.again is row.again:
        return row
    return replace(row, again=failed.again)


def forbidden(failed: Failed) -> bool:
    """The provider itself says that asking again is no use; what it says cannot grant a retry."""
    return failed.head is not None and failed.head.get(b"x-should-retry") == b"false"
