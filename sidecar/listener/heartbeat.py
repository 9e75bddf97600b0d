"""Signs of life for a client that waits for the first content of a stream [R24].

Some clients, and proxies in front of them, take silence for death. A comment in the event stream is no
event: the SDKs named in `DIALECTS` skip it (Google's does not, so Gemini has none). Off unless a route
says how often, because it has a price: the head of the answer is out, so a call that then fails ends in its
dialect's error event instead of a status, and the SDK raises another class of exception for it; and the
labels in our headers are not known yet, so they are not there.

Only the head and comments are out: until the first content another target may still answer.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from sidecar.listener.client_sink import ClientSink
from sidecar.model import Call, Stage

DIALECTS = frozenset({"openai_chat", "openai_responses", "anthropic"})
COMMENT = b": waiting\n\n"


class Heartbeat:
    """Beats while the frame lasts and the client has seen no content; `every` in seconds, 0: never."""

    __slots__ = ("_every", "_sink", "_timer")

    def __init__(self, call: Call, sink: ClientSink, every: float) -> None:
        self._sink = sink
        beats = call.ask.stream and call.dialect in DIALECTS and not call.shadow
        self._every = every if beats else 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if self._every:
            self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every, self._beat)

    def _beat(self) -> None:
        if self._sink.stage is not Stage.COMMITTED:
            self._sink.beat(COMMENT)
            self._wait()
