"""The container itself: names, order and hardening that charts, monitors and people rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sidecar.injector.container import container, literal, variable_of, volumes
from sidecar.injector.profile import parse
from sidecar.injector.render import main

FULL = """
image: registry.example.com/llm-sidecar:1
capture: proxy
readiness: true
secret: keys
config: 'drain: 5'
otlp: {endpoint: "http://collector:4318", headersSecret: {name: otlp, key: headers}}
extraEnv: [{name: EXTRA, value: "1"}]
"""
ORDER = [
    *("LLM_SIDECAR_CONFIG_TEXT", "LLM_SIDECAR_OVERRIDES", "LLM_SIDECAR_PORT", "LLM_SIDECAR_ADMIN_PORT"),
    *("LLM_SIDECAR_ADMIN_HOSTS", "LLM_SIDECAR_LOG_LEVEL", "LLM_SIDECAR_STATE_DIR", "LLM_SIDECAR_NATIVE"),
    *("LLM_SIDECAR_GRACE_SECONDS", "LLM_SIDECAR_DRAIN_SECONDS"),
    *("LLM_SIDECAR_UPSTREAM_ANTHROPIC", "LLM_SIDECAR_UPSTREAM_OPENAI"),
    *("LLM_SIDECAR_CAPTURE", "LLM_SIDECAR_CAPTURE_PORT", "LLM_SIDECAR_TRUST_DIR"),
    *("POD_NAME", "POD_NAMESPACE", "POD_UID", "NODE_NAME", "OTEL_RESOURCE_ATTRIBUTES"),
    *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_HEADERS", "EXTRA"),
]


def test_variables_stand_in_the_order_that_both_routes_keep():
    upstreams = {variable_of(name): {"value": "https://gw.example"} for name in ("openai", "anthropic")}
    made = container(parse(FULL), native=True, grace=45, upstreams=upstreams, owner=("deployment", "web"))
    values = {row["name"]: row.get("value") for row in made["env"]}

    assert list(values) == ORDER
    assert values["LLM_SIDECAR_GRACE_SECONDS"] == "45"
    assert values["LLM_SIDECAR_ADMIN_HOSTS"] == "0.0.0.0,::"
    assert values["OTEL_RESOURCE_ATTRIBUTES"] == (
        "k8s.pod.name=$(POD_NAME),k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.uid=$(POD_UID),"
        "k8s.node.name=$(NODE_NAME),k8s.deployment.name=web"
    )


def test_no_configuration_and_no_telemetry_leave_no_empty_variables():
    made = container(parse("image: x\noverridesConfigMap: ''"), native=True, grace=30)
    names = {row["name"] for row in made["env"]}

    assert not names & {"LLM_SIDECAR_CONFIG_TEXT", "LLM_SIDECAR_CONFIG", "LLM_SIDECAR_OVERRIDES"}
    assert not [name for name in names if name.startswith("OTEL_EXPORTER")]
    assert all(row.get("value") != "" for row in made["env"])
    assert "/etc/llm-sidecar/overrides" not in {row["mountPath"] for row in made["volumeMounts"]}


def test_a_config_map_wins_over_the_text():
    made = container(parse("image: x\nconfig: 'drain: 5'\nconfigMap: mine"), native=True, grace=30)

    assert {"name": "LLM_SIDECAR_CONFIG", "value": "/etc/llm-sidecar/config/sidecar.yaml"} == made["env"][0]
    assert "LLM_SIDECAR_CONFIG_TEXT" not in json.dumps(made)


def test_a_dollar_survives_the_kubelet():
    assert literal("a $(B) $$ $x") == "a $$(B) $$$$ $$x"


def test_probes_hook_and_hardening():
    made = container(parse("image: x"), native=True, grace=30)

    assert made["restartPolicy"] == "Always"
    assert ["run"] == made["args"]
    assert "command" not in made
    assert {
        "httpGet": {"path": "/startupz", "port": "llm-metrics"},
        "periodSeconds": 1,
        "failureThreshold": 60,
    } == made["startupProbe"]
    assert {"path": "/livez", "port": "llm-metrics"} == made["livenessProbe"]["httpGet"]
    assert "readinessProbe" not in made
    assert {"exec": {"command": ["llm-sidecar", "drain"]}} == made["lifecycle"]["preStop"]
    assert made["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert "cpu" not in made["resources"]["limits"]
    assert "restartPolicy" not in container(parse("image: x"), native=False, grace=30)


@pytest.mark.parametrize("text", ["image: x", FULL, "image: x\nconfigMap: c\nsecret: s\ncapture: none"])
def test_every_mount_has_its_volume_and_every_volume_its_mount(text: str):
    profile = parse(text)
    mounts = [row["name"] for row in container(profile, native=True, grace=30)["volumeMounts"]]

    assert mounts == [row["name"] for row in volumes(profile)]
    assert all(name.startswith("llm-sidecar-") for name in mounts)


def test_the_service_accounts_token_is_covered_by_an_empty_folder():
    made = container(parse("image: x"), native=True, grace=30)
    token = "/var/run/secrets/kubernetes.io/serviceaccount"

    assert {"name": "llm-sidecar-no-token", "mountPath": token, "readOnly": True} in made["volumeMounts"]


def test_rendering_prints_what_the_chart_has_to_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "default.yaml"
    file.write_text(FULL)
    upstream = ["--upstream", "openai=https://gw.example/v1"]
    assert main(["--profile", str(file), "--grace", "60", *upstream, "--owner", "deployment=web"]) == 0
    made = json.loads(capsys.readouterr().out)

    assert made["container"]["env"][10] == {
        "name": "LLM_SIDECAR_UPSTREAM_OPENAI",
        "value": "https://gw.example/v1",
    }
    assert made["volumes"] == volumes(parse(FULL))
    assert {"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:4000/openai/v1"} in made["env"]
    assert "AZURE_OPENAI_ENDPOINT" not in {row["name"] for row in made["env"]}
    file.write_text("port: 1")
    assert main(["--profile", str(file)]) == 2
    assert "image: is missing" in capsys.readouterr().err
