"""A value that cannot be meant is refused, and the message says which one, and what was expected."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.helm.cases import APPLICATION, EMBED
from tests.helm.tool import template

SCHEMA = json.loads((APPLICATION / "values.schema.json").read_text())


@pytest.mark.parametrize(
    ("values", "place", "expected"),
    [
        ("injektor: {}", "", "injektor"),
        ("sidecar: {prot: 4001}", "sidecar", "prot"),
        ("sidecar: {port: '4001'}", "sidecar.port", "integer"),
        ("sidecar: {port: 80}", "sidecar.port", "1,?024"),
        ("sidecar: {native: maybe}", "sidecar.native", "auto"),
        ("sidecar: {capture: iptables}", "sidecar.capture", "proxy"),
        ("sidecar: {logLevel: trace}", "sidecar.logLevel", "debug"),
        ("sidecar: {resources: {limits: {memory: lots}}}", "resources.limits.memory", "pattern|match"),
        ("sidecar: {securityContext: {runAsRoot: true}}", "sidecar.securityContext", "runAsRoot"),
        ("sidecar: {extraEnv: [{name: A, vlaue: b}]}", "sidecar.extraEnv.0", "vlaue"),
        ("sidecar: {env: {OPENAI_BASE_URL: 'http://example.com'}}", "env.OPENAI_BASE_URL", "pattern|match"),
        ("profiles: {batch: {drain: 3}}", "profiles.batch", "drain"),
        ("profiles: {Batch: {}}", "profiles", "Batch"),
        ("image: {tag: latest}", "image.tag", ""),
        ("image: {digest: sha256:abc}", "image.digest", "pattern|match"),
        ("injector: {failurePolicy: ignore}", "injector.failurePolicy", "Ignore"),
        ("injector: {timeoutSeconds: 31}", "injector.timeoutSeconds", "30"),
        ("injector: {replicas: two}", "injector.replicas", "integer"),
        ("injector: {matchConditions: [{name: a}]}", "injector.matchConditions.0", "expression"),
        ("injector: {networkPolicy: {apiServerCIDRs: [10.0.0.1]}}", "apiServerCIDRs.0", "pattern|match"),
        ("certs: {mode: cert-manager}", "certs.mode", "certManager"),
        ("certs: {mode: provided}", "certs.secretName", "length|minLength"),
        ("monitoring: {podMonitor: {enabled: 'yes'}}", "monitoring.podMonitor.enabled", "auto"),
        ("monitoring: {dashboards: {enabled: auto}}", "monitoring.dashboards.enabled", "boolean"),
        ("fleet: {pods: -1}", "fleet.pods", "0"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named(values: str, place: str, expected: str):
    said = template(APPLICATION, values=values)
    assert said.status
    assert "values don't meet the specifications of the schema" in said.err
    # older Helms write a.b.0, newer ones /a/b/0
    assert place in said.err or f"/{place.replace('.', '/')}" in said.err, said.err
    assert re.search(expected, said.err), said.err


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("injector: {podDisruptionBudget: {minAvailable: 2}}", "less than injector.replicas, which is 2"),
        ("monitoring: {prometheusRule: {enabled: true, rules: 'grops: []'}}", "Rule.rules: expected"),
        ("sidecar: {configMap: a, config: {drain: 5s}}", "configMap cannot stand beside config"),
        ("profiles: {batch: {adminPort: 4000}}", "batch: port, adminPort and capturePort must differ"),
    ],
)  # fmt: skip
def test_values_that_contradict_each_other_are_refused(values: str, expected: str):
    said = template(APPLICATION, values=values)
    assert said.status
    assert expected in said.err


@pytest.mark.parametrize(
    ("values", "kube", "expected"),
    [
        (
            "llmSidecar: {prot: 4001}",
            "1.33.0",
            "llmSidecar.prot: no such value; known are adminPort, capture, ",
        ),
        (
            "llmSidecar: {configMap: a}",
            "1.33.0",
            "llmSidecar.configMap cannot stand beside llmSidecar.config",
        ),
        ("llmSidecar: {capture: proxy}", "1.28.0", "proxy needs a native sidecar (Kubernetes 1.29)"),
        ("llmSidecar: {capture: proxy, native: false}", "1.33.0", "proxy needs a native sidecar"),
    ],
)
def test_the_library_refuses_what_it_does_not_know(values: str, kube: str, expected: str):
    said = template(EMBED, values=values, kube=kube)
    assert said.status
    assert expected in said.err


def test_every_value_has_a_description_and_every_object_of_ours_is_closed():
    def look(schema: dict[str, Any], place: str) -> None:
        for name, inner in schema.get("properties", {}).items():
            if "allOf" not in place:
                assert inner.get("description") or place.count(".") > 1, f"{place}.{name}"
            look(inner, f"{place}.{name}")
        if "properties" in schema:
            assert schema["additionalProperties"] is False, place

    look({key: value for key, value in SCHEMA.items() if key != "allOf"}, "")
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_the_defaults_keep_their_own_schema():
    values = yaml.safe_load((APPLICATION / "values.yaml").read_text())
    assert [error.message for error in jsonschema_rs.Draft7Validator(SCHEMA).iter_errors(values)] == []

    def names(value: object, place: str = "") -> set[str]:
        if not isinstance(value, dict) or not value:
            return {place}
        return {name for key, inner in value.items() for name in names(inner, f"{place}.{key}")}

    def known(schema: dict[str, Any], path: list[str]) -> bool:
        if not path:
            return True
        patterns = schema.get("patternProperties", {})
        inner = schema.get("properties", {}).get(path[0]) or schema.get("additionalProperties")
        inner = next((one for pattern, one in patterns.items() if re.match(pattern, path[0])), inner)
        return isinstance(inner, dict) and known(inner, path[1:])

    assert all(known(SCHEMA, name.strip(".").split(".")) for name in names(values))


def test_no_template_asks_the_cluster_the_clock_or_chance():
    words = r"\b(lookup|gen[A-Z]\w+|rand\w+|now|uuidv4|getHostByName|env)\b"
    templates = [path for path in Path(APPLICATION.parent).rglob("templates/**/*") if path.is_file()]
    assert len(templates) > 20
    for path in templates:
        for action in re.findall(r"\{\{-?(.*?)-?\}\}", path.read_text(), re.DOTALL):
            if not action.strip().startswith("/*"):
                bare = re.sub(r'"(\\.|[^"])*"|\.[\w.]+', "", action)  # texts and fields are no functions
                assert not re.search(words, bare), f"{path}: {action}"
