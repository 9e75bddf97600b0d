"""The attempts under the names of the GenAI conventions: only where it is asked for, and bounded."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families as parse

from sidecar.events import AttemptEnded
from sidecar.model import Answered, Ask, Failed, Fault, Operation, Outcome, Usage
from sidecar.settings import Settings, Telemetry
from sidecar.telemetry.catalog import CATALOG, GENAI, MetricKind
from sidecar.telemetry.metrics import Metrics

from .events import FIRST, SECOND, SETTINGS, USAGE, attempt, call, good

OPEN = replace(SETTINGS, telemetry=Telemetry(genai_metrics=True))
ABOUT = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "openai",
    "gen_ai_request_model": "gpt-4o",
}


def metrics(settings: Settings = OPEN) -> Metrics:
    return Metrics(settings, wall=lambda: 0.0)


def families(m: Metrics) -> dict[str, str]:
    return {f.name: f.type for f in parse(m.render("")[0].decode()) if f.name.startswith("gen_ai")}


def value(m: Metrics, name: str, **labels: str) -> float | None:
    return m.registry.get_sample_value(f"gen_ai_client_{name}", ABOUT | labels)


def test_nothing_of_it_is_there_unless_it_is_asked_for():
    m = metrics(SETTINGS)
    for event in good():
        m.count(event)

    assert {} == families(m)
    assert b"gen_ai" not in m.render("application/openmetrics-text; version=1.0.0")[0]


def test_the_scraped_text_has_exactly_the_rows():
    m = metrics()
    for event in good():
        m.count(event)
    scraped = {f.name: f for f in parse(m.render("")[0].decode()) if f.name.startswith("gen_ai")}

    assert {row.name for row in GENAI} == set(scraped)
    for row in GENAI:
        family = scraped[row.name]
        assert (row.kind.value, row.help) == (family.type, family.documentation)
        assert {frozenset(row.labels)} == {frozenset(s.labels) - {"le"} for s in family.samples}
        bounds = {float(s.labels["le"]) for s in family.samples if "le" in s.labels}
        assert {*row.buckets, float("inf")} == bounds


def test_a_row_keeps_the_rules_of_the_conventions():
    assert all(row.kind is MetricKind.HISTOGRAM and row.debug for row in GENAI)
    assert all(row.name.startswith("gen_ai_client_") and row.help.endswith(".") for row in GENAI)
    assert [14, 14, 14] == [len(row.buckets) for row in GENAI]
    assert set() == {row.name for row in GENAI} & {row.name for row in CATALOG}


def test_what_is_configured_exists_before_the_first_call():
    m = metrics()

    assert 0 == value(m, "operation_duration_seconds_count", error_type="")
    assert 0 == value(m, "token_usage_count", gen_ai_token_type="input")
    assert 0 == value(m, "operation_time_to_first_chunk_seconds_count")


def test_an_attempt_is_one_observation_of_each():
    m = metrics()
    m.count(good()[0])
    failed = attempt(Failed(Fault.OVERLOADED), first=None)
    m.count(AttemptEnded(call(failed), failed))

    assert 1 == value(m, "operation_duration_seconds_count", error_type="")
    assert 1 == value(m, "operation_duration_seconds_count", error_type="overloaded")
    assert 100 == value(m, "token_usage_sum", gen_ai_token_type="input")
    assert 20 == value(m, "token_usage_sum", gen_ai_token_type="output")
    assert 1 == value(m, "operation_time_to_first_chunk_seconds_count")


def test_tokens_of_a_rejected_answer_are_its_attempt_s():
    m = metrics()
    rejected = attempt(Failed(Fault.EMPTY_OUTPUT))
    rejected.usage = Usage(input_total=7, output_total=-1)
    m.count(AttemptEnded(call(rejected), rejected))

    assert 7 == value(m, "token_usage_sum", gen_ai_token_type="input")
    assert 0 == value(m, "token_usage_count", gen_ai_token_type="output")


def test_operations_have_the_conventions_names():
    m = metrics()
    tried = attempt(Answered(200, USAGE))
    one = call(tried)
    m.count(AttemptEnded(structs.replace(one, dialect="gemini"), tried))
    m.count(AttemptEnded(structs.replace(one, ask=Ask(operation=Operation.EMBEDDINGS, model="e")), tried))
    m.count(AttemptEnded(structs.replace(one, ask=Ask(operation=Operation.OTHER, model="")), tried))
    named = {
        sample.labels["gen_ai_operation_name"]: sample.value
        for family in m.registry.collect()
        for sample in family.samples
        if sample.name == "gen_ai_client_operation_duration_seconds_count" and sample.value
    }

    assert {"generate_content": 1, "embeddings": 1} == named


def test_a_reload_switches_it_on_and_off_and_on():
    m = metrics(SETTINGS)
    m.configure(OPEN)
    m.count(good()[0])
    assert 1 == value(m, "operation_duration_seconds_count", error_type="")

    m.configure(SETTINGS)
    m.count(good()[0])
    assert {} == families(m)

    m.configure(OPEN)
    assert 0 == value(m, "operation_duration_seconds_count", error_type="")
    assert {row.name: "histogram" for row in GENAI} == families(m)


def test_random_models_and_faults_stay_within_the_bound_that_is_documented():
    m = metrics()
    rng = Random(11)  # repeatable
    outcomes: list[Outcome] = [Answered(200, USAGE), *(Failed(fault) for fault in Fault)]
    for _ in range(3000):
        outcome = rng.choice(outcomes)
        target = rng.choice([FIRST, SECOND])
        tried = attempt(outcome, target=target, model=f"m-{rng.getrandbits(64):x}")
        m.count(AttemptEnded(call(tried), tried))
    lines = m.render("")[0].splitlines()

    most = sum(row.series for row in GENAI) + sum(
        len(row.buckets) + 3 for row in GENAI
    )  # and one for the rest
    assert sum(line.startswith(b"gen_ai") for line in lines) <= most
    counted = sum(
        sample.value
        for family in m.registry.collect()
        for sample in family.samples
        if sample.name == "gen_ai_client_operation_duration_seconds_count"
    )
    assert 3000 == counted  # folded, not lost
