"""Stand-ins are asked only for what they can do, in the real stack and in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from sidecar.events import AttemptEnded, FieldsDenied, Retiring, TargetSkipped
from sidecar.listener.complaints import Complaint, of_outcome
from sidecar.model import (
    Answered,
    Failed,
    Fault,
    Loss,
    Options,
    Provider,
    Refused,
    RefusedBy,
    Target,
)
from sidecar.models.card import Ability, Card
from sidecar.settings import OnLoss, Route
from tests.kit import script as s
from tests.kit.answers import Anthropic, OpenAI, Responses
from tests.kit.script import Play, Result, Script
from tests.kit.vloop import LoopClock, run

DOWN = s.lost()
TODAY = datetime.fromtimestamp(LoopClock.WALL, UTC).date()
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
LOSSES = b"x-llm-sidecar-losses"


def cards(**known: Card) -> Callable[[Provider, str], Card | None]:
    return lambda provider, _: known.get(provider.name)


def card(*, no: tuple[Ability, ...] = (), yes: tuple[Ability, ...] = (), **more: Any) -> Card:
    return Card(provider="p", name="m", no=frozenset(no), yes=frozenset(yes), **more)


def chain(*dialects: str) -> tuple[Target, ...]:
    """Targets a, b, ... of these dialects; all but the first have a model of their own."""
    return tuple(
        s.target(name, dialect, model=f"{name}-model" if number else None)
        for number, (name, dialect) in enumerate(zip("abcd", dialects, strict=False))
    )


def play(script: Script, *dialects: str, words: Any = OpenAI, **more: Any) -> Play:
    return Play(script, words, route=Route(name="r", chain=chain(*dialects)), **more)


def skips(world: Play) -> list[tuple[str, str]]:
    return [(e.target.name, e.refused.reason) for e in world.told if isinstance(e, TargetSkipped)]


def picture(**more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": [IMAGE]}], **more}).encode()


# ---- passed over ------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"])
def test_a_stand_in_that_cannot_do_it_is_passed_over_and_the_next_one_is_asked(dialect: str):
    async def scenario() -> tuple[Play, Result]:
        script = Script({"a": [DOWN], "b": [s.lost()], "c": [s.answer(OpenAI.whole("c"))]})
        world = play(script, "openai_chat", dialect, "openai_chat", cards=cards(b=card(no=(Ability.IMAGES,))))
        async with world.clean():
            return world, await world.ask(picture())

    world, result = run(scenario())

    assert isinstance(result.outcome, Answered)
    assert 0 == world.script.count("b")
    assert [("b", "images")] == skips(world)
    assert not [key for key in world.memory.breakers if key[0] == "b"]  # no permit, no sample
    assert ["a"] * 3 + ["c"] == [attempt.target for attempt in result.record.attempts]


def test_a_prompt_that_is_too_long_goes_to_the_larger_window():
    async def scenario() -> tuple[Play, Result]:
        script = Script({"a": [DOWN], "b": [s.lost()], "c": [s.answer(OpenAI.whole("c"))]})
        known = cards(b=card(window=1000), c=card(window=100_000))
        world = play(script, "openai_chat", "openai_chat", "openai_chat", cards=known)
        return world, await world.ask(OpenAI.request("word " * 4000))

    world, result = run(scenario())

    assert isinstance(result.outcome, Answered)
    assert [("b", "context_window")] == skips(world)


def test_what_the_gate_finds_too_long_takes_the_chain_for_what_is_too_long():
    async def scenario() -> tuple[Play, Result]:
        a, b = chain("anthropic", "openai_chat")
        c = s.target("c", "openai_chat", model="large")
        route = Route(name="r", chain=(a, b), chains={Fault.CONTEXT_WINDOW: (c,)})
        script = Script({"a": [DOWN], "b": [s.lost()], "c": [s.answer(OpenAI.whole("c"))]})
        world = Play(script, OpenAI, route=route, cards=cards(a=card(window=1000)))
        return world, await world.ask(OpenAI.request("word " * 4000), provider="openai")

    world, result = run(scenario())

    assert isinstance(result.outcome, Answered)
    assert ["c"] == [asked.target for asked in world.script.asked]


def test_the_clients_own_target_is_asked_whatever_is_known_of_it():
    body = picture()

    async def scenario() -> tuple[Play, Result]:
        everything = card(no=tuple(Ability), window=1, output=1, retires=date(2001, 1, 1))
        world = play(Script({"a": [s.answer(OpenAI.whole("yes"))]}), "openai_chat", cards=cards(a=everything))
        return world, await world.ask(body)

    world, result = run(scenario())

    assert isinstance(result.outcome, Answered)
    assert [body] == [asked.body for asked in world.script.asked]


def test_a_model_that_is_retired_is_passed_over():
    async def scenario() -> Play:
        script = Script({"a": [DOWN], "b": [s.answer(OpenAI.whole("b"))]})
        world = play(script, "openai_chat", "openai_chat", cards=cards(b=card(retires=date(2001, 1, 1))))
        await world.ask()
        return world

    assert [("b", "retired")] == skips(run(scenario()))


def test_a_model_that_retires_soon_is_told_once_before_anybody_needs_it():
    soon, later = TODAY + timedelta(days=20), TODAY + timedelta(days=200)

    async def scenario() -> list[tuple[str, str]]:
        script = Script({"a": [s.lost()], "b": [s.lost()], "c": [s.lost()]})
        known = cards(a=card(retires=soon), b=card(retires=soon), c=card(retires=later))
        world = play(script, "openai_chat", "openai_chat", "openai_chat", cards=known)
        world.build(world.route)  # a reload says it no second time
        return [(e.target.name, e.last) for e in world.told if isinstance(e, Retiring)]

    assert [("b", soon.isoformat())] == run(scenario())  # of the first the client names the model


def test_what_nobody_knows_is_allowed_unless_the_route_is_strict():
    async def scenario(strict: bool) -> list[tuple[str, str]]:
        script = Script({"a": [DOWN], "b": [s.answer(OpenAI.whole("b"))]})
        world = play(script, "openai_chat", "openai_chat", strict_capabilities=strict)
        await world.ask()
        return skips(world)

    assert [] == run(scenario(False))
    assert [("b", "unknown_model")] == run(scenario(True))


# ---- what the client is told -------------------------------------------------------------------


def test_when_nobody_is_left_because_of_the_gate_the_error_names_the_field_and_the_target():
    async def scenario() -> Complaint:
        known = cards(a=card(no=(Ability.TOOLS,)), b=card(no=(Ability.TOOLS,)))
        world = play(Script({"a": [s.lost()], "b": [s.lost()]}), "anthropic", "anthropic", cards=known)
        result = await world.ask(OpenAI.request(tools=[TOOL]), provider="openai")
        assert isinstance(result.outcome, Refused)
        return of_outcome(result.outcome, world.call(), 0.0)

    said = run(scenario())

    assert 400 == said.status
    assert "incapable" == said.reason
    assert "tools: it takes no tools (a)" in said.message


def test_the_original_error_is_kept_where_the_gate_leaves_nobody():
    async def scenario() -> Result:
        script = Script({"a": [s.error(OpenAI.OVERLOADED)], "b": [s.lost()]})
        return await play(
            script, "openai_chat", "openai_chat", cards=cards(b=card(no=(Ability.IMAGES,)))
        ).ask(picture())

    result = run(scenario())

    assert isinstance(result.outcome, Failed)
    assert Fault.OVERLOADED is result.outcome.fault
    assert OpenAI.OVERLOADED[1] == result.outcome.body


# ---- made to fit -------------------------------------------------------------------------------


def test_a_stand_in_of_the_same_dialect_gets_a_body_that_fits_and_the_client_is_told():
    async def scenario() -> tuple[Play, Result]:
        script = Script({"a": [DOWN], "b": [s.answer(OpenAI.whole("b"))]})
        known = cards(b=card(no=(Ability.SAMPLING,), output=512))
        world = play(script, "openai_chat", "openai_chat", cards=known)
        return world, await world.ask(OpenAI.request(max_tokens=9000, temperature=0.2, seed=7))

    world, result = run(scenario())

    sent = json.loads(world.script.asked[-1].body)
    assert (512, 7) == (sent["max_tokens"], sent["seed"])
    assert "temperature" not in sent
    assert result.tape.head is not None
    assert b"max_tokens;clamped, temperature;dropped" == result.tape.head.get(LOSSES)
    lost = (Loss("max_tokens", "clamped"), Loss("temperature", "dropped"))
    assert lost == result.record.attempts[-1].losses
    assert () == result.record.attempts[0].losses
    [told] = [e for e in world.told if isinstance(e, AttemptEnded) and e.attempt.target == "b"]
    assert lost == told.attempt.losses


def test_losses_of_the_gate_and_of_the_translation_are_one_list():
    async def scenario() -> tuple[Play, Result]:
        script = Script({"a": [DOWN], "b": [s.answer(Anthropic.whole("b"))]})
        world = play(script, "openai_chat", "anthropic", cards=cards(b=card(output=512)))
        return world, await world.ask(OpenAI.request(max_tokens=9000, seed=7))

    world, result = run(scenario())

    assert 512 == json.loads(world.script.asked[-1].body)["max_tokens"]
    assert (Loss("max_tokens", "clamped"), Loss("seed", "dropped")) == result.record.attempts[-1].losses
    assert result.tape.head is not None
    assert b"max_tokens;clamped, seed;dropped" == result.tape.head.get(LOSSES)


def test_the_writer_knows_what_the_catalogue_knows_of_its_target():
    """A limit of its own, where the dialect demands one and the client set none."""

    async def scenario(known: Card) -> int:
        script = Script({"a": [DOWN], "b": [s.answer(Anthropic.whole("b"))]})
        world = play(script, "openai_chat", "anthropic", cards=cards(b=known))
        await world.ask()
        limit: int = json.loads(world.script.asked[-1].body)["max_tokens"]
        return limit

    assert 333 == run(scenario(card(output=333)))
    assert 333 != run(scenario(card()))


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"])
def test_a_route_that_fails_on_loss_ends_the_call_with_the_fields_names(dialect: str):
    async def scenario() -> tuple[Play, Result]:
        script = Script({"a": [DOWN], "b": [s.lost()], "c": [s.answer(OpenAI.whole("c"))]})
        known = cards(b=card(no=(Ability.SAMPLING,)))
        world = play(script, "openai_chat", dialect, "openai_chat", cards=known, on_loss="fail")
        return world, await world.ask(OpenAI.request(temperature=0.2))

    world, result = run(scenario())

    assert isinstance(result.outcome, Refused)
    assert RefusedBy.UNREPRESENTABLE is result.outcome.by
    assert "temperature;dropped would be lost (b)" in result.outcome.detail
    assert (0, 0) == (world.script.count("b"), world.script.count("c"))


def test_where_nothing_is_lost_a_route_that_fails_on_loss_answers():
    async def scenario() -> Result:
        script = Script({"a": [DOWN], "b": [s.answer(Anthropic.whole("b"))]})
        return await play(script, "openai_chat", "anthropic", on_loss="fail").ask()

    assert isinstance(run(scenario()).outcome, Answered)


# ---- what a refusal teaches ---------------------------------------------------------------------


def refusing(field: str) -> s.Behaviour:
    said = {"message": f"Unsupported parameter: '{field}' is not supported with this model.",
            "type": "invalid_request_error", "param": field, "code": "unsupported_parameter"}  # fmt: skip
    return s.error((400, json.dumps({"error": said}).encode()))


def test_a_field_that_is_refused_by_name_is_left_out_at_once_and_from_then_on():
    async def scenario() -> tuple[Play, list[Result]]:
        script = Script({"a": [DOWN], "b": [refusing("seed"), s.answer(OpenAI.whole("b"))]})
        world = play(script, "openai_chat", "openai_chat")
        results = [await world.ask(OpenAI.request(seed=7)) for _ in range(2)]
        world.stack = world.build(world.route)  # a reload forgets nothing
        return world, [*results, await world.ask(OpenAI.request(seed=7))]

    world, results = run(scenario())

    assert all(isinstance(result.outcome, Answered) for result in results)
    bodies = [json.loads(asked.body) for asked in world.script.asked if asked.target == "b"]
    assert [True, False, False, False] == ["seed" in body for body in bodies]
    assert all(b"seed;dropped" == r.tape.head.get(LOSSES) for r in results if r.tape.head is not None)
    assert [("seed",)] == [e.fields for e in world.told if isinstance(e, FieldsDenied)]


def test_a_refusal_in_another_dialect_teaches_too():
    wrong = Anthropic.error("temperature: Extra inputs are not permitted", "invalid_request_error")

    async def scenario() -> tuple[Play, Result]:
        script = Script({"a": [DOWN], "b": [s.error((400, wrong)), s.answer(Anthropic.whole("b"))]})
        world = play(script, "openai_chat", "anthropic")
        return world, await world.ask(OpenAI.request(temperature=0.2))

    world, result = run(scenario())

    assert isinstance(result.outcome, Answered)
    asked = [json.loads(asked.body) for asked in world.script.asked if asked.target == "b"]
    assert [True, False] == ["temperature" in body for body in asked]


@pytest.mark.parametrize(
    "refusal",
    [
        (422, {"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"]}]}}),
        (422, {"detail": [{"loc": ["body", "stream_options"], "type": "value_error.extra"}]}),
        (400, {"error": {"message": "Extra inputs are not permitted, field: 'stream_options'"}}),
        (400, {"error": {"message": "Unrecognized request argument supplied: stream_options"}}),
    ],
)
@pytest.mark.parametrize("on_loss", ["allow", "fail"])
def test_who_cannot_count_in_a_stream_is_asked_again_without_and_the_client_loses_nothing(
    refusal: tuple[int, Any], on_loss: OnLoss
):
    async def scenario() -> tuple[Play, list[Result]]:
        status, said = refusal
        wrong, right = s.error((status, json.dumps(said).encode())), s.stream(OpenAI.events(["all is well"]))
        script = Script({"a": [DOWN], "b": [wrong, right]})
        world = play(script, "anthropic", "openai_chat", words=Anthropic, on_loss=on_loss)
        return world, [await world.ask(Anthropic.request(stream=True)) for _ in range(2)]

    world, results = run(scenario())

    assert all(
        isinstance(result.outcome, Answered) and b"all is well" in result.tape.body for result in results
    )
    asked = [json.loads(asked.body) for asked in world.script.asked if asked.target == "b"]
    assert [True, False, False] == ["stream_options" in body for body in asked]
    assert [None, None] == [r.tape.head.get(LOSSES) for r in results if r.tape.head is not None]
    assert [("stream_options",)] == [e.fields for e in world.told if isinstance(e, FieldsDenied)]


def test_who_refuses_what_carries_meaning_is_passed_over_and_the_chain_goes_on():
    async def scenario() -> tuple[Play, Result]:
        script = Script({"a": [DOWN], "b": [refusing("n")], "c": [s.answer(OpenAI.whole("c"))]})
        world = play(script, "openai_chat", "openai_chat", "openai_chat")
        await world.ask(OpenAI.request(n=2))
        return world, await world.ask(OpenAI.request(n=2))

    world, result = run(scenario())

    assert isinstance(result.outcome, Answered)
    assert 1 == world.script.count("b")
    assert ("b", "denied") in skips(world)


def test_the_clients_own_target_is_sent_again_what_it_refused():
    """The application has to see the complaint each time."""

    async def scenario() -> Play:
        world = play(Script({"a": [refusing("seed")]}), "openai_chat")
        for _ in range(2):
            await world.ask(OpenAI.request(seed=7))
        return world

    world = run(scenario())

    assert [True, True] == ["seed" in json.loads(asked.body) for asked in world.script.asked]


def test_a_client_that_forbids_retries_gets_the_refusal_and_the_lesson_stays():
    async def scenario() -> Play:
        script = Script({"a": [DOWN], "b": [refusing("seed"), s.answer(OpenAI.whole("b"))]})
        world = play(script, "openai_chat", "openai_chat")
        await world.ask(OpenAI.request(seed=7), options=Options(retry=False))
        await world.ask(OpenAI.request(seed=7), options=Options(retry=False))
        return world

    world = run(scenario())

    asked = [json.loads(asked.body) for asked in world.script.asked if asked.target == "b"]
    assert [True, False] == ["seed" in body for body in asked]


def test_bytes_a_token_takes_are_learned_from_what_a_stand_in_counts():
    body = OpenAI.request("word " * 400)
    counted = json.loads(OpenAI.whole("b"))
    counted["usage"] = {"prompt_tokens": len(body) // 2, "completion_tokens": 1, "total_tokens": 1}

    async def scenario() -> float:
        script = Script({"a": [DOWN], "b": [s.answer(json.dumps(counted).encode())]})
        world = play(script, "openai_chat", "openai_chat")
        for _ in range(40):
            await world.ask(body)
        return world.memory.ratios.of("b/b-model")

    assert run(scenario()) == pytest.approx(2.0, abs=0.1)


def test_a_body_nobody_can_read_goes_to_a_stand_in_of_its_own_dialect_as_it_is():
    body = b'{"model": "m", "messages": 7}'

    async def scenario() -> Play:
        script = Script({"a": [DOWN], "b": [s.answer(OpenAI.whole("b"))]})
        world = play(script, "openai_chat", "openai_chat")
        await world.ask(body)
        return world

    assert b'"messages": 7' in run(scenario()).script.asked[-1].body


def test_a_call_that_is_asked_as_a_stream_is_translated_as_one():
    async def scenario() -> tuple[Play, Result]:
        script = Script({"a": [DOWN], "b": [s.stream(Anthropic.events(["all is well"]))]})
        world = play(script, "openai_chat", "anthropic", words=Responses, upstream_stream=True)
        return world, await world.ask()

    world, result = run(scenario())

    assert isinstance(result.outcome, Answered)
    assert json.loads(world.script.asked[-1].body)["stream"] is True
    assert b"all is well" in result.tape.body
