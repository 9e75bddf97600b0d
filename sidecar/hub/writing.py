"""What every writer shares: the ledger of losses, ids that fit the target, efforts and budgets.

Between efforts and budgets: low is 1,024 tokens, medium 4,096, high 16,384; less than 1,024 is no
thinking (Anthropic's least budget). A budget becomes the nearest effort that is not above it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NoReturn

import msgspec

from sidecar.hub.conversation import (
    Conversation,
    Effort,
    Json,
    Loss,
    Rest,
    ToolResultPart,
    ToolUsePart,
    Unrepresentable,
)

encode = msgspec.json.encode

BUDGETS = {Effort.LOW: 1024, Effort.MEDIUM: 4096, Effort.HIGH: 16384}
LEAST_BUDGET = 1024
LONGEST_ID = 64  # characters: Anthropic's and OpenAI's limit
_FREE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class Ledger:
    """Losses of one request on its way into another dialect, told in the source's words."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._losses: dict[Loss, None] = {}
        self._ids: dict[str, str] = {}
        self._unnamed = 0
        self._open: dict[str, list[str]] = {}  # of calls without an id, by name, not answered yet

    @property
    def losses(self) -> tuple[Loss, ...]:
        return tuple(self._losses)

    def lose(self, at: str, how: str = "dropped") -> None:
        """Say that what stands there does not go along."""
        self._losses[Loss(at, how)] = None

    def lose_field(self, field: str, how: str = "dropped") -> None:
        """The same of one of our fields, by the name it has in the source."""
        self.lose(self._conversation.named_as(field), how)

    def rest(self, rest: Rest, at: str) -> None:
        """What only the source's dialect has, below `at`."""
        for key in rest:
            self.lose(f"{at}.{key}" if at else key, "cost" if key == "cache_control" else "dropped")

    def own_fields(self) -> None:
        """The top-level fields that only the source's dialect has."""
        self.rest(self._conversation.rest, "")

    def refuse(self, at: str, why: str) -> NoReturn:
        raise Unrepresentable(at, why)

    # ---- ids: the same call keeps the same id on both sides of it ------------------------------

    def id_of(self, call: ToolUsePart) -> str:
        """The id of a call in a form that every target takes."""
        if call.id:
            return self._fitting(call.id)
        self._unnamed += 1
        made = f"call_{self._unnamed}"
        self._open.setdefault(call.name, []).append(made)
        return made

    def id_for(self, result: ToolResultPart) -> str:
        """The id of the call that this result answers; by name and order where the source has no ids."""
        if result.id:
            return self._fitting(result.id)
        waiting = self._open.get(result.name)
        return waiting.pop(0) if waiting else f"call_{result.name}"

    def _fitting(self, ident: str) -> str:
        if len(ident) <= LONGEST_ID and _FREE.issuperset(ident):
            return ident
        return self._ids.setdefault(ident, f"call_{hashlib.sha256(ident.encode()).hexdigest()[:24]}")

    # ---- how much to think ---------------------------------------------------------------------

    def effort(self) -> Effort | None:
        """The effort that was asked for, or that comes nearest to the budget."""
        thinking = self._conversation.thinking
        if thinking.effort is not None or thinking.budget is None:
            return thinking.effort
        if 0 <= thinking.budget < LEAST_BUDGET:
            return Effort.NONE if thinking.budget == 0 else Effort.MINIMAL
        if thinking.budget < 0:  # Gemini's "as much as you like"
            return Effort.MEDIUM
        return max((e for e, b in BUDGETS.items() if b <= thinking.budget), key=BUDGETS.__getitem__)

    def budget(self) -> int | None:
        """The budget that was asked for, or that stands for the effort; 0: do not think."""
        thinking = self._conversation.thinking
        if thinking.budget is not None or thinking.effort is None:
            return thinking.budget
        return BUDGETS.get(thinking.effort, 0)


def as_object(arguments: str) -> dict[str, Json] | None:
    """A tool's arguments as an object; None: they are none."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return None
    return value if isinstance(value, dict) else None


def merged(texts: Iterable[str]) -> str:
    """Texts that the target takes as one."""
    return "\n\n".join(text for text in texts if text)
