"""What an OpenAI response says, streamed or whole.

A stream tells everything twice: in pieces, and again in the `done` event of each item and in the
terminal event. The pieces count. What came in no piece is taken from its item, when that is done,
and if nothing at all was said, from the terminal event: some compatible servers send no pieces.

`created`, `in_progress`, `output_item.added` and their like announce; they are not content. So the
name of a function waits for the first piece of its arguments. What the provider runs by itself
(search, code, MCP, images) is media, and so is a custom tool's input, which is free text: neither
is for us to judge. Commentary of a model on its way to the answer is reasoning, not answer.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.dialects.reading import named_status
from sidecar.dialects.shapes import Shape, text_of
from sidecar.model import (
    Answering,
    Delta,
    Finish,
    FinishReason,
    Media,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Trouble,
    Usage,
)

_TERMINAL = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
_INCOMPLETE = {
    "max_output_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.FILTER,
    "steered": FinishReason.STOP,  # by the client, over a WebSocket
}
_CALLS = ("function_call", "custom_tool_call")  # the client has to answer them
# of a response in the background: they tell how it goes with it, and are no answer yet
_STATES = ("queued", "in_progress", "cancelled")


class InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class Tokens(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class Part(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    annotations: Any = None


class Item(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None
    phase: str | None = None
    content: list[Part] | None = None
    summary: list[Part] | None = None


class Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class Response(msgspec.Struct, gc=False):
    """All but the output, which a stream has told already when it comes."""

    model: str | None = None
    status: str | None = None
    incomplete_details: Incomplete | None = None
    usage: Tokens | None = None
    error: Any = None


class Whole(Response, gc=False):
    object: str | None = None
    output: list[Item] | None = None
    type: str | None = None
    code: Any = None


class Event(msgspec.Struct, gc=False):
    type: str | None = None
    output_index: int | None = None
    delta: Any = None
    item: Item | None = None
    arguments: Any = None
    response: Response | None = None
    error: Any = None
    code: Any = None


class Final(msgspec.Struct, gc=False):
    response: Whole | None = None


_EVENT = Shape(Event)
_FINAL = Shape(Final)
_WHOLE = Shape(Whole)


class ResponsesAnswer:
    """Implements reading.Answer."""

    __slots__ = ("_called", "_calls", "_commentary", "_moved", "_over", "_told", "_usage", "_which", "done")

    def __init__(self) -> None:
        self.done = False
        self._over = False  # behind the sentinel no SDK reads on
        self._which = ""
        self._usage = Usage()
        self._called = False
        self._told: set[int] = set()  # items of which something was said
        self._calls: dict[int, Item] = {}  # function calls that were announced, and no more
        self._commentary: set[int] = set()
        self._moved: dict[int, int] = {}  # output indexes that were given twice, and where they went

    @property
    def finished(self) -> bool:
        return self.done

    def event(self, kind: bytes, data: bytes, out: list[Delta]) -> bool:
        if self.done or self._over:
            return True
        if data[:1] != b"{":
            if not data.strip():  # a keep-alive of some gateways
                return True
            if data.startswith(b"[DONE]"):  # some send it behind the terminal event; alone it ends nothing
                self._over = True
                return True
        event = _EVENT.read(data)
        if event is None:
            return False
        name = event.type or kind.decode("ascii", "replace")
        if name == "response.output_text.delta":
            self._text(event, out)
        elif name == "error" or event.error:
            out.append(Trouble(named_status(event.error or {"code": event.code}), data))
        elif name in _TERMINAL:
            self._final(event.response or Response(), _TERMINAL[name], data, out)
        elif name == "response.output_item.added":
            self._announce(event)
        elif name == "response.output_item.done":
            self._complete(event, out)
        elif name in ("response.created", "response.queued", "response.in_progress"):
            self._head(event.response or Response(), out)
        else:
            self._piece(name.removeprefix("response."), event, out)
        return True

    def body(self, data: bytes, out: list[Delta]) -> bool:
        response = _WHOLE.read(data)
        if response is None:
            return False
        if response.output is None and response.object != "response":
            if response.error or response.type == "error":
                out.append(Trouble(named_status(response.error or {"code": response.code}), data))
            return True
        self._head(response, out)
        for index, item in enumerate(response.output or ()):
            self._item(item, index, out)
        self._final(response, response.status or "completed", data, out, told=True)
        return True

    def _text(self, event: Event, out: list[Delta]) -> None:
        text = event.delta
        if text and isinstance(text, str):
            place = self._place(event)
            self._told.add(place)
            out.append(Reasoning(text) if place in self._commentary else Text(text))

    def _place(self, event: Event) -> int:
        index = event.output_index or 0
        return self._moved.get(index, index)

    def _announce(self, event: Event) -> None:
        item, place = event.item or Item(), self._place(event)
        if place in self._told:  # some bridges number every item 0
            place = self._moved[event.output_index or 0] = max(self._told) + 1
        if item.type == "function_call":
            self._calls[place] = item
        elif item.phase == "commentary":
            self._commentary.add(place)
        self._called = self._called or item.type in _CALLS

    def _piece(self, name: str, event: Event, out: list[Delta]) -> None:
        """Whatever else comes while an answer is made; what we do not know may be content too."""
        what, _, step = name.rpartition(".")
        text = event.delta if step == "delta" and isinstance(event.delta, str) else ""
        place = self._place(event)
        said: Delta | None = None
        if what == "function_call_arguments":
            arguments = text or (event.arguments if place not in self._told else "")
            if arguments:
                said = self._call(self._calls.pop(place, Item()), arguments, place)
        elif what.startswith("reasoning"):
            said = Reasoning(text) if text else None
        elif what == "refusal":
            said = Refusal(text) if text else None
        elif what == "output_text.annotation":
            said = Media("citation")
        elif "_call" in what:
            said = Media(what[: what.index("_call") + 5])
        elif step == "delta" and event.delta:
            said = Media(what.partition(".")[0])
        if said is not None:
            self._told.add(place)
            out.append(said)

    def _call(self, item: Item, arguments: Any, place: int) -> ToolCall:
        self._called = True
        text = text_of(arguments) if arguments else ""
        return ToolCall(place, item.call_id or item.id or "", item.name or "", text)

    def _complete(self, event: Event, out: list[Delta]) -> None:
        place = self._place(event)
        if event.item is not None and place not in self._told:
            self._item(event.item, place, out)

    def _item(self, item: Item, place: int, out: list[Delta]) -> None:
        """A whole item, of which nothing was said before."""
        before = len(out)
        match item.type:
            case "message":
                for part in item.content or ():
                    _part(part, out, aside=item.phase == "commentary")
            case "reasoning":
                # without a text it is an encrypted lump; what the client may see follows
                parts = (*(item.summary or ()), *(item.content or ()))
                out += [Reasoning(part.text) for part in parts if part.text]
            case "function_call":
                out.append(self._call(item, item.arguments, place))
            case str(other):
                out.append(Media(other))
            case None:
                pass
        self._called = self._called or item.type in _CALLS
        if len(out) > before:
            self._told.add(place)

    def _final(
        self, response: Response, status: str, data: bytes, out: list[Delta], *, told: bool = False
    ) -> None:
        self._head(response, out)
        if not told and not self._told:
            final = _FINAL.read(data)
            for index, item in enumerate((final and final.response and final.response.output) or ()):
                self._item(item, index, out)
        self.done = True
        if status in _STATES:
            out.append(Media(status))
            return
        if status == "failed" or response.error:
            out.append(Trouble(named_status(response.error), data))
            reason = FinishReason.ERROR
        elif status == "incomplete":
            details = response.incomplete_details or Incomplete()
            reason = _INCOMPLETE.get(details.reason or "", FinishReason.LENGTH)
        else:
            reason = FinishReason.TOOL if self._called else FinishReason.STOP
        out.append(Finish(reason))

    def _head(self, response: Response, out: list[Delta]) -> None:
        if response.model and not self._which:
            self._which = response.model
            out.append(Answering(response.model))
        if response.usage is not None:
            usage = _usage(response.usage)
            if usage != self._usage:
                self._usage = usage
                out.append(usage)


def _part(part: Part, out: list[Delta], *, aside: bool) -> None:
    if part.text:
        out.append(Reasoning(part.text) if aside else Text(part.text))
    if part.refusal:
        out.append(Refusal(part.refusal))
    if part.annotations:
        out.append(Media("citation"))
    if part.type not in ("output_text", "text", "refusal", None):
        out.append(Media(part.type))


def _usage(tokens: Tokens) -> Usage:
    read = tokens.input_tokens_details or InputDetails()
    thought = tokens.output_tokens_details or OutputDetails()
    return Usage(
        input_total=_known(tokens.input_tokens),
        output_total=_known(tokens.output_tokens),
        cache_read=_known(read.cached_tokens),
        cache_write=_known(read.cache_write_tokens),
        reasoning=_known(thought.reasoning_tokens),
    )


def _known(value: int | None) -> int | None:
    return None if value is None or value < 0 else value  # -1 is some servers' word for unknown
