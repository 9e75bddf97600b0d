"""Goldens: what every case renders, and of it what an upgrade must never change.

`python -m tests.helm.golden` writes tests/helm/golden anew: look at its diff, it is the change that
users get. `--release` also writes released.yaml, when a release is cut: names and fields that the API
server refuses to change, or whose change would leave an orphan behind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.helm.cases import CASES, Case, rendered

FOLDER: Final = Path(__file__).parent / "golden"
RELEASED: Final = Path(__file__).parent / "released.yaml"
CLUSTER_WIDE: Final = {"ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration", "Namespace"}


def golden(case: Case) -> str:
    """Sorted and reflowed, since Helms differ in empty lines; boards and rules have files of their own."""
    found = sorted(rendered(case), key=lambda one: (one["kind"], one["metadata"]["name"]))
    text: str = yaml.dump_all([_short(one) for one in found], sort_keys=True, width=120, Dumper=_Dumper)
    return text


def _short(document: dict[str, Any]) -> dict[str, Any]:
    if document["kind"] == "PrometheusRule":
        return document | {"spec": "files/rules"}
    if document["metadata"]["name"].endswith("-board"):
        return document | {"data": dict.fromkeys(document["data"], "files/dashboards")}
    return document


class _Dumper(yaml.SafeDumper):
    """No aliases, texts of several lines as they are."""

    def ignore_aliases(  # type: ignore[explicit-override]  # 3.11 has no typing.override
        self, data: Any
    ) -> bool:  # PyYAML's signature
        return True


_Dumper.add_representer(
    str,
    lambda dumper, value: dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style="|" if "\n" in value else None
    ),
)


def path_of(document: dict[str, Any]) -> str:
    metadata = document["metadata"]
    place = "" if document["kind"] in CLUSTER_WIDE else f"{metadata.get('namespace', '')}/"
    return f"{document['kind']} {place}{metadata['name']}"


def fixed(case: Case) -> dict[str, Any]:
    """By object, what must stay."""
    return {
        path_of(one): _fixed(one)
        for one in sorted(rendered(case), key=path_of)
        if "helm.sh/hook" not in one["metadata"].get("annotations", {})
    }


def _fixed(one: dict[str, Any]) -> dict[str, Any]:
    spec = one.get("spec", {})
    match one["kind"]:
        case "Deployment":
            return {"selector": spec["selector"]}
        case "Service":
            ports = {row["name"]: row["port"] for row in spec["ports"]}
            return {"clusterIP": spec.get("clusterIP", ""), "type": spec["type"], "ports": ports}
        case "RoleBinding" | "ClusterRoleBinding":
            return {"roleRef": one["roleRef"], "subjects": one["subjects"]}
        case "Secret":
            return {"type": one["type"], "immutable": one.get("immutable", False)}
        case "ConfigMap":
            return {"immutable": one.get("immutable", False)}
        case "Certificate":
            return {"secretName": spec["secretName"], "issuerRef": spec["issuerRef"]}
        case "MutatingWebhookConfiguration":
            hooks = [
                {"name": row["name"], "service": row["clientConfig"]["service"]} for row in one["webhooks"]
            ]
            return {"webhooks": hooks}
        case "PodMonitor" | "ServiceMonitor":
            return {"selector": spec["selector"]}
        case _:
            return {}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.helm.golden", description=__doc__)
    parser.add_argument("--release", action="store_true", help="what must not change from now on")
    given = parser.parse_args(argv)
    FOLDER.mkdir(exist_ok=True)
    wanted = {FOLDER / f"{case}.yaml": golden(case) for case in CASES}
    for path in set(FOLDER.iterdir()) - set(wanted):
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    if given.release:
        everything = {str(case): fixed(case) for case in CASES}
        RELEASED.write_text(
            yaml.dump(everything, sort_keys=True, width=120, Dumper=_Dumper), encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
