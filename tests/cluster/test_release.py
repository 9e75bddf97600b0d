"""The life of a release: test, upgrade, rollback, uninstall."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.cluster.injectors import Release
from tests.cluster.kubelet import Pod
from tests.cluster.pods import injected, pod
from tests.cluster.servers import Cluster, free_port, until
from tests.helm.tool import Said

pytestmark = pytest.mark.process
KINDS = (
    "deployment,service,serviceaccount,configmap,secret,poddisruptionbudget,role,rolebinding,pod,"
    "clusterrole,clusterrolebinding,mutatingwebhookconfiguration"
)


def test_helm_test_passes_where_injection_works(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
):
    """The pod of the chart, injected by the API server, run as a kubelet would."""
    values = f"sidecar: {{port: {free_port()}, adminPort: {free_port()}}}\ninjector: {{replicas: 1}}"
    tried = Release(cluster, "tried", values, tmp_path_factory.mktemp("tried"))
    said: list[Said] = []
    with tried.replicas(1):
        thread = threading.Thread(
            target=lambda: said.append(cluster.helm("test", "tried", "--namespace", "tried"))
        )
        thread.start()
        (made,) = until(
            lambda: cluster.pods("tried", "app.kubernetes.io/component=test"), "the pod of helm test"
        )
        running = Pod(cluster, made, tmp_path)
        try:
            main = running.live()
        finally:
            running.report("Succeeded")
        thread.join(60)
    assert main.status == 0, main.err
    assert "injected, started, and led to http://127.0.0.1:" in main.out
    assert "Phase:          Succeeded" in said[0].out
    cluster.helm("uninstall", "tried", "--namespace", "tried")


def test_an_upgrade_and_a_rollback_touch_neither_certificates_nor_pods(
    cluster: Cluster, release: Release, place: str
):
    def kept() -> list[object]:
        service = f"/api/v1/namespaces/{release.name}/services/{release.injector}"
        return [
            cluster.get(release.secret)["data"],
            release.bundles(),
            cluster.get(service)["spec"]["clusterIP"],
        ]

    before = kept()
    assert all(release.bundles())
    created = cluster.pod(place, pod("before")).body
    release.upgrade("--set", "injector.timeoutSeconds=3", "--set", "profiles.next.image=example.com/next:2")
    assert {row["timeoutSeconds"] for row in cluster.get(release.webhook)["webhooks"]} == {3}
    assert kept() == before
    assert injected(cluster.pod(place, pod("after")).body)
    cluster.helm("rollback", release.name, "--namespace", release.name)
    assert {row["timeoutSeconds"] for row in cluster.get(release.webhook)["webhooks"]} == {5}
    assert kept() == before
    (still,) = [row for row in cluster.pods(place) if row["metadata"]["name"] == "before"]
    assert still["spec"] == created["spec"]


def test_nothing_of_a_release_is_left_and_pods_start_without_it(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
):
    place = cluster.namespace("leaving-work")
    values = "injector: {replicas: 1}"
    leaving = Release(cluster, "leaving", values, tmp_path_factory.mktemp("leaving"))
    mine = ("get", KINDS, "--all-namespaces", "-l", "app.kubernetes.io/instance=leaving", "-o", "name")
    with leaving.replicas(1):
        assert all(leaving.bundles())
        assert len(cluster.kubectl(*mine).out.split()) > 10
        cluster.helm("uninstall", "leaving", "--namespace", "leaving")
        until(lambda: cluster.kubectl(*mine).out == "", "all objects are gone")
        assert cluster.pod(place, pod("free")).status == 201
    assert cluster.call("GET", leaving.secret).status == 404
