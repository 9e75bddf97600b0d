"""What telemetry costs: the pieces (bench/finish), and a sidecar that traces every call.

Four sidecars take turns on one connection: two that do not trace, one whose collector takes all, one
whose collector takes the connection and never says a word. What the second one adds to the first is
the noise of the run; what the last one adds is what a dead collector costs a call. A turn is compared
with the two twins' turns right before it, and the medians of all turns speak: the best turn of each
would compare moments in which the machine did different things. Within noise means that the dead one's
median lies in the middle half of what the twins differ by.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench import machine, subjects
from bench.load import Slice
from bench.peers import Ports

FINISH = 60e-6  # seconds per call
SPANS = 60e-6
SCRAPE = 3e-3
PSS = 60 * 2**20  # bytes
WARM = 0.2
TURNS = 4  # of the twins and the dead one in each round: what they differ by is small
DRAIN = 3.0  # seconds for spans that wait, which would be sent on the core of whose turn is next


@dataclass(slots=True)
class Traced:
    """One of the sidecars: what each of its turns found, in seconds."""

    name: str
    p50s: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return min(self.p50s)

    @property
    def p99(self) -> float:
        return min(self.p99s)


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

    def noise(self) -> tuple[float, float]:
        """Half of what the twins' p99 differ by, either way, turn by turn."""
        one, other, *_ = self.tracing
        apart = [abs(a - b) for a, b in zip(one.p99s, other.p99s, strict=True)]
        most = statistics.median(apart)
        return -most, most

    def dead(self) -> float:
        """What a dead collector adds at p99: the median over the turns."""
        one, other, *_, dead = self.tracing
        turns = zip(dead.p99s, one.p99s, other.p99s, strict=True)
        return statistics.median(found - (a + b) / 2 for found, a, b in turns)

    def limits(self) -> list[tuple[str, str, str, bool | None]]:
        return [
            _limit("metrics of a call, us", self.finish * 1e6, FINISH * 1e6),
            _limit("spans of a sampled call, us", self.spans * 1e6, SPANS * 1e6),
            _limit(f"/metrics at {self.samples} samples, ms", self.scrape * 1e3, SCRAPE * 1e3),
            _limit("memory (PSS) with tracing over http, MiB", self.pss / 2**20, PSS / 2**20),
            self._dead_limit(),
        ]

    def _dead_limit(self) -> tuple[str, str, str, bool | None]:
        most, found = self.noise()[1] * 1e6, self.dead() * 1e6
        return "p99 added by a dead collector, us", f"{found:.0f}", f"noise, {most:.0f}", found <= most


def _limit(name: str, found: float, most: float) -> tuple[str, str, str, bool | None]:
    return name, f"{found:.1f}", f"at most {most:g}", found <= most


def measure(
    home: Path, ports: Ports, load: subjects.Load, cores: machine.Layout, rounds: int, seconds: float
) -> Telemetry:
    """Raises Trouble at a wrong answer."""
    pieces = subjects.printed("bench.finish", cores.subject)
    with ExitStack() as stack:

        def start(name: str, url: str) -> tuple[subjects.Subject, Traced]:
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
            label = name.replace(" ", "-")
            subject, _ = stack.enter_context(subjects.sidecar(home, ports, cores.load, name=label, env=env))
            return subject, Traced(name)

        def turn(subject: subjects.Subject, one: Traced) -> None:
            found = load.run(Slice(subject.plain.port, subject.plain.path, 1, WARM, seconds))
            one.p50s.append(found.p50)
            one.p99s.append(found.p99)

        traced = start("tracing over http", stack.enter_context(_collector()))
        for _ in range(rounds):
            turn(*traced)
        assert traced[0].pid is not None
        pss = machine.memory(traced[0].pid).pss  # alone: PSS divides what several sidecars share
        traced[1].p50s.clear()  # from here on it takes turns
        traced[1].p99s.clear()
        dead = start("dead collector", stack.enter_context(_black_hole()))
        twins = [start("no tracing", ""), start("no tracing again", "")]
        turn(*dead)  # fills its queue
        dead[1].p50s.clear()
        dead[1].p99s.clear()
        for number in range(TURNS * rounds):
            for subject, one in (*twins, dead):
                turn(subject, one)
            if number % TURNS == 0:
                turn(*traced)
                time.sleep(DRAIN)
    return Telemetry(**pieces, pss=pss, tracing=[one for _, one in (*twins, traced, dead)])


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
