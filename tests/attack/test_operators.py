"""The admin port against its neighbours in the pod network, and the command line against slips."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from sidecar import admin
from sidecar.admin import Admin
from tests.admin.test_admin import View

GET = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "sidecar", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603


@pytest.mark.parametrize("part", [b"", b"GET /livez HTTP/1.1\r\nho"])
def test_whoever_fills_the_admin_port_with_idle_connections_keeps_nobody_out(
    monkeypatch: pytest.MonkeyPatch, part: bytes
):
    monkeypatch.setattr(admin, "CONNECTIONS", 8)

    async def scenario() -> None:
        one = Admin(view=View())
        await one.start()
        host, port = one.addresses[0]
        try:
            async with asyncio.timeout(10):
                held = [await asyncio.open_connection(host, port) for _ in range(40)]
                for _, writer in held:
                    writer.write(part)
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(GET)
                assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
                writer.close()
                for oldest, _ in held[:30]:
                    with suppress(ConnectionError):
                        assert await oldest.read() == b""
                for _, other in held:
                    other.close()
        finally:
            await one.stop()

    asyncio.run(scenario())


def test_a_head_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(admin, "IDLE_SECONDS", 0.2)

    async def scenario() -> None:
        one = Admin(view=View())
        await one.start()
        try:
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection(*one.addresses[0])
                writer.write(GET[:-5])
                assert await reader.read() == b""
                writer.close()
        finally:
            await one.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
@pytest.mark.parametrize("port", ["70000", "-1", "1e3", "\u0661"])
def test_a_port_that_is_none_is_refused_in_a_sentence(option: str, port: str):
    done = command("run", f"{option}={port}")

    assert done.returncode == 2
    assert "0 to 65535" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_certificates_that_cannot_be_read_are_told_in_a_sentence(tmp_path: Path, content: str | None):
    certificates = tmp_path / "ca.pem"
    if content is not None:
        certificates.write_text(content)
    config = tmp_path / "sidecar.yaml"
    config.write_text(f"providers: {{openai: {{ca_file: {certificates}}}}}\n")

    done = command("run", "--port", "0", "--admin-port", "0", "--config", str(config))

    assert done.returncode == 2
    assert "providers.openai.ca_file" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_that_nobody_reads_stops_no_call(tmp_path: Path):
    config = tmp_path / "sidecar.yaml"
    config.write_text(
        "log_level: debug\nproviders: {p: {url: 'http://127.0.0.1:1', private: true, dialect: ''}}\n"
    )
    words = [
        sys.executable,
        "-m",
        "sidecar",
        "run",
        "--port",
        "0",
        "--admin-port",
        "0",
        "--config",
        str(config),
    ]

    async def calls(port: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(20):
            for _ in range(400):  # two lines each: more than a pipe takes
                writer.write(b"GET /p/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.close()
        return 400

    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stderr is not None
            port = int(process.stderr.readline().split("127.0.0.1:")[1].split(",")[0])
            assert asyncio.run(calls(port)) == 400
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_the_last_lines_of_the_log_are_written():
    with subprocess.Popen(
        [sys.executable, "-m", "sidecar", "run", "--port", "0", "--admin-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            port = int(process.stderr.readline().split("127.0.0.1:")[1].split(",")[0])

            async def once() -> None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /nobody/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                assert b" 404 " in await reader.readline()
                writer.close()

            asyncio.run(once())
            process.terminate()
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    assert '"event":"refused"' in out
    assert '"reason":"unknown"' in out


def test_explain_says_the_whole_address_of_every_target(tmp_path: Path):
    config = tmp_path / "sidecar.yaml"
    config.write_text(
        "providers: {own: {dialect: openai_chat, url: 'http://10.0.0.5:8000/base/v1', private: true}}\n"
        "routes: [{name: r, match: {provider: groq}, chain: [{provider: groq}, {provider: own}]}]\n"
    )
    request = tmp_path / "request"
    # this vendor's SDK sends the path of its own url too, which is no other provider's
    request.write_text('{"path": "/groq/openai/v1/chat/completions", "body": {"model": "m", "messages": []}}')

    done = command("explain", "--config", str(config), "--request", str(request))

    assert done.returncode == 0, done.stderr
    assert "https://api.groq.com/openai/v1/chat/completions" in done.stdout
    assert "http://10.0.0.5:8000/base/v1/chat/completions" in done.stdout
