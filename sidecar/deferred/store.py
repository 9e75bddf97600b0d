"""Deferred calls in one SQLite file: what it takes is on disk before it says so [R22, T16].

SQLite with a write-ahead log and `synchronous=FULL`: a commit returns when it is on disk, a process
that is killed in the middle leaves the last commit whole, and `llm-sidecar jobs` may read while the
sidecar writes. On a full disk a write fails as a whole; what was there before stays, and can be read.
A job changes its state in one statement, from `waiting` and from nothing else, so that one that was
dropped meanwhile stays dropped. That a job is being asked for is known in memory alone: whatever
happens to the process, it is waiting, and is asked for again. At least once, not at most.

One process works a file off, which a lock beside it sees to; the kernel gives it back when the
process ends, however it does. File and lock are for their owner alone (0600). Prompts and answers
stand in the file as they are, keys do not; what is deleted is overwritten. It has to be on a disk of
its own node: locks and logs of SQLite do not work over a network.

Blocking throughout. Not for the event loop: queue.py runs it in a thread.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from sidecar.core.jobs import Declined, Job, Receipt
from sidecar.core.webhook import News
from sidecar.deferred.file import LOCK, NAME, inode, locked, opened
from sidecar.deferred.rows import (
    DELIVERED,
    DROPPED,
    DUE,
    EXPIRED,
    FAILED,
    LATE,
    WAITING,
    Bounds,
    Counts,
    Ended,
    Found,
    Next,
    Outbox,
)
from sidecar.model import Headers

SLACK: Final = 16 * 1024 * 1024  # bytes of the file that are neither a call nor an answer


class Store:
    """One connection, for one thread at a time. Raises sqlite3.Error where the disk says no."""

    def __init__(self, folder: Path, *, drains: bool = True) -> None:
        """`drains`: takes the lock, and makes the file if there is none. Raises Unusable."""
        self._lock = locked(folder / LOCK) if drains else -1
        try:
            self._path = folder / NAME
            self._db = opened(self._path, make=drains)
            self._file = inode(self._path)
        except BaseException:
            self._unlock()
            raise

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def gone(self) -> bool:
        """Is the file another one, or none? What is written to one without a name is nobody's any more."""
        return inode(self._path) != self._file

    # ---- calls come

    def put(self, job: Job, bounds: Bounds) -> Receipt | Declined:
        """The receipt of the job, or of the same one that is here already."""
        with self._changing() as db:
            if job.same:
                row = db.execute("SELECT id, expires FROM job WHERE same = ?", (job.same,)).fetchone()
                if row is not None:
                    return Receipt(row[0], row[1])
            counts = db.execute(
                "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM job WHERE state = ?", (WAITING,)
            ).fetchone()
            if counts[0] >= bounds.items:
                return Declined("items")
            if counts[1] + job.size > bounds.bytes:
                return Declined("bytes")
            db.execute(
                "INSERT INTO job (id, state, route, owner, same, accepted, expires, keep, forget, size,"
                " webhook, request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    job.id,
                    WAITING,
                    job.route,
                    job.owner,
                    job.same or None,
                    job.accepted,
                    job.expires,
                    job.keep,
                    job.expires + job.keep,
                    job.size,
                    job.webhook,
                    msgspec.msgpack.encode(job),
                ),
            )
        return Receipt(job.id, job.expires)

    def take_back(self, job: str) -> None:
        """As if it had never come: nobody got its receipt."""
        with self._changing() as db:
            db.execute("DELETE FROM job WHERE id = ?", (job,))

    def find(self, job: str) -> Found | None:
        row = self._db.execute(
            "SELECT id, state, owner, expires, status, headers, answer FROM job WHERE id = ?", (job,)
        ).fetchone()
        if row is None:
            return None
        headers = () if row[5] is None else msgspec.msgpack.decode(row[5], type=Headers)
        return Found(row[0], row[1], row[2], row[3], row[4], headers, row[6] or b"")

    # ---- calls are asked for

    def routes(self) -> list[str]:
        """Those that have jobs waiting."""
        return [
            row[0] for row in self._db.execute("SELECT DISTINCT route FROM job WHERE state = ?", (WAITING,))
        ]

    def heads(self, route: str, most: int) -> list[Next]:
        """The oldest jobs of a route that wait, oldest first."""
        rows = self._db.execute(
            "SELECT id, tries FROM job WHERE state = ? AND route = ? ORDER BY number LIMIT ?",
            (WAITING, route, most),
        )
        return [Next(*row) for row in rows]

    def load(self, job: str) -> Job | None:
        """What to ask for; None where it does not wait any more."""
        row = self._db.execute(
            "SELECT request FROM job WHERE id = ? AND state = ?", (job, WAITING)
        ).fetchone()
        return None if row is None else msgspec.msgpack.decode(row[0], type=Job)

    def put_off(self, job: str, reason: str) -> None:
        """It failed, and stays."""
        with self._changing() as db:
            db.execute(
                "UPDATE job SET tries = tries + 1, reason = ? WHERE id = ? AND state = ?",
                (reason, job, WAITING),
            )

    def finish(
        self,
        job: str,
        state: str,
        *,
        status: int,
        headers: Headers,
        answer: bytes,
        reason: str,
        wall: float,
    ) -> bool:
        """The answer, or the error that is its end; False: it is not here, or somebody dropped it meanwhile.
        The request of a failed one is kept, for whoever wants it asked again, and counts.
        """
        with self._changing() as db:
            done = db.execute(
                "UPDATE job SET state = ?1, status = ?2, headers = ?3, answer = ?4, reason = ?5,"
                " forget = ?6 + keep, delivery = CASE webhook WHEN '' THEN '' ELSE 'due' END,"
                " request = CASE ?1 WHEN ?8 THEN request END,"
                " size = ?7 + CASE ?1 WHEN ?8 THEN LENGTH(request) ELSE 0 END,"
                " same = CASE ?1 WHEN ?8 THEN NULL ELSE same END WHERE id = ?9 AND state = ?10",
                (
                    state,
                    status,
                    msgspec.msgpack.encode(headers),
                    answer,
                    reason,
                    wall,
                    len(answer) + 512,
                    FAILED,
                    job,
                    WAITING,
                ),
            )
            return done.rowcount == 1

    def sweep(self, wall: float) -> list[Ended]:
        """Expire what has waited too long, forget what was kept long enough; what is to be told of them."""
        db = self._db
        over = "SELECT 1 FROM job WHERE (state = ? AND expires <= ?) OR forget <= ? OR told = 0 LIMIT 1"
        if db.execute(over, (WAITING, wall, wall)).fetchone() is None:
            return []  # nothing is written where nothing is to be done
        with self._changing():
            db.execute(
                "UPDATE job SET state = ?, told = 0, same = NULL, request = NULL, size = 512,"
                " forget = expires + keep, delivery = CASE webhook WHEN '' THEN '' ELSE 'due' END"
                " WHERE state = ? AND expires <= ?",
                (EXPIRED, WAITING, wall),
            )
            db.execute(
                "UPDATE job SET delivery = ?, told = 0 WHERE delivery = ? AND forget <= ? AND told = 1",
                (LATE, DUE, wall),
            )
            rows = db.execute(
                "SELECT id, route, state, MAX(0.0, ?1 - accepted),"
                " CASE delivery WHEN ?2 THEN webhook ELSE '' END FROM job WHERE told = 0 LIMIT 1000",
                (wall, LATE),
            ).fetchall()
            db.executemany("UPDATE job SET told = 1 WHERE id = ?", [(row[0],) for row in rows])
            db.execute(
                "DELETE FROM job WHERE forget <= ? AND told = 1 AND state != ? AND delivery != ?",
                (wall, WAITING, DUE),
            )
        return [Ended(*row) for row in rows]

    def counts(self) -> Counts:
        rows = self._db.execute(
            "SELECT state, COUNT(*), COALESCE(SUM(size), 0), MIN(accepted) FROM job GROUP BY state"
        ).fetchall()
        waiting = next((row for row in rows if row[0] == WAITING), (WAITING, 0, 0, 0.0))
        return Counts(
            {row[0]: row[1] for row in rows},
            waiting[2],
            sum(row[2] for row in rows if row[0] != WAITING),
            waiting[3] or 0.0,
        )

    # ---- what became of them is delivered

    def outboxes(self) -> list[Outbox]:
        rows = self._db.execute(
            "SELECT webhook, COUNT(*), MIN(forget - keep) FROM job WHERE delivery = 'due' GROUP BY webhook"
        )
        return [Outbox(*row) for row in rows]

    def outbox(self, webhook: str, most: int) -> list[Next]:
        """The oldest jobs whose end is to be delivered there, and how often that was tried."""
        rows = self._db.execute(
            "SELECT id, sends FROM job WHERE delivery = 'due' AND webhook = ? ORDER BY number LIMIT ?",
            (webhook, most),
        )
        return [Next(*row) for row in rows]

    def news(self, job: str) -> News | None:
        """What is to be delivered of it; None: nothing any more."""
        row = self._db.execute(
            "SELECT id, route, state, accepted, forget - keep, status, headers, answer FROM job"
            " WHERE id = ? AND delivery = 'due'",
            (job,),
        ).fetchone()
        if row is None:
            return None
        headers = () if row[6] is None else msgspec.msgpack.decode(row[6], type=Headers)
        return News(row[0], row[1], row[2], row[3], row[4], row[5], headers, row[7] or b"")

    def sent(self, job: str, *, delivered: bool) -> None:
        with self._changing() as db:
            db.execute(
                "UPDATE job SET sends = sends + 1, delivery = ? WHERE id = ? AND delivery = ?",
                (DELIVERED if delivered else DUE, job, DUE),
            )

    # ---- what an operator does

    def list(self, state: str | None, most: int) -> list[dict[str, Any]]:
        """The oldest first; nothing of any request or answer."""
        rows = self._db.execute(
            "SELECT id, state, route, accepted, expires, tries, reason, size, status, webhook,"
            " delivery, sends FROM job"
            " WHERE ?1 IS NULL OR state = ?1 ORDER BY number LIMIT ?2",
            (state, most),
        )
        return [dict(zip((column[0] for column in rows.description), row, strict=True)) for row in rows]

    def retry(self, jobs: Sequence[str] | None, wall: float) -> int:
        """Ask at once for those that wait, anew for those that failed, and deliver at once what is to be
        delivered of others; None: for all. How many.
        """
        with self._changing() as db:
            changed = 0
            for one in [None] if jobs is None else jobs:
                changed += db.execute(
                    "UPDATE job SET tries = 0, reason = '', status = 0, headers = NULL, answer = NULL,"
                    " expires = MAX(expires, CASE state WHEN ?1 THEN ?3 + expires - accepted ELSE 0 END),"
                    " forget = MAX(forget, ?3 + expires - accepted + keep), state = ?2,"
                    " size = LENGTH(request) + 512, delivery = '', sends = 0"
                    " WHERE (state = ?1 OR state = ?2) AND (?4 IS NULL OR id = ?4)",
                    (FAILED, WAITING, wall, one),
                ).rowcount
                changed += db.execute(
                    "UPDATE job SET sends = 0 WHERE delivery = 'due' AND (?1 IS NULL OR id = ?1)", (one,)
                ).rowcount
            return changed

    def drop(self, jobs: Sequence[str] | None, wall: float) -> int:
        """Give up those that wait; None: all. Their owners are told that they are gone."""
        with self._changing() as db:
            changed = 0
            for one in [None] if jobs is None else jobs:
                changed += db.execute(
                    "UPDATE job SET state = ?1, told = 0, same = NULL, request = NULL, size = 512,"
                    " forget = ?3 + keep, delivery = CASE webhook WHEN '' THEN '' ELSE 'due' END"
                    " WHERE state = ?2 AND (?4 IS NULL OR id = ?4)",
                    (DROPPED, WAITING, wall, one),
                ).rowcount
            return changed

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk at its end or not there at all."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise

    def bound(self, size: int) -> None:
        """No more than so many bytes of file, for calls and as much again for answers."""
        page = self._db.execute("PRAGMA page_size").fetchone()[0]
        self._db.execute(f"PRAGMA max_page_count = {max(1, (2 * size + SLACK) // page)}")
