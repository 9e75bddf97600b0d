"""Certificates of the webhook: what has to be done to those there are, at a given time. No I/O.

A CA lives a year, a leaf a week; both are renewed at two thirds of their life, so that a week of an
unreachable API costs nothing. A new CA is first only trusted: for an hour the leaf stays the old CA's,
while every API server learns the bundle of both. Then the leaf is signed by the new CA, and the old
one is trusted until no replica can serve a leaf of its any more. So at every moment all leaves in use
are of a CA in the bundle, and no review is lost.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY: Final = 86400.0
CA_LIFE: Final = 365 * DAY
LEAF_LIFE: Final = 7 * DAY
OVERLAP: Final = 3600.0  # from a new CA's birth to its first leaf
SKEW: Final = 300.0  # a certificate is valid from a little before its birth: clocks differ


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    # typing.override is newer than our oldest Python
    def __repr__(self) -> str:  # type: ignore[explicit-override]
        return "Pair()"

    @property
    def parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate)

    @property
    def born(self) -> float:
        return self.parsed.not_valid_before_utc.timestamp() + SKEW

    @property
    def ends(self) -> float:
        return self.parsed.not_valid_after_utc.timestamp()

    def due(self, now: float) -> bool:
        return now >= self.born + (self.ends - self.born) * 2 / 3


@dataclass(frozen=True, slots=True)
class Kept:
    """What the Secret holds."""

    ca: Pair
    leaf: Pair
    old: bytes = b""  # the CA before, as long as it is trusted

    @property
    def bundle(self) -> bytes:
        return self.ca.certificate + self.old


def advance(kept: Kept | None, names: Sequence[str], now: float) -> Kept:
    """What it should be at `now`: the same where nothing is to be done."""
    if kept is None or now >= kept.ca.ends:
        ca = new_ca(now)
        return Kept(ca, new_leaf(ca, names, now))
    if kept.ca.due(now):
        kept = Kept(new_ca(now), kept.leaf, old=kept.ca.certificate)
    settled = not kept.old or now >= kept.ca.born + OVERLAP
    usable = now < kept.leaf.ends and names_of(kept.leaf) == tuple(names)
    ours = issued(kept.leaf, kept.ca.certificate)
    if not usable or (settled and (not ours or kept.leaf.due(now))):
        kept = replace(kept, leaf=new_leaf(kept.ca, names, now))
    if kept.old and now >= kept.ca.born + OVERLAP + LEAF_LIFE:
        kept = replace(kept, old=b"")
    return kept


def new_ca(now: float) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "llm-sidecar injector CA")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key, now, now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def new_leaf(ca: Pair, names: Sequence[str], now: float) -> Pair:
    issuer = ca.parsed
    signer = serialization.load_pem_private_key(ca.key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        _builder(subject, issuer.subject, key, now, min(now + LEAF_LIFE, ca.ends))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(authority, critical=False)
    )
    return _pair(builder.sign(signer, hashes.SHA256()), key)


def names_of(leaf: Pair) -> tuple[str, ...]:
    found = leaf.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return tuple(found.value.get_values_for_type(x509.DNSName))


def issued(leaf: Pair, ca: bytes) -> bool:
    try:
        leaf.parsed.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: float, end: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_date(now - SKEW))
        .not_valid_after(_date(end))
    )


def _date(at: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(at, dt.UTC)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


# ---- as a Secret -----------------------------------------------------------------------------

_KEYS: Final = ("ca.crt", "ca.key", "tls.crt", "tls.key")


def to_data(kept: Kept) -> dict[str, str]:
    parts = dict(
        zip(_KEYS, (kept.ca.certificate, kept.ca.key, kept.leaf.certificate, kept.leaf.key), strict=True)
    )
    if kept.old:
        parts["ca-old.crt"] = kept.old
    return {name: base64.b64encode(value).decode() for name, value in parts.items()}


def from_data(data: Mapping[str, Any]) -> Kept | None:
    """None where it is empty, or not what we wrote: then it is made anew."""
    try:
        ca_crt, ca_key, crt, key = (base64.b64decode(data[name], validate=True) for name in _KEYS)
        old = base64.b64decode(data.get("ca-old.crt", ""), validate=True)
        kept = Kept(Pair(ca_crt, ca_key), Pair(crt, key), old)
        if not (_matches(kept.ca) and _matches(kept.leaf) and names_of(kept.leaf)):
            return None
        if not (issued(kept.leaf, ca_crt) or (old and issued(kept.leaf, old))):
            return None
    except (KeyError, ValueError, TypeError, binascii.Error, x509.ExtensionNotFound):
        return None
    return kept


def _matches(pair: Pair) -> bool:
    key = serialization.load_pem_private_key(pair.key, None)
    return key.public_key() == pair.parsed.public_key()
