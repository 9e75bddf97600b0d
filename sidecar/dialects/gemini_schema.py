"""Gemini's `responseSchema` as JSON Schema, so that an answer can be held against it.

Google's schema is a subset of OpenAPI's: types in capitals, `nullable` beside them, numbers perhaps
as strings, names in either case. What it has and we do not know makes the whole schema unusable: then
an answer is only required to be JSON.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_TYPES = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"}
_SAME = {"enum", "required", "pattern", "minimum", "maximum", "additionalProperties"}
_COUNTS = {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
_SILENT = {"format", "title", "description", "default", "example", "propertyOrdering"}  # nothing to check
_UPPER = re.compile(r"_([a-z])")


class _Unknown(Exception):  # leaves the recursion, and nobody else sees it
    """Something that has no place in a JSON Schema."""


def json_schema(schema: Any) -> bytes | None:
    """None for what cannot be told as JSON Schema."""
    try:
        return msgspec.json.encode(_schema(schema)) if schema is not None else None
    except (_Unknown, RecursionError):
        return None


def _schema(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, dict):
        raise _Unknown
    out: dict[str, Any] = {}
    nullable = False
    for name, value in schema.items():
        key = _UPPER.sub(lambda letter: letter[1].upper(), name)
        if key in _SILENT or value is None:
            continue
        if key == "nullable":
            nullable = value is True
        else:
            out[key] = _value(key, value)
    if out.get("type") == "type_unspecified":
        del out["type"]
    return {"anyOf": [out, {"type": "null"}]} if nullable else out


def _value(key: str, value: Any) -> Any:
    if key == "type" and isinstance(value, str):
        if value.upper() in _TYPES or value == "TYPE_UNSPECIFIED":
            return value.lower()
    elif key == "items":
        return _schema(value)
    elif key == "properties" and isinstance(value, dict):
        return {name: _schema(each) for name, each in value.items()}
    elif key in ("anyOf", "prefixItems") and isinstance(value, list):
        return [_schema(each) for each in value]
    elif key in _COUNTS:
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
            return int(value)
    elif key in _SAME:
        return value
    raise _Unknown
