"""What the file of deferred calls holds, as everybody but the store sees it, and what it says when it cannot.

Apart from the store, because SQLite is loaded only where something is deferred: start time and memory.
"""

from __future__ import annotations

from typing import Final

import msgspec

from sidecar.model import Headers

WAITING, ANSWERED, FAILED, EXPIRED, DROPPED = "waiting", "answered", "failed", "expired", "dropped"
STATES: Final = (WAITING, ANSWERED, FAILED, EXPIRED, DROPPED)
DUE, DELIVERED, LATE = "due", "delivered", "expired"  # of the webhook's message, once a job has ended


class Found(msgspec.Struct, frozen=True):
    """A job as its owner may see it; `owner` is what to compare first."""

    id: str
    state: str
    owner: bytes
    expires: float
    status: int = 0
    headers: Headers = ()
    answer: bytes = b""

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # as Call
        return f"Found({self.id}, {self.state})"


class Next(msgspec.Struct, frozen=True):
    """A job that waits, as far as whoever chooses has to know it."""

    id: str
    tries: int


class Ended(msgspec.Struct, frozen=True):
    """A job that came to its end without an answer, or whose end could not be delivered; told once."""

    id: str
    route: str
    state: str
    age: float
    webhook: str = ""  # that its end could not be delivered to in its time


class Counts(msgspec.Struct, frozen=True):
    jobs: dict[str, int]  # by state
    bytes: int  # of jobs that wait
    answers: int  # bytes of answers that are kept
    oldest: float  # when the oldest one that waits was accepted; 0: none waits


class Outbox(msgspec.Struct, frozen=True):
    """What is to be delivered to one webhook."""

    webhook: str
    count: int
    oldest: float  # when the first of these jobs ended


class Bounds(msgspec.Struct, frozen=True):
    items: int
    bytes: int


class Unusable(Exception):  # a word for what the file is, not for what we did wrong
    """The file cannot be used; says why, without quoting it."""


class DiskError(OSError):
    """SQLite's error, for those who know no SQLite; its words stay."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.sqlite_errorname: str = getattr(error, "sqlite_errorname", type(error).__name__)


def word(error: Exception) -> str:
    """SQLite's own word for it: its messages may quote."""
    return getattr(error, "sqlite_errorname", type(error).__name__)
