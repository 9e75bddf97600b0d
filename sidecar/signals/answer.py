"""One answer, as far as quality signals have to know it, added up while it passes.

Text is kept only where it will be parsed (structured output, tool arguments), and only up to a
cap: above it the answer is too large to be judged here and passes unjudged. Of other text only the
last two kibibytes are kept, to see whether it goes round in circles.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.model import (
    Answering,
    Ask,
    Delta,
    Finish,
    FinishReason,
    Malformed,
    Media,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Trouble,
    Usage,
)
from sidecar.signals.repetition import LOOK_EVERY, PACKED, loops

KEPT = 1024 * 1024  # characters of text that is kept for parsing
PER_TOKEN = 4  # characters, where the provider does not say how many tokens it were
DECIDED = (FinishReason.FILTER, FinishReason.REFUSAL, FinishReason.LENGTH, FinishReason.CONTEXT_FULL)


@dataclass(slots=True)
class Tool:
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Answer:
    ask: Ask
    watched: bool = False  # for repetition
    content: bool = False  # anything that a reader of the answer would call an answer
    characters: int = 0  # of text
    others: int = 0  # characters of content that is no text: thoughts, calls, refusals
    texts: dict[int, list[str]] = field(default_factory=dict)  # by choice, where JSON was asked for
    tools: dict[tuple[int, int], Tool] = field(default_factory=dict)  # by choice and index
    refused: bool = False
    finishes: dict[int, FinishReason] = field(default_factory=dict)
    usage: Usage | None = None
    model: str = ""
    malformed: int = 0
    trouble: Trouble | None = None
    kept: int = 0
    looped: float = 0.0  # the share of its end that one passage covered, when it was seen to loop
    _tail: list[str] = field(default_factory=list)
    _look_at: int = LOOK_EVERY  # characters

    def __post_init__(self) -> None:
        self.watched = self.watched and not self.ask.json

    @property
    def plain(self) -> bool:
        """Is it text that came to its own end?"""
        if not self.characters or self.tools or self.refused:
            return False
        return not self.finished(*DECIDED)

    @property
    def unreadable(self) -> bool:
        """Is it all noise? That is a broken answer, not an empty one."""
        return self.malformed > 0 and not self.content and not self.finishes

    @property
    def tokens(self) -> float:
        told = self.usage.output_total if self.usage is not None else None
        return self.characters / PER_TOKEN if told is None else told

    @property
    def whole(self) -> bool:
        """Was everything kept that a signal may want to parse?"""
        return self.kept <= KEPT

    def add(self, delta: Delta) -> bool:
        """Take one delta; True if it is content."""
        match delta:
            case Text(text=text, choice=choice):
                self.characters += len(text)
                if self.watched:
                    self._tail.append(text)
                    if self.characters >= self._look_at:
                        self._look()
                elif self.ask.json:
                    self._keep(self.texts.setdefault(choice, []), text)
            case ToolCall():
                tool = self.tools.setdefault((delta.choice, delta.index), Tool())
                tool.name = tool.name or delta.name
                self.others += len(delta.name) + len(delta.arguments)
                self._keep(tool.arguments, delta.arguments)
            case Reasoning(text=text):
                self.others += len(text)
            case Media():
                pass
            case Refusal(text=text):
                self.others += len(text)
                self.refused = True
            case Usage():
                self.usage = delta
                return False
            case Finish(reason=reason, choice=choice):
                self.finishes[choice] = reason
                return False
            case Answering(model=model):
                self.model = model
                return False
            case Malformed():
                self.malformed += 1
                return False
            case Trouble():
                self.trouble = delta
                return False
        self.content = True
        return True

    def _keep(self, pieces: list[str], piece: str) -> None:
        self.kept += len(piece)
        if self.kept <= KEPT:
            pieces.append(piece)

    def _look(self) -> None:
        text = "".join(self._tail)[-PACKED:]
        self._tail = [text[-(PACKED - LOOK_EVERY) :]]
        self._look_at = self.characters + LOOK_EVERY
        self.looped = loops(text)
        if self.looped:
            self.watched = False  # once is enough
            self._tail.clear()

    def finished(self, *reasons: FinishReason) -> bool:
        for reason in self.finishes.values():  # noqa: SIM110  # asked often, of one: a frame less counts
            if reason in reasons:
                return True
        return False
