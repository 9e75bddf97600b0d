"""The file of deferred calls itself: its tables, its lock, how it is opened.

Columns that came later are added to a file that has none of them, and its version stays: an older
sidecar names the columns that it knows, so that an upgrade can be taken back.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from sidecar.deferred.rows import Unusable, word

NAME: Final = "deferred.sqlite3"
LOCK: Final = "deferred.lock"
VERSION: Final = 1
BUSY: Final = 2.0  # seconds to wait for `llm-sidecar jobs`, or for us

_SCHEMA: Final = """
CREATE TABLE job (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL,
  route TEXT NOT NULL,
  owner BLOB NOT NULL,
  same BLOB UNIQUE,
  accepted REAL NOT NULL,
  expires REAL NOT NULL,
  keep REAL NOT NULL,
  forget REAL NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  told INTEGER NOT NULL DEFAULT 1,
  reason TEXT NOT NULL DEFAULT '',
  size INTEGER NOT NULL,
  request BLOB,
  status INTEGER NOT NULL DEFAULT 0,
  headers BLOB,
  answer BLOB
);
CREATE INDEX job_order ON job (state, route, number);
CREATE INDEX job_size ON job (state, size, accepted);
CREATE INDEX job_expires ON job (state, expires);
CREATE INDEX job_forget ON job (forget);
"""
_DELIVERY: Final = """
ALTER TABLE job ADD COLUMN webhook TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN delivery TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN sends INTEGER NOT NULL DEFAULT 0;
CREATE INDEX job_due ON job (webhook, number) WHERE delivery = 'due';
"""


def locked(path: Path) -> int:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Unusable(f"{LOCK} cannot be made in state_dir: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise Unusable("another process works this state_dir off: each needs one of its own") from None
    return lock


def opened(path: Path, *, make: bool) -> sqlite3.Connection:
    if not make and not path.exists():
        raise Unusable(f"there is no {NAME} here: nothing was ever deferred")
    try:
        if make:  # before SQLite opens it: its files have the mode of the first
            made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            os.fchmod(made, 0o600)
            os.close(made)
        db = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    except OSError as error:
        raise Unusable(f"{NAME} cannot be opened: {error.strerror}") from None
    except sqlite3.Error as error:
        raise Unusable(f"{NAME} cannot be opened: {word(error)}") from None
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA journal_size_limit = 4194304")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and make:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
            version = VERSION
        columns = {row[1] for row in db.execute("PRAGMA table_info(job)")}
        if version == VERSION and "webhook" not in columns:
            db.executescript(f"BEGIN IMMEDIATE; {_DELIVERY} COMMIT;")
    except sqlite3.Error as error:
        db.close()
        raise Unusable(f"{NAME} cannot be used: {word(error)}") from None
    if version != VERSION:
        db.close()
        raise Unusable(f"{NAME} is of version {version}, not of {VERSION}")
    return db


def inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
