"""Degrade: what the application gets when nobody gave a good answer [R19, R21].

Outside Deadline and Admit, so that a call whose time is spent or that was shed still gets it. In
order: an answer that was rejected for its quality, if it is the best there was (tier reduced); one that
was given before (tier cached, layers/cache); the route's static answer (tier static); else the failure
itself. Every degraded answer is labelled in
the head and, where the dialect allows it, in the body; none is counted as a full success.
A strict route would rather have the error than a rejected answer.

Not for the application's own mistakes: an invalid request has to be seen, not papered over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from sidecar.core.skeleton import emptiest
from sidecar.dialects.base import Dialect
from sidecar.dialects.writing import labelled
from sidecar.events import (
    Degraded,
    Shadowed,
    Tell,
)
from sidecar.faults import handling
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
    Target,
    Tier,
)
from sidecar.settings import StaticAnswer, StaticText
from sidecar.signals.judging import Schemas

TIER = b"x-llm-sidecar-tier"
SERVED_BY = b"x-llm-sidecar-served-by"
LABEL = b"x-llm-sidecar-degraded"
_NO_OTHER = StaticText()


@dataclass(frozen=True, slots=True)
class Degrade:
    inner: Service
    static: StaticAnswer | None
    strict: bool
    targets: tuple[Target, ...]  # all of the route
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
        best = is_rejected(outcome, strict=self.strict)
        stands_in = not best and may_stand_in(outcome, call, self.targets)
        if rejected and self.strict:  # its bytes are nobody's any more
            assert isinstance(outcome, Failed)
            outcome, rejected = replace(outcome, head=None, body=b""), False
        static = self._static(call, outcome.fault) if stands_in else None
        if call.shadow:
            if static is not None:
                self.tell(Shadowed(call, "degrade", reason_of(outcome)))
            return outcome
        if static is not None:
            return await self._serve(call, sink, Tier.STATIC, *static, outcome)
        if isinstance(outcome, Failed) and head is not None and rejected:
            return await self._serve(call, sink, Tier.REDUCED, *_named(head, body), outcome)
        return outcome

    def _static(self, call: Call, fault: Fault) -> tuple[Head, bytes] | None:
        static = self.static
        if static is None:
            return None
        own = static.by_fault.get(fault, _NO_OTHER)
        text: str | None = _filled(own.text or static.text, own.link or static.link or "", call.trace_id)
        if call.ask.json:
            text = self._json(own.json or static.json, call.ask.schema, empty=static.empty)
        wire = None if text is None else self.dialects[call.dialect].static(call.ask, text)
        return None if wire is None else (wire.head, wire.body)

    def _json(self, text: str | None, schema: bytes | None, *, empty: bool) -> str | None:
        """None: an answer that breaks the application's parser is worse than an error."""
        if text is not None and self._meets(msgspec.json.decode(text), schema):
            return text
        made = ({},) if schema is None else emptiest(_decoded(schema)) if empty else None
        if not empty or made is None or not self._meets(made[0], schema):
            return None
        return msgspec.json.encode(made[0]).decode()

    def _meets(self, value: object, schema: bytes | None) -> bool:
        return schema is None or self.schemas.valid(schema, value)

    async def _serve(
        self, call: Call, sink: Sink, tier: Tier, head: Head, body: bytes, instead_of: Failed | Refused
    ) -> Outcome:
        reason = reason_of(instead_of)
        self.tell(Degraded(call, tier, reason))
        served = b"static" if tier is Tier.STATIC else _target(call, instead_of)
        labels = ((SERVED_BY, served), (TIER, tier.value.encode()), (LABEL, reason.encode()))
        await sink.start(replace(head, headers=head.headers + labels))
        await sink.send(Chunk(body))
        findings = instead_of.findings if isinstance(instead_of, Failed) else ()
        return Answered(head.status, findings=findings, tier=tier)


def _named(head: Head, body: bytes) -> tuple[Head, bytes]:
    """A provider's answer, called in its body too what it is, where the body can be read."""
    if (head.get(b"content-encoding") or b"identity") != b"identity":
        return head, body
    body = labelled(head.get(b"content-type") or b"", body, Tier.REDUCED)
    kept = tuple(pair for pair in head.headers if pair[0].lower() != b"content-length")
    return replace(head, headers=(*kept, (b"content-length", b"%d" % len(body)))), body


def _filled(text: str, link: str, trace: str) -> str:
    named = "{link}" in text
    text = text.replace("{link}", link).replace("{trace}", trace)
    return text if named or not link else f"{text}\n\n{link}"


def _decoded(schema: bytes) -> object:
    try:
        return msgspec.json.decode(schema)
    except (msgspec.DecodeError, RecursionError):
        return False  # nothing is known to meet it


def is_rejected(outcome: Failed | Refused, *, strict: bool) -> bool:
    """Is this a whole answer that was rejected for its quality, and better than any of ours?"""
    if strict or isinstance(outcome, Refused) or outcome.head is None or not outcome.body:
        return False
    return outcome.head.status < 300 and outcome.fault is not Fault.EMPTY_OUTPUT


def may_stand_in(outcome: Failed | Refused, call: Call, targets: Iterable[Target]) -> bool:
    """May an answer of ours be given instead, or is this the application's to see?"""
    if isinstance(outcome, Refused):
        return not outcome.final
    asked = next((attempt.target for attempt in call.record.attempts if attempt.outcome is outcome), "")
    own_key = any(target.name == asked and target.credential is None for target in targets)
    return handling(outcome, own_key=own_key).elsewhere


def reason_of(outcome: Failed | Refused) -> str:
    return outcome.fault.value if isinstance(outcome, Failed) else outcome.by.value


def _target(call: Call, outcome: Failed | Refused) -> bytes:
    """Whose answer this is: not always the last that was asked."""
    targets = (attempt.target for attempt in call.record.attempts if attempt.outcome is outcome)
    return next(targets, "-").encode("ascii", "replace")
