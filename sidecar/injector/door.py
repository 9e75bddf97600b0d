"""The TLS side of the webhook: one context, whose certificate can be changed while it serves.

New connections get the new certificate, those that are open keep theirs. A certificate is tried on a
context of its own first: a half loaded pair must never reach the one in use.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from sidecar.injector.certificates import Pair


class Door:
    def __init__(self) -> None:
        self.context = _context()
        self.loaded: Pair | None = None
        self.ends = 0.0  # of the certificate in use, Unix time; 0: there is none

    def load(self, pair: Pair) -> bool:
        """True if it is another one than before. Raises ValueError where it cannot be used."""
        if pair == self.loaded:
            return False
        try:
            ends = x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc.timestamp()
            for context in (_context(), self.context):
                with _files(pair) as (certificate, key):
                    context.load_cert_chain(certificate, key)
        except (ssl.SSLError, ValueError):
            raise ValueError("the certificate and the key are no pair, or no PEM") from None
        self.loaded, self.ends = pair, ends
        return True


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextlib.contextmanager
def _files(pair: Pair) -> Iterator[tuple[str, str]]:
    """OpenSSL wants files. Memory that looks like one, so that no key lies on a disk."""
    if not hasattr(os, "memfd_create"):  # no Linux: a developer's machine
        with tempfile.TemporaryDirectory() as folder:  # for its owner only
            paths = (Path(folder) / "tls.crt", Path(folder) / "tls.key")
            for path, data in zip(paths, (pair.certificate, pair.key), strict=True):
                path.write_bytes(data)
            yield str(paths[0]), str(paths[1])
        return
    handles = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("tls.crt", "tls.key")]
    try:
        for handle, data in zip(handles, (pair.certificate, pair.key), strict=True):
            os.write(handle, data)
        yield f"/proc/self/fd/{handles[0]}", f"/proc/self/fd/{handles[1]}"
    finally:
        for handle in handles:
            os.close(handle)
