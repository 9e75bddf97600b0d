"""Every values file renders, twice the same, as it did before, and to what the API server accepts."""

from __future__ import annotations

import json
from typing import Any, Final

import jsonschema_rs
import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from helm.__main__ import facts
from tests.helm import crds, notes
from tests.helm.cases import APPLICATION, CASES, EMBED, LIBRARY, Case, each, named, rendered, text
from tests.helm.golden import FOLDER, RELEASED, fixed, golden
from tests.helm.tool import call, documents, template

NEWEST: Final = kubernetes_validate.latest_version()
SERIES: Final = int(str(facts()["seriesPerPod"]))
VERSIONS: Final = ("1.29", "1.33", NEWEST)


def test_every_values_file_is_a_case_and_every_golden_too():
    there = {path for chart in (APPLICATION, EMBED) for path in (chart / "ci").iterdir()}
    assert {case.values for case in CASES} == there
    assert {f"{case}.yaml" for case in CASES} == {path.name for path in FOLDER.iterdir()}


@pytest.mark.parametrize("chart", [APPLICATION, EMBED, LIBRARY], ids=lambda chart: str(chart.name))
def test_helm_finds_nothing_to_say_about_a_chart(chart: Any):
    files = [word for path in sorted((chart / "ci").glob("*.yaml")) for word in ("--values", str(path))]
    for values in [files[at : at + 2] for at in range(0, len(files), 2)] or [[]]:
        if "plain" in str(values):
            continue  # for another Kubernetes than the one Helm supposes
        said = call("lint", "--strict", str(chart), *values)
        assert not said.status, said.out + said.err
        assert "WARNING" not in said.out


@each
def test_rendering_twice_gives_the_same_bytes(case: Case):
    assert case.render() == text(case)


@each
def test_what_is_rendered_is_what_was_agreed(case: Case):
    assert (FOLDER / f"{case}.yaml").read_text() == golden(case), (
        "if you meant it: python -m tests.helm.golden"
    )


@each
def test_an_upgrade_from_the_last_release_changes_nothing_that_cannot_change(case: Case):
    released = documents(RELEASED.read_text())[0]
    before, now = released.get(str(case), {}), fixed(case)
    assert {name: now.get(name) for name in before} == before


def test_the_release_has_every_kind_of_object():
    (released,) = documents(RELEASED.read_text())
    kinds = {name.partition(" ")[0] for objects in released.values() for name in objects}
    assert kinds >= {
        "Deployment",
        "Service",
        "MutatingWebhookConfiguration",
        "ClusterRole",
        "Certificate",
        "PodMonitor",
    }


def test_rendered_objects_are_valid_for_kubernetes():
    """Each once, however many cases share it."""
    seen = {json.dumps(one, sort_keys=True): one for case in CASES for one in rendered(case)}
    own = [one for one in seen.values() if one["apiVersion"] not in crds.GROUPS]
    assert len(own) > 50
    for one in own:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)


def test_objects_of_an_old_cluster_are_valid_there():
    for case in CASES:
        if case.kube == "1.27.0":
            for one in rendered(case):
                kubernetes_validate.validate(one, "1.27", strict=True)


def test_the_validator_sees_a_misspelt_field():
    (pod,) = [one for one in rendered(named("default")) if one["kind"] == "Pod"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod | {"spec": pod["spec"] | {"hostnetwork": True}}, NEWEST, strict=True)


@each
def test_objects_of_operators_are_valid_for_their_definitions(case: Case):
    for one in rendered(case):
        if one["apiVersion"] in crds.GROUPS:
            jsonschema_rs.validate(crds.OURS[one["kind"]], one)


def test_objects_of_operators_are_valid_for_the_published_definitions():
    """Where Go can fetch them; our own reduced ones hold everywhere."""
    published = crds.published()
    if not published:
        pytest.skip("the operators' definitions need Go and a module proxy")
    for kind, schema in published.items():
        found = [one for case in CASES for one in rendered(case) if one["kind"] == kind]
        assert found, kind
        validator = jsonschema_rs.validator_for(schema)
        for one in found:
            assert [f"{kind}: {error.message}" for error in validator.iter_errors(one)] == []


def test_helm_refuses_a_kubernetes_that_is_too_old():
    said = template(APPLICATION, kube="1.24.17")
    assert said.status
    assert ">=1.25.0-0" in said.err


def test_a_release_named_like_the_chart_does_not_stutter():
    said = call("template", "llm-sidecar", str(APPLICATION), "--namespace", "llm", "--kube-version", "1.33.0")
    names = {one["metadata"]["name"] for one in documents(said.out)}
    assert "llm-sidecar-injector" in names
    assert not any("llm-sidecar-llm-sidecar" in name for name in names)


def test_a_long_release_name_still_gives_names_that_fit():
    name = "a-release-whose-name-is-as-long-as-helm-allows-it-123"
    said = call("template", name, str(APPLICATION), "--namespace", "n" * 63, "--kube-version", "1.33.0")
    assert not said.status, said.err
    for one in documents(said.out):
        most = 63 if one["kind"] in {"Service", "Pod"} else 253
        assert len(one["metadata"]["name"]) <= most
        assert all(len(value) <= 63 for value in one["metadata"]["labels"].values())


def test_a_release_fits_into_its_secret():
    """Helm keeps chart and manifest in one Secret, which is at most 1 MiB."""
    import base64
    import gzip

    files = [path.read_bytes() for path in APPLICATION.rglob("*") if path.is_file()]
    whole = b"".join(base64.b64encode(file) for file in files) + text(named("monitoring")).encode()
    assert len(base64.b64encode(base64.b64encode(gzip.compress(whole)))) < 1024 * 1024 / 2


@pytest.mark.parametrize(
    ("name", "kube", "expected"),
    [
        (
            "default",
            "1.33.0",
            [
                "helm test llm --namespace llm-system",
                "kubectl label namespace NAMESPACE llm-sidecar.dev/injection=enabled",
                "no: see below",
                f"50 pods (fleet.pods) x at most {SERIES} = {50 * SERIES} in Prometheus",
                f"{50 * SERIES // 30} samples a second",
            ],
        ),
        ("monitoring", "1.33.0", ["yes, by a PodMonitor", f"400 pods (fleet.pods) x at most {SERIES} ="]),
        ("monitoring-only", "1.33.0", ["without its injector", "monitoring.labels.release=NAME"]),
        ("minimal", "1.33.0", ["Careful: one replica", "new pods start without a sidecar"]),
        ("plain", "1.27.0", ["Careful: below Kubernetes 1.29"]),
    ],
)
def test_the_notes_tell_the_next_step_and_the_series(name: str, kube: str, expected: list[str]):
    said = notes.of(named(name), kube)
    for words in expected:
        assert words in said
