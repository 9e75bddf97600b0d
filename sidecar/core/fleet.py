"""What the pods of a fleet tell each other, and what of it is believed.

The place where they meet (a Redis) is trusted with nothing: everything written there is signed with a
key that it does not know, over the version, the prefix and the purpose, so that a value of another
fleet, of another place or of an older version is no value. What does not verify, or is not exactly what
we write, is counted by its reason and otherwise ignored. A pod counts its messages up, so that an old
one that is written again says nothing. All that is kept is bounded, and reports are of use for seconds.

Nothing here names a key or quotes a request: a message holds names of providers and models, the digests
by which keys are told apart, and figures. Wall time enters as ages alone; pods whose clocks differ by
more than the age of a report do not hear each other, which is what would happen without all this.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from sidecar.core.report import Age, Report
from sidecar.model import Fault

VERSION = 1
LARGEST = 16 * 1024  # bytes of one value
ROWS = 64  # breakers, and waits, in one message
NAME = 256  # characters; a longer model is not told of
SUBJECTS = 64  # breakers of others remembered; the oldest go first
PODS = 256  # of whom each is heard: as many as can have told something in one round; the oldest go first
SENDERS = 4096  # pods whose count is known
AHEAD = 5.0  # seconds by which another pod's clock may differ
MAC = 32  # bytes

# what a provider said of a key or of itself, not what one pod met
SHARED = frozenset({
    Fault.RATE_LIMIT_RPM, Fault.RATE_LIMIT_TPM, Fault.RATE_LIMIT_DAILY, Fault.RATE_LIMIT_CONCURRENCY,
    Fault.RATE_LIMIT_ACCELERATION, Fault.RATE_LIMIT_UNKNOWN, Fault.QUOTA_EXHAUSTED, Fault.ORG_LIMIT,
    Fault.BILLING,
})  # fmt: skip
_PARTS = {"provider": 2, "key": 3, "model": 4}  # of a wait's scope, see core/waits

Word = Annotated[str, Meta(max_length=NAME)]
Subject = tuple[Word, Word, Word]  # provider, model, key digest


class Row(Struct, frozen=True, array_like=True):
    subject: Subject
    report: Report


class Wait(Struct, frozen=True, array_like=True):
    scope: Annotated[tuple[Word, ...], Meta(min_length=2, max_length=4)]
    seconds: Age  # that are left
    fault: Fault
    named: bool  # the provider named the time


class Message(Struct, frozen=True, omit_defaults=True):
    pod: Annotated[str, Meta(min_length=1, max_length=32)]
    count: Annotated[int, Meta(ge=0)]  # of the messages of this pod, upwards
    at: float  # Unix time
    breakers: Annotated[tuple[Row, ...], Meta(max_length=ROWS)] = ()
    waits: Annotated[tuple[Wait, ...], Meta(max_length=ROWS)] = ()


class Lease(Struct, frozen=True):
    pod: Annotated[str, Meta(min_length=1, max_length=32)]
    subject: Subject
    until: float  # Unix time


_MESSAGE = msgspec.json.Decoder(Message)
_LEASE = msgspec.json.Decoder(Lease)
T = TypeVar("T", Message, Lease)


class Refuse(Exception):  # a word for what becomes of the value
    """A value that is not believed: `reason` is forged, stale or unreadable."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Seal:
    """Signs and verifies. Its repr shows no key."""

    key: bytes = field(repr=False)
    prefix: str

    def close(self, value: Message | Lease) -> bytes:
        body = msgspec.json.encode(value)
        return b"%d:%b%b" % (VERSION, self._mac(type(value), body), body)

    def open_message(self, blob: bytes) -> Message:
        """Raises Refuse."""
        return _read(_MESSAGE, self._verified(Message, blob))

    def open_lease(self, blob: bytes, subject: Subject, wall: float) -> Lease:
        """Raises Refuse: one that is over, or for another breaker, says nothing either."""
        lease = _read(_LEASE, self._verified(Lease, blob))
        if lease.subject != subject or not wall - AHEAD < lease.until:
            raise Refuse("stale")
        return lease

    def name(self, subject: Subject) -> str:
        """Of a lease: nobody without the key can tell what it is for."""
        said = msgspec.json.encode(subject)
        return blake2b(said, key=sha256(self.key).digest(), digest_size=16).hexdigest()

    def mark(self, body: bytes) -> int:
        """Tells request bodies apart over the fleet, and says nothing of them."""
        return int.from_bytes(blake2b(body, key=sha256(self.key).digest(), digest_size=6).digest(), "big")

    def _verified(self, kind: type, blob: bytes) -> bytes:
        if len(blob) > LARGEST:
            raise Refuse("unreadable")
        version, colon, rest = blob.partition(b":")
        if not colon or not version.isdigit() or len(version) > 8:
            raise Refuse("unreadable")
        if int(version) != VERSION:
            raise Refuse("unreadable")
        if not hmac.compare_digest(rest[:MAC], self._mac(kind, rest[MAC:])):
            raise Refuse("forged")
        return rest[MAC:]

    def _mac(self, kind: type, body: bytes) -> bytes:
        said = b"llm-sidecar\0%d\0%b\0%b\0" % (VERSION, kind.__name__.encode(), self.prefix.encode())
        return hmac.digest(self.key, said + body, "sha256")


def letters(seal: Seal, message: Message) -> list[bytes]:
    """The message as values of which none is too large, counted on from its count."""
    blob = seal.close(message)
    rows, waits = len(message.breakers), len(message.waits)
    if len(blob) <= LARGEST or rows + waits < 2:
        return [blob]
    half = replace(message, breakers=message.breakers[: rows // 2], waits=message.waits[: waits // 2])
    found = letters(seal, half)
    rest = message.breakers[rows // 2 :], message.waits[waits // 2 :]
    count = message.count + len(found)
    return found + letters(seal, replace(message, count=count, breakers=rest[0], waits=rest[1]))


def _read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise Refuse("unreadable") from None


@dataclass(slots=True)
class Fleet:
    """What was heard of the other pods. `pod` is this one; `fresh`: seconds that a report is of use."""

    pod: str
    fresh: float = 10.0
    refused: dict[str, int] = field(default_factory=dict)  # values not believed, by reason, until taken
    _reports: OrderedDict[Subject, OrderedDict[str, tuple[float, Report]]] = field(
        default_factory=OrderedDict
    )
    _counts: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def hear(self, seal: Seal, blobs: Iterable[bytes], now: float, wall: float) -> list[Wait]:
        """Oldest first. The waits among it that still hold, to be remembered."""
        waits: list[Wait] = []
        for blob in blobs:
            try:
                message = seal.open_message(blob)
                if message.pod != self.pod and self._news(message):
                    waits += self._take(message, wall - message.at, now)
            except Refuse as no:
                self.refuse(no.reason)
        return waits

    def refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def of(self, subject: Subject, now: float) -> Sequence[Report]:
        """What the other pods say of it now, each one once."""
        heard = self._reports.get(subject)
        if not heard:
            return ()
        return [one.later(max(0.0, now - at)) for at, one in heard.values() if now - at <= self.fresh]

    def troubled(self, now: float) -> int:
        """Pods that were heard of lately to be in trouble."""
        rows = (item for heard in self._reports.values() for item in heard.items())
        return len({pod for pod, (at, one) in rows if now - at <= self.fresh and one.recovered is None})

    def _news(self, message: Message) -> bool:
        if message.count <= self._counts.get(message.pod, -1):
            return False
        self._counts[message.pod] = message.count
        self._counts.move_to_end(message.pod)
        while len(self._counts) > SENDERS:
            self._counts.popitem(last=False)
        return True

    def _take(self, message: Message, age: float, now: float) -> list[Wait]:
        if not age >= -AHEAD:
            raise Refuse("stale")
        age = max(0.0, age)
        if age <= self.fresh:
            for row in message.breakers:
                heard = self._reports.setdefault(row.subject, OrderedDict())
                heard[message.pod] = (now, row.report.later(age))
                heard.move_to_end(message.pod)
                while len(heard) > PODS:
                    heard.popitem(last=False)
                self._reports.move_to_end(row.subject)
        while len(self._reports) > SUBJECTS:
            self._reports.popitem(last=False)
        return [
            Wait(wait.scope, wait.seconds - age, wait.fault, wait.named)
            for wait in message.waits
            if wait.seconds > age and wait.fault in SHARED and _PARTS.get(wait.scope[0]) == len(wait.scope)
        ]
