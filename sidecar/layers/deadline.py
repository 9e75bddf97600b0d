"""Deadline: bounds the waiting for an answer, not the answer [R6].

A call that has no content at its deadline ends there. Once content arrives it lives on, until
its own gaps (the Judge sees to those) or the cap for whole streams. `GRACE` lets the limits of an
attempt, which end at the deadline too, fire first: so the target that was silent is sampled.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.layers.limit import Limit
from sidecar.model import Call, Failed, Fault, Outcome, Service, Sink, Stage
from sidecar.settings import Limits

GRACE = 0.05


@dataclass(frozen=True, slots=True)
class Deadline:
    inner: Service
    limits: Limits

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        def due() -> float:
            longest = call.arrived + self.limits.total
            if sink.stage is Stage.COMMITTED:
                return max(call.deadline, longest)
            if call.record.answering:  # held, so the client waits in silence and may lose patience
                return max(call.deadline, min(longest, call.arrived + call.patience))
            return call.deadline + GRACE

        try:
            with Limit(due):
                return await self.inner(call, sink)
        except TimeoutError:
            return Failed(Fault.TIMEOUT, detail="the call's deadline is over")
