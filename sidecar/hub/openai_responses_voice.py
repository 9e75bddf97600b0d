"""An answer said as the events of an OpenAI response.

Everything is said twice in this dialect: in pieces, and whole when a part, an item, the response is done.
Words and thoughts are items that end where something else begins. Calls stay open until the end, so
their fragments may interleave: every event names its item.

Thoughts are shown, as a summary, to who asked for one: clients send items back, and OpenAI refuses a
reasoning item that it has not made.
"""

from __future__ import annotations

from sidecar.hub.conversation import Choice, Conversation, Json, Shape
from sidecar.hub.writing import encode, fitting
from sidecar.model import (
    Answering,
    Delta,
    Finish,
    FinishReason,
    Malformed,
    Media,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Trouble,
    Usage,
)

Object = dict[str, Json]

INCOMPLETE = {
    FinishReason.LENGTH: "max_output_tokens",
    FinishReason.CONTEXT_FULL: "max_output_tokens",
    FinishReason.FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
}
_WHOLE = {"output_text": "text", "refusal": "refusal", "summary_text": "text"}  # where a part has its words


class _Item:
    """An output item that is being said."""

    __slots__ = ("fields", "part", "pieces", "place")

    def __init__(self, place: int, fields: Object, part: str = "") -> None:
        self.place = place
        self.fields = fields
        self.part = part  # the type of its open part, for words and thoughts
        self.pieces: list[str] = []


class ResponsesVoice:
    """Implements base.Voice."""

    def __init__(self, conversation: Conversation, *, ident: str, created: int) -> None:
        self._ident = ident
        self._asked = conversation
        self._created = created
        self._model = conversation.model
        self._thoughts = conversation.thinking.shown is True
        self._number = 0
        self._started = False
        self._output: list[Object] = []  # done or not, by place
        self._words: _Item | None = None
        self._calls: dict[int, _Item] = {}
        self._reason = FinishReason.STOP
        self._usage: Usage | None = None
        self._losses: dict[str, None] = {}

    @property
    def losses(self) -> tuple[str, ...]:
        return tuple(self._losses)

    def say(self, deltas: tuple[Delta, ...]) -> bytes:
        said: list[bytes] = []
        for delta in deltas:
            match delta:
                case Answering(model):
                    self._model = model
                case Usage():
                    self._usage = delta
                case Finish(reason, choice):
                    if choice == 0:
                        self._reason = reason
                case Media():
                    self._losses["media"] = None
                case Trouble() | Malformed():
                    pass  # an error is the caller's to say
                case _ if delta.choice != 0:
                    self._losses["choices"] = None
                case Text(text):
                    self._piece("output_text", text, said)
                case Refusal(text):
                    self._piece("refusal", text, said)
                case Reasoning(text):
                    if self._thoughts:
                        self._piece("summary_text", text, said)
                    elif text:
                        self._losses["reasoning"] = None
                case ToolCall():
                    self._call(delta, said)
        return b"".join(said)

    def end(self) -> bytes:
        said: list[bytes] = []
        self._open(said)
        self._close_words(said)
        for item in sorted(self._calls.values(), key=lambda item: item.place):
            arguments = "".join(item.pieces)
            item.fields["arguments"] = arguments
            self._event(
                said,
                "response.function_call_arguments.done",
                item,
                name=item.fields["name"],
                arguments=arguments,
            )
            self._done(item, said)
        reason = INCOMPLETE.get(self._reason)
        status = "completed"
        if reason is not None:
            status = "incomplete"
        elif self._reason is FinishReason.ERROR:
            status = "failed"
        response = self._response(status)
        response["output"] = self._output
        response["usage"] = usage_of(self._usage or Usage())
        if reason is not None:
            response["incomplete_details"] = {"reason": reason}
        if status == "failed":
            message = "The model stopped with an error before its answer was over."
            response["error"] = {"code": "server_error", "message": message}
        self._event(said, f"response.{status}", response=response)
        return b"".join(said)

    # ---- items ---------------------------------------------------------------------------------

    def _piece(self, kind: str, text: str, said: list[bytes]) -> None:
        if not text:
            return
        item = self._words
        if item is None or item.part != kind:
            self._close_words(said)
            item = self._words = self._begin_words(kind, said)
        item.pieces.append(text)
        if kind == "summary_text":
            self._event(said, "response.reasoning_summary_text.delta", item, summary_index=0, delta=text)
        elif kind == "refusal":
            self._event(said, "response.refusal.delta", item, content_index=0, delta=text)
        else:
            self._event(said, "response.output_text.delta", item, content_index=0, delta=text, logprobs=[])

    def _begin_words(self, kind: str, said: list[bytes]) -> _Item:
        if kind == "summary_text":
            item = self._begin({"type": "reasoning", "summary": []}, "rs", kind, said)
            part = _part(kind, "")
            self._event(said, "response.reasoning_summary_part.added", item, summary_index=0, part=part)
            return item
        fields: Object = {"type": "message", "role": "assistant", "content": []}
        item = self._begin(fields, "msg", kind, said)
        self._event(said, "response.content_part.added", item, content_index=0, part=_part(kind, ""))
        return item

    def _close_words(self, said: list[bytes]) -> None:
        item, self._words = self._words, None
        if item is None:
            return
        text = "".join(item.pieces)
        part = _part(item.part, text)
        if item.part == "summary_text":
            self._event(said, "response.reasoning_summary_text.done", item, summary_index=0, text=text)
            self._event(said, "response.reasoning_summary_part.done", item, summary_index=0, part=part)
            item.fields["summary"] = [part]
        else:
            more = {"refusal": text} if item.part == "refusal" else {"text": text, "logprobs": []}
            self._event(said, f"response.{item.part}.done", item, content_index=0, **more)
            self._event(said, "response.content_part.done", item, content_index=0, part=part)
            item.fields["content"] = [part]
        self._done(item, said)

    def _call(self, delta: ToolCall, said: list[bytes]) -> None:
        item = self._calls.get(delta.index)
        if item is None:
            self._close_words(said)
            place = len(self._output)
            made = f"call_{self._ident[-24:]}_{place}"
            ident = fitting(delta.id) if delta.id else made
            fields = {"type": "function_call", "call_id": ident, "name": delta.name, "arguments": ""}
            item = self._calls[delta.index] = self._begin(fields, "fc", "", said)
        if delta.arguments:
            item.pieces.append(delta.arguments)
            self._event(said, "response.function_call_arguments.delta", item, delta=delta.arguments)

    def _begin(self, fields: Object, prefix: str, part: str, said: list[bytes]) -> _Item:
        self._open(said)
        place = len(self._output)
        fields = {"id": f"{prefix}_{self._ident[-24:]}{place:02d}", **fields, "status": "in_progress"}
        item = _Item(place, fields, part)
        self._output.append(fields)
        self._event(said, "response.output_item.added", output_index=place, item=fields)
        return item

    def _done(self, item: _Item, said: list[bytes]) -> None:
        item.fields["status"] = "completed"
        self._event(said, "response.output_item.done", output_index=item.place, item=item.fields)

    # ---- events --------------------------------------------------------------------------------

    def _open(self, said: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        for name in ("response.created", "response.in_progress"):
            self._event(said, name, response=self._response("in_progress"))

    def _event(self, said: list[bytes], kind: str, at: _Item | None = None, /, **fields: Json) -> None:
        place: Object = {} if at is None else {"item_id": at.fields["id"], "output_index": at.place}
        event = {"type": kind, **place, **fields, "sequence_number": self._number}
        self._number += 1
        said.append(f"event: {kind}\ndata: ".encode() + encode(event) + b"\n\n")

    def _response(self, status: str) -> Object:
        asked = self._asked
        choice: Json = asked.choice.value if asked.choice is not None else "auto"
        if asked.choice is Choice.NAMED:
            choice = {"type": "function", "name": asked.named}
        return {
            "id": f"resp_{self._ident}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": asked.sampling.max_output,
            "metadata": {},
            "model": self._model,
            "output": [],
            "parallel_tool_calls": asked.parallel is not False,
            "previous_response_id": None,
            "store": False,
            "temperature": asked.sampling.temperature,
            "text": {"format": _format(asked)},
            "tool_choice": choice,
            "tools": [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description or None,
                    "parameters": tool.schema,
                    "strict": tool.strict is not False,
                }
                for tool in asked.tools
                if tool.name
            ],
            "top_p": asked.sampling.top_p,
            "usage": None,
        }


def _part(kind: str, text: str) -> Object:
    part: Object = {"type": kind, _WHOLE[kind]: text}
    return {**part, "annotations": [], "logprobs": []} if kind == "output_text" else part


def _format(asked: Conversation) -> Object:
    form = asked.format
    if form.shape is Shape.TEXT:
        return {"type": "text"}
    if form.shape is Shape.JSON:
        return {"type": "json_object"}
    return {"type": "json_schema", "name": form.name, "schema": form.schema, "strict": form.strict}


def usage_of(usage: Usage) -> Object:
    """OpenAI's words for it; what the provider did not say is 0, as its clients expect a number."""
    given, made = usage.input_total or 0, usage.output_total or 0
    return {
        "input_tokens": given,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read or 0,
            "cache_write_tokens": usage.cache_write or 0,
        },
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": given + made,
    }
