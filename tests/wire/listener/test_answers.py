"""From an outcome to bytes: what the client gets to see."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from sidecar.events import (
    Bug,
)
from sidecar.model import (
    Answered,
    Attempt,
    Call,
    Chunk,
    Failed,
    Fault,
    Head,
    Headers,
    Kind,
    Outcome,
    Refused,
    RefusedBy,
    Sink,
    Tier,
)
from sidecar.settings import Listen, Route, Settings
from tests.wire.listener.house import (
    CHAT,
    EVENTS,
    JSON,
    PROVIDERS,
    Reply,
    Script,
    answering,
    get,
    house,
    post,
    run,
    saying,
    until,
)

STREAM = Head(200, headers=(EVENTS,))
MESSAGES = "/anthropic/v1/messages"
MESSAGE = b'{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'


def once(service: Script, request: bytes = b"") -> Reply:
    async def scenario() -> Reply:
        async with house(service) as home:
            reply = await home.ask(request or post())
            await until(lambda: home.ended)
            assert len(home.ended) == 1
            return reply

    return run(scenario())


def test_headers_arrive_byte_for_byte_in_order_with_their_case_and_their_duplicates():
    headers: Headers = (
        (b"X-B", b"1"),
        (b"content-TYPE", b"application/json"),
        (b"Set-Cookie", b"a=1"),
        (b"x-odd", b"\xe9\xff  two  spaces"),
        (b"Set-Cookie", b"b=2"),
        (b"CONTENT-length", b"2"),
        (b"Date", b"yesterday"),
    )

    async def service(_call: Call, sink: Sink) -> Outcome:
        gone = ((b"Connection", b"close, X-Private"), (b"X-Private", b"1"), (b"Keep-Alive", b"timeout=5"))
        await sink.start(Head(200, "Fine", (*gone, *headers, (b"Transfer-Encoding", b"chunked"))))
        await sink.send(Chunk(b"{}"))
        return Answered(200)

    reply = once(service)
    assert reply.lines[: len(headers)] == [b"%b: %b" % pair for pair in headers]
    added = [line.partition(b":")[0] for line in reply.lines[len(headers) :]]
    assert added == [b"x-llm-sidecar-" + name for name in (b"trace-id", b"attempts", b"served-by", b"tier")]
    assert reply.body == b"{}"


def test_a_header_that_would_break_out_of_its_line_is_left_out():
    async def service(_call: Call, sink: Sink) -> Outcome:
        bad = ((b"X-A", b"1\r\nX-Evil: 1"), (b"X-\xc3\xa9", b"1"), (b"X-N", b"a\0b"), (b"X-Good", b"1"))
        await sink.start(Head(200, headers=(*bad, (b"Content-Length", b"0"))))
        return Answered(200)

    reply = once(service)
    assert [line for line in reply.lines if b"x-llm" not in line] == [b"X-Good: 1", b"Content-Length: 0"]


def test_two_lengths_from_a_provider_are_not_passed_on():
    async def service(_call: Call, sink: Sink) -> Outcome:
        await sink.start(Head(200, headers=((b"Content-Length", b"2"), (b"Content-Length", b"7"))))
        await sink.send(Chunk(b"{}"))
        return Answered(200)

    reply = once(service)
    assert reply.get(b"content-length") is None
    assert reply.body == b"{}"


def test_the_labels_name_the_attempts_the_last_target_and_the_tier():
    async def service(call: Call, sink: Sink) -> Outcome:
        for number, target in enumerate(("openai", "azure/gpt"), 1):
            call.record.attempts.append(
                Attempt(
                    number=number,
                    target=target,
                    provider="p",
                    model="m",
                    kind=Kind.INITIAL,
                    breaker="closed",
                    started=0.0,
                )
            )
        labels = ((b"x-llm-sidecar-tier", b"static"), (b"x-llm-sidecar-degraded", b"timeout"))
        await sink.start(Head(200, headers=(*labels, (b"Content-Length", b"0"))))
        return Answered(200, tier=Tier.STATIC)

    reply = once(service)
    assert reply.get(b"x-llm-sidecar-attempts") == b"2"
    assert reply.get(b"x-llm-sidecar-served-by") == b"azure/gpt"
    assert reply.get(b"x-llm-sidecar-degraded") == b"timeout"
    assert [line for line in reply.lines if b"-tier" in line] == [b"x-llm-sidecar-tier: static"]


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_answers_without_a_body_have_none_and_keep_the_connection(method: bytes, status: int):
    async def service(_call: Call, sink: Sink) -> Outcome:
        await sink.start(Head(status, headers=((b"Content-Length", b"5"),) if method == b"HEAD" else ()))
        await sink.send(Chunk(b"12345"))
        return Answered(status)

    async def scenario() -> None:
        async with house(service) as home:
            client = await home.client()
            for _ in range(2):
                client.send(get("/files/x", method=method))
                reply = await client.head()
                assert reply.status == status
                assert reply.get(b"transfer-encoding") is None

    run(scenario())


def test_a_connection_is_used_again_and_again():
    async def scenario() -> None:
        async with house() as home:
            client = await home.client()
            for _ in range(5):
                client.send(post())
                assert (await client.reply()).body == b'{"ok":true}'
            client.send(post() * 3)  # pipelined: answered in order
            for _ in range(3):
                assert (await client.reply()).status == 200
            assert len(home.calls) == len(home.ended) == 8

    run(scenario())


def test_a_client_that_asks_for_the_end_of_its_connection_gets_it():
    async def scenario() -> None:
        async with house() as home:
            for request in (
                post("/openai/x", b"", b"Connection: close"),
                b"GET /openai/x HTTP/1.0\r\nHost: localhost\r\n\r\n",
                get("/openai/x", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"),
                post("/openai/x", CHAT, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"),
            ):
                raw = await home.say(request)
                assert b"\r\nconnection: close\r\n" in raw
                assert raw.endswith(b'{"ok":true}')
            assert home.calls[-1].body == CHAT

    run(scenario())


def test_a_stream_is_chunked_and_ends_properly():
    async def service(_call: Call, sink: Sink) -> Outcome:
        await sink.start(STREAM)
        for piece in (b"data: 1\n\n", b"", b"data: [DONE]\n\n"):
            await sink.send(Chunk(piece))
        return Answered(200)

    reply = once(service)
    assert reply.body == b"data: 1\n\ndata: [DONE]\n\n"


def test_an_old_client_gets_a_stream_that_ends_with_its_connection():
    async def service(_call: Call, sink: Sink) -> Outcome:
        await sink.start(STREAM)
        await sink.send(Chunk(b"data: 1\n\n"))
        return Answered(200)

    async def scenario() -> bytes:
        async with house(service) as home:
            return await home.say(b"GET /openai/x HTTP/1.0\r\nHost: localhost\r\n\r\n")

    raw = run(scenario())
    assert raw.startswith(b"HTTP/1.0 200 ")
    assert b"transfer-encoding" not in raw
    assert raw.endswith(b"\r\n\r\ndata: 1\n\n")


# ---- failures --------------------------------------------------------------------------------------


def test_the_providers_own_error_passes_byte_for_byte():
    body = b'{"error": {"message":  "slow down", "odd": [1 ,2]}}'
    head = Head(
        429,
        "Too Many",
        (
            (b"Content-Type", b"application/json"),
            (b"X-Request-ID", b"r1"),
            (b"x-should-retry", b"true"),
            (b"Retry-After", b"7"),
            (b"Content-Length", str(len(body)).encode()),
        ),
    )
    reply = once(saying(Failed(Fault.RATE_LIMIT_RPM, head=head, body=body)))
    assert reply.status == 429
    assert reply.body == body
    assert reply.lines[:2] == [b"Content-Type: application/json", b"X-Request-ID: r1"]
    assert reply.get(b"retry-after") == b"7"
    assert [line for line in reply.lines if b"should-retry" in line] == [b"x-should-retry: false"]
    assert reply.get(b"x-llm-sidecar-reason") == b"rate_limit_rpm"


@pytest.mark.parametrize(
    ("name", "value", "passed"),
    [
        (b"Retry-After", b"60", True),
        (b"Retry-After", b"61", False),
        (b"Retry-After", b"inf", False),
        (b"Retry-After", b"nan", False),
        (b"Retry-After", b"soon", False),
        (b"Retry-After", b"9" * 400, False),
        (b"retry-after-ms", b"60000", True),
        (b"retry-after-ms", b"60001", False),
        (b"Retry-After", b"Tue, 14 Nov 2023 22:14:00 GMT", True),  # the clock says 22:13:20
        (b"Retry-After", b"Tue, 14 Nov 2023 23:13:20 GMT", False),
    ],
)
def test_a_long_wait_is_told_to_people_and_not_to_sdks(name: bytes, value: bytes, passed: bool):
    head = Head(429, headers=((name, value),))
    kept = name.lower()
    for service in (
        saying(Failed(Fault.RATE_LIMIT_RPM, head=head, body=b"{}")),
        answering(b"{}", (name, value), status=429),  # a pass-through answer
    ):
        reply = once(service)
        assert reply.get(kept) == (value if passed else None)
        assert reply.get(b"x-llm-sidecar-upstream-" + kept) == (None if passed else value)


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        (Failed(Fault.TTFT_TIMEOUT), 504, b"ttft_timeout"),
        (Failed(Fault.NETWORK), 502, b"network"),
        (Failed(Fault.QUOTA_EXHAUSTED), 429, b"quota_exhausted"),
        (Failed(Fault.EMPTY_OUTPUT, head=Head(200), body=b"{}"), 502, b"empty_output"),
        (Failed(Fault.REFUSAL), 400, b"refusal"),
        (Refused(RefusedBy.BREAKER), 503, b"breaker"),
        (Refused(RefusedBy.BREAKER, fault=Fault.SERVER_ERROR), 502, b"breaker"),
        (Refused(RefusedBy.KNOWN_WAIT, fault=Fault.RATE_LIMIT_RPM), 429, b"known_wait"),
        (Refused(RefusedBy.NO_CREDENTIAL), 401, b"no_credential"),
        (Refused(RefusedBy.NOT_ALLOWED), 403, b"not_allowed"),
    ],
)
def test_without_an_answer_of_the_provider_ours_says_what_happened_in_the_dialect(
    outcome: Failed | Refused, status: int, reason: bytes
):
    for request in (post(), post(MESSAGES, MESSAGE)):
        reply = once(saying(outcome), request)
        assert reply.status == status
        assert reply.get(b"x-llm-sidecar-reason") == reason
        assert reply.get(b"x-should-retry") == b"false"
        assert reply.get(b"x-llm-sidecar-tier") == b"none"
        message = json.loads(reply.body)["error"]["message"]
        assert "no attempt was made" in message


def test_a_refusal_says_when_it_is_worth_coming_back():
    async def service(call: Call, _sink: Sink) -> Outcome:
        return Refused(RefusedBy.BREAKER, until=call.arrived + 20.0, detail="openai/gpt-4o")

    reply = once(service)
    wait = int(reply.get(b"retry-after") or b"0")
    assert 15 <= wait <= 20
    message = json.loads(reply.body)["error"]["message"]
    assert f"(breaker): openai/gpt-4o is asked again in {wait} s; no attempt was made" in message


def test_a_breakers_long_rest_is_not_told_as_the_providers_word():
    async def service(call: Call, _sink: Sink) -> Outcome:
        return Refused(RefusedBy.BREAKER, until=call.arrived + 240.0, detail="openai/gpt-4o")

    reply = once(service)

    assert reply.get(b"retry-after") == b"60"
    assert reply.get(b"x-llm-sidecar-upstream-retry-after") is None


def test_what_was_shed_may_be_retried_soon():
    reply = once(saying(Refused(RefusedBy.ADMISSION, fault=Fault.LOCAL_OVERLOAD)))
    assert reply.status == 503
    assert reply.get(b"x-should-retry") == b"true"
    assert 0 < int(reply.get(b"retry-after-ms") or b"0") <= 60_000
    assert reply.get(b"x-llm-sidecar-reason") == b"overload"


def breaking(head: Head, outcome: Outcome, *pieces: bytes) -> Script:
    async def service(_call: Call, sink: Sink) -> Outcome:
        await sink.start(head)
        for piece in pieces:
            await sink.send(Chunk(piece))
        return outcome

    return service


@pytest.mark.parametrize("path", ["openai", "anthropic"])
def test_a_stream_that_breaks_ends_with_the_dialects_error_event(path: str):
    request = post() if path == "openai" else post(MESSAGES, MESSAGE)
    reply = once(breaking(STREAM, Failed(Fault.STREAM_STALL), b"data: {}\n\n"), request)
    assert reply.body.startswith(b"data: {}\n\n")
    event = reply.body.removeprefix(b"data: {}\n\n")
    data = json.loads(event.partition(b"data: ")[2])
    assert "stream_stall" in json.dumps(data["error"])
    assert b"[DONE]" not in event


def test_nothing_is_added_where_the_provider_told_of_its_error_itself():
    told = b'data: {"error": {"message": "x"}}\n\n'
    reply = once(breaking(STREAM, Failed(Fault.SERVER_ERROR, told=True), told))
    assert reply.body == told


WHOLE = Head(200, headers=(JSON, (b"Content-Length", b"10")))
UNKNOWN_LENGTH = Head(200, headers=(JSON,))


@pytest.mark.parametrize(
    ("request_", "service"),
    [
        (post(), breaking(WHOLE, Failed(Fault.STREAM_CUT), b"12345")),
        (post(), breaking(WHOLE, Answered(200), b"12345")),  # shorter than it said
        (post(), breaking(UNKNOWN_LENGTH, Failed(Fault.STREAM_CUT), b"12345")),
        (get("/files/events"), breaking(STREAM, Failed(Fault.STREAM_CUT), b"12345")),
        (b"GET /files/x HTTP/1.0\r\nHost: localhost\r\n\r\n", breaking(STREAM, Failed(Fault.STREAM_CUT))),
    ],
)
def test_an_answer_that_was_cut_never_looks_complete(request_: bytes, service: Script):
    async def scenario() -> None:
        async with house(service) as home:
            raw = await home.say(request_)
            if request_.startswith(b"GET /files/x"):
                assert raw.endswith(b"(reset)")
            else:
                assert not raw.endswith(b"0\r\n\r\n")
                assert b"12345" in raw
            assert len(home.ended) == 1

    run(scenario())


# ---- bugs --------------------------------------------------------------------------------------------


async def _bug(_call: Call, _sink: Sink) -> Outcome:
    raise KeyError("sk-secret")


async def _late_bug(_call: Call, sink: Sink) -> Outcome:
    await sink.start(STREAM)
    await sink.send(Chunk(b"data: 1\n\n"))
    raise KeyError("sk-secret")


def test_a_bug_costs_a_call_its_policy_not_its_answer():
    async def scenario() -> None:
        async with house(_bug, passthrough=answering(b"straight")) as home:
            assert (await home.ask(post())).body == b"straight"
            assert [event.error for event in home.events if isinstance(event, Bug)] == ["KeyError"]
            assert home.calls[1].body == CHAT
            assert len(home.ended) == 1
            assert isinstance(home.ended[0].outcome, Answered)

    run(scenario())


def test_a_bug_in_reading_the_request_costs_it_its_policy_only():
    async def scenario() -> None:
        async with house(
            routes={"anthropic": Route(name="anthropic")}, passthrough=answering(b"past")
        ) as home:
            assert (await home.ask(post())).body == b"past"  # the script knows no route for openai: KeyError
            assert [event.error for event in home.events if isinstance(event, Bug)] == ["KeyError"]

    run(scenario())


@pytest.mark.parametrize("reading", [False, True])
def test_where_the_configuration_says_closed_a_bug_fails_its_call(reading: bool):
    async def scenario() -> None:
        listen = Listen(hosts=("127.0.0.1",), port=0)
        closed = Settings(listen=listen, providers=PROVIDERS, fail_mode="closed")
        routes = {"anthropic": Route(name="anthropic")} if reading else None
        async with house(_bug, passthrough=answering(b"past"), settings=closed, routes=routes) as home:
            reply = await home.ask(post())
            assert 502 == reply.status
            assert b"itself failed" in reply.body
            assert 1 == len([event for event in home.events if isinstance(event, Bug)])
            assert 1 == len(home.ended)

    run(scenario())


def test_a_bug_everywhere_is_an_honest_error():
    reply = once(_bug)
    assert reply.status == 502
    assert b"sk-secret" not in reply.body


def test_a_bug_after_the_commit_ends_the_stream_as_broken():
    reply = once(_late_bug)
    assert reply.body.startswith(b"data: 1\n\n")
    assert b'"error"' in reply.body


def test_the_bypass_sends_everything_straight_to_its_provider():
    async def scenario() -> None:
        async with house(_bug, passthrough=answering(b"straight")) as home:
            home.listener.bypass = True
            assert (await home.ask(post())).body == b"straight"
            assert [call.route for call in home.calls] == ["passthrough"]
            home.listener.bypass = False

    run(scenario())


def test_the_end_of_a_call_is_told_with_what_the_client_saw():
    async def scenario() -> None:
        async with house() as home:
            await home.ask(post())
            (ended,) = home.ended
            assert (ended.status, ended.committed, ended.call) == (200, True, home.calls[0])

        async with house(saying(Failed(Fault.NETWORK))) as home:
            await home.ask(post())
            (ended,) = home.ended
            assert (ended.status, ended.committed) == (502, False)
            assert ended.outcome == Failed(Fault.NETWORK)

    run(scenario())


def test_plain_asyncio_serves_as_well():
    async def scenario() -> None:
        async with house() as home:
            assert type(asyncio.get_running_loop()).__module__.startswith("asyncio")
            client = await home.client()
            for _ in range(3):
                client.send(post())
                assert (await client.reply()).status == 200
            assert (await home.say(b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")

    run(scenario(), plain=True)


class Counting:
    """Passes on what is written and remembers it."""

    def __init__(self, inner: asyncio.Transport) -> None:
        self.inner = inner
        self.writes: list[bytes] = []

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))
        self.inner.write(data)

    def is_closing(self) -> bool:
        return self.inner.is_closing()

    def close(self) -> None:
        self.inner.close()


@pytest.mark.parametrize("headers", [(EVENTS,), (JSON, (b"Content-Length", b"10"))])
def test_what_is_sent_in_one_turn_of_the_loop_is_one_write(headers: Headers):
    service = breaking(Head(200, headers=headers), Answered(200), b"12345", b"67890")

    async def scenario() -> None:
        async with house(service) as home:
            client = await home.client()
            await until(lambda: home.connections)
            (connection,) = home.connections
            assert connection.transport is not None
            counting = Counting(connection.transport)
            connection.transport = cast("asyncio.Transport", counting)
            client.send(post())
            await client.reply()
            assert len(counting.writes) == 1

    run(scenario())
