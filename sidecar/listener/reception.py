"""Who asks, and for what: from a parsed head to what is to be done, or to a refusal."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from msgspec import Struct
from msgspec.structs import replace

from sidecar.core import drill
from sidecar.dialects import FAMILIES
from sidecar.dialects.base import Dialect
from sidecar.listener import jobs
from sidecar.listener.connection import Bound, Request
from sidecar.listener.http_rules import (
    Intake,
    Wishes,
    check_host,
    check_path,
    check_sender,
    intake,
    trace_context,
    wishes,
)
from sidecar.listener.http_strict import RequestError
from sidecar.model import Ask, Clock, Drill, Operation, Provider, Service
from sidecar.routing import split_path
from sidecar.secret import Secret
from sidecar.settings import Listen, Route, Settings


@dataclass(frozen=True, slots=True)
class Generation:
    """One configuration, built; calls in flight keep theirs."""

    settings: Settings
    dialects: Mapping[str, Dialect]
    route: Callable[[str, Ask, str | None], Route]  # provider, ask, route asked for; raises UnknownRoute
    stacks: Mapping[str, Service]
    passthrough: Service
    later: Mapping[str, Service] = field(default_factory=dict)  # by route, for calls that were deferred


class Asked(Struct, frozen=True, eq=False):
    """A request that passed the checks: what it is for."""

    request: Request
    generation: Generation
    provider: Provider
    dialect: Dialect | None
    operation: Operation | None
    method: str
    path: str
    query: str
    route: str | None
    said: Intake
    wish: Wishes
    trace_id: str
    parent_id: str
    sampled: bool | None  # what the application says
    arrived: float
    exact: bool = False  # the path is the provider's, whole


class Reception:
    """Checks heads. Remembers only what it derived from the settings."""

    def __init__(self, clock: Clock, new_id: Callable[[], str]) -> None:
        self._clock = clock
        self._new_id = new_id
        self._names: tuple[Listen | None, frozenset[str]] = (None, frozenset())
        self._token: Secret | None = None

    def check(self, request: Request, generation: Generation, *, bypass: bool) -> Asked | None:
        """What the request is for; None: it asks for us. Raises RequestError."""
        now = self._clock.now()
        head = request.head
        if isinstance(head, RequestError):
            raise head
        settings = generation.settings
        said = intake(head.raw_headers)
        bound = request.connection.bound
        if bound is None:
            self._check_sender(said, settings.listen)
        else:
            check_host(said, bound.host)
        if head.method == "TRACE":
            raise RequestError(405, "method", "TRACE is not served")
        expected = said.said.get(b"expect")
        if expected and expected.lower() != b"100-continue":
            raise RequestError(417, "expectation", "the only expectation served is 100-continue")
        name, route, rest = (bound.provider, None, head.path) if bound else split_path(head.path)
        path, _, query = rest.partition("?")
        check_path(path)
        provider = settings.providers.get(name)
        if provider is None:
            if not name and path == "/" and head.method in {"GET", "HEAD"}:
                return None
            if jobs.is_ours(head.path):
                return None
            raise _unknown(name, settings)
        path, exact = _place(provider, bound, path) if bound else (path, False)
        wish = wishes(said.ours, settings.request_headers)
        if wish.options.webhook not in {"", "off", *settings.webhooks}:
            raise RequestError(
                400, "bad_sidecar_header", "the header x-llm-sidecar-webhook names no configured webhook"
            )
        if b"drill" in said.ours and settings.drill_key is not None:
            wish = self._drilled(wish, said.ours[b"drill"], Secret("file", settings.drill_key))
        if route is not None and not settings.request_headers.route:
            raise RequestError(
                403, "route_not_allowed", "configuration does not let requests choose their route"
            )
        encoding = said.said.get(b"content-encoding", b"")
        readable = not bypass and (not encoding or encoding.lower() == b"identity")
        trace, parent, sampled = trace_context(said)
        dialect, operation = _spoken(generation.dialects, provider.dialect, head.method, path)
        return Asked(
            request=request,
            generation=generation,
            provider=provider,
            dialect=dialect,
            operation=operation if readable else None,  # encoded bodies could not be judged
            method=head.method,
            path=path,
            query=query,
            route=route or wish.route,
            said=said,
            wish=wish,
            trace_id=trace or self._new_id(),
            parent_id=parent,
            sampled=sampled,
            arrived=now,
            exact=exact,
        )

    def _drilled(self, wish: Wishes, value: bytes, file: Secret) -> Wishes:
        """With the fault that this request asks for. Raises RequestError."""
        key = file.reveal()
        found: Drill | str = "cannot be checked: drill_key names no readable file"
        if key is not None:
            found = drill.read(value.decode("latin-1"), key, self._clock.wall())
        if isinstance(found, str):
            raise RequestError(400, "bad_sidecar_header", f"the header x-llm-sidecar-drill {found}")
        return replace(wish, options=replace(wish.options, drill=found))

    def _check_sender(self, said: Intake, listen: Listen) -> None:
        if self._names[0] is not listen:
            self._names = (listen, frozenset(name.lower() for name in listen.names))
            self._token = _token(listen)
        check_sender(said, self._names[1], listen)
        if self._token is None:
            return
        given = said.ours.get(b"token", b"")
        if not _is(given, self._token):
            self._token = _token(listen)  # it may have been rotated just now
            if not _is(given, self._token):
                raise RequestError(401, "client_token", "the header x-llm-sidecar-token is missing or wrong")


def _place(provider: Provider, bound: Bound, path: str) -> tuple[str, bool]:
    """The path of a captured request, and whether it is to be asked for exactly as it is.

    Raises RequestError where it leaves the provider's url with a key that is the operator's.
    """
    if provider.host == bound.host:
        inside = path.startswith(provider.base_path + "/")
        if not inside and provider.key is not None:
            raise RequestError(
                403,
                "path_outside",
                f"the path is not below the url of {provider.name}, whose key llm-sidecar puts in",
            )
        return path, True
    # the provider is reached elsewhere, through a gateway: its url stands for the vendor's own
    return (path[len(bound.base) :] if path.startswith(bound.base + "/") else path), False


def _spoken(
    dialects: Mapping[str, Dialect], family: str, method: str, path: str
) -> tuple[Dialect | None, Operation | None]:
    """Which of a provider's dialects the path is in, and what it asks for."""
    for name in FAMILIES.get(family, (family,)):
        dialect = dialects.get(name)
        operation = dialect.operation(method, path) if dialect else None
        if operation is not None:
            return dialect, operation
    return dialects.get(family), None


def _unknown(name: str, settings: Settings) -> RequestError:
    known = sorted(settings.providers)
    close = get_close_matches(name, known, n=1)
    hint = f' Did you mean "{close[0]}"?' if close else ""
    return RequestError(
        404,
        "unknown_provider",
        f"a path begins with the name of a provider, and this one begins with none.{hint} "
        f"Known: {', '.join(known) or 'none'}",
    )


def _token(listen: Listen) -> Secret | None:
    return Secret("file", listen.client_token) if listen.client_token else None


def _is(given: bytes, token: Secret | None) -> bool:
    wanted = "" if token is None else (token.reveal() or "").strip()
    return wanted != "" and hmac.compare_digest(given, wanted.encode())
