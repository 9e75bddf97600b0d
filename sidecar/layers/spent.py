"""Spent: refuses calls while the pod's money for this hour is spent, where the route says so [R25].

Inside Degrade, so that a static answer can stand in: it costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.core.spend import Level, Spend
from sidecar.model import Call, Clock, Outcome, Refused, RefusedBy, Service, Sink


@dataclass(frozen=True, slots=True)
class Spent:
    inner: Service
    spend: Spend
    clock: Clock

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        now = self.clock.now()
        if self.spend.level(now) is Level.OVER:
            return Refused(RefusedBy.COST_BUDGET, self.spend.until(now))
        return await self.inner(call, sink)
