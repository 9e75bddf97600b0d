"""The SDK classes for clouds whose addresses are the customer's, through the real process to a fake vendor.

What is shown: which path and key arrive, that the calls we can read are helped (a 500 is asked again),
and that the others pass as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.oauth2.credentials import Credentials

from sidecar.provider import Behaviour as Do
from sidecar.provider import Exchange, Vendor, digest, expected
from tests.kit.world import Sidecar, World, sidecar

pytestmark = pytest.mark.process

NONCE = "say it. nonce:n1"
VERSION = "2024-10-21"
VERTEX = "/projects/p/locations/l/publishers"


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, Sidecar]]:
    world = World()
    try:
        rows: dict[str, dict[str, Any]] = {
            "azure": {},  # the url is the vendor's, without a path, as a console shows it
            "azure-keyed": {"vendor": "azure", "key": {"env": "INJECTED"}},
            "azure-dead": {"vendor": "azure"},
            "azure-backup": {"vendor": "azure", "key": {"env": "INJECTED"}},
            "claude": {"vendor": "anthropic"},
            "vertex": {},
            "bedrock": {},
        }
        for name, config in rows.items():
            world.vendor(name, "", (Do("ok"),), key=False)
            path = "/anthropic/v1" if name == "claude" else ""
            world.providers[name] = {"url": world.vendors[name].url + path, "private": True, **config}
        world.route("azure-dead", "azure-backup")
        with sidecar(world.config) as process:
            yield world, process
    finally:
        world.close()


def made(
    world: tuple[World, Sidecar], name: str, ask: Callable[[str], Awaitable[Any]], *plan: Do
) -> tuple[Any, list[Exchange]]:
    """What the call returned, and what the vendor saw of it."""
    vendors, process = world
    vendor = vendors.vendors[name]

    async def scenario() -> tuple[Any, list[Exchange]]:
        vendor.script(*(plan or (Do("ok"),)))
        before = len(vendor.log)
        got = await ask(process.url(name))
        await vendor.until(lambda: vendor.running == 0)
        return got, list(vendor.log)[before:]

    return vendors.runner.run(scenario())


def azure(url: str, **more: Any) -> openai.AsyncAzureOpenAI:
    return openai.AsyncAzureOpenAI(
        azure_endpoint=url, api_version=VERSION, api_key="apps-own-key", max_retries=0, **more
    )


async def azure_chat(url: str, **more: Any) -> str:
    async with azure(url, **more) as client:
        answer = await client.chat.completions.create(
            model="my-gpt", messages=[{"role": "user", "content": NONCE}]
        )
        return answer.choices[0].message.content or ""


async def azure_stream(url: str) -> str:
    async with azure(url) as client:
        events = await client.chat.completions.create(
            model="my-gpt", messages=[{"role": "user", "content": NONCE}], stream=True
        )
        return "".join([event.choices[0].delta.content or "" async for event in events if event.choices])


async def azure_deployed(url: str) -> str:
    return await azure_chat(url, azure_deployment="my-gpt")


async def azure_responses(url: str) -> str:
    async with azure(url) as client:
        return (await client.responses.create(model="my-gpt", input=NONCE)).output_text


async def azure_embeddings(url: str) -> str:
    async with azure(url) as client:
        return str(len((await client.embeddings.create(model="my-gpt", input=NONCE)).data))


async def azure_v1(url: str) -> str:
    async with openai.AsyncOpenAI(
        base_url=f"{url}/openai/v1", api_key="apps-own-key", max_retries=0
    ) as client:
        return (await client.responses.create(model="my-gpt", input=NONCE)).output_text


async def foundry(url: str) -> str:
    async with anthropic.AsyncAnthropicFoundry(
        base_url=f"{url}/anthropic", api_key="apps-own-key", max_retries=0
    ) as client:
        answer = await client.messages.create(
            model="my-claude", max_tokens=99, messages=[{"role": "user", "content": NONCE}]
        )
        return "".join(block.text for block in answer.content if block.type == "text")


def vertex(url: str) -> genai.Client:
    options = genai.types.HttpOptions(base_url=url)
    token: Any = Credentials
    return genai.Client(
        vertexai=True,
        project="p",
        location="l",
        credentials=token(token="apps-own-key"),
        http_options=options,
    )


async def vertex_whole(url: str) -> str:
    client = vertex(url).aio
    try:
        return (await client.models.generate_content(model="my-gemini", contents=NONCE)).text or ""
    finally:
        await client.aclose()


async def vertex_stream(url: str) -> str:
    client = vertex(url).aio
    try:
        events = await client.models.generate_content_stream(model="my-gemini", contents=NONCE)
        return "".join([event.text or "" async for event in events])
    finally:
        await client.aclose()


DEPLOYED = "/openai/deployments/my-gpt"
GEMINI = f"/v1beta1{VERTEX}/google/models/my-gemini"


@pytest.mark.parametrize(
    ("name", "ask", "path", "query"),
    [
        ("azure", azure_chat, f"{DEPLOYED}/chat/completions", f"api-version={VERSION}"),
        ("azure", azure_stream, f"{DEPLOYED}/chat/completions", f"api-version={VERSION}"),
        ("azure", azure_deployed, f"{DEPLOYED}/chat/completions", f"api-version={VERSION}"),
        ("azure", azure_responses, "/openai/responses", f"api-version={VERSION}"),
        ("azure", azure_embeddings, f"{DEPLOYED}/embeddings", f"api-version={VERSION}"),
        ("azure", azure_v1, "/openai/v1/responses", ""),
        ("claude", foundry, "/anthropic/v1/messages", ""),
        ("vertex", vertex_whole, f"{GEMINI}:generateContent", ""),
        ("vertex", vertex_stream, f"{GEMINI}:streamGenerateContent", "alt=sse"),
    ],
)
def test_a_clouds_own_sdk_class_is_understood_and_helped(
    world: tuple[World, Sidecar], name: str, ask: Callable[[str], Awaitable[str]], path: str, query: str
):
    got, seen = made(world, name, ask, Do("server_error"), Do("ok"))

    assert got == ("1" if ask is azure_embeddings else expected("n1"))
    assert [(path, query)] * 2 == [(each.path, each.query) for each in seen]  # asked again: it was read
    assert {digest("apps-own-key")} == {each.key for each in seen}


def test_azures_key_from_configuration_takes_the_place_of_the_applications(
    world: tuple[World, Sidecar],
):
    got, (seen,) = made(world, "azure-keyed", azure_chat)

    assert expected("n1") == got
    assert digest("injected-key") == seen.key
    assert (1, None) == (sum(name == "api-key" for name, _ in seen.headers), seen.header("authorization"))


def test_a_fallback_to_another_azure_resource_asks_its_v1_without_the_date(world: tuple[World, Sidecar]):
    backup = world[0].vendors["azure-backup"]

    got, failed = made(world, "azure-dead", azure_chat, Do("quota"))

    (seen,) = backup.log
    assert (expected("n1"), [f"{DEPLOYED}/chat/completions"]) == (got, [each.path for each in failed])
    assert ("/openai/v1/chat/completions", "") == (seen.path, seen.query)
    assert (digest("injected-key"), "my-gpt") == (seen.key, seen.json["model"])


def test_claude_on_vertex_passes_as_it_is(world: tuple[World, Sidecar]):
    async def ask(url: str) -> int:
        client = anthropic.AsyncAnthropicVertex(
            base_url=f"{url}/v1", project_id="p", region="l", access_token="apps-own-key", max_retries=0
        )
        async with client:
            answer = await client.messages.with_raw_response.create(
                model="my-claude", max_tokens=99, messages=[{"role": "user", "content": NONCE}]
            )
            return answer.status_code

    got, (seen,) = made(world, "vertex", ask)

    assert (200, f"/v1{VERTEX}/anthropic/models/my-claude:rawPredict") == (got, seen.path)
    assert digest("apps-own-key") == seen.key


def test_bedrock_gets_the_bytes_its_client_signed_and_no_second_try(world: tuple[World, Sidecar]):
    body = b'{ "messages": [ ] }'
    signed = {
        "authorization": "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-amz-date, Signature=c",
        "x-amz-date": "20260101T000000Z",
        "content-type": "application/json",
        "accept": "application/vnd.amazon.eventstream",
        "accept-encoding": "identity",
    }

    async def ask(url: str) -> int:
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{url}/model/m-v1%3A0/converse-stream", content=body, headers=signed)
            return answer.status_code

    got, (seen,) = made(world, "bedrock", ask, Do("server_error"))

    vendor: Vendor = world[0].vendors["bedrock"]
    assert (500, "/model/m-v1%3A0/converse-stream", body) == (got, seen.path, seen.body)
    assert f"127.0.0.1:{vendor.port}" == seen.header("host")
    assert {name: seen.header(name) for name in signed if name != "authorization"} == {
        name: value for name, value in signed.items() if name != "authorization"
    }
    assert digest("Signature=c") == seen.key  # the vendor keeps the digest of the last word
