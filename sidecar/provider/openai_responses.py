"""How a vendor that speaks OpenAI responses answers, streams and complains.

An error in a stream comes in one of two forms, as OpenAI sends it: as `response.failed` where the
error is one of a response's own, as an `error` event where it is the server's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sidecar.provider.answers import Asked, Complaint, Part, Piece, Saying, dumps, messages_text, sse
from sidecar.provider.openai_chat import CREATED, OpenAIChat

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
FAILED = ("rate_limit_exceeded", "insufficient_quota", "server_error", "context_length_exceeded")


class OpenAIResponses:
    name = "openai_responses"

    def speaks(self, path: str) -> bool:
        return path.endswith("/responses")

    def read(self, path: str, body: Mapping[str, Any], size: int) -> Asked:
        form = (body.get("text") or {}).get("format") or {}
        tools = [tool for tool in body.get("tools") or [] if tool.get("type") == "function"]
        schema = form.get("schema", {"properties": {"answer": {"type": "string"}}})
        given = body.get("input")
        return Asked(
            path=path,
            model=str(body.get("model", "")),
            stream=body.get("stream") is True,
            text=given if isinstance(given, str) else messages_text(given),
            schema=schema if form.get("type") in ("json_schema", "json_object") else None,
            tools=tuple((tool.get("name", ""), tool.get("parameters") or {}) for tool in tools),
            size=size,
        )

    def whole(self, asked: Asked, say: Saying) -> bytes:
        return dumps(_finished(asked, say)).encode()

    def stream(self, asked: Asked, say: Saying) -> list[Piece]:
        out: list[Piece] = []

        def event(part: Part, kind: str, **fields: Any) -> None:
            body = {"type": f"response.{kind}", "sequence_number": len(out), **fields}
            out.append(Piece(part, sse(dumps(body), f"response.{kind}")))

        begun = _response(say.model, "in_progress")
        event(Part.OPENING, "created", response=begun)
        event(Part.OPENING, "in_progress", response=begun)
        items = _items(say)
        for index, item in enumerate(items):
            behind = Part.CLOSING if index == len(items) - 1 else Part.OPENING
            at = {"item_id": item["id"], "output_index": index}
            event(Part.OPENING, "output_item.added", output_index=index, item=_empty(item))
            if item["type"] == "reasoning":
                at["summary_index"] = 0
                part = item["summary"][0]
                event(Part.OPENING, "reasoning_summary_part.added", **at, part={**part, "text": ""})
                for thought in say.reasoning:
                    event(Part.CONTENT, "reasoning_summary_text.delta", **at, delta=thought)
                event(behind, "reasoning_summary_text.done", **at, text=part["text"])
                event(behind, "reasoning_summary_part.done", **at, part=part)
            elif item["type"] == "function_call":
                for word in say.words:
                    event(Part.CONTENT, "function_call_arguments.delta", **at, delta=word)
                done = {"name": item["name"], "arguments": item["arguments"]}
                event(behind, "function_call_arguments.done", **at, **done)
            elif item["content"]:
                at["content_index"] = 0
                (part,) = item["content"]
                field = "refusal" if part["type"] == "refusal" else "text"
                kind = "refusal" if field == "refusal" else "output_text"
                more: dict[str, Any] = {} if field == "refusal" else {"logprobs": []}
                event(Part.OPENING, "content_part.added", **at, part={**part, field: ""})
                for word in say.words:
                    event(Part.CONTENT, f"{kind}.delta", **at, delta=word, **more)
                event(behind, f"{kind}.done", **at, **{field: part[field]}, **more)
                event(behind, "content_part.done", **at, part=part)
            event(behind, "output_item.done", output_index=index, item=item)
        response = _finished(asked, say)
        event(Part.SENTINEL, response["status"], response=response)
        return out

    def filler(self, size: int) -> bytes:
        return sse(dumps({"type": "keepalive", "sequence_number": 0, "padding": "x" * size}), "keepalive")

    def error_event(self, complaint: Complaint) -> bytes:
        error = json.loads(complaint.body)["error"]
        code = error["code"] or error["type"]
        if code in FAILED:
            said = {"code": code, "message": error["message"]}
            response = _response("", "failed") | {"error": said}
            event = {"type": "response.failed", "sequence_number": 0, "response": response}
            return sse(dumps(event), "response.failed")
        return sse(dumps({"type": "error", "sequence_number": 0, "error": error}), "error")

    ping = OpenAIChat.ping
    complain = OpenAIChat.complain
    hints = OpenAIChat.hints


def _items(say: Saying) -> list[dict[str, Any]]:
    """The output: a summary of the thoughts, then a message or a call."""
    items: list[dict[str, Any]] = []
    text = "".join(say.words)
    if say.reasoning:
        summary = [{"type": "summary_text", "text": "".join(say.reasoning)}]
        items.append({"id": "rs_1", "type": "reasoning", "summary": summary})
    if say.tool:
        call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": say.tool}
        return [*items, {**call, "arguments": text, "status": "completed"}]
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    if say.finish == "refusal":
        part = {"type": "refusal", "refusal": text}
    status = "incomplete" if say.finish in INCOMPLETE else "completed"
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": status}
    return [*items, {**message, "content": [part] if text else []}]


def _empty(item: Mapping[str, Any]) -> dict[str, Any]:
    """The item as it is announced."""
    bare = {"summary": [], "content": [], "arguments": "", "status": "in_progress"}
    return {key: bare.get(key, value) for key, value in item.items()}


def _finished(asked: Asked, say: Saying) -> dict[str, Any]:
    reason = INCOMPLETE.get(say.finish)
    answer = _response(say.model, "incomplete" if reason else "completed") | {"output": _items(say)}
    if reason:
        answer["incomplete_details"] = {"reason": reason}
    if say.usage:
        given, said = max(1, asked.size // 4), len(say.words) + len(say.reasoning)
        answer["usage"] = {
            "input_tokens": given,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": said,
            "output_tokens_details": {"reasoning_tokens": len(say.reasoning)},
            "total_tokens": given + said,
        }
    return answer


def _response(model: str, status: str) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }
