"""An answer said as the events of an Anthropic message.

One block is open at a time, as its clients expect. So when a second tool call begins while the first
one is open, or words come in between, they are held until the first has ended: other dialects may
interleave fragments, this one may not. `message_delta` is the last word: it waits for the usage.
"""

from __future__ import annotations

from sidecar.hub.conversation import Json
from sidecar.hub.writing import encode
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
    FinishReason.ERROR: "end_turn",
}


class _Block:
    """A content block: what opens it, and the pieces that are still to be said."""

    __slots__ = ("open", "pieces", "start")

    def __init__(self, start: dict[str, Json]) -> None:
        self.start = start
        self.pieces: list[dict[str, Json]] = []
        self.open = False


class AnthropicVoice:
    """Implements base.Voice."""

    def __init__(self, *, ident: str, model: str) -> None:
        self._ident = f"msg_{ident[:24]}"
        self._model = model
        self._started = False
        self._index = -1  # of the open block
        self._blocks: dict[object, _Block] = {}  # not said whole yet, in the order they began
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
                        self._piece("text", start, {"type": "text_delta", "text": text}, said)
                case Reasoning(text):
                    if text:
                        start = {"type": "thinking", "thinking": "", "signature": ""}
                        self._piece("thinking", start, {"type": "thinking_delta", "thinking": text}, said)
                case ToolCall():
                    self._call(delta, said)
        return b"".join(said)

    def end(self) -> bytes:
        said: list[bytes] = []
        self._open_message(said)
        for block in list(self._blocks.values()):
            self._flush(block, said)
            self._close(said)
        reason = {"stop_reason": REASONS[self._reason], "stop_sequence": None}
        said.append(_event("message_delta", delta=reason, usage=usage_of(self._usage)))
        said.append(_event("message_stop"))
        return b"".join(said)

    # ---- one block at a time -------------------------------------------------------------------

    def _call(self, delta: ToolCall, said: list[bytes]) -> None:
        ident = delta.id or f"toolu_{self._ident[-12:]}{delta.index}"
        start = {"type": "tool_use", "id": ident, "name": delta.name, "input": {}}
        piece = {"type": "input_json_delta", "partial_json": delta.arguments}
        self._piece(delta.index, start, piece if delta.arguments else None, said)

    def _piece(
        self, key: object, start: dict[str, Json], piece: dict[str, Json] | None, said: list[bytes]
    ) -> None:
        self._open_message(said)
        first = next(iter(self._blocks), None)
        if first is not None and first != key and isinstance(first, str):
            self._close(said)  # words and thoughts end where something else begins
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = _Block(start)
        if piece is not None:
            block.pieces.append(piece)
        if next(iter(self._blocks)) == key:
            self._flush(block, said)

    def _flush(self, block: _Block, said: list[bytes]) -> None:
        if not block.open:
            block.open = True
            self._index += 1
            said.append(_event("content_block_start", index=self._index, content_block=block.start))
        said += [_event("content_block_delta", index=self._index, delta=piece) for piece in block.pieces]
        block.pieces.clear()

    def _close(self, said: list[bytes]) -> None:
        """End the open block; the next one in line may speak."""
        self._blocks.pop(next(iter(self._blocks)))
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
    return said


def _event(kind: str, **fields: Json) -> bytes:
    return f"event: {kind}\ndata: ".encode() + encode({"type": kind, **fields}) + b"\n\n"
