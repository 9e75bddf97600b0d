"""The same attempts under the names of the GenAI conventions, for boards that other people made.

Off unless `telemetry.genai_metrics` says so; then nothing here exists. Our own metrics stay what boards
and alerts of ours read: the conventions' names are about to change, and know neither retry nor route.

The names are those that are deployed (`gen_ai.client.*` before 2026); one observation per attempt, as
its span has it. Of the attributes that are only recommended, `gen_ai.response.model`, `server.address`
and `server.port` are left to the spans: they multiply series and tell nothing that is not configured.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.model import Attempt, Call, Operation
from sidecar.settings import Settings
from sidecar.telemetry import catalog
from sidecar.telemetry.catalog import OTHER
from sidecar.telemetry.conventions import known_as, operation_of
from sidecar.telemetry.instruments import Instruments
from sidecar.telemetry.labels import Key


class GenAi:
    """`ended` for every attempt, `learn` with every configuration."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._duration = instruments.histogram(catalog.GENAI_DURATION)
        self._tokens = instruments.histogram(catalog.GENAI_TOKENS)
        self._first = instruments.histogram(catalog.GENAI_FIRST)
        self._known: dict[str, str] = {}

    def learn(self, settings: Settings, named: Iterable[Key]) -> None:
        """`named`: provider and model of the configured targets, which exist at 0."""
        targets = [target for route in settings.routes for target in route.targets]
        providers = {**settings.providers, **{t.provider.name: t.provider for t in targets}}
        self._known = {name: known_as(provider) for name, provider in providers.items()}
        for provider, model in sorted(named):
            if model == OTHER:
                continue
            operation = "generate_content" if providers[provider].dialect == "gemini" else "chat"
            about = (operation, self._known[provider], model)
            self._duration.declare(*about, "")
            self._first.declare(*about)
            for kind in ("input", "output"):
                self._tokens.declare(*about, kind)

    def ended(self, call: Call, attempt: Attempt, key: Key, fault: str) -> None:
        """`key`: provider and model, as labels may show them."""
        if call.ask.operation in {Operation.OTHER, Operation.TOOL} or attempt.ended is None:
            return
        about = (operation_of(call), self._known.get(key[0], key[0]), key[1])
        self._duration[(*about, fault)].observe(attempt.ended - attempt.started)
        if attempt.first_content is not None and call.ask.stream:
            self._first[about].observe(attempt.first_content - attempt.started)
        usage = attempt.usage
        if usage is None:
            return
        for kind, tokens in (("input", usage.input_total), ("output", usage.output_total)):
            if tokens is not None and tokens >= 0:  # a negative count is a provider's mistake
                self._tokens[(*about, kind)].observe(tokens)

    def close(self) -> None:
        for metric in catalog.GENAI:
            self._instruments.take_back(metric)
