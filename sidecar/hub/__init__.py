"""The neutral form between dialects: a conversation read from one, written in another, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sidecar.hub.anthropic import ANTHROPIC
from sidecar.hub.base import Facts, Tongue, Voice, Written
from sidecar.hub.gemini import GEMINI
from sidecar.hub.openai_chat import OPENAI_CHAT
from sidecar.hub.openai_responses import OPENAI_RESPONSES

__all__ = ["TONGUES", "Facts", "Tongue", "Voice", "Written"]

# By the name of the dialect, as in sidecar.dialects.DIALECTS.
TONGUES: Mapping[str, Tongue] = MappingProxyType(
    {tongue.name: tongue for tongue in (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC, GEMINI)}
)
