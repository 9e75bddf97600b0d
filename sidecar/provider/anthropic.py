"""How a vendor that speaks Anthropic messages answers, streams and complains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sidecar.provider.answers import Asked, Complaint, Part, Piece, Saying, dumps, messages_text, sse
from sidecar.provider.behaviour import Behaviour

FINISH = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "refusal": "refusal",
    "tool": "tool_use",
}

# status, type, text
ERRORS: Mapping[str, tuple[int, str, str]] = {
    "rate_limit": (429, "rate_limit_error", "{limit}"),
    "quota": (400, "invalid_request_error", "You have reached your specified API usage limits."),
    "billing": (402, "billing_error", "There is an issue with your billing or payment information."),
    "auth": (401, "authentication_error", "invalid x-api-key"),
    "permission": (
        403,
        "permission_error",
        "Your API key does not have permission to use the specified resource.",
    ),
    "region": (403, "forbidden", "Request not allowed from this country or region."),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "server_error": (500, "api_error", "Internal server error"),
    "timeout": (408, "timeout_error", "Request timed out."),
    "conflict": (409, "invalid_request_error", "The resource is being changed by another request."),
    "context_window": (400, "invalid_request_error", "prompt is too long: 209375 tokens > 200000 maximum"),
    "content_filter": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "invalid_request": (400, "invalid_request_error", "messages.0.content: Input should be a valid list"),
    "model_gone": (404, "not_found_error", "model: this model does not exist"),
    "not_found": (404, "not_found_error", "Not Found"),
    "too_large": (413, "request_too_large", "Request exceeds the maximum allowed number of bytes."),
}
LIMITS = {
    "requests": "This request would exceed your organization's rate limit of 50 requests per minute.",
    "tokens": "This request would exceed your organization's rate limit of 30,000 input tokens per minute.",
    "day": "This request would exceed your organization's rate limit of 1,000 requests per day.",
    "concurrency": "Number of concurrent connections has exceeded your rate limit.",
    "acceleration": "This request would exceed your organization's acceleration limit.",
}


class Anthropic:
    name = "anthropic"

    def speaks(self, path: str) -> bool:
        return path.endswith("/messages")

    def read(self, path: str, body: Mapping[str, Any], size: int) -> Asked:
        form = body.get("output_format") or (body.get("output_config") or {}).get("format") or {}
        tools = [tool for tool in body.get("tools") or [] if "input_schema" in tool]
        return Asked(
            path=path,
            model=str(body.get("model", "")),
            stream=body.get("stream") is True,
            text=messages_text(body.get("messages")),
            schema=form.get("schema") if form.get("type") == "json_schema" else None,
            tools=tuple((tool.get("name", ""), tool["input_schema"]) for tool in tools),
            size=size,
        )

    def whole(self, asked: Asked, say: Saying) -> bytes:
        text = "".join(say.words)
        content: list[dict[str, Any]] = []
        if say.reasoning:
            content.append({"type": "thinking", "thinking": "".join(say.reasoning), "signature": "c2ln"})
        if say.tool:
            content.append({"type": "tool_use", "id": "toolu_1", "name": say.tool, "input": _arguments(text)})
        elif text:
            content.append({"type": "text", "text": text})
        message = self._message(say) | {"content": content, "stop_reason": FINISH[say.finish]}
        if say.usage:
            message["usage"] = self._usage(asked, self._said(say))
        return dumps(message).encode()

    def stream(self, asked: Asked, say: Saying) -> list[Piece]:
        def event(part: Part, kind: str, **fields: Any) -> Piece:
            return Piece(part, sse(dumps({"type": kind, **fields}), kind))

        start = self._message(say) | {"content": [], "stop_reason": None}
        start |= {"usage": self._usage(asked, 1)} if say.usage else {}
        out = [event(Part.OPENING, "message_start", message=start), Piece(Part.OPENING, self.ping())]
        index = 0
        if say.reasoning:
            block: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}
            out.append(event(Part.OPENING, "content_block_start", index=index, content_block=block))
            for thought in say.reasoning:
                delta = {"type": "thinking_delta", "thinking": thought}
                out.append(event(Part.CONTENT, "content_block_delta", index=index, delta=delta))
            out.append(event(Part.OPENING, "content_block_stop", index=index))
            index += 1
        if say.words:
            block = {"type": "text", "text": ""}
            if say.tool:
                block = {"type": "tool_use", "id": "toolu_1", "name": say.tool, "input": {}}
            out.append(event(Part.OPENING, "content_block_start", index=index, content_block=block))
            for word in say.words:
                delta = {"type": "text_delta", "text": word}
                if say.tool:
                    delta = {"type": "input_json_delta", "partial_json": word}
                out.append(event(Part.CONTENT, "content_block_delta", index=index, delta=delta))
            out.append(event(Part.CLOSING, "content_block_stop", index=index))
        ending: dict[str, Any] = {"delta": {"stop_reason": FINISH[say.finish], "stop_sequence": None}}
        if say.usage:
            ending["usage"] = {"output_tokens": self._said(say)}
        out.append(event(Part.CLOSING, "message_delta", **ending))
        return [*out, event(Part.SENTINEL, "message_stop")]

    def ping(self) -> bytes:
        return sse('{"type":"ping"}', "ping")

    def filler(self, size: int) -> bytes:
        return sse(dumps({"type": "ping", "padding": "x" * size}), "ping")

    def complain(self, error: str, do: Behaviour) -> Complaint:
        status, kind, message = ERRORS[error]
        text = do.message or message.format(limit=LIMITS[do.limit])
        body = {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}
        return Complaint(status=status, body=dumps(body).encode())

    def error_event(self, complaint: Complaint) -> bytes:
        body = json.loads(complaint.body)
        return sse(dumps({"type": "error", "error": body["error"]}), "error")

    def hints(self, do: Behaviour) -> list[tuple[str, str]]:
        if do.name != "rate_limit":
            return []
        what = "tokens" if do.limit == "tokens" else "requests"
        pairs = [(f"anthropic-ratelimit-{what}-limit", "50"), (f"anthropic-ratelimit-{what}-remaining", "0")]
        when = do.reset
        if when is None and isinstance(do.retry_after, int | float):
            moment = datetime.now(UTC) + timedelta(seconds=do.skew + do.retry_after)
            when = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        return [*pairs, (f"anthropic-ratelimit-{what}-reset", when)] if when is not None else pairs

    def _message(self, say: Saying) -> dict[str, Any]:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": say.model,
            "stop_sequence": None,
        }

    def _usage(self, asked: Asked, said: int) -> dict[str, int]:
        return {"input_tokens": max(1, asked.size // 4), "output_tokens": said}

    def _said(self, say: Saying) -> int:
        return len(say.words) + len(say.reasoning)


def _arguments(text: str) -> Any:
    """A tool call's input is no text in this dialect; broken arguments can only be shown as one."""
    try:
        return json.loads(text)
    except ValueError:
        return text
