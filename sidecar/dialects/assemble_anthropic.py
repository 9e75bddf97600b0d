"""An Anthropic message, out of its events: the message that was begun, its blocks, how it ended."""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.dialects.assembling import Json, latest, merge, number, objects, read, write


class MessagePieces:
    """Implements assembling.Pieces."""

    __slots__ = ("_blocks", "_done", "_inputs", "_message")

    def __init__(self) -> None:
        self._done = False
        self._message: Json = {}
        self._blocks: dict[int, Json] = {}
        self._inputs: dict[int, list[str]] = {}  # of tool calls, as JSON in pieces

    def event(self, kind: bytes, data: bytes) -> bool:
        event = read(data)
        if event is None:
            return False
        if self._done:
            return True
        match event.get("type") or kind.decode("ascii", "replace"):
            case "message_start":
                self._begin(event.get("message"))
            case "content_block_start":
                self._blocks[number(event.get("index"))] = dict(_object(event.get("content_block")))
            case "content_block_delta":
                self._piece(number(event.get("index")), _object(event.get("delta")))
            case "message_delta":
                latest(self._message, _object(event.get("delta")))
                latest(self._message, {key: event[key] for key in event if key not in ("type", "delta")})
            case "message_stop":
                self._done = True
            case _:
                pass  # a ping, the end of a block
        return True

    def whole(self) -> bytes | None:
        if not self._message and not self._blocks:
            return None
        for index, pieces in self._inputs.items():
            self._blocks[index]["input"] = _parsed("".join(pieces))
        content = [self._blocks[index] for index in sorted(self._blocks)]
        return write({"type": "message", "role": "assistant", **self._message, "content": content})

    def _begin(self, message: Any) -> None:
        self._message = {**_object(message)}
        for index, block in enumerate(objects(self._message.get("content"))):
            self._blocks[index] = block

    def _piece(self, index: int, delta: Json) -> None:
        kind = delta.get("type")
        block = self._blocks.setdefault(index, {"type": str(kind).removesuffix("_delta")})
        if "partial_json" in delta:
            self._inputs.setdefault(index, []).append(str(delta["partial_json"] or ""))
        elif kind == "signature_delta":
            block["signature"] = delta.get("signature")
        elif kind == "citations_delta":
            block["citations"] = [*objects(block.get("citations")), delta.get("citation")]
        else:
            merge(block, {key: value for key, value in delta.items() if key != "type"})


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _parsed(text: str) -> Json:
    """A tool's input, which is an object for every client. What was cut off, or is none, stands in one: the
    client has to see what was said.
    """
    if not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        value = text
    if value is None:  # some models say null where a tool takes nothing
        return {}
    return value if isinstance(value, dict) else {"arguments": value}
