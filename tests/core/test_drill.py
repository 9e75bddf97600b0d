"""Who may ask for a fault, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import drill
from sidecar.model import Drill

KEY = "the operator's key"
NOW = 1_764_324_000.0


def header(minutes: float = 10.0, **more: str) -> str:
    asked: dict[str, Any] = {"fault": "overloaded", "until": drill.moment(NOW, minutes), **more}
    return drill.written(Drill(**asked), KEY)


def test_what_is_signed_is_read_back():
    found = drill.read(header(target="openai"), KEY, NOW)

    assert isinstance(found, Drill)
    assert ("overloaded", "openai", 1.0) == (found.fault, found.target, found.share)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (header().replace("overloaded", "network"), "signature"),
        (header().partition("; sig=")[0], "signature"),
        ("", "signature"),
        (header(minutes=-1), "over"),
        (header(minutes=61), "longer than an hour"),
        (header(until="tomorrow"), "no time"),
        (header(fault="flood"), "no fault"),
    ],
)
def test_anything_else_is_refused_with_the_reason(value: str, why: str):
    found = drill.read(value, KEY, NOW)

    assert isinstance(found, str)
    assert why in found


@given(st.text(max_size=40))
def test_no_other_key_opens_it(key: str):
    if key != KEY:
        assert isinstance(drill.read(header(), key, NOW), str)


@given(st.text(max_size=80))
def test_no_text_breaks_it(value: str):
    assert isinstance(drill.read(value, KEY, NOW), str)
