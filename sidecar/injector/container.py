"""The sidecar's container and volumes, as the library chart writes them too: a test compares the two.

Order matters in lists of Kubernetes, so it is fixed here: the variables of the sidecar, the pod's
identity, OpenTelemetry, and last what the profile adds, so that a profile can win.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sidecar.injector.profile import Profile

NAME: Final = "llm-sidecar"
VOLUME: Final = "llm-sidecar-"
TRUST: Final = "/etc/llm-sidecar/trust"
STATE: Final = "/var/lib/llm-sidecar"
CONFIG: Final = "/etc/llm-sidecar/config"
OVERRIDES: Final = "/etc/llm-sidecar/overrides"
KEYS: Final = "/etc/llm-sidecar/keys"
TOKEN: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  # a folder, which we cover
UPSTREAM: Final = "LLM_SIDECAR_UPSTREAM_"

_IDENTITY: Final = {
    "POD_NAME": "metadata.name",
    "POD_NAMESPACE": "metadata.namespace",
    "POD_UID": "metadata.uid",
    "NODE_NAME": "spec.nodeName",
}
_ATTRIBUTES: Final = (
    "k8s.pod.name=$(POD_NAME),k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.uid=$(POD_UID),"
    "k8s.node.name=$(NODE_NAME)"
)


def container(
    profile: Profile,
    *,
    native: bool,
    grace: int,
    upstreams: Mapping[str, Mapping[str, Any]] | None = None,
    owner: tuple[str, str] | None = None,
    fail_mode: str = "open",
) -> dict[str, Any]:
    """`grace`: the pod's terminationGracePeriodSeconds. `upstreams`: by variable_of(provider), what a
    variable of the application said: {"value": ...} or {"valueFrom": ...}. `owner`: ("deployment", "web").
    """
    made: dict[str, Any] = {
        "name": NAME,
        "image": profile.image,
        "imagePullPolicy": profile.image_pull_policy,
        "args": ["run"],
    }
    if native:
        made["restartPolicy"] = "Always"
    return made | {
        "ports": _ports(profile),
        "env": _env(
            profile, native=native, grace=grace, upstreams=upstreams, owner=owner, fail_mode=fail_mode
        ),
        "startupProbe": _probe("/startupz") | _startup(profile),
        "livenessProbe": _probe("/livez") | {"periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 3},
        **({"readinessProbe": _probe("/readyz")} if profile.readiness else {}),
        "lifecycle": {"preStop": {"exec": {"command": ["llm-sidecar", "drain"]}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": _copy(profile.security_context),
        "resources": _copy(profile.resources),
        "volumeMounts": _mounts(profile),
    }


def volumes(profile: Profile) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"name": VOLUME + "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        {"name": VOLUME + "state", "emptyDir": {"sizeLimit": "256Mi"}},
    ]
    if profile.overrides_config_map:
        source = {"name": profile.overrides_config_map, "optional": True}
        made.append({"name": VOLUME + "overrides", "configMap": source})
    made.append({"name": VOLUME + "no-token", "emptyDir": {"sizeLimit": "1Mi"}})
    if profile.config_map:
        made.append({"name": VOLUME + "config", "configMap": {"name": profile.config_map}})
    if profile.secret:
        secret = {"secretName": profile.secret, "defaultMode": 0o444}
        made.append({"name": VOLUME + "keys", "secret": secret})
    if profile.capture == "proxy":
        made.append({"name": VOLUME + "trust", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}})
    return made


def trust_mount() -> dict[str, Any]:
    """For the application's containers, where interception is on."""
    return {"name": VOLUME + "trust", "mountPath": TRUST, "readOnly": True}


def variable_of(provider: str) -> str:
    """The one that carries what the application's own base URL said."""
    return UPSTREAM + "".join(char if char.isalnum() else "_" for char in provider).upper()


def literal(text: str) -> str:
    """A value that the kubelet leaves as it is: it expands $(NAME), and takes $$ for one $."""
    return text.replace("$", "$$")


def _ports(profile: Profile) -> list[dict[str, Any]]:
    ports = {"llm-proxy": profile.port, "llm-metrics": profile.admin_port}
    if profile.capture == "proxy":
        ports["llm-capture"] = profile.capture_port
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()]


def _env(
    profile: Profile,
    *,
    native: bool,
    grace: int,
    upstreams: Mapping[str, Mapping[str, Any]] | None,
    owner: tuple[str, str] | None,
    fail_mode: str,
) -> list[dict[str, Any]]:
    values: dict[str, str] = {}
    if profile.config_map:
        values["LLM_SIDECAR_CONFIG"] = f"{CONFIG}/sidecar.yaml"
    elif profile.config:
        values["LLM_SIDECAR_CONFIG_TEXT"] = literal(profile.config)
    if profile.overrides_config_map:
        values["LLM_SIDECAR_OVERRIDES"] = f"{OVERRIDES}/overrides.yaml"
    values |= {
        "LLM_SIDECAR_PORT": str(profile.port),
        "LLM_SIDECAR_ADMIN_PORT": str(profile.admin_port),
        "LLM_SIDECAR_ADMIN_HOSTS": "0.0.0.0,::",
        "LLM_SIDECAR_LOG_LEVEL": profile.log_level,
        "LLM_SIDECAR_STATE_DIR": STATE,
        "LLM_SIDECAR_NATIVE": "true" if native else "false",
        "LLM_SIDECAR_GRACE_SECONDS": str(grace),
        "LLM_SIDECAR_DRAIN_SECONDS": str(profile.drain_timeout),
    }
    if fail_mode != "open":
        values["LLM_SIDECAR_FAIL_MODE"] = fail_mode
    made = [_plain(values)]
    made.append([{"name": name, **_copy(said)} for name, said in sorted((upstreams or {}).items())])
    if profile.capture == "proxy":
        capture = {
            "LLM_SIDECAR_CAPTURE": "proxy",
            "LLM_SIDECAR_CAPTURE_PORT": str(profile.capture_port),
            "LLM_SIDECAR_TRUST_DIR": TRUST,
        }
        made.append(_plain(capture))
    made.append(
        [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in _IDENTITY.items()]
    )
    whose = f",k8s.{owner[0]}.name={owner[1]}" if owner else ""
    made.append(_plain({"OTEL_RESOURCE_ATTRIBUTES": _ATTRIBUTES + whose}))
    made.append(_otlp(profile))
    made.append([_copy(row) for row in profile.extra_env])
    return [row for group in made for row in group]


def _otlp(profile: Profile) -> list[dict[str, Any]]:
    otlp = profile.otlp
    if not otlp.endpoint:
        return []
    made = _plain(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": otlp.protocol}
    )
    if otlp.secret_name:
        key = {"name": otlp.secret_name, "key": otlp.secret_key}
        made.append({"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": {"secretKeyRef": key}})
    return made


def _mounts(profile: Profile) -> list[dict[str, Any]]:
    places: list[tuple[str, str, bool]] = [("tmp", "/tmp", False), ("state", STATE, False)]  # noqa: S108  # a volume
    if profile.overrides_config_map:
        places.append(("overrides", OVERRIDES, True))
    places.append(("no-token", TOKEN, True))
    if profile.config_map:
        places.append(("config", CONFIG, True))
    if profile.secret:
        places.append(("keys", KEYS, True))
    if profile.capture == "proxy":
        places.append(("trust", TRUST, False))
    return [
        {"name": VOLUME + name, "mountPath": path, **({"readOnly": True} if only else {})}
        for name, path, only in places
    ]


def _probe(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "llm-metrics"}}


def _startup(profile: Profile) -> dict[str, int]:
    return {"periodSeconds": 1, "failureThreshold": profile.startup_failure_threshold}


def _plain(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _copy(value: Any) -> Any:
    """So that a caller may change what it got."""
    match value:
        case Mapping():
            return {key: _copy(part) for key, part in value.items()}
        case list() | tuple():
            return [_copy(part) for part in value]
        case _:
            return value
