"""The real Redis server: what it may do to us, and what real pods save with it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import aiohttp
import pytest
import yaml

from sidecar.core.fleet import LARGEST, Message, Seal
from sidecar.meeting import Claim, RedisMeeting, Unavailable
from sidecar.provider import Behaviour as Do
from sidecar.provider import Vendor
from tests.kit.redis import behind, client, free_port, redis_server, secrets, tls
from tests.kit.world import Sidecar, sidecar

pytestmark = pytest.mark.process  # a port that was free is anybody's until the server has it

KEY = "a key of the whole fleet"
# twenty start for a minute where a machine is small: LLM_SIDECAR_TEST_PODS=20 plays the whole fleet. Whatever
# their number, some retries go out before five attempts have failed and that is told, and how many is chance:
# of 12 pods the bound has room for seven, of 8 for four
PODS = int(os.environ.get("LLM_SIDECAR_TEST_PODS", "12"))
REST = 0.5 if PODS < 20 else 1.0  # second, for the minute of our defaults; ten minutes are ten rests
DEAD_FOR = 13 * REST  # the first three are for telling that it is dead, which goes by calls and not by rests

# ---- the place itself ----------------------------------------------------------------------


@asynccontextmanager
async def meeting(port: int, *, url: str = "") -> AsyncIterator[RedisMeeting]:
    made = RedisMeeting(url or f"redis://127.0.0.1:{port}/0", "fleet", 5.0)
    try:
        yield made
    finally:
        await made.close()


def at_a_place(test: Callable[[int], Awaitable[None]]) -> None:
    port = free_port()
    with redis_server(port):
        asyncio.run(_awaited(test(port)))


async def _awaited(work: Awaitable[None]) -> None:
    await work


def test_what_one_pod_tells_the_other_reads_and_one_of_them_gets_the_lease() -> None:
    async def play(port: int) -> None:
        async with meeting(port) as one, meeting(port) as other:
            first = await one.exchange([b"news"], 0.0, [Claim("probe", b"one", held=False)], 10.0)
            second = await other.exchange([], 0.0, [Claim("probe", b"other", held=False)], 10.0)
            again = await one.exchange([], 0.0, [Claim("probe", b"one later", held=True)], 10.0)
        assert [b"news"] == [value for _, value in second.entries]
        assert [b"one", b"one", b"one"] == [answer.leases[0][0] for answer in (first, second, again)]
        assert 9.0 < again.leases[0][1] <= 10.0

    at_a_place(play)


def test_who_prolongs_a_lease_that_has_become_anothers_learns_whose_it_was() -> None:
    async def play(port: int) -> None:
        async with meeting(port) as one, meeting(port) as other, client(port) as redis:
            await one.exchange([], 0.0, [Claim("probe", b"one", held=False)], 10.0)
            await redis.flushall()
            await other.exchange([], 0.0, [Claim("probe", b"other", held=False)], 10.0)
            answer = await one.exchange([], 0.0, [Claim("probe", b"one later", held=True)], 10.0)
        assert b"other" == answer.leases[0][0]

    at_a_place(play)


def test_everything_that_is_written_has_an_end_and_names_nothing() -> None:
    async def play(port: int) -> None:
        name = Seal(KEY.encode(), "fleet").name(("openai", "gpt", "c8fe32c7"))
        async with meeting(port) as one, client(port) as redis:
            await one.exchange([b"news"], 0.0, [Claim(name, b"one", held=False)], 10.0)
            keys = await redis.keys("*")
            assert {b"fleet:1:news", f"fleet:1:probe:{name}".encode()} == set(keys)
            assert all([0 < await redis.pttl(key) <= 900_000 for key in keys])

    at_a_place(play)


def test_news_are_read_from_the_newest_end_and_not_all_of_them() -> None:
    async def play(port: int) -> None:
        async with meeting(port) as one:
            await one.exchange([b"%d" % n for n in range(400)], 0.0, [], 10.0)
            answer = await one.exchange([], 0.0, [], 10.0)
        assert [b"%d" % n for n in range(144, 400)] == [value for _, value in answer.entries]

    at_a_place(play)


def test_what_is_of_another_type_or_bars_the_way_is_written_anew() -> None:
    async def play(port: int) -> None:
        claims = [Claim("probe", b"one", held=False)]
        async with meeting(port) as one, client(port) as redis:
            for spoil in (
                redis.set("fleet:1:news", "garbage"),
                redis.lpush("fleet:1:probe:probe", "garbage"),
                redis.xadd("fleet:1:news", {"v": "last"}, id=f"{2**64 - 1}-{2**64 - 1}"),
                redis.xadd("fleet:1:news", {"v": b"x" * (LARGEST + 1)}),
            ):
                await redis.flushall()
                await spoil
                spoilt = await one.exchange([b"news"], 0.0, claims, 10.0)
                assert "reply" == spoilt.trouble
                mended = await one.exchange([b"news"], 0.0, claims, 10.0)
                assert ("", [b"news"], b"one") == (
                    mended.trouble,
                    [value for _, value in mended.entries],
                    mended.leases[0][0],
                )

    at_a_place(play)


def test_over_tls_only_a_redis_of_a_known_ca_is_spoken_to_and_the_reason_is_told(tmp_path: Path) -> None:
    known, other = tls(tmp_path / "known"), tls(tmp_path / "other")

    async def told(url: str) -> tuple[str, str]:
        async with meeting(0, url=url) as made:
            with pytest.raises(Unavailable) as no:
                await made.exchange([], 0.0, [], 10.0)
        assert "hunter2" not in str(no.value)
        return no.value.reason, no.value.detail

    async def play(port: int) -> None:
        at = f"rediss://:hunter2@localhost:{port}/0"
        async with meeting(0, url=f"{at}?ssl_ca_certs={known}/ca.pem") as one:
            for _ in range(2):  # the second connection as well
                answer = await one.exchange([b"news"], 0.0, [Claim("probe", b"one", held=False)], 10.0)
                await one.close()
        assert ([b"news"] * 2, b"one") == ([value for _, value in answer.entries], answer.leases[0][0])

        for url, words in (
            (at, "of a CA that is not known here: name the CA's file in the url, ?ssl_ca_certs=PATH"),
            (f"{at}?ssl_ca_certs={other}/ca.pem", "of a CA that is not known here"),
            (f"{at}?ssl_ca_certs={known}/ca.pem".replace("localhost", "127.0.0.1"), "another address"),
        ):
            reason, detail = await told(url)
            assert "tls" == reason, url
            assert words in detail
        assert ("setup", "names a file for TLS that cannot be read") == await told(f"{at}?ssl_ca_certs=/none")

    port = free_port()
    with redis_server(port, "hunter2", tls=known):
        asyncio.run(play(port))


def test_why_it_cannot_be_asked_is_told_without_its_url() -> None:
    async def reason(url: str) -> str:
        made = RedisMeeting(url, "fleet", 0.3)
        with pytest.raises(Unavailable) as told:
            await made.exchange([], 0.0, [], 10.0)
        assert "hunter2" not in str(told.value)
        return told.value.reason

    async def play(port: int) -> None:
        async with behind(port, None) as mute:
            assert "timeout" == await reason(f"redis://127.0.0.1:{mute}/0")
        assert "connection" == await reason(f"redis://:hunter2@127.0.0.1:{free_port()}/0")
        assert "auth" == await reason(f"redis://:hunter2@127.0.0.1:{port}/0")
        assert "setup" == await reason("http://hunter2")
        assert "setup" == await reason("redis://127.0.0.1:hunter2/0")

    port = free_port()
    with redis_server(port, "another"):
        asyncio.run(play(port))


# ---- a pod ---------------------------------------------------------------------------------


def _fetch(url: str, body: object = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data=data, headers={"content-type": "application/json"})  # noqa: S310  # loopback
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        return answer.status, answer.read()


async def ask(pod: Sidecar, provider: str, text: str = "hi") -> int:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    status, _ = await asyncio.to_thread(_fetch, pod.url(provider) + "/v1/chat/completions", body)
    return status


async def metric(pod: Sidecar, name: str) -> float | None:
    """The sum over its series; None where there is none."""
    _, text = await asyncio.to_thread(_fetch, f"http://127.0.0.1:{pod.admin}/metrics")
    found = [line for line in text.decode().splitlines() if line.startswith("llm_sidecar_" + name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found) if found else None


async def until(pod: Sidecar, name: str, holds: Callable[[float], bool], provider: str = "") -> None:
    """Until a metric is as it should be; calls go on meanwhile, and none fails."""
    async with asyncio.timeout(60):
        while (value := await metric(pod, name)) is None or not holds(value):
            if provider:
                assert 200 == await ask(pod, provider)
            await asyncio.sleep(0.1)


def config(vendors: dict[str, Vendor], shared: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "providers": {
            name: {"dialect": "openai_chat", "url": vendor.url, "private": True, "key": {"env": "INJECTED"}}
            for name, vendor in vendors.items()
        },
        "routes": [
            {"name": f"route.{name}", "match": {"provider": name}, "chain": [name, "well"]}
            for name in vendors
            if name != "well"
        ],
        **more,
    }
    return made | ({"shared": {**shared, "every": "50ms"}} if shared else {})


def test_no_call_fails_whatever_becomes_of_the_redis(tmp_path: Path) -> None:
    """Down at the start, up, flushed, filled with garbage, forged at, killed; one pod through all of it."""

    async def play() -> None:
        port = free_port()
        shared = secrets(tmp_path, f"redis://127.0.0.1:{port}/0") | {"timeout": "50ms"}
        async with Vendor([Do("ok")]) as well, Vendor([Do("overloaded")]) as ill:
            with sidecar(config({"well": well, "ill": ill}, shared)) as pod:
                await until(pod, 'shared_errors_total{reason="connection"}', lambda n: n >= 3, "ill")
                assert 1.0 == await metric(pod, "shared_silent")
                with redis_server(port):
                    await until(pod, "shared_silent", lambda n: n == 0, "ill")
                    async with client(port) as redis:
                        await redis.flushall()
                        assert 200 == await ask(pod, "ill")
                        await _spoil(redis)
                        await until(pod, 'shared_errors_total{reason="forged"}', lambda n: n >= 1, "ill")
                        await until(pod, 'shared_errors_total{reason="unreadable"}', lambda n: n >= 1, "ill")
                        await redis.set("llm-sidecar:1:news", "garbage")
                        await until(pod, 'shared_errors_total{reason="reply"}', lambda n: n >= 1, "ill")
                await until(pod, "shared_silent", lambda n: n == 1, "ill")

    asyncio.run(play())


async def _spoil(redis: Any) -> None:
    forged = Seal(b"the key of another fleet", "llm-sidecar").close(Message(pod="x", count=1, at=0.0))
    for value in (forged, b"\x80\x04garbage", b""):
        await redis.xadd("llm-sidecar:1:news", {"v": value})


def test_no_call_waits_for_a_redis_that_never_answers_is_slow_or_refuses_us(tmp_path: Path) -> None:
    """A call that awaited the mute one would never end."""
    known, other = tls(tmp_path / "known"), tls(tmp_path / "other")

    async def play() -> None:
        port, secure = free_port(), free_port()
        servers = redis_server(port, "the password"), redis_server(secure, tls=known)
        with servers[0], servers[1], ExitStack() as pods:
            async with Vendor([Do("ok")]) as well, behind(port, None) as mute, behind(port, 0.2) as slow:
                urls = {
                    "timeout": f"redis://:the password@127.0.0.1:{mute}/0",
                    "timeout again": f"redis://:the password@127.0.0.1:{slow}/0",
                    "auth": f"redis://:hunter2@127.0.0.1:{port}/0",
                    "tls": f"rediss://:hunter2@localhost:{secure}/0?ssl_ca_certs={other}/ca.pem",
                }
                for reason, url in urls.items():
                    folder = tmp_path / reason.replace(" ", "-")
                    folder.mkdir()
                    shared = secrets(folder, url) | {"timeout": "50ms"}
                    pod = pods.enter_context(sidecar(config({"well": well}, shared)))
                    name = f'shared_errors_total{{reason="{reason.split()[0]}"}}'
                    await until(pod, name, lambda n: n >= 1, "well")
                    assert 1.0 == await metric(pod, "shared_silent")
                    log = pod.log.read_text()
                    assert '"event":"shared"' in log
                    assert ("of a CA that is not known here" in log) is (reason == "tls")
                    assert "hunter2" not in log + (await asyncio.to_thread(_status, pod))

    asyncio.run(play())


def _status(pod: Sidecar) -> str:
    return _fetch(f"http://127.0.0.1:{pod.admin}/status")[1].decode()


# ---- a fleet -------------------------------------------------------------------------------


async def traffic(pods: list[Sidecar], provider: str) -> None:
    """A call of each pod in two rests; one pod after the other begins."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def one(number: int, pod: Sidecar, session: aiohttp.ClientSession) -> None:
        at = began + number * 2 * REST / PODS
        while at < began + DEAD_FOR:
            await asyncio.sleep(max(0.0, at - loop.time()))
            body = {"model": "m", "messages": [{"role": "user", "content": f"{number} {at}"}]}
            async with session.post(pod.url(provider) + "/v1/chat/completions", json=body) as answer:
                assert 200 == answer.status
                await answer.read()
            at = max(at + 2 * REST, loop.time())

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(one(number, pod, session) for number, pod in enumerate(pods)))


def test_processes_that_meet_ask_a_dead_provider_seldom_and_one_at_a_time(tmp_path: Path) -> None:
    """A quarter of the attempts at most, of the same pods without and with. Rests are a small part of our
    defaults and grow as they do, so that there are as many probes as in ten minutes; calls and retries
    are not shortened, so that what is sent before the breakers open is what it is. (All of it in its own
    time, at other rates, is played in virtual time, in test_advisor.)
    """

    async def play() -> None:
        port = free_port()
        rules = {"breaker": {"open": REST, "longest": 5 * REST}}
        with redis_server(port), ExitStack() as stack:
            plan = [Do("overloaded", delay=0.05)]
            async with Vendor([Do("ok")]) as well, Vendor(plan) as alone, Vendor(plan) as together:
                vendors = {"well": well, "alone": alone, "together": together}
                made = config(vendors, None, defaults=rules)
                starts = (asyncio.to_thread(stack.enter_context, sidecar(made)) for _ in range(PODS))
                pods = await asyncio.gather(*starts)
                await traffic(pods, "alone")
                shared = secrets(tmp_path, f"redis://127.0.0.1:{port}/0")
                made = config(vendors, shared, defaults=rules)
                made["shared"] |= {"every": "250ms", "timeout": "250ms"}  # as a machine may be busy
                for pod in pods:
                    pod.config.write_text(yaml.safe_dump(made))
                    os.kill(pod.process.pid, signal.SIGHUP)
                for pod in pods:
                    await until(pod, "shared_silent", lambda n: n == 0)
                await traffic(pods, "together")
        asked = len(alone.log), len(together.log)
        print(f"{PODS} processes: {asked[0]} attempts alone, {asked[1]} together")  # noqa: T201  # for the page
        assert asked[1] * 4 <= asked[0], asked
        probes = [one for one in together.log if one.at > together.log[0].at + 3 * REST]
        overlaps = sum(later.at < (former.ended_at or 0.0) for former, later in pairwise(probes))
        assert probes
        assert 0 == overlaps, asked

    asyncio.run(play())
