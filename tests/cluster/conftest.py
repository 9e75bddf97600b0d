"""A Kubernetes control plane without nodes: what it does with our webhook, charts and words.

Collected only where its programs are there: kube-apiserver (1.33 or later), kube-controller-manager,
etcd and kubectl, on PATH or named by LLM_SIDECAR_KUBE_APISERVER, LLM_SIDECAR_KUBE_CONTROLLER_MANAGER,
LLM_SIDECAR_ETCD and LLM_SIDECAR_KUBECTL. Nothing here is a node: a test that needs a pod to run says
itself what the kubelet would.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.injectors import Release
from tests.cluster.servers import Cluster, missing

collect_ignore_glob = ["test_*.py"] if missing() else []

# the other releases of these tests have namespaces of their own, where this one keeps out
ELSEWHERE: Final = "kube-system,kube-node-lease,hurried,away,away-work,tried"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="session")
def release(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """The chart as it is, and two replicas that start at the same moment."""
    values = (
        f"injector: {{excludedNamespaces: [{ELSEWHERE}]}}\n"
        "profiles:\n"
        "  loose: {securityContext: {allowPrivilegeEscalation: true}}\n"
        "  batch: {drainTimeout: 25}\n"
    )
    made = Release(cluster, "llm-sidecar", values, tmp_path_factory.mktemp("release"))
    with made.replicas(2):
        yield made


@pytest.fixture
def place(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A namespace for this test, labelled."""
    name = Path(request.node.name).name.replace("_", "-")[:60].strip("-")
    return cluster.namespace(name, {"llm-sidecar.dev/injection": "enabled"})
