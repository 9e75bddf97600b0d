from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.models import build
from sidecar.models.card import Data, Rates, Row, Tier

LICENCE = "Some of this is ours alone.\n---\nMIT License\n\nCopyright (c) Somebody\n\nPermission is granted."
CHAT = {"litellm_provider": "openai", "mode": "chat"}


def entry(**fields: Any) -> dict[str, Any]:
    return {**CHAT, "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, **fields}


def rows(models: dict[str, Any], provider: str = "openai") -> tuple[Row, ...]:
    return build.reduced(models)[provider]


def wheel(folder: Path, models: dict[str, Any], licence: str = LICENCE) -> Path:
    path = folder / "litellm-9.8.7-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"litellm/{build.SOURCE}", json.dumps(models))
        archive.writestr("litellm-9.8.7.dist-info/licenses/LICENSE", licence)
    return path


def test_limits_abilities_prices_and_dates_are_kept():
    row = rows(
        {
            "m": entry(
                max_input_tokens=1000,
                max_output_tokens=100,
                cache_read_input_token_cost=2.5e-07,
                deprecation_date="2027-02-03",
                supports_vision=True,
                supports_sampling_params=False,
                supports_unheard_of=True,
            )
        }
    )[0]

    assert ("m",) == row.names
    assert (1000, 100) == (row.window, row.output)
    assert ("images", "sampling") == (row.yes, row.no)
    assert "2027-02-03" == str(row.retires)
    assert Rates(1_000_000, 2_000_000, 250_000) == row.rates


def test_prices_of_long_prompts_become_tiers_that_inherit_what_they_do_not_say():
    row = rows({"m": entry(cache_read_input_token_cost=1e-07, input_cost_per_token_above_200k_tokens=3e-06)})[
        0
    ]

    assert (Tier(200_000, Rates(3_000_000, 2_000_000, 100_000)),) == row.tiers


def test_a_list_of_ranges_becomes_tiers():
    ranges = [
        {"range": [256_000.0, 1e6], "input_cost_per_token": 3e-06, "output_cost_per_token": 4e-06},
        {"range": [0, 256_000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
    ]
    row = rows({"m": {**CHAT, "tiered_pricing": ranges}})[0]

    assert Rates(1_000_000, 2_000_000) == row.rates
    assert (Tier(256_000, Rates(3_000_000, 4_000_000)),) == row.tiers


def test_prices_that_no_answer_tells_apart_are_left_out():
    plain = rows({"m": entry()})
    assert plain == rows(
        {"m": entry(input_cost_per_token_batches=5e-07, output_cost_per_token_priority=9e-06)}
    )


def test_names_that_share_all_facts_share_a_row():
    assert [("a", "b"), ("c",)] == [
        row.names for row in rows({"b": entry(), "a": entry(), "c": entry(max_input_tokens=5)})
    ]


def test_the_prefix_of_their_names_is_taken_off():
    models = {"together_ai/meta/llama": entry(litellm_provider="together_ai")}
    assert ("meta/llama",) == rows(models, "together")[0].names


def test_the_plainest_spelling_of_a_name_wins():
    models = {"deepseek/chat": entry(litellm_provider="deepseek", max_input_tokens=7)}
    models["chat"] = entry(litellm_provider="deepseek", max_input_tokens=8)
    assert [8] == [row.window for row in rows(models, "deepseek")]


@pytest.mark.parametrize(
    "left_out",
    [
        {"m": entry(litellm_provider="somebody")},
        {"m": entry(mode="image_generation")},
        {"m": dict(CHAT)},  # nothing is known
        {"azure/eu/m": entry(litellm_provider="azure")},
        {"together-ai-4.1b-8b": entry(litellm_provider="together_ai")},
        {"vertex_ai/xai/m": entry(litellm_provider="vertex_ai")},
        {"m": "no object"},
    ],
)
def test_what_is_no_model_of_ours_is_left_out(left_out: dict[str, Any]):
    assert {} == build.reduced(left_out)


def test_an_embedding_needs_no_price_of_output():
    row = rows({"m": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 2e-08}})[0]
    assert (True, Rates(20_000, 0)) == (row.embedding, row.rates)


@pytest.mark.parametrize("dollars", [1.5e-13, -1e-06])
def test_a_price_that_cannot_be_kept_exactly_stops_the_build(dollars: float):
    with pytest.raises(ValueError, match="pico-dollars"):
        build.reduced({"m": entry(input_cost_per_token=dollars)})


def test_the_same_wheel_gives_the_same_bytes_and_they_say_where_they_are_from(tmp_path: Path):
    models = {"b": entry(), "a": entry(max_input_tokens=3), "groq/x": entry(litellm_provider="groq")}
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    path = str(wheel(tmp_path, models))

    assert 0 == build.main([path, "--to", str(first)])
    assert 0 == build.main([path, "--to", str(second)])

    assert first.read_bytes() == second.read_bytes()
    data = msgspec.json.decode(first.read_bytes(), type=Data)
    assert "9.8.7" == data.about.version
    assert data.about.licence.startswith("MIT License")
    assert ["groq", "openai"] == list(data.providers)
    assert build.read(Path(path)) == data


def test_data_under_another_licence_is_not_taken(tmp_path: Path):
    with pytest.raises(ValueError, match="MIT"):
        build.read(wheel(tmp_path, {"m": entry()}, "All rights reserved."))
