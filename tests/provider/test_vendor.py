"""The vendor's port, its log, and how it follows its script."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import uvloop

from sidecar.provider import Behaviour, Rule, Script, Vendor, When, digest, do, expected
from tests.provider.raw import CHAT, MESSAGES, Seen, ask, last, listen, post, request, run


def test_behaviours_come_one_per_call_and_the_last_stays() -> None:
    async def scenario() -> None:
        async with Vendor([do("server_error"), do("overloaded"), do("ok")]) as vendor:
            statuses = [(await ask(vendor, last(request()))).status for _ in range(4)]

        assert [500, 503, 200, 200] == statuses

    run(scenario())


def test_rules_are_asked_in_order_and_by_what_the_request_says() -> None:
    rules = (
        Rule(do("overloaded"), When(dialect="anthropic", stream=True)),
        Rule(do("model_gone"), When(model="old-*")),
        Rule(do("content_filter"), When(contains="bad word")),
        Rule(do("server_error"), When(calls="5-6")),
    )

    async def scenario() -> None:
        async with Vendor(Script(rules=rules)) as vendor:
            asked = [
                request(MESSAGES, stream=True),
                request(model="old-1"),
                request(text="a bad word"),
                request(),
                request(),
                request(model="old-1"),
                request(),
            ]
            statuses = [(await ask(vendor, last(sent))).status for sent in asked]

        assert [529, 404, 400, 200, 500, 404, 200] == statuses

    run(scenario())


def test_chance_is_the_same_in_every_run() -> None:
    async def statuses(seed: int) -> list[int]:
        script = Script(rules=(Rule(do("server_error"), When(p=0.5)),), seed=seed)
        async with Vendor(script) as vendor:
            return [(await ask(vendor, last(request()))).status for _ in range(12)]

    async def scenario() -> None:
        first, again, other = await statuses(1), await statuses(1), await statuses(2)

        assert first == again != other
        assert {200, 500} == set(first)

    run(scenario())


def test_a_refused_call_finds_the_port_shut_until_the_script_changes() -> None:
    async def scenario() -> None:
        async with Vendor([do("ok"), do("refuse")]) as vendor:
            assert 200 == (await ask(vendor, request())).status
            assert "refused" == (await ask(vendor, request())).end
            assert "refused" == (await ask(vendor, request())).end

            vendor.script(do("ok"))

            assert 200 == (await ask(vendor, request())).status
            assert 2 == len(vendor.log)

    run(scenario())


def test_an_outage_with_an_end_counts_as_one_call() -> None:
    async def scenario() -> None:
        async with Vendor([do("refuse", seconds=0.1), do("auth"), do("ok")]) as vendor:
            assert "refused" == (await ask(vendor, request())).end
            await vendor.until(lambda: not vendor.shut)
            seen = await ask(vendor, request())

            assert 401 == seen.status
            assert 200 == (await ask(vendor, request())).status

    run(scenario())


def test_an_outage_by_the_clock_opens_the_port_again() -> None:
    async def scenario() -> None:
        rules = (Rule(do("refuse"), When(seconds="0-0.1")),)
        async with Vendor(Script(rules=rules)) as vendor:
            assert "refused" == (await ask(vendor, request())).end
            await vendor.until(lambda: not vendor.shut)
            seen = await ask(vendor, request())

            assert expected("n1") == seen.text

    run(scenario())


def test_an_outage_closes_idle_connections_and_lets_running_calls_finish() -> None:
    async def scenario() -> None:
        async with Vendor([do("ok", gap=0.01)]) as vendor:
            idle, idle_writer = await asyncio.open_connection("127.0.0.1", vendor.port)
            busy, busy_writer = await asyncio.open_connection("127.0.0.1", vendor.port)
            busy_writer.write(request(stream=True))
            await vendor.until(lambda: vendor.running == 1 and vendor.open == 2)

            vendor.script(do("refuse"))

            assert Seen(b"", "eof") == await listen(idle)
            seen = await listen(busy)
            assert (expected("n1"), "eof") == (seen.text, seen.end)
            idle_writer.close()
            busy_writer.close()

    run(scenario())


def test_one_connection_carries_many_calls_and_the_log_says_which() -> None:
    async def scenario() -> None:
        rules = (Rule(do("reset_before_headers"), When(reused=True, calls="3-")),)
        async with Vendor(Script(rules=rules)) as vendor:
            reader, writer = await asyncio.open_connection("127.0.0.1", vendor.port)
            for _ in range(2):
                writer.write(request(stream=True))
                assert expected("n1") == (await listen(reader)).text
            writer.write(request())

            assert Seen(b"", "reset") == await listen(reader)
            assert [1, 1, 1] == [exchange.connection for exchange in vendor.log]
            assert ["answered", "answered", "cut"] == [exchange.ended for exchange in vendor.log]
            assert 1 == vendor.connections
            writer.close()

    run(scenario())


def test_the_log_tells_what_was_asked_and_never_a_key() -> None:
    async def scenario() -> None:
        async with Vendor() as vendor:
            seen = await ask(vendor, request(stream=True))
            await vendor.until(lambda: vendor.open == 0)
            (exchange,) = vendor.log

        assert ("POST", CHAT, "openai_chat", "m-1", True, "n1") == (
            exchange.method,
            exchange.path,
            exchange.dialect,
            exchange.model,
            exchange.stream,
            exchange.nonce,
        )
        assert ("ok", 200, len(seen.raw), "answered") == (
            exchange.behaviour,
            exchange.status,
            exchange.sent,
            exchange.ended,
        )
        assert digest("sk-canary") == exchange.key
        assert f"Bearer #{exchange.key}" == exchange.header("authorization")
        assert "m-1" == exchange.json["model"]
        assert "sk-canary" not in repr(exchange)
        assert exchange.ended_at is not None
        assert exchange.at <= exchange.ended_at

    run(scenario())


@pytest.mark.parametrize("behaviour", [do("hang"), do("stall"), do("ok", delay=60), do("ok", gap=60)])
def test_a_client_that_leaves_is_noticed_at_once(behaviour: Behaviour) -> None:
    async def scenario() -> None:
        async with Vendor([behaviour]) as vendor:
            _, writer = await asyncio.open_connection("127.0.0.1", vendor.port)
            writer.write(request(stream=True))
            await vendor.until(lambda: vendor.running == 1)

            writer.close()
            await vendor.until(lambda: vendor.open == 0, seconds=2)

        assert "client_left" == vendor.log[0].ended

    run(scenario())


def test_a_vendor_that_stops_leaves_no_task_and_no_open_port() -> None:
    async def scenario() -> None:
        async with Vendor([do("hang")]) as vendor:
            reader, writer = await asyncio.open_connection("127.0.0.1", vendor.port)
            writer.write(request())
            await vendor.until(lambda: vendor.running == 1)

        assert 1 == len(asyncio.all_tasks())
        assert "stopped" == vendor.log[0].ended
        assert "open" != (await listen(reader)).end
        assert "refused" == (await ask(vendor, request())).end
        writer.close()

    run(scenario())


def test_a_client_that_does_not_read_stops_the_vendor() -> None:
    """Back-pressure: a vendor must not write an answer into its own memory."""

    async def scenario() -> None:
        async with Vendor([do("huge_event", size=16_000_000)]) as vendor:
            reader, writer = await asyncio.open_connection("127.0.0.1", vendor.port, limit=1024)
            writer.write(request(stream=True))
            await vendor.until(lambda: vendor.running == 1)
            await reader.readuntil(b"\r\n\r\n")

            assert "" == vendor.log[0].ended
            writer.close()

    run(scenario())


def test_a_body_in_chunks_is_a_body() -> None:
    body = b'{"model": "m-2", "messages": [{"role": "user", "content": "nonce:c"}]}'
    head = f"POST {CHAT} HTTP/1.1\r\nhost: v\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(body[n : n + 10]), body[n : n + 10]) for n in range(0, len(body), 10)
    )

    async def scenario() -> None:
        async with Vendor() as vendor:
            seen = await ask(vendor, head + chunks + b"0\r\n\r\n")

        assert expected("c") == seen.text
        assert body == vendor.log[0].body

    run(scenario())


def test_a_client_that_waits_for_100_continue_gets_it_unless_the_script_says_no() -> None:
    sent = post(CHAT, b"{}", "expect: 100-continue")
    head, _, body = sent.partition(b"\r\n\r\n")

    async def scenario() -> None:
        async with Vendor([do("ok"), do("no_continue")]) as vendor:
            reader, writer = await asyncio.open_connection("127.0.0.1", vendor.port)
            writer.write(head + b"\r\n\r\n")
            assert b"HTTP/1.1 100 Continue\r\n\r\n" == await reader.readuntil(b"\r\n\r\n")
            writer.write(body)
            assert 200 == (await listen(reader)).status
            writer.write(head + b"\r\n\r\n")
            assert Seen(b"", "open") == await listen(reader)
            writer.write(body)
            assert 200 == (await listen(reader)).status
            writer.close()

    run(scenario())


def test_an_early_answer_leaves_the_body_unread() -> None:
    async def scenario() -> None:
        async with Vendor([do("early_answer", error="auth")]) as vendor:
            reader, writer = await asyncio.open_connection("127.0.0.1", vendor.port)
            writer.write(post(CHAT, b"")[:-5] + b" 99\r\n\r\n")

            seen = await listen(reader)

            assert (401, "eof") == (seen.status, seen.end)
            writer.close()

    run(scenario())


def test_a_reset_while_the_body_is_sent_comes_after_so_many_bytes() -> None:
    async def scenario() -> None:
        async with Vendor([do("reset_in_body", size=100)]) as vendor:
            reader, writer = await asyncio.open_connection("127.0.0.1", vendor.port)
            head, _, body = post(CHAT, b"x" * 1000).partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n" + body[:99])
            assert Seen(b"", "open") == await listen(reader)
            writer.write(body[99:])

            assert Seen(b"", "reset") == await listen(reader)
            writer.close()

    run(scenario())


def test_what_is_no_http_is_hung_up_on() -> None:
    async def scenario() -> None:
        async with Vendor() as vendor:
            assert Seen(b"", "eof") == await ask(vendor, b"\x16\x03\x01 hello\r\n\r\n")
            assert [] == vendor.log

    run(scenario())


def test_it_also_runs_on_uvloop() -> None:
    async def scenario() -> None:
        plan = [do("ok"), do("cut", how="reset"), do("refuse", seconds=0.05), do("auth")]
        async with Vendor(plan) as vendor:
            assert expected("n1") == (await ask(vendor, request(stream=True))).text
            assert "reset" == (await ask(vendor, request(stream=True))).end
            await vendor.until(lambda: not vendor.shut)
            seen = await ask(vendor, request())
            assert 401 == seen.status

    uvloop.run(scenario())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_tls_is_spoken_and_its_handshake_can_fail(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=v -addext subjectAltName=IP:127.0.0.1"
    command = [*make.split(), "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # the arguments are above
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(cert, key)
    theirs = ssl.create_default_context(cafile=str(cert))

    async def scenario() -> None:
        async with Vendor([do("ok"), do("tls_alert")], tls=ours) as vendor:
            assert vendor.url.startswith("https://")
            reader, writer = await asyncio.open_connection("127.0.0.1", vendor.port, ssl=theirs)
            writer.write(request(stream=True))
            assert expected("n1") == (await listen(reader)).text
            writer.close()
            with pytest.raises(ssl.SSLError, match=r"(?i)handshake"):
                await asyncio.open_connection("127.0.0.1", vendor.port, ssl=theirs)

    run(scenario())
