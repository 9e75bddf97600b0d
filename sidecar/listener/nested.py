"""Notices when somebody above us retries too (R8).

Three things prove a nested retry: the SDK says so; an idempotency key comes again; or the same
request comes again soon after its first client left without an answer. Equal bodies alone prove
nothing: sampling the same prompt ten times is a use, not a retry.

What is kept is bounded, hashed, and forgotten after its time.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from sidecar.model import Call

LEFT_SECONDS = 30.0
KEY_SECONDS = 600.0
SIZE = 1024


class Nested:
    def __init__(self, size: int = SIZE) -> None:
        self._left = _Seen(size, LEFT_SECONDS)
        self._keys = _Seen(size, KEY_SECONDS)

    def source(self, call: Call, retries: int, key: bytes, now: float) -> str | None:
        """How we know that this call is a retry of an earlier one; None: it is not, as far as we know."""
        repeated = bool(key) and self._keys.again(_mark(call, key), now)
        orphan = bool(self._left) and self._left.take(_mark(call, call.body), now)
        if retries:
            return "sdk_header"
        if repeated:
            return "idempotency_key"
        return "same_body" if orphan else None

    def left(self, call: Call, now: float) -> None:
        """The client left before it had an answer."""
        if call.upload is None and call.body:
            self._left.again(_mark(call, call.body), now)


class _Seen:
    """Marks and when they were last seen, the oldest first."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._marks: OrderedDict[bytes, float] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._marks)

    def again(self, mark: bytes, now: float) -> bool:
        seen = self.take(mark, now)
        self._marks[mark] = now
        if len(self._marks) > self._size:
            self._marks.popitem(last=False)
        return seen

    def take(self, mark: bytes, now: float) -> bool:
        seen = self._marks.pop(mark, None)
        return seen is not None and now - seen <= self._seconds


def _mark(call: Call, content: bytes) -> bytes:
    mark = blake2b(f"{call.key_digest}\0{call.provider}\0{call.path}\0".encode(), digest_size=16)
    mark.update(content)
    return mark.digest()
