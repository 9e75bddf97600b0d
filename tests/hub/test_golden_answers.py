"""Whole conversations, streams and errors in every direction are as the files for review have them."""

from __future__ import annotations

from itertools import product

import pytest

from tests.hub.golden_answers import FOLDER, KINDS, PAIRS, page, place


@pytest.mark.parametrize(("kind", "pair"), [*product(KINDS, PAIRS)])
def test_a_direction_is_told_as_the_golden_file_has_it(kind: str, pair: tuple[str, str]) -> None:
    """If the change is meant: python -m tests.hub.golden_answers --write, and read what git says of it."""
    assert place(kind, *pair).read_text(encoding="utf-8") == page(kind, *pair)


def test_every_file_is_of_a_direction() -> None:
    expected = {place(kind, *pair) for kind in KINDS for pair in PAIRS}

    assert expected == {file for kind in KINDS for file in (FOLDER / kind).iterdir()}
