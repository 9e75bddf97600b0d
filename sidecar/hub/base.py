"""What a dialect does in the hub: reads a request into a conversation, and writes what others said.

Pure like the dialects they belong to. Answers need no reader here: the dialect's own `Reader` already says
every answer, whole or streamed, in deltas; a `Voice` says deltas in its dialect's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from sidecar.hub.conversation import NOTHING, Conversation
from sidecar.model import Delta, Loss


class Facts(Struct, frozen=True):
    """What a writer has to know of its target beyond the dialect; None: unknown, taken as allowed."""

    max_output: int | None = None  # tokens; for the default where a dialect demands a limit
    system_anywhere: bool | None = None  # takes system messages after the first turn
    schema: bool | None = None  # structured output natively
    sampling: bool | None = None  # takes temperature and the like
    thinking: bool | None = None
    adaptive_thinking: bool | None = None  # efforts instead of budgets
    same_provider: bool = False  # sealed thoughts, file ids and server state may be sent on


class Written(Struct, frozen=True):
    """A request ready for its target: path without version segment, query, body, and what was lost."""

    path: str
    query: str
    body: bytes
    losses: tuple[Loss, ...]
    emulated: str = ""  # the tool that stands in for a schema: the answer's call of it is its text
    instructed: bool = False  # JSON was asked for in words: the answer may stand in a code fence
    # names of tools as the target has them -> the client's
    renamed: Mapping[str, str] = NOTHING
    enclosed: bool = False  # the answer stands in an object, because it is none itself


class Voice(Protocol):
    """Says one answer as a stream of its dialect, delta by delta; one instance per answer.

    Each call returns bytes, whole events only. A whole answer is the same events, put together by the
    dialect's own Assembler: so the two never differ.
    """

    @property
    def losses(self) -> tuple[str, ...]:
        """What was said and this dialect has no word for, such as "media": names, each once."""

    def say(self, deltas: tuple[Delta, ...]) -> bytes:
        """What these deltas are in this dialect, with the opening events before the first of them."""

    def end(self) -> bytes:
        """The closing events. Call it once, and only after a Finish was said: a cut stream has no end."""


class Tongue(Protocol):
    """One dialect's half of the hub."""

    name: str

    def read(self, path: str, body: bytes) -> Conversation:
        """Raises BadBody."""

    def write(self, conversation: Conversation, facts: Facts) -> Written:
        """Raises Unrepresentable. Losses are told in the words of the source: see Ledger."""

    def voice(self, conversation: Conversation, *, ident: str, created: int) -> Voice:
        """Who answers the client that asked this. `ident`: hex of ours; `created`: Unix seconds."""
