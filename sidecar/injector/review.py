"""AdmissionReview v1: bytes in, bytes out. Whatever happens, a pod that can be let through is.

An error of ours lets the pod in without a sidecar, with a warning and a count; only fail-mode closed
refuses it. A request that is no review at all has nobody to answer to: that is BadReview.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from sidecar.injector.annotations import LONGEST
from sidecar.injector.patch import Injection, Malformed, Outcome

VERSION: Final = "admission.k8s.io/v1"
FAILED: Final = "failed"

Inject = Callable[[Mapping[str, Any], str], Injection]  # a pod and its namespace


class BadReview(ValueError):
    """No AdmissionReview; says why."""


def answer(body: bytes, inject: Inject, *, fail_open: bool) -> tuple[bytes, str]:
    """The answer, and what came out for the count: an Outcome, or FAILED. Raises BadReview."""
    request = _request(body)
    uid: str = request["uid"]
    if not _is_ours(request):
        return _review({"uid": uid, "allowed": True}), Outcome.SKIPPED
    try:
        made = inject(request["object"], _namespace(request))
        patch = base64.b64encode(msgspec.json.encode(made.patch)).decode() if made.patch else ""
    except Exception as error:  # noqa: BLE001  # any bug of ours costs this pod its sidecar, never its start
        return _review(_failed(uid, error, fail_open=fail_open)), FAILED
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": patch}
    if made.warnings:
        response["warnings"] = list(made.warnings)
    return _review(response), made.outcome


def _request(body: bytes) -> dict[str, Any]:
    try:
        review = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadReview("the body is not JSON") from None
    if not isinstance(review, dict) or review.get("kind") != "AdmissionReview":
        raise BadReview("the body is no AdmissionReview")
    if review.get("apiVersion") != VERSION:
        raise BadReview(f"expected an AdmissionReview of {VERSION}")
    request = review.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str) or not request["uid"]:
        raise BadReview("the AdmissionReview has no request with a uid")
    return request


def _is_ours(request: Mapping[str, Any]) -> bool:
    resource = request.get("resource")
    pods = isinstance(resource, dict) and (resource.get("group"), resource.get("resource")) == ("", "pods")
    return pods and request.get("operation") == "CREATE" and not request.get("subResource")


def _namespace(request: Mapping[str, Any]) -> str:
    return str(request.get("namespace") or "")


def _failed(uid: str, error: Exception, *, fail_open: bool) -> dict[str, Any]:
    # the text of an unknown error may quote the pod: its type has to do
    what = str(error) if isinstance(error, Malformed) else type(error).__name__
    sys.stderr.write(f"llm-sidecar injector: a review failed: {what}\n")
    text = f"llm-sidecar: not injected, an error of the injector: {what}"[:LONGEST]
    if fail_open:
        return {"uid": uid, "allowed": True, "warnings": [text]}
    return {"uid": uid, "allowed": False, "status": {"code": 500, "message": text}}


def _review(response: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response})
