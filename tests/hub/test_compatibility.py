"""The page on what arrives in another dialect is what the crossing does, cell by cell."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import msgspec
import pytest

from sidecar.hub import TONGUES
from tests.hub.cases import DIALECTS, cases
from tests.hub.compatibility import ANSWERS, NONE, answer_cell, cell, page
from tests.hub.feature_rows import FEATURES, path_of

PAGE = Path(__file__).parents[2] / "docs" / "translation.md"
PAIRS = [*permutations(DIALECTS, 2)]


def test_the_page_is_what_the_crossings_make() -> None:
    """If the change is meant: make generate, and read what git says of it."""
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("name", FEATURES)
def test_every_client_reads_its_own_feature_back(name: str) -> None:
    """Or a cell that says "exact" would compare nothing with nothing."""
    bare = {
        d: TONGUES[d].read(path_of(d, FEATURES[name]), msgspec.json.encode(cases(d)["text"]))
        for d in DIALECTS
    }
    heard = []
    for dialect in DIALECTS:
        body = FEATURES[name].said(dialect)
        if body is not None:
            asked = TONGUES[dialect].read(path_of(dialect, FEATURES[name]), msgspec.json.encode(body))
            heard.append(FEATURES[name].heard(asked) != FEATURES[name].heard(bare[dialect]))

    assert any(heard), "no dialect says it, or it is heard in every request"


@pytest.mark.parametrize("name", ANSWERS)
def test_every_row_of_answers_has_a_cell(name: str) -> None:
    assert {NONE} != {answer_cell(client, target, name) for client, target in PAIRS}


def test_what_changes_and_is_not_told_is_no_cell() -> None:

    feature = FEATURES["seed"]
    wrong = type(feature)(feature.name, feature.said, id)

    with pytest.raises(AssertionError, match="told to nobody"):
        cell("openai_chat", "gemini", wrong)
