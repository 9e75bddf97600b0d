"""What holds for every object of every case: rights, hardening, names."""

from __future__ import annotations

import re
from typing import Any

from tests.helm.cases import APPLICATION, CASES, Case, containers, each, named, of, pods, rendered
from tests.helm.golden import CLUSTER_WIDE

READ_ONLY = {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["list"]}


@each
def test_every_container_is_hardened(case: Case):
    for spec in pods(case):
        for one in containers(spec):
            security = one["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["readOnlyRootFilesystem"] is True
            assert security["runAsNonRoot"] is True
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            assert security.get("runAsUser", 1) != 0
            assert "privileged" not in security
            resources = one["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys()
            assert "memory" in resources["limits"]
            assert one.get("terminationMessagePolicy") == "FallbackToLogsOnError" or one["name"] == "shop"


@each
def test_pods_share_nothing_of_their_node(case: Case):
    for spec in pods(case):
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        assert all(volume.keys() & {"emptyDir", "configMap", "secret"} for volume in spec.get("volumes", []))
        assert all(
            "sizeLimit" in volume["emptyDir"] for volume in spec.get("volumes", []) if "emptyDir" in volume
        )


@each
def test_only_the_injector_has_a_token(case: Case):
    for spec in pods(case):
        names = {one["name"] for one in containers(spec)}
        assert spec["automountServiceAccountToken"] is (
            names == {"injector"} and case.name != "provided-certs"
        )
    for account in of(case, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


@each
def test_every_image_says_which_one_it_is(case: Case):
    for spec in pods(case):
        for one in containers(spec):
            assert re.search(r"(:[0-9][\w.-]*|@sha256:[0-9a-f]{64})$", one["image"]), one["image"]


@each
def test_every_variable_is_a_text(case: Case):
    for spec in pods(case):
        for one in containers(spec):
            for row in one.get("env", []):
                assert isinstance(row.get("value", ""), str), row
            names = [row["name"] for row in one.get("env", [])]
            assert len(names) == len(set(names))


@each
def test_whoever_may_change_something_may_change_only_that(case: Case):
    for role in [*of(case, "Role"), *of(case, "ClusterRole")]:
        for rule in role["rules"]:
            assert "*" not in str(rule)
            assert rule == READ_ONLY or rule["resourceNames"], rule
            assert "create" not in rule["verbs"]
    if case.name == "provided-certs":
        assert not of(case, "Role")
        assert not of(case, "ClusterRole")


@each
def test_rights_are_for_the_objects_that_the_chart_makes(case: Case):
    made = {(one["kind"], one["metadata"]["name"]) for one in rendered(case)}
    for role in [*of(case, "Role"), *of(case, "ClusterRole")]:
        for rule in role["rules"]:
            kind = {"secrets": "Secret", "mutatingwebhookconfigurations": "MutatingWebhookConfiguration"}.get(
                rule["resources"][0], ""
            )
            assert all((kind, name) in made for name in rule.get("resourceNames", []))
    for binding in [*of(case, "RoleBinding"), *of(case, "ClusterRoleBinding")]:
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in made
        for subject in binding["subjects"]:
            assert (subject["kind"], subject["name"]) in made


@each
def test_names_of_the_cluster_hold_release_and_namespace(case: Case):
    for one in rendered(case):
        metadata = one["metadata"]
        if one["kind"] in CLUSTER_WIDE:
            assert "llm-" in metadata["name"]
            assert metadata["name"].endswith(".llm-system")
            assert "namespace" not in metadata
        elif metadata["name"] != "extra":
            assert metadata["name"].startswith("llm")
            assert metadata["namespace"] in {"llm-system", "monitoring"}


@each
def test_no_two_objects_are_the_same(case: Case):
    names = [
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in rendered(case)
    ]
    assert len(names) == len(set(names))


@each
def test_objects_say_what_they_belong_to(case: Case):
    if case.chart != APPLICATION:
        return
    for one in rendered(case):
        labels = one["metadata"].get("labels", {})
        if one["metadata"]["name"] not in {"extra", "llm-extra"}:
            assert labels["app.kubernetes.io/name"] == "llm-sidecar"
            assert labels["app.kubernetes.io/instance"] == "llm"
            assert labels["app.kubernetes.io/component"] in {"injector", "monitoring", "test"}


@each
def test_what_is_selected_is_there(case: Case):
    for deployment in of(case, "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    labelled = [one["spec"]["template"] for one in of(case, "Deployment")]
    for service in of(case, "Service"):
        (template,) = [
            one
            for one in labelled
            if service["spec"]["selector"].items() <= one["metadata"]["labels"].items()
        ]
        ports = {row["name"] for one in containers(template["spec"]) for row in one["ports"]}
        assert {row["targetPort"] for row in service["spec"]["ports"]} <= ports
        for monitor in of(case, "ServiceMonitor"):
            wanted = monitor["spec"]["selector"]["matchLabels"].items()
            assert wanted <= service["metadata"]["labels"].items()
            assert {row["port"] for row in monitor["spec"]["endpoints"]} <= {
                row["name"] for row in service["spec"]["ports"]
            }


@each
def test_mounts_and_volumes_agree(case: Case):
    for spec in pods(case):
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        mounted = {mount["name"] for one in containers(spec) for mount in one.get("volumeMounts", [])}
        assert volumes == mounted


# ---- the webhook -----------------------------------------------------------------------------


def hooks(case: Case) -> dict[str, dict[str, Any]]:
    (configuration,) = of(case, "MutatingWebhookConfiguration")
    return {row["name"]: row for row in configuration["webhooks"]}


def test_the_webhook_reaches_the_injector_and_never_waits_for_it_to_inject_itself():
    for case in CASES:
        if not of(case, "MutatingWebhookConfiguration"):
            continue
        (service,) = of(case, "Service")
        (deployment,) = of(case, "Deployment")
        assert len(hooks(case)) == 2
        for row in hooks(case).values():
            told = row["clientConfig"]["service"]
            assert told["name"] == service["metadata"]["name"]
            assert told["namespace"] == service["metadata"]["namespace"]
            assert told["path"] == "/inject"
            assert told["port"] in {port["port"] for port in service["spec"]["ports"]}
            assert row["sideEffects"] == "None"
            (rule,) = row["rules"]
            assert (rule["resources"], rule["operations"]) == (["pods"], ["CREATE"])
        assert deployment["spec"]["template"]["metadata"]["labels"]["llm-sidecar.dev/inject"] == "false"


def test_a_pod_is_asked_about_once():
    """By its own label, or by its namespace's; a labelled pod is no business of the second entry."""
    found = hooks(named("default"))
    by_pod, by_namespace = found["pod.inject.llm-sidecar"], found["namespace.inject.llm-sidecar"]
    assert by_pod["objectSelector"] == {"matchLabels": {"llm-sidecar.dev/inject": "true"}}
    assert by_namespace["namespaceSelector"]["matchLabels"] == {"llm-sidecar.dev/injection": "enabled"}
    assert by_namespace["objectSelector"]["matchExpressions"] == [
        {"key": "llm-sidecar.dev/inject", "operator": "NotIn", "values": ["true", "false"]}
    ]
    for row, more in ((by_pod, []), (by_namespace, ["llm-system"])):
        (expression,) = row["namespaceSelector"]["matchExpressions"]
        assert expression["values"] == ["kube-system", "kube-node-lease", *more]
        assert [one["name"] for one in row["matchConditions"]] == ["host-network-only-if-asked"]


def test_old_clusters_get_no_conditions_that_they_do_not_know():
    assert all("matchConditions" not in row for row in hooks(named("plain")).values())


def test_the_test_pod_is_one_that_would_be_injected():
    (pod,) = of(named("default"), "Pod")
    assert pod["metadata"]["labels"]["llm-sidecar.dev/inject"] == "true"
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert not of(named("plain"), "Pod")


def test_a_ca_stands_in_the_webhook_only_where_it_was_given():
    given = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="
    for name, expected in (("default", None), ("cert-manager", None), ("provided-certs", given)):
        assert {row["clientConfig"].get("caBundle") for row in hooks(named(name)).values()} == {expected}
    (configuration,) = of(named("cert-manager"), "MutatingWebhookConfiguration")
    (leaf,) = [one for one in of(named("cert-manager"), "Certificate") if "dnsNames" in one["spec"]]
    told = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
    assert told == f"{leaf['metadata']['namespace']}/{leaf['metadata']['name']}"
    service = configuration["webhooks"][0]["clientConfig"]["service"]
    assert f"{service['name']}.{service['namespace']}.svc" in leaf["spec"]["dnsNames"]


def test_on_openshift_users_are_the_platforms():
    for case in (named("openshift"), named("default@openshift")):
        for spec in pods(case):
            for one in containers(spec):
                assert not one["securityContext"].keys() & {"runAsUser", "runAsGroup"}
        (profiles,) = [one for one in of(case, "ConfigMap") if one["metadata"]["name"].endswith("-profiles")]
        assert "runAsUser" not in profiles["data"]["default.yaml"]
