"""Calls that are the same one are one piece of work: a real listener, raw clients, a scripted service."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

import pytest

from sidecar.events import Joined
from sidecar.model import Answered, Call, Chunk, Failed, Fault, Head, Outcome, Sink
from sidecar.settings import Idempotency, Route

from .house import CHAT, EVENTS, JSON, House, answering, house, post, run, saying, until

PATH = "/openai/v1/chat/completions"
KEY = b"Idempotency-Key: order-1"
OTHER = b'{"model":"gpt-4o","messages":[{"role":"user","content":"something else"}]}'


@dataclass
class Gated:
    """Says one piece, and the next when it may. `cancelled`: calls that were given up."""

    pieces: tuple[bytes, ...] = (b"data: 1\n\n", b"data: 2\n\n")
    go: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    cancelled: int = 0

    def begun(self, count: int) -> bool:
        return self.running >= count

    async def __call__(self, _call: Call, sink: Sink) -> Outcome:
        self.running += 1
        try:
            await sink.start(Head(200, headers=(EVENTS,)))
            await sink.send(Chunk(self.pieces[0]))
            await self.go.wait()
            for piece in self.pieces[1:]:
                await sink.send(Chunk(piece))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Answered(200)


def joined(home: House) -> list[str]:
    return [event.how for event in home.events if isinstance(event, Joined)]


def test_a_hundred_calls_that_are_the_same_ask_once_and_get_a_hundred_equal_answers():
    async def scenario() -> None:
        service = Gated()
        async with house(service) as home:
            clients = [await home.client() for _ in range(100)]
            for client in clients:
                client.send(post(PATH, CHAT, KEY))
            await until(lambda: len(home.calls) == 1 and len(joined(home)) == 99)
            service.go.set()
            replies = [await client.reply() for client in clients]
            assert {200} == {reply.status for reply in replies}
            assert {b"data: 1\n\ndata: 2\n\n"} == {reply.body for reply in replies}
            assert 1 == service.running
            await until(lambda: len(home.ended) == 100)

    run(scenario())


@pytest.mark.parametrize("how", ["given", "derived"])
def test_a_client_that_gives_up_and_asks_again_finds_the_work_still_running(how: str):
    async def scenario() -> None:
        service = Gated()
        async with house(
            service, routes={"openai": Route(name="openai", idempotency=Idempotency(keys=how))}
        ) as home:
            words = (KEY,) if how == "given" else ()
            first = await home.client()
            first.send(post(PATH, CHAT, *words))
            await until(partial(service.begun, 1))
            first.leave()
            second = await home.client()
            second.send(post(PATH, CHAT, *words))
            await until(lambda: joined(home) == ["running"])
            service.go.set()
            assert b"data: 1\n\ndata: 2\n\n" == (await second.reply()).body
            assert (1, 0) == (service.running, service.cancelled)

    run(scenario())


def test_work_that_nobody_comes_back_for_is_given_up():
    async def scenario() -> None:
        service = Gated()
        brief = Route(name="openai", idempotency=Idempotency(linger=0.01))
        async with house(service, routes={"openai": brief}) as home:
            client = await home.client()
            client.send(post(PATH, CHAT, KEY))
            await until(partial(service.begun, 1))
            client.leave()
            await until(lambda: service.cancelled == 1)

    run(scenario())


@pytest.mark.parametrize(
    "second",
    [
        post(PATH, OTHER, KEY),
        post(PATH, CHAT, b"Idempotency-Key: order-2"),
        post(PATH, CHAT, KEY, b"Authorization: Bearer other"),
        post(PATH.replace("chat/completions", "responses"), CHAT, KEY),
        post(PATH, CHAT),
    ],
    ids=["body", "key", "credential", "path", "no key"],
)
def test_what_differs_in_anything_is_another_call(second: bytes):
    async def scenario() -> None:
        service = Gated()
        async with house(service) as home:
            clients = [await home.client() for _ in range(2)]
            clients[0].send(post(PATH, CHAT, KEY))
            await until(partial(service.begun, 1))
            clients[1].send(second)
            await until(partial(service.begun, 2))
            service.go.set()
            assert [200, 200] == [(await client.reply()).status for client in clients]
            assert [] == joined(home)

    run(scenario())


def test_equal_bodies_alone_are_never_joined():
    async def scenario() -> None:
        service = Gated()
        async with house(service) as home:
            clients = [await home.client() for _ in range(2)]
            for client in clients:
                client.send(post(PATH, CHAT))
            await until(partial(service.begun, 2))
            service.go.set()
            assert [200, 200] == [(await client.reply()).status for client in clients]

    run(scenario())


def test_a_good_answer_is_given_again_for_a_while_and_says_so():
    async def scenario() -> None:
        async with house(answering()) as home:
            first, again = [await home.ask(post(PATH, CHAT, KEY)) for _ in range(2)]
            assert first.body == again.body
            assert b"answered" == again.get(b"x-llm-sidecar-joined")
            assert first.get(b"x-llm-sidecar-joined") is None
            assert 1 == len(home.calls)

    run(scenario())


def test_after_its_time_the_work_is_done_anew():
    async def scenario() -> None:
        none = Route(name="openai", idempotency=Idempotency(keep=0.0))
        async with house(answering(), routes={"openai": none}) as home:
            for _ in range(2):
                assert 200 == (await home.ask(post(PATH, CHAT, KEY))).status
            assert 2 == len(home.calls)

    run(scenario())


def test_a_failure_is_never_given_again():
    async def scenario() -> None:
        async with house(saying(Failed(Fault.OVERLOADED))) as home:
            for _ in range(2):
                assert 400 <= (await home.ask(post(PATH, CHAT, KEY))).status
            assert 2 == len(home.calls)

    run(scenario())


def test_a_failure_is_told_to_everybody_who_waits():
    async def scenario() -> None:
        go = asyncio.Event()

        async def service(_call: Call, _sink: Sink) -> Outcome:
            await go.wait()
            return Failed(Fault.OVERLOADED)

        async with house(service) as home:
            clients = [await home.client() for _ in range(3)]
            for client in clients:
                client.send(post(PATH, CHAT, KEY))
            await until(lambda: len(joined(home)) == 2)
            go.set()
            assert {503} == {(await client.reply()).status for client in clients}

    run(scenario())


def test_an_answer_that_outgrows_the_bound_takes_no_more_clients_and_keeps_its_first():
    async def scenario() -> None:
        big = b"x" * 300_000
        service = Gated((big, *(big,) * 9))
        async with house(service) as home:
            first = await home.client()
            first.send(post(PATH, CHAT, KEY))
            await until(partial(service.begun, 1))
            service.go.set()
            assert 3_000_000 == len((await first.reply()).body)
            assert 200 == (await home.ask(post(PATH, CHAT, KEY))).status
            assert 2 == service.running  # it was not kept

    run(scenario())


def test_the_end_of_the_process_ends_the_work():
    async def scenario() -> None:
        service = Gated()
        async with house(service) as home:
            client = await home.client()
            client.send(post(PATH, CHAT, KEY))
            await until(partial(service.begun, 1))
            await home.listener.close()
            assert 1 == service.cancelled

    run(scenario())


def test_the_head_of_json_is_the_same_for_all():
    async def scenario() -> None:
        async with house(answering(b'{"ok": 1}', JSON)) as home:
            first, again = [await home.ask(post(PATH, CHAT, KEY)) for _ in range(2)]
            same = (b"content-type", b"content-length")
            assert [first.get(name) for name in same] == [again.get(name) for name in same]

    run(scenario())
