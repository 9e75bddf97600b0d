"""Defer: when nobody answers and nobody is waiting, the call is kept and asked for later [R22].

Outermost, so that everything better comes first: an answer, a rejected answer that is the best there
was, a prepared one. What is left is a failure, and for a call of class background that time may heal
the better word is a receipt: 202, a job's id, and where to ask. The receipt is written when the call
is on disk and not before. Where it cannot be kept the client gets the failure that it would have got.

`x-llm-sidecar-defer` says it for one call: on and off, whatever its class; always, to be stored at
once without asking anybody.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from sidecar.core.jobs import Declined, Receipt, heals
from sidecar.core.receipt import waiting
from sidecar.model import (
    Answered,
    Call,
    Chunk,
    Fault,
    Outcome,
    Refused,
    RefusedBy,
    Service,
    Sink,
    Stage,
    Tier,
    Traffic,
)
from sidecar.settings import Deferral


class Offer(Protocol):
    def __call__(self, call: Call, rules: Deferral, reason: str, /) -> Awaitable[Receipt | Declined]:
        """Keeps the call; what is returned is on disk. Declined has been told."""


@dataclass(frozen=True, slots=True)
class Defer:
    inner: Service
    rules: Deferral
    offer: Offer

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        wish = call.options.defer
        if wish == "off" or (not wish and call.traffic is not Traffic.BACKGROUND):
            return await self.inner(call, sink)
        outcome: Outcome
        if wish == "always":
            outcome = Refused(
                RefusedBy.ADMISSION, fault=Fault.LOCAL_OVERLOAD, detail="the call could not be stored"
            )
            reason = "asked"
        else:
            outcome = await self.inner(call, sink)
            if sink.stage is not Stage.UNTOUCHED or isinstance(outcome, Answered) or not heals(outcome):
                return outcome
            reason = outcome.by.value if isinstance(outcome, Refused) else outcome.fault.value
        receipt = await self.offer(call, self.rules, reason)
        if isinstance(receipt, Declined):
            return outcome
        head, body = waiting(receipt, reason)
        await sink.start(head)
        await sink.send(Chunk(body))
        return Answered(head.status, tier=Tier.DEFERRED)
