"""A fault that is played on purpose: what it says, who may ask for it, and when it is over.

A drill is bounded in share and in time, whoever asks for it. Configuration names it on a route; a request
may name one for itself, signed with a key that only the operator has, for an hour at the most:

    fault=overloaded; target=openai; until=2026-11-28T22:00:00+00:00; sig=<hex>

The signature is HMAC-SHA256 (RFC 2104) of what stands before "; sig=".
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta

from sidecar.model import Drill

LONGEST = timedelta(hours=1)  # that a request can ask for
FAULTS = ("network", "overloaded", "server_error", "rate_limit_rpm", "timeout", "stream_cut")
_SIGNED = "; sig="


def ends(until: str) -> float | None:
    """Unix time of an ISO 8601 time with its zone; None: it is none."""
    try:
        moment = datetime.fromisoformat(until)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def written(drill: Drill, key: str) -> str:
    """As the value of a header."""
    target = f"; target={drill.target}" if drill.target else ""
    said = f"fault={drill.fault}{target}; until={drill.until}"
    return f"{said}{_SIGNED}{_signature(said, key)}"


def read(value: str, key: str, wall: float) -> Drill | str:
    """What a request asks for, or why it may not, for people; the reason quotes nothing."""
    said, signed, signature = value.rpartition(_SIGNED)
    if not signed or not hmac.compare_digest(_signature(said, key).encode(), signature.strip().encode()):
        return "has no valid signature; make one with llm-sidecar drill"
    words = dict(part.strip().partition("=")[::2] for part in said.split(";"))
    if words.keys() - {"fault", "target", "until"} or words.get("fault") not in FAULTS:
        return f"names no fault that can be played: {', '.join(FAULTS)}"
    until = ends(words.get("until", ""))
    if until is None or until < wall:
        return "is over, or says no time at which it ends"
    if until > wall + LONGEST.total_seconds():
        return "lasts longer than an hour"
    return Drill(fault=words["fault"], share=1.0, target=words.get("target", ""), until=words["until"])


def moment(wall: float, minutes: float) -> str:
    """So many minutes from now, as `until` wants it."""
    return datetime.fromtimestamp(wall + 60 * minutes, UTC).isoformat(timespec="seconds")


def _signature(said: str, key: str) -> str:
    return hmac.new(key.encode(), said.encode(), "sha256").hexdigest()
