"""Degrade: what the application gets when nobody gave a good answer [R19, R21].

Outside Deadline and Admit, so that a call whose time is spent or that was shed still gets it. In
order: an answer that was rejected for its quality, if it is the best there was (tier reduced); the
route's static answer (tier static); else the failure itself. Every degraded answer is labelled in
the head and, where the dialect allows it, in the body; none is counted as a full success.
A strict route would rather have the error than a rejected answer.

Not for the application's own mistakes: an invalid request has to be seen, not papered over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from sidecar.dialects.base import Dialect
from sidecar.events import (
    Degraded,
    Tell,
)
from sidecar.faults import HANDLING
from sidecar.model import (
    Answered,
    Call,
    Chunk,
    Failed,
    Fault,
    Head,
    Outcome,
    Refused,
    Service,
    Sink,
    Stage,
    Tier,
)
from sidecar.settings import StaticAnswer
from sidecar.signals.judging import Schemas

TIER = b"x-llm-sidecar-tier"
SERVED_BY = b"x-llm-sidecar-served-by"
LABEL = b"x-llm-sidecar-degraded"


@dataclass(frozen=True, slots=True)
class Degrade:
    inner: Service
    static: StaticAnswer | None
    strict: bool
    dialects: Mapping[str, Dialect]
    schemas: Schemas
    tell: Tell

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        outcome = await self.inner(call, sink)
        if isinstance(outcome, Answered) or sink.stage is Stage.COMMITTED:
            return outcome
        if isinstance(outcome, Refused) and outcome.final:  # an error is what the route wants here
            return outcome
        head = outcome.head if isinstance(outcome, Failed) else None
        body = outcome.body if isinstance(outcome, Failed) else b""
        rejected = head is not None and head.status < 300 and bool(body)
        if rejected and self.strict:  # its bytes are nobody's any more
            assert isinstance(outcome, Failed)
            outcome, rejected = replace(outcome, head=None, body=b""), False
        empty = isinstance(outcome, Failed) and outcome.fault is Fault.EMPTY_OUTPUT
        static = None if rejected and not empty else self._static(call, outcome)
        if static is not None:
            return await self._serve(call, sink, Tier.STATIC, *static, outcome)
        if isinstance(outcome, Failed) and head is not None and rejected:
            return await self._serve(call, sink, Tier.REDUCED, head, body, outcome)
        return outcome

    def _static(self, call: Call, outcome: Failed | Refused) -> tuple[Head, bytes] | None:
        if self.static is None or not (isinstance(outcome, Refused) or HANDLING[outcome.fault].elsewhere):
            return None
        text = self.static.text if not self.static.link else f"{self.static.text}\n\n{self.static.link}"
        if call.ask.json:
            if self.static.json is None or not self._meets(self.static.json, call.ask.schema):
                return None  # an answer that breaks the application's parser is worse than an error
            text = self.static.json
        wire = self.dialects[call.dialect].static(call.ask, text)
        return None if wire is None else (wire.head, wire.body)

    def _meets(self, text: str, schema: bytes | None) -> bool:
        return schema is None or self.schemas.valid(schema, msgspec.json.decode(text))

    async def _serve(
        self, call: Call, sink: Sink, tier: Tier, head: Head, body: bytes, instead_of: Failed | Refused
    ) -> Outcome:
        reason = instead_of.fault.value if isinstance(instead_of, Failed) else instead_of.by.value
        self.tell(Degraded(call, tier, reason))
        served = b"static" if tier is Tier.STATIC else _target(call, instead_of)
        labels = ((SERVED_BY, served), (TIER, tier.value.encode()), (LABEL, reason.encode()))
        await sink.start(replace(head, headers=head.headers + labels))
        await sink.send(Chunk(body))
        findings = instead_of.findings if isinstance(instead_of, Failed) else ()
        return Answered(head.status, findings=findings, tier=tier)


def _target(call: Call, outcome: Failed | Refused) -> bytes:
    """Whose answer this is: not always the last that was asked."""
    targets = (attempt.target for attempt in call.record.attempts if attempt.outcome is outcome)
    return next(targets, "-").encode("ascii", "replace")
