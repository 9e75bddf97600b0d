"""The pod's own certificate authority: it lives in memory, and can vouch for nothing but our hosts.

What it promises.

- No private key touches a file system. The standard library takes certificates and keys from files
  only, so both are handed over through anonymous pipes: bytes in the kernel for a moment, which, unlike
  a memory file, are never swapped out. The authority's own key is never written out at all.
- It can sign for the hosts it was made for and no other. The names stand in the certificate of the
  authority as critical name constraints, addresses are excluded altogether, and it may sign neither
  another authority nor anything but servers. Whoever stole the key could deceive one pod, about the
  hosts this sidecar sees in clear text anyway. (A constraint on example.com includes names below it:
  that is how they are defined.)
- A certificate that a client trusts does not run out under it. Clients read the bundle once, when they
  start, so the authority is valid for a year, and half a year before its end a second one is put
  beside it. Both are in the bundle, and the elder signs as long as it can: every client that started
  within half a year trusts it. What is short is the life of the hosts' certificates: a day.

Why not a day for the authority too: decision 8.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY: Final = 86400.0
LIFE: Final = 365 * DAY  # of an authority
RENEWED: Final = LIFE / 2  # what is left of the newest one when the next is made
LEAF: Final = 1 * DAY  # of a host's certificate; made anew at half of it
EARLY: Final = 3600.0  # clocks of containers on one node agree; those of a suspended laptop may not
_SERVER: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


class Authority:
    """One authority: its certificate, its key, its end."""

    __slots__ = ("_key", "certificate", "ends")

    def __init__(self, hosts: Iterable[str], now: float) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ends = now + LIFE
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "llm-sidecar of this pod")])
        names = [x509.DNSName(host) for host in sorted(hosts)]
        addresses = [x509.IPAddress(ip_network(net)) for net in ("0.0.0.0/0", "::/0")]
        public = self._key.public_key()
        made = _builder(name, name, public, now, LIFE)
        for extension, critical in (
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (x509.NameConstraints(permitted_subtrees=names, excluded_subtrees=addresses), True),
            (_usage(sign=False), True),
            (_SERVER, False),
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
        ):
            made = made.add_extension(extension, critical)
        self.certificate = made.sign(self._key, hashes.SHA256())

    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def sign(self, host: str, now: float) -> tuple[bytes, bytes]:
        """A host's certificate and its key, as PEM. It signs what it is asked to: who checks a
        certificate is the client, and the constraints are for the client.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.certificate
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        made = _builder(subject, issuer.subject, key.public_key(), now, LEAF)
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.SubjectAlternativeName([x509.DNSName(host)]), False),
            (_usage(sign=True), True),
            (_SERVER, False),
            (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known), False),
        ):
            made = made.add_extension(extension, critical)
        certificate = made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        return certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class _Leaf:
    context: ssl.SSLContext
    renew_at: float


class Certificates:
    """What clients are shown. `wall` is Unix time."""

    def __init__(self, hosts: Iterable[str], wall: Callable[[], float]) -> None:
        self.hosts = frozenset(hosts)
        self._wall = wall
        self._authorities = [Authority(self.hosts, wall())]
        self._leaves: dict[str, _Leaf] = {}

    def pem(self) -> bytes:
        """The certificates that clients have to trust: more than one while an old one runs out."""
        return b"".join(authority.pem() for authority in self._authorities)

    def renew(self) -> bool:
        """Once in a while; true where `pem` has changed."""
        now = self._wall()
        kept = [authority for authority in self._authorities if authority.ends > now]
        if not kept or kept[-1].ends - now < RENEWED:
            kept.append(Authority(self.hosts, now))
        changed = kept != self._authorities
        self._authorities = kept
        return changed

    def context(self, host: str) -> ssl.SSLContext:
        """For a connection to one of `hosts`."""
        now = self._wall()
        leaf = self._leaves.get(host)
        if leaf is None or now >= leaf.renew_at:
            signer = next((one for one in self._authorities if one.ends - now > LEAF), self._authorities[-1])
            leaf = self._leaves[host] = _Leaf(_context(host, *signer.sign(host, now)), now + LEAF / 2)
        return leaf.context


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: float, life: float
) -> x509.CertificateBuilder:
    start = datetime.fromtimestamp(now, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - timedelta(seconds=EARLY))
        .not_valid_after(start + timedelta(seconds=life))
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    """For signatures of a handshake, else for certificates."""
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not sign,
        crl_sign=not sign,
        encipher_only=False,
        decipher_only=False,
    )


def _context(host: str, certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])

    def named(_connection: object, name: str | None, _context: ssl.SSLContext) -> int | None:
        """A client that asks for one host and means another is up to something. None: it names none."""
        if name is None or name.lower().removesuffix(".") == host:
            return None
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = named
    with _piped(certificate) as first, _piped(key) as second:
        context.load_cert_chain(first, second)
    return context


@contextmanager
def _piped(data: bytes) -> Iterator[str]:
    """A path that reads as `data`, once, and is no file."""
    there, here = os.pipe()
    try:
        try:
            os.write(here, data)  # far less than a pipe holds: nobody has to read meanwhile
        finally:
            os.close(here)
        folder = Path("/proc/self/fd")
        yield str((folder if folder.is_dir() else Path("/dev/fd")) / str(there))
    finally:
        os.close(there)
