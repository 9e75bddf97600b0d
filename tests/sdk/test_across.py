"""The application's own provider is down and another dialect answers: the real SDKs cannot tell.

Each of the four SDKs, whole and streaming, in front of the fake vendors of every other dialect: text, a
tool call, an object by schema, histories whose calls other providers made, what a stand-in cannot do, and
the exception that the application catches. A route is chosen by the model that is asked for, so that one
client and one process serve all of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from sidecar.provider import Behaviour as Do
from sidecar.provider import Vendor
from tests.hub.cases import CHAT, DIALECTS, PNG, RESPONSES
from tests.hub.histories import HISTORIES, PLACE, SEALED, expected, turns
from tests.hub.legal import calls, complaints
from tests.kit.world import ANSWER, Sidecar, World, sidecar
from tests.sdk.clients import CLIENTS, LANES, Client, Lane, Raised, Said, outcome
from tests.sdk.test_structured import BY_SCHEMA, BY_TOOL, GOOD, Weather

pytestmark = pytest.mark.process

SPOKEN = {"chat": CHAT, "responses": RESPONSES, "anthropic": "anthropic", "gemini": "gemini"}
ERRORS = ("rate_limit", "context_window", "auth", "overloaded")
# a status of its own, or inside an answer of 200: as its body, as the first event of its stream
WAYS: dict[str, Callable[[str, Lane], Do]] = {
    "status": lambda error, _: Do(error),
    "inside": lambda error, lane: (
        Do("error_event", after=0, error=error) if lane.stream else Do("error_in_200", error=error)
    ),
}
# what the SDK raises: its class, the status, and the word for the cause (code, type, status)
CAUGHT = {
    "rate_limit": {
        "openai": ("RateLimitError", 429, "rate_limit_exceeded"),
        "anthropic": ("RateLimitError", 429, "rate_limit_error"),
        "gemini": ("ClientError", 429, "RESOURCE_EXHAUSTED"),
    },
    "context_window": {
        "openai": ("BadRequestError", 400, "context_length_exceeded"),
        "anthropic": ("BadRequestError", 400, "invalid_request_error"),
        "gemini": ("ClientError", 400, "INVALID_ARGUMENT"),
    },
    "auth": {
        "openai": ("AuthenticationError", 401, "invalid_api_key"),
        "anthropic": ("AuthenticationError", 401, "authentication_error"),
        "gemini": ("ClientError", 401, "UNAUTHENTICATED"),
    },
    "overloaded": {
        "openai": ("InternalServerError", 503, "overloaded"),
        "anthropic": ("OverloadedError", 529, "overloaded_error"),
        "gemini": ("ServerError", 503, "UNAVAILABLE"),
    },
}
PAST = (
    "of several",
    "of a server with long ids",
    "of a server that counts anew",
    "of one tool twice, without ids",
)
MOST = 100  # tokens that the one who sees can say


def others(lane: Lane) -> list[str]:
    return [dialect for dialect in DIALECTS if dialect != SPOKEN[lane.dialect]]


@dataclass
class House:
    """The world, a client for each lane, and the cases that were added."""

    world: World = field(default_factory=World)
    models: list[dict[str, Any]] = field(default_factory=list)
    clients: dict[Lane, Client] = field(default_factory=dict)

    def vendor(self, name: str, do: Do) -> Vendor:
        if name not in self.world.vendors:
            vendor = Vendor((do,), name=name)
            self.world.runner.run(vendor.__aenter__())
            self.world.vendors[name] = vendor
        return self.world.vendors[name]

    def provider(self, name: str, dialect: str, vendor: Vendor) -> str:
        """A row of this name, the same for whoever asks again. Nobody serves a second dialect."""
        row = {"dialect": dialect, "url": vendor.url, "private": True, "key": {"env": "INJECTED"}}
        row["responses"] = False
        self.world.providers[name] = row
        return name

    def route(self, lane: Lane, name: str, *targets: str) -> None:
        """A model of this name is asked of the lane's own provider, which is down, and then of these."""
        theirs = name.replace("*", "any")
        chain = [{"provider": lane.name}, *({"provider": target, "model": theirs} for target in targets)]
        self.world.routes.append(
            {"name": theirs, "match": {"provider": lane.name, "model": name}, "chain": chain}
        )

    def well(self, lane: Lane, other: str, case: str, vendor: Vendor) -> None:
        self.route(
            lane, f"{case}.{other}.{lane.name}", self.provider(f"{vendor.name}.{other}", other, vendor)
        )

    def failing(self, lane: Lane, other: str, case: str, vendor: Vendor) -> None:
        """By a provider of its own: what is learned of it is there in no other case."""
        name = f"{case}.{other}.{lane.name}"
        self.route(lane, name, self.provider(f"b.{name}", other, vendor))

    @property
    def config(self) -> dict[str, Any]:
        return {**self.world.config, "models": self.models, "defaults": {"retry": {"attempts": 1}}}

    def ask(
        self, case: str, asking: Callable[[Lane, Client, str], Awaitable[Any]]
    ) -> dict[tuple[str, str], Any]:
        """What came of a case, by lane and by the dialect that answered: all of them at once."""
        pairs = [(lane, other) for lane in LANES for other in others(lane)]

        async def all_of() -> list[Any]:
            tasks = [asking(lane, self.clients[lane], f"{case}.{other}.{lane.name}") for lane, other in pairs]
            return await asyncio.gather(*tasks)

        got = self.world.runner.run(all_of())
        return {(lane.name, other): each for (lane, other), each in zip(pairs, got, strict=True)}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    house = House()
    try:
        down = house.vendor("down", Do("refuse"))
        for lane in LANES:
            house.provider(lane.name, lane.speaks, down)
            for other in others(lane):
                build(house, lane, other)
        with sidecar(house.config) as process:
            house.world.runner.run(connect(house, process))
            yield house
            house.world.runner.run(close(house))
    finally:
        house.world.close()


def build(house: House, lane: Lane, other: str) -> None:
    text = house.vendor("text", Do("ok", text=ANSWER))
    # a tool is called where one is declared, also one that stands in for a schema
    form = house.vendor("form", Do("ok", tool=True, json=json.dumps(GOOD)))
    house.well(lane, other, "text", text)
    house.well(lane, other, "form-*", form)
    for error in ERRORS:
        for way, do in WAYS.items():
            kind = f"{error}.{way}.{'stream' if lane.stream else 'whole'}"
            house.failing(lane, other, f"{error}-{way}", house.vendor(kind, do(error, lane)))
    name = f"picture.{other}.{lane.name}"
    blind = house.provider(f"blind.{other}", other, house.vendor("blind", Do("ok", text="I see nothing.")))
    seeing = house.provider(f"text.{other}", other, text)
    house.models.append({"provider": blind, "model": name, "cannot": ["images"]})
    house.models.append({"provider": seeing, "model": name, "can": ["images"], "output_limit": MOST})
    house.route(lane, name, blind, seeing)


async def connect(house: House, process: Sidecar) -> None:
    for lane in LANES:
        house.clients[lane] = CLIENTS[lane.dialect](process.url(lane.name), max_retries=0)


async def close(house: House) -> None:
    for client in house.clients.values():
        await client.close()
    for vendor in house.world.vendors.values():
        await vendor.until(lambda vendor=vendor: not vendor.running, 30.0)  # type: ignore[misc]


# ---- answers ---------------------------------------------------------------------------------


FORMS = {"tool": BY_TOOL, "schema": BY_SCHEMA}


def test_text_comes_from_another_dialect(house: House):
    got = house.ask("text", lambda lane, sdk, name: sdk.ask("how is it?", stream=lane.stream, model=name))

    assert dict.fromkeys(got, Said(ANSWER)) == got


@pytest.mark.parametrize("form", FORMS)
def test_an_object_comes_from_another_dialect(house: House, form: str):
    got = house.ask(
        f"form-{form}", lambda lane, sdk, name: FORMS[form][lane.dialect](sdk, stream=lane.stream, model=name)
    )

    assert dict.fromkeys(got, Weather.model_validate(GOOD)) == got


# ---- histories -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("past", PAST)
def test_a_history_of_other_providers_calls_is_answered_by_another_dialect(
    house: House, past: str, form: str
):
    """What arrived is legal there, every call has its result, and nobody's seal went to anybody else."""
    case, history = f"form-{form}-{PAST.index(past)}", HISTORIES[past]

    async def asking(lane: Lane, sdk: Client, name: str) -> Any:
        said = {PLACE[SPOKEN[lane.dialect]]: turns(SPOKEN[lane.dialect], history)}
        return await FORMS[form][lane.dialect](sdk, stream=lane.stream, model=name, **said)

    log = house.world.vendors["form"].log
    log.clear()
    got = house.ask(case, asking)

    assert dict.fromkeys(got, Weather.model_validate(GOOD)) == got
    arrived = {exchange.model: exchange for exchange in log}
    assert len(got) == len(log)
    for lane, other in got:
        exchange = arrived[f"form-any.{other}.{lane}"]
        assert other == exchange.dialect
        assert [] == complaints(other, exchange.json), lane
        assert expected(history) == calls(other, exchange.json), (lane, other)
        assert SEALED.encode() not in exchange.body


# ---- what a stand-in cannot do ---------------------------------------------------------------


def _picture(dialect: str) -> dict[str, Any]:
    """A request with a picture and a long answer, in the words of this SDK."""
    url = f"data:image/png;base64,{PNG}"
    if dialect == "chat":
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}}]
        return {"messages": [{"role": "user", "content": parts}], "max_completion_tokens": 9000}
    if dialect == "responses":
        parts = [{"type": "input_image", "image_url": url, "detail": "auto"}]
        return {"input": [{"role": "user", "content": parts}], "max_output_tokens": 9000}
    if dialect == "anthropic":
        parts = [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]
        return {"messages": [{"role": "user", "content": parts}], "max_tokens": 9000}
    parts = [{"inline_data": {"mime_type": "image/png", "data": PNG}}]
    return {"contents": [{"role": "user", "parts": parts}], "config": {"max_output_tokens": 9000}}


LIMITS = {
    "chat": "max_completion_tokens",
    "responses": "max_output_tokens",
    "anthropic": "max_tokens",
    "gemini": "generationConfig.maxOutputTokens",
}


async def _headers(lane: Lane, sdk: Any, asked: dict[str, Any]) -> tuple[str, Any]:
    """What was said, and the headers of it."""
    if lane.dialect == "gemini":
        models = sdk.sdk.models
        if not lane.stream:
            whole = await models.generate_content(**asked)
            return whole.text, whole.sdk_http_response.headers
        chunks = [chunk async for chunk in await models.generate_content_stream(**asked)]
        return "".join(chunk.text or "" for chunk in chunks), chunks[0].sdk_http_response.headers
    made = {"chat": lambda: sdk.sdk.chat.completions, "responses": lambda: sdk.sdk.responses}
    api = made.get(lane.dialect, lambda: sdk.sdk.messages)()
    said = await sdk.ask("", stream=lane.stream, **asked)
    raw = await api.with_raw_response.create(**asked)
    return said.text, raw.headers


def test_who_cannot_see_is_passed_over_and_the_answers_limit_is_clamped_and_told(house: House):
    async def asking(lane: Lane, sdk: Client, name: str) -> Any:
        text, headers = await _headers(lane, sdk, {**_picture(lane.dialect), "model": name})
        told = {key.lower(): value for key, value in headers.items()}
        return text, told["x-llm-sidecar-served-by"], told["x-llm-sidecar-losses"]

    got = house.ask("picture", asking)

    assert [] == house.world.vendors["blind"].log
    for (lane, other), (text, served, losses) in got.items():
        name = f"picture.{other}.{lane}"
        assert (ANSWER, f"text.{other}/{name}") == (text, served)
        assert f"{LIMITS[lane.partition('.')[0]]};clamped" in losses.replace("=", ";"), losses
        said = [exchange.body for exchange in house.world.vendors["text"].log if exchange.model == name]
        assert said
        assert all(b":%d" % MOST in body and PNG.encode() in body for body in said)


# ---- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_another_dialect_is_the_exception_that_the_application_catches(
    house: House, error: str, way: str
):
    """The class itself, none above it: what the SDK raises for its own provider's error of this kind."""
    got = house.ask(
        f"{error}-{way}",
        lambda lane, sdk, name: outcome(sdk.ask("how is it?", stream=lane.stream, model=name)),
    )

    for (lane, other), raised in got.items():
        assert isinstance(raised, Raised), (lane, other, raised)
        sdk = lane.partition(".")[0]
        caught = CAUGHT[error].get(sdk, CAUGHT[error]["openai"])
        assert caught == (raised.kind, raised.status, raised.code), (lane, other, raised)
        if error == "context_window":
            assert "prompt is too long" in raised.message
            assert "maximum context length" in raised.message
