"""The real openai and anthropic SDKs, base URL changed and nothing else, through the real process.

Every fault in both dialects, streaming and not. Limits are a tenth of the defaults here, so that a
silent provider costs the test seconds; the defaults themselves are proven in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import anthropic
import openai
import pytest
from google import genai

from sidecar.provider import Behaviour as Do
from tests.kit.world import ANSWER, Sidecar, World, sidecar
from tests.sdk.clients import LANES, Lane, Said, at_rest, client

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


def lanes_of(case: Case) -> list[Lane]:
    kind = {"": (False, True), "stream": (True,), "whole": (False,)}[case.only]
    return [lane for lane in LANES if lane.stream in kind and lane.dialect not in case.without]


def slug(name: str, lane: Lane) -> str:
    return f"{name.replace(' ', '-')}.{lane.name}".lower()


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[World, Sidecar]]:
    world = World()
    try:
        for name, case in CASES.items():
            for lane in lanes_of(case):
                a, b = f"a.{slug(name, lane)}", f"b.{slug(name, lane)}"
                world.vendor(a, lane.speaks, case.plan, key=not case.own_key)
                world.vendor(b, lane.speaks, (OK,))
                world.route(a, b, limits=LIMITS, deadline=6.0)
        with sidecar(world.config) as process:
            yield world, process
    finally:
        world.close()


Got = dict[Lane, Said | str | BaseException]


@pytest.fixture(scope="module")
def played(world: tuple[World, Sidecar]) -> Callable[[str], Got]:
    """What a case comes to in each of its lanes. They ask at once: eight silences take the time of one."""
    vendors, process = world

    async def ask(name: str, lane: Lane) -> Said | str:
        a, b = (vendors.vendors[f"{vendor}.{slug(name, lane)}"] for vendor in "ab")
        async with client(lane, process.url(a.name)) as sdk:
            try:
                return await sdk.ask("how is it?", stream=lane.stream)
            except (openai.APIStatusError, anthropic.APIStatusError) as error:
                # an error event in a stream is an APIStatusError of status 200 in the anthropic SDK
                return "broken" if error.status_code == 200 else str(error.status_code)
            except genai.errors.APIError as error:
                return "broken" if lane.stream and CASES[name].gets == "broken" else str(error.code)
            except (openai.APIError, anthropic.APIError):
                return "broken"
            finally:
                await at_rest(a, b)

    async def all_ask(name: str, lanes: list[Lane]) -> list[Said | str | BaseException]:
        return await asyncio.gather(*(ask(name, lane) for lane in lanes), return_exceptions=True)

    @cache
    def once(name: str) -> Got:
        lanes = lanes_of(CASES[name])
        return dict(zip(lanes, vendors.runner.run(all_ask(name, lanes)), strict=True))

    return once


ALL = [(name, lane) for name, case in CASES.items() for lane in lanes_of(case)]


@pytest.mark.parametrize(("name", "lane"), ALL, ids=[slug(*one) for one in ALL])
def test_a_real_sdk_gets(world: tuple[World, Sidecar], played: Callable[[str], Got], name: str, lane: Lane):
    (vendors, process), case = world, CASES[name]
    got = played(name)[lane]
    a, b = (vendors.vendors[f"{vendor}.{slug(name, lane)}"] for vendor in "ab")

    assert (Said(ANSWER) if case.gets == "answer" else case.gets) == got
    assert case.a[0] <= len(a.log) <= case.a[1], [exchange.behaviour for exchange in a.log]
    assert case.b == len(b.log)
    assert process.process.poll() is None
