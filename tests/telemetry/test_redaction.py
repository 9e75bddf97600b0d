"""What may not leave the pod, in the shapes it comes in."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.telemetry.redaction import Redactor

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow1BAAKCAQEA\nq83vDmFs\n"
SECRETS = {
    "openai": "sk-proj-Qm9vbGVhbkRlZmF1bHRz",
    "anthropic": "sk-ant-api03-Qm9vbGVhbkRlZmF1bHRz-AA",
    "google": "AIzaSyQm9vbGVhbkRlZmF1bHRzQm9vbGVhbk",
    "aws": "AKIAQM9VBGVHBKRLZMF1",
    "aws secret": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzQm9vbGVhb",
    "azure": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "github": "ghp_Qm9vbGVhbkRlZmF1bHRzQm9vbGVhbkRl0",
    "groq": "gsk_Qm9vbGVhbkRlZmF1bHRz",
    "hugging face": "hf_QmbvbGVhbkRlZmFkbHRz",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJxIn0.Qm9vbGVhbg",
    "bearer": "Bearer qumvbo-lean",
    "header": "Authorization: Token qumvbo-lean",
    "basic": "Basic cXVtdmJvOmxlYW4=",
    "password": "password = qumvbo!lean",
    "json": '{"client_secret": "qumvbo-lean"}',
    "json in json": '{\\"apiKey\\": \\"qumvbo-lean\\"}',
    "url": "postgres://service:qumvbo@db.internal/x",
    "private key": f"{PEM}-----END RSA PRIVATE KEY-----",
    "half a private key": PEM,
    "e-mail": "qumvbo.lean+x@mail.example.co.uk",
    "card": "4111 1111 1111 1111",
    "card in one": "5555555555554444",
    "phone": "+49 170 1234567",
    "american phone": "(555) 123-4567",
}

_TELLING = re.compile(r"\d{4}|qumvb|Qm|QM|q83|cX")


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_in_a_text_is_replaced(kind: str):
    secret = SECRETS[kind]

    clean = Redactor()(f"Please look at this: {secret} and tell me why")

    assert "[redacted" in clean
    assert clean.startswith("Please look at this: ")
    pieces = [piece for piece in re.split(r"[\s:=/{}\"'\\]+", secret) if _TELLING.search(piece)]
    assert pieces
    assert not [piece for piece in pieces if piece in clean]


@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox jumps over the lazy dog in 2026, twice.",
        "a basic understanding of tokens and keys",
        "SELECT id FROM orders WHERE total > 1999 AND year = 2026",
        "3.14159265358979 is close to pi",
        "1234567890123",  # no card: its check digit is wrong, and no number that anybody writes
        "Donaudampfschifffahrtsgesellschaftskapitaenswitwe",
    ],
)
def test_prose_stays_as_it_is(text: str):
    assert text == Redactor()(text)


def test_the_operator_s_patterns_and_exact_values_go_too():
    redact = Redactor([r"CUST-\d+"])

    assert "[redacted] said [redacted key]" == redact("CUST-4711 said open sesame", ["open sesame", "id"])


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(sorted(SECRETS)))
def test_what_stands_around_a_key_does_not_hide_it(before: str, after: str, kind: str):
    secret = SECRETS[kind]

    assert secret not in Redactor()(f"{before} {secret} {after}")


HOSTILE = {
    "letters": "a", "digits": "1", "spaced digits": "1 ", "at": "a@", "urls": "://a:", "keys": "key= ",
    "blanks": "token ", "pem": "-----BEGIN PRIVATE KEY-----", "underscores": "_", "mixed": "aA", "dots": "a.",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_text_costs_no_more_than_its_length(kind: str):
    """Of 400,000 characters: what takes their square in steps would run for hours."""
    piece = HOSTILE[kind]

    clean = Redactor()(piece * (400_000 // len(piece)))

    assert isinstance(clean, str)


def test_replacements_keep_json_readable():
    text = json.dumps({"password": "qumvbo-lean", "n": 1, "mail": "a.b@example.com"})

    assert {"password": "[redacted]", "n": 1, "mail": "[redacted e-mail]"} == json.loads(Redactor()(text))
