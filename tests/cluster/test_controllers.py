"""Pods of Deployments and Jobs, made by the real controllers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.cluster.pods import OURS, env, injected, one
from tests.cluster.servers import Cluster, until
from tests.docs.pages import ROOT, blocks

pytestmark = pytest.mark.process


@pytest.mark.usefixtures("release")
def test_a_deployment_gets_sidecars_with_its_next_rollout(cluster: Cluster):
    place = cluster.namespace("shop")
    here = ("--namespace", place)
    made = cluster.kubectl(*here, "create", "deployment", "web", "--image=registry.example.com/web:1")
    assert made.status == 0, made.err
    (first,) = until(lambda: cluster.pods(place), "a pod of the Deployment")
    assert not injected(first)

    for words in (
        ("label", "namespace", place, "llm-sidecar.dev/injection=enabled"),
        (*here, "rollout", "restart", "deployment"),
    ):
        assert cluster.kubectl(*words).status == 0
    (second,) = until(lambda: cluster.pods(place, "llm-sidecar.dev/injected=true"), "one with a sidecar")
    assert injected(second)
    assert "k8s.deployment.name=web" in env(one(second, OURS))["OTEL_RESOURCE_ATTRIBUTES"]
    assert second["metadata"]["namespace"] == place

    label = '{"spec":{"template":{"metadata":{"labels":{"llm-sidecar.dev/inject":"false"}}}}}'
    said = cluster.kubectl(*here, "patch", "deployment", "web", "--type", "merge", "-p", label)
    assert said.status == 0, said.err
    (third,) = until(lambda: cluster.pods(place, "llm-sidecar.dev/inject=false"), "one that declines")
    assert not injected(third)


@pytest.mark.usefixtures("release")
def test_what_is_wrong_with_a_template_stands_in_its_pods(cluster: Cluster, place: str):
    """No controller passes warnings on, neither as events nor in conditions."""
    here = ("--namespace", place)
    assert cluster.kubectl(*here, "create", "deployment", "web", "--image=example.com/web:1").status == 0
    wrong = '{"spec":{"template":{"metadata":{"annotations":{"llm-sidecar.dev/log-level":"loud"}}}}}'
    said = cluster.kubectl(*here, "patch", "deployment", "web", "--type", "merge", "-p", wrong)
    assert (said.status, said.err) == (0, "")

    def warnings() -> list[str]:
        rows = (row["metadata"]["annotations"]["llm-sidecar.dev/status"] for row in cluster.pods(place))
        return [text for row in rows for text in json.loads(row).get("warnings", [])]

    (text,) = until(warnings, "a pod of the new template")
    assert text.startswith("llm-sidecar.dev/log-level: expected ")


@pytest.mark.usefixtures("release")
def test_the_job_of_the_page_completes_although_its_sidecar_restarts_always(cluster: Cluster):
    place = cluster.namespace("nightly")
    page = (ROOT / "docs" / "kubernetes" / "jobs.md").read_text()
    (job,) = [block for block in blocks(page, "yaml") if block.startswith("# fragment: a Job")]
    said = cluster.kubectl("--namespace", place, "apply", "-f", "-", given=job)
    assert said.status == 0, said.err
    (pod,) = until(lambda: cluster.pods(place), "a pod of the Job")
    assert injected(pod)
    assert pod["spec"]["restartPolicy"] == "Never"
    assert one(pod, OURS)["restartPolicy"] == "Always"
    variables = env(one(pod, OURS))
    assert variables["LLM_SIDECAR_DRAIN_SECONDS"] == "25"  # the profile `batch`
    name = yaml.safe_load(job)["metadata"]["name"]
    assert f"k8s.job.name={name}" in variables["OTEL_RESOURCE_ATTRIBUTES"]

    # what the kubelet says when the last main container has exited
    path = f"/api/v1/namespaces/{place}/pods/{pod['metadata']['name']}/status"
    cluster.merge(path, {"status": {"phase": "Succeeded"}})

    def complete() -> list[Any]:
        status = cluster.get(f"/apis/batch/v1/namespaces/{place}/jobs/{name}")["status"]
        return [row for row in status.get("conditions", []) if row["type"] == "Complete"]

    (condition,) = until(complete, "the Job is complete")
    assert condition["status"] == "True"
