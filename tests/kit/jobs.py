"""A queue with its worker over a scripted stack, in virtual time: the real file, the real layers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from sidecar import stack
from sidecar.core.admission import Admission
from sidecar.deferred.courier import Courier
from sidecar.deferred.worker import Worker
from sidecar.dialects import DIALECTS
from sidecar.events import Deferred, Event, Posted
from sidecar.listener import jobs
from sidecar.listener.reception import Generation
from sidecar.model import Call, Options, Outcome, Service, Traffic
from sidecar.schema import compile_schema
from sidecar.settings import Deferral, DeferredRules, RetryRules, Route, Settings, Webhook
from sidecar.signals.judging import Schemas
from tests.kit.answers import OpenAI
from tests.kit.script import Play, Script, target, verdict
from tests.kit.tape import Tape
from tests.kit.vloop import LoopClock

KEY = (b"Authorization", b"Bearer key-of-the-application")


class Inline(Executor):
    """Does it at once: virtual time knows no threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[explicit-override]
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  # as executors do
            done.set_exception(error)
        return done


class Hanging(Executor):
    """Begins what it is given, and does it when the disk goes on."""

    def __init__(self) -> None:
        self._begun: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[explicit-override]
        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()
        self._begun.append((done, lambda: fn(*args, **kwargs)))
        return done

    def goes_on(self) -> None:
        for done, work in self._begun:
            done.set_result(work())


@dataclass
class Desk:
    """`ask` as a client, `fetch` as a client, and see what was told."""

    play: Play
    worker: Worker
    courier: Courier
    service: Any
    told: list[Event]

    async def ask(self, text: str = "hello", *, defer: str = "", webhook: str = "", **more: Any) -> Tape:
        fields: dict[str, Any] = {"traffic": Traffic.BACKGROUND, "headers": (KEY,), **more}
        return await self.ask_with(
            self.play.call(OpenAI.request(text), options=Options(defer=defer, webhook=webhook), **fields)
        )

    async def ask_with(self, call: Call) -> Tape:
        tape = Tape()
        self.outcome: Outcome = await self.service(call, tape)
        return tape

    async def job(self, text: str = "hello", **more: Any) -> str:
        tape = await self.ask(text, **more)
        assert tape.head is not None
        assert 202 == tape.head.status
        return (tape.head.get(b"x-llm-sidecar-job") or b"").decode()

    async def fetch(self, job: str, *headers: tuple[bytes, bytes]) -> tuple[int, bytes]:
        wire = await jobs.answer(self.worker.queue.find, "GET", f"/llm-sidecar/jobs/{job}", headers or (KEY,))
        return wire.head.status, wire.body

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(one.run()) for one in (self.worker, self.courier)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until_done(self, seconds: float = 3600.0) -> None:
        """Until nothing waits."""
        async with asyncio.timeout(seconds):
            while (await self.worker.queue.counts()).jobs.get("waiting"):  # noqa: ASYNC110  # as clients do
                await asyncio.sleep(0.5)

    def posted(self, what: str) -> list[Posted]:
        return [event for event in self.told if isinstance(event, Posted) and event.what == what]

    def events(self, what: str) -> list[Deferred]:
        return [event for event in self.told if isinstance(event, Deferred) and event.what == what]


def background(*names: str, rules: Deferral = Deferral(), **more: Any) -> Route:  # noqa: B008  # frozen
    chain = tuple(target(name, "openai_chat") for name in names)
    more = {"retry": RetryRules(attempts=6), **more}  # as a configuration is read for this class
    return Route(name="r", chain=chain, traffic=Traffic.BACKGROUND, deferred=rules, **more)


@asynccontextmanager
async def desk(
    script: Script,
    folder: Path,
    *,
    route: Route | None = None,
    rules: DeferredRules = DeferredRules(),  # noqa: B008  # frozen
    working: bool = True,
    threads: bool = False,
    webhooks: Mapping[str, Webhook] | None = None,
    receiver: Service | None = None,
) -> AsyncIterator[Desk]:
    route = route or background(*script.plans)
    play = Play(script, route=replace(route, deferred=None))
    settings = Settings(
        providers={one.provider.name: one.provider for one in route.chain},
        routes=(route,),
        state_dir=str(folder),
        deferred=rules,
        webhooks=webhooks or {},
    )
    numbers = count(1)
    worker = Worker(
        lambda: generation, play.clock, play.memory.rng, play.told.append, lambda: f"{next(numbers):032x}"
    )
    if not threads:
        worker.queue._thread = Inline()
    env = stack.Env(
        settings,
        play.memory,
        Admission(512, 1 << 27),
        DIALECTS,
        lambda _: script,
        verdict,
        Schemas(compile_schema),
        LoopClock(),
        play.memory.rng,
        play.told.append,
        offer=worker.queue.offer,
    )
    later = stack.build_later(route, env)
    generation = Generation(
        settings, DIALECTS, lambda *_: route, {route.name: play.stack}, play.stack, {route.name: later}
    )
    assert await worker.queue.look()
    courier = Courier(
        lambda: generation.settings,
        worker.queue,
        receiver or script,
        play.clock,
        play.memory.rng,
        play.told.append,
    )
    it = Desk(play, worker, courier, stack.build(route, env), play.told)
    try:
        async with it.working() if working else nullcontext():
            yield it
    finally:
        await worker.queue.close()
