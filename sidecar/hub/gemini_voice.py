"""An answer said as chunks of a Gemini answer.

A call is one part here, whole. So the pieces of a call are kept until its arguments have ended, which
is sure when they are an object that is closed and something else is said. Arguments that never
become an object have their own word: a malformed function call is a reason to finish.

Some providers name a reason more than once, and usage comes after it. So both go out at the end, with an
empty text as Google has it there: its SDK drops a turn that ends in a chunk without content.
"""

from __future__ import annotations

from sidecar.hub.conversation import Json
from sidecar.hub.writing import as_object, encode, fitting, is_whole
from sidecar.model import (
    Answering,
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

REASONS = {
    FinishReason.STOP: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.TOOL: "STOP",
    FinishReason.FILTER: "SAFETY",
    FinishReason.REFUSAL: "SAFETY",
    FinishReason.CONTEXT_FULL: "MAX_TOKENS",
    FinishReason.ERROR: "OTHER",
}


class _Call:
    """A call whose pieces are still coming."""

    __slots__ = ("ident", "name", "pieces")

    def __init__(self, ident: str, name: str) -> None:
        self.ident = ident
        self.name = name
        self.pieces: list[str] = []

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


class GeminiVoice:
    """Implements base.Voice."""

    def __init__(self, *, ident: str, model: str, thoughts: bool) -> None:
        self._ident = ident
        self._model = model
        self._thoughts = thoughts
        self._calls: dict[tuple[int, int], _Call] = {}  # by choice and index, not said yet
        self._told: set[tuple[int, int]] = set()
        self._spoke: set[int] = set()  # choices
        self._reasons: dict[int, FinishReason] = {}
        self._broken: dict[int, str] = {}  # choices with a call that is none
        self._usage: Usage | None = None
        self._losses: dict[str, None] = {}

    @property
    def losses(self) -> tuple[str, ...]:
        return tuple(self._losses)

    def say(self, deltas: tuple[Delta, ...]) -> bytes:
        said: list[bytes] = []
        for delta in deltas:
            match delta:
                case Answering(model):
                    self._model = model
                case Usage():
                    self._usage = delta
                case Finish(reason, choice):
                    self._reasons[choice] = reason
                case Media():
                    self._losses["media"] = None
                case Trouble() | Malformed():
                    pass  # an error is the caller's to say
                case Text(text, choice) | Refusal(text, choice):
                    if text:
                        self._part(choice, {"text": text}, said)
                case Reasoning(text, choice):
                    if text and self._thoughts:
                        self._part(choice, {"text": text, "thought": True}, said)
                    elif text:
                        self._losses["reasoning"] = None
                case ToolCall():
                    self._call(delta, said)
        return b"".join(said)

    def end(self) -> bytes:
        said: list[bytes] = []
        for choice in sorted({choice for choice, _ in self._calls}):
            self._release(choice, said, everything=True)
        choices = sorted(self._spoke | self._reasons.keys()) or [0]
        said.append(self._chunk([self._ending(choice) for choice in choices], usage=self._usage))
        return b"".join(said)

    # ---- parts ---------------------------------------------------------------------------------

    def _call(self, delta: ToolCall, said: list[bytes]) -> None:
        place = (delta.choice, delta.index)
        if place in self._told:
            return  # white space behind arguments that have ended
        call = self._calls.get(place)
        if call is None:
            self._release(delta.choice, said)
            ident = fitting(delta.id) if delta.id else ""
            call = self._calls[place] = _Call(ident, delta.name)
        call.name = call.name or delta.name
        if delta.arguments:
            call.pieces.append(delta.arguments)

    def _part(self, choice: int, part: Json, said: list[bytes]) -> None:
        self._release(choice, said)
        self._say(choice, part, said)

    def _say(self, choice: int, part: Json, said: list[bytes]) -> None:
        self._spoke.add(choice)
        content = {"parts": [part], "role": "model"}
        said.append(self._chunk([{"content": content, "index": choice}]))

    def _release(self, choice: int, said: list[bytes], *, everything: bool = False) -> None:
        """Say the calls that are over, in their order; at the end all of them."""
        for place, call in list(self._calls.items()):
            if place[0] != choice:
                continue
            if not everything and not is_whole(call.arguments):
                break  # what comes behind it waits for it
            del self._calls[place]
            self._told.add(place)
            given = as_object(call.arguments)
            if given is None or not call.name:
                self._broken[choice] = call.name or "a call"
                continue
            part: Json = {"functionCall": {"name": call.name, "args": given}}
            if call.ident:
                part["functionCall"]["id"] = call.ident
            self._say(choice, part, said)

    def _ending(self, choice: int) -> Json:
        reason = REASONS[self._reasons.get(choice, FinishReason.STOP)]
        content = {"parts": [{"text": ""}], "role": "model"}
        ending = {"content": content, "finishReason": reason, "index": choice}
        if choice in self._broken:
            ending["finishReason"] = "MALFORMED_FUNCTION_CALL"
            ending["finishMessage"] = f"The arguments of {self._broken[choice]} are no JSON object."
        return ending

    def _chunk(self, candidates: list[Json], *, usage: Usage | None = None) -> bytes:
        chunk: dict[str, Json] = {"candidates": candidates}
        if usage is not None:
            chunk["usageMetadata"] = usage_of(usage)
        chunk["modelVersion"] = self._model
        chunk["responseId"] = self._ident
        return b"data: " + encode(chunk) + b"\n\n"


def usage_of(usage: Usage) -> dict[str, Json]:
    """Gemini counts thoughts apart from what is written."""
    given, made, thought = usage.input_total or 0, usage.output_total or 0, usage.reasoning
    said: dict[str, Json] = {
        "promptTokenCount": given,
        "candidatesTokenCount": max(0, made - (thought or 0)),
        "totalTokenCount": given + made,
    }
    if thought is not None:
        said["thoughtsTokenCount"] = thought
    if usage.cache_read is not None:
        said["cachedContentTokenCount"] = usage.cache_read
    return said
