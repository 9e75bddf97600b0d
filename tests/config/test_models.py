"""What configuration says of models, and what is found where a card is asked for."""

from __future__ import annotations

import pytest

from sidecar.config import ConfigError, parse, warnings
from sidecar.models.card import Ability
from sidecar.models.catalogue import Cards

MODELS = """
providers:
  vllm: {url: "http://10.0.0.5:8000/v1", dialect: openai_chat, private: true}
models:
  - {provider: openai, model: gpt-4o, input: 2.0, output: 8.0}
  - {provider: vllm, model: ours, like: openai/gpt-4o, window: 32000, cannot: [images]}
"""


def test_a_card_is_the_catalogues_with_what_configuration_says_put_in():
    settings = parse(MODELS)
    cards = Cards(settings.models)

    listed, ours = (
        cards(settings.providers["openai"], "gpt-4o"),
        cards(settings.providers["vllm"], "ours"),
    )

    assert listed is not None
    assert listed.price is not None
    assert listed.window is not None
    assert (2_000_000, 8_000_000) == (listed.price.rates.input, listed.price.rates.output)
    assert ours is not None
    assert ours.window == 32_000
    assert ours.can(Ability.IMAGES) is False
    assert cards(settings.providers["vllm"], "never heard of") is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{provider: opnai, model: m}", 'no provider named "opnai", did you mean "openai"?'),
        ("{provider: openai, model: m, can: [flying]}", '"flying" is no ability'),
        ("{provider: openai, model: m, like: openai/nothing}", "the catalogue has no model"),
        ("{provider: openai, model: m, input: 1.0}", "one of them is missing"),
        ("{provider: openai}", "is missing"),
        ("{provider: openai, model: m, windw: 7}", "unknown key"),
    ],
)
def test_a_mistake_is_told_with_its_place(line: str, said: str):
    with pytest.raises(ConfigError) as raised:
        parse(f"models:\n  - {line}\n")

    assert "models[0]" in str(raised.value)
    assert said in str(raised.value)


def test_one_model_has_one_entry():
    with pytest.raises(ConfigError, match=r"models\[0\] says this model already"):
        parse("models:\n  - {provider: openai, model: M}\n  - {provider: openai, model: m}\n")


ROUTE = """
routes:
  - name: r
    continuation: true
    match: {{provider: openai}}
    chain:
      - {{provider: openai, model: gpt-4o}}
      - {{provider: anthropic, model: {model}, key: {{env: HOME}}}}
"""


@pytest.mark.parametrize(("model", "warned"), [("claude-sonnet-4-5", 0), ("claude-opus-4-8", 1)])
def test_a_continuation_that_nobody_can_take_is_warned_of(model: str, warned: int):
    found = [one.text() for one in warnings(parse(ROUTE.format(model=model))) if "continuation" in one.text()]

    assert warned == len(found)
