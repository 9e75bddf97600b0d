"""A Prometheus of our own for a while: the shipped rules with shorter windows, one sidecar to scrape."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yaml

from alerts.build import rule_file, shortened
from alerts.thresholds import DEFAULT
from dashboards.incident import DidNotStart, stop

HOW = (
    "{} is not installed. Debian and Ubuntu: sudo apt-get install prometheus. macOS: brew install "
    "prometheus. Anywhere: put it from https://prometheus.io/download into PATH."
)


class Missing(Exception):
    """A program that is not there, and the way to get it."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    url: str
    session: aiohttp.ClientSession

    async def _get(self, path: str, **parameters: str) -> Any:
        async with self.session.get(f"{self.url}/api/v1/{path}", params=parameters) as answer:
            told = await answer.json()
        if told["status"] != "success":
            raise ValueError(f"{parameters.get('query', path)}: {told['error']}")
        return told["data"]

    async def instant(self, query: str, at: float) -> list[tuple[dict[str, str], float]]:
        """Each series' labels and value at a moment."""
        data = await self._get("query", query=query, time=f"{at:.3f}")
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(row["metric"], float(row["value"][1])) for row in data["result"]]

    async def course(self, query: str, start: float, end: float) -> list[tuple[dict[str, str], list[float]]]:
        """Each series' labels and values, second by second."""
        data = await self._get("query_range", query=query, start=f"{start:.3f}", end=f"{end:.3f}", step="1")
        return [(row["metric"], [float(value) for _, value in row["values"]]) for row in data["result"]]

    async def alerts(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = (await self._get("alerts"))["alerts"]
        return found

    async def rules(self) -> list[Mapping[str, Any]]:
        return [rule for group in (await self._get("rules"))["groups"] for rule in group["rules"]]


def configuration(admin: str, labels: Mapping[str, str], *, every: str) -> dict[str, Any]:
    """As the PodMonitor's relabelling leaves it: job, namespace, app, team and pod on every series."""
    target = {"targets": [urlsplit(admin).netloc], "labels": dict(labels)}
    return {
        "global": {"scrape_interval": every, "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": DEFAULT.job, "static_configs": [target]}],
    }


@contextlib.asynccontextmanager
async def prometheus(
    folder: Path, admin: str, labels: Mapping[str, str], *, shorter: int, program: str = ""
) -> AsyncIterator[Prometheus]:
    """Raises Missing, DidNotStart."""
    program = program or shutil.which("prometheus") or ""
    if not program:
        raise Missing(HOW.format("Prometheus"))
    (folder / "rules.yaml").write_text(yaml.safe_dump(shortened(rule_file(), shorter)), encoding="utf-8")
    (folder / "prometheus.yaml").write_text(
        yaml.safe_dump(configuration(admin, labels, every="500ms")), encoding="utf-8"
    )
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as session:
            await _ready(session, f"http://127.0.0.1:{port}", process, folder / "prometheus.log")
            yield Prometheus(f"http://127.0.0.1:{port}", session)
    finally:
        await stop(process)


async def _ready(
    session: aiohttp.ClientSession, url: str, process: asyncio.subprocess.Process, log: Path
) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20):
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{url}/-/ready") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.1)
    raise DidNotStart("Prometheus", f"its log is {log}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
