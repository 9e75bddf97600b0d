"""A chat completion, out of its chunks.

Where chunks and completions differ: `delta` is `message`, tool calls have an index only in a stream,
usage may come under `x_groq` (Groq), and `obfuscation` is there to hide the length of an event.
Content that comes as parts (Mistral) is joined part by part.
"""

from __future__ import annotations

from typing import Any

from sidecar.dialects.assembling import Json, Words, join, latest, merge, number, objects, read, write

_OF_CHUNKS = frozenset({"choices", "object", "obfuscation"})
_TEXTS = ("text", "summary", "data", "thinking")


class ChatPieces:
    """Implements assembling.Pieces."""

    __slots__ = ("_calls", "_choices", "_done", "_top")

    def __init__(self) -> None:
        self._done = False
        self._top: Json = {}
        self._choices: dict[int, Json] = {}
        self._calls: dict[int, dict[int, Json]] = {}  # by choice and index

    def event(self, kind: bytes, data: bytes) -> bool:
        if self._done or data.startswith(b"[DONE]"):
            self._done = True
            return True
        chunk = read(data)
        if chunk is None:
            return False
        latest(self._top, {key: value for key, value in chunk.items() if key not in _OF_CHUNKS})
        for choice in objects(chunk.get("choices")):
            self._choice(choice)
        return True

    def whole(self) -> bytes | None:
        if not self._top and not self._choices:
            return None
        top = dict(self._top)
        groq = top.get("x_groq")
        if not top.get("usage") and isinstance(groq, dict) and groq.get("usage"):
            top["usage"] = groq["usage"]
            top["x_groq"] = {key: value for key, value in groq.items() if key != "usage"}
        if top.get("usage", 0) is None:
            del top["usage"]
        for index, calls in self._calls.items():
            self._choices[index]["message"]["tool_calls"] = [calls[at] for at in sorted(calls)]
        choices = [self._choices[index] for index in sorted(self._choices)]
        for message in (choice["message"] for choice in choices):
            if message["content"] == "" and (message.get("tool_calls") or message.get("refusal")):
                message["content"] = None  # a stream opens with an empty text, whatever follows
        return write({"id": "", "object": "chat.completion", **top, "choices": choices})

    def _choice(self, choice: Json) -> None:
        index = number(choice.get("index"))
        found = self._choices.get(index)
        if found is None:
            message = {"role": "assistant", "content": None}
            found = self._choices[index] = {"index": index, "message": message, "finish_reason": None}
        for key, value in choice.items():
            if key == "delta":
                if isinstance(value, dict):
                    self._message(found["message"], value, index)
            elif key == "logprobs":
                merge(found, {key: value})
            elif key not in ("index", "message"):
                latest(found, {key: value})

    def _message(self, message: Json, delta: Json, choice: int) -> None:
        plain = {}
        for key, value in delta.items():
            if key == "content":
                message[key] = _joined(message.get(key), value)
            elif key == "reasoning_details" and isinstance(value, list):
                message[key] = _details(objects(message.get(key)), value)
            elif key == "tool_calls":
                for call in objects(value):
                    self._call(call, choice)
            elif key == "role":
                message[key] = value or message[key]
            else:
                plain[key] = value
        merge(message, plain)

    def _call(self, piece: Json, choice: int) -> None:
        calls = self._calls.setdefault(choice, {})
        index, last = piece.get("index"), max(calls, default=-1)
        function = piece.get("function")
        if not isinstance(index, int):  # without one, a new id or a name begins a new call
            begins = piece.get("id") or (isinstance(function, dict) and function.get("name"))
            index = last + 1 if begins else max(last, 0)
        call = calls.setdefault(index, {})
        merge(call, {key: value for key, value in piece.items() if key != "index"})
        if isinstance(function, dict) and call["function"].get("arguments") is None:
            call["function"]["arguments"] = ""


def _joined(before: Any, more: Any) -> Any:
    """Content: text, or a list of parts, or in some streams now one and now the other."""
    if not more or not isinstance(more, str | list | dict):
        return before if before is not None else more
    if not before or not isinstance(before, Words | list | dict):
        return list(more) if isinstance(more, list) else more
    if isinstance(before, Words) and isinstance(more, str):
        return join(before, more)
    parts = _parts(before)
    for part in _parts(more):
        last = parts[-1] if parts else None
        if isinstance(part, dict) and isinstance(last, dict) and part.get("type") == last.get("type"):
            name = str(part.get("type"))
            if name in ("text", "thinking"):
                parts[-1] = {**last, **part, name: _joined(last.get(name), part.get(name))}
                continue
        parts.append(part)
    return parts


def _parts(content: Any) -> list[Any]:
    if isinstance(content, list):
        return list(content)
    return [content if isinstance(content, dict) else {"type": "text", "text": content}]


def _details(before: list[Any], more: list[Any]) -> list[Any]:
    """OpenRouter's reasoning details: pieces of one have its type and its index."""
    found = list(before)
    for detail in more:
        last: Any = found[-1] if found else None
        same = (
            isinstance(detail, dict)
            and isinstance(last, dict)
            and all(detail.get(key) == last.get(key) for key in ("type", "index"))
        )
        if not same:
            found.append(detail)
            continue
        both = [
            key for key in _TEXTS if isinstance(last.get(key), Words) and isinstance(detail.get(key), str)
        ]
        rest = {key: value for key, value in detail.items() if value is not None}
        found[-1] = {**last, **rest, **{key: join(last[key], detail[key]) for key in both}}
    return found
