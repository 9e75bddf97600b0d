"""Whatever bytes come: one verdict, never an exception, in bounded time."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.classify import classify
from sidecar.classify.answer import parse
from sidecar.classify_lines import run
from sidecar.model import Fault, Verdict

KEYS = st.sampled_from(
    [
        *(
            "error",
            "errors",
            "message",
            "detail",
            "code",
            "type",
            "status",
            "metadata",
            "raw",
            "details",
            "violations",
        ),
        *(
            "choices",
            "candidates",
            "content",
            "output",
            "response",
            "delta",
            "finish_reason",
            "stop_reason",
            "parts",
        ),
        *(
            "tool_calls",
            "function",
            "arguments",
            "promptFeedback",
            "object",
            "base_resp",
            "xException",
            "quotaId",
        ),
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    JSON.map(lambda value: b"event: x\ndata: " + json.dumps(value).encode() + b"\n\n"),
    JSON.map(lambda value: json.dumps({"error": json.dumps(value)}).encode()),
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"content-type", b"x-amzn-errortype", b"retry-after", b"x-ratelimit-remaining-tokens", b"\xff"]
        ),
        st.binary(max_size=20),
    ),
    max_size=3,
).map(tuple)


@settings(max_examples=300, deadline=None)
@given(
    status=st.integers(0, 999),
    headers=HEADERS,
    body=BODIES,
    wall=st.floats(),
    provider=st.text(max_size=5),
    streamed=st.booleans(),
)
def test_every_answer_gets_a_verdict(
    status: int, headers: Any, body: bytes, wall: float, provider: str, streamed: bool
) -> None:
    found = classify(
        provider=provider, status=status, headers=headers, body=body, wall=wall, streamed=streamed
    )
    assert isinstance(found, Verdict)
    assert found.wait is None or found.wait > 0
    if status >= 400:
        assert found.fault not in {Fault.OK_NO_DONE, Fault.KEEPALIVE, Fault.EMPTY_OUTPUT}


def test_json_too_deep_to_read_is_no_json() -> None:
    assert parse(b"[" * 60_000) is None
    assert (
        classify(provider="", status=500, headers={}, body=b"[" * 60_000, wall=0.0).fault
        is Fault.SERVER_ERROR
    )


def test_numbers_of_any_size_are_harmless() -> None:
    body = b'{"error": {"code": ' + b"9" * 5000 + b', "message": "x", "retry_after": 1e300}}'
    assert classify(provider="", status=400, headers={}, body=body, wall=0.0).fault is Fault.INVALID_REQUEST


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(st.text(max_size=60) | JSON.map(json.dumps), max_size=5))
def test_every_line_that_is_not_blank_gets_one_line(lines: list[str]) -> None:
    told = [json.loads(line) for line in run(lines)]
    assert len(told) == sum(1 for line in lines if line.strip())
