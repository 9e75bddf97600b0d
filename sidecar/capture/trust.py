"""The certificates that the application is told to trust, as files beside it.

Most clients read one bundle and that alone (SSL_CERT_FILE, REQUESTS_CA_BUNDLE), so ours holds the
system's roots too, and what the sidecar itself was told to trust; a few (NODE_EXTRA_CA_CERTS) add a
file to their own roots: that one has ours alone. Files are replaced whole, so no client reads half of
one. Nothing here is secret.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

BUNDLE: Final = "ca-bundle.pem"
ALONE: Final = "ca.pem"
_BLOCK: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s+[A-Za-z0-9+/=\s]+?-----END CERTIFICATE-----", re.ASCII
)
_USUAL: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Red Hat
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, Alpine
)


class NoRoots(OSError):  # reads as what it says
    """There is no list of the world's authorities here: a bundle without it would break the application."""


def roots(env: Mapping[str, str]) -> bytes:
    """The system's roots and those that the environment adds, each once. Raises NoRoots."""
    found: dict[bytes, None] = {}
    for path in _system():
        found |= _blocks([path])
        if found:
            break
    else:
        found |= _folder(Path(ssl.get_default_verify_paths().openssl_capath))
    if not found and find_spec("certifi") is not None:
        import certifi

        found |= _blocks([Path(certifi.where())])
    if not found:
        raise NoRoots(
            "capture.mode: proxy needs the system's root certificates for its bundle, and there are none "
            "here; install ca-certificates, or name a file of them in SSL_CERT_FILE"
        )
    if env.get("SSL_CERT_FILE"):
        found |= _blocks([Path(env["SSL_CERT_FILE"])])
    if env.get("SSL_CERT_DIR"):
        found |= _folder(Path(env["SSL_CERT_DIR"]))
    return b"".join(block + b"\n" for block in found)


def write(folder: Path, system: bytes, own: bytes) -> None:
    """Both files, readable by everybody. Raises OSError."""
    _replace(folder / ALONE, own)
    _replace(folder / BUNDLE, system + own)


def _system() -> Iterator[Path]:
    paths = ssl.get_default_verify_paths()
    yield Path(paths.openssl_cafile)
    yield from map(Path, _USUAL)
    if paths.cafile:
        yield Path(paths.cafile)


def _folder(folder: Path) -> dict[bytes, None]:
    try:
        return _blocks(sorted(path for path in folder.iterdir() if path.is_file()))
    except OSError:
        return {}


def _blocks(paths: Iterable[Path]) -> dict[bytes, None]:
    """The certificates of some files, in their order; whatever else stands there is left out."""
    found: dict[bytes, None] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            found |= dict.fromkeys(_BLOCK.findall(path.read_bytes()))
    return found


def _replace(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o444)
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
