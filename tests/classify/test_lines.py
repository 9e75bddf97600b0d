from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sidecar.classify_lines import run


def told(*rows: Any) -> list[dict[str, Any]]:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return [json.loads(line) for line in run(lines, wall=1_800_000_000.0)]


def test_a_line_tells_the_decision() -> None:
    row = {
        "id": "a",
        "provider": "x",
        "status": 429,
        "headers": {"retry-after": "4"},
        "body": "Too Many Requests",
    }
    expected = {
        "id": "a",
        "class": "rate_limit_unknown",
        "retry": True,
        "fallback": True,
        "retry_after_s": 4.0,
        "scope": "model",
    }
    assert [expected] == told(row)


@pytest.mark.parametrize(
    ("bad", "about"),
    [
        ("{", "not JSON"),
        ("[1]", "expected a JSON object"),
        ({"id": 7}, "`status`"),
        ({"status": "429"}, "`status`"),
        ({"status": True}, "`status`"),
        ({"status": 1000}, "`status`"),
        ({"status": 429, "headers": "x"}, "`headers`"),
        ({"status": 429, "body_b64": "%%"}, "`body_b64`"),
    ],
)
def test_a_bad_line_is_named_and_the_next_one_is_read(bad: Any, about: str) -> None:
    first, second = told(bad, {"id": "b", "status": 401})
    assert (first["id"], first["line"]) == (None, 1)
    assert about in first["error"]
    assert (second["id"], second["class"]) == ("b", "auth")


def test_blank_lines_are_passed_over_and_still_counted() -> None:
    assert [3] == [line["line"] for line in told("", "  ", "x")]


def test_a_body_may_come_as_text_as_json_or_as_base64() -> None:
    body = {"error": {"code": "insufficient_quota", "message": "x"}}
    text = json.dumps(body)
    coded = base64.b64encode(text.encode()).decode()
    rows = told(*({"status": 429} | more for more in ({"body": body}, {"body": text}, {"body_b64": coded})))
    assert ["quota_exhausted"] * 3 == [row["class"] for row in rows]


def test_headers_may_come_as_an_object_of_lists_or_as_pairs() -> None:
    given = [{"Retry-After": ["3", "9"]}, [["retry-after", "9"], ["Retry-After", "3"]], None]
    assert [9.0, 9.0, None] == [
        row["retry_after_s"] for row in told(*({"status": 429, "headers": h} for h in given))
    ]


def test_the_hint_is_shown_also_where_the_verdict_does_not_believe_it() -> None:
    body = {"error": {"message": "Limit of requests per day", "details": [{"retryDelay": "30s"}]}}
    assert [("rate_limit_daily", 30.0)] == [
        (row["class"], row["retry_after_s"]) for row in told({"status": 429, "body": body})
    ]


@pytest.mark.parametrize(
    ("event", "position", "fault"),
    [
        ("stall", "mid output", "stream_stall"),
        ("stall", "before content", "ttft_timeout"),
        ("eof", "terminal", "ok_no_done"),
        ("eof", "mid output", "stream_cut"),
        ("reset", "before output", "stream_cut"),
        ("comment", "before output", "keepalive"),
        ("client_cancel", "mid output", "client_cancelled"),
    ],
)
def test_what_ended_a_stream_says_more_than_its_bytes(event: str, position: str, fault: str) -> None:
    row = {"status": 200, "body": "<as told>", "in_stream": {"event": event, "position": position}}
    assert [fault] == [found["class"] for found in told(row)]


def test_a_408_gets_one_more_try_and_a_gateway_timeout_does_not() -> None:
    assert [True, False] == [row["retry"] for row in told({"status": 408}, {"status": 504})]


STREAM = {"content-type": "text/event-stream"}
PIECE = (
    'data: {"object":"chat.completion.chunk","choices":[{"delta":{"content":"x"},"finish_reason":null}]}\n\n'
)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (PIECE + 'data: {"error":{"code":429,"message":"Rate limit exceeded"}}\n\n', "rate_limit_unknown"),
        (
            PIECE + 'data: {"choices":[{"delta":{},"finish_reason":"length"}]}\n\ndata: [DONE]\n\n',
            "truncated_output",
        ),
        (PIECE + 'data: {"choi', "malformed_chunk"),
        (": one\n\n: two\n\n", "keepalive"),
        ("event: ping\n\n", "keepalive"),
        (
            'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n',
            "overloaded",
        ),
    ],
)
def test_a_recorded_stream_is_read_as_a_whole(body: str, fault: str) -> None:
    assert [fault] == [row["class"] for row in told({"status": 200, "headers": STREAM, "body": body})]
