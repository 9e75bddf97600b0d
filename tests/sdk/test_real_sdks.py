"""The real openai and anthropic SDKs, base URL changed and nothing else, through the real process.

Every fault in both dialects, streaming and not. Limits are a tenth of the defaults here, so that a
silent provider costs the test seconds; the defaults themselves are proven in virtual time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import anthropic
import openai
import pytest
from anthropic.types import MessageParam
from google import genai
from openai.types.chat import ChatCompletionUserMessageParam

from sidecar.provider import Behaviour as Do
from tests.kit.world import ANSWER, Sidecar, World, sidecar

pytestmark = pytest.mark.process

OK = Do("ok", text=ANSWER)
LIMITS = {"first_content": 1.5, "headers": 1.5, "answer": 3.0, "gap": 1.5, "linger": 0.3}


@dataclass(frozen=True)
class Case:
    """What vendor `a` does (`b` is well), what the client gets, how often each is asked."""

    plan: tuple[Do, ...]
    gets: str = "answer"  # answer, broken (an error in the stream), or an HTTP status
    a: tuple[int, int] = (1, 4)  # least and most requests
    b: int = 1
    only: str = ""  # stream, whole
    own_key: bool = False
    without: tuple[str, ...] = ()  # dialects that have no such thing


CASES = {
    "well": Case((OK,), a=(1, 1), b=0),
    "429 with retry-after": Case((Do("rate_limit", retry_after=1), OK), a=(2, 2), b=0),
    "429 for ever": Case((Do("rate_limit"),), a=(1, 4)),
    "quota": Case((Do("quota"),), a=(1, 1)),
    "billing": Case((Do("billing"),), a=(1, 1)),
    "injected key refused": Case((Do("auth"),), a=(1, 1)),
    "injected key forbidden": Case((Do("permission"),), a=(1, 1)),
    "own key refused": Case((Do("auth"),), gets="401", a=(1, 1), b=0, own_key=True, without=("gemini",)),
    "own gemini key refused": Case(  # Google says 400 for a key it does not know
        (Do("auth"),), gets="400", a=(1, 1), b=0, own_key=True, without=("chat", "responses", "anthropic")
    ),
    "invalid request": Case((Do("invalid_request"),), gets="400", a=(1, 1), b=0),
    "500 once": Case((Do("server_error"), OK), a=(2, 2), b=0),
    "overloaded": Case((Do("overloaded"),), a=(1, 3)),
    "reset before headers": Case((Do("reset_before_headers"), OK), a=(2, 2), b=0),
    "close before headers": Case((Do("close_before_headers"), OK), a=(2, 2), b=0),
    "refused": Case((Do("refuse"),), a=(0, 0)),
    "garbage status line": Case((Do("garbage_status"),), a=(1, 4)),
    "never answers": Case((Do("hang"),), a=(1, 1)),
    "late first content": Case(
        (Do("ok", text=ANSWER, first_content_after=4.0, keepalive=0.3),), a=(1, 1), only="stream"
    ),
    "stalls in the middle": Case((Do("stall", after=2),), gets="broken", a=(1, 1), b=0, only="stream"),
    "cut in the middle": Case((Do("cut", after=2),), gets="broken", a=(1, 1), b=0, only="stream"),
    "ends early": Case((Do("end_early", after=2),), gets="broken", a=(1, 1), b=0, only="stream"),
    "cut whole answer": Case((Do("length_too_long", size=50), OK), a=(2, 2), b=0, only="whole"),
    "malformed event": Case((Do("malformed_event", text=ANSWER),), a=(1, 1), b=0, only="stream"),
    "no sentinel": Case(
        (Do("no_sentinel", text=ANSWER),), a=(1, 1), b=0, only="stream", without=("responses", "gemini")
    ),
    "whole but open": Case((Do("linger", text=ANSWER),), a=(1, 1), b=0, only="stream"),
    "error in a 200": Case((Do("error_in_200"),), a=(1, 3), only="whole"),
    "error event first": Case((Do("error_event", after=0),), a=(1, 3), only="stream"),
    "context window": Case((Do("context_window"),), a=(1, 1)),
    "content filter": Case((Do("content_filter"),), gets="400", a=(1, 1), b=0),
    "empty answer": Case((Do("empty_answer"),), a=(1, 2)),
    "empty body": Case((Do("empty_body"),), a=(1, 2)),
    "html": Case((Do("html"),), a=(1, 3)),
    "invalid json": Case((Do("invalid_json"),), a=(1, 3)),
    "gzip": Case((Do("ok", text=ANSWER, gzip=True),), a=(1, 1), b=0),
    "redirect": Case((Do("redirect", location="http://127.0.0.1:1/"),), a=(1, 3)),
    "101": Case((Do("switching_protocols"),), a=(1, 3)),
    "dripped bytes": Case((Do("ok", text=ANSWER, split="byte"),), a=(1, 1), b=0),
    "byte order mark and CRLF": Case(
        (Do("ok", text=ANSWER, bom=True, eol="crlf"),), a=(1, 1), b=0, only="stream", without=("gemini",)
    ),
}
CONFIGURED = {  # what the provider's row says: one provider speaks chat and responses
    "chat": "openai_chat",
    "responses": "openai_chat",
    "anthropic": "anthropic",
    "gemini": "gemini",
}


def slug(name: str, dialect: str, *, stream: bool) -> str:
    return f"{name.replace(' ', '-')}.{dialect}.{'stream' if stream else 'whole'}".lower()


def all_cases() -> Iterator[tuple[str, str, bool]]:
    for name, case in CASES.items():
        for dialect in CONFIGURED:
            for stream in (False, True):
                if case.only in ("", "stream" if stream else "whole") and dialect not in case.without:
                    yield name, dialect, stream


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, Sidecar]]:
    world = World()
    try:
        for name, dialect, stream in all_cases():
            case = CASES[name]
            a = slug(name, dialect, stream=stream)
            world.vendor(f"a.{a}", CONFIGURED[dialect], case.plan, key=not case.own_key)
            world.vendor(f"b.{a}", CONFIGURED[dialect], (OK,))
            world.route(f"a.{a}", f"b.{a}", limits=LIMITS, deadline=6.0)
        with sidecar(world.config) as process:
            yield world, process
    finally:
        world.close()


async def ask_openai(url: str, *, stream: bool) -> str:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="apps-own-key") as client:
        question: ChatCompletionUserMessageParam = {"role": "user", "content": "how is it?"}
        if not stream:
            whole = await client.chat.completions.create(model="m", messages=[question])
            return whole.choices[0].message.content or ""
        events = await client.chat.completions.create(model="m", messages=[question], stream=True)
        return "".join([event.choices[0].delta.content or "" async for event in events if event.choices])


async def ask_anthropic(url: str, *, stream: bool) -> str:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="apps-own-key") as client:
        messages: list[MessageParam] = [{"role": "user", "content": "how is it?"}]
        if not stream:
            whole = await client.messages.create(model="m", max_tokens=99, messages=messages)
            return "".join(block.text for block in whole.content if block.type == "text")
        async with client.messages.stream(model="m", max_tokens=99, messages=messages) as events:
            return "".join([text async for text in texts(events.text_stream)])


async def texts(stream: AsyncIterator[str]) -> AsyncIterator[str]:
    async for text in stream:
        yield text


async def ask_responses(url: str, *, stream: bool) -> str:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="apps-own-key") as client:
        if not stream:
            return (await client.responses.create(model="m", input="how is it?")).output_text
        events = await client.responses.create(model="m", input="how is it?", stream=True)
        text, over = "", False
        async for event in events:
            text += event.delta if event.type == "response.output_text.delta" else ""
            over = over or event.type == "response.completed"
        return text if over else "cut, and nobody said so"


async def ask_gemini(url: str, *, stream: bool) -> str:
    client = genai.Client(api_key="apps-own-key", http_options=genai.types.HttpOptions(base_url=url)).aio
    try:
        if not stream:
            return (await client.models.generate_content(model="m", contents="how is it?")).text or ""
        events = await client.models.generate_content_stream(model="m", contents="how is it?")
        text, over = "", False
        async for event in events:
            text += event.text or ""
            over = over or any(candidate.finish_reason for candidate in event.candidates or ())
        return text if over else "cut, and nobody said so"
    finally:
        await client.aclose()


ASK = {"chat": ask_openai, "responses": ask_responses, "anthropic": ask_anthropic, "gemini": ask_gemini}


@pytest.mark.parametrize(("name", "dialect", "stream"), list(all_cases()))
def test_a_real_sdk_gets(world: tuple[World, Sidecar], name: str, dialect: str, stream: bool):
    case, place = CASES[name], slug(name, dialect, stream=stream)
    vendors, process = world
    a, b = vendors.vendors[f"a.{place}"], vendors.vendors[f"b.{place}"]

    async def scenario() -> str:
        try:
            return await ASK[dialect](process.url(f"a.{place}"), stream=stream)
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            # an error event in a stream is an APIStatusError of status 200 in the anthropic SDK
            return "broken" if error.status_code == 200 else str(error.status_code)
        except genai.errors.APIError as error:
            return "broken" if stream and case.gets == "broken" else str(error.code)
        except (openai.APIError, anthropic.APIError):
            return "broken"
        finally:
            await a.until(lambda: a.running == 0)
            await b.until(lambda: b.running == 0)

    got = vendors.runner.run(scenario())

    assert (ANSWER if case.gets == "answer" else case.gets) == got
    assert case.a[0] <= len(a.log) <= case.a[1], [exchange.behaviour for exchange in a.log]
    assert case.b == len(b.log)
    assert process.process.poll() is None
