"""Names of tools that the target does not take, and the answer's calls told by the client's own again.

OpenAI takes 64 letters, digits, underscores and dashes; Anthropic 128 of them; Gemini takes dots and colons
too, and wants a letter in front. Names that were made for one of them (of tools behind MCP, most often) may
be too long or too odd for the next, who would refuse the whole request for one of them. Such a tool is
told by another name, and so are the calls of it in the history; it is named as a loss, because a name
says something to a model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import partial

from msgspec.structs import replace

from sidecar.hub.conversation import NOTHING, Conversation, Part, ToolResultPart, ToolUsePart
from sidecar.hub.writing import Ledger

Fits = Callable[[str], object]  # falsy: the target does not take it

OF_OPENAI: Fits = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
OF_ANTHROPIC: Fits = re.compile(r"[A-Za-z0-9_-]{1,128}").fullmatch
OF_GEMINI: Fits = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}").fullmatch
_ODD = re.compile(r"[^A-Za-z0-9_-]")
_KEPT = 48  # characters of the name that was given


def renamed(conversation: Conversation, ledger: Ledger, fits: Fits) -> tuple[Conversation, Mapping[str, str]]:
    """The conversation with names that fit, and what the client calls them. A tool that was called and is
    not declared any more has to have one, too.
    """
    names = conversation.called | {tool.name for tool in conversation.tools}
    made = {name: _fitting(name) for name in names if name and not fits(name)}
    if not made:
        return conversation, NOTHING
    for tool in conversation.tools:
        if tool.name in made:
            ledger.lose(tool.at, "emulated")
    if conversation.named in made:
        ledger.lose_field("choice", "emulated")
    told = partial(_told, made=made, ledger=ledger)
    changed = replace(
        conversation,
        tools=tuple(replace(tool, name=made.get(tool.name, tool.name)) for tool in conversation.tools),
        named=made.get(conversation.named, conversation.named),
        turns=tuple(replace(turn, parts=tuple(map(told, turn.parts))) for turn in conversation.turns),
    )
    return changed, {ours: theirs for theirs, ours in made.items()}


def _told(part: Part, made: Mapping[str, str], ledger: Ledger) -> Part:
    if not isinstance(part, (ToolUsePart, ToolResultPart)) or part.name not in made:
        return part
    if isinstance(part, ToolUsePart) or ".parts[" in part.at:  # Gemini's results say it again
        ledger.lose(part.at, "emulated")
    return replace(part, name=made[part.name])


def _fitting(name: str) -> str:
    """One that everybody takes, the same for the same name always, and no other tool's."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"t_{_ODD.sub('_', name)[:_KEPT]}_{digest}"
