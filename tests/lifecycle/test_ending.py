"""How long a sidecar stays after it was told to go."""

from __future__ import annotations

from math import inf

import pytest

from sidecar.core.admission import Admission
from sidecar.core.ending import MARGIN, QUIET, Ending


@pytest.mark.parametrize("native", [True, None])
def test_where_the_application_has_gone_an_idle_sidecar_goes_at_once(native: bool | None):
    ending = Ending(native, 30.0)
    ending.terminate(100.0, 20.0)

    assert ending.over(100.0, busy=0, connected=3)
    assert not ending.over(100.0, busy=1, connected=3)
    assert ending.over(120.0, busy=1, connected=3)


def test_beside_an_application_that_ends_it_stays_until_that_has_gone():
    ending = Ending(native=False, grace=30.0)
    ending.terminate(100.0, 20.0)

    assert not ending.over(100.0, busy=0, connected=1)
    assert not ending.over(105.0, busy=0, connected=0)
    assert not ending.over(106.0, busy=0, connected=1)  # it came back
    assert not ending.over(107.0, busy=0, connected=0)
    assert not ending.over(107.0 + QUIET - 0.1, busy=0, connected=0)
    assert ending.over(107.0 + QUIET, busy=0, connected=0)


def test_the_grace_period_counts_from_the_first_word_and_keeps_a_margin():
    ending = Ending(native=True, grace=30.0)
    assert inf == ending.latest

    ending.begin(100.0)
    ending.begin(110.0)
    ending.terminate(115.0, 20.0)

    assert 130.0 - MARGIN == ending.latest == ending.limit


def test_a_grace_that_is_used_up_leaves_nothing_but_last_words():
    ending = Ending(native=True, grace=10.0)
    ending.begin(100.0)
    ending.terminate(140.0, 20.0)

    assert 140.0 == ending.limit
    assert ending.over(140.0, busy=5, connected=5)


def test_a_second_signal_ends_it_even_if_both_come_before_anybody_looks():
    ending = Ending(native=False)
    ending.hurry(100.0)
    ending.terminate(100.1, 20.0)

    assert ending.over(100.1, busy=9, connected=9)


def test_no_call_is_promised_more_than_is_left_nor_less_than_a_moment():
    admission = Admission(slots=1, bytes=1)
    assert 400.0 == admission.deadline(100.0, 400.0)

    admission.latest = 126.0
    assert 126.0 == admission.deadline(100.0, 400.0)
    assert 110.0 == admission.deadline(100.0, 110.0)
    assert 131.0 == admission.deadline(130.0, 400.0)
