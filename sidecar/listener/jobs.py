"""Where a client asks after its deferred call: GET /llm-sidecar/jobs/ID on the listener [R22, T16].

Only for whoever sends the credential that the call came with; to all others the job does not exist,
so that an id that was seen in a log opens nothing. 202 as long as it waits, then the stored answer
byte for byte, or the error that was its end; 410 where it waited too long or was dropped.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Protocol

from sidecar.core.jobs import Receipt, secrets_of
from sidecar.core.receipt import PLACE, waiting
from sidecar.dialects.base import Wire
from sidecar.listener import complaints
from sidecar.listener.http_strict import RequestError
from sidecar.model import Head, Headers

_ID = re.compile(r"job_[0-9a-f]{32}")
_GONE = {"expired": "the call waited too long", "dropped": "an operator dropped the call"}


class Stored(Protocol):
    """A job as its owner may see it; deferred.rows.Found."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def expires(self) -> float: ...
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def answer(self) -> bytes: ...


class Jobs(Protocol):
    def __call__(self, job: str, secrets: tuple[bytes, ...], /) -> Awaitable[Stored | None]:
        """None: there is none of this owner. Raises LookupError where there is no file, OSError."""


def is_ours(path: str) -> bool:
    return path.startswith(PLACE)


async def answer(jobs: Jobs | None, method: str, target: str, headers: Headers) -> Wire:
    try:
        return await _answer(jobs, method, target, headers)
    except RequestError as error:
        return complaints.wire(complaints.of_error(error), None)


async def _answer(jobs: Jobs | None, method: str, target: str, headers: Headers) -> Wire:
    path, _, query = target.partition("?")
    if method not in {"GET", "HEAD"}:
        raise RequestError(405, "method", "a job can be asked after with GET, and nothing else")
    name = path.removeprefix(PLACE)
    try:
        found = None
        if jobs is not None and _ID.fullmatch(name):
            found = await jobs(name, secrets_of(headers, query))
    except (LookupError, OSError):
        raise RequestError(503, "jobs_unreadable", "the file of deferred calls cannot be read now") from None
    if found is None:
        raise RequestError(
            404,
            "unknown_job",
            "there is no such job, it was kept long enough, or it was made with another credential",
        )
    if found.state in _GONE:
        raise RequestError(410, f"job_{found.state}", _GONE[found.state])
    if found.state == "waiting":
        return Wire(*waiting(Receipt(found.id, found.expires)))
    kept = tuple(pair for pair in found.headers if pair[0].lower() != b"content-length")
    labels: Headers = (
        (b"content-length", b"%d" % len(found.answer)),
        (b"x-llm-sidecar-job", found.id.encode()),
    )
    if found.state == "answered":
        labels += ((b"x-llm-sidecar-tier", b"deferred"),)
    else:  # asking for it again says the same
        labels += ((b"x-llm-sidecar-tier", b"none"), (b"x-should-retry", b"false"))
    return Wire(Head(found.status, headers=kept + labels), found.answer)
