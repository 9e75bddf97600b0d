"""Whose answer it is: the same credential, whatever header it comes in, and nobody else's."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.jobs import owner_of, owns, secrets_of
from tests.kit.answers import OpenAI
from tests.kit.jobs import desk
from tests.kit.script import Script, answer
from tests.kit.vloop import run

WELL = OpenAI.whole("all is well")
KEYS = st.binary(min_size=1, max_size=40).filter(lambda key: key.strip() == key and b" " not in key)


@given(KEYS, KEYS)
def test_a_job_belongs_to_one_key_in_whatever_header_it_comes(key: bytes, other: bytes):
    owner = owner_of(secrets_of(((b"Authorization", b"Bearer " + key),)), "job_1")

    for name in (b"x-api-key", b"API-KEY", b"x-goog-api-key", b"authorization"):
        assert owns(secrets_of(((name, key),)), "job_1", owner)
        assert (key == other) == owns(secrets_of(((name, other),)), "job_1", owner)
    assert not owns((), "job_1", owner)
    assert not owns(secrets_of(((b"x-api-key", key),)), "job_2", owner), "digests of two jobs tell nothing"


def test_nobody_sees_a_job_of_another_key_and_is_told_no_more_than_of_no_job(tmp_path: Path):
    async def play() -> None:
        async with desk(Script({"a": [answer(WELL)]}), tmp_path) as it:
            job = await it.job(defer="always")
            mine = await it.fetch(job)
            await it.until_done()
            unknown = await it.fetch("job_" + "0" * 32)

            assert 202 == mine[0]
            assert 404 == unknown[0]
            for headers in (((b"authorization", b"Bearer other"),), ((b"x-other", b"header"),)):
                assert unknown == await it.fetch(job, *headers)
            assert unknown == await it.fetch(job + "'")
            assert (200, WELL) == await it.fetch(job, (b"x-api-key", b"key-of-the-application"))

    run(play())


def test_a_call_without_a_credential_is_not_deferred_since_nobody_could_fetch_it(tmp_path: Path):
    async def play() -> None:
        async with desk(Script({"a": [answer(WELL)]}), tmp_path) as it:
            await it.ask(defer="always", headers=())

            assert ["no_credential"] == [event.reason for event in it.events("refused")]

    run(play())


def test_no_key_is_in_any_file(tmp_path: Path):
    secret = (b"Authorization", b"Bearer canary-of-the-application")
    headers = (secret, (b"Cookie", b"canary-cookie"), (b"X-Gateway-Token", b"canary-gateway"))

    def look() -> None:
        files = [path for path in tmp_path.iterdir() if path.is_file()]
        written = b"".join(path.read_bytes() for path in files)
        assert b"in the file" in written, "else this looks in the wrong place"
        assert b"canary" not in written
        assert {0o600} == {path.stat().st_mode & 0o777 for path in files}

    async def play() -> None:
        async with desk(Script({"a": [answer(WELL)]}), tmp_path, working=False) as it:
            await it.job("in the file", defer="always", headers=headers, query="key=canary-query&alt=sse")

            look()

    run(play())
