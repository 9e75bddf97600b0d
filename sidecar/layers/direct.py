"""Direct: the provider the client named, as it is, with nothing in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from sidecar.model import Call, Outcome, Provider, Service, Sink, Target


@dataclass(frozen=True, slots=True)
class Direct:
    inner: Service
    providers: Mapping[str, Provider]

    async def __call__(self, call: Call, sink: Sink) -> Outcome:
        provider = self.providers[call.provider]
        return await self.inner(replace(call, target=Target(name=provider.name, provider=provider)), sink)
