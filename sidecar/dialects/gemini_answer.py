"""What a Gemini answer says, streamed or whole, as the Gemini API, Vertex and their kin say it.

When is a stream over? There is no terminal event; the last chunk carries a finish reason. But older
models and some translating gateways put STOP on every chunk, or on empty ones before the first word.
So a reason counts as the end of its candidate only until more of that candidate comes, a bare STOP
counts only behind content, and once a candidate went on after its end only the end of the bytes ends
the stream.

A call that the model could not form is no part: it is a finish reason, with a message beside it. It
is told as a call whose arguments cannot be parsed, which is what it is.
"""

from __future__ import annotations

from operator import attrgetter
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

_UNSPECIFIED = ("", "0", "FINISH_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED")

_FINISH = {
    "STOP": FinishReason.STOP,
    "CONTINUATION": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.FILTER,
    "RECITATION": FinishReason.FILTER,
    "LANGUAGE": FinishReason.FILTER,
    "BLOCKLIST": FinishReason.FILTER,
    "PROHIBITED_CONTENT": FinishReason.FILTER,
    "SPII": FinishReason.FILTER,
    "MODEL_ARMOR": FinishReason.FILTER,
    "IMAGE_SAFETY": FinishReason.FILTER,
    "IMAGE_PROHIBITED_CONTENT": FinishReason.FILTER,
    "IMAGE_RECITATION": FinishReason.FILTER,
    "MALFORMED_FUNCTION_CALL": FinishReason.ERROR,
    "UNEXPECTED_TOOL_CALL": FinishReason.ERROR,
    "TOO_MANY_TOOL_CALLS": FinishReason.ERROR,
    "MISSING_THOUGHT_SIGNATURE": FinishReason.ERROR,
    "MALFORMED_RESPONSE": FinishReason.ERROR,
    "IMAGE_OTHER": FinishReason.ERROR,
    "NO_IMAGE": FinishReason.ERROR,
    "OTHER": FinishReason.ERROR,
    # with enum-encoding=int, as Vertex's generated clients ask; above 8 its numbers are not Gemini's
    "1": FinishReason.STOP,
    "2": FinishReason.LENGTH,
    "3": FinishReason.FILTER,
    "4": FinishReason.FILTER,
    "5": FinishReason.ERROR,
    "6": FinishReason.FILTER,
    "7": FinishReason.FILTER,
    "8": FinishReason.FILTER,
}

_BAD_CALL = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL")


def also(name: str) -> Any:
    """The other spelling of a field: JSON of protocol buffers may be written in either case."""
    return msgspec.field(default=None, name=name)


class Call(msgspec.Struct, gc=False):
    id: str | None = None
    name: str | None = None
    args: Any = None
    partial_args: Any = None
    partial_args_: Any = also("partialArgs")


class Blob(msgspec.Struct, gc=False):
    mime_type: str | None = None
    mime_type_: str | None = also("mimeType")


class Part(msgspec.Struct, gc=False):
    text: str | None = None
    thought: bool | None = None
    function_call: Call | None = None
    function_call_: Call | None = also("functionCall")
    inline_data: Blob | None = None
    inline_data_: Blob | None = also("inlineData")
    file_data: Any = None
    file_data_: Any = also("fileData")
    executable_code: Any = None
    executable_code_: Any = also("executableCode")
    code_execution_result: Any = None
    code_execution_result_: Any = also("codeExecutionResult")


class Content(msgspec.Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False):
    index: int | None = None
    content: Content | None = None
    finish_reason: str | int | None = None
    finish_reason_: str | int | None = also("finishReason")
    finish_message: str | None = None
    finish_message_: str | None = also("finishMessage")


class Feedback(msgspec.Struct, gc=False):
    block_reason: str | int | None = None
    block_reason_: str | int | None = also("blockReason")


class Tokens(msgspec.Struct, gc=False):
    prompt_token_count: int | None = None
    prompt_token_count_: int | None = also("promptTokenCount")
    tool_use_prompt_token_count: int | None = None
    tool_use_prompt_token_count_: int | None = also("toolUsePromptTokenCount")
    candidates_token_count: int | None = None
    candidates_token_count_: int | None = also("candidatesTokenCount")
    thoughts_token_count: int | None = None
    thoughts_token_count_: int | None = also("thoughtsTokenCount")
    cached_content_token_count: int | None = None
    cached_content_token_count_: int | None = also("cachedContentTokenCount")


class Response(msgspec.Struct, gc=False):
    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    prompt_feedback_: Feedback | None = also("promptFeedback")
    usage_metadata: Tokens | None = None
    usage_metadata_: Tokens | None = also("usageMetadata")
    model_version: str | None = None
    model_version_: str | None = also("modelVersion")
    error: Any = None


_RESPONSE = Shape(Response)


class GeminiAnswer:
    """Implements reading.Answer."""

    __slots__ = (
        *("_calls", "_closed", "_decided", "_ended", "_expected", "_seen", "_spoke", "_tokens", "_usage"),
        *("_went_on", "_which", "done"),
    )

    def __init__(self, choices: int) -> None:
        self.done = False
        self._closed = False
        self._expected = choices
        self._which = ""
        self._tokens = list(UNCOUNTED)
        self._usage = Usage()
        self._seen: set[int] = set()
        self._ended: dict[int, FinishReason] = {}
        self._calls: dict[int, int] = {}  # how many, per candidate
        self._spoke = False
        self._decided = False  # by a reason that needs no content beside it
        self._went_on = False  # after a finish reason

    @property
    def finished(self) -> bool:
        if not self._seen or not self._seen <= self._ended.keys():
            return False
        if self._closed or self.done:
            return True
        enough = self._decided or (self._spoke and len(self._ended) >= self._expected)
        return enough and not self._went_on

    def close(self) -> None:
        """The bytes have ended, and with them whatever had a finish reason."""
        self._closed = True

    def event(self, kind: bytes, data: bytes, out: list[Delta]) -> bool:  # only data counts
        if self.done:
            return True
        if data[:1] != b"{":
            if not data.strip():
                return True
            if data.startswith(b"[DONE]"):  # of some gateways
                self.done = True
                return True
        response = _RESPONSE.read(data)
        if response is None:
            return False
        if response.error:
            out.append(Trouble(named_status(response.error), data))
        self._read(response, out)
        return True

    def bare_error(self, data: bytes, out: list[Delta]) -> bool:
        """Read an error that came where an event was due; False: it is none, or not whole."""
        response = _RESPONSE.read(data)
        if response is None or not response.error:
            return False
        out.append(Trouble(named_status(response.error), data))
        return True

    def body(self, data: bytes, out: list[Delta]) -> bool:
        response = _RESPONSE.read(data)
        if response is None:
            return False
        if response.error:
            out.append(Trouble(named_status(response.error), data))
            return True
        self._read(response, out)
        for index in sorted(self._seen - self._ended.keys()):
            self._finish("STOP", "", index, out)  # in a whole answer no word for the end is a natural end
        # no candidates at all is a complete answer too: an empty one, that Gemini does give
        known = (response.candidates, response.usage_metadata, response.usage_metadata_)
        self.done = bool(self._seen) or any(field is not None for field in known)
        return True

    def _read(self, response: Response, out: list[Delta]) -> None:
        which = response.model_version_ or response.model_version
        if which and not self._which:
            self._which = which
            out.append(Answering(which))
        for candidate in response.candidates or ():
            self._candidate(candidate, out)
        feedback = response.prompt_feedback_ or response.prompt_feedback
        if feedback is not None:
            blocked = feedback.block_reason if feedback.block_reason_ is None else feedback.block_reason_
            if blocked is not None and str(blocked) not in _UNSPECIFIED:
                self._end(FinishReason.FILTER, 0, out)
        self._count(response.usage_metadata_ or response.usage_metadata, out)

    def _candidate(self, candidate: Candidate, out: list[Delta]) -> None:
        index = candidate.index or 0
        self._seen.add(index)
        before = len(out)
        if candidate.content is not None:
            for part in candidate.content.parts or ():
                self._part(part, index, out)
        if len(out) > before:
            self._spoke = True
            self._went_on = self._went_on or index in self._ended
            self._ended.pop(index, None)
        reason = candidate.finish_reason if candidate.finish_reason_ is None else candidate.finish_reason_
        if reason is not None and str(reason) not in _UNSPECIFIED:
            message = candidate.finish_message_ or candidate.finish_message
            self._finish(str(reason).upper(), message or "", index, out)

    def _part(self, part: Part, choice: int, out: list[Delta]) -> None:
        call = part.function_call_ or part.function_call
        blob = part.inline_data_ or part.inline_data
        if part.text:
            out.append(Reasoning(part.text, choice) if part.thought else Text(part.text, choice))
        elif call is not None:
            self._call(call, choice, out)
        elif blob is not None:
            out.append(Media((blob.mime_type_ or blob.mime_type or "file").partition("/")[0]))
        elif part.executable_code_ or part.executable_code:
            out.append(Media("executable_code"))
        elif part.code_execution_result_ or part.code_execution_result:
            out.append(Media("code_execution_result"))
        elif part.file_data_ or part.file_data:
            out.append(Media("file"))

    def _call(self, call: Call, choice: int, out: list[Delta]) -> None:
        pieces = call.partial_args_ or call.partial_args
        if call.name:
            index = self._calls.get(choice, 0)
            self._calls[choice] = index + 1
            # whoever gets arguments in pieces gets them as paths and values: no text to be judged
            arguments = "" if pieces else text_of({} if call.args is None else call.args)
            out.append(ToolCall(index, call.id or "", call.name, arguments, choice))
        elif pieces:
            out.append(Media("function_call"))

    def _finish(self, word: str, message: str, choice: int, out: list[Delta]) -> None:
        reason = _FINISH.get(word, FinishReason.STOP)
        if word in _BAD_CALL and self._ended.get(choice) is not reason:
            index = self._calls.get(choice, 0)
            self._calls[choice] = index + 1
            out.append(ToolCall(index, arguments=f"{word}: {message}", choice=choice))
        elif reason is FinishReason.STOP and choice in self._calls:
            reason = FinishReason.TOOL
        self._end(reason, choice, out)

    def _end(self, reason: FinishReason, choice: int, out: list[Delta]) -> None:
        self._seen.add(choice)
        self._decided = self._decided or reason not in (FinishReason.STOP, FinishReason.TOOL)
        if self._ended.get(choice) is not reason:
            self._ended[choice] = reason
            out.append(Finish(reason, choice))

    def _count(self, tokens: Tokens | None, out: list[Delta]) -> None:
        """Figures of a stream are cumulative, and the last of each counts."""
        if tokens is None:
            return
        usage = usage_of(tokens, self._tokens)
        if usage != self._usage:
            self._usage = usage
            out.append(usage)


def usage_of(tokens: Tokens, seen: list[int | None]) -> Usage:
    """Put into `seen` what is new, and sum it up.

    Output is what the model wrote and what it thought; input also what its tools put in.
    """
    values = _CAMEL(tokens)
    for place, value in enumerate(_SNAKE(tokens) if values == UNCOUNTED else values):
        if value is not None and value >= 0:
            seen[place] = value
    prompt, tools, written, thought, cached = seen
    return Usage(
        input_total=None if prompt is None else prompt + (tools or 0),
        output_total=None if written is None and thought is None else (written or 0) + (thought or 0),
        cache_read=cached,
        reasoning=thought,
    )


_COUNTS = [key for key in Tokens.__struct_fields__ if not key.endswith("_")]
_SNAKE = attrgetter(*_COUNTS)
_CAMEL = attrgetter(*(key + "_" for key in _COUNTS))
UNCOUNTED: tuple[int | None, ...] = (None,) * len(_COUNTS)
