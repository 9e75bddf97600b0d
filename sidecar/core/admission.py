"""How much one sidecar takes on at a time: calls in flight, and bytes it holds for them, of
requests and of answers each.

Refusing early costs the application one clear error; taking on too much costs all calls of the
pod their sidecar. So both bounds are hard, and a slot is given back in the frame that took it.

Two things narrow it. Near the container's memory limit little is held back of answers (`tight`), and
a large request body finds no room (`full`). And when the pod ends, no call is promised more time than
the pod has left (`latest`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Self

TIGHT_SHARE = 8  # the part of the room for answers that is left where memory is tight
LARGE = 1024 * 1024  # bytes of a request body that finds no room where memory is full
LEAST = 1.0  # seconds that a call gets in any case: some answers are quick


@dataclass(slots=True)
class Admission:
    slots: int
    bytes: int
    in_flight: int = 0
    held: int = 0
    answers: int = 0  # bytes of answers that are held back
    tight: bool = False
    full: bool = False
    latest: float = inf  # when the last answer has to be over

    def hold(self) -> Held:
        """Room for a request body, taken as it comes and given back at the end of the frame."""
        return Held(self)

    def keep(self, size: int) -> bool:
        """Room for `size` bytes of an answer, to be given back through `let_go`; False: there is none."""
        if self.answers + size > (self.bytes // TIGHT_SHARE if self.tight else self.bytes):
            return False
        self.answers += size
        return True

    def let_go(self, size: int) -> None:
        self.answers -= size

    def largest(self, bound: int) -> int:
        """How large a request body may be that is held, where it may be `bound` bytes at other times."""
        return min(bound, LARGE) if self.full else bound

    def deadline(self, arrived: float, wanted: float) -> float:
        """When a call has to have its answer, if it may wait until `wanted`."""
        latest = self.latest
        return wanted if latest == inf else min(wanted, max(latest, arrived + LEAST))

    def slot(self) -> Slot:
        """A place among the calls in flight while the frame lasts; False: all are taken."""
        return Slot(self)


# Two classes, since a generator for each call is five times as dear.


class Held:
    __slots__ = ("_admission", "_size")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def take(self, size: int) -> bool:
        """So many bytes more; False: there is no room."""
        admission = self._admission
        if admission.held + size > admission.bytes:
            return False
        admission.held += size
        self._size += size
        return True

    def __exit__(self, *_: object) -> None:
        self._admission.held -= self._size


class Slot:
    __slots__ = ("_admission", "_taken")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._taken = 0

    def __enter__(self) -> bool:
        if self._admission.in_flight >= self._admission.slots:
            return False
        self._taken = 1
        self._admission.in_flight += 1
        return True

    def __exit__(self, *_: object) -> None:
        self._admission.in_flight -= self._taken
