"""A file that is looked at again and again: one that a ConfigMap swaps, or an editor writes."""

from __future__ import annotations

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
        """When it was looked at last. What cannot be looked at (a loop of links, a closed folder) is there:
        whoever reads it says why it cannot be read."""
        return self._seen is not None

    def _signature(self) -> Signature | None:
        if self._path is None:
            return None
        try:
            status = self._path.stat()  # follows the symlink that a ConfigMap swaps
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return error.errno or 0, 0, 0
        return status.st_mtime_ns, status.st_ino, status.st_size
