"""How much one sidecar takes on at a time: calls in flight, and bytes it holds for them, of
requests and of answers each.

Refusing early costs the application one clear error; taking on too much costs all calls of the
pod their sidecar. So both bounds are hard, and a slot is given back in the frame that took it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Admission:
    slots: int
    bytes: int
    in_flight: int = 0
    held: int = 0
    answers: int = 0  # bytes of answers that are held back
    draining: bool = False

    @contextmanager
    def hold(self, size: int) -> Iterator[bool]:
        """Room for `size` bytes of a request body while the frame lasts; False: there is none."""
        if self.held + size > self.bytes:
            yield False
            return
        self.held += size
        try:
            yield True
        finally:
            self.held -= size

    def keep(self, size: int) -> bool:
        """Room for `size` bytes of an answer, to be given back through `let_go`; False: there is none."""
        if self.answers + size > self.bytes:
            return False
        self.answers += size
        return True

    def let_go(self, size: int) -> None:
        self.answers -= size

    @contextmanager
    def slot(self) -> Iterator[bool]:
        """A place among the calls in flight while the frame lasts; False: all are taken."""
        if self.in_flight >= self.slots:
            yield False
            return
        self.in_flight += 1
        try:
            yield True
        finally:
            self.in_flight -= 1
