"""The demo judges strictly, counts honestly, and really runs."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from pathlib import Path

import pytest

from sidecar import demo
from sidecar.demo import report
from sidecar.demo.arm import Arm, Clients, NotCompleted, Tally, right
from sidecar.demo.day import DAY, DIALECTS, Planned, calls, fallback_script, script
from sidecar.provider import Behaviour, Vendor, do, expected
from sidecar.provider.behaviour import Moment
from sidecar.provider.script import Facts


def planned(form: str = "stream", nonce: str = "call-1") -> Planned:
    return Planned(at=0.0, nonce=nonce, dialect="anthropic", form=form)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (expected("call-1"), "complete"),
        (expected("call-2"), "wrong"),
        (expected("call-1").removesuffix("(end)"), "wrong"),
        ("", "wrong"),
        (expected("call-1") * 2, "wrong"),
    ],
)
def test_only_the_whole_answer_to_this_call_is_complete(text: str, verdict: str) -> None:
    tally = Tally()

    tally.judge(planned(), text)

    assert {"complete": 1 - (verdict == "wrong"), "wrong": int(verdict == "wrong")} == {
        "complete": tally.complete,
        "wrong": tally.wrong,
    }


def test_structured_output_has_to_be_the_right_json() -> None:
    assert {"answer": expected("call-1")} == json.loads(right(planned("json")))


def test_a_call_without_an_answer_by_the_end_of_the_day_has_failed() -> None:
    async def ask(call: Planned) -> str:
        if call.nonce == "hangs":
            await asyncio.Event().wait()
        if call.nonce == "breaks":
            raise OSError
        return right(call)

    async def scenario() -> Tally:
        arm = Arm("straight", ask)
        day = [planned(nonce=nonce) for nonce in ("works", "breaks", "hangs")]
        await arm.run(day, asyncio.get_running_loop().time(), patience=0.01)
        return arm.tally

    tally = asyncio.run(scenario())

    assert (1, 0, 2, 0) == (tally.complete, tally.wrong, tally.failed, tally.waiting)
    assert {"OSError": 1, "no answer by the end of the day": 1} == dict(tally.errors)
    assert 3 == len(tally.took)


def test_the_same_seed_is_the_same_day_and_every_kind_of_call_is_in_it() -> None:
    day = calls(DAY, 6.0, 1)

    assert day == calls(DAY, 6.0, 1) != calls(DAY, 6.0, 2)
    assert len(day) == len({call.nonce for call in day})
    assert 12 == len({(call.dialect, call.form) for call in day})
    assert script(DAY, 1) == script(DAY, 1)


def test_the_day_begins_and_ends_well_and_fits_into_a_minute() -> None:
    whole = sum(phase.seconds for phase in DAY)
    plan = script(DAY, 1)

    assert 30 <= whole + demo.PATIENCE <= 45
    for seconds in (0.0, 1.9, whole - 3.9, whole + 60):
        facts = [
            Facts(number=n, seconds=seconds, reused=False, dialect="", model="", stream=True, text="schema")
            for n in range(1, 100)
        ]
        assert {"ok"} == {getattr(plan.choose(fact, Moment.BODY), "name", "") for fact in facts}
    assert ["server_error", "ok"] == [rule.do.name for rule in fallback_script(1).rules]


def test_the_table_shows_counts_of_this_run() -> None:
    straight, through = Tally(complete=1, wrong=2, failed=1), Tally(complete=4)
    straight.took, through.took = [0.1, 0.2, 0.3, 9.0], [0.5]
    straight.asked["gemini"] = through.asked["gemini"] = through.answered["gemini"] = 3

    text = report.table(straight, through, ("7", report.attempts(("primary", 3), ("fallback", 2))))

    rows = [line.split() for line in text.splitlines()]
    assert ["calls", "4", "4"] in rows
    assert ["-", "gemini", "0", "of", "3", "3", "of", "3"] in rows
    assert ["wrong", "2", "(50.0%)", "0", "(0.0%)"] in rows
    assert ["p95", "9.00", "s", "0.50", "s"] in rows
    assert "7                         5 (primary 3, fallback 2)" in text


def test_the_metrics_lines_sum_what_the_sidecar_says() -> None:
    lines = report.metrics(
        "# TYPE llm_sidecar_fallbacks counter\n"
        'llm_sidecar_fallbacks_total{from_provider="a",reason="network"} 2\n'
        'llm_sidecar_fallbacks_total{from_provider="b",reason="network"} 1\n'
        'llm_sidecar_fallbacks_total{from_provider="b",reason="breaker"} 5\n'
        "# TYPE llm_sidecar_attempts counter\n"
        'llm_sidecar_attempts_total{provider="a",kind="retry"} 4\n'
        'llm_sidecar_attempts_total{provider="a",kind="initial"} 9\n'
    )

    assert [
        "fallbacks by reason: breaker 5, network 3   <- llm_sidecar_fallbacks_total",
        'retries by provider: a 4   <- llm_sidecar_attempts_total{kind="retry"}',
        "breaker moves: none   <- llm_sidecar_breaker_transitions_total",
    ] == lines


def test_a_wrong_answer_through_the_sidecar_fails_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Tally(complete=9)
    wrong.judge(planned(), "half")

    assert 1 == demo.verdict(wrong)
    assert "WRONG through the sidecar: anthropic stream call-1: 'half'" in capsys.readouterr().out
    assert 0 == demo.verdict(Tally(complete=9, failed=1))
    assert 1 == demo.verdict(Tally(failed=9))


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ({"openai"}, "openai cannot be imported"),
        ({"google.genai"}, "google-genai cannot be imported"),
        ({"anthropic", "google.genai"}, "anthropic and google-genai cannot be imported"),
    ],
)
def test_without_the_sdks_it_says_how_to_get_them(
    missing: set[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name in missing else name)

    assert 1 == demo.main([])

    said = capsys.readouterr().out
    assert told in said
    assert 'pip install "llm-sidecar[demo]"' in said


def test_an_sdk_whose_parent_package_is_missing_is_missing() -> None:
    assert not demo.importable("no_such_package.inside")


def test_the_demo_extra_has_every_sdk_that_the_demo_calls() -> None:
    project = tomllib.loads((Path(demo.__file__).parents[2] / "pyproject.toml").read_text())
    extra = project["project"]["optional-dependencies"]["demo"]

    assert demo.SDKS.keys() == {re.split("[<>=]", each)[0] for each in extra}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("form", ["stream", "whole", "json"])
def test_every_sdk_reads_a_good_answer_and_knows_a_failed_one(dialect: str, form: str) -> None:
    call = Planned(at=0.0, nonce="call-1", dialect=dialect, form=form)

    async def scenario() -> str:
        async with Vendor([do("ok"), do("invalid_request")]) as vendor:
            clients = Clients(f"{vendor.url}/v1", vendor.url, vendor.url)
            try:
                said = await clients.ask(call)
                with pytest.raises(Exception, match="400"):
                    await clients.ask(call)
            finally:
                await clients.close()
            assert [dialect] * 2 == [each.dialect for each in vendor.log]
            return said

    assert right(call) == asyncio.run(scenario())


@pytest.mark.parametrize("fault", [do("error_event", after=3, error="rate_limit"), do("truncated")])
def test_a_response_that_did_not_complete_is_no_answer(fault: Behaviour) -> None:
    """OpenAI's SDK hands those over without raising; an application that looks knows."""

    async def scenario() -> None:
        async with Vendor([fault]) as vendor:
            clients = Clients(f"{vendor.url}/v1", vendor.url, vendor.url)
            try:
                await clients.ask(Planned(at=0.0, nonce="n", dialect="openai_responses", form="stream"))
            finally:
                await clients.close()

    with pytest.raises(NotCompleted):
        asyncio.run(scenario())


def test_google_is_told_to_retry_so_that_the_straight_arm_is_no_straw_man() -> None:
    async def scenario() -> tuple[str, int]:
        async with Vendor([do("overloaded"), do("ok")]) as vendor:
            clients = Clients(f"{vendor.url}/v1", vendor.url, vendor.url)
            try:
                call = Planned(at=0.0, nonce="call-1", dialect="gemini", form="whole")
                return await clients.ask(call), len(vendor.log)
            finally:
                await clients.close()

    assert (expected("call-1"), 2) == asyncio.run(scenario())


@pytest.mark.process
def test_an_outage_is_played_through_the_real_sidecar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in demo.SDKS.values():
        pytest.importorskip(module)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")  # the demo sets them; this gives them back

    status = demo.main(["--only", "outage", "--rate", "4"])

    said = capsys.readouterr().out
    rows = {line.split("  ")[0]: line.split() for line in said.splitlines() if line}
    assert 0 == status
    assert ["calls", "20", "20"] == rows["calls"]
    straight, through = int(rows["complete"][1]), int(rows["complete"][3])
    assert straight <= 12  # the last ones are saved by the SDK's own retries
    assert 18 <= through, said
    assert ["wrong", "0", "(0.0%)", "0", "(0.0%)"] == rows["wrong"]
