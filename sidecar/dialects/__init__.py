"""The dialects we speak, by name. A new one is a module and a row here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sidecar.dialects.anthropic import ANTHROPIC
from sidecar.dialects.base import BadBody, Dialect, Reader, Wire
from sidecar.dialects.openai_chat import OPENAI_CHAT

__all__ = ["DIALECTS", "BadBody", "Dialect", "Reader", "Wire"]

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {dialect.name: dialect for dialect in (OPENAI_CHAT, ANTHROPIC)}
)
