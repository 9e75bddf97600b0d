"""Certificates over the years, with a clock handed in, and replicas that race over one Secret."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from sidecar.injector.api import Api, ApiError
from sidecar.injector.certificates import (
    CA_LIFE,
    DAY,
    LEAF_LIFE,
    OVERLAP,
    Kept,
    Pair,
    advance,
    from_data,
    issued,
    names_of,
    new_ca,
    new_leaf,
    to_data,
)
from sidecar.injector.door import Door
from sidecar.injector.keeper import Provided, SelfMade
from tests.injector.cluster import SECRET, WEBHOOK, Cluster

NAMES = ("llm-sidecar-injector.llm.svc", "llm-sidecar-injector.llm.svc.cluster.local")
START = 1_800_000_000.0


def trusted(kept: Kept, bundle: bytes, at: float) -> bool:
    """As an API server would, with this bundle at this time."""
    import datetime as dt

    roots = Store(x509.load_pem_x509_certificates(bundle))
    builder = PolicyBuilder().store(roots).time(dt.datetime.fromtimestamp(at, dt.UTC))
    try:
        builder.build_server_verifier(x509.DNSName(NAMES[0])).verify(kept.leaf.parsed, [])
    except VerificationError:
        return False
    return True


def test_a_first_certificate_is_valid_for_its_names_and_for_a_week():
    kept = advance(None, NAMES, START)

    assert NAMES == names_of(kept.leaf)
    assert kept.leaf.ends == START + LEAF_LIFE
    assert kept.ca.ends == START + CA_LIFE
    assert trusted(kept, kept.bundle, START)
    assert trusted(kept, kept.bundle, START - 200)  # a clock that is behind
    assert not trusted(kept, kept.bundle, START + LEAF_LIFE + 1)


def test_nothing_is_done_before_it_is_due():
    kept = advance(None, NAMES, START)

    assert kept == advance(kept, NAMES, START + LEAF_LIFE * 0.66)
    later = advance(kept, NAMES, START + LEAF_LIFE * 0.67)
    assert later.ca == kept.ca
    assert later.leaf != kept.leaf
    assert later.leaf.ends == START + LEAF_LIFE * 0.67 + LEAF_LIFE


def test_other_names_are_another_certificate_at_once():
    kept = advance(None, ("old.llm.svc",), START)

    assert NAMES == names_of(advance(kept, NAMES, START + 1).leaf)


def test_for_three_years_every_leaf_is_trusted_by_a_bundle_that_is_fifty_minutes_old():
    """Some API server may not have heard of the newest one yet."""
    kept = advance(None, NAMES, START)
    told = [(START, kept.bundle)]
    cas, leaves, proved = {kept.ca.certificate}, {kept.leaf.certificate}, set()
    for day in range(3 * 365):
        for minute in range(10, 80, 10):
            at = START + day * DAY + minute * 60
            kept = advance(kept, NAMES, at)
            cas.add(kept.ca.certificate)
            leaves.add(kept.leaf.certificate)
            told = [*told[-10:], (at, kept.bundle)]
            known = [bundle for when, bundle in told if when <= max(at - 3000, START)][-1]
            if (kept.leaf.certificate, known) not in proved:
                assert trusted(kept, known, at), (day, minute)
                proved.add((kept.leaf.certificate, known))
    assert len(cas) == 5  # a new one every 243 days
    assert len(leaves) > 200  # and a leaf every five


def test_the_old_ca_is_forgotten_when_no_leaf_of_its_can_be_in_use():
    kept = advance(None, NAMES, START)
    turn = START + CA_LIFE * 0.67
    kept = advance(advance(kept, NAMES, turn - DAY), NAMES, turn)
    assert kept.old
    settled = advance(kept, NAMES, turn + OVERLAP)
    assert issued(settled.leaf, settled.ca.certificate)
    assert settled.old == kept.old
    assert advance(settled, NAMES, turn + OVERLAP + LEAF_LIFE).old == b""


def test_after_a_year_away_everything_is_new():
    kept = advance(None, NAMES, START)
    back = advance(kept, NAMES, START + CA_LIFE + 1)

    assert back.ca != kept.ca
    assert trusted(back, back.bundle, START + CA_LIFE + 1)


def test_a_secret_gives_back_what_was_put_in():
    kept = advance(None, NAMES, START)
    kept = advance(kept, NAMES, START + CA_LIFE * 0.7)

    assert kept == from_data(to_data(kept))


@pytest.mark.parametrize("change", ["nothing", "empty", "base64", "pem", "key", "stranger"])
def test_a_secret_that_is_not_ours_is_made_anew(change: str):
    kept = advance(None, NAMES, START)
    other = advance(None, NAMES, START)
    data: dict[str, Any] = to_data(kept)
    match change:
        case "nothing":
            data = {}
        case "empty":
            data["tls.key"] = ""
        case "base64":
            data["ca.crt"] = "!"
        case "pem":
            data["tls.crt"] = base64.b64encode(b"nonsense").decode()
        case "key":
            data["tls.key"] = to_data(other)["tls.key"]
        case "stranger":
            data |= {key: to_data(other)[key] for key in ("tls.crt", "tls.key")}

    assert from_data(data) is None


def test_no_key_is_in_a_repr():
    kept = advance(None, NAMES, START)

    assert "PRIVATE" not in repr(kept)
    assert "BEGIN" not in repr(kept)


# ---- replicas --------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def keeper(api: Api, clock: Clock) -> tuple[SelfMade, Door]:
    door = Door()
    names = {"namespace": "llm", "secret": "llm-sidecar-injector-certs", "webhook": "llm-sidecar-injector"}
    return SelfMade(api, door, names=NAMES, wall=clock, **names), door


def play(work: Callable[[Cluster, Api, Clock], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Cluster() as cluster, Api(cluster.url) as api:
            await asyncio.wait_for(work(cluster, api, Clock()), 60)

    asyncio.run(main())


def told(cluster: Cluster) -> bytes:
    [bundle] = set(cluster.bundles)
    return base64.b64decode(bundle)


def test_a_replica_is_ready_when_the_webhook_knows_its_ca():
    async def work(cluster: Cluster, api: Api, clock: Clock) -> None:
        one, door = keeper(api, clock)
        assert not one.ready
        assert "made, put into the webhook" == await one.tick()
        assert one.ready
        kept = from_data(cluster.objects[SECRET]["data"])
        assert kept is not None
        assert (kept.leaf, kept.bundle) == (door.loaded, told(cluster))
        assert "" == await one.tick()
        clock.now += LEAF_LIFE + 1
        assert not one.ready

    play(work)


def test_replicas_that_start_together_agree():
    async def work(cluster: Cluster, api: Api, clock: Clock) -> None:
        keepers = [keeper(api, clock) for _ in range(4)]
        await asyncio.gather(*(one.tick() for one, _ in keepers))
        leaves = {door.loaded for _, door in keepers}
        kept = from_data(cluster.objects[SECRET]["data"])
        assert kept is not None
        assert {kept.leaf} == leaves
        assert told(cluster) == kept.bundle

    play(work)


def test_a_slow_replica_cannot_put_an_older_bundle_over_a_newer_one():
    """It read the Secret before the other one rotated, and writes the bundle after it."""

    async def work(cluster: Cluster, api: Api, clock: Clock) -> None:
        (slow, _), (quick, _) = keeper(api, clock), keeper(api, clock)
        await slow.tick()
        bundles = cluster.objects[WEBHOOK]["webhooks"]
        for row in bundles:
            row["clientConfig"]["caBundle"] = ""  # so that the slow one has something to write
        blocked, go = asyncio.Event(), asyncio.Event()
        patch = api.patch

        async def patched(path: str, body: list[dict[str, Any]]) -> Any:
            if not blocked.is_set():
                blocked.set()
                await go.wait()
            return await patch(path, body)

        api.patch = patched  # type: ignore[method-assign]
        late = asyncio.ensure_future(slow.tick())  # noqa: TID251  # two replicas
        await blocked.wait()
        clock.now += CA_LIFE * 0.7
        await quick.tick()
        newer = told(cluster)
        go.set()
        await late
        assert told(cluster) == newer
        kept = from_data(cluster.objects[SECRET]["data"])
        assert kept is not None
        assert kept.bundle == newer

    play(work)


def test_two_replicas_live_through_a_year_on_one_secret():
    async def work(cluster: Cluster, api: Api, clock: Clock) -> None:
        keepers = [keeper(api, clock) for _ in range(2)]
        seen = set()
        for _ in range(400):
            await asyncio.gather(*(one.tick() for one, _ in keepers))
            kept = from_data(cluster.objects[SECRET]["data"])
            assert kept is not None
            assert {kept.leaf} == {door.loaded for _, door in keepers}
            assert trusted(kept, told(cluster), clock.now)
            seen.add(kept.ca.certificate)
            clock.now += DAY
        assert len(seen) == 2

    play(work)


def test_a_secret_that_the_chart_made_empty_is_filled_and_its_labels_stay():
    async def work(cluster: Cluster, api: Api, clock: Clock) -> None:
        cluster.put(SECRET, {"metadata": {"name": "x", "labels": {"app": "mine"}}, "type": "Opaque"})
        one, _ = keeper(api, clock)
        await one.tick()
        assert cluster.objects[SECRET]["metadata"]["labels"] == {"app": "mine"}
        assert from_data(cluster.objects[SECRET]["data"]) is not None

    play(work)


def test_a_bundle_that_somebody_removed_is_put_back():
    async def work(cluster: Cluster, api: Api, clock: Clock) -> None:
        one, _ = keeper(api, clock)
        await one.tick()
        before = told(cluster)
        del cluster.objects[WEBHOOK]["webhooks"][1]["clientConfig"]["caBundle"]
        assert "put into the webhook" == await one.tick()
        assert before == told(cluster)

    play(work)


def test_an_api_that_refuses_is_said_and_what_was_loaded_stays_in_use():
    async def work(cluster: Cluster, api: Api, clock: Clock) -> None:
        one, door = keeper(api, clock)
        await one.tick()
        before = door.loaded
        cluster.before = lambda method, _: 403 if method == "PUT" else 0
        clock.now += LEAF_LIFE * 0.7
        with pytest.raises(ApiError, match=r"PUT .*secrets/llm-sidecar-injector-certs: 403 Forbidden"):
            await one.tick()
        assert before == door.loaded
        assert one.ready

    play(work)


@pytest.mark.parametrize(
    "there",
    [
        [],
        "nonsense",
        {"webhooks": [{}]},
        {"webhooks": {"a": 1}},
        {"webhooks": [{"clientConfig": {}}]},
        {"metadata": [], "webhooks": [{"clientConfig": {}}]},
    ],
)
def test_an_answer_that_is_nonsense_is_an_error_and_not_the_end(there: Any):
    async def work(cluster: Cluster, api: Api, clock: Clock) -> None:
        cluster.objects[WEBHOOK] = there
        one, _ = keeper(api, clock)
        with pytest.raises(ApiError, match="not what it should be"):
            await one.tick()
        assert not one.ready

    play(work)


def test_a_webhook_that_is_not_there_yet_is_named():
    async def work(cluster: Cluster, api: Api, clock: Clock) -> None:
        del cluster.objects[WEBHOOK]
        one, _ = keeper(api, clock)
        with pytest.raises(ApiError, match="there is no llm-sidecar-injector to put the CA into"):
            await one.tick()
        assert not one.ready

    play(work)


def test_a_certificate_is_not_served_before_the_webhook_trusts_it():
    async def work(cluster: Cluster, api: Api, clock: Clock) -> None:
        cluster.before = lambda method, _: 500 if method == "PATCH" else 0
        one, door = keeper(api, clock)
        with pytest.raises(ApiError):
            await one.tick()
        assert (None, False) == (door.loaded, one.ready)

    play(work)


# ---- provided --------------------------------------------------------------------------------


def _write(folder: Path, leaf: Pair) -> None:
    (folder / "tls.crt").write_bytes(leaf.certificate)
    (folder / "tls.key").write_bytes(leaf.key)


def test_provided_files_are_loaded_when_they_change_and_a_wrong_pair_changes_nothing(tmp_path: Path):
    async def main() -> None:
        clock, door = Clock(), Door()
        ca = new_ca(START)
        files = Provided(tmp_path, door, wall=clock)
        with pytest.raises(FileNotFoundError):
            await files.tick()
        assert not files.ready
        _write(tmp_path, new_leaf(ca, NAMES, START))
        assert "took over" == await files.tick()
        assert files.ready
        assert "" == await files.tick()
        good = door.loaded
        (tmp_path / "tls.key").write_bytes(new_leaf(ca, NAMES, START).key)
        with pytest.raises(ValueError, match="the certificate and the key are no pair"):
            await files.tick()
        assert good == door.loaded
        _write(tmp_path, new_leaf(ca, NAMES, START))
        assert "took over" == await files.tick()

    asyncio.run(main())


def test_old_versions_of_tls_are_refused():
    assert ssl.TLSVersion.TLSv1_2 == Door().context.minimum_version
