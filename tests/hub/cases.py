"""Whole conversations, each as a client of every dialect would write it."""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]

CHAT, RESPONSES, ANTHROPIC, GEMINI = "openai_chat", "openai_responses", "anthropic", "gemini"
DIALECTS = (CHAT, RESPONSES, ANTHROPIC, GEMINI)

MODELS = {CHAT: "quill-2", RESPONSES: "quill-5", ANTHROPIC: "sonnet-x", GEMINI: "gemini-2.5-flash"}
PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjc="
WAV = "UklGRg=="

_PORT: Json = {
    "type": "object",
    "properties": {"port": {"type": "string", "description": "A harbour"}},
    "required": ["port"],
    "additionalProperties": False,
}
_SHIP: Json = {
    "type": "object",
    "properties": {"ship": {"type": "string"}, "masts": {"type": "integer"}},
    "required": ["ship", "masts"],
    "additionalProperties": False,
}


def _tools(dialect: str) -> Json:
    said: list[Json] = []
    for name, about in (("tide", "When high water is"), ("wind", "How it blows")):
        if dialect == CHAT:
            said.append(
                {"type": "function", "function": {"name": name, "description": about, "parameters": _PORT}}
            )
        elif dialect == RESPONSES:
            said.append({"type": "function", "name": name, "description": about, "parameters": _PORT})
        elif dialect == ANTHROPIC:
            said.append({"name": name, "description": about, "input_schema": _PORT})
        else:
            said.append({"name": name, "description": about, "parametersJsonSchema": _PORT})
    return {"tools": [{"functionDeclarations": said}] if dialect == GEMINI else said}


def _asked(dialect: str, turns: list[Json], **more: Any) -> Json:
    place = {RESPONSES: "input", GEMINI: "contents"}.get(dialect, "messages")
    top: Json = {} if dialect == GEMINI else {"model": f"of-{dialect}"}
    if dialect == ANTHROPIC:
        top["max_tokens"] = 1000
    return {**top, place: turns, **more}


def _user(dialect: str, *parts: Any) -> Json:
    if dialect == GEMINI:
        return {"role": "user", "parts": [{"text": p} if isinstance(p, str) else p for p in parts]}
    if len(parts) == 1 and isinstance(parts[0], str):
        return {"role": "user", "content": parts[0]}
    kind = "input_text" if dialect == RESPONSES else "text"
    return {
        "role": "user",
        "content": [{"type": kind, "text": part} if isinstance(part, str) else part for part in parts],
    }


def _said(dialect: str, text: str) -> Json:
    if dialect == GEMINI:
        return {"role": "model", "parts": [{"text": text}]}
    return {"role": "assistant", "content": text}


def _called(dialect: str, *calls: tuple[str, str, Json], text: str = "") -> list[Json]:
    written = [(ident, name, msgspec.json.encode(given).decode(), given) for ident, name, given in calls]
    if dialect == CHAT:
        tool_calls = [
            {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}
            for ident, name, arguments, _ in written
        ]
        return [{"role": "assistant", "content": text or None, "tool_calls": tool_calls}]
    if dialect == RESPONSES:
        items = [
            {"type": "function_call", "id": f"fc_{n}", "call_id": i, "name": name, "arguments": arguments}
            for n, (i, name, arguments, _) in enumerate(written)
        ]
        return [*([_said(dialect, text)] if text else []), *items]
    if dialect == ANTHROPIC:
        blocks = [
            {"type": "tool_use", "id": i, "name": name, "input": given} for i, name, _, given in written
        ]
        words = [{"type": "text", "text": text}] if text else []
        return [{"role": "assistant", "content": [*words, *blocks]}]
    parts: list[Json] = [{"functionCall": {"name": name, "args": given}} for _, name, _, given in written]
    return [{"role": "model", "parts": [*([{"text": text}] if text else []), *parts]}]


def _answered(dialect: str, *results: tuple[str, str, str]) -> list[Json]:
    if dialect == CHAT:
        return [{"role": "tool", "tool_call_id": ident, "content": text} for ident, _, text in results]
    if dialect == RESPONSES:
        return [{"type": "function_call_output", "call_id": i, "output": text} for i, _, text in results]
    if dialect == ANTHROPIC:
        return [
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": i, "content": t} for i, _, t in results],
            }
        ]
    parts = [{"functionResponse": {"name": name, "response": {"output": text}}} for _, name, text in results]
    return [{"role": "user", "parts": parts}]


def _system(dialect: str, text: str) -> Json:
    table: dict[str, Json] = {
        RESPONSES: {"instructions": text},
        ANTHROPIC: {"system": text},
        GEMINI: {"systemInstruction": {"parts": [{"text": text}]}},
    }
    return table.get(dialect, {})


def _first(dialect: str, text: str) -> list[Json]:
    return [{"role": "system", "content": text}] if dialect == CHAT else []


def _schema(dialect: str, **more: Any) -> Json:
    if dialect == CHAT:
        form = {"name": "ship", "strict": True, "schema": _SHIP}
        return {"response_format": {"type": "json_schema", "json_schema": form}, **more}
    if dialect == RESPONSES:
        form = {"type": "json_schema", "name": "ship", "strict": True, "schema": _SHIP}
        return {"text": {"format": form}, **more}
    if dialect == ANTHROPIC:
        return {"output_config": {"format": {"type": "json_schema", "schema": _SHIP}}, **more}
    config = {"responseMimeType": "application/json", "responseJsonSchema": _SHIP}
    return {"generationConfig": config, **more}


def _image(dialect: str) -> Json:
    table: dict[str, Json] = {
        CHAT: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
        RESPONSES: {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
        ANTHROPIC: {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
        },
        GEMINI: {"inlineData": {"mimeType": "image/png", "data": PNG}},
    }
    return table[dialect]


def _remote(dialect: str) -> Json:
    url = "https://example.org/hedgehog.png"
    table: dict[str, Json] = {
        CHAT: {"type": "image_url", "image_url": {"url": url}},
        RESPONSES: {"type": "input_image", "image_url": url},
        ANTHROPIC: {"type": "image", "source": {"type": "url", "url": url}},
        GEMINI: {"fileData": {"mimeType": "image/png", "fileUri": url}},
    }
    return table[dialect]


def _document(dialect: str) -> Json:
    data = f"data:application/pdf;base64,{PDF}"
    table: dict[str, Json] = {
        CHAT: {"type": "file", "file": {"filename": "log.pdf", "file_data": data}},
        RESPONSES: {"type": "input_file", "filename": "log.pdf", "file_data": data},
        ANTHROPIC: {
            "type": "document",
            "title": "log.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
        },
        GEMINI: {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
    }
    return table[dialect]


def _thoughtful(dialect: str) -> Json:
    call, result = (
        _called(dialect, ("c1", "tide", {"port": "Emden"})),
        _answered(dialect, ("c1", "tide", "06:12")),
    )
    if dialect == CHAT:
        call[0]["reasoning_content"] = "I need the tide."
    elif dialect == RESPONSES:
        summary = [{"type": "summary_text", "text": "I need the tide."}]
        call.insert(0, {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "c2VhbA"})
    elif dialect == ANTHROPIC:
        call[0]["content"].insert(
            0, {"type": "thinking", "thinking": "I need the tide.", "signature": "c2ln"}
        )
        call[0]["content"].insert(1, {"type": "redacted_thinking", "data": "bG9jaw=="})
    else:
        call[0]["parts"].insert(0, {"text": "I need the tide.", "thought": True})
        call[0]["parts"][1]["thoughtSignature"] = "c2ln"
    return _asked(
        dialect,
        [_user(dialect, "When can I sail?"), *call, *result],
        **_tools(dialect),
        **_reasoning(dialect),
    )


def _reasoning(dialect: str) -> Json:
    table: dict[str, Json] = {
        CHAT: {"reasoning_effort": "medium", "max_completion_tokens": 9000},
        RESPONSES: {"reasoning": {"effort": "medium", "summary": "auto"}, "max_output_tokens": 9000},
        ANTHROPIC: {"thinking": {"type": "enabled", "budget_tokens": 5000}, "max_tokens": 9000},
        GEMINI: {
            "generationConfig": {
                "thinkingConfig": {"thinkingBudget": 5000, "includeThoughts": True},
                "maxOutputTokens": 9000,
            }
        },
    }
    return table[dialect]


def _sampling(dialect: str) -> Json:
    common: Json = {"temperature": 1.5, "top_p": 0.9}
    table: dict[str, Json] = {
        CHAT: {
            **common,
            "stop": ["a", "b", "c", "d"],
            "seed": 7,
            "presence_penalty": 0.5,
            "max_tokens": 99,
            "logit_bias": {"50256": -100},
            "user": "u-1",
            "metadata": {"ticket": "T-1"},
        },
        RESPONSES: {
            **common,
            "max_output_tokens": 99,
            "user": "u-1",
            "metadata": {"ticket": "T-1"},
            "include": ["reasoning.encrypted_content"],
            "truncation": "auto",
        },
        ANTHROPIC: {
            "temperature": 0.5,
            "top_k": 40,
            "stop_sequences": ["a", "b", "c", "d", "e", "f"],
            "metadata": {"user_id": "u-1"},
            "service_tier": "auto",
        },
        GEMINI: {
            "generation_config": {
                **common,
                "top_k": 40,
                "stop_sequences": ["a", "b", "c", "d", "e"],
                "seed": 7,
                "frequency_penalty": 0.25,
                "max_output_tokens": 99,
            },
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        },
    }
    return table[dialect]  # fmt: skip


def _named(dialect: str) -> Json:
    table: dict[str, Json] = {
        CHAT: {"tool_choice": {"type": "function", "function": {"name": "tide"}}},
        RESPONSES: {"tool_choice": {"type": "function", "name": "tide"}},
        ANTHROPIC: {"tool_choice": {"type": "tool", "name": "tide", "disable_parallel_tool_use": True}},
        GEMINI: {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["tide"]}}},
    }
    return table[dialect]


def _late(dialect: str) -> list[Json]:
    if dialect == GEMINI:  # it has no such thing; an instruction in front, in two parts
        return []
    role = "developer" if dialect == RESPONSES else "system"
    return [{"role": role, "content": "Now answer in verse."}]


def _json_mode(dialect: str) -> Json:
    table: dict[str, Json] = {
        CHAT: {"response_format": {"type": "json_object"}},
        RESPONSES: {"text": {"format": {"type": "json_object"}, "verbosity": "low"}},
        ANTHROPIC: {},
        GEMINI: {"generationConfig": {"responseMimeType": "application/json"}},
    }
    return table[dialect]


def _held(dialect: str) -> Json:
    table: dict[str, Json] = {
        CHAT: {"web_search_options": {"search_context_size": "low"}},
        RESPONSES: {"previous_response_id": "resp_1"},
        ANTHROPIC: {"container": "container_1"},
        GEMINI: {"cachedContent": "cachedContents/1"},
    }
    return table[dialect]


def _server_tool(dialect: str) -> Json:
    table: dict[str, Json] = {
        CHAT: {"tools": [{"type": "custom", "custom": {"name": "free"}}]},
        RESPONSES: {"tools": [{"type": "web_search"}]},
        ANTHROPIC: {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        GEMINI: {"tools": [{"googleSearch": {}}]},
    }
    return table[dialect]


def _ids(dialect: str) -> list[Json]:
    """A history whose ids another provider made: too long, or of letters that not everybody takes."""
    long = "functions.tide:0/" + "x" * 60
    calls = _called(dialect, (long, "tide", {"port": "Emden"}), ("c2", "tide", {"port": "Husum"}))
    results = _answered(dialect, ("c2", "tide", "07:40"), (long, "tide", "06:12"))
    if dialect == GEMINI:
        for part, ident in zip(calls[0]["parts"], (long, "c2"), strict=True):
            part["functionCall"]["id"] = ident
        for part, ident in zip(results[0]["parts"], ("c2", long), strict=True):
            part["functionResponse"]["id"] = ident
    return [*calls, *results]


def _empty(dialect: str) -> list[Json]:
    if dialect == GEMINI:
        return [{"role": "model", "parts": []}]
    return [{"role": "assistant", "content": ""}]


def _failed(dialect: str) -> list[Json]:
    said = _answered(dialect, ("c1", "tide", "no such port"))
    if dialect == ANTHROPIC:
        said[0]["content"][0]["is_error"] = True
    elif dialect == GEMINI:
        said[0]["parts"][0]["functionResponse"]["response"] = {"error": "no such port"}
    return said


def cases(dialect: str) -> dict[str, Json]:
    """Bodies by name of the case."""
    d = dialect
    two = (("c1", "tide", {"port": "Emden"}), ("c2", "wind", {"port": "Emden", "depth": [1, 2.5, None]}))
    return {
        "text": _asked(
            d,
            [*_first(d, "Be brief."), _user(d, "Grüße 🦔"), _said(d, "Moin."), _user(d, "Again?")],
            **_system(d, "Be brief."),
        ),
        "parallel_tools": _asked(
            d,
            [
                _user(d, "Sail?"),
                *_called(d, *two, text="Let me look."),
                *_answered(d, ("c1", "tide", '{"high": "06:12"}'), ("c2", "wind", "4 Bft")),
                _user(d, "And?"),
            ],
            **_tools(d),
        ),
        "tools_in_sequence": _asked(
            d,
            [
                _user(d, "Sail?"),
                *_called(d, two[0]),
                *_answered(d, ("c1", "tide", "06:12")),
                *_called(d, two[1], text="Now the wind."),
                *_answered(d, ("c2", "wind", "4 Bft")),
            ],
            **_tools(d),
        ),
        "failed_tool": _asked(d, [_user(d, "Sail?"), *_called(d, two[0]), *_failed(d)], **_tools(d)),
        "foreign_ids": _asked(d, [_user(d, "Sail?"), *_ids(d)], **_tools(d)),
        "image": _asked(d, [_user(d, "What is it?", _image(d), "And how old?")]),
        "remote_image": _asked(d, [_user(d, "What is it?", _remote(d))]),
        "document": _asked(d, [_user(d, _document(d), "Sum it up.")]),
        "schema": _asked(d, [_user(d, "Name a ship.")], **_schema(d)),
        "schema_and_tools": _asked(d, [_user(d, "Name a ship.")], **_schema(d), **_tools(d)),
        "schema_and_forced_tool": _asked(d, [_user(d, "A ship.")], **_schema(d), **_tools(d), **_named(d)),
        "json_mode": _asked(d, [_user(d, "Name a ship.")], **_json_mode(d)),
        "reasoning": _asked(d, [_user(d, "Why?")], **_reasoning(d)),
        "sealed_thoughts": _thoughtful(d),
        "late_system": _asked(
            d,
            [*_first(d, "Be brief."), _user(d, "Hello"), *_late(d), _user(d, "Go on.")],
            **_system(d, "Be brief."),
        ),
        "empty_assistant": _asked(d, [_user(d, "Hello"), *_empty(d), _user(d, "Hello?")]),
        "sampling": _asked(d, [_user(d, "Roll a die.")], **_sampling(d)),
        "held_by_provider": _asked(d, [_user(d, "Go on.")], **_held(d)),
        "server_tool": _asked(d, [_user(d, "Search.")], **_server_tool(d)),
    }


def path_of(dialect: str) -> str:
    table = {
        CHAT: "/v1/chat/completions",
        RESPONSES: "/v1/responses",
        ANTHROPIC: "/v1/messages",
        GEMINI: "/v1beta/models/of-gemini:generateContent",
    }
    return table[dialect]  # fmt: skip
