"""Errors, in each dialect's own envelope, with the headers that say when to come back."""

from __future__ import annotations

from sidecar.provider.behaviour import Behaviour
from sidecar.provider.show import Ending, Play, Turn, date, plain


def hints(do: Behaviour) -> list[tuple[str, str]]:
    """The headers that say when to come back."""
    out: list[tuple[str, str]] = []
    if do.retry_after_ms is not None:
        out.append(("retry-after-ms", f"{do.retry_after_ms:g}"))
    values = do.retry_after if isinstance(do.retry_after, list | tuple) else [do.retry_after]
    out += [
        ("retry-after", f"{value:g}" if isinstance(value, float) else str(value))
        for value in values
        if value is not None
    ]
    if do.retry_after_date is not None:
        out.append(("retry-after", date(do.skew + do.retry_after_date)))
    if do.should_retry is not None:
        out.append(("x-should-retry", str(do.should_retry).lower()))
    return out


async def complain(turn: Turn, error: str, status: int | None = None) -> Ending:
    await turn.line.pause(turn.do.delay)
    said = turn.voice.complain(error, turn.do)
    body = turn.do.body.encode() if turn.do.body is not None else said.body
    more = [*turn.voice.hints(turn.do), *hints(turn.do)]
    return await plain(turn, status or said.status, body, "application/json", more)


def named(error: str) -> Play:
    async def play(turn: Turn) -> Ending:
        return await complain(turn, error)

    return play


OF_STATUS = {
    400: "invalid_request", 401: "auth", 402: "billing", 403: "permission", 404: "not_found", 408: "timeout",
    409: "conflict", 413: "too_large", 422: "invalid_request", 429: "rate_limit", 503: "overloaded",
    529: "overloaded",
}  # fmt: skip


async def status(turn: Turn) -> Ending:
    code = turn.do.status
    return await complain(
        turn, OF_STATUS.get(code, "server_error" if code >= 500 else "invalid_request"), code
    )


async def error_in_200(turn: Turn) -> Ending:
    return await complain(turn, turn.do.error, 200)
