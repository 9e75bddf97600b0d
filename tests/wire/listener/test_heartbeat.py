"""Comments while a stream waits: what the client sees, and what may still happen behind them."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.model import Answered, Call, Chunk, Failed, Fault, Head, Outcome, Refused, RefusedBy, Sink, Stage
from sidecar.settings import Route

from .house import EVENTS, House, house, post, run, until

STREAM = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
WHOLE = STREAM.replace(b"true", b"false")
BEAT = b": waiting\n\n"
OFTEN = {name: Route(name=name, heartbeat=0.005) for name in ("openai", "anthropic")}


class Waiting:
    """Says nothing until it may, and then how it ended."""

    def __init__(self, outcome: Outcome | None = None) -> None:
        self.go = asyncio.Event()
        self.stages: list[Stage] = []
        self.outcome = outcome

    async def __call__(self, _call: Call, sink: Sink) -> Outcome:
        await self.go.wait()
        self.stages.append(sink.stage)
        if self.outcome is not None:
            return self.outcome
        await sink.start(Head(200, headers=(EVENTS, (b"x-own", b"1"))))
        await sink.send(Chunk(b"data: 1\n\n"))
        self.stages.append(sink.stage)
        return Answered(200)


async def beaten(home: House, path: str, body: bytes = STREAM) -> tuple[int, bytes]:
    """Status and body of a call whose service begins once the client has heard two beats."""
    service = home.service
    assert isinstance(service, Waiting)
    client = await home.client()
    client.send(post(path, body))
    head = await client.head()
    raw = b""
    while raw.count(BEAT) < 2:
        raw += await client.piece()
    service.go.set()
    while piece := await client.piece():
        raw += piece
    return head.status, raw


@pytest.mark.parametrize(
    "path", ["/openai/v1/chat/completions", "/openai/v1/responses", "/anthropic/v1/messages"]
)
def test_comments_come_while_the_answer_does_not(path: str):
    async def scenario() -> None:
        service = Waiting()
        async with house(service, routes=OFTEN) as home:
            body = STREAM.replace(b"messages", b"input") if "responses" in path else STREAM
            status, raw = await beaten(home, path, body)
            assert 200 == status
            assert b"data: 1\n\n" == raw.replace(BEAT, b"")
            assert raw.endswith(b"data: 1\n\n")  # none after the first content
            assert [Stage.OPENED, Stage.COMMITTED] == service.stages

    run(scenario())


FAILURES: dict[str, Outcome] = {
    "failed": Failed(Fault.OVERLOADED),
    "refused": Refused(RefusedBy.BREAKER, fault=Fault.OVERLOADED),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_an_error_behind_them_goes_into_the_stream(failure: str):
    async def scenario() -> None:
        async with house(Waiting(FAILURES[failure]), routes=OFTEN) as home:
            status, raw = await beaten(home, "/openai/v1/chat/completions")
            assert 200 == status
            assert b"overloaded" in raw
            assert b"[DONE]" not in raw

    run(scenario())


@pytest.mark.parametrize("body", [STREAM, WHOLE], ids=["stream", "whole"])
def test_without_the_setting_or_a_stream_there_are_none(body: bytes):
    async def scenario() -> None:
        service = Waiting()
        routes = {"openai": Route(name="openai", heartbeat=0.0 if body == STREAM else 0.001)}
        async with house(service, routes=routes) as home:
            client = await home.client()
            client.send(post(body=body))
            await until(lambda: home.calls)
            await asyncio.sleep(0.02)
            service.go.set()
            assert b"data: 1\n\n" == (await client.reply()).body
            assert Stage.UNTOUCHED is service.stages[0]

    run(scenario())
