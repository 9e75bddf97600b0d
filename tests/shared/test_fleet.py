"""What is believed of other pods, and what a breaker does about it: pure, with time handed in."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.breaker import EARLY, Breaker, Denied, Permit
from sidecar.core.election import YIELD
from sidecar.core.fleet import (
    LARGEST,
    MAC,
    NAME,
    PODS,
    ROWS,
    SUBJECTS,
    Fleet,
    Lease,
    Message,
    Refuse,
    Row,
    Seal,
    Wait,
    letters,
)
from sidecar.core.report import Report
from sidecar.core.waits import Waits
from sidecar.faults import HOLD_CAP, Charge
from sidecar.model import BreakerState, Fault
from sidecar.settings import BreakerRules

SEAL = Seal(b"a key of the whole fleet", "llm-sidecar")
SUBJECT = ("openai", "gpt", "c8fe32c7")
TROUBLE = Report(bad=3, bodies=(1, 2, 3), since=5.0)


def message(pod: str = "other", count: int = 1, at: float = 1000.0, **more: object) -> Message:
    rows = (Row(SUBJECT, TROUBLE),)
    return msgspec.structs.replace(Message(pod=pod, count=count, at=at, breakers=rows), **more)


def heard(fleet: Fleet, *blobs: bytes, now: float = 0.0, wall: float = 1000.0) -> list[Wait]:
    return fleet.hear(SEAL, blobs, now, wall)


# ---- what is believed


def test_what_is_signed_is_heard_and_is_of_use_for_seconds() -> None:
    fleet = Fleet("me", fresh=10.0)
    heard(fleet, SEAL.close(message()))
    assert fleet.of(SUBJECT, 2.0) == [TROUBLE.later(2.0)]
    assert fleet.of(SUBJECT, 10.1) == []
    assert fleet.of(("openai", "gpt", "another"), 2.0) == ()


def test_our_own_words_tell_us_nothing() -> None:
    fleet = Fleet("me")
    heard(fleet, SEAL.close(message("me")))
    assert fleet.of(SUBJECT, 0.0) == ()


@pytest.mark.parametrize(
    ("reason", "blob"),
    [
        ("unreadable", b""),
        ("unreadable", b"\x80\x04pickle"),
        ("unreadable", b"-1:" + b"x" * 80),
        ("unreadable", b"2:" + SEAL.close(message())[2:]),
        ("forged", SEAL.close(message())[:-1] + b" "),
        ("forged", Seal(b"the key of another fleet", "llm-sidecar").close(message())),
        ("forged", Seal(SEAL.key, "another-prefix").close(message())),
        ("forged", SEAL.close(Lease("other", SUBJECT, 2000.0))),
        ("forged", b"1:"),
        ("unreadable", b"1:" + b"x" * LARGEST),
        ("unreadable", SEAL.close(message(breakers=(Row(SUBJECT, Report(failed=99)),)))),
        ("unreadable", SEAL.close(message(breakers=(Row(SUBJECT, Report(rest=1e9)),)))),
        ("unreadable", SEAL.close(message(breakers=(Row(("x" * 300, "", ""), TROUBLE),)))),
        ("stale", SEAL.close(message(at=1006.0))),
        ("stale", SEAL.close(message(at=1e300))),
    ],
)
def test_what_is_not_ours_is_counted_and_ignored(reason: str, blob: bytes) -> None:
    fleet = Fleet("me")
    assert heard(fleet, blob) == []
    assert fleet.refused == {reason: 1}
    assert fleet.of(SUBJECT, 0.0) == ()


def test_the_format_is_the_one_that_its_version_says() -> None:
    """Pods of the last release read it: who changes this text raises VERSION."""
    report = Report(open=True, bad=1, bodies=(7,), since=1.0, rest=2.0, failed=3, probed=4.0, recovered=5.0)
    wait = Wait(("provider", "openai"), 30.0, Fault.BILLING, True)
    body = SEAL.close(Message("pod", 1, 2.0, (Row(SUBJECT, report),), (wait,)))[2 + MAC :]
    assert (
        b'{"pod":"pod","count":1,"at":2.0,"breakers":[[["openai","gpt","c8fe32c7"],{"open":true,"bad":1,'
        b'"bodies":[7],"since":1.0,"rest":2.0,"failed":3,"probed":4.0,"recovered":5.0}]],'
        b'"waits":[[["provider","openai"],30.0,"billing",true]]}'
    ) == body
    lease = SEAL.close(Lease("pod", SUBJECT, 3.0))[2 + MAC :]
    assert b'{"pod":"pod","subject":["openai","gpt","c8fe32c7"],"until":3.0}' == lease


def test_what_is_too_large_for_one_value_is_told_in_several() -> None:
    long = "m" * NAME
    rows = tuple(Row((f"provider-{number}", long, long), TROUBLE) for number in range(ROWS))
    waits = (Wait(("provider", "openai"), 60.0, Fault.RATE_LIMIT_RPM, True),)
    told = letters(SEAL, message(count=7, breakers=rows, waits=waits))
    fleet = Fleet("me")
    assert list(waits) == heard(fleet, *told)
    assert all(fleet.of(row.subject, 0.0) for row in rows)
    assert ({}, list(range(7, 7 + len(told)))) == (
        fleet.refused,
        [SEAL.open_message(blob).count for blob in told],
    )


def test_an_outage_of_days_is_told_within_what_others_read() -> None:
    made = opened()
    for number in range(3):
        made.record(Permit(made._generation), Charge.BAD, 1.0, call=str(number), body=number)
    told = made.report(5 * 86400.0, 10.0)
    assert told is not None
    assert 5 <= told.bad, "nothing was learned since"
    fleet = Fleet("me")
    heard(fleet, SEAL.close(message(breakers=(Row(SUBJECT, told),))))
    assert {} == fleet.refused


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(blob: bytes) -> None:
    fleet = Fleet("me")
    assert heard(fleet, blob, b"1:" + blob) == []
    assert sum(fleet.refused.values()) == 2


def test_an_old_message_that_is_written_again_says_nothing() -> None:
    fleet = Fleet("me")
    old, new = SEAL.close(message()), SEAL.close(message(count=2, breakers=(Row(SUBJECT, Report(bad=1)),)))
    heard(fleet, old, new, old)
    assert fleet.of(SUBJECT, 0.0) == [Report(bad=1)]
    assert fleet.refused == {}


def test_an_old_report_is_of_no_use_and_an_old_wait_is_as_long_as_is_left_of_it() -> None:
    fleet = Fleet("me", fresh=10.0)
    waits = (
        Wait(("provider", "openai"), 60.0, Fault.RATE_LIMIT_RPM, True),
        Wait(("provider", "over"), 20.0, Fault.RATE_LIMIT_RPM, True),
        Wait(("provider", "openai"), 60.0, Fault.AUTH, False),
        Wait(("key", "openai"), 60.0, Fault.BILLING, False),
    )
    found = heard(fleet, SEAL.close(message(at=970.0, waits=waits)))
    assert [Wait(("provider", "openai"), 30.0, Fault.RATE_LIMIT_RPM, True)] == found
    assert fleet.of(SUBJECT, 0.0) == ()


def test_what_is_kept_of_others_is_bounded_and_the_newest_stays() -> None:
    fleet = Fleet("me")
    for number in range(PODS + 20):
        heard(fleet, SEAL.close(message(f"pod-{number}", breakers=(Row(SUBJECT, Report(bad=number)),))))
    assert list(range(20, PODS + 20)) == [report.bad for report in fleet.of(SUBJECT, 0.0)]
    for number in range(SUBJECTS + 20):
        rows = (Row(("openai", f"model-{number}", ""), TROUBLE),)
        heard(fleet, SEAL.close(message(count=number + 2, breakers=rows)))
    assert SUBJECTS == len(fleet._reports)


def test_a_lease_is_for_one_breaker_and_ends() -> None:
    blob = SEAL.close(Lease("other", SUBJECT, 1010.0))
    assert "other" == SEAL.open_lease(blob, SUBJECT, 1000.0).pod
    for subject, wall in ((("a", "b", "c"), 1000.0), (SUBJECT, 1100.0)):
        with pytest.raises(Refuse, match="stale"):
            SEAL.open_lease(blob, subject, wall)


def test_nothing_shows_the_key_the_names_or_a_request() -> None:
    assert "whole fleet" not in repr(SEAL)
    assert SEAL.name(SUBJECT) == SEAL.name(SUBJECT) != SEAL.name(("openai", "gpt", ""))
    assert "openai" not in SEAL.name(SUBJECT)
    assert SEAL.mark(b"prompt") != Seal(b"the key of another fleet", "").mark(b"prompt")


# ---- what a breaker does about it


def breaker(**rules: float) -> Breaker:
    made = Breaker(BreakerRules(jitter=0.0, **rules), random.Random(1))  # type: ignore[arg-type]
    made.election.until = 1e9
    return made


def bad(made: Breaker, now: float, body: int = 10) -> None:
    permit = made.allow(now)
    assert isinstance(permit, Permit)
    made.record(permit, Charge.BAD, now, call=f"call-{now}", body=body)


def opened(now: float = 0.0) -> Breaker:
    made = breaker()
    for number in range(5):
        bad(made, now, number)
        made._samples[-1].call = f"call-{number}"
    if made.state is BreakerState.CLOSED:  # its run came from one call until now
        made._trip(now)
    assert BreakerState.OPEN is made.state
    return made


def test_one_bad_sample_is_enough_where_two_other_pods_are_in_trouble() -> None:
    made = breaker()
    bad(made, 100.0)
    assert "tripped" == made.advise([TROUBLE, TROUBLE], 100.5)
    assert "fleet" == made.moves()[-1].trigger


def test_what_the_fleet_said_before_counts_at_the_first_bad_sample() -> None:
    made = breaker()
    assert "" == made.advise([TROUBLE, TROUBLE], 100.0)
    bad(made, 100.5)
    assert BreakerState.OPEN is made.state


def _good_since() -> Iterator[tuple[str, Breaker, list[Report]]]:
    made = breaker()
    yield "nothing bad was seen here", made, [TROUBLE] * 5
    made = breaker()
    bad(made, 100.0)
    yield "one other pod is no fleet", made, [TROUBLE]
    made = breaker()
    bad(made, 100.0)
    yield "others who only heard of it are no evidence", made, [Report(open=True)] * 5
    made = breaker()
    bad(made, 100.0)
    yield "others who have recovered are none", made, [Report(recovered=1.0)] * 5
    made = breaker()
    bad(made, 100.0, body=1)
    one = Report(bad=3, bodies=(1,), since=5.0)
    yield "one request that fails in every pod is its own fault", made, [one] * 5
    made = breaker()
    bad(made, 99.0)
    permit = made.allow(99.5)
    assert isinstance(permit, Permit)
    made.record(permit, Charge.GOOD, 99.5, call="good", body=77)
    bad(made, 100.0, body=78)
    yield "it was seen to answer since their trouble began", made, [TROUBLE] * 5
    made = breaker()
    bad(made, 100.0)
    made.election.until = 100.2
    yield "the advisor has fallen silent", made, [TROUBLE] * 5
    made = breaker()
    bad(made, 100.0)
    yield "three samples are no run", made, [Report(bad=1, bodies=(1,)), Report(bad=1, bodies=(2,))]
    made = breaker()
    bad(made, 10.0)
    yield "what was bad long before is another matter", made, [TROUBLE] * 5


@pytest.mark.parametrize(
    ("why", "made", "said"), list(_good_since()), ids=lambda x: x if isinstance(x, str) else ""
)
def test_it_stays_closed_where(why: str, made: Breaker, said: list[Report]) -> None:
    assert "" == made.advise(said, 100.5), why
    assert BreakerState.CLOSED is made.state


def test_an_operators_word_is_neither_told_nor_advised() -> None:
    made = opened()
    made.force(BreakerState.CLOSED, 1.0)
    assert made.report(1.0, 10.0) is None
    assert "" == made.advise([TROUBLE] * 5, 1.0)


def test_a_probe_needs_the_lease_and_the_wish_is_known() -> None:
    made = opened()
    assert Denied(60.0) == made.allow(1.0)
    assert not made.wants(60.0, 3.0)
    assert isinstance(made.allow(61.0), Denied)
    assert made.wants(61.0, 3.0)
    made.election.hold(1e9, 70.0)
    assert made.allow(62.0) == Permit(made._generation, probe=True)
    assert made.wants(69.0, 3.0), "it is at it"


def test_without_an_answer_it_probes_by_its_own_timers() -> None:
    made = opened()
    made.election.until = 60.5
    assert isinstance(made.allow(60.4), Denied)
    assert isinstance(made.allow(60.6), Permit)


def test_a_lease_that_nobody_uses_holds_no_probe_up_for_long() -> None:
    made = opened()
    assert isinstance(made.allow(60.0 + YIELD - 0.1), Denied)
    assert isinstance(made.allow(60.0 + YIELD), Permit)


def test_a_lonely_calls_early_probe_needs_the_lease_too() -> None:
    made = opened()
    no = made.insist(EARLY + 1.0, early=True)
    assert isinstance(no, Denied)
    assert no.until < EARLY + 2.0
    made.election.hold(1e9, 20.0)
    assert isinstance(made.insist(EARLY + 1.5, early=True), Permit)


def test_the_verdict_of_another_pods_probe_is_ours() -> None:
    made = opened()
    failed = Report(open=True, failed=2, rest=200.0, probed=1.0)
    assert "verdict" == made.advise([failed], 61.0)
    assert 261.0 == made.until
    assert "" == made.advise([failed.later(3.0)], 64.0), "it is known"
    assert 261.0 == made.until


def test_no_verdict_of_others_keeps_a_pod_from_looking_itself_for_ever() -> None:
    made = opened()
    failed = Report(open=True, failed=5, rest=300.0, probed=0.1)
    said = [made.advise([failed], float(now)) for now in range(60, 900, 60)]
    assert {"verdict"} == set(said[:9])
    assert {""} == set(said[10:])
    assert made.until < 1000.0
    assert "" == made.advise([Report(open=True, rest=86400.0, failed=5, probed=0.0)], 1000.0)


def test_good_probes_of_others_free_ours_and_ours_close_it() -> None:
    made = opened()
    assert "verdict" == made.advise([Report(recovered=1.0)], 30.0)
    for now in (30.1, 30.2):
        permit = made.allow(now)
        assert isinstance(permit, Permit)
        assert permit.probe
        made.record(permit, Charge.GOOD, now, call=str(now), body=1)
    assert BreakerState.CLOSED is made.state
    told = made.report(31.0, 10.0)
    assert told is not None
    assert told.recovered == pytest.approx(0.8)
    assert made.report(50.0, 10.0) is None


def test_who_says_again_and_again_that_it_is_well_does_not_make_a_pod_ask_all_the_time() -> None:
    made = opened()
    probes = 0
    for tenth in range(300, 900):
        made.advise([Report(recovered=0.0)], tenth / 10)
        permit = made.allow(tenth / 10)
        if isinstance(permit, Permit):
            probes += 1
            made.record(permit, Charge.BAD, tenth / 10, call=str(tenth), body=tenth)
    assert 2 <= probes <= 60 / EARLY


def test_a_lease_that_went_to_another_pod_is_no_lease() -> None:
    made = opened()
    made.election.hold(1e9, 80.0)
    made.election.hold(1e9, 60.0)
    assert isinstance(made.allow(61.0), Denied)


def test_a_recovery_before_our_trouble_is_none() -> None:
    made = opened(now=100.0)
    assert "" == made.advise([Report(recovered=5.0)], 102.0)
    assert Denied(160.0) == made.allow(102.0)


def test_what_a_breaker_tells_is_what_it_met() -> None:
    made = breaker()
    assert made.report(0.0, 10.0) is None
    bad(made, 1.0, body=7)
    assert made.report(2.0, 10.0) == Report(bad=1, bodies=(7,), since=1.0)
    made.advise([TROUBLE, TROUBLE], 3.0)
    told = made.report(4.0, 10.0)
    assert told is not None
    assert (told.open, told.bad, told.probed) == (True, 1, None), "what others met is theirs to tell"


# ---- waits


def test_a_wait_of_another_pod_holds_here_and_is_not_told_again() -> None:
    waits = Waits()
    assert waits.advise(("provider", "openai"), 30.0, Fault.RATE_LIMIT_RPM, 100.0, named=True)
    assert not waits.advise(("provider", "openai"), 29.5, Fault.RATE_LIMIT_RPM, 100.0, named=True)
    hold = waits.refusal(110.0, provider="openai", model="gpt", digest="d")
    assert hold is not None
    assert 130.0 == hold.until
    assert [] == waits.news(0.0)
    assert waits.refusal(131.0, provider="openai", model="gpt", digest="d") is None


def test_no_wait_of_another_pod_is_longer_than_our_own_may_be() -> None:
    waits = Waits()
    waits.advise(("provider", "openai"), 80000.0, Fault.RATE_LIMIT_DAILY, 0.0, named=True)
    assert waits.refusal(HOLD_CAP + 1, provider="openai", model="gpt", digest="d") is None
