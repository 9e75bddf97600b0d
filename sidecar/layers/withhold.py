"""Withhold: nobody is asked, because an operator's override took every target away."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.model import Call, Fault, Outcome, Refused, RefusedBy, Sink


@dataclass(frozen=True, slots=True)
class Withhold:
    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        return Refused(RefusedBy.BREAKER, fault=Fault.OVERLOADED, detail="an operator's override is on")
