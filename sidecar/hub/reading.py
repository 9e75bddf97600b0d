"""Taking a JSON object apart so that nothing is dropped: what is not taken stays, and is told.

A value of an unexpected type is not taken either: it stays under its name in `rest`, and the writer
of another dialect reports it as it reports every field it does not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import TypeVar

import msgspec

from sidecar.dialects.base import BadBody
from sidecar.hub.conversation import Json

T = TypeVar("T")

Object = dict[str, Json]

_ENDING = re.compile(r"\.(png|jpe?g|gif|webp|pdf)(?:[?#]|$)")


FIRST = 512


class Places(dict[int, str]):
    """name[0], name[1] and so on: printing a number is the dearest part of saying where something stands."""

    def __init__(self, name: str = "") -> None:
        super().__init__((index, f"{name}[{index}]") for index in range(FIRST))
        self._name = name

    def of(self, items: list[T]) -> Iterable[tuple[str, T]]:
        """Each item behind its place: for lists that are long, mostly."""
        if len(items) <= FIRST:
            return zip(self.values(), items, strict=False)
        return ((self[index], item) for index, item in enumerate(items))

    def __missing__(self, index: int) -> str:
        return f"{self._name}[{index}]"


PLACE, MESSAGES = Places(), Places("messages")


def document(body: bytes) -> Object:
    """The request as an object that may be taken apart. Raises BadBody."""
    try:
        value = decoded(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadBody(f"the body is not readable JSON: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise BadBody("the body is not a JSON object")
    return value


def decoded(body: bytes) -> Json:
    """The value of JSON in which characters may be cut in half: some clients do that to long texts, and
    servers take it. A mark stands for each half. Raises msgspec.DecodeError.
    """
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        if b"\\ud" not in body.lower():
            raise
        try:
            whole = json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
        except ValueError:
            whole = body
        return msgspec.json.decode(whole)


def take(fields: Object, name: str, kind: type[T]) -> T | None:
    """Remove and return the field if it is of this type; whole numbers are floats too, booleans neither."""
    value = fields.get(name)
    if value is None:
        fields.pop(name, None)  # null is what is not there
        return None
    found = type(value)
    if found is kind:
        del fields[name]
        return value  # type: ignore[no-any-return]  # it is of the type that was asked for
    if kind is float and found is int:
        del fields[name]
        return float(value)  # type: ignore[return-value]  # T is float here
    return None


def objects(fields: Object, name: str) -> list[Object]:
    """Remove and return a list of objects; if one of its items is none, all of it stays."""
    items = fields.get(name)
    if type(items) is list:
        for item in items:
            if type(item) is not dict:
                return []
        del fields[name]
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


def address_type(url: str) -> str:
    """The media type of a picture or a PDF by the ending of its address; "": it does not say."""
    ending = _ENDING.search(url)
    if ending is None:
        return ""
    return "application/pdf" if ending[1] == "pdf" else f"image/{ending[1]}".replace("jpg", "jpeg")


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 of a data URL; None: it is an address, or not base64."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        return None
    kind = head[:-7].partition(";")[0].lower()
    return "image/jpeg" if kind == "image/jpg" else kind, data  # the one is what many call the other


@cache  # of the names that our own code asks for
def _in_snakes(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)


class Fields:
    """An object of a dialect that writes its names in either case, "topP" or "top_p"; asked in the first.

    `path` is where it stands, in the words of the source.
    """

    __slots__ = ("_called", "_snakes", "fields", "path")

    def __init__(self, fields: Object, path: str, called: str = "") -> None:
        self.fields = fields
        self.path = path
        self._called = called  # its own name in the object around it
        self._snakes = "_" in "".join(fields)  # is anything written in the other case?

    def _name(self, name: str) -> str:
        if not self._snakes or name in self.fields:
            return name
        other = _in_snakes(name)
        return other if other in self.fields else name

    def at(self, name: str) -> str:
        """Where this field stands. Ask before it is taken."""
        said = self._name(name)
        return f"{self.path}.{said}" if self.path else said

    def peek(self, name: str) -> Json:
        return self.fields.get(self._name(name))

    def drop(self, name: str) -> None:
        self.fields.pop(self._name(name), None)

    def take(self, name: str, kind: type[T]) -> T | None:
        if self._snakes:
            name = self._name(name)
        return take(self.fields, name, kind) if name in self.fields else None

    def whole(self, name: str) -> int | None:
        """A whole number, which JSON of protocol buffers may write as 40.0 or as a string."""
        value = self.peek(name)
        if isinstance(value, float) and value.is_integer():
            self.drop(name)
            return int(value)
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
            self.drop(name)
            return int(value)
        return self.take(name, int)

    def strings(self, name: str) -> tuple[str, ...]:
        return strings(self.fields, self._name(name))

    def objects(self, name: str) -> list[Object]:
        return objects(self.fields, self._name(name))

    def each(self, name: str) -> list[tuple[str, Object]]:
        """Objects behind their places. JSON of protocol buffers may leave out the list around one."""
        place, name = self.at(name), self._name(name)
        if type(self.fields.get(name)) is dict:
            return [(place, self.fields.pop(name))]
        return [(place + PLACE[index], item) for index, item in enumerate(objects(self.fields, name))]

    def inner(self, name: str) -> Fields:
        """Remove and return an object in this one; an empty one where it is none."""
        place, said = self.at(name), self._name(name)
        return Fields(self.take(name, dict) or {}, place, said)

    def put_back(self, inner: Fields) -> None:
        """What is left of an object that was taken out."""
        if inner.fields:
            self.fields[inner._called] = inner.fields

    def rest(self) -> Object:
        """What is left, by names that say where it stood below the object around this one."""
        prefix = f"{self._called}." if self._called else ""
        return {f"{prefix}{key}": value for key, value in self.fields.items() if value is not None}


def allowed_tools(said: Object) -> tuple[str, ...]:
    """The functions that OpenAI's `allowed_tools` names, where it names nothing else; else ()."""
    names = []
    tools = said.get("tools")
    for tool in tools if isinstance(tools, list) and said.get("mode") in ("auto", "required") else ():
        name = (tool.get("function") or tool).get("name") if isinstance(tool, dict) else None
        if not isinstance(name, str) or tool.get("type") != "function":
            return ()
        names.append(name)
    return tuple(names)


def others(fields: Object, *taken: str) -> Object:
    """What is left of an object when these are taken, nulls aside."""
    return {key: value for key, value in fields.items() if key not in taken and value is not None}


def leave(fields: Object, name: str, said: Object, *known: str) -> None:
    """Put what is left of an inner object back, under a name that says where it stood."""
    fields.update({f"{name}.{key}": value for key, value in others(said, *known).items()})
