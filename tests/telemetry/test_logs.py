"""One line per decision, and nothing in it that must not leave the pod."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from sidecar.events import (
    BreakerMoved,
    Event,
    FellBack,
    Judged,
    Reloaded,
    RetryPlanned,
    Shed,
    TargetSkipped,
)
from sidecar.model import (
    Answered,
    Failed,
    Fault,
    Head,
    Headers,
    Kind,
    Refused,
    RefusedBy,
    Tier,
)
from sidecar.status import Status
from sidecar.telemetry import logs
from sidecar.telemetry.logs import FIELDS, Level, Logs, describe, level_of
from sidecar.telemetry.metrics import Metrics
from tests.kit.vloop import LoopClock, run

from .events import FIRST, SECOND, SETTINGS, attempt, call, ended, every, good

WALL = 1_763_800_000.125
CANARY = "c4n4ry"


def lines(*events: Event, level: str = "info") -> list[dict[str, Any]]:
    out: list[str] = []
    log = Logs(out.append, lambda: WALL, level=level)
    for event in events:
        log.write(event)
    assert not any("\n" in line for line in out)
    return [json.loads(line) for line in out]


def test_a_fallback_says_who_failed_why_and_who_is_next():
    """R28."""
    [line] = lines(FellBack(call(), FIRST, SECOND, Fault.OVERLOADED))

    assert {
        "time": "2025-11-22T08:26:40.125+00:00",
        "level": "info",
        "event": "fallback",
        "call": "c1",
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
        "route": "support",
        "target": "first",
        "provider": "openai",
        "model": "gpt-4o",
        "to": "second",
        "reason": "overloaded",
    } == line


@pytest.mark.parametrize("event", every(), ids=lambda e: type(e).__name__)
def test_every_event_has_a_name_and_only_fields_of_the_allow_list(event: Event):
    what, fields = describe(event)
    [line] = lines(event, level="debug")

    assert fields
    assert set(fields) <= FIELDS
    assert what == line["event"]
    assert set(line) - {"time", "level", "event"} <= FIELDS


def test_a_clean_call_is_silent_at_info_and_a_saved_one_is_not():
    saved = ended(
        [attempt(Failed(Fault.SERVER_ERROR)), attempt(Answered(200), kind=Kind.RETRY)], Answered(200)
    )
    static = ended([attempt(Failed(Fault.SERVER_ERROR))], Answered(200, tier=Tier.STATIC))

    assert [] == lines(*good())
    assert ["attempt", "call"] == [line["event"] for line in lines(*good(), level="debug")]
    assert ["retry", "degraded"] == [line["path"] for line in lines(saved, static)]


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (RetryPlanned(call(), Fault.SERVER_ERROR, 0.5, "backoff"), Level.DEBUG),
        (next(e for e in every() if isinstance(e, BreakerMoved)), Level.WARNING),
        (next(e for e in every() if isinstance(e, Judged)), Level.INFO),
        (Reloaded(ok=True, digest="0123abcd"), Level.INFO),
        (Reloaded(ok=False, digest="0123abcd"), Level.ERROR),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_level_follows_who_has_to_read_it(event: Event, level: Level):
    assert level is level_of(event)


def test_a_refused_call_says_which_target_was_not_asked_and_when_it_will_be():
    refused = ended([], Refused(RefusedBy.BREAKER, until=114.5, fault=Fault.OVERLOADED, detail="openai/gpt"))

    [line] = lines(refused)

    assert ("openai/gpt", 12.5) == (line["detail"], line["wait"])


def test_many_mistakes_are_told_whole_and_the_rest_by_their_number():
    problems = tuple(f"line {at}: routes[{at}].deadline: expected a duration" for at in range(1, 20))

    [line] = lines(Reloaded(ok=False, digest="0123abcd", problems=problems))

    assert line["problems"].startswith("line 1: routes[1].deadline: expected a duration; line 2: ")
    assert line["problems"].endswith("expected a duration; and 14 more: llm-sidecar check says all")


def test_a_storm_of_sheds_is_a_few_lines_and_fallbacks_are_never_dropped():
    shed = lines(*[Shed(call(), "memory")] * 1000)
    fallbacks = lines(*[FellBack(call(), FIRST, SECOND, Fault.OVERLOADED)] * 1000)

    assert 10 == len(shed)
    assert 1000 == len(fallbacks)


def test_a_closed_pipe_loses_lines_and_nothing_else():
    def broken(_: str) -> None:
        raise BrokenPipeError

    log = Logs(broken, lambda: WALL)
    log.write(FellBack(call(), FIRST, SECOND, Fault.OVERLOADED))

    assert 1 == log.lost


def test_a_known_wait_without_an_end_is_written_as_json():
    skipped = TargetSkipped(call(), FIRST, Refused(RefusedBy.NO_CREDENTIAL, detail="no key now"))

    [line] = lines(skipped, level="debug")

    assert ("no_credential", "no key now") == (line["reason"], line["detail"])


def canaries() -> list[Event]:
    """Every event, with a secret wherever clients or providers may put bytes."""
    raw: Headers = (
        (b"authorization", f"Bearer {CANARY}".encode()),
        (b"x-api-key", CANARY.encode()),
        (CANARY.encode(), b"1"),
        (b"cookie", f"s={CANARY}".encode()),
    )
    about = call(headers=raw, body=f'{{"messages": "{CANARY}"}}'.encode(), query=f"key={CANARY}")
    ask = replace(about.ask, tools=frozenset({CANARY}), schema=CANARY.encode())
    about = replace(about, path=f"/v1/{CANARY}", ask=ask, key_digest=CANARY)
    failed = Failed(
        Fault.SERVER_ERROR, head=Head(500, CANARY, raw), body=f"you said {CANARY}".encode(), detail="reset"
    )
    return every(about, failed)


@pytest.mark.parametrize("event", canaries(), ids=lambda e: type(e).__name__)
def test_no_secret_of_a_request_or_an_answer_is_written_at_any_level(event: Event):
    out: list[str] = []
    log = Logs(out.append, lambda: WALL, level="debug")

    log.write(event)

    [line] = out
    assert CANARY not in line
    assert "canary-provider-key" not in line


def test_no_secret_of_a_request_or_an_answer_reaches_metrics_or_the_status_page():
    metrics = Metrics(SETTINGS, wall=lambda: WALL)
    status = Status(LoopClock())

    async def tell() -> str:
        for event in canaries():
            metrics.count(event)
            status.note(event)
        return json.dumps(status.view())

    shown = run(tell()) + metrics.render("")[0].decode()

    assert "operator_alert" in shown
    assert CANARY not in shown
    assert "canary-provider-key" not in shown


@pytest.mark.parametrize(
    "value",
    [
        "write me a poem about the sea and the wind",
        "line\nbreak",
        "sk-abcdefghijklmnopqrstuvwx",
        "eyJhbGciOiJIUzI1NiJ9abcdef",
        "x" * 101,
        "\ud800",
        '"}{"',
    ],
)
def test_what_is_no_name_is_not_shown(value: str):
    """Model names, request ids and trace ids are chosen by others."""
    assert "(unprintable)" == logs.name(value)


@pytest.mark.parametrize(
    "value", ["gpt-4o-2024-08-06", "meta-llama/Llama-3.1-8B", "ft:gpt-4o:acme::A1b2", "models/gemini-2.5@001"]
)
def test_names_are_shown_as_they_are(value: str):
    assert value == logs.name(value)


def test_a_key_in_our_own_words_is_masked():
    failed = Failed(Fault.NETWORK, detail="cannot use sk-abcdefghijklmnopqrstuvwx\nhere")

    [line] = lines(ended([attempt(failed)], failed))

    assert "cannot use (masked) here" == line["detail"]
