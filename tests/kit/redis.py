"""The real Redis server as a process: started and killed by the test that needs it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sidecar.capture.certificates import Authority
from tests.kit.promtool import need


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def redis_server(port: int, password: str = "", *, tls: Path | None = None) -> Iterator[None]:
    """Answers on `port` of loopback, keeps nothing on disk. `tls`: with the certificate in this folder."""
    command = [need("redis-server"), "--bind", "127.0.0.1", "--save", ""]
    command += ["--requirepass", password] if password else []
    command += ["--port", "0", "--tls-port", str(port)] if tls else ["--port", str(port)]
    if tls:
        for kind in ("ca-cert", "cert", "key"):
            command += [f"--tls-{kind}-file", str(tls / f"{kind.partition('-')[0]}.pem")]
        command += ["--tls-auth-clients", "no"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own words
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                break
        else:
            raise AssertionError("redis-server did not start: " + "".join(said))
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@asynccontextmanager
async def client(port: int, password: str | None = None) -> AsyncIterator[Any]:
    from redis.asyncio import Redis

    made = Redis(port=port, password=password)
    try:
        yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def behind(port: int, delay: float | None) -> AsyncIterator[int]:
    """A port of its own that leads to `port`, with answers `delay` seconds late; None: with none at all."""
    writers: list[asyncio.StreamWriter] = []

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, late: float | None) -> None:
        while data := await source.read(65536):
            if late is not None:
                await asyncio.sleep(late)
                sink.write(data)
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, thither = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, thither))
        await asyncio.gather(carry(reader, thither, 0.0), carry(there, writer, delay), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()


def tls(folder: Path) -> Path:
    """A folder with a CA of its own, and a certificate of `localhost` that it signed."""
    now = datetime.now(UTC).timestamp()
    authority = Authority(["localhost"], now)
    certificate, key = authority.sign("localhost", now)
    folder.mkdir()
    for name, data in (("ca", authority.pem()), ("cert", certificate), ("key", key)):
        (folder / f"{name}.pem").write_bytes(data)
    return folder


def secrets(folder: Path, url: str, *, key: str = "a key of the whole fleet") -> dict[str, Any]:
    """The section `shared` of a configuration, its secrets in files."""
    (folder / "url").write_text(url)
    (folder / "key").write_text(key)
    return {"url": {"file": str(folder / "url")}, "key": {"file": str(folder / "key")}}
