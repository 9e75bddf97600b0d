from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.bill import (
    FREE,
    Seen,
    breaks,
    cost,
    dollars,
    pico,
    priced,
    settle,
    total,
    whole,
    worked,
    worst,
)
from sidecar.model import (
    Answered,
    Attempt,
    Cost,
    Failed,
    Fault,
    Finding,
    Head,
    Kind,
    Outcome,
    Purpose,
    Refused,
    RefusedBy,
    Tier,
    Usage,
)
from sidecar.models.card import PICO, Card, Price, Rates
from sidecar.models.card import Tier as Dearer

PLAIN = Price(Rates(input=3, output=10))
RICH = Price(Rates(input=100, output=1000, cache_read=10, cache_write=125, reasoning=500))
LONG = Price(Rates(1, 2), (Dearer(1000, Rates(3, 4)),))
CARD = Card(provider="p", name="m", price=PLAIN, output=50)
WHOLE = Seen(worked=True, whole=True, sent=7, said=11)
CUT = Seen(worked=True, whole=False, sent=7, said=11)
GONE = Seen(worked=False, whole=False, sent=7)


# ---- one price ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "usage", "expected"),
    [
        (PLAIN, Usage(input_total=100, output_total=10), 400),
        (PLAIN, Usage(), 0),
        (RICH, Usage(input_total=10, output_total=1), 2000),
        (RICH, Usage(input_total=10, cache_read=4), 640),
        (RICH, Usage(input_total=10, cache_write=4), 1100),
        (RICH, Usage(input_total=10, cache_read=3, cache_write=7), 905),
        (RICH, Usage(output_total=10, reasoning=8), 6000),  # reasoning is part of the output
        (RICH, Usage(output_total=2, reasoning=8), 6000),  # or beside it, where it is more than that
        (PLAIN, Usage(input_total=10, cache_read=10, cache_write=0, output_total=5, reasoning=5), 80),
        (LONG, Usage(input_total=1000, output_total=1), 1002),
        (LONG, Usage(input_total=1001, output_total=1), 3007),
    ],
)
def test_a_usage_has_a_price(price: Price, usage: Usage, expected: int):
    assert expected == priced(price, usage)


def test_a_million_tokens_cost_what_the_list_says():
    listed = Price(Rates(input=2_500_000, output=10_000_000))  # $2.50 and $10 a million
    usage = Usage(input_total=1_000_000, output_total=1_000_000)
    assert 12.5 == dollars(priced(listed, usage))


COUNT = st.none() | st.integers(-5, 10**7)
USAGES = st.builds(
    Usage, input_total=COUNT, output_total=COUNT, cache_read=COUNT, cache_write=COUNT, reasoning=COUNT
)
RATE = st.integers(0, 10**8)
RATES = st.builds(Rates, RATE, RATE, st.none() | RATE, st.none() | RATE, st.none() | RATE)
PRICES = st.builds(Price, RATES, st.lists(st.builds(Dearer, st.just(200_000), RATES), max_size=1).map(tuple))


@given(PRICES, USAGES)
def test_no_usage_costs_less_than_nothing(price: Price, usage: Usage):
    assert priced(price, usage) >= 0


@given(RATES, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_every_token_is_charged_once(rates: Rates, read: int, write: int, output: int):
    flat = Price(Rates(1, 1, 1, 1, 1))
    usage = Usage(
        input_total=read + write + 5,
        cache_read=read,
        cache_write=write,
        output_total=output,
        reasoning=output // 2,
    )
    assert read + write + 5 + output == priced(flat, usage)


# ---- one attempt ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "seen", "expected"),
    [
        (Usage(input_total=100, output_total=10), WHOLE, Cost(400)),
        (None, WHOLE, Cost(131, estimated=True)),  # 7 and 11 guessed tokens
        (Usage(input_total=100), WHOLE, Cost(410, estimated=True)),
        (Usage(output_total=10), WHOLE, Cost(121, estimated=True)),
        (Usage(input_total=100, output_total=1), CUT, Cost(410, estimated=True)),  # an opening event's count
        (Usage(input_total=100, output_total=50), CUT, Cost(800, estimated=True)),
        (None, CUT, Cost(131, estimated=True)),
        (None, GONE, FREE),
        (Usage(input_total=100), GONE, FREE),
        (Usage(input_total=100, output_total=10), GONE, Cost(400, estimated=True)),
    ],
)
def test_what_is_reported_is_counted_and_what_is_not_is_guessed(
    usage: Usage | None, seen: Seen, expected: Cost
):
    assert expected == cost(CARD, usage, seen)


def test_without_a_price_an_attempt_is_unpriced_and_not_free():
    assert Cost(None) == cost(None, Usage(input_total=1), WHOLE)
    assert Cost(None) == cost(Card(provider="p", name="m"), Usage(input_total=1), WHOLE)
    assert FREE == cost(None, None, GONE)


def test_a_price_found_under_a_similar_name_is_an_estimate():
    near = Card(provider="p", name="m", price=PLAIN, exact=False)
    assert Cost(400, estimated=True) == cost(near, Usage(input_total=100, output_total=10), WHOLE)


def test_an_embedding_has_no_output_to_guess():
    vectors = Card(provider="p", name="m", price=Price(Rates(2, 0)), embedding=True)
    assert Cost(200) == cost(vectors, Usage(input_total=100), WHOLE)
    assert Cost(14, estimated=True) == cost(vectors, None, CUT)
    unknown = Card(provider="p", name="m", price=Price(Rates(2, 0)))
    embeds = Seen(worked=True, whole=True, embeds=True)
    assert Cost(200) == cost(unknown, Usage(input_total=100), embeds)


@given(
    st.none() | USAGES,
    st.builds(Seen, worked=st.booleans(), whole=st.booleans(), sent=COUNT.map(lambda n: max(n or 0, 0))),
)
def test_an_attempt_never_costs_less_than_nothing(usage: Usage | None, seen: Seen):
    assert (cost(CARD, usage, seen).pico or 0) >= 0


OK, BAD = Head(200), Head(500)
REJECT = (Finding("empty", "reject", Fault.EMPTY_OUTPUT),)
REJECTED = Failed(Fault.EMPTY_OUTPUT, head=OK, findings=REJECT)
LOST = Failed(Fault.SERVER_ERROR, head=BAD)
CUT_OFF = Failed(Fault.STREAM_CUT)
SEEN: list[tuple[int, Outcome | None, tuple[bool, bool]]] = [  # worked, whole
    (200, Answered(200), (True, True)),
    (200, REJECTED, (True, True)),
    (200, CUT_OFF, (True, False)),
    (200, LOST, (False, False)),  # an error inside an answer of 200
    (500, LOST, (False, False)),
    (400, Answered(400), (False, True)),
    (0, Failed(Fault.NETWORK), (False, False)),
    (0, Failed(Fault.TIMEOUT), (True, False)),  # it may be at work still
    (0, Failed(Fault.TTFT_TIMEOUT), (True, False)),
    (0, None, (True, False)),  # the client left
    (0, Refused(RefusedBy.BREAKER), (False, False)),
]


@pytest.mark.parametrize(("status", "outcome", "expected"), SEEN)
def test_an_attempt_tells_what_may_be_charged_for_it(
    status: int, outcome: Outcome | None, expected: tuple[bool, bool]
):
    tried = made(1, outcome=outcome, status=status)
    assert expected == (worked(tried), whole(tried))


# ---- what the money was for -----------------------------------------------------------------------


def made(
    number: int,
    kind: Kind = Kind.INITIAL,
    outcome: Outcome | None = LOST,
    *,
    amount: int | None = 5,
    **fields: Any,
) -> Attempt:
    return Attempt(
        number=number, target="t", provider="p", model="m", kind=kind, breaker="closed", started=0.0,
        outcome=outcome, cost=Cost(amount), **fields,
    )  # fmt: skip


def purposes(*attempts: Attempt, end: Outcome | None = None, committed: bool = False) -> list[str]:
    settle(attempts, end, committed=committed)
    return [one.purpose.value for one in attempts if one.purpose is not None]


GOOD = Answered(200)
FALLBACK, RETRY, PROBE, GOES_ON = Kind.FALLBACK, Kind.RETRY, Kind.PROBE, Kind.CONTINUATION
STATIC = Answered(200, tier=Tier.STATIC)
WENT_ON = made(2, GOES_ON, GOOD, first_content=1.0)
REDUCED = Answered(200, findings=REJECT, tier=Tier.REDUCED)


@pytest.mark.parametrize(
    ("attempts", "end", "committed", "expected"),
    [
        ([made(1, outcome=GOOD)], GOOD, True, ["served"]),
        ([made(1)], LOST, False, ["served"]),  # nobody was asked beside it
        ([made(1)], STATIC, True, ["served"]),
        ([made(1, outcome=CUT_OFF)], CUT_OFF, True, ["served"]),
        ([made(1, outcome=None)], None, True, ["served"]),
        ([made(1), made(2, RETRY, GOOD)], GOOD, True, ["retry", "served"]),
        ([made(1), made(2, FALLBACK, GOOD)], GOOD, True, ["fallback", "served"]),
        ([made(1), made(2, RETRY), made(3, FALLBACK, GOOD)], GOOD, True, ["retry", "fallback", "served"]),
        ([made(1), made(2, FALLBACK, CUT_OFF)], CUT_OFF, True, ["fallback", "served"]),  # a part of it
        ([made(1), made(2, RETRY)], LOST, False, ["retry", "retry"]),
        ([made(1), made(2, FALLBACK)], LOST, False, ["fallback", "fallback"]),
        ([made(1), made(2, FALLBACK)], STATIC, True, ["fallback", "fallback"]),
        ([made(1, outcome=REJECTED), made(2, FALLBACK, GOOD)], GOOD, True, ["quality_rejected", "served"]),
        ([made(1, outcome=REJECTED), made(2, FALLBACK)], REDUCED, True, ["served", "fallback"]),
        ([made(1, outcome=REJECTED)], REJECTED, False, ["quality_rejected"]),
        ([made(1, outcome=GOOD), made(2, FALLBACK, None, lost_race=True)], GOOD, True, ["served", "hedge"]),
        ([made(1, outcome=None, lost_race=True), made(2, FALLBACK, GOOD)], GOOD, True, ["hedge", "served"]),
        ([made(1, PROBE)], LOST, False, ["served"]),
        (
            [made(1, outcome=CUT_OFF), made(2, GOES_ON, GOOD, first_content=1.0)],
            GOOD,
            True,
            ["served", "served"],
        ),
        ([made(1, outcome=CUT_OFF), made(2, GOES_ON)], CUT_OFF, True, ["served", "fallback"]),
        ([made(1, PROBE), made(2, FALLBACK, GOOD)], GOOD, True, ["fallback", "served"]),
        ([], GOOD, True, []),
    ],
)
def test_every_attempt_has_one_purpose(
    attempts: list[Attempt], end: Outcome | None, committed: bool, expected: list[str]
):
    assert expected == purposes(*attempts, end=end, committed=committed)


ENDS: st.SearchStrategy[Outcome | None] = st.sampled_from(
    [GOOD, LOST, CUT_OFF, REJECTED, STATIC, REDUCED, None]
)
ATTEMPTS = st.lists(
    st.tuples(st.sampled_from(Kind), ENDS, st.none() | st.integers(0, 10**15), st.booleans()), max_size=8
).map(
    lambda rows: [
        made(n, kind, end, amount=amount, lost_race=lost)
        for n, (kind, end, amount, lost) in enumerate(rows, 1)
    ]
)


@given(ATTEMPTS, ENDS, st.booleans())
def test_the_sum_over_purposes_is_the_sum_over_attempts(
    attempts: list[Attempt], end: Outcome | None, committed: bool
):
    settle(attempts, end, committed=committed)
    by_purpose = [total(one for one in attempts if one.purpose is purpose) or 0 for purpose in Purpose]
    assert sum(by_purpose) == (total(attempts) or 0) == sum((a.cost and a.cost.pico) or 0 for a in attempts)


@given(ATTEMPTS, ENDS, st.booleans())
def test_at_most_one_answer_is_served_and_none_twice(
    attempts: list[Attempt], end: Outcome | None, committed: bool
):
    settle(attempts, end, committed=committed)
    asked_beside = [one for one in attempts if not one.lost_race]
    assert None not in [one.purpose for one in attempts]
    if len(asked_beside) > 1 and {one.kind for one in asked_beside} <= {RETRY, FALLBACK}:
        assert sum(one.purpose is Purpose.SERVED for one in attempts) <= 1


def test_a_call_without_any_known_price_has_no_sum():
    assert total([]) is None
    assert total([made(1, amount=None)]) is None
    assert 5 == total([made(1, amount=None), made(2)])


# ---- the cap --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_output", "expected"),
    [(None, 100 * 3 + 50 * 10), (20, 100 * 3 + 20 * 10), (500, 100 * 3 + 50 * 10)],
)
def test_the_worst_is_the_longest_answer_without_any_cache(max_output: int | None, expected: int):
    assert expected == worst(CARD, 100, max_output)


def test_every_choice_may_be_as_long_as_the_limit():
    assert 100 * 3 + 3 * 20 * 10 == worst(CARD, 100, 20, 3)


def test_the_worst_counts_the_dearest_kind_of_token():
    rich = Card(provider="p", name="m", price=RICH, output=50)
    assert 10 * 125 + 50 * 1000 == worst(rich, 10, None)


@pytest.mark.parametrize(
    "card", [None, Card(provider="p", name="m"), Card(provider="p", name="m", price=PLAIN)]
)
def test_where_price_or_length_are_unknown_the_worst_is_too(card: Card | None):
    assert worst(card, 100, None) is None


def test_an_embedding_costs_its_input():
    assert 200 == worst(Card(provider="p", name="m", embedding=True, price=Price(Rates(2, 0))), 100, None)


@pytest.mark.parametrize(
    ("spent", "most", "expected"), [(0, 10, False), (1, 10, True), (0, 11, True), (50, None, False)]
)
def test_a_cap_is_broken_by_what_goes_above_it(spent: int, most: int | None, expected: bool):
    assert expected is breaks(10, spent, most)


@given(PRICES, st.integers(0, 10**6), st.integers(1, 10**5), st.integers(0, 10**6), st.integers(0, 10**5))
def test_no_attempt_costs_more_than_its_worst(price: Price, sent: int, limit: int, cached: int, thought: int):
    rates = [price.rates, *(tier.rates for tier in price.tiers)]
    if any((r.cache_read or 0) > max(r.input, r.cache_write or 0) for r in rates):
        return  # nobody charges more for what is in the cache
    usage = Usage(
        input_total=sent, output_total=limit, cache_read=min(cached, sent), reasoning=min(thought, limit)
    )
    most = worst(Card(provider="p", name="m", price=price), sent, limit)
    assert most is not None
    assert priced(price, usage) <= most


@given(st.integers(0, 10**18))
def test_dollars_and_pico_dollars_are_the_same_money(amount: int):
    assert pico(dollars(amount)) == pytest.approx(amount, rel=1e-12)
    assert PICO == pico(1)
