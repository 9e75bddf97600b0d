"""When models retire, as a gauge: of every model that has a label of its own and a known last day.

Those are the configured ones and those that answered, so a model that only the application names is
watched too. Where there are more than the metric's bound the nearest days are shown.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from sidecar.models.catalogue import Cards
from sidecar.settings import Settings
from sidecar.telemetry import catalog
from sidecar.telemetry.instruments import Instruments
from sidecar.telemetry.labels import Key, Labels


class Retirements:
    def __init__(self, made: Instruments, labels: Labels, settings: Settings) -> None:
        self._ends = made.gauge(catalog.RETIREMENT)
        self._labels = labels
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        self._providers = settings.providers
        self._cards = Cards(settings.models)
        self._seen = -1  # models, when it was last looked

    def show(self) -> None:
        """Before a scrape."""
        models = self._labels.models
        if len(models) == self._seen:
            return
        self._seen = len(models)
        ends = {key: end for key in models if (end := self._end(key)) is not None}
        shown = sorted(ends, key=ends.__getitem__)[: self._ends.limit]
        for key in [key for key in self._ends if key not in shown]:
            self._ends.forget(key)
        for key in shown:
            self._ends.declare(*key)
            self._ends[key].set(ends[key])

    def _end(self, key: Key) -> float | None:
        """When its last day is over, Unix time."""
        name, model = key
        provider = self._providers.get(name)
        card = None if provider is None else self._cards(provider, model)
        if card is None or card.retires is None:
            return None
        return datetime.combine(card.retires + timedelta(days=1), time(), UTC).timestamp()
