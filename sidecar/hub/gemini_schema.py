"""Gemini's own kind of schema as JSON Schema: a subset of OpenAPI's, with everything it says kept.

Types in capitals become small, `nullable` becomes a type among others, the order of properties that
`propertyOrdering` asks for is the order in which they stand. Numbers may come as strings.
"""

from __future__ import annotations

import re

from sidecar.hub.conversation import Json
from sidecar.hub.reading import Object

_COUNTS = {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
_UPPER = re.compile(r"_([a-z])")


def as_json_schema(schema: Object) -> Object | None:
    """None for what cannot be told as JSON Schema."""
    try:
        return _schema(schema)
    except (AttributeError, TypeError, ValueError, RecursionError):
        return None


def _schema(schema: Json) -> Object:
    if not isinstance(schema, dict):
        raise TypeError("no schema")
    said = {_UPPER.sub(lambda letter: letter[1].upper(), key): value for key, value in schema.items()}
    order = said.pop("propertyOrdering", None)
    nullable = said.pop("nullable", None) is True
    out: Object = {}
    for key, value in said.items():
        if value is None:
            continue
        if key == "type" and isinstance(value, str):
            if value.upper() != "TYPE_UNSPECIFIED":
                out[key] = value.lower()
        elif key == "properties":
            out[key] = _ordered({name: _schema(each) for name, each in value.items()}, order)
        elif key == "items":
            out[key] = _schema(value)
        elif key in {"anyOf", "prefixItems"}:
            out[key] = [_schema(each) for each in value]
        elif key in _COUNTS:
            out[key] = int(value)
        else:
            out["examples" if key == "example" else key] = [value] if key == "example" else value
    if nullable and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
        if isinstance(out.get("enum"), list):
            out["enum"] = [*out["enum"], None]
        return out
    return {"anyOf": [out, {"type": "null"}]} if nullable else out


def _ordered(properties: Object, order: Json) -> Object:
    if not isinstance(order, list):
        return properties
    first = {name: properties[name] for name in order if isinstance(name, str) and name in properties}
    return {**first, **properties}
