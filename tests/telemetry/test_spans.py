"""The trace contract: for each way a call can go, the tree, the attributes, the events."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sidecar.events import (
    CallEnded,
    RetryDenied,
)
from sidecar.listener.http_rules import intake, trace_context
from sidecar.model import (
    Answered,
    Ask,
    Fault,
    Kind,
    Operation,
    Provider,
    Target,
    Usage,
    span_id,
)
from sidecar.settings import Baseline, Route, Settings, StaticAnswer, Telemetry
from sidecar.telemetry import span_rows as rows
from sidecar.telemetry.conventions import known_as
from sidecar.telemetry.notes import note
from sidecar.telemetry.spans import Span, Spans
from sidecar.upstream.request import Request as Sent
from sidecar.upstream.request import form
from tests.kit import script as s
from tests.kit.answers import DIALECTS, OpenAI
from tests.kit.answers import Dialect as Words
from tests.kit.script import Script
from tests.kit.vloop import run
from tests.telemetry.events import SETTINGS, attempt, call, ended
from tests.telemetry.traced import PARENT, TRACE, Traced, Tree

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "spans.md"
GOOD = s.answer(OpenAI.whole("all is well"))
BROKEN = s.error(OpenAI.BROKEN)
INVALID = s.error(OpenAI.INVALID)


def played(
    plans: dict[str, list[s.Behaviour]],
    scenario: Callable[[Traced], Awaitable[Tree]],
    words: Words = OpenAI,
    **changes: Any,
) -> tuple[Traced, Tree]:
    async def main() -> tuple[Traced, Tree]:
        play = Traced(Script(plans), words, **changes)
        return play, await scenario(play)

    return run(main())


def tree(*plans: list[s.Behaviour], body: bytes | None = None, **changes: Any) -> Tree:
    named = dict(zip("abc", plans, strict=False))
    return played(named, lambda play: play.trace(body), **changes)[1]


# ---- the ways of a call ---------------------------------------------------------------------


def test_a_direct_call_is_two_spans():
    seen = tree([GOOD], [GOOD])
    (only,) = seen.attempts

    assert ("llm_sidecar.request", True, PARENT) == (seen.call.name, seen.call.server, seen.call.parent_id)
    assert ("chat m", False, seen.call.span_id) == (only.name, only.server, only.parent_id)
    assert {TRACE} == {span.trace_id for span in (seen.call, only)}
    assert (False, False, ()) == (seen.call.error, only.error, seen.call.events)
    assert seen.call.start <= only.start < only.end <= seen.call.end
    assert 100_000_000 == only.end - only.start
    expected = {
        rows.ROUTE: "r", rows.OPERATION: "chat", rows.REQUESTED_MODEL: "m", rows.PRIMARY_PROVIDER: "a",
        rows.SERVED_PROVIDER: "a", rows.SERVED_MODEL: "m", rows.OUTCOME: "success", rows.TIER: "full",
        rows.PATH: "direct", rows.ATTEMPTS: 1, rows.RETRIES: 0, rows.FALLBACKS: 0, rows.DEADLINE: 30_000,
        rows.HTTP_METHOD: "POST", rows.HTTP_ROUTE: "/a", rows.HTTP_STATUS: 200,
    }  # fmt: skip
    assert expected.items() <= seen.call.attributes.items()
    expected = {
        rows.GEN_OPERATION: "chat", rows.GEN_PROVIDER: "a", rows.GEN_MODEL: "m", rows.GEN_ANSWERING: "m-1",
        rows.GEN_INPUT: 3, rows.GEN_TOKENS: 5, rows.GEN_FINISHES: ("stop",), rows.ADDRESS: "127.0.0.1",
        rows.PORT: 1, rows.HTTP_STATUS: 200, rows.NUMBER: 1, rows.KIND: "initial", rows.WENT: "success",
        rows.TARGET: "a", rows.BREAKER: "closed",
    }  # fmt: skip
    assert expected.items() <= only.attributes.items()


def test_only_attempts_carry_tokens_models_and_providers_of_the_conventions():
    seen = tree([BROKEN, GOOD], [GOOD])

    assert [] == [name for name in seen.call.attributes if name.startswith("gen_ai.")]
    assert all(attempt.attributes[rows.GEN_MODEL] == "m" for attempt in seen.attempts)


def test_a_retry_is_a_second_attempt_after_a_gap_and_its_call_is_no_error():
    seen = tree([BROKEN, GOOD])
    first, second = seen.attempts
    planned = seen.event(rows.RETRY_SCHEDULED)

    assert ["initial", "retry"] == seen.all(rows.KIND)
    assert [None, 1] == seen.all(rows.RESEND)
    assert [True, False] == [first.error, second.error]
    assert ["server_error", None] == seen.all(rows.ERROR_TYPE)
    assert not seen.call.error
    assert ("retry", 1) == (seen.call.attributes[rows.PATH], seen.call.attributes[rows.RETRIES])
    assert (2, "server_error", "backoff") == (planned["attempt"], planned["reason"], planned["source"])
    assert second.start - first.end == pytest.approx(planned["delay_s"] * 1e9, abs=1e6)


def test_a_fallback_is_told_when_it_began():
    seen = tree([s.lost(Fault.TLS)], [GOOD])
    moved = seen.event(rows.FALLBACK)
    (event,) = [event for event in seen.call.events if event.name == rows.FALLBACK]

    assert {"from": "a", "to": "b"}.items() <= moved.items()
    assert event.at == seen.attempts[-1].start
    assert ("fallback", "b") == (
        seen.call.attributes[rows.PATH],
        seen.call.attributes[rows.SERVED_PROVIDER],
    )
    assert "fallback" == seen.attempts[-1].attributes[rows.KIND]
    assert list(seen.call.events) == sorted(seen.call.events, key=lambda event: event.at)


def test_a_chain_that_ends_nowhere_is_an_error_of_the_call():
    seen = tree([BROKEN], [BROKEN])

    assert seen.call.error
    assert ("error", "server_error", "none") == tuple(
        seen.call.attributes[key] for key in (rows.OUTCOME, rows.ERROR_TYPE, rows.TIER)
    )
    assert rows.SERVED_PROVIDER not in seen.call.attributes


def test_the_application_s_own_mistake_is_no_error_of_the_call():
    seen = tree([INVALID], [GOOD])

    assert (False, "client_error") == (seen.call.error, seen.call.attributes[rows.OUTCOME])
    assert [True] == [attempt.error for attempt in seen.attempts]


def test_a_breaker_shows_when_it_opens_and_when_it_lets_nobody_pass():
    async def scenario(play: Traced) -> Tree:
        trips = 0
        for _ in range(12):
            seen = await play.trace()
            trips += rows.BREAKER_MOVED in seen.events
            if rows.BREAKER_REJECTED in seen.events:
                break
        assert 1 == trips
        return seen

    _, seen = played({"a": [BROKEN], "b": [GOOD]}, scenario)

    rejected = {"target": "a", "provider": "a", "model": "m", "kind": "transport"}
    assert rejected == seen.event(rows.BREAKER_REJECTED)
    assert ["b"] == seen.all(rows.TARGET)


def test_a_degraded_answer_is_labelled():
    seen = tree([BROKEN], static=StaticAnswer(text="later"))

    assert {"tier": "static", "reason": "server_error"} == seen.event(rows.DEGRADED)
    assert ("static", "degraded") == (seen.call.attributes[rows.TIER], seen.call.attributes[rows.PATH])
    assert not seen.call.error


def test_a_rejected_answer_names_its_signal_and_another_one_is_served():
    seen = tree([s.answer(OpenAI.whole(""))], [GOOD])
    violation = next(e for e in seen.call.events if e.name == rows.VIOLATION)

    assert {"target": "a", "signal": "empty", "action": "reject", "done": "rejected"} == violation.attributes
    assert "empty" == seen.attempts[0].attributes[rows.DISCARDED]
    assert ("quality", True) == (seen.attempts[0].attributes[rows.WENT], seen.attempts[0].error)
    assert "b" == seen.call.attributes[rows.SERVED_PROVIDER]


def test_a_rejected_answer_that_is_served_for_want_of_a_better_one_names_who_gave_it():
    seen = tree([s.answer(OpenAI.whole(""))])

    assert "reduced" == seen.call.attributes[rows.TIER]
    assert "a" == seen.call.attributes[rows.SERVED_PROVIDER]


def test_a_stream_that_is_cut_ends_in_error_where_it_was_cut():
    cut = s.stream(OpenAI.events(["all ", "is "])[:3], end="cut")
    seen = tree([cut], [GOOD], body=OpenAI.request(stream=True))
    (only,) = seen.attempts

    assert ("error",) == only.attributes[rows.GEN_FINISHES]
    assert ("stream_cut", True) == (only.attributes[rows.ERROR_TYPE], only.error)
    assert (2, 0.05) == (only.attributes[rows.CHUNKS], only.attributes[rows.MAX_GAP])
    assert 0.15 == pytest.approx(only.attributes[rows.GEN_FIRST])
    assert seen.call.error


def test_a_client_that_left_is_no_error_of_anybody():
    async def scenario(play: Traced) -> Tree:
        task = asyncio.ensure_future(play.trace())  # noqa: TID251  # the client's own
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        return play.last()

    _, seen = played({"a": [GOOD]}, scenario)

    assert [False, False] == [seen.call.error, seen.attempts[0].error]
    assert "cancelled" == seen.call.attributes[rows.OUTCOME] == seen.attempts[0].attributes[rows.WENT]
    assert "client_cancelled" == seen.attempts[0].attributes[rows.ERROR_TYPE]
    assert rows.HTTP_STATUS not in seen.call.attributes


@pytest.mark.parametrize("words", DIALECTS, ids=lambda words: words.dialect)
def test_attempts_are_named_as_the_conventions_want_it(words: Words):
    _, seen = played({"a": [s.answer(words.whole("well"))]}, lambda play: play.trace(), words)
    operation = "generate_content" if words.dialect == "gemini" else "chat"

    assert [f"{operation} {seen.call.attributes[rows.REQUESTED_MODEL]}"] == [a.name for a in seen.attempts]
    assert [operation] == seen.all(rows.GEN_OPERATION)
    assert [3] == seen.all(rows.GEN_INPUT)


def test_gen_ai_attributes_can_be_left_to_the_application():
    class Bare(Traced):
        telemetry = Telemetry(genai_attributes="none")

    async def main() -> Tree:
        return await Bare(Script({"a": [GOOD]})).trace()

    seen = run(main())

    assert [] == [name for name in seen.attempts[0].attributes if name.startswith("gen_ai.")]
    assert "m" == seen.attempts[0].attributes[rows.MODEL]


# ---- one truth with the counters --------------------------------------------------------------


def test_spans_and_counters_say_the_same():
    plans = {
        "a": [GOOD, BROKEN, s.lost(), GOOD, s.answer(OpenAI.whole("")), INVALID, s.error(OpenAI.LIMIT), GOOD],
        "b": [GOOD, BROKEN, GOOD],
    }

    async def scenario(play: Traced) -> Tree:
        for _ in range(15):
            await play.trace()
        return play.last()

    play, _ = played(plans, scenario, baseline=Baseline(answer=1.0))
    spans = [span for spans in play.tracing._queue for span in spans]
    calls, attempts = [s for s in spans if s.server], [s for s in spans if not s.server]
    want = (rows.PROVIDER, rows.KIND, rows.WENT, rows.ERROR_TYPE)
    by_span = Counter(tuple(a.attributes.get(key, "") for key in want) for a in attempts)
    by_counter = Counter({
        tuple(sample.labels[key] for key in ("provider", "kind", "outcome", "error_type")): sample.value
        for sample in play.samples("llm_sidecar_attempts_total")
    })  # fmt: skip
    tokens = sum(int(str(a.attributes.get(rows.GEN_INPUT, 0))) for a in attempts)
    unused = [a for a in attempts if a.attributes[rows.WENT] == "quality"]
    told = Counter(event.name for call in calls for event in call.events)

    assert by_span == by_counter
    assert len(by_span) >= 5
    assert 15 == len(calls) == sum(s.value for s in play.samples("llm_sidecar_requests_total"))
    counted = list(play.samples("llm_sidecar_tokens_total"))
    counted = [sample for sample in counted if sample.labels["type"] == "input"]
    assert tokens == sum(sample.value for sample in counted)
    overhead = sum(sample.value for sample in counted if sample.labels["purpose"] == "overhead")
    assert overhead == sum(int(str(a.attributes[rows.GEN_INPUT])) for a in unused) > 0
    assert told[rows.FALLBACK] == sum(s.value for s in play.samples("llm_sidecar_fallbacks_total"))
    assert told[rows.VIOLATION] == sum(s.value for s in play.samples("llm_sidecar_quality_violations_total"))


# ---- nothing that is not ours ------------------------------------------------------------------

CANARY = "canary-7f3a9c"


def made(over: CallEnded, settings: Settings = SETTINGS) -> list[Span]:
    over = replace(over, call=replace(over.call, id=f"{7:032x}"))
    spans = Spans(settings)
    return spans.of(over, spans.ended(over), 0.0)


def _texts(spans: list[Span]) -> str:
    return repr([(s.name, s.attributes, [(e.name, dict(e.attributes)) for e in s.events]) for s in spans])


@pytest.mark.parametrize("words", DIALECTS, ids=lambda words: words.dialect)
def test_no_span_holds_anything_of_requests_answers_or_keys(words: Words):
    secret = f"{CANARY} with blanks"
    error = s.error((500, words.error(secret)), headers=((b"x-secret", CANARY.encode()),))
    answer = s.answer(words.whole(secret))
    body = words.request(secret, user=secret, metadata={"a": secret}, model=f"{secret} of five words")

    async def scenario(play: Traced) -> Tree:
        headers = ((b"authorization", b"Bearer " + CANARY.encode()), (b"x-more", CANARY.encode()))
        path = f"/v1/chat/completions/{CANARY}"
        return await play.trace(body, headers=headers, query=f"key={CANARY}", path=path, method=CANARY)

    play, seen = played({"a": [error], "b": [error, answer]}, scenario, words)

    assert len(seen.attempts) >= 3
    assert CANARY not in _texts([seen.call, *seen.attempts])
    assert CANARY not in repr(play.tracing._queue)


def test_what_a_provider_calls_itself_is_a_name_or_nothing():
    bad = attempt(Answered(200), model="sk-proj-0123456789abcdef0123")
    bad.answering = "a model\nof many words and a secret"
    bad.request_id = "sk-0123456789abcdef0123456"

    call_, only = made(ended([bad], bad.outcome))
    texts = _texts([call_, only])

    hidden = {key for key, value in only.attributes.items() if value == "(unprintable)"}
    assert {rows.GEN_MODEL, rows.MODEL, rows.GEN_ANSWERING, rows.REQUEST_ID} == hidden
    assert "chat (unprintable)" == only.name
    assert "secret" not in texts
    assert "0123456789" not in texts


# ---- bounds and ids -----------------------------------------------------------------------------


def test_events_beyond_the_bound_are_counted():
    about = call(attempt(Answered(200)))
    for _ in range(rows.EVENTS_MOST + 5):
        note(RetryDenied(about, Fault.TIMEOUT, "budget"), 101.0)
    over = replace(ended([], Answered(200)), call=about)

    events = made(over)[0].events

    assert rows.EVENTS_MOST + 1 == len(events)
    assert (rows.TRUNCATED, {"count": 5}) == (events[-1].name, events[-1].attributes)


def test_ids_of_spans_are_known_before_and_differ():
    ids = [span_id("f" * 32, number) for number in range(4)]

    assert 4 == len({*ids})
    assert all(len(one) == 16 and int(one, 16) for one in ids)


def test_a_negative_count_of_tokens_is_left_out():
    over = ended([attempt(Answered(200, Usage(input_total=-5, output_total=0)))], Answered(200))

    attributes = made(over)[1].attributes

    assert rows.GEN_INPUT not in attributes
    assert 0 == attributes[rows.GEN_TOKENS]


@pytest.mark.parametrize(
    ("name", "host", "known"),
    [
        ("openai", "api.openai.com", "openai"),
        ("eu", "my-resource.openai.azure.com", "azure.ai.openai"),
        ("bedrock", "bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("gemini", "generativelanguage.googleapis.com", "gcp.gemini"),
        ("v", "europe-west4-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("xai", "gateway.internal", "x_ai"),
        ("our-vllm", "10.0.0.5", "our-vllm"),
    ],
)
def test_providers_are_called_what_the_conventions_call_them(name: str, host: str, known: str):
    provider = Provider(name=name, dialect="openai_chat", scheme="https", host=host, port=443)

    assert known == known_as(provider)


def test_the_primary_is_the_chain_s_first_even_for_a_route_nobody_took():
    settings = Settings(routes=(Route(name="other"),))

    (only,) = made(ended([], Answered(200)), settings)

    assert "openai" == only.attributes[rows.PRIMARY_PROVIDER]


# ---- the trace that comes in and goes out ------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"00-{TRACE}-{PARENT}-01", (TRACE, PARENT, True)),
        (f"00-{TRACE}-{PARENT}-00", (TRACE, PARENT, False)),
        (f"cc-{TRACE}-{PARENT}-ff-more", (TRACE, PARENT, True)),
        (f"00-{TRACE}-{'0' * 16}-01", ("", "", None)),
        ("nonsense", ("", "", None)),
    ],
)
def test_the_application_s_span_and_its_word_are_kept(line: str, found: tuple[str, str, bool | None]):
    assert found == trace_context(intake(((b"Traceparent", line.encode()),)))


STATES = {
    "vendor=one": "vendor=one",
    "a=1,b@c=2 , ,d=x y": "a=1,b@c=2 , ,d=x y",
    "no member": "",
    "a=b=c": "",
    "A=1": "",
    "a=" + "x" * 600: "",
    "a=sk-proj-0123456789abcdef0123": "",
}


@pytest.mark.parametrize("said", STATES)
def test_a_tracestate_is_kept_on_every_span_if_it_is_one(said: str):
    over = ended([attempt(Answered(200))], Answered(200))
    about = replace(over.call, parent_id=PARENT, headers=((b"Tracestate", said.encode()),))

    states = [span.state for span in made(replace(over, call=about))]

    assert [STATES[said]] * 2 == states


def test_a_tracestate_without_a_trace_says_nothing():
    over = ended([attempt(Answered(200))], Answered(200))
    about = replace(over.call, parent_id="", headers=((b"tracestate", b"vendor=one"),))

    assert ["", ""] == [span.state for span in made(replace(over, call=about))]


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("sampled", [True, False, None])
def test_a_provider_that_takes_part_gets_the_attempt_as_parent(*, private: bool, sampled: bool | None):
    """Without spans of ours there is no such parent: then nothing is said for the application."""
    one = Provider(
        name="openai", dialect="openai_chat", scheme="http", host="10.0.0.5", port=80, private=private,
        propagate_trace=True,
    )  # fmt: skip
    said = ((b"traceparent", b"00-x"), (b"tracestate", b"a=b"), (b"baggage", b"user=1"))
    about = replace(call(attempt(None), headers=said), id=f"{7:032x}", sampled=sampled)

    request = form(about, Target(name="t", provider=one))

    assert isinstance(request, Sent)
    ours = (
        f"\r\ntraceparent: 00-{TRACE}-{span_id(about.id, 1)}-0{sampled:d}\r\n" if sampled is not None else ""
    )
    assert ours.encode() in request.head
    assert (private and sampled is None) == (b"traceparent: 00-x" in request.head)
    assert (private or sampled is not None) == (b"tracestate" in request.head)
    assert private == (b"baggage" in request.head)


def test_a_call_that_is_passed_on_has_no_model_and_no_path():
    over = ended([attempt(Answered(204), model="")], Answered(204))
    about = replace(over.call, ask=Ask(operation=Operation.OTHER, model=""), path=f"/v1/files/{CANARY}")

    whole, only = made(replace(over, call=about))

    assert "POST" == only.name
    assert "/openai" == whole.attributes[rows.HTTP_ROUTE]
    assert [] == [key for key in only.attributes if key.startswith("gen_ai.")]
    assert CANARY not in _texts([whole, only])


# ---- the rows ------------------------------------------------------------------------------------


def test_the_reference_page_is_the_rows():
    """After a change: python -m sidecar.telemetry.span_rows > docs/reference/spans.md"""
    assert rows.reference() == PAGE.read_text(encoding="utf-8")


def test_everything_that_is_said_has_a_row():
    scenarios = [
        tree([BROKEN], [s.answer(OpenAI.whole("")), GOOD], body=OpenAI.request(max_tokens=5, n=2)),
        tree([s.stream(OpenAI.events(["a", "b"]))], body=OpenAI.request(stream=True)),
        tree([s.error(OpenAI.LIMIT, headers=((b"retry-after", b"1"),)), GOOD]),
        tree([BROKEN], static=StaticAnswer(text="later")),
    ]
    for seen in scenarios:
        assert seen.call.attributes.keys() <= rows.CALL.keys()
        assert {event.name for event in seen.call.events} <= rows.EVENTS.keys()
        for event in seen.call.events:
            assert set(rows.EVENTS[event.name][0].split(", ")) == event.attributes.keys()
        for one in seen.attempts:
            assert one.attributes.keys() <= rows.ATTEMPT.keys()
    kinds = {one.attributes[rows.KIND] for seen in scenarios for one in seen.attempts}
    assert {Kind.INITIAL, Kind.RETRY, Kind.FALLBACK} == kinds
