"""Gate: nobody is asked for what he cannot do, and what has to change for him is named [R14, R15].

It stands outside the Guard: who is passed over here takes no permit and leaves no sample. The client's
own target (its provider, first in the chain or with the model that was asked for) gets the client's own
bytes, whatever is known of it: if they are wrong, the application has to see the complaint. Everybody
else is a stand-in. What he is known not to take is not sent to him: the request is read once a call,
held against his model's card and his own earlier words (gate.check, gate.denials), clamped or trimmed
where that helps, and written in his dialect where that is another one. So a target that cannot be told
is refused before it costs anything, and what was left out is one list, in `Call.losses`.

What configuration says differently to one target (a prompt variant, R15) is said here too, before all that:
to the client's own target as well, because somebody wants it so.

`Heed` stands at the other end, right above the target's own answers, where a refusal is still in the
target's words. What it learns holds at once: the same try is made again without the field, if that was
all that was wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from sidecar.dialects import speaks
from sidecar.dialects.base import BadBody
from sidecar.events import FieldsDenied, Tell
from sidecar.gate.check import SAID, Fit, Reason, Skip, Way, check, losses, trimmed
from sidecar.gate.denials import Denials, learned, obeyed
from sidecar.gate.features import Features, of_ask, of_conversation
from sidecar.gate.tokens import Ratios
from sidecar.gate.writing import written
from sidecar.hub import TONGUES
from sidecar.hub.audit import silent
from sidecar.hub.conversation import Conversation, Unrepresentable
from sidecar.model import (
    Answered,
    Call,
    Clock,
    Failed,
    Fault,
    Kind,
    Loss,
    Operation,
    Outcome,
    Provider,
    Refused,
    RefusedBy,
    Service,
    Sink,
    Stage,
    Target,
    spent,
)
from sidecar.models.card import Card
from sidecar.settings import OnLoss
from sidecar.variants import in_body, in_conversation, with_own

TEACHING = frozenset({400, 422})  # statuses whose bodies may name a field
LONGEST = 1024  # bytes of a list of losses
COST = "cost"  # a loss that only changes the bill
SILENT = "silent"  # one that only the audit found: a mistake of ours


class Reading(Struct, frozen=True):
    """What a request is, read once for all targets. `conversation` None: `trouble` says why not."""

    body: bytes
    conversation: Conversation | None
    features: Features
    trouble: str = ""


class _Ready(Struct, frozen=True):
    call: Call
    features: Features
    known: int  # denials that it obeys


@dataclass(frozen=True, slots=True)
class Gate:
    inner: Service
    target: Target
    first: bool  # of its chain
    strict: bool  # what nobody knows is no
    on_loss: OnLoss
    attempts: int  # of one call, over all targets
    cards: Callable[[Provider, str], Card | None]
    denials: Denials
    ratios: Ratios
    clock: Clock
    audit: bool = False  # what is translated is looked through for silent losses

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        own = self._own(call)
        if own and self.target.variant is None:
            return await self.inner(call, sink)
        call = self._told(call)
        if own:
            return await self.inner(call, sink)
        ready = self._ready(call)
        if isinstance(ready, Refused):
            return ready
        outcome = await self._ask(ready, sink)
        if not isinstance(outcome, Failed) or not self._taught(ready, sink):
            return outcome
        again = self._ready(replace(call, kind=Kind.RETRY))
        if isinstance(again, Refused):
            return again  # it is unfit for this request: others may not be
        return await self._ask(again, sink)

    def _own(self, call: Call) -> bool:
        """Is this nobody's stand-in?"""
        if self.target.provider.name != call.provider:
            return False
        return self.first or self.target.model is None or self.target.model == call.ask.model

    async def _ask(self, ready: _Ready, sink: Sink) -> Outcome:
        outcome = await self.inner(ready.call, sink)
        if isinstance(outcome, Answered) and outcome.usage is not None:
            self.ratios.learn(self._key(ready.call), ready.features, outcome.usage.input_total)
        return outcome

    def _taught(self, ready: _Ready, sink: Sink) -> bool:
        """Has the target just said what of this it does not take, and is there an attempt left to obey?"""
        call = ready.call
        if sink.stage is Stage.COMMITTED or not call.options.retry or spent(call):
            return False
        left = self.attempts - len(call.record.attempts) - call.others
        return left > 0 and len(self.denials.of(key(self.target, call, self._spoken(call)[0]))) > ready.known

    def _spoken(self, call: Call) -> tuple[str, bool]:
        """The dialect that the target is spoken to in, and whether the call has to be translated."""
        provider = self.target.provider
        return (call.dialect, False) if speaks(provider, call.dialect) else (provider.dialect, True)

    def _key(self, call: Call) -> str:
        return f"{self.target.provider.name}/{self.target.model or call.ask.model}"

    # ---- what is sent

    def _told(self, call: Call) -> Call:
        """With what is said differently to this target, where it is told the client's own body."""
        variant = self.target.variant
        dialect, translated = self._spoken(call)
        if variant is None or translated or call.ask.operation is not Operation.CHAT:
            return call
        try:
            body = in_body(dialect, call.body, variant)
        except BadBody:  # nobody can read it: its target will say so
            return call
        ask = call.ask
        if "max_output" in variant.parameters:
            ask = replace(ask, max_output=variant.parameters["max_output"])
        return replace(call, body=body, ask=ask)

    def _ready(self, call: Call) -> _Ready | Refused:
        """The call as the target is to be asked."""
        dialect, translated = self._spoken(call)
        reading = read(call)
        if translated and (reading.conversation is None or dialect not in TONGUES):
            why = reading.trouble or f"calls are not translated from {call.dialect} to {dialect}"
            return self._unsayable(why)
        variant = self.target.variant
        if variant is not None and translated and reading.conversation is not None:
            varied = in_conversation(reading.conversation, variant)
            reading = Reading(call.body, varied, of_conversation(varied, len(call.body)))
        way = Way(dialect, translated, self.target.provider.name == call.provider, self.strict)
        known = key(self.target, call, dialect)
        card = self.cards(self.target.provider, self.target.model or call.ask.model)
        card = self.denials.card(known, card)
        found = check(
            reading.features, card, way, wall=self.clock.wall(), ratio=self.ratios.of(self._key(call))
        )
        if isinstance(found, Skip):
            return self._incapable(found, reading.conversation)
        try:
            if translated:
                made = self._written(call, reading, found, way, card, known)
            else:
                made = self._trimmed(call, reading, found, dialect, known)
        except (Unrepresentable, BadBody) as error:
            return self._unsayable(str(error))
        if isinstance(made, Skip):
            return self._incapable(made, None)
        told = [loss for loss in made.losses if loss.how != COST]
        if told and self.on_loss != "allow":
            return self._lost(told)
        return _Ready(made, reading.features, len(self.denials.of(known)))

    def _written(
        self, call: Call, reading: Reading, fit: Fit, way: Way, card: Card | None, known: str
    ) -> Call | Skip:
        conversation = reading.conversation
        assert conversation is not None
        made = written(conversation, fit, card, way, self.target.model or conversation.model)
        variant, body = self.target.variant, made.body
        if variant is not None:
            body = with_own(way.dialect, body, variant)
        obeying = obeyed(way.dialect, body, self.denials.of(known))
        if isinstance(obeying, Skip):
            return obeying
        body, dropped = obeying
        lost = (*made.losses, *(_of_ours(loss) for loss in losses(None, dropped)))
        if self.audit and variant is None:  # what a variant replaces is no loss
            lost += tuple(Loss(path, SILENT) for path in silent(call.body, body, lost))
        return replace(call, written=replace(made, body=body), losses=tuple(dict.fromkeys(lost)))

    def _trimmed(self, call: Call, reading: Reading, fit: Fit, dialect: str, known: str) -> Call | Skip:
        if reading.conversation is None:
            return call  # as the client wrote it: nobody else can read it either
        body = trimmed(dialect, call.body, fit.changes)
        obeying = obeyed(dialect, body, self.denials.of(known))
        if isinstance(obeying, Skip):
            return obeying
        body, dropped = obeying
        if body is call.body:
            return call
        lost = (*losses(reading.conversation, fit.changes), *losses(None, dropped))
        return replace(call, body=body, losses=tuple(dict.fromkeys(lost)))

    # ---- why not

    def _incapable(self, skip: Skip, conversation: Conversation | None) -> Refused:
        field = conversation.named_as(skip.field) if conversation is not None else skip.field
        where = f"{field}: " if field else ""
        long = skip.reason is Reason.CONTEXT_WINDOW
        return Refused(
            RefusedBy.INCAPABLE,
            fault=Fault.CONTEXT_WINDOW if long else Fault.CAPABILITY_MISMATCH,
            detail=f"{where}{SAID[skip.reason]} ({self.target.name})",
            reason=skip.reason.value,
        )

    def _unsayable(self, why: str) -> Refused:
        return Refused(
            RefusedBy.UNREPRESENTABLE,
            fault=Fault.CAPABILITY_MISMATCH,
            detail=f"{why} ({self.target.name})",
        )

    def _lost(self, lost: list[Loss]) -> Refused:
        final = self.on_loss == "fail"
        detail = f"{listed(lost)} would be lost ({self.target.name})"
        return Refused(
            RefusedBy.UNREPRESENTABLE,
            fault=Fault.CAPABILITY_MISMATCH,
            detail=f"{detail}, and the route says on_loss: fail" if final else detail,
            reason="losses",
            final=final,
        )


@dataclass(frozen=True, slots=True)
class Heed:
    """Remembers what the target says that it does not take."""

    inner: Service
    target: Target
    denials: Denials
    tell: Tell

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        outcome = await self.inner(call, sink)
        if isinstance(outcome, Failed) and outcome.head is not None and outcome.head.status in TEACHING:
            said = learned(call.dialect, outcome.head.status, outcome.body)
            new = self.denials.learn(key(self.target, call, call.dialect), said) if said else ()
            if new:
                words = tuple(denial.field or f"({denial.ability})" for denial in new)
                self.tell(FieldsDenied(call, self.target, words))
        return outcome


def _of_ours(loss: Loss) -> Loss:
    """That a stream counts is our own wish: without it the bill is a guess, and nothing else is lost."""
    return Loss(loss.field, COST) if loss.field.startswith("stream_options") else loss


def read(call: Call) -> Reading:
    """The request as it is; read once for as long as its bytes are the same."""
    known = call.record.reading
    if isinstance(known, Reading) and known.body is call.body:
        return known
    tongue = TONGUES.get(call.dialect)
    unread = of_ask(call.ask, len(call.body))
    if tongue is None or call.ask.operation is not Operation.CHAT:
        why = f"{call.ask.operation} is not translated to another dialect"
        reading = Reading(call.body, None, unread, why)
    else:
        try:
            conversation = tongue.read(call.path, call.body)
        except BadBody as error:
            reading = Reading(call.body, None, unread, str(error))
        else:
            reading = Reading(call.body, conversation, of_conversation(conversation, len(call.body)))
    call.record.reading = reading
    return reading


def key(target: Target, call: Call, dialect: str) -> str:
    """Whose word a denial is: fields are a dialect's, and another model of the provider may take them."""
    return f"{target.provider.name}/{target.model or call.ask.model}/{dialect}"


def listed(lost: list[Loss]) -> str:
    """Names of fields, each with what became of it; a list that is too long ends in its number."""
    said = ""
    for number, loss in enumerate(lost):
        one = f"{loss.field};{loss.how}".encode("ascii", "replace").decode()
        if len(said) + len(one) > LONGEST - 16:
            return f"{said}, and {len(lost) - number} more"
        said += f", {one}" if said else one
    return said
