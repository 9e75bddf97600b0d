"""The bad day: what goes wrong when, and who calls. Both arms get the same day.

Each phase is something that providers really do. Times are in seconds; chances are drawn by the
vendors from seed and call number, the calls from the seed alone, so a day can be played again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sidecar.provider import Behaviour, Rule, Script, When, do


def paced(name: str, **options: Any) -> Behaviour:
    """At the pace of a good answer: about a quarter of a second."""
    return Behaviour(name, first_content_after=0.1, gap=0.02, **options)


@dataclass(frozen=True, slots=True)
class Phase:
    """`faults`: behaviour, and what it takes besides the time. What no fault hits goes well."""

    name: str
    seconds: float
    told: str
    faults: tuple[tuple[Behaviour, When], ...] = ()


DAY: tuple[Phase, ...] = (
    Phase("healthy", 2, "all is well"),
    Phase(
        "limits",
        5,
        "429 with Retry-After: 2, for most calls",
        ((do("rate_limit", retry_after=2), When(p=0.8)),),
    ),
    Phase(
        "errors",
        4,
        "500 and 529 for every second call",
        ((do("server_error"), When(p=0.3)), (do("overloaded"), When(p=0.3))),
    ),
    Phase("outage", 5, "the provider is down: connections are refused", ((do("refuse"), When()),)),
    Phase(
        "slow",
        5,
        "answers begin after 6 s, or never",
        (
            (do("hang"), When(p=0.2)),
            (do("ok", first_content_after=6, keepalive=0.5, gap=0.02), When(p=0.5)),
        ),
    ),
    Phase(
        "cuts",
        5,
        "streams break off, some in the middle",
        (
            (do("cut", after=0, how="reset"), When(stream=True, p=0.25)),
            (paced("cut", after=4), When(stream=True, p=0.15)),
            (paced("cut", after=4, mid_event=True), When(stream=False, p=0.3)),
        ),
    ),
    Phase(
        "lies",
        5,
        "HTTP 200, but: errors inside, empty answers, half answers that look whole, broken JSON",
        (
            (paced("unparsable_answer"), When(contains="schema", p=0.5)),
            (do("error_event", after=0, error="overloaded"), When(stream=True, p=0.2)),
            (paced("end_early", after=5), When(stream=True, p=0.15)),
            (paced("empty_answer"), When(p=0.2)),
            (do("error_in_200"), When(stream=False, p=0.2)),
        ),
    ),
    Phase("healed", 4, "all is well again"),
)


DIALECTS = ("openai_chat", "openai_responses", "anthropic", "gemini")


def script(phases: Sequence[Phase], seed: int) -> Script:
    """The primary's day."""
    rules: list[Rule] = []
    began = 0.0
    for phase in phases:
        span = f"{began:g}-{began + phase.seconds:g}"
        rules += [Rule(behaviour, replace(when, seconds=span)) for behaviour, when in phase.faults]
        began += phase.seconds
    return Script(rules=(*rules, Rule(paced("ok"))), name="primary", seed=seed)


def fallback_script(seed: int) -> Script:
    """The other provider's day: a bit slower, and not without a fault of its own."""
    rules = (Rule(do("server_error"), When(p=0.02)), Rule(do("ok", first_content_after=0.25, gap=0.02)))
    return Script(rules=rules, name="fallback", seed=seed)


@dataclass(frozen=True, slots=True)
class Planned:
    """One call of the application."""

    at: float
    nonce: str
    dialect: str
    form: str  # stream, whole or json


def calls(phases: Sequence[Phase], rate: float, seed: int) -> list[Planned]:
    """An even flow of calls of all kinds."""
    rng = random.Random(seed)  # noqa: S311  # repeatable, not secret
    count = int(sum(phase.seconds for phase in phases) * rate)
    return [
        Planned(
            at=number / rate,
            nonce=f"call-{number}",
            dialect=rng.choice(DIALECTS),
            form=rng.choices(("stream", "whole", "json"), (5, 3, 2))[0],
        )
        for number in range(count)
    ]
