"""Gemini's generateContent and embedContent, version v1beta; also under v1, and in Vertex's paths.

The path says the model, and whether the answer is streamed. What it does not say is how: with
`?alt=sse`, as every SDK asks, the answer is a stream of events, else one JSON array that arrives in
pieces. Google's own SDK dies on everything in an event stream that is not `data:`, comments and event
names included, and raises the error of a stream only where `error` comes first in its event.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import msgspec

from sidecar.dialects import splice
from sidecar.dialects.assemble_gemini import ArrayAssembler, GeminiPieces
from sidecar.dialects.assembling import StreamAssembler
from sidecar.dialects.base import Assembler, Reader, Wire
from sidecar.dialects.elements import Elements
from sidecar.dialects.gemini_answer import GeminiAnswer, also
from sidecar.dialects.gemini_schema import json_schema
from sidecar.dialects.gemini_stream import ArrayReader, GeminiStream
from sidecar.dialects.gemini_vectors import GeminiVectors
from sidecar.dialects.reading import BodyReader
from sidecar.dialects.reasoners import thinks
from sidecar.dialects.shapes import Shape
from sidecar.dialects.writing import LABEL, STATIC_ID, encode, events_wire, is_event_stream, json_wire
from sidecar.faults import HANDLING
from sidecar.model import Ask, Fault, Operation

T = TypeVar("T")

_PATH = re.compile(
    r"/(?P<kind>models|tunedModels|endpoints)/(?P<model>[^/]+?)(?P<colon>:|%3[aA])"
    r"(?P<verb>generateContent|streamGenerateContent|embedContent|batchEmbedContents)$"
)

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    502: "INTERNAL",
    504: "DEADLINE_EXCEEDED",
}


class Request(msgspec.Struct, gc=False):
    tools: Any = None
    generation_config: dict[str, Any] | None = None
    generation_config_: dict[str, Any] | None = also("generationConfig")


_REQUEST = Shape(Request)


class Gemini:
    """Implements base.Dialect."""

    name = "gemini"
    version = "v1beta"

    def operation(self, method: str, path: str) -> Operation | None:
        found = _PATH.search(path) if method == "POST" else None
        if found is None:
            return None
        return Operation.EMBEDDINGS if "mbed" in found["verb"] else Operation.CHAT

    def canonical(self, operation: Operation, path: str) -> str:  # the path says all
        found = _PATH.search(path)
        return found[0] if found else path

    def ask(self, operation: Operation, path: str, body: bytes) -> Ask:
        found = _PATH.search(path)
        assert found is not None, "a path of an operation"
        model = unquote(found["model"])
        if found["kind"] != "models":
            model = f"{found['kind']}/{model}"
        request = _REQUEST.request(body)
        if operation is not Operation.CHAT:
            return Ask(operation=operation, model=model)
        config = request.generation_config_ or request.generation_config or {}
        structured = (_get(config, "responseMimeType", str) or "").lower() == "application/json"
        return Ask(
            operation=operation,
            model=model,
            stream=found["verb"] == "streamGenerateContent",
            json=structured,
            schema=_schema(config) if structured else None,
            tools=_tools(request.tools),
            reasoning=_reasoning(config, model),
            max_output=_get(config, "maxOutputTokens", int),
            choices=max(1, _get(config, "candidateCount", int) or 1),
        )

    def with_model(self, path: str, body: bytes, model: str) -> tuple[str, bytes]:
        kind, _, name = model.rpartition("/")
        if kind not in ("tunedModels", "endpoints"):
            kind = "models"
        changed = _PATH.sub(lambda it: f"/{kind}/{quote(name, safe='')}{it['colon']}{it['verb']}", path)
        if "mbed" in path.rpartition("/")[2]:
            body = _embed_with(body, encode(f"{kind}/{name}"))
        return changed, body

    def as_stream(self, path: str, query: str, body: bytes) -> tuple[str, str, bytes] | None:
        found = _PATH.search(path)
        if found is None or found["verb"] != "generateContent":
            return None
        options = [option for option in query.split("&") if option and option.partition("=")[0] != "alt"]
        return path[: found.start("verb")] + "streamGenerateContent", "&".join([*options, "alt=sse"]), body

    def assembler(self, content_type: bytes) -> Assembler | None:
        if is_event_stream(content_type):
            return StreamAssembler(GeminiPieces())
        return ArrayAssembler() if _is_json(content_type) else None

    def reader(self, ask: Ask, content_type: bytes) -> Reader:
        if ask.operation is Operation.EMBEDDINGS:
            return BodyReader(GeminiVectors())
        answer = GeminiAnswer(ask.choices)
        if is_event_stream(content_type):
            return GeminiStream(answer)
        return ArrayReader(answer) if ask.stream and _is_json(content_type) else BodyReader(answer)

    def complain(self, status: int, fault: Fault, message: str) -> Wire:
        return json_wire(status, _error(status, fault, message))

    def error_event(self, fault: Fault, message: str) -> bytes:
        return _data(_error(HANDLING[fault].status, fault, message))

    def static(self, ask: Ask, text: str) -> Wire | None:
        if ask.operation is not Operation.CHAT:
            return None
        content = {"parts": [{"text": text}], "role": "model"}
        answer = {
            "candidates": [
                {"content": content, "finishReason": "STOP", "index": index} for index in range(ask.choices)
            ],
            "usageMetadata": {"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0},
            "modelVersion": ask.model,
            "responseId": STATIC_ID,
            "llm_sidecar": LABEL,
        }
        return events_wire(_data(answer)) if ask.stream else json_wire(200, answer)


def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


def _get(values: dict[str, Any], name: str, kind: type[T]) -> T | None:
    """A field under either spelling; None where it is missing or of another type."""
    value = values.get(name)
    if value is None:
        value = values.get(re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name))
    return value if type(value) is kind else None


def _schema(config: dict[str, Any]) -> bytes | None:
    for name in ("responseJsonSchema", "_responseJsonSchema"):
        schema = _get(config, name, dict)
        if schema is not None:
            return encode(schema)
    return json_schema(_get(config, "responseSchema", dict))


def _tools(tools: Any) -> frozenset[str]:
    names = set()
    for tool in tools if isinstance(tools, list) else [tools]:
        functions = _get(tool, "functionDeclarations", list) if isinstance(tool, dict) else None
        for function in functions or ():
            name = function.get("name") if isinstance(function, dict) else None
            if name and isinstance(name, str):
                names.add(name)
    return frozenset(names)


def _reasoning(config: dict[str, Any], model: str) -> bool:
    """What the request says about thinking; else the model's name."""
    thinking: dict[str, Any] = _get(config, "thinkingConfig", dict) or {}
    budget = _get(thinking, "thinkingBudget", int)
    if budget is not None:
        return budget != 0  # -1: as much as the model likes
    level = _get(thinking, "thinkingLevel", str)
    if level and not level.upper().endswith("UNSPECIFIED"):
        return level.lower() != "minimal"
    return _get(thinking, "includeThoughts", bool) is True or thinks(model)


def _embed_with(body: bytes, model: bytes) -> bytes:
    """The model stands in the body too, and in a batch in every request of it: Google compares them."""
    body = splice.replace(body, "model", model)
    pieces: list[bytes] = []
    last = 0
    for start, end in splice.spans(body, "requests"):
        _, requests = Elements().feed(body[start:end])
        for request in requests:
            if request is None or request[:1] != b"{":
                continue
            at = body.index(request, max(start, last))
            pieces += (body[last:at], splice.replace(request, "model", model))
            last = at + len(request)
    return b"".join([*pieces, body[last:]])


def _error(status: int, fault: Fault, message: str) -> dict[str, Any]:
    word = _STATUS.get(status, "UNAVAILABLE" if status >= 500 else "FAILED_PRECONDITION")
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": fault, "domain": "llm-sidecar"}
    return {"error": {"code": status, "message": message, "status": word, "details": [info]}}


def _data(content: Any) -> bytes:
    return b"data: " + encode(content) + b"\n\n"


GEMINI = Gemini()
