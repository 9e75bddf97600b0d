"""The processes of a run: how each is configured, started, found ready, and stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.load import PROMPT, Found, Slice
from bench.machine import pin
from bench.peers import Peer, Ports
from bench.streams import Carried, Order
from bench.vendor import BODY
from tests.wire.upstream.certificate import write_certificate

PATIENCE = 30.0  # seconds for a process to listen
LOOK_EVERY = 0.001
KEY = "BENCH_SECOND_KEY"  # the variable that holds the second target's key
CHAT = "/v1/chat/completions"

SIDECAR = """\
admission: {{in_flight: 2048}}
providers:
  first: {{dialect: openai_chat, url: "http://127.0.0.1:{first}/v1", private: true}}
  second: {{dialect: openai_chat, url: "http://127.0.0.1:{second}/v1", private: true, key: {{env: {key}}}}}
  secure: {{dialect: openai_chat, url: "https://localhost:{secure}/v1", private: true, ca_file: "{ca}"}}
routes:
  - name: bench
    match: {{provider: first, operation: chat}}
    chain: [first, second]
  - name: bench-secure
    match: {{provider: secure, operation: chat}}
    chain: [secure, second]
"""


class Trouble(Exception):
    """The run cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where the load asks; `ca`: by TLS, and trusting this."""

    port: int
    path: str
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured. `pid` None: nothing stands between the load and the vendor. `tls` is the way
    on which the vendor is asked over TLS."""

    name: str
    plain: Way
    tls: Way
    pid: int | None = None

    def way(self, *, tls: bool) -> Way:
        return self.tls if tls else self.plain


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the start of the process."""

    listening: float
    answered: float


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


# ---- the harness -----------------------------------------------------------------------------


@contextmanager
def vendor(home: Path, core: int | None) -> Iterator[Ports]:
    certificate = write_certificate(home / "vendor.pem", name="localhost")
    with _piped(["bench.vendor", str(certificate)], core) as process:
        assert process.stdout is not None
        ports = [int(port) for port in process.stdout.readline().split()]
        if len(ports) != 3:
            raise Trouble("the vendor did not start; run this from the top of the repository")
        yield Ports(ports[0], ports[1], ports[2], certificate, process.pid)


class Load:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(self, what: Slice) -> Found:
        """Raises Trouble at the first wrong answer."""
        self.begin(what)
        found = Found(**self._result())
        if found.error:
            raise Trouble(found.error)
        return found

    def begin(self, what: Slice | Order) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(what)) + "\n")
        self.process.stdin.flush()

    def carried(self) -> Carried:
        """What came of the streams that were begun."""
        return Carried(**self._result())

    def _result(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Trouble("the load ended before its slice")
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def load(core: int | None) -> Iterator[Load]:
    with _piped(["bench.load"], core) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Load(process)


@contextmanager
def _piped(module: list[str], core: int | None) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        pin(process.pid, core)
        yield process
    finally:
        _end(process)


# ---- the subjects ----------------------------------------------------------------------------


def direct(ports: Ports) -> Subject:
    return Subject("direct", Way(ports.first, CHAT), Way(ports.secure, CHAT, str(ports.ca)))


@contextmanager
def peer(what: Peer, program: str, home: Path, ports: Ports, core: int | None) -> Iterator[Subject]:
    plain, tls = free_port(), free_port()
    place = home / what.name
    place.mkdir()
    file = place / what.file
    fill = {"first": ports.first, "second": ports.second, "secure": ports.secure, "ca": ports.ca}
    file.write_text(what.config.format(**fill, plain=plain, tls=tls, home=place))
    with _listening(what.name, what.command(program, file, plain), what.env, plain, home, core) as (
        process,
        _,
    ):
        yield Subject(what.name, Way(plain, CHAT), Way(tls, CHAT), process.pid)


@contextmanager
def sidecar(
    home: Path,
    ports: Ports,
    core: int | None,
    *,
    name: str = "sidecar",
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[Subject, Start]]:
    """All default policies, a chain of two; and how long it took to start."""
    port, admin = free_port(), free_port()
    file = home / f"{name}.yaml"
    file.write_text(
        SIDECAR.format(first=ports.first, second=ports.second, secure=ports.secure, ca=ports.ca, key=KEY)
    )
    command = [sys.executable, "-m", "sidecar", "run", "--config", str(file)]
    command += ["--port", str(port), "--admin-port", str(admin)]
    began = time.perf_counter()
    with _listening(name, command, {KEY: "not-a-key", **(env or {})}, port, home, core) as (
        process,
        listening,
    ):
        subject = Subject(name, Way(port, f"/first{CHAT}"), Way(port, f"/secure{CHAT}"), process.pid)
        _ask_once(subject)
        yield subject, Start(listening - began, time.perf_counter() - began)


@contextmanager
def _listening(
    name: str, command: list[str], extra: Mapping[str, str], port: int, home: Path, core: int | None
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A started process, and when it accepted its first connection."""
    said = home / f"{name}.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **extra}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        pin(process.pid, core)
        yield process, _accepts(name, process, port, said)
    finally:
        _end(process)


def _accepts(name: str, process: subprocess.Popen[bytes], port: int, said: Path) -> float:
    until = time.perf_counter() + PATIENCE
    while process.poll() is None and time.perf_counter() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return time.perf_counter()
        time.sleep(LOOK_EVERY)
    last = said.read_text(errors="replace")[-2000:].strip()
    what = f"ended with status {process.returncode}" if process.poll() is not None else "did not listen"
    raise Trouble(f"{name} {what}; it said:\n{last}")


def _ask_once(subject: Subject) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", subject.plain.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("POST", subject.plain.path, PROMPT, {"content-type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200 or body != BODY:
        raise Trouble(f"{subject.name} answered {answer.status}: {body[:300]!r}")


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def printed(program: str, core: int | None) -> dict[str, Any]:
    """What a module of ours prints that is run on that core: one JSON object. Raises Trouble."""
    with subprocess.Popen([sys.executable, "-m", program], stdout=subprocess.PIPE, text=True) as process:
        pin(process.pid, core)
        said, _ = process.communicate()
    if process.returncode:
        raise Trouble(f"{program} ended with status {process.returncode}")
    found: dict[str, Any] = json.loads(said)
    return found
