"""The real sidecar as a process of its own, as a user starts it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from sidecar.provider import Vendor

# what a user would write; only the limits are shorter than the defaults, as the day is
CONFIG = """\
providers:
  openai: {{dialect: openai_chat, url: "{primary}/v1", private: true}}
  anthropic: {{dialect: anthropic, url: "{primary}", private: true}}
  gemini: {{dialect: gemini, url: "{primary}", private: true}}
  openai-backup: {{dialect: openai_chat, url: "{fallback}/v1", private: true, key: {{env: DEMO_KEY}}}}
  anthropic-backup: {{dialect: anthropic, url: "{fallback}", private: true, key: {{env: DEMO_KEY}}}}
  gemini-backup: {{dialect: gemini, url: "{fallback}", private: true, key: {{env: DEMO_KEY}}}}
defaults:
  limits: {{first_content: 2s, headers: 2s, gap: 2s, answer: 4s}}
  breaker: {{open: 3s, growth: 1}}
routes:
  - name: chat
    match: {{provider: openai, operation: chat}}
    chain: [openai, openai-backup]
  - name: messages
    match: {{provider: anthropic, operation: chat}}
    chain: [anthropic, anthropic-backup]
  - name: content
    match: {{provider: gemini, operation: chat}}
    chain: [gemini, gemini-backup]
"""


class DidNotStart(Exception):
    """With what the sidecar said."""


@dataclass(frozen=True, slots=True)
class Running:
    url: str
    admin: str


@contextlib.asynccontextmanager
async def sidecar(primary: Vendor, fallback: Vendor, folder: Path) -> AsyncIterator[Running]:
    """Its log goes to `folder`. Raises DidNotStart."""
    config = folder / "sidecar.yaml"
    config.write_text(CONFIG.format(primary=primary.url, fallback=fallback.url), encoding="utf-8")
    with (folder / "sidecar.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "run"),
            *("--config", str(config), "--port", "0", "--admin-port", "0"),
            stdout=log,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "DEMO_KEY": "demo-backup"},
        )
    assert process.stderr is not None
    reading: asyncio.Task[bytes] | None = None
    try:
        running = await _announced(process.stderr)
        reading = asyncio.create_task(process.stderr.read())  # noqa: TID251  # a full pipe would stop it
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if reading is not None:
            reading.cancel()


async def _announced(stderr: asyncio.StreamReader) -> Running:
    said = []
    try:
        async with asyncio.timeout(20):
            while line := (await stderr.readline()).decode():
                said.append(line)
                if found := re.search(
                    r"listens on (http://127\.0\.0\.1:\d+).*admin on (http://127\.0\.0\.1:\d+)", line
                ):
                    return Running(found[1], found[2])
    except TimeoutError:
        said.append("it did not listen within 20 s")
    raise DidNotStart("".join(said).strip())
