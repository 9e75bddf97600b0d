"""Cap: a further attempt that could make a call too dear is not made [R25].

Outside the Retry, which asks the same question before it waits: a target is skipped before anything is
done for it. The first attempt of a call is never skipped, whatever it may cost: a cap is a bound on
detours, not on answers. Neither is a target whose price nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sidecar.model import Call, Outcome, Refused, RefusedBy, Service, Sink

Affords = Callable[[Call], bool]  # may its target be asked (again)?


@dataclass(frozen=True, slots=True)
class Cap:
    inner: Service
    affords: Affords

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        if not self.affords(call):
            return Refused(RefusedBy.COST_CAP)
        return await self.inner(call, sink)
