"""What each attempt of a call cost, and what that money was for.

Exactness. Rates are whole pico-dollars a token and counts are whole tokens, so a cost is a whole number
of pico-dollars, and sums are the same in any order: the ledger can be held against an invoice to the
cent. Only a metric turns them into floating dollars, at the very end.

Tokens that a provider reported are counted. Where it did not report (a cut stream, a server without
usage) they are guessed from bytes, and the cost says that it is `estimated`; so does one whose price
was found under a name that only resembles the model's. An attempt that was refused costs nothing; one
without a known price is `None`: unpriced, not free.

Every attempt has exactly one purpose, decided when the call is over, because only then is it known:

- served: its answer, or a part of it, went to the client, or nobody was asked beside it: what the
  traffic itself costs;
- quality_rejected: an answer that was thrown away for its quality;
- hedge: the slower of two;
- retry, fallback: it was lost, and the same target, or another one, was asked after it. The last of
  several lost ones has the purpose it was made for.

So all that is not `served` is what the detours cost, and an outage in which a second provider answers
every call is no overhead beyond what the first one was paid for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from sidecar.model import Answered, Attempt, Cost, Failed, Fault, Finding, Kind, Outcome, Purpose, Tier, Usage
from sidecar.models.card import PICO, Card, Price


class Seen(Struct, frozen=True, kw_only=True):
    """What we saw of an attempt ourselves. Token counts here are guesses from bytes."""

    worked: bool  # the provider took the request: it answered 2xx, or was silent until we left
    whole: bool  # its answer came to its end, so that its usage is final
    embeds: bool = False  # there is no output to be paid
    sent: int = 0  # tokens of the request
    said: int = 0  # tokens of the answer, as far as it came


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
    embeds = seen.embeds or card.embedding
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


def worked(attempt: Attempt) -> bool:
    """Did the provider take the request, as far as we know?"""
    outcome = attempt.outcome
    if isinstance(outcome, Failed) and outcome.head is not None and outcome.head.status >= 400:
        return bool(attempt.characters)  # an error, be it inside an answer of 200
    if attempt.status:
        return 200 <= attempt.status < 300
    return outcome is None or (isinstance(outcome, Failed) and outcome.fault in _SILENT)


def whole(attempt: Attempt) -> bool:
    """Did its answer come to its end?"""
    return isinstance(attempt.outcome, Answered) or _rejected(attempt)


# ---- what it was for ----------------------------------------------------------------------------


def shown(attempts: Sequence[Attempt], outcome: Outcome | None, *, committed: bool) -> Attempt | None:
    """Whose answer, or whose part of an answer, went to the client. `committed`: bytes did."""
    if isinstance(outcome, Answered):
        if outcome.tier is Tier.REDUCED and outcome.findings:
            # an answer that was rejected, and then served for want of a better one
            rejected = (one for one in attempts if _findings(one.outcome) == outcome.findings)
            return next(rejected, None)
        if outcome.tier is not Tier.FULL:
            return None
    elif not committed:
        return None
    return next((one for one in reversed(attempts) if not one.lost_race and not _went_on_in_vain(one)), None)


def _went_on_in_vain(attempt: Attempt) -> bool:
    """Was it asked to continue an answer, and added nothing to it?"""
    return attempt.kind is Kind.CONTINUATION and attempt.first_content is None


def _findings(outcome: Outcome | None) -> tuple[Finding, ...]:
    return outcome.findings if isinstance(outcome, Answered | Failed) else ()


def settle(attempts: Sequence[Attempt], outcome: Outcome | None, *, committed: bool) -> None:
    """Give each attempt of a call that is over the purpose of its cost."""
    if not attempts:
        return
    served = shown(attempts, outcome, committed=committed)
    following: Kind | None = None
    for attempt in reversed(attempts):
        attempt.purpose = _purpose(attempt, attempt is served, following)
        if not attempt.lost_race:
            following = attempt.kind


_MADE_FOR = {Kind.RETRY: Purpose.RETRY, Kind.FALLBACK: Purpose.FALLBACK, Kind.HEDGE: Purpose.HEDGE}


def _purpose(attempt: Attempt, served: bool, following: Kind | None) -> Purpose:
    """`following`: why the next attempt was made; None: there was none."""
    if served:
        return Purpose.SERVED
    if _rejected(attempt):
        return Purpose.QUALITY_REJECTED
    if attempt.lost_race:
        return Purpose.HEDGE
    if _went_on_in_vain(attempt):
        return Purpose.FALLBACK
    if following is Kind.CONTINUATION or attempt.kind is Kind.CONTINUATION:
        return Purpose.SERVED  # a part of the answer, and another one of it
    return _MADE_FOR.get(attempt.kind if following is None else following, Purpose.SERVED)


def _rejected(attempt: Attempt) -> bool:
    return any(finding.action == "reject" for finding in _findings(attempt.outcome)) and isinstance(
        attempt.outcome, Failed
    )


def total(attempts: Iterable[Attempt]) -> int | None:
    """Pico-dollars of all that have a price; None: none of them has one."""
    known = [one.cost.pico for one in attempts if one.cost is not None and one.cost.pico is not None]
    return sum(known) if known else None


# ---- the cap of one request ---------------------------------------------------------------------


def worst(card: Card | None, input_tokens: int, max_output: int | None, choices: int = 1) -> int | None:
    """Pico-dollars that an attempt can cost at most: no cache helps and each of its `choices` is as long as
    it may be. `max_output`: what the request allows; None: as much as the model gives. None: nobody knows.
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
    return input_tokens * dearest_in + choices * longest * max(rates.output, rates.reasoning or 0)


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
