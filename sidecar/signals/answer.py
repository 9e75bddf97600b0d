"""One answer, as far as quality signals have to know it, added up while it passes.

Text is kept only where it will be parsed (structured output, tool arguments), and only up to a
cap: above it the answer is too large to be judged here and passes unjudged.
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

KEPT = 1024 * 1024  # characters of text that is kept for parsing


@dataclass(slots=True)
class Tool:
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Answer:
    ask: Ask
    content: bool = False  # anything that a reader of the answer would call an answer
    characters: int = 0
    texts: dict[int, list[str]] = field(default_factory=dict)  # by choice, where JSON was asked for
    tools: dict[tuple[int, int], Tool] = field(default_factory=dict)  # by choice and index
    refused: bool = False
    finishes: dict[int, FinishReason] = field(default_factory=dict)
    usage: Usage | None = None
    model: str = ""
    malformed: int = 0
    trouble: Trouble | None = None
    kept: int = 0

    @property
    def whole(self) -> bool:
        """Was everything kept that a signal may want to parse?"""
        return self.kept <= KEPT

    def add(self, delta: Delta) -> bool:
        """Take one delta; True if it is content."""
        match delta:
            case Text(text=text, choice=choice):
                self.characters += len(text)
                if self.ask.json:
                    self._keep(self.texts.setdefault(choice, []), text)
            case ToolCall():
                tool = self.tools.setdefault((delta.choice, delta.index), Tool())
                tool.name = tool.name or delta.name
                self._keep(tool.arguments, delta.arguments)
            case Reasoning() | Media():
                pass
            case Refusal():
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

    def finished(self, *reasons: FinishReason) -> bool:
        return any(reason in reasons for reason in self.finishes.values())
