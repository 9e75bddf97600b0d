"""Which hosts are taken, and whose they are; and what of the section `capture` makes no sense."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar import config
from sidecar.config.build import provider_of
from sidecar.hosts import base_of, captured
from sidecar.model import Ask, Call, Operation, Record, Target, Traffic
from sidecar.secret import Secret
from sidecar.upstream.request import Request, form
from sidecar.vendors import VENDORS

ON = "mode: proxy, trust_dir: /trust"


def hosts(text: str) -> dict[str, str]:
    return dict(captured(config.parse(text)))


def test_without_configuration_the_well_known_hosts_are_taken():
    found = hosts("")
    assert "openai" == found["api.openai.com"]
    assert "anthropic" == found["api.anthropic.com"]
    assert "gemini" == found["generativelanguage.googleapis.com"]
    assert "groq" == found["api.groq.com"]


def test_the_host_of_a_configured_url_is_taken_and_a_moved_vendor_keeps_its_own():
    text = "providers: {openai: {url: 'https://gateway.example.com/openai/v1'}}"
    assert {"openai"} == {hosts(text)[host] for host in ("gateway.example.com", "api.openai.com")}


@pytest.mark.parametrize(
    "url", ["https://10.0.0.5/v1", "http://gateway.example.com/v1", "https://gateway.example.com:8443/v1"]
)
def test_what_is_no_name_on_port_443_is_not_taken(url: str):
    text = f"providers: {{mine: {{url: '{url}', dialect: openai_chat, private: true}}}}"
    assert "mine" not in hosts(text).values()


def test_the_configuration_has_the_last_word():
    text = f"capture: {{{ON}, hosts: {{api.openai.com: xai, API.Groq.com: '', llm.example.com: openai}}}}"
    found = hosts(text)
    assert "xai" == found["api.openai.com"]
    assert "openai" == found["llm.example.com"]
    assert "api.groq.com" not in found
    alone = f"capture: {{{ON}, only_hosts: true, hosts: {{api.openai.com: openai}}}}"
    assert {"api.openai.com": "openai"} == hosts(alone)


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("api.openai.com", ""),
        ("api.groq.com", "/openai"),
        ("api.z.ai", "/api/paas"),
        ("api.deepinfra.com", "/v1/openai"),
        ("api.perplexity.ai", ""),
        ("example.com", ""),
    ],
)
def test_a_vendors_own_path_is_known(host: str, base: str):
    assert base == base_of(host)


WRONG = {
    "capture: {mode: proxy}": "capture.trust_dir: is missing; expected a folder",
    f"capture: {{{ON}, port: 4000}}": "capture.port: 4000 is the port of `listen` already",
    f"capture: {{{ON}, port: 9901}}": "capture.port: 9901 is the port of `admin` already",
    f"capture: {{{ON}, only_hosts: true}}": "capture.hosts: is empty",
    f"capture: {{{ON}, hosts: {{api.example.com: opnai}}}}": 'did you mean "openai"?',
    f"capture: {{{ON}, hosts: {{'*.example.com': openai}}}}": "expected the name of one host",
    f"capture: {{{ON}, hosts: {{'api.example.com:443': openai}}}}": "expected the name of one host",
    f"capture: {{{ON}, hosts: {{10.0.0.1: openai}}}}": "expected the name of one host",
    f"capture: {{{ON}, hosts: {{localhost: openai}}}}": "expected the name of one host",
    f"capture: {{{ON}, proxy: 'http://me:secret@proxy.example.com:3128'}}": "carries no user and no password",
    "capture: {mode: on}": "expected one of off, proxy",
    f"capture: {{{ON}, others: drop}}": "expected one of tunnel, refuse",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_is_told(text: str):
    with pytest.raises(config.ConfigError) as raised:
        config.parse(text)
    assert WRONG[text] in str(raised.value)
    assert "secret" not in str(raised.value)


def test_hosts_without_the_mode_are_a_warning():
    settings = config.parse("capture: {hosts: {api.example.com: openai}}")
    assert ["capture.mode"] == [problem.path for problem in config.warnings(settings)]


# ---- paths ----------------------------------------------------------------------------------------


def asked_for(path: str, *, exact: bool, target: str = "zai") -> str:
    call = Call(
        id="1",
        route="r",
        provider="zai",
        dialect="openai_chat",
        method="POST",
        path=path,
        query="",
        headers=((b"authorization", b"Bearer app"),),
        body=b"{}",
        ask=Ask(operation=Operation.CHAT, model="m"),
        traffic=Traffic.INTERACTIVE,
        arrived=0.0,
        deadline=9.0,
        record=Record(),
        exact=exact,
    )
    provider = provider_of(VENDORS[target])
    request = form(call, Target(name=target, provider=replace(provider, key=Secret("env", "HOME"))))
    assert isinstance(request, Request)
    return request.head.split(b" ")[1].decode()


@pytest.mark.parametrize("path", ["/api/coding/paas/v4/chat/completions", "/oauth/token", "/v9/x"])
def test_a_captured_path_is_asked_for_as_it_is(path: str):
    assert path == asked_for(path, exact=True)


def test_another_provider_is_asked_in_its_own_way():
    assert "/openai/v1/chat/completions" == asked_for("/chat/completions", exact=True, target="groq")
