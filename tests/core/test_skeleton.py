"""The emptiest value of a schema: valid, or none; and never a choice that nobody made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.skeleton import emptiest
from sidecar.schema import compile_schema

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 18},
        "tags": {"type": "array", "items": {"type": "string"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "kind": {"enum": ["friend", "foe", "unknown"]},
        "place": {"$ref": "#/$defs/place"},
    },
    "required": ["name", "age", "tags", "note", "kind", "place"],
    "additionalProperties": False,
    "$defs": {
        "place": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]},
        "tree": {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}, "required": ["next"]},
    },
}


def test_what_has_to_be_there_is_there_and_empty():
    wanted = {"name": "", "age": 18, "tags": [], "note": None, "kind": "unknown", "place": {"lat": 0}}

    assert (wanted,) == emptiest(PERSON)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (True, None),
        ({}, None),
        ({"type": "object"}, {}),
        ({"type": ["string", "null"]}, None),
        ({"type": "boolean"}, False),
        ({"const": "x"}, "x"),
        ({"enum": ["only"]}, "only"),
        ({"type": "array", "minItems": 2, "items": {"type": "integer"}}, [0, 0]),
        ({"type": "string", "minLength": 3}, "---"),
        ({"type": "string", "format": "date"}, "1970-01-01"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "integer", "maximum": -5}, -5),
        ({"oneOf": [{"enum": ["yes", "no"]}, {"type": "array"}]}, []),
        (
            {
                "allOf": [
                    {"required": ["a"], "properties": {"a": {"type": "string"}}},
                    {"required": ["b"], "properties": {"b": {"type": "integer"}}},
                ]
            },
            {"a": "", "b": 0},
        ),
    ],
)
def test_the_emptiest_value(schema: Any, value: Any):
    assert (value,) == emptiest(schema)
    is_valid = compile_schema(json.dumps(schema).encode())
    assert is_valid is not None
    assert is_valid(value)


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {"verdict": {"enum": ["approved", "rejected"]}},
            "required": ["verdict"],
        },
        False,
        {"$ref": "#/$defs/tree", "$defs": PERSON["$defs"]},
        {"$ref": "https://elsewhere.example/schema"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "array", "minItems": 1_000_000},
    ],
    ids=["a choice", "nothing", "endless", "elsewhere", "missing", "itself", "no room", "huge"],
)
def test_where_no_honest_one_is_found_there_is_none(schema: Any):
    assert emptiest(schema) is None


names = st.sampled_from(["a", "b", "c"])
bounds = st.dictionaries(st.sampled_from(["minimum", "maximum", "exclusiveMinimum"]), st.integers(-3, 3))
leaves = st.one_of(
    st.sampled_from([{"type": t} for t in ("string", "boolean", "null", "object", "array")]),
    bounds.map(lambda given: {"type": "integer", **given}),
    bounds.map(lambda given: {"type": "number", **given}),
    st.integers(0, 4).map(lambda least: {"type": "string", "minLength": least}),
    st.lists(st.sampled_from(["x", "y", "unknown", None, 3]), min_size=1, unique=True).map(
        lambda e: {"enum": e}
    ),
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.dictionaries(names, inner).map(
            lambda p: {"type": "object", "properties": p, "required": list(p), "additionalProperties": False}
        ),
        st.tuples(inner, st.integers(0, 3)).map(lambda t: {"type": "array", "items": t[0], "minItems": t[1]}),
        st.lists(inner, min_size=1, max_size=3).map(lambda ways: {"anyOf": ways}),
    ),
    max_leaves=10,
)


@given(schemas)
def test_what_is_found_is_valid(schema: Any):
    found = emptiest(schema)
    is_valid = compile_schema(json.dumps(schema).encode())

    assert is_valid is not None
    assert found is None or is_valid(found[0])
