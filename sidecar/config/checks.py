"""What no single value shows: settings that contradict each other (problems) and settings that are
allowed and probably not meant (warnings).
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar.config.problems import Path, Problem, Problems, nearest, quote, show
from sidecar.config.urls import BadUrl, check_proxy, is_loopback
from sidecar.continuing import takes
from sidecar.core import drill
from sidecar.core.webhook import LONGEST, SHORTEST, key_of
from sidecar.dialects import DIALECTS, FAMILIES, find
from sidecar.dialects.http import HTTP
from sidecar.hosts import HOST, captured
from sidecar.hub import TONGUES
from sidecar.model import Drill, Operation, Target, Traffic
from sidecar.models import override
from sidecar.models.catalogue import Cards, Catalogue, shipped
from sidecar.ordering import steps
from sidecar.secret import Secret
from sidecar.settings import (
    CONTENT_OPEN,
    CONTENT_VARIABLE,
    SHORTEST_KEY,
    BreakerRules,
    CacheRules,
    RetryRules,
    Route,
    Settings,
    Shared,
    StaticAnswer,
    StaticText,
)

_HOST: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}|\[[0-9a-fA-F:.]+\]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_REDIS_URL: Final = re.compile(r"rediss?://[^/?#]*[^@/?#]|unix://.*/")
_ORIGIN: Final = re.compile(r"https?://(?:[A-Za-z0-9_.-]{1,253}|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?")

# Paths that an operation has, in one dialect or another.
_PATHS: Final = {
    Operation.EMBEDDINGS: ("/embeddings", "/models/m:embedContent"),
    Operation.OTHER: ("/",),
}

# type, field that is told, condition, what is wrong
_PAIRS: Final[tuple[tuple[type, str, Callable[[Any], bool], str], ...]] = (
    (RetryRules, "cap", lambda r: r.cap >= r.base, "has to be at least `base`"),
    (
        BreakerRules,
        "min_samples",
        lambda b: b.min_samples <= b.samples,
        "is more than `samples`",
    ),
    (
        BreakerRules,
        "run_calls",
        lambda b: not b.run or b.run_calls <= b.run,
        "is more than `run`",
    ),
    (
        BreakerRules,
        "min_bodies",
        lambda b: b.min_bodies <= b.samples,
        "is more than `samples`",
    ),
    (CacheRules, "stale", lambda c: c.stale >= c.fresh, "has to be at least `fresh`"),
    (BreakerRules, "longest", lambda b: b.longest >= b.open, "has to be at least `open`"),
)


def check(settings: Settings, problems: Problems) -> None:
    _listen(settings, problems)
    _capture(settings, problems)
    _redact(settings, problems)
    if settings.state_dir is None and any(route.deferred for route in settings.routes):
        problems.add(("state_dir",), "is missing; `deferred` keeps calls in it, on a disk of this node")
    _models(settings, problems)
    _shared(settings.shared, problems, sharing=settings.cache_size.shared)
    _route_parts(settings.defaults, ("defaults",), problems)
    _boundary(settings.defaults, settings, ("defaults",), problems)
    names: dict[str, int] = {}
    for index, route in enumerate(settings.routes):
        path: Path = ("routes", index)
        if route.name in names:
            problems.add((*path, "name"), f"routes[{names[route.name]}] has this name already")
        elif route.name in settings.providers:
            problems.add(
                (*path, "name"),
                f"is the name of a provider's own route; choose another, such as {route.name}-calls",
            )
        names.setdefault(route.name, index)
        _route_parts(route, path, problems)
        if route.allow != settings.defaults.allow:
            _boundary(route, settings, path, problems)
        _chains(route, settings, path, problems)
        webhook = route.deferred.webhook if route.deferred else None
        if (
            webhook is not None
            and webhook not in settings.webhooks
            and not problems.at(("webhooks", webhook))
        ):
            message = f"no webhook named {quote(webhook)}{nearest(webhook, settings.webhooks)}"
            problems.add((*path, "deferred", "webhook"), message)


def _models(settings: Settings, problems: Problems) -> None:
    told: dict[tuple[str, str], int] = {}
    for index, one in enumerate(settings.models):
        path: Path = ("models", index)
        if one.provider not in settings.providers:
            message = f"no provider named {quote(one.provider)}{nearest(one.provider, settings.providers)}"
            problems.add((*path, "provider"), message)
        for wrong in override.problems(one):
            problems.add(path, wrong)
        row, _, model = (one.like or "").partition("/")
        if model and Catalogue(shipped()).card(row, model) is None:
            problems.add((*path, "like"), f"the catalogue has no model {quote(one.like)}")
        key = (one.provider, one.model.casefold())
        if key in told:
            problems.add(path, f"models[{told[key]}] says this model already")
        told.setdefault(key, index)


def _listen(settings: Settings, problems: Problems) -> None:
    listen, admin = settings.listen, settings.admin
    for section, hosts in (("listen", listen.hosts), ("admin", admin.hosts)):
        if not hosts:
            problems.add((section, "hosts"), "expected at least one address")
        for index, host in enumerate(hosts):
            if not _is_address(host):
                problems.add(
                    (section, "hosts", index), f"expected an address such as 127.0.0.1, got {quote(host)}"
                )
    remote = [host for host in listen.hosts if _is_address(host) and not is_loopback(host)]
    if remote and not listen.allow_remote:
        problems.add(
            ("listen", "hosts"),
            f"{', '.join(remote)} can be reached from outside the pod; "
            "that needs allow_remote: true and client_token",
        )
    elif remote and listen.client_token is None:
        problems.add(
            ("listen", "client_token"),
            "is missing; hosts that are not loopback need it, as the path of a file",
        )
    if listen.port and listen.port == admin.port:
        problems.add(("admin", "port"), f"{admin.port} is the port of `listen` already")
    for index, name in enumerate(listen.names):
        if not _HOST.fullmatch(name):
            problems.add(
                ("listen", "names", index), f"expected a host name without a port, got {quote(name)}"
            )
    for index, origin in enumerate(listen.origins):
        if not _ORIGIN.fullmatch(origin):
            problems.add(
                ("listen", "origins", index),
                f"expected an origin such as https://app.example.com, got {quote(origin)}",
            )


def _capture(settings: Settings, problems: Problems) -> None:
    capture = settings.capture
    for host, name in capture.hosts.items():
        path: Path = ("capture", "hosts", host)
        if not HOST.fullmatch(host.lower()):
            problems.add(
                path,
                "expected the name of one host such as api.example.com, without a port, a path or a *",
            )
        elif name and name not in settings.providers:
            problems.add(path, f"no provider named {quote(name)}{nearest(name, settings.providers)}")
    if capture.proxy is not None:
        try:
            check_proxy(capture.proxy)
        except BadUrl as bad:
            problems.add(("capture", "proxy"), bad.message)
    if capture.mode == "off":
        return
    if capture.trust_dir is None:
        problems.add(
            ("capture", "trust_dir"),
            "is missing; expected a folder that the application can read: its certificates are put there",
        )
    for section, port in (("listen", settings.listen.port), ("admin", settings.admin.port)):
        if port and port == capture.port:
            problems.add(("capture", "port"), f"{port} is the port of `{section}` already")
    if not captured(settings):
        problems.add(("capture", "hosts"), "is empty, and no other host may be taken: nothing to capture")


def _redact(settings: Settings, problems: Problems) -> None:
    for index, pattern in enumerate(settings.telemetry.redact):
        path: Path = ("telemetry", "redact", index)
        try:
            if re.compile(pattern).search(""):
                problems.add(path, "matches a text without a character: it would be found everywhere")
        except re.error as error:
            problems.add(path, f"expected a regular expression: {error.msg} at character {error.pos}")


def _shared(shared: Shared, problems: Problems, *, sharing: bool) -> None:
    if not _PREFIX.fullmatch(shared.prefix):
        problems.add(("shared", "prefix"), "is made of letters, digits and _ . : -, 64 at the most")
    if shared.url is not None and shared.key is None:
        problems.add(
            ("shared", "key"),
            "is missing; it signs what the pods tell each other, as {file: PATH} or {env: NAME}",
        )
    if shared.key is not None and shared.url is None:
        problems.add(
            ("shared", "url"), "is missing; it says where the Redis is, as {file: PATH} or {env: NAME}"
        )
    if sharing and shared.url is None:
        problems.add(("cache_size", "shared"), "needs a place: `shared.url` and `shared.key`")
    if shared.timeout > shared.every:
        problems.add(("shared", "timeout"), "is longer than `every`")


def _trouble_sharing(shared: Shared) -> Iterator[tuple[Path, str]]:
    """What keeps this pod from its fleet, and from nothing else."""
    if shared.url is None or shared.key is None:
        return
    if importlib.util.find_spec("redis") is None:
        yield ("shared", "url"), "needs a client, else nothing is shared: pip install 'llm-sidecar[redis]'"
    url, key = shared.url.reveal(), shared.key.reveal()
    if url is not None and not _REDIS_URL.match(url):
        yield ("shared", "url"), "is no url such as rediss://:PASSWORD@redis.example.com:6379/0"
    elif url is not None and url.startswith("redis:") and not is_loopback(urlsplit(url).hostname or ""):
        yield ("shared", "url"), "is not encrypted: its password can be read on the way; rediss: is"
    if key is not None and len(key) < SHORTEST_KEY:
        yield (
            ("shared", "key"),
            f"has fewer than {SHORTEST_KEY} characters: too few to sign with, nothing is shared",
        )


def _shut(settings: Settings) -> Iterator[Problem]:
    """Contents have two keys, and this looks at the second one here."""
    turned = os.environ.get(CONTENT_VARIABLE, "").strip().lower() in CONTENT_OPEN
    if settings.telemetry.capture_content and not turned:
        yield _warn(
            ("telemetry", "capture_content"),
            f"captures nothing unless the sidecar's environment has {CONTENT_VARIABLE}=true too; "
            "here it has not",
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _route_parts(route: Route, path: Path, problems: Problems) -> None:
    for name in Route.__dataclass_fields__:
        part = getattr(route, name)
        for kind, field, holds, message in _PAIRS:
            if isinstance(part, kind) and not holds(part) and problems.lines.keys() & {(*path, name)}:
                problems.add((*path, name, field), message)
    semantic = route.cache.semantic
    if semantic is not None:
        place: Path = (*path, "cache", "semantic", "target")
        provider = semantic.target.provider
        if "embeddings" not in FAMILIES.get(provider.dialect, (provider.dialect,)):
            problems.add(place, f"{provider.name} has no embeddings in OpenAI's form")
        outside = route.allow.outside(provider)
        if outside:
            problems.add(place, f"{provider.name} is outside of what this route allows: {outside}")
        if semantic.target.model is None:
            problems.add(place, "needs the `model` that makes the vectors")
        if semantic.target.credential is None and not provider.private:
            problems.add(place, "needs a `key`: the application's own is not used for it")
    if route.static is not None:
        _static(route.static, (*path, "static"), problems)
    if route.drill is not None:
        _drill(route, route.drill, (*path, "drill"), problems)
    if route.deferred is not None:
        _deferred(route, path, problems)


def _deferred(route: Route, path: Path, problems: Problems) -> None:
    if all(target.credential is None for target in route.chain):
        problems.add(
            (*path, "deferred"),
            "nobody in the chain has a key of its own, and the application's is not kept: give a target "
            "`key`, or its provider",
        )


def _drill(route: Route, one: Drill, path: Path, problems: Problems) -> None:
    if one.fault not in drill.FAULTS:
        hint = nearest(one.fault, drill.FAULTS)
        problems.add((*path, "fault"), f"no fault that can be played is named {quote(one.fault)}{hint}")
    if drill.ends(one.until) is None:
        message = 'expected a time with its zone, in quotes, such as "2026-12-01T10:30:00+00:00"'
        problems.add((*path, "until"), message)
    if not 0.0 < one.share <= 1.0:
        problems.add((*path, "share"), f"expected a share above 0, 1 at the most, got {one.share:g}")
    named = {name for target in route.chain for name in (target.name, target.provider.name)}
    if one.target and route.chain and one.target not in named:
        problems.add((*path, "target"), f"no target of the chain is named {quote(one.target)}")


def _static(static: StaticAnswer | StaticText, path: Path, problems: Problems) -> None:
    if static.text is not None and not static.text.strip():
        problems.add((*path, "text"), "is empty")
    if isinstance(static, StaticAnswer):
        for fault, other in static.by_fault.items():
            _static(other, (*path, "by_fault", fault.value), problems)
    if static.link is not None and not re.fullmatch(r"(?:https?://|mailto:)[\x21-\x7e]{1,500}", static.link):
        problems.add((*path, "link"), "expected a link such as https://example.com/help")
    if static.json is not None:
        try:
            json.loads(static.json)
        except ValueError:
            problems.add((*path, "json"), "expected JSON, as a text")


def _lists(route: Route) -> Iterator[tuple[Path, tuple[Target, ...]]]:
    yield ("chain",), route.chain
    for fault, targets in route.chains.items():
        yield ("chains", fault.value), targets


def _placed(targets: tuple[Target, ...]) -> Iterator[tuple[Path, Target]]:
    """Each with its place in the list that the file has, where a group is one item."""
    for step, members in enumerate(steps(targets)):
        for number, target in enumerate(members):
            yield (step,) if target.group is None else (step, "group", number), target


def _boundary(route: Route, settings: Settings, path: Path, problems: Problems) -> None:
    """Its own words; that its targets are inside is told at each of them."""
    for kind, words in (("processor", route.allow.processors), ("region", route.allow.regions)):
        known = {getattr(provider, kind) for provider in settings.providers.values()} - {""}
        for index, word in enumerate(words):
            if word not in known:
                message = f"no provider has the {kind} {quote(word)}{nearest(word, known)}"
                problems.add((*path, "allow", f"{kind}s", index), message)


def _chains(route: Route, settings: Settings, path: Path, problems: Problems) -> None:
    own = settings.providers.get(route.match.provider or "") or (
        route.chain[0].provider if route.chain else None
    )
    misspelt = problems.at((*path, "allow")) or problems.at(("defaults", "allow"))
    for part, targets in _lists(route):
        names: set[str] = set()
        for at, target in _placed(targets):
            place = (*path, *part, *at)
            if target.name in names:
                problems.add(
                    place, f"a second target named {quote(target.name)}; give one of them another `name`"
                )
            names.add(target.name)
            outside = route.allow.outside(target.provider)
            if outside and not misspelt:
                problems.add(place, f"{target.provider.name} is outside of what this route allows: {outside}")
            if own is None or target.provider.name == own.name:
                continue
            if target.provider.dialect != own.dialect:
                if not {target.provider.dialect, own.dialect} <= TONGUES.keys():
                    problems.add(
                        place,
                        f"{target.provider.name} speaks {target.provider.dialect or 'a dialect of its own'}, "
                        f"{own.name} speaks {own.dialect or 'a dialect of its own'}: "
                        f"calls are translated between {', '.join(TONGUES)} only",
                    )
                elif target.model is None:
                    problems.add(
                        place,
                        f"{target.provider.name} speaks another dialect than {own.name} and knows other "
                        "models: say which `model` it shall be asked for",
                    )
            elif not own.dialect:
                problems.add(place, f"{own.name} is passed through only: nothing can take its calls over")


# ---- warnings -------------------------------------------------------------------------------


def warnings(settings: Settings) -> list[Problem]:
    """Looks at secrets and certificates too, so it says what holds now and here."""
    found: list[Problem] = [_warn(path, message) for path, message in _trouble_capturing(settings)]
    found += _shut(settings)
    found += [_warn(path, message) for path, message in _unsigned(settings)]
    found += unkept(settings)
    cards = Cards(settings.models)
    for index, route in enumerate(settings.routes):
        found += [_warn(("routes", index), reason) for reason in _never_taken(route)]
        found += [_warn(("routes", index), reason) for reason in _behind(route, index, settings)]
        found += [_warn(("routes", index, "hedge"), reason) for reason in _nobody_to_race(route)]
        found += [
            _warn(("routes", index, "deferred"), reason) for reason in _rarely_deferred(route, settings)
        ]
        found += [
            _warn(("routes", index, "continuation"), reason) for reason in _nobody_goes_on(route, cards)
        ]
        if route.cost.over_budget == "refuse" and settings.cost.hourly_budget is None:
            message = "refuses nothing: there is no budget in `cost.hourly_budget`"
            found.append(_warn(("routes", index, "cost", "over_budget"), message))
        found += [_warn(("routes", index, "allow"), reason) for reason in _beyond(route, settings)]
        for part, targets in _lists(route):
            path: Path = ("routes", index, *part)
            providers = {target.provider.name for target in targets}
            if part == ("chain",) and len(providers) < 2:
                found.append(
                    _warn(path, f"has no second provider: when {min(providers)} is down, nothing answers")
                )
            for at, target in _placed(targets) if route.match.provider is None else ():
                if target.credential is None:
                    message = f"{target.name} has no key: only calls to /{target.provider.name} bring theirs"
                    found.append(_warn((*path, *at), message))
            fallbacks = len(steps(targets)) - 1
            if fallbacks > 3:
                found.append(
                    _warn(path, f"{fallbacks} fallbacks; more than 3 rarely find the time to answer")
                )
    return found + without_key(settings)


def without_key(settings: Settings) -> list[Problem]:
    """What will not be asked, or not be let in, for want of a key that can be used here and now."""
    found = [
        _warn(("routes", index, *part, *at), f"{target.name} has no key, so it is skipped (no_credential)")
        for index, route in enumerate(settings.routes)
        for part, targets in _lists(route)
        for at, target in _placed(targets)
        if route.match.provider not in {None, target.provider.name} and target.credential is None
    ]
    return found + [
        _warn(path, f"{secret.kind}:{secret.where}: {secret.trouble}")
        for path, secret in _secrets(settings)
        if secret.trouble
    ]


def unkept(settings: Settings) -> list[Problem]:
    """What cannot be put where it is to be kept: the process would say it when something is lost."""
    folder = settings.state_dir
    if folder is None or os.access(folder, os.W_OK | os.X_OK):
        return []
    deferring = any(route.deferred for route in settings.routes)
    lost = "no call is deferred, and what is learned is lost" if deferring else "what is learned is lost"
    return [
        _warn(
            ("state_dir",),
            f"{folder} is no folder that can be written here, so {lost} with the process; make it, or mount "
            "a volume there that this user may write to (the Helm chart has one at /var/lib/llm-sidecar)",
        )
    ]


def _nobody_to_race(route: Route) -> Iterator[str]:
    if route.hedge.after == "off":
        return
    if len(route.chain) < 2:
        yield "does nothing: there is no second target in the chain"
    elif route.once:
        yield "does nothing: the route acts only once (`once: true`)"


def _nobody_goes_on(route: Route, cards: Cards) -> Iterator[str]:
    named = [target for target in route.chain if target.model is not None]
    if not route.continuation or len(named) < len(route.chain):  # the client's model may be one that does
        return
    if not any(takes(one.provider.dialect, cards(one.provider, one.model or "")) for one in named):
        yield (
            "no target of the chain is known to go on with a text: put one there that does, or say it of a "
            "model: models: [{provider: ..., model: ..., can: [prefill]}]"
        )


def capture_text(settings: Settings) -> str:
    """For people: what interception would do; "" where it is off."""
    capture = settings.capture
    if capture.mode == "off":
        return ""
    hosts = captured(settings)
    others = "are tunnelled unseen" if capture.others == "tunnel" else "are refused"
    lines = [
        f"capture: HTTPS_PROXY=http://127.0.0.1:{capture.port}; all other hosts {others}",
        f"  certificates to trust: {capture.trust_dir}/ca-bundle.pem",
    ]
    for host, name in sorted(hosts.items()):
        there = settings.providers[name].host
        lines.append(f"  {host} -> {name}{'' if there == host else f', at {there}'}")
    return "\n".join(lines)


def _trouble_capturing(settings: Settings) -> Iterator[tuple[Path, str]]:
    capture = settings.capture
    if capture.mode == "off":
        if capture.hosts:
            yield ("capture", "mode"), "is off, so `capture.hosts` does nothing; proxy turns it on"
        return
    folder = capture.trust_dir or ""
    if not os.access(folder, os.W_OK | os.X_OK):
        yield ("capture", "trust_dir"), f"{folder} is no folder that can be written here"


def _unsigned(settings: Settings) -> Iterator[tuple[Path, str]]:
    for name, webhook in settings.webhooks.items():
        key = webhook.key.reveal()
        if key is not None and key_of(key) is None:
            message = f"expected whsec_ and base64 of {SHORTEST} to {LONGEST} bytes; nothing can be sent"
            yield ("webhooks", name, "key"), message


def _rarely_deferred(route: Route, settings: Settings) -> Iterator[str]:
    if route.deferred is None:
        return
    allowed = settings.request_headers
    if route.traffic is not Traffic.BACKGROUND and not (allowed.traffic or allowed.defer):
        yield "does nothing: the route is not of class background, and no request may ask for it"
    if route.static is not None:
        yield "takes few calls: the static answer comes first, and receipts only where it does not fit"
    if any(target.credential is None for target in route.chain):
        names = ", ".join(target.name for target in route.chain if target.credential is None)
        yield f"is not asked of {names}: deferred calls have no key but the configured ones"


def _never_taken(route: Route) -> Iterator[str]:
    """Routes are for calls that we can read; the rest is passed through before any route is asked."""
    own = route.chain[0].provider
    operation = route.match.operation
    if own.dialect == HTTP.name:
        return
    if own.dialect not in DIALECTS:
        yield f"is never taken: calls to {own.name} are passed through"
    elif operation in _PATHS and not any(find(own.dialect, "POST", path) for path in _PATHS[operation]):
        yield f"is never taken: calls for `{operation}` to {own.name} are passed through"


def _behind(route: Route, index: int, settings: Settings) -> Iterator[str]:
    """Another route that stands before it and takes all that it would."""
    if route.match.header == route.name:
        return  # whoever sends the header names the route
    for place, other in enumerate(settings.routes[:index]):
        if _covers(other, route):
            yield (
                f"takes only the requests that name it: routes[{place}] ({other.name}) stands before it and "
                "takes all that it would; put the narrower one first"
            )
            return


def _covers(first: Route, second: Route) -> bool:
    if first.chain[0].provider.dialect != second.chain[0].provider.dialect:
        return False
    one, two = first.match, second.match
    same = (
        (getattr(one, name), getattr(two, name)) for name in ("provider", "operation", "stream", "header")
    )
    if any(wide is not None and wide != narrow for wide, narrow in same):
        return False
    if one.model in {None, "*", two.model}:
        return True
    plain = two.model is not None and not set("*?[") & set(two.model)
    return plain and fnmatchcase(two.model or "", one.model or "")


def _beyond(route: Route, settings: Settings) -> Iterator[str]:
    """What passes the policy by goes to the provider that the client names, inside or not."""
    asked = settings.providers.get(route.match.provider or "")
    outside = route.allow.outside(asked) if asked is not None else ""
    if asked is not None and outside:
        yield (
            f"{asked.name} itself is outside: what cannot be read of the calls to it is refused, and so "
            "are all of this route's while the bypass is on"
        )


def _warn(path: Path, message: str) -> Problem:
    return Problem(show(path), message)


def keys(settings: Settings) -> dict[Secret, str]:
    """Every key that is read while the process runs, and where it is named first."""
    found: dict[Secret, str] = {}
    for path, secret in _secrets(settings):
        if path[-1] != "ca_file":
            found.setdefault(secret, show(path))
    return found


def _secrets(settings: Settings) -> Iterator[tuple[Path, Secret]]:
    for name, provider in settings.providers.items():
        if isinstance(provider.key, Secret):
            yield ("providers", name, "key"), provider.key
        if provider.ca_file is not None and not os.access(provider.ca_file, os.R_OK):
            yield ("providers", name, "ca_file"), Secret("file", provider.ca_file)
    for index, route in enumerate(settings.routes):
        semantic = route.cache.semantic
        if semantic is not None and isinstance(semantic.target.key, Secret):
            yield ("routes", index, "cache", "semantic", "target", "key"), semantic.target.key
        for part, targets in _lists(route):
            for at, target in _placed(targets):
                if isinstance(target.key, Secret):
                    yield ("routes", index, *part, *at, "key"), target.key
    for name, webhook in settings.webhooks.items():
        if isinstance(webhook.key, Secret):
            yield ("webhooks", name, "key"), webhook.key
        if webhook.place.ca_file is not None and not os.access(webhook.place.ca_file, os.R_OK):
            yield ("webhooks", name, "ca_file"), Secret("file", webhook.place.ca_file)
    files: Mapping[Path, str | None] = {
        ("listen", "client_token"): settings.listen.client_token,
        ("admin", "token"): settings.admin.token,
        ("drill_key",): settings.drill_key,
    }
    for path, file in files.items():
        if file is not None:
            yield path, Secret("file", file)
    for name, secret in (("url", settings.shared.url), ("key", settings.shared.key)):
        if isinstance(secret, Secret):
            yield ("shared", name), secret
