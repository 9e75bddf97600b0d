"""What an OpenAI chat completion says, streamed or whole, also as its many compatible servers say it.

Seen in the wild and read: content as a list of parts (Mistral), `reasoning` beside
`reasoning_content` (OpenRouter, Ollama, vLLM), tool calls without an index (Gemini), arguments as
an object (Ollama), usage on every chunk (vLLM), under `x_groq` (Groq) or on the last choice
(Mistral, OpenRouter), errors with and without choices beside them, `insufficient_system_resource`
as a finish reason (DeepSeek).
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
    Refusal,
    Text,
    ToolCall,
    Trouble,
    Usage,
)

_FINISH = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL,
    "function_call": FinishReason.TOOL,
    "content_filter": FinishReason.FILTER,
    "safety": FinishReason.FILTER,
    "sensitive": FinishReason.FILTER,  # Zhipu
    "refusal": FinishReason.REFUSAL,
    "model_length": FinishReason.CONTEXT_FULL,  # Mistral
    "model_context_window_exceeded": FinishReason.CONTEXT_FULL,  # Zhipu
    "error": FinishReason.ERROR,
    "abort": FinishReason.ERROR,  # vLLM, SGLang
    "network_error": FinishReason.ERROR,  # Zhipu
    "insufficient_system_resource": FinishReason.ERROR,  # DeepSeek
}

_NO_CAPACITY = "insufficient_system_resource"


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: Any = None


class Call(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Any = None


class Message(msgspec.Struct, gc=False):
    """A delta of a stream, or the message of a whole answer: the same fields."""

    content: Any = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Any = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    audio: Any = None
    images: Any = None
    annotations: Any = None


class Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None


class InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class Tokens(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek


class Groq(msgspec.Struct, gc=False):
    usage: Tokens | None = None


class Completion(msgspec.Struct, gc=False):
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Tokens | None = None
    x_groq: Groq | None = None
    error: Any = None
    object: str | None = None
    type: Any = None
    code: Any = None


_COMPLETION = Shape(Completion)
_NO_CHOICES = (b'"choices":[]', b'"choices": []')


def only_counts(data: bytes) -> bool:
    """Is this event of a stream the one that has no choices and only says what was taken?"""
    if not any(mark in data for mark in _NO_CHOICES):
        return False
    completion = _COMPLETION.read(data)
    return (
        completion is not None
        and completion.choices == []
        and completion.usage is not None
        and not completion.error
    )


class OpenAIAnswer:
    """Implements reading.Answer."""

    __slots__ = ("_calls", "_ended", "_expected", "_seen", "_usage", "_which", "_whole", "done")

    def __init__(self, choices: int) -> None:
        self.done = False
        self._whole = False
        self._expected = choices
        self._which = ""
        self._usage = Usage()
        self._seen: set[int] = set()
        self._ended: set[int] = set()
        self._calls: dict[int, int] = {}  # the highest index of a tool call, per choice

    @property
    def finished(self) -> bool:
        return self._whole or (len(self._ended) >= self._expected and self._seen <= self._ended)

    def event(self, kind: bytes, data: bytes, out: list[Delta]) -> bool:  # only data counts
        if self.done:  # behind the sentinel no SDK reads on
            return True
        if data[:1] != b"{":
            if not data.strip():  # a keep-alive of some gateways
                return True
            if data.startswith(b"[DONE]"):  # as the SDK looks for it
                self.done = True
                return True
        completion = _COMPLETION.read(data)
        if completion is None:
            return False
        if completion.error or completion.object == "error":
            out.append(_trouble(completion, data))
        if not self._which or completion.usage or completion.x_groq:
            self._head(completion, out)
        for choice in completion.choices or ():
            index = choice.index or 0
            self._seen.add(index)
            if choice.delta is not None:
                self._message(choice.delta, index, out)
            if choice.finish_reason:
                self._finish(choice.finish_reason, index, data, out)
        return True

    def body(self, data: bytes, out: list[Delta]) -> bool:
        completion = _COMPLETION.read(data)
        if completion is None:
            return False
        if completion.error or completion.object == "error":
            out.append(_trouble(completion, data))
            return True
        self._head(completion, out)
        for position, choice in enumerate(completion.choices or ()):
            index = position if choice.index is None else choice.index
            if choice.message is not None:
                self._message(choice.message, index, out)
            # in a whole answer no word for the end is a natural end (Snowflake)
            self._finish(choice.finish_reason or "stop", index, data, out)
        # an empty list of choices is a complete answer too: an empty one
        self.done = self._whole = completion.choices is not None
        return True

    def _head(self, completion: Completion, out: list[Delta]) -> None:
        if completion.model and not self._which:
            self._which = completion.model
            out.append(Answering(completion.model))
        tokens = completion.usage or (completion.x_groq and completion.x_groq.usage)
        if tokens:
            usage = _usage(tokens, self._usage)
            if usage != self._usage:
                self._usage = usage
                out.append(usage)

    def _message(self, message: Message, choice: int, out: list[Delta]) -> None:
        reasoning = message.reasoning_content or message.reasoning
        if reasoning:
            out.append(Reasoning(reasoning, choice))
        elif message.reasoning_details:
            _details(message.reasoning_details, choice, out)
        content = message.content
        if content:
            if isinstance(content, str):
                out.append(Text(content, choice))
            else:
                _parts(content, choice, out)
        if message.refusal:
            out.append(Refusal(message.refusal, choice))
        for call in message.tool_calls or ():
            self._call(call, choice, out)
        function = message.function_call
        if function is not None and (function.name or function.arguments):
            self._calls.setdefault(choice, 0)
            arguments = text_of(function.arguments) if function.arguments else ""
            out.append(ToolCall(0, "", function.name or "", arguments, choice))
        audio = message.audio
        if isinstance(audio, dict) and (audio.get("data") or audio.get("transcript")):
            out.append(Media("audio"))  # else it only tells its id or when it expires
        if message.images:
            out.append(Media("image"))
        if message.annotations:
            out.append(Media("citation"))

    def _call(self, call: Call, choice: int, out: list[Delta]) -> None:
        last = self._calls.get(choice, -1)
        index = call.index
        if index is None:  # without an index a new id or a name begins a new call
            begins = call.id or (call.function and call.function.name)
            index = last + 1 if begins else max(last, 0)
        function = call.function or Function()
        name = function.name or ""
        arguments = "" if function.arguments is None else text_of(function.arguments)
        if call.custom is not None:
            # the input of a custom tool is free text: it must not be judged as arguments
            out.append(Media("custom_tool_call"))
        elif call.id or name or arguments:
            out.append(ToolCall(index, call.id or "", name, arguments, choice))
        else:
            return
        self._calls[choice] = max(last, index)

    def _finish(self, word: str, choice: int, data: bytes, out: list[Delta]) -> None:
        if word == _NO_CAPACITY:
            out.append(Trouble(503, data))
        reason = _FINISH.get(word.lower(), FinishReason.STOP)
        if reason is FinishReason.STOP and choice in self._calls:
            reason = FinishReason.TOOL
        if choice not in self._ended:
            out.append(Finish(reason, choice))
        self._ended.add(choice)


def _trouble(completion: Completion, data: bytes) -> Trouble:
    # vLLM used to put the error's fields at the top, with `object: "error"`
    error = completion.error or {"type": completion.type, "code": completion.code}
    return Trouble(named_status(error), data)


def _usage(tokens: Tokens, before: Usage) -> Usage:
    details = tokens.prompt_tokens_details or InputDetails()
    thought = tokens.completion_tokens_details or OutputDetails()
    cached = tokens.prompt_cache_hit_tokens if details.cached_tokens is None else details.cached_tokens
    return Usage(
        input_total=_latest(tokens.prompt_tokens, before.input_total),
        output_total=_latest(tokens.completion_tokens, before.output_total),
        cache_read=_latest(cached, before.cache_read),
        cache_write=_latest(details.cache_write_tokens, before.cache_write),
        reasoning=_latest(thought.reasoning_tokens, before.reasoning),
    )


def _latest(value: int | None, before: int | None) -> int | None:
    return before if value is None or value < 0 else value  # -1 is some servers' word for unknown


def _details(details: Any, choice: int, out: list[Delta]) -> None:
    """OpenRouter's reasoning_details, where there is no `reasoning` beside them."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            text = detail.get("text") or detail.get("summary")
            if text and isinstance(text, str):
                out.append(Reasoning(text, choice))


def _parts(content: Any, choice: int, out: list[Delta]) -> None:
    """Content as a list of parts, or as one part."""
    for part in content if isinstance(content, list) else (content,):
        if isinstance(part, str):
            if part:
                out.append(Text(part, choice))
        elif isinstance(part, dict):
            _part(part, choice, out)


def _part(part: dict[str, Any], choice: int, out: list[Delta]) -> None:
    kind = part.get("type")
    if kind in ("text", "output_text"):
        text = part.get("text")
        if text and isinstance(text, str):
            out.append(Text(text, choice))
    elif kind == "thinking":
        thought: list[Delta] = []
        _parts(part.get("thinking"), choice, thought)
        out += [Reasoning(delta.text, choice) for delta in thought if isinstance(delta, Text)]
    elif kind == "refusal":
        refusal = part.get("refusal")
        if refusal and isinstance(refusal, str):
            out.append(Refusal(refusal, choice))
    elif isinstance(kind, str):
        out.append(Media("image" if kind == "image_url" else kind))
