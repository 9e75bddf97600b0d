"""What telemetry costs: the pieces (bench/finish), and a sidecar that traces every call.

Four sidecars take turns on one connection: two that do not trace, one whose collector takes all, one
whose collector takes the connection and never says a word. What the second one adds to the first is
the noise of the run; what the last one adds is what a dead collector costs a call.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench import machine, subjects
from bench.load import Slice
from bench.peers import Ports

FINISH = 60e-6  # seconds per call
SPANS = 60e-6
SCRAPE = 3e-3
PSS = 60 * 2**20  # bytes
WARM = 0.2
DRAIN = 3.0  # seconds for spans that wait, which would be sent on the core of whose turn is next


@dataclass(slots=True)
class Traced:
    """One of the sidecars: the best of its rounds, in seconds."""

    name: str
    p50: float = float("inf")
    p99: float = float("inf")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Seconds; `tracing`: none, none again, to a collector that takes it, to a dead one."""

    finish: float
    spans: float
    scrape: float
    scrape_open: float
    samples: int
    pss: int  # bytes, tracing over http
    tracing: list[Traced]

    def limits(self) -> list[tuple[str, str, str, bool | None]]:
        return [
            _limit("metrics of a call, us", self.finish * 1e6, FINISH * 1e6),
            _limit("spans of a sampled call, us", self.spans * 1e6, SPANS * 1e6),
            _limit(f"/metrics at {self.samples} samples, ms", self.scrape * 1e3, SCRAPE * 1e3),
            _limit("memory (PSS) with tracing over http, MiB", self.pss / 2**20, PSS / 2**20),
        ]


def _limit(name: str, found: float, most: float) -> tuple[str, str, str, bool | None]:
    return name, f"{found:.1f}", f"at most {most:g}", found <= most


def measure(
    home: Path, ports: Ports, load: subjects.Load, cores: machine.Layout, rounds: int, seconds: float
) -> Telemetry:
    """Raises Trouble at a wrong answer."""
    pieces = _pieces(cores)
    with ExitStack() as stack:

        def start(name: str, url: str) -> tuple[subjects.Subject, Traced]:
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
            label = name.replace(" ", "-")
            subject, _ = stack.enter_context(subjects.sidecar(home, ports, cores.load, name=label, env=env))
            return subject, Traced(name)

        def turn(subject: subjects.Subject, one: Traced) -> None:
            found = load.run(Slice(subject.plain.port, subject.plain.path, 1, WARM, seconds))
            one.p50, one.p99 = min(one.p50, found.p50), min(one.p99, found.p99)

        traced = start("tracing over http", stack.enter_context(_collector()))
        for _ in range(rounds):
            turn(*traced)
        assert traced[0].pid is not None
        pss = machine.memory(traced[0].pid).pss  # alone: PSS divides what several sidecars share
        traced[1].p50 = traced[1].p99 = float("inf")  # from here on it takes turns
        dead = start("dead collector", stack.enter_context(_black_hole()))
        field = [start("no tracing", ""), start("no tracing again", ""), traced, dead]
        for _ in range(rounds):
            for subject, one in field:
                turn(subject, one)
                if subject is traced[0]:
                    time.sleep(DRAIN)
    return Telemetry(**pieces, pss=pss, tracing=[one for _, one in field])


def _pieces(cores: machine.Layout) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.finish"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        machine.pin(process.pid, cores.subject)
        said, _ = process.communicate()
    if process.returncode:
        raise subjects.Trouble(f"bench.finish ended with status {process.returncode}")
    found: dict[str, Any] = json.loads(said)
    return found


@contextmanager
def _collector() -> Iterator[str]:
    """Takes everything and keeps nothing."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:  # type: ignore[explicit-override]  # 3.11 has none
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _black_hole() -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
