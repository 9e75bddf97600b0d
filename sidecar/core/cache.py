"""Answers that were given before: whose they are, which are worth keeping, and how many are kept.

Whose. A key holds everything that could make one caller's answer another's secret (T14): the route, the
tenant, every credential and every other header of the request that is not known to be noise, the
operation, the dialect and the request itself. It is a keyed digest: what is kept shows no prompt, and
nobody who chooses requests can aim at a key. What a header nobody here knows means is its server's
affair, so it tells callers apart; at worst an answer is not found again.

Which. A whole answer of plain text that came to its own end, read once more from the bytes that the
client got: no refusal, no filter, no cut, no tool, nothing that could not be read. Vectors are answers
too, to requests for vectors.

How many. Bounded in entries and in bytes, the least recently used go first; and too old is gone.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest
from math import inf
from typing import Protocol

import msgspec
from msgspec import Struct

from sidecar.dialects.base import Dialect
from sidecar.model import (
    Answering,
    Ask,
    Finish,
    FinishReason,
    Headers,
    Media,
    Operation,
    Reasoning,
    Text,
    Usage,
)

LARGEST = 1024 * 1024  # bytes of one answer that is kept
BESIDE = 512  # bytes that an entry takes beside its answer, about

# Headers that differ from call to call and change no answer. Whatever is not here tells callers apart.
NOISE = frozenset(
    b"accept accept-encoding accept-language b3 baggage connection content-length content-type date "
    b"elastic-apm-traceparent host newrelic uber-trace-id "
    b"idempotency-key request-id sentry-trace traceparent tracestate user-agent x-amzn-trace-id "
    b"x-client-request-id x-cloud-trace-context x-correlation-id x-goog-api-client x-request-id "
    b"x-server-timeout".split()
)
_NOISY = (b"x-stainless-", b"x-b3-", b"x-datadog-")


class Stored(Struct, frozen=True):
    """One answer as its client got it."""

    body: bytes
    content_type: bytes
    form: str  # dialects.repeating: streamed or whole
    source: str  # who gave it; see the layer
    at: float  # this process's monotonic clock
    losses: bytes = b""  # what its header said of a translation

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # 3.11 has none
        return f"Stored({len(self.body)} bytes)"


class AnswerStore(Protocol):
    """Answers that several pods share. Nothing here may fail a call or hold it up."""

    async def get(self, key: bytes, now: float) -> Stored | None:
        """Within a short limit of its own; None where it is not there, or nobody says so in time."""

    def put(self, key: bytes, stored: Stored, seconds: float) -> None:
        """Takes it at once and brings it there when it can; to be forgotten after so many seconds."""


def key_of(secret: bytes, headers: Headers, parts: Iterable[bytes]) -> bytes:
    """One digest for all of it. `secret`: 1 to 64 bytes."""
    digest = blake2b(key=secret, digest_size=32)
    told = sorted((name.lower(), value) for name, value in headers)
    named = [part for name, value in told if not _noise(name) for part in (name, value)]
    for part in (*parts, *named):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _noise(name: bytes) -> bool:
    return name in NOISE or name.startswith(_NOISY)


def worth_keeping(dialect: Dialect, ask: Ask, content_type: bytes, body: bytes) -> bool:
    """Is this a whole answer that may be given again?"""
    reader = dialect.reader(ask, content_type)
    deltas = reader.feed(body).deltas + reader.close().deltas
    if reader.streams and not (reader.done or reader.finished):
        return False
    ends, said = 0, False
    for delta in deltas:
        match delta:
            case Text(text=text):
                said = said or bool(text)
            case Media() if ask.operation is Operation.EMBEDDINGS:
                said = True
            case Finish(reason=FinishReason.STOP):
                ends += 1
            case Reasoning() | Usage() | Answering():
                pass
            case _:  # a refusal, a tool call, an image, another end, trouble, what nobody can read
                return False
    return said and ends > 0


@dataclass(slots=True)
class Answers:
    """Kept answers by key, the least recently used first. `closed`: nothing is taken in."""

    entries: int = 4096
    most: int = 32 * 1024 * 1024  # bytes
    size: int = 0  # bytes that are held
    closed: bool = False
    evicted: Counter[str] = field(default_factory=Counter)  # by reason: room or memory
    _held: OrderedDict[bytes, Stored] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes, now: float, oldest: float) -> Stored | None:
        """None where there is none, or it is older than `oldest` seconds: then it is gone."""
        found = self._held.get(key)
        if found is None:
            return None
        if now - found.at > oldest:
            self._drop(key)
            return None
        self._held.move_to_end(key)
        return found

    def put(self, key: bytes, stored: Stored) -> bool:
        """In place of an earlier one. False: it is not taken."""
        if self.closed or len(stored.body) > min(LARGEST, self.most - BESIDE):
            return False
        if key in self._held:
            self.size -= _cost(self._held.pop(key))
        self._held[key] = stored
        self.size += _cost(stored)
        self._fit()
        return True

    def resize(self, entries: int, size: int) -> None:
        self.entries, self.most = entries, size
        self._fit()

    def news(self) -> Counter[str]:
        """What was evicted since the last time, by reason."""
        told, self.evicted = self.evicted, Counter()
        return told

    def _fit(self) -> None:
        while self._held and (len(self._held) > self.entries or self.size > self.most):
            self._drop(next(iter(self._held)))
            self.evicted["room"] += 1

    def clear(self) -> None:
        self.evicted["memory"] += len(self._held)
        self._held.clear()
        self.size = 0

    def _drop(self, key: bytes) -> None:
        self.size -= _cost(self._held.pop(key))


def _cost(stored: Stored) -> int:
    return len(stored.body) + BESIDE


# ---- answers that lie elsewhere ---------------------------------------------------------------------------

VERSION = 1
SEAL = 32  # bytes
AHEAD = 60.0  # seconds that another pod's clock may be ahead


class _Packed(Struct, array_like=True):
    version: int
    wall: float  # Unix time when it was given
    body: bytes
    content_type: bytes
    form: str
    source: str
    losses: bytes


def pack(stored: Stored, key: bytes, secret: bytes, *, wall: float) -> bytes:
    """Bytes that only who has the secret can have made, for this key. `wall`: when it was given."""
    told = _Packed(VERSION, wall, stored.body, stored.content_type, stored.form, stored.source, stored.losses)
    data = msgspec.msgpack.encode(told)
    return _seal(data, key, secret) + data


def unpack(data: bytes, key: bytes, secret: bytes, *, wall: float, now: float) -> Stored | None:
    """None for whatever is not ours, of another version, for another key or from the future."""
    sealed, data = data[:SEAL], data[SEAL:]
    if not data or len(data) > 2 * LARGEST or not compare_digest(sealed, _seal(data, key, secret)):
        return None
    try:
        told = msgspec.msgpack.decode(data, type=_Packed)
    except msgspec.DecodeError:
        return None
    age = wall - told.wall
    if told.version != VERSION or not -AHEAD <= age < inf:
        return None
    at = now - max(0.0, age)
    return Stored(told.body, told.content_type, told.form, told.source, at, told.losses)


def _seal(data: bytes, key: bytes, secret: bytes) -> bytes:
    return blake2b(key + data, key=secret, digest_size=SEAL, person=b"an answer").digest()
