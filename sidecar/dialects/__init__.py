"""The dialects we speak, by name. A new one is a module and a row here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sidecar.dialects.anthropic import ANTHROPIC
from sidecar.dialects.base import BadBody, Dialect, Reader, Wire
from sidecar.dialects.embeddings import EMBEDDINGS
from sidecar.dialects.gemini import GEMINI
from sidecar.dialects.http import HTTP
from sidecar.dialects.openai_chat import OPENAI_CHAT
from sidecar.dialects.openai_responses import OPENAI_RESPONSES
from sidecar.model import Operation, Provider

__all__ = ["DIALECTS", "FAMILIES", "BadBody", "Dialect", "Reader", "Wire", "find", "speaks"]

_ALL = (OPENAI_CHAT, OPENAI_RESPONSES, EMBEDDINGS, ANTHROPIC, GEMINI, HTTP)
DIALECTS: Mapping[str, Dialect] = MappingProxyType({dialect.name: dialect for dialect in _ALL})

# What a provider speaks, by path, beside the one dialect that configuration names.
FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"openai_chat": ("openai_chat", "openai_responses", "embeddings"), "gemini": ("gemini",)}
)


def speaks(provider: Provider, dialect: str) -> bool:
    """Is it asked in this dialect as it is? Else in the one that configuration names, if at all."""
    if dialect == OPENAI_RESPONSES.name and not provider.responses:
        return provider.dialect == dialect
    return dialect in FAMILIES.get(provider.dialect, (provider.dialect,))


def find(dialect: str, method: str, path: str) -> tuple[Dialect, Operation] | None:
    """Which dialect of the family this path is in, and what it asks for; None: passed through."""
    for name in FAMILIES.get(dialect, (dialect,)):
        member = DIALECTS.get(name)
        operation = member and member.operation(method, path)
        if member and operation:
            return member, operation
    return None
