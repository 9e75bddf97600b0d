"""A schema as Anthropic's structured outputs take it: every object closed, and no limits on values.

Limits (`minimum`, `maxLength`, `pattern`) are taken off, as its own SDKs do: the answer is held against the
whole schema by whoever judges answers. An object that was open is closed, which only narrows what the
model may say. Both are told. What cannot be told so is left to the arguments of a tool, which may have any
schema: objects with keys of any name, schemas that hold themselves, conditions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sidecar.hub.conversation import Json
from sidecar.hub.reading import Object

_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_KEPT = frozenset({"type", "title", "description", "default", "const", "required", "$ref"})
_NAMED = frozenset({"properties", "$defs", "definitions"})  # schemas by name
_LISTED = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_CONDITIONS = frozenset(
    {"not", "if", "then", "else", "patternProperties", "propertyNames", "dependentSchemas", "prefixItems"}
)


class _Unfit(Exception):
    pass


def fitted(schema: Mapping[str, Json]) -> tuple[Object, bool] | None:
    """The schema, and whether something had to be taken off it; None: it cannot be asked for."""
    taken: list[str] = []
    try:
        said = _schema(dict(schema), taken)
    except (_Unfit, RecursionError):
        return None
    return None if _circles(said) else (said, bool(taken))


def _schema(schema: Json, taken: list[str]) -> Object:
    if not isinstance(schema, dict) or not _CONDITIONS.isdisjoint(schema):
        raise _Unfit
    said: Object = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            said[key] = {name: _schema(each, taken) for name, each in value.items()}
        elif key in _LISTED and isinstance(value, list) and _LISTED[key] not in said:
            said[_LISTED[key]] = [_schema(each, taken) for each in value]
        elif key == "items":
            said[key] = _schema(value, taken)
        elif key == "enum" and isinstance(value, list):
            if any(isinstance(each, (dict, list)) for each in value):
                raise _Unfit
            said[key] = value
        elif (
            key in _KEPT
            or (key == "format" and isinstance(value, str) and value in _FORMATS)
            or (key == "minItems" and value in (0, 1))
        ):
            said[key] = value
        elif key != "additionalProperties":
            taken.append(key)
    if "properties" in said or said.get("type") == "object":
        if isinstance(schema.get("additionalProperties"), dict) or not (
            said.get("properties") or schema.get("additionalProperties") is False
        ):
            raise _Unfit  # keys of any name
        if schema.get("additionalProperties") is not False:
            taken.append("additionalProperties")
        said["additionalProperties"] = False
    return said


def _circles(schema: Object) -> bool:
    """Does it hold itself, or something that stands elsewhere?"""
    leads = {
        f"#/{place}/{name}": set(_references(each))
        for place in ("$defs", "definitions")
        for name, each in schema.get(place, {}).items()
    }
    if not leads.keys() >= set(_references(schema)):
        return True
    while ends := {name for name, ahead in leads.items() if ahead.isdisjoint(leads)}:
        leads = {name: ahead for name, ahead in leads.items() if name not in ends}
    return bool(leads)


def _references(schema: Json) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _references(each)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
