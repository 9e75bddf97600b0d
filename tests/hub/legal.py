"""What each vendor refuses about tools in a history, as its reference or its servers' errors say it.

A fake vendor takes anything. This is the strictness of the real ones, so that a test may ask of what
arrived whether it would have been answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.hub.cases import ANTHROPIC, CHAT, GEMINI, RESPONSES

Json = dict[str, Any]
LONGEST = {CHAT: 40, RESPONSES: 64, ANTHROPIC: 128}  # characters of a call's id
_FITTING = re.compile(r"[A-Za-z0-9_-]+")
_FUNCTION = {
    CHAT: re.compile(r"[A-Za-z0-9_-]{1,64}"),
    RESPONSES: re.compile(r"[A-Za-z0-9_-]{1,64}"),
    ANTHROPIC: re.compile(r"[A-Za-z0-9_-]{1,128}"),
    GEMINI: re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}"),
}


def complaints(dialect: str, body: Json) -> list[str]:
    """Everything that the vendor would refuse; empty: it is answered."""
    return list(_CHECKS[dialect](body))


def calls(dialect: str, body: Json) -> list[tuple[str, Any, list[str]]]:
    """Every call in order: its name, its arguments, and the texts of the results that belong to it."""
    return _CALLS[dialect](body)


# ---- OpenAI ----------------------------------------------------------------------------------


def _chat(body: Json) -> Iterator[str]:
    waiting: list[str] = []
    for number, message in enumerate(body["messages"]):
        at = f"messages[{number}]"
        if message["role"] == "tool":
            yield from _answers(waiting, message["tool_call_id"], at)
            if not isinstance(message["content"], str) and not _all_text(message["content"]):
                yield f"{at}: a result that is no text"
            continue
        yield from (f"{at}: {ident} was not answered" for ident in waiting)
        waiting = [call["id"] for call in message.get("tool_calls", ())]
        yield from _ids(CHAT, waiting, at)
        for call in message.get("tool_calls", ()):
            yield from _function(CHAT, call["function"]["name"], at)
            if not isinstance(call["function"]["arguments"], str):
                yield f"{at}: arguments that are no text"
        if message["content"] is None and not waiting:
            yield f"{at}: no content"
    yield from (f"{ident} was not answered" for ident in waiting)
    yield from _declared(CHAT, [tool["function"] for tool in body.get("tools", ())])


def _responses(body: Json) -> Iterator[str]:
    called: list[str] = []
    answered: list[str] = []
    for number, item in enumerate(body["input"]):
        at = f"input[{number}]"
        if item.get("type") == "function_call":
            called.append(item["call_id"])
            yield from _function(RESPONSES, item["name"], at)
        elif item.get("type") == "function_call_output":
            answered.append(item["call_id"])
            if item["call_id"] not in called:
                yield f"{at}: {item['call_id']} was not called"
    yield from _ids(RESPONSES, called, "input")
    if sorted(called) != sorted(answered):
        yield "not every call has one result"
    yield from _declared(RESPONSES, body.get("tools", ()))


# ---- Anthropic -------------------------------------------------------------------------------


def _anthropic(body: Json) -> Iterator[str]:
    waiting: list[str] = []
    every: list[str] = []
    last = ""
    for number, message in enumerate(body["messages"]):
        at, role, blocks = f"messages[{number}]", message["role"], message["content"]
        if role == last or (not last and role != "user"):
            yield f"{at}: {role} does not follow {last or 'nothing'}"
        last = role
        if not blocks:
            yield f"{at}: no content"
        if role == "user":
            kinds = [block["type"] == "tool_result" for block in blocks]
            if kinds != sorted(kinds, reverse=True):
                yield f"{at}: results behind other content"
            for block in blocks:
                if block["type"] == "tool_result":
                    yield from _answers(waiting, block["tool_use_id"], at)
            yield from (f"{at}: {ident} was not answered" for ident in waiting)
            waiting = []
            continue
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        every += waiting
        for block in blocks:
            if block["type"] == "tool_use":
                yield from _function(ANTHROPIC, block["name"], at)
                if not isinstance(block["input"], dict):
                    yield f"{at}: input that is no object"
            if block["type"] == "text" and not block["text"].strip():
                yield f"{at}: a text of white space"
    yield from (f"{ident} was not answered" for ident in waiting)
    yield from _ids(ANTHROPIC, every, "messages")
    if every and not body.get("tools"):
        yield "calls, and no tools"
    if every and body.get("thinking", {}).get("type") == "enabled":
        turns = [message["content"] for message in body["messages"] if message["role"] == "assistant"]
        if any(block["type"] == "tool_use" for block in turns[-1]) and turns[-1][0]["type"] != "thinking":
            yield "thinking, and a last call without thoughts"
    yield from _declared(ANTHROPIC, body.get("tools", ()))


# ---- Gemini ----------------------------------------------------------------------------------


def _gemini(body: Json) -> Iterator[str]:
    last, called = "", 0
    for number, content in enumerate(body["contents"]):
        at, role, parts = f"contents[{number}]", content["role"], content["parts"]
        if not parts:
            yield f"{at}: no parts"
        names = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
        answers = [part for part in parts if "functionResponse" in part]
        if names and (role != "model" or last != "user"):
            yield f"{at}: a call that follows no user"
        if len(answers) != called:
            yield f"{at}: {len(answers)} results of {called} calls"
        for name in names:
            yield from _function(GEMINI, name, at)
        for part in answers:
            yield from _function(GEMINI, part["functionResponse"]["name"], at)
            if not isinstance(part["functionResponse"]["response"], dict):
                yield f"{at}: a response that is no object"
        last, called = role, len(names)
    if called:
        yield "calls without results at the end"
    tools = body.get("tools", ())
    yield from _declared(GEMINI, [each for tool in tools for each in tool.get("functionDeclarations", ())])


# ---- of all ----------------------------------------------------------------------------------


def _answers(waiting: list[str], ident: str, at: str) -> Iterator[str]:
    if ident in waiting:
        waiting.remove(ident)
    else:
        yield f"{at}: {ident!r} was not called right before"


def _ids(dialect: str, idents: list[str], at: str) -> Iterator[str]:
    if len(set(idents)) < len(idents):
        yield f"{at}: an id comes twice"
    for ident in idents:
        if _FITTING.fullmatch(ident) is None or len(ident) > LONGEST[dialect]:
            yield f"{at}: {ident!r} is no id here"


def _function(dialect: str, name: str, at: str) -> Iterator[str]:
    if _FUNCTION[dialect].fullmatch(name) is None:
        yield f"{at}: {name!r} is no name here"


def _declared(dialect: str, tools: Iterable[Json]) -> Iterator[str]:
    for tool in tools:
        yield from _function(dialect, tool["name"], "tools")


def _all_text(content: Any) -> bool:
    return isinstance(content, list) and all(part["type"] == "text" for part in content)


_CHECKS: dict[str, Callable[[Json], Iterator[str]]] = {
    CHAT: _chat,
    RESPONSES: _responses,
    ANTHROPIC: _anthropic,
    GEMINI: _gemini,
}


# ---- which result belongs to which call ------------------------------------------------------


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _chat_calls(body: Json) -> list[tuple[str, Any, list[str]]]:
    out: list[tuple[str, Any, list[str]]] = []
    places: dict[str, list[str]] = {}
    for message in body["messages"]:
        for call in message.get("tool_calls", ()):
            said = call["function"]
            out.append((said["name"], json.loads(said["arguments"]), places.setdefault(call["id"], [])))
        if message["role"] == "tool":
            places[message["tool_call_id"]].append(_text(message["content"]))
    return out


def _responses_calls(body: Json) -> list[tuple[str, Any, list[str]]]:
    out: list[tuple[str, Any, list[str]]] = []
    places: dict[str, list[str]] = {}
    for item in body["input"]:
        if item.get("type") == "function_call":
            told = places.setdefault(item["call_id"], [])
            out.append((item["name"], json.loads(item["arguments"]), told))
        if item.get("type") == "function_call_output":
            places[item["call_id"]].append(_text(item["output"]))
    return out


def _anthropic_calls(body: Json) -> list[tuple[str, Any, list[str]]]:
    out: list[tuple[str, Any, list[str]]] = []
    places: dict[str, list[str]] = {}
    for message in body["messages"]:
        for block in message["content"]:
            if block["type"] == "tool_use":
                out.append((block["name"], block["input"], places.setdefault(block["id"], [])))
            if block["type"] == "tool_result":
                places[block["tool_use_id"]].append(_text(block["content"]))
    return out


def _gemini_calls(body: Json) -> list[tuple[str, Any, list[str]]]:
    """By their order: results of a turn stand in the order of its calls."""
    out: list[tuple[str, Any, list[str]]] = []
    waiting: list[tuple[str, Any, list[str]]] = []
    for content in body["contents"]:
        for part in content["parts"]:
            if "functionCall" in part:
                said = part["functionCall"]
                waiting.append((said["name"], said["args"], []))
                out.append(waiting[-1])
            if "functionResponse" in part:
                name, _, told = waiting.pop(0)
                assert name == part["functionResponse"]["name"], "results in another order than their calls"
                told.append(next(iter(part["functionResponse"]["response"].values())))
    return out


_CALLS: dict[str, Callable[[Json], list[tuple[str, Any, list[str]]]]] = {
    CHAT: _chat_calls,
    RESPONSES: _responses_calls,
    ANTHROPIC: _anthropic_calls,
    GEMINI: _gemini_calls,
}
