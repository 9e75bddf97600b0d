"""A header that begins as ours do and is none of them: the call is served, and somebody is told.

The answer names it in `x-llm-sidecar-ignored`, for whoever looks at one call; the log does once, for whoever
never looks. Names come from clients: only plain ones are told, and no more than a handful in a process.
"""

from __future__ import annotations

from difflib import get_close_matches

from sidecar.events import Ignored, Tell
from sidecar.listener.http_rules import KNOWN, OURS
from sidecar.model import Call

MOST = 32  # names that one process tells of

_PREFIX = OURS.decode()


class Unknown:
    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def tell(self, call: Call, names: tuple[str, ...]) -> None:
        """`names` without the prefix."""
        for name in names:
            if name in self._told or len(self._told) >= MOST:
                continue
            self._told.add(name)
            close = get_close_matches(name, [known.decode() for known in sorted(KNOWN)], n=1)
            self._tell(Ignored(call, _PREFIX + name, _PREFIX + close[0] if close else ""))
