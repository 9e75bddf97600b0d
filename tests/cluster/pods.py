"""Pods that ask."""

from __future__ import annotations

from typing import Any

OURS = "llm-sidecar"
HARDENED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, *, inject: str = "", **annotations: str) -> dict[str, Any]:
    """`annotations`: with _ for -; passes Pod Security `restricted`."""
    metadata: dict[str, Any] = {"name": name}
    if inject:
        metadata["labels"] = {"llm-sidecar.dev/inject": inject}
    if annotations:
        metadata["annotations"] = {
            f"llm-sidecar.dev/{key.replace('_', '-')}": value for key, value in annotations.items()
        }
    container = {"name": "app", "image": "registry.example.com/app:1", "securityContext": HARDENED}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 30},
    }


def every(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def one(pod: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [row for row in every(pod) if row["name"] == name]
    return found


def injected(pod: dict[str, Any]) -> bool:
    return any(row["name"] == OURS for row in every(pod))


def env(container: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row.get("value", "") for row in container.get("env", [])}
