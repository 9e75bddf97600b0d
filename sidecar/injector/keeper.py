"""Who keeps the webhook's certificate: we ourselves, or somebody who writes files.

Ourselves. The Secret is the truth, shared by all replicas; whoever finds something to do writes it with
the resourceVersion that was read, and whoever comes second reads again, so no leader is needed. The
bundle in the webhook configuration follows from the Secret and is written with the resourceVersion that
was read before it: a slow replica cannot put an older bundle over a newer one.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from sidecar.injector import certificates
from sidecar.injector.api import Api, ApiError
from sidecar.injector.certificates import Kept, Pair
from sidecar.injector.door import Door

ROUNDS: Final = 5  # of reading again, where another replica was faster


class Keeper(Protocol):
    @property
    def ready(self) -> bool: ...  # what is served is trusted

    async def tick(self) -> str:
        """Does what is due; says what was done, for the log. Raises ApiError, ValueError, OSError."""


class SelfMade:
    def __init__(
        self,
        api: Api,
        door: Door,
        *,
        namespace: str,
        secret: str,
        webhook: str,
        names: Sequence[str],
        wall: Callable[[], float],
    ) -> None:
        self._api, self._door, self._wall = api, door, wall
        self._names = tuple(names)
        self._namespace, self._secret = namespace, secret
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self._webhook = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{webhook}"
        self._trusted = False

    @property
    def ready(self) -> bool:
        return self._trusted and self._wall() < self._door.ends

    async def tick(self) -> str:
        try:
            return await self._tick()
        except (LookupError, TypeError, AttributeError):  # whoever answers is no API server
            raise ApiError(0, "an answer of the API is not what it should be") from None

    async def _tick(self) -> str:
        for _ in range(ROUNDS):
            webhook = await self._api.get(self._webhook)  # before the Secret: see above
            kept, made = await self._kept()
            if kept is None:
                continue
            if webhook is None:
                raise ApiError(404, f"there is no {self._webhook.rpartition('/')[2]} to put the CA into")
            told = await self._told(webhook, kept)
            if told is None:
                continue
            changed = self._door.load(kept.leaf)
            self._trusted = True
            done = [("made" if made else "took over", changed or made), ("put into the webhook", told)]
            return ", ".join(word for word, did in done if did)
        raise ApiError(409, "other replicas were faster each time")

    async def _kept(self) -> tuple[Kept | None, bool]:
        """What the Secret holds, and whether we put it there; None: read again."""
        path = f"{self._secrets}/{self._secret}"
        secret = await self._api.get(path)
        before = None if secret is None else certificates.from_data(secret.get("data") or {})
        kept = certificates.advance(before, self._names, self._wall())
        if kept == before:
            return kept, False
        data = certificates.to_data(kept)
        try:
            if secret is None:
                metadata = {"name": self._secret, "namespace": self._namespace, "labels": _LABELS}
                await self._api.create(
                    self._secrets,
                    {
                        "apiVersion": "v1",
                        "kind": "Secret",
                        "metadata": metadata,
                        "type": "Opaque",
                        "data": data,
                    },
                )
            else:
                await self._api.replace(path, secret | {"data": data})
        except ApiError as error:
            if error.status == 409:
                return None, False
            raise
        return kept, True

    async def _told(self, webhook: dict[str, Any], kept: Kept) -> bool | None:
        """Whether the bundle had to be written; None: read again."""
        bundle = base64.b64encode(kept.bundle).decode()
        changes: list[dict[str, Any]] = [
            {"op": "add", "path": f"/webhooks/{number}/clientConfig/caBundle", "value": bundle}
            for number, row in enumerate(webhook.get("webhooks") or [])
            if row["clientConfig"].get("caBundle") != bundle
        ]
        if not changes:
            return False
        version = webhook["metadata"]["resourceVersion"]
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        try:
            await self._api.patch(self._webhook, [test, *changes])
        except ApiError as error:
            if error.status in {409, 422}:
                return None
            raise
        return True


_LABELS: Final = {"app.kubernetes.io/name": "llm-sidecar", "app.kubernetes.io/component": "injector"}


class Provided:
    """tls.crt and tls.key in a folder, written by cert-manager or by hand; the CA is theirs to tell."""

    def __init__(self, folder: Path, door: Door, *, wall: Callable[[], float]) -> None:
        self._folder, self._door, self._wall = folder, door, wall

    @property
    def ready(self) -> bool:
        return self._wall() < self._door.ends

    async def tick(self) -> str:
        read = [(self._folder / name).read_bytes() for name in ("tls.crt", "tls.key")]
        return "took over" if self._door.load(Pair(read[0], read[1])) else ""
