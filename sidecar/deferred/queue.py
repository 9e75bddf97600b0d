"""The asynchronous face of the store: one thread, so that a disk that hangs never holds up a call.

The file follows the configuration: it is opened when a route defers and there is a `state_dir`, and
tried again every few seconds where that fails. Until then calls are declined, which costs them
nothing but the deferral.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sidecar.core.jobs import PREFIX, Declined, Job, Receipt, keep, owns
from sidecar.deferred.rows import Bounds, Counts, DiskError, Ended, Found, Unusable
from sidecar.events import Deferred, Queued, Tell
from sidecar.model import Call, Clock
from sidecar.settings import Deferral, Settings

if TYPE_CHECKING:
    from sidecar.deferred.store import Store

T = TypeVar("T")

WRITE = 5.0  # seconds that a call waits for the disk before it goes without
READ = 5.0  # and that one who asks after an answer waits
AGAIN = 5.0  # seconds before a file that could not be opened is tried again

_FULL = frozenset(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHMSIZE"))


class Queue:
    """`arrived` is called when there is work; `new_id` gives what nobody can guess."""

    def __init__(
        self,
        current: Callable[[], Settings],
        clock: Clock,
        tell: Tell,
        new_id: Callable[[], str] = lambda: PREFIX + secrets.token_hex(16),
    ) -> None:
        self._current = current
        self._clock = clock
        self._tell = tell
        self._new_id = new_id
        self._thread: Executor | None = None
        self._store: Store | None = None
        self._folder: str | None = None
        self._bounded = 0
        self._failed_at: float | None = None
        self._said = ""  # why it could not be opened, the last time it was told
        self.arrived: Callable[[], None] = lambda: None

    @property
    def wanted(self) -> bool:
        """Does any route defer?"""
        settings = self._current()
        return settings.state_dir is not None and any(route.deferred for route in settings.routes)

    @property
    def open(self) -> bool:
        return self._store is not None

    # ---- the file

    async def look(self) -> bool:
        """Open the file where the configuration wants one that is not open; whether it is now."""
        folder = self._current().state_dir if self.wanted else None
        if self._store is not None and folder is not None and folder != self._folder:
            await self._let_go()
        if self._store is not None or folder is None:
            return self._store is not None  # one that is open is worked off to its end
        now = self._clock.now()
        if self._failed_at is not None and now - self._failed_at < AGAIN:
            return False
        try:
            store = await self._run(lambda: _opened(Path(folder)))
            self._store, self._folder = store, folder
            await self._bound()
        except (Unusable, DiskError) as unusable:
            self._failed_at = now
            await self._let_go()
            if self._said != str(unusable):
                self._said = str(unusable)
                self._tell(Queued(False, self._said))
            return False
        self._failed_at, self._said = None, ""
        self._tell(Queued(True))
        return True

    async def _bound(self) -> None:
        """The file is no larger than the configuration wants it, also when that changes."""
        size = self._current().deferred.bytes
        if size != self._bounded:
            await self.use(lambda store: store.bound(size))
            self._bounded = size

    async def _let_go(self) -> None:
        store, self._store, self._bounded = self._store, None, 0
        if store is not None:
            await self._run(store.close)

    async def close(self) -> None:
        await self._let_go()
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    def _run(self, work: Callable[[], T]) -> Awaitable[T]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="deferred")
        return asyncio.get_running_loop().run_in_executor(self._thread, _told, work)

    async def use(self, work: Callable[[Store], T]) -> T:
        """Do it in the thread. Raises Unusable where there is no file, OSError as the disk does."""
        store = self._store
        if store is None:
            raise Unusable("the file is not open")
        return await self._run(lambda: work(store))

    # ---- calls come and are asked after

    async def offer(self, call: Call, rules: Deferral, reason: str) -> Receipt | Declined:
        """Keep a call; the receipt says that it is on disk. Tells what became of it."""
        made = self._new_id()
        wall = self._clock.wall()
        wish = call.options.webhook
        webhook = "" if wish == "off" else wish or rules.webhook or ""
        job = keep(call, made, wall=wall, expires=rules.expires, keep_seconds=rules.keep, webhook=webhook)
        if job is None:
            return self._declined(call, "no_credential")
        bounds = self._current().deferred
        limits = Bounds(bounds.items, bounds.bytes)
        try:
            async with asyncio.timeout(WRITE):
                taken = await self.use(lambda store: store.put(job, limits))
        except TimeoutError:
            self._take_back(job)
            return self._declined(call, "slow_disk")
        except asyncio.CancelledError:
            self._take_back(job)
            raise
        except Unusable:
            return self._declined(call, "no_file")
        except OSError as error:
            full = getattr(error, "sqlite_errorname", "") in _FULL
            return self._declined(call, "full_disk" if full else "disk")
        if isinstance(taken, Declined):
            return self._declined(call, taken.reason)
        if taken.id == made:
            self._tell(Deferred("accepted", made, call.route, reason))
            self.arrived()
        return taken

    def _take_back(self, job: Job) -> None:
        """What the disk may still take after its client was told no, or left. With an idempotency key
        somebody else may have got its receipt meanwhile: it stays, and whoever asks again gets the same.
        """
        store, thread = self._store, self._thread
        if store is not None and thread is not None and not job.same:
            thread.submit(store.take_back, job.id)  # behind the write that it takes back

    def _declined(self, call: Call, reason: str) -> Declined:
        self._tell(Deferred("refused", "", call.route, reason))
        return Declined(reason)

    async def find(self, job: str, secrets: tuple[bytes, ...]) -> Found | None:
        """The job, for whoever has the credential that it came with. Raises LookupError where there is no
        file, TimeoutError and OSError as the disk does.
        """
        try:
            async with asyncio.timeout(READ):
                found = await self.use(lambda store: store.find(job))
        except Unusable as unusable:
            raise LookupError(str(unusable)) from None
        return found if found is not None and owns(secrets, job, found.owner) else None

    async def sweep(self) -> list[Ended]:
        if await self.use(lambda store: store.gone()):
            await self._let_go()
            raise Unusable("the file was taken away; what was in it is lost, and a new one is made")
        await self._bound()
        wall = self._clock.wall()
        return await self.use(lambda store: store.sweep(wall))

    async def counts(self) -> Counts:
        return await self.use(lambda store: store.counts())


def _opened(folder: Path) -> Store:
    from sidecar.deferred.store import Store

    return Store(folder)


def _told(work: Callable[[], T]) -> T:
    """Raises DiskError for SQLite's own, which only this thread knows."""
    import sqlite3

    try:
        return work()
    except sqlite3.Error as error:
        raise DiskError(error) from None
