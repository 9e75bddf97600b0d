"""T1, T2, T6 to T8, T10, T12: what the listener refuses, and how it says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sidecar.settings import Listen, Settings
from tests.wire.listener.house import CHAT, PROVIDERS, Reply, answering, get, house, post, run, until

A = b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
CHUNKED = A + b"Transfer-Encoding: chunked\r\n\r\n"

MALFORMED = {
    "both framings": (
        A + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "two_framings",
    ),
    "two lengths": (A + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "duplicate_length"),
    "a list of lengths": (A + b"Content-Length: 1, 1\r\n\r\na", "content_length"),
    "a signed length": (A + b"Content-Length: +1\r\n\r\na", "content_length"),
    "an empty length": (A + b"Content-Length:\r\n\r\n", "content_length"),
    "an endless length": (A + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", "content_length"),
    "two hosts": (A + b"Host: evil\r\n\r\n", "host"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", "host"),
    "no host in 1.0": (b"GET / HTTP/1.0\r\n\r\n", "host"),
    "a folded header": (A + b"X: a\r\n b\r\n\r\n", "folded_header"),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n", "bare_lf"),
    "one bare line feed": (A + b"X: a\nY: b\r\n\r\n", "bare_lf"),
    "a bare carriage return": (A + b"X: a\rY: b\r\n\r\n", "bare_cr"),
    "a NUL": (A + b"X: a\0b\r\n\r\n", "nul"),
    "a space before the colon": (A + b"X : a\r\n\r\n", "space_before_colon"),
    "a name that is no token": (A + b"X(: a\r\n\r\n", "bad_header"),
    "an empty name": (A + b": a\r\n\r\n", "bad_header"),
    "a control character": (A + b"X: \x01\r\n\r\n", "bad_header"),
    "chunked twice": (A + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "transfer_encoding"),
    "two codings": (A + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer_encoding"),
    "two coding headers": (
        A + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer_encoding",
    ),
    "identity coding": (A + b"Transfer-Encoding: identity\r\n\r\n", "transfer_encoding"),
    "an unknown coding": (A + b"Transfer-Encoding: xchunked\r\n\r\n", "transfer_encoding"),
    "chunked in 1.0": (
        b"POST /openai/x HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer_encoding",
    ),
    "a long chunk extension": (
        CHUNKED + b"1;" + b"x" * 257 + b"\r\na\r\n0\r\n\r\n",
        "chunk_extension",
    ),
    "an endless chunk extension": (CHUNKED + b"1;" + b"x" * 4000, "chunk_extension"),
    "a line feed in an extension": (CHUNKED + b"1;x\n\r\na\r\n0\r\n\r\n", "chunk_size"),
    "a hex prefix": (CHUNKED + b"0x1\r\na\r\n0\r\n\r\n", "chunk_size"),
    "a signed chunk": (CHUNKED + b"-1\r\na\r\n0\r\n\r\n", "chunk_size"),
    "a chunk that is longer than it says": (CHUNKED + b"1\r\nab\r\n0\r\n\r\n", "bad_request"),
    "a trailer that is none": (CHUNKED + b"0\r\nX y\r\n\r\n", "bad_trailer"),
    "an absolute target": (b"GET http://evil/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "absolute_form"),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "request_line"),
    "a control character in the target": (b"GET /\x01 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "request_line"),
    "a fragment": (b"GET /openai/#x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "request_line"),
    "raw bytes in the target": (b"GET /\xe9 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "request_line"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "tls"),
    "a blank line first": (b"\r\nGET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "request_line"),
    "a method that does not exist": (b"get / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "bad_request"),
    "a duplicate content type": (
        A + b"Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n",
        "bad_request",
    ),
}

OTHER = {
    "huge head": (A + b"X: " + b"x" * 70_000 + b"\r\n\r\n", 431, "headers_too_large"),
    "endless head": (A + b"X: " + b"x" * 70_000, 431, "headers_too_large"),
    "too many fields": (A + b"X: y\r\n" * 201 + b"\r\n", 431, "too_many_headers"),
    "a long target": (
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        414,
        "target_too_long",
    ),
    "endless trailers": (CHUNKED + b"0\r\nX: " + b"x" * 9000, 431, "trailers_too_large"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http_version"),
    "an unknown version": (b"GET / HTTP/1.2\r\nHost: localhost\r\n\r\n", 505, "http_version"),
    "CONNECT": (b"CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n", 405, "connect"),
    "CONNECT to a path": (b"CONNECT /openai HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "connect"),
    "a WebSocket": (
        get("/openai/v1/realtime", b"Connection: Upgrade", b"Upgrade: websocket"),
        501,
        "websocket",
    ),
}


def _error(raw: bytes) -> tuple[int, bytes, dict[str, object]]:
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head, json.loads(body)


@pytest.mark.parametrize("name", MALFORMED)
def test_a_request_that_two_parsers_could_read_differently_is_refused_and_the_connection_closed(name: str):
    data, code = MALFORMED[name]

    async def scenario() -> None:
        async with house() as home:
            raw = await home.say(data + get("/openai/smuggled"))
            status, head, body = _error(raw)
            assert status == 400
            assert b"x-llm-sidecar-reason: " + code.encode() in head
            assert b"connection: close" in head
            assert b"x-should-retry: false" in head
            assert "error" in body
            assert home.calls == []

    run(scenario())


@pytest.mark.parametrize("name", OTHER)
def test_what_is_too_large_or_not_served_is_refused_with_its_own_status(name: str):
    data, wanted, code = OTHER[name]

    async def scenario() -> None:
        async with house() as home:
            status, head, _ = _error(await home.say(data))
            assert status == wanted
            assert b"x-llm-sidecar-reason: " + code.encode() in head
            assert home.calls == []

    run(scenario())


def test_a_refusal_takes_the_shape_of_the_dialect_that_its_path_names():
    async def scenario() -> None:
        async with house() as home:
            bad = b"Host: 127.0.0.1\r\nX : y\r\n\r\n"
            _, _, openai = _error(await home.say(b"POST /openai/v1/chat/completions HTTP/1.1\r\n" + bad))
            _, _, anthropic = _error(await home.say(b"POST /anthropic/v1/messages HTTP/1.1\r\n" + bad))
            assert "type" not in openai
            assert anthropic["type"] == "error"

    run(scenario())


def test_no_refusal_quotes_what_was_sent():
    async def scenario() -> None:
        async with house() as home:
            secret = b"sk-canary-0123456789"
            for line in (b"Authorization : Bearer ", b"Authorization: Bearer \x01", b"X: a\nAuthorization: "):
                raw = await home.say(A + line + secret + b"\r\n\r\n")
                assert raw.startswith(b"HTTP/1.1 400 ")
                assert secret not in raw

    run(scenario())


def test_trailers_are_dropped_and_reach_no_later_request():
    async def scenario() -> None:
        async with house() as home:
            body = b"%x\r\n%b\r\n0\r\nX-Evil: 1\r\nAuthorization: other\r\n\r\n" % (len(CHAT), CHAT)
            client = await home.client()
            client.send(CHUNKED + body + post())
            assert (await client.reply()).status == 200
            assert (await client.reply()).status == 200
            first, second = home.calls
            assert first.body == second.body == CHAT
            for call in home.calls:
                assert not any(name.lower() in {b"x-evil", b"authorization"} for name, _ in call.headers)

    run(scenario())


def test_short_chunk_extensions_are_accepted_and_mean_nothing():
    async def scenario() -> None:
        async with house() as home:
            body = b"%x;name=value\r\n%b\r\n0;end\r\n\r\n" % (len(CHAT), CHAT)
            assert (await home.ask(CHUNKED + body)).status == 200
            assert home.calls[0].body == CHAT

    run(scenario())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_a_request_means_the_same_however_it_is_cut(size: int):
    async def scenario() -> None:
        async with house() as home:
            data = CHUNKED + b"5;x\r\n%b\r\n%x\r\n%b\r\n0\r\nA: b\r\n\r\n" % (
                CHAT[:5],
                len(CHAT) - 5,
                CHAT[5:],
            )
            client = await home.client()
            stream = data + post()
            for start in range(0, len(stream), size):
                client.send(stream[start : start + size])
                await client.writer.drain()
            assert (await client.reply()).status == 200
            assert (await client.reply()).status == 200
            assert [call.body for call in home.calls] == [CHAT, CHAT]

    run(scenario())


def test_a_bad_request_behind_a_good_one_is_answered_after_it():
    async def scenario() -> None:
        async with house() as home:
            raw = await home.say(post() + A + b"X : y\r\n\r\n")
            assert raw.startswith(b"HTTP/1.1 200 ")
            assert raw.count(b"HTTP/1.1 ") == 2
            assert b"HTTP/1.1 400 " in raw

    run(scenario())


# ---- who asks, and where to -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"127.0.0.1", 200),
        (b"127.0.0.1:4000", 200),
        (b"LOCALHOST:1", 200),
        (b"[::1]:4000", 200),
        (b"evil.example", 421),
        (b"localhost.evil.example", 421),
        (b"localhost:80:80", 421),
        (b"localhost@evil", 421),
        (b"", 421),
    ],
)
def test_only_the_accepted_host_names_are_served(host: bytes, status: int):
    async def scenario() -> Reply:
        async with house() as home:
            return await home.ask(post(host=host))

    assert run(scenario()).status == status


def test_a_web_page_is_refused_unless_its_origin_is_configured():
    async def scenario() -> None:
        listen = Listen(hosts=("127.0.0.1",), port=0, origins=("http://good.test",))
        async with house(listen=listen) as home:
            for origin, status in ((b"http://good.test", 200), (b"http://evil.test", 403), (b"null", 403)):
                reply = await home.ask(post("/openai/v1/chat/completions", CHAT, b"Origin: " + origin))
                assert reply.status == status
                assert reply.get(b"access-control-allow-origin") is None

    run(scenario())


def test_trace_is_not_served():
    async def scenario() -> Reply:
        async with house() as home:
            return await home.ask(get("/openai/v1/models", method=b"TRACE"))

    assert run(scenario()).status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/openai/../x",
        "/openai/%2e%2E/x",
        "/openai/a%2f..%2fb",
        "/openai/..",
        "/openai/a\\..\\b",
        "/openai/a%00",
    ],
)
def test_no_path_leads_out_of_its_provider(path: str):
    async def scenario() -> None:
        async with house() as home:
            assert (await home.ask(get(path))).status == 400
            assert home.calls == []

    run(scenario())


def test_an_unknown_prefix_names_the_known_ones_and_the_nearest():
    async def scenario() -> Reply:
        async with house() as home:
            return await home.ask(get("/opnai/v1/models"))

    reply = run(scenario())
    message = json.loads(reply.body)["error"]["message"]
    assert reply.status == 404
    assert "anthropic, files, openai" in message
    assert 'Did you mean "openai"?' in message


def test_the_root_says_hello_and_which_prefixes_there_are():
    async def scenario() -> Reply:
        async with house() as home:
            return await home.ask(get("/"))

    assert json.loads(run(scenario()).body)["prefixes"] == ["/anthropic", "/files", "/openai"]


def test_a_client_token_is_asked_for_where_it_is_configured(tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("tell-me\n")
    listen = Listen(hosts=("127.0.0.1",), port=0, client_token=str(token))

    async def scenario() -> None:
        async with house(listen=listen) as home:
            path = "/openai/v1/chat/completions"
            assert (await home.ask(post())).status == 401
            assert (await home.ask(post(path, CHAT, b"x-llm-sidecar-token: wrong"))).status == 401
            assert (await home.ask(post(path, CHAT, b"x-llm-sidecar-token: tell-me"))).status == 200
            assert not any(b"token" in name for name, _ in home.calls[0].headers)
            token.write_text("rotated")
            assert (await home.ask(post(path, CHAT, b"x-llm-sidecar-token: rotated"))).status == 200

    run(scenario())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1"])
def test_an_address_that_others_can_reach_needs_leave_and_a_token(host: str):
    async def scenario() -> None:
        with pytest.raises(ValueError, match="reachable from other machines"):
            async with house(listen=Listen(hosts=(host,), port=0)):
                pass

    run(scenario())


# ---- hop by hop --------------------------------------------------------------------------------


def test_hop_by_hop_headers_end_here_but_a_key_cannot_be_stripped():
    async def scenario() -> None:
        async with house() as home:
            request = post(
                "/openai/v1/chat/completions",
                CHAT,
                b"Connection: close, authorization, X-Private, host, content-type",
                b"Authorization: Bearer k",
                b"X-Private: 1",
                b"Keep-Alive: timeout=5",
                b"TE: trailers",
                b"Upgrade: h2c",
                b"Proxy-Authorization: Basic x",
                b"Content-Type: application/json",
                b"X-Twice: a",
                b"x-twice: b",
                b"x-llm-sidecar-unknown: dropped",
            )
            assert (await home.ask(request)).status == 200
            assert home.calls[0].headers == (
                (b"Host", b"127.0.0.1"),
                (b"Authorization", b"Bearer k"),
                (b"Content-Type", b"application/json"),
                (b"X-Twice", b"a"),
                (b"x-twice", b"b"),
                (b"Content-Length", str(len(CHAT)).encode()),
            )

    run(scenario())


# ---- sizes and numbers --------------------------------------------------------------------------


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes():
    listen = Listen(hosts=("127.0.0.1",), port=0, max_body=1000)

    async def scenario() -> None:
        async with house(listen=listen) as home:
            client = await home.client()
            client.send(A + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
            reply = await client.reply()
            assert reply.status == 413
            assert json.loads(reply.body)["error"]["code"] == "request_too_large"

    run(scenario())


def test_a_chunked_body_is_refused_when_it_has_become_too_large():
    listen = Listen(hosts=("127.0.0.1",), port=0, max_body=1000)

    async def scenario() -> None:
        async with house(listen=listen) as home:
            client = await home.client()
            client.send(CHUNKED + b"400\r\n" + b"x" * 1024 + b"\r\n")
            assert (await client.reply()).status == 413

    run(scenario())


def test_connections_above_the_cap_are_told_so_at_once():
    listen = Listen(hosts=("127.0.0.1",), port=0, max_connections=2)

    async def scenario() -> None:
        async with house(listen=listen) as home:
            first, second = await home.client(), await home.client()
            first.send(post())
            second.send(post())
            assert (await first.reply()).status == (await second.reply()).status == 200
            raw = await home.say(post())
            assert raw.startswith(b"HTTP/1.1 503 ")
            assert b"x-should-retry: true" in raw
            first.leave()
            await until(lambda: home.listener._door is not None and home.listener._door.open == 1)
            assert (await home.ask(post())).status == 200

    run(scenario())


def test_a_known_provider_without_a_dialect_gets_the_shape_that_both_sdks_read():
    settings = Settings(listen=Listen(hosts=("127.0.0.1",), port=0), providers=PROVIDERS)

    async def scenario() -> Reply:
        async with house(answering(), settings=settings) as home:
            return await home.ask(get("/files/../x"))

    reply = run(scenario())
    body = json.loads(reply.body)
    assert body["type"] == "error"
    assert set(body["error"]) == {"type", "message", "code"}
