"""The ways to the sidecar and to providers, on real sockets of this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sidecar.doctor import probe
from sidecar.model import Provider
from tests.doctor.recorder import certificate, recorder


def row(port: int, scheme: str = "https", **more: object) -> Provider:
    given: dict[str, object] = {"host": "127.0.0.1", "private": True, **more}
    return Provider(name="corp", dialect="openai_chat", scheme=scheme, port=port, **given)  # type: ignore[arg-type]


def free_port() -> int:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def proxy(answer: bytes) -> Iterator[int]:
    """Accepts one connection at a time into its backlog; the kernel does, we only answer."""
    import threading

    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            with closing(socket.socket()) as last:
                last.connect_ex(server.getsockname())
            thread.join()


def test_a_certificate_is_verified(tmp_path: Path):
    file = certificate(tmp_path)
    with recorder(file) as server:
        unknown = probe.reach(row(server.port))
        known = probe.reach(row(server.port, ca_file=str(file)))

    assert ("tls", "self-signed certificate") == (
        unknown.step,
        unknown.trouble.replace("self signed", "self-signed"),
    )
    assert ("", f"127.0.0.1:{server.port}") == (known.step, known.host)
    assert not server.seen  # no request was made


def test_a_server_that_speaks_no_tls_is_a_failed_handshake():
    with recorder() as server:
        assert "tls" == probe.reach(row(server.port)).step
        assert "" == probe.reach(row(server.port, "http")).step


def test_nobody_there_is_no_connection():
    seen = probe.reach(row(free_port()))
    assert ("tcp", "Connection refused") == (seen.step, seen.trouble)


def test_a_name_that_is_none_does_not_resolve():
    assert "dns" == probe.reach(row(443, host="no-such-name.invalid")).step


def test_the_sidecars_own_rule_about_addresses_is_told():
    assert "address" == probe.reach(row(443, private=False)).step


def test_a_file_of_authorities_that_is_none_is_told(tmp_path: Path):
    with recorder() as server:
        assert "file" == probe.reach(row(server.port, ca_file=str(tmp_path / "none.pem"))).step


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [(b"HTTP/1.1 407 No\r\n\r\n", "it answered 407"), (b"", "nothing that is HTTP")],
)
def test_a_proxy_that_refuses_is_told(answer: bytes, trouble: str):
    with proxy(answer) as port:
        seen = probe.reach(row(443, host="api.example", proxy=f"http://user:hush@127.0.0.1:{port}"))
    assert "proxy" == seen.step
    assert trouble in seen.trouble
    assert "hush" not in repr(seen)


def test_a_proxy_that_connects_lets_tls_begin():
    with proxy(b"HTTP/1.1 200 ok\r\n\r\n") as port:
        assert "tls" == probe.reach(row(443, host="api.example", proxy=f"http://127.0.0.1:{port}")).step


def test_ports_where_nobody_or_somebody_else_answers():
    with recorder() as server:
        seen, providers = probe.health(server.port, free_port(), server.port)
    assert (False, None, True, frozenset()) == (seen.data, seen.started, seen.capture, providers)
    nobody = probe.health(free_port(), free_port(), free_port())[0]
    assert (None, None, False) == (nobody.data, nobody.started, nobody.capture)
    assert probe.health(free_port(), free_port(), None)[0].capture is None


def test_several_providers_are_tried_and_keep_their_order():
    with recorder() as server:
        steps = [seen.step for seen in probe.providers([row(server.port, "http"), row(free_port())])]
    assert ["", "tcp"] == steps
    assert [] == probe.providers([])
