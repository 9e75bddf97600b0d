"""A real sidecar process between real SDKs and fake vendors.

Each case has providers of its own in the one configuration, so that what the sidecar learns in one
case (an open breaker, a known wait) is not there in the next.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from sidecar.provider import Behaviour, Vendor

LISTENS = re.compile(r"listens on http://127\.0\.0\.1:(\d+).*admin on http://127\.0\.0\.1:(\d+)")
ANSWER = "all is well"


class Sidecar:
    """`llm-sidecar run` as a process, its ports picked by the system."""

    def __init__(
        self, process: subprocess.Popen[str], port: int, admin: int, log: Path, config: Path
    ) -> None:
        self.process = process
        self.port = port
        self.admin = admin
        self.log = log
        self.config = config

    def url(self, provider: str) -> str:
        return f"http://127.0.0.1:{self.port}/{provider}"


@contextmanager
def sidecar(config: Mapping[str, Any] | None) -> Iterator[Sidecar]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "error", "-m", "sidecar", "run", "--port", "0", "--admin-port", "0"]
        file = Path(folder, "sidecar.yaml")
        if config is not None:
            file.write_text(yaml.safe_dump(dict(config)))
            command += ["--config", str(file)]
        log = Path(folder, "log")
        with log.open("w") as out:
            process = subprocess.Popen(  # noqa: S603  # our own command
                command,
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "INJECTED": "injected-key"},
            )
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            found = LISTENS.search(line)
            assert found, (
                f"the sidecar did not start: {line}{process.stderr.read() if process.poll() else ''}"
            )
            yield Sidecar(process, int(found[1]), int(found[2]), log, file)
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(30)
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


class World:
    """A loop of its own with vendors on it, and a sidecar in front of them."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.vendors: dict[str, Vendor] = {}
        self.providers: dict[str, Any] = {}
        self.routes: list[Any] = []

    def vendor(self, name: str, dialect: str, plan: Sequence[Behaviour], *, key: bool = True) -> None:
        vendor = Vendor(plan, name=name)
        self.runner.run(vendor.__aenter__())
        self.vendors[name] = vendor
        self.providers[name] = {"dialect": dialect, "url": vendor.url, "private": True}
        if key:
            self.providers[name]["key"] = {"env": "INJECTED"}

    def route(self, *names: str, **more: Any) -> None:
        chain = [{"provider": name} for name in names]
        self.routes.append(
            {"name": f"route.{names[0]}", "match": {"provider": names[0]}, "chain": chain, **more}
        )

    @property
    def config(self) -> dict[str, Any]:
        return {"providers": self.providers, "routes": self.routes}

    def close(self) -> None:
        for vendor in self.vendors.values():
            self.runner.run(vendor.__aexit__(None, None, None))
        self.runner.close()
