"""What the pod says, and how it stands beside a configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.config import ConfigError
from sidecar.environment import UPSTREAM, VARIABLES, read
from tests.docs.pages import ROOT


def test_without_variables_nothing_is_said():
    settings = read({}).load()

    assert (4000, 9901, 20.0, "info") == (
        settings.listen.port,
        settings.admin.port,
        settings.drain,
        settings.log_level,
    )


def test_a_configuration_may_be_a_text_and_a_path_wins_over_it(tmp_path: Path):
    file = tmp_path / "sidecar.yaml"
    file.write_text("drain: 7s\n")
    text = {"LLM_SIDECAR_CONFIG_TEXT": "drain: 8s\n"}
    path = {"LLM_SIDECAR_CONFIG": str(file)}

    assert 8.0 == read(text).load().drain
    assert 7.0 == read(text | path).load().drain
    assert 7.0 == read(text, path=file).load().drain


def test_variables_win_over_the_configuration_and_the_command_line_over_both():
    text = (
        "listen: {port: 1, max_connections: 9}\nadmin: {port: 2}\nlog_level: error\n"
        "drain: 3s\nstate_dir: /own\n"
    )
    env = {
        "LLM_SIDECAR_CONFIG_TEXT": text,
        "LLM_SIDECAR_PORT": "4100",
        "LLM_SIDECAR_ADMIN_PORT": "4200",
        "LLM_SIDECAR_ADMIN_HOSTS": "0.0.0.0, ::",
        "LLM_SIDECAR_LOG_LEVEL": "debug",
        "LLM_SIDECAR_FAIL_MODE": "closed",
        "LLM_SIDECAR_DRAIN_SECONDS": "12.5",
        "LLM_SIDECAR_STATE_DIR": "/pods",
        "LLM_SIDECAR_NATIVE": "true",
        "LLM_SIDECAR_GRACE_SECONDS": "30",
    }

    pod = read(env)
    settings = pod.load()

    assert (4100, 9) == (settings.listen.port, settings.listen.max_connections)
    assert (4200, ("0.0.0.0", "::")) == (settings.admin.port, settings.admin.hosts)
    assert ("debug", 12.5, "/own") == (settings.log_level, settings.drain, settings.state_dir)
    assert (True, 30.0, "closed") == (pod.native, pod.grace, settings.fail_mode)
    assert 5 == read(env, port=5).load().listen.port
    assert "/pods" == read(env | {"LLM_SIDECAR_CONFIG_TEXT": ""}).load().state_dir


def test_a_pod_may_have_any_grace():
    said = ("0", "30", "604800", "9223372036854775807")

    assert [0.0, 30.0, 86400.0, 86400.0] == [read({"LLM_SIDECAR_GRACE_SECONDS": one}).grace for one in said]


def test_ports_that_collide_only_without_the_pods_word_do_not_collide():
    env = {"LLM_SIDECAR_CONFIG_TEXT": "admin: {port: 4000}", "LLM_SIDECAR_ADMIN_PORT": "9901"}

    assert 9901 == read(env).load().admin.port


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLM_SIDECAR_PORT", "70000"),
        ("LLM_SIDECAR_ADMIN_PORT", "x"),
        ("LLM_SIDECAR_ADMIN_HOSTS", "all"),
        ("LLM_SIDECAR_LOG_LEVEL", "loud"),
        ("LLM_SIDECAR_FAIL_MODE", "shut"),
        ("LLM_SIDECAR_NATIVE", "yes"),
        ("LLM_SIDECAR_GRACE_SECONDS", "-1"),
        ("LLM_SIDECAR_DRAIN_SECONDS", "soon"),
        ("LLM_SIDECAR_CAPTURE", "iptables"),
        ("LLM_SIDECAR_CAPTURE_PORT", "99999"),
    ],
)
def test_a_wrong_value_is_refused_with_the_variables_name(name: str, value: str):
    with pytest.raises(ConfigError) as caught:
        read({name: value}).load()

    assert name in str(caught.value)
    assert 1 == len(caught.value.problems)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OPENAI", "ftp://gateway", "expected a url"),
        ("OPENAI", "not-a-url", "expected a url"),
        ("OPENAI", "http://169.254.169.254/v1", "metadata service"),
        ("OPENAI", "http://127.0.0.1:4000/openai/v1", "is this sidecar itself"),
        ("OPNAI", "https://gateway.example.com/v1", 'did you mean "openai"?'),
    ],
)
def test_a_wrong_upstream_is_told_and_left_out(name: str, value: str, said: str):
    pod = read({UPSTREAM + name: value, UPSTREAM + "GROQ": "https://gateway.example.com/v1"})
    providers = pod.load().providers

    assert ("api.openai.com", "gateway.example.com") == (providers["openai"].host, providers["groq"].host)
    (told,) = pod.unused
    assert told.startswith(f"{UPSTREAM}{name} is not used: ")
    assert said in told
    text, status = pod.check()
    assert 0 == status
    assert f"  warning: {told}" in text.splitlines()


def test_no_message_shows_a_key():
    key = "sk-abcdefghijklmnop1234"
    with pytest.raises(ConfigError) as caught:
        read({"LLM_SIDECAR_LOG_LEVEL": key})
    pod = read({UPSTREAM + "OPENAI": f"https://u:{key}@x/v1"})
    pod.load()

    assert 1 == len(caught.value.problems)
    assert key not in str(caught.value)
    assert 1 == len(pod.unused)
    assert key not in repr(pod.unused)


def test_what_kubernetes_says_about_a_service_of_our_name_is_not_for_us():
    env = {"LLM_SIDECAR_PORT": "tcp://10.96.0.7:443", "LLM_SIDECAR_SERVICE_HOST": "10.96.0.7"}

    assert 4000 == read(env).load().listen.port


def test_an_upstream_of_the_pod_replaces_the_providers_url_and_nothing_else():
    text = "providers: {openai: {key: {env: K}, processor: acme}, my-gw: {vendor: openai, url: https://a.example/v1}}"
    env = {
        "LLM_SIDECAR_CONFIG_TEXT": text,
        UPSTREAM + "OPENAI": "http://gateway.corp.internal:8080/llm/v1",
        UPSTREAM + "MY_GW": "http://10.0.0.9/v2",
        UPSTREAM + "AZURE": "https://mine.openai.azure.com",
    }

    providers = read(env).load().providers
    openai, own, azure = providers["openai"], providers["my-gw"], providers["azure"]

    assert ("http", "gateway.corp.internal", 8080, "/llm", "v1") == (
        openai.scheme, openai.host, openai.port, openai.base_path, openai.version
    )  # fmt: skip
    assert (True, "acme", True) == (openai.private, openai.processor, openai.key is not None)
    assert ("10.0.0.9", "v2") == (own.host, own.version)
    assert ("/openai", "v1") == (azure.base_path, azure.version)  # as for a configured url without a path


def test_a_file_with_mistakes_is_told_whatever_the_pod_says():
    env = {
        "LLM_SIDECAR_CONFIG_TEXT": "- 1",
        "LLM_SIDECAR_PORT": "1",
        UPSTREAM + "OPENAI": "https://a.example",
    }

    with pytest.raises(ConfigError) as caught:
        read(env).load()

    assert "LLM_SIDECAR_CONFIG_TEXT" in str(caught.value)
    assert "expected a mapping" in str(caught.value)


def command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-m", "sidecar", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **env},
    )


def test_run_ends_with_one_line_that_a_pods_description_can_show():
    text = "nonsense: 1\nroutes: 3\n"
    done = command("run", LLM_SIDECAR_CONFIG_TEXT=text)

    assert 2 == done.returncode
    last = done.stderr.strip().splitlines()[-1]
    assert "llm-sidecar did not start: LLM_SIDECAR_CONFIG_TEXT: line 1: nonsense: unknown key" in last
    assert "1 more, above" in last


def test_run_help_and_the_manual_list_every_variable():
    shown = command("run", "--help").stdout
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    assert [] == [name for name in VARIABLES if name not in shown]
    assert [] == [
        f"{name}: {meaning}" for name, meaning in VARIABLES.items() if f"| `{name}` | {meaning} |" not in page
    ]


def test_check_and_explain_see_what_run_would_see(tmp_path: Path):
    request = tmp_path / "request.json"
    request.write_text('{"path": "/openai/v1/chat/completions", "body": {"model": "m", "messages": []}}')
    text = "routes: [{name: mine, match: {provider: openai}, chain: [openai]}]"

    good = command("check", LLM_SIDECAR_CONFIG_TEXT=text)
    bad = command("check", LLM_SIDECAR_PORT="none")
    why = command("explain", "--request", str(request), LLM_SIDECAR_CONFIG_TEXT=text)

    assert (0, 2, 0) == (good.returncode, bad.returncode, why.returncode)
    assert "1 route" in good.stdout
    assert "LLM_SIDECAR_PORT: expected a port" in bad.stderr
    assert "mine" in why.stdout
