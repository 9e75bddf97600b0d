"""What an Anthropic message says, streamed or whole.

The input of a tool call is taken from its `input_json_delta`s and, if none came, from the block
itself, when the block ends: Anthropic sends `{}` there and means "more follows", some compatible
servers send all of it. What the provider runs by itself (server tools, MCP, their results) is
media: its names are not the request's tools, and its input is nobody's to judge.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.dialects.reading import named_status
from sidecar.dialects.shapes import Shape, text_of
from sidecar.model import (
    Answering,
    Delta,
    Finish,
    FinishReason,
    Media,
    Reasoning,
    Text,
    ToolCall,
    Trouble,
    Usage,
)

_FINISH = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL,
    "refusal": FinishReason.REFUSAL,
    "model_context_window_exceeded": FinishReason.CONTEXT_FULL,
}


class OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: int | None = None


class Tokens(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None


class Block(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    citations: Any = None


class BlockDelta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class Message(msgspec.Struct, gc=False):
    type: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: Tokens | None = None
    error: Any = None


class Event(msgspec.Struct, gc=False):
    type: str | None = None
    index: int | None = None
    delta: BlockDelta | None = None
    content_block: Block | None = None
    message: Message | None = None
    usage: Tokens | None = None
    error: Any = None


_EVENT = Shape(Event)
_MESSAGE = Shape(Message)


class AnthropicAnswer:
    """Implements reading.Answer."""

    __slots__ = ("_called", "_foreign", "_inputs", "_tokens", "_usage", "_which", "done", "finished")

    def __init__(self) -> None:
        self.done = False
        self.finished = False
        self._which = ""
        self._tokens = Tokens()
        self._usage = Usage()
        self._called = False
        self._inputs: dict[int, Any] = {}  # of tool calls whose input did not come in pieces yet
        self._foreign: dict[int, str] = {}  # blocks whose pieces are media, by their type

    def event(self, kind: bytes, data: bytes, out: list[Delta]) -> bool:
        if self.done or not data.strip():  # blank data is a keep-alive of some gateways
            return True
        event = _EVENT.read(data)
        if event is None:
            if kind == b"error":  # the SDK raises on it whatever it says
                out.append(Trouble(0, data))
            return False
        name = event.type or kind.decode("ascii", "replace")
        if name == "content_block_delta":
            if event.delta is not None:
                self._piece(event.delta, event.index or 0, out)
        elif name == "error" or event.error:
            out.append(Trouble(named_status(event.error), data))
        elif name == "content_block_start":
            if event.content_block is not None:
                self._begin(event.content_block, event.index or 0, out)
        elif name == "content_block_stop":
            self._end(event.index or 0, out)
        elif name == "message_start":
            if event.message is not None:
                self._head(event.message, out)
        elif name == "message_delta":
            self._count(event.usage, out)
            if event.delta is not None and event.delta.stop_reason:
                self._finish(event.delta.stop_reason, out)
        elif name == "message_stop":
            self.done = True
        return True

    def body(self, data: bytes, out: list[Delta]) -> bool:
        message = _MESSAGE.read(data)
        if message is None:
            return False
        if message.type == "error" or message.error:
            out.append(Trouble(named_status(message.error), data))
            return True
        self._head(message, out)
        for index, block in enumerate(message.content or ()):
            self._begin(block, index, out)
            self._end(index, out)
        # an empty list of blocks is a complete answer too: an empty one
        if message.content is not None:
            self._finish(message.stop_reason or "end_turn", out)
            self.done = True
        return True

    def _head(self, message: Message, out: list[Delta]) -> None:
        if message.model and not self._which:
            self._which = message.model
            out.append(Answering(message.model))
        self._count(message.usage, out)

    def _begin(self, block: Block, index: int, out: list[Delta]) -> None:
        match block.type:
            case "text":
                if block.text:
                    out.append(Text(block.text))
                if block.citations:
                    out.append(Media("citation"))
            case "thinking":
                if block.thinking:
                    out.append(Reasoning(block.thinking))
            case "redacted_thinking" | None:
                pass  # an encrypted lump; what the client may see follows
            case "tool_use":
                self._called = True
                self._inputs[index] = block.input
                out.append(ToolCall(index, block.id or "", block.name or ""))
            case str(other):
                self._foreign[index] = other
                out.append(Media(other))

    def _piece(self, delta: BlockDelta, index: int, out: list[Delta]) -> None:
        if delta.text:
            out.append(Text(delta.text))
        elif delta.partial_json:
            if index in self._foreign:
                out.append(Media(self._foreign[index]))
            else:
                self._inputs.pop(index, None)
                out.append(ToolCall(index, arguments=delta.partial_json))
        elif delta.thinking:
            out.append(Reasoning(delta.thinking))
        elif delta.type == "citations_delta":
            out.append(Media("citation"))
        elif index in self._foreign:
            out.append(Media(self._foreign[index]))

    def _end(self, index: int, out: list[Delta]) -> None:
        if index in self._inputs:
            out.append(ToolCall(index, arguments=text_of(self._inputs.pop(index) or {})))

    def _finish(self, word: str, out: list[Delta]) -> None:
        reason = _FINISH.get(word, FinishReason.STOP)
        if reason is FinishReason.STOP and self._called:
            reason = FinishReason.TOOL
        if not self.finished:
            out.append(Finish(reason))
        self.finished = True

    def _count(self, tokens: Tokens | None, out: list[Delta]) -> None:
        """Add up the input from the last value of each key: figures of a stream are cumulative."""
        if tokens is None:
            return
        seen = self._tokens
        for key in Tokens.__struct_fields__:
            value = getattr(tokens, key)
            # -1 is some servers' word for unknown
            if value is not None and not (isinstance(value, int) and value < 0):
                setattr(seen, key, value)
        inputs = (seen.input_tokens, seen.cache_read_input_tokens, seen.cache_creation_input_tokens)
        thought = seen.output_tokens_details
        usage = Usage(
            input_total=None if seen.input_tokens is None else sum(part or 0 for part in inputs),
            output_total=seen.output_tokens,
            cache_read=seen.cache_read_input_tokens,
            cache_write=seen.cache_creation_input_tokens,
            reasoning=None if thought is None else thought.thinking_tokens,
        )
        if usage != self._usage:
            self._usage = usage
            out.append(usage)
