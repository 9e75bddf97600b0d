"""The authority vouches for its hosts and nobody else, outlives its clients; its keys stay in memory."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from sidecar.capture import certificates, trust
from sidecar.capture.certificates import DAY, LEAF, LIFE, Authority, Certificates

HOSTS = ("api.openai.com", "api.anthropic.com")
NOW = time.time()  # noqa: TID251  # certificates are looked at by real clients
OTHERS = ("evil.com", "api.openai.com.evil.com", "openai.com", "xapi.openai.com", "localhost")


def verified(authority: Authority, pem: bytes, host: str) -> None:
    """As the library verifies; raises VerificationError."""
    store = Store([authority.certificate])
    policy = PolicyBuilder().store(store).time(datetime.fromtimestamp(NOW + 60, UTC))
    policy.build_server_verifier(x509.DNSName(host)).verify(x509.load_pem_x509_certificate(pem), [])


def shaken(trusted: bytes, server: ssl.SSLContext, host: str) -> None:
    """As OpenSSL verifies, in Python's client; raises SSLCertVerificationError."""
    client_context = ssl.create_default_context(cadata=trusted.decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    ends = [client, other]
    for _ in range(10):
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not ends:
            return
    raise AssertionError("the handshake did not end")


def signed(authority: Authority, host: str) -> ssl.SSLContext:
    return certificates._context(host, *authority.sign(host, NOW))


@pytest.mark.parametrize("host", HOSTS)
def test_a_client_that_trusts_the_authority_trusts_our_hosts(host: str):
    authority = Authority(HOSTS, NOW)
    verified(authority, authority.sign(host, NOW)[0], host)
    shaken(authority.pem(), signed(authority, host), host)


@pytest.mark.parametrize("host", OTHERS)
def test_it_cannot_sign_for_another_host(host: str):
    authority = Authority(HOSTS, NOW)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shaken(authority.pem(), signed(authority, host), host)
    with pytest.raises(VerificationError):
        verified(authority, authority.sign(host, NOW)[0], host)


def test_it_cannot_sign_for_an_address_either():
    """A name that is an address stands in another kind of field; that kind is excluded altogether."""
    authority = Authority(HOSTS, NOW)
    address = x509.IPAddress(ip_address("127.0.0.1"))
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    made = certificates._builder(name, authority.certificate.subject, key.public_key(), NOW, LEAF)
    made = made.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    pem = made.sign(authority._key, hashes.SHA256()).public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ssl.SSLCertVerificationError, match="excluded subtree violation"):
        shaken(authority.pem(), certificates._context("127.0.0.1", pem, private), "127.0.0.1")
    found = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert found.critical
    assert list(HOSTS[::-1]) == [name.value for name in found.value.permitted_subtrees or ()]
    assert ["0.0.0.0/0", "::/0"] == [str(name.value) for name in found.value.excluded_subtrees or ()]


def test_it_cannot_make_another_authority_and_signs_servers_only():
    extensions = Authority(HOSTS, NOW).certificate.extensions
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (True, 0, True) == (basic.value.ca, basic.value.path_length, basic.critical)
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (True, False) == (usage.key_cert_sign, usage.digital_signature)
    uses = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ["serverAuth"] == [use._name for use in uses]


def test_a_stranger_with_an_authority_of_the_same_name_is_not_believed():
    mine, other = Authority(HOSTS, NOW), Authority(HOSTS, NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(mine.pem(), signed(other, HOSTS[0]), HOSTS[0])


# ---- time -------------------------------------------------------------------------------------------


def span(pem: bytes) -> tuple[float, float]:
    read = x509.load_pem_x509_certificate(pem)
    return read.not_valid_before_utc.timestamp(), read.not_valid_after_utc.timestamp()


def test_the_authority_lasts_a_year_and_a_hosts_certificate_a_day():
    authority = Authority(HOSTS, NOW)
    assert abs(span(authority.pem())[1] - NOW - LIFE) < 2
    assert abs(span(authority.sign(HOSTS[0], NOW)[0])[1] - NOW - LEAF) < 2


def test_a_hosts_certificate_is_kept_for_half_a_day():
    wall = NOW
    made = Certificates(HOSTS, lambda: wall)
    first = made.context(HOSTS[0])
    wall += LEAF / 2 - 1
    assert first is made.context(HOSTS[0])
    wall += 2
    assert first is not made.context(HOSTS[0])


def test_a_client_that_started_within_half_a_year_always_trusts_what_it_is_shown():
    wall = NOW
    made = Certificates(HOSTS, lambda: wall)
    seen: list[tuple[float, bytes]] = []  # what clients that started then have read
    for _ in range(3 * 73):  # three years in steps of five days
        seen.append((wall, made.pem()))
        wall += 5 * DAY
        made.renew()
        assert 1 <= made.pem().count(b"BEGIN") <= 2
        signer = next((one for one in made._authorities if one.ends - wall > LEAF), made._authorities[-1])
        assert signer.ends > wall + LEAF / 2
        for started, read in seen:
            if wall - started < LIFE / 2 - 5 * DAY:
                assert signer.pem() in read


def test_nothing_changes_before_its_time():
    wall = NOW
    made = Certificates(HOSTS, lambda: wall)
    before = made.pem()
    wall += LIFE / 2 - 1
    assert not made.renew()
    assert before == made.pem()


# ---- keys stay in memory ------------------------------------------------------------------------------

WATCHED = """
import json, sys, os
opened = []
def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if not isinstance(path, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            opened.append(str(path))
sys.dont_write_bytecode = True
from pathlib import Path
import ssl, tempfile, time
from sidecar.capture import trust
from sidecar.capture.certificates import Certificates
sys.addaudithook(watch)
made = Certificates(["api.openai.com"], time.time)
for _ in range(3):
    made.context("api.openai.com")
    made._leaves.clear()
trust.write(Path(sys.argv[1]), b"", made.pem())
links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
files = [os.readlink(link) for link in links if os.path.exists(link)]
print(json.dumps(opened))
print([name for name in files if "memfd" in name or sys.argv[1] in name])
"""


def test_no_private_key_is_ever_written_to_a_file(tmp_path: Path):
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", WATCHED, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    opened, held = done.stdout.splitlines()
    names = [Path(name) for name in json.loads(opened)]
    assert 2 == len(names)
    assert all(
        name.parent == tmp_path and name.name.startswith((".ca.pem.", ".ca-bundle.pem.")) for name in names
    )
    assert "[]" == held
    assert {"ca.pem", "ca-bundle.pem"} == {path.name for path in tmp_path.iterdir()}
    assert all(b"PRIVATE" not in path.read_bytes() for path in tmp_path.iterdir())


def test_no_pipe_is_left_open():
    before = len(list(Path("/proc/self/fd").iterdir()))
    made = Certificates(HOSTS, lambda: NOW)
    for host in HOSTS:
        made.context(host)
    assert before == len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_secret_is_in_a_repr():
    made = Certificates(HOSTS, lambda: NOW)
    made.context(HOSTS[0])
    for thing in (made, *made._authorities, *made._leaves.values()):
        assert "PRIVATE" not in repr(thing)


# ---- the bundle -----------------------------------------------------------------------------------------


def test_the_bundle_has_the_systems_roots_and_ours(tmp_path: Path):
    own = Authority(HOSTS, NOW).pem()
    roots = trust.roots({})
    trust.write(tmp_path, roots, own)
    bundle = tmp_path / "ca-bundle.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(bundle)
    assert roots.count(b"BEGIN CERTIFICATE") + 1 >= context.cert_store_stats()["x509_ca"] > 10
    assert bundle.read_bytes().endswith(own)
    assert own == (tmp_path / "ca.pem").read_bytes()
    assert {0o444} == {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}


def test_what_the_sidecar_itself_was_told_to_trust_is_passed_on(tmp_path: Path):
    extra = Authority(HOSTS, NOW).pem()
    file = tmp_path / "corporate.pem"
    file.write_bytes(
        b"# our proxy\n" + extra + b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    )
    roots = trust.roots({"SSL_CERT_FILE": str(file)})
    assert extra.strip() in roots
    assert b"PRIVATE" not in roots
    assert len(roots) > len(extra) * 10
    folder = trust.roots({"SSL_CERT_DIR": str(tmp_path)})
    assert extra.strip() in folder


def test_a_system_without_roots_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = ssl.DefaultVerifyPaths("", "", "", str(tmp_path / "none"), "", str(tmp_path / "none"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(trust, "_USUAL", ())
    monkeypatch.setattr(trust, "find_spec", lambda _: None)
    with pytest.raises(OSError, match="ca-certificates"):
        trust.roots({})


def test_roots_come_from_the_library_where_the_system_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    paths = ssl.DefaultVerifyPaths("", "", "", str(tmp_path / "none"), "", str(tmp_path / "none"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(trust, "_USUAL", ())
    assert trust.roots({}).count(b"BEGIN CERTIFICATE") > 10


def test_files_are_replaced_whole(tmp_path: Path):
    first, second = Authority(HOSTS, NOW).pem(), Authority(HOSTS, NOW).pem()
    trust.write(tmp_path, b"", first)
    with (tmp_path / "ca.pem").open("rb") as held:
        trust.write(tmp_path, b"", second)
        assert first == held.read()
    assert second == (tmp_path / "ca.pem").read_bytes()
