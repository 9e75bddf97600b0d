"""A file that is looked at again and again: one that a ConfigMap swaps, or an editor writes."""

from __future__ import annotations

import contextlib
from pathlib import Path

Signature = tuple[int, int, int]


class Watched:
    def __init__(self, path: Path | None, *, seen: bool = False) -> None:
        """`seen`: what is there now is known already."""
        self._path = path
        self._seen = self._signature() if seen else None

    def changed(self) -> bool:
        """Since the last time; coming and going count."""
        now = self._signature()
        if now == self._seen:
            return False
        self._seen = now
        return True

    @property
    def there(self) -> bool:
        """When it was looked at last."""
        return self._seen is not None

    def _signature(self) -> Signature | None:
        if self._path is not None:
            with contextlib.suppress(OSError):
                status = self._path.stat()  # follows the symlink that a ConfigMap swaps
                return status.st_mtime_ns, status.st_ino, status.st_size
        return None
