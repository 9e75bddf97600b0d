from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gate.check import Change, How, Reason, Skip
from sidecar.gate.denials import EACH, KEPT, LARGEST, Denial, Denials, learned, obeyed
from sidecar.models.card import Ability, Card


def openai(message: str, param: str | None = None, code: str | None = None) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return json.dumps({"error": error}).encode()


def anthropic(message: str) -> bytes:
    error = {"type": "invalid_request_error", "message": message}
    return json.dumps({"type": "error", "error": error}).encode()


def gemini(*messages: str) -> bytes:
    error = {"code": 400, "message": "\n".join(messages), "status": "INVALID_ARGUMENT"}
    return json.dumps({"error": error}).encode()


SCHEMA = Denial(ability=Ability.SCHEMA)
UNKNOWN = 'Invalid JSON payload received. Unknown name "%s": Cannot find field.'
UNKNOWN_AT = "Invalid JSON payload received. Unknown name \"%s\" at '%s': Cannot find field."


@pytest.mark.parametrize(
    ("dialect", "body", "expected"),
    [
        (
            "openai_chat",
            openai("Unsupported parameter: 'max_tokens' is not supported with this model. "
                   "Use 'max_completion_tokens' instead.", "max_tokens", "unsupported_parameter"),
            Denial(field="max_tokens", instead="max_completion_tokens"),
        ),
        (
            "openai_chat",
            openai("Unsupported value: 'temperature' does not support 0.2 with this model. "
                   "Only the default (1) value is supported.", "temperature", "unsupported_value"),
            Denial(field="temperature"),
        ),
        (
            "openai_chat",
            openai("Unsupported value: 'reasoning_effort' does not support 'minimal' with this model.",
                   "reasoning_effort", "unsupported_value"),
            Denial(field="reasoning_effort", value="minimal"),
        ),
        (
            "openai_responses",
            openai("Unsupported value: 'xhigh' is not supported with the 'm' model.", "reasoning.effort"),
            Denial(field="reasoning.effort", value="xhigh"),
        ),
        (
            "openai_responses",
            openai("Unknown parameter: 'verbosity'.", "verbosity", "unknown_parameter"),
            Denial(field="verbosity"),
        ),
        ("openai_chat", openai("Unrecognized request argument supplied: store"), Denial(field="store")),
        ("openai_chat", openai("property 'logit_bias' is unsupported"), Denial(field="logit_bias")),
        (
            "openai_chat",
            openai("Argument not supported on this model: presencePenalty"),
            Denial(field="presence_penalty"),
        ),
        (
            "openai_chat",
            openai("grok does not support parameter frequency_penalty."),
            Denial(field="frequency_penalty"),
        ),
        ("openai_chat", openai("`seed` is not supported"), Denial(field="seed")),
        ("openai_chat", openai("Penalty is not enabled for models/g"), Denial(field="presence_penalty")),
        (
            "openai_chat",
            b'{"detail": [{"type": "extra_forbidden", "loc": ["body", "store"], "msg": "x"}]}',
            Denial(field="store"),
        ),
        (
            "openai_chat",
            b'{"detail": [{"type": "value_error.extra", "loc": ["body", "stream_options"], "msg": "x"}]}',
            Denial(field="stream_options"),
        ),
        (
            "openai_chat",
            openai("Extra inputs are not permitted, field: 'stream_options', value: {'include_usage': True}"),
            Denial(field="stream_options"),
        ),
        (
            "openai_chat",
            json.dumps({"object": "error", "message": {
                "detail": [{"type": "extra_forbidden", "loc": ["body", "user"], "msg": "x"}]}}).encode(),
            Denial(field="user"),
        ),
        (
            "openai_chat",
            json.dumps({"object": "error", "message":
                        "[{'type': 'extra_forbidden', 'loc': ('body', 'store'), 'msg': 'no'}]"}).encode(),
            Denial(field="store"),
        ),
        ("openai_chat", openai("This model does not support tools"), Denial(ability=Ability.TOOLS)),
        ("openai_chat", openai("x does not support tools"), Denial(ability=Ability.TOOLS)),
        ("openai_chat", b'{"error": "m does not support tools"}', Denial(ability=Ability.TOOLS)),
        (
            "openai_chat",
            openai("Invalid content type. image_url is only supported by certain models."),
            Denial(ability=Ability.IMAGES),
        ),
        (
            "openai_chat",
            openai("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this "
                   "model.", "response_format"),
            Denial(ability=Ability.SCHEMA),
        ),
        ("anthropic", anthropic("store: Extra inputs are not permitted"), Denial(field="store")),
        ("anthropic", anthropic("`temperature` is deprecated for this model."), Denial(field="temperature")),
        (
            "anthropic",
            anthropic("`temperature` and `top_p` cannot both be specified for this model."),
            Denial(field="top_p", beside="temperature"),
        ),
        (
            "anthropic",
            anthropic("This model does not support assistant message prefill."),
            Denial(ability=Ability.PREFILL),
        ),
        ("anthropic", anthropic("adaptive thinking is not supported"), Denial(ability=Ability.ADAPTIVE)),
        ("anthropic", anthropic("output_format: Extra inputs are not permitted"), SCHEMA),
        ("gemini", gemini(UNKNOWN % "store"), Denial(field="store")),
        (
            "gemini",
            gemini(UNKNOWN_AT % ("enable_thing", "generation_config")),
            Denial(field="generationConfig.enableThing"),
        ),
        (
            "gemini",
            gemini("Presence penalty is not enabled for this model"),
            Denial(field="generationConfig.presencePenalty"),
        ),
        ("gemini", b"[%s]" % gemini(UNKNOWN % "store"), Denial(field="store")),
        ("gemini", gemini("Function calling is not enabled for models/g"), Denial(ability=Ability.TOOLS)),
        ("gemini", gemini("JSON mode is not enabled for models/g"), SCHEMA),
        ("gemini", gemini("Developer instruction is not enabled for m"), Denial(ability=Ability.SYSTEM)),
        ("gemini", gemini("Thinking is not supported by this model."), Denial(ability=Ability.THINKING)),
    ],
)  # fmt: skip
def test_a_refusal_teaches_what_it_names(dialect: str, body: bytes, expected: Denial | None):
    assert expected == next(iter(learned(dialect, 400, body)), None)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai_chat", openai("messages[0].content is too long")),
        (
            "openai_chat",
            openai("Unknown parameter: 'messages[0].foo'.", "messages[0].foo", "unknown_parameter"),
        ),
        ("openai_chat", openai("Invalid value: 'x'", "tools[0].type", "invalid_value")),
        ("anthropic", anthropic("messages.0.content.0.text.foo: Extra inputs are not permitted")),
        ("anthropic", anthropic("max_tokens: 900000 > 64000, which is the maximum allowed")),
        ("anthropic", anthropic("prompt is too long: 210000 tokens > 200000 maximum")),
        ("gemini", gemini(UNKNOWN_AT % ("const", "tools[0].function_declarations[1].parameters"))),
        ("gemini", gemini("API key not valid. Please pass a valid API key.")),
        ("openai_chat", b"<html>"),
        ("openai_chat", b"[]"),
        ("openai_chat", b"{}"),
        ("openai_chat", b'{"error": 7}'),
        ("openai_chat", b'{"error": {"message": 7}}'),
        ("openai_chat", b'{"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 0]}]}'),
        ("openai_chat", b'{"detail": [{"type": "extra_forbidden"}]}'),
    ],
)
def test_a_complaint_about_this_one_request_teaches_nothing(dialect: str, body: bytes):
    assert () == learned(dialect, 400, body)


@pytest.mark.parametrize("status", [200, 401, 403, 404, 413, 429, 500, 529])
def test_only_a_bad_request_teaches(status: int):
    assert () == learned("openai_chat", status, openai("property 'seed' is unsupported"))


def test_a_refusal_that_is_too_large_is_not_read():
    assert () == learned("openai_chat", 400, openai("property 'seed' is unsupported" + " " * LARGEST))


def test_one_refusal_may_name_several_fields_and_no_flood_of_them():
    said = learned("gemini", 400, gemini(*(UNKNOWN % f"field_{n}" for n in range(50))))
    assert ("field_0", "field_1") == (said[0].field, said[1].field)
    assert 8 == len(said)


@given(st.sampled_from(["openai_chat", "openai_responses", "anthropic", "gemini"]), st.text(max_size=300))
def test_whatever_a_provider_writes_only_plain_names_are_kept(dialect: str, text: str):
    for body in (openai(text, text, "unsupported_parameter"), anthropic(text), gemini(UNKNOWN % text)):
        for denial in learned(dialect, 400, body):
            assert all(c.isalnum() or c in "_." for c in denial.field + denial.instead + denial.beside)
            assert len(denial.field) <= 130


# ---- what is remembered ---------------------------------------------------------------------------


def test_what_is_new_is_told_once():
    known = Denials()
    first, second = Denial(field="seed"), Denial(field="user")
    assert (first,) == known.learn("x", [first])
    assert (second,) == known.learn("x", [first, second])
    assert (first, second) == known.of("x")
    assert () == known.of("y")


def test_memory_is_bounded():
    known = Denials()
    known.learn("x", [Denial(field=f"f{n}") for n in range(EACH + 3)])
    assert EACH == len(known.of("x"))
    assert "f3" == known.of("x")[0].field
    for n in range(KEPT):
        known.learn(f"t{n}", [Denial(field="seed")])
    assert () == known.of("x")


def test_learning_nothing_remembers_nobody():
    known = Denials()
    known.learn("x", [])
    assert () == known.of("x")


def test_a_denied_ability_is_taken_off_the_card():
    known = Denials()
    known.learn("x", [Denial(ability=Ability.TOOLS), Denial(field="seed")])
    sure = Card(provider="p", name="m", yes=frozenset({Ability.TOOLS, Ability.IMAGES}))
    told = known.card("x", sure)
    assert told is not None
    assert (False, True) == (told.can(Ability.TOOLS), told.can(Ability.IMAGES))
    unknown = known.card("x", None)
    assert unknown is not None
    assert unknown.can(Ability.TOOLS) is False
    assert sure is known.card("y", sure)
    assert known.card("y", None) is None


# ---- what is obeyed -------------------------------------------------------------------------------


def obey(dialect: str, body: dict[str, Any], *denials: Denial) -> Any:
    said = obeyed(dialect, json.dumps(body).encode(), denials)
    return said if isinstance(said, Skip) else (json.loads(said[0]), said[1])


def test_an_optional_field_is_dropped_and_told():
    assert ({"a": 1}, (Change("seed", How.DROPPED),)) == obey(
        "openai_chat", {"seed": 3, "a": 1}, Denial(field="seed")
    )


def test_a_field_by_another_name_is_no_loss():
    denial = Denial(field="max_tokens", instead="max_completion_tokens")
    assert ({"max_completion_tokens": 3}, ()) == obey("openai_chat", {"max_tokens": 3}, denial)


def test_a_value_is_dropped_where_it_is_that_value():
    denial = Denial(field="reasoning_effort", value="minimal")
    assert {} == obey("openai_chat", {"reasoning_effort": "minimal"}, denial)[0]
    assert {"reasoning_effort": "low"} == obey("openai_chat", {"reasoning_effort": "low"}, denial)[0]


def test_of_a_pair_the_second_goes():
    denial = Denial(field="top_p", beside="temperature")
    assert {"temperature": 1} == obey("anthropic", {"temperature": 1, "top_p": 1}, denial)[0]
    assert {"top_p": 1} == obey("anthropic", {"top_p": 1}, denial)[0]


def test_a_field_that_carries_meaning_makes_the_target_unfit():
    denial = Denial(field="n")
    assert Skip(Reason.DENIED, "n") == obey("openai_chat", {"n": 2}, denial)
    assert ({"a": 1}, ()) == obey("openai_chat", {"a": 1}, denial)


def test_googles_fields_are_found_in_either_spelling():
    denial = Denial(field="generationConfig.topK")
    body = {"generation_config": {"top_k": 1, "topP": 1}}
    assert {"generation_config": {"topP": 1}} == obey("gemini", body, denial)[0]


def test_a_body_that_nobody_minds_keeps_its_bytes():
    body = b'{ "a" : 1.0 }'
    said = obeyed("openai_chat", body, [Denial(field="seed"), Denial(ability=Ability.TOOLS)])
    assert (body, ()) == said


def test_what_was_learned_is_not_refused_again():
    body: dict[str, Any] = {"messages": [], "presence_penalty": 1, "frequency_penalty": 1, "temperature": 0}
    denials = learned("openai_chat", 400, openai("Penalty is not enabled for this model"))
    now, told = obey("openai_chat", body, *denials)
    assert {"messages": [], "temperature": 0} == now
    assert ["presence_penalty", "frequency_penalty"] == [change.field for change in told]
