"""A place where pods meet, in memory and in virtual time, and a fleet of stacks that does."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecar.advisor import Advisor
from sidecar.events import Event
from sidecar.meeting import Answer, Claim, Unavailable
from sidecar.settings import Shared
from tests.kit.script import Play, Script
from tests.kit.vloop import LoopClock

FLEET_KEY = "a key of the whole fleet"


class Word:
    """A secret that is what it says."""

    def __init__(self, value: str | None) -> None:
        self.value = value

    @property
    def digest(self) -> str:
        return "" if self.value is None else f"{hash(self.value) & 0xFFFFFFFF:08x}"

    def reveal(self) -> str | None:
        return self.value


def shared(**more: Any) -> Shared:
    return Shared(**{"url": Word("redis://here"), "key": Word(FLEET_KEY), **more})


@dataclass(slots=True)
class Gathering:
    """What a Redis does for us. `fails`: why it does not. `delay`: seconds of a round trip."""

    entries: list[tuple[float, bytes, bytes]] = field(default_factory=list)
    leases: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    fails: str = ""
    delay: float = 0.001
    rounds: int = 0

    async def exchange(
        self, news: Sequence[bytes], since: float, claims: Sequence[Claim], lease: float
    ) -> Answer:
        await asyncio.sleep(self.delay)
        self.rounds += 1
        if self.fails:
            raise Unavailable(self.fails, "as the test wants it")
        clock = LoopClock()
        for value in news:
            self.entries.append((clock.wall(), b"%d-0" % self.rounds, value))
        del self.entries[: -256 if len(self.entries) > 512 else 0]
        now = clock.now()
        self.leases = {name: held for name, held in self.leases.items() if held[1] > now}
        lying = []
        for claim in claims:
            before = self.leases.get(claim.name)
            if claim.anew or claim.held == (before is not None):
                self.leases[claim.name] = (claim.value, now + lease)
            lies, until = self.leases.get(claim.name, (b"", now))
            lying.append((before[0] if claim.held and before else lies, until))
        return Answer(
            [(which, value) for at, which, value in self.entries if at >= since][-256:],
            [(value, until - now) for value, until in lying],
        )

    async def close(self) -> None:
        pass


@dataclass(slots=True)
class Pod:
    play: Play
    advisor: Advisor
    advised: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


def pod(name: str, script: Script, place: Gathering, *, rules: Shared | None = None, **more: Any) -> Pod:
    """A stack over `script` with an advisor that meets the others at `place`."""
    play = Play(script, **more)
    held = rules or shared()
    advised: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    advisor = Advisor(
        settings=lambda: held,
        breakers=lambda: tuple(play.memory.breakers.items()),
        waits=play.memory.waits,
        clock=play.clock,
        rng=random.Random(name),
        pod=name,
        tell=lambda event: tell(event),  # noqa: PLW0108  # made below
        advised=lambda kind: advised.update([kind]),
        failed=lambda reason: failed.update([reason]),
        show=lambda prefix, *, silent: None,  # noqa: ARG005
        meet=lambda *_: place,
    )

    def tell(event: Event) -> None:
        play.told.append(event)
        advisor.note(event)

    play.tell = tell
    play.memory.greet, play.memory.mark = advisor.greet, advisor.mark
    play.stack = play.build(play.route)
    return Pod(play, advisor, advised, failed)
