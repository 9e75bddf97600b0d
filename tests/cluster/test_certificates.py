"""The webhook's own certificates, under an API server that checks them."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from typing import Self

import pytest
import yaml
from cryptography import x509

from tests.cluster.injectors import Injector, Release
from tests.cluster.pods import injected, pod
from tests.cluster.servers import Cluster, address, until

pytestmark = pytest.mark.process
HURRIED = (sys.executable, "-m", "tests.cluster.hurried")


def _served(release: Release, replica: Injector, bundle: str) -> bytes:
    """The leaf, checked as the API server does."""
    tls = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    name = f"{release.injector}.{release.name}.svc"
    with (
        socket.create_connection((address(), replica.port), timeout=30) as plain,
        tls.wrap_socket(plain, server_hostname=name) as secure,
    ):
        leaf = secure.getpeercert(binary_form=True)
    assert leaf is not None
    return leaf


def test_two_replicas_that_start_together_share_one_authority(release: Release, cluster: Cluster):
    secret = cluster.get(release.secret)
    assert set(secret["data"]) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}
    assert release.bundles() == [secret["data"]["ca.crt"]] * 2
    kept = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
    for one in release.running:
        served = _served(release, one, release.bundles()[0])
        assert x509.load_der_x509_certificate(served) == kept
    said = sorted(re.findall(r"certificates: (\w+)", "".join(one.said() for one in release.running)))
    assert said[0] == "made"
    assert said.count("made") == 1


def test_no_other_manager_owns_the_bundle(release: Release, cluster: Cluster):
    rows = cluster.get(release.webhook)["metadata"]["managedFields"]
    assert {row["manager"] for row in rows if "f:caBundle" in str(row["fieldsV1"])} == {
        "llm-sidecar-injector"
    }


@pytest.mark.parametrize(
    "how", [("--server-side", "--field-manager=gitops", "--force-conflicts"), ()], ids=["server", "client"]
)
def test_applying_the_chart_leaves_the_bundle(how: tuple[str, ...], release: Release, cluster: Cluster):
    """Forced, because a first sync takes over what Helm wrote; a change, so that something is written."""
    before = release.bundles()
    text = cluster.helm("get", "manifest", release.name, "--namespace", release.name).out
    (webhook,) = [
        one for one in yaml.safe_load_all(text) if one and one["kind"] == "MutatingWebhookConfiguration"
    ]
    for seconds in (4, 5):
        for row in webhook["webhooks"]:
            row["timeoutSeconds"] = seconds
        said = cluster.kubectl("apply", *how, "-f", "-", given=yaml.safe_dump(webhook))
        assert said.status == 0, said.err
        assert {row["timeoutSeconds"] for row in cluster.get(release.webhook)["webhooks"]} == {seconds}
        assert release.bundles() == before
    assert all(before)


@pytest.fixture(scope="module")
def hurried(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    values = (
        "injector: {failurePolicy: Fail, failMode: closed, namespaceSelector: "
        "{matchLabels: {kubernetes.io/metadata.name: hurried}}}"
    )
    made = Release(cluster, "hurried", values, tmp_path_factory.mktemp("hurried"))
    with made.replicas(2, HURRIED):
        yield made


class Load:
    """Labelled pods, created and not kept, as fast as two clients can; each must be mutated."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.done, self.lost = 0, list[str]()
        self._cluster, self._namespace = cluster, namespace
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._create, args=(number,)) for number in range(2)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _create(self, number: int) -> None:
        asked = pod(f"load-{number}", inject="true")
        while not self._stop.wait(0.01):
            answer = self._cluster.pod(self._namespace, asked, dry=True)
            if answer.status == 201 and injected(answer.body):
                self.done += 1
            else:
                self.lost.append(str(answer.body))


def test_an_authority_comes_and_one_goes_under_load_and_no_review_is_lost(hurried: Release, cluster: Cluster):
    (first,) = set(hurried.bundles())
    beside, leaves = 0, set[bytes]()
    with Load(cluster, "hurried") as load:

        def gone() -> bool:
            nonlocal beside
            (bundle,) = set(hurried.bundles())  # read first: what is served from then on must be trusted
            leaves.update(_served(hurried, one, bundle) for one in hurried.running)
            trusted = x509.load_pem_x509_certificates(base64.b64decode(bundle))
            beside += len(trusted) == 2
            return x509.load_pem_x509_certificate(base64.b64decode(first)) not in trusted

        until(gone, "the first authority is trusted no more")
    assert load.lost == []
    assert load.done > 50
    assert beside
    assert len(leaves) >= 3


def test_a_bundle_that_a_tool_took_out_comes_back(hurried: Release, cluster: Cluster):
    gone = [{"op": "remove", "path": f"/webhooks/{n}/clientConfig/caBundle"} for n in range(2)]
    answer = cluster.call("PATCH", hurried.webhook, gone, "application/json-patch+json")
    assert answer.status == 200, answer.body
    until(lambda: all(hurried.bundles()), "the bundle is back")
    assert injected(cluster.pod("hurried", pod("after", inject="true")).body)
