"""A certificate made on the spot: ECDSA on P-256 and just enough DER for a self-signed server.

The standard library can read certificates and not write them; a key in the repository would be
found by every scanner, and an external tool may be absent.
"""

from __future__ import annotations

import secrets
from base64 import encodebytes
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int] | None


def _add(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def _times(k: int) -> tuple[int, int]:
    total: Point = None
    step: Point = G
    while k:
        if k & 1:
            total = _add(total, step)
        step, k = _add(step, step), k >> 1
    assert total is not None
    return total


def _tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 128:
        length = bytes([len(content)])
    else:
        size = (len(content).bit_length() + 7) // 8
        length = bytes([0x80 | size]) + len(content).to_bytes(size, "big")
    return bytes([tag]) + length + content


def _sequence(*parts: bytes) -> bytes:
    return _tlv(0x30, *parts)


def _integer(value: int) -> bytes:
    return _tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _oid(*arcs: int) -> bytes:
    out = bytearray([arcs[0] * 40 + arcs[1]])
    for arc in arcs[2:]:
        piece = bytearray([arc & 0x7F])
        while arc := arc >> 7:
            piece.insert(0, 0x80 | arc & 0x7F)
        out += piece
    return _tlv(6, bytes(out))


EC_KEY, P256, SHA = (
    _oid(1, 2, 840, 10045, 2, 1),
    _oid(1, 2, 840, 10045, 3, 1, 7),
    _oid(1, 2, 840, 10045, 4, 3, 2),
)


def _pem(label: str, der: bytes) -> str:
    return f"-----BEGIN {label}-----\n{encodebytes(der).decode()}-----END {label}-----\n"


def write_certificate(path: Path, *, name: str, until: bytes = b"20991231235959Z") -> Path:
    """A file with the key and a certificate for `name` (a host name or an IP address)."""
    key = secrets.randbelow(ORDER - 1) + 1
    x, y = _times(key)
    point = b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
    subject = _sequence(_tlv(0x31, _sequence(_oid(2, 5, 4, 3), _tlv(0x0C, b"wire test"))))
    try:
        alternative = _tlv(0x87, ip_address(name).packed)
    except ValueError:
        alternative = _tlv(0x82, name.encode())
    extensions = _sequence(
        _sequence(_oid(2, 5, 29, 17), _tlv(4, _sequence(alternative))),
        _sequence(_oid(2, 5, 29, 19), _tlv(1, b"\xff"), _tlv(4, _sequence(_tlv(1, b"\xff")))),
    )
    body = _sequence(
        _tlv(0xA0, _integer(2)),
        _integer(secrets.randbits(100)),
        _sequence(SHA),
        subject,
        _sequence(_tlv(0x18, b"20200101000000Z"), _tlv(0x18, until)),
        subject,
        _sequence(_sequence(EC_KEY, P256), _tlv(3, b"\0", point)),
        _tlv(0xA3, extensions),
    )
    nonce = secrets.randbelow(ORDER - 1) + 1
    r = _times(nonce)[0] % ORDER
    s = pow(nonce, -1, ORDER) * (int.from_bytes(sha256(body).digest(), "big") + r * key) % ORDER
    signed = _sequence(body, _sequence(SHA), _tlv(3, b"\0", _sequence(_integer(r), _integer(s))))
    secret = _sequence(_integer(1), _tlv(4, key.to_bytes(32, "big")), _tlv(0xA0, P256))
    path.write_text(_pem("EC PRIVATE KEY", secret) + _pem("CERTIFICATE", signed))
    return path
