"""What is rendered: every ci values file of every chart, with what the cluster is said to be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.docs.pages import ROOT
from tests.helm.tool import documents, template

APPLICATION: Final = ROOT / "helm" / "llm-sidecar"
LIBRARY: Final = ROOT / "helm" / "llm-sidecar-lib"
EMBED: Final = ROOT / "helm" / "examples" / "embed"
OPERATOR: Final = (
    "monitoring.coreos.com/v1",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
)
OPENSHIFT: Final = ("security.openshift.io/v1", "security.openshift.io/v1/SecurityContextConstraints")
OLD: Final = "1.27.0"


@dataclass(frozen=True, slots=True)
class Case:
    chart: Path
    name: str
    kube: str = "1.33.0"
    apis: tuple[str, ...] = ()

    @property
    def values(self) -> Path:
        return self.chart / "ci" / f"{self.name.partition('@')[0]}-values.yaml"

    def __str__(self) -> str:  # type: ignore[explicit-override]  # 3.11 has no typing.override
        return f"{self.chart.name}.{self.name}"

    def render(self) -> str:
        said = template(self.chart, values=self.values.read_text(), kube=self.kube, apis=self.apis)
        if said.status:
            pytest.fail(said.err, pytrace=False)
        return said.out


CASES: Final = (
    Case(APPLICATION, "default"),
    Case(APPLICATION, "default@operator", apis=OPERATOR),
    Case(APPLICATION, "default@openshift", apis=OPENSHIFT),
    Case(APPLICATION, "monitoring"),
    Case(APPLICATION, "monitoring-only"),
    Case(APPLICATION, "cert-manager"),
    Case(APPLICATION, "cert-manager-issuer"),
    Case(APPLICATION, "provided-certs"),
    Case(APPLICATION, "openshift"),
    Case(APPLICATION, "capture-proxy"),
    Case(APPLICATION, "digest-registry"),
    Case(APPLICATION, "shared"),
    Case(APPLICATION, "plain", kube=OLD),
    Case(APPLICATION, "minimal"),
    Case(APPLICATION, "ha"),
    Case(EMBED, "default"),
    Case(EMBED, "default@old", kube=OLD),
    Case(EMBED, "capture-proxy"),
    Case(EMBED, "configmap"),
    Case(EMBED, "plain"),
)
each = pytest.mark.parametrize("case", CASES, ids=str)


@cache
def text(case: Case) -> str:
    return case.render()


@cache
def rendered(case: Case) -> list[dict[str, Any]]:
    """Shared: who changes it makes a copy."""
    return documents(text(case))


def named(name: str, chart: Path = APPLICATION) -> Case:
    (found,) = [case for case in CASES if case.name == name and case.chart == chart]
    return found


def of(case: Case, kind: str) -> list[dict[str, Any]]:
    return [one for one in rendered(case) if one["kind"] == kind]


def pods(case: Case) -> list[dict[str, Any]]:
    """Specs of pods, of templates too."""
    found = [one["spec"] for one in of(case, "Pod")]
    return found + [one["spec"]["template"]["spec"] for one in of(case, "Deployment")]


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*spec.get("initContainers", []), *spec["containers"]]
