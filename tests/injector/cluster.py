"""A Kubernetes API server on loopback: what the injector asks of one, with versions and conflicts."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any, Self

import jsonpatch
from aiohttp import web

WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/llm-sidecar-injector"
SECRETS = "/api/v1/namespaces/llm/secrets"
SECRET = f"{SECRETS}/llm-sidecar-injector-certs"

Before = Callable[[str, str], int]  # (method, path) -> a status to fail with; 0: go on


def webhook_configuration() -> dict[str, Any]:
    service = {"service": {"name": "llm-sidecar-injector", "namespace": "llm", "path": "/inject"}}
    names = ("pod.inject.llm-sidecar", "namespace.inject.llm-sidecar")
    return {
        "metadata": {"name": "llm-sidecar-injector"},
        "webhooks": [{"name": name, "clientConfig": copy.deepcopy(service)} for name in names],
    }


def _go_on(_method: str, _path: str) -> int:
    return 0


class Cluster:
    def __init__(self, *, minor: str = "33") -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.namespaces: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        self.before: Before = _go_on
        self.page = 250
        self.tokens: list[str] = []
        self._minor = minor
        self._version = 0
        self._runner: web.ServerRunner | None = None
        self.put(WEBHOOK, webhook_configuration())

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        body = copy.deepcopy(body)
        body.setdefault("metadata", {})["resourceVersion"] = str(self._version)
        self.objects[path] = body
        return body

    @property
    def bundles(self) -> list[str]:
        return [row["clientConfig"].get("caBundle", "") for row in self.objects[WEBHOOK]["webhooks"]]

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        assert self._runner is not None
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    # ---- answering -------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        path, query = request.path, dict(request.query)
        self.calls.append((request.method, path, query))
        self.tokens.append(request.headers.get("Authorization", ""))
        if status := self.before(request.method, path):
            return _status(status)
        body = await request.read()
        match request.method:
            case "GET" if path == "/version":
                return _json(200, {"major": "1", "minor": self._minor})
            case "GET" if path.endswith(("/pods", "/namespaces")):
                return self._list(path, query)
            case "GET":
                return _json(200, self.objects[path]) if path in self.objects else _status(404)
            case "POST":
                made = json.loads(body)
                where = f"{path}/{made['metadata']['name']}"
                return _status(409) if where in self.objects else _json(201, self.put(where, made))
            case "PUT":
                return self._replace(path, json.loads(body))
            case "PATCH":
                return self._patch(path, json.loads(body))
            case _:
                return _status(405)

    def _replace(self, path: str, body: dict[str, Any]) -> web.Response:
        there = self.objects.get(path)
        if there is None:
            return _status(404)
        if body["metadata"].get("resourceVersion") != there["metadata"]["resourceVersion"]:
            return _status(409)
        return _json(200, self.put(path, body))

    def _patch(self, path: str, changes: list[dict[str, Any]]) -> web.Response:
        if path not in self.objects:
            return _status(404)
        try:
            return _json(200, self.put(path, jsonpatch.apply_patch(self.objects[path], changes)))
        except jsonpatch.JsonPatchTestFailed:
            return _status(422)

    def _list(self, path: str, query: dict[str, str]) -> web.Response:
        assert int(query["limit"]) <= 500
        items = self.namespaces if path.endswith("/namespaces") else self.pods
        if found := re.fullmatch(r"/api/v1/namespaces/([^/]+)/pods", path):
            items = [pod for pod in items if pod["metadata"]["namespace"] == found[1]]
        items = [one for one in items if _selected(one, query)]
        start = int(query.get("continue", "0"))
        rest = len(items) > start + self.page
        metadata = {"continue": str(start + self.page)} if rest else {}
        return _json(200, {"metadata": metadata, "items": items[start : start + self.page]})


def _selected(one: dict[str, Any], query: dict[str, str]) -> bool:
    labels = one["metadata"].get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        name, equal, value = re.split(r"(!=|=)", term, maxsplit=1)
        if (labels.get(name) == value) != (equal == "="):
            return False
    phase = one.get("status", {}).get("phase", "Running")
    return f"status.phase!={phase}" not in query.get("fieldSelector", "").split(",")


def _json(status: int, body: Any) -> web.Response:
    return web.json_response(body, status=status)


def _status(status: int) -> web.Response:
    reasons = {404: "NotFound", 409: "Conflict", 422: "Invalid", 403: "Forbidden"}
    return _json(status, {"kind": "Status", "code": status, "reason": reasons.get(status, "InternalError")})
