"""Reading JSON into the few fields we look at, without ever being the one who refuses it.

A shape is a msgspec Struct whose fields all have a default. What is well-formed is read by one
typed decode, which skips every field the shape does not name. What surprises (a list where a
string was expected, half a surrogate pair, bytes that are no UTF-8) is read a second time, slowly:
each value that fits its field is taken, the others count as absent. So a provider's novelty costs
some microseconds and one field, not the answer.
"""

from __future__ import annotations

import re
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin

import msgspec

from sidecar.dialects.base import BadBody

T = TypeVar("T", bound=msgspec.Struct)

NO_JSON = msgspec.Raw()  # the default of a Raw field: msgspec has no unions with Raw

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_UNTYPED = msgspec.json.Decoder()


class Shape(Generic[T]):
    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decode = msgspec.json.Decoder(kind).decode

    def read(self, data: bytes) -> T | None:
        """None where the data is not a JSON object."""
        try:
            return self._decode(data)
        except RecursionError:
            return None
        except ValueError:  # what msgspec raises, and UnicodeDecodeError
            return self._loosely(data)

    def request(self, data: bytes) -> T:
        """The same for what a client sent; raises BadBody, which says what is wrong and where."""
        try:
            return self._decode(data)
        except RecursionError:
            raise BadBody("the body is nested too deeply to be read") from None
        except ValueError as error:
            found = self._loosely(data)
            if found is not None:
                return found
            if isinstance(error, msgspec.ValidationError):
                raise BadBody("the body has to be a JSON object") from None
            # msgspec names the byte and never quotes; Python's UnicodeDecodeError would quote one
            reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise BadBody(f"the body is not valid JSON: {reason}") from None

    def _loosely(self, data: bytes) -> T | None:
        try:
            value = _UNTYPED.decode(_mend(data))
        except (ValueError, RecursionError):
            return None
        fitted: T | None = _fit(value, self._kind) if isinstance(value, dict) else None
        return fitted


def json_of(raw: msgspec.Raw) -> bytes | None:
    """The bytes of a Raw field; None where there was no value."""
    found = bytes(raw)
    return found if found not in (b"", b"null") else None


def text_of(value: Any) -> str:
    """A value as JSON text; strings as they are, for what some send as text and some as an object."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _mend(data: bytes) -> bytes:
    """Replace what is no Unicode, as browsers do: invalid UTF-8 and halves of surrogate pairs.

    The halves come from servers that cut a text between two code units of one character.
    """
    return _ESCAPE.sub(_whole, data.decode("utf-8", "replace").encode())


def _whole(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[1] else escape[0]


def _fit(value: Any, kind: Any) -> Any:
    """As much of a value as fits a field's type; None where nothing does."""
    for option in get_args(kind) if isinstance(kind, UnionType) else (kind,):
        if option is Any:
            return value
        if option is NoneType:
            continue
        if get_origin(option) is list:
            if isinstance(value, list):
                (item,) = get_args(option)
                fitted = [_fit(each, item) for each in value]
                return [each for each in fitted if each is not None]
        elif option is msgspec.Raw:
            return msgspec.Raw(msgspec.json.encode(value))
        elif issubclass(option, msgspec.Struct):
            if isinstance(value, dict):
                return _fit_struct(value, option)
        elif type(value) is option:  # exactly: True is no number
            return value
    return None


def _fit_struct(value: dict[str, Any], kind: type[msgspec.Struct]) -> msgspec.Struct:
    found = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name in value:
            fitted = _fit(value[field.encode_name], field.type)
            if fitted is not None:
                found[field.name] = fitted
    return kind(**found)
