"""A race over real connections: one answer for the client, and the loser's exchange is closed at once."""

from __future__ import annotations

import json

import pytest

from sidecar.core.hedging import ENOUGH
from sidecar.provider import Behaviour as Do
from tests.kit.world import World, sidecar
from tests.process.test_process import ask, metric

pytestmark = pytest.mark.process


def text(body: bytes) -> str:
    events = [line[6:] for line in body.splitlines() if line.startswith(b"data: {")]
    choices = [json.loads(event)["choices"] for event in events]
    return "".join(choice[0]["delta"].get("content") or "" for choice in choices if choice)


def test_a_slow_vendor_is_raced_and_left_at_the_first_content_of_the_other():
    world = World()
    try:
        usual, slow = Do("ok", text="from a"), Do("ok", text="from a", first_content_after=30.0)
        world.vendor("a", "openai_chat", (*[usual] * ENOUGH, slow))
        world.vendor("b", "openai_chat", (Do("ok", text="from b"),))
        world.route("a", "b", hedge={"after": "p95", "share": 1.0})
        with sidecar(world.config) as process:
            for _ in range(ENOUGH):
                assert 200 == ask(world, process, "a", stream=True)[0]

            status, headers, body = ask(world, process, "a", stream=True)

            assert (200, "b", "2") == (
                status,
                headers["x-llm-sidecar-served-by"],
                headers["x-llm-sidecar-attempts"],
            )
            assert "from b" == text(body)
            assert 1 == metric(process, "llm_sidecar_hedges_total", provider="b", result="won")
            assert 1 == metric(process, "llm_sidecar_attempts_total", provider="a", outcome="cancelled")
            assert 0 == metric(process, "llm_sidecar_attempts_total", provider="a", outcome="timeout")
            vendor = world.vendors["a"]
            world.runner.run(vendor.until(lambda: "client_left" == vendor.log[-1].ended))
    finally:
        world.close()
