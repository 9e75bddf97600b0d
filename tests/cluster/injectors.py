"""A release of the chart, and the injector's processes, started as its Deployment says."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import yaml

from tests.cluster.servers import Cluster, Process, address, until
from tests.docs.pages import ROOT

CHART: Final = ROOT / "helm" / "llm-sidecar"
WEBHOOKS: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
COMMAND: Final = (sys.executable, "-m", "sidecar", "injector")


class Injector(Process):
    def __init__(self, command: list[str], log: Path) -> None:
        super().__init__(command, log)
        self.port = self.metrics_port = 0

    def listens(self) -> None:
        found = until(lambda: self._ports() if self.alive() else None, "the injector listens")
        assert found is not None
        self.port, self.metrics_port = found

    def _ports(self) -> tuple[int, int] | None:
        found = re.search(r"on port (\d+), health and metrics on port (\d+)", self.said())
        return None if found is None else (int(found[1]), int(found[2]))

    def page(self, path: str) -> str:
        with urlopen(f"http://{address()}:{self.metrics_port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def ready(self) -> bool:
        self.alive()
        with contextlib.suppress(OSError):  # a 503 is one
            return bool(self.page("/readyz"))
        return False


class Release:
    """Of the chart, in the namespace of its name. All objects are the chart's but the endpoints, since
    those are of pods that run."""

    def __init__(self, cluster: Cluster, name: str, values: str, folder: Path) -> None:
        self.cluster, self.name, self.folder = cluster, name, folder
        self.values = values
        self.said = cluster.helm(
            "install", name, str(CHART), "--namespace", name, "--create-namespace", "--values", "-",
            given=values,
        ).out  # fmt: skip
        self.injector = f"{name}-injector" if "llm-sidecar" in name else f"{name}-llm-sidecar-injector"
        self.running: list[Injector] = []

    @property
    def webhook(self) -> str:
        return f"{WEBHOOKS}/{self.injector}.{self.name}"

    @property
    def secret(self) -> str:
        return f"/api/v1/namespaces/{self.name}/secrets/{self.injector}-certs"

    def bundles(self) -> list[str]:
        return [row["clientConfig"].get("caBundle", "") for row in self.cluster.get(self.webhook)["webhooks"]]

    def upgrade(self, *arguments: str) -> str:
        return self.cluster.helm(
            "upgrade", self.name, str(CHART), "--namespace", self.name, "--values", "-", *arguments,
            given=self.values,
        ).out  # fmt: skip

    @contextlib.contextmanager
    def replicas(self, count: int, command: tuple[str, ...] = COMMAND) -> Iterator[list[Injector]]:
        """Started together, and endpoints of the Service once all are ready."""
        words = [*command, *self._arguments()]
        try:
            for number in range(count):
                self.running.append(Injector(words, self.folder / f"injector-{number}.log"))
            for one in self.running:
                one.listens()
                until(one.ready, "the injector is ready")
            self.endpoints([one.port for one in self.running])
            yield self.running
        finally:
            while self.running:
                one = self.running.pop()
                assert one.end() == 0, one.said()

    @contextlib.contextmanager
    def another(self) -> Iterator[Injector]:
        """One that is asked nothing: it has no endpoint."""
        made = Injector([*COMMAND, *self._arguments()], self.folder / "another.log")
        try:
            made.listens()
            yield made
        finally:
            assert made.end() == 0, made.said()

    def endpoints(self, ports: list[int]) -> None:
        """One slice for each, since all have one address here."""
        place = f"/apis/discovery.k8s.io/v1/namespaces/{self.name}/endpointslices"
        for port in ports:
            body = {
                "metadata": {
                    "name": f"{self.injector}-{port}",
                    "labels": {"kubernetes.io/service-name": self.injector},
                },
                "addressType": "IPv4",
                "ports": [{"name": "webhook", "port": port, "protocol": "TCP"}],
                "endpoints": [{"addresses": [address()], "conditions": {"ready": True}}],
            }
            self.cluster.create(place, body)

    def _arguments(self) -> list[str]:
        """The container's, with this machine's folder, ports and way to the API."""
        spec = self.cluster.get(f"/apis/apps/v1/namespaces/{self.name}/deployments/{self.injector}")["spec"]
        template: dict[str, Any] = spec["template"]["spec"]
        profiles = self.folder / "profiles"
        profiles.mkdir(exist_ok=True)
        (volume,) = [row for row in template["volumes"] if row["name"] == "profiles"]
        path = f"/api/v1/namespaces/{self.name}/configmaps/{volume['configMap']['name']}"
        for file, text in self.cluster.get(path)["data"].items():
            assert yaml.safe_load(text)["image"], file
            (profiles / file).write_text(text)
        (container,) = template["containers"]
        command, *given = container["args"]
        assert command == "injector"
        return [
            *given,
            f"--profiles={profiles}", f"--host={address()}", "--port=0", "--metrics-port=0",
            "--linger=0.2", f"--api={self.cluster.url}", f"--api-ca={self.cluster.ca}",
            f"--api-token-file={self._token(template['serviceAccountName'])}",
        ]  # fmt: skip

    def _token(self, account: str) -> Path:
        """Of the account that the chart made: what its roles do not allow fails here too."""
        path = f"/api/v1/namespaces/{self.name}/serviceaccounts/{account}/token"
        made = self.cluster.create(path, {"spec": {"expirationSeconds": 3600}})
        file = self.folder / "token"
        file.touch(mode=0o600)
        file.write_text(made["status"]["token"])
        return file
