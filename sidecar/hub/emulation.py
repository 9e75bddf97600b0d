"""A form that the target does not know, asked for by other means, and the answer made of it.

A schema: a tool is added whose arguments have the schema, and some tool has to be called; the call of
this one is the answer's text. A JSON object: it is asked for in words, and a code fence around it
is taken off. A list or a single word: an object is asked to hold it, and taken off. All of it is told as
losses, and what comes of it is held against the schema by whoever judges answers: an emulation asks, it
does not promise.

What a model says beside the stand-in's call is no part of the answer's form. So its words are held
until it is clear what they are: before a call of the stand-in they are thoughts, else the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from msgspec.structs import replace

from sidecar.hub.base import Written
from sidecar.hub.conversation import Choice, Conversation, Format, Role, Shape, TextPart, Tool, Turn
from sidecar.hub.writing import JSON_ONLY, Ledger, encode, is_object_schema, titled
from sidecar.model import Delta, Finish, FinishReason, Reasoning, Text, ToolCall

STAND_IN = "answer"  # the name of the tool
_ABOUT = "Gives the final answer in the form that was asked for."
_SHARED = frozenset({"$defs", "definitions"})  # of a schema: addressed from its root


class _Hull(NamedTuple):
    """What may stand around an answer: where it begins, whether a text may become that, and its end."""

    opening: re.Pattern[str]
    opens_perhaps: Callable[[str], object]
    closes_perhaps: re.Pattern[str]
    closing: str


_CODE = _Hull(
    re.compile(r"\s*```[A-Za-z]*[ \t]*\n?"),
    re.compile(r"\s*(`{0,3}|```[A-Za-z]*[ \t]*)").fullmatch,
    re.compile(r"\s*`{0,3}\s*\Z"),
    "```",
)
_OBJECT = _Hull(
    re.compile(rf'\s*\{{\s*"{STAND_IN}"\s*:\s*'),
    lambda text: f'{{"{STAND_IN}":'.startswith("".join(text.split())),
    re.compile(r"\s*\}?\s*\Z"),
    "}",
)


# ---- asking --------------------------------------------------------------------------------


def by_tool(conversation: Conversation, ledger: Ledger) -> tuple[Conversation, str]:
    """The same conversation with a tool in place of its schema, and the tool's name."""
    form = conversation.format
    bare = replace(conversation, format=Format())
    if conversation.choice in {Choice.NAMED, Choice.REQUIRED} and conversation.tools:
        ledger.lose_field("format")  # this answer is a call; the schema is for the one after it
        return bare, ""
    ledger.lose_field("format", "emulated")
    taken = {tool.name for tool in conversation.tools}
    name = STAND_IN
    while name in taken:
        name += "_"
    schema = titled(replace(form, description=""), ledger)  # it is the tool's
    tool = Tool(name, form.description or _ABOUT, schema)
    if conversation.choice is Choice.NONE or not conversation.tools:
        return replace(bare, tools=(*bare.tools, tool), choice=Choice.NAMED, named=name), name
    return replace(bare, tools=(*bare.tools, tool), choice=Choice.REQUIRED), name


def in_object(conversation: Conversation, ledger: Ledger) -> tuple[Conversation, bool]:
    """The same conversation with a schema whose root is an object, and whether it was none before.

    Google's clients ask for lists and single words; elsewhere an answer in a form is an object. So one is
    asked to hold the answer under one name, and is taken off again.
    """
    form = conversation.format
    schema = form.schema
    if schema is None or is_object_schema(schema):
        return conversation, False
    inner = {key: value for key, value in schema.items() if key not in _SHARED}
    if b'"$ref":"#"' in encode(inner):
        ledger.refuse(conversation.named_as("format"), "a schema whose root is no object, and holds itself")
    ledger.lose_field("format", "emulated")
    whole = {
        "type": "object",
        "properties": {STAND_IN: inner},
        "required": [STAND_IN],
        "additionalProperties": False,
        **{key: schema[key] for key in _SHARED & schema.keys()},
    }
    return replace(conversation, format=replace(form, schema=whole)), True


def by_words(conversation: Conversation, ledger: Ledger) -> Conversation:
    """The same conversation with its wish for JSON said in words, behind the other instructions."""
    ledger.lose_field("format", "emulated")
    return replace(instructed(conversation), format=Format())


def instructed(conversation: Conversation) -> Conversation:
    """The same conversation, told in words to answer with JSON."""
    turns = conversation.turns
    first = next((n for n, turn in enumerate(turns) if turn.role is not Role.SYSTEM), len(turns))
    told = Turn(Role.SYSTEM, (TextPart(JSON_ONLY),))
    return replace(conversation, turns=(*turns[:first], told, *turns[first:]))


def says_json(conversation: Conversation) -> bool:
    """Do its texts say the word? OpenAI refuses to give JSON to who does not."""
    return any(
        isinstance(part, TextPart) and "json" in part.text.lower()
        for turn in conversation.turns
        for part in turn.parts
    )


def constrained(
    conversation: Conversation, ledger: Ledger, *, schema: bool, json: bool
) -> tuple[Conversation, str, bool]:
    """As much emulated as the target cannot do itself; the tool that stands in, and whether words ask."""
    shape = conversation.format.shape
    if shape is Shape.SCHEMA and not schema:
        conversation, name = by_tool(conversation, ledger)
        return conversation, name, False
    if shape is Shape.JSON and not json:
        return by_words(conversation, ledger), "", True
    return conversation, "", False


# ---- hearing -------------------------------------------------------------------------------


class Undoing:
    """Turns the deltas of one answer back into what the client asked for."""

    def __init__(self, written: Written) -> None:
        self._name = written.emulated
        self._renamed = written.renamed
        self._hull = _OBJECT if written.enclosed else _CODE
        self._fences: dict[int, _Fence] | None = {} if written.instructed or written.enclosed else None
        self._held: dict[int, list[Text]] = {}  # words of a choice, until it is clear what they are
        self._answers: dict[int, int] = {}  # choice -> the index of the call that is its answer
        self._calls: set[tuple[int, int]] = set()  # of real tools
        self._second: set[tuple[int, int]] = set()  # further calls of the stand-in: one answer is enough

    def turn(self, deltas: Iterable[Delta]) -> tuple[Delta, ...]:
        """What the client is told for these."""
        said: Iterable[Delta] = deltas
        if self._renamed:
            said = [self._by_its_name(delta) for delta in said]
        if self._name:
            said = [each for delta in said for each in self._unfold(delta)]
        if self._fences is not None:
            said = [each for delta in said for each in self._unfence(delta, self._fences)]
        return tuple(said)

    def _by_its_name(self, delta: Delta) -> Delta:
        if not isinstance(delta, ToolCall) or delta.name not in self._renamed:
            return delta
        return replace(delta, name=self._renamed[delta.name])

    def _unfold(self, delta: Delta) -> Iterable[Delta]:
        match delta:
            case Text(_, choice):
                if choice in self._answers:
                    yield Reasoning(delta.text, choice)
                elif any(of == choice for of, _ in self._calls):
                    yield delta
                else:
                    self._held.setdefault(choice, []).append(delta)
            case ToolCall():
                yield from self._call(delta)
            case Finish(reason, choice):
                yield from self._held.pop(choice, ())
                if reason is FinishReason.TOOL and not any(of == choice for of, _ in self._calls):
                    reason = FinishReason.STOP
                yield Finish(reason, choice)
            case _:
                yield delta

    def _call(self, delta: ToolCall) -> Iterable[Delta]:
        place = (delta.choice, delta.index)
        if delta.name == self._name and self._answers.setdefault(delta.choice, delta.index) != delta.index:
            self._second.add(place)
        if place in self._second:
            return
        if self._answers.get(delta.choice) == delta.index:
            yield from (Reasoning(held.text, held.choice) for held in self._held.pop(delta.choice, ()))
            if delta.arguments:
                yield Text(delta.arguments, delta.choice)
            return
        self._calls.add(place)
        yield from self._held.pop(delta.choice, ())
        yield delta

    def _unfence(self, delta: Delta, fences: dict[int, _Fence]) -> Iterable[Delta]:
        match delta:
            case Text(text, choice):
                said = fences.setdefault(choice, _Fence(self._hull)).feed(text)
            case Finish(_, choice) if choice in fences:
                said = fences.pop(choice).close()
            case _:
                yield delta
                return
        if said:
            yield Text(said, delta.choice)
        if isinstance(delta, Finish):
            yield delta


class _Fence:
    """Takes what is around an answer off a text that comes in pieces; what may be it waits."""

    def __init__(self, hull: _Hull) -> None:
        self._hull = hull
        self._begun = False
        self._fenced = False
        self._waiting = ""

    def feed(self, text: str) -> str:
        self._waiting += text
        if not self._begun:
            if self._hull.opens_perhaps(self._waiting):
                return ""
            self._begun = True
            opening = self._hull.opening.match(self._waiting)
            if opening:
                self._fenced = True
                self._waiting = self._waiting[opening.end() :]
        end = len(self._waiting)
        if self._fenced:
            closing = self._hull.closes_perhaps.search(self._waiting)
            end = closing.start() if closing else end
        said, self._waiting = self._waiting[:end], self._waiting[end:]
        return said

    def close(self) -> str:
        if self._fenced and self._waiting.strip() == self._hull.closing:
            return ""
        return self._waiting
