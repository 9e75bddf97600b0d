"""What is looked at again and again: a file that a ConfigMap swaps or an editor writes, and the keys."""

from __future__ import annotations

from pathlib import Path

from sidecar import config
from sidecar.events import Keyed, Tell
from sidecar.secret import Secret
from sidecar.settings import Settings

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


class Keys:
    """Tells when a key has gone while the process runs, and when it is there again; never what it is.

    What is missing at the start or at a reload is the reload's to tell.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._named: dict[Secret, str] = {}
        self._gone: set[Secret] = set()

    def follow(self, settings: Settings) -> None:
        self._named = config.keys(settings)
        self._gone = {secret for secret in self._named if secret.trouble}

    def look(self) -> None:
        for secret, path in self._named.items():
            trouble = secret.trouble
            if (secret in self._gone) is not bool(trouble):
                self._gone ^= {secret}
                self._tell(
                    Keyed(not trouble, f"{path}: {secret.kind}:{secret.where}: {trouble or 'is there again'}")
                )
