"""How a vendor that speaks OpenAI chat completions answers, streams and complains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sidecar.provider.answers import Asked, Complaint, Part, Piece, Saying, dumps, messages_text, sse
from sidecar.provider.behaviour import Behaviour

CREATED = 1767225600
FINISH = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "refusal": "stop",
    "tool": "tool_calls",
}

# status, type, code, text
ERRORS: Mapping[str, tuple[int, str, str | None, str]] = {
    "rate_limit": (429, "requests", "rate_limit_exceeded", "Rate limit reached for {model} on {limit}."),
    "quota": (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan.",
    ),
    "billing": (
        429,
        "insufficient_quota",
        "billing_hard_limit_reached",
        "Billing hard limit has been reached.",
    ),
    "auth": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "permission": (
        403,
        "invalid_request_error",
        None,
        "You have insufficient permissions for this operation.",
    ),
    "region": (
        403,
        "request_forbidden",
        "unsupported_country_region_territory",
        "Country, region, or territory not supported",
    ),
    "overloaded": (
        503,
        "server_error",
        "engine_overloaded",
        "The engine is currently overloaded, please try again later.",
    ),
    "server_error": (500, "server_error", None, "The server had an error while processing your request."),
    "timeout": (408, "timeout", None, "Request timed out."),
    "conflict": (409, "invalid_request_error", None, "The resource is being changed by another request."),
    "context_window": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens.",
    ),
    "content_filter": (
        400,
        "invalid_request_error",
        "content_policy_violation",
        "Your request was rejected by our safety system.",
    ),
    "invalid_request": (400, "invalid_request_error", None, "Invalid value for 'messages'."),
    "model_gone": (
        404,
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    "not_found": (404, "invalid_request_error", None, "Invalid URL."),
    "too_large": (413, "invalid_request_error", None, "The request is too large."),
}
LIMITS = {
    "requests": "requests per min (RPM): Limit 500, Used 500, Requested 1",
    "tokens": "tokens per min (TPM): Limit 30000, Used 29990, Requested 120",
    "day": "requests per day (RPD): Limit 200, Used 200, Requested 1",
    "concurrency": "concurrent requests: Limit 8, Used 8, Requested 1",
    "acceleration": "acceleration: your request rate increased too quickly, slow down",
}


class OpenAIChat:
    name = "openai_chat"

    def speaks(self, path: str) -> bool:
        return path.endswith("/chat/completions")

    def read(self, path: str, body: Mapping[str, Any], size: int) -> Asked:
        form = body.get("response_format") or {}
        tools = [tool.get("function", {}) for tool in body.get("tools") or []]
        options = body.get("stream_options") or {}
        schema = form.get("json_schema", {}).get("schema", {"properties": {"answer": {"type": "string"}}})
        return Asked(
            path=path,
            model=str(body.get("model", "")),
            stream=body.get("stream") is True,
            usage=options.get("include_usage") is True,
            text=messages_text(body.get("messages")),
            schema=schema if form.get("type") in ("json_schema", "json_object") else None,
            tools=tuple((tool.get("name", ""), tool.get("parameters", {})) for tool in tools),
            size=size,
        )

    def whole(self, asked: Asked, say: Saying) -> bytes:
        text: str | None = "".join(say.words)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if say.reasoning:
            message["reasoning_content"] = "".join(say.reasoning)
        if say.finish == "refusal":
            message.update(content=None, refusal=text)
        if say.tool:
            call = {"id": "call_1", "type": "function", "function": {"name": say.tool, "arguments": text}}
            message.update(content=None, tool_calls=[call])
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH[say.finish]}
        answer = self._envelope("chat.completion", say) | {"choices": [choice]}
        if say.usage:
            answer["usage"] = self._usage(asked, say)
        return dumps(answer).encode()

    def stream(self, asked: Asked, say: Saying) -> list[Piece]:
        def event(part: Part, delta: dict[str, Any] | None, finish: str | None = None) -> Piece:
            choices = (
                []
                if delta is None
                else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
            )
            chunk = self._envelope("chat.completion.chunk", say) | {"choices": choices}
            if asked.usage and say.usage:
                chunk["usage"] = self._usage(asked, say) if delta is None else None
            return Piece(part, sse(dumps(chunk)))

        opening: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
        if say.tool:
            call = {
                "index": 0,
                "id": "call_1",
                "type": "function",
                "function": {"name": say.tool, "arguments": ""},
            }
            opening.update(content=None, tool_calls=[call])
        out = [event(Part.OPENING, opening)]
        out += [event(Part.CONTENT, {"reasoning_content": thought}) for thought in say.reasoning]
        for word in say.words:
            if say.tool:
                delta: dict[str, Any] = {"tool_calls": [{"index": 0, "function": {"arguments": word}}]}
            else:
                delta = {"refusal" if say.finish == "refusal" else "content": word}
            out.append(event(Part.CONTENT, delta))
        out.append(event(Part.CLOSING, {}, FINISH[say.finish]))
        if asked.usage and say.usage:
            out.append(event(Part.CLOSING, None))
        return [*out, Piece(Part.SENTINEL, sse("[DONE]"))]

    def ping(self) -> bytes:
        return b": keep-alive\n\n"

    def filler(self, size: int) -> bytes:
        return sse(
            dumps(
                {
                    "id": "chatcmpl-1",
                    "object": "chat.completion.chunk",
                    "choices": [],
                    "obfuscation": "x" * size,
                }
            )
        )

    def complain(self, error: str, do: Behaviour) -> Complaint:
        status, kind, code, message = ERRORS[error]
        if error == "rate_limit":
            kind = {"tokens": "tokens"}.get(do.limit, "requests")
            message = message.format(model="the model", limit=LIMITS[do.limit])
        body = {"error": {"message": do.message or message, "type": kind, "param": None, "code": code}}
        return Complaint(status=status, body=json.dumps(body, indent=2).encode())

    def error_event(self, complaint: Complaint) -> bytes:
        return sse(dumps(json.loads(complaint.body)))

    def hints(self, do: Behaviour) -> list[tuple[str, str]]:
        if do.name != "rate_limit":
            return []
        what = "tokens" if do.limit == "tokens" else "requests"
        pairs = [(f"x-ratelimit-limit-{what}", "500"), (f"x-ratelimit-remaining-{what}", "0")]
        return [*pairs, (f"x-ratelimit-reset-{what}", do.reset)] if do.reset is not None else pairs

    def _envelope(self, kind: str, say: Saying) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
            "object": kind,
            "created": CREATED,
            "model": say.model,
            "system_fingerprint": "fp_1",
        }

    def _usage(self, asked: Asked, say: Saying) -> dict[str, Any]:
        given, said = max(1, asked.size // 4), len(say.words) + len(say.reasoning)
        return {
            "prompt_tokens": given,
            "completion_tokens": said,
            "total_tokens": given + said,
            "completion_tokens_details": {"reasoning_tokens": len(say.reasoning)},
        }
