"""What holds for every pod: the patch applies, takes nothing away, and a second one is empty."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.injector.annotations import KEYS, LONGEST, MOST
from sidecar.injector.patch import Outcome, inject
from tests.injector.pods import PROFILES, injection, of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own, on import
    import kubernetes_validate  # type: ignore[import-untyped]

NAMES = ("app", "worker", "istio-proxy", "migrate", "late")
URLS = st.sampled_from(
    [
        "https://gw.example/v1",
        "https://gw.example",
        "http://127.0.0.1:4000/openai/v1",
        "",
        "$(X)",
        "x y",
        "/corp.pem",
    ]
)
VARIABLES = st.sampled_from(
    [
        *PROFILES["default"].env,
        "HTTPS_PROXY",
        "no_proxy",
        "SSL_CERT_FILE",
        "LLM_SIDECAR_UPSTREAM_OPENAI",
        "MODE",
    ]
)
REFERENCE = st.just({"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}) | st.just(
    {"valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}
)
ROW = st.builds(
    lambda name, said: {"name": name, **said}, VARIABLES, st.builds(lambda v: {"value": v}, URLS) | REFERENCE
)
PORT = st.builds(lambda port: {"containerPort": port}, st.sampled_from([80, 4000, 4001, 4002, 9901, 65535]))


def _containers(least: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    one: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {"name": st.sampled_from(NAMES), "image": st.just("x:1")},
        optional={
            "env": st.lists(ROW, max_size=4),
            "ports": st.lists(PORT, max_size=2, unique_by=lambda row: row["containerPort"]),
            "envFrom": st.just([{"configMapRef": {"name": "c"}}]),
            "resources": st.just({"limits": {"cpu": "1"}}),
        },
    )
    return st.lists(one, min_size=least, max_size=3, unique_by=lambda c: str(c["name"]))


SENSIBLE = st.sampled_from(
    [
        "true",
        "false",
        "proxy",
        "none",
        "strict",
        "plain",
        "4000",
        "4001",
        "60",
        "app",
        "app,nobody",
        "MY=openai/v1",
        "1Gi",
        "x",
    ]
)
HOSTILE = st.text(max_size=40) | st.sampled_from(
    ["$(A)", "../..", "{}", "\x00", "a" * 5000, "1e999", "-1", "٣"]
)
ANNOTATIONS = st.dictionaries(
    st.sampled_from([f"llm-sidecar.dev/{key}" for key in (*KEYS, "status", "inject", "prot")]),
    SENSIBLE | HOSTILE,
    max_size=5,
)


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    main = draw(_containers(1))
    taken = {one["name"] for one in main}
    spec: dict[str, Any] = {"containers": main}
    if early := [one for one in draw(_containers(0)) if one["name"] not in taken]:
        spec["initContainers"] = early
    spec |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "restartPolicy": st.sampled_from(["Always", "Never", "OnFailure"]),
                "terminationGracePeriodSeconds": st.sampled_from([0, 5, 30, 600]),
                "volumes": st.just([{"name": "data", "emptyDir": {}}]),
                "hostNetwork": st.booleans(),
            },
        )
    )
    metadata = {"name": "web", "annotations": draw(ANNOTATIONS), "labels": {"app": "web"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def kept(before: Any, after: Any, *, grace: bool = False) -> bool:
    """All of `before` is in `after`, in its order; lists may have grown at any place."""
    match before:
        case dict():
            return isinstance(after, dict) and all(
                key in after
                and (
                    kept(value, after[key]) or (key == "terminationGracePeriodSeconds" and after[key] > value)
                )
                for key, value in before.items()
            )
        case list():
            rest = iter(after)
            return isinstance(after, list) and all(any(kept(one, other) for other in rest) for one in before)
        case _:
            return bool(before == after)


def without_status(pod: dict[str, Any]) -> dict[str, Any]:
    pod = copy.deepcopy(pod)
    pod["metadata"]["annotations"].pop("llm-sidecar.dev/status", None)
    return pod


@settings(max_examples=150, deadline=None)
@given(pods(), st.booleans())
def test_nothing_is_lost_or_moved_and_a_second_pass_changes_nothing(given_: dict[str, Any], native: bool):
    made, after = injection(given_, native=native)

    assert all(row["op"] in {"add", "replace"} for row in made.patch)
    assert all(len(text) <= LONGEST and text.isascii() and text.isprintable() for text in made.warnings)
    assert len(made.warnings) <= MOST
    if given_["metadata"]["annotations"].get("llm-sidecar.dev/override-env") != "true":
        assert kept(without_status(given_), after)
    again, same = injection(after, native=native)
    if made.outcome is Outcome.INJECTED:
        assert (Outcome.UNCHANGED, ()) == (again.outcome, again.patch)
    assert after == same


@settings(max_examples=100, deadline=None)
@given(pods())
def test_override_changes_values_of_variables_and_nothing_else(given_: dict[str, Any]):
    given_["metadata"]["annotations"]["llm-sidecar.dev/override-env"] = "true"
    made, after = injection(given_)

    def without_values(pod: dict[str, Any]) -> dict[str, Any]:
        pod = without_status(pod)
        for one in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])):
            one["env"] = [{"name": row["name"]} for row in one.get("env") or []]
        return pod

    assert kept(without_values(given_), without_values(after))
    replaced = [row for row in made.patch if row["op"] == "replace"]
    assert all(
        "/env/" in row["path"] and row["value"]["value"].startswith("http://127.0.0.1:") for row in replaced
    )


@settings(max_examples=100, deadline=None)
@given(pods(), st.booleans())
def test_variables_are_not_doubled_and_ports_do_not_collide(given_: dict[str, Any], native: bool):
    made, after = injection(given_, native=native)
    if made.outcome is not Outcome.INJECTED:
        return

    for before in (*given_["spec"]["containers"], *given_["spec"].get("initContainers", [])):
        had = [row["name"] for row in before.get("env") or []]
        got = [row["name"] for row in of(after, before["name"]).get("env") or []]
        added = got[len(had) :]
        assert had == got[: len(had)]
        assert len(added) == len(set(added))
        assert not set(added) & set(had)
    ours = [row["containerPort"] for row in of(after, "llm-sidecar")["ports"]]
    theirs = {
        row["containerPort"]
        for one in (*given_["spec"]["containers"], *given_["spec"].get("initContainers", []))
        for row in one.get("ports") or []
    }
    assert len(set(ours)) == len(ours)
    assert not theirs & set(ours)
    names = [row["name"] for row in of(after, "llm-sidecar")["env"]]
    assert len(names) == len(set(names))


@settings(max_examples=60, deadline=None)
@given(pods(), _containers(1))
def test_whatever_is_added_later_a_third_pass_changes_nothing(
    given_: dict[str, Any], late: list[dict[str, Any]]
):
    _, first = injection(given_)
    taken = {one["name"] for one in (*first["spec"]["containers"], *first["spec"].get("initContainers", []))}
    first["spec"]["containers"] += [one for one in late if one["name"] not in taken]
    _, second = injection(first)
    made, third = injection(second)

    assert made.patch == ()
    assert second == third


@settings(max_examples=60, deadline=None)
@given(pods())
def test_the_same_pod_gives_the_same_patch(given_: dict[str, Any]):
    one, other = (
        inject(copy.deepcopy(given_), namespace="shop", profiles=PROFILES, cluster_native=True)
        for _ in range(2)
    )

    assert one == other


VERSIONS = ("1.29", "1.33", kubernetes_validate.latest_version())


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=15, deadline=None)
@given(given_=pods(), native=st.booleans())
def test_what_comes_out_is_a_pod_to_kubernetes(version: str, given_: dict[str, Any], native: bool):
    _, after = injection(given_, native=native)

    kubernetes_validate.validate(after, version, strict=True)


def test_the_validator_would_object():
    _, after = injection(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a"},
            "spec": {"containers": [{"name": "a"}]},
        }
    )
    of(after, "llm-sidecar")["restartPolcy"] = "Always"

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(after, "1.33", strict=True)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["metadata", "spec", "containers", "name", "env", "labels", "annotations", "ports"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_what_is_no_pod_raises_malformed_or_is_left_alone(given_: Any):
    from sidecar.injector.patch import Malformed

    try:
        made = inject(given_, namespace="", profiles=PROFILES, cluster_native=True)
    except Malformed:
        return
    assert jsonpatch.apply_patch(given_, list(made.patch)) is not None
