"""One target is told something else than what the client wrote: a prompt, a parameter, a field of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar import config
from sidecar.model import Answered, System, Target, Variant
from sidecar.settings import Route
from tests.kit import script as s
from tests.kit.answers import Anthropic, Gemini, OpenAI
from tests.kit.answers import Dialect as Words
from tests.kit.script import Play, Result, Script
from tests.kit.vloop import run

ASKED = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]


def told(other: Words, variant: Variant, *, own: bool = False, **more: Any) -> tuple[Any, Result]:
    """The body that a target with this variant gets, as the first of its chain or as a stand-in."""
    down, answer = s.lost(), s.answer(other.whole("well"))

    async def scenario() -> tuple[Any, Result]:
        a, b = s.target("a", "openai_chat"), s.target("b", other.dialect, model=None if own else "theirs")
        b = Target(name="b", provider=b.provider, model=b.model, key=b.key, variant=variant)
        script = Script({"b": [answer]} if own else {"a": [down], "b": [answer]})
        world = Play(script, OpenAI, route=Route(name="r", chain=(b,) if own else (a, b)))
        body = json.dumps({"model": "m", "messages": ASKED, **more}).encode()
        result = await world.ask(body)
        return json.loads(script.asked[-1].body), result

    body, result = run(scenario())
    assert isinstance(result.outcome, Answered)
    return body, result


def prompt(body: Any) -> str:
    """The system prompt, whatever the dialect."""
    if "messages" in body and body["messages"][0]["role"] == "system":
        return str(body["messages"][0]["content"])
    if "systemInstruction" in body:
        return "\n\n".join(part["text"] for part in body["systemInstruction"]["parts"])
    said = body["system"]
    return said if isinstance(said, str) else "\n\n".join(block["text"] for block in said)


@pytest.mark.parametrize("other", [OpenAI, Anthropic, Gemini], ids=lambda words: words.dialect)
@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (System(replace="Only."), ["Only."]),
        (System(prepend="First.", append="Last."), ["First.", "Be kind.", "Last."]),
    ],
    ids=["replaced", "framed"],
)
def test_a_stand_in_hears_its_own_system_prompt_in_its_own_dialect(
    other: Words, system: System, expected: list[str]
):
    body, _ = told(other, Variant(system=system))

    assert expected == [piece for piece in prompt(body).split("\n\n") if piece]


def test_parameters_win_over_the_clients_and_fields_of_its_own_are_set():
    parameters = {"temperature": 0.1, "seed": None, "max_output": 64, "chat_template_kwargs": {"a": 1}}
    body, _ = told(OpenAI, Variant(parameters=parameters), temperature=1.0, seed=7, max_tokens=9)

    assert (0.1, 64, {"a": 1}) == (body["temperature"], body["max_tokens"], body["chat_template_kwargs"])
    assert "seed" not in body


def test_parameters_are_said_in_the_words_of_another_dialect():
    parameters = {"temperature": 0.1, "max_output": 64, "metadata": {"user_id": "pod"}}
    body, result = told(Anthropic, Variant(parameters=parameters), temperature=1.0, max_tokens=9)

    assert (0.1, 64, {"user_id": "pod"}) == (body["temperature"], body["max_tokens"], body["metadata"])
    assert () == result.record.attempts[-1].losses  # somebody wanted it so


def test_the_clients_own_target_is_told_its_variant_too():
    body, _ = told(OpenAI, Variant(system=System(append="Last."), parameters={"seed": 1}), own=True)

    assert "Be kind.\n\nLast." == prompt(body)
    assert 1 == body["seed"]


def test_what_of_a_body_is_not_changed_keeps_its_bytes():
    asked = b'{"model":"m","messages":[{"role":"user","content":"h\\u00e9"}],"top_p":0.50}'

    async def scenario() -> bytes:
        b = s.target("b", "openai_chat")
        b = Target(name="b", provider=b.provider, key=b.key, variant=Variant(parameters={"seed": 1}))
        script = Script({"b": [s.answer(OpenAI.whole("well"))]})
        await Play(script, OpenAI, route=Route(name="r", chain=(b,))).ask(asked)
        return script.asked[-1].body

    body = run(scenario())

    assert b'[{"role":"user","content":"h\\u00e9"}]' in body
    assert b'"top_p":0.50' in body


GROQ = "{provider: groq, model: m, key: {env: K}, system: {append: Short.}, parameters: {temperature: 0}}"
CONTRARY = (
    "{provider: anthropic, model: m, key: {env: K}, system: {replace: a, append: b}, "
    "parameters: {effort: much, messages: []}}"
)
UNSAID = "{provider: anthropic, model: m, key: {env: K}, parameters: {seed: 1}}"


def chained(target: str) -> str:
    return f"routes: [{{name: r, match: {{provider: openai}}, chain: [openai, {target}]}}]"


def test_configuration_reads_variants():
    own, other = config.parse(chained(GROQ), "f").routes[0].chain

    assert own.variant is None
    assert Variant(system=System(append="Short."), parameters={"temperature": 0}) == other.variant


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (CONTRARY, "`system.replace` leaves nothing to prepend or append to"),
        (CONTRARY, "`parameters.effort` is 'much'"),
        (CONTRARY, "`parameters.messages` is no parameter"),
        (
            UNSAID,
            "chain[1].parameters.seed: anthropic has no such parameter; it has temperature",
        ),
    ],
)
def test_what_is_wrong_with_a_variant_is_said(target: str, said: str):
    with pytest.raises(config.ConfigError) as caught:
        config.parse(chained(target), "f")

    assert said in str(caught.value)
