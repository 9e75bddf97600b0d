"""The ladder through the real SDKs: full, reduced, cached, static, deferred, none.

One process and one configuration. Each dialect has six routes, each with a rung less than the one before,
and every SDK asks all of them under each class of failure, whole and as a stream. It gets the best that is
left. What it can see of that, what is counted and what is traced are held against one table.
tests/stack/test_ladder.py plays every fault of the taxonomy in virtual time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.model import Tier
from sidecar.provider import Behaviour as Do
from sidecar.provider import Rule, Script, When
from sidecar.telemetry import span_rows as rows
from tests.kit.world import Sidecar, World, sidecar
from tests.process.test_process import fetch
from tests.sdk.clients import LANES, SPEAKS, Client, Lane, Raised, Said, client, in_all, outcome
from tests.telemetry.receiver import over_http, plain

pytestmark = pytest.mark.process

Got = Said | Raised

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
EARLIER, FULL, POOR, STATIC = '{"n": 7}', '{"n": 3}', '{"n": oh no', '{"n": 0}'
SAID = {Tier.FULL: FULL, Tier.REDUCED: POOR, Tier.CACHED: EARLIER, Tier.STATIC: STATIC}

# ---- what is taken away ----------------------------------------------------------------------

LADDER = tuple(Tier)
LIMIT = 1.5  # seconds of silence
FAILURES = {  # what the first target does, and the second one where no better one is left
    "5xx": Do("server_error"),
    "429": Do("rate_limit", retry_after=3600),
    "silence": Do("hang"),
    "cut": Do("cut"),
    "noise": Do("invalid_json"),
    "poor": Do("ok", text=POOR),
}
SECOND = {Tier.FULL: "good", Tier.REDUCED: "poor"}  # below these it fails like the first
BEHIND: dict[Tier, dict[str, Any]] = {  # what a route has from this rung upwards
    Tier.CACHED: {"cache": {"scope": "shared"}},
    Tier.STATIC: {"static": {"text": "sorry", "json": STATIC}},
    Tier.DEFERRED: {"deferred": {}, "class": "background"},
}


def left(rung: Tier, failure: str) -> Tier:
    """What the client gets of a route: a provider's poor answer is better than any of ours."""
    return Tier.REDUCED if failure == "poor" and rung is not Tier.FULL else rung


# ---- what an SDK raises when nothing is left ----------------------------------------------------

ERRORS = {  # class and status, by the SDK's vendor
    "openai": {"5xx": ("InternalServerError", 500), "429": ("RateLimitError", 429)},
    "anthropic": {
        "5xx": ("InternalServerError", 500),
        "429": ("RateLimitError", 429),
        "silence": ("GatewayTimeoutError", 504),
    },
    "google": {"5xx": ("ServerError", 500), "429": ("ClientError", 429)},
}
BROKEN = {"openai": "InternalServerError", "anthropic": "InternalServerError", "google": "ServerError"}
VENDORS = {"chat": "openai", "responses": "openai", "anthropic": "anthropic", "gemini": "google"}


def error_of(lane: Lane, failure: str) -> tuple[str, int]:
    vendor = VENDORS[lane.dialect]
    return ERRORS[vendor].get(failure, (BROKEN[vendor], 504 if failure == "silence" else 502))


# ---- the run ---------------------------------------------------------------------------------

FORMAT = {"name": "n", "schema": SCHEMA}
HOW: dict[str, dict[str, Any]] = {  # each SDK asks for an object of the schema
    "chat": {"response_format": {"type": "json_schema", "json_schema": FORMAT}},
    "responses": {"text": {"format": {"type": "json_schema", **FORMAT}}, "store": False},
    "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    "gemini": {"config": {"response_mime_type": "application/json", "response_json_schema": SCHEMA}},
}


@dataclass(frozen=True)
class Run:
    well: dict[str, list[Got]]  # by lane, before anything failed
    got: dict[tuple[str, Tier, Lane], Got]  # by failure, and the best rung that the route has
    counted: Counter[tuple[str, str]]  # calls by outcome and tier
    traced: dict[str, str]  # the tier on the span, by trace


def config(world: World, folder: Path) -> dict[str, Any]:
    """Each vendor speaks every dialect: it is a provider of each."""
    for name in ("a", "b", "good", "poor"):
        world.vendor(name, "openai_chat", ())
    vendors = dict(world.providers)
    for dialect, speaks in SPEAKS.items():
        world.providers |= {f"{name}.{dialect}": {**row, "dialect": speaks} for name, row in vendors.items()}
        for number, rung in enumerate(LADDER):
            route = {"name": f"{rung}.{dialect}", "match": {"provider": f"a.{dialect}", "header": rung.value}}
            for behind in LADDER[number:]:
                route |= BEHIND.get(behind, {})
            world.route(f"a.{dialect}", f"{SECOND.get(rung, 'b')}.{dialect}", **route)
    silent = dict.fromkeys(("headers", "first_content", "answer"), LIMIT)
    patient = {"run": 0, "samples": 100, "min_samples": 100}  # no route learns from what another one met
    defaults = {"limits": silent, "breaker": patient, "quality_breaker": patient, "retry": {"attempts": 1}}
    return {**world.config, "defaults": defaults, "state_dir": str(folder)}


async def ask(sdk: Client, lane: Lane, failure: str, rung: Tier) -> Got:
    """A header says which route, the model's name what befalls it."""
    more, headers = dict(HOW[lane.dialect]), {"x-llm-sidecar-route": rung.value}
    if lane.dialect == "gemini":
        more["config"] = {**more["config"], "http_options": {"headers": headers}}
    else:
        more["extra_headers"] = headers
    return await outcome(sdk.ask("count", stream=lane.stream, model=f"{failure}.{lane.name}", **more))


async def climb(
    world: World, process: Sidecar
) -> tuple[dict[str, list[Got]], dict[tuple[str, Tier, Lane], Got]]:
    for name, text in (("a", EARLIER), ("good", FULL), ("poor", POOR)):
        world.vendors[name].script(Do("ok", text=text))
    async with AsyncExitStack() as stack:
        sdks: dict[Lane, Client] = {}
        for lane in LANES:
            patience = {} if lane.dialect == "gemini" else {"max_retries": 0}
            opened = client(lane, process.url(f"a.{lane.dialect}"), **patience)
            sdks[lane] = await stack.enter_async_context(opened)

        async def earlier(lane: Lane) -> list[Got]:
            return [await ask(sdks[lane], lane, failure, Tier.CACHED) for failure in FAILURES]

        well = await in_all(LANES, earlier)
        for name in "ab":
            befalls = (Rule(do, When(model=f"{failure}.*")) for failure, do in FAILURES.items())
            world.vendors[name].script(plan=Script(rules=tuple(befalls)))
        got: dict[tuple[str, Tier, Lane], Got] = {}
        for failure in FAILURES:  # not all at once: a good answer must not seem to be silence
            cases = [(failure, rung, lane) for rung in LADDER for lane in LANES]
            asking = (ask(sdks[lane], lane, failure, rung) for failure, rung, lane in cases)
            got |= zip(cases, await asyncio.gather(*asking), strict=True)
    return well, got


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    world = World()
    try:
        with over_http() as collector, pytest.MonkeyPatch.context() as patch:
            patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
            with sidecar(config(world, tmp_path_factory.mktemp("state"))) as process:
                well, got = world.runner.run(climb(world, process))
                page = fetch(f"http://127.0.0.1:{process.admin}/metrics")[2].decode()
            # it has ended, so every span is here
            calls = [span for span in collector.spans if span.name == rows.CALL_SPAN]
        yield Run(well, got, counted(page), traced(calls))
    finally:
        world.close()


def traced(calls: Iterable[Any]) -> dict[str, str]:
    """Without what the sidecar asked later on its own, for those who have a receipt."""
    of_calls = ((span.trace_id.hex(), plain(span.attributes)) for span in calls)
    return {trace: said[rows.TIER] for trace, said in of_calls if rows.JOB not in said}


def counted(page: str) -> Counter[tuple[str, str]]:
    families = text_string_to_metric_families(page)
    samples = [one for family in families for one in family.samples]
    found: Counter[tuple[str, str]] = Counter()
    for one in samples:
        if one.name == "llm_sidecar_requests_total" and one.value:
            found[one.labels["outcome"], one.labels["tier"]] += int(one.value)
    return found


# ---- what it shows ---------------------------------------------------------------------------


def expected(rung: Tier, failure: str, lane: Lane) -> Got:
    tier = left(rung, failure)
    if tier in SAID:
        return Said(SAID[tier], label="" if tier is Tier.FULL else tier.value)
    if tier is Tier.NONE:
        return Raised(*error_of(lane, failure), message="")
    if lane.dialect == "gemini":  # Google's SDK takes nothing but a 200 for an answer
        return Raised("APIError", 202, message="")
    # the SDKs of OpenAI and Anthropic show the receipt's fields beside an answer without content, and
    # find no event in it where they expect a stream: there the head is all
    return Said("", ends=0) if lane.stream else Said("", label="deferred")


def without_words(got: Got) -> Got:
    return Raised(got.kind, got.status, message="") if isinstance(got, Raised) else got


@pytest.mark.parametrize("failure", FAILURES)
def test_each_sdk_gets_the_best_that_is_left_and_reads_in_the_body_what_it_is(run: Run, failure: str):
    got = {
        (case[1].value, case[2].name): without_words(said)
        for case, said in run.got.items()
        if case[0] == failure
    }

    assert {
        (rung.value, lane.name): expected(rung, failure, lane) for rung in LADDER for lane in LANES
    } == got
    assert {lane.name: [Said(EARLIER)] * len(FAILURES) for lane in LANES} == run.well


def test_each_sdk_shows_the_label_in_the_head(run: Run):
    for (failure, rung, lane), got in run.got.items():
        tier = left(rung, failure)
        assert tier == got.head["x-llm-sidecar-tier"], (failure, lane)
        assert (tier in (Tier.FULL, Tier.NONE)) is ("x-llm-sidecar-degraded" not in got.head), (failure, lane)
        assert (tier is Tier.DEFERRED) is ("x-llm-sidecar-job" in got.head), (failure, lane)


def test_the_receipt_is_all_that_an_exception_of_googles_sdk_holds(run: Run):
    receipts = [
        got for (_, rung, lane), got in run.got.items() if isinstance(got, Raised) and got.status == 202
    ]

    assert 2 * (len(FAILURES) - 1) == len(receipts)
    assert all("'degraded': True" in got.message and got.head["location"] in got.message for got in receipts)


def test_every_call_is_counted_once_by_what_it_got_and_only_full_ones_as_full(run: Run):
    tiers = [left(rung, failure) for failure, rung, _ in run.got]
    tiers += [Tier.FULL for said in run.well.values() for _ in said]

    wanted = Counter(("error" if tier is Tier.NONE else "success", tier.value) for tier in tiers)
    assert wanted == run.counted


def test_every_calls_span_says_what_the_client_was_told(run: Run):
    everything = [*run.got.values(), *(got for said in run.well.values() for got in said)]
    told = {got.head["x-llm-sidecar-trace-id"]: got.head["x-llm-sidecar-tier"] for got in everything}

    assert len(everything) == len(told)
    assert told == run.traced
