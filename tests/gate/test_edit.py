from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.dialects.base import BadBody
from sidecar.gate.edit import ABSENT, edited, member

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), JSON, max_size=4)


def test_a_member_is_set_and_the_others_keep_their_bytes():
    body = b'{ "a" : 1.50, "b": {"x":  [1,\\u00e9] } }'.replace(b"\\u00e9", b'"\\u00e9"')
    assert b'{"a":1.50,"b":{"x":  [1,"\\u00e9"] },"c":2}' == edited(body, {("c",): 2})


def test_a_member_is_removed_and_its_empty_house_with_it():
    assert b'{"b":1}' == edited(b'{"a":{"x":{"y":1}},"b":1}', {("a", "x", "y"): ABSENT})


@pytest.mark.parametrize("path", [("z",), ("z", "y"), ("b", "y"), ("a", "z")])
def test_removing_what_is_not_there_keeps_every_byte(path: tuple[str, ...]):
    body = b'{ "a": {"x": 1}, "b" : 2 }'
    assert body == edited(body, {path: ABSENT})


def test_a_value_that_is_no_object_gives_way_to_one():
    assert b'{"a":{"x":1}}' == edited(b'{"a":null}', {("a", "x"): 1})


def test_snake_case_is_met_where_it_may_be_written():
    body = b'{"generation_config":{"top_p":1}}'
    assert b'{"generation_config":{"top_p":2}}' == edited(body, {("generationConfig", "topP"): 2}, snake=True)
    assert 1 == member(body, ("generationConfig", "topP"), snake=True)
    assert ABSENT is member(body, ("generationConfig", "topP"))


@pytest.mark.parametrize("path", [("z",), ("b", "x"), ("a", "z")])
def test_what_is_not_there_is_absent_and_null_is_not(path: tuple[str, ...]):
    body = b'{"a":{"n":null},"b":[1]}'
    assert ABSENT is member(body, path)
    assert member(body, ("a", "n")) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"nope", b'{"a":', b'"text"'])
def test_what_is_no_object_is_told_as_such(body: bytes):
    with pytest.raises(BadBody):
        edited(body, {("a",): 1})
    with pytest.raises(BadBody):
        member(body, ("a",))


@given(OBJECTS, st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map(tuple), JSON)
def test_what_was_set_is_found_and_nothing_else_moved(
    body: dict[str, Any], path: tuple[str, ...], value: Any
):
    raw = json.dumps(body).encode()
    now = edited(raw, {path: value})
    assert value == member(now, path)
    others = {key: held for key, held in body.items() if key != path[0]}
    assert others == {key: held for key, held in json.loads(now).items() if key != path[0]}
    assert ABSENT is member(edited(now, {path: ABSENT}), path)
