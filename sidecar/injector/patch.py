"""Injection: (pod, namespace, profiles, cluster) -> JSON patch and warnings. A pure function.

What it promises.
 - Only additions: nothing of the user's is removed, moved or, unless override-env says so, replaced.
 - A second pass over its own result changes nothing. After other webhooks added containers, it gives
   these their variables and touches nothing else: that is what reinvocation is for.
 - A pod is never worse off than without us: what would break it (a taken port, a request above its
   limit, a native sidecar on a cluster without them, a Job that would never end) is avoided, and said.
 - The same pod and profile give the same bytes.

Where it stands. The sidecar is first among the init containers, so that those after it may call
models too, and it needs no network to start, so that a mesh proxy may come later. Below Kubernetes
1.29 it is the last plain container; init containers, which run before it, are then left alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from sidecar import __version__
from sidecar.injector import container as c
from sidecar.injector.annotations import INJECT, INJECTED, STATUS, Wanted, Warnings, cut, shown, wanted
from sidecar.injector.edit import Edit, Malformed, Path, containers
from sidecar.injector.profile import Profile
from sidecar.injector.variables import Said, Way, lead, upstreams_of

__all__ = ["Injection", "Malformed", "Outcome", "inject"]

GRACE: Final = 30  # seconds: the default of terminationGracePeriodSeconds
SYSTEM: Final = frozenset({"kube-system", "kube-node-lease"})  # the cluster comes up without us
MIRROR: Final = "kubernetes.io/config.mirror"  # of a static pod: the kubelet's, not to be changed

# Containers that others inject: they make no calls to models, and a proxy of ours would break them.
NEIGHBOURS: Final = frozenset({
    "istio-init", "istio-proxy", "istio-validation",
    "linkerd-init", "linkerd-network-validator", "linkerd-proxy",
    "consul-connect-inject-init", "consul-dataplane", "kuma-init", "kuma-sidecar",
    "vault-agent", "vault-agent-init", "daprd", "otc-container", "cloud-sql-proxy",
})  # fmt: skip


class Outcome(StrEnum):
    INJECTED = "injected"
    COMPLETED = "completed"  # the sidecar was there, containers that came later got their variables
    UNCHANGED = "unchanged"  # the sidecar was there, and all it needs
    SKIPPED = "skipped"  # this pod gets none


@dataclass(frozen=True, slots=True)
class Injection:
    outcome: Outcome
    patch: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()


def inject(
    pod: Mapping[str, Any],
    *,
    namespace: str,
    profiles: Mapping[str, Profile],
    cluster_native: bool,
) -> Injection:
    """`namespace` is the request's: pods of controllers carry none. `cluster_native`: Kubernetes 1.29 or
    later. Raises Malformed.
    """
    edit, warnings = Edit(pod), Warnings()
    metadata = pod.get("metadata") or {}
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    told_not_to = (metadata.get("labels") or {}).get(INJECT) == "false"
    if told_not_to or namespace in SYSTEM or MIRROR in annotations:
        return Injection(Outcome.SKIPPED)
    ask = wanted(annotations, profiles, warnings)
    place = _place(pod)
    if place is not None:
        outcome = _complete(edit, place, ask, warnings)
    elif why := _unfit(pod, ask):
        warnings.add(f"llm-sidecar: not injected: {why}")
        outcome = Outcome.SKIPPED
    else:
        outcome = _first(edit, ask, cluster_native, warnings)
    return Injection(outcome, tuple(edit.patch), warnings.texts())


def _place(pod: Mapping[str, Any]) -> tuple[str, int] | None:
    for kind in ("initContainers", "containers"):
        for number, one in enumerate(containers(pod, kind)):
            if one["name"] == c.NAME:
                return kind, number
    return None


def _unfit(pod: Mapping[str, Any], ask: Wanted) -> str:
    spec = pod["spec"]
    system = (spec.get("os") or {}).get("name") or (spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    if system == "windows":
        return "there is no sidecar for Windows"
    if spec.get("hostNetwork") and not ask.host_network:
        return "hostNetwork shares ports with the node; see llm-sidecar.dev/host-network"
    return "" if containers(pod, "containers") else "the pod has no containers"


# ---- the first pass --------------------------------------------------------------------------


def _first(edit: Edit, ask: Wanted, cluster_native: bool, warnings: Warnings) -> Outcome:
    spec = edit.pod["spec"]
    native = _native(ask, cluster_native, warnings)
    if not native and spec.get("restartPolicy", "Always") != "Always":
        if ask.profile.native != "false":
            warnings.add(
                "llm-sidecar: not injected: without native sidecars (1.29) this pod would never complete"
            )
            return Outcome.SKIPPED
        warnings.add("llm-sidecar.dev/native: a plain sidecar keeps this pod from completing; end it by hand")
    profile = ask.profile
    if profile.capture == "proxy" and not native:
        warnings.about(
            "capture", "proxy needs a native sidecar, which is ready before the app", "env is used"
        )
        profile = replace(profile, capture="env")
    profile = _free_ports(edit.pod, profile, warnings)
    grace = _grace(edit, ask, warnings)

    upstreams: dict[str, Said] = {}
    way = _way(profile.port, profile, profile.capture_port if profile.capture == "proxy" else None, ask)
    for at in _chosen(edit.pod, ask, after=-1 if native else None, warnings=warnings):
        lead(edit, at, way, upstreams, warnings)

    made = c.container(
        profile,
        native=native,
        grace=grace,
        upstreams=upstreams,
        owner=owner(edit.pod),
        fail_mode=ask.fail_mode,
    )
    there = {volume.get("name") for volume in spec.get("volumes") or []}
    edit.append(("spec", "volumes"), [v for v in c.volumes(profile) if v["name"] not in there])
    if native:
        edit.prepend(("spec", "initContainers"), made)
    else:
        edit.append(("spec", "containers"), [made])
    edit.set(("metadata", "labels", INJECTED), "true")
    said = status(ask.name, profile, way, native=native, warnings=warnings.texts())
    edit.set(("metadata", "annotations", STATUS), said)
    return Outcome.INJECTED


def _native(ask: Wanted, cluster_native: bool, warnings: Warnings) -> bool:
    if ask.profile.native == "true" and not cluster_native:
        warnings.about("native", "this cluster has no native sidecars (1.29)", "a plain container is used")
    return cluster_native and ask.profile.native != "false"


def _free_ports(pod: Mapping[str, Any], profile: Profile, warnings: Warnings) -> Profile:
    """All containers of a pod share its ports: ours move. Only declared ones can be seen."""
    taken: dict[int, str] = {}
    for kind in ("initContainers", "containers"):
        for one in containers(pod, kind):
            for row in one.get("ports") or []:
                for key in ("containerPort", "hostPort"):
                    if isinstance(row.get(key), int):
                        taken.setdefault(row[key], one["name"])
    ports = {"port": profile.port, "admin_port": profile.admin_port}
    if profile.capture == "proxy":
        ports["capture_port"] = profile.capture_port
    for name, port in ports.items():
        if port not in taken:
            continue
        ours = {*ports.values(), profile.capture_port}
        ring = [*range(port + 1, 65536), *range(1024, port)]
        ports[name] = next((n for n in ring if n not in taken and n not in ours), port)
        key, who = name.replace("_", "-"), cut(taken[port], 30)
        warnings.about(key, f"container {who} declares {port}", f"{ports[name]} is used")
    return replace(
        profile,
        port=ports["port"],
        admin_port=ports["admin_port"],
        capture_port=ports.get("capture_port", profile.capture_port),
    )


def _grace(edit: Edit, ask: Wanted, warnings: Warnings) -> int:
    given = edit.pod["spec"].get("terminationGracePeriodSeconds")
    grace = GRACE if given is None else max(0, int(given))
    if ask.grace is not None and ask.grace > grace:
        grace = ask.grace
        edit.set(("spec", "terminationGracePeriodSeconds"), grace)
    if grace < ask.profile.drain_timeout:
        warnings.about(
            "drain-timeout",
            f"{ask.profile.drain_timeout} s are more than the pod's grace of {grace} s",
            "see raise-grace",
        )
    return grace


def status(name: str, profile: Profile, way: Way, *, native: bool, warnings: tuple[str, ...]) -> str:
    """Without times or pod names: equal pods say the same. With the warnings, since only a client that
    creates pods itself is shown them: controllers drop what the API server warns of.
    """
    digest = hashlib.sha256(profile.config.encode()).hexdigest()
    said = {
        "version": __version__,
        "profile": name,
        "config": f"configmap:{profile.config_map}" if profile.config_map else f"sha256:{digest}",
        "native": native,
        "capture": profile.capture,
        "port": profile.port,
        "adminPort": profile.admin_port,
        "env": sorted(way.table),
        **({"warnings": warnings} if warnings else {}),
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


_OWNERS: Final = {"StatefulSet": "statefulset", "DaemonSet": "daemonset", "Job": "job"}


def owner(pod: Mapping[str, Any]) -> tuple[str, str] | None:
    """What the pod belongs to, as OpenTelemetry names it. A Deployment's name is its ReplicaSet's
    without the hash of the template.
    """
    metadata = pod.get("metadata") or {}
    for row in metadata.get("ownerReferences") or []:
        kind, name = row.get("kind"), row.get("name")
        if not row.get("controller") or not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", str(name)):
            continue
        if kind == "ReplicaSet":
            tail = "-" + ((metadata.get("labels") or {}).get("pod-template-hash") or "\n")
            whose = str(name).removesuffix(tail)
            return ("deployment", whose) if whose not in {"", name} else ("replicaset", str(name))
        if kind in _OWNERS:
            return _OWNERS[str(kind)], str(name)
    return None


# ---- later passes ----------------------------------------------------------------------------


def _complete(edit: Edit, place: tuple[str, int], ask: Wanted, warnings: Warnings) -> Outcome:
    """What the sidecar that is there says of itself holds: profiles may have changed since."""
    kind, number = place
    one = edit.pod["spec"][kind][number]
    env = {row["name"]: row.get("value") for row in one.get("env") or []}
    port, capture_port = _port(env.get("LLM_SIDECAR_PORT")), _port(env.get("LLM_SIDECAR_CAPTURE_PORT"))
    if port is None:
        warnings.add(f"llm-sidecar: not injected: there is a container {c.NAME} that is not ours")
        return Outcome.SKIPPED
    way = _way(port, ask.profile, capture_port if env.get("LLM_SIDECAR_CAPTURE") == "proxy" else None, ask)
    upstreams = upstreams_of(one.get("env") or [])
    before = set(upstreams)
    after = number if kind == "initContainers" else None
    for at in _chosen(edit.pod, ask, after=after, warnings=warnings):
        lead(edit, at, way, upstreams, warnings)
    new = [{"name": n, **upstreams[n]} for n in sorted(upstreams.keys() - before)]
    edit.append(("spec", kind, number, "env"), new)
    return Outcome.COMPLETED if edit.patch else Outcome.UNCHANGED


def _port(text: str | None) -> int | None:
    good = text is not None and text.isascii() and text.isdigit() and len(text) <= 5
    return int(text) if good and text is not None else None


# ---- both ------------------------------------------------------------------------------------


def _way(port: int, profile: Profile, capture_port: int | None, ask: Wanted) -> Way:
    table = {} if profile.capture == "none" else profile.env
    return Way(port, table, capture_port, ask.override)


def _chosen(pod: Mapping[str, Any], ask: Wanted, *, after: int | None, warnings: Warnings) -> list[Path]:
    """Containers that get variables. `after`: the sidecar's place among the init containers, those
    before it run without it; None: it is a plain container, and all of them do.
    """
    found: list[Path] = []
    names: set[str] = set()
    for kind in ("initContainers", "containers"):
        for number, one in enumerate(containers(pod, kind)):
            name = one["name"]
            names.add(name)
            if name == c.NAME or name in ask.exclude:
                continue
            if name not in ask.containers if ask.containers is not None else name in NEIGHBOURS:
                continue
            if kind == "containers" or (after is not None and number > after):
                found.append(("spec", kind, number))
    for key, given in (("containers", ask.containers), ("exclude-containers", ask.exclude)):
        for name in sorted((given or frozenset()) - names):
            warnings.about(key, f"the pod has no container {shown(name)}", "it is ignored")
    return found
