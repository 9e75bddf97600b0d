"""AdmissionReview over real TLS: the objects an API server sends, and what must never happen."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import io
import json
import ssl
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.injector import server
from sidecar.injector.annotations import LONGEST
from sidecar.injector.api import Api
from sidecar.injector.certificates import CA_LIFE, DAY, LEAF_LIFE, OVERLAP
from sidecar.injector.command import Work
from sidecar.injector.patch import Injection
from sidecar.injector.profiles import Profiles
from sidecar.injector.review import BadReview, answer
from tests.injector.cluster import Cluster
from tests.injector.pods import container, env, injection, of, pod, values

HOST = "llm-sidecar-injector.llm.svc"
START = 1_800_000_000.0
EXPIRY = "llm_sidecar_injector_certificate_expiry_timestamp_seconds"
NO_CHECK_TIME = 0x200000  # of OpenSSL: it would look at the real clock, where ours is handed in


def review(given_: Any, uid: str = "705ab4f5-6393-11e8-b7cc-42010a800002", **more: Any) -> dict[str, Any]:
    """As kube-apiserver writes one."""
    request = {
        "uid": uid,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": given_,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request | more}


# ---- bytes in, bytes out ---------------------------------------------------------------------


def inject(given_: Mapping[str, Any], namespace: str) -> Injection:
    return injection(given_, namespace=namespace)[0]


def broken(given_: Mapping[str, Any], namespace: str) -> Injection:
    raise KeyError("the pod's own secret")


def answered(
    body: dict[str, Any], work: Callable[..., Injection] = inject, **more: bool
) -> tuple[dict[str, Any], str]:
    data, result = answer(json.dumps(body).encode(), work, fail_open=more.get("fail_open", True))
    whole = json.loads(data)
    assert (whole["apiVersion"], whole["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = whole["response"]
    assert response["uid"] == body["request"]["uid"]
    return response, result


def test_a_pod_gets_a_patch_under_the_same_uid():
    response, result = answered(review(pod()))

    assert (response["allowed"], response["patchType"], result) == (True, "JSONPatch", "injected")
    after = jsonpatch.apply_patch(pod(), json.loads(base64.b64decode(response["patch"])))
    assert after == injection(pod())[1]
    assert "warnings" not in response


def test_a_dry_run_gets_the_same_answer():
    assert answered(review(pod())) == answered(review(pod(), dryRun=True))


def test_the_namespace_is_the_requests_because_pods_of_controllers_carry_none():
    response, result = answered(review(pod(), namespace="kube-system"))

    assert ({"uid": response["uid"], "allowed": True}, "skipped") == (response, result)


def test_warnings_come_with_the_patch():
    response, _ = answered(review(pod(annotations={"port": "x"})))

    assert response["warnings"] == [
        'llm-sidecar.dev/port: expected a port from 1024 to 65535, got "x"; 4000 is used'
    ]
    assert "patch" in response


@pytest.mark.parametrize(
    "more",
    [
        {"operation": "UPDATE"},
        {"operation": "DELETE", "object": None},
        {"subResource": "ephemeralcontainers"},
        {"resource": {"group": "apps", "version": "v1", "resource": "deployments"}},
        {"resource": None},
    ],
)
def test_what_is_no_new_pod_passes_untouched(more: dict[str, Any]):
    response, result = answered(review(pod(), **more))

    assert ({"uid": response["uid"], "allowed": True}, "skipped") == (response, result)


def test_an_error_of_ours_lets_the_pod_in_with_a_warning_that_quotes_nothing(
    capsys: pytest.CaptureFixture[str],
):
    response, result = answered(review(pod()), broken)

    assert (True, "failed") == (response["allowed"], result)
    assert response["warnings"] == ["llm-sidecar: not injected, an error of the injector: KeyError"]
    assert "secret" not in json.dumps(response) + capsys.readouterr().err


def test_fail_mode_closed_refuses_the_pod_and_says_why():
    response, result = answered(review(pod()), broken, fail_open=False)

    assert (False, "failed") == (response["allowed"], result)
    assert response["status"] == {
        "code": 500,
        "message": "llm-sidecar: not injected, an error of the injector: KeyError",
    }


def test_an_object_that_is_no_pod_is_let_through():
    bads: tuple[Any, ...] = (None, [], {}, {"spec": []}, {"spec": {"containers": [None]}})
    for bad in bads:
        response, result = answered(review(bad))
        assert (True, "failed") == (response["allowed"], result)
        assert "patch" not in response
        assert len(response["warnings"][0]) <= LONGEST


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no AdmissionReview"),
        (
            b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}',
            "expected an AdmissionReview of",
        ),
        (
            b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{}}',
            "no request with a uid",
        ),
    ],
)
def test_what_is_no_review_has_nobody_to_answer_to(body: bytes, said: str):
    with pytest.raises(BadReview, match=said):
        answer(body, inject, fail_open=True)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=20), st.text(max_size=30), max_size=4))
def test_hostile_annotations_never_stop_a_pod(annotations: dict[str, str]):
    given_ = pod(annotations={key.replace("\ud800", ""): value for key, value in annotations.items()})
    body = json.dumps(review(given_)).encode("utf-8", "surrogatepass")
    data, result = answer(body, inject, fail_open=True)
    response = json.loads(data)["response"]

    assert response["allowed"] is True
    assert result == "injected"
    assert all(len(text) <= LONGEST for text in response.get("warnings", ()))


# ---- over TLS --------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def injector(folder: Path, cluster: Cluster, clock: Clock) -> AsyncIterator[Work]:
    (folder / "default.yaml").write_text("image: registry.example.com/llm-sidecar:1")
    options = Namespace(
        certs="self",
        fail_mode="open",
        namespace="llm",
        service="llm-sidecar-injector",
        secret="llm-sidecar-injector-certs",
        webhook_configuration="llm-sidecar-injector",
    )
    async with Api(cluster.url) as api:
        work = Work(options, Profiles(folder), api, clock)
        await work.server.start("127.0.0.1", 0, 0)
        try:
            yield work
        finally:
            await work.server.stop()


def trust(cluster: Cluster) -> ssl.SSLContext:
    """As the API server: the bundle of the webhook configuration, and the service's name."""
    [bundle] = set(cluster.bundles)
    context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    context.verify_flags |= NO_CHECK_TIME
    return context


async def post(
    session: aiohttp.ClientSession, work: Work, tls: ssl.SSLContext, body: Any
) -> tuple[int, dict[str, Any]]:
    url = f"https://127.0.0.1:{work.server.port}/inject?timeout=5s"
    data = body if isinstance(body, bytes | io.BytesIO) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    async with session.post(url, data=data, headers=headers, ssl=tls, server_hostname=HOST) as got:
        text = await got.text()
        return got.status, json.loads(text) if got.status == 200 else {"text": text}


def play(work: Callable[[Path, Cluster, Clock], Awaitable[None]], folder: Path) -> None:
    async def main() -> None:
        async with Cluster() as cluster:
            await asyncio.wait_for(work(folder, cluster, Clock()), 120)

    asyncio.run(main())


async def get(work: Work, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{work.server.metrics_port}{path}") as got,
    ):
        return got.status, await got.text()


PODS: dict[str, dict[str, Any]] = {
    "deployment": pod(
        owner=("ReplicaSet", "web-6d4cf56db6"), labels={"app": "web", "pod-template-hash": "6d4cf56db6"}
    ),
    "job": pod(owner=("Job", "report-1"), restartPolicy="Never"),
    "env-from": pod(container(envFrom=[{"secretRef": {"name": "keys"}}])),
    "init-containers": pod(initContainers=[container("migrate"), container("seed")]),
    "other-sidecars": pod(
        container(),
        container("istio-proxy", ports=[{"containerPort": 15090}]),
        initContainers=[container("istio-init"), container("logs", restartPolicy="Always")],
    ),
    "host-network": pod(hostNetwork=True, annotations={"host-network": "true"}),
    "own-gateway": pod(
        container(env=env(OPENAI_BASE_URL="https://gw.example/v1")), annotations={"override-env": "true"}
    ),
    "hostile": pod(
        annotations={"port": "\x00" * 50, "image": "$(A) `rm`", "nonsense": "x" * 5000, "env": "A=B=C"}
    ),
}


def test_pods_of_all_kinds_are_injected_over_tls_and_a_second_pass_changes_nothing(tmp_path: Path):
    async def work(folder: Path, cluster: Cluster, clock: Clock) -> None:
        async with injector(folder, cluster, clock) as its, aiohttp.ClientSession() as session:
            await its.certificates()
            tls = trust(cluster)
            for number, (name, given_) in enumerate(PODS.items()):
                status, body = await post(session, its, tls, review(given_, uid=f"uid-{number}"))
                response = body["response"]
                assert (status, response["uid"], response["allowed"]) == (200, f"uid-{number}", True), name
                patch = json.loads(base64.b64decode(response["patch"]))
                after = jsonpatch.apply_patch(copy.deepcopy(given_), patch)
                assert after["spec"]["initContainers"][0]["name"] == "llm-sidecar", name
                assert values(after)["OPENAI_BASE_URL"] == "http://127.0.0.1:4000/openai/v1", name
                _, body = await post(session, its, tls, review(after))
                assert "patch" not in body["response"], name
            _, metrics = await get(its, "/metrics")
            assert f'llm_sidecar_injector_reviews_total{{result="injected"}} {len(PODS)}.0' in metrics
            assert f'llm_sidecar_injector_reviews_total{{result="unchanged"}} {len(PODS)}.0' in metrics
            assert 'llm_sidecar_injector_reviews_total{result="failed"} 0.0' in metrics
            [line] = [line for line in metrics.splitlines() if line.startswith(f"{EXPIRY} ")]
            assert float(line.split()[1]) == START + LEAF_LIFE

    play(work, tmp_path)


def test_an_old_cluster_gets_plain_containers(tmp_path: Path):
    async def work(folder: Path, cluster: Cluster, clock: Clock) -> None:
        cluster._minor = "28"
        async with injector(folder, cluster, clock) as its, aiohttp.ClientSession() as session:
            await its.certificates()
            _, body = await post(session, its, trust(cluster), review(pod()))
            after = jsonpatch.apply_patch(pod(), json.loads(base64.b64decode(body["response"]["patch"])))
            assert "restartPolicy" not in of(after, "llm-sidecar")
            assert after["spec"]["containers"][-1]["name"] == "llm-sidecar"

    play(work, tmp_path)


def test_what_is_no_review_or_too_large_is_refused_and_serving_goes_on(tmp_path: Path):
    async def work(folder: Path, cluster: Cluster, clock: Clock) -> None:
        async with injector(folder, cluster, clock) as its, aiohttp.ClientSession() as session:
            await its.certificates()
            tls = trust(cluster)
            assert (400, {"text": "the body is not JSON\n"}) == await post(session, its, tls, b"nonsense")
            status, _ = await post(session, its, tls, io.BytesIO(b"x" * (8 * 1024 * 1024 + 1)))
            assert status == 413
            status, _ = await post(session, its, tls, review(pod()))
            assert status == 200

    play(work, tmp_path)


def test_it_is_ready_only_when_it_is_trusted_and_not_while_it_ends(tmp_path: Path):
    async def work(folder: Path, cluster: Cluster, clock: Clock) -> None:
        async with injector(folder, cluster, clock) as its, aiohttp.ClientSession() as session:
            assert (await get(its, "/livez"))[0] == 200
            assert (503, "the API server does not trust the certificate yet\n") == await get(its, "/readyz")
            await its.certificates()
            assert (200, "ok\n") == await get(its, "/readyz")
            its.server.drain()
            assert (503, "draining\n") == await get(its, "/readyz")
            status, _ = await post(session, its, trust(cluster), review(pod()))
            assert status == 200  # those who have not heard of it yet are served

    play(work, tmp_path)


def test_whoever_fills_the_ports_with_idle_connections_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "CONNECTIONS", 8)

    async def scenario(folder: Path, cluster: Cluster, clock: Clock) -> None:
        async with injector(folder, cluster, clock) as work, aiohttp.ClientSession() as session:
            await work.certificates()
            tls = trust(cluster)
            held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
            doors: list[tuple[int, dict[str, Any]]] = [
                (work.server.port, {"ssl": tls, "server_hostname": HOST}),
                (work.server.metrics_port, {}),
            ]
            for port, rules in doors:
                for _ in range(30):
                    held.append(await asyncio.open_connection("127.0.0.1", port, **rules))
                    held[-1][1].write(b"POST /inject HTTP/1.1\r\nho")
            status, answer = await post(session, work, tls, review(pod()))
            assert (200, True) == (status, answer["response"]["allowed"])
            assert 200 == (await get(work, "/livez"))[0]
            for oldest, _ in (*held[:20], *held[30:50]):
                with contextlib.suppress(ConnectionError):
                    assert b"" == await oldest.read()
            for _, writer in held:
                writer.transport.abort()

    play(scenario, tmp_path)


def test_a_rotation_under_load_loses_no_review(tmp_path: Path):
    """Clients open connections all the time, each with the bundle that was told an hour ago at most."""

    async def work(folder: Path, cluster: Cluster, clock: Clock) -> None:
        async with injector(folder, cluster, clock) as its:
            await its.certificates()
            known, stop, moved = [trust(cluster)], asyncio.Event(), asyncio.Event()
            leaves: set[bytes] = set()
            done = [0] * 3  # reviews of each client
            last: list[ssl.SSLContext | None] = [None] * 3  # the bundle it last connected with

            async def client(number: int) -> None:
                while not stop.is_set():
                    async with aiohttp.ClientSession() as session:
                        tls = known[0]
                        for _ in range(3):  # a new connection, and twice one that is kept
                            status, body = await post(session, its, tls, review(pod()))
                            assert (200, True) == (status, body["response"]["allowed"])
                            assert body["response"]["patch"]
                            done[number] += 1
                        last[number] = tls
                        moved.set()

            async def turn(seconds: float) -> None:
                before = list(done)
                clock.now += seconds
                await its.certificates()
                assert its.door.loaded is not None
                leaves.add(its.door.loaded.certificate)
                while any(now < then + 4 for now, then in zip(done, before, strict=True)):
                    moved.clear()
                    await moved.wait()

            async def hear() -> None:
                """By now every API server knows the bundle."""
                known[0] = trust(cluster)
                while any(tls is not known[0] for tls in last):
                    moved.clear()
                    await moved.wait()

            async with asyncio.TaskGroup() as group:
                for number in range(3):
                    group.create_task(client(number))
                for _ in range(3):
                    await turn(LEAF_LIFE * 0.7)  # leaves of the same CA
                bundle = cluster.bundles[0]
                while clock.now < START + CA_LIFE * 2 / 3 - 3 * DAY:
                    clock.now += LEAF_LIFE * 0.33
                    await its.certificates()
                while cluster.bundles[0] == bundle:
                    await turn(DAY)  # a new CA: told, and not used yet
                await turn(OVERLAP - 1)
                await hear()
                await turn(1)  # a leaf of the new CA
                for _ in range(9):
                    await turn(DAY)  # the old CA is forgotten
                assert cluster.bundles[0] != bundle
                await hear()
                await turn(LEAF_LIFE * 0.7)
                stop.set()
            assert len(leaves) >= 6
            _, metrics = await get(its, "/metrics")
            assert f'llm_sidecar_injector_reviews_total{{result="injected"}} {sum(done)}.0' in metrics

    play(work, tmp_path)
