"""The real process: help, what is wrong, a port in use, a life from start to SIGTERM."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPSConnection
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import jsonpatch
import pytest

from sidecar.injector.certificates import advance
from tests.injector.cluster import Cluster
from tests.injector.pods import of, pod
from tests.injector.test_review import HOST, review

pytestmark = pytest.mark.process

COMMAND = [sys.executable, "-m", "sidecar", "injector"]


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "default.yaml").write_text("image: registry.example.com/llm-sidecar:1")
    return folder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, env={}
    )


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """An API server in a thread of its own."""
    loop, made = asyncio.new_event_loop(), Cluster()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(made.__aenter__(), loop).result(30)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.__aexit__(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


class Injector:
    """Its stderr is read by a thread, so that waiting for a line is waiting for the line."""

    def __init__(self, *arguments: str) -> None:
        ports = ("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0")
        self.process = subprocess.Popen(  # noqa: S603
            [*COMMAND, *ports, *arguments], stderr=subprocess.PIPE, text=True
        )
        self.said: list[str] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        found = re.search(r"on port (\d+), health and metrics on port (\d+)", self.line("listens on port"))
        assert found is not None
        self.port, self.metrics = int(found[1]), int(found[2])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self.said.append(line)
                self._more.notify_all()

    def line(self, words: str) -> str:
        with self._more:
            found = self._more.wait_for(lambda: [one for one in self.said if words in one], 60)
        assert found, self.said
        return str(found[0])

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.metrics}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def connect(self, tls: ssl.SSLContext) -> HTTPSConnection:
        made = HTTPSConnection("127.0.0.1", self.port, timeout=30, context=tls)
        made.sock = tls.wrap_socket(
            socket.create_connection(("127.0.0.1", self.port), 30), server_hostname=HOST
        )
        return made

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self._thread.join(30)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


# ---- what is wrong ---------------------------------------------------------------------------


def test_help_says_what_it_needs():
    done = run("--help")

    assert done.returncode == 0
    for word in ("--profiles DIR", "default.yaml must be there", "--certs self", "--cert-dir", "--fail-mode"):
        assert word in done.stdout


def test_a_wrong_profile_is_refused_with_all_that_is_wrong(profiles: Path):
    (profiles / "default.yaml").write_text("imge: x\nport: 1\nconfig: 'drian: 5'\n")
    done = run("--profiles", str(profiles), "--certs", "provided", "--cert-dir", str(profiles))

    assert done.returncode == 2
    assert "default.yaml: imge: no such key" in done.stderr
    assert "default.yaml: port: expected" in done.stderr
    assert 'did you mean "drain"' in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--certs", "provided"], "--cert-dir"),
        ([], "give --api, --api-ca and --api-token-file"),
        (["--api", "http://127.0.0.1:1"], "--namespace: is missing"),
        (["--api", "nowhere"], "--api: expected https://host:port"),
        (["--api", "https://127.0.0.1:1", "--api-ca", "/none.crt"], "--api-ca /none.crt: No such file"),
        (
            ["--api", "http://127.0.0.1:1", "--namespace", "A B"],
            "--namespace: expected the name of an object",
        ),
        (["--port", "x"], "expected a port from 0 to 65535, got 'x'"),
    ],
)
def test_what_is_missing_or_wrong_is_named(profiles: Path, arguments: list[str], said: str):
    done = run("--profiles", str(profiles), *arguments)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--port", "--metrics-port"])
def test_a_port_in_use_is_one_line(profiles: Path, option: str):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = {"--port": "0", "--metrics-port": "0"} | {option: port}
        certs = ("--certs", "provided", "--cert-dir", str(profiles), "--host", "127.0.0.1")
        done = run("--profiles", str(profiles), *certs, *(word for pair in ports.items() for word in pair))

    assert done.returncode == 1
    assert f"llm-sidecar injector: port {port} is in use; choose another with {option}\n" == done.stderr


# ---- a life ----------------------------------------------------------------------------------


def test_it_makes_its_certificate_injects_reloads_and_ends(profiles: Path):
    with cluster() as api:
        labels = {"llm-sidecar.dev/inject": "true"}
        api.pods = [pod(labels=labels) | {"status": {"phase": "Running"}}]
        api.pods[0]["metadata"] |= {"name": "a", "namespace": "shop"}
        its = Injector(
            *("--profiles", str(profiles), "--namespace", "llm", "--api", api.url, "--linger", "0")
        )
        try:
            its.line("certificates: made, put into the webhook")
            assert (200, "ok\n") == its.get("/readyz")
            tls = ssl.create_default_context(cadata=base64.b64decode(api.bundles[0]).decode())
            with contextlib.closing(its.connect(tls)) as connection:
                connection.request("POST", "/inject", json.dumps(review(pod())))
                response = json.loads(connection.getresponse().read())["response"]
                after = jsonpatch.apply_patch(pod(), json.loads(base64.b64decode(response["patch"])))
                assert of(after, "llm-sidecar")["image"] == "registry.example.com/llm-sidecar:1"
                (profiles / "default.yaml").write_text("image: registry.example.com/llm-sidecar:2")
                its.line("profiles: read again: default")
                connection.request("POST", "/inject", json.dumps(review(pod())))
                response = json.loads(connection.getresponse().read())["response"]
                assert "llm-sidecar:2" in base64.b64decode(response["patch"]).decode()
                (profiles / "default.yaml").write_text("image: 1")
                its.line("profiles: the new ones are refused, the old ones stay")
            _, metrics = its.get("/metrics")
            assert "llm_sidecar_injector_profiles_last_reload_successful 0.0" in metrics
            assert 'llm_sidecar_injector_pods_not_injected{namespace="shop"} 1.0' in metrics
        finally:
            status = its.end()
        assert status == 0
        assert not [line for line in its.said if "Traceback" in line]


def test_a_review_that_is_under_way_when_sigterm_comes_is_answered(profiles: Path):
    with cluster() as api:
        its = Injector(
            *("--profiles", str(profiles), "--namespace", "llm", "--api", api.url, "--linger", "0.2")
        )
        try:
            its.line("certificates: made")
            tls = ssl.create_default_context(cadata=base64.b64decode(api.bundles[0]).decode())
            body = json.dumps(review(pod())).encode()
            with contextlib.closing(its.connect(tls)) as connection:
                connection.putrequest("POST", "/inject")
                connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body[:100])
                its.process.send_signal(signal.SIGTERM)
                its.line("ends: serves on for 0.2 s")
                connection.send(body[100:])
                answer = connection.getresponse()
                assert answer.status == 200
                assert json.loads(answer.read())["response"]["patch"]
                assert answer.headers["Connection"] == "close"
        finally:
            status = its.end()
        assert status == 0


def test_provided_certificates_need_no_cluster(profiles: Path, tmp_path: Path):
    certificate = advance(None, (HOST,), datetime.now(UTC).timestamp())
    (tmp_path / "tls.crt").write_bytes(certificate.leaf.certificate)
    (tmp_path / "tls.key").write_bytes(certificate.leaf.key)
    its = Injector(
        *("--profiles", str(profiles), "--certs", "provided", "--cert-dir", str(tmp_path), "--linger", "0")
    )
    try:
        its.line("certificates: took over")
        assert (200, "ok\n") == its.get("/readyz")
        tls = ssl.create_default_context(cadata=certificate.bundle.decode())
        with contextlib.closing(its.connect(tls)) as connection:
            connection.request("POST", "/inject", json.dumps(review(pod())))
            assert json.loads(connection.getresponse().read())["response"]["patch"]
    finally:
        assert its.end() == 0


def test_an_api_that_is_away_leaves_it_alive_and_not_ready(profiles: Path):
    its = Injector(
        *("--profiles", str(profiles), "--namespace", "llm", "--api", "http://127.0.0.1:9", "--linger", "0")
    )
    try:
        its.line("certificates: GET /version: no answer")
        assert (200, 503) == (its.get("/livez")[0], its.get("/readyz")[0])
    finally:
        assert its.end() == 0
    with pytest.raises(URLError):
        its.get("/livez")


def test_nothing_of_the_data_plane_is_loaded():
    code = (
        "import sys, sidecar.injector.command;"
        "print(*sorted(m for m in sys.modules if m.startswith('sidecar.')))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603

    allowed = re.compile(r"sidecar\.(injector(\..+)?|telemetry|telemetry\.catalog)")
    assert [name for name in done.stdout.split() if not allowed.fullmatch(name)] == []
