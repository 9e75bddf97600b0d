"""One answer in one shape, whatever envelope its provider uses.

Providers put the same facts in many places: `{"error": {...}}`, `{"error": "text"}`, an array
around either, `{"type": "error"}`, Google's `details`, AWS's `x-amzn-errortype`, FastAPI's
`detail`, a router's `metadata.raw` that quotes the error of somebody behind it, JSON inside a
string, plain text of a mesh, HTML of a CDN. `read` collects from all of them: every code, type
and status (`kinds`), every sentence (`text`), the quotas that were hit (`quota`).

Bounded: the first 64 KiB of the body, a few dozen nodes of it, 2,000 characters of text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from sidecar.model import Headers

BODY_CAP = 65_536
_TEXT_CAP = 2_000
_NODES = 64

_CODES = frozenset(
    ("code", "type", "status", "reason", "error_code", "errorCode", "__type", "error_type", "err_code")
)
_TEXTS = frozenset(
    (
        *("message", "msg", "detail", "title", "description", "error_msg", "errorMessage", "error_message"),
        *(
            "error_description",
            "raw",
            "Message",
            "blockReasonMessage",
            "limit_source",
            "remedy_hint",
            "localizedMessage",
            "status_msg",
            "statusMessage",
        ),
    )
)
_INNER = frozenset(
    (
        *(
            "error",
            "errors",
            "innererror",
            "inner_error",
            "metadata",
            "detail",
            "details",
            "message",
            "cause",
        ),
        *("response", "previous_errors", "content_filter_result", "fault", "data", "base_resp"),
    )
)
_QUOTAS = frozenset(("quotaId", "quotaMetric", "quota_limit", "quota_metric", "quota_unit"))
# words that say only that something is an error, or how a good answer is called
_EMPTY_WORDS = frozenset(("error", "object", "failed", "incomplete", "completed", "none", "null", ""))
_STATUS_OF = {  # google.rpc.Code, and the types that name a status without saying it
    "invalidargument": 400,
    "failedprecondition": 400,
    "outofrange": 400,
    "unauthenticated": 401,
    "permissiondenied": 403,
    "notfound": 404,
    "alreadyexists": 409,
    "aborted": 409,
    "resourceexhausted": 429,
    "cancelled": 499,
    "internal": 500,
    "unknown": 500,
    "dataloss": 500,
    "unimplemented": 501,
    "unavailable": 503,
    "deadlineexceeded": 504,
}
_SQUEEZE = re.compile(r"[^a-z0-9]+")
_TAGS = re.compile(r"<(?:script|style)\b.{0,8000}?</|<[^>]{0,500}>", re.DOTALL | re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_DATA_LINE = re.compile(rb"^data:[ ]?(.*?)\r?$", re.MULTILINE)
_EVENT_LINE = re.compile(rb"^event:[ ]?(.*?)\r?$", re.MULTILINE)
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"'})


@dataclass(frozen=True, slots=True)
class Answer:
    http: int  # the status line's
    status: int  # what the error says of itself inside a 200; else `http`
    error: bool  # there is an error in it
    kinds: frozenset[str]  # codes and types, lower case, letters and digits only
    text: str  # lower case
    param: str
    quota: str  # names of the quotas that were hit, lower case
    form: str  # "json", "html", "text", "events", "empty", "broken", or "cut": too long to be read
    headers: dict[bytes, str]
    events: tuple[Any, ...] = ()  # of a stream, parsed; None: one that could not be
    data: Any = None  # the parsed body, or the event of the stream that tells most


def squeeze(word: str) -> str:
    """`Rate_Limit-Exceeded` and `rateLimitExceeded` are one word."""
    return _SQUEEZE.sub("", word.lower())


def parse(body: bytes) -> Any:
    """The JSON value, or None where it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


@dataclass(slots=True)
class _Gather:
    """What is found while walking through an error."""

    kinds: set[str]
    texts: list[str]
    quotas: list[str]
    status: int = 0
    param: str = ""
    nodes: int = 0

    def walk(self, node: Any) -> None:
        self.nodes += 1
        if self.nodes > _NODES:
            return
        if isinstance(node, dict):
            for key, value in node.items():
                self._member(key, value)
        elif isinstance(node, list):
            for item in node[:8]:
                self.walk(item)
        elif isinstance(node, str):
            self._sentence(node)

    def _member(self, key: str, value: Any) -> None:
        if isinstance(value, str):
            if key in _CODES:
                self.kind(value)
            elif key in _TEXTS or key == "error":
                self._sentence(value)
            elif key in _QUOTAS:
                self.quotas.append(value[:200])
            elif key == "quotaValue" and value == "0":
                self.texts.append("limit: 0")
            elif key == "param":
                self.param = self.param or value[:100].lower()
        elif isinstance(value, int):
            if key in _CODES and not isinstance(value, bool):
                self.kind(str(value) if abs(value) < 10**9 else "")
        elif key in _INNER or key == "violations":
            self.walk(value)
        elif key == "choices":  # OpenRouter: what failed is said inside the choice
            self.walk(
                [choice["error"] for choice in value[:8] if _has_error(choice)]
                if isinstance(value, list)
                else None
            )
        elif key[-9:].lower() == "exception" and isinstance(value, dict):  # an AWS event as JSON
            self.kind(key)
            self.walk(value)

    def kind(self, word: str) -> None:
        if len(word) == 3 and word.isdecimal():
            if not self.status and "400" <= word <= "599":
                self.status = int(word)
        elif len(word) <= 100:
            # AWS: "com.amazon.coral#ThrottlingException:http://internal"
            squeezed = squeeze(word.partition(":")[0].rpartition("#")[2])
            if squeezed not in _EMPTY_WORDS:
                self.kinds.add(squeezed)
            if " " in word:  # xAI puts a sentence into `code`
                self.texts.append(word)
        else:
            self.texts.append(word[:500])

    def _sentence(self, text: str) -> None:
        text = text.strip()
        if text[:1] in {"{", "["} and len(text) <= BODY_CAP:
            inner = parse(text.encode("utf-8", "replace"))
            if isinstance(inner, dict | list):
                self.walk(inner)
                return
        self.texts.append(text[:_TEXT_CAP])


def read(status: int, headers: Headers, body: bytes) -> Answer:
    named = {key.lower(): value.decode("latin-1") for key, value in headers}
    cut, body = len(body) > BODY_CAP, body[:BODY_CAP]
    form, data, events = _form(named.get(b"content-type", ""), body, cut)
    gather = _Gather(set(), [], [])
    for key in (b"x-amzn-errortype", b":exception-type", b"x-ms-error-code", b"x-error-code"):
        if key in named:
            gather.kind(named[key])
    error = status >= 400 or b":exception-type" in named
    if form == "text" or (error and form in {"broken", "cut"}):
        gather.texts.append(body[:_TEXT_CAP].decode("utf-8", "replace"))
    elif form == "html":
        gather.texts.append(_TAGS.sub(" ", body[:16_384].decode("utf-8", "replace"))[:_TEXT_CAP])
    elif data is not None and (error or tells_error(data)):
        error = True
        gather.walk(data)
    text = " | ".join(gather.texts)[:_TEXT_CAP].lower().translate(_APOSTROPHES)
    return Answer(
        http=status,
        status=status if status >= 400 else gather.status or _status_of(gather.kinds),
        error=error,
        kinds=frozenset(gather.kinds),
        text=_SPACE.sub(" ", text).strip(),
        param=gather.param,
        quota=" ".join(gather.quotas).lower(),
        form=form,
        headers=named,
        events=events,
        data=data,
    )


def _status_of(kinds: Iterable[str]) -> int:
    return next((_STATUS_OF[kind] for kind in kinds if kind in _STATUS_OF), 0)


def _form(content_type: str, body: bytes, cut: bool) -> tuple[str, Any, tuple[Any, ...]]:
    start = body.lstrip()[:16]
    if not start:
        return "empty", None, ()
    if start[:1] in {b"{", b"["}:
        data = parse(body)
        return ("cut" if cut else "broken", None, ()) if data is None else ("json", data, ())
    if start.startswith((b"data:", b"event:", b":", b"id:", b"retry:")):
        whole = body[: body.rfind(b"\n\n") + 2] if cut else body
        events = tuple(parse(found) for found in _DATA_LINE.findall(whole) if found.strip() != b"[DONE]")
        told = next((event for event in events if event is not None and tells_error(event)), None)
        return "events", told or next((event for event in reversed(events) if event), None), events
    if start[:1] == b"<" and (b"html" in body[:2000].lower() or "html" in content_type):
        return "html", None, ()
    data = parse(body)  # a bare string or number
    return "text", data if isinstance(data, str) else None, ()


def only_pings(answer: Answer, body: bytes) -> bool:
    """Comments and pings: signs of life that are no content."""
    if answer.form == "events" and not answer.events and b"[DONE]" not in body:
        return not any(name.strip() not in {b"", b"ping", b"keepalive"} for name in _EVENT_LINE.findall(body))
    return (
        answer.form in {"events", "json"}
        and isinstance(answer.data, dict)
        and answer.data.get("type") == "ping"
    )


_ANSWER_KEYS = frozenset(
    (
        "choices",
        "candidates",
        "content",
        "output",
        "data",
        "results",
        "embeddings",
        "embedding",
        "text",
        "done",
        "delta",
    )
)


def _has_error(choice: Any) -> bool:
    return isinstance(choice, dict) and isinstance(choice.get("error"), dict)


def tells_error(data: Any) -> bool:
    """Whether JSON that came with a good status is an error after all."""
    if isinstance(data, list):
        return any(tells_error(item) for item in data[:3])
    if not isinstance(data, dict):
        return False
    if data.get("error") or data.get("type") == "error" or data.get("object") == "error":
        return True
    response = data.get("response")
    if isinstance(response, dict) and response.get("error"):
        return True
    choices = data.get("choices")
    if isinstance(choices, list) and any(map(_has_error, choices)):
        return True
    base = data.get("base_resp")  # MiniMax
    if isinstance(base, dict) and base.get("status_code"):
        return True
    if data.get("errors") and not _ANSWER_KEYS & data.keys():
        return True
    if any(isinstance(value, dict) and key[-9:].lower() == "exception" for key, value in data.items()):
        return True
    said = data.get("message") or data.get("detail") or data.get("msg")
    return isinstance(said, str) and not _ANSWER_KEYS & data.keys() and "role" not in data
