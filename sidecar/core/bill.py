"""What each attempt of a call cost, and what that money was for.

Exactness. Rates are whole pico-dollars a token and counts are whole tokens, so a cost is a whole number
of pico-dollars, and sums are the same in any order: the ledger can be held against an invoice to the
cent. Only a metric turns them into floating dollars, at the very end.

Tokens that a provider reported are counted. Where it did not report (a cut stream, a server without
usage) they are guessed from bytes, and the cost says that it is `estimated`; so does one whose price
was found under a name that only resembles the model's. An attempt that was refused costs nothing; one
without a known price is `None`: unpriced, not free.

Every attempt has exactly one purpose, decided when the call is over, because only then is it known:

- served: its answer went to the client, or nobody was asked beside it: what the traffic itself costs;
- quality_rejected: an answer that was thrown away for its quality;
- hedge: the slower of two;
- retry, fallback: it was lost, and the same target, or another one, was asked after it. The last of
  several lost ones has the purpose it was made for.

So all that is not `served` is what the detours cost, and an outage in which a second provider answers
every call is no overhead beyond what the first one was paid for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from sidecar.model import Answered, Attempt, Failed, Fault, Kind, Usage
from sidecar.models.card import PICO, Card, Price


class Purpose(StrEnum):
    SERVED = "served"
    RETRY = "retry"
    FALLBACK = "fallback"
    HEDGE = "hedge"
    QUALITY_REJECTED = "quality_rejected"


class Cost(Struct, frozen=True):
    """`pico` dollars; None: nobody knows the price."""

    pico: int | None
    estimated: bool = False


class Seen(Struct, frozen=True, kw_only=True):
    """What we saw of an attempt ourselves. Token counts here are guesses from bytes."""

    worked: bool  # the provider took the request: it answered 2xx, or was silent until we left
    whole: bool  # its answer came to its end, so that its usage is final
    sent: int = 0  # tokens of the request
    said: int = 0  # tokens of the answer, as far as it came


class Paid(Struct, frozen=True, kw_only=True):
    """One attempt, for the bill."""

    number: int  # of the attempt, from 1
    kind: Kind
    provider: str
    model: str
    cost: Cost
    rejected: bool = False  # its answer was whole and not good enough
    hedge: bool = False  # it lost a race


class Line(Struct, frozen=True, kw_only=True):
    number: int
    provider: str
    model: str
    purpose: Purpose
    cost: Cost


FREE = Cost(0)


def priced(price: Price, usage: Usage) -> int:
    """Pico-dollars of this usage. What it does not say counts as nothing."""
    total = max(usage.input_total or 0, 0)
    written = min(max(usage.cache_write or 0, 0), total)
    cached = min(max(usage.cache_read or 0, 0), total - written)
    output = max(usage.output_total or 0, 0)
    thought = max(usage.reasoning or 0, 0)
    if thought <= output:  # else it is counted beside the output, which is all visible
        output -= thought
    rates = price.at(total)
    read, write = _or(rates.cache_read, rates.input), _or(rates.cache_write, rates.input)
    reasoned = _or(rates.reasoning, rates.output)
    return (
        (total - cached - written) * rates.input
        + cached * read
        + written * write
        + output * rates.output
        + thought * reasoned
    )


def _or(rate: int | None, plain: int) -> int:
    return plain if rate is None else rate


def cost(card: Card | None, usage: Usage | None, seen: Seen) -> Cost:
    """What one attempt cost. `usage`: the last that the provider reported, of whatever part."""
    if not seen.worked and (usage is None or not usage.output_total):
        return FREE
    if card is None or card.price is None:
        return Cost(None)
    usage = usage or Usage()
    embeds = card.embedding
    missing = usage.input_total is None or (not embeds and usage.output_total is None)
    if missing or not seen.whole:
        output = usage.output_total or 0
        said = output if embeds or (seen.whole and usage.output_total is not None) else max(output, seen.said)
        usage = Usage(
            input_total=seen.sent if usage.input_total is None else usage.input_total,
            output_total=said,
            cache_read=usage.cache_read,
            cache_write=usage.cache_write,
            reasoning=usage.reasoning,
        )
        return Cost(priced(card.price, usage), estimated=True)
    return Cost(priced(card.price, usage), estimated=not card.exact)


# faults of who was silent: the request was written, and the answer may be in the making still
_SILENT = frozenset({Fault.TIMEOUT, Fault.TTFT_TIMEOUT, Fault.STREAM_STALL, Fault.CLIENT_CANCELLED})


def seen_of(attempt: Attempt, *, sent: int, said: int) -> Seen:
    """`sent`, `said`: tokens of the request and of what came of the answer, guessed from bytes."""
    outcome = attempt.outcome
    silent = outcome is None or (isinstance(outcome, Failed) and outcome.fault in _SILENT)
    return Seen(
        worked=200 <= attempt.status < 300 or (attempt.status == 0 and silent),
        whole=isinstance(outcome, Answered) or _rejected(attempt),
        sent=sent,
        said=said,
    )


def paid_for(attempt: Attempt, card: Card | None, *, sent: int, said: int, hedge: bool = False) -> Paid:
    """An attempt as its bill wants it, once it is over."""
    return Paid(
        number=attempt.number,
        kind=attempt.kind,
        provider=attempt.provider,
        model=attempt.model,
        cost=cost(card, attempt.usage, seen_of(attempt, sent=sent, said=said)),
        rejected=_rejected(attempt),
        hedge=hedge,
    )


def _rejected(attempt: Attempt) -> bool:
    outcome = attempt.outcome
    return isinstance(outcome, Failed) and any(finding.action == "reject" for finding in outcome.findings)


def bill(attempts: Sequence[Paid], served: int | None) -> tuple[Line, ...]:
    """One line for each attempt, in order. `served`: the number of the one whose answer, or whose part of
    an answer, went to the client; None: there was none.
    """
    lines = []
    for place, paid in enumerate(attempts):
        following = next((later.kind for later in attempts[place + 1 :] if not later.hedge), None)
        lines.append(
            Line(
                number=paid.number,
                provider=paid.provider,
                model=paid.model,
                purpose=_purpose(paid, served, following),
                cost=paid.cost,
            )
        )
    return tuple(lines)


_MADE_FOR = {Kind.RETRY: Purpose.RETRY, Kind.FALLBACK: Purpose.FALLBACK}


def _purpose(paid: Paid, served: int | None, following: Kind | None) -> Purpose:
    if paid.number == served:
        return Purpose.SERVED
    if paid.rejected:
        return Purpose.QUALITY_REJECTED
    if paid.hedge:
        return Purpose.HEDGE
    return _MADE_FOR.get(paid.kind if following is None else following, Purpose.SERVED)


def total(costs: Iterable[Cost]) -> int:
    """Pico-dollars of all that have a price."""
    return sum(cost.pico or 0 for cost in costs)


# ---- the cap of one request ---------------------------------------------------------------------


def worst(card: Card | None, input_tokens: int, max_output: int | None) -> int | None:
    """Pico-dollars that an attempt can cost at most: no cache helps and the answer is as long as it may
    be. `max_output`: what the request allows; None: as much as the model gives. None: nobody knows.
    """
    if card is None or card.price is None:
        return None
    longest = card.output if max_output is None else min(max_output, card.output or max_output)
    if longest is None:
        if not card.embedding:
            return None
        longest = 0
    rates = card.price.at(input_tokens)
    dearest_in = max(rates.input, rates.cache_write or 0)
    return input_tokens * dearest_in + longest * max(rates.output, rates.reasoning or 0)


def breaks(cap: int, spent: int, most: int | None) -> bool:
    """Would one more attempt, of `most` at the worst, take a request above its cap? What has no known price
    is not held against anybody. All in pico-dollars.
    """
    return most is not None and spent + most > cap


def dollars(pico: int) -> float:
    return pico / PICO


def pico(amount: float) -> int:
    """Of dollars, as configuration says them."""
    return round(amount * PICO)
