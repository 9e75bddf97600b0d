"""An answer said as the events of an Anthropic message.

One block is open at a time, as its clients expect. So when something else begins while a call is open,
it is held until the call has ended: other dialects may interleave fragments, this one may not. A call
has ended when its arguments are an object that is closed, or when all is. `message_delta` is the last
word: it waits for the usage.

Thoughts are shown to who asked to see some. They have no signature of Anthropic's, and a client sends
them back in its next request: whoever passes that on to Anthropic has to leave them out.
"""

from __future__ import annotations

from sidecar.hub.conversation import Json
from sidecar.hub.writing import encode, fitting, is_whole
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
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL: "tool_use",
    FinishReason.FILTER: "refusal",
    FinishReason.REFUSAL: "refusal",
    FinishReason.CONTEXT_FULL: "model_context_window_exceeded",
    FinishReason.ERROR: "max_tokens",  # there is no word for it; this one says at least: not all of it
}


class _Block:
    """A content block: what opens it, and the pieces that are still to be said."""

    __slots__ = ("arguments", "kind", "pieces", "start")

    def __init__(self, kind: str | int, start: dict[str, Json]) -> None:
        self.kind = kind  # "text", "thinking", or the index of the call
        self.start = start
        self.pieces: list[dict[str, Json]] = []
        self.arguments: list[str] = []

    @property
    def over(self) -> bool:
        """Words end where something else begins; a call ends with its arguments."""
        return isinstance(self.kind, str) or is_whole("".join(self.arguments))


class AnthropicVoice:
    """Implements base.Voice."""

    def __init__(self, *, ident: str, model: str, thoughts: bool = True) -> None:
        self._ident = f"msg_{ident[:24]}"
        self._model = model
        self._thoughts = thoughts
        self._started = False
        self._index = -1  # of the open block
        self._open: _Block | None = None
        self._blocks: list[_Block] = []  # not closed yet, in the order they began; the first is open
        self._told: set[int] = set()  # calls that have ended
        self._reason = FinishReason.STOP
        self._usage = Usage()
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
                    if choice == 0:
                        self._reason = reason
                case Media():
                    self._losses["media"] = None
                case Trouble() | Malformed():
                    pass  # an error is the caller's to say
                case _ if delta.choice != 0:
                    self._losses["choices"] = None
                case Text(text) | Refusal(text):
                    if text:
                        start = {"type": "text", "text": ""}
                        self._words("text", start, {"type": "text_delta", "text": text}, said)
                case Reasoning(text):
                    if text and self._thoughts:
                        start = {"type": "thinking", "thinking": "", "signature": ""}
                        self._words("thinking", start, {"type": "thinking_delta", "thinking": text}, said)
                    elif text:
                        self._losses["reasoning"] = None
                case ToolCall():
                    self._call(delta, said)
        return b"".join(said)

    def end(self) -> bytes:
        said: list[bytes] = []
        self._open_message(said)
        while self._blocks:
            self._flush(said)
            self._close(said)
        reason = {"stop_reason": REASONS[self._reason], "stop_sequence": None}
        said.append(_event("message_delta", delta=reason, usage=usage_of(self._usage)))
        said.append(_event("message_stop"))
        return b"".join(said)

    # ---- one block at a time -------------------------------------------------------------------

    def _words(self, kind: str, start: dict[str, Json], piece: dict[str, Json], said: list[bytes]) -> None:
        if not self._blocks or self._blocks[-1].kind != kind:
            self._begin(_Block(kind, start), said)
        self._blocks[-1].pieces.append(piece)
        self._flush(said)

    def _call(self, delta: ToolCall, said: list[bytes]) -> None:
        if delta.index in self._told:
            return  # white space behind arguments that have ended
        block = next((block for block in self._blocks if block.kind == delta.index), None)
        if block is None:
            ident = fitting(delta.id) if delta.id else f"toolu_{self._ident[-24:]}_{delta.index}"
            start = {"type": "tool_use", "id": ident, "name": delta.name, "input": {}}
            block = _Block(delta.index, start)
            self._begin(block, said)
        if delta.arguments and (block.arguments or delta.arguments.strip() != "null"):  # it is none
            block.pieces.append({"type": "input_json_delta", "partial_json": delta.arguments})
            block.arguments.append(delta.arguments)
        self._flush(said)

    def _begin(self, block: _Block, said: list[bytes]) -> None:
        """Put a block in line; those before it that are over have been said."""
        self._open_message(said)
        while self._blocks and self._blocks[0].over:
            self._flush(said)
            self._close(said)
        self._blocks.append(block)

    def _flush(self, said: list[bytes]) -> None:
        """Say what there is of the first block in line."""
        block = self._blocks[0]
        if block is not self._open:
            self._open = block
            self._index += 1
            said.append(_event("content_block_start", index=self._index, content_block=block.start))
        said += [_event("content_block_delta", index=self._index, delta=piece) for piece in block.pieces]
        block.pieces.clear()

    def _close(self, said: list[bytes]) -> None:
        block = self._blocks.pop(0)
        if isinstance(block.kind, int):
            self._told.add(block.kind)
        said.append(_event("content_block_stop", index=self._index))

    def _open_message(self, said: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        message: dict[str, Json] = {
            "id": self._ident, "type": "message", "role": "assistant", "model": self._model, "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 0, "output_tokens": 0},
        }  # fmt: skip
        said.append(_event("message_start", message=message))


def usage_of(usage: Usage) -> dict[str, Json]:
    """Anthropic counts cached input apart from the rest."""
    read, made = usage.cache_read or 0, usage.cache_write or 0
    said: dict[str, Json] = {
        "input_tokens": max(0, (usage.input_total or 0) - read - made),
        "output_tokens": usage.output_total or 0,
    }
    if usage.cache_read is not None:
        said["cache_read_input_tokens"] = read
    if usage.cache_write is not None:
        said["cache_creation_input_tokens"] = made
    if usage.reasoning is not None:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return said


def _event(kind: str, **fields: Json) -> bytes:
    return f"event: {kind}\ndata: ".encode() + encode({"type": kind, **fields}) + b"\n\n"
