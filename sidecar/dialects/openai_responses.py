"""OpenAI responses, version 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from sidecar.dialects import splice
from sidecar.dialects.assemble_openai_responses import ResponsePieces
from sidecar.dialects.assembling import StreamAssembler
from sidecar.dialects.base import Assembler, Reader, Wire
from sidecar.dialects.openai_common import error_of, model_of, with_model
from sidecar.dialects.openai_responses_answer import ResponsesAnswer
from sidecar.dialects.reading import BodyReader, StreamReader
from sidecar.dialects.reasoners import thinks
from sidecar.dialects.shapes import NO_JSON, Shape, json_of
from sidecar.dialects.writing import LABEL, STATIC_ID, encode, events_wire, is_event_stream, json_wire
from sidecar.faults import HANDLING
from sidecar.model import Ask, Fault, Operation

_PATH = "/responses"


class Format(msgspec.Struct, gc=False):
    type: str | None = None
    schema: msgspec.Raw = NO_JSON


class TextOptions(msgspec.Struct, gc=False):
    format: Format | None = None


class Tool(msgspec.Struct, gc=False):
    type: str | None = None
    name: str | None = None


class Effort(msgspec.Struct, gc=False):
    effort: str | None = None
    enabled: bool | None = None  # OpenRouter
    summary: str | None = None


class Request(msgspec.Struct, gc=False):
    model: str | None = None
    prompt: Any = None
    stream: bool | None = None
    text: TextOptions | None = None
    tools: list[Tool] | None = None
    reasoning: Effort | None = None
    max_output_tokens: int | None = None
    background: bool | None = None
    stream_options: Any = None


_REQUEST = Shape(Request)


class OpenAIResponses:
    """Implements base.Dialect."""

    name = "openai_responses"
    version = "v1"

    def operation(self, method: str, path: str) -> Operation | None:
        return Operation.CHAT if method == "POST" and path.endswith(_PATH) else None

    def canonical(self, operation: Operation, path: str) -> str:
        return _PATH if operation is Operation.CHAT else path

    def ask(self, operation: Operation, path: str, body: bytes) -> Ask:
        request = _REQUEST.request(body)
        # a stored prompt may name the model, where we cannot see it
        model = "" if request.model is None and request.prompt else model_of(request.model, path)
        form = (request.text and request.text.format) or Format()
        structured = form.type == "json_schema"
        return Ask(
            operation=operation,
            model=model,
            stream=bool(request.stream),
            json=structured or form.type == "json_object",
            schema=json_of(form.schema) if structured else None,
            tools=_tools(request.tools or []),
            reasoning=_reasoning(request, model),
            max_output=request.max_output_tokens,
        )

    def with_model(self, path: str, body: bytes, model: str) -> tuple[str, bytes]:
        return with_model(path, model), splice.replace(body, "model", encode(model))

    def as_stream(self, path: str, query: str, body: bytes) -> tuple[str, str, bytes] | None:
        request = _REQUEST.request(body)
        if request.background or request.stream_options is not None:
            return None  # one is answered before it is begun, the other is an error for the client to see
        return path, query, splice.put(body, "stream", b"true")

    def assembler(self, content_type: bytes) -> Assembler | None:
        return StreamAssembler(ResponsePieces()) if is_event_stream(content_type) else None

    def reader(self, ask: Ask, content_type: bytes) -> Reader:
        answer = ResponsesAnswer()
        return StreamReader(answer) if is_event_stream(content_type) else BodyReader(answer)

    def complain(self, status: int, fault: Fault, message: str) -> Wire:
        return json_wire(status, {"error": error_of(status, fault, message)})

    def error_event(self, fault: Fault, message: str) -> bytes:
        error = error_of(HANDLING[fault].status, fault, message)
        # The reference has the error's fields beside `type`; OpenAI sends them under `error`, and
        # only there do its SDKs see a reason to raise. The number is not ours to know.
        return _event({**error, "type": "error", "error": error, "sequence_number": 0})

    def static(self, ask: Ask, text: str) -> Wire:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        item = {"id": f"msg_{STATIC_ID}", "type": "message", "role": "assistant"}
        done = {**item, "status": "completed", "content": [part]}
        whole = _response(ask.model, "completed", [done])
        if not ask.stream:
            return json_wire(200, whole)
        begun = {"response": _response(ask.model, "in_progress", [])}
        at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        events: tuple[dict[str, Any], ...] = (
            {"type": "response.created", **begun, "llm_sidecar": LABEL},
            {"type": "response.in_progress", **begun},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {**item, "status": "in_progress", "content": []},
            },
            {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
            {"type": "response.output_text.delta", **at, "delta": text, "logprobs": []},
            {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
            {"type": "response.content_part.done", **at, "part": part},
            {"type": "response.output_item.done", "output_index": 0, "item": done},
            {"type": "response.completed", "response": whole},
        )
        return events_wire(*_numbered(events))


def _tools(tools: list[Tool]) -> frozenset[str]:
    """The functions, if there is nothing else: other tools call what they call by names of their own."""
    names = [tool.name for tool in tools if tool.type == "function" and tool.name]
    return frozenset(names) if len(names) == len(tools) else frozenset()


def _reasoning(request: Request, model: str) -> bool:
    if request.background:
        return True  # it may be queued for long: it asks for the same patience
    how = request.reasoning
    if how is not None and how.effort:
        return how.effort not in ("none", "minimal")
    if how is not None and how.enabled is not None:
        return how.enabled
    return bool(how and how.summary) or thinks(model)


def _response(model: str, status: str, output: list[Any]) -> dict[str, Any]:
    usage = {
        "input_tokens": 0,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 0,
    }
    return {
        "id": STATIC_ID,
        "object": "response",
        "created_at": 0,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": usage if status == "completed" else None,
        "llm_sidecar": LABEL,
    }


def _numbered(events: tuple[dict[str, Any], ...]) -> Iterator[bytes]:
    for number, event in enumerate(events):
        yield _event({**event, "sequence_number": number})


def _event(content: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(content["type"]).encode(), encode(content))


OPENAI_RESPONSES = OpenAIResponses()
