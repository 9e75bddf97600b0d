"""One answer as each vendor says it, whole and as a stream, in the vendor's own shapes.

Written from the vendors' references and not with our voices: what these say must not be held against
what they read themselves. The whole body and the stream are made apart from the same words, so one may be
compared with the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import msgspec

from tests.hub.cases import ANTHROPIC, CHAT, GEMINI, MODELS, RESPONSES, Json

Event = tuple[str, Any]  # its name, "" where the dialect has none, and its data


@dataclass(frozen=True)
class Words:
    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True)
class Thought(Words):
    pass


@dataclass(frozen=True)
class Call:
    ident: str
    name: str
    pieces: tuple[str, ...]  # of its arguments, which are a JSON object

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


Said = Words | Thought | Call


@dataclass(frozen=True)
class Answer:
    """What a model says. `end`: stop, length or filter; what ends in a call ends for its sake."""

    said: tuple[Said, ...]
    end: str = "stop"
    given: int = 120  # tokens, of which `cached` were read from the cache
    cached: int = 20
    made: int = 40  # tokens, of which `thought` were thoughts
    thought: int = 0

    @property
    def calls(self) -> list[Call]:
        return [said for said in self.said if isinstance(said, Call)]


def _words(answer: Answer, kind: type[Words]) -> str:
    return "".join(said.text for said in answer.said if type(said) is kind)


# ---- OpenAI chat completions ---------------------------------------------------------------


def _chat_usage(answer: Answer) -> Json:
    return {
        "prompt_tokens": answer.given,
        "completion_tokens": answer.made,
        "total_tokens": answer.given + answer.made,
        "prompt_tokens_details": {"cached_tokens": answer.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": answer.thought, "audio_tokens": 0},
    }


def _chat_end(answer: Answer) -> str:
    ends = {"stop": "tool_calls" if answer.calls else "stop", "filter": "content_filter"}
    return ends.get(answer.end, answer.end)


def _chat_whole(answer: Answer) -> Json:
    message: Json = {"role": "assistant", "content": _words(answer, Words) or None, "refusal": None}
    if _words(answer, Thought):
        message["reasoning_content"] = _words(answer, Thought)
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": call.ident,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in answer.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _chat_end(answer)}
    top = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODELS[CHAT]}
    return {**top, "choices": [choice], "usage": _chat_usage(answer), "service_tier": "default"}


def _chat_stream(answer: Answer) -> Iterator[Event]:
    top = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODELS[CHAT]}

    def chunk(delta: Json, end: str | None = None) -> Event:
        return "", {**top, "choices": [{"index": 0, "delta": delta, "finish_reason": end}], "usage": None}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    index = -1
    for run in _runs(answer.said):
        lanes: list[list[Event]] = []
        for said in run:
            if not isinstance(said, Call):
                key = "reasoning_content" if isinstance(said, Thought) else "content"
                lanes.append([chunk({key: piece}) for piece in said.pieces])
                continue
            index += 1
            begun: Json = {"index": index, "id": said.ident, "type": "function"}
            begun["function"] = {"name": said.name, "arguments": ""}
            pieces = [{"index": index, "function": {"arguments": piece}} for piece in said.pieces]
            lanes.append([chunk({"tool_calls": [each]}) for each in (begun, *pieces)])
        yield from _interleaved(lanes)
    yield chunk({}, _chat_end(answer))
    yield "", {**top, "choices": [], "usage": _chat_usage(answer)}
    yield "", "[DONE]"


def _runs(said: Sequence[Said]) -> list[list[Said]]:
    """Calls that follow each other are one run: their pieces may come in turns."""
    runs: list[list[Said]] = []
    for each in said:
        if runs and isinstance(each, Call) and isinstance(runs[-1][-1], Call):
            runs[-1].append(each)
        else:
            runs.append([each])
    return runs


def _interleaved(lanes: list[list[Event]]) -> Iterator[Event]:
    return (event for event in chain.from_iterable(zip_longest(*lanes)) if event is not None)


# ---- OpenAI responses ----------------------------------------------------------------------


def _responses_items(answer: Answer) -> list[Json]:
    items: list[Json] = []
    for n, said in enumerate(answer.said):
        match said:
            case Thought():
                summary = [{"type": "summary_text", "text": said.text}]
                items.append({"type": "reasoning", "id": f"rs_{n}", "summary": summary})
            case Words():
                part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
                message = {"type": "message", "id": f"msg_{n}", "status": "completed", "role": "assistant"}
                items.append({**message, "content": [part]})
            case Call():
                call = {"call_id": said.ident, "name": said.name, "arguments": said.arguments}
                items.append({"type": "function_call", "id": f"fc_{n}", "status": "completed", **call})
    return items


def _response(answer: Answer, status: str, output: list[Json]) -> Json:
    top: Json = {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": None}
    return {**top, "incomplete_details": None, "model": MODELS[RESPONSES], "output": output, "usage": None}


def _responses_whole(answer: Answer) -> Json:
    reason = {"length": "max_output_tokens", "filter": "content_filter"}.get(answer.end)
    response = _response(answer, "incomplete" if reason else "completed", _responses_items(answer))
    if reason:
        response["incomplete_details"] = {"reason": reason}
    response["usage"] = {
        "input_tokens": answer.given,
        "input_tokens_details": {"cached_tokens": answer.cached},
        "output_tokens": answer.made,
        "output_tokens_details": {"reasoning_tokens": answer.thought},
        "total_tokens": answer.given + answer.made,
    }
    return response


def _responses_stream(answer: Answer) -> Iterator[Event]:
    number = -1

    def event(kind: str, **fields: Any) -> Event:
        nonlocal number
        number += 1
        return kind, {"type": kind, "sequence_number": number, **fields}

    yield event("response.created", response=_response(answer, "in_progress", []))
    items = _responses_items(answer)
    place = 0
    for run in _runs(answer.said):
        lanes: list[list[tuple[str, Json]]] = []
        for said in run:
            lanes.append(list(_item_events(said, items[place], place)))
            place += 1
        for kind, fields in (each for each in chain.from_iterable(zip_longest(*lanes)) if each is not None):
            yield event(kind, **fields)
    whole = _responses_whole(answer)
    yield event(f"response.{whole['status']}", response=whole)


def _item_events(said: Said, item: Json, place: int) -> Iterator[tuple[str, Json]]:
    at = {"item_id": item["id"], "output_index": place}
    begun = {**item, "status": "in_progress"} if "status" in item else dict(item)
    empty: Json = {"content": []} if "content" in item else {}
    match said:
        case Thought():
            yield "response.output_item.added", {"output_index": place, "item": {**begun, "summary": []}}
            part = {**at, "summary_index": 0}
            opened = {"type": "summary_text", "text": ""}
            yield "response.reasoning_summary_part.added", {**part, "part": opened}
            for piece in said.pieces:
                yield "response.reasoning_summary_text.delta", {**part, "delta": piece}
            yield "response.reasoning_summary_text.done", {**part, "text": said.text}
            yield "response.reasoning_summary_part.done", {**part, "part": {**opened, "text": said.text}}
        case Words():
            yield "response.output_item.added", {"output_index": place, "item": {**begun, **empty}}
            part = {**at, "content_index": 0}
            whole = item["content"][0]
            yield "response.content_part.added", {**part, "part": {**whole, "text": ""}}
            for piece in said.pieces:
                yield "response.output_text.delta", {**part, "delta": piece, "logprobs": []}
            yield "response.output_text.done", {**part, "text": said.text, "logprobs": []}
            yield "response.content_part.done", {**part, "part": whole}
        case Call():
            yield "response.output_item.added", {"output_index": place, "item": {**begun, "arguments": ""}}
            for piece in said.pieces:
                yield "response.function_call_arguments.delta", {**at, "delta": piece}
            yield "response.function_call_arguments.done", {**at, "arguments": said.arguments}
    yield "response.output_item.done", {"output_index": place, "item": item}


# ---- Anthropic messages --------------------------------------------------------------------


def _anthropic_end(answer: Answer) -> str:
    ends = {"stop": "tool_use" if answer.calls else "end_turn", "length": "max_tokens", "filter": "refusal"}
    return ends[answer.end]


def _anthropic_usage(answer: Answer, made: int) -> Json:
    """It counts what the cache gave apart, and tells as output what was made so far."""
    fresh = {"input_tokens": answer.given - answer.cached, "cache_creation_input_tokens": 0}
    details = {"output_tokens_details": {"thinking_tokens": answer.thought}} if answer.thought else {}
    return {**fresh, "cache_read_input_tokens": answer.cached, "output_tokens": made, **details}


def _block(said: Said) -> Json:
    match said:
        case Thought():
            return {"type": "thinking", "thinking": said.text, "signature": "c2ln"}
        case Words():
            return {"type": "text", "text": said.text, "citations": None}
        case Call():
            given = msgspec.json.decode(said.arguments)
            return {"type": "tool_use", "id": said.ident, "name": said.name, "input": given}


def _message(answer: Answer, content: list[Json], made: int) -> Json:
    top = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODELS[ANTHROPIC]}
    end = {"stop_reason": None, "stop_sequence": None}
    return {**top, "content": content, **end, "usage": _anthropic_usage(answer, made)}


def _anthropic_whole(answer: Answer) -> Json:
    message = _message(answer, [_block(said) for said in answer.said], answer.made)
    return {**message, "stop_reason": _anthropic_end(answer)}


def _anthropic_stream(answer: Answer) -> Iterator[Event]:
    def event(kind: str, **fields: Any) -> Event:
        return kind, {"type": kind, **fields}

    yield event("message_start", message=_message(answer, [], 1))
    yield event("ping")
    for index, said in enumerate(answer.said):
        empty = {"thinking": "", "signature": "", "text": "", "input": {}}
        block = {key: empty.get(key, value) if value else value for key, value in _block(said).items()}
        yield event("content_block_start", index=index, content_block=block)
        kind, key = "input_json_delta", "partial_json"
        if not isinstance(said, Call):
            key = "thinking" if isinstance(said, Thought) else "text"
            kind = f"{key}_delta"
        pieces = ("", *said.pieces) if isinstance(said, Call) else said.pieces
        for piece in pieces:
            yield event("content_block_delta", index=index, delta={"type": kind, key: piece})
        if isinstance(said, Thought):
            seal = {"type": "signature_delta", "signature": "c2ln"}
            yield event("content_block_delta", index=index, delta=seal)
        yield event("content_block_stop", index=index)
    end = {"stop_reason": _anthropic_end(answer), "stop_sequence": None}
    yield event("message_delta", delta=end, usage=_anthropic_usage(answer, answer.made))
    yield event("message_stop")


# ---- Gemini --------------------------------------------------------------------------------


def _part(said: Said, piece: str | None = None) -> Json:
    match said:
        case Thought():
            return {"text": said.text if piece is None else piece, "thought": True}
        case Words():
            return {"text": said.text if piece is None else piece}
        case Call():
            return {"functionCall": {"name": said.name, "args": msgspec.json.decode(said.arguments)}}


def _gemini_usage(answer: Answer, share: float) -> Json:
    """Cumulative: each chunk counts what there is so far."""
    made = int((answer.made - answer.thought) * share)
    usage = {"promptTokenCount": answer.given, "candidatesTokenCount": made}
    if answer.thought:
        usage["thoughtsTokenCount"] = answer.thought
    total = answer.given + made + answer.thought
    return {**usage, "totalTokenCount": total, "cachedContentTokenCount": answer.cached}


def _gemini_chunk(answer: Answer, parts: list[Json], end: str | None, share: float = 1.0) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if end is not None:
        candidate["finishReason"] = end
    tail = {"modelVersion": MODELS[GEMINI], "responseId": "r1"}
    return {"candidates": [candidate], "usageMetadata": _gemini_usage(answer, share), **tail}


def _gemini_end(answer: Answer) -> str:
    return {"stop": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY"}[answer.end]


def _gemini_whole(answer: Answer) -> Json:
    return _gemini_chunk(answer, [_part(said) for said in answer.said], _gemini_end(answer))


def _gemini_stream(answer: Answer) -> Iterator[Event]:
    """The last chunk holds the last words, and the reason why there are no more."""
    parts = [
        _part(said, piece)
        for said in answer.said
        for piece in ((None,) if isinstance(said, Call) else said.pieces)
    ]
    for n, part in enumerate(parts, 1):
        end = _gemini_end(answer) if n == len(parts) else None
        yield "", _gemini_chunk(answer, [part], end, n / len(parts))
    if not parts:
        yield "", _gemini_chunk(answer, [{"text": ""}], _gemini_end(answer))


# ---- all of them ---------------------------------------------------------------------------

_WHOLE = {
    CHAT: _chat_whole,
    RESPONSES: _responses_whole,
    ANTHROPIC: _anthropic_whole,
    GEMINI: _gemini_whole,
}
_STREAM = {
    CHAT: _chat_stream,
    RESPONSES: _responses_stream,
    ANTHROPIC: _anthropic_stream,
    GEMINI: _gemini_stream,
}


def whole(dialect: str, answer: Answer) -> Json:
    return _WHOLE[dialect](answer)


def events(dialect: str, answer: Answer) -> list[Event]:
    return list(_STREAM[dialect](answer))


def stream(dialect: str, answer: Answer, end: bytes = b"\n") -> bytes:
    """The events as bytes; `end` of a line is LF, as most send it, or CRLF as Google does."""
    said = b""
    for name, data in events(dialect, answer):
        text = data.encode() if isinstance(data, str) else msgspec.json.encode(data)
        said += (b"event: " + name.encode() + end if name else b"") + b"data: " + text + end + end
    return said
