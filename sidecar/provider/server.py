"""The fake vendor: a server on loopback that answers by its script, and remembers what it saw.

    async with Vendor([do("rate_limit", retry_after=2), do("ok")]) as vendor:
        ...  # point a client at vendor.url, with /v1 behind it where its SDK wants that
        assert 2 == len(vendor.log)

It speaks every dialect at once, by path. It never looks at keys, and keeps only their digests.
Bytes are written by hand, without an HTTP library, so that it can misbehave in any way.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from sidecar.provider.answers import Asked
from sidecar.provider.behaviour import Behaviour, Moment
from sidecar.provider.faults import PLAYS, reset_before_headers
from sidecar.provider.gate import Gate
from sidecar.provider.script import Facts, Script, steps
from sidecar.provider.show import Bill, Ending, Turn
from sidecar.provider.voices import voice_of
from sidecar.provider.wire import Left, Line, RequestHead, Upload, head_bytes, read_head

SHUT = ("refuse", "blackhole")  # behaviours of the port, not of a connection
KEYS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"proxy-authorization", b"cookie")


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request as the vendor saw it. Times are the loop's."""

    number: int  # of the call, as the rules count
    connection: int  # from 1, in the order they were accepted
    at: float  # when its head had come, or the connection was accepted
    ended_at: float | None = None
    method: str = ""
    path: str = ""
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()  # names in lower case, keys masked
    key: str = ""  # digest of the key it came with
    body: bytes = field(default=b"", repr=False)  # up to 8 MiB of it
    size: int = 0  # of the body
    digest: str = ""  # sha256 of the body
    dialect: str = ""
    model: str = ""
    stream: bool = False
    nonce: str = ""
    behaviour: str = ""
    status: int = 0
    sent: int = 0  # bytes, head included
    bill: Bill = field(default_factory=Bill)  # what it would be charged: nothing where it was refused
    ended: str = ""  # answered, closed, cut, client_left, stopped; "" while it runs

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def digest(secret: str) -> str:
    """How a key appears in the log."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


class Vendor:
    """`plan`: a Script, or one behaviour per call, the last of which stays for ever."""

    def __init__(
        self,
        plan: Script | Sequence[Behaviour] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str = "vendor",
        seed: int = 0,
        tls: ssl.SSLContext | None = None,
        keep: bool = True,
        tell: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.log: list[Exchange] = []
        self.connections = 0  # accepted so far
        self._plan = plan if isinstance(plan, Script) else Script(rules=steps(plan), seed=seed)
        self._seed = seed
        self._tls = tls
        self._keep = keep
        self._tell = tell
        self._count = 0
        self._began = 0.0
        self._looked = 0.0  # when the plan was last asked about the port
        self._shut_until: float | None = None  # end of a refusal that has one
        self._lines: dict[Line, bool] = {}  # open connections: is an exchange running?
        self._tasks: set[asyncio.Task[Any]] = set()
        self._gate = Gate(
            host, self._wanted, self._next_edge, self._serve, self._port_moved, paused=tls is not None
        )
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._lines)

    @property
    def shut(self) -> bool:
        """Whether connections are refused now."""
        return bool(self._gate.shut)

    @property
    def running(self) -> int:
        """Exchanges that are not over."""
        return sum(self._lines.values())

    def script(self, *behaviours: Behaviour, plan: Script | None = None) -> None:
        """Replaces the plan: calls and seconds are counted anew. Running exchanges go on."""
        self._plan = plan or Script(rules=steps(behaviours), seed=self._seed)
        self._count = 0
        self._began = self._now()
        self._shut_until = None
        self._gate.turn()

    async def until(self, holds: Callable[[], bool], seconds: float = 10.0) -> None:
        """Waits for something about this vendor, such as `len(vendor.log) == 2`. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def __aenter__(self) -> Self:
        self._began = self._now()
        self.port = await self._gate.start(self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._gate.stop()
        await asyncio.sleep(0)  # whoever was accepted a moment ago gets a task that can be stopped
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- what is to be done ----

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _facts(self, number: int, **known: Any) -> Facts:
        return Facts(number=number, seconds=self._now() - self._began, **known)

    def _wanted(self) -> str:
        """Whether the port is shut for the next call, and how."""
        now = self._looked = self._now()
        if self._shut_until is not None and now >= self._shut_until:
            self._shut_until = None
            self._count += 1
        facts = Facts(number=self._count + 1, seconds=now - self._began)
        do = self._plan.choose(facts, Moment.ACCEPT)
        if do is None or do.name not in SHUT:
            self._shut_until = None
            return ""
        if self._shut_until is None and do.seconds is not None:
            self._shut_until = now + do.seconds
        return do.name

    def _port_moved(self) -> None:
        """Idle connections do not outlive an open port."""
        if self._gate.shut:
            for line, running in self._lines.items():
                if not running:
                    line.close()
        self._changed.set()

    def _next_edge(self) -> float | None:
        """Seconds until the port may have to open or close, by what was known at the last look."""
        looked = self._looked - self._began
        edges = [self._began + edge for edge in self._plan.edges() if edge > looked]
        if self._shut_until is not None and self._shut_until > self._looked:
            edges.append(self._shut_until)
        return max(0.0, min(edges) - self._now()) if edges else None

    # ---- one connection ----

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: asyncio.Event
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        line = Line(reader, writer, left)
        self._lines[line] = False
        try:
            await self._talk(line, self.connections)
        except (Left, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass  # each exchange has noted its own end
        finally:
            line.writer.transport.abort() if task.cancelling() else line.close()
            del self._lines[line]
            self._tasks.discard(task)
            self._changed.set()

    async def _talk(self, line: Line, connection: int) -> None:
        do = self._plan.choose(self._facts(self._count + 1), Moment.ACCEPT)
        if do is not None and do.name not in SHUT:
            exchange = self._note(line, connection, do)
            self._gate.turn()
            with self._ending(exchange, line):
                exchange.ended = await _greet(line, do)
            return
        if self._tls is not None:
            await line.start_tls(self._tls)
        first = True
        while first or not self._gate.shut:
            head = await read_head(line.reader)
            ending = await self._exchange(line, head, connection, first=first)
            if ending is not Ending.ANSWERED or (head.get(b"connection") or b"").lower() == b"close":
                return
            first = False

    async def _exchange(self, line: Line, head: RequestHead, connection: int, *, first: bool) -> Ending:
        voice = voice_of(head.path)
        known: dict[str, Any] = {"reused": not first, "dialect": voice.name}
        do = self._plan.choose(self._facts(self._count + 1, **known), Moment.HEAD)
        exchange = self._note(line, connection, do, head)
        self._gate.turn()  # the next call may find the port shut
        upload = Upload(line, head)
        asked = Asked(path=head.path)
        rng = random.Random(f"{self._plan.seed}/{exchange.number}")  # noqa: S311  # repeatable
        turn = Turn(
            line=line, head=head, upload=upload, voice=voice, asked=asked, do=do or Behaviour(), rng=rng
        )
        sent = line.sent
        with self._ending(exchange, line):
            try:
                expects = (head.get(b"expect") or b"").lower() == b"100-continue"
                if expects and (do is None or do.name not in ("no_continue", "early_answer")):
                    await line.write(head_bytes(100, []))
                if do is None or do.name in ("slow_read", "no_continue"):
                    await upload.read(rate=turn.do.rate if do and do.name == "slow_read" else None)
                    turn.asked = self._asked(turn, exchange)
                if do is None:
                    text = upload.kept.decode("utf-8", "replace")
                    known |= {"model": turn.asked.model, "stream": turn.asked.stream, "text": text}
                    facts = self._facts(exchange.number, **known)
                    turn.do = self._plan.choose(facts, Moment.BODY) or Behaviour()
                    exchange.behaviour = turn.do.name
                play = PLAYS.get(turn.do.name, reset_before_headers)
                ending = await play(turn)
                exchange.ended = ending
            finally:
                exchange.status, exchange.sent = turn.status, line.sent - sent
                if (
                    200 <= turn.status < 300 or turn.do.name == "hang"
                ):  # who hangs is at work, for all we know
                    exchange.bill = replace(turn.bill, given=max(1, turn.asked.size // 4))
        return ending

    def _asked(self, turn: Turn, exchange: Exchange) -> Asked:
        upload = turn.upload
        exchange.body, exchange.size, exchange.digest = upload.kept, upload.size, upload.digest
        try:
            body = json.loads(upload.kept)
        except ValueError:
            body = {}
        asked = turn.voice.read(turn.head.path, body if isinstance(body, dict) else {}, upload.size)
        asked = replace(asked, query=turn.head.query)
        exchange.dialect, exchange.model = turn.voice.name, asked.model
        exchange.stream, exchange.nonce = asked.stream, asked.nonce
        return asked

    # ---- the log ----

    def _note(
        self, line: Line, connection: int, do: Behaviour | None, head: RequestHead | None = None
    ) -> Exchange:
        self._count += 1
        self._lines[line] = True
        exchange = Exchange(number=self._count, connection=connection, at=self._now())
        exchange.behaviour = do.name if do else ""
        if head is not None:
            exchange.method, exchange.path, exchange.query = head.method, head.path, head.query
            exchange.headers, exchange.key = _masked(head)
            exchange.dialect = voice_of(head.path).name
        if self._keep:
            self.log.append(exchange)
        self._changed.set()
        return exchange

    @contextlib.contextmanager
    def _ending(self, exchange: Exchange, line: Line) -> Iterator[None]:
        try:
            yield
        except (Left, ConnectionError):
            exchange.ended = Ending.CLIENT_LEFT
            raise
        except asyncio.CancelledError:
            exchange.ended = Ending.STOPPED
            raise
        finally:
            exchange.ended_at = self._now()
            self._lines[line] = False
            if self._tell is not None:
                self._tell(exchange)
            self._changed.set()


async def _greet(line: Line, do: Behaviour) -> Ending:
    """The faults of a connection on which nothing was said yet."""
    match do.name:
        case "accept_reset":
            line.reset()
        case "tls_alert":
            await line.hello()
            await line.write(b"\x15\x03\x03\x00\x02\x02\x28")  # fatal: handshake_failure
            line.close()
        case _:
            await line.pause(None)
    return Ending.CUT


def _masked(head: RequestHead) -> tuple[tuple[tuple[str, str], ...], str]:
    """Headers fit to be kept, and the digest of the key."""
    out, key = [], ""
    for raw, value in head.headers:
        name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
        if raw.lower() in KEYS:
            scheme, _, secret = text.rpartition(" ")
            key = key or digest(secret)
            text = f"{scheme} #{digest(secret)}".strip()
        out.append((name, text))
    return tuple(out), key
