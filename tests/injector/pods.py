"""Pods as the API server sends them, and what comes of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import jsonpatch

from sidecar.injector.patch import Injection, inject
from sidecar.injector.profile import Profile, parse

IMAGE = "registry.example.com/llm-sidecar:1.0.0"
PROFILES: Mapping[str, Profile] = {
    "default": parse(f"image: {IMAGE}"),
    "strict": parse(f"image: {IMAGE}\nlogLevel: debug\nconfig: 'drain: 5'\nsecret: keys\nreadiness: true"),
    "proxy": parse(f"image: {IMAGE}\ncapture: proxy"),
    "none": parse(f"image: {IMAGE}\ncapture: none"),
    "plain": parse(f"image: {IMAGE}\nnative: 'false'"),
}


def container(name: str = "app", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": f"{name}:1", **more}


def env(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def pod(
    *containers: dict[str, Any],
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    owner: tuple[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """`annotations` without our prefix."""
    metadata: dict[str, Any] = {"generateName": "web-"}
    if annotations:
        metadata["annotations"] = {f"llm-sidecar.dev/{key}": value for key, value in annotations.items()}
    if labels:
        metadata["labels"] = dict(labels)
    if owner:
        kind, name = owner
        api = "batch/v1" if kind == "Job" else "apps/v1"
        metadata["ownerReferences"] = [
            {"apiVersion": api, "kind": kind, "name": name, "uid": "u", "controller": True}
        ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": list(containers) or [container()], **spec},
    }


def injection(
    given: Mapping[str, Any], *, native: bool = True, namespace: str = "shop"
) -> tuple[Injection, dict[str, Any]]:
    """And the pod that comes of it. What was given stays as it was."""
    before = copy.deepcopy(given)
    made = inject(given, namespace=namespace, profiles=PROFILES, cluster_native=native)
    assert given == before
    return made, jsonpatch.apply_patch(copy.deepcopy(given), list(made.patch))


def of(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    every = [*(given["spec"].get("initContainers") or []), *given["spec"]["containers"]]
    [found] = [one for one in every if one["name"] == name]
    assert isinstance(found, dict)
    return found


def values(given: Mapping[str, Any], name: str = "app") -> dict[str, Any]:
    """A container's variables, as the kubelet reads them: the last one wins."""
    return {row["name"]: row.get("value", row.get("valueFrom")) for row in of(given, name).get("env") or []}
