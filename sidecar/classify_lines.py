"""`llm-sidecar classify`: recorded answers in, decisions out, one JSON object a line.

A line needs `status`; `provider`, `headers`, `body` (text or JSON) or `body_b64`, `id` and
`in_stream` are taken if they are there, and nothing else is read. `in_stream` says that the body
is one event of a stream: `event` is its name, or what ended the stream (stall, eof, reset,
comment), `position` where that was. A line that cannot be read becomes an error line of its own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from sidecar.classify import classify, hints, raw_headers
from sidecar.classify.answer import parse
from sidecar.classify.wire import broken_off
from sidecar.faults import HANDLING
from sidecar.model import Headers, Verdict


class _BadLineError(Exception):
    pass


def run(lines: Iterable[str], wall: float = 0.0) -> Iterator[str]:
    """`wall` is the time to take dates against; an answer's own Date header is better."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            told = _decide(line, wall)
        except _BadLineError as problem:
            told = {"id": None, "line": number, "error": str(problem)}
        yield msgspec.json.encode(told).decode()


def _decide(line: str, wall: float) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as problem:
        raise _BadLineError(f"not JSON: {problem}") from None
    if not isinstance(row, dict):
        raise _BadLineError("expected a JSON object with at least `status`")
    status = row.get("status")
    if not isinstance(status, int) or isinstance(status, bool) or not 0 <= status <= 999:
        raise _BadLineError("`status` has to be the answer's HTTP status, or 0 where there was no answer")
    headers, body = _headers(row.get("headers")), _body(row)
    verdict, hint = _verdict(row, status, headers, body, wall)
    handling = HANDLING[verdict.fault]
    return {
        "id": row.get("id"),
        "class": str(verdict.fault),
        "retry": handling.again if verdict.again is None else verdict.again,
        "fallback": handling.elsewhere,
        "retry_after_s": hint,
        "scope": str(verdict.scope),
    }


def _verdict(
    row: dict[str, Any], status: int, headers: Headers, body: bytes, wall: float
) -> tuple[Verdict, float | None]:
    stream = row.get("in_stream")
    if isinstance(stream, dict):
        event = str(stream.get("event") or "")
        ended = broken_off(event, str(stream.get("position") or ""))
        if ended is not None:
            return Verdict(ended, HANDLING[ended].scope), None
        if event.lower().endswith("exception"):  # AWS puts the type into a header of the frame
            headers = (*headers, (b":exception-type", event.encode("latin-1", "replace")))
    verdict = classify(
        provider=str(row.get("provider") or ""),
        status=status,
        headers=headers,
        body=body,
        wall=wall,
        streamed=isinstance(stream, dict),
    )
    # what the provider said, also where the verdict does not believe it
    data = parse(body)
    return verdict, hints.wait(
        headers, data if data is not None else body[:4000].decode("utf-8", "replace"), wall
    )


def _headers(given: Any) -> Headers:
    if given is None:
        return ()
    if isinstance(given, dict):
        flat = [(k, v) for k, value in given.items() for v in (value if isinstance(value, list) else [value])]
    elif isinstance(given, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in given):
        flat = [(str(key), value) for key, value in given]
    else:
        raise _BadLineError("`headers` has to be an object, or a list of pairs")
    return tuple(pair for key, value in flat for pair in raw_headers({key: str(value)}))


def _body(row: dict[str, Any]) -> bytes:
    coded = row.get("body_b64")
    if isinstance(coded, str):
        try:
            return base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            raise _BadLineError("`body_b64` is not base64") from None
    body = row.get("body")
    if body is None:
        return b""
    return body.encode("utf-8", "replace") if isinstance(body, str) else msgspec.json.encode(body)
