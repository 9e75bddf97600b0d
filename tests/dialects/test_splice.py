from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.dialects.base import BadBody
from sidecar.dialects.splice import replace, spans

KEYS = st.sampled_from(["model", "messages", "mod", "model ", "m\\odel", 'mo"del', "ключ", ""])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | KEYS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def objects(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, Any]]]:
    """An object as text in some client's own spacing and escapes, its keys perhaps there twice."""
    members = draw(st.lists(st.tuples(KEYS, VALUES), max_size=6))
    space = st.sampled_from(["", " ", "\n  ", "\t\r\n"])
    ascii_only = draw(st.booleans())
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:  ")]))

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, separators=separators)

    body = ",".join(
        f"{draw(space)}{text(key)}{draw(space)}:{draw(space)}{text(value)}{draw(space)}"
        for key, value in members
    )
    return f"{draw(space)}{{{draw(space)}{body}}}{draw(space)}".encode("utf-8", "surrogatepass"), members


def pairs(body: bytes) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []

    def hook(each: list[tuple[str, Any]]) -> dict[str, Any]:
        found[:] = each  # the outermost object comes last
        return dict(each)

    json.loads(body.decode("utf-8", "surrogatepass"), object_pairs_hook=hook)
    return found


@settings(max_examples=150)
@given(objects())
def test_only_top_level_values_of_the_key_change(made: tuple[bytes, list[tuple[str, Any]]]) -> None:
    body, members = made

    changed = replace(body, "model", b'"other"')

    assert [(key, "other" if key == "model" else value) for key, value in members] == pairs(changed)
    # and between the values every byte is the client's
    assert outside(body) == outside(changed)


def outside(body: bytes) -> list[bytes]:
    kept, last = [], 0
    for start, end in spans(body, "model"):
        kept.append(body[last:start])
        last = end
    return [*kept, body[last:]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a"}', b'{"model":"z"}'),
        (b' {\n\t"model" :\r\n "a\\"b\\\\" , "x":1}\n', b' {\n\t"model" :\r\n "z" , "x":1}\n'),
        (b'{"m\\u006fdel":"a","model":null}', b'{"m\\u006fdel":"z","model":"z"}'),
        (
            b'{"a":{"model":"b"},"model":{"x":"}"},"b":["model",{"model":1}]}',
            b'{"a":{"model":"b"},"model":"z","b":["model",{"model":1}]}',
        ),
        (b'{"a":"\\\\","model":1e-5}', b'{"a":"\\\\","model":"z"}'),
        (b'{"a":"model","b":"\\"model\\":"}', b'{"a":"model","b":"\\"model\\":"}'),
        (b'{"\\ud83d":1,"model":true}', b'{"\\ud83d":1,"model":"z"}'),
        (b"{}", b"{}"),
        (b" { } ", b" { } "),
    ],
)
def test_every_other_byte_stays(body: bytes, expected: bytes) -> None:
    assert expected == replace(body, "model", b'"z"')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"model"',
        b'{"model"',
        b'{"model":',
        b'{"model":}',
        b'{"model":"a',
        b'{"a":[1,{"b":2}',
        b'{"a":1 "b":2}',
        b'{"a":1,}',
        b"{a:1}",
        b'{"a":[',
        b'{"a"}',
    ],
)
def test_what_cannot_be_walked_is_refused_with_its_place(body: bytes) -> None:
    with pytest.raises(BadBody, match=r"not valid JSON.*byte \d+"):
        replace(body, "model", b"1")


def test_deep_nesting_is_no_matter() -> None:
    deep = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"model":1}'

    assert deep[:-3] + b":2}" == replace(deep, "model", b"2")
