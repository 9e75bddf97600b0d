"""The sidecar's process as a pod has it: variables, mounted folders that are swapped, signals."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import yaml

LISTENS = re.compile(r"listens on http://127\.0\.0\.1:(\d+).*admin on http://[\d.]+:(\d+)")
YES = {"x-llm-sidecar-admin": "yes"}
JSON = {"content-type": "application/json"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def fetch(
    url: str, body: object = None, headers: Mapping[str, str] | None = None, method: str | None = None
) -> Answer:
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(url, data=data, headers=dict(headers or {}), method=method)  # noqa: S310  # loopback
    try:
        with urlopen(request, timeout=60) as answer:  # noqa: S310
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
    except HTTPError as error:
        with error:
            return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Ask another process until it says so; each question takes its time."""
    end = time.perf_counter() + seconds
    while not holds():
        assert time.perf_counter() < end, "it did not come to pass"


@dataclass
class Pod:
    process: subprocess.Popen[str]
    port: int
    admin: int
    log: Path
    env: dict[str, str] = field(repr=False, default_factory=dict)

    def url(self, provider: str) -> str:
        return f"http://127.0.0.1:{self.port}/{provider}/v1/chat/completions"

    def look(self, page: str) -> Answer:
        return fetch(f"http://127.0.0.1:{self.admin}/{page}")

    def post(self, verb: str) -> Answer:
        return fetch(f"http://127.0.0.1:{self.admin}/{verb}", b"", YES, "POST")

    def metric(self, name: str, **labels: str) -> float:
        for line in self.look("metrics").body.decode().splitlines():
            key, _, value = line.rpartition(" ")
            if key.partition("{")[0] == name and all(f'{k}="{v}"' in key for k, v in labels.items()):
                return float(value)
        return 0.0

    def lines(self, event: str) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return [row for row in rows if row["event"] == event]


@contextmanager
def pod(config: Mapping[str, Any] | None = None, *arguments: str, **env: str) -> Iterator[Pod]:
    """`config` goes in as a text, as a webhook puts it there; ends the process if nobody else did."""
    ports = {"LLM_SIDECAR_PORT": "0", "LLM_SIDECAR_ADMIN_PORT": "0"}
    text = {} if config is None else {"LLM_SIDECAR_CONFIG_TEXT": yaml.safe_dump(dict(config))}
    every = {**os.environ, "INJECTED": "injected-key", **ports, **text, **env}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("w", encoding="utf-8") as out:
            process = subprocess.Popen(  # noqa: S603  # our own command
                [sys.executable, "-W", "error", "-m", "sidecar", "run", *arguments],
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                env=every,
            )
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            found = LISTENS.search(line)
            assert found, f"the sidecar did not start: {line}"
            yield Pod(process, int(found[1]), int(found[2]), log, every)
            if process.poll() is None:
                process.terminate()
                assert 0 == process.wait(30)
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


class Mounted:
    """A ConfigMap or a Secret as the kubelet mounts it: NAME -> ..data/NAME, ..data -> a folder of a time,
    and a new one takes its place in one rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._times = 0
        folder.mkdir(parents=True)

    def write(self, **files: str) -> None:
        """Names have _ where the files have a dot. None given: the object is gone."""
        self._times += 1
        now = self.folder / f"..2026_11_22_{self._times}"
        now.mkdir()
        named = {name.replace("_", "."): text for name, text in files.items()}
        for name, text in named.items():
            (now / name).write_text(text, encoding="utf-8")
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(now.name)
        fresh.replace(self.folder / "..data")
        for name in named:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")


async def open_stream(port: int, provider: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    body = json.dumps(CHAT | {"stream": True}).encode()
    head = (
        f"POST /{provider}/v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    return reader, writer


async def read_chunked(reader: asyncio.StreamReader, head: bytes = b"") -> tuple[int, bytes, bool]:
    """The status, the body, and whether it ended as an answer ends."""
    head = head or await reader.readuntil(b"\r\n\r\n")
    status, body = int(head.split()[1]), b""
    if b"transfer-encoding: chunked" not in head.lower():
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return status, await reader.readexactly(length), True
    try:
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
    except (ValueError, asyncio.IncompleteReadError):
        return status, body, False
    return status, body, (await reader.readline()) == b"\r\n"
