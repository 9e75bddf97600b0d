"""The front door: bytes of an application in, a `Call` to a stack, the answer out.

What happens to a request, in order: the strict checks (http_strict on raw bytes, http_rules on
headers); the path names a provider; its dialect names the operation. An operation we know is held,
read and sent through its route's stack. Everything else is passed on as it is, streamed, through
the pass-through service: unknown paths, encoded bodies, all calls while the bypass is on.

Three promises. An answer that was broken off never looks complete. A bug of ours costs a call its
policy, not its answer: as long as the client has seen nothing, the call goes once more, straight to
its provider (with `fail_mode: closed` it fails instead). And each call that became a `Call` is told
to have ended exactly once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import http_parser
from msgspec.structs import replace

from sidecar.core.admission import Admission, Held
from sidecar.dialects.base import BadBody, Dialect, Wire
from sidecar.events import (
    Bug,
    CallEnded,
    NestedRetry,
    Shed,
    Tell,
)
from sidecar.listener import complaints, jobs
from sidecar.listener.bodies import NoRoomError, Upload, arrived, read_held
from sidecar.listener.client_sink import ClientSink
from sidecar.listener.connection import CLOSE, KEEP, Bound, Connection, Door, Reply, Request
from sidecar.listener.heartbeat import Heartbeat
from sidecar.listener.http_rules import key_digest, retry_count, times
from sidecar.listener.http_strict import RequestError
from sidecar.listener.joining import Joining, mark
from sidecar.listener.nested import Nested
from sidecar.listener.reception import Asked, Generation, Reception
from sidecar.listener.sockets import BACKLOG, PortInUse, bind, check_exposure
from sidecar.listener.unknown import Unknown
from sidecar.model import (
    Answered,
    Ask,
    Call,
    Chunk,
    Clock,
    Failed,
    Fault,
    Head,
    Operation,
    Outcome,
    Record,
    Refused,
    RefusedBy,
    Service,
    Sink,
    Stage,
    spent,
)
from sidecar.routing import PASSTHROUGH, UnknownRoute, split_path
from sidecar.settings import Limits, Route

__all__ = ["Generation", "Listener", "PortInUse"]

UNWIND = 2.0  # seconds for stopped calls to write their last words

_DRAINING = "draining"
_OUR_FAULT = "llm-sidecar itself failed"
_OPAQUE = Ask(operation=Operation.OTHER, model="")
_PASSTHROUGH = Route(name=PASSTHROUGH, implicit=True)


@dataclass(slots=True, eq=False)
class _Running:
    """A call in flight. `stopped`: why we ended it ourselves."""

    task: asyncio.Task[object]
    stopped: RequestError | None = None

    def stop(self, why: RequestError) -> None:
        if self.stopped is None:
            self.stopped = why
            self.task.cancel()


class Listener:
    def __init__(
        self,
        *,
        current: Callable[[], Generation],
        admission: Admission,
        clock: Clock,
        tell: Tell,
        new_id: Callable[[], str],
        sample: Callable[[str, bool | None], bool | None] = lambda _, said: said,
        find_job: jobs.Jobs | None = None,
    ) -> None:
        """`new_id` gives 32 hexadecimal characters: the id of a call, and of its trace if it has none.
        `sample` decides about a trace, and what the application says of it.
        """
        self.bypass = False
        self._current = current
        self._admission = admission
        self._clock = clock
        self._tell = tell
        self._new_id = new_id
        self._sample = sample
        self._find_job = find_job
        self._nested = Nested()
        self._running: set[_Running] = set()
        self._joining = Joining(clock, tell)
        self._serving = 0  # requests that are received or answered
        self._all_done = asyncio.Event()
        self._closing = False
        self._servers: list[asyncio.AbstractServer] = []
        self._door: Door | None = None
        self._reception = Reception(clock, new_id)
        self._unknown = Unknown(tell)

    # ---- life ------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        return len(self._running)

    @property
    def busy(self) -> int:
        """Requests that are being received or answered."""
        return self._serving

    @property
    def connected(self) -> int:
        return 0 if self._door is None else self._door.open

    async def start(self) -> list[tuple[str, int]]:
        """Bind every host on one port. Raises PortInUse, or another OSError with the address."""
        if http_parser.HttpRequestParser.__module__ != "aiohttp._http_parser":
            raise RuntimeError(
                "aiohttp runs on its pure-Python HTTP parser, which is not strict enough to face clients; "
                "install a wheel of aiohttp with its C extensions and unset AIOHTTP_NO_EXTENSIONS"
            )
        listen = self._current().settings.listen
        check_exposure(listen)
        busy = RequestError(503, "overload", "too many connections are open; try again in a moment")
        self._door = Door(
            self._serve,
            head_seconds=listen.head_seconds,
            keepalive=listen.keepalive,
            most=listen.max_connections,
            full=_plain(complaints.wire(complaints.of_error(busy), None)),
            turned=lambda: self._tell(complaints.turned(busy)),
        )
        sockets = bind(listen)
        loop = asyncio.get_running_loop()
        for one in sockets:
            self._servers.append(await loop.create_server(self._door, sock=one, backlog=BACKLOG))
        return [one.getsockname()[:2] for one in sockets]

    def captured(self, bound: Bound) -> asyncio.BaseProtocol:
        """What serves a connection that was meant for a provider's own host; started listeners only."""
        assert self._door is not None
        return self._door.captured(bound)

    async def drain(self, seconds: float) -> None:
        """Serve on until no call is in flight or the time is over; then end what still runs, and close.
        New calls are taken meanwhile: the application beside us may need them for its own ending."""
        await self._quiet(seconds)
        await self.close()

    async def close(self) -> None:
        """End what still runs, each call with last words of its own, and close."""
        self._closing = True
        for server in self._servers:
            server.close()
        for running in tuple(self._running):
            running.stop(_draining())
        for connection in [] if self._door is None else self._door.connections:
            assert isinstance(connection, Connection)
            connection.give_up(_draining())
        self._joining.close()
        await self._quiet(UNWIND)
        if self._door is not None:
            await self._door.shutdown(0.1)
        self._servers.clear()

    async def _quiet(self, seconds: float) -> None:
        if not self._serving:
            return
        self._all_done.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._all_done.wait()
        except TimeoutError:
            return

    # ---- one request -----------------------------------------------------------------------

    async def _serve(self, request: Request) -> Reply:
        self._serving += 1
        try:
            return await self._answer(request)
        finally:
            self._serving -= 1
            if not self._serving:
                self._all_done.set()

    async def _answer(self, request: Request) -> Reply:
        asked: Asked | None = None
        try:
            asked = self._reception.check(request, self._current(), bypass=self.bypass)
            if asked is None:
                return await self._ours(request)
            if self._closing:
                raise _draining()
            with self._admission.hold() as room:
                body, upload = await self._receive(asked, room)
                return await self._start(asked, body, upload)
        except NoRoomError as error:
            assert asked is not None
            return await self._shed(asked, error, "memory")
        except RequestError as error:
            if error.code == _DRAINING and asked is not None:
                return await self._shed(asked, error, _DRAINING)
            self._tell(complaints.turned(error))
            reply, _ = await self._refuse(request, error)
            return reply

    async def _receive(self, asked: Asked, room: Held) -> tuple[bytes, bool]:
        """The body, and whether it is still to be streamed instead."""
        body = asked.request.body
        if asked.operation is None:
            whole = arrived(body)
            if whole is None:
                _continue(asked)
                return b"", True
            return whole, False
        length = asked.said.get(b"content-length")
        listen = asked.generation.settings.listen
        announced = int(length) if length else None
        if announced is not None and announced <= listen.max_body and not body.is_eof():
            _continue(asked)
        return await read_held(body, announced, room, self._admission, listen, self._clock), False

    async def _start(self, asked: Asked, body: bytes, streamed: bool) -> Reply:
        try:
            call, route, service = self._plan(asked, body)
        except RequestError:
            raise
        except Exception as error:  # noqa: BLE001  # the bypass after a bug of ours
            call, route, service = self._pass(asked, body)
            self._tell(Bug(call, type(error).__name__))
            if asked.generation.settings.fail_mode == "closed":
                service = _fail
        task = asyncio.current_task()
        assert task is not None
        running = _Running(task)
        if streamed:
            idle = asked.generation.settings.listen.body_idle
            call = replace(call, upload=Upload(asked.request.body, idle, running.stop))
        return await self._run(asked, call, service, running, route)

    def _plan(self, asked: Asked, body: bytes) -> tuple[Call, Route, Service]:
        if asked.operation is None or asked.dialect is None:
            return self._pass(asked, body)
        generation = asked.generation
        try:
            try:
                ask = asked.dialect.ask(asked.operation, asked.path, body)
            except BadBody as error:
                blank = Ask(operation=asked.operation, model="")
                if generation.route(asked.provider.name, blank, asked.route).implicit:
                    return self._pass(asked, body)  # its provider explains the mistake better
                raise RequestError(400, "bad_body", error.detail) from None
            route = generation.route(asked.provider.name, ask, asked.route)
        except UnknownRoute as error:
            raise RequestError(404, "unknown_route", str(error)) from None
        return self._call(asked, body, ask, route), route, generation.stacks[route.name]

    def _pass(self, asked: Asked, body: bytes) -> tuple[Call, Route, Service]:
        return self._call(asked, body, _OPAQUE, _PASSTHROUGH), _PASSTHROUGH, asked.generation.passthrough

    def _call(self, asked: Asked, body: bytes, ask: Ask, route: Route) -> Call:
        when = times(asked.said, asked.wish, route, asked.generation.settings.deadlines)
        return Call(
            id=self._new_id(),
            route=route.name,
            provider=asked.provider.name,
            dialect=asked.dialect.name if asked.dialect else "",
            method=asked.method,
            path=asked.path,
            query=asked.query,
            headers=asked.said.kept,
            body=body,
            ask=ask,
            traffic=when.traffic,
            arrived=asked.arrived,
            deadline=asked.arrived + when.deadline,
            record=Record(nested=retry_count(asked.said)),
            options=asked.wish.options,
            patience=when.patience,
            key_digest=key_digest(asked.said),
            trace_id=asked.trace_id,
            parent_id=asked.parent_id,
            exact=asked.exact,
            named=asked.route or "",
            shadow=route.shadow,
            once=route.once or _acts(asked, ask, route),
            sampled=self._sample(asked.trace_id, asked.sampled),
        )

    # ---- the call's life -------------------------------------------------------------------

    async def _run(
        self, asked: Asked, call: Call, service: Service, running: _Running, route: Route
    ) -> Reply:
        sink = self._sink(asked.request, call.record, call.trace_id, route.limits.write)
        if asked.wish.unknown:
            sink.ignored = asked.wish.unknown
            self._unknown.tell(call, asked.wish.unknown)
        key = asked.said.get(b"idempotency-key") or b""
        self._notice(call, key)
        self._running.add(running)
        outcome: Outcome | None = None
        keep = False
        committed = False
        try:
            try:
                with Heartbeat(call, sink, route.heartbeat):
                    outcome = await self._join(asked.generation, call, service, sink, route, key)
            except asyncio.CancelledError:
                committed = sink.stage is Stage.COMMITTED
                if running.stopped is None or asked.request.connection.transport is None:
                    if not committed:
                        self._nested.left(call, self._clock.now())
                    raise
                running.task.uncancel()
            committed = sink.stage is Stage.COMMITTED
            keep = await self._finish(call, outcome, sink, asked.dialect, running.stopped)
            if outcome is None and running.stopped is not None and running.stopped.code == _DRAINING:
                # the client was there to the end: an error of ours, and no cancelled call
                outcome = Failed(Fault.LOCAL_OVERLOAD, detail=running.stopped.message)
        finally:
            self._running.discard(running)
            self._tell(CallEnded(call, outcome, self._clock.now(), sink.status, committed))
        return KEEP if keep else CLOSE

    def _notice(self, call: Call, key: bytes) -> None:
        """R8: is somebody above us retrying?"""
        source = self._nested.source(call, call.record.nested, key, self._clock.now())
        if source is not None:
            call.record.nested = max(1, call.record.nested)
            self._tell(NestedRetry(call, source))

    async def _join(
        self, generation: Generation, call: Call, service: Service, sink: ClientSink, route: Route, key: bytes
    ) -> Outcome:
        """The same call twice is one piece of work."""
        same = mark(call, key, route.idempotency)
        if same is None:
            return await self._carry(generation, call, service, sink)
        return await self._joining.carry(
            same, call, sink, route.idempotency, lambda shared: self._carry(generation, call, service, shared)
        )

    async def _carry(self, generation: Generation, call: Call, service: Service, sink: Sink) -> Outcome:
        try:
            return await service(call, sink)
        except Exception as error:  # noqa: BLE001  # the one place where a bug is caught
            self._tell(Bug(call, type(error).__name__))
        again = generation.settings.fail_mode == "open" and service is not generation.passthrough
        if again and sink.stage is Stage.UNTOUCHED and call.upload is None and not spent(call):
            try:
                return await generation.passthrough(replace(call, ask=_OPAQUE), sink)
            except Exception as error:  # noqa: BLE001  # as above
                self._tell(Bug(call, type(error).__name__))
        return await _fail(call, sink)

    async def _finish(
        self,
        call: Call,
        outcome: Outcome | None,
        sink: ClientSink,
        dialect: Dialect | None,
        stopped: RequestError | None,
    ) -> bool:
        """Write the end of the answer; whether the connection can be used again."""
        if sink.stage is Stage.UNTOUCHED:
            await self._write(sink, self._complaint(call, outcome, dialect, stopped))
            return await sink.finish()
        if isinstance(outcome, Answered) or (isinstance(outcome, Failed) and outcome.told):
            return await sink.finish()
        if call.shadow:  # as its provider left it
            sink.cut()
            return False
        fault = Fault.STREAM_CUT if outcome is None else outcome.fault
        event = None
        if sink.event_stream and dialect is not None and call.ask.operation is not Operation.OTHER:
            why = "" if stopped is None else f": {stopped.message}"
            event = dialect.error_event(fault, f"llm-sidecar: the answer was broken off ({fault}){why}")
        if event is None:
            sink.cut()
            return False
        await sink.send(Chunk(event))
        return await sink.finish()

    def _complaint(
        self, call: Call, outcome: Outcome | None, dialect: Dialect | None, stopped: RequestError | None
    ) -> Wire:
        match outcome:
            case Failed(head=Head() as head) if head.status >= 400:
                return complaints.raw(outcome, head, shadow=call.shadow)
            case Failed() | Refused():
                return complaints.wire(complaints.of_outcome(outcome, call, self._clock.now()), dialect)
            case Answered():
                told = Failed(Fault.UNKNOWN, detail=_OUR_FAULT)
                return complaints.wire(complaints.of_outcome(told, call, self._clock.now()), dialect)
            case None:
                assert stopped is not None
                return complaints.wire(complaints.of_error(stopped), dialect)

    # ---- answers without a call --------------------------------------------------------------

    async def _refuse(self, request: Request, error: RequestError) -> tuple[Reply, int]:
        """And its status: a dialect may have one of its own."""
        head = request.head
        target = error.target or ("" if isinstance(head, RequestError) else head.path)
        generation = self._current()
        bound = request.connection.bound
        name = bound.provider if bound else split_path(target)[0]
        provider = generation.settings.providers.get(name) if target else None
        dialect = None if provider is None else generation.dialects.get(provider.dialect)
        sink = self._sink(request, Record(), self._new_id(), Limits().write)
        answer = complaints.wire(complaints.of_error(error), dialect)
        await self._write(sink, answer)
        return (KEEP if await sink.finish() else CLOSE), answer.head.status

    async def _shed(self, asked: Asked, error: RequestError, reason: str) -> Reply:
        call = self._call(asked, b"", _OPAQUE, _PASSTHROUGH)
        self._tell(Shed(call, reason))
        reply, status = await self._refuse(asked.request, error)
        refused = Refused(RefusedBy.ADMISSION, fault=Fault.LOCAL_OVERLOAD, detail=error.message)
        self._tell(CallEnded(call, refused, self._clock.now(), status, committed=False))
        return reply

    async def _ours(self, request: Request) -> Reply:
        head = request.head
        assert not isinstance(head, RequestError)
        if jobs.is_ours(head.path):
            answer = await jobs.answer(self._find_job, head.method, head.path, head.raw_headers)
        else:
            answer = self._hello()
        sink = self._sink(request, Record(), self._new_id(), Limits().write)
        await self._write(sink, answer)
        return KEEP if await sink.finish() else CLOSE

    def _hello(self) -> Wire:
        known = sorted(self._current().settings.providers)
        body = json.dumps({"llm-sidecar": "ready", "prefixes": [f"/{name}" for name in known]}).encode()
        headers = ((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
        return Wire(Head(200, headers=headers), body)

    def _sink(self, request: Request, record: Record, trace: str, write_limit: float) -> ClientSink:
        head = request.head
        if isinstance(head, RequestError):
            return ClientSink(
                request.connection,
                request.body,
                record,
                trace,
                self._clock,
                write_limit=write_limit,
                keep_alive=False,
            )
        return ClientSink(
            request.connection,
            request.body,
            record,
            trace,
            self._clock,
            write_limit=write_limit,
            keep_alive=not head.should_close and not head.upgrade,
            http10=head.version[1] == 0,
            head_only=head.method == "HEAD",
        )

    async def _write(self, sink: ClientSink, answer: Wire) -> None:
        await sink.start(answer.head)
        await sink.send(Chunk(answer.body))


async def _fail(call: Call, sink: Sink) -> Outcome:  # noqa: ARG001  # a Service
    return Failed(Fault.UNKNOWN, detail=_OUR_FAULT)


def _acts(asked: Asked, ask: Ask, route: Route) -> bool:
    """Is this a call of a tool that could act twice (RFC 9110, section 9.2.2)?"""
    unsafe = ask.operation is Operation.TOOL and asked.method in {"POST", "PATCH"}
    return unsafe and not route.repeat_posts and not asked.said.get(b"idempotency-key")


def _draining() -> RequestError:
    return RequestError(503, _DRAINING, "llm-sidecar is shutting down; try again in a moment")


def _continue(asked: Asked) -> None:
    """The client waits for this before it sends its body."""
    transport = asked.request.connection.transport
    if asked.said.get(b"expect") and transport is not None:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _plain(answer: Wire) -> bytes:
    """For a connection that never became one."""
    fields = b"".join(b"%b: %b\r\n" % field for field in answer.head.headers)
    return b"HTTP/1.1 %d \r\n%bconnection: close\r\n\r\n%b" % (answer.head.status, fields, answer.body)
