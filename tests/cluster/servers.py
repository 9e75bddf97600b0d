"""etcd, an API server and the controllers, on loopback, for as long as the tests run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.helm import tool

SECONDS: Final = 60.0  # for anything to happen; it takes a few where nobody else is at work
TOKEN: Final = "administrator-of-a-test"
CONTROLLERS: Final = (
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "deployment-controller",
    "replicaset-controller",
    "job-controller",
)
Found = TypeVar("Found")
PROGRAMS: Final = ("kube-apiserver", "kube-controller-manager", "etcd", "kubectl")


def program(name: str) -> str | None:
    return os.environ.get("LLM_SIDECAR_" + name.upper().replace("-", "_")) or shutil.which(name)


def missing() -> list[str]:
    return [name for name in PROGRAMS if not program(name)]


def until(look: Callable[[], Found], what: str) -> Found:
    """What `look` says, once it says something."""
    end = time.monotonic() + SECONDS  # noqa: TID251  # processes live in real time
    pause = threading.Event()
    while not (found := look()):
        assert time.monotonic() < end, f"not within {SECONDS:g} s: {what}"  # noqa: TID251
        pause.wait(0.05)
    return found


def address() -> str:
    """Of this machine, on no loopback: an endpoint may lead anywhere but there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.fail("this machine has no address but loopback, which no EndpointSlice may name")
        return str(probe.getsockname()[0])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    warnings: tuple[str, ...]


class Process:
    """One of ours: its output goes to a file, its end is waited for."""

    def __init__(self, command: list[str], log: Path, **more: str) -> None:
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(  # noqa: S603  # our own words
                command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | more
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def alive(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"{self.log.stem} ended: {self.said()[-2000:]}", pytrace=False)
        return True

    def end(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.ca = folder / "certs" / "apiserver.crt"
        self.kubeconfig = folder / "kubeconfig"
        self._started: list[Process] = []
        self._local = threading.local()
        self._connections: list[HTTPSConnection] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()
        while self._started:
            self._started.pop().end()

    def _run(self, name: str, *arguments: str) -> Process:
        made = Process([str(program(name)), *arguments], self.folder / f"{name}.log")
        self._started.append(made)
        return made

    def _start(self) -> None:
        etcd, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._run(
            "etcd", f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync",
            f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        )  # fmt: skip
        key = self.folder / "accounts.key"
        key.write_bytes(
            rsa.generate_private_key(65537, 2048).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (self.folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        # aggregator-routing: a Service leads to its endpoints, as with a kube-proxy, which needs a node
        server = self._run(
            "kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", f"--cert-dir={self.ca.parent}",
            f"--advertise-address={address()}", "--endpoint-reconciler-type=none",
            "--enable-aggregator-routing", f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={key}", f"--service-account-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
        )  # fmt: skip
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(yaml.safe_dump(self._kubeconfig()))
        until(lambda: server.alive() and self._ready(), "the API server is ready")
        controllers = self._run(
            "kube-controller-manager", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false",
            "--bind-address=127.0.0.1", f"--secure-port={free_port()}", f"--cert-dir={self.ca.parent}",
            f"--root-ca-file={self.ca}", f"--controllers={','.join(CONTROLLERS)}",
        )  # fmt: skip
        until(lambda: controllers.alive() and self._has_account("default"), "the controllers work")

    def _ready(self) -> bool:
        if not self.ca.exists():
            return False
        with contextlib.suppress(OSError):
            return self.call("GET", "/readyz").status == 200
        return False

    def _kubeconfig(self) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}}
            ],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
        }

    # ---- calls -----------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Answer:
        """As the administrator, on a connection per thread."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            tls = ssl.create_default_context(cafile=str(self.ca))
            connection = HTTPSConnection("127.0.0.1", self.port, context=tls, timeout=SECONDS)
            self._local.connection = connection
            self._connections.append(connection)
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json", "Content-Type": kind}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read()
        except BaseException:
            connection.close()
            self._local.connection = None
            raise
        said = json.loads(data) if data[:1] == b"{" else data.decode()
        warnings = tuple(
            text.partition(' "')[2].removesuffix('"').replace('\\"', '"')
            for text in answer.headers.get_all("Warning") or []
        )
        return Answer(answer.status, said, warnings)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status == 200, answer.body
        return answer.body

    def create(self, path: str, body: Any) -> Any:
        answer = self.call("POST", path, body)
        assert answer.status == 201, answer.body
        return answer.body

    def merge(self, path: str, body: Any) -> Any:
        answer = self.call("PATCH", path, body, "application/merge-patch+json")
        assert answer.status == 200, answer.body
        return answer.body

    # ---- what most tests need --------------------------------------------------------------------

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        metadata = {"name": name, "labels": dict(labels or {})}
        self.create("/api/v1/namespaces", {"metadata": metadata})
        until(lambda: self._has_account(name), f"{name} has a service account")
        return name

    def _has_account(self, namespace: str) -> bool:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        return self.call("GET", path).status == 200

    def pod(self, namespace: str, pod: Mapping[str, Any], *, dry: bool = False) -> Answer:
        query = "?dryRun=All" if dry else ""
        return self.call("POST", f"/api/v1/namespaces/{namespace}/pods{query}", pod)

    def pods(self, namespace: str, labels: str = "") -> list[dict[str, Any]]:
        query = f"?labelSelector={labels}" if labels else ""
        return list(self.get(f"/api/v1/namespaces/{namespace}/pods{query}")["items"])

    def kubectl(self, *arguments: str, given: str = "") -> tool.Said:
        return self._do([str(program("kubectl")), *arguments], given)

    def helm(self, *arguments: str, given: str = "") -> tool.Said:
        said = self._do([tool.helm(), *arguments], given)
        assert said.status == 0, said.err
        return said

    def _do(self, command: list[str], given: str) -> tool.Said:
        home = str(self.folder / "home")  # no plugin, cache or cluster of this machine
        env = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(  # noqa: S603  # our own words
            command, input=given, check=False, capture_output=True, text=True, timeout=120, env=env
        )
        return tool.Said(done.returncode, done.stdout, done.stderr)
