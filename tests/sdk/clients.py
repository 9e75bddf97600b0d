"""The four real SDKs as one kind of client: ask, whole or streaming, and see what came of it.

A lane is a dialect, streaming or not. Every case runs in all lanes at once, so that eight silences
take the time of one.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import anthropic
import openai
from google import genai

from sidecar.provider import Behaviour, Script, Vendor
from tests.kit.world import Sidecar, World

T = TypeVar("T")

SPEAKS = {  # what the provider's row says: one provider speaks chat and responses
    "chat": "openai_chat",
    "responses": "openai_chat",
    "anthropic": "anthropic",
    "gemini": "gemini",
}


@dataclass(frozen=True)
class Lane:
    dialect: str
    stream: bool

    @property
    def name(self) -> str:
        return f"{self.dialect}.{'stream' if self.stream else 'whole'}"

    @property
    def speaks(self) -> str:
        return SPEAKS[self.dialect]


LANES = tuple(Lane(dialect, stream) for dialect in SPEAKS for stream in (False, True))


@dataclass(frozen=True)
class Said:
    """One answer. `ends`: how often it said that it was over. `label`: what it says of its tier. `head`: its
    headers as the SDK shows them, names in lower case."""

    text: str
    ends: int = 1
    label: str = ""
    head: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


class Client(Protocol):
    async def ask(self, prompt: str, *, stream: bool, **more: Any) -> Said: ...
    async def close(self) -> None: ...


def named(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}


def label_of(answer: Any) -> str:
    """The label in a body, where the dialect allows one; a receipt is labelled itself."""
    extra = answer.model_extra or {}
    return str((extra.get("llm_sidecar") or {}).get("tier", "deferred" if extra.get("degraded") else ""))


class Chat:
    def __init__(self, url: str, **options: Any) -> None:
        self.sdk = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="apps-own-key", **options)
        self.close = self.sdk.close

    async def ask(self, prompt: str, *, stream: bool, **more: Any) -> Said:
        asked: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": prompt}], **more}
        if not stream:
            raw = await self.sdk.chat.completions.with_raw_response.create(**asked)
            whole = raw.parse()
            text = "".join(choice.message.content or "" for choice in whole.choices or ())
            return Said(text, label=label_of(whole), head=named(raw.headers))
        stream_ = await self.sdk.chat.completions.create(**asked, stream=True)
        chunks = [chunk async for chunk in stream_]
        choices = [choice for chunk in chunks for choice in chunk.choices]
        return Said(
            "".join(choice.delta.content or "" for choice in choices),
            sum(choice.finish_reason is not None for choice in choices),
            "".join(map(label_of, chunks)),
            named(stream_.response.headers),
        )


class Responses:
    def __init__(self, url: str, **options: Any) -> None:
        self.sdk = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="apps-own-key", **options)
        self.close = self.sdk.close

    async def ask(self, prompt: str, *, stream: bool, **more: Any) -> Said:
        asked: dict[str, Any] = {"model": "m", "input": prompt, **more}
        if not stream:
            raw = await self.sdk.responses.with_raw_response.create(**asked)
            whole = raw.parse()
            text = whole.output_text if whole.output is not None else ""  # there is none in a receipt
            return Said(text, label=label_of(whole), head=named(raw.headers))
        stream_ = await self.sdk.responses.create(**asked, stream=True)
        events = [event async for event in stream_]
        over = [event.response for event in events if event.type == "response.completed"]
        deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert [deltas] == [response.output_text for response in over] or not over
        return Said(deltas, len(over), "".join(map(label_of, over)), named(stream_.response.headers))


class Messages:
    def __init__(self, url: str, **options: Any) -> None:
        self.sdk = anthropic.AsyncAnthropic(base_url=url, api_key="apps-own-key", **options)
        self.close = self.sdk.close

    async def ask(self, prompt: str, *, stream: bool, **more: Any) -> Said:
        messages = [{"role": "user", "content": prompt}]
        asked: dict[str, Any] = {"model": "m", "max_tokens": 9999, "messages": messages, **more}
        if not stream:
            raw = await self.sdk.messages.with_raw_response.create(**asked)
            whole = await raw.parse()
            text = "".join(block.text for block in whole.content or () if block.type == "text")
            return Said(text, label=label_of(whole), head=named(raw.headers))
        async with self.sdk.messages.stream(**asked) as stream_:
            events = [event async for event in stream_]
            # a byte order mark costs the SDK the start, and with it the whole that it keeps
            began = any(event.type == "message_start" for event in events)
            final = await stream_.get_final_message() if began else None
        pieces = [event.delta for event in events if event.type == "content_block_delta"]
        deltas = "".join(piece.text for piece in pieces if piece.type == "text_delta")
        if final is not None:
            assert deltas == "".join(block.text for block in final.content if block.type == "text")
        ends = sum(event.type == "message_delta" for event in events)
        label = "" if final is None else label_of(final)
        return Said(deltas, ends, label, named(stream_.response.headers))


class Gemini:
    def __init__(self, url: str, *, timeout: float | None = None, max_retries: int = 0) -> None:
        # Google's SDK counts in milliseconds, and asks once unless it is told otherwise
        assert not max_retries
        options = genai.types.HttpOptions(
            base_url=url, timeout=None if timeout is None else int(timeout * 1000)
        )
        self.sdk = genai.Client(api_key="apps-own-key", http_options=options).aio
        self.close = self.sdk.aclose

    async def ask(self, prompt: str, *, stream: bool, **more: Any) -> Said:
        asked: dict[str, Any] = {"model": "m", "contents": prompt, **more}
        if not stream:
            whole = await self.sdk.models.generate_content(**asked)
            return Said(whole.text or "", label=tier_of(whole), head=head_of(whole))
        chunks = [chunk async for chunk in await self.sdk.models.generate_content_stream(**asked)]
        finishes = [each.finish_reason for chunk in chunks for each in chunk.candidates or ()]
        return Said(
            "".join(chunk.text or "" for chunk in chunks),
            sum(finish is not None for finish in finishes),
            tier_of(chunks[0]),
            head_of(chunks[0]),
        )


def head_of(answer: genai.types.GenerateContentResponse) -> dict[str, str]:
    assert answer.sdk_http_response is not None
    return named(answer.sdk_http_response.headers)


def tier_of(answer: genai.types.GenerateContentResponse) -> str:
    """Google's SDK drops the fields it does not know, so the label is the header's."""
    tier = head_of(answer).get("x-llm-sidecar-tier", "")
    return "" if tier == "full" else tier


CLIENTS: dict[str, Callable[..., Client]] = {
    "chat": Chat,
    "responses": Responses,
    "anthropic": Messages,
    "gemini": Gemini,
}


@asynccontextmanager
async def client(lane: Lane, url: str, **options: Any) -> AsyncIterator[Client]:
    made = CLIENTS[lane.dialect](url, **options)
    # making one blocks the loop for a tenth of a second: those of all lanes are made before anybody asks, or
    # the vendors on the same loop would seem slow
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        await made.close()


# ---- what a call ends in ---------------------------------------------------------------------


@dataclass(frozen=True)
class Raised:
    """The SDK's own exception. `code`: the word by which it tells the cause. `head`: as Said's."""

    kind: str
    status: int
    message: str
    code: str = ""
    head: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


async def outcome(asking: Awaitable[T]) -> T | Raised:
    """What an SDK raises that is no error of a provider goes on: the test is wrong then."""
    try:
        return await asking
    except openai.APIStatusError as error:
        head = named(error.response.headers)
        return Raised(type(error).__name__, error.status_code, str(error), error.code or "", head)
    except anthropic.APIStatusError as error:
        head = named(error.response.headers)
        return Raised(type(error).__name__, error.status_code, str(error), error.type or "", head)
    except genai.errors.APIError as error:
        head = named(error.response.headers)
        return Raised(type(error).__name__, error.code, str(error), error.status or "", head)


async def in_all(lanes: Iterable[Lane], one: Callable[[Lane], Awaitable[T]]) -> dict[str, T]:
    """What the same scenario comes to in each lane, all at once."""
    async with asyncio.TaskGroup() as group:
        tasks = {lane.name: group.create_task(_of(one(lane))) for lane in lanes}
    return {name: task.result() for name, task in tasks.items()}


async def _of(awaited: Awaitable[T]) -> T:
    return await awaited


# ---- the world -------------------------------------------------------------------------------


def add(
    world: World, name: str, lane: Lane, plan: Script | Sequence[Behaviour], *, ca: str = "", **more: Any
) -> Vendor:
    """A vendor and its provider row; `more` is the vendor's."""
    vendor = Vendor(plan, name=name, **more)
    world.runner.run(vendor.__aenter__())
    world.vendors[name] = vendor
    row = {"dialect": lane.speaks, "url": vendor.url, "private": True, "key": {"env": "INJECTED"}}
    world.providers[name] = {**row, "ca_file": ca} if ca else row
    return vendor


async def at_rest(*vendors: Vendor) -> None:
    """Nothing is left under way."""
    for vendor in vendors:
        await vendor.until(lambda vendor=vendor: not vendor.running, 30.0)  # type: ignore[misc]


def breakers(process: Sidecar, of: str) -> dict[str, str]:
    """The states of the breakers whose names hold `of`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{process.admin}/breakers", timeout=30) as answer:
        rows = json.load(answer)["breakers"]
    return {row["key"]: row["state"] for row in rows if of in row["key"]}
