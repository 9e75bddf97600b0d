"""The processes of a run: how each is configured, started, found ready, and stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load import PROMPT, Found, Slice
from bench.machine import pin
from bench.vendor import BODY

PATIENCE = 30.0  # seconds for a process to listen
LOOK_EVERY = 0.001
KEY = "BENCH_SECOND_KEY"  # the variable that holds the second target's key
DEBIAN = ("/usr/sbin/nginx", "/usr/local/sbin/nginx")  # not on everybody's PATH

NGINX = """\
daemon off; master_process off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  keepalive_requests 1000000000; keepalive_timeout 75s;
  upstream vendor {{
    server 127.0.0.1:{first}; server 127.0.0.1:{second} backup;
    keepalive 64; keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://vendor; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
      proxy_next_upstream error timeout http_500 http_502 http_503 http_504 http_429 non_idempotent;
      proxy_next_upstream_tries 3;
    }}
  }}
}}
"""

SIDECAR = """\
providers:
  first: {{dialect: openai_chat, url: "http://127.0.0.1:{first}/v1", private: true}}
  second: {{dialect: openai_chat, url: "http://127.0.0.1:{second}/v1", private: true, key: {{env: {key}}}}}
routes:
  - name: bench
    match: {{provider: first, operation: chat}}
    chain: [first, second]
"""


class Trouble(Exception):
    """The run cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured. `pid` None: nothing stands between the load and the vendor."""

    name: str
    port: int
    path: str
    pid: int | None = None


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


def find_nginx(given: str | None) -> str | None:
    if given:
        found = shutil.which(given)
        if found is None:
            raise Trouble(f"--nginx: {given} is no program that can be run")
        return found
    return shutil.which("nginx") or next((path for path in DEBIAN if shutil.which(path)), None)


def version_of(nginx: str) -> str:
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
    return said.strip().rpartition("/")[2] or "unknown"


# ---- the harness -----------------------------------------------------------------------------


@contextmanager
def vendor(core: int | None) -> Iterator[tuple[int, int]]:
    """Its two ports."""
    with _piped("bench.vendor", core) as process:
        assert process.stdout is not None
        ports = process.stdout.readline().split()
        if len(ports) != 2:
            raise Trouble("the vendor did not start; run this from the top of the repository")
        yield int(ports[0]), int(ports[1])


class Load:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(self, what: Slice) -> Found:
        """Raises Trouble at the first wrong answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asdict(what)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Trouble("the load ended before its slice")
        found = Found(**json.loads(line))
        if found.error:
            raise Trouble(found.error)
        return found


@contextmanager
def load(core: int | None) -> Iterator[Load]:
    with _piped("bench.load", core) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Load(process)


@contextmanager
def _piped(module: str, core: int | None) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        pin(process.pid, core)
        yield process
    finally:
        _end(process)


# ---- the subjects ----------------------------------------------------------------------------


@contextmanager
def nginx(program: str, home: Path, ports: tuple[int, int], core: int | None) -> Iterator[Subject]:
    port = free_port()
    place = home / "nginx"
    place.mkdir()
    (place / "nginx.conf").write_text(NGINX.format(home=place, first=ports[0], second=ports[1], port=port))
    command = [program, "-p", str(place), "-c", str(place / "nginx.conf")]
    with _listening("nginx", command, {}, port, home, core) as (process, _):
        yield Subject("nginx", port, "/v1/chat/completions", process.pid)


@contextmanager
def sidecar(home: Path, ports: tuple[int, int], core: int | None) -> Iterator[tuple[Subject, Start]]:
    """All default policies, a chain of two; and how long it took to start."""
    port, admin = free_port(), free_port()
    file = home / "sidecar.yaml"
    file.write_text(SIDECAR.format(first=ports[0], second=ports[1], key=KEY))
    command = [sys.executable, "-m", "sidecar", "run", "--config", str(file)]
    command += ["--port", str(port), "--admin-port", str(admin)]
    began = time.perf_counter()
    with _listening("sidecar", command, {KEY: "not-a-key"}, port, home, core) as (process, listening):
        subject = Subject("sidecar", port, "/first/v1/chat/completions", process.pid)
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
    connection = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("POST", subject.path, PROMPT, {"content-type": "application/json"})
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
