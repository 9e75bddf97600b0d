"""The table of facts, the page that is printed from it, and the SDKs that are here to be asked."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping

import pytest

from sidecar.doctor.clients import CLIENTS, TRUST_VARIABLES, Client
from sidecar.doctor.compatibility import page
from sidecar.routing import split_path
from sidecar.vendors import VENDORS
from tests.docs.pages import ROOT
from tests.doctor.measure_clients import CANDIDATES, Runner
from tests.doctor.recorder import certificate, recorder
from tests.doctor.snippets import SNIPPETS, Snippet

HERE = ("openai", "anthropic", "google-genai")  # what the dev dependencies bring
ASKED = [snippet for snippet in SNIPPETS if snippet.language == "python" and snippet.client in HERE]


def row_of(snippet: Snippet) -> Client:
    (row,) = [
        row
        for row in CLIENTS
        if (row.language, row.name, row.provider) == (snippet.language, snippet.client, snippet.provider)
    ]
    return row


def test_the_page_is_the_tables():
    assert page() == (ROOT / "docs" / "compatibility.md").read_text()


@pytest.mark.parametrize("row", CLIENTS, ids=lambda row: f"{row.language} {row.name} {row.provider}")
def test_a_row_leads_to_a_provider_of_that_name(row: Client):
    assert row.provider in VENDORS
    assert row.provider == row.base.partition("/")[0] == split_path(row.path)[0]
    assert row.path.startswith(f"/{row.base}/")


def test_every_measured_row_can_be_measured_again():
    measured = {(row.language, row.name, row.provider) for row in CLIENTS if row.version}

    assert measured <= {(each.language, each.client, each.provider) for each in SNIPPETS}
    for row in CLIENTS:
        assert set(row.variables) <= set(CANDIDATES[row.provider])


@pytest.mark.process
@pytest.mark.parametrize("snippet", ASKED, ids=lambda snippet: f"{snippet.client} {snippet.provider}")
def test_an_sdk_asks_where_the_table_says(snippet: Snippet):
    row = row_of(snippet)
    with recorder() as server:
        bases = {name: f"{server.url}/{name}" for name in CANDIDATES[row.provider]}
        bases[row.variables[0]] = f"{server.url}/{row.base}"
        said = Runner(sys.executable, None).run(snippet, bases)

    old = importlib.metadata.version(snippet.client).startswith(("1.", "2."))
    version = "v1beta" if snippet.client == "google-genai" and old else "v1"
    name = "models/m" if row.provider == "gemini" else "m"
    path = (
        row.path.replace("models/NAME", name)
        .replace("NAME", name)
        .replace("/gemini/v1/", f"/gemini/{version}/")
    )
    assert [path] == server.paths[:1], said


@pytest.mark.process
@pytest.mark.parametrize("snippet", ASKED[:1], ids=lambda snippet: snippet.client)
def test_a_python_sdk_follows_the_proxy_for_loopback_too(snippet: Snippet):
    with recorder() as server, recorder() as proxy:
        base = {row_of(snippet).variables[0]: f"{server.url}/openai/v1"}
        runner = Runner(sys.executable, None)
        runner.run(snippet, {**base, "HTTP_PROXY": proxy.url})
        taken = list(proxy.seen)
        runner.run(snippet, {**base, "HTTP_PROXY": proxy.url, "NO_PROXY": "127.0.0.1"})

    assert [f"POST {server.url}/openai/v1/chat/completions"] == taken == proxy.seen
    assert ["/openai/v1/chat/completions"] == server.paths


@pytest.mark.process
@pytest.mark.parametrize("snippet", ASKED[:1], ids=lambda snippet: snippet.client)
def test_a_python_sdk_trusts_what_its_variable_names(
    snippet: Snippet, tmp_path_factory: pytest.TempPathFactory
):
    file = certificate(tmp_path_factory.mktemp("trust"))
    trust: Mapping[str, str] = {row_of(snippet).trust: str(file)}
    with recorder(file) as server:
        base = {row_of(snippet).variables[0]: f"{server.url}/openai/v1"}
        runner = Runner(sys.executable, None)
        runner.run(snippet, base)
        refused = list(server.seen)
        said = runner.run(snippet, {**base, **trust})

    assert ([], ["/openai/v1/chat/completions"]) == (refused, server.paths), said
    assert set(trust) <= TRUST_VARIABLES
