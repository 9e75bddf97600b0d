"""Each behaviour does on the wire what its name says."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.provider import CATALOGUE, Behaviour, Vendor, do, expected
from tests.provider.raw import CHAT, MESSAGES, Seen, ask, last, post, request, run

GOOD = expected("n1")
Check = Callable[[Seen], bool]


def whole(seen: Seen) -> bool:
    return seen.text == GOOD and seen.end == "eof"


def error(status: int, word: str) -> Check:
    return lambda it: it.status == status and word in json.dumps(it.json)


# behaviour, streaming, what a client sees
CASES: list[tuple[Behaviour, bool, Check]] = [
    (do("ok"), True, whole),
    (do("ok"), False, whole),
    (do("ok", framing="close"), True, lambda it: whole(it) and not it.header("content-length")),
    (do("ok", framing="length"), True, lambda it: whole(it) and not it.header("transfer-encoding")),
    (do("ok", eol="crlf", bom=True, tight=True), True, lambda it: it.body.startswith(b"\xef\xbb\xbfdata:{")),
    (do("ok", eol="cr"), True, lambda it: whole(it) and b"\n" not in it.body),
    (do("ok", gzip=True), True, lambda it: expected("n1", 3)[:5].encode() in zlib.decompress(it.body, 31)),
    (do("ok", gzip=True), False, lambda it: GOOD.encode() in zlib.decompress(it.body, 31)),
    (do("ok", first_content_after=0.1, keepalive=0.02), True, lambda it: it.body.count(b": keep") >= 3),
    (do("ok", first_content_after=0.1, keepalive=0.02), False, lambda it: whole(it) and b"\n\n\n" in it.body),
    (do("refuse"), False, lambda it: it.end == "refused"),
    (do("blackhole"), False, lambda it: it.end == "timeout"),
    (do("accept_reset"), False, lambda it: it == Seen(b"", "reset")),
    (do("accept_stall"), False, lambda it: it == Seen(b"", "open")),
    (do("tls_alert"), False, lambda it: it.raw[:3] == b"\x15\x03\x03"),
    (do("reset_in_body", size=10), False, lambda it: it == Seen(b"", "reset")),
    (do("early_answer"), False, lambda it: it.status == 413 and it.end == "eof"),
    (do("slow_read", rate=2000), False, whole),
    (do("no_continue"), False, whole),
    (do("reset_before_headers"), True, lambda it: it == Seen(b"", "reset")),
    (do("close_before_headers"), True, lambda it: it == Seen(b"", "eof")),
    (do("hang"), True, lambda it: it == Seen(b"", "open")),
    (do("headers_then_hang"), True, lambda it: (it.status, it.framed, it.end) == (200, b"", "open")),
    (do("informational"), True, lambda it: it.raw.startswith(b"HTTP/1.1 103 Early Hints\r\n")),
    (do("garbage_status"), False, lambda it: it.raw.startswith(b"HPPT 2000")),
    (do("http09"), True, lambda it: it.raw.startswith(b"data: ") and it.end == "eof"),
    (do("huge_headers"), False, lambda it: whole(it) and len(it.head) > 70_000),
    (do("huge_headers", lines=300), False, lambda it: whole(it) and it.head.count("x-filler-") == 300),
    (do("dripped_headers", gap=0.02), False, lambda it: it.raw.startswith(b"HTTP/1.1 200 OK\r\n")),
    (do("redirect"), False, lambda it: (it.status, len(it.header("location"))) == (307, 1)),
    (do("redirect", status=302), False, lambda it: it.status == 302),
    (do("switching_protocols"), False, lambda it: it.status == 101),
    (do("conflicting_framing"), True, lambda it: "content-length: 5" in it.head and "chunked" in it.head),
    (do("two_lengths"), False, lambda it: len(it.header("content-length")) == 2),
    (do("length_too_long"), False, lambda it: it.header("content-length") == [str(len(it.framed) + 100)]),
    (do("length_too_short"), False, lambda it: it.header("content-length") == [str(len(it.framed) - 20)]),
    (do("bad_chunk_size"), True, lambda it: it.raw.endswith(b"zz\r\nthis is no chunk\r\n")),
    (do("invalid_json"), False, lambda it: it.status == 200 and not readable(it.body)),
    (do("invalid_json"), True, lambda it: not any(map(readable, it.events[:-1]))),
    (do("html"), True, lambda it: it.header("content-type")[0].startswith("text/html")),
    (do("empty_body"), False, lambda it: (it.status, it.framed) == (200, b"")),
    (do("empty_answer"), True, lambda it: it.text == "" and it.events[-1] == "[DONE]"),
    (do("empty_answer"), False, lambda it: it.json["choices"][0]["message"]["content"] == ""),
    (do("corrupt_gzip"), False, lambda it: not inflates(it.body)),
    (do("gzip_bomb", size=3_000_000), False, lambda it: len(zlib.decompress(it.body, 31)) > 3_000_000),
    (do("invalid_utf8"), False, lambda it: b"n1\xff\xfe\x80 w1" in it.body),
    (do("error_in_200", error="overloaded"), True, error(200, "engine_overloaded")),
    (do("unparsable_answer"), False, lambda it: not readable(it.text) and it.text.startswith("{")),
    (do("schema_breaking_answer"), True, lambda it: "unexpected" in json.loads(it.text)),
    (do("stall", after=3), True, lambda it: (it.text, it.end) == ("nonce:n1 w1 w2", "open")),
    (do("stall"), False, lambda it: it.end == "open" and not readable(it.body)),
    (do("cut", after=3), True, lambda it: (it.text, it.end) == ("nonce:n1 w1 w2", "eof")),
    (do("cut", at=3), True, lambda it: (it.text, it.end) == ("nonce:n1 w1", "eof")),
    (do("cut", after=0, how="reset"), True, lambda it: (it.text, it.end) == ("", "reset")),
    (do("cut"), False, lambda it: int(it.header("content-length")[0]) > len(it.framed) > 0),
    (do("cut", mid_event=True), True, lambda it: not it.body.endswith(b"\n\n") and it.end == "eof"),
    (do("end_early"), True, lambda it: it.raw.endswith(b"\r\n0\r\n\r\n") and it.text == "nonce:n1 w1"),
    (do("error_event", after=0, error="overloaded"), True, lambda it: "engine_overloaded" in it.events[1]),
    (do("error_event", after=2), True, lambda it: it.text == "nonce:n1 w1" and "error" in it.events[-1]),
    (do("malformed_event"), True, lambda it: sum(not readable(event) for event in it.events) == 2),
    (do("malformed_event"), False, lambda it: not readable(it.body)),
    (do("garbage"), True, lambda it: it.text == GOOD and b"%%%% garbage" in it.body),
    (do("huge_event", size=1_100_000), True, lambda it: it.text == GOOD and len(it.raw) > 1_100_000),
    (do("no_sentinel"), True, lambda it: whole(it) and "[DONE]" not in it.events),
    (do("no_sentinel", keep_open=True), True, lambda it: (it.text, it.end) == (GOOD, "open")),
    (do("trailing_data"), True, lambda it: it.events[-2] == "[DONE]"),
    (do("linger"), True, lambda it: (it.events[-1], it.end) == ("[DONE]", "open")),
    (do("odd_ids"), True, lambda it: whole(it) and it.body.count(b"id: 3\n") > 2),
    (do("duplicate_event"), True, lambda it: it.text == GOOD.replace("w1", "w1 w1")),
    (do("keepalives_forever", keepalive=0.02), True, lambda it: it.body.count(b": keep-alive") > 3),
    (do("broken_tool_call"), False, lambda it: not readable(arguments(it))),
    (do("ok_then_close"), False, lambda it: whole(it) and "close" not in it.head),
    (do("truncated"), False, lambda it: it.json["choices"][0]["finish_reason"] == "length"),
    (do("refusal"), False, lambda it: it.json["choices"][0]["message"]["refusal"] == GOOD),
    (do("content_filter_finish"), False, lambda it: "content_filter" in it.body.decode()),
    (do("status", status=502, body="bad gateway"), False, lambda it: it.body == b"bad gateway"),
    (do("status", status=418, message="tea"), False, error(418, "tea")),
    (do("rate_limit", retry_after=2), False, lambda it: it.header("retry-after") == ["2"]),
    (do("rate_limit", retry_after=["nan", "3"]), False, lambda it: it.header("retry-after") == ["nan", "3"]),
    (do("rate_limit", retry_after_ms=1.5), False, lambda it: it.header("retry-after-ms") == ["1.5"]),
    (do("rate_limit", retry_after_date=60), False, lambda it: it.header("retry-after")[0].endswith(" gmt")),
    (do("rate_limit", reset="1m2.5s"), False, lambda it: "reset-requests: 1m2.5s" in it.head),
    (do("rate_limit", should_retry=False), True, lambda it: it.header("x-should-retry") == ["false"]),
    (do("rate_limit", limit="day"), False, error(429, "per day")),
    (do("quota"), False, error(429, "insufficient_quota")),
    (do("billing"), False, error(429, "billing")),
    (do("auth"), False, error(401, "invalid_api_key")),
    (do("permission"), False, error(403, "permissions")),
    (do("region"), False, error(403, "unsupported_country")),
    (do("overloaded"), False, error(503, "overloaded")),
    (do("server_error"), True, error(500, "server_error")),
    (do("timeout"), False, error(408, "timed out")),
    (do("conflict"), False, error(409, "another request")),
    (do("context_window"), False, error(400, "context_length_exceeded")),
    (do("content_filter"), False, error(400, "content_policy")),
    (do("invalid_request"), False, error(400, "Invalid value")),
    (do("model_gone"), False, error(404, "model_not_found")),
    (do("not_found"), False, error(404, "Invalid URL")),
    (do("too_large"), False, error(413, "too large")),
]  # fmt: skip


def readable(text: str | bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def inflates(body: bytes) -> bool:
    try:
        zlib.decompress(body, 31)
    except zlib.error:
        return False
    return True


def arguments(seen: Seen) -> str:
    text = seen.json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert isinstance(text, str)
    return text


ENDLESS = {"dripped_headers", "keepalives_forever"}


@pytest.mark.parametrize(
    ("behaviour", "stream", "check"), CASES, ids=[f"{case[0].name}-{n}" for n, case in enumerate(CASES)]
)
def test_a_behaviour_looks_on_the_wire_as_its_name_says(
    behaviour: Behaviour, stream: bool, check: Check
) -> None:
    async def scenario() -> None:
        async with Vendor([behaviour]) as vendor:
            at_most = 1.0 if behaviour.name in ENDLESS else 10.0
            seen = await ask(vendor, last(request(stream=stream)), at_most=at_most)

        assert check(seen), (seen.end, seen.raw[:2000])

    run(scenario())


def test_every_behaviour_has_a_case() -> None:
    assert set(CATALOGUE) == {behaviour.name for behaviour, _, _ in CASES}


ANTHROPIC: list[tuple[Behaviour, bool, Check]] = [
    (do("ok"), True, lambda it: whole(it) and "message_stop" in it.events[-1]),
    (do("ok"), False, whole),
    (do("ok", keepalive=0.02, first_content_after=0.1), True, lambda it: it.body.count(b"event: ping") > 3),
    (do("no_sentinel"), True, lambda it: whole(it) and "message_delta" in it.events[-1]),
    (do("empty_answer"), True, lambda it: b"content_block_delta" not in it.body),
    (do("empty_answer"), False, lambda it: it.json["content"] == []),
    (do("error_event", error="overloaded", after=0), True, lambda it: b"\nevent: error\ndata: " in it.body),
    (do("huge_event"), True, whole),
    (do("rate_limit", retry_after=5), False, error(429, "rate_limit_error")),
    (do("rate_limit", limit="concurrency"), False, error(429, "concurrent connections")),
    (do("overloaded"), False, error(529, "overloaded_error")),
    (do("quota"), False, error(400, "usage limits")),
    (do("billing"), False, error(402, "billing_error")),
    (do("context_window"), False, error(400, "prompt is too long")),
    (do("refusal"), False, lambda it: it.json["stop_reason"] == "refusal"),
    (do("truncated"), True, lambda it: b'"stop_reason":"max_tokens"' in it.body),
    (do("broken_tool_call"), True, lambda it: b"input_json_delta" in it.body),
    (do("ok", reasoning=2), True, lambda it: whole(it) and it.body.count(b"thinking_delta") == 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("behaviour", "stream", "check"),
    ANTHROPIC,
    ids=[f"{case[0].name}-{n}" for n, case in enumerate(ANTHROPIC)],
)
def test_the_other_dialect_has_its_own_words(behaviour: Behaviour, stream: bool, check: Check) -> None:
    async def scenario() -> None:
        async with Vendor([behaviour]) as vendor:
            seen = await ask(vendor, last(request(MESSAGES, stream=stream)))

        assert check(seen), (seen.end, seen.raw[:2000])

    run(scenario())


@pytest.mark.parametrize("split", ["whole", "event", "byte", "random"])
def test_however_the_bytes_are_cut_the_answer_is_the_same(split: str) -> None:
    async def scenario() -> None:
        async with Vendor([do("ok", split=split)]) as vendor:
            seen = await ask(vendor, last(request(stream=True)))

        assert whole(seen)

    run(scenario())


def test_a_whole_answer_is_silent_until_it_is_ready() -> None:
    async def scenario() -> None:
        async with Vendor([do("ok", first_content_after=5)]) as vendor:
            assert Seen(b"", "open") == await ask(vendor, request())

    run(scenario())


def test_a_request_for_json_gets_an_answer_that_meets_its_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "n": {"type": "integer"}, "k": {"enum": ["x", "y"]}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}

    async def scenario() -> None:
        async with Vendor() as vendor:
            seen = await ask(vendor, last(request(stream=True, response_format=form)))

        assert {"a": GOOD, "n": 1, "k": "x"} == json.loads(seen.text)

    run(scenario())


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_tool_is_called_with_arguments_that_meet_its_schema(path: str, stream: bool) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"place": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": schema}}]
    if path == MESSAGES:
        tools = [{"name": "look_up", "input_schema": schema}]

    async def scenario() -> None:
        async with Vendor([do("ok", tool=True)]) as vendor:
            seen = await ask(vendor, last(request(path, stream=stream, tools=tools)))

        assert b"look_up" in seen.body
        assert "n1" in tool_input(seen, path, stream)["place"]

    run(scenario())


def tool_input(seen: Seen, path: str, stream: bool) -> Any:
    if not stream and path == MESSAGES:
        return seen.json["content"][0]["input"]
    if not stream:
        return json.loads(arguments(seen))
    said = [json.loads(event) for event in seen.events if event != "[DONE]"]
    if path == MESSAGES:
        return json.loads("".join(event.get("delta", {}).get("partial_json", "") for event in said))
    calls = [call for event in said for call in event["choices"][0]["delta"].get("tool_calls", [])]
    return json.loads("".join(call["function"]["arguments"] for call in calls))


def test_usage_comes_in_a_stream_that_asked_for_it() -> None:
    async def scenario() -> None:
        async with Vendor([do("ok"), do("ok"), do("ok", usage=False)]) as vendor:
            plain = await ask(vendor, last(request(stream=True)))
            asked = await ask(vendor, last(request(stream=True, stream_options={"include_usage": True})))
            kept = await ask(vendor, last(request(stream=True, stream_options={"include_usage": True})))

        assert [False, True, False] == [b"completion_tokens" in seen.body for seen in (plain, asked, kept)]

    run(scenario())


def test_text_and_json_carry_the_nonce() -> None:
    async def scenario() -> None:
        async with Vendor([do("ok", text="hello"), do("ok", json='{"n": "{nonce}"}')]) as vendor:
            assert "hello nonce:n1" == (await ask(vendor, last(request()))).text
            assert '{"n": "n1"}' == (await ask(vendor, last(request(stream=True)))).text

    run(scenario())


def test_any_other_path_says_what_it_received() -> None:
    async def scenario() -> None:
        async with Vendor() as vendor:
            echo = await ask(vendor, last(post("/v1/files", b"x" * 100)))
            vectors = await ask(vendor, last(post("/v1/embeddings", b'{"input": "a"}')))

        assert ("/v1/files", 100) == (echo.json["path"], echo.json["size"])
        assert [0.25, -0.5, 0.125] == vectors.json["data"][0]["embedding"]

    run(scenario())
