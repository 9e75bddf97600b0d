"""`llm-sidecar run`: a loop, an App on it, and lines on stderr that say where it listens."""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from sidecar import config
from sidecar.app import App
from sidecar.environment import Pod
from sidecar.watched import Watched

LINES = 4096  # of the log that may wait for whoever reads it


def run(pod: Pod) -> int:
    """Serve until told to stop. Raises ConfigError, or OSError if a port is taken."""
    file = Watched(pod.path, seen=True)  # before it is read: what changes meanwhile is read again
    settings = pod.load()
    lines = _Lines()

    async def main() -> None:
        try:
            app = App(settings, pod=pod, write=lines, file=file)
        except ValueError as error:  # a file that it names, of certificates, is not what it should be
            name = "" if pod.path is None else pod.path.name
            raise config.ConfigError([config.Problem("", str(error))], name) from None
        await app.run(lambda addresses: _announce(app, addresses))

    try:
        _loop(main())
    finally:
        lines.close()
    return 0


def _loop(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # no wheel for this platform: slower, not different
        asyncio.run(work)
    else:
        uvloop.run(work)


def _announce(app: App, addresses: list[tuple[str, int]]) -> None:
    where = ", ".join(f"http://{f'[{host}]' if ':' in host else host}:{port}" for host, port in addresses)
    admin = ", ".join(
        f"http://{f'[{host}]' if ':' in host else host}:{port}" for host, port in app.admin.addresses
    )
    sys.stderr.write(f"llm-sidecar listens on {where}; admin on {admin}\n")
    sys.stderr.flush()


class _Lines:
    """Writes log lines from a thread of its own: a pipe that nobody reads stops the lines, not us."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[str | None] = queue.Queue(LINES)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def __call__(self, line: str) -> None:
        """Raises OSError where there is no room: the line is lost."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            raise BlockingIOError("nobody reads the log") from None

    def close(self) -> None:
        """Write what waits, within a second."""
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
            self._thread.join(1.0)

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            with suppress(OSError):
                os.write(1, line.encode() + b"\n")
