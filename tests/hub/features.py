"""What a request may ask for, feature by feature: how each dialect says it, and what must arrive of it.

`said` is a request that differs from a bare one by this feature alone, so that every loss is the
feature's; None where a dialect has no word for it. `heard` is what of a conversation is the feature:
it has to be the same before the crossing and after it, or the crossing is not exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sidecar.hub import Facts
from sidecar.hub.conversation import (
    Conversation,
    Effort,
    MediaKind,
    MediaPart,
    TextPart,
    ThoughtPart,
    ToolResultPart,
    ToolUsePart,
)
from sidecar.hub.writing import BUDGETS
from tests.hub import cases
from tests.hub.cases import ANTHROPIC, CHAT, GEMINI, RESPONSES, Json

Said = Callable[[str], Json | None]
PDF_URL = "https://example.org/log.pdf"


@dataclass(frozen=True)
class Feature:
    name: str
    said: Said
    heard: Callable[[Conversation], Any]
    facts: Facts = field(default_factory=Facts)
    stream: bool = False


def bare(dialect: str, *turns: Json, **more: Any) -> Json:
    return cases._asked(dialect, list(turns) or [cases._user(dialect, "Moin.")], **more)


def table(**said: Json) -> Said:
    """Fields beside a bare question, by dialect."""
    names = {"chat": CHAT, "responses": RESPONSES, "anthropic": ANTHROPIC, "gemini": GEMINI}
    table = {names[name]: more for name, more in said.items()}
    return lambda d: bare(d, **table[d]) if d in table else None


def config(**fields: Any) -> Json:
    return {"generationConfig": fields}


def behind(**said: Json) -> Said:
    """A part of the user's turn behind a text, by dialect."""
    names = {"chat": CHAT, "responses": RESPONSES, "anthropic": ANTHROPIC, "gemini": GEMINI}
    table = {names[name]: part for name, part in said.items()}
    return lambda d: bare(d, cases._user(d, "What is it?", table[d])) if d in table else None


def with_tools(**said: Json) -> Said:
    inner = table(**said)

    def made(dialect: str) -> Json | None:
        body = inner(dialect)
        return None if body is None else {**cases._tools(dialect), **body}

    return made


def history(dialect: str, *said: Json) -> Json:
    return bare(dialect, cases._user(dialect, "Sail?"), *said, **cases._tools(dialect))


# ---- what is heard ---------------------------------------------------------------------------


def texts(conversation: Conversation) -> list[tuple[str, str]]:
    """Who said what, one after the other."""
    return [
        (turn.role.value, part.text)
        for turn in conversation.turns
        for part in turn.parts
        if isinstance(part, TextPart) and part.text
    ]


def calls(conversation: Conversation) -> list[Any]:
    parts = [part for turn in conversation.turns for part in turn.parts]
    return [(p.name, msgspec.json.decode(p.arguments)) for p in parts if isinstance(p, ToolUsePart)]


def results(conversation: Conversation) -> list[Any]:
    """Each result with the place of the call that it answers."""
    parts = [part for turn in conversation.turns for part in turn.parts]
    calls = [(part.id, part.name) for part in parts if isinstance(part, ToolUsePart)]
    taken: set[int] = set()
    found = []
    for part in parts:
        if isinstance(part, ToolResultPart):
            place = next(
                n
                for n, (ident, name) in enumerate(calls)
                if n not in taken and (ident == part.id if part.id else name == part.name)
            )
            taken.add(place)
            inner = [each.text if isinstance(each, TextPart) else each.data for each in part.parts]
            found.append((place, inner, part.error))
    return sorted(found)


def history_of(conversation: Conversation) -> list[Any]:
    return [texts(conversation), calls(conversation), results(conversation)]


def media(kind: MediaKind, *names: str) -> Callable[[Conversation], Any]:
    def heard(conversation: Conversation) -> Any:
        parts = [part for turn in conversation.turns for part in turn.parts]
        return [
            [p.type if p.data else "", *(getattr(p, name) for name in ("data", "url", "file", *names))]
            for p in parts
            if isinstance(p, MediaPart) and p.kind is kind
        ]

    return heard


def details(conversation: Conversation) -> Any:
    parts = [part for turn in conversation.turns for part in turn.parts]
    rests = [part.rest.items() for part in parts if isinstance(part, MediaPart)]
    return [value for rest in rests for key, value in rest if key.rpartition(".")[2] == "detail"]


def tools(conversation: Conversation) -> Any:
    return [(tool.name, tool.description, tool.schema) for tool in conversation.tools]


def strict(conversation: Conversation) -> Any:
    return [tool.strict for tool in conversation.tools]


def choice(conversation: Conversation) -> Any:
    return conversation.choice, conversation.named


def form(conversation: Conversation) -> Any:
    """The name of a schema may have become its title."""
    form = conversation.format
    return form.shape, {k: v for k, v in (form.schema or {}).items() if k != "title"}


def sampled(name: str) -> Callable[[Conversation], Any]:
    return lambda conversation: getattr(conversation.sampling, name)


def thinking(conversation: Conversation) -> Any:
    """An effort is the budget that stands for it."""
    thinking = conversation.thinking
    return thinking.budget if thinking.effort is None else BUDGETS.get(thinking.effort)


def thoughts(conversation: Conversation) -> Any:
    parts = [part for turn in conversation.turns for part in turn.parts]
    return [part.text for part in parts if isinstance(part, ThoughtPart)]


def nothing(conversation: Conversation) -> Any:
    """Only its own dialect knows it: whatever arrives, what is told is what counts."""
    return None if conversation.rest or any(turn.rest for turn in conversation.turns) else ()


def names(conversation: Conversation) -> Any:
    return [turn.name for turn in conversation.turns]


def kinds(conversation: Conversation) -> Any:
    return [type(part).__name__ for turn in conversation.turns for part in turn.parts]


def marks(conversation: Conversation) -> Any:
    return [part.rest for turn in conversation.turns for part in turn.parts if isinstance(part, TextPart)]


def parallel(conversation: Conversation) -> Any:
    return conversation.parallel


def streams(conversation: Conversation) -> Any:
    return conversation.stream


def effort(conversation: Conversation) -> Any:
    return conversation.thinking.effort


def thinks(conversation: Conversation) -> Any:
    """May it think? What says nothing leaves that to the model."""
    said = conversation.thinking
    return said.budget != 0 and said.effort is not Effort.NONE


def user(conversation: Conversation) -> Any:
    return conversation.user
