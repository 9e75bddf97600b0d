"""What waits is asked for in its order, at the provider's pace, and nothing of it disappears."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path

from sidecar.core.pace import Pace, pause
from sidecar.events import Queued
from sidecar.model import Answered, Call, Failed, Fault, Outcome, Sink, Tier, Traffic
from sidecar.settings import Deferral, DeferredRules, RetryRules, StaticAnswer
from tests.kit.answers import OpenAI
from tests.kit.jobs import KEY, Hanging, Inline, background, desk
from tests.kit.script import Script, answer, error, lost, stream
from tests.kit.vloop import run

WELL = OpenAI.whole("all is well")
ONCE = RetryRules(attempts=1, per_call=1)


def texts(script: Script) -> list[str]:
    return [json.loads(asked.body)["messages"][0]["content"] for asked in script.asked]


def test_a_provider_that_comes_back_is_asked_in_order_one_at_a_time_first_and_at_its_rate(tmp_path: Path):
    """A provider that is down for 20 minutes, a breaker that opens, and 60 calls that wait."""
    down, most = 1200.0, [0]

    async def provider(call: Call, sink: Sink) -> Outcome:
        most[0] = max(most[0], script.open)
        if asyncio.get_running_loop().time() < down:
            return await lost(Fault.NETWORK)(call, sink)
        return await answer(WELL, after=2.0)(call, sink)

    script = Script({"a": [provider]})
    rules = DeferredRules(concurrency=3, per_second=1.0)

    async def play() -> None:
        async with desk(script, tmp_path, rules=rules, route=background("a", retry=ONCE)) as it:
            for number in range(60):
                await it.job(f"{number:02}")
                await asyncio.sleep(1.0)
            await it.until_done()

    run(play())
    before = [one for one in script.asked if one.at < down]
    after = [one for one in script.asked if one.at >= down]
    order = texts(script)[-len(after) :]
    assert len(before) < 60, "the breaker holds them back: most are never asked for while it is down"
    assert order == sorted(order)
    assert 60 == len(set(order))
    assert most[0] <= 3
    assert all(later.at - one.at >= 0.999 for one, later in pairwise(after)), "one a second"
    assert after[1].at - after[0].at >= 2.0, "one at a time until one is answered"


def test_a_wait_that_the_provider_names_is_kept(tmp_path: Path):
    limit = error(OpenAI.LIMIT, headers=((b"retry-after", b"40"),))
    script = Script({"a": [limit, answer(WELL)]})

    async def play() -> None:
        async with desk(script, tmp_path, route=background("a", retry=ONCE)) as it:
            await it.job("first")
            await it.job("second", defer="always")
            await it.until_done()
            assert [] == it.events("put_off"), "a refusal costs a job nothing"

    run(play())
    assert ["first", "first", "second"] == texts(script)
    assert script.asked[1].at - script.asked[0].at >= 40.0


def test_a_job_that_fails_waits_alone_and_is_given_up_after_its_attempts(tmp_path: Path):
    async def provider(call: Call, sink: Sink) -> Outcome:
        if b"sick" in call.body:
            return await error(OpenAI.OVERLOADED)(call, sink)
        return await answer(WELL)(call, sink)

    script = Script({"a": [provider]})
    route = background("a", retry=ONCE, rules=Deferral(attempts=3))

    async def play() -> None:
        async with desk(script, tmp_path, route=route) as it:
            sick = await it.job("sick", defer="always")
            well = await it.job("well", defer="always")
            await it.until_done()

            assert (200, WELL) == await it.fetch(well)
            status, body = await it.fetch(sick)
            assert OpenAI.OVERLOADED == (status, body), "the provider's own words"
            assert 2 == len(it.events("put_off"))
            assert [1, 1] == [len(it.events(what)) for what in ("answered", "failed")]

    run(play())
    assert ["sick", "well", "sick", "sick"] == texts(script)


def test_what_is_wrong_with_a_request_is_not_asked_again(tmp_path: Path):
    script = Script({"a": [error(OpenAI.INVALID)]})

    async def play() -> None:
        async with desk(script, tmp_path) as it:
            tape = await it.ask("at once")
            assert tape.head is None, "no receipt: the application sees its mistake"
            job = await it.job("later", defer="always")
            await it.until_done()
            assert OpenAI.INVALID == await it.fetch(job)

    run(play())
    assert 2 == len(script.asked)


def test_what_waits_too_long_is_given_up_and_its_owner_is_told(tmp_path: Path):
    async def play() -> None:
        script = Script({"a": [lost()]})
        async with desk(script, tmp_path, route=background("a", rules=Deferral(expires=600.0))) as it:
            job = await it.job()
            await it.until_done()

            assert 410 == (await it.fetch(job))[0]
            [ended] = it.events("expired")
            assert 600.0 <= ended.age < 602.0

    run(play())


def test_a_stream_gets_its_receipt_and_later_the_whole_stream(tmp_path: Path):
    pieces = OpenAI.events(["all", " is", " well"])

    async def play() -> None:
        script = Script({"a": [*[lost()] * 6, stream(pieces, end="cut"), stream(pieces)]})
        async with desk(script, tmp_path, route=background("a")) as it:
            body = OpenAI.request("s", stream=True)
            call = it.play.call(body, traffic=Traffic.BACKGROUND, headers=(KEY,))
            tape = await it.ask_with(call)
            assert tape.head is not None
            assert 202 == tape.head.status
            await it.until_done()
            status, body = await it.fetch((tape.head.get(b"x-llm-sidecar-job") or b"").decode())
            assert (200, b"".join(pieces)) == (status, body)

    run(play())


def test_who_is_deferred_says_the_class_and_the_request(tmp_path: Path):
    async def play() -> None:
        async with desk(Script({"a": [lost()]}), tmp_path, route=background("a", retry=ONCE)) as it:
            now = Traffic.INTERACTIVE
            for traffic, wish, deferred in (
                (now, "", False),
                (now, "on", True),
                (now, "always", True),
                (Traffic.BACKGROUND, "", True),
                (Traffic.BACKGROUND, "off", False),
            ):
                tape = await it.ask(traffic=traffic, defer=wish)
                assert deferred == (tape.head is not None), (traffic, wish)

    run(play())


def test_a_prepared_answer_comes_before_a_receipt(tmp_path: Path):
    async def play() -> None:
        route = background("a", retry=ONCE, static=StaticAnswer(text="later"))
        async with desk(Script({"a": [lost()]}), tmp_path, route=route) as it:
            await it.ask()
            assert isinstance(it.outcome, Answered)
            assert Tier.STATIC is it.outcome.tier

    run(play())


def test_a_full_disk_gives_the_client_the_failure_itself_and_keeps_what_was_accepted(tmp_path: Path):
    async def play() -> None:
        route = background("a", retry=ONCE)
        async with desk(Script({"a": [lost()]}), tmp_path, route=route, working=False) as it:
            job = await it.job("kept")
            store = it.worker.queue._store
            assert store is not None
            store._db.execute("PRAGMA max_page_count = 1")  # no smaller than it is
            tape = await it.ask("x" * 100_000)

            assert tape.head is None
            assert isinstance(it.outcome, Failed)
            assert Fault.NETWORK is it.outcome.fault
            assert ["full_disk"] == [event.reason for event in it.events("refused")]
            assert 202 == (await it.fetch(job))[0]

    run(play())


def test_an_answer_that_the_disk_does_not_take_is_kept_until_it_does(tmp_path: Path):
    script = Script({"a": [answer(OpenAI.whole("x" * 200_000))]})

    async def play() -> None:
        async with desk(script, tmp_path, working=False) as it:
            jobs = [await it.job(str(number), defer="always") for number in range(3)]
            store = it.worker.queue._store
            assert store is not None
            pages = store._db.execute("PRAGMA page_count").fetchone()[0]
            store._db.execute(f"PRAGMA max_page_count = {pages + 1}")
            async with it.working():
                await asyncio.sleep(100.0)
                assert 1 == len(script.asked), "nothing new is begun"
                assert [False] == [event.ok for event in it.told if isinstance(event, Queued)][1:]
                assert 202 == (await it.fetch(jobs[0]))[0]
                store._db.execute("PRAGMA max_page_count = 100000")
                await it.until_done()
            assert [200, 200, 200] == [(await it.fetch(job))[0] for job in jobs]
            assert ["0", "1", "2"] == texts(script), "what was paid for was not asked for again"

    run(play())


def test_a_row_that_cannot_be_read_stands_in_nobodys_way(tmp_path: Path):
    async def play() -> None:
        async with desk(Script({"a": [answer(WELL)]}), tmp_path, working=False) as it:
            await it.job("damaged", defer="always")
            well = await it.job("well", defer="always")
            store = it.worker.queue._store
            assert store is not None
            store._db.execute("UPDATE job SET request = x'c1' WHERE number = 1")
            async with it.working():
                await asyncio.sleep(30.0)
            assert (200, WELL) == await it.fetch(well)
            assert {"waiting": 1, "answered": 1} == store.counts().jobs, "an operator can still drop it"
            assert {"DecodeError"} == {event.reason for event in it.events("put_off")}, "and learns of it"

    run(play())


def test_an_answer_never_gets_into_another_file(tmp_path: Path):
    """The file is taken away, or `state_dir` changes, while a provider is thinking."""

    async def play() -> None:
        async with desk(Script({"a": [answer(WELL, after=60.0)]}), tmp_path) as it:
            await it.job("mine", defer="always")
            await asyncio.sleep(1.0)
            (tmp_path / "deferred.sqlite3").unlink()
            await asyncio.sleep(5.0)
            theirs = await it.job("theirs", defer="always", headers=((b"x-api-key", b"theirs"),))
            await asyncio.sleep(56.0)

            assert 202 == (await it.fetch(theirs, (b"x-api-key", b"theirs")))[0]
            told = [(event.ok, event.detail[:40]) for event in it.told if isinstance(event, Queued)]
            assert (False, "nothing is asked for: the file was taken") in told
            assert told[-1][0]
            await it.until_done()

    run(play())


def test_a_disk_that_hangs_costs_a_call_its_receipt_and_leaves_nothing_behind(tmp_path: Path):
    async def play() -> None:
        async with desk(Script({"a": [lost()]}), tmp_path, working=False) as it:
            disk = it.worker.queue._thread = Hanging()
            tape = await it.ask("nobody waits for it", defer="always")

            assert tape.head is None
            assert ["slow_disk"] == [event.reason for event in it.events("refused")]
            assert 503 == (await it.fetch("job_" + "0" * 32))[0]
            disk.goes_on()
            it.worker.queue._thread = Inline()
            assert {} == (await it.worker.queue.counts()).jobs

    run(play())


def test_a_refused_route_is_looked_at_again_and_never_in_a_busy_loop():
    pace = Pace()
    pace.refused(100.0, until=0.0)
    assert 0.1 == round(pace.wait(100.0, 4), 6)
    pace.refused(100.0, until=1e9)
    assert 30.0 == pace.wait(100.0, 4)


def test_pauses_grow_to_their_bound():
    class Most:
        def uniform(self, _low: float, high: float, /) -> float:
            return high

    assert [5.0, 10.0, 20.0, 300.0] == [pause(tries, Most()) for tries in (1, 2, 3, 50)]
