"""AskUsage: streams of chat completions are asked to say what they took, where the client did not ask [R25].

Without `stream_options: {include_usage: true}` an OpenAI stream says nothing about tokens, and its cost
would be a guess. The option is spliced into the request; the event that it adds, which has no choices, is
kept from a client that did not ask for it (the reader leaves it out). Nothing else of the answer changes,
but that its other events may say `"usage": null`.

What a client did not ask for must not cost it the call. Only vendors that are known to take the option are
asked (vendors.py); one that refuses it all the same is asked again, in the client's own words, and from
then on no more with the option for that model.

It stands beside AskStream, which asks for the same thing in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from sidecar.dialects.base import BadBody
from sidecar.dialects.openai_chat import with_usage
from sidecar.layers.assemble import OBJECTIONS
from sidecar.model import (
    Answered,
    Call,
    Failed,
    Kind,
    Operation,
    Outcome,
    Refused,
    Service,
    Sink,
    Stage,
    spent,
)

REMEMBERED = 256  # models that refused it
_NAMED = (b"stream_options", b"include_usage")


@dataclass(frozen=True, slots=True)
class AskUsage:
    inner: Service
    refused: set[tuple[str, str]]  # providers and models that did

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        asking = self._asking(call)
        if asking is None:
            return await self.inner(call, sink)
        first = await self.inner(asking, sink)
        if not _objects(first) or sink.stage is Stage.COMMITTED or spent(call):
            return first
        outcome = await self.inner(replace(call, kind=Kind.RETRY), sink)
        if isinstance(outcome, Answered) and len(self.refused) < REMEMBERED:
            self.refused.add(_which(call))
        return first if isinstance(outcome, Refused) else outcome

    def _asking(self, call: Call) -> Call | None:
        ask = call.ask
        if not ask.stream or call.assembled or ask.operation is not Operation.CHAT:
            return None
        if call.dialect != "openai_chat" or _which(call) in self.refused:
            return None
        try:
            body = with_usage(call.body)
        except BadBody:  # so loosely written that only a provider may read it
            return None
        return None if body is None else replace(call, body=body, ask=replace(ask, hides_usage=True))


def _which(call: Call) -> tuple[str, str]:
    assert call.target is not None
    return call.target.provider.name, call.target.model or call.ask.model


def _objects(outcome: Outcome) -> bool:
    """Was the request refused for an option that the client knows nothing of?"""
    if not isinstance(outcome, Failed) or outcome.fault not in OBJECTIONS:
        return False
    return any(name in outcome.body for name in _NAMED)
