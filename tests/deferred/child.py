"""A sidecar's queue in a process of its own, to be killed: it takes calls and asks for them."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from sidecar.model import Answered, Call, Chunk, Head, Outcome, Sink
from sidecar.settings import DeferredRules
from tests.kit.answers import JSON, OpenAI
from tests.kit.jobs import desk
from tests.kit.script import Script

RULES = DeferredRules(per_second=1000.0, concurrency=8)
KEYS = (b"key-of-the-first", b"key-of-the-second")


def key(number: int) -> tuple[bytes, bytes]:
    return b"x-api-key", KEYS[number % 2]


def note(file: Path, line: str) -> None:
    """One write, whole even if the process ends behind it."""
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(out, line.encode() + b"\n")
    os.close(out)


def serve(folder: Path, first: int, last: int) -> None:
    """Defer the calls `first` to `last`, noting each receipt; then work off what is there."""
    asyncio.run(_serve(folder, first, last))


async def _serve(folder: Path, first: int, last: int) -> None:
    async def provider(call: Call, sink: Sink) -> Outcome:
        text = json.loads(call.body)["messages"][0]["content"]
        names = dict(call.headers)
        note(folder / "asked", f"{text} {names[b'idempotency-key'].decode()}")
        await asyncio.sleep(0.001)
        await sink.start(Head(200, "OK", JSON))
        await sink.send(Chunk(OpenAI.whole(f"answer to {text}")))
        return Answered(200)

    async with desk(Script({"a": [provider]}), folder, rules=RULES, threads=True) as it:
        for number in range(first, last):
            job = await it.job(f"call-{number}", defer="always", headers=(key(number),))
            note(folder / "receipts", f"{number} {job}")
        while (await it.worker.queue.counts()).jobs.get("waiting"):  # noqa: ASYNC110  # as clients do
            await asyncio.sleep(0.01)
