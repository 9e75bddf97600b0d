"""What attempts cost, as they end, and what one more of them could cost.

The rules are core/bill's. This puts together what they ask for: the model's card, and where a provider
reported no usage a guess of the tokens. A guess is bytes of the request, and characters of what came of
the answer, by what a token takes at that target; the answers that do report usage teach it.

What is learned, and the hour's spending, is in the Tab, which outlives reloads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from sidecar.core import bill
from sidecar.core.spend import Spend
from sidecar.dialects.base import BadBody
from sidecar.events import BudgetMoved, CallEnded, Event, Tell
from sidecar.gate.features import of_ask, of_conversation
from sidecar.gate.tokens import ENOUGH, Ratios, media, tokens
from sidecar.hub import TONGUES
from sidecar.hub.conversation import Unrepresentable
from sidecar.model import Attempt, Call, Cost, Operation, Provider, Target, Usage
from sidecar.models.card import Card
from sidecar.models.catalogue import row_of
from sidecar.settings import RouteCost
from sidecar.vendors import VENDORS

MOST = 16 * 1024  # bytes of a request beyond which it teaches nothing: looking through it takes time
ENOUGH_SAID = 24  # characters below which an answer teaches nothing
# what may be a picture or a file: their bytes are no text
_MEDIA = re.compile(
    rb'"(?:input_)?(?:image|audio|file|document|video|inline_?data|file_?data)', re.IGNORECASE
)

Cards = Callable[[Provider, str], Card | None]


@dataclass(slots=True)
class Tab:
    """What is remembered of money. One per process."""

    spend: Spend = field(default_factory=Spend)
    sent: Ratios = field(default_factory=Ratios)  # bytes of a request that a token takes, by target
    said: Ratios = field(default_factory=Ratios)  # characters of an answer

    def look(self, now: float, tell: Tell) -> None:
        """Tell it if the hour has come to another level of its budget."""
        spend = self.spend
        level = spend.moved(now)
        if level is not None:
            tell(BudgetMoved(level, *self.dollars(now)))

    def dollars(self, now: float) -> tuple[float, float]:
        """What the last hour cost, and its budget; 0: there is none."""
        return bill.dollars(self.spend.hour(now)), bill.dollars(self.spend.budget or 0)


@dataclass(frozen=True, slots=True)
class Pricing:
    cards: Cards
    tab: Tab
    tell: Tell

    def __call__(self, call: Call, attempt: Attempt) -> Cost:
        """What an attempt that is over cost; the hour has it from now on."""
        target = call.target
        assert target is not None
        assert attempt.ended is not None
        whole, usage = bill.whole(attempt), attempt.usage
        card = self.cards(target.provider, attempt.model)
        reported = usage is not None and usage.input_total is not None and usage.output_total is not None
        if whole and reported and bill.worked(attempt):
            assert usage is not None
            self._learn(call, attempt, usage)
            found = bill.cost(card, usage, _REPORTED)
        else:
            found = bill.cost(card, usage, self._seen(call, attempt, whole=whole))
        if found.pico:
            self.tab.spend.add(attempt.ended, found.pico)
            if self.tab.spend.budget is not None:
                self.tab.look(attempt.ended, self.tell)
        return found

    def affords(self, call: Call, target: Target, cap: int, named: Mapping[str, Target]) -> bool:
        """May this target be asked too, without the call becoming dearer than `cap` pico-dollars? The first
        attempt of a call may always be made. One that still runs counts with what it can cost; `named` are
        the targets that may be asked, by their names.
        """
        attempts = call.record.attempts
        if not attempts:
            return True
        running = (named[one.target] for one in attempts if one.ended is None and one.target in named)
        most = sum(self._worst(call, one) or 0 for one in running)
        return not bill.breaks(cap, (bill.total(attempts) or 0) + most, self._worst(call, target))

    def _worst(self, call: Call, target: Target) -> int | None:
        card, ask = self.cards(target.provider, target.model or call.ask.model), call.ask
        return bill.worst(card, self._sent(call, target.name), ask.max_output, ask.choices)

    # ---- guesses

    def _seen(self, call: Call, attempt: Attempt, *, whole: bool) -> bill.Seen:
        worked = bill.worked(attempt)
        return bill.Seen(
            worked=worked,
            whole=whole,
            embeds=call.ask.operation is Operation.EMBEDDINGS,
            sent=self._sent(call, attempt.target) if worked else 0,
            said=tokens(attempt.characters, self.tab.said.of(attempt.target)),
        )

    def _sent(self, call: Call, target: str) -> int:
        """Tokens of the request; those of pictures and files by their number, not by their bytes."""
        ratio = self.tab.sent.of(target)
        if _MEDIA.search(call.body) is None:
            return tokens(len(call.body), ratio)
        features = of_ask(call.ask, len(call.body))
        tongue = TONGUES.get(call.dialect)
        if tongue is not None:
            with suppress(Unrepresentable, BadBody):  # then its bytes are all that is known of it
                features = of_conversation(tongue.read(call.path, call.body), len(call.body))
        return tokens(features.size, ratio) + media(features)

    def _learn(self, call: Call, attempt: Attempt, usage: Usage) -> None:
        size, given, made = len(call.body), usage.input_total, usage.output_total
        if given and ENOUGH <= size <= MOST and _MEDIA.search(call.body) is None:
            self.tab.sent.note(attempt.target, size, given)
        # thoughts may be paid and not shown: then what came says nothing about the tokens
        if made and attempt.characters >= ENOUGH_SAID and not usage.reasoning:
            self.tab.said.note(attempt.target, attempt.characters, made)


def asks_usage(rules: RouteCost, provider: Provider) -> bool:
    """Are this provider's streams asked what they took, where the client does not ask?"""
    if provider.dialect != "openai_chat" or rules.stream_usage == "never":
        return False
    row = VENDORS.get(row_of(provider))
    return rules.stream_usage == "always" or (row is not None and row.counts)


def settle(event: Event) -> None:
    """When a call is over its attempts get their purposes: what metrics, spans and logs read of it."""
    if isinstance(event, CallEnded):
        bill.settle(event.call.record.attempts, event.outcome, committed=event.committed)


_REPORTED = bill.Seen(worked=True, whole=True)
