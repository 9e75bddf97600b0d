from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sidecar.dialects.shapes import NO_JSON, Shape, json_of, text_of


class Inner(msgspec.Struct):
    a: int | None = None
    b: bool | None = None


class Outer(msgspec.Struct):
    text: str | None = None
    inner: Inner | None = None
    many: list[Inner] | None = None
    any: Any = None
    raw: msgspec.Raw = NO_JSON
    named: str | None = msgspec.field(default=None, name="class")


OUTER = Shape(Outer)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, Outer()),
        ({"text": "x", "other": [1]}, Outer("x")),
        ({"text": None, "inner": None, "many": None}, Outer()),
        ({"text": 1, "inner": {"a": 1, "b": True}}, Outer(None, Inner(1, b=True))),
        ({"inner": {"a": True, "b": 1}}, Outer(None, Inner())),
        ({"inner": [], "text": "x"}, Outer("x")),
        ({"many": [{"a": 1}, None, 7, {"a": "1"}], "any": [1]}, Outer(many=[Inner(1), Inner()], any=[1])),
        ({"many": {"a": 1}, "class": "x"}, Outer(named="x")),
    ],
)
def test_what_fits_is_taken_and_the_rest_counts_as_absent(value: Any, expected: Outer) -> None:
    assert expected == OUTER.read(json.dumps(value).encode())


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"7", b'"x"', b"{", b"{} {}", b'{"text":"\x01"}', b'{"text":"\\x"}']
)
def test_what_is_no_object_is_nothing(data: bytes) -> None:
    assert OUTER.read(data) is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"text":"a\xc3"}', "a\ufffd"),
        (b'{"text":"\\ud83e\\udd94"}', "🦔"),
        (b'{"text":"\\ud83e"}', "\ufffd"),
        (b'{"text":"\\udd94\\ud83e"}', "\ufffd\ufffd"),
        (b'{"text":"\\uD83E\\n\\\\ud83e\\\\\\ud83e"}', "\ufffd\n\\ud83e\\\ufffd"),
    ],
)
def test_what_is_no_unicode_is_replaced(data: bytes, text: str) -> None:
    found = OUTER.read(data)

    assert found is not None
    assert text == found.text


@pytest.mark.parametrize(
    ("data", "raw"),
    [
        (b'{"raw": {"a": 1} }', b'{"a": 1}'),
        (b'{"raw": true, "text": 7}', b"true"),
        (b'{"raw": null}', None),
        (b'{"text": 7, "raw": null}', None),
        (b"{}", None),
    ],
)
def test_raw_json_is_kept(data: bytes, raw: bytes | None) -> None:
    found = OUTER.read(data)

    assert found is not None
    assert raw == json_of(found.raw)


def test_text_stays_and_other_values_become_json() -> None:
    assert ["{", '{"a":1}', "null"] == [text_of("{"), text_of({"a": 1}), text_of(None)]
