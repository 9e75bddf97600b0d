"""`llm-sidecar explain --request FILE`: which route a request gets, why, and what then happens to it.

The file is a raw HTTP/1.1 request (head, empty line, body) or a JSON object with `method`, `path`,
`headers` and `body`. A path that is a whole url, https://api.openai.com/v1/..., is explained as an
intercepted request. Nothing of its content but the model's name is shown: prompts and keys stay in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar.config.convert import format_duration, format_value, hints
from sidecar.config.problems import looks_like_key
from sidecar.dialects import DIALECTS, BadBody, find
from sidecar.hosts import base_of, captured
from sidecar.model import Ask, Provider, Target, Traffic
from sidecar.models.card import priced
from sidecar.models.catalogue import Cards
from sidecar.ordering import ordered, ranking, shares
from sidecar.outline import outline
from sidecar.routing import Router, own_path, split_path, upstream_path
from sidecar.secret import Secret
from sidecar.settings import Route, Settings
from sidecar.verdicts import verdicts

_PARTS: Final = (
    "limits",
    "retry",
    "budget",
    "breaker",
    "quality_breaker",
    "signals",
    "commit",
    "hedge",
    "cost",
)
_ROUTE_HEADER: Final = "x-llm-sidecar-route"
_ORDERS: Final = {
    "cost": "the cheapest first for a request of this size",
    "capability": "the most capable first",
}
_CLASS_HEADER: Final = "x-llm-sidecar-class"


class BadRequest(ValueError):  # like BadBody
    """The file holds no request that we can read; the text says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


def read_request(data: bytes) -> Sample:
    """Raises BadRequest."""
    return _from_json(data) if data.lstrip()[:1] == b"{" else _from_http(data)


def _from_json(data: bytes) -> Sample:
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError):
        raise BadRequest("the file begins with { and is not JSON") from None
    known = {"method", "path", "headers", "body"}
    if not isinstance(raw, dict) or not isinstance(raw.get("path"), str) or raw.keys() - known:
        raise BadRequest('expected {"method", "path", "headers", "body"}; "path" is needed')
    method, headers, body = raw.get("method", "POST"), raw.get("headers") or {}, raw.get("body")
    if not isinstance(method, str) or not isinstance(headers, dict):
        raise BadRequest('"method" is a text, "headers" an object')
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    text = "" if body is None else body if isinstance(body, str) else json.dumps(body)
    return Sample(method.upper(), raw["path"], named, text.encode())


def _from_http(data: bytes) -> Sample:
    # people save requests with an editor: bare line feeds are fine here
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        head, _, body = data.partition(b"\n\n")
    lines = head.decode("latin-1").splitlines()
    parts = lines[0].split() if lines else []
    if len(parts) not in {2, 3} or not parts[1].startswith(("/", "https://")):
        raise BadRequest("expected a first line such as: POST /openai/v1/chat/completions HTTP/1.1")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest("a header line has no colon")
        headers[name.strip().lower()] = value.strip()
    return Sample(parts[0].upper(), parts[1], headers, body)


def explain_text(settings: Settings, request: bytes, wall: float = 0.0) -> str:
    """`wall`: Unix time, because models retire.

    Raises BadRequest, UnknownProvider, UnknownRoute; their texts are for people.
    """
    sample = read_request(request)
    router = Router(settings)
    if sample.path.startswith("https://"):
        return _explain_captured(settings, sample, router, wall)
    prefix, named, rest = split_path(sample.path)
    provider = router.provider(prefix)
    if named is not None and not settings.request_headers.route:
        raise BadRequest("configuration does not let requests choose their route")
    if settings.request_headers.route:
        named = named or sample.headers.get(_ROUTE_HEADER)
    try:
        path = own_path(provider, rest)[0].partition("?")[0]
    except ValueError as error:
        raise BadRequest(str(error)) from None
    ask, doubt = _ask(provider, sample, path)
    where = _origin(provider) + upstream_path(provider, rest, ask is not None).partition("?")[0]
    return _explained(settings, sample, router, _Meant(provider, path, named, ask, doubt, where, wall))


def _explain_captured(settings: Settings, sample: Sample, router: Router, wall: float) -> str:
    """As the proxy port would have it."""
    try:
        url = urlsplit(sample.path)
        host, port = (url.hostname or "").removesuffix("."), url.port or 443
    except ValueError:
        raise BadRequest("the url cannot be read") from None
    capture = settings.capture
    if capture.mode == "off":
        raise BadRequest("nothing is intercepted: capture.mode is off")
    name = captured(settings).get(host) if port == 443 else None
    if name is None:
        fate = "tunnelled unseen" if capture.others == "tunnel" else "refused (capture.others)"
        return f"a connection to {host}:{port}: {fate}; no route, no policy"
    provider = settings.providers[name]
    exact = provider.host == host
    path, base = url.path or "/", base_of(host)
    if exact and provider.key is not None and not path.startswith(provider.base_path + "/"):
        raise BadRequest(f"the path is not below the url of {name}, whose key llm-sidecar puts in: 403")
    if not exact and path.startswith(base + "/"):
        path = path[len(base) :]
    named = sample.headers.get(_ROUTE_HEADER) if settings.request_headers.route else None
    try:
        own_path(provider, path)
        ask, doubt = _ask(provider, sample, path)
        sent = path if exact else upstream_path(provider, path, ask is not None)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    said = _Meant(provider, path, named, ask, doubt, _origin(provider) + sent, wall)
    return f"intercepted at {host}\n" + _explained(settings, sample, router, said)


@dataclass(frozen=True, slots=True)
class _Meant:
    """What a request turned out to be."""

    provider: Provider
    path: str
    named: str | None  # a route
    ask: Ask | None
    doubt: str
    where: str  # the url that its own provider is asked for
    wall: float


def _explained(settings: Settings, sample: Sample, router: Router, meant: _Meant) -> str:
    provider, path, named = meant.provider, meant.path, meant.named
    ask, doubt, where, prefix = meant.ask, meant.doubt, meant.where, meant.provider.name
    lines = [f"{sample.method} {path} for {provider.name}"]
    if ask is None:
        lines += [f"passed through to {where}: {doubt}; no route, no policy, only metrics"]
        return "\n".join(lines)
    choice = router.choose(provider=prefix, ask=ask, header_route=named)
    lines += [f"  {line}" for line in _asked(provider, ask, choice.route, doubt)]
    lines += [f"route: {choice.route.name}", f"  why: {choice.why}"]
    for route, missed in router.misses(provider=prefix, ask=ask, header_route=named):
        if route is not choice.route:
            lines.append(f"  not {route.name}: {_missed(route, missed, provider, ask, named)}")
    found = find(provider.dialect, sample.method, path)
    path = path if found is None else found[0].canonical(ask.operation, path)
    place = _place(settings, choice.route, ask, len(sample.body))
    lines += ["chain:" if place is None else f"chain, {_ORDERS[choice.route.order]}:"]
    lines += _chain(ordered(choice.route.chain, place), provider, where, path)
    for fault, targets in choice.route.chains.items():
        lines.append(f"  after {fault.value}: {_names(ordered(targets, place))}")
    lines += ["prices, dollars for a million tokens:"]
    lines += [f"  {row}" for row in _prices(settings, choice.route, ask)]
    lines += ["gate, as it is after a start:"]
    spoken = provider.dialect if found is None else found[0].name
    lines += [
        f"  {row}"
        for row in verdicts(settings, choice.route, provider, spoken, ask, path, sample.body, meant.wall)
    ]
    lines += _policy(settings, choice.route, sample)
    return "\n".join(lines)


def _ask(provider: Provider, sample: Sample, path: str) -> tuple[Ask | None, str]:
    """What is asked, None where it is passed through; and what could not be read of it, or why."""
    if provider.dialect not in DIALECTS:
        return None, f"{provider.name} speaks no dialect that we read"
    found = find(provider.dialect, sample.method, path)
    if found is None:
        return None, f"no operation of {provider.dialect} that we read"
    dialect, operation = found
    try:
        return dialect.ask(operation, path, sample.body), ""
    except BadBody as bad:
        return Ask(operation=operation, model=""), bad.detail


def _asked(provider: Provider, ask: Ask, route: Route, doubt: str) -> Iterator[str]:
    yield f"dialect: {provider.dialect}, operation {ask.operation.value}"
    if doubt:
        fate = "it is passed through" if route.implicit else "it gets an error of ours"
        yield f"the body cannot be read, so {fate}: {doubt}"
        return
    wishes = [f"model {_name(ask.model)}", "stream" if ask.stream else "no stream"]
    wishes += [word for word, wish in (("JSON", ask.json), ("reasoning", ask.reasoning)) if wish]
    wishes += [f"{len(ask.tools)} tools"] if ask.tools else []
    yield "asks for: " + ", ".join(wishes)


def _name(model: str) -> str:
    plain = model.isprintable() and len(model) <= 100 and not looks_like_key(model)
    return model if plain else "(a name that is not shown)"


def _missed(route: Route, missed: str, provider: Provider, ask: Ask, header: str | None) -> str:
    match = route.match
    rows: dict[str, tuple[Any, Any]] = {
        "provider": (match.provider, provider.name),
        "dialect": (route.chain[0].provider.dialect if route.chain else "", provider.dialect),
        "operation": (match.operation and match.operation.value, ask.operation.value),
        "model": (match.model, _name(ask.model)),
        "stream": (match.stream, ask.stream),
        "header": (match.header, header or "none"),
    }
    if missed not in rows:
        return "matches, but the request names another"
    wanted, is_ = rows[missed]
    return f"wants {missed} {_word(wanted)}, this is {_word(is_)}"


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "unknown"


def _place(
    settings: Settings, route: Route, ask: Ask, size: int
) -> Callable[[Target], tuple[int, ...] | None] | None:
    rank = ranking(route.order, Cards(settings.models))
    return None if rank is None else lambda target: rank(target, ask, size)


def _chain(steps: list[list[Target]], provider: Provider, where: str, path: str) -> Iterator[str]:
    def row(target: Target) -> str:
        own = target.provider.name == provider.name
        model = f"model {target.model}" if target.model else "the model that was asked for"
        there = where if own else _origin(target.provider) + upstream_path(target.provider, path, True)
        return f"{target.name}: {model}, {_key(target, own)}, {there}"

    for number, step in enumerate(steps, 1):
        if step[0].group is None:
            yield f"  {number}. {row(step[0])}"
            continue
        yield f"  {number}. a group: one by lot, the others if it fails"
        yield from (f"     {_share(share)} {row(one)}" for one, share in zip(step, shares(step), strict=True))


def _names(steps: list[list[Target]]) -> str:
    """Those of a chain on one line."""
    return ", ".join(
        step[0].name
        if step[0].group is None
        else "("
        + ", ".join(f"{_share(share)} {one.name}" for one, share in zip(step, shares(step), strict=True))
        + ")"
        for step in steps
    )


def _share(share: float) -> str:
    return f"{share * 100:.3g} %"


def _prices(settings: Settings, route: Route, ask: Ask) -> Iterator[str]:
    cards = Cards(settings.models)
    for target in route.targets:
        model = target.model or ask.model
        card = cards(target.provider, model)
        yield f"{target.name}, {_name(model)}: {priced(card)}"


def _origin(provider: Provider) -> str:
    port = "" if provider.port == (443 if provider.scheme == "https" else 80) else f":{provider.port}"
    host = f"[{provider.host}]" if ":" in provider.host else provider.host
    return f"{provider.scheme}://{host}{port}"


def _key(target: Target, own: bool) -> str:
    key = target.credential
    if key is not None:
        source = f"{key.kind}:{key.where}" if isinstance(key, Secret) else repr(key)
        return f"key {source}" + ("" if key.digest else " (NOT READABLE: skipped as no_credential)")
    return "the application's own key" if own else "NO KEY: skipped as no_credential"


def _policy(settings: Settings, route: Route, sample: Sample) -> Iterator[str]:
    traffic = route.traffic
    wish = sample.headers.get(_CLASS_HEADER, "")
    if settings.request_headers.traffic and wish in {item.value for item in Traffic}:
        traffic = Traffic(wish)
    yield f"class: {traffic.value}"
    yield f"deadline: {_deadline(settings, route, traffic)}"
    changed = [row for part in _PARTS for row in _changed(part, getattr(route, part))]
    yield "differs from the defaults:" if changed else "limits, retry, breaker, signals: all defaults"
    yield from (f"  {row}" for row in changed)
    yield "stack, outermost first:"
    yield from (f"  {layer}: {works}" for layer, works in outline(settings, route))


def _deadline(settings: Settings, route: Route, traffic: Traffic) -> str:
    if route.implicit:
        return f"0.9 of the SDK's own timeout, else {format_duration(settings.deadlines.unconfigured)}"
    if route.deadline is not None and traffic is route.traffic:
        return f"{format_duration(route.deadline)} (the route's)"
    seconds = (
        settings.deadlines.background if traffic is Traffic.BACKGROUND else settings.deadlines.interactive
    )
    return f"{format_duration(seconds)} (class {traffic.value})"


def _changed(name: str, part: Any) -> Iterator[str]:
    default = getattr(Route(name=""), name)
    for item in fields(part):
        value, usual = getattr(part, item.name), getattr(default, item.name)
        if value != usual:
            hint = hints(type(part))[item.name]
            yield f"{name}.{item.name}: {format_value(hint, value)} (default {format_value(hint, usual)})"
