"""How a vendor that speaks OpenAI responses answers, streams and complains.

An error in a stream comes in one of two forms, as OpenAI sends it: as `response.failed` where the
error is one of a response's own, as an `error` event where it is the server's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
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
        begun, ended = _response(say.model, "in_progress"), _finished(asked, say)
        events = [
            (Part.OPENING, "created", {"response": begun}),
            (Part.OPENING, "in_progress", {"response": begun}),
            *_events(ended["output"], say),
            (Part.SENTINEL, ended["status"], {"response": ended}),
        ]
        return [
            Piece(part, _event(f"response.{kind}", sequence_number=number, **fields))
            for number, (part, kind, fields) in enumerate(events)
        ]

    def filler(self, size: int) -> bytes:
        return _event("keepalive", sequence_number=0, padding="x" * size)

    def error_event(self, complaint: Complaint) -> bytes:
        error = json.loads(complaint.body)["error"]
        code = error["code"] or error["type"]
        if code not in FAILED:
            return _event("error", sequence_number=0, error=error)
        failed = _response("", "failed") | {"error": {"code": code, "message": error["message"]}}
        return _event("response.failed", sequence_number=0, response=failed)

    ping = OpenAIChat.ping
    complain = OpenAIChat.complain
    hints = OpenAIChat.hints


def _event(kind: str, **fields: Any) -> bytes:
    return sse(dumps({"type": kind, **fields}), kind)


def _events(items: list[dict[str, Any]], say: Saying) -> Iterator[tuple[Part, str, dict[str, Any]]]:
    """What a stream says of the output: each item announced, in pieces, and whole."""
    for index, item in enumerate(items):
        behind = Part.CLOSING if index == len(items) - 1 else Part.OPENING
        yield Part.OPENING, "output_item.added", {"output_index": index, "item": _empty(item)}
        at: dict[str, Any] = {"item_id": item["id"], "output_index": index}
        if item["type"] == "function_call":
            for word in say.words:
                yield Part.CONTENT, "function_call_arguments.delta", {**at, "delta": word}
            done = {"name": item["name"], "arguments": item["arguments"]}
            yield behind, "function_call_arguments.done", {**at, **done}
        for part in item.get("summary", ()):
            at["summary_index"] = 0
            yield Part.OPENING, "reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}
            for thought in say.reasoning:
                yield Part.CONTENT, "reasoning_summary_text.delta", {**at, "delta": thought}
            yield behind, "reasoning_summary_text.done", {**at, "text": part["text"]}
            yield behind, "reasoning_summary_part.done", {**at, "part": part}
        for part in item.get("content", ()):
            at["content_index"] = 0
            field = "refusal" if part["type"] == "refusal" else "text"
            if field == "text":
                at["logprobs"] = []
            yield Part.OPENING, "content_part.added", {**at, "part": {**part, field: ""}}
            for word in say.words:
                yield Part.CONTENT, f"{part['type']}.delta", {**at, "delta": word}
            yield behind, f"{part['type']}.done", {**at, field: part[field]}
            yield behind, "content_part.done", {**at, "part": part}
        yield behind, "output_item.done", {"output_index": index, "item": item}


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
