"""Everything that the charts render, before an API server that knows every field."""

from __future__ import annotations

import copy

import pytest
import yaml

from tests.cluster.injectors import Release
from tests.cluster.pods import OURS, every
from tests.cluster.servers import Cluster, until
from tests.helm.cases import CASES, EMBED, OLD, Case, rendered

pytestmark = pytest.mark.process
NAMESPACE = "llm-system"  # where the cases are rendered to
FOREIGN = ("monitoring.coreos.com/", "cert-manager.io/")  # kinds that other products bring


@pytest.fixture(scope="module")
def restricted(cluster: Cluster) -> str:
    modes = ("enforce", "warn")
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}
    return cluster.namespace(NAMESPACE, labels)


@pytest.mark.parametrize("case", [case for case in CASES if case.kube != OLD], ids=str)
def test_every_render_is_taken_without_a_warning(case: Case, cluster: Cluster, restricted: str):
    """Unknown fields are errors here, and a template that is not `restricted` is warned of."""
    ours = copy.deepcopy([one for one in rendered(case) if not one["apiVersion"].startswith(FOREIGN)])
    for one in ours:
        place = one["metadata"].setdefault("namespace", restricted)
        if place != restricted and cluster.call("GET", f"/api/v1/namespaces/{place}").status == 404:
            cluster.namespace(place)
    said = cluster.kubectl(
        "create", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-",
        given=yaml.safe_dump_all(ours),
    )  # fmt: skip
    assert (said.status, said.err) == (0, "")
    assert len(said.out.split()) == len(ours)


@pytest.mark.parametrize(
    ("verb", "what", "answer"),
    [
        ("get", "secret/llm-sidecar-injector-certs", "yes"),
        ("update", "secret/llm-sidecar-injector-certs", "yes"),
        ("get", "secret/another", "no"),
        ("create", "secrets", "no"),
        ("patch", "mutatingwebhookconfiguration/llm-sidecar-injector.llm-sidecar", "yes"),
        ("patch", "mutatingwebhookconfiguration/another", "no"),
        ("delete", "mutatingwebhookconfiguration/llm-sidecar-injector.llm-sidecar", "no"),
        ("list", "pods", "yes"),
        ("create", "pods", "no"),
    ],
)
def test_what_the_injector_may_do(verb: str, what: str, answer: str, cluster: Cluster, release: Release):
    who = f"system:serviceaccount:{release.name}:{release.injector}"
    said = cluster.kubectl("auth", "can-i", verb, what, "--namespace", release.name, "--as", who)
    assert said.out.split()[0] == answer


@pytest.mark.usefixtures("release")
def test_a_pod_that_holds_the_librarys_container_is_left_as_it_is(cluster: Cluster, place: str):
    cluster.helm("install", "shop", str(EMBED), "--namespace", place)
    (pod,) = until(lambda: cluster.pods(place), "a pod of the example chart")
    assert [row["name"] for row in every(pod)] == [OURS, "shop"]
    assert "llm-sidecar.dev/status" not in pod["metadata"].get("annotations", {})
