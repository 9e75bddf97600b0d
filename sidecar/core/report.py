"""What one pod tells the others of one breaker: ages and rests in seconds, so that no clock is shared.

A report is of use for seconds. It says what the pod itself met, how long it rests, and what its own last
probe found; BAD samples of others are never passed on, so that no rumour keeps itself alive.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

LONGEST = 86400.0  # seconds that anything is said to be old, or to last
Age = Annotated[float, Meta(ge=0.0, le=LONGEST)]


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    open: bool = False  # False: a run of BAD that has not opened it yet, or it has recovered
    bad: Annotated[int, Meta(ge=0, le=1_000_000)] = 0  # BAD samples that stand last
    bodies: Annotated[tuple[int, ...], Meta(max_length=8)] = ()  # marks of their requests, see stack.Memory
    since: Age = 0.0  # the first of the BAD samples that stand last
    rest: Age = 0.0  # until its next probe
    failed: Annotated[int, Meta(ge=0, le=32)] = 0  # probes in a row
    probed: Age | None = None  # its own probe failed
    recovered: Age | None = None  # its own probes closed it

    def later(self, seconds: float) -> Report:
        """The same, so much older."""
        return replace(
            self,
            since=self.since + seconds,
            rest=max(0.0, self.rest - seconds),
            probed=None if self.probed is None else self.probed + seconds,
            recovered=None if self.recovered is None else self.recovered + seconds,
        )
