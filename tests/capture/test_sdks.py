"""The real SDKs with no base URL, only HTTPS_PROXY and a bundle to trust, through the real process.

The names are the vendors' own; the providers' urls lead to fake vendors on loopback.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import anthropic
import openai
import pytest
from anthropic.types import MessageParam
from google import genai
from openai.types.chat import ChatCompletionUserMessageParam

from sidecar.provider import Behaviour as Do
from tests.kit.world import ANSWER, Sidecar, World, sidecar
from tests.wire.upstream.certificate import write_certificate

pytestmark = pytest.mark.process

OK = Do("ok", text=ANSWER)
BUSY = Do("rate_limit", retry_after=0)
DOWN = Do("server_error")
QUESTION: ChatCompletionUserMessageParam = {"role": "user", "content": "how is it?"}
KEY = "apps-own-key"


@dataclass(frozen=True)
class Pod:
    """A sidecar that captures, and what its application is given."""

    world: World
    process: Sidecar
    port: int
    trust: Path

    @property
    def env(self) -> dict[str, str]:
        proxy = f"http://127.0.0.1:{self.port}"
        bundle = str(self.trust / "ca-bundle.pem")
        return {
            "HTTPS_PROXY": proxy,
            "https_proxy": proxy,
            "SSL_CERT_FILE": bundle,
            "REQUESTS_CA_BUNDLE": bundle,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def lines(self, event: str) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in self.process.log.read_text().splitlines()]
        return [row for row in rows if row["event"] == event]


def metric(pod: Pod, name: str, **labels: str) -> float:
    opener = build_opener(ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{pod.process.admin}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith(name) and all(f'{key}="{value}"' in line for key, value in labels.items())
    )


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  # another process has no event for us
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    trust = tmp_path_factory.mktemp("trust")
    world = World()
    try:
        for name, dialect in (("openai", "openai_chat"), ("anthropic", "anthropic"), ("gemini", "gemini")):
            world.vendor(name, dialect, (OK,), key=False)
            world.vendor(f"{name}-second", dialect, (OK,))
            world.route(name, f"{name}-second", deadline=20.0)
        capture = {"mode": "proxy", "port": 0, "trust_dir": str(trust), "reach": "any"}
        with sidecar({**world.config, "capture": capture, "log_level": "debug"}) as process:
            log = process.log
            world.runner.run(eventually(lambda: '"event":"capture"' in log.read_text()))
            row = next(line for line in log.read_text().splitlines() if '"event":"capture"' in line)
            port = int(json.loads(row)["detail"].split(",")[0].removeprefix("port "))
            yield Pod(world, process, port, trust)
    finally:
        world.close()


@pytest.fixture
def application(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> Pod:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.endswith(("_BASE_URL", "_API_BASE", "_API_KEY")):
            monkeypatch.delenv(name)
    for name, value in pod.env.items():
        monkeypatch.setenv(name, value)
    return pod


async def ask_chat() -> str:
    async with openai.AsyncOpenAI(api_key=KEY, max_retries=0) as client:
        whole = await client.chat.completions.create(model="m", messages=[QUESTION])
        return whole.choices[0].message.content or ""


async def ask_chat_stream() -> str:
    async with openai.AsyncOpenAI(api_key=KEY, max_retries=0) as client:
        events = await client.chat.completions.create(model="m", messages=[QUESTION], stream=True)
        return "".join([event.choices[0].delta.content or "" async for event in events if event.choices])


async def ask_responses() -> str:
    async with openai.AsyncOpenAI(api_key=KEY, max_retries=0) as client:
        return (await client.responses.create(model="m", input="how is it?")).output_text


async def ask_anthropic() -> str:
    messages: list[MessageParam] = [{"role": "user", "content": "how is it?"}]
    async with (
        anthropic.AsyncAnthropic(api_key=KEY, max_retries=0) as client,
        client.messages.stream(model="m", max_tokens=99, messages=messages) as events,
    ):
        return "".join([text async for text in events.text_stream])


async def ask_gemini() -> str:
    client = genai.Client(api_key=KEY).aio
    try:
        return (await client.models.generate_content(model="m", contents="how is it?")).text or ""
    finally:
        await client.aclose()


ASK: Mapping[str, tuple[str, Callable[[], Awaitable[str]]]] = {
    "chat": ("openai", ask_chat),
    "chat stream": ("openai", ask_chat_stream),
    "responses": ("openai", ask_responses),
    "anthropic stream": ("anthropic", ask_anthropic),
    "gemini": ("gemini", ask_gemini),
}


@pytest.mark.parametrize("who", ASK)
@pytest.mark.parametrize(("plan", "path", "asked"), [((OK,), "direct", 1), ((BUSY, OK), "retry", 2)])
def test_an_sdk_without_a_base_url_gets_the_full_treatment(
    application: Pod, who: str, plan: tuple[Do, ...], path: str, asked: int
):
    provider, ask = ASK[who]
    vendor = application.world.vendors[provider]
    already = len(vendor.log)
    before = metric(application, "llm_sidecar_requests_total", route=f"route.{provider}", path=path)

    async def scenario() -> str:
        vendor.script(*plan)
        return await ask()

    answer = application.world.runner.run(scenario())

    assert ANSWER == answer
    assert asked == len(vendor.log) - already
    wanted = before + 1
    application.world.runner.run(
        eventually(
            lambda: (
                wanted
                == metric(application, "llm_sidecar_requests_total", route=f"route.{provider}", path=path)
            )
        )
    )


@pytest.mark.parametrize("who", ASK)
def test_its_calls_fall_back_when_their_provider_is_down(application: Pod, who: str):
    provider, ask = ASK[who]
    vendors = application.world.vendors
    first, second = vendors[provider], vendors[f"{provider}-second"]
    already = len(second.log)
    name = "llm_sidecar_fallbacks_total"
    before = metric(application, name, from_provider=provider)

    async def scenario() -> str:
        first.script(Do("quota"))
        try:
            return await ask()
        finally:
            first.script(OK)

    assert ANSWER == application.world.runner.run(scenario())
    assert 1 == len(second.log) - already
    assert before + 1 == metric(application, name, from_provider=provider)
    assert KEY not in application.process.log.read_text()


def test_the_connections_are_counted_and_no_host_is_logged(application: Pod):
    before = metric(application, "llm_sidecar_capture_connections_total", how="intercepted")

    assert ANSWER == application.world.runner.run(ask_chat())

    assert before + 1 == metric(application, "llm_sidecar_capture_connections_total", how="intercepted")
    rows = application.lines("proxied")
    assert {"intercepted"} == {row["outcome"] for row in rows}
    assert {"openai", "anthropic", "gemini"} >= {row["provider"] for row in rows}
    assert "api.openai.com" not in application.process.log.read_text()


def test_an_sdk_talks_to_a_host_that_is_not_listed_without_us(
    application: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Somebody's own gateway: the SDK sees its certificate, the sidecar only that there is a tunnel."""
    file = write_certificate(tmp_path / "gateway.pem", name="localhost")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    vendor = application.world.vendors["openai"]
    already = metric(application, "llm_sidecar_requests_total")

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", vendor.port)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    async def scenario() -> str:
        vendor.script(OK)
        server = await asyncio.start_server(pipe, "127.0.0.1", 0, ssl=theirs)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
        async with server, openai.AsyncOpenAI(api_key=KEY, base_url=url, max_retries=0) as client:
            whole = await client.chat.completions.create(model="m", messages=[QUESTION])
            return whole.choices[0].message.content or ""

    before = metric(application, "llm_sidecar_capture_connections_total", how="tunnelled")
    assert ANSWER == application.world.runner.run(scenario())
    assert before + 1 == metric(application, "llm_sidecar_capture_connections_total", how="tunnelled")
    assert already == metric(application, "llm_sidecar_requests_total")


def test_the_process_holds_no_key_in_a_file(pod: Pod):
    assert {"ca.pem", "ca-bundle.pem"} == {path.name for path in pod.trust.iterdir()}
    assert all(b"PRIVATE" not in path.read_bytes() for path in pod.trust.iterdir())
    folder = Path(f"/proc/{pod.process.process.pid}/fd")
    held = [str(link.readlink()) for link in folder.iterdir() if link.exists()]
    files = [name for name in held if name.startswith("/") and not name.startswith("/dev/")]
    assert all(b"PRIVATE KEY" not in Path(name).read_bytes() for name in files if Path(name).is_file())
    assert not [name for name in held if "memfd" in name]


def test_the_port_speaks_to_loopback_only(pod: Pod):
    rows = Path(f"/proc/{pod.process.process.pid}/net/tcp").read_text().splitlines()[1:]
    listening = {row.split()[1] for row in rows if row.split()[3] == "0A"}
    assert {f"0100007F:{pod.port:04X}"} == {one for one in listening if one.endswith(f":{pod.port:04X}")}


def test_check_says_what_would_be_captured(tmp_path: Path):
    file = tmp_path / "sidecar.yaml"
    file.write_text(
        "capture: {mode: proxy, trust_dir: /nowhere, others: refuse, only_hosts: true,"
        " hosts: {api.openai.com: openai, api.example.com: anthropic}}\n"
    )
    command = [sys.executable, "-m", "sidecar", "check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603

    assert "HTTPS_PROXY=http://127.0.0.1:4001; all other hosts are refused" in done.stdout
    assert "api.openai.com -> openai\n" in done.stdout
    assert "api.example.com -> anthropic, at api.anthropic.com" in done.stdout
    assert "api.anthropic.com ->" not in done.stdout
    assert "warning: capture.trust_dir: /nowhere is no folder that can be written here" in done.stdout


def test_check_says_what_the_pods_variables_would_capture():
    command = [sys.executable, "-m", "sidecar", "check"]
    env = {**os.environ, "LLM_SIDECAR_CAPTURE": "proxy", "LLM_SIDECAR_TRUST_DIR": "/trust"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=env)  # noqa: S603

    assert "no configuration: ok" in done.stdout
    assert "  api.openai.com -> openai\n" in done.stdout
    assert "  certificates to trust: /trust/ca-bundle.pem" in done.stdout


def test_a_trust_folder_that_cannot_be_written_is_one_line(tmp_path: Path):
    file = tmp_path / "sidecar.yaml"
    file.write_text(f"capture: {{mode: proxy, port: 0, trust_dir: {tmp_path}/none}}\n")
    command = [sys.executable, "-m", "sidecar", "run", "--port", "0", "--admin-port", "0", "-c", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603

    assert 1 == done.returncode
    assert 1 == len(done.stderr.strip().splitlines()), done.stderr
    assert "capture.trust_dir" in done.stderr
