"""OpenAI chat completions, version 1, and everybody who speaks it."""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.dialects import splice
from sidecar.dialects.assemble_openai_chat import ChatPieces
from sidecar.dialects.assembling import StreamAssembler
from sidecar.dialects.base import Assembler, Reader, Wire
from sidecar.dialects.openai_answer import OpenAIAnswer, only_counts
from sidecar.dialects.openai_common import error_of, model_of, with_model
from sidecar.dialects.reading import BodyReader, StreamReader
from sidecar.dialects.reasoners import thinks
from sidecar.dialects.shapes import NO_JSON, Shape, json_of
from sidecar.dialects.writing import LABEL, STATIC_ID, encode, events_wire, is_event_stream, json_wire
from sidecar.faults import HANDLING
from sidecar.model import Ask, Fault, Operation

_PATH = "/chat/completions"


MOST_CHOICES = 128  # what OpenAI allows; a bound on what we would make for an answer of our own


class SchemaFormat(msgspec.Struct, gc=False):
    schema: msgspec.Raw = NO_JSON


class Format(msgspec.Struct, gc=False):
    type: str | None = None
    json_schema: SchemaFormat | None = None


class Named(msgspec.Struct, gc=False):
    name: str | None = None


class Tool(msgspec.Struct, gc=False):
    function: Named | None = None
    custom: Named | None = None


class Effort(msgspec.Struct, gc=False):
    effort: str | None = None
    enabled: bool | None = None


class Thinking(msgspec.Struct, gc=False):
    type: str | None = None


class Request(msgspec.Struct, gc=False):
    model: str | None = None
    stream: bool | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    response_format: Format | None = None
    tools: list[Tool] | None = None
    functions: list[Named] | None = None
    reasoning_effort: str | None = None
    reasoning: Effort | None = None  # OpenRouter
    thinking: Thinking | None = None  # DeepSeek, Zhipu, Moonshot
    enable_thinking: bool | None = None  # Qwen


class Form(msgspec.Struct, gc=False):
    """What says that an answer has to be as it was asked for, whole."""

    stream_options: Any = None  # an error where nothing is streamed: the client's to see
    modalities: Any = None
    audio: Any = None  # streamed it has other formats


_REQUEST = Shape(Request)
_FORM = Shape(Form)


class OpenAIChat:
    """Implements base.Dialect."""

    name = "openai_chat"
    version = "v1"

    def operation(self, method: str, path: str) -> Operation | None:
        return Operation.CHAT if method == "POST" and path.endswith(_PATH) else None

    def canonical(self, operation: Operation, path: str) -> str:
        return _PATH if operation is Operation.CHAT else path

    def ask(self, operation: Operation, path: str, body: bytes) -> Ask:
        request = _REQUEST.request(body)
        model = model_of(request.model, path)
        form = request.response_format or Format()
        structured = form.type == "json_schema"
        return Ask(
            operation=operation,
            model=model,
            stream=bool(request.stream),
            json=structured or form.type == "json_object",
            schema=json_of(form.json_schema.schema) if structured and form.json_schema is not None else None,
            tools=_tools(request),
            reasoning=_reasoning(request, model),
            max_output=request.max_completion_tokens or request.max_tokens,
            choices=min(max(1, request.n or 1), MOST_CHOICES),
        )

    def with_model(self, path: str, body: bytes, model: str) -> tuple[str, bytes]:
        return with_model(path, model), splice.replace(body, "model", encode(model))

    def as_stream(self, path: str, query: str, body: bytes) -> tuple[str, str, bytes] | None:
        form = _FORM.request(body)
        audio = isinstance(form.modalities, list) and "audio" in form.modalities
        if audio or form.audio is not None or form.stream_options is not None:
            return None
        body = splice.put(body, "stream_options", b'{"include_usage":true}')
        return path, query, splice.put(body, "stream", b"true")

    def assembler(self, content_type: bytes) -> Assembler | None:
        return StreamAssembler(ChatPieces()) if is_event_stream(content_type) else None

    def reader(self, ask: Ask, content_type: bytes) -> Reader:
        answer = OpenAIAnswer(ask.choices)
        if not is_event_stream(content_type):
            return BodyReader(answer)
        return StreamReader(answer, hides=only_counts if ask.hides_usage else None)

    def complain(self, status: int, fault: Fault, message: str) -> Wire:
        return json_wire(status, {"error": error_of(status, fault, message)})

    def error_event(self, fault: Fault, message: str) -> bytes:
        return _data({"error": error_of(HANDLING[fault].status, fault, message)})

    def static(self, ask: Ask, text: str) -> Wire:
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        head = {"id": STATIC_ID, "created": 0, "model": ask.model}
        if not ask.stream:
            message = {"role": "assistant", "content": text, "refusal": None}
            choices = [
                {"index": index, "message": message, "logprobs": None, "finish_reason": "stop"}
                for index in range(ask.choices)
            ]
            whole = {**head, "object": "chat.completion", "choices": choices, "usage": usage}
            return json_wire(200, {**whole, "llm_sidecar": LABEL})

        def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
            return {**head, "object": "chat.completion.chunk", "choices": [choice]}

        chunks = []
        for index in range(ask.choices):
            chunks.append(chunk(index, {"role": "assistant", "content": ""}))
            chunks.append(chunk(index, {"content": text}))
            chunks.append(chunk(index, {}, "stop"))
        chunks[0]["llm_sidecar"] = LABEL
        # usage on the last choice: a chunk without choices is only for clients that asked for it
        chunks[-1]["usage"] = usage
        return events_wire(*map(_data, chunks), b"data: [DONE]\n\n")


def with_usage(body: bytes) -> bytes | None:
    """The request, its stream asked to report its usage: only those bytes change. None where the client
    asked for it itself, or wrote something there that is its provider's to judge. Raises BadBody.
    """
    given = [body[start:end] for start, end in splice.spans(body, "stream_options")]
    if not given or given == [b"null"]:
        return splice.put(body, "stream_options", b'{"include_usage":true}')
    if len(given) > 1 or given[0][:1] != b"{":
        return None
    asked = [given[0][start:end] for start, end in splice.spans(given[0], "include_usage")]
    if asked not in ([], [b"false"], [b"null"]):
        return None
    return splice.replace(body, "stream_options", splice.put(given[0], "include_usage", b"true"))


def _tools(request: Request) -> frozenset[str]:
    named = [*(request.functions or ())]
    for tool in request.tools or ():
        named += [each for each in (tool.function, tool.custom) if each is not None]
    return frozenset(each.name for each in named if each.name)


def _reasoning(request: Request, model: str) -> bool:
    """What the request says about reasoning, in the words of several vendors; else the model's name."""
    effort = request.reasoning_effort or (request.reasoning and request.reasoning.effort)
    if effort:
        return effort not in ("none", "minimal")
    if request.reasoning is not None:
        return request.reasoning.enabled is not False
    if request.thinking is not None and request.thinking.type:
        return request.thinking.type != "disabled"
    if request.enable_thinking is not None:
        return request.enable_thinking
    return thinks(model)


def _data(content: Any) -> bytes:
    return b"data: " + encode(content) + b"\n\n"


OPENAI_CHAT = OpenAIChat()
