"""Keys of the cache: nobody sees what was said to another."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.cache import NOISE, Answers, Stored, key_of
from sidecar.dialects import DIALECTS
from sidecar.dialects.repeating import Likeness, likeness
from sidecar.model import Headers, Operation

SECRET = b"of this process"
words = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=8)
header = st.tuples(
    st.sampled_from([b"authorization", b"x-api-key", b"X-Tenant", b"openai-organization", b"anthropic-beta"]),
    words.map(lambda text: text.encode("latin-1")),
)
headers = st.lists(header, max_size=3).map(tuple)
parts = st.lists(words.map(str.encode), min_size=3, max_size=3)


@given(headers, headers, parts, parts)
def test_two_calls_share_a_key_only_if_everything_about_them_is_equal(
    one: Headers, other: Headers, these: list[bytes], those: list[bytes]
):
    def about(said: Headers) -> list[tuple[bytes, bytes]]:
        return sorted((name.lower(), value) for name, value in said)

    same = these == those and about(one) == about(other)
    assert same is (key_of(SECRET, one, these) == key_of(SECRET, other, those))


@given(st.sampled_from(sorted(NOISE)), words.map(str.encode))
def test_what_differs_from_call_to_call_does_not_matter(name: bytes, value: bytes):
    assert key_of(SECRET, (), [b"x"]) == key_of(SECRET, ((name.title(), value),), [b"x"])


def test_a_key_says_nothing_without_the_secret():
    assert key_of(SECRET, (), [b"x"]) != key_of(b"another", (), [b"x"])


def test_no_credential_and_no_name_of_a_tenant_is_noise():
    assert not any(b"auth" in name or b"key" in name.replace(b"idempotency-key", b"") for name in NOISE)
    assert not any(b"tenant" in name or b"org" in name or b"cookie" in name for name in NOISE)


# ---- what is the same request --------------------------------------------------------------------------


def like(body: Any, path: str = "/v1/chat/completions", dialect: str = "openai_chat") -> Likeness | None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    ask = DIALECTS[dialect].ask(Operation.CHAT, path, raw)
    return likeness(dialect, ask, path, "", raw)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
messages = st.fixed_dictionaries(
    {"metadata": values, "seed": values, "messages": st.just([]), "model": st.just("m")}
)


@given(messages, messages, st.booleans(), st.booleans())
def test_requests_are_alike_exactly_where_they_say_the_same(
    one: dict[str, Any], other: dict[str, Any], streamed: bool, spaced: bool
):
    first = like({**one, "stream": streamed})
    second = like(json.dumps(dict(reversed(other.items())), indent=2 if spaced else None).encode())

    assert first is not None
    assert second is not None
    same = json.dumps(sorted(one.items())) == json.dumps(sorted(other.items()))
    assert same is (first.written() == second.written())
    assert (first.form == second.form) is not streamed


def test_what_cannot_be_read_in_one_way_only_is_like_nothing():
    for body in (b'{"seed":1e999}', b'{"seed":NaN}', b'{"a":{"b":1,"b":2}}', b'{"a":' + b"[" * 100_000):
        ask = DIALECTS["openai_chat"].ask(Operation.CHAT, "/chat/completions", b'{"model":"m"}')
        assert likeness("openai_chat", ask, "/chat/completions", "", body) is None


def test_the_order_of_a_schemas_fields_is_meaning():
    def schema(*names: str) -> dict[str, Any]:
        return {
            "model": "m",
            "response_format": {"json_schema": {"schema": {"properties": {name: {} for name in names}}}},
        }

    one, other = like(schema("why", "what")), like(schema("what", "why"))

    assert one is not None
    assert other is not None
    assert one.written() != other.written()


# ---- what is kept ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3000)), max_size=60))
def test_the_account_of_bytes_is_right_and_within_its_bounds(puts: list[tuple[int, int]]):
    answers = Answers(entries=6, most=8000)
    for n, (key, size) in enumerate(puts):
        answers.put(b"%d" % key, Stored(b"x" * size, b"", "", "", float(n)))
        assert answers.size == sum(len(one.body) + 512 for one in answers._held.values()) <= 8000
        assert len(answers) <= 6
        assert answers.get(b"%d" % key, float(n), 1.0) is not None
    answers.clear()
    assert 0 == answers.size == len(answers)
