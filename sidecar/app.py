"""The composition root: real clock, real chance, sockets; start, reload, drain.

Everything that has a memory is made once here and handed down. A configuration becomes a
`Generation` (settings, routes, stacks), and a reload is one assignment: parse, build, swap. What
is wrong with a new file is reported and the last good generation stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar import config, keeping, stack
from sidecar.admin import Admin
from sidecar.classify import classify
from sidecar.core.admission import Admission
from sidecar.core.breaker import Breaker
from sidecar.core.standing import Standing
from sidecar.dialects import DIALECTS
from sidecar.events import (
    BreakerMoved,
    Event,
    Reloaded,
    Restored,
)
from sidecar.listener.listener import Generation, Listener
from sidecar.model import (
    BreakerState,
    Head,
    Target,
    Verdict,
)
from sidecar.routing import Router
from sidecar.schema import compile_schema
from sidecar.settings import Limits, Route, Settings
from sidecar.signals.judging import Schemas
from sidecar.status import Status, watch_lag
from sidecar.telemetry import logs
from sidecar.telemetry.logs import Level, Logs
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.tracing import Tracing
from sidecar.upstream.egress import Pool
from sidecar.upstream.upstream import Upstream

RELOAD_EVERY = 1.0  # seconds between two looks at the configuration file
SAVE_EVERY = 60.0  # seconds between two savings of what was learned


class RealClock:
    """The loop's monotonic time, so that timers and arithmetic agree. Made inside the running loop."""

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time  # asked twenty times a call: found once

    def now(self) -> float:
        return self._time()

    def wall(self) -> float:
        return time.time()  # noqa: TID251  # the one place where wall time enters

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class App:
    """One sidecar. `write` takes log lines; `path` is the configuration that is watched."""

    def __init__(self, settings: Settings, *, path: Path | None, write: Callable[[str], None]) -> None:
        self.path = path
        self.clock = RealClock()
        self.rng = random.Random()  # noqa: S311  # jitter, not secrets
        self.memory = stack.Memory(self.rng)
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
        self.draining = False
        self._unsaved = False  # the last saving failed
        self._stop = asyncio.Event()
        self.generation = self._generation(settings)
        self.listener = Listener(
            current=lambda: self.generation,
            admission=self.admission,
            clock=self.clock,
            tell=self.tell,
            new_id=lambda: f"{self.rng.getrandbits(128):032x}",
            sample=self.tracing.sample,
        )
        self.listener.bypass = settings.bypass
        self.admin = Admin(view=self)

    # ---- life

    async def run(self, ready: Callable[[list[tuple[str, int]]], None] = lambda _: None) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Raises OSError if a port is taken."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        addresses = await self.start()
        ready(addresses)
        keepers = (
            watch_lag(self.clock, self._beat),
            self._keep_reloading(),
            self._keep_saving(),
            self.tracing.run(),
        )
        tasks = [_task(keeper) for keeper in keepers]
        try:
            await self._stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.stop()

    async def start(self) -> list[tuple[str, int]]:
        """Bind both ports; what was bound is given back if the second one is taken."""
        self.heartbeat = self.clock.now()
        self._restore()
        await self.tracing.start()
        addresses = await self.listener.start()
        try:
            await self.admin.start()
        except OSError:
            await self.listener.drain(0)
            raise
        self.started = True
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it again
        return addresses

    async def stop(self) -> None:
        self.drain()
        await self.listener.drain(self.settings.drain)
        await self.admin.stop()
        await self.pool.close()
        await self.tracing.stop()
        await self._save()

    def _beat(self, lag: float) -> None:
        self.heartbeat = self.clock.now()
        self.counters.set_lag(lag)

    # ---- configuration

    def _generation(self, settings: Settings) -> Generation:
        """Build everything that one configuration needs. Raises nothing but bugs."""
        router = self.router = Router(settings)
        self.pool.prepare(settings.providers.values())
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
        )
        self.memory.keep(settings)
        self.counters.configure(settings)
        self.tracing.configure(settings)
        self.logs.level = Level[settings.log_level.upper()]
        self.admission.slots = settings.admission.in_flight
        self.admission.bytes = settings.admission.held_bytes
        return Generation(
            settings=settings,
            dialects=DIALECTS,
            route=lambda provider, ask, name: (
                router.choose(provider=provider, ask=ask, header_route=name).route
            ),
            stacks={route.name: stack.build(route, env) for route in router.routes},
            passthrough=stack.build_passthrough(env),
        )

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
            settings = config.load(self.path)
        except config.ConfigError as error:
            problems = tuple(problem.text() for problem in error.problems)
            self.tell(Reloaded(False, self.settings.digest, problems))
            return
        try:
            generation = self._generation(settings)
        except (ValueError, OSError) as error:  # a file it names is not as it was when it was checked
            self.tell(Reloaded(False, self.settings.digest, (str(error),)))
            return
        if settings.bypass != self.settings.bypass:  # else an operator's word outlives the reload
            self.listener.bypass = settings.bypass
        self.generation = generation
        self.tell(Reloaded(True, settings.digest))

    async def _keep_reloading(self) -> None:
        if self.path is None:
            return
        seen = _signature(self.path)
        while True:
            await asyncio.sleep(RELOAD_EVERY)
            now = _signature(self.path)
            if now != seen and now is not None:
                seen = now
                self.reload()

    # ---- what was learned

    def _restore(self) -> None:
        """Take up what an earlier process had learned; whatever is wrong with it, go on without."""
        if self.settings.state_dir is None:
            return
        try:
            usual = keeping.load(Path(self.settings.state_dir), self.clock.wall())
            if usual is None:
                return
            self.memory.restore(usual)
        except keeping.Unusable as unusable:
            self.tell(Restored(False, str(unusable)))
        except (LookupError, ValueError, TypeError, AttributeError):
            self.tell(Restored(False, f"{keeping.NAME} does not hold what we write"))
        else:
            self.tell(Restored(True))

    async def _save(self) -> None:
        folder = self.settings.state_dir
        if folder is None:
            return
        try:
            # in a thread: a disk that hangs must not hold up a call
            await asyncio.to_thread(keeping.save, Path(folder), self.memory.snapshot(), self.clock.wall())
        except OSError as error:
            if not self._unsaved:  # said once, not every minute
                self.tell(Restored(False, f"state_dir cannot be written: {error.strerror}"))
            self._unsaved = True
        else:
            self._unsaved = False

    async def _keep_saving(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY)
            await self._save()

    # ---- telling

    def tell(self, event: Event) -> None:
        """Every event, to everybody who tells the truth about it."""
        self.counters.count(event)
        self.logs.write(event)
        self.past.note(event)
        self.tracing.note(event)

    def _unsent(self, reason: str, spans: int) -> None:
        self.counters.add_unsent("traces", reason, spans)

    # ---- what the admin surface sees and does

    @property
    def settings(self) -> Settings:
        return self.generation.settings

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

    def set_bypass(self, on: bool) -> None:
        """The operator's way out: calls go straight to their providers, past all policy."""
        self.listener.bypass = on

    def metrics(self, accept: str) -> tuple[bytes, str]:
        self.counters.set_in_flight(self.in_flight)
        for provider in self.settings.providers.values():
            active, idle = self.pool.connections(provider)
            if active or idle or provider.name in self._connected:
                self._connected.add(provider.name)
                self.counters.set_connections(provider.name, active=active, idle=idle)
        for _, target, standing in self._standings():
            for name, tally in standing.tallies.items():
                self.counters.add_evaluations(target, name, tally.news())
        return self.counters.render(accept)

    def status(self) -> dict[str, Any]:
        return {"ready": self.ready, "in_flight": self.in_flight, "bypass": self.bypass, **self.past.view()}

    def stack_text(self) -> str:
        lines = []
        for name, service in self.generation.stacks.items():
            lines.append(f"{name}: {' > '.join(stack.describe(service))}")
        return "\n".join(lines) + "\n"

    def breakers(self) -> list[dict[str, Any]]:
        return [
            self._row(key, way) for key, way in self._ways().items() if way.breaker.counts()[1] or way.moved
        ]

    def _row(self, key: str, way: _Way) -> dict[str, Any]:
        breaker = way.breaker
        bad, samples = breaker.counts()
        rest = max(0.0, breaker.until - self.clock.now()) if breaker.shown is BreakerState.OPEN else 0.0
        return {
            "key": key,
            "state": breaker.shown.value,
            "forced": breaker.forced is not None,
            "bad": bad,
            "samples": samples,
            "probe_in_s": round(rest, 1),
        }

    def signals(self) -> list[dict[str, Any]]:
        """What every signal did, or would have done, per route and target."""
        now = self.clock.now()
        return [
            {
                "route": route.name,
                "target": target.name,
                "signal": name,
                "action": getattr(route.signals, name),
                **tally.total.shown(shadow=tally.shadow is not None),
                "last_hour": tally.last_hour(now).shown(shadow=tally.shadow is not None),
            }
            for route, target, standing in self._standings()
            for name, tally in standing.tallies.items()
            if tally.total.evaluated
        ]

    def _standings(self) -> Iterator[tuple[Route, Target, Standing]]:
        for route in self.router.routes:
            for target in stack.targets(route):
                standing = self.memory.standings.get((route.name, target.name))
                if standing is not None:
                    yield route, target, standing

    def force(self, key: str, state: str) -> bool:
        way = self._ways().get(key)
        if way is None:
            return False
        wanted = {"open": BreakerState.OPEN, "closed": BreakerState.CLOSED, "auto": None}[state]
        way.breaker.force(wanted, self.clock.now())
        for moved in way.breaker.moves():
            self.tell(BreakerMoved(None, way.kind, way.route, way.target, way.provider, way.model, moved))
        return True

    def _ways(self) -> dict[str, _Way]:
        """Every breaker under the key that operators use: kind, then what it guards."""
        ways: dict[str, _Way] = {}
        for (provider, model, digest), breaker in self.memory.breakers.items():
            key = f"transport:{provider}/{logs.name(model)}/{digest or 'none'}"
            ways[key] = _Way(breaker, "transport", "", provider, provider, model)
        for route, target, standing in self._standings():
            quality, provider, model = standing.breaker, target.provider.name, target.model or ""
            ways[f"quality:{route.name}/{target.name}"] = _Way(
                quality, "quality", route.name, target.name, provider, model
            )
        return ways

    def drain(self) -> None:
        """Not ready any more; what comes is still served."""
        self.draining = True


@dataclass(frozen=True, slots=True)
class _Way:
    """A breaker, and what it stands before."""

    breaker: Breaker
    kind: str
    route: str
    target: str
    provider: str
    model: str

    @property
    def moved(self) -> bool:
        return self.breaker.forced is not None or self.breaker.state is not BreakerState.CLOSED


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work)  # noqa: TID251  # the app's keepers live as long as the process


def _signature(path: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        status = path.stat()  # follows the symlink that a ConfigMap swaps
        return status.st_mtime_ns, status.st_ino, status.st_size
    return None
