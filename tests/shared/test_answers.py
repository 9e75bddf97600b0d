"""Answers that pods share, in a real Redis and in bad ones: found, sealed, and never in anybody's way."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import meeting
from sidecar.answer_store import SharedAnswers
from sidecar.core.cache import Stored, pack, unpack
from sidecar.meeting import Unavailable
from sidecar.settings import CacheSize, Settings, Shared
from tests.kit.promtool import need
from tests.kit.vloop import LoopClock, run

SECRET, KEY = b"secret of the fleet", b"k" * 32
ANSWER = Stored(b'{"a":1}', b"application/json", "", "openai", 0.0, b"n;dropped")


class Word:
    """A secret as configuration has it."""

    digest = "0"

    def __init__(self, value: str) -> None:
        self.value = value

    def reveal(self) -> str:
        return self.value


def settings(url: str = "redis://x", key: str = "sixteen characters", *, shared: bool = True) -> Settings:
    return Settings(shared=Shared(url=Word(url), key=Word(key)), cache_size=CacheSize(shared=shared))


class Shelf:
    """In memory; `trouble` plays a Redis that is away."""

    def __init__(self, kept: dict[str, bytes]) -> None:
        self.kept = kept
        self.trouble = ""
        self.asked = 0

    async def connect(self) -> None:
        self._check()

    async def get(self, name: str) -> bytes:
        self.asked += 1
        if self.trouble == "slow":
            await asyncio.sleep(60)
        self._check()
        return self.kept.get(name, b"")

    async def set(self, name: str, value: bytes, seconds: float) -> None:
        self._check()
        self.kept[name] = value

    async def close(self) -> None:
        pass

    def _check(self) -> None:
        if self.trouble:
            raise Unavailable("connection", "cannot be reached")


def pod(shelf: Shelf, key: str = "sixteen characters") -> SharedAnswers:
    made = SharedAnswers(LoopClock(), opened=lambda *_: shelf)
    assert made.configure(settings(key=key))
    return made


def test_what_one_pod_keeps_another_finds_as_old_as_it_is():
    async def scenario() -> None:
        kept: dict[str, bytes] = {}
        one, other, stranger = pod(Shelf(kept)), pod(Shelf(kept)), pod(Shelf(kept), key="another fleet's key")
        one.put(KEY, ANSWER, 3600.0)
        await one.once()
        await asyncio.sleep(100)
        found = await other.get(KEY, LoopClock().now())

        assert found is not None
        assert (found.body, found.losses, round(found.at)) == (ANSWER.body, ANSWER.losses, 0)
        assert one.secret == other.secret != stranger.secret
        assert await stranger.get(KEY, 100.0) is None
        assert await other.get(b"j" * 32, 100.0) is None

    run(scenario())


@pytest.mark.parametrize("trouble", ["down", "slow"])
def test_a_store_that_is_away_costs_one_call_a_moment_and_then_rests(trouble: str):
    async def scenario() -> None:
        shelf = Shelf({})
        one, clock = pod(shelf), LoopClock()
        one.put(KEY, ANSWER, 3600.0)
        await one.once()
        shelf.trouble = trouble
        for _ in range(3):
            assert await one.get(KEY, clock.now()) is None
        assert clock.now() <= 0.06
        assert 1 == shelf.asked
        shelf.trouble = ""
        await asyncio.sleep(5)
        assert await one.get(KEY, clock.now()) is not None

    run(scenario())


def test_without_the_setting_nothing_is_shared():
    made = SharedAnswers(LoopClock(), opened=lambda *_: Shelf({}))

    assert not made.configure(settings(shared=False))
    assert not made.configure(Settings(cache_size=CacheSize(shared=True)))
    assert b"" == made.secret


@given(st.integers(0, 200), st.integers(1, 255))
def test_no_changed_byte_is_believed(at: int, change: int):
    data = bytearray(pack(ANSWER, KEY, SECRET, wall=50.0))
    data[at % len(data)] ^= change

    assert unpack(bytes(data), KEY, SECRET, wall=60.0, now=10.0) is None


@pytest.mark.parametrize("wall", [-20.0, float("nan"), float("-inf")])
def test_an_answer_from_the_future_is_none(wall: float):
    assert unpack(pack(ANSWER, KEY, SECRET, wall=50.0), KEY, SECRET, wall=wall, now=10.0) is None


@given(st.binary(max_size=200))
def test_garbage_is_none(data: bytes):
    assert unpack(data, KEY, SECRET, wall=1.0, now=1.0) is None


# ---- the real server --------------------------------------------------------------------------------------


@contextmanager
def server(socket: str) -> Iterator[None]:
    command = [need("redis-server"), "--port", "0", "--unixsocket", socket, "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own words
    assert process.stdout is not None
    try:
        assert any("eady to accept" in line for line in process.stdout)
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.process
def test_the_real_redis_gives_back_what_was_kept_and_its_death_is_survived(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(meeting, "CONNECT", 30.0)
    pytest.importorskip("redis")
    path = str(tmp_path_factory.mktemp("r") / "s")

    class Clock(LoopClock):
        async def sleep(self, seconds: float) -> None:  # type: ignore[explicit-override]  # 3.11 has none
            await asyncio.sleep(seconds)

    async def scenario() -> None:
        one, clock = SharedAnswers(Clock()), Clock()
        said = settings(f"unix://{path}")
        # as patient as may be: what is found is shown here, and not how soon on a busy machine
        assert one.configure(replace(said, shared=replace(said.shared, timeout=5.0)))
        with server(path):
            await one.once()
            one.put(KEY, ANSWER, 3600.0)
            await one.once()
            found = await one.get(KEY, clock.now())
            assert found is not None
            assert ANSWER.body == found.body
        assert await one.get(KEY, clock.now()) is None
        assert await one.get(KEY, clock.now()) is None
        one.configure(Settings())
        await one.once()  # closes what it had

    asyncio.run(scenario())
