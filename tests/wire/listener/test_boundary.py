"""The boundary of a route, seen from the client: nothing that passes the policy by gets out of it."""

from __future__ import annotations

import gzip
import random
from dataclasses import replace

import pytest

from sidecar.core.admission import Admission
from sidecar.dialects import DIALECTS
from sidecar.memory import Memory
from sidecar.model import Call, Outcome, Sink, Target
from sidecar.schema import compile_schema
from sidecar.settings import Boundary, Listen, Match, Route, Settings
from sidecar.signals.judging import Schemas
from sidecar.stack import Env, build_passthrough
from tests.kit.script import verdict
from tests.wire.listener.house import CHAT, PROVIDERS, LoopClock, Reply, answering, house, post, run

INSIDE = replace(PROVIDERS["anthropic"], region="eu")
OPENAI = PROVIDERS["openai"]
ROUTE = Route(
    name="r",
    match=Match(provider="openai"),
    chain=(Target(name="eu", provider=INSIDE, model="m"),),
    allow=Boundary(regions=("eu",)),
)
SETTINGS = Settings(
    listen=Listen(hosts=("127.0.0.1",), port=0),
    providers=PROVIDERS | {"anthropic": INSIDE},
    routes=(replace(ROUTE, chain=(Target(name="o", provider=OPENAI),)),),
)


async def _bug(_call: Call, _sink: Sink) -> Outcome:
    raise KeyError("ours")


def asked(request: bytes, *, bypass: bool = False) -> tuple[Reply, list[str]]:
    """Through a listener whose stacks are broken, and the real way past them."""
    sent: list[str] = []

    async def wire(call: Call, sink: Sink) -> Outcome:
        assert call.target is not None
        sent.append(call.target.provider.name)
        return await answering()(call, sink)

    async def scenario() -> Reply:
        chance = random.Random(1)
        past = build_passthrough(
            Env(
                SETTINGS, Memory(chance), Admission(9, 9999), DIALECTS, lambda _: wire, verdict,
                Schemas(compile_schema), LoopClock(), chance, lambda _: None,
            )
        )  # fmt: skip

        async def passing(call: Call, sink: Sink) -> Outcome:
            return await past(call, sink)

        routes = {"openai": ROUTE, "r": ROUTE, "anthropic": Route(name="anthropic", implicit=True)}
        async with house(_bug, passthrough=passing, settings=SETTINGS, routes=routes) as home:
            home.listener.bypass = bypass
            return await home.ask(request)

    return run(scenario()), sent


@pytest.mark.parametrize(
    ("request_", "bypass"),
    [
        (post(), False),  # a bug of ours
        (post(), True),
        (post("/openai/v1/audio/speech"), False),  # what nobody reads
        (post("/openai/v1/chat/completions", gzip.compress(CHAT), b"Content-Encoding: gzip"), False),
        (post("/openai@r/v1/chat/completions"), True),
    ],
    ids=["bug", "bypass", "unknown path", "encoded", "named"],
)
def test_what_passes_the_policy_by_does_not_leave_the_boundary(request_: bytes, bypass: bool):
    reply, sent = asked(request_, bypass=bypass)

    assert [] == sent
    assert 403 == reply.status
    assert b"not_allowed" == reply.get(b"x-llm-sidecar-reason")
    assert b"outside of what route r allows" in reply.body


def test_who_is_inside_is_still_asked_past_the_policy():
    _, sent = asked(post("/anthropic/v1/messages", CHAT), bypass=True)

    assert ["anthropic"] == sent
