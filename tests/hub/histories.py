"""Histories of tool calls that other providers made, as a client of each dialect sends them.

Each is told once, in rounds of calls; what a client of a dialect sends of it is made here. `SEALED` stands
in everything that only its own provider may see again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.hub.cases import ANTHROPIC, CHAT, GEMINI, RESPONSES

Json = dict[str, Any]
SEALED = "c2VhbGVkLWJ5LWl0cy1wcm92aWRlcg=="
TOOLS = ("tide", "wind")
SCHEMA: Json = {"type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]}


@dataclass(frozen=True)
class Said:
    """A call and its result."""

    id: str
    name: str
    port: str
    result: str

    @property
    def given(self) -> Json:
        return {"port": self.port, "depths": [1, 2.5, None], "unit": {"of": "m", "näh": "🦔"}}


@dataclass(frozen=True)
class Round:
    calls: tuple[Said, ...]
    text: str = ""
    thought: str = ""
    order: tuple[int, ...] = field(default=())  # of the results; empty: as the calls

    @property
    def results(self) -> list[Said]:
        return [self.calls[place] for place in self.order] if self.order else list(self.calls)


def rounds(*idents: Sequence[str], **more: Any) -> tuple[Round, ...]:
    """Rounds of calls with these ids, two tools by turns; the results of several come in another order."""
    out, count = [], 0
    for number, group in enumerate(idents):
        calls = []
        for ident in group:
            calls.append(Said(ident, TOOLS[count % 2], f"port {count}", f"result {count}"))
            count += 1
        order = () if "" in group else tuple(reversed(range(len(calls))))
        text = "Let me look." if number % 2 else ""
        out.append(Round(tuple(calls), text=text, order=order, **more))
    return tuple(out)


ALIKE = Said("", "tide", "port a", "first"), Said("", "tide", "port b", "second")
LONG = "chatcmpl-tool-" + "0123456789abcdef" * 4
HISTORIES: dict[str, tuple[Round, ...]] = {
    "of Anthropic": rounds(("toolu_01A09q90qw90lq917835lq9Z", "toolu_01B"), ("toolu_01C",), thought="Hm."),
    "of OpenAI": rounds(("call_x8YvDGhbYm0vZ6hLOCK0wN5d", "call_2"), ("call_3",), thought="Hm."),
    "of responses": rounds(("fc_67ca09c5efe0819096d0511c92b8c89009", "fc_2"), ("fc_3",)),
    "of a server with long ids": rounds((LONG + "1", LONG + "2"), (LONG + "3",)),
    "of a server with odd ids": rounds(("functions.tide:0", "functions.wind:1"), ("functions.tide:2",)),
    "of a server that counts anew": rounds(("call_0", "call_1"), ("call_0",), ("call_0", "call_1")),
    "of several": rounds(("toolu_1",), ("call_1", "fc_" + "9" * 60), ("",), thought="Hm."),
    "without ids": rounds(("", ""), ("",), ("", "")),
    "of one tool twice, without ids": (Round(ALIKE), Round((Said("", "wind", "port c", "third"),))),
}


def expected(history: Sequence[Round]) -> list[tuple[str, Any, list[str]]]:
    return [(call.name, call.given, [call.result]) for each in history for call in each.calls]


def turns(dialect: str, history: Sequence[Round], *, ids: bool = True) -> list[Json]:
    """What a client sends as messages, input or contents. `ids` False: Google's results have none, as its
    SDK makes them.
    """
    if dialect == GEMINI:
        return _gemini(history, ids=ids)
    return _WRITE[dialect](history)


def _chat(history: Sequence[Round]) -> list[Json]:
    out: list[Json] = [{"role": "user", "content": "Sail?"}]
    for each in history:
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.given, indent=1)},
                "extra_content": {"google": {"thought_signature": SEALED}},
            }
            for call in each.calls
        ]
        said: Json = {"role": "assistant", "content": each.text or None, "tool_calls": calls}
        if each.thought:
            said["reasoning_details"] = [{"type": "reasoning.encrypted", "data": SEALED}]
        out.append(said)
        out += [{"role": "tool", "tool_call_id": call.id, "content": call.result} for call in each.results]
    return out


def _responses(history: Sequence[Round]) -> list[Json]:
    out: list[Json] = [{"role": "user", "content": "Sail?"}]
    for number, each in enumerate(history):
        if each.thought:
            summary = [{"type": "summary_text", "text": each.thought}]
            item = {"type": "reasoning", "id": f"rs_{number}", "summary": summary}
            out.append({**item, "encrypted_content": SEALED})
        if each.text:
            part = {"type": "output_text", "text": each.text, "annotations": []}
            item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed"}
            out.append({**item, "content": [part]})
        for call in each.calls:
            item = {"type": "function_call", "call_id": call.id, "name": call.name, "status": "completed"}
            out.append({**item, "arguments": json.dumps(call.given)})
        out += [
            {"type": "function_call_output", "call_id": call.id, "output": call.result}
            for call in each.results
        ]
    return out


def _anthropic(history: Sequence[Round]) -> list[Json]:
    out: list[Json] = [{"role": "user", "content": "Sail?"}]
    for each in history:
        said: list[Json] = []
        if each.thought:
            said.append({"type": "thinking", "thinking": each.thought, "signature": SEALED})
            said.append({"type": "redacted_thinking", "data": SEALED})
        if each.text:
            said.append({"type": "text", "text": each.text})
        said += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.given} for call in each.calls
        ]
        out.append({"role": "assistant", "content": said})
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": [{"type": "text", "text": call.result}],
            }
            for call in each.results
        ]
        out.append({"role": "user", "content": results})
    return out


def _gemini(history: Sequence[Round], *, ids: bool) -> list[Json]:
    """As chats keep it after a stream: every chunk is a content of its own."""
    out: list[Json] = [{"role": "user", "parts": [{"text": "Sail?"}]}]
    for each in history:
        if each.thought:
            out.append({"role": "model", "parts": [{"text": each.thought, "thought": True}]})
        if each.text:
            out.append({"role": "model", "parts": [{"text": each.text}]})
        for call in each.calls:
            ident = {"id": call.id} if call.id else {}
            said = {"functionCall": {**ident, "name": call.name, "args": call.given}}
            out.append({"role": "model", "parts": [{**said, "thoughtSignature": SEALED}]})
        parts = []
        for call in each.results:
            ident = {"id": call.id} if call.id and ids else {}
            told = {**ident, "name": call.name, "response": {"result": call.result}}
            parts.append({"functionResponse": told})
        out.append({"role": "user", "parts": parts})
    return out


_WRITE = {CHAT: _chat, RESPONSES: _responses, ANTHROPIC: _anthropic}


def tools(dialect: str, names: Sequence[str] = TOOLS) -> Any:
    """Declared, as a request of this dialect does."""
    if dialect == GEMINI:
        return [{"functionDeclarations": [{"name": name, "parametersJsonSchema": SCHEMA} for name in names]}]
    if dialect == ANTHROPIC:
        return [{"name": name, "input_schema": SCHEMA} for name in names]
    said = [{"name": name, "parameters": SCHEMA} for name in names]
    if dialect == RESPONSES:
        return [{"type": "function", **each, "strict": False} for each in said]
    return [{"type": "function", "function": each} for each in said]


PLACE = {CHAT: "messages", RESPONSES: "input", ANTHROPIC: "messages", GEMINI: "contents"}
