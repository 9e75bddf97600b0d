"""Confine: where a route's calls may not go they do not go, whatever fails [R13a].

The boundary is drawn three times. Configuration does not load with a target outside of it. A target that
is outside all the same is not asked. And this is the last look before the wire, below everything that
retries, falls back, hedges, goes on or translates: it asks the target itself where it is, and nobody above.

`Fence` is the same for what passes the policy by: unknown paths, encoded bodies, all calls while the bypass
is on, a call after a bug of ours. Those go to the provider that the client named, which need not be one
that their route would have asked. Of a call that was routed the route is known; of any other that is
forbidden which is forbidden to a route that it may be of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sidecar.model import Call, Outcome, Refused, RefusedBy, Service, Sink
from sidecar.settings import Boundary, Route


@dataclass(frozen=True, slots=True)
class Confine:
    inner: Service
    allow: Boundary

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        assert call.target is not None
        outside = self.allow.outside(call.target.provider)
        if outside:
            return _refused(f"{call.target.name} is outside of what route {call.route} allows: {outside}")
        return await self.inner(call, sink)


@dataclass(frozen=True, slots=True)
class Fence:
    inner: Service
    barred: Callable[[Call], Route | None]  # the route that forbids the target to this call

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        assert call.target is not None
        route = self.barred(call)
        if route is not None:
            where = call.target.provider
            return _refused(
                f"{where.name} is outside of what route {route.name} allows: {route.allow.outside(where)}"
            )
        return await self.inner(call, sink)


def _refused(detail: str) -> Refused:
    return Refused(RefusedBy.NOT_ALLOWED, detail=detail, reason="boundary")
