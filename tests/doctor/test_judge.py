"""What is said of an environment, the sidecar and the providers: values in, findings out."""

from __future__ import annotations

import pytest

from sidecar.doctor import judge
from sidecar.doctor.clients import CLIENTS
from sidecar.doctor.values import Application, Finding, Health, Installed, Level, Reached, Sidecar, kept
from sidecar.vendors import VENDORS

HERE = "http://127.0.0.1:4000"
SIDECAR = Sidecar(
    providers={name: row.dialect for name, row in VENDORS.items()},
    hosts=frozenset({"api.openai.com", "api.anthropic.com"}),
)
CAPTURING = Sidecar(capture=True, providers=SIDECAR.providers, hosts=SIDECAR.hosts)
OURS = {"HTTPS_PROXY": "http://127.0.0.1:4001", "SSL_CERT_FILE": "/t/ca-bundle.pem"}


def installed(name: str, version: str = "9.9") -> Installed:
    language = next(row.language for row in CLIENTS if row.name == name)
    return Installed(language, name, version)


def found(environ: dict[str, str], *names: str, sidecar: Sidecar = SIDECAR, **more: object) -> list[Finding]:
    app = Application("app", kept(environ), tuple(installed(name) for name in names), **more)  # type: ignore[arg-type]
    return judge.application(app, sidecar)


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level.value for finding in findings]


def said(findings: list[Finding]) -> str:
    return "\n".join(f"{finding.said} {finding.do}" for finding in findings)


def test_a_variable_that_points_at_the_sidecar_is_ok():
    (finding,) = found({"OPENAI_BASE_URL": f"{HERE}/openai/v1"}, "openai")[:1]
    assert (Level.OK, "OPENAI_BASE_URL -> 127.0.0.1:4000/openai/v1") == (finding.level, finding.said)


@pytest.mark.parametrize(
    ("name", "environ", "word"),
    [
        ("openai", {"OPENAI_BASE_URL": "https://gateway.example/v1"}, "points at gateway.example/v1"),
        ("openai", {"OPENAI_BASE_URL": "http://127.0.0.1:8080/openai/v1"}, "sidecar is on port 4000"),
        ("openai", {"OPENAI_BASE_URL": "https://127.0.0.1:4000/openai/v1"}, "plain HTTP"),
        ("openai", {"OPENAI_BASE_URL": "127.0.0.1:4000/openai/v1"}, "no http:// or https:// URL"),
        ("openai", {"OPENAI_BASE_URL": f"{HERE}/v1"}, "'v1', which is no provider"),
        ("openai", {"OPENAI_BASE_URL": HERE}, "names no provider"),
        ("openai", {"OPENAI_BASE_URL": f"{HERE}/anthropic"}, "another API"),
        ("anthropic", {"ANTHROPIC_BASE_URL": f"{HERE}/anthropic/v1"}, "which this client adds itself"),
        (
            "langchain-openai",
            {"OPENAI_API_BASE": "https://old.example/v1", "OPENAI_BASE_URL": f"{HERE}/openai/v1"},
            "OPENAI_API_BASE wins over OPENAI_BASE_URL, and it points at old.example/v1",
        ),
        (
            "langchain-anthropic",
            {"ANTHROPIC_API_URL": "https://old.example", "ANTHROPIC_BASE_URL": f"{HERE}/anthropic"},
            "ANTHROPIC_API_URL wins over ANTHROPIC_BASE_URL",
        ),
    ],
)
def test_a_variable_that_leads_elsewhere_is_broken_and_told_what_to_be(
    name: str, environ: dict[str, str], word: str
):
    finding = found(environ, name)[0]

    row = next(row for row in CLIENTS if row.name == name)
    assert Level.BROKEN == finding.level
    assert word in finding.said
    assert f"set {row.variables[0]}={HERE}/{row.base}" == finding.do


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("openai", f"{HERE}/openai@summaries/v1"),
        ("openai", f"{HERE}/groq/v1"),
        ("openai", f"{HERE}/openai"),
        ("openai", "http://localhost:4000/openai/v1/"),
        ("openai", "http://[::1]:4000/openai/v1"),
    ],
)
def test_all_forms_that_the_sidecar_takes_are_ok(name: str, value: str):
    assert Level.OK == found({"OPENAI_BASE_URL": value}, name)[0].level


def test_the_vercel_sdk_may_have_the_version_that_anthropics_own_adds():
    vercel = found({"ANTHROPIC_BASE_URL": f"{HERE}/anthropic/v1"}, "@ai-sdk/anthropic")
    assert ["ok"] == levels(vercel)


def test_the_one_value_that_the_injector_sets_serves_every_client():
    contract = {
        "OPENAI_BASE_URL": f"{HERE}/openai/v1",
        "OPENAI_API_BASE": f"{HERE}/openai/v1",
        "ANTHROPIC_BASE_URL": f"{HERE}/anthropic",
        "ANTHROPIC_API_URL": f"{HERE}/anthropic",
        "ANTHROPIC_API_BASE": f"{HERE}/anthropic",
        "GOOGLE_GEMINI_BASE_URL": f"{HERE}/gemini",
        "GEMINI_API_BASE": f"{HERE}/gemini/v1beta",
        "GROQ_BASE_URL": f"{HERE}/groq",
        "CO_API_URL": f"{HERE}/cohere",
    }
    for row in CLIENTS:
        if row.variables and not row.opt_in:
            app = Application("app", contract, (Installed(row.language, row.name, "1"),))
            wrong = [f for f in judge.application(app, SIDECAR) if f.level is Level.BROKEN]
            assert not wrong, row.name


def test_an_unset_variable_is_worth_a_look_and_none_at_all_is_broken():
    some = found({"OPENAI_BASE_URL": f"{HERE}/openai/v1"}, "openai", "anthropic")
    none = found({}, "openai", "anthropic")

    assert ["ok", "attention"] == levels(some)
    assert ["broken", "attention", "attention"] == levels(none)
    assert "set ANTHROPIC_BASE_URL=http://127.0.0.1:4000/anthropic" in said(some)


def test_llama_index_is_told_that_the_other_variable_does_nothing_for_it():
    findings = found({"OPENAI_BASE_URL": f"{HERE}/openai/v1"}, "llama-index-llms-openai", "openai")
    assert "OPENAI_API_BASE is not set; it does not read OPENAI_BASE_URL, which is set" in said(findings)


def test_a_client_that_honours_nothing_says_what_code_has_to_do():
    findings = found({"OPENAI_BASE_URL": f"{HERE}/openai/v1"}, "@ai-sdk/google", "openai")
    assert "honours no variable" in said(findings)
    assert "createGoogleGenerativeAI" in said(findings)


def test_what_is_opt_in_is_silent_until_its_variable_is_set():
    assert "no LLM SDK" in found({}, "boto3")[0].said
    assert "AZURE" not in said(found({"OPENAI_BASE_URL": f"{HERE}/openai/v1"}, "openai"))
    generic = found({"AWS_ENDPOINT_URL": f"{HERE}/bedrock"}, "boto3")
    assert "S3 too" in said(generic)


def test_langchain_is_warned_of_missing_token_usage():
    findings = found({"OPENAI_BASE_URL": f"{HERE}/openai/v1"}, "langchain-openai")
    assert ["ok", "attention"] == levels(findings)
    assert "stream_usage=True" in said(findings)


# ---- proxies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_takes_loopback_along_is_broken(name: str):
    environ = {"OPENAI_BASE_URL": f"{HERE}/openai/v1", name: "http://corporate:3128"}

    assert "broken" in levels(found(environ, "openai"))
    assert ["ok"] == levels(found({**environ, "no_proxy": "127.0.0.1"}, "openai"))
    assert ["ok"] == levels(found({**environ, "NO_PROXY": "localhost,127.0.0.1"}, "openai"))


def test_two_cases_of_one_variable_that_differ_are_worth_a_look():
    environ = {**OURS, "https_proxy": "http://corporate:3128", "OPENAI_BASE_URL": f"{HERE}/openai/v1"}
    assert "HTTPS_PROXY and https_proxy differ" in said(found(environ, "openai"))
    environ.pop("OPENAI_BASE_URL")
    assert "openai 9.9" not in [f.subject for f in found(environ, "openai") if f.level is Level.OK]


def test_interception_leads_clients_without_a_base_url():
    assert ["ok", "ok"] == levels(found(OURS, "openai", sidecar=CAPTURING))


def test_interception_without_trust_is_broken():
    missing = found({"HTTPS_PROXY": OURS["HTTPS_PROXY"]}, "openai", sidecar=CAPTURING)
    unreadable = found(OURS, "openai", sidecar=CAPTURING, unreadable=frozenset({"SSL_CERT_FILE"}))

    assert ["ok", "broken"] == levels(missing) == levels(unreadable)
    assert "SSL_CERT_FILE is not set" in said(missing)
    assert "cannot be read" in said(unreadable)


def test_interception_that_no_proxy_undoes_is_broken():
    findings = found({**OURS, "NO_PROXY": "127.0.0.1,.openai.com"}, "openai", sidecar=CAPTURING)
    assert "so calls to api.openai.com are not intercepted" in said(findings)
    assert "broken" in levels(findings)


@pytest.mark.parametrize(
    ("node", "told", "ok"),
    [
        ("v20.20.2", True, False),
        ("v22.20.0", True, False),
        ("v22.21.0", True, True),
        ("v23.5.0", True, False),
        ("v24.0.0", True, True),
        ("v26.1.0", True, True),
        ("", True, True),
        ("v24.0.0", False, False),
    ],
)
def test_node_is_intercepted_only_where_it_can_and_is_told(node: str, told: bool, ok: bool):
    environ = {**OURS, "NODE_EXTRA_CA_CERTS": "/t/ca.pem", **({"NODE_USE_ENV_PROXY": "1"} if told else {})}
    findings = found(environ, "@ai-sdk/google", sidecar=CAPTURING, node=node)
    assert ok == (findings[0].level is Level.OK)
    assert ok == ("are not intercepted" not in said(findings))


def test_a_jvm_needs_options_of_its_own():
    options = {"JAVA_TOOL_OPTIONS": "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4001"}
    without = found(OURS, "com.openai:openai-java", sidecar=CAPTURING)
    assert "a JVM reads no HTTPS_PROXY" in said(without)
    assert ["ok"] == levels(found({**OURS, **options}, "com.openai:openai-java", sidecar=CAPTURING))


def test_a_sidecar_that_intercepts_and_an_application_that_does_not_know():
    findings = found({"OPENAI_BASE_URL": f"{HERE}/openai/v1"}, "openai", sidecar=CAPTURING)
    assert "the sidecar intercepts, but HTTPS_PROXY is not set" in said(findings)


# ---- the sidecar and the providers ------------------------------------------------------------


def test_a_sidecar_that_is_well_is_ok():
    seen = Health(data=True, started=True, ready=True, version="1", in_flight=2)
    assert ["ok", "ok"] == levels(judge.health(seen, SIDECAR, "1"))


@pytest.mark.parametrize(
    ("seen", "expected", "word"),
    [
        (Health(), ["broken", "broken"], "nobody answers"),
        (Health(data=False), ["broken", "broken"], "not the sidecar"),
        (Health(data=True, started=False), ["ok", "attention"], "still starting"),
        (Health(data=True, capture=False), ["ok", "broken", "broken"], "nobody listens"),
        (Health(data=True, started=True, ready=False, why="draining"), ["ok", "attention"], "draining"),
        (Health(data=True, started=True, ready=True, bypass=True), ["ok", "ok", "attention"], "bypass is on"),
        (
            Health(data=True, started=True, ready=True, version="0"),
            ["ok", "ok", "attention"],
            "this command 1",
        ),
    ],
)
def test_what_ails_a_sidecar_is_told(seen: Health, expected: list[str], word: str):
    findings = judge.health(seen, SIDECAR, "1")
    assert expected == levels(findings)
    assert word in said(findings)


@pytest.mark.parametrize("step", ["dns", "address", "tcp", "proxy", "tls", "file"])
def test_each_step_on_the_way_to_a_provider_has_its_advice(step: str):
    finding = judge.reached(Reached("corp", "llm.example", step, "why"))
    assert Level.BROKEN == finding.level
    assert "llm.example" in finding.said
    assert finding.said.endswith("why")
    assert finding.do
    assert "NAME" not in finding.do


def test_a_provider_that_was_reached_is_ok():
    assert Level.OK == judge.reached(Reached("openai", "api.openai.com")).level
