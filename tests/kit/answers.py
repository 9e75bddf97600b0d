"""Answers to script, in every dialect: what a provider would send, as (seconds, bytes) pieces."""

from __future__ import annotations

import json
from typing import Any

JSON = ((b"Content-Type", b"application/json"),)
SSE = ((b"Content-Type", b"text/event-stream"),)

Json = dict[str, Any]


def _event(data: Json, name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def _openai_error(message: str, type_: str, code: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": type_, "param": None, "code": code}}).encode()


def _anthropic_error(message: str, type_: str) -> bytes:
    return json.dumps({"type": "error", "error": {"type": type_, "message": message}}).encode()


class OpenAI:
    dialect = "openai_chat"
    path = "/v1/chat/completions"
    done = b"data: [DONE]\n\n"

    @staticmethod
    def request(text: str = "hello", *, stream: bool = False, **more: Any) -> bytes:
        return json.dumps(
            {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream, **more}
        ).encode()

    @staticmethod
    def structured(schema: Json) -> Json:
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}

    @staticmethod
    def whole(text: str | None, finish: str = "stop", **message: Any) -> bytes:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, **message},
            "finish_reason": finish,
        }
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        return json.dumps(
            {"id": "c", "object": "chat.completion", "model": "m-1", "choices": [choice], "usage": usage}
        ).encode()

    @classmethod
    def chunk(cls, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event({"id": "c", "object": "chat.completion.chunk", "model": "m-1", "choices": [choice]})

    @classmethod
    def events(cls, words: list[str], finish: str = "stop") -> list[bytes]:
        role = cls.chunk({"role": "assistant", "content": ""})
        return [role, *(cls.chunk({"content": word}) for word in words), cls.chunk({}, finish), cls.done]

    keepalive = b": keep-alive\n\n"
    malformed = b"data: {oh no\n\n"

    @staticmethod
    def error(message: str = "boom", type_: str = "server_error", code: str | None = None) -> bytes:
        return json.dumps(
            {"error": {"message": message, "type": type_, "param": None, "code": code}}
        ).encode()

    @classmethod
    def error_event(cls, type_: str = "server_error") -> bytes:
        return b"data: " + cls.error("boom", type_) + b"\n\n"

    QUOTA = (
        429,
        _openai_error("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
    )
    AUTH = (401, _openai_error("Incorrect API key provided", "invalid_request_error", "invalid_api_key"))
    INVALID = (400, _openai_error("Unrecognized request argument", "invalid_request_error"))
    CONTEXT = (
        400,
        _openai_error(
            "This model's maximum context length is 8192 tokens. Your messages resulted in 9000.",
            "invalid_request_error",
            "context_length_exceeded",
        ),
    )
    FILTER = (400, _openai_error("The response was filtered", "invalid_request_error", "content_filter"))
    LIMIT = (429, _openai_error("Rate limit reached for requests", "requests", "rate_limit_exceeded"))
    OVERLOADED = (503, _openai_error("The engine is currently overloaded", "server_error"))
    BROKEN = (500, _openai_error("The server had an error", "server_error"))


class Anthropic:
    dialect = "anthropic"
    path = "/v1/messages"
    done = _event({"type": "message_stop"}, "message_stop")

    @staticmethod
    def request(text: str = "hello", *, stream: bool = False, **more: Any) -> bytes:
        return json.dumps(
            {
                "model": "m",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": text}],
                "stream": stream,
                **more,
            }
        ).encode()

    @staticmethod
    def structured(schema: Json) -> Json:
        return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}

    @staticmethod
    def whole(text: str | None, finish: str = "end_turn", **message: Any) -> bytes:
        content = [] if text is None or text == "" else [{"type": "text", "text": text}]
        body = {
            "id": "msg",
            "type": "message",
            "role": "assistant",
            "model": "m-1",
            "content": content,
            "stop_reason": finish,
            "usage": {"input_tokens": 3, "output_tokens": 5},
            **message,
        }
        return json.dumps(body).encode()

    @classmethod
    def events(cls, words: list[str], finish: str = "end_turn") -> list[bytes]:
        message = {"id": "msg", "type": "message", "role": "assistant", "model": "m-1", "content": []}
        usage = {"input_tokens": 3, "output_tokens": 1}
        start = _event({"type": "message_start", "message": {**message, "usage": usage}}, "message_start")
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        deltas = [
            _event(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}},
                "content_block_delta",
            )
            for word in words
        ]
        stop = _event({"type": "content_block_stop", "index": 0}, "content_block_stop")
        end = _event(
            {"type": "message_delta", "delta": {"stop_reason": finish}, "usage": {"output_tokens": 5}},
            "message_delta",
        )
        return [start, _event(block, "content_block_start"), *deltas, stop, end, cls.done]

    keepalive = _event({"type": "ping"}, "ping")
    malformed = b"event: content_block_delta\ndata: {oh no\n\n"

    @staticmethod
    def error(message: str = "boom", type_: str = "api_error", code: str | None = None) -> bytes:
        return _anthropic_error(message, type_)

    @classmethod
    def error_event(cls, type_: str = "api_error") -> bytes:
        return b"event: error\ndata: " + cls.error("boom", type_) + b"\n\n"

    QUOTA = (
        400,
        _anthropic_error("Your credit balance is too low to access the API", "invalid_request_error"),
    )
    AUTH = (401, _anthropic_error("invalid x-api-key", "authentication_error"))
    INVALID = (400, _anthropic_error("max_tokens: field required", "invalid_request_error"))
    CONTEXT = (
        400,
        _anthropic_error("prompt is too long: 9000 tokens > 8192 maximum", "invalid_request_error"),
    )
    FILTER = (
        400,
        _anthropic_error("Output blocked by content filtering policy", "invalid_request_error"),
    )
    LIMIT = (429, _anthropic_error("This request would exceed your rate limit", "rate_limit_error"))
    OVERLOADED = (529, _anthropic_error("Overloaded", "overloaded_error"))
    BROKEN = (500, _anthropic_error("Internal server error", "api_error"))


def _message(text: str | None) -> Json:
    part: Json = {"type": "output_text", "text": text, "annotations": []}
    return {"id": "i", "type": "message", "role": "assistant", "content": [part] if text else []}


class Responses:
    dialect = "openai_responses"
    path = "/v1/responses"
    done = b"event: response.completed\n"

    @staticmethod
    def request(prompt: str = "hello", *, stream: bool = False, **more: Any) -> bytes:
        return json.dumps({"model": "m", "input": prompt, "stream": stream, **more}).encode()

    @staticmethod
    def structured(schema: Json) -> Json:
        return {"text": {"format": {"type": "json_schema", "name": "a", "schema": schema}}}

    @staticmethod
    def response(status: str, *output: Json, **more: Any) -> Json:
        head = {"id": "r", "object": "response", "status": status, "model": "m-1", "error": None}
        return {**head, "output": output, **more}

    @classmethod
    def whole(cls, text: str | None, finish: str = "completed", **more: Any) -> bytes:
        usage = {"input_tokens": 3, "output_tokens": 5}
        return json.dumps(cls.response(finish, _message(text), usage=usage, **more)).encode()

    @classmethod
    def event(cls, kind: str, **fields: Any) -> bytes:
        return _event({"type": f"response.{kind}", **fields}, f"response.{kind}")

    @classmethod
    def events(cls, words: list[str], finish: str = "completed") -> list[bytes]:
        item = _message("".join(words))
        usage = {"input_tokens": 3, "output_tokens": 5}
        return [
            cls.event("created", response=cls.response("in_progress")),
            cls.event("output_item.added", output_index=0, item={**item, "content": []}),
            *(cls.event("output_text.delta", output_index=0, delta=word) for word in words),
            cls.event("output_item.done", output_index=0, item=item),
            cls.event(finish, response=cls.response(finish, item, usage=usage)),
        ]

    keepalive = b": keep-alive\n\n"
    malformed = b"event: response.output_text.delta\ndata: {oh no\n\n"

    @staticmethod
    def error(message: str = "boom", type_: str = "server_error", code: str | None = None) -> bytes:
        return _openai_error(message, type_, code)

    @classmethod
    def error_event(cls, type_: str = "server_error") -> bytes:
        error = {"code": type_, "message": "boom"}
        return cls.event("failed", response=cls.response("failed", error=error))

    QUOTA, AUTH, INVALID, CONTEXT = OpenAI.QUOTA, OpenAI.AUTH, OpenAI.INVALID, OpenAI.CONTEXT
    FILTER, LIMIT, OVERLOADED, BROKEN = OpenAI.FILTER, OpenAI.LIMIT, OpenAI.OVERLOADED, OpenAI.BROKEN


def _gemini_error(message: str, status: str, code: int, **more: Any) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "status": status, **more}}).encode()


class Gemini:
    """The path says whether it is a stream; `path_of` finds it out from a field of ours in the body."""

    dialect = "gemini"
    path = "/v1beta/models/m:generateContent"
    done = b'"finishReason": "STOP"'

    @staticmethod
    def request(prompt: str = "hello", *, stream: bool = False, **more: Any) -> bytes:
        contents = [{"role": "user", "parts": [{"text": prompt}]}]
        thinking = more.pop("thinking", None)
        more.pop("reasoning_effort", None)
        more.pop("reasoning", None)
        if thinking:
            more["generationConfig"] = {"thinkingConfig": {"thinkingBudget": 1024}}
        return json.dumps({"contents": contents, "streamed": stream, **more}).encode()

    @staticmethod
    def structured(schema: Json) -> Json:
        return {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": schema}}

    @staticmethod
    def answer(text: str | None, finish: str | None = None) -> Json:
        parts = [] if text is None else [{"text": text}]
        candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        usage = {"promptTokenCount": 3, "candidatesTokenCount": 5}
        return {"candidates": [candidate], "modelVersion": "m-1", "usageMetadata": usage}

    @classmethod
    def whole(cls, text: str | None, finish: str = "STOP") -> bytes:
        return json.dumps(cls.answer(text, finish)).encode()

    @classmethod
    def events(cls, words: list[str], finish: str = "STOP") -> list[bytes]:
        said = [_event(cls.answer(word)) for word in words]
        return [_event(cls.answer("")), *said, _event(cls.answer(None, finish))]

    keepalive = b'data: {"candidates": [{"content": {"parts": [{"text": ""}]}, "index": 0}]}\n\n'
    malformed = b"data: {oh no\n\n"

    @staticmethod
    def error(message: str = "boom", type_: str = "server_error", code: str | None = None) -> bytes:
        denied = type_ == "permission_error"
        return _gemini_error(message, "PERMISSION_DENIED" if denied else "INTERNAL", 403 if denied else 500)

    @classmethod
    def error_event(cls, type_: str = "server_error") -> bytes:
        overloaded = type_ == "overloaded_error"
        body = _gemini_error("boom", "UNAVAILABLE", 503) if overloaded else cls.error()
        return b"data: " + body + b"\n\n"

    QUOTA = (
        403,
        _gemini_error("This API method requires billing to be enabled.", "PERMISSION_DENIED", 403),
    )
    AUTH = (
        400,
        _gemini_error(
            "API key not valid. Please pass a valid API key.",
            "INVALID_ARGUMENT",
            400,
            details=[{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
        ),
    )
    INVALID = (400, _gemini_error("Invalid value at 'contents'", "INVALID_ARGUMENT", 400))
    CONTEXT = (
        400,
        _gemini_error(
            "The input token count (9000) exceeds the maximum number of tokens allowed (8192).",
            "INVALID_ARGUMENT",
            400,
        ),
    )
    FILTER = (400, _gemini_error("The prompt was blocked by our safety filters", "INVALID_ARGUMENT", 400))
    LIMIT = (429, _gemini_error("Resource has been exhausted (e.g. check quota).", "RESOURCE_EXHAUSTED", 429))
    OVERLOADED = (503, _gemini_error("The model is overloaded. Please try again later.", "UNAVAILABLE", 503))
    BROKEN = (500, _gemini_error("An internal error has occurred", "INTERNAL", 500))


def path_of(words: Dialect, body: bytes) -> str:
    if words is Gemini and b'"streamed": true' in body:
        return "/v1beta/models/m:streamGenerateContent"
    return words.path


Dialect = type[OpenAI] | type[Responses] | type[Anthropic] | type[Gemini]
DIALECTS: tuple[Dialect, ...] = (OpenAI, Responses, Anthropic, Gemini)
