"""What OpenAI's dialects have in common: their errors, and Azure's models in the path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from sidecar.dialects.base import BadBody
from sidecar.model import Fault

_DEPLOYMENT = re.compile(r"(?<=/deployments/)[^/]+(?=/)")  # Azure names the model in the path

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
# What applications compare an exception's `code` with. Other faults go by their own names, which are those
# of x-llm-sidecar-reason.
_CODES: Mapping[Fault, str] = {
    Fault.CONTEXT_WINDOW: "context_length_exceeded",
    Fault.QUOTA_EXHAUSTED: "insufficient_quota",
    Fault.AUTH: "invalid_api_key",
    Fault.MODEL_GONE: "model_not_found",
    Fault.CONTENT_POLICY: "content_policy_violation",
    **{fault: "rate_limit_exceeded" for fault in Fault if fault.name.startswith("RATE_LIMIT_")},
}


def error_of(status: int, fault: Fault, message: str) -> dict[str, Any]:
    """The error object, without the envelope around it."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    if fault is Fault.QUOTA_EXHAUSTED:
        kind = "insufficient_quota"
    return {"message": message, "type": kind, "param": None, "code": _CODES.get(fault, fault)}


def model_of(named: str | None, path: str) -> str:
    """The model that the body names, else the path. Raises BadBody."""
    if named is not None:
        return named
    deployment = _DEPLOYMENT.search(path)
    if deployment is None:
        raise BadBody('"model" is missing or not a string: name the model to ask')
    return unquote(deployment[0])


def with_model(path: str, model: str) -> str:
    """The path, its deployment replaced if it has one."""
    return _DEPLOYMENT.sub(lambda _: quote(model, safe=""), path, count=1)
