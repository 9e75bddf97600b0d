from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.doctor.addresses import bypassed, read, read_proxy

SECRET = st.text("abcdefXYZ0123456789", min_size=12, max_size=40).filter(
    lambda t: sum(c.isdigit() for c in t) > 3
)


@settings(max_examples=60)
@given(SECRET)
def test_nothing_that_may_be_a_key_is_shown(secret: str):
    for value in (
        f"https://user:{secret}@gateway.example/v1?key={secret}#{secret}",
        f"https://gateway.example/{secret}/v1",
        f"http://{secret}@127.0.0.1:4000/openai/v1",
    ):
        address = read(value)
        assert address is not None
        assert secret not in address.shown()


def test_host_and_path_are_shown():
    address = read("https://user:word@gateway.example:8443/team-a/v1/?x=y")
    assert address is not None
    assert "gateway.example:8443/team-a/v1" == address.shown()


@pytest.mark.parametrize(
    "value", ["", "127.0.0.1:4000", "ftp://a/b", "http://", "http://a:port", "http://[::1", "tcp://1.2.3.4:5"]
)
def test_what_is_no_url_is_none(value: str):
    assert read(value) is None


def test_a_proxy_may_lack_its_scheme():
    address = read_proxy("127.0.0.1:4001")
    assert address is not None
    assert ("127.0.0.1", 4001, True) == (address.host, address.port, address.loopback)


@pytest.mark.parametrize(
    ("host", "no_proxy", "entry"),
    [
        ("127.0.0.1", "localhost,127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1:4000", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.0/8", ""),
        ("127.0.0.1", "", ""),
        ("api.openai.com", ".openai.com", ".openai.com"),
        ("api.openai.com", "openai.com", "openai.com"),
        ("api.openai.com", "*.openai.com", "*.openai.com"),
        ("api.openai.com", "penai.com", ""),
        ("api.openai.com", "*", "*"),
    ],
)
def test_no_proxy_is_read_as_all_clients_read_it(host: str, no_proxy: str, entry: str):
    assert entry == bypassed(host, no_proxy)
