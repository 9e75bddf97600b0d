"""What a hostile provider can say, and what becomes of it."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from sidecar.model import Answered, Failed, Fault
from sidecar.upstream.upstream import ERROR_BODY
from tests.wire.upstream.rig import JSON, Conversation, Script, rig


def run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def saying(*answer: bytes) -> Script:
    async def script(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.send(*answer)
        await conversation.closed()

    return script


def test_a_provider_cannot_speak_in_our_name():
    forged = (
        b"X-LLM-Sidecar-Tier: static\r\nx-llm-sidecar-served-by: evil\r\nx-llm-sidecar-x: 1\r\nx-mine: 1\r\n"
    )

    async def scenario() -> None:
        async with rig(saying(JSON.replace(b"content-length", forged + b"content-length"))) as one:
            outcome, tape = await one.ask()
            assert isinstance(outcome, Answered)
            assert tape.head is not None
            names = [name.lower() for name, _ in tape.head.headers]
            assert b"x-mine" in names
            assert not [name for name in names if name.startswith(b"x-llm-sidecar")]

    run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_a_status_below_100_is_an_answer_that_cannot_be_read_not_a_promise_of_one(stream: bool):
    async def scenario() -> None:
        async with rig(saying(b"HTTP/1.1 000 x\r\ncontent-length: 0\r\n\r\n")) as one:
            outcome, _ = await one.ask(one.call(stream=stream))
            assert isinstance(outcome, Failed)
            assert outcome.fault is Fault.MALFORMED_CHUNK

    run(scenario())


def test_promises_without_an_end_are_not_waited_for():
    async def scenario() -> None:
        async with rig(saying(*[b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n"] * 500)) as one:
            outcome, _ = await one.ask()
            assert isinstance(outcome, Failed)
            assert outcome.fault is Fault.MALFORMED_CHUNK
            assert "no end" in outcome.detail

    run(scenario())


def test_an_error_that_inflates_to_much_is_read_as_far_as_any_error():
    packed = gzip.compress(b"x" * 64 * 1024 * 1024)
    head = b"HTTP/1.1 500 x\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)

    async def scenario() -> None:
        async with rig(saying(head + packed)) as one:
            tracemalloc.start()
            try:
                outcome, _ = await one.ask()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert isinstance(outcome, Failed)
            assert outcome.fault is Fault.SERVER_ERROR
            assert len(outcome.body) == ERROR_BODY
            assert outcome.head is not None
            assert outcome.head.get(b"content-encoding") is None
            assert peak < 8 * ERROR_BODY

    run(scenario())
