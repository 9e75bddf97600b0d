"""Recorded provider traffic passes through the real process byte for byte.

Runs where LLM_SIDECAR_DATA names a folder with `replay/sample.jsonl`; the data is not ours to keep.
Each interaction has a provider row of its own, otherwise the configuration is the default one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.kit.world import Sidecar, sidecar

DATA = os.environ.get("LLM_SIDECAR_DATA")
SAMPLE = Path(DATA, "replay", "sample.jsonl") if DATA else None

HOP_BY_HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
    *("transfer-encoding", "upgrade", "content-length"),
}
CUTS = ("whole", "events", "bytes", "random")


@dataclass
class Recorded:
    """One interaction, and what the client sent when it was played."""

    name: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    status: int
    answer_headers: list[tuple[str, str]]
    answer: bytes
    dialect: str
    seen: list[bytes] = field(default_factory=list)


def pairs(headers: Any) -> list[tuple[str, str]]:
    if isinstance(headers, dict):
        return [(k, one) for k, v in headers.items() for one in (v if isinstance(v, list) else [v])]
    return [(k, v) for k, v in headers]


def content(part: dict[str, Any]) -> bytes:
    if part.get("body_b64"):
        return base64.b64decode(part["body_b64"])
    body = part.get("body")
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def dialect_of(path: str) -> str:
    from sidecar.dialects import DIALECTS

    for name, dialect in DIALECTS.items():
        if dialect.operation("POST", path.partition("?")[0]):
            return name
    return "openai_chat"


def recorded() -> list[Recorded]:
    if SAMPLE is None:
        return []
    rows = []
    for line in SAMPLE.read_text().splitlines():
        row = json.loads(line)
        asked, answered = row["request"], row["response"]
        rows.append(
            Recorded(
                name=row["id"],
                method=asked["method"].upper(),
                path=asked["path"],
                headers=pairs(asked["headers"]),
                body=content(asked),
                status=answered["status"],
                answer_headers=[(k, v) for k, v in pairs(answered["headers"]) if k.lower() not in HOP_BY_HOP],
                answer=content(answered),
                dialect=dialect_of(asked["path"]),
            )
        )
    return rows


ROWS = recorded()


def pieces(row: Recorded, cut: str, rng: random.Random) -> list[bytes]:
    data = row.answer
    match cut:
        case "events":
            *whole, rest = data.split(b"\n\n")
            return [*(part + b"\n\n" for part in whole), rest]
        case "bytes" if len(data) <= 20_000:
            return [bytes([byte]) for byte in data]
        case "random" | "bytes":
            places = sorted(rng.randrange(len(data) + 1) for _ in range(40))
            return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
        case _:
            return [data]


class Server:
    """Answers every request of one recording, cut as the test says."""

    def __init__(self, row: Recorded) -> None:
        self.row = row
        self.cut = "whole"
        self.port = 0
        self.rng = random.Random(1)

    async def start(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = length_of(head)
            body = await reader.readexactly(length)
            self.row.seen.append(head.split(b"\r\n")[0].split(b" ")[1] + b"\n" + body)
            streamed = any(
                k.lower() == "content-type" and "event-stream" in v for k, v in self.row.answer_headers
            )
            lines = [f"HTTP/1.1 {self.row.status} X"] + [f"{k}: {v}" for k, v in self.row.answer_headers]
            lines.append(
                "transfer-encoding: chunked" if streamed else f"content-length: {len(self.row.answer)}"
            )
            writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode("latin1"))
            for piece in pieces(self.row, self.cut, self.rng):
                if piece:
                    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if streamed else piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n" if streamed else b"")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def length_of(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


async def fetch(port: int, row: Recorded) -> tuple[int, list[tuple[str, str]], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    skip = HOP_BY_HOP | {"host", "accept-encoding", "content-length", "content-encoding"}
    headers = [(k, v) for k, v in row.headers if k.lower() not in skip]
    lines = [f"{row.method} /{row.name}{row.path} HTTP/1.1", f"host: 127.0.0.1:{port}", "connection: close"]
    lines += [f"{k}: {v}" for k, v in headers] + [f"content-length: {len(row.body)}", "", ""]
    writer.write("\r\n".join(lines).encode("latin1") + row.body)
    data = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await writer.wait_closed()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin1").split("\r\n")
    got = [(name, value) for name, _, value in (line.partition(": ") for line in rest)]
    if any(k.lower() == "transfer-encoding" for k, _ in got):
        body = dechunk(body)
    return int(first.split(" ")[1]), got, body


def dechunk(data: bytes) -> bytes:
    out = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            return out
        out += data[:n]
        data = data[n + 2 :]


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[asyncio.Runner, dict[str, Server], Sidecar]]:
    with asyncio.Runner() as runner:
        servers = {row.name: Server(row) for row in ROWS}
        for server in servers.values():
            runner.run(server.start())
        providers = {
            name: {"dialect": server.row.dialect, "url": f"http://127.0.0.1:{server.port}", "private": True}
            for name, server in servers.items()
        }
        with sidecar({"providers": providers}) as process:
            yield runner, servers, process
        for server in servers.values():
            server.server.close()


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.path[:30]}")
def test_a_recorded_answer_arrives_byte_for_byte(
    stage: tuple[asyncio.Runner, dict[str, Server], Sidecar], row: Recorded, cut: str
):
    runner, servers, process = stage
    servers[row.name].cut = cut
    row.seen.clear()

    status, headers, body = runner.run(fetch(process.port, row))

    assert row.status == status
    assert row.answer == body
    ignored = HOP_BY_HOP | {"x-should-retry"}
    ours = [
        (k, v) for k, v in headers if k.lower() not in ignored and not k.lower().startswith("x-llm-sidecar-")
    ]
    expected = [(k, v.strip()) for k, v in row.answer_headers if k.lower() not in ignored]
    assert sorted(expected) == sorted(ours)
    # a 400 for a tool call that the model got wrong is asked again; a path may gain its version
    assert all(seen.endswith(row.path.encode() + b"\n" + row.body) for seen in row.seen)
