"""The variables that lead an application's clients through the sidecar.

What a pod sets is its own. A container that sets one variable of a provider keeps all of that
provider's as they are, because clients differ in which alias they read first: an alias of ours beside
a value of theirs would win with some of them. A warning says so.

With override-env the value is replaced, and what it said becomes the upstream of that provider, so that
private gateways stay where calls go. There is one sidecar and so one upstream per provider: a container
that names another one keeps its value, since its key must not travel to the first one's gateway.

A pod's own HTTP_PROXY would get the calls to us too, so its NO_PROXY is made to name loopback; nothing is
taken out of it.

envFrom cannot be seen here, and an explicit variable wins over it; see the page on injection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar.injector.annotations import Warnings, cut
from sidecar.injector.container import TRUST, UPSTREAM, VOLUME, trust_mount, variable_of
from sidecar.injector.edit import Edit, Path

ONLY_REPLACED: Final = frozenset({"AZURE_OPENAI_ENDPOINT"})  # setting it would turn a client into Azure's
REFERENCES: Final = frozenset({"configMapKeyRef", "secretKeyRef"})  # mean the same in our container

_VERSION: Final = re.compile(r"/v[0-9]+(alpha|beta)?$")

_PROXY: Final = ("HTTPS_PROXY", "https_proxy")
_PAST_PROXY: Final = ("NO_PROXY", "no_proxy")
_PLAIN_PROXY: Final = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_LOOPBACK: Final = "127.0.0.1,localhost"
_BUNDLE: Final = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)
_ADDED: Final = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
# the kubelet knows the API server's address, and its certificate is not ours to vouch for
_NEAR: Final = (
    "127.0.0.1,localhost,::1,169.254.169.254,.svc,.cluster.local,kubernetes.default,"
    "$(KUBERNETES_SERVICE_HOST)"
)

Said = Mapping[str, Any]  # {"value": ...} or {"valueFrom": ...}


@dataclass(frozen=True, slots=True)
class Way:
    """Where the sidecar is, and what leads to it."""

    port: int
    table: Mapping[str, str]  # variable -> provider/path; empty: clients are left alone
    capture_port: int | None  # of the proxy; None: there is none
    override: bool


def lead(edit: Edit, at: Path, way: Way, upstreams: dict[str, Said], warnings: Warnings) -> None:
    """The container at `at` gets what it lacks; `upstreams`, by the sidecar's variable, what it gave up."""
    container = edit.pod
    for step in at:
        container = container[step]  # type: ignore[index]  # a number, where it is a list
    _base_urls(edit, at, container, way, upstreams, warnings)
    if way.capture_port is not None:
        _proxy(edit, at, container, way.capture_port, warnings)
    if any(_leads_here(row, way) for row in container.get("env") or []):
        _past_proxy(edit, at, container, warnings)


def _base_urls(
    edit: Edit,
    at: Path,
    container: Mapping[str, Any],
    way: Way,
    upstreams: dict[str, Said],
    warnings: Warnings,
) -> None:
    providers: dict[str, dict[str, str]] = {}
    for name in sorted(way.table):
        providers.setdefault(way.table[name].partition("/")[0], {})[name] = way.table[name]
    for provider, names in sorted(providers.items()):
        there = {row["name"]: (n, row) for n, row in enumerate(container.get("env") or [])}  # the last wins
        theirs = {
            name: there[name] for name in names if name in there and not _leads_here(there[name][1], way)
        }
        if theirs and not way.override:
            if not theirs.keys() <= ONLY_REPLACED:
                _left(warnings, container, min(theirs), "override-env would replace it")
                continue
            theirs = {}
        if theirs:
            said = _said(container, theirs, warnings)
            if said is None:
                continue
            key = variable_of(provider)
            if said and key in upstreams and not _same(said, upstreams[key]):
                _left(warnings, container, min(theirs), f"another container gave {cut(provider, 20)}'s")
                continue
            if said:
                upstreams.setdefault(key, said)
            for name, (number, _) in sorted(theirs.items()):
                edit.replace((*at, "env"), number, _row(name, way.port, names[name]))
        missing = [name for name in names if name not in there and name not in ONLY_REPLACED]
        edit.append((*at, "env"), [_row(name, way.port, names[name]) for name in missing])


def _row(name: str, port: int, path: str) -> dict[str, str]:
    return {"name": name, "value": f"http://127.0.0.1:{port}/{path}"}


def _leads_here(row: Mapping[str, Any], way: Way) -> bool:
    """To the sidecar, by us or by hand. As an upstream it would be a loop."""
    said = row.get("value") or ""
    places = [f"http://{host}:{way.port}" for host in ("127.0.0.1", "localhost", "[::1]")]
    return any(said == place or said.startswith(place + "/") for place in places)


def _said(
    container: Mapping[str, Any], theirs: Mapping[str, tuple[int, Mapping[str, Any]]], warnings: Warnings
) -> Said | None:
    """What these variables say, all the same; empty where they say nothing; None: leave them alone."""
    found: Said = {}
    for name, (_, row) in sorted(theirs.items()):
        said: Said
        if row.get("valueFrom"):
            if len(row["valueFrom"]) != 1 or not row["valueFrom"].keys() <= REFERENCES:
                _left(warnings, container, name, "the sidecar cannot read its source")
                return None
            said = {"valueFrom": row["valueFrom"]}
        elif not row.get("value"):
            continue
        elif not _plain_url(row["value"]):
            _left(warnings, container, name, "it is no plain http(s) URL")
            return None
        else:
            said = {"value": row["value"].rstrip("/")}
        if found and not _same(found, said):
            _left(warnings, container, name, "its aliases say something else")
            return None
        found = found or said
    return found


def _plain_url(text: str) -> bool:
    """One that the sidecar takes as an upstream: a wrong one would keep it from starting."""
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~-]+)*/?", text):
        return False
    try:
        split = urlsplit(text)
        port = split.port
    except ValueError:
        return False
    return bool(split.hostname) and port != 0 and not {".", ".."} & set(split.path.split("/"))


def _same(one: Said, other: Said) -> bool:
    if "value" in one and "value" in other:
        first, second = (_VERSION.sub("", value["value"].rstrip("/")) for value in (one, other))
        return bool(first == second)
    return one.get("valueFrom") == other.get("valueFrom") and "value" not in one and "value" not in other


def _proxy(edit: Edit, at: Path, container: Mapping[str, Any], port: int, warnings: Warnings) -> None:
    here = f"http://127.0.0.1:{port}"
    there = {row["name"]: row for row in container.get("env") or []}
    for name in _PROXY:
        if name in there and there[name].get("value") != here:
            _left(warnings, container, name, "its calls are not captured")
            return
    mounts = container.get("volumeMounts") or []
    mine = VOLUME + "trust"
    if any(row.get("mountPath") == TRUST and row.get("name") != mine for row in mounts):
        warnings.add(
            f"llm-sidecar: container {cut(container['name'], 30)} mounts {TRUST}; its calls are not captured"
        )
        return
    for name, value in _trust().items():
        if name in there and there[name].get("value") != value:
            _left(warnings, container, name, f"it must trust {TRUST}/ca.pem too")
    wanted = _proxied(port) | _trust()
    rows = [{"name": name, "value": value} for name, value in wanted.items() if name not in there]
    edit.append((*at, "env"), rows)
    if not any(row.get("name") == mine for row in mounts):
        edit.append((*at, "volumeMounts"), [trust_mount()])


def _past_proxy(edit: Edit, at: Path, container: Mapping[str, Any], warnings: Warnings) -> None:
    """A proxy of the pod's own gets http://127.0.0.1 too, unless NO_PROXY names it: ours are added there."""
    there = {row["name"]: (number, row) for number, row in enumerate(container.get("env") or [])}
    if not any(_says(there[name][1]) for name in _PLAIN_PROXY if name in there):
        return
    said = ""
    for name in _PAST_PROXY:
        if name not in there:
            continue
        number, row = there[name]
        if row.get("valueFrom"):
            _left(warnings, container, name, "it must name 127.0.0.1")
            return
        said = row.get("value") or ""
        if not {"127.0.0.1", "*"} & {part.strip() for part in said.split(",")}:
            said = f"{said},{_LOOPBACK}" if said else _LOOPBACK
            edit.replace((*at, "env"), number, {"name": name, "value": said})
    # clients differ in which spelling wins: both say the same
    missing = [{"name": name, "value": said or _LOOPBACK} for name in _PAST_PROXY if name not in there]
    edit.append((*at, "env"), missing)


def _says(row: Mapping[str, Any]) -> bool:
    return bool(row.get("value") or row.get("valueFrom"))


def _proxied(port: int) -> dict[str, str]:
    here = f"http://127.0.0.1:{port}"
    return dict.fromkeys(_PROXY, here) | dict.fromkeys(_PAST_PROXY, _NEAR) | {"NODE_USE_ENV_PROXY": "1"}


def _trust() -> dict[str, str]:
    return dict.fromkeys(_BUNDLE, f"{TRUST}/ca-bundle.pem") | dict.fromkeys(_ADDED, f"{TRUST}/ca.pem")


def variables(way: Way) -> list[dict[str, str]]:
    """What a container gets that sets none of them itself."""
    names = sorted(
        way.table.keys() - ONLY_REPLACED, key=lambda name: (way.table[name].partition("/")[0], name)
    )
    capture = {} if way.capture_port is None else _proxied(way.capture_port) | _trust()
    return [
        *(_row(name, way.port, way.table[name]) for name in names),
        *({"name": name, "value": value} for name, value in capture.items()),
    ]


def _left(warnings: Warnings, container: Mapping[str, Any], name: str, why: str) -> None:
    warnings.add(f"llm-sidecar: {cut(container['name'], 24)} sets {cut(name, 32)}, left alone: {why}")


def upstreams_of(env: Iterable[Mapping[str, Any]]) -> dict[str, Said]:
    """Those that a sidecar has already."""
    return {
        row["name"]: {key: row[key] for key in ("value", "valueFrom") if row.get(key)}
        for row in env
        if row["name"].startswith(UPSTREAM)
    }
