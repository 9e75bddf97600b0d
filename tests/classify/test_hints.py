from __future__ import annotations

from math import isfinite
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.classify.hints import LONGEST, duration, wait

WALL = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


def told(headers: dict[str, str] | None = None, body: Any = None) -> float | None:
    pairs = tuple((key.encode(), value.encode()) for key, value in (headers or {}).items())
    return wait(pairs, body, WALL)


def says(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"retry-after-ms": "120", "retry-after": "1"}, 0.12),
        ({"x-ms-retry-after-ms": "21764.5"}, 21.7645),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        # the provider's clock is ten minutes ahead of ours: its own Date is what counts
        ({"retry-after": "Fri, 15 Jan 2027 08:10:30 GMT", "date": "Fri, 15 Jan 2027 08:10:00 GMT"}, 30.0),
        ({"retry-after": "1e9"}, LONGEST),
        ({"retry-after": "99999999999"}, LONGEST),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, LONGEST),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "NaN"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": ""}, None),
        (
            {
                "retry-after": "0",
                "retry-after-ms": "junk",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": "3",
            },
            3.0,
        ),
    ],
)
def test_a_wait_in_a_header_is_read_and_nonsense_is_none(
    headers: dict[str, str], seconds: float | None
) -> None:
    found = told(headers)
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "7m12s"}, 432.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "340ms"}, 0.34),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "2m59.56s"}, 179.56),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "12.5"}, 12.5),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000009"}, 9.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000009500"}, 9.5),
        (
            {
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2027-01-15T08:00:20Z",
            },
            20.0,
        ),
        ({"x-ratelimitbysize-remaining-minute": "0", "ratelimitbysize-reset": "31"}, 31.0),
        ({"x-ratelimit-remaining-requests-day": "0", "x-ratelimit-reset-requests-day": "33011.4"}, 33011.4),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        # not used up: its reset says nothing about this answer
        ({"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "7m12s"}, None),
        ({"x-ratelimit-reset-requests": "7m12s"}, None),
        ({"ratelimit": '"api";r=4;t=55'}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-requests": "60"}, None),
        # both used up: both have to be back
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6s",
            },
            6.0,
        ),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "-1s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "2020-01-01T00:00:00Z"}, None),
    ],
)
def test_a_reset_counts_where_its_resource_is_used_up(headers: dict[str, str], seconds: float | None) -> None:
    found = told(headers)
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (
            {
                "error": {
                    "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12s"}]
                }
            },
            12.0,
        ),
        ([{"error": {"details": [{"retryDelay": "1.5s"}]}}], 1.5),
        ({"error": {"details": [{"retryDelay": {"seconds": 30}}]}}, 30.0),
        ({"error": "Model x is currently loading", "estimated_time": 20.5}, 20.5),
        ({"retry_after": 3}, 3.0),
        ({"error": {"metadata": {"retry_after_seconds": 8}}}, 8.0),
        (
            {
                "error": {
                    "metadata": {
                        "headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000004000"}
                    }
                }
            },
            4.0,
        ),
        (says("Please try again in 20s."), 20.0),
        (says("Please try again in 1m2.5s. Visit us."), 62.5),
        (says("Please try again in 340ms."), 0.34),
        (says("Please retry after 22 seconds. Please go here."), 22.0),
        (says("please try again after 1 seconds"), 1.0),
        (says("Please wait 9 seconds before retrying."), 9.0),
        (says("Please retry in 1h2m."), 3720.0),
        (says("Try again in 2 minutes and 5 seconds"), 125.0),
        ("Rate limit is exceeded. Try again in 12 seconds.", 12.0),
        ({"response": {"error": {"message": "Please try again in 2.1s."}}}, 2.1),
        (says("Please try again later."), None),
        (says("Created within the last 5 minutes, please wait a moment and try again."), None),
        ({"error": {"details": [{"retryDelay": "soon"}]}}, None),
        ({"retry_after": True}, None),
        ({"retry_after": -1}, None),
        ({"retry_after": 10**400}, None),
    ],
)
def test_a_wait_in_the_body_is_read(body: Any, seconds: float | None) -> None:
    found = told({}, body)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_of_two_equal_headers_the_longest_valid_value_wins() -> None:
    pairs = ((b"retry-after", b"3"), (b"Retry-After", b"7"), (b"retry-after", b"never"))
    assert wait(pairs, None, WALL) == 7.0


def test_a_header_comes_before_the_body_and_the_exact_field_before_the_sentence() -> None:
    body = {"error": {"message": "Please retry in 37.2s.", "details": [{"retryDelay": "37s"}]}}
    assert told({"retry-after": "2"}, body) == 2.0
    assert told({}, body) == 37.0


def test_without_a_known_time_a_date_is_no_hint() -> None:
    assert wait(((b"retry-after", b"Fri, 15 Jan 2027 08:00:30 GMT"),), None, 0.0) is None


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1s1", "-1s", "1s" * 30])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert duration(text) is None


NAMES = st.sampled_from(
    ["retry-after", "retry-after-ms", "date", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "x"]
)
VALUES = st.one_of(
    st.binary(max_size=40),
    st.floats().map(lambda number: str(number).encode()),
    st.integers().map(lambda number: str(number).encode()),
    st.datetimes().map(lambda moment: moment.isoformat().encode()),
    st.from_regex(rb"([0-9]{1,14}(\.[0-9]{1,3})?(ms|s|m|h|d)){1,4}", fullmatch=True),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "details", "retryDelay", "message", "metadata", "headers"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(headers=st.lists(st.tuples(NAMES.map(str.encode), VALUES), max_size=5), body=JSON, wall=st.floats())
def test_whatever_comes_a_wait_is_a_finite_time_ahead_or_none(headers: Any, body: Any, wall: float) -> None:
    found = wait(tuple(headers), body, wall)
    assert found is None or (isfinite(found) and 0 < found <= LONGEST)
