"""Definitions of the operators' objects that the charts make.

OURS are reduced to the fields the charts use, strictly: an unknown field is an error, which the API
server would drop in silence. PUBLISHED are the operators' own, where Go can fetch and check them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
STRINGS: Final[Schema] = {"type": "object", "additionalProperties": TEXT}
DURATION: Final[Schema] = {
    "type": "string",
    "pattern": "^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$",
}
GO_DURATION: Final[Schema] = {"type": "string", "pattern": "^([0-9]+(ns|us|ms|s|m|h))+$"}


def _object(required: str = "", /, **properties: Schema) -> dict[str, Any]:
    """Names of keys that Python cannot spell end in an underscore."""
    rows = {name.rstrip("_"): schema for name, schema in properties.items()}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": rows,
        "required": required.split(),
    }


def _list(items: Schema, least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


_EXPRESSION: Final = _object("key operator", key=TEXT, operator=TEXT, values=_list(TEXT))
_SELECTOR: Final = _object(matchLabels=STRINGS, matchExpressions=_list(_EXPRESSION))
_METADATA: Final = _object(
    "name namespace labels", name=TEXT, namespace=TEXT, labels=STRINGS, annotations=STRINGS
)
_ACTIONS: Final = (
    "replace",
    "keep",
    "drop",
    "labelmap",
    "labeldrop",
    "labelkeep",
    "hashmod",
    "lowercase",
    "uppercase",
)
_RELABEL: Final = _object(
    sourceLabels=_list({"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}, 1),
    separator=TEXT,
    targetLabel=TEXT,
    regex=TEXT,
    modulus={"type": "integer"},
    replacement=TEXT,
    action={"enum": list(_ACTIONS)},
)
_ENDPOINT: Final = _object(
    "port",
    port=TEXT,
    path=TEXT,
    scheme={"enum": ["http", "https"]},
    interval=DURATION,
    scrapeTimeout=DURATION,
    honorLabels={"type": "boolean"},
    relabelings=_list(_RELABEL),
    metricRelabelings=_list(_RELABEL),
)
_NAMESPACES: Final = _object(any={"type": "boolean"}, matchNames=_list(TEXT))
_RULE: Final[Schema] = {
    **_object(
        "expr",
        record={"type": "string", "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$"},
        alert={"type": "string", "minLength": 1},
        expr={"type": "string", "minLength": 1},
        for_=DURATION,
        keep_firing_for=DURATION,
        labels=STRINGS,
        annotations=STRINGS,
    ),
    "oneOf": [{"required": ["record"]}, {"required": ["alert"]}],
}
_ISSUER: Final = _object("name kind group", name=TEXT, kind={"enum": ["Issuer", "ClusterIssuer"]}, group=TEXT)
_USAGES: Final = (
    "signing",
    "digital signature",
    "key encipherment",
    "server auth",
    "client auth",
    "cert sign",
)

_SPECS: Final[dict[str, tuple[str, Schema]]] = {
    "PodMonitor": (
        "monitoring.coreos.com/v1",
        _object(
            "selector podMetricsEndpoints",
            selector=_SELECTOR,
            namespaceSelector=_NAMESPACES,
            podMetricsEndpoints=_list(_ENDPOINT, 1),
            sampleLimit={"type": "integer", "minimum": 1},
        ),
    ),
    "ServiceMonitor": (
        "monitoring.coreos.com/v1",
        _object(
            "selector endpoints",
            selector=_SELECTOR,
            namespaceSelector=_NAMESPACES,
            endpoints=_list(_ENDPOINT, 1),
        ),
    ),
    "PrometheusRule": (
        "monitoring.coreos.com/v1",
        _object(
            "groups",
            groups=_list(_object("name rules", name=TEXT, interval=DURATION, rules=_list(_RULE, 1)), 1),
        ),
    ),
    "Certificate": (
        "cert-manager.io/v1",
        _object(
            "secretName issuerRef",
            secretName=TEXT,
            commonName={"type": "string", "maxLength": 64},
            dnsNames=_list(TEXT, 1),
            isCA={"type": "boolean"},
            duration=GO_DURATION,
            renewBefore=GO_DURATION,
            usages=_list({"enum": list(_USAGES)}),
            issuerRef=_ISSUER,
            privateKey=_object(
                algorithm={"enum": ["RSA", "ECDSA", "Ed25519"]},
                size={"type": "integer"},
                rotationPolicy={"enum": ["Never", "Always"]},
            ),
        ),
    ),
    "Issuer": (
        "cert-manager.io/v1",
        _object(selfSigned=_object(), ca=_object("secretName", secretName=TEXT)),
    ),
}
GROUPS: Final = {api for api, _ in _SPECS.values()}
OURS: Final[dict[str, Schema]] = {
    kind: _object(
        "apiVersion kind metadata spec",
        apiVersion={"const": api},
        kind={"const": kind},
        metadata=_METADATA,
        spec=spec,
    )
    for kind, (api, spec) in _SPECS.items()
}

# ---- the operators' own ----------------------------------------------------------------------

_OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_CERT_MANAGER: Final = "github.com/cert-manager/cert-manager@v1.21.2"
_SUMS: Final = {
    _OPERATOR: "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
    _CERT_MANAGER: "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
}
_FILES: Final = {
    "PodMonitor": (_OPERATOR, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"),
    "ServiceMonitor": (
        _OPERATOR,
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    "PrometheusRule": (
        _OPERATOR,
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    "Certificate": (_CERT_MANAGER, "deploy/crds/cert-manager.io_certificates.yaml"),
    "Issuer": (_CERT_MANAGER, "deploy/crds/cert-manager.io_issuers.yaml"),
}


@cache
def _module(module: str) -> Path | None:
    """Where Go has it; None where there is no Go, or no way to it. A wrong checksum is an error."""
    go = shutil.which("go")
    if go is None:
        return None
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(  # noqa: S603  # our own words
                [go, "mod", "download", "-json", module],
                cwd=folder,
                check=False,
                capture_output=True,
                text=True,
                timeout=60,
                env=os.environ | {"GOFLAGS": "", "GOWORK": "off"},
            )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return None
    told = json.loads(done.stdout)
    assert told["Sum"] == _SUMS[module], module
    return Path(told["Dir"])


def published() -> dict[str, Schema]:
    """By kind; empty where they cannot be had."""
    found: dict[str, Schema] = {}
    for kind, (module, path) in _FILES.items():
        folder = _module(module)
        if folder is not None:
            definition = yaml.safe_load((folder / path).read_text())
            (version,) = [row for row in definition["spec"]["versions"] if row["name"] == "v1"]
            found[kind] = _strict(version["schema"]["openAPIV3Schema"])
    return found


def _strict(schema: Any, name: str = "") -> Any:
    """Unknown fields are errors, as kubectl's strict validation has it; OpenAPI's own words are left out."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {
        key: _strict(value, key)
        for key, value in schema.items()
        if not key.startswith("x-") and key != "format"
    }
    free = schema.get("x-kubernetes-preserve-unknown-fields") or name == "metadata"
    if name != "properties" and "properties" in schema and not free:
        made.setdefault("additionalProperties", False)
    return made
