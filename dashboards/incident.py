"""A small incident on one machine: a real sidecar, fake vendors, an application that calls steadily.

For a while all is well; then `openai` answers every call with an error and its chain's second
target takes over, while `anthropic` goes on. `make observe` shows it, the live test measures it:
every exchange and every call is in a log of its own, so that what the boards say can be checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from sidecar.provider import Behaviour, Rule, Script, Vendor, When

LABELS = {"namespace": "shop", "app": "checkout", "team": "payments", "pod": "checkout-1"}
LISTENS = re.compile(r"listens on (http://127\.0\.0\.1:\d+).*admin on (http://127\.0\.0\.1:\d+)")
RATE = 20.0  # calls a second
GOOD = Behaviour("ok", first_content_after=0.05, gap=0.005)


@dataclass(frozen=True, slots=True)
class Ended:
    """A call as its application saw it. Times are Unix time."""

    at: float
    wanted: str  # the provider its chain begins with
    status: int


def config(vendors: dict[str, Vendor]) -> dict[str, Any]:
    """What a user would write; only the breaker rests shorter than the default, as the day is."""
    dialects = {"openai": "openai_chat", "backup": "openai_chat", "anthropic": "anthropic"}
    return {
        "providers": {
            name: {
                "dialect": dialect,
                "url": vendors[name].url + ("" if dialect == "anthropic" else "/v1"),
                "private": True,
                "key": {"env": "OBSERVED_KEY"},
            }
            for name, dialect in dialects.items()
        },
        "models": [
            {"provider": "openai", "model": "gpt-demo", "input": 2.5, "output": 10},
            {"provider": "backup", "model": "gpt-demo", "input": 3, "output": 15},
            {
                "provider": "anthropic",
                "model": "claude-demo",
                "input": 3,
                "output": 15,
                "retires": "2099-12-31",
            },
        ],
        "cost": {"hourly_budget": 5},
        "defaults": {"breaker": {"open": "1s", "growth": 1}},
        "routes": [
            {
                "name": "chat",
                "match": {"provider": "openai"},
                "chain": [{"provider": "openai"}, {"provider": "backup"}],
            },
            {"name": "messages", "match": {"provider": "anthropic"}, "chain": [{"provider": "anthropic"}]},
        ],
    }


def healthy() -> dict[str, Script]:
    """Even a good day has an empty answer, an error and a broken stream now and then."""
    odd = (
        Rule(Behaviour("empty_answer"), When(calls="40")),
        Rule(Behaviour("server_error"), When(calls="60")),
        Rule(Behaviour("cut", after=3), When(calls="80-120", stream=True, p=0.05)),
    )
    return {
        "openai": Script(rules=(*odd, Rule(GOOD)), name="openai"),
        "backup": Script(rules=(Rule(GOOD),), name="backup"),
        "anthropic": Script(rules=(*odd, Rule(GOOD)), name="anthropic"),
    }


OUTAGE = Script(rules=(Rule(Behaviour("server_error", delay=0.02)),), name="openai")


@dataclass(slots=True)
class Incident:
    """What runs, and what has happened so far."""

    url: str
    admin: str
    vendors: dict[str, Vendor]
    calls: list[Ended] = field(default_factory=list)
    began: float = 0.0
    broke: float = 0.0  # when the outage began

    async def call(self, session: aiohttp.ClientSession, number: int) -> None:
        wanted = "openai" if number % 5 < 3 else "anthropic"
        path = "/v1/chat/completions" if wanted == "openai" else "/v1/messages"
        stream = number % 2 == 0
        body: dict[str, Any] = {
            "model": "gpt-demo" if wanted == "openai" else "claude-demo",
            "messages": [{"role": "user", "content": f"call {number}"}],
            "max_tokens": 200,
            "stream": stream,
        }
        if stream and wanted == "openai":
            body["stream_options"] = {"include_usage": True}
        nested = {"x-stainless-retry-count": "1"} if number in (100, 101) else {}
        status = 0
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(f"{self.url}/{wanted}{path}", json=body, headers=nested) as answer:
                await answer.read()
                status = answer.status
        self.calls.append(Ended(time.time(), wanted, status))  # noqa: TID251  # beside Prometheus' clock

    async def play(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """An even flow of calls; those that are late do not hold up the others."""
        clock = asyncio.get_running_loop()
        began = clock.time()
        first = len(self.calls)
        timeout = aiohttp.ClientTimeout(total=30)
        connections = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connections) as session,
            asyncio.TaskGroup() as running,
        ):
            for number in range(int(seconds * RATE)):
                await asyncio.sleep(began + number / RATE - clock.time())
                if until():
                    break
                running.create_task(self.call(session, first + number))

    def outage(self) -> None:
        """From now on `openai` is ill."""
        self.broke = time.time()  # noqa: TID251  # beside Prometheus' clock
        self.vendors["openai"].script(plan=OUTAGE)

    def recovery(self) -> None:
        self.vendors["openai"].script(GOOD)


@contextlib.asynccontextmanager
async def incident(folder: Path) -> AsyncIterator[Incident]:
    """Vendors and a sidecar; its log and configuration are in `folder`. Raises DidNotStart."""
    async with contextlib.AsyncExitStack() as stack:
        vendors = {
            name: await stack.enter_async_context(Vendor(plan, name=name)) for name, plan in healthy().items()
        }
        file = folder / "sidecar.yaml"
        file.write_text(yaml.safe_dump(config(vendors)), encoding="utf-8")
        log = stack.enter_context((folder / "sidecar.log").open("wb"))
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "sidecar",
                "run",
                "--config",
                str(file),
                "--port",
                "0",
                "--admin-port",
                "0",
            ),
            stdout=log,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "OBSERVED_KEY": "observed"},
        )
        stack.push_async_callback(stop, process)
        assert process.stderr is not None
        line = (await asyncio.wait_for(process.stderr.readline(), 20)).decode()
        found = LISTENS.search(line)
        if found is None:
            process.terminate()
            raise DidNotStart("the sidecar", line + (await process.stderr.read()).decode())
        yield Incident(found[1], found[2], vendors, began=time.time())  # noqa: TID251


class DidNotStart(Exception):
    """What it was, and what it said."""


async def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
