"""What a request says, in any of the dialects, as messages of the GenAI conventions.

Read by what is there and not by a schema: a part that nobody knows becomes its type and its size, and so
do images, audio and files, whose bytes and addresses are never kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from sidecar.telemetry import words

Part = dict[str, str | int]

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
_KINDS = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "audio",
    "input_file": "file",
}
# where a part keeps bytes, as base64
_BYTES = ("data", "image_url", "url", "file_data", "b64_json")
_TEXTS = {"thinking": "reasoning", "refusal": "refusal", "text": "text"}


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    parts: list[Part] = field(default_factory=list)


def asked(dialect: str, body: Any) -> tuple[list[Part], list[Message]]:
    """System instructions, and the conversation. Raises where the body is nothing like a request."""
    if dialect == "gemini":
        system = body.get("systemInstruction") or body.get("system_instruction")
        return _parts(_content(system)), _messages(body.get("contents"))
    if dialect == "openai_responses":
        return _parts(body.get("instructions")), _messages(body.get("input"))
    return _parts(body.get("system")), _messages(body.get("messages"))


def _content(value: Any) -> Any:
    return value.get("parts", value) if isinstance(value, dict) else value


def _messages(value: Any) -> list[Message]:
    if isinstance(value, str | dict):
        value = [value]
    return [_message(one) for one in value or ()]


def _message(one: Any) -> Message:
    if not isinstance(one, dict):
        return Message("user", _parts(one))
    role = _ROLES.get(one.get("role", "user"), "unknown")
    if "role" not in one and "type" in one:  # an item of the responses API that is no message
        role = "tool" if str(one["type"]).endswith("_output") else "assistant"
        return Message(role, _parts(one))
    content = one.get("content", one.get("parts"))
    if role == "tool":
        id_ = str(one.get("tool_call_id") or one.get("name") or "")
        return Message(role, [{"type": "tool_call_response", "id": id_, "response": _flat(content)}])
    thought = (one.get(key) for key in ("reasoning_content", "reasoning"))
    parts: list[Part] = [{"type": "reasoning", "content": said} for said in thought if isinstance(said, str)]
    parts += _parts(content)
    if isinstance(one.get("refusal"), str):
        parts.append({"type": "refusal", "content": one["refusal"]})
    for call in one.get("tool_calls") or ():
        parts.append(_tool(call.get("id"), call.get("function") or call.get("custom") or {}))
    if isinstance(one.get("function_call"), dict):
        parts.append(_tool(None, one["function_call"]))
    return Message(role, parts)


def _parts(value: Any) -> list[Part]:
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "text", "content": value}]
    if isinstance(value, list):
        return [part for one in value for part in _parts(one)]
    if isinstance(value, dict):
        return [_part(value)]
    return [{"type": "unknown", "bytes": len(_flat(value))}]


def _part(one: dict[str, Any]) -> Part:
    kind = one.get("type")
    match kind:
        case "tool_use" | "function_call":
            return _tool(one.get("call_id") or one.get("id"), one)
        case "tool_result" | "function_call_output":
            id_ = str(one.get("tool_use_id") or one.get("call_id") or "")
            said = one.get("content", one.get("output"))
            return {"type": "tool_call_response", "id": id_, "response": _flat(said)}
        case "reasoning":
            return {"type": "reasoning", "content": _flat(one.get("summary"))}
        case _:
            pass
    for call in (one.get("functionCall"), one.get("function_call")):
        if isinstance(call, dict):
            return _tool(call.get("id"), call)
    for answer in (one.get("functionResponse"), one.get("function_response")):
        if isinstance(answer, dict):
            id_ = str(answer.get("id") or answer.get("name") or "")
            return {"type": "tool_call_response", "id": id_, "response": _flat(answer.get("response"))}
    for key, shown in _TEXTS.items():
        if isinstance(one.get(key), str):
            return {"type": "reasoning" if one.get("thought") else shown, "content": one[key]}
    return _medium(one)


def _tool(id_: Any, call: dict[str, Any]) -> Part:
    said = next((call[key] for key in ("arguments", "input", "args") if key in call), "")
    return {
        "type": "tool_call",
        "id": str(id_ or ""),
        "name": str(call.get("name") or ""),
        "arguments": said if isinstance(said, str) else _flat(said),
    }


def _medium(one: dict[str, Any]) -> Part:
    kind = one.get("type")
    if not isinstance(kind, str):
        kind = next((key for key in one if isinstance(one[key], dict)), "unknown")
    holders = [one, *(value for value in one.values() if isinstance(value, dict))]
    part: Part = {"type": _KINDS.get(kind, kind if words.is_name(kind) else "unknown")}
    for holder in holders:
        for key in ("media_type", "mimeType", "mime_type"):
            mime = holder.get(key)
            if isinstance(mime, str) and words.is_name(mime):
                part["mime_type"] = mime
        for key in _BYTES:
            data = holder.get(key)
            if isinstance(data, str):
                part["bytes"] = _size(data)
    return part


def _size(data: str) -> int:
    """Of base64, alone or in a data URL; an address has no size we know."""
    if data.startswith("data:"):
        data = data.partition(",")[2]
    elif "://" in data[:20]:
        return 0
    return len(data) * 3 // 4


def _flat(value: Any) -> str:
    """What a tool answered or reasoning summed up, as one text; of what is no text only the kind."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        parts = [_part(one) for one in value]
        return "\n".join(str(part.get("content") or f"({part['type']})") for part in parts)
    return "" if value is None else msgspec.json.encode(value).decode()
