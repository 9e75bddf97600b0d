"""What becomes of deferred calls reaches its webhook: signed, at least once, in its time, and nobody else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from sidecar.core.webhook import News, body_of, headers_of, key_of
from sidecar.deferred.file import _SCHEMA, VERSION, opened
from sidecar.deferred.rows import ANSWERED
from sidecar.deferred.store import Store
from sidecar.model import Answered, Call, Chunk, Failed, Fault, Head, Outcome, Provider, Scope, Sink
from sidecar.settings import Deferral, Webhook
from tests.deferred.test_store import WIDE, job
from tests.kit.answers import JSON, OpenAI
from tests.kit.jobs import Desk, background, desk
from tests.kit.script import Script, answer, error, lost
from tests.kit.vloop import run

WELL = OpenAI.whole("all is well")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the example of the standard's own libraries
PLACE = Provider(name="webhooks.results", dialect="http", scheme="https", host="app.example", port=443)


class Key:
    digest = "00000000"

    def reveal(self) -> str:
        return SECRET


HOOK = Webhook(place=PLACE, path="/results", key=Key())
HOOKS = {"results": HOOK, "audit": replace(HOOK, path="/audit")}
ROUTE = background("a", rules=Deferral(webhook="results"))


def verify(key: bytes, headers: dict[bytes, bytes], body: bytes) -> str:
    """HMAC by hand (RFC 2104), so that nothing of what signs is what checks. The id."""
    said = headers[b"webhook-id"] + b"." + headers[b"webhook-timestamp"] + b"." + body
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + said).digest()
    made = hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).digest()
    assert b"v1," + base64.b64encode(made) == headers[b"webhook-signature"]
    return headers[b"webhook-id"].decode()


@dataclass
class Receiver:
    """The way out, with a scripted receiver at its end: the last status repeats."""

    statuses: list[int] = field(default_factory=lambda: [200])
    wait: float = 0.1
    got: list[tuple[float, str, dict[str, object], Call]] = field(default_factory=list)
    choose: Callable[[Call], int] | None = None

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        assert call.target is not None
        assert call.target.provider is PLACE
        headers = dict(call.headers)
        name = verify(base64.b64decode(SECRET.removeprefix("whsec_")), headers, call.body)
        self.got.append((asyncio.get_running_loop().time(), name, json.loads(call.body), call))
        status = (
            self.choose(call) if self.choose else self.statuses[min(len(self.got), len(self.statuses)) - 1]
        )
        await asyncio.sleep(self.wait)
        head = Head(status, "", JSON)
        if status >= 400:
            return Failed(Fault.SERVER_ERROR, Scope.MODEL, 70.0 if status == 429 else None, head)
        await sink.start(head)
        await sink.send(Chunk(b"thanks"))
        return Answered(status)

    @property
    def names(self) -> list[str]:
        return [name for _, name, _, _ in self.got]


def play(
    folder: Path,
    receiver: Receiver,
    scene: Callable[[Desk], Awaitable[None]],
    script: Script | None = None,
    **more: object,
) -> None:
    async def go() -> None:
        told = {"route": ROUTE, "webhooks": HOOKS, **more}
        async with desk(script or Script({"a": [answer(WELL)]}), folder, receiver=receiver, **told) as it:  # type: ignore[arg-type]
            await scene(it)

    run(go())


def test_the_signature_is_that_of_the_standard():
    key = key_of(SECRET)
    assert key is not None
    headers = headers_of("msg_p5jXN8AQM9LWM0D4loKWxJek", key, wall=1614265330.9, body=b'{"test": 2432232314}')

    assert b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == dict(headers)[b"webhook-signature"]
    assert [None] * 4 == [key_of(wrong) for wrong in ("", "whsec_", "whsec_c2hvcnQ=", "no base64!")]
    assert key == key_of(SECRET.removeprefix("whsec_"))


def test_an_answer_that_is_no_text_goes_as_base64():
    news = News("job_1", "r", ANSWERED, 1000.0, 2000.5, 200, JSON, b"\xff\x00")
    said = json.loads(body_of(news))

    assert ("llm_sidecar.job.answered", "1970-01-01T00:33:20.500Z") == (said["type"], said["timestamp"])
    assert base64.b64decode(said["data"]["body_base64"]) == b"\xff\x00"
    assert "body" not in said["data"]


def test_an_answer_is_delivered_once_and_can_still_be_asked_for(tmp_path: Path):
    receiver = Receiver()

    async def scene(it: Desk) -> None:
        name = await it.job(defer="always")
        await asyncio.sleep(60.0)

        [(_, message, said, call)] = receiver.got
        assert f"{name}_answered" == message
        assert ("POST", "/results", "webhooks.results") == (call.method, call.path, call.provider)
        assert WELL.decode() == said["data"]["body"]  # type: ignore[index]
        assert (200, WELL) == await it.fetch(name)
        [event] = it.posted("delivered")
        assert ("results", name, "r") == (event.webhook, event.job, event.route)
        assert {"results": (0, 0.0), "audit": (0, 0.0)} == it.courier.gauges()

    play(tmp_path, receiver, scene)


def test_what_fails_is_sent_again_ever_later_with_the_same_id_and_a_time_of_its_own(tmp_path: Path):
    receiver = Receiver([500, 302, 400, 500, 204])

    async def scene(it: Desk) -> None:
        await it.job(defer="always")
        await asyncio.sleep(15.0)
        assert (1, True) == (it.courier.gauges()["results"][0], it.courier.gauges()["results"][1] > 0)
        await asyncio.sleep(300.0)

        assert 5 == len(receiver.got)
        assert 1 == len(set(receiver.names))
        assert ["http_500", "http_302", "http_400", "http_500"] == [e.reason for e in it.posted("failed")]
        assert 1 == len(it.posted("delivered"))

    play(tmp_path, receiver, scene)
    times = [at for at, _, _, _ in receiver.got]
    for (earlier, later), least in zip(pairwise(times), (2.5, 5.0, 10.0, 20.0), strict=True):
        assert later - earlier >= least
    stamps = [int(dict(call.headers)[b"webhook-timestamp"]) for _, _, _, call in receiver.got]
    assert sorted(set(stamps)) == stamps


def test_a_receiver_that_is_down_is_asked_one_message_at_a_time_and_told_all_when_it_is_back(tmp_path: Path):
    receiver = Receiver([503] * 6 + [200])

    async def scene(it: Desk) -> None:
        for number in range(20):
            await it.job(str(number), defer="always")
        await asyncio.sleep(30.0)
        assert len(receiver.got) <= 5, "not once for each message"
        await asyncio.sleep(900.0)
        assert 20 == len(it.posted("delivered"))

    play(tmp_path, receiver, scene)


def test_a_wait_that_the_receiver_names_is_kept(tmp_path: Path):
    receiver = Receiver([429, 200])

    async def scene(it: Desk) -> None:
        await it.job(defer="always")
        await asyncio.sleep(120.0)

    play(tmp_path, receiver, scene)
    assert receiver.got[1][0] - receiver.got[0][0] >= 70.0


def test_a_message_that_cannot_be_taken_stands_in_no_others_way(tmp_path: Path):
    receiver = Receiver(choose=lambda call: 413 if b"large" in call.body else 200)

    async def provider(call: Call, sink: Sink) -> Outcome:
        return await answer(OpenAI.whole("large" if b"sick" in call.body else "small"))(call, sink)

    async def scene(it: Desk) -> None:
        await it.job("sick", defer="always")
        for number in range(5):
            await it.job(str(number), defer="always")
        await asyncio.sleep(60.0)
        assert 5 == len(it.posted("delivered"))

    play(tmp_path, receiver, scene, Script({"a": [provider]}))


def test_410_stops_what_is_sent_there_and_nothing_is_lost_by_it(tmp_path: Path):
    receiver = Receiver([410])

    async def scene(it: Desk) -> None:
        await it.job("1", defer="always")
        await asyncio.sleep(30.0)
        await it.job("2", defer="always")
        await it.job("elsewhere", defer="always", webhook="audit")
        await asyncio.sleep(600.0)

        assert ["/audit", "/results"] == sorted(call.path for _, _, _, call in receiver.got)
        assert 2 == len(it.posted("stopped"))
        assert 2 == it.courier.gauges()["results"][0]

    play(tmp_path, receiver, scene)


def test_what_is_not_delivered_in_its_time_is_given_up_and_told_once(tmp_path: Path):
    receiver = Receiver([500])

    async def scene(it: Desk) -> None:
        name = await it.job(defer="always")
        await asyncio.sleep(700.0)

        [event] = it.posted("expired")
        assert ("results", name) == (event.webhook, event.job)
        assert 404 == (await it.fetch(name))[0]
        assert (0, 0.0) == it.courier.gauges()["results"]

    play(tmp_path, receiver, scene, route=background("a", rules=Deferral(webhook="results", keep=600.0)))


def test_every_end_is_delivered_not_answers_alone(tmp_path: Path):
    receiver = Receiver()

    async def provider(call: Call, sink: Sink) -> Outcome:
        behave = error(OpenAI.INVALID) if b"wrong" in call.body else lost()
        return await behave(call, sink)

    async def scene(it: Desk) -> None:
        await it.job("wrong", defer="always")
        late = await it.job("late", defer="always")
        dropped = await it.job("dropped", defer="always")
        await it.worker.queue.use(lambda store: store.drop([dropped], it.play.clock.wall()))
        await asyncio.sleep(700.0)

        ends = {str(said["type"]).rpartition(".")[2]: said["data"] for _, _, said, _ in receiver.got}
        assert {"failed", "expired", "dropped"} == set(ends)
        assert OpenAI.INVALID[0] == ends["failed"]["status"]  # type: ignore[index]
        assert late == ends["expired"]["id"]  # type: ignore[index]
        assert "body" not in ends["expired"]  # type: ignore[operator]
        assert [1, 1, 1] == [len(it.events(what)) for what in ("failed", "expired", "dropped")]

    rules = Deferral(webhook="results", expires=600.0)
    play(tmp_path, receiver, scene, Script({"a": [provider]}), route=background("a", rules=rules))


def test_a_request_may_choose_among_names_and_needs_no_key_where_its_result_is_delivered(tmp_path: Path):
    receiver = Receiver()

    async def scene(it: Desk) -> None:
        nameless = await it.job(defer="always", headers=())
        await it.job(defer="always", webhook="audit")
        await it.job(defer="always", webhook="off")
        await it.ask(defer="always", webhook="off", headers=())
        await asyncio.sleep(30.0)

        assert ["/audit", "/results"] == sorted(call.path for _, _, _, call in receiver.got)
        assert ["no_credential"] == [event.reason for event in it.events("refused")]
        assert 404 == (await it.fetch(nameless))[0], "nobody can prove that it is theirs"

    play(tmp_path, receiver, scene)


@pytest.mark.parametrize(("status", "told"), [(200, "delivered"), (0, "failed")])
def test_an_attempt_ends_in_its_time_and_an_endless_answer_is_a_status_all_the_same(
    tmp_path: Path, status: int, told: str
):
    async def receiver(call: Call, sink: Sink) -> Outcome:
        if status:
            await sink.start(Head(status))
        await asyncio.sleep(1e9)
        raise AssertionError("it was cancelled before")

    async def scene(it: Desk) -> None:
        await it.job(defer="always")
        await asyncio.sleep(22.0)
        assert it.posted(told)

    play(tmp_path, receiver, scene)  # type: ignore[arg-type]


def test_a_restart_forgets_no_message(tmp_path: Path):
    receiver = Receiver([500, 500, 200])

    async def first(it: Desk) -> None:
        await it.job(defer="always")
        await asyncio.sleep(2.0)

    async def second(it: Desk) -> None:
        await asyncio.sleep(60.0)
        assert 1 == len(it.posted("delivered"))

    play(tmp_path, receiver, first)
    play(tmp_path, receiver, second)
    assert 3 == len(receiver.got)
    assert 1 == len(set(receiver.names))


def test_a_file_of_an_earlier_version_is_taken_over_and_can_be_given_back(tmp_path: Path):
    db = opened(tmp_path / "deferred.sqlite3", make=True)
    for column in ("delivery", "sends", "webhook"):
        db.execute("DROP INDEX IF EXISTS job_due")
        db.execute(f"ALTER TABLE job DROP COLUMN {column}")
    assert _SCHEMA.count(",\n") + 1 == len(db.execute("PRAGMA table_info(job)").fetchall())
    db.execute(
        "INSERT INTO job (id, state, route, owner, accepted, expires, keep, forget, size)"
        " VALUES ('job_0', 'waiting', 'r', x'00', 1.0, 2e9, 1.0, 2e9, 1)"
    )
    db.close()

    store = Store(tmp_path)
    store.put(msgspec.structs.replace(job(1), webhook="results"), WIDE)
    assert 2 == store.counts().jobs["waiting"]
    for one in ("job_0", job(1).id):
        store.finish(one, ANSWERED, status=200, headers=(), answer=b"yes", reason="", wall=1500.0)
    assert [job(1).id] == [head.id for head in store.outbox("results", 9)]
    assert VERSION == store._db.execute("PRAGMA user_version").fetchone()[0], "older ones open it still"
    store.close()
