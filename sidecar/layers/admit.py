"""Admit: takes on only as many calls as the sidecar can carry, and says no at once to the rest.

What it takes on it can also end: when the pod goes, a call waits no longer than the pod lives.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from sidecar.core.admission import Admission
from sidecar.events import (
    Shed,
    Tell,
)
from sidecar.model import (
    Call,
    Fault,
    Outcome,
    Refused,
    RefusedBy,
    Service,
    Sink,
)


@dataclass(frozen=True, slots=True)
class Admit:
    inner: Service
    admission: Admission
    tell: Tell

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        with self.admission.slot() as taken:
            if taken:
                deadline = self.admission.deadline(call.arrived, call.deadline)
                if deadline < call.deadline:
                    call = replace(call, deadline=deadline)
                return await self.inner(call, sink)
        self.tell(Shed(call, "concurrency"))
        return Refused(RefusedBy.ADMISSION, fault=Fault.LOCAL_OVERLOAD, detail="too many calls in flight")
