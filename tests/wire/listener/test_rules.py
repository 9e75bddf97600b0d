"""The pure parts: deadlines, nested retries, and the gate under every way of cutting."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sidecar.listener.http_rules import Times, host_name, intake, times, wishes
from sidecar.listener.http_strict import Gate, RequestError, check_head
from sidecar.listener.nested import KEY_SECONDS, LEFT_SECONDS, Nested
from sidecar.model import Ask, Call, Operation, Record, Traffic
from sidecar.settings import Deadlines, RequestHeaders, Route

CONFIGURED = Route(name="r")
BACKGROUND = Route(name="r", traffic=Traffic.BACKGROUND)
SHORT = Route(name="r", deadline=7.0)
IMPLICIT = Route(name="r", implicit=True)


@pytest.mark.parametrize(
    ("route", "headers", "deadline", "patience"),
    [
        (CONFIGURED, {}, 30.0, inf),
        (BACKGROUND, {}, 300.0, inf),
        (SHORT, {}, 7.0, inf),
        (IMPLICIT, {}, 300.0, inf),
        (IMPLICIT, {"x-stainless-read-timeout": "600"}, 540.0, 540.0),
        (IMPLICIT, {"x-stainless-timeout": "100"}, 90.0, inf),
        (IMPLICIT, {"x-server-timeout": "100"}, 90.0, inf),
        (IMPLICIT, {"x-stainless-read-timeout": "10", "x-stainless-timeout": "100"}, 9.0, 9.0),
        (IMPLICIT, {"x-llm-sidecar-deadline": "20"}, 20.0, inf),
        (IMPLICIT, {"x-llm-sidecar-deadline": "20", "x-stainless-read-timeout": "10"}, 9.0, 9.0),
        (IMPLICIT, {"x-llm-sidecar-class": "background"}, 300.0, inf),
        (CONFIGURED, {"x-stainless-read-timeout": "600"}, 30.0, 540.0),
        (CONFIGURED, {"x-stainless-read-timeout": "20"}, 18.0, 18.0),
        (CONFIGURED, {"x-llm-sidecar-deadline": "120"}, 120.0, inf),
        (CONFIGURED, {"x-llm-sidecar-deadline": "1e9"}, 3600.0, inf),
        (CONFIGURED, {"x-llm-sidecar-class": "background"}, 300.0, inf),
        (BACKGROUND, {"x-llm-sidecar-class": "interactive"}, 30.0, inf),
        (SHORT, {"x-llm-sidecar-class": "background"}, 300.0, inf),
        (SHORT, {"x-llm-sidecar-class": "interactive"}, 7.0, inf),
        (SHORT, {"x-llm-sidecar-class": "background", "x-llm-sidecar-deadline": "3"}, 3.0, inf),
        (CONFIGURED, {"x-stainless-read-timeout": "nan"}, 30.0, inf),
        (CONFIGURED, {"x-stainless-read-timeout": "-5"}, 30.0, inf),
        (CONFIGURED, {"x-stainless-read-timeout": "NOT_GIVEN"}, 30.0, inf),
    ],
)
def test_the_deadline_follows_the_request_the_route_the_class_and_the_sdk(
    route: Route, headers: dict[str, str], deadline: float, patience: float
):
    said = intake(tuple((name.encode(), value.encode()) for name, value in headers.items()))
    traffic = Traffic(headers.get("x-llm-sidecar-class", route.traffic))
    assert times(said, wishes(said.ours, RequestHeaders()), route, Deadlines()) == Times(
        deadline, patience, traffic
    )


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"a.b:80", "a.b"),
        (b"[::1]", "[::1]"),
        (b"A", "a"),
        (b"a:b", ""),
        (b"a b", ""),
        (b"[::1", ""),
        (b"a:", ""),
    ],
)
def test_a_host_is_a_name_and_perhaps_a_port(host: bytes, name: str):
    assert host_name(host) == name


CALL = Call(
    id="1",
    route="r",
    provider="p",
    dialect="d",
    method="POST",
    path="/x",
    query="",
    headers=(),
    body=b"same",
    ask=Ask(operation=Operation.CHAT, model="m"),
    traffic=Traffic.INTERACTIVE,
    arrived=0.0,
    deadline=1.0,
    record=Record(),
)


def test_memories_of_retries_end_after_their_time():
    nested = Nested()
    nested.left(CALL, 0.0)
    assert nested.source(CALL, 0, b"", LEFT_SECONDS + 0.1) is None
    nested.left(CALL, 100.0)
    assert nested.source(CALL, 0, b"", 100.0 + LEFT_SECONDS) == "same_body"
    assert nested.source(CALL, 0, b"key", 200.0) is None
    assert nested.source(CALL, 0, b"key", 200.0 + KEY_SECONDS) == "idempotency_key"
    assert nested.source(CALL, 0, b"key", 300.0 + 2 * KEY_SECONDS) is None


def test_what_is_remembered_of_retries_is_bounded():
    nested = Nested(size=10)
    for number in range(10_000):
        nested.left(replace(CALL, body=b"%d" % number), 0.0)
        nested.source(CALL, 0, b"%d" % number, 0.0)
    assert len(nested._left._marks) == len(nested._keys._marks) == 10
    assert nested.source(replace(CALL, body=b"9999"), 0, b"", 1.0) == "same_body"
    assert nested.source(replace(CALL, body=b"0"), 0, b"", 1.0) is None


HEAD = b"POST /openai/x HTTP/1.1\r\nHost: a\r\n"
STREAM = (
    HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n"
    + HEAD
    + b"Content-Length: 5\r\n\r\nhello"
    + HEAD
    + b"\r\n"
)
CLEAN = STREAM.replace(b";x=y", b"").replace(b"T: 1\r\n", b"")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
def test_the_gate_lets_the_same_bytes_through_however_they_are_cut(cuts: list[int]):
    gate = Gate()
    edges = [0, *sorted(set(cuts)), len(STREAM)]
    passed = b""
    for start, end in pairwise(edges):
        out, refusal = gate.feed(STREAM[start:end])
        assert refusal is None
        passed += out
    assert passed == CLEAN
    assert not gate.head_pending


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(STREAM) - 1), st.binary(min_size=1, max_size=3))
def test_the_gate_refuses_or_passes_but_never_fails_on_mutated_bytes(at: int, new: bytes):
    gate = Gate()
    _, refusal = gate.feed(STREAM[:at] + new + STREAM[at + 1 :])
    assert refusal is None or 400 <= refusal.status < 600
    if refusal is not None:
        assert gate.feed(STREAM) == (b"", None)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_a_head_of_any_bytes_is_refused_with_a_reason(noise: bytes):
    with pytest.raises(RequestError) as caught:
        check_head(noise + b"\x00\r\n\r\n")
    assert caught.value.code
