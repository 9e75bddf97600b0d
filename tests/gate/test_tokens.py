from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gate.features import Features
from sidecar.gate.tokens import KEPT, LEAST, MOST, START, Ratios, media, tokens


def text(size: int) -> Features:
    return Features(size=size)


def test_before_anything_is_learned_a_prompt_is_guessed_long():
    assert 1000 == tokens(3600, Ratios().of("x"))


def test_a_target_teaches_a_tenth_at_a_time():
    known = Ratios()
    known.learn("x", text(5000), 1000)
    assert pytest.approx(0.9 * START + 0.5) == known.of("x")
    assert START == known.of("y")


def test_what_is_learned_settles_at_what_is_true():
    known = Ratios()
    for _ in range(100):
        known.learn("x", text(4600), 1000)
    assert pytest.approx(4.6, abs=0.01) == known.of("x")


@pytest.mark.parametrize(
    ("features", "counted"),
    [
        (text(5000), None),
        (text(5000), 0),
        (text(5000), -1),
        (text(100), 20),  # mostly what surrounds it
        (Features(size=5000, images=1), 1000),
        (Features(size=5000, read=False), 1000),
    ],
)
def test_what_says_nothing_about_text_teaches_nothing(features: Features, counted: int | None):
    known = Ratios()
    known.learn("x", features, counted)
    assert START == known.of("x")


@given(st.lists(st.tuples(st.integers(256, 10**9), st.integers(1, 10**9)), max_size=50))
def test_no_lesson_leads_out_of_bounds(lessons: list[tuple[int, int]]):
    known = Ratios()
    for size, counted in lessons:
        known.learn("x", text(size), counted)
    assert LEAST <= known.of("x") <= MOST


def test_only_so_many_targets_are_remembered():
    known = Ratios()
    for number in range(KEPT + 5):
        known.learn(f"t{number}", text(6000), 1000)
    assert [START, START] == [known.of("t0"), known.of("t4")]
    assert known.of("t5") > START


def test_media_has_a_price_in_tokens():
    assert 0 == media(text(10))
    assert media(Features(size=1, images=2)) == 2 * media(Features(size=1, images=1)) > 0
    assert media(Features(size=1, documents=1, audio=1, video=1)) > 0
