"""Injection, example by example: what is added where, and what is left alone."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from sidecar.injector.annotations import LONGEST
from sidecar.injector.patch import Malformed, Outcome, inject
from tests.injector.pods import PROFILES, container, env, injection, of, pod, values

HERE = "http://127.0.0.1:4000"
DEFAULTS = {
    "OPENAI_BASE_URL": f"{HERE}/openai/v1",
    "OPENAI_API_BASE": f"{HERE}/openai/v1",
    "ANTHROPIC_BASE_URL": f"{HERE}/anthropic",
    "ANTHROPIC_API_URL": f"{HERE}/anthropic",
    "ANTHROPIC_API_BASE": f"{HERE}/anthropic",
    "GOOGLE_GEMINI_BASE_URL": f"{HERE}/gemini",
    "GEMINI_API_BASE": f"{HERE}/gemini/v1beta",
    "GROQ_BASE_URL": f"{HERE}/groq",
    "CO_API_URL": f"{HERE}/cohere",
}
GATEWAY = "https://gateway.example/v1"


# ---- where it stands -------------------------------------------------------------------------


def test_the_sidecar_is_the_first_init_container_and_those_after_it_may_call_models():
    made, after = injection(pod(container(), initContainers=[container("migrate"), container("seed")]))

    assert made.outcome is Outcome.INJECTED
    assert made.warnings == ()
    assert [one["name"] for one in after["spec"]["initContainers"]] == ["llm-sidecar", "migrate", "seed"]
    for name in ("app", "migrate", "seed"):
        assert values(after, name) == DEFAULTS
    assert after["metadata"]["labels"] == {"llm-sidecar.dev/injected": "true"}
    assert not DEFAULTS.keys() & values(after, "llm-sidecar").keys()


def test_below_1_29_it_is_the_last_container_and_init_containers_are_left_alone():
    made, after = injection(pod(container(), initContainers=[container("migrate")]), native=False)

    assert made.outcome is Outcome.INJECTED
    assert [one["name"] for one in after["spec"]["containers"]] == ["app", "llm-sidecar"]
    assert container("migrate") == of(after, "migrate")
    assert "restartPolicy" not in of(after, "llm-sidecar")
    assert values(after, "llm-sidecar")["LLM_SIDECAR_NATIVE"] == "false"
    assert values(after) == DEFAULTS


def test_an_annotation_asks_for_a_plain_container():
    _, after = injection(pod(annotations={"native": "false"}))

    assert [one["name"] for one in after["spec"]["containers"]] == ["app", "llm-sidecar"]


def test_a_cluster_without_native_sidecars_gets_none_whatever_is_asked():
    made, after = injection(pod(annotations={"native": "true"}), native=False)

    assert "initContainers" not in after["spec"]
    assert made.warnings == (
        "llm-sidecar.dev/native: this cluster has no native sidecars (1.29); a plain container is used",
    )


def test_a_plain_sidecar_would_keep_a_job_from_ending_and_is_left_out():
    job = pod(owner=("Job", "report-1"), restartPolicy="Never")
    made, after = injection(job, native=False)
    assert (Outcome.SKIPPED, job) == (made.outcome, after)
    assert made.warnings == (
        "llm-sidecar: not injected: without native sidecars (1.29) this pod would never complete",
    )

    made, after = injection(pod(annotations={"native": "false"}, restartPolicy="Never"), native=False)
    assert made.outcome is Outcome.INJECTED
    assert "keeps this pod from completing" in made.warnings[0]


# ---- what is left alone ----------------------------------------------------------------------


def test_a_variable_of_the_pods_own_keeps_all_of_its_provider_as_it_is():
    given = pod(container(env=env(OPENAI_BASE_URL=GATEWAY, MODE="fast")))
    made, after = injection(given)

    got = values(after)
    assert got["OPENAI_BASE_URL"] == GATEWAY
    assert "OPENAI_API_BASE" not in got  # some clients read it first: it would win over theirs
    assert got["ANTHROPIC_BASE_URL"] == f"{HERE}/anthropic"
    assert given["spec"]["containers"][0]["env"] == of(after, "app")["env"][:2]
    assert made.warnings == (
        "llm-sidecar: app sets OPENAI_BASE_URL, left alone: override-env would replace it",
    )
    assert "LLM_SIDECAR_UPSTREAM_OPENAI" not in values(after, "llm-sidecar")


def test_azure_is_never_set_where_it_was_not():
    made, after = injection(pod(container(env=env(AZURE_OPENAI_ENDPOINT="https://me.openai.azure.com/"))))
    assert values(after)["AZURE_OPENAI_ENDPOINT"] == "https://me.openai.azure.com/"
    assert made.warnings == ()
    _, after = injection(pod())
    assert "AZURE_OPENAI_ENDPOINT" not in values(after)


def test_env_from_stays_and_ours_stand_beside_it():
    source = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}]
    _, after = injection(pod(container(envFrom=source)))

    assert of(after, "app")["envFrom"] == source
    assert values(after) == DEFAULTS


@pytest.mark.parametrize(
    ("annotations", "led"),
    [
        ({"containers": "app"}, {"app"}),
        ({"exclude-containers": "app"}, {"worker"}),
        ({"containers": "app,worker", "exclude-containers": "worker"}, {"app"}),
        ({"containers": "istio-proxy"}, {"istio-proxy"}),
        ({}, {"app", "worker"}),
    ],
)
def test_containers_are_chosen_and_neighbours_are_not(annotations: dict[str, str], led: set[str]):
    given = pod(container(), container("worker"), container("istio-proxy"), annotations=annotations)
    made, after = injection(given)

    assert led == {one["name"] for one in after["spec"]["containers"] if one.get("env")}
    assert made.warnings == ()


def test_a_container_that_is_not_there_is_named():
    made, _ = injection(pod(annotations={"containers": "app,ap"}))

    assert made.warnings == ('llm-sidecar.dev/containers: the pod has no container "ap"; it is ignored',)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (pod(hostNetwork=True), "hostNetwork shares ports with the node"),
        (pod(os={"name": "windows"}), "Windows"),
        (pod(nodeSelector={"kubernetes.io/os": "windows"}), "Windows"),
        (pod(container("llm-sidecar")), "a container llm-sidecar that is not ours"),
    ],
)
def test_a_pod_that_cannot_have_one_is_left_as_it_is_with_a_warning(given: dict[str, object], word: str):
    made, after = injection(given)

    assert (Outcome.SKIPPED, given) == (made.outcome, after)
    assert len(made.warnings) == 1
    assert word in made.warnings[0]
    assert len(made.warnings[0]) <= LONGEST


def test_a_label_a_static_pod_and_the_clusters_own_namespaces_are_passed_without_a_word():
    mirror = pod()
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    for made, _ in (
        injection(pod(labels={"llm-sidecar.dev/inject": "false"})),
        injection(mirror),
        injection(pod(), namespace="kube-system"),
    ):
        assert (Outcome.SKIPPED, (), ()) == (made.outcome, made.patch, made.warnings)


def test_host_network_works_where_it_is_asked_for():
    made, after = injection(pod(annotations={"host-network": "true"}, hostNetwork=True))

    assert made.outcome is Outcome.INJECTED
    assert values(after) == DEFAULTS


# ---- override-env ----------------------------------------------------------------------------

OVERRIDE = {"override-env": "true"}


def test_a_replaced_value_becomes_the_providers_upstream():
    given = pod(
        container(env=env(OPENAI_BASE_URL=GATEWAY, AZURE_OPENAI_ENDPOINT="https://me.openai.azure.com/")),
        annotations=OVERRIDE,
    )
    made, after = injection(given)

    assert made.warnings == ()
    assert values(after) == DEFAULTS | {"AZURE_OPENAI_ENDPOINT": f"{HERE}/azure"}
    got = values(after, "llm-sidecar")
    assert GATEWAY == got["LLM_SIDECAR_UPSTREAM_OPENAI"]
    assert got["LLM_SIDECAR_UPSTREAM_AZURE"] == "https://me.openai.azure.com"


@pytest.mark.parametrize("source", ["configMapKeyRef", "secretKeyRef"])
def test_a_reference_is_copied_as_a_reference(source: str):
    said = {source: {"name": "gateway", "key": "url"}}
    row = {"name": "OPENAI_BASE_URL", "valueFrom": said}
    _, after = injection(pod(container(env=[row]), annotations=OVERRIDE))

    assert values(after) == DEFAULTS
    assert values(after, "llm-sidecar")["LLM_SIDECAR_UPSTREAM_OPENAI"] == said


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"value": "http://$(GATEWAY_HOST)/v1"}, "it is no plain http(s) URL"),
        ({"value": "gateway:8080"}, "it is no plain http(s) URL"),
        ({"value": "https://user:secret@gateway/v1"}, "it is no plain http(s) URL"),
        ({"value": "https://gateway/../v1"}, "it is no plain http(s) URL"),
        ({"value": "https://gateway:99999/v1"}, "it is no plain http(s) URL"),
        ({"valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}, "the sidecar cannot read its source"),
    ],
)
def test_what_the_sidecar_could_not_use_as_an_upstream_is_left_alone(row: dict[str, object], why: str):
    given = pod(container(env=[{"name": "OPENAI_BASE_URL", **row}]), annotations=OVERRIDE)
    made, after = injection(given)

    assert made.warnings == (f"llm-sidecar: app sets OPENAI_BASE_URL, left alone: {why}",)
    assert "OPENAI_API_BASE" not in values(after)
    assert "LLM_SIDECAR_UPSTREAM_OPENAI" not in values(after, "llm-sidecar")
    assert "secret" not in "".join(made.warnings)


def test_of_two_containers_with_two_gateways_the_first_wins_and_the_other_keeps_its_own():
    given = pod(
        container(env=env(OPENAI_BASE_URL=GATEWAY)),
        container("worker", env=env(OPENAI_BASE_URL="https://other.example/v1")),
        container("cron", env=env(OPENAI_API_BASE=GATEWAY + "/")),
        annotations=OVERRIDE,
    )
    made, after = injection(given)

    assert made.warnings == (
        "llm-sidecar: worker sets OPENAI_BASE_URL, left alone: another container gave openai's",
    )
    assert values(after, "worker")["OPENAI_BASE_URL"] == "https://other.example/v1"
    assert "OPENAI_API_BASE" not in values(after, "worker")
    assert values(after) == DEFAULTS == values(after, "cron")
    assert GATEWAY == values(after, "llm-sidecar")["LLM_SIDECAR_UPSTREAM_OPENAI"]


def test_aliases_that_differ_are_left_alone_and_those_that_agree_are_one():
    both = env(OPENAI_BASE_URL=GATEWAY, OPENAI_API_BASE="https://other.example/v1")
    made, after = injection(pod(container(env=both), annotations=OVERRIDE))
    assert "its aliases say something else" in made.warnings[0]
    assert values(after)["OPENAI_BASE_URL"] == GATEWAY

    same = env(GOOGLE_GEMINI_BASE_URL="https://g.example", GEMINI_API_BASE="https://g.example/v1beta/")
    made, after = injection(pod(container(env=same), annotations=OVERRIDE))
    assert made.warnings == ()
    assert values(after) == DEFAULTS


def test_the_last_of_two_entries_is_the_one_that_counts():
    rows = [*env(OPENAI_BASE_URL="https://early.example"), *env(OPENAI_BASE_URL=GATEWAY)]
    _, after = injection(pod(container(env=rows), annotations=OVERRIDE))

    assert rows[0] == of(after, "app")["env"][0]
    assert values(after) == DEFAULTS
    assert GATEWAY == values(after, "llm-sidecar")["LLM_SIDECAR_UPSTREAM_OPENAI"]


def test_a_value_that_leads_to_the_sidecar_already_is_no_upstream():
    for place in (HERE, "http://localhost:4000", "http://[::1]:4000"):
        given = pod(container(env=env(OPENAI_BASE_URL=f"{place}/openai")), annotations=OVERRIDE)
        made, after = injection(given)
        assert made.warnings == ()
        assert values(after) == DEFAULTS | {"OPENAI_BASE_URL": f"{place}/openai"}
        assert "LLM_SIDECAR_UPSTREAM_OPENAI" not in values(after, "llm-sidecar")


def test_an_empty_value_is_replaced_without_an_upstream():
    _, after = injection(pod(container(env=[{"name": "OPENAI_BASE_URL"}]), annotations=OVERRIDE))

    assert values(after) == DEFAULTS
    assert "LLM_SIDECAR_UPSTREAM_OPENAI" not in values(after, "llm-sidecar")


def test_more_variables_by_annotation():
    wish = {"env": "AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock, MY_LLM=openai/v1"}
    _, after = injection(pod(annotations=wish))

    assert values(after) == DEFAULTS | {
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": f"{HERE}/bedrock",
        "MY_LLM": f"{HERE}/openai/v1",
    }


# ---- ports, grace, owner, status -------------------------------------------------------------


def test_ports_that_the_application_declares_are_avoided():
    ports = [{"containerPort": 4000}, {"containerPort": 4001, "hostPort": 9901}]
    made, after = injection(pod(container(ports=ports)))

    assert [row["containerPort"] for row in of(after, "llm-sidecar")["ports"]] == [4002, 9902]
    got = values(after, "llm-sidecar")
    assert ("4002", "9902") == (got["LLM_SIDECAR_PORT"], got["LLM_SIDECAR_ADMIN_PORT"])
    assert values(after)["OPENAI_BASE_URL"] == "http://127.0.0.1:4002/openai/v1"
    assert made.warnings == (
        "llm-sidecar.dev/port: container app declares 4000; 4002 is used",
        "llm-sidecar.dev/admin-port: container app declares 9901; 9902 is used",
    )


def test_the_last_port_has_a_way_round():
    given = pod(container(ports=[{"containerPort": 65535}]), annotations={"port": "65535"})
    _, after = injection(given)

    assert values(after, "llm-sidecar")["LLM_SIDECAR_PORT"] == "1024"


def test_the_grace_is_raised_where_asked_and_never_lowered():
    for given, asked, expected in ((None, "120", 120), (30, "120", 120), (300, "120", 300), (45, None, 45)):
        spec: dict[str, Any] = {} if given is None else {"terminationGracePeriodSeconds": given}
        _, after = injection(pod(annotations={"raise-grace": asked} if asked else None, **spec))
        assert after["spec"].get("terminationGracePeriodSeconds", 30) == expected
        assert values(after, "llm-sidecar")["LLM_SIDECAR_GRACE_SECONDS"] == str(expected)


def test_a_drain_that_does_not_fit_the_grace_is_said():
    made, _ = injection(pod(annotations={"drain-timeout": "60"}))

    assert made.warnings == (
        "llm-sidecar.dev/drain-timeout: 60 s are more than the pod's grace of 30 s; see raise-grace",
    )


@pytest.mark.parametrize(
    ("owner", "labels", "attribute"),
    [
        (("ReplicaSet", "web-6d4cf56db6"), {"pod-template-hash": "6d4cf56db6"}, ",k8s.deployment.name=web"),
        (("ReplicaSet", "bare"), {}, ",k8s.replicaset.name=bare"),
        (("StatefulSet", "db"), {}, ",k8s.statefulset.name=db"),
        (("DaemonSet", "agent"), {}, ",k8s.daemonset.name=agent"),
        (("Job", "report-1"), {}, ",k8s.job.name=report-1"),
        (("Rollout", "x"), {}, ""),
        (("Job", "a,b=$(X)"), {}, ""),
        (None, {}, ""),
    ],
)
def test_the_owner_is_told_to_telemetry(
    owner: tuple[str, str] | None, labels: dict[str, str], attribute: str
):
    _, after = injection(pod(owner=owner, labels=labels))

    assert values(after, "llm-sidecar")["OTEL_RESOURCE_ATTRIBUTES"].endswith(
        "k8s.node.name=$(NODE_NAME)" + attribute
    )


def test_the_status_has_the_warnings_since_controllers_drop_them():
    made, after = injection(pod(annotations={"log-level": "loud"}))

    assert len(made.warnings) == 1
    status = json.loads(after["metadata"]["annotations"]["llm-sidecar.dev/status"])
    assert status["warnings"] == list(made.warnings)


def test_the_status_is_the_same_for_equal_pods_and_says_what_was_done():
    said = []
    for name in ("a", "b"):
        given = pod(annotations={"profile": "strict"})
        given["metadata"]["generateName"] = name
        _, after = injection(given)
        said.append(after["metadata"]["annotations"]["llm-sidecar.dev/status"])

    assert said[0] == said[1]
    status = json.loads(said[0])
    assert (status["profile"], status["native"], status["port"]) == ("strict", True, 4000)
    assert status["config"].startswith("sha256:")
    assert "OPENAI_BASE_URL" in status["env"]
    assert "drain: 5" not in said[0]


# ---- capture ---------------------------------------------------------------------------------


def test_a_proxy_comes_with_its_trust_in_every_chosen_container():
    made, after = injection(
        pod(container(), initContainers=[container("seed")], annotations={"profile": "proxy"})
    )

    assert made.warnings == ()
    for name in ("app", "seed"):
        got = values(after, name)
        assert DEFAULTS.items() <= got.items()
        assert {"http://127.0.0.1:4001"} == {got["HTTPS_PROXY"], got["https_proxy"]}
        assert "HTTP_PROXY" not in got
        assert got["SSL_CERT_FILE"] == "/etc/llm-sidecar/trust/ca-bundle.pem"
        assert got["NODE_EXTRA_CA_CERTS"] == "/etc/llm-sidecar/trust/ca.pem"
        mount = {"name": "llm-sidecar-trust", "mountPath": "/etc/llm-sidecar/trust", "readOnly": True}
        assert of(after, name)["volumeMounts"] == [mount]
    assert [row["name"] for row in of(after, "llm-sidecar")["ports"]] == [
        "llm-proxy",
        "llm-metrics",
        "llm-capture",
    ]
    medium = {"medium": "Memory", "sizeLimit": "4Mi"}
    assert {"name": "llm-sidecar-trust", "emptyDir": medium} in after["spec"]["volumes"]


def test_a_proxy_of_the_companys_own_stays_and_so_does_its_trust():
    given = pod(
        container(env=env(https_proxy="http://proxy.corp:3128")),
        container("worker", env=env(SSL_CERT_FILE="/corp.pem")),
        annotations={"capture": "proxy", "override-env": "true"},
    )
    made, after = injection(given)

    assert values(after) == DEFAULTS | {"https_proxy": "http://proxy.corp:3128"}
    assert "volumeMounts" not in of(after, "app")
    assert values(after, "worker")["SSL_CERT_FILE"] == "/corp.pem"
    assert made.warnings == (
        "llm-sidecar: app sets https_proxy, left alone: its calls are not captured",
        "llm-sidecar: worker sets SSL_CERT_FILE, left alone: it must trust /etc/llm-sidecar/trust/ca.pem too",
    )


def test_a_plain_container_cannot_have_its_trust_ready_in_time():
    made, after = injection(pod(annotations={"capture": "proxy", "native": "false"}))

    assert values(after) == DEFAULTS
    assert "LLM_SIDECAR_CAPTURE" not in values(after, "llm-sidecar")
    assert "env is used" in made.warnings[0]


def test_none_leaves_all_clients_alone():
    _, after = injection(pod(annotations={"capture": "none"}))

    assert values(after) == {}
    assert of(after, "llm-sidecar")


# ---- again -----------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("profile", ["default", "proxy", "none", "strict"])
def test_containers_that_other_webhooks_add_later_get_what_they_lack_and_nothing_else_changes(
    native: bool, profile: str
):
    wish = {"profile": profile, "override-env": "true"}
    _, first = injection(pod(container(), annotations=wish), native=native)
    later = copy.deepcopy(first)
    later["spec"]["containers"].append(container("late", env=env(OPENAI_BASE_URL=GATEWAY)))
    made, second = injection(later, native=native)

    assert made.outcome is (Outcome.UNCHANGED if profile == "none" else Outcome.COMPLETED)
    if profile != "none":
        assert DEFAULTS.items() <= values(second, "late").items()
        assert GATEWAY == values(second, "llm-sidecar")["LLM_SIDECAR_UPSTREAM_OPENAI"]
    assert of(first, "app") == of(second, "app")
    assert second["metadata"] == first["metadata"]
    made, third = injection(second, native=native)
    assert (Outcome.UNCHANGED, (), second) == (made.outcome, made.patch, third)


def test_an_init_container_that_came_before_the_sidecar_runs_without_it():
    _, first = injection(pod())
    first["spec"]["initContainers"].insert(0, container("early"))
    first["spec"]["initContainers"].append(container("late"))
    _, after = injection(first)

    assert "env" not in of(after, "early")
    assert values(after, "late") == DEFAULTS


def test_a_second_pass_keeps_the_port_that_the_first_one_chose():
    _, first = injection(pod(container(ports=[{"containerPort": 4000}])))
    first["spec"]["containers"].append(container("late"))
    _, after = injection(first)

    assert values(after, "late")["OPENAI_BASE_URL"] == "http://127.0.0.1:4002/openai/v1"


def test_an_embedded_sidecar_is_completed_and_not_doubled():
    ours = container("llm-sidecar", env=env(LLM_SIDECAR_PORT="4100"))
    made, after = injection(pod(container(), initContainers=[ours]))

    assert made.outcome is Outcome.COMPLETED
    assert ours == of(after, "llm-sidecar")
    assert values(after)["OPENAI_BASE_URL"] == "http://127.0.0.1:4100/openai/v1"


def test_volumes_of_a_copied_pod_are_not_doubled():
    _, first = injection(pod())
    first["spec"]["initContainers"] = []
    _, after = injection(first)

    names = [row["name"] for row in after["spec"]["volumes"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "spec: expected a mapping"),
        ({"spec": {"containers": {}}}, "spec.containers: expected a list"),
        ({"spec": {"containers": [{}]}}, "spec.containers[0].name: expected a text"),
        (
            {"spec": {"containers": [{"name": "a", "env": [1]}]}},
            "spec.containers[0].env[0]: expected a mapping",
        ),
        ({"metadata": {"labels": {"a": 1}}, "spec": {}}, "metadata.labels.a: expected a text"),
        ({"spec": {"terminationGracePeriodSeconds": "x"}}, "expected a whole number"),
    ],
)
def test_what_is_no_pod_is_refused(given: dict[str, object], said: str):
    with pytest.raises(Malformed) as caught:
        inject(given, namespace="shop", profiles=PROFILES, cluster_native=True)

    assert said in str(caught.value)


# ---- a proxy of the pod's own --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "upper", "lower"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "http://p:3128"}, None, None),
        ({"HTTP_PROXY": ""}, None, None),
        ({"HTTP_PROXY": "http://p:3128"}, "127.0.0.1,localhost", "127.0.0.1,localhost"),
        ({"http_proxy": "http://p:3128"}, "127.0.0.1,localhost", "127.0.0.1,localhost"),
        ({"ALL_PROXY": "http://p:3128", "NO_PROXY": ""}, "127.0.0.1,localhost", "127.0.0.1,localhost"),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": ".corp"}, *[".corp,127.0.0.1,localhost"] * 2),
        ({"HTTP_PROXY": "http://p", "no_proxy": ".corp"}, *[".corp,127.0.0.1,localhost"] * 2),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "a, 127.0.0.1"}, *["a, 127.0.0.1"] * 2),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "*", "no_proxy": "b"}, "*", "b,127.0.0.1,localhost"),
    ],
)
def test_calls_to_the_sidecar_go_past_a_proxy_of_the_pods_own(
    own: dict[str, str], upper: str | None, lower: str | None
):
    made, after = injection(pod(container(env=env(**own))))
    got = values(after)

    assert (upper, lower) == (got.get("NO_PROXY"), got.get("no_proxy"))
    assert all(got[name] == value for name, value in own.items() if "no_proxy" not in name.lower())
    assert made.warnings == ()
    assert () == injection(after)[0].patch


def test_a_list_of_places_past_the_proxy_that_cannot_be_read_is_left_alone_and_said():
    source = {"configMapKeyRef": {"name": "proxy", "key": "no"}}
    rows = [*env(HTTP_PROXY="http://p:3128"), {"name": "NO_PROXY", "valueFrom": source}]
    made, after = injection(pod(container(env=rows)))

    assert source == values(after)["NO_PROXY"]
    assert "no_proxy" not in values(after)
    assert made.warnings == ("llm-sidecar: app sets NO_PROXY, left alone: it must name 127.0.0.1",)


def test_a_container_that_does_not_lead_to_the_sidecar_keeps_its_proxy_as_it_is():
    _, after = injection(pod(container(env=env(HTTP_PROXY="http://p:3128")), annotations={"capture": "none"}))

    assert {"HTTP_PROXY": "http://p:3128"} == values(after)


def test_a_grace_that_is_no_length_of_time_stops_no_sidecar():
    _, after = injection(pod(terminationGracePeriodSeconds=-5))

    assert "0" == values(after, "llm-sidecar")["LLM_SIDECAR_GRACE_SECONDS"]
