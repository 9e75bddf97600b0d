"""Spans as OTLP, and the thread that carries them to a collector.

What it promises. Nothing here is imported by a sidecar that exports nothing. Where, how and with which
headers spans are sent is said by the OTEL_* variables and done by the exporters of OpenTelemetry, which
block; so they, and their imports, live in one thread. That thread does little else than wait: spans
are turned into protobuf by the caller in small slices, because encoding holds the interpreter, and a
thread that encodes a batch stalls every call for as long as a switch takes, again and again.

Why not the SDK's own encoder. It makes a message of 2 spans in 116 microseconds, field by field from
objects that are made for it; see wire for what is done instead.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from sidecar import __version__
from sidecar.telemetry.spans import Span, Value
from sidecar.telemetry.wire import Encoder

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

T = TypeVar("T")
SCOPE = "llm_sidecar"
_MODULES = {"http/protobuf": "http", "grpc": "grpc"}
PROTOCOLS = tuple(_MODULES)


def protocol(env: Mapping[str, str]) -> str:
    return (
        env.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
        or env.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or PROTOCOLS[0]
    )


def timeout(env: Mapping[str, str]) -> float | None:
    """Seconds for one export, tries included; None: as the exporters have it, 10.

    The conventions count milliseconds and the exporters for Python seconds: from 1,000 on it is the former.
    """
    for name in (
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "OTEL_BSP_EXPORT_TIMEOUT",
    ):
        try:
            value = float(env.get(name, ""))
        except ValueError:
            continue
        if value > 0:
            return value / 1000 if value >= 1000 or "BSP" in name else value
    return None


class Batch:
    """Spans of one request, being encoded. The exporters see no more of it than how many they are."""

    def __init__(
        self,
        request: ExportTraceServiceRequest,
        resource: Mapping[str, Value],
        encoder: Encoder | None = None,
    ) -> None:
        self.request = request
        self._encoder = encoder or Encoder()
        top = request.resource_spans.add()
        top.resource.MergeFromString(self._encoder.resource(resource))
        self._scoped = top.scope_spans.add()
        self._scoped.scope.name, self._scoped.scope.version = SCOPE, __version__

    def __len__(self) -> int:
        return len(self._scoped.spans)

    def add(self, spans: Iterable[Span]) -> None:
        self._scoped.MergeFromString(b"".join([self._encoder.span(span) for span in spans]))


class Courier:
    """One exporter in a thread of its own, which ends with the process whatever it waits for."""

    def __init__(self, protocol: str, timeout: float | None = None) -> None:
        self.protocol = protocol
        self._timeout = timeout
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._exporter: Any = None
        self._request: type[ExportTraceServiceRequest] | None = None
        self._resource: Mapping[str, Value] = {}
        self._encoder = Encoder()

    async def open(self) -> None:
        """Import and make the exporter. Raises what they raise: a wrong certificate, a missing package."""
        threading.Thread(target=self._work, name="telemetry", daemon=True).start()
        await self._soon(self._open)

    def batch(self) -> Batch:
        assert self._request is not None
        return Batch(self._request(), self._resource, self._encoder)

    def send(self, batch: Batch) -> asyncio.Future[bool]:
        """True if the collector took it; takes as long as the exporter tries, whoever waits for it."""
        return self._soon(lambda: bool(self._exporter.export(batch).name == "SUCCESS"))

    def close(self) -> None:
        """What is being sent is given up."""
        self._jobs.put(None)
        if self._exporter is not None:
            self._exporter.shutdown()

    # ---- in the thread

    def _open(self) -> None:
        # the exporters would say each failure on stderr; who reads logs reads ours
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        module = import_module(f"opentelemetry.exporter.otlp.proto.{_MODULES[self.protocol]}.trace_exporter")
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
        from opentelemetry.sdk.resources import Resource

        # both exporters call this with what they are given, and send what it returns
        if not hasattr(module, "encode_spans"):
            raise ImportError(f"{module.__name__} is not as it was: it has no encode_spans")
        vars(module)["encode_spans"] = _ready
        made = Resource.create().attributes
        named = str(made.get("service.name", "unknown_service"))
        unnamed = {} if not named.startswith("unknown_service") else {"service.name": "llm-sidecar"}
        plain = {key: value for key, value in made.items() if isinstance(value, str | bool | int | float)}
        self._resource = {**plain, **unnamed, "service.version": plain.get("service.version", __version__)}
        self._request = ExportTraceServiceRequest
        self._exporter = module.OTLPSpanExporter(timeout=self._timeout)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _soon(self, work: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001  # goes to whoever awaits it
                _say(loop, done, partial(done.set_exception, error))
            else:
                _say(loop, done, partial(done.set_result, result))

        self._jobs.put(job)
        return done


def _say(loop: asyncio.AbstractEventLoop, done: asyncio.Future[T], say: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(lambda: None if done.done() else say())
    except RuntimeError:  # the loop is closed: nobody waits any more
        return


def _ready(batch: Batch) -> ExportTraceServiceRequest:
    return batch.request
