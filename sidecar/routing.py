"""Which route a call takes, and which path it asks upstream.

A path on the listener begins with a provider's name: /openai/v1/chat/completions, or with a route's
name behind it, /openai@summaries/v1/chat/completions. The first route whose conditions all hold takes
the call. A call may name its route (that form, or x-llm-sidecar-route): then the route of that name
is taken whatever else it matches, as long as it is for that provider. A call that no route takes has
its provider's implicit route: that provider alone, with the defaults.

Upstream paths. Real SDKs send the version segment or do not, whatever the base url of their provider
looks like, so: a version that the client sent wins, else the provider's own is put in; a client that
sends the url's own path too (groq's SDK) has sent the whole path; a url with its version further up
(/v1/openai) keeps that one. What the client writes can change the path below the provider's url and
nothing else: segments that walk upwards are refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import Final
from urllib.parse import unquote

from sidecar.dialects.http import HTTP
from sidecar.model import Ask, Call, Provider, Target
from sidecar.settings import Route, Settings

PASSTHROUGH: Final = "passthrough"  # the route, by name, of calls that none was chosen for

# Google puts the version second where files are uploaded.
_VERSIONED: Final = re.compile(r"(?:/upload)?/v\d+\w*(?=/|$)")
_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_\-~@:+=,]+(?:\.[A-Za-z0-9_\-~@:+=,]+)*)+")
_UNCLEAN: Final = re.compile(r"[^\x21-\x7e]|[\\#]")


# ---- paths ----------------------------------------------------------------------------------


def split_path(raw_path: str) -> tuple[str, str | None, str]:
    """A provider, a route if one is named, and the rest, which begins with / and keeps its query."""
    path, mark, query = raw_path.partition("?")
    prefix, _, rest = path.lstrip("/").partition("/")
    provider, at, route = prefix.partition("@")
    return provider, route if at else None, "/" + rest.lstrip("/") + mark + query


def own_path(provider: Provider, client_path: str) -> tuple[str, bool]:
    """The path without what the provider's url has already, and whether the client had sent that.

    Raises ValueError for a path that could leave the provider's url.
    """
    path, mark, query = client_path.partition("?")
    if not _PLAIN.fullmatch(path):
        path = _clean(path)
    base = provider.base_path
    whole = bool(base) and path.startswith(base + "/")
    return (path[len(base) :] if whole else path) + mark + query, whole


def upstream_path(provider: Provider, client_path: str, operation_known: bool) -> str:
    """What to ask the provider's origin for. Raises ValueError."""
    path, whole = own_path(provider, client_path)
    if provider.dialect == HTTP.name:  # its versions are its own business
        return provider.base_path + path
    version = "/" + provider.version if provider.version else ""
    sent = None if whole else _VERSIONED.match(path)
    if sent and operation_known and _VERSIONED.match(provider.base_path):
        path = path[sent.end() :]  # the url has its version further up: /v1/openai, /v1/projects/...
    elif whole or sent:
        version = ""
    elif not provider.version_known:
        # operations are one or two segments, /chat/completions; more is a prefix that the client knows
        own = operation_known and not provider.base_path and path.partition("?")[0].count("/") <= 2
        version = version if own else ""
    return provider.base_path + version + path


def _clean(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("a path begins with /")
    if _UNCLEAN.search(path):
        raise ValueError("the path holds characters that have to be percent-encoded")
    path = re.sub("//+", "/", path)
    for segment in path.split("/"):
        plain = segment
        for _ in range(3):  # some servers decode more than once
            plain = unquote(plain, errors="replace")
        parts = (part.partition(";")[0] for part in re.split(r"[/\\]", plain))  # "..;" walks upwards in Java
        if "\0" in plain or any(part in {".", ".."} for part in parts):
            raise ValueError("the path walks upwards")
    return path


# ---- routes ---------------------------------------------------------------------------------


class UnknownRoute(ValueError):  # like BadBody
    """The call names a route that is none, or none for its provider. The text is for the client."""


class UnknownProvider(ValueError):  # like BadBody
    """The path begins with no known provider. The text is for the client."""

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown provider in the path; known: {', '.join(known)}")
        self.known = known


@dataclass(frozen=True, slots=True)
class Choice:
    route: Route
    why: str


def implicit_route(provider: Provider, defaults: Route | None = None) -> Route:
    """What a provider's calls take where no route does."""
    target = Target(name=provider.name, provider=provider)
    return replace(defaults or Route(name=""), name=provider.name, chain=(target,), chains={}, implicit=True)


@dataclass(frozen=True, slots=True)
class _Entry:
    route: Route
    dialect: str
    fits_model: Callable[[str], object] | None
    choice: Choice

    def miss(self, provider: Provider, ask: Ask, header_route: str | None) -> str:
        """The condition that does not hold; "" where all do."""
        match = self.route.match
        if match.provider is not None and match.provider != provider.name:
            return "provider"
        if provider.dialect != self.dialect:
            return "dialect"
        if match.operation is not None and match.operation is not ask.operation:
            return "operation"
        if match.stream is not None and match.stream is not ask.stream:
            return "stream"
        if match.header is not None and match.header != header_route:
            return "header"
        if self.fits_model is not None and self.fits_model(ask.model) is None:
            return "model"
        return ""

    def may_take(self, provider: Provider, named: str) -> bool:
        """Could a call to this provider be this route's, of which only the name it gives is known?"""
        match = self.route.match
        if match.provider not in {None, provider.name} or provider.dialect != self.dialect:
            return False
        return match.header is None or match.header == named


class Router:
    """The routes of one configuration, ready to choose from."""

    def __init__(self, settings: Settings, shape: Callable[[Route], Route] = lambda route: route) -> None:
        """`shape` changes a route after it was chosen by what the configuration says."""
        self.providers: Mapping[str, Provider] = settings.providers
        implicit = [implicit_route(provider, settings.defaults) for provider in settings.providers.values()]
        self.implicit: Mapping[str, Route] = {route.name: shape(route) for route in implicit}
        self.entries = tuple(_entry(route, shape(route)) for route in settings.routes)
        shaped = tuple(entry.choice.route for entry in self.entries)
        self.routes: tuple[Route, ...] = shaped + tuple(self.implicit.values())
        self._all = {route.name: route for route in self.routes}
        self._named = {entry.route.name: entry for entry in self.entries}
        self._headers = {route.match.header for route in settings.routes} - {None}
        self._implicit = {
            name: Choice(route, "no route takes it: the provider's own, with the defaults")
            for name, route in self.implicit.items()
        }

    def provider(self, name: str) -> Provider:
        """Raises UnknownProvider."""
        found = self.providers.get(name)
        if found is None:
            raise UnknownProvider(tuple(sorted(self.providers)))
        return found

    def choose(self, *, provider: str, ask: Ask, header_route: str | None = None) -> Choice:
        """Raises UnknownProvider, UnknownRoute."""
        asked = self.provider(provider)
        if header_route is not None:
            named = self._by_name(asked, header_route)
            if named is not None:
                return named
        for entry in self.entries:
            if not entry.miss(asked, ask, header_route):
                return entry.choice
        return self._implicit[provider]

    def misses(self, *, provider: str, ask: Ask, header_route: str | None = None) -> list[tuple[Route, str]]:
        """For people: the routes up to the one that takes the call, each with the condition that failed."""
        rows: list[tuple[Route, str]] = []
        for entry in self.entries:
            missed = entry.miss(self.provider(provider), ask, header_route)
            rows.append((entry.route, missed))
            if not missed:
                break
        return rows

    def barred(self, call: Call, provider: Provider) -> Route | None:
        """The route whose boundary forbids this provider to a call that goes there past all policy."""
        known = [name for name in (call.route, call.named) if name in self._all and name != PASSTHROUGH]
        if known:
            routes = [self._all[known[0]]]
        else:  # nobody read it: any that it may be of
            routes = [entry.route for entry in self.entries if entry.may_take(provider, call.named)]
            routes.append(self.implicit[provider.name])
        return next((route for route in routes if route.allow.outside(provider)), None)

    def _by_name(self, provider: Provider, name: str) -> Choice | None:
        entry = self._named.get(name)
        if entry is not None:
            wanted = entry.route.match.provider
            if wanted not in {None, provider.name} or entry.dialect != provider.dialect:
                raise UnknownRoute(f'route "{name}" is not for provider "{provider.name}"')
            return Choice(entry.route, "the request names it")
        if name == provider.name:
            return Choice(self.implicit[name], "the request names it")
        if name in self._headers:
            return None
        known = [*self._named, *(header for header in self._headers if header)]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f', did you mean "{close[0]}"?' if close else ""
        raise UnknownRoute("no route has the name that the request asks for" + hint)


def choose(settings: Settings, *, provider: str, ask: Ask, header_route: str | None = None) -> Choice:
    """As Router(settings).choose; whoever chooses often keeps the Router."""
    return Router(settings).choose(provider=provider, ask=ask, header_route=header_route)


def _entry(route: Route, shaped: Route) -> _Entry:
    match = route.match
    conditions = {
        "provider": match.provider,
        "operation": match.operation,
        "model": match.model,
        "stream": None if match.stream is None else str(match.stream).lower(),
        "header": match.header,
    }
    said = ", ".join(f"{name} {value}" for name, value in conditions.items() if value is not None)
    return _Entry(
        route,
        route.chain[0].provider.dialect if route.chain else "",
        None if match.model is None else re.compile(translate(match.model)).match,
        Choice(shaped, f"the first that matches: {said or 'it takes every call'}"),
    )
