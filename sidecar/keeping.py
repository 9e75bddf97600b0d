"""What was learned, on disk: written every minute, read at the start.

It is a convenience, never a condition: a file that is missing, old, unreadable or of another version
is left alone, said once, and learning starts anew. It is written beside its place and moved there, so
that a crash leaves the old one whole. It holds names of routes, targets and models, and figures;
nothing of any request or answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from sidecar.events import Restored, Tell
from sidecar.model import Clock

VERSION = 1
OLDEST = 7 * 86400.0  # seconds: providers change; what was usual last month is not a prior
LARGEST = 64 * 1024 * 1024  # bytes
NAME = "baselines.json"
EVERY = 60.0  # seconds between two savings


class Unusable(Exception):  # a word for what the file is, not for what we did wrong
    """There is a file, and it cannot be used; says why."""


def save(folder: Path, usual: Sequence[Mapping[str, Any]], wall: float) -> None:
    """Raises OSError where the folder cannot be written."""
    data = msgspec.json.encode({"version": VERSION, "saved": wall, "usual": usual})
    handle, name = tempfile.mkstemp(prefix=f".{NAME}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(folder / NAME)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def load(folder: Path, wall: float) -> list[dict[str, Any]] | None:
    """What was saved, still to be taken with care; None where nothing was. Raises Unusable."""
    try:
        with (folder / NAME).open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unusable(f"{NAME} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise Unusable(f"{NAME} is larger than {LARGEST} bytes")
    try:
        kept = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise Unusable(f"{NAME} is not JSON") from None
    if not isinstance(kept, dict) or kept.get("version") != VERSION:
        raise Unusable(f"{NAME} is not of version {VERSION}")
    saved, usual = kept.get("saved"), kept.get("usual")
    if not isinstance(saved, int | float) or not isinstance(usual, list):
        raise Unusable(f"{NAME} lacks `saved` or `usual`")
    if not -3600.0 <= wall - saved <= OLDEST:
        raise Unusable(f"{NAME} was written {(wall - saved) / 86400:.0f} days ago")
    return usual


class Learned(Protocol):
    """What is kept: memory.Memory."""

    def snapshot(self) -> list[dict[str, Any]]: ...
    def restore(self, saved: Iterable[Mapping[str, Any]], /) -> None: ...


class Keeper:
    """Takes up what an earlier process had learned, and saves what this one learns. `folder` is asked
    each time: it follows the configuration. What goes wrong is said once, and costs nothing but memories.
    """

    def __init__(self, learned: Learned, folder: Callable[[], str | None], clock: Clock, tell: Tell) -> None:
        self._learned = learned
        self._folder = folder
        self._clock = clock
        self._tell = tell
        self._unsaved = False  # the last saving failed

    def restore(self) -> None:
        folder = self._folder()
        if folder is None:
            return
        try:
            usual = load(Path(folder), self._clock.wall())
            if usual is None:
                return
            self._learned.restore(usual)
        except Unusable as unusable:
            self._tell(Restored(False, str(unusable)))
        except (LookupError, ValueError, TypeError, AttributeError):
            self._tell(Restored(False, f"{NAME} does not hold what we write"))
        else:
            self._tell(Restored(True))

    async def save(self) -> None:
        folder = self._folder()
        if folder is None:
            return
        try:
            # in a thread: a disk that hangs must not hold up a call
            await asyncio.to_thread(save, Path(folder), self._learned.snapshot(), self._clock.wall())
        except OSError as error:
            if not self._unsaved:  # said once, not every minute
                self._tell(Restored(False, f"state_dir cannot be written: {error.strerror}"))
            self._unsaved = True
        else:
            self._unsaved = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(EVERY)
            await self.save()
