"""When nobody answers: the static answer through each SDK, labelled; or the SDK's own exception.

And what an SDK gets of a name that does not resolve and of certificates that do not hold: the next
target's answer, or alone an error of its own class that says what is wrong.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.provider import Behaviour as Do
from tests.kit.world import ANSWER, Sidecar, World, sidecar
from tests.sdk.clients import LANES, Lane, Raised, Said, add, at_rest, client, in_all, outcome
from tests.sdk.test_structured import BY_SCHEMA, Weather
from tests.wire.upstream.certificate import write_certificate

pytestmark = pytest.mark.process

OK = Do("ok", text=ANSWER)
SORRY = "We are sorry: nobody answers."
LABEL = "static"  # in the body; in a header where Google's SDK drops it
DOWN = ("refuse", "overloaded")  # what the two targets do
UNREACHABLE = {  # what the error says: what is wrong, and why
    "no-name": ("the provider could not be reached", "no address for x.invalid"),
    "self-signed": ("no secure connection to the provider was possible", "self-signed certificate"),
    "expired": ("no secure connection to the provider was possible", "certificate has expired"),
    "other-name": ("no secure connection to the provider was possible", "not valid for '127.0.0.1'"),
}
KINDS = {"chat": "InternalServerError", "responses": "InternalServerError"}
KINDS |= {"anthropic": "InternalServerError", "gemini": "ServerError"}


def tls_of(folder: Path, case: str) -> tuple[ssl.SSLContext, str]:
    """The server's side of a certificate, and what the sidecar is told to believe."""
    path = folder / f"{case}.pem"
    if not path.exists():
        name = "other.example" if case == "other-name" else "127.0.0.1"
        until = b"20210101000000Z" if case == "expired" else b"20991231235959Z"
        write_certificate(path, name=name, until=until)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, "" if case == "self-signed" else str(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Sidecar]]:
    world, folder = World(), tmp_path_factory.mktemp("certificates")
    try:
        for lane in LANES:
            for case, more in (
                ("static", {"static": {"text": SORRY, "json": '{"place": "nowhere", "degrees": 0}'}}),
                ("bare", {}),
            ):
                for target, fault in zip("ab", DOWN, strict=True):
                    add(world, f"{target}.{case}.{lane.name}", lane, (Do(fault),))
                names = (f"{target}.{case}.{lane.name}" for target in "ab")
                world.route(*names, retry={"base": 0.02}, **more)
            for case in UNREACHABLE:
                for place in ("first", "alone"):
                    unreachable(world, folder, f"{place}.{case}.{lane.name}", lane, case)
                add(world, f"b.{case}.{lane.name}", lane, (OK,))
                world.route(f"first.{case}.{lane.name}", f"b.{case}.{lane.name}", retry={"base": 0.02})
        with sidecar({**world.config, "defaults": {"retry": {"base": 0.02}}}) as process:
            yield world, process
    finally:
        world.close()


def unreachable(world: World, folder: Path, name: str, lane: Lane, case: str) -> None:
    if case == "no-name":
        world.providers[name] = {
            "dialect": lane.speaks,
            "url": "https://x.invalid",
            "key": {"env": "INJECTED"},
        }
    else:
        tls, ca = tls_of(folder, case)
        add(world, name, lane, (OK,), ca=ca, tls=tls)


# ---- everything down -------------------------------------------------------------------------


def test_everything_down_is_answered_by_the_static_answer_labelled(world: tuple[World, Sidecar]):
    vendors, process = world

    async def scenario(lane: Lane) -> tuple[Said, Any]:
        name = f"static.{lane.name}"
        async with client(lane, process.url(f"a.{name}"), max_retries=0) as sdk:
            said = await sdk.ask("hello", stream=lane.stream)
            parsed = await BY_SCHEMA[lane.dialect](sdk, stream=lane.stream)
        await at_rest(vendors.vendors[f"b.{name}"])
        return said, parsed

    got = vendors.runner.run(in_all(LANES, scenario))

    wanted = (Said(SORRY, label=LABEL), Weather(place="nowhere", degrees=0))
    assert {lane.name: wanted for lane in LANES} == got


def test_everything_down_is_the_sdks_own_exception_at_once_and_then_heals(world: tuple[World, Sidecar]):
    vendors, process = world

    async def scenario(lane: Lane) -> tuple[Said | Raised, Said | Raised]:
        a, b = (vendors.vendors[f"{target}.bare.{lane.name}"] for target in "ab")
        # left to itself the SDK of OpenAI or Anthropic asks three times: it is told not to
        patience = {} if lane.dialect == "gemini" else {"max_retries": 2}
        async with client(lane, process.url(f"a.bare.{lane.name}"), **patience) as sdk:
            failed = await outcome(sdk.ask("hello", stream=lane.stream))
            assert 1 <= len(b.log) <= 3
            a.script(OK)
            b.script(OK)
            healed = await outcome(sdk.ask("hello again", stream=lane.stream))
        await at_rest(a, b)
        assert 1 == len(a.log)
        return failed, healed

    got = vendors.runner.run(in_all(LANES, scenario))

    for lane in LANES:
        failed, healed = got[lane.name]
        assert Said(ANSWER) == healed, lane.name
        assert isinstance(failed, Raised), lane.name
        # the last provider's own words: anthropic has a class for its 529
        kind = "OverloadedError" if lane.dialect == "anthropic" else KINDS[lane.dialect]
        status = 529 if lane.dialect == "anthropic" else 503
        assert (kind, status) == (failed.kind, failed.status), lane.name
        assert "overloaded" in failed.message.lower(), lane.name


# ---- names and certificates ------------------------------------------------------------------


@pytest.mark.parametrize("case", UNREACHABLE)
def test_who_cannot_be_reached_is_replaced_by_the_next_target(world: tuple[World, Sidecar], case: str):
    vendors, process = world

    async def scenario(lane: Lane) -> Said | Raised:
        b = vendors.vendors[f"b.{case}.{lane.name}"]
        async with client(lane, process.url(f"first.{case}.{lane.name}"), max_retries=0) as sdk:
            said = await outcome(sdk.ask("hello", stream=lane.stream))
        await at_rest(b)
        assert 1 == len(b.log)
        return said

    got = vendors.runner.run(in_all(LANES, scenario))

    assert {lane.name: Said(ANSWER) for lane in LANES} == got
    assert not any(v.log for name, v in vendors.vendors.items() if name.startswith(f"first.{case}"))


@pytest.mark.parametrize("case", UNREACHABLE)
def test_alone_it_is_an_error_of_the_sdks_own_class_that_says_why(world: tuple[World, Sidecar], case: str):
    vendors, process = world

    async def scenario(lane: Lane) -> Said | Raised:
        async with client(lane, process.url(f"alone.{case}.{lane.name}"), max_retries=0) as sdk:
            return await outcome(sdk.ask("hello", stream=lane.stream))

    got = vendors.runner.run(in_all(LANES, scenario))

    for lane in LANES:
        failed = got[lane.name]
        assert isinstance(failed, Raised), lane.name
        assert (KINDS[lane.dialect], 502) == (failed.kind, failed.status), lane.name
        assert all(words in failed.message for words in UNREACHABLE[case]), failed.message
    assert not any(v.log for name, v in vendors.vendors.items() if name.startswith(f"alone.{case}"))
