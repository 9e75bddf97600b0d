"""The emptiest value that a JSON schema allows, for an answer that has nothing to say.

It is there so that the application's parser goes on, not so that anybody believes it. So what can be null
is null, texts and lists are empty, numbers are 0 or as near as they may be, and objects have what they must
have. A choice is never made up: where a field takes one of some words, and none of them says "nothing", no
value is found. Nothing here promises validity: whoever serves what comes of it lets a validator judge it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, isfinite
from typing import Any, Final

DEEPEST: Final = 32
MOST: Final = 2000  # values; a schema that refers to itself twice grows like a power of two
NEUTRAL: Final = ("", "unknown", "none", "null", "n/a", "na", "other", "unspecified", "undefined", "error")

Json = Any


class _Impossible(Exception):  # not an error: no such value is known
    pass


def emptiest(schema: Json) -> tuple[Json] | None:
    """The value, in a tuple of its own because it may be None; None where none is found."""
    try:
        return (_Builder(schema).value(schema, 0),)
    except (_Impossible, RecursionError):
        return None


class _Builder:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._left = MOST

    def value(self, schema: Json, depth: int) -> Json:
        self._left -= 1
        if depth > DEEPEST or self._left < 0 or schema is False:
            raise _Impossible
        if not isinstance(schema, Mapping) or not schema:
            return None  # everything is allowed
        if "$ref" in schema:
            return self.value(self._target(schema["$ref"]), depth + 1)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list):
            return _neutral(schema["enum"])
        for name in ("anyOf", "oneOf"):
            if isinstance(schema.get(name), list):
                return self._first(schema, schema[name], depth)
        if isinstance(schema.get("allOf"), list):
            rest = {key: value for key, value in schema.items() if key != "allOf"}
            return self.value(_merged([rest, *map(self._resolved, schema["allOf"])]), depth + 1)
        return self._of_type(schema, depth)

    def _first(self, schema: Mapping[str, Json], ways: list[Json], depth: int) -> Json:
        """The way that may be null, else the first one that can be gone."""
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        ways = [self._resolved(way) for way in ways]
        for way in sorted(ways, key=lambda way: not _may_be_null(way)):
            try:
                return self.value(_merged([rest, way]), depth + 1)
            except _Impossible:
                continue
        raise _Impossible

    def _of_type(self, schema: Mapping[str, Json], depth: int) -> Json:
        kinds = schema.get("type")
        if _may_be_null(schema):
            return None
        kind = kinds[0] if isinstance(kinds, list) and kinds else kinds
        if kind is None:
            kind = (
                "object"
                if "properties" in schema or "required" in schema
                else "array"
                if "items" in schema
                else ""
            )
        make = _MADE.get(kind) if isinstance(kind, str) else None
        if make is not None:
            return make(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            least = _whole(schema.get("minItems"))
            if least > MOST:
                raise _Impossible
            first = schema.get("prefixItems")
            items: list[Json] = first if isinstance(first, list) else []
            each = [items[n] if n < len(items) else schema.get("items") for n in range(least)]
            return [self.value(one, depth + 1) for one in each]
        return None

    def _object(self, schema: Mapping[str, Json], depth: int) -> Json:
        said = schema.get("properties")
        properties = said if isinstance(said, Mapping) else {}
        required = schema.get("required")
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        return {name: self.value(properties.get(name), depth + 1) for name in names}

    def _resolved(self, schema: Json) -> Json:
        for _ in range(DEEPEST):
            if not isinstance(schema, Mapping) or "$ref" not in schema:
                return schema
            schema = self._target(schema["$ref"])
        raise _Impossible

    def _target(self, ref: Json) -> Json:
        """Within this document only."""
        if not isinstance(ref, str) or not ref.startswith("#"):
            raise _Impossible
        at = self._root
        for part in ref[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(at, Mapping) or name not in at:
                raise _Impossible
            at = at[name]
        return at


def _may_be_null(schema: Json) -> bool:
    if not isinstance(schema, Mapping):
        return False
    kinds = schema.get("type")
    return kinds == "null" or (isinstance(kinds, list) and "null" in kinds) or schema.get("nullable") is True


def _neutral(words: list[Json]) -> Json:
    """The one that says nothing."""
    if None in words:
        return None
    for neutral in NEUTRAL:
        for word in words:
            if isinstance(word, str) and word.strip().lower() == neutral:
                return word
    if len(words) == 1:
        return words[0]
    raise _Impossible


def _text(schema: Mapping[str, Json]) -> str:
    least = _whole(schema.get("minLength"))
    if least > MOST:
        raise _Impossible
    return _FORMATS.get(str(schema.get("format")), "-" * least)


def _number(schema: Mapping[str, Json]) -> float:
    """0, or what is near a bound; whole where that is asked for."""
    low, above = _bound(schema, "minimum"), _bound(schema, "exclusiveMinimum")
    high, below = _bound(schema, "maximum"), _bound(schema, "exclusiveMaximum")
    least, most = max(low, above), min(high, below)
    tried = [0, low, above + 1, high, below - 1, (least + most) / 2]
    whole = schema.get("type") == "integer"
    for value in tried:
        fits = low <= value <= high and above < value < below
        if fits and isfinite(value) and (not whole or value == int(value)):
            return int(value) if value == int(value) else value
    raise _Impossible


def _bound(schema: Mapping[str, Json], name: str) -> float:
    value = schema.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return -inf if name.lower().endswith("minimum") else inf


def _whole(value: Json) -> int:
    return max(0, value) if isinstance(value, int) else 0


def _merged(schemas: list[Json]) -> Json:
    """One schema that asks for what all of them ask for, as far as that is plain."""
    made: dict[str, Json] = {}
    for schema in schemas:
        if schema is False:
            return False
        for key, value in schema.items() if isinstance(schema, Mapping) else ():
            before = made.get(key)
            if key == "properties" and isinstance(before, Mapping) and isinstance(value, Mapping):
                made[key] = {**before, **value}
            elif key == "required" and isinstance(before, list) and isinstance(value, list):
                made[key] = [*before, *(name for name in value if name not in before)]
            else:
                made[key] = value
    return made


_FORMATS: Final[Mapping[str, str]] = {
    "date-time": "1970-01-01T00:00:00Z",
    "date": "1970-01-01",
    "time": "00:00:00Z",
    "email": "nobody@example.invalid",
    "uri": "about:blank",
    "uuid": "00000000-0000-0000-0000-000000000000",
}
_MADE: Final[Mapping[str, Callable[[Mapping[str, Json]], Json]]] = {
    "string": _text,
    "integer": _number,
    "number": _number,
    "boolean": lambda _: False,
    "null": lambda _: None,
}
