"""Taking a JSON object apart so that nothing is dropped: what is not taken stays, and is told.

A value of an unexpected type is not taken either: it stays under its name in `rest`, and the writer
of another dialect reports it as it reports every field it does not know.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from sidecar.dialects.base import BadBody
from sidecar.hub.conversation import Json

T = TypeVar("T")

Object = dict[str, Json]


def document(body: bytes) -> Object:
    """The request as an object that may be taken apart. Raises BadBody."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadBody(f"the body is not readable JSON: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise BadBody("the body is not a JSON object")
    return value


def take(fields: Object, name: str, kind: type[T]) -> T | None:
    """Remove and return the field if it is of this type; whole numbers are floats too, booleans neither."""
    value = fields.get(name)
    if kind is float and type(value) is int:
        fields.pop(name)
        return float(value)  # type: ignore[return-value]  # T is float here
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        fields.pop(name)
        return value
    if value is None:
        fields.pop(name, None)  # null is what is not there
    return None


def objects(fields: Object, name: str) -> list[Object]:
    """Remove and return a list of objects; if one of its items is none, all of it stays."""
    items = fields.get(name)
    if isinstance(items, list) and all(isinstance(item, dict) for item in items):
        fields.pop(name)
        return items
    if items is None:
        fields.pop(name, None)
    return []


def strings(fields: Object, name: str) -> tuple[str, ...]:
    """Remove and return a list of strings, or a string alone."""
    value = fields.get(name)
    if isinstance(value, str):
        fields.pop(name)
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        fields.pop(name)
        return tuple(value)
    if value is None:
        fields.pop(name, None)
    return ()


def text_json(value: Json) -> str:
    """JSON text of a value that may be JSON text already: arguments come as either."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 of a data URL; None: it is an address, or not base64."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        return None
    return head[:-7].partition(";")[0], data
