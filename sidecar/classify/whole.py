"""What a good status can hide: an answer that was refused, cut off, filtered or empty.

Reads the shapes of OpenAI (chat, completions, responses), Anthropic, Gemini, Bedrock Converse,
Cohere and Ollama. Finish reasons are one vocabulary: no provider uses another's word for another
thing. An answer with nothing wrong is `ok_no_done`, which is no failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sidecar.classify.answer import parse, squeeze
from sidecar.model import Fault

_WORDS: dict[Fault, str] = {
    Fault.CONTENT_POLICY: (
        "contentfilter contentfiltered guardrailintervened safety recitation blocklist prohibitedcontent spii"
        " imagesafety imageprohibitedcontent imagerecitation modelarmor errortoxic sensitive language"
    ),
    Fault.REFUSAL: "refusal",
    Fault.TRUNCATED_OUTPUT: "length maxtokens maxoutputtokens modellength modelcontextwindowexceeded",
    Fault.MALFORMED_TOOL_CALL: "malformedfunctioncall malformedtooluse unexpectedtoolcall malformedtoolcall",
    Fault.STRUCTURED_OUTPUT_FAILED: "malformedmodeloutput",
    Fault.OVERLOADED: "insufficientsystemresource",
    Fault.CONTEXT_WINDOW: "errorlimit",
    Fault.TIMEOUT: "timeout",
    Fault.MODEL_LOADING: "load",
    Fault.SERVER_ERROR: "error abort networkerror",
    Fault.CLIENT_CANCELLED: "usercancel cancelled",
}
_REASONS = {word: fault for fault, words in _WORDS.items() for word in words.split()}
# the worst that was said wins: an answer with two choices may end in two ways
_ORDER = tuple(_WORDS)


def judge(data: Any, *, streamed: bool) -> Fault:
    """The class of an answer without an error in it."""
    if isinstance(data, list):  # Gemini without SSE: an array of pieces
        data = data[-1] if data else None
    if not isinstance(data, dict):
        return Fault.OK_NO_DONE
    response = data.get("response")
    if isinstance(response, dict):  # an event of the Responses API wraps the answer
        data = response
    piece = streamed or str(data.get("object", "")).endswith("chunk") or "delta" in data
    blocked = data.get("promptFeedback")
    if isinstance(blocked, dict) and blocked.get("blockReason"):
        return Fault.CONTENT_POLICY
    said = {_REASONS[word] for word in map(squeeze, _reasons(data)) if word in _REASONS}
    for fault in _ORDER:
        if fault in said:
            return fault
    contents = list(_contents(data))
    if any(_refuses(content) for content in contents):
        return Fault.REFUSAL
    if any(_broken_call(call) for content in contents for call in _calls(content)):
        return Fault.OK_NO_DONE if piece else Fault.MALFORMED_TOOL_CALL
    if piece or not _speaks(data) or any(_says(content) for content in contents):
        return Fault.OK_NO_DONE
    return Fault.EMPTY_OUTPUT


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _reasons(data: dict[str, Any]) -> Iterable[str]:
    holders = [
        data,
        *_dicts(data.get("choices")),
        *_dicts(data.get("candidates")),
        *_dicts(data.get("results")),
    ]
    holders += [data[key] for key in ("delta", "incomplete_details") if isinstance(data.get(key), dict)]
    for holder in holders:
        for key in (
            "finish_reason",
            "finishReason",
            "stop_reason",
            "stopReason",
            "done_reason",
            "completionReason",
            "reason",
        ):
            value = holder.get(key)
            if isinstance(value, str):
                yield value
    if data.get("status") == "cancelled":
        yield "cancelled"
    if data.get("status") == "failed":
        yield "error"


def _speaks(data: dict[str, Any]) -> bool:
    """Whether this is an answer that should say something (embeddings and lists are not)."""
    if data.get("object") in {"list", "embedding"} or data.get("status") in {"queued", "in_progress"}:
        return False
    if (
        "choices" in data
        or "candidates" in data
        or data.get("type") == "message"
        or data.get("object") == "response"
    ):
        return True
    output = data.get("output")
    return (isinstance(output, dict) and "message" in output) or (
        "message" in data and ("done" in data or "finish_reason" in data)
    )


def _contents(data: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """What speaks: messages, parts' owners, output items."""
    for choice in _dicts(data.get("choices")):
        yield choice["message"] if isinstance(choice.get("message"), dict) else choice
    for candidate in _dicts(data.get("candidates")):
        if isinstance(candidate.get("content"), dict):
            yield candidate["content"]
    if isinstance(data.get("content"), list):
        yield data
    output = data.get("output")
    if isinstance(output, dict) and isinstance(output.get("message"), dict):
        yield output["message"]
    yield from _dicts(output)
    if isinstance(data.get("message"), dict):
        yield data["message"]
    if "output_text" in data:
        yield {"text": data["output_text"]}


_SILENT_PARTS = frozenset(("thinking", "redacted_thinking", "reasoning", "refusal"))


def _says(content: dict[str, Any]) -> bool:
    """Whether there is anything in it for the reader: text, a call, a picture, a sound."""
    for key in ("content", "text", "parts"):
        value = content.get(key)
        if isinstance(value, str) and value.strip():
            return True
        for part in _dicts(value):
            if part.get("type") in _SILENT_PARTS or part.get("thought") or "reasoningContent" in part:
                continue
            text = part.get("text")
            if text.strip() if isinstance(text, str) else part:
                return True
    if any(content.get(key) for key in ("tool_calls", "function_call", "audio", "images")):
        return True
    return str(content.get("type", "message")).endswith("_call")


def _refuses(content: dict[str, Any]) -> bool:
    if content.get("refusal"):
        return True
    return any(part.get("type") == "refusal" for part in _dicts(content.get("content")))


def _calls(content: dict[str, Any]) -> Iterable[Any]:
    for call in _dicts(content.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, dict):
            yield function.get("arguments")
    if content.get("type") == "function_call":
        yield content.get("arguments")


def _broken_call(arguments: Any) -> bool:
    if not isinstance(arguments, str) or not arguments.strip():
        return False  # no arguments at all is how some say {}
    return not isinstance(parse(arguments.encode("utf-8", "replace")), dict)
