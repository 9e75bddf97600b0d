"""Which card belongs to a model, by the name that was asked for.

Names are looked up without regard to case, in this order: as asked; without the prefixes that SDKs and
routers put in front ("models/", the provider's own name); a fine-tuned model by what it was tuned
from; another date of the same model (an alias for the newest dated one, a dated one for its alias).
What is only found by another date keeps limits and prices, and forgets the date of retirement: that one
belongs to the date. Anything else is unknown: None, and everything about it is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

import msgspec
from msgspec.structs import replace

from sidecar.model import Provider
from sidecar.models.card import About, Card, Data, Row
from sidecar.models.override import applied
from sidecar.settings import Override
from sidecar.vendors import VENDORS

_DATE = re.compile(r"(?:-preview)?-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{2}-\d{4}|\d{4}|\d{3}|latest)$")
_HOSTS = {row.url.partition("//")[2].partition("/")[0]: row.name for row in VENDORS.values() if row.url}
_CLOUDS = {
    ".openai.azure.com": "azure",
    ".services.ai.azure.com": "azure",
    "aiplatform.googleapis.com": "vertex",
}
_REMEMBERED = 1024  # names
_LONGEST = 256  # characters of a model's name that are looked at


def row_of(provider: Provider) -> str:
    """The well-known provider that this one is, by its host and then by its name; "": none of them."""
    cloud = next((row for end, row in _CLOUDS.items() if provider.host.endswith(end)), "")
    return cloud or _HOSTS.get(provider.host, "") or (provider.name if provider.name in VENDORS else "")


class _Shelf:
    """The rows of one provider, by name and by name without its date."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows: dict[str, tuple[str, Row]] = {}
        self.stems: dict[str, str] = {}
        for row in rows:
            for name in row.names:
                key = name.casefold()
                self.rows[key] = (name, row)
                stem = _DATE.sub("", key)
                if stem != key:
                    self.stems[stem] = max(self.stems.get(stem, ""), key)


class Catalogue:
    def __init__(self, data: Data, overrides: Iterable[Override] = ()) -> None:
        self.about: About = data.about
        self._data: Mapping[str, tuple[Row, ...]] = data.providers
        self._shelves: dict[str, _Shelf] = {}
        self._own: dict[tuple[str, str], Card] = {}
        for override in overrides:
            self._own[override.provider, override.model.casefold()] = self._overridden(override)

    def card(self, provider: str, model: str, row: str | None = None) -> Card | None:
        """What is known of this model. `provider` is the configured name; `row` says which well-known
        provider that is, where the names differ (`row_of`). None: nothing is known."""
        own = self._own.get((provider, model.casefold()))
        if own is not None:
            return own
        return self._listed(provider if row is None else row, model)

    def count(self) -> int:
        return sum(len(row.names) for rows in self._data.values() for row in rows)

    def _overridden(self, override: Override) -> Card:
        provider, model = override.provider, override.model
        if override.like is not None:
            provider, _, model = override.like.partition("/")
        return applied(override, self._listed(provider, model))

    def _listed(self, provider: str, model: str) -> Card | None:
        shelf = self._shelves.get(provider)
        if shelf is None:
            if provider not in self._data:
                return None
            shelf = self._shelves[provider] = _Shelf(self._data[provider])
        for key in _spellings(provider, model):
            if key in shelf.rows:
                name, row = shelf.rows[key]
                return row.card(provider, name)
            stem = _DATE.sub("", key)
            near = stem if stem in shelf.rows else shelf.stems.get(stem)
            if near is not None:
                name, row = shelf.rows[near]
                return replace(row.card(provider, name), retires=None, exact=False)
        return None


def _spellings(provider: str, model: str) -> Iterable[str]:
    key = model[:_LONGEST].casefold()
    yield key
    for prefix in ("models/", f"{provider}/"):
        if key.startswith(prefix):
            key = key.removeprefix(prefix)
            yield key
    if key.startswith("ft:"):
        yield ":".join(key.split(":")[:2])


class Cards:
    """The cards of configured providers, each found once. None: nothing is known of the model."""

    def __init__(self, overrides: Iterable[Override] = (), data: Data | None = None) -> None:
        self._catalogue = Catalogue(shipped() if data is None else data, overrides)
        self._found: dict[tuple[str, str, str], Card | None] = {}

    def __call__(self, provider: Provider, model: str) -> Card | None:
        key = (provider.name, provider.host, model)
        if key not in self._found:
            if len(self._found) >= _REMEMBERED:  # clients name models, so there is no end of names
                self._found.clear()
            self._found[key] = self._catalogue.card(provider.name, model, row_of(provider))
        return self._found[key]


@cache
def shipped() -> Data:
    """The file of the package; read once, when it is first asked for."""
    return msgspec.json.decode(files("sidecar.models").joinpath("models.json").read_bytes(), type=Data)
