"""The gauge of last days: of every model with a label, and no more than its bound."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from sidecar.events import AttemptEnded
from sidecar.model import Answered
from sidecar.settings import Override, Settings
from sidecar.telemetry.catalog import RETIREMENT
from sidecar.telemetry.metrics import Metrics
from tests.telemetry.events import SETTINGS, attempt, call

DAY = 86400


def retiring(**days: str) -> tuple[Override, ...]:
    """Models of openai by their last days."""
    return tuple(
        Override(provider="openai", model=model.replace("_", "-"), retires=day) for model, day in days.items()
    )


def metrics(*overrides: Override, settings: Settings = SETTINGS) -> Metrics:
    return Metrics(replace(settings, models=overrides), wall=lambda: 0.0)


def shown(m: Metrics) -> dict[str, float]:
    """The gauge as it is scraped, by model of openai."""
    m.render("")
    (family,) = (f for f in m.registry.collect() if f.name == RETIREMENT.name)
    return {s.labels["model"]: s.value for s in family.samples if s.labels["provider"] == "openai"}


def answered(m: Metrics, model: str) -> None:
    tried = attempt(Answered(200), model=model)
    m.count(AttemptEnded(call(tried), tried))


def test_a_configured_model_is_shown_with_the_end_of_its_last_day():
    m = metrics(*retiring(gpt_4o="2031-05-31"))

    assert {"gpt-4o": datetime(2031, 6, 1, tzinfo=UTC).timestamp()} == shown(m)


def test_a_model_without_a_known_day_is_not_there():
    assert {} == shown(metrics(*retiring(gpt_4o="")))


def test_a_model_that_only_the_application_names_is_shown_once_it_answered():
    m = metrics(*retiring(gpt_4o="", theirs="2031-05-31"))
    before = shown(m)

    answered(m, "theirs")

    assert {} == before
    assert ["theirs"] == list(shown(m))


def test_a_reload_moves_the_day_and_takes_it_away():
    m = metrics(*retiring(gpt_4o="2031-05-31"))
    first = shown(m)

    m.configure(replace(SETTINGS, models=retiring(gpt_4o="2031-06-01")))
    second = shown(m)
    m.configure(replace(SETTINGS, models=retiring(gpt_4o="")))

    assert DAY == second["gpt-4o"] - first["gpt-4o"]
    assert {} == shown(m)


def test_of_more_than_the_bound_the_nearest_days_are_shown():
    m = metrics(*retiring(gpt_4o="", **{f"m{n:02}": f"2031-01-{n:02}" for n in range(1, 20)}))
    for number in reversed(range(1, 20)):
        answered(m, f"m{number:02}")
        shown(m)

    assert {f"m{n:02}" for n in range(1, RETIREMENT.bound + 1)} == set(shown(m))
