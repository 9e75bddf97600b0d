"""The charts and the program agree: on the container, profiles, arguments, rules and boards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.build import rule_file
from dashboards.__main__ import boards
from helm import __main__ as generator
from sidecar import __version__, config
from sidecar.injector import command
from sidecar.injector.container import container, variable_of, volumes
from sidecar.injector.profile import Profile, parse
from sidecar.injector.profiles import read
from sidecar.injector.variables import Way, variables
from tests.docs.pages import ROOT, blocks
from tests.helm.cases import APPLICATION, CASES, EMBED, LIBRARY, Case, named, of
from tests.helm.tool import documents, template
from tests.kit.promtool import need, run

EMBEDDED = [case for case in CASES if case.chart == EMBED]
OURS = "llm-sidecar"


# ---- the library's container is the injector's ------------------------------------------------


def given(case: Case) -> dict[str, Any]:
    """llmSidecar, as the library sees it."""
    base = yaml.safe_load((EMBED / "values.yaml").read_text())["llmSidecar"]
    more = yaml.safe_load(case.values.read_text()).get("llmSidecar", {})
    return {**base, **more}


def profile_of(case: Case) -> tuple[Profile, dict[str, Any]]:
    """The same values, as the injector reads them."""
    values = given(case)
    rest = {key: values.pop(key, None) for key in ("owner", "gracePeriodSeconds", "upstreams")}
    empty = Profile(image="")
    values["image"] = f"ghcr.io/llm-sidecar/llm-sidecar:{__version__}"
    if isinstance(values.get("config"), dict):
        values["config"] = yaml.safe_dump(values["config"]).removesuffix("\n")
    for key, default in (("env", empty.env), ("securityContext", empty.security_context)):
        values[key] = {**default, **values.get(key, {})}
    resources = values.get("resources", {})
    values["resources"] = {
        kind: {**amounts, **resources.get(kind, {})} for kind, amounts in empty.resources.items()
    }
    return parse(yaml.safe_dump(values)), rest


@pytest.mark.parametrize("case", EMBEDDED, ids=str)
def test_the_librarys_container_is_the_injectors(case: Case):
    profile, rest = profile_of(case)
    native = profile.native == "true" or (profile.native == "auto" and case.kube != "1.27.0")
    owner = rest["owner"]
    (deployment,) = of(case, "Deployment")
    spec = deployment["spec"]["template"]["spec"]

    expected = container(
        profile,
        native=native,
        grace=rest["gracePeriodSeconds"] or 30,
        upstreams={variable_of(name): {"value": url} for name, url in (rest["upstreams"] or {}).items()},
        owner=(owner["kind"], owner["name"]) if owner else None,
    )

    place = spec["initContainers"][0] if native else spec["containers"][-1]
    assert place == expected
    assert list(place["env"]) == list(expected["env"])
    assert spec["volumes"] == volumes(profile)
    assert ("initContainers" in spec) is native


@pytest.mark.parametrize("case", EMBEDDED, ids=str)
def test_the_librarys_variables_are_the_injectors(case: Case):
    profile, _ = profile_of(case)
    capture = profile.capture_port if profile.capture == "proxy" else None
    expected = variables(
        Way(profile.port, {} if profile.capture == "none" else profile.env, capture, override=False)
    )
    own = yaml.safe_load(case.values.read_text()).get("env") or [{"name": "LOG_LEVEL", "value": "info"}]
    providers = {profile.env[row["name"]].partition("/")[0] for row in own if row["name"] in profile.env}
    kept = [row for row in expected if profile.env.get(row["name"], "").partition("/")[0] not in providers]
    (deployment,) = of(case, "Deployment")
    (app,) = [one for one in deployment["spec"]["template"]["spec"]["containers"] if one["name"] == "shop"]
    assert app["env"] == [*own, *kept]
    trust = [{"name": "llm-sidecar-trust", "mountPath": "/etc/llm-sidecar/trust", "readOnly": True}]
    assert app.get("volumeMounts", []) == (trust if profile.capture == "proxy" else [])


def test_the_cases_cover_every_key_of_a_profile():
    """With another value than its default, so that a key that the library forgot would be seen."""
    said = {key for case in EMBEDDED for key in given(case)}
    left = {"image", "imagePullPolicy", "capturePort", "startupFailureThreshold"}
    assert said | left == set(yaml.safe_load(_defaults()))
    assert variable_of("openai-eu") == "LLM_SIDECAR_UPSTREAM_OPENAI_EU"


def _defaults() -> str:
    text = (LIBRARY / "templates" / "_defaults.tpl").read_text()
    return text.partition('defaults" -}}\n')[2].partition("{{- end")[0]


def test_numbers_and_names_that_no_case_says_are_taken_too():
    values = {
        "image": "example.com/a:1",
        "imagePullPolicy": "Always",
        "startupFailureThreshold": 7,
        "config": "",
    }
    said = template(EMBED, values=yaml.safe_dump({"llmSidecar": values}))
    (deployment,) = documents(said.out)
    (found,) = deployment["spec"]["template"]["spec"]["initContainers"]
    profile = parse(yaml.safe_dump(values | {"secret": "shop-llm-keys"}))
    assert found == container(profile, native=True, grace=30, owner=("deployment", "shop"))


# ---- the application chart and the injector ---------------------------------------------------


def _check(text: str) -> None:
    config.parse(text)


def profiles_of(case: Case) -> dict[str, str]:
    found = [one for one in of(case, "ConfigMap") if one["metadata"]["name"].endswith("-profiles")]
    return dict(found[0]["data"]) if found else {}


# by name, and not by what they render to: collecting tests runs no Helm
INJECTING = [case for case in CASES if case.chart == APPLICATION and case.name != "monitoring-only"]


def test_cases_with_profiles_are_those_that_are_asked():
    assert [case for case in CASES if profiles_of(case)] == INJECTING


@pytest.mark.parametrize("case", INJECTING, ids=str)
def test_the_injector_takes_the_profiles(case: Case, tmp_path: Path):
    for name, text in profiles_of(case).items():
        (tmp_path / name).write_text(text)
    found = read(tmp_path, _check)
    assert "default" in found
    if case.name == "ha":
        assert sorted(found) == ["batch", "default", "reloaded"]
        assert found["batch"].drain_timeout == 120
        assert found["batch"].resources["limits"] == {"memory": "1Gi"}
        assert "runAsUser" not in found["batch"].security_context
        assert found["batch"].secret == "llm-keys"
        assert "CO_API_URL" not in found["default"].env
        assert found["default"].env["MISTRAL_BASE_URL"] == "mistral/v1"
        assert (found["reloaded"].config, found["reloaded"].config_map) == ("", "llm-sidecar-config")


def test_defaults_of_the_chart_are_those_of_the_program():
    text = profiles_of(named("default"))["default.yaml"]
    assert parse(text) == Profile(image=f"ghcr.io/llm-sidecar/llm-sidecar:{__version__}")


@pytest.mark.parametrize("case", INJECTING, ids=str)
def test_the_injector_knows_its_arguments(case: Case):
    (deployment,) = of(case, "Deployment")
    (one,) = deployment["spec"]["template"]["spec"]["containers"]
    assert one["args"][0] == "injector"
    told = command._parser().parse_args(one["args"][1:])
    (webhook,) = of(case, "MutatingWebhookConfiguration")
    assert told.webhook_configuration == webhook["metadata"]["name"]
    assert told.service == webhook["webhooks"][0]["clientConfig"]["service"]["name"]
    assert told.namespace == "llm-system"
    assert {row["containerPort"] for row in one["ports"]} == {told.port, told.metrics_port}
    if told.certs == "self":
        assert told.secret in {secret["metadata"]["name"] for secret in of(case, "Secret")}
    else:
        assert str(told.cert_dir) in {mount["mountPath"] for mount in one["volumeMounts"]}


def test_the_version_is_one():
    for chart in (APPLICATION, LIBRARY, EMBED):
        text = yaml.safe_load((chart / "Chart.yaml").read_text())
        if chart is not EMBED:
            assert (text["version"], text["appVersion"]) == (__version__, __version__)
        for row in text.get("dependencies", []):
            assert row["version"] == __version__


# ---- rules, boards, pages --------------------------------------------------------------------


def test_generated_files_are_those_of_their_sources():
    assert generator.stale() == []
    assert generator.main(["--check"]) == 0


def test_a_stale_file_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(generator, "facts", lambda: {"seriesPerPod": 1})
    assert generator.main(["--check"]) == 1
    assert capsys.readouterr().err == (
        "helm/llm-sidecar/files/facts.yaml: not what it is made from; run python -m helm\n"
    )


def test_the_rules_of_the_object_are_the_generated_ones_and_promtool_takes_them(tmp_path: Path):
    for case in (named("monitoring"), named("default@operator"), named("monitoring-only")):
        (rule,) = of(case, "PrometheusRule")
        assert rule["spec"] == rule_file()
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rule["spec"], width=1_000_000))
    run(need("promtool"), "check", "rules", str(path))


def test_other_rules_can_be_given():
    rules = "groups:\n- name: mine\n  rules:\n  - {record: 'a:b', expr: vector(1)}\n"
    values = yaml.safe_dump({"monitoring": {"prometheusRule": {"enabled": True, "rules": rules}}})
    said = template(APPLICATION, "--show-only", "templates/prometheusrule.yaml", values=values)
    (rule,) = documents(said.out)
    assert rule["spec"] == yaml.safe_load(rules)


@pytest.mark.parametrize("name", ["default", "monitoring", "monitoring-only"])
def test_boards_of_the_config_maps_are_the_generated_ones(name: str):
    found = [one for one in of(named(name), "ConfigMap") if one["metadata"]["name"].endswith("-board")]
    texts = {file: text for one in found for file, text in one["data"].items()}
    assert {file: json.loads(text) for file, text in texts.items()} == {
        f"{uid}.json": board for uid, board in boards().items()
    }
    for one in found:
        assert len(json.dumps(one)) < 1024 * 1024
        label = ("grafana_board", "yes") if name == "monitoring" else ("grafana_dashboard", "1")
        folder = "Platform" if name == "monitoring" else "LLM sidecar"
        assert label in one["metadata"]["labels"].items()
        assert one["metadata"]["annotations"] == {"grafana_folder": folder}


def owned(kind: str, name: str) -> dict[str, str]:
    return {"pod_name": "pod", "pod_controller_kind": kind, "pod_controller_name": name}


def relabelled(case: Case) -> list[dict[str, Any]]:
    (monitor,) = of(case, "PodMonitor")
    rows: list[dict[str, Any]] = monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
    return rows


def labels_of(rows: list[dict[str, Any]], meta: dict[str, str]) -> dict[str, str]:
    """Prometheus' `replace`, for these rows."""
    import re

    found: dict[str, str] = {}
    for row in rows:
        said = ";".join(meta.get(name, "") for name in row.get("sourceLabels", []))
        match = re.fullmatch(row.get("regex", "(.*)"), said)
        if match:
            template = row.get("replacement", "$1").replace("$1", r"\1")
            if value := match.expand(template) if match.groups() else template:
                found[row["targetLabel"]] = value
    return found


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"pod_name": "lonely"}, {"app": "lonely"}),
        (owned("ReplicaSet", "web-api-5d4f9c"), {"app": "web-api"}),
        (owned("StatefulSet", "db"), {"app": "db"}),
        (owned("Job", "nightly-29384756"), {"app": "nightly"}),
        ({"pod_name": "x", "pod_label_app": "old"}, {"app": "old"}),
        ({"pod_label_app": "old", "pod_label_app_kubernetes_io_name": "shop"}, {"app": "shop"}),
        ({"pod_name": "x", "pod_label_team": "payments"}, {"app": "x", "team": "payments"}),
    ],
)  # fmt: skip
def test_a_pods_series_are_labelled_with_its_application_and_team(
    meta: dict[str, str], expected: dict[str, str]
):
    whole = {f"__meta_kubernetes_{name}": value for name, value in meta.items()}
    for case in (named("default@operator"), named("configmap", EMBED)):
        assert labels_of(relabelled(case), whole) == {"job": "llm-sidecar", **expected}


def test_the_scrape_job_of_the_page_labels_as_the_pod_monitor_does(tmp_path: Path):
    (text,) = [block for block in blocks(page(), "yaml") if block.startswith("scrape_configs")]
    (job,) = yaml.safe_load(text)["scrape_configs"]
    assert job["job_name"] == "llm-sidecar"
    rows = [
        {"sourceLabels": row["source_labels"], "targetLabel": row["target_label"]}
        | {key: row[key] for key in row.keys() & {"regex"}}
        for row in job["relabel_configs"]
        if row.get("action", "replace") == "replace" and row["target_label"] in {"app", "team"}
    ]  # fmt: skip
    assert rows == [row for row in relabelled(named("default@operator")) if row["targetLabel"] != "job"]
    del job["kubernetes_sd_configs"]  # not every distribution's promtool knows them
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    run(need("promtool"), "check", "config", "--syntax-only", str(tmp_path / "prometheus.yaml"))


def page() -> str:
    return (APPLICATION / "README.md").read_text()


def test_the_page_lists_every_value():
    def names(value: object, place: str) -> list[str]:
        inner = (
            [name for key, one in value.items() for name in names(one, f"{place}{key}.")]
            if isinstance(value, dict)
            else []
        )
        return [place.rstrip("."), *inner]  # fmt: skip

    values = yaml.safe_load((APPLICATION / "values.yaml").read_text())
    text = page()
    free = (".resources.", ".securityContext.", ".env.", ".headersSecret.", ".issuerRef.")
    for name in names(values, "")[1:]:
        if not any(part in name for part in free):
            assert f"`{name}`" in text, name


def test_values_of_the_page_render():
    """What a person copies from it is taken."""
    (text,) = [block for block in blocks(page(), "yaml") if block.startswith("sidecar:")]
    said = template(APPLICATION, values=text)
    assert not said.status, said.err
    assert (ROOT / "helm" / "llm-sidecar" / "README.md").is_file()
