"""The composition root: real clock, real chance, sockets; start, reload, drain.

Everything that has a memory is made once here and handed down. A configuration, with an operator's
overrides laid over it, becomes a `Generation` (settings, routes, stacks), and a reload is one
assignment: parse, build, swap. What is wrong with a new file is reported and the last good generation
stays. How a sidecar ends is core/ending's word; here it is done.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import secrets
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

from sidecar import config, keeping, overrides, stack
from sidecar.admin import Admin
from sidecar.advisor import Advisor
from sidecar.answer_store import SharedAnswers
from sidecar.capture.capture import Capture
from sidecar.classify import classify
from sidecar.core.admission import Admission
from sidecar.core.ending import Ending
from sidecar.deferred.courier import Courier
from sidecar.deferred.worker import Worker
from sidecar.dialects import DIALECTS
from sidecar.environment import Pod
from sidecar.events import Bypassed, Event, Overridden, PodEnds, Pressed, Reloaded
from sidecar.listener.listener import Generation, Listener
from sidecar.memory import Memory
from sidecar.model import Head, Provider, Verdict
from sidecar.models.catalogue import Cards
from sidecar.pressure import Cgroup, Level, Pressure
from sidecar.pricing import settle
from sidecar.routing import Router
from sidecar.schema import compile_schema
from sidecar.settings import Limits, Settings
from sidecar.signals.judging import Schemas
from sidecar.status import Status, watch_lag
from sidecar.switchboard import Switchboard
from sidecar.telemetry import content
from sidecar.telemetry.logs import Logs
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.tracing import Tracing
from sidecar.upstream.egress import Pool
from sidecar.upstream.upstream import Upstream
from sidecar.watched import Keys, Watched

LOOK_EVERY = 1.0  # seconds between two looks at the files, and at the memory
END_EVERY = 0.05  # seconds between two looks whether it is over


class RealClock:
    """The loop's monotonic time, so that timers and arithmetic agree. Made inside the running loop."""

    def __init__(self) -> None:
        self.now = asyncio.get_running_loop().time  # asked twenty times a call: no frame in between

    def wall(self) -> float:
        return time.time()  # noqa: TID251  # the one place where wall time enters

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class App:
    """One sidecar. `write` takes log lines; `pod` says where its configuration comes from."""

    def __init__(
        self, settings: Settings, *, pod: Pod, write: Callable[[str], None], file: Watched | None = None
    ) -> None:
        """`file` is the configuration's as it was when `settings` were read."""
        self.pod = pod
        self._file = file or Watched(pod.path, seen=True)
        self.clock = RealClock()
        self.rng = random.Random()  # noqa: S311  # jitter, not secrets
        self.memory = Memory(self.rng, secret=secrets.token_bytes(32))
        self.admission = Admission(settings.admission.in_flight, settings.admission.held_bytes)
        self.counters = Metrics(settings, wall=self.clock.wall)
        self.logs = Logs(write, self.clock.wall, level=settings.log_level)
        self.tracing = Tracing(
            settings, env=os.environ, clock=self.clock, tell=self.tell, dropped=self._unsent
        )
        self.past = Status(self.clock)
        self.heartbeat = 0.0
        self._connected: set[str] = set()  # providers that were ever connected: theirs show zeros
        # a place takes as many connections as there may be calls
        self.pool = Pool(clock=self.clock, limit=settings.admission.in_flight)
        self.schemas = Schemas(compile_schema)
        self.started = False
        self.ending = Ending(pod.native, pod.grace)
        self._stop = asyncio.Event()
        self.pressure = Pressure()
        self.keys = Keys(self.tell)
        self.overrides = overrides.Watch(pod.overrides, self.clock.wall)
        self.switchboard = Switchboard(self.memory, lambda: self.router.routes, self.clock, self.tell)
        self.keeper = keeping.Keeper(self.memory, lambda: self.settings.state_dir, self.clock, self.tell)
        self.advisor = Advisor(
            settings=lambda: self.settings.shared,
            breakers=lambda: tuple(self.memory.breakers.items()),
            waits=self.memory.waits,
            clock=self.clock,
            rng=self.rng,
            pod=f"{self.rng.getrandbits(64):016x}",
            tell=self.tell,
            advised=self.counters.add_advice,
            failed=self.counters.add_shared_error,
            show=self.counters.set_shared,
        )
        self.memory.greet, self.memory.mark = self.advisor.greet, self.advisor.mark
        self.later = Worker(
            lambda: self.generation,
            self.clock,
            self.rng,
            self.tell,
            new_id=self._new_id,
            sample=self.tracing.sample,
            ending=lambda: self.draining,
        )
        self.courier = Courier(
            lambda: self.settings,
            self.later.queue,
            self._upstream(Limits()),
            self.clock,
            self.rng,
            self.tell,
            ending=lambda: self.draining,
        )
        self.answer_store = SharedAnswers(self.clock, failed=self.counters.add_shared_error)
        self._secret = self.memory.secret  # of this process
        said = self.overrides.look()
        self.pool.prepare(_places(settings))
        self.generation = self._generation(settings)
        self.listener = Listener(
            current=lambda: self.generation,
            admission=self.admission,
            clock=self.clock,
            tell=self.tell,
            new_id=self._new_id,
            sample=self.tracing.sample,
            find_job=self.later.queue.find,
        )
        self._bypass = False  # as configuration and overrides want it
        self.capture = (
            None
            if settings.capture.mode == "off"
            else Capture(self.listener, current=lambda: self.settings, clock=self.clock, tell=self.tell)
        )
        self.admin = Admin(view=self)
        self._steer(said)
        if warned := self._warnings(settings):
            self.tell(Reloaded(True, settings.digest, warned))

    # ---- life

    async def run(self, ready: Callable[[list[tuple[str, int]]], None] = lambda _: None) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Raises OSError if a port is taken."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._signalled)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        addresses = await self.start()
        ready(addresses)
        keepers = (
            watch_lag(self.clock, self._beat),
            self._keep_looking(),
            self._keep_measuring(),
            self.keeper.run(),
            self.later.run(),
            self.courier.run(),
            self.tracing.run(),
            self.memory.learning.run(self.clock),
            self.advisor.run(),
            self.answer_store.run(),
        )
        tasks = [_task(keeper) for keeper in keepers]
        try:
            await self._stop.wait()
            await self._serve_out()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.stop()

    async def start(self) -> list[tuple[str, int]]:
        """Bind all ports; what was bound is given back if another one is taken. Only then `started`."""
        self.heartbeat = self.clock.now()
        self.keeper.restore()
        await self.later.queue.look()  # before the first call may need it
        await self.tracing.start()
        addresses = await self.listener.start()
        try:
            await self.admin.start()
            if self.capture is not None:
                await self.capture.start()
        except OSError:
            await self.admin.stop()
            await self.listener.close()
            raise
        self.started = True
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it again
        return addresses

    async def stop(self) -> None:
        """End what still runs, let go of everything, send and save what there is."""
        await self.listener.close()
        if self.capture is not None:
            await self.capture.stop()
        await self.later.queue.close()
        await asyncio.gather(self.tracing.stop(), self.admin.stop(), self.pool.close(), self.keeper.save())

    # ---- the end

    def drain(self, source: str = "verb") -> None:
        """The pod ends: not ready any more, what comes is still served, as far as the time reaches."""
        if self.draining and source == "verb":
            return
        now = self.clock.now()
        self.ending.begin(now)
        self.admission.latest = min(self.ending.latest, self.ending.limit)
        self.tell(PodEnds(source, self.admission.latest - now))

    def _signalled(self) -> None:
        if self._stop.is_set():
            self.ending.hurry(self.clock.now())
        self._stop.set()

    async def _serve_out(self) -> None:
        """After SIGTERM: until nobody needs us any more, or the time is over."""
        self.ending.terminate(self.clock.now(), self.settings.drain)
        self.drain("signal")
        while not self.ending.over(self.clock.now(), busy=self.listener.busy, connected=self._clients):
            await self.clock.sleep(END_EVERY)

    @property
    def _clients(self) -> int:
        """Connections of the application."""
        return self.listener.connected + (0 if self.capture is None else self.capture.tunnels)

    def _beat(self, lag: float) -> None:
        self.heartbeat = self.clock.now()
        self.counters.set_lag(lag)

    # ---- configuration

    def _generation(self, settings: Settings) -> Generation:
        """Build everything that one configuration needs, as the overrides want it."""
        router = self.router = Router(settings, self.overrides.held.shape)
        env = stack.Env(
            settings=settings,
            memory=self.memory,
            admission=self.admission,
            dialects=DIALECTS,
            upstream=self._upstream,
            classify=self._classify,
            schemas=self.schemas,
            clock=self.clock,
            rng=self.rng,
            tell=self.tell,
            captures=content.opened(settings, os.environ),
            offer=None if settings.state_dir is None else self.later.queue.offer,
            cards=Cards(settings.models),
        )
        sharing = self.answer_store.configure(settings)
        self.memory.answer_store = self.answer_store if sharing else None
        self.memory.secret = self.answer_store.secret if sharing else self._secret
        self.memory.keep(settings)
        self.counters.configure(settings)
        self.keys.follow(settings)
        self.tracing.configure(settings)
        self.logs.set_level(settings.log_level)
        self.admission.slots = settings.admission.in_flight
        self.admission.bytes = settings.admission.held_bytes
        self.memory.answers.resize(settings.cache_size.entries, settings.cache_size.bytes)
        return Generation(
            settings=settings,
            dialects=DIALECTS,
            route=lambda provider, ask, name: (
                router.choose(provider=provider, ask=ask, header_route=name).route
            ),
            stacks={route.name: stack.build(route, env) for route in router.routes},
            passthrough=stack.build_passthrough(env),
            later={route.name: stack.build_later(route, env) for route in router.routes if route.deferred},
        )

    def _new_id(self) -> str:
        return f"{self.rng.getrandbits(128):032x}"

    def _upstream(self, limits: Limits) -> Upstream:
        return Upstream(self.pool, limits, self.clock)

    def _classify(self, provider: str, status: int, head: Head, body: bytes) -> Verdict:
        return classify(
            provider=provider,
            status=status,
            headers=head.headers,
            body=body,
            wall=self.clock.wall(),
            streamed=True,
        )

    def reload(self) -> None:
        """Take the file as it is now; keep the last good generation if it is wrong."""
        try:
            settings = self.pod.load()
        except config.ConfigError as error:
            problems = tuple(problem.text() for problem in error.problems)
            self.tell(Reloaded(False, self.settings.digest, problems))
            return
        try:
            self.pool.prepare(_places(settings))
        except (ValueError, OSError) as error:  # a file it names is not as it was when it was checked
            self.tell(Reloaded(False, self.settings.digest, (str(error),)))
            return
        self.generation = self._generation(settings)
        self.tell(Reloaded(True, settings.digest, self._warnings(settings)))
        self._steer(False)

    def _warnings(self, settings: Settings) -> tuple[str, ...]:
        """What `check` warns of and no call tells: a fallback without its key is passed over in silence."""
        found = config.without_key(settings) + config.unkept(settings)
        return (*self.pod.unused, *(problem.text() for problem in found))

    async def _keep_looking(self) -> None:
        while True:
            await self.clock.sleep(LOOK_EVERY)
            if self._file.changed() and self._file.there:
                self.reload()
            self.keys.look()
            self.memory.tab.look(self.clock.now(), self.tell)
            if self.overrides.look():
                self.generation = self._generation(self.settings)
                self._steer(True)

    def _steer(self, said: bool) -> None:
        """What the overrides say, with the configuration behind them, holds from now on. `said`: there is
        news in them."""
        held = self.overrides.held
        self.switchboard.order(held)
        wanted = self.settings.bypass if held.bypass is None else held.bypass
        if wanted != self._bypass:  # else an operator's word outlives the reload
            self._bypass = wanted
            self.set_bypass(wanted, "configuration" if held.bypass is None else "overrides")
        active = dict(held.active())
        self.counters.set_overrides({kind: active.get(kind, 0) for kind in overrides.KINDS})
        if said:
            problems, idle = self.overrides.problems, held.idle(self.settings, Router(self.settings).routes)
            shown = tuple(f"{kind} {size}" for kind, size in active.items())
            self.tell(Overridden(not problems, shown, problems, idle))

    async def _keep_measuring(self) -> None:
        """The memory that is left: what is held optionally is given up before the kernel takes all."""
        group = Cgroup(self.pod.cgroup)
        while True:
            reading = group.read()
            changed = self.pressure.see(reading)
            share = 0.0 if reading is None else reading.share
            self.counters.set_memory(self.pressure.level, share)
            if changed:
                self.admission.tight = self.pressure.level >= Level.TIGHT
                self.admission.full = self.pressure.level >= Level.FULL
                self.memory.answers.closed = self.admission.tight
                if self.admission.full:
                    self.memory.answers.clear()
                self.tell(Pressed(self.pressure.level.name.lower(), share))
            await self.clock.sleep(LOOK_EVERY)

    # ---- telling

    def tell(self, event: Event) -> None:
        """Every event, to everybody who tells the truth about it."""
        settle(event)  # the ledger first: the others read it
        self.counters.count(event)
        self.logs.write(event)
        self.past.note(event)
        self.tracing.note(event)
        self.advisor.note(event)

    def _unsent(self, reason: str, spans: int) -> None:
        self.counters.add_unsent("traces", reason, spans)

    # ---- what the admin surface sees and does

    @property
    def settings(self) -> Settings:
        return self.generation.settings

    @property
    def draining(self) -> bool:
        return self.ending.began is not None

    @property
    def ready(self) -> bool:
        return self.started and not self.draining

    @property
    def heartbeat_age(self) -> float:
        return self.clock.now() - self.heartbeat

    @property
    def in_flight(self) -> int:
        return self.admission.in_flight

    @property
    def bypass(self) -> bool:
        return self.listener.bypass

    def set_bypass(self, on: bool, source: str = "verb") -> None:
        """The operator's way out: calls go straight to their providers, past all policy."""
        if on != self.bypass:
            self.listener.bypass = on
            self.tell(Bypassed(on, source))

    def metrics(self, accept: str) -> tuple[bytes, str]:
        self.counters.set_in_flight(self.in_flight)
        self.counters.costs.show(*self.memory.tab.dollars(self.clock.now()))
        self.counters.set_deferred(self.later.gauges())
        self.counters.set_webhooks(self.courier.gauges())
        self.counters.set_tunnels(0 if self.capture is None else self.capture.tunnels)
        for provider in self.settings.providers.values():
            active, idle = self.pool.connections(provider)
            if active or idle or provider.name in self._connected:
                self._connected.add(provider.name)
                self.counters.set_connections(provider.name, active=active, idle=idle)
        for _, target, standing in self.switchboard.standings():
            for name, tally in standing.tallies.items():
                self.counters.add_evaluations(target, name, tally.news())
        answers = self.memory.answers
        self.counters.set_cache(answers.size)
        for reason, count in answers.news().items():
            self.counters.add_evictions(reason, count)
        return self.counters.render(accept)

    def status(self) -> dict[str, Any]:
        held = self.overrides.held
        return {
            "ready": self.ready,
            "in_flight": self.in_flight,
            "bypass": self.bypass,
            "draining": self.draining,
            "memory": self.pressure.level.name.lower(),
            "shared": self.advisor.state,
            "overrides": {
                "active": dict(held.active()),
                "until": held.until,
                "problems": list(self.overrides.problems),
                "idle": list(held.idle(self.settings, Router(self.settings).routes)),
            },
            **self.past.view(),
        }

    def stack_text(self) -> str:
        stacks = self.generation.stacks.items()
        return "".join(f"{name}: {' > '.join(stack.describe(service))}\n" for name, service in stacks)

    def breakers(self) -> list[dict[str, Any]]:
        return self.switchboard.breakers()

    def signals(self) -> list[dict[str, Any]]:
        return self.switchboard.signals()

    def force(self, key: str, state: str) -> bool:
        return self.switchboard.force(key, state)


def _places(settings: Settings) -> list[Provider]:
    """Where bytes may go."""
    return [*settings.providers.values(), *(webhook.place for webhook in settings.webhooks.values())]


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work)  # noqa: TID251  # the app's keepers live as long as the process
