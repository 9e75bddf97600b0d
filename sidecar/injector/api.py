"""The Kubernetes API: the five calls that the injector makes, on aiohttp.

The token's file is read for each call, because the kubelet replaces it every hour. Answers are taken
up to a size; a list comes in pages.
"""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec

IN_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS: Final = 10.0  # for a call
LARGEST: Final = 64 * 1024 * 1024  # bytes of an answer
PAGE: Final = 250  # objects
MANAGER: Final = "llm-sidecar-injector"


class ApiError(Exception):
    """A call that failed. `status` 0: there was no answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class NoApi(Exception):
    """There is no way to the API; says what to give."""


class Api:
    def __init__(self, url: str, *, ca_file: Path | None = None, token_file: Path | None = None) -> None:
        """Raises NoApi where url or files cannot be used. Use it within `async with`."""
        split = urlsplit(url)
        if split.scheme not in {"http", "https"} or not split.hostname:
            raise NoApi(f"--api: expected https://host:port, got {url!r}")
        if split.scheme == "http" and not _loopback(split.hostname):
            raise NoApi("--api: plain http would send the token unencrypted; use https")
        self._url = url.rstrip("/")
        self._token_file = token_file
        self._tls: ssl.SSLContext | bool = True
        if split.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
            except OSError as error:  # an SSLError is one
                raise NoApi(f"--api-ca {ca_file}: {error.strerror or 'it holds no certificate'}") from None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """None where there is no such object. Raises ApiError."""
        try:
            return _decoded(await self._call("GET", path, query=query))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._write("POST", path, body, "application/json")

    async def replace(self, path: str, body: Mapping[str, Any]) -> Any:
        """409 where the object's resourceVersion is another one by now."""
        return await self._write("PUT", path, body, "application/json")

    async def patch(self, path: str, body: list[dict[str, Any]]) -> Any:
        """A JSON patch; 422 where one of its tests fails."""
        return await self._write("PATCH", path, body, "application/json-patch+json")

    async def pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """A list, page by page, as it came: who reads it takes what is needed."""
        more = ""
        while True:
            page = await self._call("GET", path, query={**query, "limit": str(PAGE), **_after(more)})
            yield page
            more = _token(page)
            if not more:
                return

    async def _write(self, method: str, path: str, body: Any, kind: str) -> Any:
        query = {"fieldManager": MANAGER}
        data = json.dumps(body).encode()
        return _decoded(await self._call(method, path, query=query, data=data, kind=kind))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        data: bytes | None = None,
        kind: str = "",
    ) -> bytes:
        assert self._session is not None
        headers = {"Accept": "application/json", "User-Agent": MANAGER, **self._authorization()}
        if kind:
            headers["Content-Type"] = kind
        try:
            async with self._session.request(
                method,
                self._url + path,
                params=query,
                data=data,
                headers=headers,
                ssl=self._tls,
                allow_redirects=False,
            ) as answer:
                body = await _taken(answer.content)
                if answer.status >= 300:
                    raise ApiError(
                        answer.status, f"{method} {path}: {answer.status} {_reason(body)}".rstrip()
                    )
                return body
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiError(0, f"{method} {path}: no answer ({type(error).__name__})") from None

    def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            raise ApiError(0, f"the token file {self._token_file} cannot be read") from None
        return {"Authorization": f"Bearer {token}"}


def in_cluster(environ: Mapping[str, str] = os.environ, folder: Path = IN_POD) -> Api:
    """The API of the cluster this pod runs in. Raises NoApi."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (folder / "token").is_file():
        raise NoApi("this is no pod with a service account; give --api, --api-ca and --api-token-file")
    name = f"[{host}]" if ":" in host else host
    return Api(f"https://{name}:{port}", ca_file=folder / "ca.crt", token_file=folder / "token")


async def _taken(content: aiohttp.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in content.iter_any():
        size += len(part)
        if size > LARGEST:
            raise ApiError(0, f"an answer was larger than {LARGEST // 2**20} MiB")
        parts.append(part)
    return b"".join(parts)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise ApiError(0, "an answer was not JSON") from None


class _Meta(msgspec.Struct):
    more: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


def _token(page: bytes) -> str:
    try:
        return msgspec.json.decode(page, type=_List).metadata.more
    except (msgspec.DecodeError, RecursionError):
        raise ApiError(0, "a page of a list was not JSON") from None


def _after(token: str) -> dict[str, str]:
    return {"continue": token} if token else {}


def _reason(body: bytes) -> str:
    """The word of a Status; its message may quote what was sent, which holds a private key."""
    try:
        status = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    reason = status.get("reason") if isinstance(status, dict) else None
    return reason[:40] if isinstance(reason, str) and reason.isalnum() else ""


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
