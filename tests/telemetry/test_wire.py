"""The bytes of spans are what protobuf's own library reads as the same spans."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Read

from sidecar.telemetry import wire
from sidecar.telemetry.spans import Moment, Span, Value
from sidecar.telemetry.wire import Encoder

WORDS = st.text(st.characters(codec="utf-8"), max_size=200)
VALUES: st.SearchStrategy[Value] = st.one_of(
    WORDS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 300),
    st.floats(allow_nan=False),
    st.lists(WORDS, max_size=3).map(tuple),
)
ATTRIBUTES = st.dictionaries(WORDS, VALUES, max_size=12)
TIMES = st.integers(0, 2**63)
MOMENTS = st.builds(Moment, at=TIMES, name=WORDS, attributes=ATTRIBUTES)
SPANS = st.builds(
    Span,
    name=WORDS,
    trace_id=st.binary(min_size=16, max_size=16).map(bytes.hex),
    span_id=st.binary(min_size=8, max_size=8).map(bytes.hex),
    parent_id=st.one_of(st.just(""), st.binary(min_size=8, max_size=8).map(bytes.hex)),
    server=st.booleans(),
    sampled=st.booleans(),
    start=TIMES,
    end=TIMES,
    attributes=ATTRIBUTES,
    events=st.lists(MOMENTS, max_size=3).map(tuple),
    error=st.booleans(),
    state=WORDS,
)


def value(read: AnyValue) -> Any:
    kind = read.WhichOneof("value")
    if kind == "array_value":
        return tuple(value(one) for one in read.array_value.values)
    return getattr(read, str(kind))


def attributes(read: Any) -> dict[str, tuple[type, Any]]:
    found = {pair.key: value(pair.value) for pair in read}
    assert len(found) == len(read)
    return {key: (type(one), one) for key, one in found.items()}


def typed(said: Any) -> dict[str, tuple[type, Any]]:
    return {key: (type(one), one) for key, one in said.items()}


def same(read: Read, span: Span) -> None:
    assert (read.trace_id.hex(), read.span_id.hex()) == (span.trace_id, span.span_id)
    assert (read.name, read.trace_state, read.parent_span_id.hex()) == (span.name, span.state, span.parent_id)
    assert read.kind == (Read.SPAN_KIND_SERVER if span.server else Read.SPAN_KIND_CLIENT)
    assert (read.start_time_unix_nano, read.end_time_unix_nano) == (span.start, span.end)
    assert read.status.code == (Status.STATUS_CODE_ERROR if span.error else Status.STATUS_CODE_UNSET)
    assert bool(read.flags & 1) == span.sampled
    assert bool(read.flags & 0x200) == bool(span.server and span.parent_id)
    assert attributes(read.attributes) == typed(span.attributes)
    assert [(one.time_unix_nano, one.name, attributes(one.attributes)) for one in read.events] == [
        (moment.at, moment.name, typed(moment.attributes)) for moment in span.events
    ]


@given(st.lists(SPANS, max_size=4))
def test_spans_are_read_as_they_were_said_the_first_time_and_again(spans: list[Span]) -> None:
    encoder = Encoder()
    for _ in range(2):  # once encoded, once remembered
        read = ScopeSpans.FromString(b"".join(encoder.span(span) for span in spans))
        assert len(read.spans) == len(spans)
        for one, span in zip(read.spans, spans, strict=True):
            same(one, span)


@given(ATTRIBUTES)
def test_a_resource_too(said: dict[str, Value]) -> None:
    assert attributes(Resource.FromString(Encoder().resource(said)).attributes) == typed(said)


def one(**said: Value) -> Read:
    span = Span(
        name="", trace_id="1" * 32, span_id="1" * 16, parent_id="", server=True, sampled=True, start=0, end=0,
        attributes=dict(said),
    )  # fmt: skip
    read: Read
    (read,) = ScopeSpans.FromString(Encoder().span(span)).spans
    return read


def test_equal_numbers_of_other_types_are_not_taken_for_each_other() -> None:
    encoder, found = Encoder(), []
    for said in (True, 1, 1.0, False, 0, 0.0):
        read = Resource.FromString(encoder.resource({"a": said})).attributes[0].value
        found.append(read.WhichOneof("value"))
    assert found == ["bool_value", "int_value", "double_value"] * 2


def test_what_protobuf_cannot_hold_is_bent_and_not_raised() -> None:
    read = one(text="a\ud800b", huge=2**70, none=math.nan)
    said = {pair.key: value(pair.value) for pair in read.attributes}
    assert (said["text"], said["huge"]) == ("a?b", 0)
    assert math.isnan(said["none"])


def test_what_is_remembered_is_bounded() -> None:
    encoder = Encoder()
    for number in range(3 * wire._KNOWN_PAIRS):
        encoder.resource({"tokens": number, "name": f"n{number}", "id": f"{number:032x}", "s": number / 7})
    known = {kind: len(pairs) for kind, pairs in encoder._known.items()}
    assert max(known.values()) <= wire._KNOWN_PAIRS
    assert known[float] == 0  # measured times do not repeat
    assert not any(key == "id" for key, _ in encoder._known[str])  # a call's id is said twice at the most
