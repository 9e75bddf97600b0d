"""Makes models.json of the model file in litellm's wheel: `python -m sidecar.models.build [WHEEL | VERSION]`.

For whoever maintains the catalogue; nothing at run time imports this. The wheel is downloaded and opened
as an archive, never installed. The same wheel gives the same bytes, so that a refresh reads as a diff
of facts. A model is a line; names that share all facts share the line.

Left out, on purpose: prices of batches, priority and flex tiers, of minutes, images and searches. Nobody
tells us in an answer which of them applied, and a wrong price is worse than a gap.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from sidecar.models.card import PICO, Ability, About, Data, Rates, Row, Tier

PINNED = "1.109.1"
FILE = Path(__file__).with_name("models.json")
SOURCE = "model_prices_and_context_window_backup.json"
MODES = {"chat": False, "responses": False, "embedding": True}

# our provider: what litellm calls it, and the prefix of its names there
PROVIDERS: Mapping[str, Mapping[str, str]] = {
    "anthropic": {"anthropic": "anthropic/"},
    "azure": {"azure": "azure/"},
    "cerebras": {"cerebras": "cerebras/"},
    "dashscope": {"dashscope": "dashscope/"},
    "deepinfra": {"deepinfra": "deepinfra/"},
    "deepseek": {"deepseek": "deepseek/"},
    "fireworks": {"fireworks_ai": "fireworks_ai/", "fireworks_ai-embedding-models": "fireworks_ai/"},
    "gemini": {"gemini": "gemini/"},
    "groq": {"groq": "groq/"},
    "minimax": {"minimax": "minimax/"},
    "mistral": {"mistral": "mistral/"},
    "moonshot": {"moonshot": "moonshot/"},
    "openai": {"openai": "openai/"},
    "perplexity": {"perplexity": "perplexity/"},
    "sambanova": {"sambanova": "sambanova/"},
    "together": {"together_ai": "together_ai/"},
    "vertex": {"vertex_ai-language-models": "vertex_ai/", "vertex_ai": "vertex_ai/"},
    "voyage": {"voyage": "voyage/"},
    "xai": {"xai": "xai/"},
    "zai": {"zai": "zai/"},
}
# classes of size instead of models, and Azure's regions, which no request names
NO_MODEL = re.compile(r"(?:fireworks-ai|together-ai)-|(?:eu|us|global|global-standard)/")
FLAGS = {
    "supports_function_calling": Ability.TOOLS,
    "supports_tool_choice": Ability.CHOICE,
    "supports_forced_tool_use": Ability.FORCED,
    "supports_parallel_function_calling": Ability.PARALLEL,
    "supports_parallel_tool_use_config": Ability.SWITCH,
    "supports_response_schema": Ability.SCHEMA,
    "supports_native_structured_output": Ability.NATIVE_SCHEMA,
    "supports_vision": Ability.IMAGES,
    "supports_pdf_input": Ability.DOCUMENTS,
    "supports_audio_input": Ability.AUDIO,
    "supports_video_input": Ability.VIDEO,
    "supports_reasoning": Ability.THINKING,
    "supports_adaptive_thinking": Ability.ADAPTIVE,
    "supports_none_reasoning_effort": Ability.NO_EFFORT,
    "supports_minimal_reasoning_effort": Ability.MINIMAL_EFFORT,
    "supports_xhigh_reasoning_effort": Ability.XHIGH_EFFORT,
    "supports_max_reasoning_effort": Ability.MAX_EFFORT,
    "supports_assistant_prefill": Ability.PREFILL,
    "supports_system_messages": Ability.SYSTEM,
    "supports_mid_conversation_system": Ability.SYSTEM_ANYWHERE,
    "supports_sampling_params": Ability.SAMPLING,
    "supports_prompt_caching": Ability.CACHING,
}
RATES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "reasoning": "output_cost_per_reasoning_token",
}
_ABOVE = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")


def reduced(models: Mapping[str, Any]) -> dict[str, tuple[Row, ...]]:
    """Our rows of litellm's entries, by provider. Raises ValueError for a price we could not keep exactly."""
    found: dict[str, dict[bytes, list[str]]] = {}
    owners = {theirs: (ours, cut) for ours, rows in PROVIDERS.items() for theirs, cut in rows.items()}
    taken: set[tuple[str, str]] = set()
    for name in sorted(models, key=lambda name: (name.count("/"), name)):  # the plainest spelling first
        entry = models[name]
        owner = owners.get(str(entry.get("litellm_provider"))) if isinstance(entry, dict) else None
        if owner is None or entry.get("mode") not in MODES:
            continue
        provider, prefix = owner
        own = name.removeprefix(prefix)
        if NO_MODEL.match(own) or (provider, own.casefold()) in taken:
            continue
        if provider == "vertex" and "/" in own:
            continue  # other people's models speak their own dialects there
        card = _row(entry)
        if card == Row(names=(), embedding=card.embedding):
            continue  # nothing is known
        taken.add((provider, own.casefold()))
        found.setdefault(provider, {}).setdefault(msgspec.json.encode(card), []).append(own)
    return {
        provider: tuple(sorted(map(_named, cards.items()), key=lambda row: row.names))
        for provider, cards in sorted(found.items())
    }


def _named(item: tuple[bytes, list[str]]) -> Row:
    return msgspec.structs.replace(msgspec.json.decode(item[0], type=Row), names=tuple(sorted(item[1])))


def _row(entry: Mapping[str, Any]) -> Row:
    rates, tiers = _prices(entry)
    return Row(
        names=(),
        embedding=MODES[entry["mode"]],
        window=_count(entry.get("max_input_tokens")),
        output=None if MODES[entry["mode"]] else _count(entry.get("max_output_tokens")),
        yes=_words(entry, wanted=True),
        no=_words(entry, wanted=False),
        retires=entry.get("deprecation_date"),
        rates=rates,
        tiers=tiers,
    )


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and value > 0 else None


def _words(entry: Mapping[str, Any], *, wanted: bool) -> str:
    return " ".join(sorted(word for flag, word in FLAGS.items() if entry.get(flag) is wanted))


def _prices(entry: Mapping[str, Any]) -> tuple[Rates | None, tuple[Tier, ...]]:
    ranges = entry.get("tiered_pricing")
    if isinstance(ranges, list) and ranges:
        steps = [(int(step["range"][0]), _rates(step, "", None)) for step in ranges if "range" in step]
        steps = sorted((step for step in steps if step[1] is not None), key=lambda step: step[0])
        tiers = tuple(Tier(above, rates) for above, rates in steps[1:] if rates is not None)
        return (steps[0][1], tiers) if steps else (None, ())
    base = _rates(entry, "", None)
    if base is None:
        return None, ()
    sizes = sorted({int(match[1]) for key in entry if (match := _ABOVE.fullmatch(key))})
    above = [(size * 1000, _rates(entry, f"_above_{size}k_tokens", base)) for size in sizes]
    return base, tuple(Tier(size, rates) for size, rates in above if rates is not None)


def _rates(entry: Mapping[str, Any], suffix: str, base: Rates | None) -> Rates | None:
    said = {ours: _pico(entry.get(theirs + suffix)) for ours, theirs in RATES.items()}
    if base is not None:
        said = {ours: getattr(base, ours) if value is None else value for ours, value in said.items()}
    if said["input"] is None or (said["output"] is None and entry.get("mode") != "embedding"):
        return None
    return Rates(**{**said, "output": said["output"] or 0})  # type: ignore[arg-type]  # input is checked above


def _pico(dollars: Any) -> int | None:
    if not isinstance(dollars, (int, float)):
        return None
    exact = Decimal(repr(dollars)) * PICO
    if exact < 0 or exact != exact.to_integral_value():
        raise ValueError(f"a price of {dollars} dollars a token is no whole number of pico-dollars")
    return int(exact)


def written(data: Data) -> bytes:
    """The file's bytes: one line for each row."""
    encode = msgspec.json.encode
    lines = [b'{"about":' + msgspec.json.format(encode(data.about), indent=1) + b',\n"providers":{']
    for number, (provider, rows) in enumerate(data.providers.items()):
        lines.append((b"],\n" if number else b"") + encode(provider) + b":[")
        lines.append(b",\n".join(map(encode, rows)))
    lines.append(b"]}}\n")
    return b"\n".join(lines)


def read(wheel: Path) -> Data:
    """Raises ValueError if the wheel is not what it should be."""
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read(f"litellm/{SOURCE}")
        licences = [name for name in archive.namelist() if re.search(r"\.dist-info/.*LICENSE$", name)]
        licence = archive.read(licences[0]).decode() if licences else ""
    start = licence.find("MIT License")
    if start < 0:
        raise ValueError(f"{wheel.name} has no MIT licence any more: look before you take its data")
    about = About(
        source=f"litellm, {SOURCE}, reduced and renamed",
        version=wheel.name.split("-")[1],
        digest=hashlib.sha256(raw).hexdigest(),
        units="tokens; rates: pico-dollars a token of input, output, cache read, cache write, reasoning",
        licence=licence[start:].strip(),
    )
    return Data(about, reduced(msgspec.json.decode(raw)))


def download(version: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), f"litellm=={version}"], check=True)  # noqa: S603  # our own arguments
    return next(folder.glob("litellm-*.whl"))


@contextmanager
def wheel_of(given: str) -> Iterator[Path]:
    """The wheel itself, or the downloaded one of that version, for as long as it is needed."""
    if given.endswith(".whl"):
        yield Path(given)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield download(given, Path(folder))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sidecar.models.build", description=__doc__)
    parser.add_argument("wheel", nargs="?", default=PINNED, help="a wheel's path, or a version to download")
    parser.add_argument("--to", type=Path, default=FILE, help="where to write (default: the package's file)")
    given = parser.parse_args(arguments)
    with wheel_of(given.wheel) as wheel:
        data = read(wheel)
    raw = written(data)
    given.to.write_bytes(raw)
    count = sum(len(row.names) for rows in data.providers.values() for row in rows)
    sys.stdout.write(f"{given.to}: {count} models of {len(data.providers)} providers, {len(raw)} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
