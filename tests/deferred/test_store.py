"""The file: what it takes it keeps, whatever the disk and the process do; its bounds; its order."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from sidecar.core.jobs import Declined, Job, Receipt
from sidecar.deferred.rows import ANSWERED, FAILED, Bounds, Unusable
from sidecar.deferred.store import Store

WIDE = Bounds(10_000, 1 << 30)


def job(number: int, *, body: bytes = b"{}", same: bytes = b"", route: str = "r", **more: float) -> Job:
    return Job(
        id=f"job_{number:032x}",
        route=route,
        provider="p",
        dialect="openai_chat",
        method="POST",
        path="/v1/chat/completions",
        query="",
        headers=((b"content-type", b"application/json"),),
        body=body,
        exact=False,
        trace_id="",
        owner=b"o" * 32,
        same=same,
        accepted=more.get("accepted", 1000.0),
        expires=more.get("expires", 2000.0),
        keep=100.0,
    )


def end(store: Store, job_id: str, state: str = ANSWERED, answer: bytes = b"yes") -> bool:
    return store.finish(job_id, state, status=200, headers=(), answer=answer, reason="", wall=1500.0)


@pytest.fixture
def store(tmp_path: Path):
    made = Store(tmp_path)
    yield made
    made.close()


def test_a_job_comes_back_as_it_was_and_ends_once(store: Store):
    assert Receipt(job(1).id, 2000.0) == store.put(job(1, body=b"\0raw"), WIDE)
    [head] = store.heads("r", 10)

    assert job(1, body=b"\0raw") == store.load(head.id)
    assert end(store, head.id)
    assert not end(store, head.id, answer=b"again"), "it ended already"
    found = store.find(job(1).id)
    assert found is not None
    assert (ANSWERED, b"yes") == (found.state, found.answer)
    assert [] == store.heads("r", 10)
    assert store.load(head.id) is None


def test_the_oldest_comes_first_in_each_route(store: Store):
    for number in range(6):
        store.put(job(number, route="ab"[number % 2]), WIDE)

    first = [store.load(head.id) for head in store.heads("a", 10)]
    assert [job(n, route="a").id for n in (0, 2, 4)] == [one.id for one in first if one]
    assert ["a", "b"] == sorted(store.routes())


def test_the_bounds_hold_for_what_waits(store: Store):
    small = Bounds(2, 1 << 20)
    store.put(job(1), small)
    store.put(job(2), small)

    assert Declined("items") == store.put(job(3), small)
    assert Declined("bytes") == store.put(job(4, body=b"x" * 2000), Bounds(10, 2000))
    end(store, store.heads("r", 1)[0].id)
    assert isinstance(store.put(job(3), small), Receipt), "what is answered does not wait"


def test_the_same_request_with_the_same_key_is_one_job(store: Store):
    first = store.put(job(1, same=b"s"), WIDE)

    assert first == store.put(job(2, same=b"s"), WIDE)
    assert 1 == store.counts().jobs["waiting"]
    store.drop(None, 1500.0)
    assert isinstance(again := store.put(job(3, same=b"s"), WIDE), Receipt)
    assert job(3).id == again.id, "what was given up stands in nobody's way"


def test_what_waits_too_long_expires_is_told_once_and_forgotten_later(store: Store):
    store.put(job(1), WIDE)

    assert [] == store.sweep(1999.0)
    [ended] = store.sweep(2000.0)
    assert (job(1).id, "expired", 1000.0) == (ended.id, ended.state, ended.age)
    assert [] == store.sweep(2001.0)
    assert "expired" == getattr(store.find(job(1).id), "state", None)
    store.sweep(2100.0)
    assert store.find(job(1).id) is None


def test_an_answer_is_forgotten_when_it_was_kept_long_enough(store: Store):
    store.put(job(1), WIDE)
    end(store, store.heads("r", 1)[0].id)

    store.sweep(1599.0)
    assert store.find(job(1).id) is not None
    store.sweep(1600.0)
    assert store.find(job(1).id) is None


def test_the_request_of_a_failed_one_is_kept_and_counts(store: Store):
    store.put(job(1, body=b"x" * 5000), WIDE)
    end(store, job(1).id, FAILED, b"no")

    assert store.counts().answers > 5000
    store.retry(None, 1500.0)
    assert 5000 < store.counts().bytes < 6500


def test_a_file_that_was_taken_away_is_noticed(store: Store, tmp_path: Path):
    assert not store.gone()
    (tmp_path / "deferred.sqlite3").rename(tmp_path / "elsewhere")
    assert store.gone()


def test_an_operator_drops_what_waits_and_retries_what_failed(store: Store):
    for number in (1, 2, 3):
        store.put(job(number), WIDE)
    one, two, _ = store.heads("r", 10)
    end(store, one.id, FAILED, b"no")
    store.put_off(two.id, "network")

    assert 1 == store.drop([job(3).id], 1500.0)
    assert 0 == store.drop([job(1).id], 1500.0), "it failed, so it does not wait"
    assert 2 == store.retry(None, 1500.0)
    assert [0, 0] == [head.tries for head in store.heads("r", 10)]
    again = store.find(job(1).id)
    assert again is not None
    assert ("waiting", 2500.0, b"") == (again.state, again.expires, again.answer)
    assert ["dropped"] == [ended.state for ended in store.sweep(1600.0)]


def test_a_full_disk_takes_nothing_new_and_loses_nothing_old(tmp_path: Path):
    """The file's own bound in pages stands for the disk: SQLite meets both with the same error."""
    store = Store(tmp_path)
    store.put(job(0), WIDE)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages + 8}")

    accepted, words = 1, set()
    for number in range(1, 30):
        try:
            accepted += isinstance(store.put(job(number, body=b"x" * 4000), WIDE), Receipt)
        except sqlite3.OperationalError as error:
            words.add(error.sqlite_errorname)
    assert accepted > 1
    assert {"SQLITE_FULL"} == words

    store.close()
    store = Store(tmp_path)
    heads = store.heads("r", 100)
    assert accepted == len(heads)
    assert all(store.load(head.id) is not None for head in heads)
    assert [("ok",)] == store._db.execute("PRAGMA integrity_check").fetchall()
    assert end(store, heads[0].id), "with room again it goes on"
    store.close()


def test_one_process_works_a_file_off(tmp_path: Path):
    store = Store(tmp_path)
    with pytest.raises(Unusable, match="another process"):
        Store(tmp_path)
    looking = Store(tmp_path, drains=False)  # an operator's command takes no lock
    looking.close()
    store.close()
    Store(tmp_path).close()


@pytest.mark.parametrize("damage", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, damage: bytes):
    file = tmp_path / "deferred.sqlite3"
    file.write_bytes(damage)

    with pytest.raises(Unusable, match=r"deferred\.sqlite3"):
        Store(tmp_path)
    assert damage == file.read_bytes()
    file.unlink()
    Store(tmp_path).close()  # the lock was given back
