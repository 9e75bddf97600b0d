"""Anthropic messages, version 1."""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.dialects import splice
from sidecar.dialects.anthropic_answer import AnthropicAnswer
from sidecar.dialects.assemble_anthropic import MessagePieces
from sidecar.dialects.assembling import StreamAssembler
from sidecar.dialects.base import Assembler, BadBody, Reader, Wire
from sidecar.dialects.reading import BodyReader, StreamReader
from sidecar.dialects.reasoners import thinks
from sidecar.dialects.shapes import NO_JSON, Shape, json_of
from sidecar.dialects.writing import LABEL, STATIC_ID, encode, events_wire, is_event_stream, json_wire
from sidecar.faults import HANDLING
from sidecar.model import Ask, Fault, Operation

_PATH = "/messages"

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# Anthropic's own status of an overload: at any other its SDK raises another class than OverloadedError. It
# retries all of them, and whether the room was missing here or there, an application has the same to do.
_OVERLOADED = 529
_OVERLOADS = frozenset({Fault.OVERLOADED, Fault.LOCAL_OVERLOAD})


class Format(msgspec.Struct, gc=False):
    type: str | None = None
    schema: msgspec.Raw = NO_JSON


class Output(msgspec.Struct, gc=False):
    format: Format | None = None


class Tool(msgspec.Struct, gc=False):
    name: str | None = None


class Thinking(msgspec.Struct, gc=False):
    type: str | None = None


class Request(msgspec.Struct, gc=False):
    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    output_config: Output | None = None
    output_format: Format | None = None  # as the beta called it
    tools: list[Tool] | None = None
    thinking: Thinking | None = None


_REQUEST = Shape(Request)


class Anthropic:
    """Implements base.Dialect."""

    name = "anthropic"
    version = "v1"

    def operation(self, method: str, path: str) -> Operation | None:
        return Operation.CHAT if method == "POST" and path.endswith(_PATH) else None

    def canonical(self, operation: Operation, path: str) -> str:
        return _PATH if operation is Operation.CHAT else path

    def ask(self, operation: Operation, path: str, body: bytes) -> Ask:  # the body says all
        request = _REQUEST.request(body)
        if request.model is None:
            raise BadBody('"model" is missing or not a string: name the model to ask')
        form = (request.output_config and request.output_config.format) or request.output_format or Format()
        structured = form.type == "json_schema"
        thinking = request.thinking.type if request.thinking is not None else None
        return Ask(
            operation=operation,
            model=request.model,
            stream=bool(request.stream),
            json=structured,
            schema=json_of(form.schema) if structured else None,
            tools=frozenset(tool.name for tool in request.tools or () if tool.name),
            reasoning=thinking != "disabled" if thinking else thinks(request.model),
            max_output=request.max_tokens,
        )

    def with_model(self, path: str, body: bytes, model: str) -> tuple[str, bytes]:
        return path, splice.replace(body, "model", encode(model))

    def as_stream(self, path: str, query: str, body: bytes) -> tuple[str, str, bytes] | None:
        return path, query, splice.put(body, "stream", b"true")

    def assembler(self, content_type: bytes) -> Assembler | None:
        return StreamAssembler(MessagePieces()) if is_event_stream(content_type) else None

    def reader(self, ask: Ask, content_type: bytes) -> Reader:  # nothing depends on the ask
        answer = AnthropicAnswer()
        return StreamReader(answer) if is_event_stream(content_type) else BodyReader(answer)

    def complain(self, status: int, fault: Fault, message: str) -> Wire:
        status = _OVERLOADED if fault in _OVERLOADS else status
        return json_wire(status, _error(status, fault, message))

    def error_event(self, fault: Fault, message: str) -> bytes:
        return _event(_error(HANDLING[fault].status, fault, message))

    def static(self, ask: Ask, text: str) -> Wire:
        message = {
            "id": STATIC_ID,
            "type": "message",
            "role": "assistant",
            "model": ask.model,
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
            "llm_sidecar": LABEL,
        }
        if not ask.stream:
            return json_wire(200, message)
        begun = {**message, "content": [], "stop_reason": None}
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        events: tuple[dict[str, Any], ...] = (
            {"type": "message_start", "message": begun, "llm_sidecar": LABEL},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": {"output_tokens": 0}},
            {"type": "message_stop"},
        )
        return events_wire(*map(_event, events))


def _error(status: int, fault: Fault, message: str) -> dict[str, Any]:
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message, "code": fault}}


def _event(content: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(content["type"]).encode(), encode(content))


ANTHROPIC = Anthropic()
