"""Spans in the wire format of protobuf, as opentelemetry-proto numbers their fields.

What it promises. The bytes are those that protobuf's own library reads back as the same span (the tests
compare); what protobuf cannot hold is bent, never raised: this runs at the end of somebody's call.

Why by hand. A span says about twenty plain values. Filling a message with them, attribute by attribute
through the library, costs several times what it costs to write the bytes down, and most attributes
say what earlier spans said: such a pair is encoded once and joined in from then on. Numbers of fields
never change within v1 (opentelemetry-proto's promise), and protobuf defines that the encoding of
a message may be cut anywhere between its fields and joined anew.

Sources: https://protobuf.dev/programming-guides/encoding, opentelemetry/proto/trace/v1/trace.proto and
common/v1/common.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

from sidecar.telemetry.spans import Moment, Span, Value

_REPEATED = 32  # characters: longer texts are ids and contents, which no other span has
_KNOWN_PAIRS = 1024  # encoded pairs that are kept; then all go
_SERVER, _CLIENT = b"\x30\x02", b"\x30\x03"  # SpanKind
_ERROR = b"\x7a\x02\x18\x02"  # Status, with StatusCode
_KNOWN, _REMOTE = 0x100, 0x200  # SpanFlags: whether the parent is elsewhere is known; it is

# tags: the number of a field times eight, plus how it is written
_SPAN_ATTRIBUTE, _EVENT_ATTRIBUTE, _RESOURCE_ATTRIBUTE = b"\x4a", b"\x1a", b"\x0a"
_EVENT, _SPAN = b"\x5a", b"\x12"
_TIMES = Struct("<BQBQ").pack  # start and end, each after its tag
_TIME = Struct("<BQ").pack
_FLAGS = Struct("<BBI").pack
_DOUBLE = Struct("<Bd").pack
_WHOLE = (1 << 64) - 1

_SHORT = [bytes([number]) for number in range(0x80)]


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SHORT[number]
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _field(tag: bytes, content: bytes) -> bytes:
    """A field that says its length: a text, bytes, a message."""
    return tag + _varint(len(content)) + content


def _text(tag: bytes, text: str) -> bytes:
    return _field(tag, text.encode("utf-8", "replace"))


def _value(value: Value) -> bytes:
    """An AnyValue."""
    kind = type(value)
    if kind is str:
        return _text(b"\x0a", value)  # type: ignore[arg-type]
    if kind is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if kind is int:
        return b"\x18" + _varint(value & _WHOLE)  # type: ignore[operator]
    if kind is float:
        return _DOUBLE(0x21, value)
    values = b"".join(_field(b"\x0a", _text(b"\x0a", one)) for one in value)  # type: ignore[union-attr]
    return _field(b"\x2a", values)


class Encoder:
    """Remembers what it has encoded, for spans to come."""

    def __init__(self) -> None:
        # apart by type, because 1 equals True, and a flood of numbers must not push out the words
        self._known: dict[type, dict[tuple[str, Value], bytes]] = {
            kind: {} for kind in (str, bool, int, float, tuple)
        }
        self._keys: dict[str, bytes] = {}

    def span(self, span: Span) -> bytes:
        """As one of the spans of a ScopeSpans."""
        flags = _KNOWN | (_REMOTE if span.server and span.parent_id else 0) | span.sampled
        parts = [
            b"\x0a\x10",
            bytes.fromhex(span.trace_id),
            b"\x12\x08",
            bytes.fromhex(span.span_id),
            _text(b"\x2a", span.name),
            _SERVER if span.server else _CLIENT,
            _TIMES(0x39, span.start, 0x41, span.end),
            _FLAGS(0x85, 0x01, flags),
        ]
        if span.state:
            parts.append(_text(b"\x1a", span.state))
        if span.parent_id:
            parts += b"\x22\x08", bytes.fromhex(span.parent_id)
        if span.error:
            parts.append(_ERROR)
        parts.append(self._attributes(_SPAN_ATTRIBUTE, span.attributes))
        parts += [_field(_EVENT, self._moment(moment)) for moment in span.events]
        return _field(_SPAN, b"".join(parts))

    def resource(self, attributes: Mapping[str, Value]) -> bytes:
        return self._attributes(_RESOURCE_ATTRIBUTE, attributes)

    def _moment(self, moment: Moment) -> bytes:
        said = self._attributes(_EVENT_ATTRIBUTE, moment.attributes)
        return _TIME(0x09, moment.at) + _text(b"\x12", moment.name) + said

    def _attributes(self, tag: bytes, attributes: Mapping[str, Value]) -> bytes:
        known = self._known
        parts = [known[type(pair[1])].get(pair) or self._learn(pair) for pair in attributes.items()]
        return tag + tag.join(parts) if parts else b""

    def _learn(self, pair: tuple[str, Value]) -> bytes:
        """What only one span says, an id or a measured time, is encoded and forgotten."""
        said, kind = self._pair(*pair), type(pair[1])
        if kind is not float and (kind is not str or len(pair[1]) < _REPEATED):  # type: ignore[arg-type]
            known = self._known[kind]
            if len(known) >= _KNOWN_PAIRS:
                known.clear()
            known[pair] = said
        return said

    def _pair(self, key: str, value: Value) -> bytes:
        """A KeyValue and its length; its tag says whose it is."""
        said = _value(value)
        said = (self._keys.get(key) or self._key(key)) + b"\x12" + _varint(len(said)) + said
        return _varint(len(said)) + said

    def _key(self, key: str) -> bytes:
        """Keys are ours, or the resource's: as many as there are names."""
        self._keys[key] = _text(b"\x0a", key)
        return self._keys[key]
