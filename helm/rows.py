"""One row per value of a chart: its name, its default, what it may be, and what it means.

values.yaml, values.schema.json and the README's table are written from the same rows, so none of
them can say something else than the others. A schema refuses unknown keys at every depth where
they are ours; where a value is a piece of the Kubernetes API (an affinity), the API server judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Value:
    name: str
    default: Any
    schema: Schema
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """Values that stand under one key."""

    name: str
    text: str
    rows: tuple[Value | Section, ...]


Row = Value | Section


def default(row: Row) -> Any:
    return defaults(row.rows) if isinstance(row, Section) else row.default


def defaults(rows: tuple[Row, ...]) -> dict[str, Any]:
    return {row.name: default(row) for row in rows}


# ---- what a value may be ---------------------------------------------------------------------

TEXT: Final[Schema] = {"type": "string"}
BOOL: Final[Schema] = {"type": "boolean"}
QUANTITY: Final[Schema] = {
    "type": ["string", "number"],
    "pattern": r"^[0-9]+(\.[0-9]+)?([munkMGTPE]|[KMGTPE]i)?$",
}
AUTO: Final[Schema] = {"enum": ["auto", "true", "false", True, False]}
FREE: Final[Schema] = {"type": "object"}
FREE_LIST: Final[Schema] = {"type": "array", "items": FREE}
DNS: Final = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
NAME: Final[Schema] = {"type": "string", "maxLength": 63, "pattern": f"^({DNS})?$"}
CIDRS: Final[Schema] = {
    "type": "array",
    "items": {"type": "string", "pattern": r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"},
}
NAMES: Final[Schema] = {"type": "array", "items": {"type": "string", "minLength": 1}}
DURATION: Final[Schema] = {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h))*$"}
PORT: Final[Schema] = {"type": "integer", "minimum": 1024, "maximum": 65535}


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def whole(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def closed(properties: Mapping[str, Schema], *required: str) -> Schema:
    """An object with these keys and no others."""
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(properties),
    }
    return schema | {"required": list(required)} if required else schema


def mapping(values: Schema, keys: str = "") -> Schema:
    """Keys that the user names."""
    if keys:  # not propertyNames: Helm 3.22 names another place than the wrong one
        return {"type": "object", "additionalProperties": False, "patternProperties": {keys: values}}
    return {"type": "object", "additionalProperties": values}


STRINGS: Final = mapping(TEXT)
AMOUNTS: Final = closed(
    {
        "cpu": QUANTITY,
        "memory": QUANTITY,
        "ephemeral-storage": QUANTITY,
    }
)
RESOURCES: Final = closed({"requests": AMOUNTS, "limits": AMOUNTS})
IDENTITY: Final[Schema] = {"type": ["integer", "null"], "minimum": 0}
SECURITY: Final = closed(
    {
        "allowPrivilegeEscalation": BOOL,
        "capabilities": closed({"add": NAMES, "drop": NAMES}),
        "privileged": BOOL,
        "procMount": TEXT,
        "readOnlyRootFilesystem": BOOL,
        "runAsGroup": IDENTITY,
        "runAsNonRoot": BOOL,
        "runAsUser": IDENTITY,
        "appArmorProfile": FREE,
        "seLinuxOptions": FREE,
        "seccompProfile": closed({"type": TEXT, "localhostProfile": TEXT}, "type"),
    }
)
ENV: Final[Schema] = {
    "type": "array",
    "items": closed(
        {"name": {"type": "string", "minLength": 1}, "value": TEXT, "valueFrom": FREE},
        "name",
    ),
}
SELECTOR: Final = closed({"matchLabels": STRINGS, "matchExpressions": FREE_LIST})


def schema_of(rows: tuple[Row, ...], **more: Schema) -> dict[str, Any]:
    """The schema of an object that holds these rows, and `more` besides."""
    properties: dict[str, Any] = dict(more)
    for row in rows:
        if isinstance(row, Section):
            properties[row.name] = schema_of(row.rows) | {"description": row.text}
        else:
            properties[row.name] = {**row.schema, "description": row.text}
    return {"type": "object", "additionalProperties": False, "properties": properties}
