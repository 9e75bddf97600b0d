"""Pods that should have a sidecar and have none: created while the webhook was away, or before their
namespace was labelled. An admission webhook never sees them again, so somebody has to look.

The API server filters by labels, so that in quiet times next to nothing is read.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from sidecar.injector.annotations import INJECT, INJECTED, PREFIX
from sidecar.injector.api import Api, ApiError
from sidecar.injector.container import NAME
from sidecar.injector.patch import MIRROR, SYSTEM

NAMESPACE: Final = PREFIX + "injection"  # a label of namespaces
HOST_NETWORK: Final = PREFIX + "host-network"
RUNNING: Final = "status.phase!=Succeeded,status.phase!=Failed"


class _Metadata(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    annotations: dict[str, str] | None = None
    deleted: str | None = msgspec.field(name="deletionTimestamp", default=None)


class _Container(msgspec.Struct):
    name: str = ""


class _Os(msgspec.Struct):
    name: str = ""


class _Spec(msgspec.Struct, rename="camel"):
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    host_network: bool = False
    os: _Os | None = None


class _Pod(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: _Spec = msgspec.field(default_factory=_Spec)


class _Pods(msgspec.Struct):
    items: list[_Pod] | None = None


async def missed(api: Api, own_namespace: str) -> dict[str, int]:
    """How many, by namespace. Raises ApiError."""
    found: dict[str, set[str]] = {}
    wanted = f"{INJECT}=true,{INJECTED}!=true"
    await _look(api, "/api/v1/pods", wanted, found)
    async for page in api.pages("/api/v1/namespaces", {"labelSelector": f"{NAMESPACE}=enabled"}):
        for one in _decoded(page):
            place = f"/api/v1/namespaces/{one.metadata.name}/pods"
            await _look(api, place, f"{INJECT}!=false,{INJECTED}!=true", found)
    outside = SYSTEM | {own_namespace}
    return dict(Counter({name: len(pods) for name, pods in found.items() if name not in outside}))


async def _look(api: Api, path: str, labels: str, found: dict[str, set[str]]) -> None:
    async for page in api.pages(path, {"labelSelector": labels, "fieldSelector": RUNNING}):
        for pod in _decoded(page):
            if _lacks(pod):
                found.setdefault(pod.metadata.namespace, set()).add(pod.metadata.name)


def _decoded(page: bytes) -> list[_Pod]:
    try:
        return msgspec.json.decode(page, type=_Pods).items or []
    except (msgspec.DecodeError, RecursionError):
        raise ApiError(0, "a list was not what it should be") from None


def _lacks(pod: _Pod) -> bool:
    annotations = pod.metadata.annotations or {}
    if pod.metadata.deleted or MIRROR in annotations:
        return False
    if pod.spec.host_network and annotations.get(HOST_NETWORK) != "true":
        return False
    if pod.spec.os is not None and pod.spec.os.name == "windows":
        return False
    every = [*(pod.spec.containers or []), *(pod.spec.init_containers or [])]
    return all(one.name != NAME for one in every)
