"""What the API server does with our webhook: whom it asks, what it makes of the answer."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.cluster.injectors import Release
from tests.cluster.neighbour import neighbour
from tests.cluster.pods import OURS, env, every, injected, one, pod
from tests.cluster.servers import Cluster, until

pytestmark = pytest.mark.process
TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.mark.usefixtures("release")
def test_a_pod_of_a_labelled_namespace_gets_its_sidecar_first_and_its_variables(cluster: Cluster, place: str):
    asked = pod("web")
    asked["spec"]["initContainers"] = [{**asked["spec"]["containers"][0], "name": "warm-up"}]
    answer = cluster.pod(place, asked)
    assert (answer.status, answer.warnings) == (201, ())
    made = answer.body
    assert [row["name"] for row in every(made)] == [OURS, "warm-up", "app"]
    assert made["spec"]["initContainers"][0]["restartPolicy"] == "Always"
    for name in ("warm-up", "app"):
        assert env(one(made, name))["OPENAI_BASE_URL"] == "http://127.0.0.1:4000/openai/v1"
    assert {row["name"] for row in made["spec"]["volumes"]} >= {"llm-sidecar-tmp", "llm-sidecar-state"}
    assert made["metadata"]["labels"]["llm-sidecar.dev/injected"] == "true"
    status = json.loads(made["metadata"]["annotations"]["llm-sidecar.dev/status"])
    assert (status["profile"], status["native"]) == ("default", True)


@pytest.mark.usefixtures("release")
def test_a_label_asks_and_declines(cluster: Cluster, place: str):
    plain = cluster.namespace("no-label")
    assert injected(cluster.pod(plain, pod("asks", inject="true")).body)
    assert not injected(cluster.pod(plain, pod("silent")).body)
    assert not injected(cluster.pod(place, pod("declines", inject="false")).body)
    assert injected(cluster.pod(place, pod("asks-too", inject="true")).body)


@pytest.mark.usefixtures("release")
def test_what_is_passed_over_was_never_sent(cluster: Cluster, place: str, release: Release):
    before = _reviews(release)
    assert not injected(cluster.pod("kube-system", pod("asks-in-vain", inject="true")).body)
    host = pod("host")
    host["spec"]["hostNetwork"] = True
    assert not injected(cluster.pod(place, host).body)
    assert _reviews(release) == before
    insists = pod("insists", host_network="true")
    insists["spec"]["hostNetwork"] = True
    assert injected(cluster.pod(place, insists).body)
    assert _reviews(release) > before


def _reviews(release: Release) -> float:
    lines = "\n".join(one.page("/metrics") for one in release.running).splitlines()
    words = "llm_sidecar_injector_reviews_total"
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(words))


@pytest.mark.usefixtures("release")
def test_a_server_side_dry_run_shows_the_pod_and_keeps_nothing(cluster: Cluster, place: str):
    said = cluster.kubectl(
        "--namespace", place, "create", "--dry-run=server", "-o", "yaml", "-f", "-",
        given=yaml.safe_dump(pod("tried", log_level="loud")),
    )  # fmt: skip
    assert said.status == 0, said.err
    assert injected(yaml.safe_load(said.out))
    assert said.err.startswith("Warning: llm-sidecar.dev/log-level: ")
    assert cluster.pods(place) == []


@pytest.mark.usefixtures("release")
def test_pod_security_restricted_takes_the_pod_and_sees_our_container(cluster: Cluster):
    restricted = {"pod-security.kubernetes.io/enforce": "restricted", "llm-sidecar.dev/injection": "enabled"}
    place = cluster.namespace("restricted", restricted)
    for asked in (pod("plain"), pod("proxied", capture="proxy"), pod("old", native="false")):
        answer = cluster.pod(place, asked)
        assert (answer.status, answer.warnings) == (201, ()), answer.body
        assert injected(answer.body)
    refused = cluster.pod(place, pod("loose", profile="loose"))
    assert refused.status == 403
    assert f'container "{OURS}" must set securityContext.' in refused.body["message"]


@pytest.mark.usefixtures("release")
def test_the_token_is_the_applications_alone(cluster: Cluster, place: str):
    made = cluster.pod(place, pod("web", capture="proxy")).body

    def mounts(name: str) -> list[str]:
        return [row["name"] for row in one(made, name)["volumeMounts"] if row["mountPath"] == TOKENS]

    (tokens,) = mounts("app")
    (volume,) = [row for row in made["spec"]["volumes"] if row["name"] == tokens]
    assert "projected" in volume
    assert mounts(OURS) == ["llm-sidecar-no-token"]


@pytest.mark.usefixtures("release")
def test_a_container_of_a_later_webhook_gets_its_variables(cluster: Cluster, place: str):
    with neighbour(cluster, place) as reviews:
        made = cluster.pod(place, pod("web")).body
    assert reviews
    assert {"late", OURS, "app"} == {row["name"] for row in every(made)}
    assert env(one(made, "late"))["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:4000/anthropic"
    assert [row["name"] for row in one(made, "app")["env"]].count("OPENAI_BASE_URL") == 1


@pytest.mark.usefixtures("release")
def test_what_a_pod_sets_is_kept_or_becomes_the_upstream(cluster: Cluster, place: str):
    asked = pod("kept")
    asked["spec"]["containers"][0]["env"] = [{"name": "OPENAI_BASE_URL", "value": "https://gw.example/v1"}]
    answer = cluster.pod(place, asked)
    assert env(one(answer.body, "app"))["OPENAI_BASE_URL"] == "https://gw.example/v1"
    assert answer.warnings == (
        "llm-sidecar: app sets OPENAI_BASE_URL, left alone: override-env would replace it",
    )
    asked["metadata"] = pod("replaced", override_env="true")["metadata"]
    made = cluster.pod(place, asked).body
    assert env(one(made, "app"))["OPENAI_BASE_URL"] == "http://127.0.0.1:4000/openai/v1"
    assert env(one(made, OURS))["LLM_SIDECAR_UPSTREAM_OPENAI"] == "https://gw.example/v1"


def test_a_webhook_that_is_away_costs_the_sidecar_or_the_pod(
    cluster: Cluster, release: Release, tmp_path_factory: pytest.TempPathFactory
):
    place = cluster.namespace("away-work", {"llm-sidecar.dev/injection": "enabled"})
    values = (
        "injector: {excludedNamespaces: [kube-system], namespaceSelector: "
        "{matchLabels: {kubernetes.io/metadata.name: away-work}}}"
    )
    away = Release(cluster, "away", values, tmp_path_factory.mktemp("away"))
    away.endpoints([1])  # nobody listens there
    answer = cluster.pod(place, pod("alone"))
    assert answer.status == 201
    assert not injected(answer.body)

    with release.another() as injector:  # it counts when it starts
        line = 'llm_sidecar_injector_pods_not_injected{namespace="away-work"} 1.0'
        until(lambda: line in injector.page("/metrics"), "the pod is counted")

    away.upgrade("--set", "injector.failurePolicy=Fail")
    refused = cluster.pod(place, pod("waits"))
    assert refused.status == 500
    assert "namespace.inject.llm-sidecar" in refused.body["message"]
    assert cluster.pod(place, pod("unasked", inject="false")).status == 201
    cluster.helm("uninstall", "away", "--namespace", "away")
    assert cluster.pod(place, pod("free")).status == 201
