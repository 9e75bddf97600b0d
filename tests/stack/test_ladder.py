"""The ladder: full, reduced, cached, static, deferred, none.

A route that has every rung is played under each class of failure, in every dialect, streamed and not. The
rungs are taken away one by one, the best first, and the client gets the best of what is left. Whatever it
gets says so in its head, in its body, on the span and in the metrics, and what is less than full is in what
the objectives count as lost.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pytest

from alerts import recordings
from sidecar.core.jobs import Declined, Receipt
from sidecar.dialects import DIALECTS as SPOKEN
from sidecar.events import CallEnded
from sidecar.faults import HANDLING
from sidecar.listener import complaints
from sidecar.model import (
    Answered,
    BreakerState,
    Call,
    Failed,
    Fault,
    Head,
    Operation,
    Options,
    Outcome,
    Refused,
    RefusedBy,
    Scope,
    Sink,
    Text,
    Tier,
    Traffic,
)
from sidecar.settings import CacheRules, Deferral, RetryRules, Route, Settings, StaticAnswer
from sidecar.telemetry import catalog, span_rows
from sidecar.telemetry import words as telling
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.spans import Spans
from sidecar.telemetry.words import Path
from tests.kit import script as s
from tests.kit.answers import DIALECTS, OpenAI, Responses, path_of
from tests.kit.answers import Dialect as Words
from tests.kit.script import Behaviour, Play, Result, Script
from tests.kit.vloop import run

SHAPE = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
EARLIER, FULL, POOR, STATIC = '{"n": 7}', '{"n": 3}', "{oh no", '{"n": 0}'
SAID = {Tier.FULL: FULL, Tier.REDUCED: POOR, Tier.CACHED: EARLIER, Tier.STATIC: STATIC}
OURS = (Tier.CACHED, Tier.STATIC, Tier.DEFERRED)  # what no provider said now

Misfortune = Callable[[Words, bool], Behaviour]


@dataclass(frozen=True)
class Rung:
    """The best that is left, all that is better having been taken away."""

    tier: Tier
    stand_in: str = ""  # what the second target says; "": it fails like the first one
    earlier: bool = True  # there is an answer that was given before
    static: bool = True
    later: bool = True  # the call may be deferred


LADDER = (
    Rung(Tier.FULL, stand_in=FULL),
    Rung(Tier.REDUCED, stand_in=POOR),
    Rung(Tier.CACHED),
    Rung(Tier.STATIC, earlier=False),
    Rung(Tier.DEFERRED, earlier=False, static=False),
    Rung(Tier.NONE, earlier=False, static=False, later=False),
)


def says(text: str) -> Misfortune:
    def made(words: Words, stream: bool) -> Behaviour:
        return s.stream(words.events([text])) if stream else s.answer(words.whole(text))

    return made


def fails(fault: Fault) -> Misfortune:
    async def behave(call: Call, sink: Sink) -> Outcome:
        return Failed(fault, HANDLING[fault].scope, detail="scripted")

    return lambda *_: behave


def keyless(*_: object) -> Behaviour:
    async def behave(call: Call, sink: Sink) -> Outcome:
        return Refused(RefusedBy.NO_CREDENTIAL, fault=Fault.AUTH)

    return behave


def breaks_off(words: Words, stream: bool) -> Behaviour:
    pieces = words.events([FULL])[:2]
    return s.stream(pieces, end="cut") if stream else s.lost(Fault.STREAM_CUT)


def noise(words: Words, stream: bool) -> Behaviour:
    """Nothing of it can be read, and yet it ends as an answer does."""
    pieces = [piece.replace(b"{", b"<") for piece in words.events([FULL])]
    return s.stream(pieces) if stream else s.answer(words.whole(FULL)[:20])


def a_page(*_: object) -> Behaviour:
    return s.answer(b"<html>busy</html>", headers=((b"content-type", b"text/html"),))


# ---- what can happen to both targets -----------------------------------------------------------------

# every word of the taxonomy, as the wire would say it
FAULTS: dict[str, Misfortune] = {
    fault.value: fails(fault) for fault, row in HANDLING.items() if row.status >= 400
}
# the same by the bytes of each vendor, by silence, and by what is known before anybody is asked
MET: dict[str, Misfortune] = {
    "a connection that is refused": lambda *_: s.lost(),
    "a 5xx": lambda words, _: s.error(words.BROKEN),
    "an overload": lambda words, _: s.error(words.OVERLOADED),
    "a rate limit": lambda words, _: s.error(words.LIMIT),
    "a spent quota": lambda words, _: s.error(words.QUOTA),
    "a refused key": lambda words, _: s.error(words.AUTH),
    "no key": keyless,
    "silence": lambda *_: s.hang(),
    "a stream that breaks off": breaks_off,
    "noise": noise,
    "a web page": a_page,
    "an empty answer": says(""),
    "an application's mistake": lambda words, _: s.error(words.INVALID),
    "a window that is too small": lambda words, _: s.error(words.CONTEXT),
    "a filter": lambda words, _: s.error(words.FILTER),
    "an open breaker": says(FULL),
    "an open quality breaker": says(FULL),
    "a known wait": says(FULL),
    "a sidecar that is full": says(FULL),
    "a deadline that is over": says(FULL),
}
UNASKED = {"a sidecar that is full", "a deadline that is over"}  # whoever would answer well
CLASSES = FAULTS | MET
# what waiting does not mend, so that nothing is deferred
LASTING = {
    *("tls", "auth", "permission", "region_blocked", "not_found", "model_gone", "context_window"),
    *("rate_limit_request_too_large", "capability_mismatch", "empty_output", "truncated_output"),
    *("malformed_tool_call", "structured_output_failed", "low_quality"),
    *("a refused key", "no key", "an empty answer", "a window that is too small"),
}
# what the application has to see, whoever could stand in
SEEN = {
    *("content_policy", "invalid_request", "request_too_large", "unsupported_parameter"),
    *("conflict", "client_cancelled", "an application's mistake", "a filter"),
}


def left(rung: Rung, kind: str) -> Tier:
    """What the client gets of it."""
    if kind == "an empty answer" and rung.tier in (Tier.DEFERRED, Tier.NONE):
        return Tier.REDUCED  # nearly nothing, but what the provider said
    if kind in SEEN or (rung.tier is Tier.DEFERRED and kind in LASTING):
        return Tier.NONE
    if kind in UNASKED and rung.tier in (Tier.FULL, Tier.REDUCED):
        return Tier.CACHED
    return rung.tier


# ---- one answer --------------------------------------------------------------------------------------


def route(words: Words, rung: Rung) -> Route:
    return Route(
        name="r",
        chain=(s.target("a", words.dialect), s.target("b", words.dialect)),
        retry=RetryRules(attempts=1),
        cache=CacheRules(scope="shared", stale=7200.0),
        static=StaticAnswer(text="sorry", json=STATIC) if rung.static else None,
        deferred=Deferral(),
    )


async def offer(call: Call, rules: Deferral, reason: str) -> Receipt | Declined:
    return Receipt(f"job_{call.id}", 1e9)


def close(play: Play, kind: str, targets: Iterable[str]) -> None:
    """What is known before anybody is asked."""
    if kind == "a sidecar that is full":
        play.admission.slots = 0
    for name in targets:
        target = next(one for one in play.route.chain if one.name == name)
        if kind == "an open breaker":
            play.memory.breaker(name, "m", name, play.route.breaker).force(BreakerState.OPEN, 0.0)
        elif kind == "an open quality breaker":
            play.memory.standing(play.route, target).breaker.force(BreakerState.OPEN, 0.0)
        elif kind == "a known wait":
            limit = Failed(Fault.RATE_LIMIT_RPM, Scope.MODEL, 90.0)
            play.memory.waits.remember(
                limit, play.clock.now(), provider=name, model="m", digest=name, final=True
            )


async def ask(words: Words, stream: bool, kind: str, rung: Rung) -> tuple[Result, CallEnded]:
    """The last call on a route from which all that is better than the rung has been taken away."""
    fault = CLASSES[kind](words, stream)
    stand_in = says(rung.stand_in)(words, stream) if rung.stand_in else fault
    script = Script({"a": [fault], "b": [stand_in]})
    if rung.earlier:
        script.plans["a"].insert(0, says(EARLIER)(words, stream))
    play = Play(script, words, route=route(words, rung), offer=offer)
    more = {"store": False} if words is Responses else {}
    body = words.request("hello", stream=stream, **words.structured(SHAPE), **more)
    async with play.clean():
        if rung.earlier:
            await play.ask(body)
        close(play, kind, "a" if rung.stand_in else "ab")
        options = Options(defer="" if rung.later else "off")
        left = 0.0 if kind == "a deadline that is over" else 30.0
        result = await play.ask(body, traffic=Traffic.BACKGROUND, options=options, deadline=left)
        assert result.ended - result.began <= left + 0.1
    call = play.call(body, id="ab" * 16, record=result.record, arrived=result.began)
    return result, over(call, result)


def over(call: Call, result: Result) -> CallEnded:
    """As the listener tells it."""
    head = head_of(call, result)
    return CallEnded(call, result.outcome, result.ended, head.status, committed=result.tape.head is not None)


def head_of(call: Call, result: Result) -> Head:
    """The client's, that of an error included."""
    if result.tape.head is not None:
        return result.tape.head
    outcome = result.outcome
    assert isinstance(outcome, Failed | Refused)
    if isinstance(outcome, Failed) and outcome.head is not None and outcome.head.status >= 400:
        return complaints.raw(outcome, outcome.head).head
    complaint = complaints.of_outcome(outcome, call, result.ended)
    return complaints.wire(complaint, SPOKEN[call.dialect]).head


def text_of(words: Words, result: Result) -> str:
    """What the client's own reader makes of it."""
    assert result.tape.head is not None
    ask = SPOKEN[words.dialect].ask(Operation.CHAT, path_of(words, b""), words.request())
    reader = SPOKEN[words.dialect].reader(ask, result.tape.head.get(b"content-type") or b"")
    deltas = reader.feed(result.tape.body).deltas + reader.close().deltas
    return "".join(delta.text for delta in deltas if isinstance(delta, Text))


def check(words: Words, tier: Tier, result: Result, over: CallEnded) -> None:
    """The answer is the one of this tier, and says so wherever it can be read."""
    outcome, head = result.outcome, head_of(over.call, result)
    got = outcome.tier if isinstance(outcome, Answered) else Tier.NONE
    assert tier is got
    # ClientSink writes the label of a full answer, which no layer has touched
    assert (head.get(b"x-llm-sidecar-tier") or b"full").decode() == tier
    assert (head.get(b"x-llm-sidecar-degraded") is not None) is (tier not in (Tier.FULL, Tier.NONE))
    assert (Path.DEGRADED is telling.path(over.call.record.attempts, outcome)) is (tier in OURS)
    span = SPANS.of(over, SPANS.ended(over), 0.0)[0]  # the call's own
    assert tier == span.attributes[span_rows.TIER]
    assert (tier is Tier.NONE) is (span_rows.ERROR_TYPE in span.attributes)
    assert (tier in (Tier.FULL, Tier.REDUCED)) is (span_rows.SERVED_PROVIDER in span.attributes)
    if tier in SAID:
        assert text_of(words, result) in (SAID[tier], "" if tier is Tier.REDUCED else None)
    if tier is Tier.DEFERRED:
        assert json.loads(result.tape.body)["degraded"] is True
    elif tier is not Tier.NONE:
        label = f'"llm_sidecar":{{"degraded":true,"tier":"{tier}"}}'.encode()
        assert (label in result.tape.body) is (tier is not Tier.FULL)
        length = head.get(b"content-length")
        assert length is None or int(length) == len(result.tape.body)


# ---- what is counted ---------------------------------------------------------------------------------


def settings() -> Settings:
    one = route(OpenAI, LADDER[0])
    return Settings(providers={target.name: target.provider for target in one.chain}, routes=(one,))


SPANS = Spans(settings())


def requests(metrics: Metrics) -> list[Mapping[str, str]]:
    """The labels of every call that was counted, as often as it was."""
    family = next(one for one in metrics.registry.collect() if one.name == catalog.REQUESTS.name[:-6])
    return [
        one.labels for one in family.samples if one.name.endswith("_total") for _ in range(int(one.value))
    ]


def recorded(name: str) -> Callable[[Mapping[str, str]], bool]:
    """Does the recording rule of this name count such a call? By the matchers of its own expression."""
    [rule] = [one for one in recordings.app() if one.name == name]
    found = re.search(re.escape(catalog.REQUESTS.name) + r"\{([^}]*)\}", rule.expr)
    assert found is not None
    wanted = re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', found[1])

    def counts(labels: Mapping[str, str]) -> bool:
        return all(bool(re.fullmatch(value, labels[name])) is (how != "!=") for name, how, value in wanted)

    return counts


# ---- the ladder --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSES)
def test_the_best_that_is_left_is_what_the_client_gets_and_it_is_called_by_its_name(kind: str):
    metrics = Metrics(settings(), wall=lambda: 0.0)
    wanted: Counter[Tier] = Counter()

    async def climb(words: Words, stream: bool, rung: Rung) -> None:
        result, ended = await ask(words, stream, kind, rung)
        tier = left(rung, kind)
        check(words, tier, result, ended)
        wanted[tier] += 1
        metrics.count(ended)

    async def all_of_them() -> None:
        for words in DIALECTS:
            for stream in (False, True):
                for rung in LADDER:
                    await climb(words, stream, rung)

    run(all_of_them())

    counted = requests(metrics)
    assert wanted == Counter(Tier(labels["tier"]) for labels in counted)
    below, errors = recorded(recordings.BELOW_FULL), recorded(recordings.ERRORS)
    for labels in counted:
        mistake = labels["outcome"] in ("client_error", "cancelled")
        assert below(labels) is (labels["tier"] != "full" and not mistake)
        assert errors(labels) is (labels["tier"] == "none" and not mistake)
        assert mistake <= (kind in SEEN | LASTING)
