"""From plain values to Settings: providers first, then the routes that name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar import variants
from sidecar.config.convert import BAD, Converter
from sidecar.config.problems import Path, Problems, nearest, quote
from sidecar.config.urls import VERSION, BadUrl, Origin, check_proxy, parse_url
from sidecar.dialects import DIALECTS
from sidecar.dialects.http import HTTP
from sidecar.model import AuthStyle, Credential, Provider, System, Target, Traffic, Variant
from sidecar.secret import Secret
from sidecar.settings import MOST_WEBHOOKS, Amount, Baseline, Route, Settings, Webhook
from sidecar.vendors import VENDORS, Vendor

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
RESERVED: Final = "llm-sidecar"  # a path prefix of ours
_TARGET_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,127}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MODEL: Final = re.compile(r"[\x21-\x7e]{1,256}")

# Not settable: made while reading. `defaults` has the fields that routes may share.
FIXED: Final = frozenset({
    (Settings, "providers"), (Settings, "webhooks"), (Settings, "routes"), (Settings, "defaults"),
    (Settings, "digest"), (Route, "implicit"),
})  # fmt: skip
NOT_SHARED: Final = frozenset({"name", "match", "chain", "chains", "deferred"})
ALIASES: Final[dict[tuple[type, str], str]] = {(Route, "class"): "traffic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEntry:
    """An upstream. A well-known name needs nothing more; others need `vendor`, or `url` and `dialect`."""

    vendor: str | None = None  # a well-known provider whose url, dialect and key header this one shares
    url: str | None = None  # https://host/path, ending in the version segment if the provider has one
    dialect: str | None = None  # openai_chat, anthropic, or "" for pass-through only
    version: str | None = None  # where the url does not end in one and the client sends none
    auth: AuthStyle | None = None  # the header that carries the key
    key: Secret | None = None  # {file: PATH} or {env: NAME}; none: the application's own is passed through
    private: bool | None = None  # may be loopback or a private address, and plain http
    ca_file: str | None = None  # certificates to trust instead of the system's
    proxy: str | None = None  # http://host:port
    processor: str = ""  # who processes the data, for people and policies
    region: str = ""  # where
    responses: bool = (
        True  # of openai_chat; false: it serves no /responses, as a stand-in it is asked in chat
    )
    propagate_trace: bool = False  # send it the trace, with the attempt's span as parent


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEntry:
    """A place that results of deferred calls are sent to, signed as Standard Webhooks has it."""

    url: str  # https://host/path
    key: Secret  # {file: PATH} or {env: NAME}: whsec_ and base64 of 24 to 64 bytes
    private: bool = False  # may be loopback or a private address, and plain http
    ca_file: str | None = None  # certificates to trust instead of the system's
    proxy: str | None = None  # http://host:port


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEntry:
    """A place an attempt may go: a provider's name alone, or this."""

    provider: str
    model: str | None = None  # none: the one the client asked for
    key: Secret | None = None  # wins over the provider's
    name: str | None = None  # in metrics and logs; provider or provider/model unless given
    baseline: Baseline | None = None  # wins over the route's; see below
    system: System | None = None  # what becomes of the system prompt for it; see below
    parameters: Mapping[str, Any] = field(default_factory=dict)  # set for it; null takes the client's away
    weight: Amount | None = None  # in a group: of its calls, 1 unless given; 0: only when the others fail


def provider_of(vendor: Vendor, name: str = "") -> Provider:
    """A well-known provider as it is without configuration."""
    origin = parse_url(vendor.url)
    return _provider(name or vendor.name, origin, vendor.dialect, vendor.auth, vendor)


def _provider(name: str, origin: Origin, dialect: str, auth: AuthStyle, vendor: Vendor | None) -> Provider:
    bare = dialect in DIALECTS and not origin.base_path and not (vendor and vendor.unversioned)
    guess = DIALECTS[dialect].version if bare else ""
    return Provider(
        name=name,
        dialect=dialect,
        scheme=origin.scheme,
        host=origin.host,
        port=origin.port,
        base_path=origin.base_path,
        version=origin.version or guess,
        version_known=bool(origin.version),
        auth=auth,
    )


class Builder:
    """One reading of one configuration."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.providers: dict[str, Provider] = {v.name: provider_of(v) for v in VENDORS.values() if v.url}
        self._broken: set[str] = set()  # named in the file, told already
        self._attempts_shared = False
        custom = {Secret: self._secret, Credential: self._secret, Target: self._step}
        self._convert = Converter(problems, custom, FIXED, ALIASES)

    def settings(self, raw: Any) -> Settings:
        if raw is None:
            raw = {}
        if not isinstance(raw, dict):
            self.problems.add((), f"expected a mapping of settings, got {quote(raw)}")
            return Settings(providers=self.providers)
        rest = {key: raw[key] for key in raw if key not in {"providers", "webhooks", "routes", "defaults"}}
        self._unknown_sections(rest)
        settings: Settings = self._convert.record(Settings, rest, (), Settings())
        self._providers(raw.get("providers"))
        defaults = self._defaults(raw.get("defaults"))
        webhooks = self._webhooks(raw.get("webhooks"))
        settings = replace(settings, providers=self.providers, webhooks=webhooks, defaults=defaults)
        routes = self._list(raw.get("routes"), ("routes",))
        read = [self._route(item, ("routes", index), settings) for index, item in enumerate(routes)]
        return replace(settings, routes=tuple(route for route in read if route is not None))

    def _unknown_sections(self, rest: dict[str, Any]) -> None:
        known = {name for name in Settings.__dataclass_fields__ if name != "digest"}
        for key in [key for key in rest if key not in known]:
            self.problems.add((key,), f"unknown key{nearest(key, known)}")
            del rest[key]

    def _list(self, raw: Any, path: Path) -> list[Any]:
        if raw is None or isinstance(raw, list):
            return raw or []
        self.problems.add(path, f"expected a list, got {quote(raw)}")
        return []

    # ---- providers --------------------------------------------------------------------------

    def _providers(self, raw: Any) -> None:
        if raw is None:
            return
        if not isinstance(raw, dict):
            self.problems.add(("providers",), f"expected a mapping of names to providers, got {quote(raw)}")
            return
        for name, item in raw.items():
            path: Path = ("providers", name)
            if not NAME.fullmatch(name):
                self.problems.add(
                    path, "a provider's name is made of a-z, 0-9 and _ . - (it is a path prefix)"
                )
            if name == RESERVED:
                self.problems.add(path, "is the place of the sidecar's own pages; choose another name")
            read = self._one_provider(name, item, path)
            if read is None:
                self._broken.add(name)
                self.providers.pop(name, None)
            else:
                self.providers[name] = read

    def _one_provider(self, name: str, raw: Any, path: Path) -> Provider | None:
        entry = self._convert.record(ProviderEntry, raw, path)
        if entry is BAD:
            return None
        row = VENDORS.get(entry.vendor or name)
        if entry.vendor is not None and row is None:
            message = f"no well-known provider has this name{nearest(entry.vendor, VENDORS)}"
            self.problems.add((*path, "vendor"), message)
            return None
        dialect = row.dialect if entry.dialect is None and row else entry.dialect
        if dialect is None:
            hint = "" if entry.url else nearest(name, VENDORS)
            self.problems.add(
                path, f"is no well-known provider; it needs `vendor`, or `url` and `dialect`{hint}"
            )
            return None
        if dialect and dialect not in DIALECTS:
            names = ", ".join(DIALECTS)
            message = f'expected one of {names}, or "" to pass everything through, got {quote(dialect)}'
            self.problems.add((*path, "dialect"), message)
        private = entry.private if entry.private is not None else bool(row and row.private)
        origin = self._origin(entry, row, private, path)
        if origin is None or self.problems.at(path):
            return None
        own = row if row and not entry.url else None
        provider = _provider(
            name, origin, dialect, entry.auth or (row.auth if row else AuthStyle.BEARER), own
        )
        if entry.version is not None:
            provider = replace(provider, version=entry.version, version_known=bool(entry.version))
        return replace(
            provider,
            key=entry.key,
            private=private,
            ca_file=entry.ca_file,
            proxy=entry.proxy,
            processor=entry.processor,
            region=entry.region,
            responses=entry.responses,
            propagate_trace=entry.propagate_trace,
        )

    def _origin(self, entry: ProviderEntry, row: Vendor | None, private: bool, path: Path) -> Origin | None:
        if entry.version and not VERSION.fullmatch(entry.version):
            self.problems.add(
                (*path, "version"), f"expected a version segment such as v1, got {quote(entry.version)}"
            )
        if entry.proxy is not None:
            try:
                check_proxy(entry.proxy)
            except BadUrl as bad:
                self.problems.add((*path, "proxy"), bad.message)
        url = entry.url or (row.url if row else "")
        if not url:
            example = (row and row.example) or "http://10.0.0.5:8000/v1"
            self.problems.add((*path, "url"), f"is missing; expected a url such as {example}")
            return None
        try:
            origin = parse_url(url, private=private)
        except BadUrl as bad:
            self.problems.add((*path, "url"), bad.message)
            return None
        if row and row.path and not origin.base_path and not origin.version:
            return parse_url(url.rstrip("/") + row.path, private=private)
        return origin

    def _webhooks(self, raw: Any) -> dict[str, Webhook]:
        if raw is None:
            return {}
        if not isinstance(raw, dict):
            self.problems.add(("webhooks",), f"expected a mapping of names to webhooks, got {quote(raw)}")
            return {}
        found: dict[str, Webhook] = {}
        for name, item in raw.items():
            path: Path = ("webhooks", name)
            if not NAME.fullmatch(name) or name == "off":
                self.problems.add(path, "a webhook's name is made of a-z, 0-9 and _ . - and is not `off`")
            entry = self._convert.record(WebhookEntry, item, path)
            if entry is BAD:
                continue
            try:
                origin = parse_url(entry.url, private=entry.private)
                if entry.proxy is not None:
                    check_proxy(entry.proxy)
            except BadUrl as bad:
                self.problems.add((*path, "url"), bad.message)
                continue
            place = replace(
                _provider(f"webhooks.{name}", origin, HTTP.name, AuthStyle.BEARER, None),
                private=entry.private,
                ca_file=entry.ca_file,
                proxy=entry.proxy,
            )
            found[name] = Webhook(place=place, path=urlsplit(entry.url).path or "/", key=entry.key)
        if len(raw) > MOST_WEBHOOKS:
            self.problems.add(
                ("webhooks",), f"has {len(raw)}; at most {MOST_WEBHOOKS}, their names are labels"
            )
        return found

    def _secret(self, raw: Any, path: Path) -> Any:
        """Never quotes what it got: whatever stands where a key belongs may be one."""
        if not isinstance(raw, dict) or len(raw) != 1:
            self.problems.add(path, "expected {file: PATH} or {env: NAME}, never the key itself")
            return BAD
        ((kind, where),) = raw.items()
        if kind not in {"file", "env"}:
            self.problems.add((*path, kind), f"unknown key{nearest(kind, ['file', 'env'])}")
        elif not isinstance(where, str) or not where or "\0" in where:
            self.problems.add(
                (*path, kind), f"expected the {'path of a file' if kind == 'file' else 'name of a variable'}"
            )
        elif kind == "env" and not _VARIABLE.fullmatch(where):
            self.problems.add((*path, kind), "expected the name of a variable, letters, digits and _")
        else:
            return Secret(kind, where)
        return BAD

    # ---- routes -----------------------------------------------------------------------------

    def _step(self, raw: Any, path: Path) -> Any:
        """A target, or those of a group."""
        if not isinstance(raw, dict) or "group" not in raw:
            return self._target(raw, path, grouped=False)
        for key in raw.keys() - {"group"}:
            self.problems.add((*path, key), "stands beside `group`; what holds for a member is said there")
        members = raw["group"]
        if not isinstance(members, list) or not members:
            self.problems.add((*path, "group"), f"expected a list of targets, got {quote(members)}")
            return BAD
        read = [self._target(one, (*path, "group", n), grouped=True) for n, one in enumerate(members)]
        found = tuple(replace(one, group=path[-1]) for one in read if one is not BAD)
        if found and not any(one.weight for one in found):
            self.problems.add((*path, "group"), "has no member with a weight above 0: none could be drawn")
        return found

    def _target(self, raw: Any, path: Path, *, grouped: bool) -> Any:
        entry = self._convert.record(TargetEntry, {"provider": raw} if isinstance(raw, str) else raw, path)
        if entry is BAD:
            return BAD
        place = path if isinstance(raw, str) else (*path, "provider")
        provider = self.providers.get(entry.provider)
        if provider is None:
            if entry.provider not in self._broken:
                hint = nearest(entry.provider, self.providers)
                self.problems.add(place, f"no provider named {quote(entry.provider)}{hint}")
            return BAD
        if entry.model is not None and not _MODEL.fullmatch(entry.model):
            self.problems.add((*path, "model"), "a model's name has no blanks and only ASCII")
        if entry.name is not None and not _TARGET_NAME.fullmatch(entry.name):
            self.problems.add((*path, "name"), "a target's name is made of letters, digits and _ . : / @ -")
        name = entry.name or (f"{provider.name}/{entry.model}" if entry.model else provider.name)
        if entry.weight is not None and not grouped:
            self.problems.add(
                (*path, "weight"),
                "is for the members of a group: {group: [{provider: ..., weight: ...}, ...]}",
            )
        return Target(
            name=name,
            provider=provider,
            model=entry.model,
            key=entry.key,
            baseline=entry.baseline,
            variant=self._variant(entry, provider, path),
            weight=1.0 if entry.weight is None else entry.weight,
        )

    def _variant(self, entry: TargetEntry, provider: Provider, path: Path) -> Variant | None:
        if entry.system is None and not entry.parameters:
            return None
        variant = Variant(system=entry.system or System(), parameters=entry.parameters)
        wrong = variants.problems(variant)
        if wrong:
            self.problems.add(path, "; ".join(wrong))
        if provider.dialect not in variants.PLACES:
            self.problems.add(
                path, f"{provider.name} is passed through only: it is told what the client wrote"
            )
            return variant
        for name in () if wrong else variants.unsaid(variant, provider.dialect):
            known = ", ".join(variants.PLACES[provider.dialect])
            message = f"{provider.dialect} has no such parameter; it has {known}"
            self.problems.add((*path, "parameters", name), message)
        return variant

    def _defaults(self, raw: Any) -> Route:
        self._attempts_shared = _has_attempts(raw)
        for key in (raw if isinstance(raw, dict) else {}).keys() & NOT_SHARED:
            self.problems.add(("defaults", key), "is each route's own and has no default")
        shared: Route = self._convert.record(Route, raw, ("defaults",), Settings().defaults)
        return shared

    def _route(self, raw: Any, path: Path, settings: Settings) -> Route | None:
        if raw is not None and not isinstance(raw, dict):
            self.problems.add(path, f"expected a mapping, got {quote(raw)}")
            return None
        raw = raw or {}
        route: Route = self._convert.record(Route, raw, path, replace(settings.defaults, name=""))
        if raw.get("name") is None:
            self.problems.add((*path, "name"), "is missing; it names the route in metrics and in requests")
        elif not NAME.fullmatch(route.name):
            self.problems.add((*path, "name"), "a route's name is made of a-z, 0-9 and _ . -")
        self._match(route, path)
        if route.traffic is Traffic.BACKGROUND and not (self._attempts_shared or _has_attempts(raw)):
            route = replace(
                route, retry=replace(route.retry, attempts=settings.deadlines.background_attempts)
            )
        if route.chain or raw.get("chain"):
            return route
        own = self.providers.get(route.match.provider or "")
        if own is not None:
            return replace(route, chain=(Target(name=own.name, provider=own),))
        if not self.problems.at((*path, "match")) and route.match.provider not in self._broken:
            message = "is missing; a route without it needs match.provider, and asks that one"
            self.problems.add((*path, "chain"), message)
        return None

    def _match(self, route: Route, path: Path) -> None:
        match = route.match
        if match.provider is not None and match.provider not in self.providers.keys() | self._broken:
            hint = nearest(match.provider, self.providers)
            self.problems.add(
                (*path, "match", "provider"), f"no provider named {quote(match.provider)}{hint}"
            )
        if match.model is not None and not _MODEL.fullmatch(match.model):
            self.problems.add((*path, "match", "model"), 'expected a glob without blanks, such as "gpt-4o*"')
        if match.header is not None and not NAME.fullmatch(match.header):
            self.problems.add((*path, "match", "header"), "a route's name is made of a-z, 0-9 and _ . -")


def _has_attempts(raw: Any) -> bool:
    retry = raw.get("retry") if isinstance(raw, dict) else None
    return isinstance(retry, dict) and "attempts" in retry
