"""Another product's webhook, which comes after ours and adds a container."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sidecar.injector.certificates import new_ca, new_leaf
from sidecar.injector.door import Door
from tests.cluster.injectors import WEBHOOKS
from tests.cluster.pods import HARDENED
from tests.cluster.servers import Cluster

NAME = "zz-neighbour"  # the API server goes by the alphabet
LATE = {"name": "late", "image": "registry.example.com/late:1", "securityContext": HARDENED}


@contextlib.contextmanager
def neighbour(cluster: Cluster, namespace: str) -> Iterator[list[str]]:
    """Yields the names of the pods it was asked about."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request = review["request"]
            seen.append(request["object"]["metadata"].get("name", ""))
            patch = json.dumps([{"op": "add", "path": "/spec/containers/-", "value": LATE}]).encode()
            review["response"] = {
                "uid": request["uid"],
                "allowed": True,
                "patchType": "JSONPatch",
                "patch": base64.b64encode(patch).decode(),
            }
            data = json.dumps(review).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:  # type: ignore[explicit-override]  # 3.11
            pass

    now = time.time()  # noqa: TID251  # certificates have dates
    ca = new_ca(now)
    door = Door()
    door.load(new_leaf(ca, ("localhost",), now))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = _wrapped(door.context, server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    cluster.create(WEBHOOKS, _configuration(server.server_port, ca.certificate, namespace))
    try:
        yield seen
    finally:
        cluster.call("DELETE", f"{WEBHOOKS}/{NAME}")
        server.shutdown()
        thread.join(30)
        server.server_close()


def _wrapped(context: ssl.SSLContext, server: ThreadingHTTPServer) -> ssl.SSLSocket:
    return context.wrap_socket(server.socket, server_side=True)


def _configuration(port: int, ca: bytes, namespace: str) -> dict[str, object]:
    webhook = {
        "name": "late.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "clientConfig": {"url": f"https://localhost:{port}/", "caBundle": base64.b64encode(ca).decode()},
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
    }
    return {"metadata": {"name": NAME}, "webhooks": [webhook]}
