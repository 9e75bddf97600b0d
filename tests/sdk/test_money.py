"""A day of calls by the real SDKs: what the sidecar says they cost is what the fake vendors billed."""

from __future__ import annotations

import asyncio
import contextlib
import re
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import anthropic
import openai
import pytest

from sidecar.provider import Behaviour as Do
from tests.kit.world import Sidecar, World, sidecar
from tests.sdk.clients import Lane, at_rest, client

pytestmark = pytest.mark.process

SAYS = "all is well " * 20  # sixty words of four characters: a token each
GOOD = Do("ok", text=SAYS, events=60)
SILENT = Do("ok", text=SAYS, events=60, usage=False)
CUT = Do("cut", text=SAYS, events=60, after=30)
EMPTY = Do("empty_answer")
BROKEN = Do("server_error")
LIMIT = Do("rate_limit")
PROMPT = "please explain why all is well, at some length and in plain words " * 8

CHAT = [Lane("chat", stream) for stream in (False, True)]
CLAUDE = [Lane("anthropic", stream) for stream in (False, True)]
GEMINI = [Lane("gemini", stream) for stream in (False, True)]

# name, who asks, and what its own vendor and the one behind it do, call by call
DAY: list[tuple[str, list[Lane], list[Do], tuple[str, list[Do]] | None]] = [
    ("well", [*CHAT, *CLAUDE, *GEMINI], [GOOD], None),
    ("retries", [*CHAT, *CLAUDE], [BROKEN, GOOD, LIMIT, GOOD], None),
    ("fallbacks", CHAT, [BROKEN], ("openai_chat", [GOOD])),
    ("across", CHAT, [LIMIT], ("anthropic", [GOOD])),
    ("across.back", CLAUDE, [BROKEN], ("openai_chat", [GOOD])),
    ("across.gemini", CHAT, [BROKEN], ("gemini", [GOOD])),
    ("rejected", [*CHAT, *CLAUDE], [EMPTY, GOOD], None),
    ("rejected.twice", CHAT, [EMPTY], ("openai_chat", [GOOD])),
    ("silent", [*CHAT, CLAUDE[0]], [GOOD, GOOD, SILENT], None),
    ("cut", [lane for lane in (*CHAT, *CLAUDE) if lane.stream], [GOOD, GOOD, CUT], None),
]
CALLS = 6  # of each lane
PRICES = {"openai_chat": (2.5, 10.0), "anthropic": (3.0, 15.0), "gemini": (1.25, 5.0)}


@dataclass
class Sum:
    exact: float = 0.0
    estimated: float = 0.0


@pytest.fixture(scope="module")
def day() -> Iterator[tuple[World, Sidecar]]:
    world, models = World(), []
    try:
        for case, lanes, own, behind in DAY:
            for lane in lanes:
                name = f"{case}.{lane.name}"
                chain = [{"provider": name, "model": "priced"}]
                world.vendor(name, lane.speaks, own)
                if behind is not None:
                    world.vendor(f"b.{name}", behind[0], behind[1])
                    chain.append({"provider": f"b.{name}", "model": "priced"})
                world.routes.append({"name": f"r.{name}", "match": {"provider": name}, "chain": chain})
        for name, provider in world.providers.items():
            given, made = PRICES[provider["dialect"]]
            models.append({"provider": name, "model": "priced", "input": given, "output": made})
        defaults = {"retry": {"base": 0.01}, "budget": {"size": 100}, "cost": {"stream_usage": "always"}}
        with sidecar({**world.config, "models": models, "defaults": defaults}) as process:
            world.runner.run(_spend(world, process))
            yield world, process
    finally:
        world.close()


async def _spend(world: World, process: Sidecar) -> None:
    async def one(case: str, lane: Lane) -> None:
        name = f"{case}.{lane.name}"
        async with client(lane, process.url(name), max_retries=0) as sdk:
            for _ in range(CALLS):
                with contextlib.suppress(openai.OpenAIError, anthropic.AnthropicError):  # of a cut stream
                    await sdk.ask(PROMPT, stream=lane.stream)

    await asyncio.gather(*(one(case, lane) for case, lanes, _, _ in DAY for lane in lanes))
    for vendor in world.vendors.values():
        await at_rest(vendor)


def billed(world: World) -> dict[str, Sum]:
    """By provider, dollars."""
    sums: dict[str, Sum] = {}
    for name, vendor in world.vendors.items():
        given, made = PRICES[world.providers[name]["dialect"]]
        sums[name] = Sum()
        for exchange in vendor.log:
            bill = exchange.bill
            dollars = (bill.given * given + bill.made * made) / 1e6
            if bill.reported:
                sums[name].exact += dollars
            else:
                sums[name].estimated += dollars
    return sums


def read(process: Sidecar, *labels: str) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{process.admin}/metrics") as answer:
        text = answer.read().decode()
    found: dict[tuple[str, ...], float] = defaultdict(float)
    for written, value in re.findall(r"^llm_sidecar_cost_dollars_total\{(.*)\} (\S+)$", text, re.MULTILINE):
        pairs = dict(re.findall(r'(\w+)="([^"]*)"', written))
        found[tuple(pairs[label] for label in labels)] += float(value)
    return dict(found)


def test_the_ledger_is_the_vendors_bill(day: tuple[World, Sidecar]):
    world, process = day
    wanted = billed(world)

    told = read(process, "provider", "estimated")

    for name, owed in wanted.items():
        assert told.get((name, "false"), 0.0) == pytest.approx(owed.exact, rel=1e-9), name
        assert told.get((name, "true"), 0.0) == pytest.approx(owed.estimated, rel=0.2), name
    assert (
        sum(owed.exact for owed in wanted.values()) > 10 * sum(owed.estimated for owed in wanted.values()) / 9
    )
    assert sum(owed.estimated for owed in wanted.values()) > 0


def test_every_detour_has_its_purpose(day: tuple[World, Sidecar]):
    _, process = day

    told = read(process, "provider", "purpose")

    assert {"served", "quality_rejected"} == {purpose for _, purpose in told}
    rejected = {provider for (provider, purpose), dollars in told.items() if purpose == "quality_rejected"}
    assert {"rejected.chat.whole", "rejected.twice.chat.stream"} <= rejected


def test_the_hour_is_the_sum(day: tuple[World, Sidecar]):
    _, process = day
    with urllib.request.urlopen(f"http://127.0.0.1:{process.admin}/metrics") as answer:
        text = answer.read().decode()
    (hour,) = re.findall(r"^llm_sidecar_cost_last_hour_dollars (\S+)$", text, re.MULTILINE)

    assert float(hour) == pytest.approx(sum(read(process).values()), rel=1e-9)
    assert "llm_sidecar_unpriced_attempts_total{" in text
    assert not [line for line in text.splitlines() if "unpriced" in line and line.endswith(" 1.0")]
