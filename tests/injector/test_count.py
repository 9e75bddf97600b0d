"""Who was missed: labels choose, pages are followed, and those that are meant to have none do not count."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sidecar.injector.api import Api, ApiError, NoApi, in_cluster
from sidecar.injector.command import native
from sidecar.injector.count import missed
from sidecar.injector.measures import NAMESPACES, Measures
from tests.injector.cluster import Cluster
from tests.injector.pods import container, pod

YES = {"llm-sidecar.dev/inject": "true"}


def there(name: str, namespace: str = "shop", **more: Any) -> dict[str, Any]:
    phase = more.pop("phase", "Running")
    made = pod(*more.pop("containers", ()), labels=more.pop("labels", YES), **more)
    made["metadata"] |= {"name": name, "namespace": namespace}
    return made | {"status": {"phase": phase}}


def count(*pods: dict[str, Any], enabled: tuple[str, ...] = (), page: int = 250) -> dict[str, int]:
    async def main() -> dict[str, int]:
        async with Cluster() as cluster, Api(cluster.url) as api:
            cluster.pods = list(pods)
            labels = {"llm-sidecar.dev/injection": "enabled"}
            cluster.namespaces = [{"metadata": {"name": name, "labels": labels}} for name in enabled]
            cluster.page = page
            return await missed(api, "llm")

    return asyncio.run(main())


def test_labelled_pods_without_a_sidecar_are_counted_by_namespace():
    with_one = there("c", containers=(container("llm-sidecar"), container()))
    injected = there("d", labels=YES | {"llm-sidecar.dev/injected": "true"})

    assert {"shop": 2, "pay": 1} == count(there("a"), there("b"), there("a", "pay"), with_one, injected)


def test_pods_of_labelled_namespaces_count_too_and_none_twice():
    out = there("b", labels={"llm-sidecar.dev/inject": "false"})
    pods = (there("a", labels={}), out, there("c"), there("d", "pay", labels={}))

    assert {"shop": 2} == count(*pods, enabled=("shop",))


def test_those_that_are_over_or_meant_to_have_none_do_not_count():
    going = there("a")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    static = there("b", "kube-system")

    assert {} == count(
        going,
        static,
        there("c", "llm"),
        there("d", phase="Succeeded"),
        there("e", phase="Failed"),
        there("f", hostNetwork=True),
        there("g", os={"name": "windows"}),
    )


def test_host_network_counts_where_it_was_asked_for():
    assert {"shop": 1} == count(there("f", hostNetwork=True, annotations={"host-network": "true"}))


def test_long_lists_come_in_pages():
    assert {"shop": 25} == count(*(there(str(n)) for n in range(25)), page=10)


def test_namespaces_have_a_bound():
    measures = Measures()
    measures.missed({f"n{n:03}": n + 1 for n in range(NAMESPACES + 20)})
    rows = [
        line for line in measures.text().decode().splitlines() if line.startswith("llm_sidecar_injector_pods")
    ]

    assert len(rows) == NAMESPACES + 1
    assert f'llm_sidecar_injector_pods_not_injected{{namespace="other"}} {sum(range(1, 21))}.0' in rows
    measures.missed({})
    assert "pods_not_injected{" not in measures.text().decode()


# ---- the API ---------------------------------------------------------------------------------


def test_the_token_is_read_again_for_each_call_and_a_missing_one_is_said(tmp_path: Path):
    async def main() -> list[str]:
        file = tmp_path / "token"
        async with Cluster() as cluster, Api(cluster.url, token_file=file) as api:
            with pytest.raises(ApiError, match="token cannot be read"):
                await api.get("/version")
            for token in ("one\n", "two\n"):
                file.write_text(token)
                await api.get("/version")
            return cluster.tokens

    assert ["Bearer one", "Bearer two"] == asyncio.run(main())


def test_an_answer_that_failed_has_its_status_and_none_is_none():
    async def main() -> None:
        async with Cluster() as cluster, Api(cluster.url) as api:
            assert await api.get("/api/v1/namespaces/x/secrets/y") is None
            cluster.before = lambda _, __: 500
            with pytest.raises(ApiError, match="GET /version: 500 InternalError") as caught:
                await api.get("/version")
            assert caught.value.status == 500
        async with Api("http://127.0.0.1:9") as api:
            with pytest.raises(ApiError, match=r"GET /version: no answer \(") as caught:
                await api.get("/version")
            assert caught.value.status == 0

    asyncio.run(main())


def test_a_token_does_not_travel_in_the_clear():
    with pytest.raises(NoApi, match="plain http"):
        Api("http://10.0.0.1:6443")
    with pytest.raises(NoApi, match="expected https"):
        Api("10.0.0.1")


def test_outside_a_cluster_it_is_said_what_to_give(tmp_path: Path):
    with pytest.raises(NoApi, match="give --api"):
        in_cluster({}, tmp_path)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ({"major": "1", "minor": "28"}, False),
        ({"major": "1", "minor": "29+"}, True),
        ({"major": "1", "minor": "33-gke.1"}, True),
        ({"major": "2", "minor": "0"}, True),
    ],
)
def test_native_sidecars_are_there_from_1_29_on(version: dict[str, str], expected: bool):
    assert expected == native(version)


@pytest.mark.parametrize("version", [None, {}, {"major": "v", "minor": ""}])
def test_a_version_that_is_none_is_asked_for_again(version: object):
    with pytest.raises(ValueError, match="does not say its version"):
        native(version)
