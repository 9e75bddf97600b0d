"""Events in, scraped text out: what Prometheus gets to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

import pytest
from msgspec import structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from sidecar.events import (
    AttemptEnded,
    BreakerMoved,
    CallEnded,
    Event,
    FellBack,
    OperatorAlert,
    Reloaded,
    TargetSkipped,
)
from sidecar.faults import HANDLING
from sidecar.model import (
    Answered,
    BreakerState,
    Failed,
    Fault,
    Finding,
    Kind,
    Outcome,
    Refused,
    RefusedBy,
    Target,
    Tier,
    Transition,
    Usage,
)
from sidecar.settings import Route, Settings
from sidecar.telemetry.catalog import CATALOG, MODELS, MetricKind
from sidecar.telemetry.metrics import Metrics

from .events import CLAUDE, FIRST, OPENAI, ROUTE, SECOND, SETTINGS, USAGE, attempt, call, ended, every, good

P = "llm_sidecar_"


def metrics(settings: Settings = SETTINGS) -> Metrics:
    return Metrics(settings, wall=lambda: 1_763_800_000.0)


def value(m: Metrics, name: str, **labels: str) -> float | None:
    """A sample, or None; labels not named do not matter only if there are none."""
    return m.registry.get_sample_value(P + name, labels)


def total(m: Metrics, name: str, **some: str) -> float:
    """The sum over all children that have these labels."""
    return sum(
        sample.value
        for family in m.registry.collect()
        for sample in family.samples
        if sample.name == P + name and some.items() <= sample.labels.items()
    )


def changes(m: Metrics, event: Event) -> Mapping[str, float]:
    """What one event moved, as text of the sample to the difference."""

    def now() -> dict[str, float]:
        return {
            f"{s.name}{sorted(s.labels.items())}": s.value
            for family in m.registry.collect()
            for s in family.samples
            if s.name.startswith(P)
        }

    before = now()
    m.count(event)
    return {key: new - before.get(key, 0.0) for key, new in now().items() if new != before.get(key, 0.0)}


def series(m: Metrics) -> int:
    return sum(line.startswith(P.encode()) for line in m.render("")[0].splitlines())


# ---- the text is the catalogue --------------------------------------------------------------


def test_the_scraped_text_has_exactly_the_rows_of_the_catalogue():
    m = metrics()
    for event in [*good(), *every()]:
        m.count(event)
    m.set_connections("openai", active=1, idle=2)
    m.set_webhooks({"results": (1, 5.0)})
    text = m.render("")[0].decode()

    scraped = {f.name: f for f in parse(text) if f.name.startswith(P)}

    assert {row.name.removesuffix("_total") for row in CATALOG} == set(scraped)
    for row in CATALOG:
        family = scraped[row.name.removesuffix("_total")]
        labels = {frozenset(s.labels) - {"le"} for s in family.samples}
        assert (row.kind.value, row.help) == (family.type, family.documentation)
        assert labels <= {frozenset(row.labels)}, row.name
        if row.kind is MetricKind.HISTOGRAM:
            bounds = {float(s.labels["le"]) for s in family.samples if "le" in s.labels}
            assert {*row.buckets, float("inf")} == bounds


def test_open_metrics_is_served_to_who_asks_for_it():
    body, content_type = metrics().render("application/openmetrics-text; version=1.0.0")

    families = {f.name: f for f in parse_openmetrics(body.decode())}  # type: ignore[no-untyped-call]

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert "seconds" == families[P + "request_duration_seconds"].unit
    assert body.endswith(b"# EOF\n")


def test_plain_text_is_the_default_and_no_child_has_a_created_series():
    body, content_type = metrics().render("*/*")

    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"_created" not in body
    assert b"process_resident_memory_bytes" in body


def test_two_registries_do_not_meet():
    one, other = metrics(), metrics()
    one.count(good()[1])

    assert 1 == total(one, "requests_total")
    assert 0 == total(other, "requests_total")


# ---- the first one is visible ------------------------------------------------------------------


@pytest.mark.parametrize("fault", [fault for fault, row in HANDLING.items() if row.alert])
def test_the_first_alert_is_an_increase(fault: Fault):
    m = metrics()
    labels = {"provider": "openai", "model": "gpt-4o", "error_type": fault.value}
    assert 0 == value(m, "operator_alerts_total", **labels)

    m.count(OperatorAlert(call(), FIRST, fault))

    assert 1 == value(m, "operator_alerts_total", **labels)


def test_what_configuration_names_is_there_before_the_first_call():
    m = metrics()

    target = {"provider": "anthropic", "model": "claude-sonnet"}
    assert 0 == value(m, "breaker_state", **target, kind="transport")
    assert 0 == value(m, "breaker_transitions_total", **target, kind="transport", to="open", trigger="run")
    assert 0 == value(m, "breaker_rejected_total", **target)
    assert 0 == value(m, "attempt_duration_seconds_count", **target, outcome="failure")
    assert 0 == value(
        m,
        "requests_total",
        route="support",
        operation="chat",
        primary_provider="openai",
        outcome="success",
        tier="static",
        path="degraded",
    )
    assert 0 == value(m, "internal_errors_total")
    assert 0 == value(m, "admission_rejected_total", reason="memory")


# ---- a reload ---------------------------------------------------------------------------------


def test_a_removed_target_loses_its_gauges_and_keeps_its_counters():
    m = metrics()
    opened = Transition(BreakerState.CLOSED, BreakerState.OPEN, "run")
    m.count(BreakerMoved(call(), "transport", "", "second", "anthropic", "claude-sonnet", opened))
    m.set_connections("anthropic", active=1, idle=0)

    m.configure(
        Settings(providers={"openai": OPENAI}, routes=(replace(ROUTE, chain=(FIRST,)),), digest="new")
    )

    gone = {"provider": "anthropic", "model": "claude-sonnet", "kind": "transport"}
    assert value(m, "breaker_state", **gone) is None
    assert value(m, "upstream_connections", provider="anthropic", state="active") is None
    assert 1 == value(m, "breaker_transitions_total", **gone, to="open", trigger="run")
    assert 0 == value(m, "breaker_state", **(gone | {"provider": "openai", "model": "gpt-4o"}))


def test_the_digest_in_use_is_the_only_one_shown():
    m = metrics()
    m.configure(replace(SETTINGS, digest="ffff0000"))

    assert value(m, "config_info", config_hash="0123abcd") is None
    assert 1 == value(m, "config_info", config_hash="ffff0000")


def test_a_failed_reload_shows_until_a_good_one():
    m = metrics()
    assert 1 == value(m, "config_last_reload_successful")

    m.count(Reloaded(ok=False, digest="bad", problems=("a: b",)))
    assert 0 == value(m, "config_last_reload_successful")

    m.count(Reloaded(ok=True, digest="good"))
    assert 1 == value(m, "config_last_reload_successful")
    assert 1 == value(m, "config_reloads_total", result="failed")
    assert 1_763_800_000.0 == value(m, "config_last_reload_timestamp_seconds")


# ---- what one event counts ------------------------------------------------------------------------


def test_a_clean_call_is_counted_once_everywhere():
    m = metrics()
    for event in good():
        m.count(event)

    assert 1 == value(
        m,
        "requests_total",
        route="support",
        operation="chat",
        primary_provider="openai",
        outcome="success",
        tier="full",
        path="direct",
    )
    target = {"provider": "openai", "model": "gpt-4o"}
    assert 1 == value(m, "attempts_total", **target, kind="initial", outcome="success", error_type="")
    assert value(m, "request_duration_seconds_sum", route="support", path="direct", outcome="success") == (
        pytest.approx(2.002)
    )
    assert value(m, "time_to_first_token_seconds_sum", **target) == pytest.approx(0.399)
    assert value(m, "overhead_seconds_sum", stream="true") == pytest.approx(0.003)
    assert 100 == value(m, "tokens_total", **target, type="input", purpose="served")
    assert 40 == value(m, "tokens_total", **target, type="cache_read", purpose="served")
    assert 0 == total(m, "label_overflow_total")


@pytest.mark.parametrize("event", every(), ids=lambda e: type(e).__name__)
def test_every_event_that_happens_to_a_call_moves_something(event: Event):
    """The tier of a degraded answer is counted at the end of its call."""
    silent = {"Degraded", "WouldOpen", "Restored", "Delivered", "Trusted", "Overridden", "Pressed"}
    silent |= {"FieldsDenied", "Retiring", "BudgetMoved", "Met", "Keyed", "Ignored"}
    moved = changes(metrics(), event)

    assert (type(event).__name__ in silent) == (not moved)


def test_a_fallback_names_both_ends_and_the_reason():
    moved = changes(metrics(), FellBack(call(), FIRST, SECOND, Fault.OVERLOADED))

    [text] = moved
    for label in ("openai", "gpt-4o", "anthropic", "claude-sonnet", "overloaded"):
        assert label in text


def test_a_breaker_refusal_is_both_a_skip_and_a_rejection_and_a_known_wait_is_not():
    m = metrics()
    m.count(TargetSkipped(call(), FIRST, Refused(RefusedBy.BREAKER)))
    m.count(TargetSkipped(call(), FIRST, Refused(RefusedBy.KNOWN_WAIT)))

    assert 1 == total(m, "breaker_rejected_total")
    assert 1 == value(m, "targets_skipped_total", provider="openai", reason="known_wait")
    assert 1 == value(m, "targets_skipped_total", provider="openai", reason="breaker")


def test_the_gauge_shows_the_worst_breaker_of_a_target():
    m = metrics()
    opened = Transition(BreakerState.CLOSED, BreakerState.OPEN, "ratio")
    closed = Transition(BreakerState.HALF_OPEN, BreakerState.CLOSED, "probe")
    where = ("first", "openai", "gpt-4o")
    m.count(BreakerMoved(call(), "quality", "support", *where, opened))
    m.count(BreakerMoved(call(), "quality", "search", *where, closed))

    labels = {"provider": "openai", "model": "gpt-4o"}
    assert 2 == value(m, "breaker_state", **labels, kind="quality")
    assert 0 == value(m, "breaker_state", **labels, kind="transport")

    m.count(BreakerMoved(call(), "quality", "support", *where, closed))
    assert 0 == value(m, "breaker_state", **labels, kind="quality")


@pytest.mark.parametrize(
    ("last", "recovered"), [(Answered(200), "true"), (Failed(Fault.SERVER_ERROR), "false")]
)
def test_an_interrupted_stream_says_whether_the_answer_came_all_the_same(last: Outcome, recovered: str):
    m = metrics()
    cut = attempt(Failed(Fault.STREAM_CUT), first=None)
    m.count(ended([cut, attempt(last, target=SECOND, kind=Kind.FALLBACK)], last))

    assert 1 == value(
        m, "stream_interruptions_total", provider="openai", phase="before_first", recovered=recovered
    )


def test_tokens_of_an_answer_nobody_got_are_overhead():
    m = metrics()
    lost = attempt(Answered(200, Usage(input_total=7)))
    m.count(ended([lost, attempt(Answered(200, USAGE), kind=Kind.RETRY)], Answered(200, USAGE)))
    target = {"provider": "openai", "model": "gpt-4o", "type": "input"}

    assert 7 == value(m, "tokens_total", **target, purpose="overhead")
    assert 100 == value(m, "tokens_total", **target, purpose="served")


def test_tokens_of_a_rejected_answer_are_overhead_unless_it_is_served_after_all():
    finding = Finding("empty", "reject", Fault.EMPTY_OUTPUT)
    rejected = attempt(Failed(Fault.EMPTY_OUTPUT, findings=(finding,)))
    rejected.usage = Usage(input_total=7)
    better = attempt(Answered(200, USAGE), kind=Kind.RETRY)
    target = {"provider": "openai", "model": "gpt-4o", "type": "input"}

    m = metrics()
    m.count(ended([rejected, better], better.outcome))
    assert 7 == value(m, "tokens_total", **target, purpose="overhead")
    assert 100 == value(m, "tokens_total", **target, purpose="served")

    m = metrics()
    m.count(ended([rejected], Answered(200, findings=(finding,), tier=Tier.REDUCED)))
    assert 7 == value(m, "tokens_total", **target, purpose="served")

    m = metrics()
    m.count(ended([rejected], Answered(200, tier=Tier.STATIC)))
    assert 7 == value(m, "tokens_total", **target, purpose="overhead")


def test_a_negative_token_count_of_a_provider_breaks_nothing():
    m = metrics()
    m.count(ended([attempt(Answered(200, Usage(input_total=-5)))], Answered(200)))

    assert 0 == total(m, "tokens_total")


def test_a_call_that_was_left_has_no_duration():
    m = metrics()
    cut = attempt(None)
    m.count(AttemptEnded(call(cut), cut))
    m.count(ended([cut], None, status=0))

    assert 1 == total(m, "requests_total", outcome="cancelled", tier="none")
    assert 1 == total(m, "attempts_total", outcome="cancelled", error_type="client_cancelled")
    assert 0 == total(m, "request_duration_seconds_count")
    assert 0 == total(m, "attempt_duration_seconds_count")


def test_a_static_answer_shows_in_tier_and_path():
    m = metrics()
    m.count(ended([attempt(Failed(Fault.OVERLOADED))], Answered(200, tier=Tier.STATIC)))

    assert 1 == total(m, "requests_total", outcome="success", tier="static", path="degraded")


def test_what_the_app_sets_is_shown():
    m = metrics()
    m.set_in_flight(3)
    m.set_lag(0.25)
    m.set_connections("openai", active=2, idle=5)

    assert 3 == value(m, "requests_in_flight")
    assert 0.25 == value(m, "event_loop_lag_max_seconds")
    assert 5 == value(m, "upstream_connections", provider="openai", state="idle")


@pytest.mark.parametrize(("target", "expected"), [(FIRST, "error"), (SECOND, "client_error")])
def test_whose_key_was_refused_decides_whose_error_it_is(target: Target, expected: str):
    """The first target has a configured key, with the second the application's own goes out."""
    m = metrics()
    refused = Failed(Fault.AUTH)
    m.count(ended([attempt(refused, target=target)], refused, status=401))

    assert 1 == total(m, "requests_total", outcome=expected)


def test_a_whole_answer_has_no_first_token():
    m = metrics()
    tried = attempt(Answered(200))
    m.count(AttemptEnded(call(tried, stream=False), tried))

    assert 1 == total(m, "attempt_duration_seconds_count")
    assert 0 == total(m, "time_to_first_token_seconds_count")


def moved(new: BreakerState, model: str, *, kind: str = "transport", target: str = "first") -> BreakerMoved:
    old = BreakerState.OPEN if new is BreakerState.CLOSED else BreakerState.CLOSED
    route = "" if kind == "transport" else "support"
    return BreakerMoved(call(), kind, route, target, "openai", model, Transition(old, new, "run"))


def test_a_breaker_that_opened_before_its_model_had_a_name_closes_again():
    m = metrics()
    where = {"provider": "openai", "kind": "transport"}
    m.count(moved(BreakerState.OPEN, "new-model"))
    assert 2 == value(m, "breaker_state", **where, model="other")

    tried = attempt(Answered(200), model="new-model")
    m.count(AttemptEnded(call(tried), tried))
    m.count(moved(BreakerState.CLOSED, "new-model"))

    assert 0 == value(m, "breaker_state", **where, model="other")
    assert 0 == value(m, "breaker_state", **where, model="new-model")


def test_a_quality_breaker_belongs_to_its_target_whatever_model_a_call_asks_for():
    m = metrics()
    where = {"provider": "openai", "model": "gpt-4o", "kind": "quality"}
    m.count(moved(BreakerState.OPEN, "gpt-4o", kind="quality"))
    assert 2 == value(m, "breaker_state", **where)

    m.count(moved(BreakerState.CLOSED, "another", kind="quality"))

    assert 0 == value(m, "breaker_state", **where)


def test_an_open_breaker_survives_a_reload_that_keeps_its_target():
    m = metrics()
    m.count(moved(BreakerState.OPEN, "gpt-4o"))
    m.count(moved(BreakerState.OPEN, "gpt-4o", kind="quality", target="second"))

    m.configure(replace(SETTINGS, digest="new", routes=(replace(ROUTE, chain=(FIRST,)),)))

    where = {"provider": "openai", "model": "gpt-4o"}
    assert 2 == value(m, "breaker_state", **where, kind="transport")
    assert value(m, "breaker_state", provider="anthropic", model="claude-sonnet", kind="quality") is None


def test_open_breakers_of_random_models_are_not_remembered_without_end():
    m = metrics()
    for n in range(3000):
        m.count(moved(BreakerState.OPEN, f"random-{n}"))

    assert len(m._breakers._open) <= 1024


# ---- no configuration -------------------------------------------------------------------------------


def test_without_configuration_a_provider_is_known_from_its_first_call_on():
    m = metrics(Settings(providers={"openai": OPENAI, "anthropic": CLAUDE}))
    assert 0 == total(m, "requests_total")
    assert series(m) <= 120
    implicit = Target(name="openai", provider=OPENAI)

    tried = attempt(Answered(200), target=implicit, model="gpt-5")
    about = structs.replace(call(tried, route="openai"), target=implicit)
    m.count(AttemptEnded(about, tried))
    m.count(CallEnded(about, Answered(200), 103.0, 200, committed=True))

    assert 1 == total(m, "requests_total", route="openai", primary_provider="openai")
    assert 1 == total(m, "attempts_total", provider="openai", model="gpt-5")
    assert 0 == value(m, "operator_alerts_total", provider="openai", model="other", error_type="auth")
    assert value(m, "operator_alerts_total", provider="anthropic", model="other", error_type="auth") is None
    assert 0 == total(m, "label_overflow_total")


def test_a_large_configuration_keeps_its_targets_apart():
    targets = tuple(replace(FIRST, name=f"t{n}", model=f"m{n}") for n in range(30))
    m = metrics(replace(SETTINGS, routes=(replace(ROUTE, chain=targets),)))
    for target in targets:
        for fault in (Fault.SERVER_ERROR, Fault.OVERLOADED, Fault.TTFT_TIMEOUT):
            tried = attempt(Failed(fault), target=target)
            m.count(AttemptEnded(call(tried), tried))

    assert 0 == total(m, "label_overflow_total")
    assert 3 == total(m, "attempts_total", model="m29", outcome="provider_error") + total(
        m, "attempts_total", model="m29", outcome="timeout"
    )


# ---- the bound -----------------------------------------------------------------------------------


def test_ten_thousand_random_models_stay_within_the_bound():
    """A client chooses the model, so it must not choose the number of series."""
    open_route = Route(name="open", chain=(replace(FIRST, model=None), replace(SECOND, model=None)))
    m = metrics(replace(SETTINGS, routes=(ROUTE, open_route)))
    rng = Random(7)  # repeatable
    outcomes: list[Outcome | None] = [Answered(200, USAGE), None, *(Failed(fault) for fault in Fault)]
    for n in range(10_000):
        model = f"{rng.choice('abc')}-{rng.getrandbits(64):x}"
        target = replace(rng.choice([FIRST, SECOND]), model=model)
        outcome = rng.choice(outcomes[: 1 + n % len(outcomes)])
        tried = attempt(outcome, target=target, model=model, kind=rng.choice(list(Kind)))
        over = CallEnded(
            structs.replace(call(tried, model=model, route="open")), outcome, 103.0, 200, committed=True
        )
        m.count(AttemptEnded(over.call, tried))
        m.count(over)
        m.count(FellBack(over.call, target, SECOND, rng.choice(list(Fault))))
        m.count(moved(BreakerState.OPEN, model))

    for row in CATALOG:
        names = {row.name, row.name + "_count"}
        children = [s for f in m.registry.collect() for s in f.samples if s.name in names]
        assert len(children) <= row.bound + 1, row.name
    assert series(m) <= 1200
    assert 10_000 == total(m, "attempts_total")  # folded, not lost
    assert 10_000 == total(m, "fallbacks_total")
    assert total(m, "label_overflow_total", label="model") > 0


def test_a_model_earns_its_name_by_answering():
    m = metrics()
    for n in range(MODELS + 5):
        for outcome in (Failed(Fault.NOT_FOUND), Answered(200)):
            tried = attempt(outcome, model=f"m{n}")
            m.count(AttemptEnded(call(tried), tried))

    names = set(m._labels.models)
    assert ("openai", "m0") in names
    assert ("openai", f"m{MODELS - 1}") in names
    assert ("openai", f"m{MODELS}") not in names
    assert 0 == total(m, "attempts_total", model="m0", error_type="not_found")


@pytest.mark.parametrize(
    "model",
    ["", "x" * 101, "two\nlines", "prompt \u00e9", "write me a poem about it", "sk-abcdefghijklmnopqrstuvwx"],
)
def test_what_is_no_name_never_becomes_a_label(model: str):
    m = metrics()
    tried = attempt(Answered(200), model=model)
    m.count(AttemptEnded(call(tried), tried))

    assert 1 == total(m, "attempts_total", model="other", outcome="success")


def test_an_unknown_provider_or_route_is_other_and_counted():
    m = metrics()
    tried = attempt(Answered(200), target=replace(FIRST, provider=replace(CLAUDE, name="evil")))
    about = structs.replace(call(tried, route="evil"), provider="evil")
    m.count(CallEnded(about, Answered(200), 101.0, 200, committed=True))

    assert 1 == total(m, "requests_total", route="other", primary_provider="other")
    assert 1 == value(m, "label_overflow_total", label="route")


def test_a_usual_pod_shows_a_lean_number_of_series():
    """R27: at most 400 in lean detail, after a day that had some of everything."""
    m = metrics()
    for fault in (Fault.SERVER_ERROR, Fault.RATE_LIMIT_RPM, Fault.TTFT_TIMEOUT, Fault.EMPTY_OUTPUT):
        failed, saved = attempt(Failed(fault)), attempt(Answered(200, USAGE), kind=Kind.RETRY)
        for tried in (failed, saved):
            m.count(AttemptEnded(call(tried), tried))
        m.count(ended([failed, saved], saved.outcome))
    for event in [*good(), *every()]:
        m.count(event)

    assert series(m) <= 400
