"""How a vendor that speaks Gemini answers, streams and complains.

A stream is written as events; `show` turns it into the one JSON array that Google sends where events
were not asked for. There is no end marker: the array's bracket is one, the end of the bytes the other.
Google's SDK reads nothing but `data:`, so what keeps a stream alive is a chunk with no text; and an
error in the middle of a stream is bare JSON, as Google sends it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from sidecar.provider.answers import Asked, Complaint, Part, Piece, Saying, dumps, sse
from sidecar.provider.behaviour import Behaviour

_PATH = re.compile(r"/(?:models|tunedModels|endpoints)/([^/]+?)(?::|%3A)(\w+)$", re.IGNORECASE)
_RPC = "type.googleapis.com/google.rpc."

FINISH = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "STOP",  # it declines in its text, and that is all
    "tool": "STOP",
}

# status, its name, text
ERRORS: Mapping[str, tuple[int, str, str]] = {
    "rate_limit": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota: {limit}."),
    "quota": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."),
    "billing": (429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
    "auth": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "permission": (403, "PERMISSION_DENIED", "The caller does not have permission."),
    "region": (400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "server_error": (500, "INTERNAL", "An internal error has occurred."),
    "timeout": (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    "conflict": (409, "ABORTED", "The operation was aborted."),
    "context_window": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "content_filter": (400, "INVALID_ARGUMENT", "The prompt was blocked by the safety settings."),
    "invalid_request": (400, "INVALID_ARGUMENT", "Invalid value at 'contents[0].role'."),
    "model_gone": (404, "NOT_FOUND", "models/m-1 is not found for API version v1beta."),
    "not_found": (404, "NOT_FOUND", "Requested entity was not found."),
    "too_large": (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."),
}
LIMITS = {
    "requests": ("GenerateRequestsPerMinutePerProjectPerModel", "requests per minute"),
    "tokens": ("GenerateContentInputTokensPerModelPerMinute", "input tokens per minute"),
    "day": ("GenerateRequestsPerDayPerProjectPerModel", "requests per day"),
    "concurrency": ("ConcurrentRequestsPerProject", "concurrent requests"),
    "acceleration": ("GenerateRequestsPerMinutePerProjectPerModel", "too quick an increase of requests"),
}


class Gemini:
    name = "gemini"

    def speaks(self, path: str) -> bool:
        found = _PATH.search(path)
        return found is not None and found[2] in ("generateContent", "streamGenerateContent")

    def read(self, path: str, body: Mapping[str, Any], size: int) -> Asked:
        config = _either(body, "generationConfig") or {}
        schema = _either(config, "responseJsonSchema") or _either(config, "responseSchema")
        if schema is None and _either(config, "responseMimeType") == "application/json":
            schema = {"properties": {"answer": {"type": "string"}}}
        declared = [
            each for tool in body.get("tools") or [] for each in _either(tool, "functionDeclarations") or []
        ]
        return Asked(
            path=path,
            model=_model(path),
            stream="streamGenerateContent" in path,
            text=_text(body.get("contents")),
            schema=_lower(schema),
            tools=tuple(
                (
                    each.get("name", ""),
                    _lower(_either(each, "parametersJsonSchema") or each.get("parameters") or {}),
                )
                for each in declared
            ),
            size=size,
        )

    def whole(self, asked: Asked, say: Saying) -> bytes:
        text = "".join(say.words)
        parts = [{"text": "".join(say.reasoning), "thought": True}] if say.reasoning else []
        if text:
            parts += [_call(say)] if say.tool else [{"text": text}]
        answer = self._chunk(say, *parts, finish=True)
        if say.usage:
            answer["usageMetadata"] = self._usage(asked, say)
        return json.dumps(answer, indent=2, ensure_ascii=False).encode()

    def stream(self, asked: Asked, say: Saying) -> list[Piece]:
        def event(part: Part, chunk: dict[str, Any]) -> Piece:
            return Piece(part, sse(dumps(chunk)))

        thoughts = [{"text": thought, "thought": True} for thought in say.reasoning]
        words: list[dict[str, Any]] = [{"text": word} for word in say.words if word]
        if say.tool and say.words:
            words = [_call(say)]  # in one piece, always
        chunks = [self._chunk(say, part) for part in (*thoughts, *words) if part]
        ending = self._chunk(say, finish=True)
        if say.usage:
            ending["usageMetadata"] = self._usage(asked, say)
        return [
            *(event(Part.CONTENT, chunk) for chunk in chunks),
            event(Part.CLOSING, ending),
            Piece(Part.SENTINEL, b""),
        ]

    def ping(self) -> bytes:
        return sse('{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"index":0}]}')

    def filler(self, size: int) -> bytes:
        return sse(dumps({"responseId": "x" * size}))

    def complain(self, error: str, do: Behaviour) -> Complaint:
        status, name, message = ERRORS[error]
        quota, limit = LIMITS[do.limit if error == "rate_limit" else "day"]
        details: list[dict[str, Any]] = []
        if error in ("rate_limit", "quota"):
            details.append({"@type": _RPC + "QuotaFailure", "violations": [{"quotaId": quota}]})
            delay = do.reset or (f"{do.retry_after:g}s" if isinstance(do.retry_after, int | float) else None)
            if delay or error == "quota":  # which comes back tomorrow, and says something else
                details.append({"@type": _RPC + "RetryInfo", "retryDelay": delay or "30s"})
        if error == "auth":
            details.append({"@type": _RPC + "ErrorInfo", "reason": "API_KEY_INVALID"})
        told = {"code": status, "message": do.message or message.format(limit=limit), "status": name}
        body = {"error": {**told, "details": details} if details else told}
        return Complaint(status=status, body=json.dumps(body, indent=2).encode())

    def error_event(self, complaint: Complaint) -> bytes:
        return complaint.body + b"\n"

    def hints(self, do: Behaviour) -> list[tuple[str, str]]:  # they are in the body
        return []

    def _chunk(self, say: Saying, *parts: dict[str, Any], finish: bool = False) -> dict[str, Any]:
        envelope = {"modelVersion": say.model, "responseId": "resp-1"}
        text = "".join(say.words)
        if finish and say.finish == "content_filter" and not text:
            return {"promptFeedback": {"blockReason": "SAFETY"}, **envelope}
        shown = [part for part in parts if part]
        candidate: dict[str, Any] = {"content": {"parts": shown, "role": "model"} if shown else {}}
        if finish:
            candidate["finishReason"] = FINISH[say.finish]
            if say.tool and _arguments(text) is None:
                candidate["finishReason"] = "MALFORMED_FUNCTION_CALL"
                candidate["finishMessage"] = f"Malformed function call: {say.tool}({text}"
        return {"candidates": [{**candidate, "index": 0}], **envelope}

    def _usage(self, asked: Asked, say: Saying) -> dict[str, int]:
        given, said, thought = max(1, asked.size // 4), len(say.words), len(say.reasoning)
        usage = {"promptTokenCount": given, "candidatesTokenCount": said}
        if thought:
            usage["thoughtsTokenCount"] = thought
        return usage | {"totalTokenCount": given + said + thought}


class GeminiEmbeddings:
    """embedContent and batchEmbedContents."""

    name = "gemini_embeddings"

    def speaks(self, path: str) -> bool:
        found = _PATH.search(path)
        return found is not None and found[2] in ("embedContent", "batchEmbedContents")

    def read(self, path: str, body: Mapping[str, Any], size: int) -> Asked:
        requests = body.get("requests") or [body]
        text = " ".join(_text([request.get("content") or {}]) for request in requests)
        return Asked(path=path, model=_model(path), text=text, size=size)

    def whole(self, asked: Asked, say: Saying) -> bytes:
        vector = {"values": [0.25, -0.5, 0.125]}
        one = asked.path.lower().endswith("batchembedcontents")
        return dumps({"embeddings": [vector]} if one else {"embedding": vector}).encode()

    def stream(self, asked: Asked, say: Saying) -> list[Piece]:
        return [Piece(Part.CONTENT, self.whole(asked, say))]

    ping = Gemini.ping
    filler = Gemini.filler
    complain = Gemini.complain
    error_event = Gemini.error_event
    hints = Gemini.hints


def _either(values: Mapping[str, Any], name: str) -> Any:
    """A field under either spelling."""
    return values.get(name) or values.get(re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name))


def _model(path: str) -> str:
    found = _PATH.search(path)
    return unquote(found[1]) if found else ""


def _text(contents: object) -> str:
    """The text of the last turn that is the user's."""
    for content in reversed(contents if isinstance(contents, list) else []):
        if isinstance(content, dict) and content.get("role", "user") == "user":
            return "".join(str(part.get("text") or "") for part in content.get("parts") or [])
    return ""


def _lower(schema: Any) -> Any:
    """Google's schemas have their types in capitals."""
    if isinstance(schema, list):
        return [_lower(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.lower() if key == "type" and isinstance(value, str) else _lower(value)
        for key, value in schema.items()
    }


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _call(say: Saying) -> dict[str, Any]:
    """The part that calls the tool; nothing where the arguments are none: then only the end tells of it."""
    arguments = _arguments("".join(say.words))
    return {} if arguments is None else {"functionCall": {"name": say.tool, "args": arguments}}
