"""A reference to a secret: where it is, never what it is.

The value is read when it is needed and kept until its source changes. A file is looked at again at
most once a second and read again when its inode, size or time of change differ, which covers the
symlink swap by which Kubernetes replaces mounted secrets. What cannot be a header value is no key.

There is no way to see the value but `reveal`, which only the upstream calls: repr, str, equality,
pickles and every message name the source alone.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Final

LARGEST: Final = 16 * 1024  # bytes; keys are short, a wrong path should not be read into memory
LOOK_EVERY: Final = 1.0  # seconds between two looks at a file


class Secret:
    """A key in a file or in an environment variable. Implements model.Credential."""

    __slots__ = ("_digest", "_looked", "_now", "_seen", "_trouble", "_value", "kind", "where")

    def __init__(
        self,
        kind: str,
        where: str,
        now: Callable[[], float] = time.monotonic,  # noqa: TID251  # read at the border, like the upstream
    ) -> None:
        if kind not in {"file", "env"}:
            raise ValueError('a secret comes from a "file" or from "env"')
        self.kind = kind
        self.where = where
        self._now = now
        self._looked = -LOOK_EVERY
        self._seen: object = None  # what the source looked like when the value was read
        self._value: str | None = None
        self._digest = ""
        self._trouble = ""

    def reveal(self) -> str | None:
        self._look()
        return self._value

    @property
    def digest(self) -> str:
        """8 hex characters of the value's hash; "" where there is no value now."""
        self._look()
        return self._digest

    @property
    def trouble(self) -> str:
        """Why there is no value, for people; "" where there is one."""
        self._look()
        return self._trouble

    def _look(self) -> None:
        if self.kind == "env":
            text = os.environ.get(self.where)
            if text is None or text != self._seen:
                self._seen = text
                self._take(text, "the variable is not set")
            return
        now = self._now()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        try:
            if _signature(Path(self.where).stat()) != self._seen:
                self._seen, data = _read(self.where)
                self._take(data.decode(), "")
        except OSError as error:
            self._seen = None
            self._take(None, error.strerror or "it cannot be read")
        except ValueError:  # no UTF-8, or a path with a NUL in it
            self._take(None, "it is not text")

    def _take(self, text: str | None, why_none: str) -> None:
        value = None if text is None else text.rstrip("\r\n")
        self._trouble = why_none if value is None else _unfit(value)
        self._value = None if self._trouble else value
        fit = b"" if self._value is None else self._value.encode("latin-1")
        self._digest = blake2b(fit, digest_size=4).hexdigest() if fit else ""

    # typing.override is newer than our oldest Python
    def __repr__(self) -> str:  # type: ignore[explicit-override]
        return f"Secret({self.kind}:{self.where})"

    def __eq__(self, other: object) -> bool:  # type: ignore[explicit-override]
        return isinstance(other, Secret) and (self.kind, self.where) == (other.kind, other.where)

    def __hash__(self) -> int:  # type: ignore[explicit-override]
        return hash((self.kind, self.where))

    def __reduce__(self) -> tuple[type[Secret], tuple[str, str]]:  # type: ignore[explicit-override]
        return Secret, (self.kind, self.where)


def _unfit(value: str) -> str:
    if not value:
        return "it is empty"
    if any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or ord(char) > 0xFF for char in value):
        return "it holds a line break or another character that a header cannot carry"
    return ""


def _read(where: str) -> tuple[tuple[int, int, int], bytes]:
    # without O_NONBLOCK a path that is a pipe would stop the whole process
    with os.fdopen(os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        seen = os.fstat(file.fileno())
        if not stat.S_ISREG(seen.st_mode):
            raise OSError(0, "it is not a plain file")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(0, f"it is larger than {LARGEST} bytes")
    return _signature(seen), data


def _signature(seen: os.stat_result) -> tuple[int, int, int]:
    return seen.st_mtime_ns, seen.st_ino, seen.st_size
