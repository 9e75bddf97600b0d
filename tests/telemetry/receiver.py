"""A collector on loopback, over HTTP or gRPC: real protobuf, and the ways a collector can be bad."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc  # type: ignore[import-untyped]  # has none
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE = 20.0


@dataclass
class Collector:
    """What was received; `status` is what HTTP answers."""

    url: str = ""
    status: int = 200
    requests: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    def take(self, request: Any, headers: dict[str, str]) -> None:
        with self.came:
            self.requests.append(request)
            self.headers.append({name.lower(): value for name, value in headers.items()})
            self.came.notify_all()

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, Any]:
        return plain(self.requests[0].resource_spans[0].resource.attributes)

    def wait(self, spans: int) -> list[Span]:
        with self.came:
            assert self.came.wait_for(lambda: len(self.spans) >= spans, PATIENCE), len(self.spans)
        return self.spans


def plain(attributes: Any) -> dict[str, Any]:
    found = {}
    for pair in attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = tuple(v.string_value for v in value.values) if kind == "array_value" else value
    return found


@contextmanager
def over_http() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert "/v1/traces" == self.path
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()
            request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
            collector.take(request, dict(self.headers.items()))

        def log_message(self, *_: object) -> None:  # type: ignore[explicit-override]  # 3.11 has none
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def over_grpc() -> Iterator[Collector]:
    collector = Collector()

    class Servicer(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # type: ignore[explicit-override]  # noqa: N802  # gRPC's name
            collector.take(request, dict(context.invocation_metadata()))
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    serve: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    serve(Servicer(), server)
    collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()


@contextmanager
def black_hole() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def nobody() -> str:
    """Where no one listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"
